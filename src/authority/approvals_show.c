/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals_show.c: acts that wait for a second person, as they are told.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks. Owns: nothing.
 * Invariants: who decides sees all that was asked for; nobody sees what is about another tenant,
 * nor what is not on record yet; how it ended is for who asked and for who might have decided; who
 * was erased is not named.
 * See: approvals.c.
 */
#include "approvals.h"

#include <stdio.h>

#include <json/write.h>

static const char *const state_names[] = { [WAITING] = "waiting",
	[DECIDING] = "deciding",
	[GIVEN] = "approved",
	[DOING] = "deciding",
	[DONE] = "done",
	[FAILED] = "failed",
	[REFUSED] = "refused" };

/* Operators see all of them, a person those that are about its tenant. */
static bool
is_seen(const struct approval *p, const struct key *by)
{
	return p->state > ASKING && (by == NULL || span_eq_str(by->user->tenant, p->tenant));
}

struct approval *
approval_find(const struct key *by, struct span id)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		struct approval *p = approval_at(i);

		if (is_seen(p, by) && span_eq_str(id, p->id))
			return p;
	}
	return NULL;
}

/* All that was asked for: its body has passed a schema, and those of acts for two hold no secret.
 */
static struct status
put_request(const struct approval *p, struct json_writer *w)
{
	struct span all = buf_span(&p->request);
	struct span path = span_from(all, p->method_len);
	struct span query = span_from(path, p->path_len);
	struct span body = span_from(query, p->query_len);

	json_put_key(w, "method");
	json_put_str(w, span_of(all.ptr, p->method_len));
	json_put_key(w, "path");
	json_put_str(w, span_of(path.ptr, p->path_len));
	json_put_key(w, "query");
	json_put_str(w, span_of(query.ptr, p->query_len));
	json_put_key(w, "body");
	if (body.len > 0)
		json_put_raw(w, body);
	else
		json_put_null(w);
	return OK;
}

/* The act's status, and what was wrong; of a key that was made, its text is for who approved. */
static void
put_end(const struct approval *p, struct json_writer *w)
{
	json_put_key(w, "status");
	json_put_u64(w, p->http);
	if (p->error == NULL)
		return;
	json_put_key(w, "error");
	json_put_text(w, p->error);
}

static void
put_by(const struct approval *p, struct json_writer *w)
{
	const struct user *asker = approval_asker(p);

	json_put_key(w, "by");
	if (p->by == NULL)
		json_put_text(w, "operator");
	else if (asker != NULL)
		json_put_str(w, asker->name);
	else
		json_put_null(w);
}

static struct status
put_members(const struct approval *p, struct json_writer *w)
{
	json_put_key(w, "id");
	json_put_text(w, p->id);
	json_put_key(w, "operation");
	json_put_text(w, action_name(p->action));
	json_put_key(w, "state");
	json_put_text(w, state_names[p->state]);
	if (!approval_has_ended(p))
		TRY(put_request(p, w));
	if (p->http != 0)
		put_end(p, w);
	put_by(p, w);
	json_put_key(w, "expires_s");
	json_put_u64(w, p->expires_s);
	return OK;
}

static struct status
put_one(const struct approval *p, struct json_writer *w)
{
	json_put_object(w);
	TRY(put_members(p, w));
	json_put_end(w);
	return OK;
}

struct status
approval_put_asked(struct admin_op *op, struct json_writer *w)
{
	json_put_key(w, "approval");
	return put_one(op->approval, w);
}

static struct status
make_list(struct admin_op *op, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "approvals");
	json_put_array(&w);
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		const struct approval *p = approval_at(i);

		if (is_seen(p, op->by) && !approval_has_ended(p))
			TRY(put_one(p, &w));
	}
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static struct status
make_one(const struct approval *p, struct buf *out)
{
	struct json_writer w = json_writer(out);

	TRY(put_one(p, &w));
	return json_writer_finish(&w);
}

/* It may have gone while the record was on its way. */
static void
on_get(struct admin_op *op)
{
	const struct approval *p = approval_find(op->by, span_str(op->value_text));

	if (p == NULL)
		admin_op_answer(op, 404, "not_found", "There is no such object.");
	else if (is_ok(make_one(p, &op->body)))
		admin_op_answer_body(op, 200);
	else
		admin_op_answer(op, 500, "internal_error", "The answer could not be made.");
}

struct status
approvals_get(struct admin_call *c)
{
	const struct approval *p = approval_find(c->by, c->param);
	struct admin_op *op = NULL;

	if (p == NULL || now_ms(c->a) >= p->until_ms ||
	    !(admin_has(c, p->action) || approval_is_by(p, c)))
		return admin_refuse_not_found(c);
	TRY(admin_read_new(c, "approvals.get", NULL, &op));
	(void)snprintf(op->value_text, sizeof(op->value_text), "%s", p->id);
	return admin_op_begin(op, on_get, c->op);
}

struct status
approvals_list(struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_read_new(c, "approvals.list", make_list, &op));
	return admin_read_begin(c, op);
}
