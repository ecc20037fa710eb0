/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c: operations on what is kept for users.
 *
 * Runs in: store, jailed. Trusts: the authority's grant about who asks and for what; the gateway
 * about what stands in the request, after it was held against its limits.
 * Owns: nothing beyond one operation.
 * Invariants: each operation is one transaction, done whole or not at all; no statement finds
 * or changes a row but by its user; no credential that may not be kept gets into a row.
 * See: content.h; content_stream.c brings the requests.
 */
#include "content.h"

#include <base/cleanup.h>
#include <pasted/pasted.h>

#include "credentials.h"

static struct status create_object(struct content *c);
static struct status create_items(struct content *c);
static struct status read_object(struct content *c);
static struct status read_item(struct content *c);
static struct status list_files(struct content *c);
static struct status list_items(struct content *c);
static struct status update(struct content *c);
static struct status delete_object(struct content *c);
static struct status delete_item(struct content *c);
static struct status body(struct content *c);

typedef struct status content_fn(struct content *c);

static const struct {
	content_fn *fn[CONTENT_KIND_COUNT];
	bool writes;
} ops[CONTENT_OP_COUNT] = {
	[CONTENT_CREATE] = { { [CONTENT_CONVERSATION] = create_object,
				 [CONTENT_ITEM] = create_items,
				 [CONTENT_FILE] = create_object },
	    true },
	[CONTENT_READ] = { { [CONTENT_CONVERSATION] = read_object,
			       [CONTENT_ITEM] = read_item,
			       [CONTENT_RESPONSE] = read_object,
			       [CONTENT_FILE] = read_object },
	    false },
	[CONTENT_LIST] = { { [CONTENT_ITEM] = list_items,
			       [CONTENT_RESPONSE] = list_items,
			       [CONTENT_FILE] = list_files },
	    false },
	[CONTENT_UPDATE] = { { [CONTENT_CONVERSATION] = update }, true },
	[CONTENT_DELETE] = { { [CONTENT_CONVERSATION] = delete_object,
				 [CONTENT_ITEM] = delete_item,
				 [CONTENT_RESPONSE] = delete_object,
				 [CONTENT_FILE] = delete_object },
	    true },
	[CONTENT_BODY] = { { [CONTENT_FILE] = body }, false },
	[CONTENT_LOAD] = { { [CONTENT_CONVERSATION] = content_load,
			       [CONTENT_RESPONSE] = content_load },
	    false },
	[CONTENT_SAVE] = { { [CONTENT_RESPONSE] = content_save }, true },
};

/* ---- whose it is ---- */

static struct status
user_look(struct content *c)
{
	uint64_t state = 0, hold = 0;
	struct status st;

	TRY(user_find(c->db, c->call->tenant, c->call->user, &c->user));
	sql_int(c->db, SQL_CONTENT_USER, 1, (uint64_t)c->user);
	TRY(sql_row(c->db, SQL_CONTENT_USER));
	st = sql_column_u64(c->db, SQL_CONTENT_USER, 0, &state);
	if (is_ok(st))
		st = sql_column_u64(c->db, SQL_CONTENT_USER, 1, &hold);
	sql_reset(c->db, SQL_CONTENT_USER);
	TRY(st);
	c->hold = hold != 0;
	return state == USER_ERASED ? fail(E_NOTFOUND) : OK;
}

/* ---- the door into the tables ---- */

/*
 * Those of providers of models, and ours, are in no history, and neither are those in use, whatever
 * they look like; others' where the policy keeps them.
 */
static bool
may_be_kept(const struct content_call *call, struct span text)
{
	return !(call->masked ? pasted_any(text) : pasted_never(text)) && !credentials_in(text);
}

/* Whatever the gateway has looked at, and masked: it may be another one. */
static struct status
check_written(const struct content_call *call)
{
	const struct content_item *items = call->req->items.items;

	if (!may_be_kept(call, call->req->meta) || !may_be_kept(call, call->req->body) ||
	    !may_be_kept(call, call->req->tag))
		return fail(E_DENIED);
	for (uint32_t i = 0; i < call->req->items.count; i++) {
		if (!may_be_kept(call, items[i].json) || !may_be_kept(call, items[i].id))
			return fail(E_DENIED);
	}
	return OK;
}

static struct status
operate(struct content *c)
{
	TRY(user_look(c));
	return ops[c->call->op].fn[c->call->kind](c);
}

struct status
content_do(struct db *db, const struct content_call *call, struct arena *arena,
    struct content_answer *ret, struct content_done *ret_done)
{
	struct content c = {
		.db = db, .call = call, .arena = arena, .answer = ret, .done = ret_done
	};

