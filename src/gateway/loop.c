/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c: a request to a model: the loop model, code, sandbox, model.
 *
 * Runs in: gateway. Trusts: nothing of client, model, provider or code.
 * Owns: the provider's body, the steps so far.
 * Invariants: what was hashed for the authority is what is sent; steps are
 * bounded by the authority's steps_max, output by turn_output_max.
 * See: turn_table.c for the order; step.c for one step; dialect.h, answer.c.
 */
#include <base/cleanup.h>
#include <crypto/hash.h>

#include "history.h"
#include "keep.h"
#include "request.h"
#include "routes.h"
#include "step.h"
#include "strict.h"
#include "tool_offer.h"

static bool on_head(struct call *c, const struct gb_head *h, void *ctx);
static bool on_data(struct call *c, struct span data, void *ctx);
static void on_done(struct call *c, void *ctx);
static void on_failed(struct call *c, enum error error, void *ctx);
static void on_sent(struct call *c, void *ctx);

static const struct call_ops call_ops = { on_head, on_data, on_done, on_failed, turn_room,
	on_sent };

static struct status
emit(void *ctx, struct span name, struct span json)
{
	struct turn *t = ctx;

	reply_event(t->r, name, json);
	return OK;
}

/* The provider's body, and its hash for whoever grants and acts. */
static struct status
write_body(struct turn *t)
{
	const struct edits e = { .attach = t->attach,
		.before = history_before(t),
		.tools = buf_span(&t->tools),
		.more = buf_span(&t->more) };

	buf_clear(&t->body);
	TRY(t->answer.dialect->write(t->prompt, &e, &t->body, &t->model_off));
	t->body_len = (uint32_t)t->body.len;
	return sha256(buf_span(&t->body), t->digest);
}

static void
admit(struct turn *t)
{
	struct status st = write_body(t);

	t->admit.body_len = t->body_len;
	if (is_ok(st) && history_loads(t))
		st = history_ask(t);
	if (!is_ok(st)) {
		turn_refuse(t, st.code == E_FULL ? ERROR_BODY_TOO_LARGE : ERROR_INTERNAL);
		return;
	}
	t->admit.endpoint = (uint8_t)t->r->route->endpoint;
	t->admit.model = t->prompt->model;
	t->admit.model_off = t->model_off;
	t->admit.tools = t->answer.calls.interpreter ? TOOL_CODE_INTERPRETER : 0;
	t->admit.attached = t->attach ? TOOL_CODE_INTERPRETER : 0;
	t->admit.catalog = t->offers.catalog;
	t->admit.tokens_in = answer_estimate(t->body_len);
	t->admit.size_bytes = t->body_len;
	t->admit.store = t->prompt->store;
	memcpy(t->admit.digest, t->digest, DIGEST_LEN);
	turn_admit(t, KIND_MODEL);
}

/* The model is there, its provider speaks the endpoint, and takes all fields. */
static enum error
check_model(struct request *r, const struct prompt *p)
{
	enum error error = gateway_model(r->g, p->model, r->route->endpoint);
	uint32_t unknown;

	if (error != ERROR_NONE || !gateway_model_is_strict(r->g, p->model, r->route->endpoint))
		return error;
	unknown = strict_find_unknown(&r->g->doc, *r->route->schema);
	if (unknown == JSON_NONE)
		return ERROR_NONE;
	request_blame(r, &r->g->doc, unknown, "is unknown, and this model takes no unknown fields");
	return ERROR_INVALID_FIELD;
}

static enum error
read_prompt(struct turn *t)
{
	struct request *r = t->r;
	const struct dialect *dialect = r->route->dialect;
	struct prompt *p = NULL;
	struct fault fault;
	struct status st = dialect->read(&r->g->doc, &r->arena, &p, &fault);

	if (st.code == E_SYNTAX) {
		request_blame(r, &r->g->doc, fault.tok, fault.message);
		return fault.error;
	}
	if (is_ok(st))
		st = answer_start(&t->answer, dialect, p, &r->arena, &r->g->answer_doc);
	if (!is_ok(st))
		return st.code == E_NOMEM ? ERROR_OVERLOADED : ERROR_INTERNAL;
	t->answer.emit = emit;
	t->answer.ctx = t;
	t->prompt = p;
	t->stream = p->stream;
	return check_model(r, p);
}

