/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admit_failures.c: credentials that are none, on record or counted.
 *
 * Runs in: authority. Trusts: the gateway for the source and for how often; what it refused itself
 * was never looked up. Owns: nothing; the counters are failures.c's.
 * Invariants: a source has one record for each failure up to the limit, and one for many
 * beyond it; what could not be written is counted again and told later.
 * See: failures.h; admit.c.
 */
#include "authority.h"

/* Why it was no key is nobody's business; what was wrong with a token is told. */
static void
put_failure(struct batch *b, const struct record_who *who, const char *method, enum jwt_fault fault)
{
	(void)batch_add(b, EVENT_AUTHENTICATION, who, "endpoint", SPAN_LIT("none"));
	batch_outcome(b, AUDIT_DENIED, AUDIT_CAUSE_NONE);
	batch_text(b, method);
	batch_bool(b, false);
	if (fault == JWT_FAULT_NONE)
		batch_null(b);
	else
		batch_text(b, jwt_fault_name(fault));
}

void
admit_refuse_unknown(struct gateway *gw, uint16_t reply_type, uint64_t id, const uint8_t *source,
    const uint8_t *request_id)
{
	struct authority *a = gw->a;
	struct batch b = { .n = 0 };
	struct record_who who;
	struct turn *t;
	struct status st;

	daemon_metric_add(METRIC_AUTH_FAILURES, 1);
	if (!failures_note(
		&a->failures, source, 1, a->policies.auth_failures_per_s, now_ms(a) / 1000)) {
		admit_send_error(gw, reply_type, id, ERROR_INVALID_KEY);
		return;
	}
	st = turn_new(gw, NULL, &t);
	if (!is_ok(st)) {
		admit_send_error(gw, reply_type, id, ERROR_OVERLOADED);
		return;
	}
	memcpy(t->source, source, sizeof(t->source));
	memcpy(t->request_id, request_id, sizeof(t->request_id));
	turn_expect(t, reply_type, id);
	t->state = TURN_ANSWERING;
	t->error = ERROR_INVALID_KEY;
	st = turn_who(t, &who);
	if (is_ok(st)) {
		put_failure(&b, &who, principal_tried(a), a->oidc->fault);
		st = turn_append_batch(t, &b, APPEND_ANSWER);
	}
	if (!is_ok(st)) {
		turn_answer(t, ERROR_AUDIT_UNAVAILABLE);
		turn_free(t);
	}
}

/* What was not written is counted again, and told in a later record. */
static void
counted_done(struct authority *a, void *ctx, struct status st, uint64_t first_seq)
{
	(void)first_seq;
	if (!is_ok(st))
		a->failures.others += (uintptr_t)ctx;
}

static bool
emit_counted(void *ctx, const uint8_t *source, uint64_t count, uint64_t window_ms)
{
	struct authority *a = ctx;
	struct record_who who = { .config = a->d->generation };
	struct batch b = { .n = 0 };

	if (!audit_is_writable(a) || !a->loaded)
		return false;
	if (source != NULL && !is_ok(sealer_source(&a->sealer, NULL, source, &who.source)))
		return false;
	(void)batch_add(&b, EVENT_AUTHENTICATION_FAILURES, &who, "endpoint", SPAN_LIT("none"));
	batch_outcome(&b, AUDIT_DENIED, AUDIT_CAUSE_NONE);
	batch_text(&b, "api_key");
	batch_u64(&b, count);
	batch_u64(&b, window_ms);
	return is_ok(audit_append(a, &b, counted_done, (void *)(uintptr_t)count));
}

void
admit_tick(struct authority *a)
{
	failures_flush(&a->failures, now_ms(a), emit_counted, a);
}

/* What the gateway refused itself: the answers are out already. */
void
admit_on_failures(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct gateway *gw = ctx;
	struct authority *a = gw->a;
	const struct ga_failures *m = msg;
	struct record_who who = { .config = a->d->generation };
	struct batch b = { .n = 0 };

	(void)l, (void)id;
	daemon_metric_add(METRIC_AUTH_FAILURES, m->count);
	if (m->count == 0 || !failures_note(&a->failures, m->source, m->count,
				 a->policies.auth_failures_per_s, now_ms(a) / 1000))
		return;
	if (audit_is_writable(a) && a->loaded &&
	    is_ok(sealer_source(&a->sealer, NULL, m->source, &who.source))) {
		put_failure(&b, &who, "api_key", JWT_FAULT_NONE);
		if (is_ok(audit_append(a, &b, counted_done, (void *)(uintptr_t)1)))
			return;
	}
	failures_count(&a->failures, m->source, 1, now_ms(a) / 1000);
}
