/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stored.c: responses that are kept, and what all answers about kept things have.
 *
 * Runs in: gateway. Trusts: the store. Owns: nothing.
 * Invariants: a response is told as it was at its end: `meta` is the object with an empty
 * output, into which its items go.
 * See: history.c, which saves them; keep.c.
 */
#include "stored.h"

#include <base/cleanup.h>

#include "keep.h"
#include "query.h"
#include "request.h"
#include "routes.h"

#define INPUT_LIMIT 20 /* of a page, without a word */
#define ANSWER_LEN_MAX (2UL * CONTENT_ANSWER_MAX)

bool
stored_id_ok(struct span id)
{
	return keep_id_ok(id) && span_starts(id, SPAN_LIT("resp_"));
}

void
stored_take_page(const struct request *r, uint32_t limit, struct content_request *req)
{
	const struct page *p = query_page(r);

	req->limit = p->limit > 0 ? p->limit : limit;
	req->descending = !p->ascending;
	req->after = span_str(p->after);
	req->tag = span_str(p->purpose);
}

void
stored_answer(struct request *r, const struct json_writer *w)
{
	if (is_ok(json_writer_finish(w)))
		reply_json(r, 200, buf_span(w->out));
	else
		reply_error(r, ERROR_INTERNAL);
}

void
stored_answer_deleted(struct request *r, const char *object)
{
	auto_buf struct buf out = BUF_INIT(4096);
	struct json_writer w = json_writer(&out);

	json_put_object(&w);
	json_put_key(&w, "id");
	json_put_str(&w, r->route_param);
	json_put_key(&w, "object");
	json_put_text(&w, object);
	json_put_key(&w, "deleted");
	json_put_bool(&w, true);
	json_put_end(&w);
	stored_answer(r, &w);
}

static void
put_id(const struct content_item *items, uint32_t count, uint32_t at, struct json_writer *w)
{
	if (count == 0)
		json_put_null(w);
	else
		json_put_str(w, items[at].id);
}

void
stored_answer_items(struct request *r, const struct content_item *items, uint32_t count, bool more)
{
	auto_buf struct buf out = BUF_INIT(ANSWER_LEN_MAX);
	struct json_writer w = json_writer(&out);

	json_put_object(&w);
	json_put_key(&w, "object");
	json_put_text(&w, "list");
	json_put_key(&w, "data");
	json_put_array(&w);
	for (uint32_t i = 0; i < count; i++)
		json_put_raw(&w, items[i].json);
	json_put_end(&w);
	json_put_key(&w, "first_id");
	put_id(items, count, 0, &w);
	json_put_key(&w, "last_id");
	put_id(items, count, count - 1, &w);
	json_put_key(&w, "has_more");
	json_put_bool(&w, more);
	json_put_end(&w);
	stored_answer(r, &w);
}

/* ---- responses ---- */

void
stored_get_run(struct request *r)
{
	const struct content_request req = { .limit = 0 };

	keep_ask(r, CONTENT_READ, CONTENT_RESPONSE, r->route_param, &req, NULL);
}

void
stored_delete_run(struct request *r)
{
	const struct content_request req = { .limit = 0 };

	keep_ask(r, CONTENT_DELETE, CONTENT_RESPONSE, r->route_param, &req, NULL);
}

void
stored_input_run(struct request *r)
{
	struct content_request req = { .parent = r->route_param };

	stored_take_page(r, INPUT_LIMIT, &req);
	keep_ask(r, CONTENT_LIST, CONTENT_RESPONSE, r->route_param, &req, NULL);
}

/* Behind the bracket of the empty output. */
static struct status
put_response(struct json_doc *d, struct span meta, const struct content_answer *a, struct buf *out)
{
	const struct content_item *items = a->items.items;
	uint32_t output;
	size_t at;

	TRY(json_parse(d, meta));
	output = json_get_str(d, 0, "output");
	if (json_type(d, output) != JSON_ARRAY)
		return fail(E_CORRUPT);
	at = (size_t)(json_bytes(d, output).ptr - meta.ptr) + 1;
	TRY(buf_put(out, meta.ptr, at));
	for (uint32_t i = 0; i < a->items.count; i++) {
		if (i > 0)
			TRY(buf_put_u8(out, ','));
		TRY(buf_put_span(out, items[i].json));
	}
	return buf_put_span(out, span_from(meta, at));
}

void
stored_told(struct turn *t, const struct content_answer *a)
{
	const struct content_object *o = a->objects.items;
	auto_buf struct buf out = BUF_INIT(ANSWER_LEN_MAX);

	if (a->objects.count == 1 && is_ok(put_response(&t->r->g->answer_doc, o->meta, a, &out)))
		reply_json(t->r, 200, buf_span(&out));
	else
		reply_error(t->r, ERROR_INTERNAL);
}

void
stored_deleted_told(struct turn *t, const struct content_answer *a)
{
	(void)a;
	stored_answer_deleted(t->r, "response");
}
