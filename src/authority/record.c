/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c: audit records, and the sealing of source addresses.
 *
 * Runs in: authority. Trusts: nothing; texts of clients are only ever names
 * that the configuration knows. Owns: the day's key, a cache of sealed texts.
 * Invariants: a record has exactly the values of its event's row, each of the
 * row's kind (abort: it would be our own fault).
 * See: record.h, wire/audit_event.h.
 */
#include "record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <crypto/hash.h>
#include <crypto/seal.h>

#define DAY_USER UINT32_MAX
#define SEAL_INFO "sallyport source_ip v1"
#define SEAL_AAD "source_ip"

static size_t
fields_of(uint8_t event)
{
	size_t n = 0;

	while (n < AUDIT_VALUES_MAX && audit_events[event].fields[n].name != NULL)
		n++;
	return n;
}

static void
last_is_whole(const struct batch *b)
{
	if (b->n > 0)
		assert(b->recs[b->n - 1].values.count == fields_of(b->recs[b->n - 1].event));
}

struct audit_rec *
batch_add(struct batch *b, enum audit_event event, const struct record_who *who, const char *kind,
    struct span resource)
{
	struct audit_rec *r = &b->recs[b->n];
	int len;

	last_is_whole(b);
	assert(b->n < AUDIT_BATCH_MAX);
	*r = (struct audit_rec){ .event = (uint8_t)event,
		.outcome = AUDIT_SUCCESS,
		.source_ip = who->source,
		.config = who->config };
	if (who->request_id != NULL)
		memcpy(r->request_id, who->request_id, REQUEST_ID_LEN);
	if (who->key != NULL) {
		memcpy(r->subject, who->key->user->subject, SUBJECT_LEN);
		memcpy(r->key, who->key->pseudonym, SUBJECT_LEN);
	}
	len = snprintf(b->resource[b->n], RESOURCE_MAX, "%s:%.*s", kind, SPAN_FMT(resource));
	assert(len > 0 && len < RESOURCE_MAX);
	r->resource = span_of(b->resource[b->n], (size_t)len);
	r->values.items = b->values[b->n];
	b->ndigests[b->n] = 0;
	b->n++;
	return r;
}

void
batch_intent(struct batch *b)
{
	b->recs[b->n - 1].phase = AUDIT_PHASE_INTENT;
	b->recs[b->n - 1].outcome = AUDIT_OUTCOME_NONE;
}

void
batch_outcome(struct batch *b, enum audit_outcome outcome, enum audit_cause cause)
{
	b->recs[b->n - 1].outcome = (uint8_t)outcome;
	b->recs[b->n - 1].cause = (uint8_t)cause;
}

void
batch_closes(struct batch *b, uint64_t seq)
{
	b->recs[b->n - 1].phase = AUDIT_PHASE_OUTCOME;
	b->recs[b->n - 1].intent_seq = seq;
}

static struct audit_value *
value_add(struct batch *b, enum audit_value_kind kind)
{
	struct audit_rec *r = &b->recs[b->n - 1];
	struct audit_value *v = &b->values[b->n - 1][r->values.count];

	assert(r->values.count < fields_of(r->event));
	assert(kind == AUDIT_V_NULL || audit_events[r->event].fields[r->values.count].kind == kind);
	r->values.count++;
	*v = (struct audit_value){ .kind = (uint8_t)kind };
	return v;
}

void
batch_str(struct batch *b, struct span s)
{
	struct audit_value *v = value_add(b, AUDIT_V_STR);

	v->str = span_of(s.ptr, s.len > AUDIT_STR_MAX ? AUDIT_STR_MAX : s.len);
}

void
batch_text(struct batch *b, const char *s)
{
	batch_str(b, span_str(s));
}

void
batch_u64(struct batch *b, uint64_t n)
{
	value_add(b, AUDIT_V_U64)->num = n;
}

void
batch_str_if(struct batch *b, struct span s)
{
	if (s.len > 0)
		batch_str(b, s);
	else
		batch_null(b);
}

void
batch_u64_if(struct batch *b, uint64_t v)
{
	if (v > 0)
		batch_u64(b, v);
	else
		batch_null(b);
}

void
batch_bool(struct batch *b, bool v)
{
	value_add(b, AUDIT_V_BOOL)->num = v;
}

void
batch_digest(struct batch *b, const uint8_t digest[DIGEST_LEN])
{
	char *hex;

	assert(b->ndigests[b->n - 1] < DIGESTS_MAX);
	hex = b->hex[b->n - 1][b->ndigests[b->n - 1]++];
	hex_encode(span_of(digest, DIGEST_LEN), hex);
	batch_str(b, span_of(hex, sizeof(b->hex[0][0])));
}

