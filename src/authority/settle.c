/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settle.c: the end of a turn as its gateway tells it.
 *
 * Runs in: authority. Trusts: the gateway's token counts no further than
 * TOKENS_MAX. Owns: nothing.
 * Invariants: SETTLED comes after the durable ResponseReturned; nothing of the
 * turn runs any more when its limits are given back.
 * See: turn.h.
 */
#include "authority.h"

static void settle_continue(struct turn *t);
static struct status settle_append(struct turn *t);

bool
settle_begin(struct turn *t, const struct turn_arg *arg)
{
	const struct ga_settle *m = arg->msg;

	turn_expect(t, GA_SETTLED, arg->id);
	t->end_error = (enum error)m->error;
	t->end_cause = m->error == ERROR_CANCELLED ? AUDIT_CANCELLED : AUDIT_CAUSE_NONE;
	t->tokens_out = m->tokens_out > TOKENS_MAX ? TOKENS_MAX : m->tokens_out;
	t->tokens_estimated = m->estimated != 0;
	if (!t->run.open || t->run.done) {
		settle_continue(t);
		return true;
	}
	/* Its outcome is on its way, or its grant was never used: this ends both doubts. */
	t->state = TURN_SETTLE_WAIT;
	t->wait_until_ms = UINT64_MAX;
	t->acks += ending_call_executor(t);
	if (t->acks == 0)
		settle_continue(t);
	return true;
}

bool
settle_waited(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	if (t->run.done || t->acks == 0)
		settle_continue(t);
	return true;
}

/* Only an interrupted wait gets here without `done`: then the run never was. */
static void
settle_continue(struct turn *t)
{
	if (t->run.open && !t->run.done) {
		t->run.done = true;
		t->run.error = ERROR_CANCELLED;
		t->run.cause = t->run.unknown ? AUDIT_TIMEOUT : AUDIT_CANCELLED;
	}
	t->state = TURN_SETTLE_AUDIT;
	if (!turn_intents_lost(t) && is_ok(settle_append(t)))
		return;
	turn_answer(t, ERROR_AUDIT_UNAVAILABLE);
	closing_begin(t);
}

static struct status
settle_append(struct turn *t)
{
	bool chat = turn_asks_model(t);
	struct span resource = span_str(chat ? t->model : t->tool);
	struct batch b = { .n = 0 };
	struct record_who who;

	TRY(turn_who(t, &who));
	if (t->run.open)
		turn_put_run_outcome(t, &b, &who);
	if (t->end_error != ERROR_NONE)
		turn_put_error(&b, &who, t->end_error, resource, chat ? "model" : "tool");
	(void)batch_add(&b, EVENT_RESPONSE_RETURNED, &who, chat ? "model" : "tool", resource);
	if (chat)
		batch_closes(&b, t->intent_seq);
	batch_outcome(&b, t->end_error == ERROR_NONE ? AUDIT_SUCCESS : AUDIT_FAILURE, t->end_cause);
	batch_u64(&b, chat ? t->tokens_out : 0);
	batch_bool(&b, chat && t->tokens_estimated);
	batch_u64(&b, error_rows[t->end_error].http);
	return turn_append_batch(t, &b, APPEND_SETTLE);
}

/* The lease goes; so does a model call that the gateway left running. */
static void
let_go(struct turn *t)
{
	const struct turn_ref ref = { .turn = t->id };
	struct authority *a = t->a;

	if (t->lease && a->executor.link != NULL &&
	    !is_ok(link_send(a->executor.link, 0, AE_TURN_END, &ref)))
		diag(DIAG_WARN, "executor: the end of a turn could not be sent");
	if (t->model_open && a->broker.link != NULL &&
	    !is_ok(link_send(a->broker.link, 0, AB_TURN_END, &ref)))
		diag(DIAG_WARN, "broker: the end of a turn could not be sent");
	t->lease = t->model_open = false;
}

bool
settle_durable(struct turn *t, const struct turn_arg *arg)
{
	turn_note_durable(t, arg->first_seq);
	let_go(t);
	turn_release(t);
	turn_answer(t, ERROR_NONE);
	if (t->acks > 0) { /* the executor's answer to TURN_END still names this turn */
		t->state = TURN_CLOSING;
		t->wait_until_ms = UINT64_MAX;
		return true;
	}
	turn_free(t);
	return true;
}

bool
settle_refused(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	t->append = APPEND_NONE;
	let_go(t);
	turn_answer(t, ERROR_AUDIT_UNAVAILABLE);
	closing_begin(t);
	return true;
}

bool
settle_expired(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	let_go(t);
	turn_release(t);
	turn_answer(t, ERROR_AUDIT_UNAVAILABLE);
	t->wait_until_ms = UINT64_MAX;
	return true;
}

/* It ends already; only the one who waits may be gone. */
bool
settle_end(struct turn *t, const struct turn_arg *arg)
{
	if (turn_intents_lost(t))
		turn_answer(t, arg->error);
	return true;
}
