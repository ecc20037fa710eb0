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

static uint32_t
at_most(uint32_t n, uint32_t max)
{
	return n < max ? n : max;
}

/* No part is more than what it is a part of. */
static void
take_tokens(struct turn *t, const struct ga_settle *m)
{
	t->tokens_in = at_most(m->tokens_in, TOKENS_MAX);
	t->tokens_out = at_most(m->tokens_out, TOKENS_MAX);
	t->tokens_estimated = m->estimated != 0;
	t->tokens_cached = at_most(m->tokens_cached, t->tokens_in);
	t->tokens_cache_written = at_most(m->tokens_cache_written, t->tokens_in - t->tokens_cached);
	t->tokens_reasoning = at_most(m->tokens_reasoning, t->tokens_out);
}

bool
settle_begin(struct turn *t, const struct turn_arg *arg)
{
	const struct ga_settle *m = arg->msg;

	if (!t->told) /* of a request that ends with its answer: nobody's to settle */
		return false;
	turn_expect(t, GA_SETTLED, arg->id);
	t->end_error = (enum error)m->error;
	t->end_cause = m->error == ERROR_CANCELLED ? AUDIT_CANCELLED : AUDIT_CAUSE_NONE;
	take_tokens(t, m);
	t->state = TURN_SETTLE_WAIT;
	/* Broker and store wrote DONE before the end of the answer; it may have come already. */
	if (turn_model_runs(t) && t->a->broker.link != NULL)
		link_pump(t->a->broker.link);
	if (t->state == TURN_SETTLE_WAIT && turn_runs_open_of(t, true) && t->a->store.link != NULL)
		link_pump(t->a->store.link);
	if (t->state != TURN_SETTLE_WAIT)
		return true;
	if (!turn_effect_is_open(t)) {
		settle_continue(t);
		return true;
	}
	if (turn_model_runs(t) &&
	    m->error == ERROR_NONE) { /* answered in full: DONE is under way */
		t->wait_until_ms = now_ms(t->a) + DONE_WAIT_MS;
		return true;
	}
	return settle_late(t, arg);
}

/* Its outcome is on its way, or its grant was never used: this ends both doubts. */
bool
settle_late(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	t->wait_until_ms = UINT64_MAX;
	if (turn_runs_open(t))
		t->acks += ending_call_executor(t);
	t->acks += ending_call_store(t);
	t->acks += ending_call_broker(t);
	if (t->acks == 0)
		settle_continue(t);
	return true;
}

bool
settle_waited(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	if (!turn_effect_is_open(t) || t->acks == 0)
		settle_continue(t);
	return true;
}

/* Only an interrupted wait gets here without `done`: then the effect never was. */
static void
settle_continue(struct turn *t)
{
	if (turn_model_runs(t)) {
		t->model_call.done = true;
		t->model_call.error = ERROR_CANCELLED;
		t->model_call.cause = t->model_call.unknown ? AUDIT_TIMEOUT : AUDIT_CANCELLED;
	}
	turn_runs_end(t, false, ERROR_CANCELLED, AUDIT_CANCELLED);
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
	(void)batch_add(&b, EVENT_RESPONSE_RETURNED, &who, kind, resource);
	if (chat)
		batch_closes(&b, t->intent_seq);
	batch_outcome(&b, t->end_error == ERROR_NONE ? AUDIT_SUCCESS : AUDIT_FAILURE, t->end_cause);
	batch_u64(&b, chat ? t->tokens_out : 0);
	batch_bool(&b, chat && t->tokens_estimated);
	batch_u64(&b, error_rows[t->end_error].http);
	if (chat)
		batch_u64(&b, t->tokens_in);
	else
		batch_null(&b);
	batch_u64_if(&b, t->tokens_cached);
	batch_u64_if(&b, t->tokens_cache_written);
	batch_u64_if(&b, t->tokens_reasoning);
	return turn_append_batch(t, &b, APPEND_SETTLE);
}

/* The lease goes. */
static void
let_go(struct turn *t)
{
	const struct turn_ref ref = { .turn = t->id };
	struct authority *a = t->a;

	if (t->lease && a->executor.link != NULL &&
	    !is_ok(link_send(a->executor.link, 0, AE_TURN_END, &ref)))
		diag(DIAG_WARN, "executor: the end of a turn could not be sent");
	t->lease = false;
}

bool
settle_durable(struct turn *t, const struct turn_arg *arg)
{
	turn_note_durable(t, arg->first_seq);
	let_go(t);
	turn_release(t);
	turn_answer(t, t->told ? ERROR_NONE : t->end_error);
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
	turn_runs_recorded(t, false);
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

/* The store has answered: the request ends with what it said. */
void
settle_change(struct turn *t)
{
	t->end_error = t->run.error;
	t->state = TURN_SETTLE_WAIT;
	settle_continue(t);
}

/* It ends already; only the one who waits may be gone, and what it waits for is hurried on. */
bool
settle_end(struct turn *t, const struct turn_arg *arg)
{
	if (turn_intents_lost(t))
		turn_answer(t, arg->error);
	if (t->state == TURN_SETTLE_WAIT && t->acks == 0)
		return settle_late(t, arg);
	return true;
}
