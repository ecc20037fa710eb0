/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.c: the further effects of a turn: run code, ask the model again.
 *
 * Runs in: authority. Trusts: executor and broker about what they did; the
 * gateway about nothing. Owns: nothing.
 * Invariants: one effect of a turn at a time; an effect is granted after the
 * receipt of its record; a DONE counts once, for the grant it names.
 * See: turn.h.
 */
#include "authority.h"

#include <stdio.h>

static bool step_continue(struct turn *t);
static enum error step_decide(struct turn *t);
static struct status step_append(struct turn *t);

/* A turn of this gateway; what it cannot know is a reason to drop it. */
static struct turn *
turn_for(struct gateway *gw, uint64_t id)
{
	struct turn *t = turn_find(gw->a, id);

	if (t != NULL && t->gw == gw)
		return t;
	if (t != NULL || !turn_is_past(gw->a, id))
		gateway_drop(gw, "a turn that is not its own");
	return NULL;
}

void
step_on_step(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct gateway *gw = ctx;
	const struct ga_step *m = msg;
	const struct ga_granted over = { .error = ERROR_CANCELLED };
	const struct turn_arg arg = { .msg = m, .id = id };
	struct turn *t = turn_for(gw, m->turn);
	struct status st = OK;

	if (t != NULL && !turn_event(t, TURN_EV_STEP, &arg))
		gateway_drop(gw, "a step that is not due");
	if (t == NULL && !gw->dropped)
		st = link_send(l, id, GA_GRANTED, &over);
	if (!is_ok(st))
		gateway_drop(gw, status_text(st));
}

void
settle_on_settle(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct gateway *gw = ctx;
	const struct ga_settle *m = msg;
	const struct ga_settled over = { .error = ERROR_CANCELLED };
	const struct turn_arg arg = { .msg = m, .id = id };
	struct turn *t = turn_for(gw, m->turn);
	struct status st = OK;

	if (t != NULL && !turn_event(t, TURN_EV_SETTLE, &arg))
		gateway_drop(gw, "a settlement that is not due");
	if (t == NULL && !gw->dropped)
		st = link_send(l, id, GA_SETTLED, &over);
	if (!is_ok(st))
		gateway_drop(gw, status_text(st));
}

/* ---- what the acting processes report ---- */

void
step_on_run_done(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *peer = ctx;
	const struct ae_done *m = msg;
	struct turn *t = turn_find(peer->a, m->turn);
	struct run *r;

	(void)l, (void)id;
	if (t == NULL || !t->run.open || t->run.done ||
	    memcmp(t->run.grant, m->grant, GRANT_LEN) != 0)
		return;
	r = &t->run;
	r->done = true;
	r->error = (enum error)m->error;
	r->status = (enum run_status)m->status;
	r->exit_code = m->exit_code;
	r->duration_ms = m->duration_ms;
	(void)turn_event(t, TURN_EV_RUN_DONE, NULL);
}

void
step_on_model_done(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *peer = ctx;
	const struct ab_done *m = msg;
	struct turn *t = turn_find(peer->a, m->turn);
	struct model_call *c;

	(void)l, (void)id;
	if (t == NULL || !turn_model_runs(t) ||
	    memcmp(t->model_call.grant, m->grant, GRANT_LEN) != 0)
		return;
	c = &t->model_call;
	c->done = true;
	c->error = (enum error)m->error;
	c->cause = m->error == ERROR_CANCELLED ? AUDIT_CANCELLED : AUDIT_CAUSE_NONE;
	c->http_status = m->http_status;
	c->attempts = m->attempts;
	/* Lengths are bounded by the table; a NUL would only cut the text short. */
	(void)snprintf(c->provider, sizeof(c->provider), "%.*s", SPAN_FMT(m->provider));
	(void)snprintf(c->host, sizeof(c->host), "%.*s", SPAN_FMT(m->host));
	(void)snprintf(
	    c->secret_version, sizeof(c->secret_version), "%.*s", SPAN_FMT(m->secret_version));
	(void)turn_event(t, TURN_EV_MODEL_DONE, NULL);
}

