/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_item.c: rows of items: what was said, in the order in which it came.
 *
 * Runs in: store, jailed. Trusts: nothing that it reads: an item opens only in its row and as
 * that user's, and is taken only where its value says that it belongs.
 * Owns: nothing. Invariants: rows of one transaction have numbers that rise, so that their order
 * is theirs; an item stays as long as a response or a conversation has it.
 * See: content.h.
 */
#include "content.h"

#include <base/cleanup.h>

#define VALUE_MAX (CONTENT_ITEM_MAX + 256U)

struct item_value {
	struct span public_id;
	uint8_t output;
	uint64_t response, conversation;
	struct span json;
};
static const struct wire_field item_value_rows[] = {
	WIRE_BYTES(struct item_value, public_id, 1, CONTENT_ID_MAX),
	WIRE_U8(struct item_value, output, 1),
	WIRE_U64(struct item_value, response),
	WIRE_U64(struct item_value, conversation),
	WIRE_BYTES(struct item_value, json, 2, CONTENT_ITEM_MAX),
};
static const struct wire_table item_value_table = WIRE_TABLE(struct item_value, item_value_rows);

static struct place
item_place(int64_t id, int64_t user, uint8_t numbers[16])
{
	return (struct place){ "items",
		{ place_number((uint64_t)id, numbers), place_number((uint64_t)user, numbers + 8) },
		"value" };
}

static struct status
id_hash(struct db *db, struct span public_id, uint8_t out[CONTENT_HASH_LEN])
{
	return content_hash(db, "items.id", public_id, out);
}

uint64_t
items_cost(const struct wire_list *items)
{
	const struct content_item *list = items->items;
	uint64_t n = 0;

	for (uint32_t i = 0; i < items->count; i++)
		n += CONTENT_ITEM_COST + list[i].json.len;
	return n;
}

/* ---- writing ---- */

static struct status
item_add(struct content *c, int64_t id, const struct item_value *v)
{
	auto_buf struct buf plain = BUF_INIT(VALUE_MAX),
			    sealed = BUF_INIT(VALUE_MAX + SEAL_OVERHEAD);
	uint8_t hash[CONTENT_HASH_LEN], numbers[16];
	const struct place at = item_place(id, c->user, numbers);
	uint64_t key = 0;

	TRY(wire_encode(&item_value_table, v, &plain));
	TRY(keyring_value_seal(c->db, c->user, &at, 0, buf_span(&plain), &key, &sealed));
	TRY(id_hash(c->db, v->public_id, hash));
	sql_int(c->db, SQL_ITEM_ADD, 1, (uint64_t)id);
	sql_int(c->db, SQL_ITEM_ADD, 2, (uint64_t)c->user);
	if (v->response != 0)
		sql_int(c->db, SQL_ITEM_ADD, 3, v->response);
	if (v->conversation != 0)
		sql_int(c->db, SQL_ITEM_ADD, 4, v->conversation);
	sql_blob(c->db, SQL_ITEM_ADD, 5, span_of(hash, sizeof(hash)));
	sql_int(c->db, SQL_ITEM_ADD, 6, v->output);
	sql_int(c->db, SQL_ITEM_ADD, 7, CONTENT_ITEM_COST + v->json.len);
	sql_int(c->db, SQL_ITEM_ADD, 8, key);
	sql_blob(c->db, SQL_ITEM_ADD, 9, buf_span(&sealed));
	return sql_run(c->db, SQL_ITEM_ADD);
}

struct status
items_add(
    struct content *c, const struct wire_list *items, uint64_t response, uint64_t conversation)
{
	const struct content_item *list = items->items;
	int64_t id = 0;

	if (items->count > 0)
		TRY(row_next(c->db, "items", &id));
	for (uint32_t i = 0; i < items->count; i++) {
		const struct item_value v = { .public_id = list[i].id,
			.output = list[i].output,
			.response = response,
			.conversation = conversation,
			.json = list[i].json };

		TRY(item_add(c, id + i, &v));
	}
	return OK;
}

/* ---- reading ---- */

/* A row may lose what it belongs to, when that goes; it never gets another. */
static bool
belongs(uint64_t row, uint64_t value)
{
	return row == 0 || row == value;
}

