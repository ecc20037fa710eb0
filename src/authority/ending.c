/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ending.c: turns that end because we say so: revoked, over their time, or
 * because a process that they need is gone.
 *
 * Runs in: authority. Trusts: nothing. Owns: nothing.
 * Invariants: limits are given back when nothing of the turn runs any more, or
 * after ACK_WAIT_MS; every intent gets its outcome, from here or, when the
 * audit link broke, from the audit process itself.
 * See: turn.h.
 */
#include "authority.h"

static void on_ack(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_revoked(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static struct status closing_append(struct turn *t);

static uint32_t
call(struct turn *t, struct link *l, uint16_t type, const void *msg)
{
	struct status st;

	if (l == NULL)
		return 0;
	st = link_call(l, type, msg, ACK_WAIT_MS, on_ack, t, NULL);
	return is_ok(st) ? 1 : 0;
}

uint32_t
ending_call_executor(struct turn *t)
{
	const struct turn_ref ref = { .turn = t->id };
	bool needed = t->lease || turn_runs_open_of(t, false);

	t->lease = false;
	return needed ? call(t, t->a->executor.link, AE_TURN_END, &ref) : 0;
}

uint32_t
ending_call_store(struct turn *t)
{
	const struct turn_ref ref = { .turn = t->id };

	return turn_runs_open_of(t, true) ? call(t, t->a->store.link, AS_TURN_END, &ref) : 0;
}

uint32_t
ending_call_broker(struct turn *t)
{
	const struct turn_ref ref = { .turn = t->id };

	return turn_model_runs(t) ? call(t, t->a->broker.link, AB_TURN_END, &ref) : 0;
}

static void
on_ack(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct turn *t = ctx;

	(void)l, (void)type, (void)msg;
	if (!is_ok(st))
		turn_runs_doubt(t);
	if (!is_ok(st) && turn_model_runs(t))
		t->model_call.unknown = true;
	if (--t->acks == 0)
		(void)turn_event(t, TURN_EV_ACKS, NULL);
}

static void
on_revoked(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct turn *t = ctx;

	(void)st;
	t->revoke_call = 0;
	on_ack(l, OK, type, msg, ctx);
}

bool
end_running(struct turn *t, const struct turn_arg *arg)
{
	const struct ga_revoke m = { .turn = t->id, .error = (uint16_t)arg->error };

	turn_answer(t, arg->error);
	step_refuse_waiting(t, arg->error);
	t->end_error = arg->error;
	t->end_cause = arg->cause;
	t->state = TURN_ENDING;
	t->wait_until_ms = UINT64_MAX;
	if (t->gw != NULL && t->told &&
	    is_ok(
		link_call(t->gw->link, GA_REVOKE, &m, ACK_WAIT_MS, on_revoked, t, &t->revoke_call)))
		t->acks++;
	t->acks += ending_call_broker(t);
	t->acks += ending_call_executor(t);
	t->acks += ending_call_store(t);
	return t->acks > 0 ? true : ending_acks(t, arg);
}

/* A gateway that does not settle keeps neither limits nor leases. */
bool
end_expired(struct turn *t, const struct turn_arg *arg)
{
	const struct turn_arg late = { .error = ERROR_TURN_LIMIT, .cause = AUDIT_TIMEOUT };

	(void)arg;
	return end_running(t, &late);
}

/* Nothing runs any more. */
bool
ending_acks(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	if (turn_model_runs(t)) {
		t->model_call.done = t->model_call.unknown = true;
		t->model_call.cause = t->end_cause;
	}
	turn_runs_end(t, true, ERROR_NONE, t->end_cause);
	turn_release(t);
	if (t->append == APPEND_NONE)
		closing_begin(t);
	return true;
}

/* Intents whose grant was never made. */
static void
never_granted(struct turn *t)
{
	for (size_t i = 0; i < turn_run_count(t); i++) {
		struct run *r = turn_run_at(t, i);

		if (!r->open || r->done || r->granted)
			continue;
		r->done = true;
		r->error = t->end_error;
		r->cause = t->end_cause;
	}
}

/* The append that was under way when the turn ended. */
bool
ending_append(struct turn *t, const struct turn_arg *arg)
{
	if (arg->first_seq != 0)
		turn_note_durable(t, arg->first_seq);
	else if (t->append == APPEND_ADMIT)
		t->run.open = false; /* nothing was written, so there is nothing to close */
	t->append = APPEND_NONE;
	turn_runs_recorded(t, false);
	never_granted(t);
	if (t->model_call.open && !t->model_call.done) {
		t->model_call.done = true;
		t->model_call.error = t->end_error;
		t->model_call.cause = t->end_cause;
	}
	if (t->acks == 0)
		closing_begin(t);
	return true;
}

bool
ending_expired(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	t->wait_until_ms = UINT64_MAX;
	return true;
}

/* A STEP or SETTLE that crossed our REVOKE. */
static bool
late(struct turn *t, uint16_t reply_type, uint64_t id)
{
	turn_expect(t, reply_type, id);
	turn_answer(t, t->end_error != ERROR_NONE ? t->end_error : ERROR_CANCELLED);
	return true;
}

bool
ending_late_step(struct turn *t, const struct turn_arg *arg)
{
	return late(t, GA_GRANTED, arg->id);
}

bool
ending_late_settle(struct turn *t, const struct turn_arg *arg)
{
	return late(t, GA_SETTLED, arg->id);
}

/* ---- the last records ---- */

static bool
intents_open(const struct turn *t)
{
	return (t->intent_seq != 0 || turn_runs_unrecorded(t) || t->model_call.open) &&
	       !turn_intents_lost(t);
}

void
closing_begin(struct turn *t)
{
	turn_release(t);
	t->state = TURN_CLOSING;
	t->wait_until_ms = UINT64_MAX;
	if (intents_open(t)) {
		if (!is_ok(closing_append(t)))
			t->wait_until_ms = now_ms(t->a) + RETRY_MS;
		return;
	}
	if (t->acks == 0)
		turn_free(t);
}

static enum audit_outcome
closing_outcome(const struct turn *t)
{
	if (t->end_cause == AUDIT_REVOKED)
		return AUDIT_DENIED;
	if (t->end_cause == AUDIT_PROCESS_DIED || t->end_cause == AUDIT_TIMEOUT)
		return AUDIT_UNKNOWN;
	return AUDIT_FAILURE;
}

static struct status
closing_append(struct turn *t)
{
	const char *kind;
	struct span resource = turn_resource(t, &kind);
	struct batch b = { .n = 0 };
	struct record_who who;

	TRY(turn_who(t, &who));
	turn_put_run_outcomes(t, &b, &who, true);
	if (t->model_call.open)
		turn_put_model_outcome(t, &b, &who);
	if (t->end_error != ERROR_NONE)
		turn_put_error(&b, &who, t->end_error, resource, kind);
	if (t->intent_seq != 0) {
		(void)batch_add(&b, EVENT_RESPONSE_RETURNED, &who, "model", resource);
		batch_closes(&b, t->intent_seq);
		batch_outcome(&b, closing_outcome(t), t->end_cause);
		batch_nulls(&b, 2);
		batch_u64(&b, error_rows[t->end_error].http);
		batch_nulls(&b, 4);
	}
	return turn_append_batch(t, &b, APPEND_CLOSE);
}

bool
closing_durable(struct turn *t, const struct turn_arg *arg)
{
	turn_note_durable(t, arg->first_seq);
	t->wait_until_ms = UINT64_MAX;
	if (t->acks == 0)
		turn_free(t);
	return true;
}

bool
closing_acks(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	if (t->append == APPEND_NONE && !intents_open(t))
		turn_free(t);
	return true;
}

/* Refused: again, until it is written or the link breaks and audit closes it. */
bool
closing_refused(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	t->append = APPEND_NONE;
	turn_runs_recorded(t, false);
	t->wait_until_ms = now_ms(t->a) + RETRY_MS;
	return true;
}

bool
closing_expired(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	if (t->append == APPEND_NONE)
		closing_begin(t);
	else
		t->wait_until_ms = UINT64_MAX;
	return true;
}
