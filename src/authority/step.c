/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.c: the further effects of a turn: run code, call tools, ask the model again,
 * keep the response.
 *
 * Runs in: authority. Trusts: executor and broker about what they did; the
 * gateway about nothing. Owns: nothing.
 * Invariants: one model call or run of code at a time, beside it calls of tools; one
 * STEP at a time is recorded, the others wait; an effect is granted after the receipt
 * of its record; a DONE counts once, for the grant it names.
 * See: turn.h.
 */
#include "authority.h"

#include <stdio.h>
#include <stdlib.h>

#include <crypto/crypto.h>

static bool step_go(struct turn *t);
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

/* What the executor may still be at work on, by its grant. */
static struct run *
run_of_grant(struct turn *t, const uint8_t grant[GRANT_LEN])
{
	for (size_t i = 0; i < turn_run_count(t); i++) {
		struct run *r = turn_run_at(t, i);

		if (r->open && r->granted && !r->done && r->kind < RUN_OF_CHANGE &&
		    crypto_eq(span_of(r->grant, GRANT_LEN), span_of(grant, GRANT_LEN)))
			return r;
	}
	return NULL;
}

void
step_on_run_done(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *peer = ctx;
	const struct ae_done *m = msg;
	struct turn *t = turn_find(peer->a, m->turn);
	struct run *r = t == NULL ? NULL : run_of_grant(t, m->grant);

	(void)l, (void)id;
	if (r == NULL)
		return;
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
	    !crypto_eq(span_of(t->model_call.grant, GRANT_LEN), span_of(m->grant, GRANT_LEN)))
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
	(void)snprintf(c->upstream_id, sizeof(c->upstream_id), "%.*s", SPAN_FMT(m->upstream_id));
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
	    !crypto_eq(span_of(t->model_call.grant, GRANT_LEN), span_of(m->grant, GRANT_LEN)))
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

static bool
executor_runs_gone(struct turn *t)
{
	bool any = false;

	for (size_t i = 0; i < turn_run_count(t); i++) {
		struct run *r = turn_run_at(t, i);

		if (!r->open || !r->granted || r->done || r->kind >= RUN_OF_CHANGE)
			continue;
		r->done = r->unknown = any = true;
		r->cause = AUDIT_PROCESS_DIED;
	}
	return any;
}

