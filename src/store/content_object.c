/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_object.c: rows of conversations, responses and files.
 *
 * Runs in: store, jailed. Trusts: nothing that it reads: what stands beside a value must be
 * what the value says.
 * Owns: nothing. Invariants: a row is found by its user and the keyed hash of its id, both of
 * which its value repeats; its version counts its states, so that an older one does not open.
 * See: content.h.
 */
#include "content.h"

#include <base/cleanup.h>

#define VALUE_MAX (CONTENT_META_MAX + 512U)

/* What is sealed of a row. */
struct object_value {
	struct span public_id;
	uint8_t kind;
	uint64_t created_s, updated_s, expires_s, size, previous, conversation, length;
	uint32_t depth, nitems;
	struct span tag, meta;
};
static const struct wire_field object_value_rows[] = {
	WIRE_BYTES(struct object_value, public_id, 1, CONTENT_ID_MAX),
	WIRE_U8(struct object_value, kind, CONTENT_KIND_COUNT - 1),
	WIRE_U64(struct object_value, created_s),
	WIRE_U64(struct object_value, updated_s),
	WIRE_U64(struct object_value, expires_s),
	WIRE_U64(struct object_value, size),
	WIRE_U64(struct object_value, previous),
	WIRE_U64(struct object_value, conversation),
	WIRE_U64(struct object_value, length),
	WIRE_U32(struct object_value, depth, CONTENT_CHAIN_MAX),
	WIRE_U32(struct object_value, nitems, CONTENT_ITEMS_MAX),
	WIRE_BYTES(struct object_value, tag, 0, CONTENT_TAG_MAX),
	WIRE_BYTES(struct object_value, meta, 0, CONTENT_META_MAX),
};
static const struct wire_table object_value_table = WIRE_TABLE(
    struct object_value, object_value_rows);

static struct place
object_place(int64_t id, int64_t user, uint8_t numbers[16])
{
	return (struct place){ "objects",
		{ place_number((uint64_t)id, numbers), place_number((uint64_t)user, numbers + 8) },
		"value" };
}

static struct status
id_hash(struct db *db, struct span public_id, uint8_t out[CONTENT_HASH_LEN])
{
	return content_hash(db, "objects.id", public_id, out);
}

static struct status
tag_hash(struct db *db, struct span tag, uint8_t out[CONTENT_HASH_LEN])
{
	return content_hash(db, "objects.tag", tag, out);
}

/* ---- writing ---- */

static struct status
object_seal(struct content *c, const struct object *o, uint64_t *ret_key, struct buf *out)
{
	auto_buf struct buf plain = BUF_INIT(VALUE_MAX);
	const struct object_value v = { .public_id = o->public_id,
		.kind = o->kind,
		.created_s = o->created_s,
		.updated_s = o->updated_s,
		.expires_s = o->expires_s,
		.size = o->size,
		.previous = o->previous,
		.conversation = o->conversation,
		.length = o->length,
		.depth = o->depth,
		.nitems = o->nitems,
		.tag = o->tag,
		.meta = o->meta };
	uint8_t numbers[16];
	const struct place at = object_place(o->id, o->user, numbers);
	struct status st = wire_encode(&object_value_table, &v, &plain);

	if (st.code == E_RANGE && o->nitems > CONTENT_ITEMS_MAX)
		return fail(E_FULL);
	TRY(st);
	return keyring_value_seal(c->db, o->user, &at, o->version, buf_span(&plain), ret_key, out);
}

struct status
object_add(struct content *c, struct object *o)
{
	auto_buf struct buf sealed = BUF_INIT(VALUE_MAX + SEAL_OVERHEAD);
	uint8_t hash[CONTENT_HASH_LEN], tag[CONTENT_HASH_LEN];
	uint64_t key = 0;

	if (o->public_id.len == 0 || o->public_id.len > CONTENT_ID_MAX)
		return fail(E_SYNTAX);
	o->user = c->user;
	o->version = 1;
	TRY(row_next(c->db, "objects", &o->id));
	TRY(object_seal(c, o, &key, &sealed));
	TRY(id_hash(c->db, o->public_id, hash));
	TRY(tag_hash(c->db, o->tag, tag));
	sql_int(c->db, SQL_OBJECT_ADD, 1, (uint64_t)o->id);
	sql_int(c->db, SQL_OBJECT_ADD, 2, (uint64_t)o->user);
	sql_int(c->db, SQL_OBJECT_ADD, 3, o->kind);
	sql_blob(c->db, SQL_OBJECT_ADD, 4, span_of(hash, sizeof(hash)));
	sql_blob(c->db, SQL_OBJECT_ADD, 5, span_of(tag, sizeof(tag)));
	sql_int(c->db, SQL_OBJECT_ADD, 6, o->created_s);
	sql_int(c->db, SQL_OBJECT_ADD, 7, o->updated_s);
	sql_int(c->db, SQL_OBJECT_ADD, 8, o->expires_s);
	sql_int(c->db, SQL_OBJECT_ADD, 9, o->size);
	sql_int(c->db, SQL_OBJECT_ADD, 10, key);
	sql_int(c->db, SQL_OBJECT_ADD, 11, o->version);
	sql_blob(c->db, SQL_OBJECT_ADD, 12, buf_span(&sealed));
	return sql_run(c->db, SQL_OBJECT_ADD);
}

