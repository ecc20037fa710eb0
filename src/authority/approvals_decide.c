/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals_decide.c: acts that need two people, decided and done.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks. Owns: nothing.
 * Invariants: who asked never decides; who decides has the right to the act; what was decided is
 * done once or not at all, as the act of who asked.
 * See: approvals.c.
 */
#include "approvals.h"

#include <base/cleanup.h>
#include <json/write.h>

static void on_decided(struct admin_op *op);
static void undo_decision(struct admin_op *op);
static void on_result(void *ctx, uint16_t http, struct span body);

/* A key's text is in the answer: as if who approves had made it. */
static struct status
may_have_answer(struct admin_call *c, enum action action)
{
	if (action != ACTION_SERVICE_KEY || c->by == NULL)
		return OK;
	TRY(admin_may_get_keys(c));
	if (admin_is_narrow(c->by))
		return admin_refuse(c, 403, "denied", "A narrowed credential makes no keys.");
	return OK;
}

struct status
approvals_decide(struct admin_call *c)
{
	bool approve = json_str_eq_str(c->doc, json_get_str(c->doc, 0, "decision"), "approve");
	struct approval *p = approval_find(c->by, c->param);
	struct status st;

	if (p == NULL || (p->state != WAITING && (approve || p->state != GIVEN)) ||
	    now_ms(c->a) >= p->until_ms)
		return admin_refuse_not_found(c);
	TRY(admin_may(c, p->action));
	TRY(admin_not_narrow(c));
	if (approve && approval_is_by(p, c))
		return admin_refuse(
		    c, 403, "same_person", "Another person must approve what you have asked for.");
	if (approve)
		TRY(may_have_answer(c, p->action));
	p->given = p->state == GIVEN;
	p->state = DECIDING;
	st = approval_begin_record(
	    c, p, approve ? "approved" : "refused", on_decided, undo_decision);
	if (!is_ok(st))
		p->state = p->given ? GIVEN : WAITING;
	return st;
}

/* The act of who asked, on record as theirs, answered to who approved. */
static struct status
run(struct admin_op *op, struct approval *p, struct admin_op **act, struct admin_call *c)
{
	struct span all = buf_span(&p->request);
	struct span path = span_from(all, p->method_len);
	struct span query = span_from(path, p->path_len);

	*c = (struct admin_call){ .a = op->a,
		.uid = p->uid,
		.by = p->by,
		.source = span_str(p->source),
		.reply = on_result,
		.ctx = op,
		.op = act,
		.method = span_of(all.ptr, p->method_len),
		.path = span_of(path.ptr, p->path_len),
		.query = span_of(query.ptr, p->query_len),
		.body = span_from(query, p->query_len),
		.approved = true };
	if (p->by != NULL)
		c->request_id = op->request_id;
	return admin_dispatch(c);
}

/* From now on, for as long as one waits. */
static void
give(const struct authority *a, struct approval *p)
{
	p->state = GIVEN;
	p->until_ms = now_ms(a) + APPROVAL_TTL_MS;
	p->expires_s = now_real_s() + APPROVAL_TTL_MS / 1000;
}

static void
undo_decision(struct admin_op *op)
{
	op->approval->state = op->approval->given ? GIVEN : WAITING;
}

static void
on_decided(struct admin_op *op)
{
	struct approval *p = op->approval;
	struct admin_op *act = NULL;
	struct admin_call c;

	op->body = BUF_INIT(ADMIN_BODY_MAX);
	if (strcmp(op->value, "refused") == 0) {
		approval_end(op->a, p, REFUSED, 0, NULL);
		on_result(op, 0, SPAN_EMPTY);
		return;
	}
	if (!approval_may_still(op->a, p)) {
		approval_end(op->a, p, FAILED, 409, "not_allowed");
		admin_op_answer(op, 409, "not_allowed",
		    "Who asked may not do that any more, or whom it is about is another.");
	} else if (action_is_given(p->action)) {
		give(op->a, p);
		on_result(op, 0, SPAN_EMPTY);
		return;
	} else if (is_ok(run(op, p, &act, &c))) {
		approval_end(op->a, p, DOING, 0, NULL);
		op->deadline_ms = act->deadline_ms + ADMIN_WAIT_MS; /* it answers first */
	} else {
		approval_end(op->a, p, FAILED, c.http, c.code);
		admin_op_answer(op, c.http, c.code, c.message);
	}
}

/* The name of an error, which is in a table; NULL: it is none. */
static const char *
error_of(struct span body)
{
	auto_json struct json_doc d = { 0 };
	const struct json_opts opts = { .depth_max = 8, .tokens_max = 4096 };
	uint32_t code;

	if (!is_ok(json_init(&d, &opts)) || !is_ok(json_parse(&d, body)))
		return NULL;
	code = json_get_str(&d, json_get_str(&d, 0, "error"), "code");
	for (size_t i = 0; code != JSON_NONE && i < admin_codes_count; i++) {
		if (json_str_eq_str(&d, code, admin_codes[i].code))
			return admin_codes[i].code;
	}
	return NULL;
}

static void
note_result(struct approval *p, uint16_t http, struct span body)
{
	p->state = http < 400 ? DONE : FAILED;
	p->http = http;
	p->error = http < 400 ? NULL : error_of(body);
}

static struct status
put_result(struct admin_op *op, uint16_t http, struct span body, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "id");
	json_put_text(&w, op->value_text);
	json_put_key(&w, "state");
	json_put_text(&w, op->value);
	if (http != 0) {
		json_put_key(&w, "status");
		json_put_u64(&w, http);
		json_put_key(&w, "result");
		json_put_raw(&w, body);
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
on_result(void *ctx, uint16_t http, struct span body)
{
	struct admin_op *op = ctx;

	if (approval_is_of(op) && op->approval->state == DOING)
		note_result(op->approval, http, body);
	/* Room first: a new key's text is in it, and no half of it stays where a buffer was. */
	if (is_ok(buf_reserve(&op->body, body.len + 512)) &&
	    is_ok(put_result(op, http, body, &op->body)))
		admin_op_answer_body(op, 200);
	else
		admin_op_answer(op, 500, "internal_error", "The answer could not be made.");
}