/*
 * Our tool, where the policy attaches it, and users' tools into the body that is made next.
 * State: the client's body lies parsed in g->doc. E_SYNTAX: it clashes; E_FULL, E_NOMEM.
 */
static struct status
add_tools(struct turn *t)
{
	t->attach = t->tool_set != NULL && t->tool_set->attach != 0;
	if (t->attach && (t->prompt->interpreter || !t->prompt->attachable))
		return fail(E_SYNTAX);
	t->answer.calls.interpreter = t->attach || t->prompt->interpreter;
	return tool_offer_all(t);
}

/* What is known since an earlier request; where it does not fit, the authority is asked first. */
static void
guess_tools(struct turn *t)
{
	if (!endpoint_rows[t->r->route->endpoint].takes_tools ||
	    !turn_guess_tools(t, SPAN_EMPTY, t->prompt->interpreter) || is_ok(add_tools(t)))
		return;
	turn_drop_tools(t);
	(void)is_ok(add_tools(t)); /* none */
}

void
loop_run(struct request *r)
{
	struct turn *t = &r->turn;
	enum error error = read_prompt(t);

	if (error != ERROR_NONE) {
		turn_refuse(t, error);
		return;
	}
	guess_tools(t);
	admit(t);
}

/* The policy wants our tool in it, or users' tools: the same request again, with them. */
void
loop_admit_again(struct turn *t)
{
	/* The client's body once more: the worker's document has served others since. */
	struct status st = json_parse(&t->r->g->doc, t->prompt->body);

	if (is_ok(st))
		st = add_tools(t);
	if (is_ok(st)) {
		admit(t);
		return;
	}
	if (st.code == E_SYNTAX)
		t->r->detail = "clashes with the tool that the policy of this key adds";
	turn_refuse(t, st.code == E_SYNTAX ? ERROR_INVALID_FIELD
		       : st.code == E_FULL ? ERROR_BODY_TOO_LARGE
					   : ERROR_OVERLOADED);
}

/* ---- one model call ---- */

void
loop_ask(struct turn *t)
{
	t->call.ops = &call_ops;
	t->call.ctx = t;
	t->upstream_status = 0;
	t->answer_len = 0;
	if (!is_ok(call_start(&t->call, t->r->g->broker, t->grant, buf_span(&t->body), t->stream)))
		turn_fail(t, ERROR_UNAVAILABLE);
}

static bool
fail_call(struct turn *t, enum error error)
{
	call_cancel(&t->call);
	turn_fail(t, error);
	return false;
}

static bool
on_head(struct call *c, const struct gb_head *h, void *ctx)
{
	struct turn *t = ctx;

	(void)c;
	if (h->status < 200 || h->status > 299) {
		t->upstream_status = h->status;
		t->r->retry_after_ms = h->retry_after_ms;
		return true;
	}
	if ((h->sse != 0) != t->stream)
		return fail_call(t, ERROR_UPSTREAM);
	if (t->stream && !t->r->head_sent)
		reply_stream(t->r);
	return true;
}

static enum error
answer_error(struct status st)
{
	if (st.code == E_PROTO || st.code == E_SYNTAX)
		return ERROR_UPSTREAM;
	if (st.code == E_AGAIN)
		return ERROR_UPSTREAM_BUSY;
	return st.code == E_FULL ? ERROR_TURN_LIMIT : ERROR_INTERNAL;
}

static bool
on_data(struct call *c, struct span data, void *ctx)
{
	struct turn *t = ctx;
	struct status st;

	(void)c;
	if (t->upstream_status != 0) {
		if (t->upstream.len + data.len <= UPSTREAM_ERROR_MAX)
			st = buf_put_span(&t->upstream, data);
		else
			st = OK; /* too long to be told */
		return is_ok(st) ? true : fail_call(t, ERROR_INTERNAL);
	}
	t->answer_len += data.len;
	st = t->answer_len > ANSWER_MAX ? fail(E_FULL) : answer_feed(&t->answer, data);
	return is_ok(st) ? true : fail_call(t, answer_error(st));
}

