/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.c: the table of states, the pool of turns and what all handlers share.
 *
 * Runs in: authority. Trusts: nothing. Owns: all turns.
 * Invariants: a turn is freed only when neither an append nor an acknowledgement
 * is awaited, because both hold its address; an id is never used twice, not
 * even by the process that comes after this one.
 * See: turn.h; wire/gateway_authority.h.
 */
#include "authority.h"

#include <assert.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/clock.h>

#define SLOT_BITS 16

_Static_assert(TURNS_MAX == 1U << SLOT_BITS, "a slot fits its bits");

/* Empty: not allowed. For STEP and SETTLE that means that the gateway is dropped. */
static turn_handler *const turn_table[TURN_STATE_COUNT][TURN_EVENT_COUNT] = {
	[TURN_ANSWERING] = {
	    [TURN_EV_DURABLE] = answer_durable,
	    [TURN_EV_REFUSED] = answer_refused,
	    [TURN_EV_END] = answer_end,
	    [TURN_EV_EXPIRED] = answer_expired,
	    [TURN_EV_RUN_DONE] = turn_ignore,
	    [TURN_EV_MODEL_DONE] = turn_ignore,
	},
	[TURN_ADMITTING] = {
	    [TURN_EV_DURABLE] = admit_durable,
	    [TURN_EV_REFUSED] = admit_refused,
	    [TURN_EV_END] = admit_end,
	    [TURN_EV_EXPIRED] = admit_expired,
	    [TURN_EV_RUN_DONE] = turn_ignore,
	    [TURN_EV_MODEL_DONE] = turn_ignore,
	},
	[TURN_RUNNING] = {
	    [TURN_EV_STEP] = step_begin,
	    [TURN_EV_SETTLE] = settle_begin,
	    [TURN_EV_RUN_DONE] = turn_ignore,
	    [TURN_EV_MODEL_DONE] = turn_ignore,
	    [TURN_EV_END] = end_running,
	    [TURN_EV_EXPIRED] = end_expired,
	},
	[TURN_STEP_WAIT] = {
	    [TURN_EV_STEP] = step_queue,
	    [TURN_EV_RUN_DONE] = step_waited,
	    [TURN_EV_MODEL_DONE] = step_waited,
	    [TURN_EV_END] = end_running,
	    [TURN_EV_EXPIRED] = step_expired,
	},
	[TURN_STEP_AUDIT] = {
	    [TURN_EV_STEP] = step_queue,
	    [TURN_EV_DURABLE] = step_durable,
	    [TURN_EV_REFUSED] = step_refused,
	    [TURN_EV_RUN_DONE] = turn_ignore,
	    [TURN_EV_MODEL_DONE] = turn_ignore,
	    [TURN_EV_END] = end_running,
	    [TURN_EV_EXPIRED] = step_expired,
	},
	[TURN_SETTLE_WAIT] = {
	    [TURN_EV_RUN_DONE] = settle_waited,
	    [TURN_EV_MODEL_DONE] = settle_waited,
	    [TURN_EV_ACKS] = settle_waited,
	    [TURN_EV_END] = settle_end,
	    [TURN_EV_EXPIRED] = settle_late,
	},
	[TURN_SETTLE_AUDIT] = {
	    [TURN_EV_DURABLE] = settle_durable,
	    [TURN_EV_REFUSED] = settle_refused,
	    [TURN_EV_RUN_DONE] = turn_ignore,
	    [TURN_EV_MODEL_DONE] = turn_ignore,
	    [TURN_EV_ACKS] = turn_ignore,
	    [TURN_EV_END] = settle_end,
	    [TURN_EV_EXPIRED] = settle_expired,
	},
	[TURN_ENDING] = {
	    [TURN_EV_STEP] = ending_late_step,
	    [TURN_EV_SETTLE] = ending_late_settle,
	    [TURN_EV_DURABLE] = ending_append,
	    [TURN_EV_REFUSED] = ending_append,
	    [TURN_EV_RUN_DONE] = turn_ignore,
	    [TURN_EV_MODEL_DONE] = turn_ignore,
	    [TURN_EV_ACKS] = ending_acks,
	    [TURN_EV_END] = turn_ignore,
	    [TURN_EV_EXPIRED] = ending_expired,
	},
	[TURN_CLOSING] = {
	    [TURN_EV_STEP] = ending_late_step,
	    [TURN_EV_SETTLE] = ending_late_settle,
	    [TURN_EV_DURABLE] = closing_durable,
	    [TURN_EV_REFUSED] = closing_refused,
	    [TURN_EV_RUN_DONE] = turn_ignore,
	    [TURN_EV_MODEL_DONE] = turn_ignore,
	    [TURN_EV_ACKS] = closing_acks,
	    [TURN_EV_END] = turn_ignore,
	    [TURN_EV_EXPIRED] = closing_expired,
	},
};