/* With the executor went its runs; what they did is not known. */
void
step_on_executor_gone(struct authority *a)
{
	struct turn *t, *next;

	for (t = TAILQ_FIRST(&a->turns.in_use); t != NULL; t = next) {
		next = TAILQ_NEXT(t, in_use);
		t->lease = false;
		if (executor_runs_gone(t))
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

static struct step
step_of(const struct turn *t, const struct ga_step *m)
{
	struct step s = { .kind = (enum ga_step_kind)m->kind,
		.refused = (enum error)m->refused,
		.size_bytes = m->size_bytes,
		.body_len = m->body_len,
		.model_off = m->model_off };

	s.run.kind = m->kind == STEP_TOOL ? RUN_OF_TOOL : RUN_OF_CODE;
	s.run.size_bytes = m->size_bytes;
	s.run.use.version = m->kind == STEP_TOOL ? m->tool_version : 0;
	memcpy(s.digest, m->digest, sizeof(s.digest));
	memcpy(s.run.digest, m->digest, sizeof(s.run.digest));
	if (m->kind == STEP_CONTENT)
		turn_run_of_content(&s.run, t->key->user, m->content_op, m->content_kind,
		    m->content_id, m->body_len);
	s.known_language = m->kind == STEP_RUN &&
			   name_set_has(&t->a->policies.languages, m->language) &&
			   is_ok(span_to_cstr(m->language, s.run.language, sizeof(s.run.language)));
	if (m->kind != STEP_TOOL || !is_ok(span_to_cstr(m->tool_name, s.run.name, TOOL_MAX + 1)))
		s.run.name[0] = '\0'; /* the name of no tool */
	return s;
}

static bool
step_is_due(const struct turn *t, const struct ga_step *m)
{
	if (m->kind == STEP_CONTENT)
		return t->keeps && m->refused == ERROR_NONE && m->content_op == CONTENT_SAVE &&
		       m->content_kind == CONTENT_RESPONSE && m->content_id.len > 0 &&
		       content_id_ok(m->content_id);
	return endpoint_rows[t->endpoint].takes_tools &&
	       (m->kind == STEP_RUN || m->kind == STEP_TOOL ||
		   (m->kind == STEP_MODEL && m->refused == ERROR_NONE));
}

/* Room for calls of tools, from the first one on. */
static bool
parallel_ensure(struct turn *t)
{
	if (t->parallel == NULL)
		t->parallel = calloc(1, sizeof(*t->parallel));
	return t->parallel != NULL;
}

bool
step_begin(struct turn *t, const struct turn_arg *arg)
{
	const struct ga_step *m = arg->msg;

	if (!step_is_due(t, m))
		return false;
	turn_expect(t, GA_GRANTED, arg->id);
	t->step = step_of(t, m);
	if (m->kind == STEP_TOOL && !parallel_ensure(t)) {
		turn_answer(t, ERROR_OVERLOADED);
		return true;
	}
	return step_go(t);
}

/* Calls of tools may be asked for all at once; they are recorded one after the other. */
bool
step_queue(struct turn *t, const struct turn_arg *arg)
{
	const struct ga_step *m = arg->msg;
	struct parallel *p = t->parallel;

	if (!step_is_due(t, m) || m->kind != STEP_TOOL || t->step.kind != STEP_TOOL || p == NULL ||
	    p->nwaiting == TURN_PARALLEL_MAX)
		return false;
	p->waiting[p->nwaiting].step = step_of(t, m);
	p->waiting[p->nwaiting++].id = arg->id;
	return true;
}

void
step_next(struct turn *t)
{
	struct parallel *p = t->parallel;

	if (p == NULL || p->nwaiting == 0 || t->state != TURN_RUNNING)
		return;
	turn_expect(t, GA_GRANTED, p->waiting[0].id);
	t->step = p->waiting[0].step;
	p->nwaiting--;
	memmove(&p->waiting[0], &p->waiting[1], p->nwaiting * sizeof(p->waiting[0]));
	(void)step_go(t);
}

void
step_refuse_waiting(struct turn *t, enum error error)
{
	struct parallel *p = t->parallel;

	for (uint32_t i = 0; p != NULL && i < p->nwaiting; i++) {
		turn_expect(t, GA_GRANTED, p->waiting[i].id);
		turn_answer(t, error);
	}
	if (p != NULL)
		p->nwaiting = 0;
}

/* What the step needs is still at work. */
static bool
must_wait(const struct turn *t)
{
	if (turn_model_runs(t))
		return true;
	if (t->step.kind == STEP_TOOL)
		return !turn_run_has_place(t);
	if (t->step.kind == STEP_RUN)
		return t->run.open && !t->run.done;
	return turn_runs_open(t);
}

static bool
step_go(struct turn *t)
{
	if (!must_wait(t))
		return step_continue(t);
	t->state = TURN_STEP_WAIT;
	/* A call of a tool ends in its own time; a DONE that should have come does not. */
	t->wait_until_ms = t->step.kind == STEP_TOOL && !turn_model_runs(t)
			       ? t->deadline_ms
			       : now_ms(t->a) + DONE_WAIT_MS;
	return true;
}

bool
step_waited(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	return must_wait(t) ? true : step_continue(t);
}

/* The step is answered; the turn goes on. */
static bool
step_answered(struct turn *t, enum error error)
{
	t->state = TURN_RUNNING;
	t->wait_until_ms = t->deadline_ms;
	turn_answer(t, error);
	turn_run_clear(t, &t->step.run);
	step_next(t);
	return true;
}

uint32_t
turn_model_number(const struct turn *t)
{
	return t->models + (t->loads ? 0 : 1);
}

/* One more of its kind; false: there were enough. */
static bool
step_count(struct turn *t)
{
	uint32_t max = t->a->policies.turn_steps;
	uint32_t *taken = &t->runs;

	if (t->step.kind == STEP_MODEL) {
		taken = &t->models;
		max += t->loads;
	} else if (t->step.kind == STEP_CONTENT) {
		taken = &t->saves;
		max = TURN_SAVES_MAX;
	}
	if (*taken >= max)
		return false;
	(*taken)++;
	return true;
}

static bool
step_continue(struct turn *t)
{
	if (!step_count(t))
		return step_answered(t, ERROR_TURN_LIMIT);
	t->step.error = step_decide(t);
	t->state = TURN_STEP_AUDIT;
	if (is_ok(step_append(t)))
		return true;
	turn_runs_recorded(t, false);
	return step_answered(t, ERROR_AUDIT_UNAVAILABLE);
}

/* The tool as it is now: the version that was offered, if it may still be called. */
static enum error
decide_tool(struct turn *t)
{
	struct run *r = &t->step.run;
	struct tool_version *v = NULL;
	enum error error = tools_find(t->a, t->key, span_str(r->name), r->use.version, &v);

	return error == ERROR_NONE ? turn_run_of_tool(t, r, v) : error;
}

static enum error
step_decide(struct turn *t)
{
	const struct authority *a = t->a;
	const struct permit may = key_permit(t->key);
	enum error error;

	if (t->step.kind == STEP_MODEL)
		return a->broker.link != NULL ? ERROR_NONE : ERROR_UNAVAILABLE;
	if (t->step.kind == STEP_CONTENT)
		return a->store.link != NULL ? ERROR_NONE : ERROR_UNAVAILABLE;
	if (t->step.kind == STEP_TOOL)
		error = decide_tool(t);
	else if (t->step.refused != ERROR_NONE)
		error = t->step.refused; /* there is no code to decide about */
	else
		error = policy_decide_run(
		    &a->policies, &may, t->tools, span_str(t->step.run.language));
	if (error == ERROR_NONE)
		error = t->step.refused;
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
		batch_text(b, t->step.run.language);
	else
		batch_null(b);
	batch_u64(b, t->step.size_bytes);
	batch_digest(b, t->step.digest);
}

/* Named after the tool, where it is one that this key may call. */
static void
put_refused(struct turn *t, struct batch *b, const struct record_who *who)
{
	const struct step *s = &t->step;

	if (s->kind == STEP_CONTENT)
		turn_put_error(b, who, s->error, content_resource(&s->run),
		    content_kind_names[s->run.content_kind]);
	else if (s->run.tool != NULL)
		turn_put_error(b, who, s->error, span_str(s->run.name), "tool");
	else if (s->kind == STEP_RUN && s->refused != ERROR_NONE)
		turn_put_error(b, who, s->error, SPAN_LIT("code_interpreter"), "tool");
	else
		turn_put_error(b, who, s->error, span_str(t->model), "model");
}

static struct status
step_append(struct turn *t)
{
	struct batch b = { .n = 0 };
	struct record_who who;

	TRY(turn_who(t, &who));
	turn_put_run_outcomes(t, &b, &who, false);
	if (t->model_call.open)
		turn_put_model_outcome(t, &b, &who);
	if (t->step.kind == STEP_RUN && t->step.refused == ERROR_NONE)
		put_code_generated(t, &b, &who);
	if (t->step.error != ERROR_NONE)
		put_refused(t, &b, &who);
	else if (t->step.kind == STEP_MODEL)
		turn_put_model_intent(
		    t, &b, &who, turn_model_number(t), t->step.size_bytes, t->step.digest);
	else
		turn_put_run_intent(t, &t->step.run, &b, &who);
	return turn_append_batch(t, &b, APPEND_STEP);
}

bool
step_durable(struct turn *t, const struct turn_arg *arg)
{
	struct run *r;
	struct status st;

	turn_note_durable(t, arg->first_seq);
	if (t->step.error != ERROR_NONE)
		return step_answered(t, t->step.error);
	r = t->step.placed;
	if (t->step.kind == STEP_MODEL)
		st = grant_model(t, t->step.body_len, t->step.model_off, t->step.digest);
	else if (t->step.kind == STEP_CONTENT)
		st = grant_content(t, r, t->step.body_len);
	else
		st = grant_run(t, r, t->step.body_len, t->step.kind == STEP_RUN);
	if (!is_ok(st) && t->step.kind != STEP_MODEL) {
		r->done = true;
		r->error = ERROR_UNAVAILABLE;
	}
	if (!is_ok(st) && t->step.kind == STEP_MODEL) {
		t->model_call.done = true;
		t->model_call.error = ERROR_UNAVAILABLE;
	}
	return step_answered(t, is_ok(st) ? ERROR_NONE : ERROR_UNAVAILABLE);
}

/* The earlier effects' outcomes, if they were in the batch, stay to be written. */
bool
step_refused(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	t->append = APPEND_NONE;
	turn_runs_recorded(t, false);
	return step_answered(t, ERROR_AUDIT_UNAVAILABLE);
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
