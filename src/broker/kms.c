/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kms.c: the store's questions about its key-encryption keys, and what became of them.
 *
 * Runs in: broker. Trusts: the store, for what it wants wrapped; not for by what.
 * Owns: the questions under way, with what is to be wrapped or was unwrapped.
 * Invariants: only keys that the configuration names are used; nothing is asked of Vault or KMS
 * before the intent is on record, and no answer leaves before its end is; each question is answered
 * once, or its store is gone; keys lie in struct secret, and are wiped with the question.
 * See: wire/store_broker.h; access.h, source.h; vault_transit.c, aws_kms.c.
 */
#include "kms.h"

#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <wire/store_broker.h>

#include "access.h"
#include "broker.h"
#include "credentials.h"

struct kms_ask {
	LIST_ENTRY(kms_ask) entry;
	struct broker *b;
	uint64_t id; /* of the store's call */
	struct access *access;
	const struct source_ops *ops; /* that work on it; NULL: it is not begun */
	void *source;
	struct source_job job;
	struct secret data, answer;
	char version[SECRET_VERSION_MAX + 1];
	char state[2 * SB_STATE_LEN + 1];
	char reference[SECRET_REF_MAX + 1];
};

/* What a type of question is to a source, and on record. */
static const struct {
	enum lifetime_op op;
	enum secret_why why;
} acts[] = {
	[SB_WRAP] = { LIFETIME_WRAP, SECRET_WRAP },
	[SB_UNWRAP] = { LIFETIME_UNWRAP, SECRET_UNWRAP },
	[SB_REWRAP] = { LIFETIME_REWRAP, SECRET_REWRAP },
};

static void on_begun(void *ctx, struct status st);
static void on_done(struct source_job *job, struct source_result *r);
static void on_recorded(void *ctx, struct status st);

/* ---- the end ---- */
static void
ask_free(struct kms_ask *k)
{
	LIST_REMOVE(k, entry);
	k->b->kms.n--;
	secret_done(&k->data);
	secret_done(&k->answer);
	free(k);
}

static void
reply(struct link *l, uint64_t id, enum secret_fault fault, uint32_t retry_after_ms,
    struct span answer)
{
	const struct sb_kek m = {
		.fault = (uint8_t)fault, .retry_after_ms = retry_after_ms, .answer = answer
	};

	if (l != NULL && !is_ok(link_send(l, id, SB_KEK, &m)))
		diag(DIAG_WARN, "the store does not read its answers");
	if (l != NULL)
		link_flush(l);
}

static void
finish(struct kms_ask *k, enum secret_fault fault, uint32_t retry_after_ms)
{
	reply(k->b->store, k->id, fault, retry_after_ms,
	    fault == SECRET_FAULT_NONE ? secret_borrow(&k->answer) : SPAN_EMPTY);
	ask_free(k);
}

/* ---- on record ---- */
static void
record_failure(struct kms_ask *k, enum secret_fault fault, uint32_t retry_after_ms)
{
	struct ab_secret_ended m = { .fault = (uint8_t)fault };
	struct access *a = k->access;

	k->access = NULL;
	if (a != NULL && !is_ok(access_end(a, &m, NULL, NULL, NULL)))
		diag(DIAG_WARN, "the end of an access to a key could not be told");
	finish(k, fault, retry_after_ms);
}

static void
on_recorded(void *ctx, struct status st)
{
	struct kms_ask *k = ctx;

	k->access = NULL;
	finish(k, is_ok(st) ? SECRET_FAULT_NONE : SECRET_UNRECORDED, 0);
}

static void
record_answer(struct kms_ask *k)
{
	struct ab_secret_ended m = { .version = span_str(k->version) };
	struct access *a = k->access;

	k->access = NULL;
	if (!is_ok(access_end(a, &m, on_recorded, k, &k->access)))
		finish(k, SECRET_UNRECORDED, 0);
}

/* ---- the work ---- */
static bool
answer_ok(const struct kms_ask *k)
{
	if (k->job.op == LIFETIME_UNWRAP)
		return k->answer.len == SB_KEY_LEN;
	return k->answer.len > 0 && k->answer.len <= SB_CIPHERTEXT_MAX;
}

static void
on_done(struct source_job *job, struct source_result *r)
{
	struct kms_ask *k = (struct kms_ask *)(void *)((char *)job - offsetof(struct kms_ask, job));

	k->ops = NULL;
	if (r->fault != SECRET_FAULT_NONE) {
		record_failure(k, r->fault, r->retry_after_ms);
		return;
	}
	k->answer = secret_take(&r->value);
	if (!is_ok(span_to_cstr(span_str(r->reading.version), k->version, sizeof(k->version))))
		k->version[0] = '\0';
	if (answer_ok(k))
		record_answer(k);
	else
		record_failure(k, SECRET_INVALID, 0);
}