const char *
endpoint_name(uint8_t endpoint)
{
	return endpoint_rows[endpoint <= ENDPOINT_OTHER ? endpoint : 0].name;
}

turn_handler *
turn_handler_of(enum turn_state state, enum turn_event ev)
{
	return turn_table[state][ev];
}

bool
turn_event(struct turn *t, enum turn_event ev, const struct turn_arg *arg)
{
	static const struct turn_arg none;
	turn_handler *fn = turn_table[t->state][ev];

	return fn != NULL && fn(t, arg != NULL ? arg : &none);
}

bool
turn_ignore(struct turn *t, const struct turn_arg *arg)
{
	(void)t, (void)arg;
	return true;
}

/* ---- the pool ---- */

struct status
turns_init(struct authority *a)
{
	struct turns *ts = &a->turns;

	TAILQ_INIT(&ts->in_use);
	TAILQ_INIT(&ts->unused);
	/* Untouched pages of the pool cost nothing. */
	ts->pool = calloc(TURNS_MAX, sizeof(ts->pool[0]));
	if (ts->pool == NULL)
		return fail(E_NOMEM);
	ts->first_serial = ts->next_serial = clock_real_ns() / NS_PER_MS;
	return OK;
}

void
turns_done(struct authority *a)
{
	free(a->turns.pool);
	a->turns.pool = NULL;
}

static struct turn *
pool_take(struct turns *ts)
{
	struct turn *t = TAILQ_FIRST(&ts->unused);

	if (t != NULL) {
		TAILQ_REMOVE(&ts->unused, t, in_use);
		return t;
	}
	return ts->n < TURNS_MAX ? &ts->pool[ts->n] : NULL;
}

struct status
turn_new(struct gateway *gw, struct key *key, struct turn **ret)
{
	struct turns *ts = &gw->a->turns;
	struct turn *t = gw->nturns < TURNS_PER_GATEWAY_MAX ? pool_take(ts) : NULL;

	if (t == NULL)
		return fail(E_FULL);
	*t = (struct turn){ .a = gw->a, .gw = gw, .gateway = gw->peer_id, .key = key };
	t->id = ts->next_serial++ << SLOT_BITS | (uint64_t)(t - ts->pool);
	t->audit_epoch = gw->a->audit_state.epoch;
	ts->n++;
	gw->nturns++;
	TAILQ_INSERT_TAIL(&ts->in_use, t, in_use);
	TAILQ_INSERT_TAIL(&gw->turns, t, of_gateway);
	if (key != NULL)
		LIST_INSERT_HEAD(&key->turns, t, of_key);
	*ret = t;
	return OK;
}

void
turn_release(struct turn *t)
{
	if (t->holds) {
		limits_release(&key_root(t->key)->holder, &t->key->user->holder);
		daemon_metric_add(METRIC_TURNS_OPEN, -1);
		t->holds = false;
	}
	admin_turn_over(t);
}

void
turn_free(struct turn *t)
{
	struct authority *a = t->a;

	assert(t->state != TURN_FREE && t->append == APPEND_NONE && t->acks == 0);
	turn_release(t);
	turn_runs_free(t);
	usage_note(t);
	if (t->gw != NULL) {
		TAILQ_REMOVE(&t->gw->turns, t, of_gateway);
		t->gw->nturns--;
	}
	if (t->key != NULL)
		LIST_REMOVE(t, of_key);
	TAILQ_REMOVE(&a->turns.in_use, t, in_use);
	explicit_bzero(t, sizeof(*t));
	TAILQ_INSERT_HEAD(&a->turns.unused, t, in_use);
	a->turns.n--;
	authority_check_drained(a);
}

struct turn *
turn_find(struct authority *a, uint64_t id)
{
	struct turn *t = &a->turns.pool[id & (TURNS_MAX - 1)];

	return t->state != TURN_FREE && t->id == id ? t : NULL;
}

bool
turn_is_past(const struct authority *a, uint64_t id)
{
	uint64_t serial = id >> SLOT_BITS;

	return serial >= a->turns.first_serial && serial < a->turns.next_serial;
}

void
turns_tick(struct authority *a)
{
	struct turn *t, *next;
	uint64_t now = now_ms(a);

	for (t = TAILQ_FIRST(&a->turns.in_use); t != NULL; t = next) {
		next = TAILQ_NEXT(t, in_use);
		if (now >= t->wait_until_ms)
			(void)turn_event(t, TURN_EV_EXPIRED, NULL);
	}
}