void
batch_null(struct batch *b)
{
	(void)value_add(b, AUDIT_V_NULL);
}

void
batch_nulls(struct batch *b, unsigned n)
{
	while (n-- > 0)
		batch_null(b);
}

struct aa_append
batch_finish(struct batch *b, uint64_t first_proc_seq)
{
	last_is_whole(b);
	for (uint32_t i = 0; i < b->n; i++)
		b->recs[i].proc_seq = first_proc_seq + i;
	return (struct aa_append){ .records = { b->recs, b->n } };
}

/* ---- sealed sources ---- */

struct status
sealer_init(struct sealer *s)
{
	*s = (struct sealer){ .epoch = 1 };
	s->cache = calloc(SOURCE_CACHE_MAX, sizeof(s->cache[0]));
	if (s->cache == NULL)
		return fail(E_NOMEM);
	TRY(secret_new(AS_SECRET_LEN, &s->day_key));
	TRY(secret_new(AS_SECRET_LEN, &s->next_day_key));
	return secret_new(SEAL_KEY_LEN, &s->work);
}

void
sealer_done(struct sealer *s)
{
	free(s->cache);
	secret_done(&s->day_key);
	secret_done(&s->next_day_key);
	secret_done(&s->work);
	s->cache = NULL;
}

void
sealer_forget(struct sealer *s)
{
	s->epoch++;
}

struct status
sealer_set_day(
    struct sealer *s, const uint8_t day[AS_DAY_LEN], const uint8_t key[AS_SECRET_LEN], bool is_next)
{
	char *name = is_next ? s->next_day : s->day;

	TRY(span_to_cstr(span_of(day, AS_DAY_LEN), name, AS_DAY_LEN + 1));
	memcpy((is_next ? &s->next_day_key : &s->day_key)->ptr, key, AS_SECRET_LEN);
	if (!is_next)
		sealer_forget(s);
	return OK;
}

bool
sealer_turn_day(struct sealer *s, const char *today)
{
	if (strcmp(s->day, today) == 0 || strcmp(s->next_day, today) != 0)
		return false;
	memcpy(s->day, s->next_day, sizeof(s->day));
	memcpy(s->day_key.ptr, s->next_day_key.ptr, AS_SECRET_LEN);
	sealer_forget(s);
	return true;
}

static struct sealed_source *
cache_slot(const struct sealer *s, uint32_t user, const uint8_t source[SOURCE_LEN])
{
	uint64_t h = user;

	for (size_t i = 0; i < SOURCE_LEN; i++)
		h = (h ^ source[i]) * 0x9e3779b97f4a7c15ULL;
	return &s->cache[(h >> 40) % SOURCE_CACHE_MAX];
}

static struct status
seal_source(struct sealer *s, struct span key, struct sealed_source *slot)
{
	auto_buf struct buf blob = BUF_INIT(256);
	auto_buf struct buf text = BUF_INIT(SOURCE_TEXT_MAX);

	TRY(hkdf_sha256(key, SPAN_EMPTY, SPAN_LIT(SEAL_INFO), s->work.ptr, s->work.len));
	TRY(seal(&s->work, SPAN_LIT(SEAL_AAD), span_of(slot->source, SOURCE_LEN), &blob));
	TRY(base64_encode(buf_span(&blob), &text));
	memcpy(slot->text, text.ptr, text.len);
	slot->len = (uint16_t)text.len;
	return OK;
}

struct status
sealer_source(
    struct sealer *s, const struct user *user, const uint8_t source[SOURCE_LEN], struct span *ret)
{
	uint32_t serial = user == NULL ? DAY_USER : user->serial;
	struct sealed_source *slot = cache_slot(s, serial, source);
	struct span key = user == NULL ? secret_borrow(&s->day_key)
				       : span_of(user->subject_key, AS_SECRET_LEN);

	if (slot->epoch != s->epoch || slot->user != serial ||
	    memcmp(slot->source, source, SOURCE_LEN) != 0) {
		if (user == NULL && s->day[0] == '\0')
			return fail(E_DENIED);
		slot->epoch = 0;
		slot->user = serial;
		memcpy(slot->source, source, SOURCE_LEN);
		TRY(seal_source(s, key, slot));
		slot->epoch = s->epoch;
	}
	*ret = span_of(slot->text, slot->len);
	return OK;
}
