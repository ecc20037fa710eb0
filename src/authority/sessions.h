/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_SESSIONS_H
#define AUTHORITY_SESSIONS_H

/*
 * Session tokens: a credential, exchanged for one that lives an hour at most and may less
 * (RFC 8693, 9068). A session is a struct key whose parent is the key that it was made of: it
 * has that one's user, policy, limits and usage, and ends with it.
 *
 * The store has all that are live: a session outlives this process, and one that has ended does
 * not come back. What is here is that of the last LOAD, and what was made and ended since.
 */
#include <crypto/sign.h>
#include <link/link.h>
#include <wire/audit_event.h>

#include "keys.h"

#define SESSIONS_MAX 16384
#define SESSIONS_TENANT_MAX (SESSIONS_MAX / 4)
#define SESSIONS_USER_MAX 64 /* at once; the oldest of a user makes room for its next */
#define SESSIONS_TOLD_MAX 64 /* ends that the store is told of in a second */
#define SESSION_S_MIN 60
#define SESSION_S_MAX 3600
#define SIGNERS_MAX 16 /* versions of the key that signs: as many as the store keeps */

struct authority;
struct as_session;
struct as_keyset_key;
struct ctl_revocations;

struct session {
	struct key key; /* .scope is what narrows it; .parent whose it is */
	uint8_t id_bytes[SESSION_ID_LEN];
	char id[2 * SESSION_ID_LEN + 1];
	uint8_t digest[DIGEST_LEN]; /* SHA-256 of the token */
	uint32_t signer;            /* version of the key that signed it */
	bool verified;              /* its token was made, or its signature seen, here */
	bool kept;                  /* it has ended, and the store has not been told so */
	bool leaving;               /* nobody vouches for it: it ends when that is on record */
	bool making;                /* nobody has its token yet */
	bool going;                 /* it ends for one that is being made */
	TAILQ_ENTRY(session) next;  /* the oldest first */
	struct session *chain;      /* of its bucket */
	struct session *id_chain;   /* of that of its id */
};

/* A version of the key that signs tokens. */
struct token_signer {
	uint32_t version; /* 0: none */
	uint64_t created_s;
	struct sign_key *key;
	uint32_t load; /* the last LOAD that named it */
};

struct sessions {
	TAILQ_HEAD(session_list, session) live, over; /* over: a turn still points at it */
	struct session_list making;                   /* their exchanges' */
	struct session **buckets;                     /* by digest */
	struct session **ids;                         /* by id */
	size_t n, nkept; /* live ones; those that the store is yet to be told of */
	size_t nleaving; /* of the live ones */
	char recording[AUDIT_BATCH_MAX][2 * SESSION_ID_LEN + 1]; /* ids of those, under way */
	uint32_t nrecording;
	struct token_signer signers[SIGNERS_MAX];
};

void sessions_done(struct authority *a);
/* The session whose token this is, if it is valid now; else NULL. */
struct key *sessions_find(struct authority *a, struct span token, uint64_t now_s);
/*
 * It is no session's that is here: might the store know it? A key of ours has signed it, it is not
 * over, and nothing that is here says that it has ended.
 */
bool sessions_may_be(struct authority *a, struct span token, uint64_t now_s);
void sessions_tick(struct authority *a);
/* End the sessions of a key, or of a user: nothing of theirs is taken any more. */
void sessions_end_of_key(struct authority *a, const struct key *parent);
/* a->d->conf is another: those end, on record and in the store, whose issuer or entry is not in it.
 */
void sessions_config(struct authority *a);
/*
 * Clients' lists are these: where they revoke more than before, those end, on record and in the
 * store, that were made of a certificate until then: which one it was nobody knows any more.
 */
void sessions_revocations(struct authority *a, const struct ctl_revocations *m);
/* That session; NULL: there is none such, live, of that tenant (empty: any). */
struct session *sessions_by_id(struct authority *a, struct span id, struct span tenant);
/* State: its end is durable, or follows from what is. */
void session_end(struct authority *a, struct session *s);

/* ---- for those who make them: session_exchange.c ---- */
MUST_USE struct status sessions_ready(struct sessions *t);
/*
 * One more, `s` is the table's from now on, or was freed. False: its parent is not valid, or its
 * issuer or entry is configured no more: then it ends in the store, too.
 */
bool session_insert(struct authority *a, struct session *s);
void session_free(struct session *s);
/*
 * Begin to make `s`: it counts from now on. A user has so many: *ret_ends is the one that goes for
 * it, and for no other; NULL: there is room. E_FULL: each of them goes for another one.
 */
MUST_USE struct status session_begin(
    struct authority *a, struct session *s, struct session **ret_ends);
/* That is over, one way or the other; `ends` (may be NULL) stays if it is still there. */
void session_begun(struct authority *a, struct session *s, struct session *ends);
/* No tenant takes the others' room. */
bool sessions_have_room(const struct authority *a, struct span tenant);
void sessions_on_token(struct link *l, uint64_t id, const void *msg, void *ctx);

/* ---- session_leave.c: whose issuer or entry is configured no more ---- */
/* It is refused from now on, and ends when that is on record. State: live. */
void session_leave(struct authority *a, struct session *s);
/* Those, on record; where it cannot be now, the next tick does it. */
void sessions_record_leaving(struct authority *a);
/* The store is to be told of its end. */
void session_keep_until_told(struct authority *a, struct session *s);

/* ---- of a LOAD ---- */
/* E_NOTFOUND: its key is not there; E_NOMEM, E_FULL; errors of scope_parse(). */
MUST_USE struct status sessions_load(struct authority *a, const struct as_session *m);
/* What it did not name has ended. */
void sessions_load_end(struct authority *a);

/* ---- signers.c ---- */
/* E_FULL, E_NOMEM, E_CRYPTO. */
MUST_USE struct status signers_put(struct sessions *t, uint32_t version, uint64_t created_s,
    const uint8_t key[AS_SECRET_LEN], uint32_t load);
/* NULL: none is loaded. */
const struct token_signer *signers_newest(const struct sessions *t);
/* Has that version signed the token? */
bool signers_verify(const struct sessions *t, uint32_t version, struct span token);
/* Has any? */
bool signers_verify_any(const struct sessions *t, struct span token);
/* Those that a LOAD did not name go. */
void signers_load_end(struct sessions *t, uint32_t load);
/* Those that no live session needs go, but for the newest. */
void signers_retire(struct sessions *t);
void signers_done(struct sessions *t);

#endif