/* The row that `s` has found: id, key, response, conversation, output, hash, value. */
static struct status
row_open(struct content *c, enum statement s, struct item *i)
{
	auto_buf struct buf plain = BUF_INIT(VALUE_MAX);
	struct item_value v = { .output = 0 };
	uint8_t hash[CONTENT_HASH_LEN], numbers[16];
	uint64_t id, key, output;
	struct place at;
	struct span text;
	struct status st;

	TRY(sql_column_u64(c->db, s, 0, &id));
	TRY(sql_column_u64(c->db, s, 1, &key));
	TRY(sql_column_u64(c->db, s, 2, &i->response));
	TRY(sql_column_u64(c->db, s, 3, &i->conversation));
	TRY(sql_column_u64(c->db, s, 4, &output));
	i->id = (int64_t)id;
	at = item_place(i->id, c->user, numbers);
	TRY(keyring_value_open(c->db, c->user, key, &at, 0, sql_column(c->db, s, 6), &plain));
	text = buf_span(&plain);
	TRY(content_keep(c, &text));
	st = wire_decode(&item_value_table, text, c->arena, &v);
	if (!is_ok(st))
		return st.code == E_NOMEM ? st : fail(E_CORRUPT);
	TRY(id_hash(c->db, v.public_id, hash));
	if (!belongs(i->response, v.response) || !belongs(i->conversation, v.conversation) ||
	    output != v.output || !span_eq(sql_column(c->db, s, 5), span_of(hash, sizeof(hash))))
		return fail(E_CORRUPT);
	i->shown = (struct content_item){ v.public_id, v.output, v.json };
	return OK;
}

static struct status
row_take(struct content *c, enum statement s, struct item *ret)
{
	struct status st = row_open(c, s, ret);

	sql_reset(c->db, s);
	return st.code == E_NOTFOUND || st.code == E_FULL ? fail(E_CORRUPT) : st;
}

struct status
item_find(struct content *c, const struct object *of, struct span public_id, struct item *ret)
{
	enum statement s = of->kind == CONTENT_RESPONSE ? SQL_ITEM_FIND_OF_RESPONSE
							: SQL_ITEM_FIND_OF_CONVERSATION;
	uint8_t hash[CONTENT_HASH_LEN];

	TRY(id_hash(c->db, public_id, hash));
	sql_int(c->db, s, 1, (uint64_t)c->user);
	sql_int(c->db, s, 2, (uint64_t)of->id);
	sql_blob(c->db, s, 3, span_of(hash, sizeof(hash)));
	TRY(sql_row(c->db, s));
	return row_take(c, s, ret);
}

struct status
item_room_new(struct content *c, uint32_t max, struct item_room *ret)
{
	*ret = (struct item_room){ .max = max,
		.bytes_max = CONTENT_BLOB_MAX - CONTENT_META_MAX - CONTENT_ANSWER_HEAD };
	ret->items = arena_array(c->arena, max, sizeof(ret->items[0]));
	return ret->items == NULL ? fail(E_NOMEM) : OK;
}

struct status
item_next(struct content *c, const struct object *of, bool back, int64_t at, struct item *ret)
{
	static const enum statement by[2][2] = {
		{ SQL_ITEM_NEXT_OF_CONVERSATION, SQL_ITEM_BEFORE_OF_CONVERSATION },
		{ SQL_ITEM_NEXT_OF_RESPONSE, SQL_ITEM_BEFORE_OF_RESPONSE },
	};
	enum statement s = by[of->kind == CONTENT_RESPONSE][back];

	sql_int(c->db, s, 1, (uint64_t)c->user);
	sql_int(c->db, s, 2, (uint64_t)of->id);
	sql_int(c->db, s, 3, back && at == 0 ? INT64_MAX : (uint64_t)at);
	TRY(sql_row(c->db, s));
	return row_take(c, s, ret);
}

/* E_RANGE: it does not fit any more. */
static struct status
room_take(struct item_room *room, const struct content_item *i)
{
	size_t len = i->json.len + CONTENT_ITEM_HEAD;

	if (room->n == room->max || len > room->bytes_max - room->bytes)
		return fail(E_RANGE);
	room->bytes += len;
	room->items[room->n++] = *i;
	return OK;
}

/* What its value says: what stands beside it may be anybody's word. */
static bool
is_wanted(const struct item *i, uint8_t output)
{
	return output > 1 || i->shown.output == output;
}

struct status
items_check(struct content *c, const struct object *of)
{
	enum statement s = of->kind == CONTENT_RESPONSE ? SQL_ITEMS_COUNT_OF_RESPONSE
							: SQL_ITEMS_COUNT_OF_CONVERSATION;
	uint64_t n = 0;

	sql_int(c->db, s, 1, (uint64_t)c->user);
	sql_int(c->db, s, 2, (uint64_t)of->id);
	TRY(sql_number(c->db, s, &n));
	return n == of->nitems ? OK : fail(E_CORRUPT);
}

struct status
items_all(struct content *c, const struct object *of, uint8_t output, struct item_room *room)
{
	struct item i = { .id = 0 };
	struct status st;

	TRY(items_check(c, of));
	while (is_ok(st = item_next(c, of, false, i.id, &i))) {
		if (is_wanted(&i, output))
			TRY(room_take(room, &i.shown));
	}
	return st.code == E_NOTFOUND ? OK : st;
}