	*ret = (struct content_answer){ .more = 0 };
	*ret_done = (struct content_done){ 0 };
	if (call->op >= CONTENT_OP_COUNT || call->kind >= CONTENT_KIND_COUNT ||
	    ops[call->op].fn[call->kind] == NULL)
		return fail(E_SYNTAX);
	if (!ops[call->op].writes)
		return operate(&c);
	TRY(check_written(call));
	TRY(db_begin(db));
	return db_end(db, operate(&c));
}

static const struct {
	enum code code;
	enum error error;
} errors[] = {
	{ E_OK, ERROR_NONE },
	{ E_NOTFOUND, ERROR_CONTENT_NOT_FOUND },
	{ E_EXISTS, ERROR_CONTENT_EXISTS },
	{ E_FULL, ERROR_CONTENT_FULL },
	{ E_RANGE, ERROR_BODY_TOO_LARGE },
	{ E_DENIED, ERROR_CREDENTIAL_IN_CONTENT },
	{ E_SYNTAX, ERROR_GRANT },
	{ E_PROTO, ERROR_GRANT },
	{ E_SYS, ERROR_UNAVAILABLE },
	{ E_NOMEM, ERROR_OVERLOADED },
};

enum error
content_error(struct status st)
{
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (st.code == (uint16_t)errors[i].code)
			return errors[i].error;
	}
	return ERROR_INTERNAL;
}

/* ---- answers ---- */

static struct status
answer_object(struct content *c, const struct object *o)
{
	struct content_object *shown = arena_alloc(c->arena, sizeof(*shown));

	if (shown == NULL)
		return fail(E_NOMEM);
	object_show(o, shown);
	c->answer->objects = (struct wire_list){ shown, 1 };
	c->done->items++;
	c->done->size += o->meta.len;
	return OK;
}

static void
answer_items(struct content *c, const struct item_room *room)
{
	c->answer->items = (struct wire_list){ room->items, room->n };
	c->done->items += room->n;
	for (uint32_t i = 0; i < room->n; i++)
		c->done->size += room->items[i].json.len;
}

/* ---- conversations, responses, files ---- */

static uint64_t
texts_of(const struct wire_list *items)
{
	const struct content_item *list = items->items;
	uint64_t n = 0;

	for (uint32_t i = 0; i < items->count; i++)
		n += list[i].json.len;
	return n;
}

static struct status
create_object(struct content *c)
{
	const struct content_request *req = c->call->req;
	bool file = c->call->kind == CONTENT_FILE;
	struct object o = { .kind = c->call->kind,
		.public_id = c->call->target,
		.meta = req->meta,
		.created_s = c->call->now_s,
		.updated_s = c->call->now_s,
		.nitems = req->items.count };

	if (file ? req->items.count > 0 : req->body.len > 0 || req->tag.len > 0)
		return fail(E_SYNTAX);
	if (file) {
		o.tag = req->tag;
		o.length = req->body.len;
		o.expires_s = req->expires_s == 0 ? 0 : c->call->now_s + req->expires_s;
	}
	o.size = CONTENT_ITEM_COST + o.meta.len + o.length;
	TRY(object_add(c, &o));
	if (file)
		TRY(file_write(c, &o, req->body));
	TRY(items_add(c, &req->items, 0, (uint64_t)o.id));
	TRY(use_add(c, 1, o.size + items_cost(&req->items)));
	TRY(answer_object(c, &o));
	c->done->items += req->items.count;
	c->done->size += o.length + texts_of(&req->items);
	return OK;
}

static struct status
read_object(struct content *c)
{
	struct item_room room;
	struct object o;

	TRY(object_find(c, c->call->target, c->call->kind, &o));
	TRY(answer_object(c, &o));
	if (o.kind != CONTENT_RESPONSE)
		return OK;
	TRY(item_room_new(c, CONTENT_ITEMS_MAX, &room));
	TRY(items_all(c, &o, 1, &room));
	answer_items(c, &room);
	return OK;
}

/* What it said stays, hidden, under a name that nobody can ask for. */
static struct status
keep_former(struct content *c, const struct object *o)
{
	auto_buf struct buf name = BUF_INIT(CONTENT_ID_MAX);
	struct object former = *o;

	TRY(buf_printf(&name, "~%lld.%llu", (long long)o->id, (unsigned long long)o->version));
	former.public_id = buf_span(&name);
	former.nitems = 0;
	former.size = CONTENT_ITEM_COST + o->meta.len;
	TRY(object_add(c, &former));
	TRY(use_add(c, 1, former.size));
	return object_remove(c, &former); /* under a hold: hidden */
}

static struct status
update(struct content *c)
{
	struct object o;
	uint64_t before;

	TRY(object_find(c, c->call->target, c->call->kind, &o));
	if (c->hold)
		TRY(keep_former(c, &o));
	before = o.size;
	o.meta = c->call->req->meta;
	o.updated_s = c->call->now_s;
	o.size = CONTENT_ITEM_COST + o.meta.len;
	TRY(object_set(c, &o));
	if (o.size > before)
		TRY(use_add(c, 0, o.size - before));
	else
		TRY(use_take(c->db, c->user, 0, before - o.size));
	return answer_object(c, &o);
}

