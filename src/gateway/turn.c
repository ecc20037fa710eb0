/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.c: the way of every request through authority, broker and executor.
 *
 * Runs in: gateway. Trusts: the authority; broker and executor for their order.
 * Owns: streams and calls of a turn, its timer.
 * Invariants: an admitted turn is settled exactly once, or ended by the authority
 * (revoked, link lost); an event that turn_moves does not allow is our own fault
 * and aborts; nothing of an answer's end leaves before GA_SETTLED.
 * See: turn_moves in turn_table.c; wire/gateway_authority.h.
 */
#include "turn.h"

#include <assert.h>

#include "history.h"
#include "keep.h"
#include "request.h"
#include "routes.h"
#include "sides.h"

static void on_admitted(
    struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_granted(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_settled(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_timeout(struct timeout *timer);
static void on_run_timeout(struct timeout *timer);
static bool may_tell(const struct turn *t);

void
turn_init(struct turn *t, struct request *r)
{
	t->r = r;
	t->timer.fn = on_timeout;
	t->timer.owner = t;
	t->run_timer.fn = on_run_timeout;
	t->run_timer.owner = t;
	turn_reset(t);
}

void
turn_reset(struct turn *t)
{
	assert(t->state == TURN_IDLE && t->call.stream == NULL && t->run.stream == NULL);
	keep_free(t);
	t->error = ERROR_NONE;
	t->id = t->call_id = 0;
	t->revoked = t->attach = t->stream = false;
	t->prompt = NULL;
	answer_over(&t->answer);
	t->upstream_status = 0;
	t->call.have_head = false;
	t->next_call = t->steps_taken = 0;
	t->output_len = 0;
	buf_clear(&t->body);
	buf_clear(&t->more);
	buf_clear(&t->tools);
	buf_clear(&t->upstream);
	t->misfit = NULL;
	t->body.max = BODY_MAX;
	t->more.max = BODY_MAX;
	t->upstream.max = UPSTREAM_ERROR_MAX;
	t->admit = (struct ga_admit){ 0 };
	turn_drop_tools(t);
	t->readmitted = 0;
	t->arguments = SPAN_EMPTY;
	t->sandbox = 0;
}

void
turn_free(struct turn *t)
{
	assert(t->state == TURN_IDLE);
	buf_done(&t->body);
	buf_done(&t->more);
	buf_done(&t->tools);
	buf_done(&t->upstream);
	answer_done(&t->answer);
	run_free(&t->run);
	keep_free(t);
	sides_free(t);
	turn_drop_tools(t);
}

void
turn_event(struct turn *t, enum turn_event event)
{
	const struct turn_move *m = &turn_moves[t->kind][t->state][event];

	assert(m->allowed);
	t->state = m->to;
	if (m->act != NULL)
		m->act(t);
}

void
turn_fail(struct turn *t, enum error error)
{
	if (t->state == TURN_IDLE)
		return;
	if (t->error == ERROR_NONE)
		t->error = error;
	/* The authority is about to answer: then it ends, with nothing left open there. */
	if (t->call_id == 0 && !sides_asked(t))
		turn_event(t, TURN_FAIL);
}

/*
 * The client is told to try again, but the authority may still admit the turn:
 * then it is settled at once. The request waits for that without its client.
 */
static void
admit_late(struct turn *t)
{
	if (t->r->reply == NULL)
		return;
	request_give_up(t->r, ERROR_UNAVAILABLE);
	turn_fail(t, ERROR_CANCELLED);
}

static void
on_timeout(struct timeout *timer)
{
	struct turn *t = timer->owner;

	if (t->state == TURN_ADMIT)
		admit_late(t);
	else
		turn_fail(t, ERROR_TURN_LIMIT);
}

/* Output that waits for the client is no fault of the executor. */
static void
on_run_timeout(struct timeout *timer)
{
	struct turn *t = timer->owner;

	if (t->run.unconsumed > 0) {
		timeout_set(&t->r->g->timeouts, timer, TIMEOUT_RUN, gateway_now(t->r->g));
		return;
	}
	diag(DIAG_WARN, "a run did not end in its time; it is cancelled");
	turn_fail(t, ERROR_UNAVAILABLE);
}

void
turn_start_run(struct turn *t)
{
	struct gateway *g = t->r->g;

	timeout_set_longer(&g->timeouts, &t->run_timer, TIMEOUT_RUN, t->run_ms, gateway_now(g));
	if (!is_ok(run_start(&t->run, g->executor, t->grant)))
		turn_fail(t, ERROR_UNAVAILABLE);
}

void
turn_run_ended(struct turn *t)
{
	timeout_clear(&t->r->g->timeouts, &t->run_timer);
}

bool
turn_room(void *turn)
{
	const struct turn *t = turn;

	return t->r->reply == NULL || t->r->reply->room(t->r);
}

void
turn_writable(struct turn *t)
{
	call_writable(&t->call);
	run_writable(&t->run);
}

/* ---- admission ---- */

static struct status
call_authority(struct turn *t, uint16_t type, const void *msg, uint64_t timeout_ms, link_reply *cb)
{
	struct link *l = t->r->g->authority;

	if (l == NULL)
		return fail(E_CLOSED);
	return link_call(l, type, msg, (uint32_t)timeout_ms, cb, t, &t->call_id);
}

/* Over before it began, or over and settled. */
static void
end_with(struct turn *t, enum error error)
{
	struct request *r = t->r;

	timeout_clear(&r->g->timeouts, &t->timer);
	t->state = TURN_IDLE;
	reply_error(r, error);
	request_over(r);
}

void
turn_admit(struct turn *t, enum turn_kind kind)
{
	struct request *r = t->r;
	struct gateway *g = r->g;

	t->kind = kind;
	t->state = TURN_ADMIT;
	memcpy(t->admit.request_id, r->id, REQUEST_ID_LEN);
	memcpy(t->admit.source, r->address, SOURCE_LEN);
	if (r->pasted && t->admit.credentials == CREDENTIALS_NONE)
		t->admit.credentials = CREDENTIALS_FOUND;
	t->admit.credential = buf_span(&r->credential);
	/* Its answer is waited for as long as the authority may keep the turn: see admit_late(). */
	if (is_ok(call_authority(t, GA_ADMIT, &t->admit,
		g->timeouts.len_ms[TIMEOUT_TURN] + CALL_TIMEOUT_MS, on_admitted)))
		timeout_set(&g->timeouts, &t->timer, TIMEOUT_ADMIT, gateway_now(g));
	else
		end_with(t, ERROR_UNAVAILABLE);
}

void
turn_refuse(struct turn *t, enum error error)
{
	const struct request *r = t->r;

	t->admit = (struct ga_admit){ .refused = (uint16_t)error,
		.endpoint = r->route == NULL ? ENDPOINT_OTHER : (uint8_t)r->route->endpoint,
		.leaked = error == ERROR_LEAKED_KEY ? r->leaked : SPAN_EMPTY,
		.leaked_home = error == ERROR_LEAKED_KEY ? r->leaked_home : 0 };
	turn_admit(t, KIND_PLAIN);
}

static void
keep_admitted(struct turn *t, const struct ga_admitted *m)
{
	struct request *r = t->r;

	t->admitted = *m;
	t->admitted.models = SPAN_EMPTY;
	t->admitted.tools = (struct wire_list){ NULL, 0 };
	t->id = m->turn;
	if (t->kind == KIND_PUSH && m->tools.count == 1)
		t->sandbox = ((const struct ga_tool *)m->tools.items)->sandbox;
	memcpy(t->grant, m->grant, GRANT_LEN);
	r->have_rate = m->limit > 0;
	r->rate_limit = m->limit;
	r->rate_remaining = m->remaining;
	r->rate_reset_ms = m->reset_ms;
	r->retry_after_ms = m->retry_after_ms;
}

/* ---- what is known of the key's tools ---- */

static struct tool_set_key
tools_key(const struct turn *t, struct span name, uint32_t version)
{
	return (struct tool_set_key){ buf_span(&t->r->credential), name, version };
}

static void
use_tools(struct turn *t, struct tool_set *s)
{
	turn_drop_tools(t);
	t->tool_set = s;
	t->offers = s->offers;
}

void
turn_drop_tools(struct turn *t)
{
	tool_set_release(t->tool_set);
	t->tool_set = NULL;
	t->offers = t->offered = (struct tool_offers){ NULL, 0, 0 };
	t->step_tool = NULL;
}

bool
turn_guess_tools(struct turn *t, struct span name, uint32_t version)
{
	const struct tool_set_key k = tools_key(t, name, version);
	struct tool_set *s = tool_sets_find(&t->r->g->tool_sets, &k);

	if (s != NULL)
		use_tools(t, s);
	return s != NULL;
}

/* As the authority tells it now; kept for the key's next request. */
static struct status
take_tools(struct turn *t, const struct ga_admitted *m)
{
	uint32_t named = t->admit.tools & ~(uint32_t)t->admit.attached;
	const struct tool_set_key k = tools_key(
	    t, t->admit.tool_name, t->kind == KIND_CALL ? t->admit.tool_version : named);
	struct tool_set *s;

	TRY(tool_set_new(m, &s));
	use_tools(t, s);
	tool_sets_keep(&t->r->g->tool_sets, &k, s);
	return OK;
}

/* Is there a reason to? */
static bool
asks_anew(const struct turn *t, const struct ga_admitted *m)
{
	if (t->kind == KIND_CONTENT)
		return m->mask != 0 && t->admit.credentials == CREDENTIALS_FOUND;
	return m->attach != t->admit.attached || m->catalog != t->admit.catalog;
}

/* Nothing was admitted: the policy adds a tool, users' tools changed, or the client is gone. */
static void
admit_again(struct turn *t, const struct ga_admitted *m)
{
	enum error error = t->error;

	if (error == ERROR_NONE && (t->kind == KIND_EXECUTE || t->kind == KIND_PUSH))
		error = ERROR_INTERNAL;
	if (error == ERROR_NONE && t->readmitted++ == READMITTED_MAX)
		error = ERROR_UNAVAILABLE; /* they change without end */
	if (error == ERROR_NONE && !asks_anew(t, m))
		error = ERROR_INTERNAL;
	if (error == ERROR_NONE && t->kind != KIND_CONTENT && !is_ok(take_tools(t, m)))
		error = ERROR_OVERLOADED;
	if (error != ERROR_NONE)
		end_with(t, error);
	else
		turn_event(t, TURN_ATTACH);
}

static void
on_admitted(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct turn *t = ctx;
	const struct ga_admitted *m = msg;

	(void)l;
	t->call_id = 0;
	timeout_clear(&t->r->g->timeouts, &t->timer);
	if (!is_ok(st) || type != GA_ADMITTED) {
		end_with(t, ERROR_UNAVAILABLE);
		return;
	}
	keep_admitted(t, m);
	if (m->error == ERROR_CREDENTIAL_IN_CONTENT && t->admit.refused == ERROR_NONE)
		t->r->detail = "the policy of this key refuses every request with one";
	if (m->error != ERROR_NONE || t->admit.refused != ERROR_NONE) {
		end_with(t, m->error != ERROR_NONE ? m->error : t->admit.refused);
		return;
	}
	if (t->kind == KIND_PLAIN) {
		t->state = TURN_IDLE;
		t->r->route->told(t, m);
		request_over(t->r);
		return;
	}
	if (t->id == 0) {
		admit_again(t, m);
		return;
	}
	timeout_set(&t->r->g->timeouts, &t->timer, TIMEOUT_TURN, gateway_now(t->r->g));
	if (t->kind == KIND_MODEL && t->error == ERROR_NONE)
		t->error = history_begin(t);
	if (t->error != ERROR_NONE)
		turn_event(t, TURN_FAIL);
	else
		turn_event(t, t->admit.content_op == CONTENT_LOAD ? TURN_NEXT_LOAD : TURN_GO);
}

/* ---- further effects ---- */

void
turn_step(struct turn *t, const struct ga_step *step)
{
	if (!is_ok(call_authority(t, GA_STEP, step, CALL_TIMEOUT_MS, on_granted)))
		turn_fail(t, ERROR_UNAVAILABLE);
}

static void
on_granted(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct turn *t = ctx;
	const struct ga_granted *m = msg;
	enum error error;

	(void)l;
	t->call_id = 0;
	error = is_ok(st) && type == GA_GRANTED ? (enum error)m->error : ERROR_UNAVAILABLE;
	if (t->error != ERROR_NONE) {
		turn_event(t, TURN_FAIL);
	} else if (error != ERROR_NONE) {
		if (t->state == TURN_GRANT_RUN && step_refused(t, error))
			return;
		if (is_ok(st) && m->retry_after_ms > 0)
			t->r->retry_after_ms = m->retry_after_ms;
		turn_fail(t, error);
	} else if (t->state == TURN_GRANT_RUN && t->misfit != NULL) {
		turn_fail(t, ERROR_INTERNAL); /* nobody grants that */
	} else {
		memcpy(t->grant, m->grant, GRANT_LEN);
		turn_event(t, TURN_GO);
	}
}

/* ---- the end ---- */

static void
stop_effects(struct turn *t)
{
	call_cancel(&t->call);
	run_cancel(&t->run);
	sides_cancel(t);
	keep_cancel(t);
	turn_run_ended(t);
	timeout_clear(&t->r->g->timeouts, &t->timer);
}

/* A model answers, and is not heard to its end: what it said is paid for all the same. */
static bool
was_cut(const struct turn *t)
{
	return t->error != ERROR_NONE && t->call.have_head && t->upstream_status == 0 &&
	       t->r->route->endpoint != ENDPOINT_COUNT_TOKENS;
}

/* Action of TURN_SETTLE. */
void
turn_settle(struct turn *t)
{
	struct ga_settle settle = { .turn = t->id, .error = (uint16_t)t->error };

	stop_effects(t);
	if (t->kind == KIND_MODEL) {
		if (was_cut(t))
			answer_cut(&t->answer, t->body_len);
		settle.tokens_in = t->answer.tokens_in;
		settle.tokens_out = t->answer.tokens_out;
		settle.estimated = t->answer.estimated;
		settle.tokens_cached = t->answer.details.cached;
		settle.tokens_cache_written = t->answer.details.cache_written;
		settle.tokens_reasoning = t->answer.details.reasoning;
	}
	if (!t->revoked &&
	    is_ok(call_authority(t, GA_SETTLE, &settle, CALL_TIMEOUT_MS, on_settled)))
		return;
	if (t->error == ERROR_NONE)
		t->error = ERROR_UNAVAILABLE;
	turn_event(t, TURN_SETTLED);
}

/*
 * Why a turn ended is told by the authority. A run or a call that it cancelled may
 * be heard of first; "cancelled" is then no reason of its own.
 */
static bool
may_tell(const struct turn *t)
{
	return t->error == ERROR_NONE || t->error == ERROR_CANCELLED;
}

static void
on_settled(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct turn *t = ctx;
	const struct ga_settled *m = msg;

	(void)l;
	t->call_id = 0;
	if (!is_ok(st) || type != GA_SETTLED) {
		if (t->error == ERROR_NONE)
			t->error = ERROR_UNAVAILABLE;
	} else if (may_tell(t) && m->error != ERROR_NONE) {
		t->error = m->error;
	}
	turn_event(t, TURN_SETTLED);
}

/* KIND_PLAIN has no turn that could end well. */
static void (*const finish[KIND_COUNT])(struct turn *t) = {
	[KIND_MODEL] = loop_finish,
	[KIND_EXECUTE] = execute_finish,
	[KIND_PUSH] = tool_push_finish,
	[KIND_CALL] = tool_call_finish,
	[KIND_CONTENT] = keep_finish,
};

/* Action of TURN_IDLE. */
void
turn_finish(struct turn *t)
{
	struct request *r = t->r;

	if (t->error != ERROR_NONE)
		reply_error(r, t->error);
	else
		finish[t->kind](t);
	request_over(r);
}

void
turn_revoke(struct turn *t, enum error error)
{
	if (t->state == TURN_IDLE)
		return;
	if (t->call_id != 0 && t->r->g->authority != NULL)
		link_call_cancel(t->r->g->authority, t->call_id);
	t->call_id = 0;
	sides_forget(t);
	t->revoked = true;
	if (may_tell(t))
		t->error = error;
	if (t->id == 0) {
		end_with(t, t->error);
		return;
	}
	turn_event(t, TURN_FAIL);
}
