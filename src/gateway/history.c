/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.c: what a model's turn goes on from, and keeping its response.
 *
 * Runs in: gateway. Trusts: the store for what it has kept.
 * Owns: nothing; texts lie in the request's arena.
 * Invariants: the end of an answer that is to be kept leaves only once it is; what is kept is
 * what the client is told, under an id that the gateway has made.
 * See: turn_table.c, TURN_LOAD and TURN_SAVE; keep.c; responses_history.c.
 */
#include "history.h"

#include <base/cleanup.h>
#include <pasted/pasted.h>

#include "items.h"
#include "keep.h"
#include "request.h"
#include "routes.h"

static void on_loaded(struct content *c, void *ctx);
static void on_saved(struct content *c, void *ctx);

static const struct content_ops load_ops = { on_loaded, keep_failed, keep_room };
static const struct content_ops save_ops = { on_saved, keep_failed, keep_room };

bool
history_loads(const struct turn *t)
{
	return t->prompt->previous.len > 0 || t->prompt->conversation.len > 0;
}

bool
history_saves(const struct turn *t)
{
	return t->keep != NULL && t->keep->saves;
}

struct span
history_before(const struct turn *t)
{
	return t->keep != NULL ? t->keep->before : SPAN_EMPTY;
}

/* ---- before the model ---- */

struct status
history_ask(struct turn *t)
{
	const struct prompt *p = t->prompt;
	const struct content_request req = { .limit = 0 };
	struct keep *k = keep_of(t);

	if (k == NULL)
		return fail(E_NOMEM);
	TRY(content_prepare(&k->op, &req, false, t->digest));
	t->admit.content_op = CONTENT_LOAD;
	t->admit.content_kind = p->conversation.len > 0 ? CONTENT_CONVERSATION : CONTENT_RESPONSE;
	t->admit.content_id = p->conversation.len > 0 ? p->conversation : p->previous;
	t->admit.body_len = (uint32_t)k->op.request.len;
	return OK;
}

enum error
history_begin(struct turn *t)
{
	bool saves = t->admitted.store != 0 && t->prompt->store != STORE_NO;
	struct keep *k;

	if (!saves && t->prompt->conversation.len > 0) {
		t->r->detail = "a conversation goes on with responses that are kept";
		return ERROR_DENIED;
	}
	if (!saves && !history_loads(t))
		return ERROR_NONE;
	k = keep_of(t);
	if (k == NULL || (saves && !is_ok(keep_new_id("resp_", k->id))))
		return ERROR_OVERLOADED;
	k->saves = saves;
	k->mask = t->admitted.mask != 0;
	return is_ok(t->answer.dialect->tell(t->prompt, &t->r->arena, span_str(k->id)))
		   ? ERROR_NONE
		   : ERROR_OVERLOADED;
}

/* Action of TURN_LOAD. */
void
history_load(struct turn *t)
{
	keep_run(t, &load_ops);
}

/* New items of a conversation get ids that it does not have yet. */
static struct status
keep_taken(struct keep *k, struct arena *a)
{
	const struct content_item *items = k->answer.items.items;
	uint64_t *taken = arena_array(a, k->answer.items.count + 1UL, sizeof(*taken));

	if (taken == NULL)
		return fail(E_NOMEM);
	for (uint32_t i = 0; i < k->answer.items.count; i++)
		taken[i] = items_hash(items[i].id);
	k->taken = taken;
	k->ntaken = k->answer.items.count;
	return OK;
}

static struct status
take_loaded(struct turn *t)
{
	struct keep *k = t->keep;
	struct arena *a = &t->r->arena;

	TRY(content_read(&k->op, a, &k->answer));
	TRY(keep_taken(k, a));
	/* Models may write what clients may not. */
	TRY(t->answer.dialect->put_history(
	    &t->r->g->answer_doc, k->answer.items.items, k->answer.items.count, a, &k->before));
	content_reset(&k->op);
	return OK;
}

/* Something in it was kept before it was refused where it comes in. */
static void
blame_before(struct turn *t)
{
	const char *param = t->prompt->conversation.len > 0 ? "/conversation"
							    : "/previous_response_id";

	t->r->detail = "leads to an item or a file that only a provider may have: begin anew "
		       "without it, or delete that item of the conversation";
	memcpy(t->r->param, param, strlen(param) + 1);
	turn_fail(t, ERROR_INVALID_FIELD);
}

static void
on_loaded(struct content *c, void *ctx)
{
	struct turn *t = ctx;
	struct status st = take_loaded(t);

	(void)c;
	turn_run_ended(t);
	if (is_ok(st)) {
		turn_event(t, TURN_NEXT_MODEL);
		return;
	}
	if (st.code == E_DENIED) {
		blame_before(t);
		return;
	}
	t->r->detail = "what was before it is larger than a request may be";
	turn_fail(t, st.code == E_FULL    ? ERROR_BODY_TOO_LARGE
		     : st.code == E_NOMEM ? ERROR_OVERLOADED
					  : ERROR_INTERNAL);
}