static struct status
delete_object(struct content *c)
{
	struct object o;

	TRY(object_find(c, c->call->target, c->call->kind, &o));
	c->done->items++;
	c->done->size += o.meta.len + o.length;
	return object_remove(c, &o);
}

static struct status
body(struct content *c)
{
	struct object o;

	TRY(object_find(c, c->call->target, CONTENT_FILE, &o));
	TRY(answer_object(c, &o));
	TRY(file_read(c, &o, &c->answer->body));
	c->done->size += o.length;
	return OK;
}

static struct status
list_files(struct content *c)
{
	const struct content_request *req = c->call->req;
	struct content_object *shown;
	struct object o = { .id = 0 };
	size_t bytes = 0;
	uint32_t n = 0;
	struct status st;

	if (req->limit == 0)
		return fail(E_SYNTAX);
	if (req->after.len > 0)
		TRY(object_find(c, req->after, CONTENT_FILE, &o));
	shown = arena_array(c->arena, req->limit, sizeof(*shown));
	if (shown == NULL)
		return fail(E_NOMEM);
	while (is_ok(st = object_next(c, CONTENT_FILE, req->tag, (uint64_t)o.id, &o))) {
		bytes += o.meta.len + CONTENT_ANSWER_HEAD;
		if (n == req->limit || bytes > CONTENT_BLOB_MAX) {
			c->answer->more = 1;
			break;
		}
		object_show(&o, &shown[n++]);
		c->done->size += o.meta.len;
	}
	if (!is_ok(st) && st.code != E_NOTFOUND)
		return st;
	c->answer->objects = (struct wire_list){ shown, n };
	c->done->items = n;
	return OK;
}

/* ---- items ---- */

/* An id names one item of a conversation. */
static struct status
check_fresh(struct content *c, const struct object *conversation, const struct wire_list *items)
{
	const struct content_item *list = items->items;
	struct item known;

	for (uint32_t i = 0; i < items->count; i++) {
		struct status st = item_find(c, conversation, list[i].id, &known);

		if (is_ok(st))
			return fail(E_EXISTS);
		if (st.code != E_NOTFOUND)
			return st;
	}
	return OK;
}

static struct status
create_items(struct content *c)
{
	const struct wire_list *items = &c->call->req->items;
	struct object o;

	TRY(object_find(c, c->call->target, CONTENT_CONVERSATION, &o));
	if (items->count == 0 || c->call->req->meta.len > 0)
		return fail(E_SYNTAX);
	o.nitems += items->count;
	o.updated_s = c->call->now_s;
	TRY(object_set(c, &o)); /* is there room? before each id is looked for */
	TRY(check_fresh(c, &o, items));
	TRY(items_add(c, items, 0, (uint64_t)o.id));
	TRY(use_add(c, 0, items_cost(items)));
	TRY(answer_object(c, &o));
	c->done->items = items->count;
	c->done->size = texts_of(items);
	return OK;
}

/* One item of `parent`, by its own id. */
static struct status
find_item(struct content *c, struct object *conversation, struct item *ret)
{
	TRY(object_find(c, c->call->req->parent, CONTENT_CONVERSATION, conversation));
	return item_find(c, conversation, c->call->target, ret);
}

static struct status
read_item(struct content *c)
{
	struct object o;
	struct item *i = arena_alloc(c->arena, sizeof(*i));

	if (i == NULL)
		return fail(E_NOMEM);
	TRY(find_item(c, &o, i));
	c->answer->items = (struct wire_list){ &i->shown, 1 };
	c->done->items = 1;
	c->done->size = i->shown.json.len;
	return OK;
}

static struct status
delete_item(struct content *c)
{
	struct object o;
	struct item i;

	TRY(find_item(c, &o, &i));
	o.nitems--;
	o.updated_s = c->call->now_s;
	TRY(object_set(c, &o));
	TRY(item_remove(c, &i));
	TRY(answer_object(c, &o));
	c->done->items = 1;
	c->done->size = i.shown.json.len;
	return OK;
}

/* Those of a conversation, or those that a response was asked with. */
static struct status
list_items(struct content *c)
{
	bool response = c->call->kind == CONTENT_RESPONSE;
	struct item_room room;
	struct object o;
	bool more = false;

	if (c->call->req->limit == 0)
		return fail(E_SYNTAX);
	TRY(object_find(
	    c, c->call->target, response ? CONTENT_RESPONSE : CONTENT_CONVERSATION, &o));
	TRY(item_room_new(c, c->call->req->limit, &room));
	TRY(items_page(c, &o, response ? 0 : 2, &room, &more));
	answer_items(c, &room);
	c->answer->more = more;
	return OK;
}