static void
put_attempt(
    struct turn *t, struct batch *b, const struct record_who *who, const struct ab_attempted *m)
{
	(void)batch_add(b, EVENT_MODEL_ATTEMPTED, who, "model", span_str(t->model));
	batch_outcome(b, AUDIT_FAILURE, AUDIT_CAUSE_NONE);
	batch_u64(b, m->attempt);
	batch_str(b, m->provider);
	batch_str_if(b, m->host);
	batch_str_if(b, m->secret_version);
	batch_u64_if(b, m->http_status);
	batch_str_if(b, span_str(error_rows[m->error].code));
}

static void
attempt_done(struct authority *a, void *ctx, struct status st, uint64_t first_seq)
{
	(void)a, (void)ctx, (void)first_seq;
	if (!is_ok(st))
		diag(DIAG_WARN, "an attempt of a model call is not on record: %s", status_text(st));
}

/* The call goes on: this exchange is a record of its own. */
void
step_on_attempted(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *peer = ctx;
	const struct ab_attempted *m = msg;
	struct turn *t = turn_find(peer->a, m->turn);
	struct batch b = { .n = 0 };
	struct record_who who;
	struct status st;

	(void)l, (void)id;
	if (t == NULL || !turn_model_runs(t) ||
	    memcmp(t->model_call.grant, m->grant, GRANT_LEN) != 0)
		return;
	if (t->model_call.attempted++ >= UPSTREAM_ATTEMPTS_MAX)
		return; /* a broker gone wrong does not fill the log */
	st = turn_who(t, &who);
	if (is_ok(st)) {
		put_attempt(t, &b, &who, m);
		st = audit_append(peer->a, &b, attempt_done, NULL);
	}
	if (!is_ok(st))
		attempt_done(peer->a, NULL, st, 0);
}

/* With the executor went its runs; what they did is not known. */
void
step_on_executor_gone(struct authority *a)
{
	struct turn *t, *next;

	for (t = TAILQ_FIRST(&a->turns.in_use); t != NULL; t = next) {
		next = TAILQ_NEXT(t, in_use);
		t->lease = false;
		if (!t->run.open || t->run.done || t->append == APPEND_ADMIT)
			continue;
		t->run.done = t->run.unknown = true;
		t->run.cause = AUDIT_PROCESS_DIED;
		(void)turn_event(t, TURN_EV_RUN_DONE, NULL);
	}
}

void
step_on_broker_gone(struct authority *a)
{
	struct turn *t, *next;

	for (t = TAILQ_FIRST(&a->turns.in_use); t != NULL; t = next) {
		next = TAILQ_NEXT(t, in_use);
		if (!turn_model_runs(t))
			continue;
		t->model_call.done = t->model_call.unknown = true;
		t->model_call.cause = AUDIT_PROCESS_DIED;
		(void)turn_event(t, TURN_EV_MODEL_DONE, NULL);
	}
}

/* ---- handlers ---- */

bool
step_begin(struct turn *t, const struct turn_arg *arg)
{
	const struct ga_step *m = arg->msg;

	if (!endpoint_rows[t->endpoint].takes_tools ||
	    (m->kind != STEP_RUN && m->kind != STEP_MODEL))
		return false;
	turn_expect(t, GA_GRANTED, arg->id);
	t->step = (struct step){ .kind = (enum ga_step_kind)m->kind,
		.size_bytes = m->size_bytes,
		.body_len = m->body_len,
		.model_off = m->model_off };
	memcpy(t->step.digest, m->digest, sizeof(t->step.digest));
	t->step.known_language =
	    m->kind == STEP_RUN && name_set_has(&t->a->policies.languages, m->language) &&
	    is_ok(span_to_cstr(m->language, t->step.language, sizeof(t->step.language)));
	if (!turn_effect_is_open(t))
		return step_continue(t);
	t->state = TURN_STEP_WAIT;
	t->wait_until_ms = now_ms(t->a) + DONE_WAIT_MS;
	return true;
}

bool
step_waited(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	return turn_effect_is_open(t) ? true : step_continue(t);
}