/* ---- answers to the gateway ---- */

void
turn_expect(struct turn *t, uint16_t reply_type, uint64_t reply_id)
{
	t->reply_type = reply_type;
	t->reply_id = reply_id;
}

static struct status
answer_admitted(struct turn *t, enum error error)
{
	auto_buf struct buf models = BUF_INIT(MODELS_TEXT_MAX);
	struct permit may = { NULL };
	struct ga_admitted m = { .error = (uint16_t)error,
		.limit = t->verdict.limit,
		.remaining = t->verdict.remaining,
		.reset_ms = t->verdict.reset_ms,
		.retry_after_ms = t->verdict.retry_after_ms,
		.steps_max = t->a->policies.turn_steps,
		.store = t->keeps,
		.mask = t->masks };

	if (error_rows[error].http == 503)
		m.retry_after_ms = RETRY_MS;
	if (t->key != NULL)
		may = key_permit(t->key);
	if (error == ERROR_NONE && t->endpoint == ENDPOINT_MODELS && may.policy != NULL) {
		TRY(policy_models(&t->a->policies, &may, &models));
		m.models = buf_span(&models);
	} else if (error == ERROR_NONE &&
		   (t->endpoint == ENDPOINT_TOOL_LIST || t->endpoint == ENDPOINT_TOOL_GET)) {
		return tools_send_page(t, &m);
	} else if (error == ERROR_NONE && t->told) {
		m.turn = t->id;
		memcpy(m.grant,
		    turn_asks_model(t) && !t->loads ? t->model_call.grant : t->run.grant,
		    sizeof(m.grant));
	}
	if (m.turn != 0 && t->run.kind == RUN_OF_BUILD)
		return tools_send_push(t, &m);
	return link_send(t->gw->link, t->reply_id, GA_ADMITTED, &m);
}

static struct status
answer_granted(struct turn *t, enum error error)
{
	struct ga_granted m = { .error = (uint16_t)error };

	if (error_rows[error].http == 503)
		m.retry_after_ms = RETRY_MS;
	if (error == ERROR_NONE)
		memcpy(m.grant,
		    t->step.kind == STEP_MODEL ? t->model_call.grant : t->step.placed->grant,
		    sizeof(m.grant));
	return link_send(t->gw->link, t->reply_id, GA_GRANTED, &m);
}

/* Refused for our own sake, before it did anything: it does not use up its owner's rate. */
static void
give_back(struct turn *t)
{
	if (!t->counted)
		return;
	limits_give_back(&key_root(t->key)->holder, &t->key->user->holder, t->counted_ms);
	t->counted = false;
	t->verdict.remaining += t->verdict.remaining < t->verdict.limit;
}

void
turn_answer(struct turn *t, enum error error)
{
	const struct ga_checked plain = { .error = (uint16_t)error };
	struct status st;

	if (t->reply_type == GA_ADMITTED && error_rows[error].http >= 500)
		give_back(t);
	if (t->gw == NULL || t->reply_type == 0 || t->gw->link == NULL)
		return;
	if (t->reply_type == GA_ADMITTED)
		st = answer_admitted(t, error);
	else if (t->reply_type == GA_GRANTED)
		st = answer_granted(t, error);
	else if (t->reply_type == GA_ADMINED)
		st = link_send(t->gw->link, t->reply_id, GA_ADMINED,
		    &(struct ga_admined){ .error = (uint16_t)error });
	else if (t->reply_type == GA_TOKENED)
		st = link_send(t->gw->link, t->reply_id, GA_TOKENED,
		    &(struct ga_tokened){ .error = (uint16_t)error });
	else /* CHECKED and SETTLED have the same one field */
		st = link_send(t->gw->link, t->reply_id, t->reply_type, &plain);
	t->reply_type = 0;
	if (!is_ok(st))
		gateway_drop(t->gw, status_text(st));
}

/* ---- records ---- */

struct status
turn_who(struct turn *t, struct record_who *who)
{
	*who = (struct record_who){
		.request_id = t->request_id, .key = t->key, .config = t->a->d->generation
	};
	return sealer_source(
	    &t->a->sealer, t->key == NULL ? NULL : t->key->user, t->source, &who->source);
}

static void
on_append(struct authority *a, void *ctx, struct status st, uint64_t first_seq)
{
	struct turn *t = ctx;
	const struct turn_arg arg = { .first_seq = first_seq };
	bool ok;

	(void)a;
	ok = turn_event(t, is_ok(st) ? TURN_EV_DURABLE : TURN_EV_REFUSED, &arg);
	assert(ok);
}