struct status
object_set(struct content *c, struct object *o)
{
	auto_buf struct buf sealed = BUF_INIT(VALUE_MAX + SEAL_OVERHEAD);
	uint64_t key = 0;

	if (o->kind == CONTENT_CONVERSATION && o->nitems > CONTENT_CONVERSATION_ITEMS_MAX)
		return fail(E_FULL);
	o->version++;
	TRY(object_seal(c, o, &key, &sealed));
	sql_int(c->db, SQL_OBJECT_SET, 1, (uint64_t)o->id);
	sql_int(c->db, SQL_OBJECT_SET, 2, (uint64_t)o->user);
	sql_int(c->db, SQL_OBJECT_SET, 3, o->updated_s);
	sql_int(c->db, SQL_OBJECT_SET, 4, o->size);
	sql_int(c->db, SQL_OBJECT_SET, 5, key);
	sql_int(c->db, SQL_OBJECT_SET, 6, o->version);
	sql_blob(c->db, SQL_OBJECT_SET, 7, buf_span(&sealed));
	TRY(sql_run(c->db, SQL_OBJECT_SET));
	return backend_changed(c->db->back) == 1 ? OK : fail(E_NOTFOUND);
}

/* ---- reading ---- */

/* What stands beside the value for those who look for it is what the value says. */
static struct status
marks_check(struct content *c, enum statement s, const struct object *o)
{
	uint8_t hash[CONTENT_HASH_LEN], tag[CONTENT_HASH_LEN];
	uint64_t kind, created_s, updated_s, expires_s, size;

	TRY(sql_column_u64(c->db, s, 3, &kind));
	TRY(sql_column_u64(c->db, s, 4, &created_s));
	TRY(sql_column_u64(c->db, s, 5, &updated_s));
	TRY(sql_column_u64(c->db, s, 6, &expires_s));
	TRY(sql_column_u64(c->db, s, 7, &size));
	TRY(id_hash(c->db, o->public_id, hash));
	TRY(tag_hash(c->db, o->tag, tag));
	if (kind != o->kind || created_s != o->created_s || updated_s != o->updated_s ||
	    expires_s != o->expires_s || size != o->size ||
	    !span_eq(sql_column(c->db, s, 8), span_of(hash, sizeof(hash))) ||
	    !span_eq(sql_column(c->db, s, 9), span_of(tag, sizeof(tag))))
		return fail(E_CORRUPT);
	return OK;
}

static void
object_from(const struct object_value *v, struct object *o)
{
	o->kind = v->kind;
	o->public_id = v->public_id;
	o->created_s = v->created_s;
	o->updated_s = v->updated_s;
	o->expires_s = v->expires_s;
	o->size = v->size;
	o->previous = v->previous;
	o->conversation = v->conversation;
	o->length = v->length;
	o->depth = v->depth;
	o->nitems = v->nitems;
	o->tag = v->tag;
	o->meta = v->meta;
}

/*
 * The row that `s` has found: id, key, version, kind, created_s, updated_s, expires_s, size,
 * hash, tag, value.
 */
static struct status
row_open(struct content *c, enum statement s, struct object *o)
{
	auto_buf struct buf plain = BUF_INIT(VALUE_MAX);
	struct object_value v = { .kind = 0 };
	uint8_t numbers[16];
	uint64_t id, key;
	struct place at;
	struct span text;
	struct status st;

	TRY(sql_column_u64(c->db, s, 0, &id));
	TRY(sql_column_u64(c->db, s, 1, &key));
	TRY(sql_column_u64(c->db, s, 2, &o->version));
	o->id = (int64_t)id;
	o->user = c->user;
	at = object_place(o->id, o->user, numbers);
	TRY(keyring_value_open(
	    c->db, o->user, key, &at, o->version, sql_column(c->db, s, 10), &plain));
	text = buf_span(&plain);
	TRY(content_keep(c, &text));
	st = wire_decode(&object_value_table, text, c->arena, &v);
	if (!is_ok(st))
		return st.code == E_NOMEM ? st : fail(E_CORRUPT);
	object_from(&v, o);
	return marks_check(c, s, o);
}

