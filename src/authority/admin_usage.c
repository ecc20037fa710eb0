/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_usage.c: what keys have used, for operators: a page of sums.
 *
 * Runs in: authority. Trusts: whoever may open the management socket.
 * Owns: nothing. Invariants: reading it is on record; what is counted here is
 * sent to the store first, so that a page is at most a second behind; one page at a time of each
 * caller, and the store looks at a bounded part for each.
 * See: admin_op.h, usage.c, src/store/usage.c.
 */
#include "admin_op.h"

#include <json/write.h>

#define ASKED_MAX 16 /* parts of the store that were empty, in one answer */

static void on_record(struct admin_op *op);
static void on_page(struct authority *a, void *ctx, enum code code, const void *answered);

static struct status
take_filter(struct admin_op *op, const struct admin_usage *f)
{
	op->since_day = f->since_s / 86400 > UINT32_MAX ? UINT32_MAX
							: (uint32_t)(f->since_s / 86400);
	op->after_user = f->after_user;
	op->after_key = f->after_key;
	TRY(span_to_cstr(f->after_model, op->after_model, sizeof(op->after_model)));
	TRY(span_to_cstr(f->tenant, op->tenant, sizeof(op->tenant)));
	TRY(span_to_cstr(f->key, op->name, sizeof(op->name)));
	TRY(span_to_cstr(f->user, op->user, sizeof(op->user)));
	return span_to_cstr(f->model, op->model, sizeof(op->model));
}

struct status
admin_read_usage(const struct admin_call *c, const struct admin_usage *f)
{
	struct admin_op *op = NULL;
	struct status st;

	if (c->by != NULL && admin_ops_of(OP_USAGE, c->by->user) > 0)
		return fail(E_EXISTS);
	TRY(admin_op_new(c, OP_USAGE, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	st = take_filter(op, f);
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	return admin_op_begin(op, on_record, c->op);
}

static void
put_read(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("usage"));
	batch_text(b, "usage.read");
	admin_put_by(op, b);
}

static void
ask(struct admin_op *op)
{
	const struct as_usage_list m = { .since_day = op->since_day,
		.after_user = op->after_user,
		.after_key = op->after_key,
		.after_model = span_str(op->after_model),
		.tenant = span_str(op->tenant),
		.key = span_str(op->name),
		.user = span_str(op->user),
		.model = span_str(op->model) };

	admin_op_ask(op, AS_USAGE_LIST, &m, AS_USAGE, on_page);
}

static void
on_record(struct admin_op *op)
{
	usage_flush(op->a);
	ask(op);
}

static void
put_row(struct json_writer *w, const struct as_usage_row *r)
{
	const struct {
		const char *name;
		uint64_t count;
	} counts[] = {
		{ "requests", r->requests },
		{ "errors", r->errors },
		{ "tokens_in", r->tokens_in },
		{ "tokens_out", r->tokens_out },
		{ "tokens_in_cached", r->cached_in },
		{ "tokens_in_cache_written", r->cache_written_in },
		{ "tokens_out_reasoning", r->reasoning_out },
		{ "estimated_requests", r->estimated },
		{ "estimated_tokens_in", r->estimated_in },
		{ "estimated_tokens_out", r->estimated_out },
	};

	json_put_object(w);
	json_put_key(w, "key");
	json_put_str(w, span_of(r->id, sizeof(r->id)));
	json_put_key(w, "tenant");
	json_put_str(w, r->tenant);
	json_put_key(w, "user");
	json_put_str(w, r->user);
	json_put_key(w, "model");
	if (r->model.len > 0)
		json_put_str(w, r->model);
	else
		json_put_null(w);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		json_put_key(w, counts[i].name);
		json_put_u64(w, counts[i].count);
	}
	json_put_end(w);
}

static struct status
put_page(const struct as_usage *m, struct buf *out)
{
	const struct as_usage_row *rows = m->rows.items;
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "usage");
	json_put_array(&w);
	for (uint32_t i = 0; i < m->rows.count; i++)
		put_row(&w, &rows[i]);
	json_put_end(&w);
	json_put_key(&w, "next");
	if (m->next_user == 0) {
		json_put_null(&w);
	} else {
		json_put_object(&w);
		json_put_key(&w, "after_user");
		json_put_u64(&w, m->next_user);
		json_put_key(&w, "after_key");
		json_put_u64(&w, m->next_key);
		json_put_key(&w, "after_model");
		json_put_str(&w, m->next_model);
		json_put_end(&w);
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* There was nothing in the part that the store looked at: the next one. */
static bool
go_on(struct admin_op *op, const struct as_usage *m)
{
	if (m->rows.count > 0 || m->next_user == 0 || op->export.asked++ == ASKED_MAX)
		return false;
	op->after_user = m->next_user;
	op->after_key = m->next_key;
	return is_ok(span_to_cstr(m->next_model, op->after_model, sizeof(op->after_model)));
}

static void
on_page(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct admin_op *op = ctx;

	(void)a;
	if (code == E_AGAIN)
		admin_op_answer(
		    op, 409, "begin_anew", "What the cursor stood at is gone: begin anew.");
	else if (code != E_OK || answered == NULL)
		admin_op_answer(op, 503, "store_unavailable", "The store did not answer.");
	else if (go_on(op, answered))
		ask(op);
	else if (is_ok(put_page(answered, &op->body)))
		admin_op_answer(op, 200, NULL, NULL);
	else
		admin_op_answer(op, 500, "internal_error", "The page could not be made.");
}

const struct admin_kind admin_usage_kind = { put_read, NULL, true, ADMIN_WAIT_MS };