static bool
step_continue(struct turn *t)
{
	uint32_t *taken = t->step.kind == STEP_RUN ? &t->runs : &t->models;

	t->state = TURN_RUNNING;
	t->wait_until_ms = t->deadline_ms;
	if (*taken >= t->a->policies.turn_steps) {
		turn_answer(t, ERROR_TURN_LIMIT);
		return true;
	}
	(*taken)++;
	t->step.error = step_decide(t);
	t->state = TURN_STEP_AUDIT;
	if (is_ok(step_append(t)))
		return true;
	t->state = TURN_RUNNING;
	t->wait_until_ms = t->deadline_ms;
	turn_answer(t, ERROR_AUDIT_UNAVAILABLE);
	return true;
}

static enum error
step_decide(struct turn *t)
{
	const struct authority *a = t->a;
	enum error error;

	if (t->step.kind == STEP_MODEL)
		return a->broker.link != NULL ? ERROR_NONE : ERROR_UNAVAILABLE;
	error = policy_decide_run(
	    &a->policies, t->key->policy->now, t->tools, span_str(t->step.language));
	if (error == ERROR_NONE && a->executor.link == NULL)
		return ERROR_UNAVAILABLE;
	return error;
}

static void
put_code_generated(struct turn *t, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_CODE_GENERATED, who, "model", span_str(t->model));
	/* A language that is none of ours is the model's text, which is never recorded. */
	if (t->step.known_language)
		batch_text(b, t->step.language);
	else
		batch_null(b);
	batch_u64(b, t->step.size_bytes);
	batch_digest(b, t->step.digest);
}

static void
put_run_intent(struct turn *t, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_TOOL_EXECUTED, who, "tool", span_str(t->tool));
	batch_intent(b);
	batch_text(b, t->tool);
	batch_text(b, "gvisor");
	batch_text(b, t->step.language);
	batch_u64(b, t->step.size_bytes);
	batch_digest(b, t->step.digest);
	batch_null(b);
	batch_null(b);
	batch_null(b);
}

static struct status
step_append(struct turn *t)
{
	struct batch b = { .n = 0 };
	struct record_who who;

	TRY(turn_who(t, &who));
	if (t->run.open)
		turn_put_run_outcome(t, &b, &who);
	if (t->model_call.open)
		turn_put_model_outcome(t, &b, &who);
	if (t->step.kind == STEP_RUN)
		put_code_generated(t, &b, &who);
	if (t->step.error != ERROR_NONE)
		turn_put_error(&b, &who, t->step.error, span_str(t->model), "model");
	else if (t->step.kind == STEP_RUN)
		put_run_intent(t, &b, &who);
	else
		turn_put_model_intent(
		    t, &b, &who, t->models + 1, t->step.size_bytes, t->step.digest);
	return turn_append_batch(t, &b, APPEND_STEP);
}

bool
step_durable(struct turn *t, const struct turn_arg *arg)
{
	struct status st;

	turn_note_durable(t, arg->first_seq);
	t->state = TURN_RUNNING;
	t->wait_until_ms = t->deadline_ms;
	if (t->step.error != ERROR_NONE) {
		turn_answer(t, t->step.error);
		return true;
	}
	if (t->step.kind == STEP_MODEL)
		st = grant_model(t, t->step.body_len, t->step.model_off, t->step.digest);
	else
		st = grant_run(t, span_str(t->step.language), t->step.body_len, t->step.digest,
		    true, t->run.grant);
	if (!is_ok(st) && t->step.kind == STEP_RUN) {
		t->run.done = true;
		t->run.error = ERROR_UNAVAILABLE;
	}
	if (!is_ok(st) && t->step.kind == STEP_MODEL) {
		t->model_call.done = true;
		t->model_call.error = ERROR_UNAVAILABLE;
	}
	turn_answer(t, is_ok(st) ? ERROR_NONE : ERROR_UNAVAILABLE);
	return true;
}

/* The earlier effect's outcome, if it was in the batch, stays to be written. */
bool
step_refused(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	t->append = APPEND_NONE;
	t->state = TURN_RUNNING;
	t->wait_until_ms = t->deadline_ms;
	turn_answer(t, ERROR_AUDIT_UNAVAILABLE);
	return true;
}

/* No DONE or no receipt in time: the turn cannot go on. */
bool
step_expired(struct turn *t, const struct turn_arg *arg)
{
	bool audit = t->append != APPEND_NONE;

	(void)arg;
	turn_end(t, audit ? ERROR_AUDIT_UNAVAILABLE : ERROR_GRANT, AUDIT_TIMEOUT);
	return true;
}