/* A key that is gone says that the value was changed: its user is there. */
static struct status
row_take(struct content *c, enum statement s, struct object *ret)
{
	struct object o = { .id = 0 };
	struct status st = row_open(c, s, &o);

	sql_reset(c->db, s);
	if (st.code == E_NOTFOUND || st.code == E_FULL)
		return fail(E_CORRUPT);
	TRY(st);
	*ret = o;
	return OK;
}

struct status
object_find(struct content *c, struct span public_id, uint8_t kind, struct object *ret)
{
	uint8_t hash[CONTENT_HASH_LEN];

	if (public_id.len == 0)
		return fail(E_NOTFOUND);
	TRY(id_hash(c->db, public_id, hash));
	sql_int(c->db, SQL_OBJECT_FIND, 1, (uint64_t)c->user);
	sql_blob(c->db, SQL_OBJECT_FIND, 2, span_of(hash, sizeof(hash)));
	sql_int(c->db, SQL_OBJECT_FIND, 3, c->call->now_s);
	TRY(sql_row(c->db, SQL_OBJECT_FIND));
	TRY(row_take(c, SQL_OBJECT_FIND, ret));
	return kind == 0 || ret->kind == kind ? OK : fail(E_NOTFOUND);
}

struct status
object_get(struct content *c, uint64_t id, struct object *ret)
{
	sql_int(c->db, SQL_OBJECT_GET, 1, (uint64_t)c->user);
	sql_int(c->db, SQL_OBJECT_GET, 2, id);
	TRY(sql_row(c->db, SQL_OBJECT_GET));
	return row_take(c, SQL_OBJECT_GET, ret);
}

struct status
object_next(struct content *c, uint8_t kind, struct span tag, uint64_t after, struct object *ret)
{
	static const enum statement by[2][2] = {
		{ SQL_OBJECT_NEXT, SQL_OBJECT_BEFORE },
		{ SQL_OBJECT_NEXT_OF_TAG, SQL_OBJECT_BEFORE_OF_TAG },
	};
	bool back = c->call->req->descending != 0;
	enum statement s = by[tag.len > 0][back];
	uint8_t hash[CONTENT_HASH_LEN];

	sql_int(c->db, s, 1, (uint64_t)c->user);
	sql_int(c->db, s, 2, kind);
	sql_int(c->db, s, 3, after == 0 && back ? INT64_MAX : after);
	sql_int(c->db, s, 4, c->call->now_s);
	if (tag.len > 0) {
		TRY(tag_hash(c->db, tag, hash));
		sql_blob(c->db, s, 5, span_of(hash, sizeof(hash)));
	}
	TRY(sql_row(c->db, s));
	return row_take(c, s, ret);
}

void
object_show(const struct object *o, struct content_object *ret)
{
	*ret = (struct content_object){ .id = o->public_id,
		.created_s = o->created_s,
		.expires_s = o->expires_s,
		.size = o->length,
		.meta = o->meta };
}

/* ---- going ---- */

struct status
object_drop(struct db *db, int64_t user, int64_t id, uint8_t kind, uint64_t size)
{
	uint64_t bytes = 0;

	if (kind == CONTENT_FILE) {
		sql_int(db, SQL_FILE_CHUNKS_REMOVE, 1, (uint64_t)id);
		TRY(sql_run(db, SQL_FILE_CHUNKS_REMOVE));
	} else {
		TRY(items_leave(db, user, (uint64_t)id, kind, &bytes));
	}
	sql_int(db, SQL_OBJECT_REMOVE, 1, (uint64_t)id);
	sql_int(db, SQL_OBJECT_REMOVE, 2, (uint64_t)user);
	TRY(sql_run(db, SQL_OBJECT_REMOVE));
	return use_take(db, user, 1, size + bytes);
}

struct status
object_remove(struct content *c, const struct object *o)
{
	uint64_t bytes = 0;

	if (!c->hold && o->kind != CONTENT_FILE)
		TRY(items_weight(c->db, o->user, (uint64_t)o->id, o->kind, &bytes));
	if (!c->hold && bytes <= OBJECT_AT_ONCE_MAX)
		return object_drop(c->db, o->user, o->id, o->kind, o->size);
	c->done->hidden = !c->hold;
	sql_int(c->db, SQL_OBJECT_HIDE, 1, (uint64_t)o->id);
	sql_int(c->db, SQL_OBJECT_HIDE, 2, (uint64_t)o->user);
	return sql_run(c->db, SQL_OBJECT_HIDE);
}