struct status
turn_append_batch(struct turn *t, struct batch *b, enum turn_append what)
{
	assert(t->append == APPEND_NONE);
	TRY(audit_append(t->a, b, on_append, t));
	t->append = what;
	t->append_count = b->n;
	t->wait_until_ms = now_ms(t->a) + AUDIT_WAIT_MS;
	return OK;
}

static void
model_call_open(struct turn *t, uint64_t intent_seq, uint32_t number)
{
	t->model_call =
	    (struct model_call){ .open = true, .intent_seq = intent_seq, .number = number };
}

/* Its outcome was in the batch, or it was free: there is a place. */
static void
place_step(struct turn *t, uint64_t intent_seq)
{
	struct run *r = t->step.kind == STEP_TOOL ? turn_run_place(t) : &t->run;

	assert(r != NULL && !r->open);
	*r = t->step.run; /* with the version that it holds */
	t->step.run.tool = NULL;
	r->open = true;
	r->intent_seq = intent_seq;
	t->step.placed = r;
}

void
turn_note_durable(struct turn *t, uint64_t first_seq)
{
	uint64_t last = first_seq + t->append_count - 1;

	if (t->append == APPEND_ADMIT && turn_asks_model(t)) {
		t->intent_seq = last - 1;
		if (!t->loads)
			model_call_open(t, last, 1);
	}
	turn_runs_recorded(t, true);
	if (t->append == APPEND_STEP) /* the earlier call's outcome was in the batch */
		t->model_call = (struct model_call){ 0 };
	if (t->append == APPEND_STEP && t->step.kind == STEP_MODEL && t->step.error == ERROR_NONE)
		model_call_open(t, last, turn_model_number(t));
	if (t->append == APPEND_STEP && t->step.kind != STEP_MODEL && t->step.error == ERROR_NONE)
		place_step(t, last);
	if (t->run.open && t->append == APPEND_ADMIT)
		t->run.intent_seq = last;
	if (t->append == APPEND_SETTLE || t->append == APPEND_CLOSE) {
		t->intent_seq = 0;
		t->model_call.open = false;
	}
	t->append = APPEND_NONE;
}

bool
turn_intents_lost(const struct turn *t)
{
	return t->audit_epoch != t->a->audit_state.epoch;
}

/* Values that only the outcome has, or only the intent. */
static void
put_nulls(struct batch *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		batch_null(b);
}

void
turn_put_model_intent(struct turn *t, struct batch *b, const struct record_who *who,
    uint32_t number, uint32_t size_bytes, const uint8_t digest[DIGEST_LEN])
{
	(void)batch_add(b, EVENT_MODEL_CALLED, who, "model", span_str(t->model));
	batch_intent(b);
	batch_text(b, t->model);
	batch_u64(b, number);
	batch_u64(b, size_bytes);
	batch_digest(b, digest);
	put_nulls(b, 7);
}

static enum audit_outcome
model_outcome(const struct model_call *m)
{
	if (!m->done || m->unknown)
		return AUDIT_UNKNOWN;
	if (m->error == ERROR_NONE && m->http_status >= 200 && m->http_status <= 299)
		return AUDIT_SUCCESS;
	return AUDIT_FAILURE;
}

void
turn_put_model_outcome(struct turn *t, struct batch *b, const struct record_who *who)
{
	const struct model_call *m = &t->model_call;

	(void)batch_add(b, EVENT_MODEL_CALLED, who, "model", span_str(t->model));
	batch_closes(b, m->intent_seq);
	batch_outcome(b, model_outcome(m), m->cause);
	batch_text(b, t->model);
	batch_u64(b, m->number);
	put_nulls(b, 2);
	batch_str_if(b, span_str(m->provider));
	batch_str_if(b, span_str(m->host));
	batch_str_if(b, span_str(m->secret_version));
	batch_u64_if(b, m->http_status);
	batch_u64(b, m->attempts);
	batch_str_if(b, span_str(error_rows[m->error].code));
	batch_str_if(b, span_str(m->upstream_id));
}

void
turn_put_error(struct batch *b, const struct record_who *who, enum error error,
    struct span resource, const char *kind)
{
	uint16_t http = error_rows[error].http;

	(void)batch_add(b, EVENT_ERROR, who, kind, resource);
	batch_outcome(b, http >= 400 && http < 500 && http != 499 ? AUDIT_DENIED : AUDIT_FAILURE,
	    AUDIT_CAUSE_NONE);
	batch_text(b, error_rows[error].code);
	batch_text(b, error_rows[error].message);
}

void
turn_end(struct turn *t, enum error error, enum audit_cause cause)
{
	const struct turn_arg arg = { .error = error, .cause = cause };
	bool ok = turn_event(t, TURN_EV_END, &arg);

	assert(ok);
}