/* ---- behind it ---- */

/* The response without its items. */
static struct status
put_meta(const struct json_doc *d, struct buf *out)
{
	struct span text = json_bytes(d, 0), output = json_bytes(d, json_get_str(d, 0, "output"));
	size_t at = output.ptr == NULL ? 1 : (size_t)(output.ptr - text.ptr);

	TRY(buf_put(out, text.ptr, at));
	TRY(buf_put_str(out, output.ptr == NULL ? "\"output\":[]," : "[]"));
	return buf_put_span(out, span_from(text, at + output.len));
}

static struct status
add_all(struct items *s, const struct json_doc *d, uint32_t arr, bool output, struct arena *a)
{
	struct json_iter it = json_iter(d, arr);

	while (json_next(&it))
		TRY(items_add(s, d, it.val, output, true, a));
	return OK;
}

/* Of the client's body, then of the response, both parsed here: they were others' since. */
static struct status
take_items(struct turn *t, struct span response, struct items *s)
{
	struct gateway *g = t->r->g;
	struct arena *a = &t->r->arena;
	struct keep *k = t->keep;
	uint32_t input, output;

	TRY(json_parse(&g->doc, t->prompt->body));
	TRY(json_parse(&g->answer_doc, response));
	input = json_get_str(&g->doc, 0, "input");
	output = json_get_str(&g->answer_doc, 0, "output");
	if (json_size(&g->doc, input) + json_size(&g->answer_doc, output) + 1 > CONTENT_ITEMS_MAX)
		return fail(E_FULL);
	TRY(items_start(s, a, CONTENT_ITEMS_MAX, k->taken, k->ntaken));
	if (json_type(&g->doc, input) == JSON_STRING)
		TRY(items_add_text(s, &g->doc, input, a));
	else
		TRY(add_all(s, &g->doc, input, false, a));
	return add_all(s, &g->answer_doc, output, true, a);
}

/* Is there what the store takes under no policy? */
static bool
has_never(const struct content_request *req)
{
	const struct content_item *items = req->items.items;

	for (uint32_t i = 0; i < req->items.count; i++) {
		if (pasted_never(items[i].json))
			return true;
	}
	return pasted_never(req->meta);
}

/* What is kept: masked where the policy says so, and in any case where a key of ours, or of a
 * provider of models, is in it.
 */
static struct status
prepare(struct turn *t, struct content_request *req, struct content_item *items)
{
	struct keep *k = t->keep;
	struct status st = fail(E_DENIED);

	if (!k->mask && !has_never(req))
		st = content_prepare(&k->op, req, false, t->digest);
	if (st.code != E_DENIED)
		return st;
	TRY(keep_mask(&t->r->arena, &req->meta, items, req->items.count));
	return content_prepare(&k->op, req, true, t->digest);
}

static struct status
prepare_save(struct turn *t)
{
	auto_buf struct buf response = BUF_INIT(2UL * ANSWER_MAX);
	auto_buf struct buf meta = BUF_INIT(2UL * ANSWER_MAX);
	struct content_request req = { .previous = t->prompt->previous,
		.parent = t->prompt->conversation };
	struct items s;

	TRY(t->answer.dialect->final(&t->answer, &response));
	TRY(take_items(t, buf_span(&response), &s));
	TRY(put_meta(&t->r->g->answer_doc, &meta));
	req.meta = buf_span(&meta);
	req.items = (struct wire_list){ s.all, s.count };
	TRY(prepare(t, &req, s.all));
	return request_charge(t->r, t->keep->op.request.len);
}

static enum error
save_error(struct status st)
{
	if (st.code == E_FULL || st.code == E_RANGE)
		return ERROR_CONTENT_FULL;
	return keep_error(st);
}

/* Action of TURN_GRANT_SAVE. */
void
history_grant_save(struct turn *t)
{
	struct ga_step step = { .turn = t->id,
		.kind = STEP_CONTENT,
		.content_op = CONTENT_SAVE,
		.content_kind = CONTENT_RESPONSE,
		.content_id = span_str(t->keep->id) };
	struct status st = prepare_save(t);

	if (!is_ok(st)) {
		t->r->detail = "the response cannot be kept as it is";
		turn_fail(t, save_error(st));
		return;
	}
	step.size_bytes = step.body_len = (uint32_t)t->keep->op.request.len;
	memcpy(step.digest, t->digest, DIGEST_LEN);
	turn_step(t, &step);
}

/* Action of TURN_SAVE. */
void
history_save(struct turn *t)
{
	keep_run(t, &save_ops);
}

static void
on_saved(struct content *c, void *ctx)
{
	(void)c;
	turn_run_ended(ctx);
	turn_event(ctx, TURN_ANSWERED);
}