struct status
items_page(struct content *c, const struct object *of, uint8_t output, struct item_room *room,
    bool *ret_more)
{
	bool back = c->call->req->descending != 0;
	struct item i = { .id = 0 };
	struct status st;

	TRY(items_check(c, of));
	if (c->call->req->after.len > 0)
		TRY(item_find(c, of, c->call->req->after, &i));
	*ret_more = false;
	while (is_ok(st = item_next(c, of, back, i.id, &i))) {
		if (!is_wanted(&i, output))
			continue;
		*ret_more = !is_ok(room_take(room, &i.shown));
		if (*ret_more && room->n == 0)
			return fail(E_RANGE);
		if (*ret_more)
			return OK;
	}
	return st.code == E_NOTFOUND ? OK : st;
}

/* ---- going ---- */

/* What nobody has any more goes. */
static struct status
orphan_remove(struct content *c, const struct item *i)
{
	sql_int(c->db, SQL_ITEM_REMOVE, 1, (uint64_t)i->id);
	sql_int(c->db, SQL_ITEM_REMOVE, 2, (uint64_t)c->user);
	TRY(sql_run(c->db, SQL_ITEM_REMOVE));
	if (backend_changed(c->db->back) == 0)
		return OK; /* a response has it */
	return use_take(c->db, c->user, 0, CONTENT_ITEM_COST + i->shown.json.len);
}

struct status
item_remove(struct content *c, const struct item *i)
{
	enum statement s = c->hold ? SQL_ITEM_HIDE : SQL_ITEM_LEAVE;

	sql_int(c->db, s, 1, (uint64_t)i->id);
	sql_int(c->db, s, 2, (uint64_t)c->user);
	TRY(sql_run(c->db, s));
	return c->hold ? OK : orphan_remove(c, i);
}

static struct status
sum(struct db *db, enum statement s, int64_t user, uint64_t object, uint64_t *ret_bytes)
{
	sql_int(db, s, 1, (uint64_t)user);
	sql_int(db, s, 2, object);
	return sql_number(db, s, ret_bytes);
}

/* Those that it shares as well: their rows name it. */
struct status
items_weight(struct db *db, int64_t user, uint64_t object, uint8_t kind, uint64_t *ret_bytes)
{
	return sum(db,
	    kind == CONTENT_RESPONSE ? SQL_ITEMS_ALL_OF_RESPONSE : SQL_ITEMS_ALL_OF_CONVERSATION,
	    user, object, ret_bytes);
}

struct status
items_leave(struct db *db, int64_t user, uint64_t object, uint8_t kind, uint64_t *ret_bytes)
{
	bool response = kind == CONTENT_RESPONSE;
	const enum statement all[] = {
		response ? SQL_ITEMS_SUM_OF_RESPONSE : SQL_ITEMS_SUM_OF_CONVERSATION,
		response ? SQL_ITEMS_REMOVE_OF_RESPONSE : SQL_ITEMS_REMOVE_OF_CONVERSATION,
		response ? SQL_ITEMS_LEAVE_RESPONSE : SQL_ITEMS_LEAVE_CONVERSATION,
	};

	TRY(sum(db, all[0], user, object, ret_bytes));
	for (size_t i = 1; i < 3; i++) {
		sql_int(db, all[i], 1, (uint64_t)user);
		sql_int(db, all[i], 2, object);
		TRY(sql_run(db, all[i]));
	}
	return OK;
}

/* Its number and size. */
static struct status
item_first(struct db *db, enum statement s, uint64_t *ret_id, uint64_t *ret_bytes)
{
	TRY(sql_row(db, s));
	TRY(sql_column_u64(db, s, 0, ret_id));
	return sql_column_u64(db, s, 1, ret_bytes);
}

struct status
item_leave(struct db *db, int64_t user, uint64_t object, uint8_t kind, uint64_t *ret_bytes)
{
	bool response = kind == CONTENT_RESPONSE;
	enum statement first = response ? SQL_ITEM_FIRST_OF_RESPONSE
					: SQL_ITEM_FIRST_OF_CONVERSATION;
	const enum statement ways[] = {
		response ? SQL_ITEM_REMOVE_OF_RESPONSE : SQL_ITEM_REMOVE_OF_CONVERSATION,
		response ? SQL_ITEM_LEAVE_RESPONSE : SQL_ITEM_LEAVE,
	};
	struct status st;
	uint64_t id = 0;

	sql_int(db, first, 1, (uint64_t)user);
	sql_int(db, first, 2, object);
	st = item_first(db, first, &id, ret_bytes);
	sql_reset(db, first);
	TRY(st);
	for (size_t i = 0; i < 2; i++) {
		sql_int(db, ways[i], 1, id);
		sql_int(db, ways[i], 2, (uint64_t)user);
		TRY(sql_run(db, ways[i]));
		if (backend_changed(db->back) > 0)
			return i == 0 ? use_take(db, user, 0, *ret_bytes) : OK;
	}
	return fail(E_CORRUPT);
}
