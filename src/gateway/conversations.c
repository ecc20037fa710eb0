/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversations.c: OpenAI's conversations and their items.
 *
 * Runs in: gateway. Trusts: the store for what it has; of a body nothing but that it conforms
 * to its schema.
 * Owns: nothing. Invariants: `meta` of a conversation is its metadata, a JSON object; an item
 * has an id before it leaves for the store.
 * See: keep.c; items.c; docs/api.md, "Conversations".
 */
#include <base/cleanup.h>
#include <base/clock.h>

#include "items.h"
#include "keep.h"
#include "query.h"
#include "reference.h"
#include "request.h"
#include "routes.h"
#include "stored.h"

#define ITEMS_LIMIT 20 /* of a page, without a word */

bool
conversations_id_ok(struct span id)
{
	return keep_id_ok(id) && span_starts(id, SPAN_LIT("conv_"));
}

/* ---- requests ---- */

/* Is there an item that no turn could be asked with, or that would not be kept as it is? */
static bool
has_unfit(struct request *r, uint32_t items)
{
	const struct json_doc *d = &r->g->doc;
	struct json_iter it = json_iter(d, items);

	while (json_next(&it)) {
		const char *why = NULL;
		uint32_t tok = reference_in_item(d, it.val, &why);

		if (tok == JSON_NONE) {
			tok = items_find_variant(d, it.val);
			why = ITEMS_VARIANT;
		}
		if (tok == JSON_NONE)
			continue;
		request_blame(r, d, tok, why);
		return true;
	}
	return false;
}

/* The items of a body; refused here where they are none. */
static bool
take_items(struct request *r, struct content_request *req, struct content_item **ret)
{
	const struct json_doc *d = &r->g->doc;
	uint32_t arr = json_get_str(d, 0, "items");
	struct json_iter it = json_iter(d, arr);
	struct items s;
	struct status st = items_start(&s, &r->arena, json_size(d, arr), NULL, 0);

	if (has_unfit(r, arr)) {
		turn_refuse(&r->turn, ERROR_INVALID_FIELD);
		return false;
	}
	while (is_ok(st) && json_next(&it)) {
		st = items_add(&s, d, it.val, false, false, &r->arena);
		if (is_ok(st) && s.all[s.count - 1].json.len > CONTENT_ITEM_MAX)
			st = fail(E_RANGE);
	}
	if (!is_ok(st)) {
		r->detail = st.code == E_DENIED ? ITEMS_PASTED : NULL;
		turn_refuse(&r->turn, keep_error(st));
		return false;
	}
	*ret = s.all;
	req->items = (struct wire_list){ s.all, s.count };
	return true;
}

static struct span
metadata_of(const struct json_doc *d)
{
	uint32_t metadata = json_get_str(d, 0, "metadata");

	return json_type(d, metadata) == JSON_OBJECT ? json_bytes(d, metadata) : SPAN_LIT("{}");
}

void
conversations_create_run(struct request *r)
{
	struct content_request req = { .meta = metadata_of(&r->g->doc) };
	struct content_item *items = NULL;
	struct keep *k = keep_of(&r->turn);

	if (k == NULL || !is_ok(keep_new_id("conv_", k->id))) {
		turn_refuse(&r->turn, ERROR_OVERLOADED);
		return;
	}
	if (take_items(r, &req, &items))
		keep_ask(r, CONTENT_CREATE, CONTENT_CONVERSATION, span_str(k->id), &req, items);
}

void
conversations_get_run(struct request *r)
{
	const struct content_request req = { .limit = 0 };

	keep_ask(r, CONTENT_READ, CONTENT_CONVERSATION, r->route_param, &req, NULL);
}

void
conversations_update_run(struct request *r)
{
	const struct content_request req = { .meta = metadata_of(&r->g->doc) };

	keep_ask(r, CONTENT_UPDATE, CONTENT_CONVERSATION, r->route_param, &req, NULL);
}

void
conversations_delete_run(struct request *r)
{
	const struct content_request req = { .limit = 0 };

	keep_ask(r, CONTENT_DELETE, CONTENT_CONVERSATION, r->route_param, &req, NULL);
}

void
items_create_run(struct request *r)
{
	struct content_request req = { .parent = r->route_param };
	struct content_item *items = NULL;

	if (take_items(r, &req, &items))
		keep_ask(r, CONTENT_CREATE, CONTENT_ITEM, r->route_param, &req, items);
}

void
items_list_run(struct request *r)
{
	struct content_request req = { .parent = r->route_param };

	stored_take_page(r, ITEMS_LIMIT, &req);
	keep_ask(r, CONTENT_LIST, CONTENT_ITEM, r->route_param, &req, NULL);
}

static void
ask_item(struct request *r, enum content_op op)
{
	const struct content_request req = { .parent = r->route_param };

	keep_ask(r, op, CONTENT_ITEM, r->route_param2, &req, NULL);
}

void
items_get_run(struct request *r)
{
	ask_item(r, CONTENT_READ);
}

void
items_delete_run(struct request *r)
{
	ask_item(r, CONTENT_DELETE);
}

/* ---- answers ---- */

/* The object that the store has; without one, nothing that could be told. */
void
conversations_told(struct turn *t, const struct content_answer *a)
{
	const struct content_object *o = a->objects.items;
	auto_buf struct buf out = BUF_INIT(2UL * CONTENT_META_MAX);
	struct json_writer w = json_writer(&out);

	if (a->objects.count != 1) {
		reply_error(t->r, ERROR_INTERNAL);
		return;
	}
	json_put_object(&w);
	json_put_key(&w, "id");
	json_put_str(&w, o->id);
	json_put_key(&w, "object");
	json_put_text(&w, "conversation");
	json_put_key(&w, "created_at");
	json_put_u64(&w, o->created_s);
	json_put_key(&w, "metadata");
	json_put_raw(&w, o->meta.len > 0 ? o->meta : SPAN_LIT("{}"));
	json_put_end(&w);
	stored_answer(t->r, &w);
}

void
conversations_deleted_told(struct turn *t, const struct content_answer *a)
{
	(void)a;
	stored_answer_deleted(t->r, "conversation.deleted");
}

void
items_told(struct turn *t, const struct content_answer *a)
{
	stored_answer_items(t->r, a->items.items, a->items.count, a->more != 0);
}

/* They are as they were sent: with ids, and without credentials where those were masked. */
void
items_created_told(struct turn *t, const struct content_answer *a)
{
	(void)a;
	stored_answer_items(t->r, t->keep->items, t->keep->req.items.count, false);
}

void
items_one_told(struct turn *t, const struct content_answer *a)
{
	const struct content_item *item = a->items.items;

	if (a->items.count == 1)
		reply_json(t->r, 200, item->json);
	else
		reply_error(t->r, ERROR_INTERNAL);
}
