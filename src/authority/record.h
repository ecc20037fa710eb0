/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_RECORD_H
#define AUTHORITY_RECORD_H

/*
 * Batches of audit records, built on the stack, and what names people in them:
 * pseudonyms, and source addresses sealed under a key of the subject (or of
 * the day, where there is no subject yet).
 *	source_ip = base64(seal(HKDF(key, info "sallyport source_ip v1"), aad "source_ip", 16
 *bytes))
 */
#include <crypto/secret.h>
#include <wire/authority_audit.h>

#include "keys.h"

#define SOURCE_CACHE_MAX 4096 /* sealed addresses kept, so that not each request seals */
#define SOURCE_TEXT_MAX 160
#define DIGESTS_MAX 2 /* in one record */
#define RESOURCE_MAX (MODEL_MAX + 16)

struct batch {
	struct audit_rec recs[AUDIT_BATCH_MAX];
	struct audit_value values[AUDIT_BATCH_MAX][AUDIT_VALUES_MAX];
	char hex[AUDIT_BATCH_MAX][DIGESTS_MAX][2 * DIGEST_LEN];
	uint8_t ndigests[AUDIT_BATCH_MAX];
	char resource[AUDIT_BATCH_MAX][RESOURCE_MAX];
	uint32_t n;
};

/* Of whom a record speaks. */
struct record_who {
	const uint8_t *request_id; /* NULL: none */
	const struct key *key;     /* NULL: nobody yet */
	struct span source;        /* sealed text; empty: none */
	uint32_t config;
};

/* Begin a record; its values follow in the order of the event's row. */
struct audit_rec *batch_add(struct batch *b, enum audit_event event, const struct record_who *who,
    const char *kind, struct span resource);
void batch_intent(struct batch *b);
void batch_outcome(struct batch *b, enum audit_outcome outcome, enum audit_cause cause);
/* The last record closes intent `seq`. */
void batch_closes(struct batch *b, uint64_t seq);
void batch_str(struct batch *b, struct span s); /* cut to AUDIT_STR_MAX */
void batch_text(struct batch *b, const char *s);
/* Empty, or 0: left out. */
void batch_str_if(struct batch *b, struct span s);
void batch_u64_if(struct batch *b, uint64_t v);
void batch_u64(struct batch *b, uint64_t v);
void batch_bool(struct batch *b, bool v);
void batch_digest(struct batch *b, const uint8_t digest[DIGEST_LEN]);
void batch_null(struct batch *b);
void batch_nulls(struct batch *b, unsigned n);
/* Asserts that the last record is whole. */
struct aa_append batch_finish(struct batch *b, uint64_t first_proc_seq);

struct sealed_source {
	uint32_t epoch; /* 0: unused */
	uint32_t user;  /* serial; UINT32_MAX: the day's key */
	uint8_t source[SOURCE_LEN];
	uint16_t len;
	char text[SOURCE_TEXT_MAX];
};

struct sealer {
	struct sealed_source *cache;
	uint32_t epoch; /* what was sealed before is of an older key */
	struct secret day_key, next_day_key;
	char day[AS_DAY_LEN + 1], next_day[AS_DAY_LEN + 1];
	struct secret work; /* the derived key */
};

MUST_USE struct status sealer_init(struct sealer *s);
void sealer_done(struct sealer *s);
/* Forget what was sealed: keys have changed. */
void sealer_forget(struct sealer *s);
MUST_USE struct status sealer_set_day(struct sealer *s, const uint8_t day[AS_DAY_LEN],
    const uint8_t key[AS_SECRET_LEN], bool is_next);
/* Midnight: the next day's key, where it is there. True when it changed. */
bool sealer_turn_day(struct sealer *s, const char *today);
/*
 * The sealed text of an address; NULL user: under the day's key. Borrowed until
 * the next call. Errors: E_DENIED (no day key yet), E_CRYPTO, E_SYS, E_NOMEM.
 */
MUST_USE struct status sealer_source(
    struct sealer *s, const struct user *user, const uint8_t source[SOURCE_LEN], struct span *ret);

#endif