static void
on_begun(void *ctx, struct status st)
{
	struct kms_ask *k = ctx;
	const struct sources *s = k->b->sources;

	if (!is_ok(st)) {
		k->access = NULL;
		finish(k, SECRET_UNRECORDED, 0);
		return;
	}
	k->ops = s == NULL ? NULL : s->by[k->job.ref.source].ops;
	k->source = s == NULL ? NULL : s->by[k->job.ref.source].source;
	if (k->ops != NULL && is_ok(k->ops->start(k->source, &k->job)))
		return;
	k->ops = NULL;
	record_failure(k, SECRET_FAILED, 0);
}

/* ---- a question ---- */
/* The store names it; that it may be used says the configuration. */
static bool
is_configured(const struct broker *b, struct span reference)
{
	static const char *const keys[] = { "store.kek", "store.kek_before" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *is = conf_str(b->d->conf, keys[i]);

		if (is != NULL && span_eq_str(reference, is))
			return true;
	}
	return false;
}

static struct status
set_reference(struct kms_ask *k, struct span reference)
{
	struct kek_reference r;
	const char *why;

	TRY(span_to_cstr(reference, k->reference, sizeof(k->reference)));
	TRY(kek_reference_parse(span_str(k->reference), &r, &why));
	if (r.by == KEK_LOCAL || !is_configured(k->b, reference))
		return fail(E_DENIED);
	k->job.ref.source = r.by == KEK_VAULT ? REFERENCE_VAULT : REFERENCE_AWS;
	k->job.ref.place = r.place;
	return OK;
}

static struct status
set_job(
    struct kms_ask *k, enum sb_type type, struct span data, const uint8_t *state, uint64_t version)
{
	TRY(secret_from_span(data, &k->data));
	hex_encode(span_of(state, SB_STATE_LEN), k->state);
	k->job.op = acts[type].op;
	k->job.version = "";
	k->job.lease = "";
	k->job.done = on_done;
	k->job.kms = (struct source_kms){ secret_borrow(&k->data), k->state, version };
	return OK;
}

static struct status
begin(struct kms_ask *k, enum sb_type type)
{
	const struct ab_secret_begin m = { .act = SECRET_ACT_READ,
		.reference = span_str(k->reference),
		.why = (uint8_t)acts[type].why };

	return access_begin(k->b, &m, on_begun, k, &k->access);
}

static void
on_ask(struct broker *b, uint64_t id, enum sb_type type, const struct sb_unwrap *m)
{
	struct kms_ask *k = b->kms.n < KMS_ASKS_MAX ? calloc(1, sizeof(*k)) : NULL;
	struct status st;

	if (k == NULL) {
		reply(b->store, id, SECRET_FAILED, 0, SPAN_EMPTY);
		return;
	}
	k->b = b;
	k->id = id;
	LIST_INSERT_HEAD(&b->kms.asks, k, entry);
	b->kms.n++;
	st = set_reference(k, m->reference);
	if (!is_ok(st)) {
		finish(k, SECRET_DENIED, 0);
		return;
	}
	st = set_job(k, type, m->ciphertext, m->state, m->version);
	if (!is_ok(st))
		finish(k, SECRET_FAILED, 0);
	else if (!is_ok(begin(k, type)))
		finish(k, SECRET_UNRECORDED, 0);
}

static void
on_wrap(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct sb_wrap *m = msg;
	struct sb_unwrap as = { .reference = m->reference,
		.version = m->version,
		.ciphertext = span_of(m->key, SB_KEY_LEN) };

	(void)l;
	memcpy(as.state, m->state, SB_STATE_LEN);
	on_ask(ctx, id, SB_WRAP, &as);
}

static void
on_unwrap(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l;
	on_ask(ctx, id, SB_UNWRAP, msg);
}

static void
on_rewrap(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l;
	on_ask(ctx, id, SB_REWRAP, msg);
}

const struct link_rule kms_rules[] = {
	{ SB_WRAP, 0, on_wrap },
	{ SB_UNWRAP, 0, on_unwrap },
	{ SB_REWRAP, 0, on_rewrap },
};
const size_t kms_rule_count = sizeof(kms_rules) / sizeof(kms_rules[0]);

/* ---- what goes away ---- */
static void
give_up(struct kms_ask *k)
{
	if (k->ops != NULL)
		k->ops->cancel(&k->job);
	access_give_up(k->access);
	k->ops = NULL;
	k->access = NULL;
}

void
kms_forget(struct broker *b)
{
	struct kms_ask *k;

	while ((k = LIST_FIRST(&b->kms.asks)) != NULL) {
		give_up(k);
		ask_free(k);
	}
}

void
kms_source_changed(struct broker *b, enum reference_source source)
{
	struct kms_ask *k, *next;

	for (k = LIST_FIRST(&b->kms.asks); k != NULL; k = next) {
		next = LIST_NEXT(k, entry);
		if (k->ops == NULL || k->job.ref.source != source)
			continue;
		give_up(k);
		finish(k, SECRET_UNREACHABLE, 0);
	}
}