static void
on_failed(struct call *c, enum error error, void *ctx)
{
	(void)c;
	turn_fail(ctx, error);
}

/* A stream may last long: it keeps nothing that was for its beginning. */
static void
on_sent(struct call *c, void *ctx)
{
	struct turn *t = ctx;

	(void)c;
	buf_done(&t->body);
}

/* What a provider says about a bad request is for its sender; anything else is not. */
static enum error
upstream_error(struct turn *t)
{
	struct request *r = t->r;
	uint32_t message;

	if (t->upstream_status == 429) {
		r->detail = "The model's provider limits the rate.";
		return ERROR_RATE_LIMIT;
	}
	if (t->upstream_status == 408 || t->upstream_status == 504)
		return ERROR_UPSTREAM_TIMEOUT;
	if (t->upstream_status == 529)
		return ERROR_UPSTREAM_BUSY;
	if (t->upstream_status != 400 && t->upstream_status != 413 && t->upstream_status != 422)
		return ERROR_UPSTREAM;
	if (!is_ok(json_parse(&r->g->answer_doc, buf_span(&t->upstream))))
		return ERROR_UPSTREAM;
	message = json_get_str(
	    &r->g->answer_doc, json_get_str(&r->g->answer_doc, 0, "error"), "message");
	r->upstream.max = UPSTREAM_MESSAGE_MAX;
	if (is_ok(json_str_put(&r->g->answer_doc, message, &r->upstream)))
		r->status = t->upstream_status;
	return ERROR_UPSTREAM;
}

static void
on_done(struct call *c, void *ctx)
{
	struct turn *t = ctx;
	enum answer_next next = ANSWER_FINAL;
	struct status st;

	(void)c;
	if (t->upstream_status != 0) {
		turn_fail(t, upstream_error(t));
		return;
	}
	st = answer_end(&t->answer, t->body_len, &next);
	if (!is_ok(st)) {
		turn_fail(t, answer_error(st));
		return;
	}
	if (next == ANSWER_FINAL) {
		turn_event(t, history_saves(t) ? TURN_NEXT_SAVE : TURN_ANSWERED);
		return;
	}
	t->next_call = 0;
	st = t->answer.dialect->put_calls(&t->answer, &t->more);
	if (is_ok(st))
		step_next(t);
	else
		turn_fail(t, answer_error(st));
}

/* ---- the next one ---- */

static void
grant_model(struct turn *t)
{
	struct ga_step step = { .turn = t->id, .kind = STEP_MODEL };

	if (!is_ok(write_body(t))) {
		turn_fail(t, ERROR_TURN_LIMIT);
		return;
	}
	step.size_bytes = step.body_len = t->body_len;
	step.model_off = t->model_off;
	memcpy(step.digest, t->digest, DIGEST_LEN);
	turn_step(t, &step);
}

void
loop_grant_model(struct turn *t)
{
	answer_again(&t->answer);
	t->call.have_head = false;
	grant_model(t);
}

/* The first one, once what was before it is there. */
void
history_grant_model(struct turn *t)
{
	t->r->detail = "the turn and what was before it are larger than a request may be";
	grant_model(t);
}

/* ---- the end ---- */

void
loop_finish(struct turn *t)
{
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct status st;

	if (answer_is_verbatim(&t->answer)) {
		reply_json(t->r, 200, buf_span(&t->answer.whole));
		return;
	}
	st = answer_release(&t->answer, &out);
	if (!is_ok(st)) {
		reply_error(t->r, answer_error(st));
		return;
	}
	if (!t->stream) {
		reply_json(t->r, 200, buf_span(&out));
		return;
	}
	if (t->answer.dialect->end_mark != NULL)
		reply_event(t->r, SPAN_EMPTY, span_str(t->answer.dialect->end_mark));
	reply_end(t->r);
}
