/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.c: all that is kept of a person, as JSON, a line for each thing.
 *
 * Runs in: store, jailed. Trusts: nothing that it reads; texts that are no JSON are given as
 * strings. Owns: one line at a time.
 * Invariants: no text that was stored ends a line; what does not open is named, and all else is
 * given; a line is made anew for each page that has a part of it, and the same each time: what it
 * is made of is not changed in place but for a conversation's (then: E_AGAIN, or a line that does
 * not parse). Of a file a page reads what it gives; that all of it opens is seen when its line
 * begins. See: privacy.h; docs/privacy.md.
 */
#include "privacy.h"

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/json.h>
#include <json/write.h>

#define LINE_MAX_BYTES (2 * CONTENT_ARENA_MAX) /* each U+2028 of a text becomes twice as long */
#define FILE_TAIL "\"}\n"

struct export
{
	struct db *db;
	const struct as_export *m;
	int64_t user;
	struct content c;
	struct json_doc doc;
	struct json_writer w;
	struct span id; /* of the object that is at hand; empty: not known */
	bool begins;    /* the line is made for its beginning */
	bool has_file;  /* … and has, before its FILE_TAIL, the bytes of: */
	struct object file;
};

typedef struct status stage_fn(struct export *x, uint64_t after, uint64_t *ret_row);
static struct status put_user(struct export *x, uint64_t after, uint64_t *ret_row);
static struct status put_key(struct export *x, uint64_t after, uint64_t *ret_row);
static struct status put_conversation(struct export *x, uint64_t after, uint64_t *ret_row);
static struct status put_response(struct export *x, uint64_t after, uint64_t *ret_row);
static struct status put_file(struct export *x, uint64_t after, uint64_t *ret_row);
static struct status put_tool(struct export *x, uint64_t after, uint64_t *ret_row);
static struct status put_usage(struct export *x, uint64_t after, uint64_t *ret_row);

/* Each writes the thing behind row `after`; E_NOTFOUND: there is none. */
static const struct {
	const char *kind;
	stage_fn *put;
} stages[] = { { "user", put_user }, { "api_key", put_key }, { "conversation", put_conversation },
	{ "response", put_response }, { "file", put_file }, { "tool", put_tool },
	{ "usage", put_usage } };
#define STAGES (sizeof(stages) / sizeof(stages[0]))

/* It was changed by others, or its key is gone. */
static bool
is_unreadable(struct status st)
{
	return st.code == E_CORRUPT || st.code == E_CRYPTO;
}

/* ---- members ---- */

static void
member(struct export *x, const char *key, struct span text)
{
	json_put_key(&x->w, key);
	json_put_str(&x->w, text);
}

static void
number(struct export *x, const char *key, uint64_t v)
{
	json_put_key(&x->w, key);
	json_put_u64(&x->w, v);
}

/* JSON, on the line that it is a part of; what is none, as a string. */
static void
value(struct export *x, struct span text)
{
	if (is_ok(json_parse(&x->doc, text)))
		json_put_compact(&x->w, text);
	else
		json_put_str(&x->w, text);
}

static void
digest(struct export *x, const char *key, const uint8_t bytes[DIGEST_LEN])
{
	char hex[2 * DIGEST_LEN];

	hex_encode(span_of(bytes, DIGEST_LEN), hex);
	member(x, key, span_of(hex, sizeof(hex)));
}

/* ---- the person, keys, counts ---- */

static void
put_marks(struct export *x, const struct as_user *u)
{
	json_put_key(&x->w, "roles");
	json_put_array(&x->w);
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		if ((u->roles & 1U << i) != 0)
			json_put_text(&x->w, role_names[i]);
	}
	json_put_end(&x->w);
	json_put_key(&x->w, "state");
	json_put_text(&x->w, u->state == USER_ACTIVE ? "active" : "disabled");
	json_put_key(&x->w, "hold");
	json_put_bool(&x->w, u->hold != 0);
}

static struct status
put_user(struct export *x, uint64_t after, uint64_t *ret_row)
{
	int64_t cursor = x->user - 1;
	struct as_user u = { .roles = 0 };

	if (after > 0)
		return fail(E_NOTFOUND);
	*ret_row = 1;
	TRY(db_user_next(x->db, &cursor, &u));
	explicit_bzero(u.subject_key, sizeof(u.subject_key));
	if (cursor != x->user)
		return fail(E_CORRUPT);
	member(x, "type", SPAN_LIT("user"));
	member(x, "tenant", x->m->tenant);
	member(x, "user", x->m->user);
	put_marks(x, &u);
	return OK;
}

static struct status
row_after(struct db *db, enum statement s, int64_t user, uint64_t after, uint64_t *ret_row)
{
	struct status st;

	sql_int(db, s, 1, (uint64_t)user);
	sql_int(db, s, 2, after);
	TRY(sql_row(db, s));
	st = sql_column_u64(db, s, 0, ret_row);
	sql_reset(db, s);
	return st;
}

static struct status
put_key(struct export *x, uint64_t after, uint64_t *ret_row)
{
	struct as_key k = { .created_s = 0 };
	int64_t cursor;

	TRY(row_after(x->db, SQL_KEYS_OF_USER, x->user, after, ret_row));
	cursor = (int64_t)*ret_row - 1;
	TRY(db_key_next(x->db, &cursor, &k));
	if (cursor != (int64_t)*ret_row)
		return fail(E_CORRUPT);
	member(x, "type", SPAN_LIT("api_key"));
	member(x, "id", span_of(k.id, KEY_ID_LEN));
	member(x, "policy", k.policy);
	json_put_key(&x->w, "scopes");
	if (k.scopes.len > 0)
		value(x, k.scopes);
	else
		json_put_null(&x->w);
	number(x, "created_at", k.created_s);
	number(x, "expires_at", k.expires_s);
	number(x, "revoked_at", k.revoked_s);
	number(x, "last_used_at", k.last_used_s);
	return OK;
}

static struct status
usage_row(void *ctx, const struct as_usage_row *r)
{
	struct export *x = ctx;

	json_put_object(&x->w);
	member(x, "key", span_of(r->id, KEY_ID_LEN));
	member(x, "model", r->model);
	number(x, "requests", r->requests);
	number(x, "errors", r->errors);
	number(x, "tokens_in", r->tokens_in);
	number(x, "tokens_out", r->tokens_out);
	number(x, "estimated_in", r->estimated_in);
	number(x, "estimated_out", r->estimated_out);
	json_put_end(&x->w);
	return OK;
}

/* The next key that has used anything. */
static struct status
used_key_after(struct export *x, uint64_t after, uint64_t *ret_row)
{
	struct status st;

	do {
		TRY(row_after(x->db, SQL_KEYS_OF_USER, x->user, after, &after));
		sql_int(x->db, SQL_USAGE_MODEL, 1, after);
		sql_text(x->db, SQL_USAGE_MODEL, 2, span_of("", 0));
		sql_int(x->db, SQL_USAGE_MODEL, 3, 0);
		st = sql_row(x->db, SQL_USAGE_MODEL);
		sql_reset(x->db, SQL_USAGE_MODEL);
	} while (st.code == E_NOTFOUND);
	*ret_row = after;
	return st;
}

/* A line for each key: no call reads more than one key's. */
static struct status
put_usage(struct export *x, uint64_t after, uint64_t *ret_row)
{
	TRY(used_key_after(x, after, ret_row));
	member(x, "type", SPAN_LIT("usage"));
	json_put_key(&x->w, "rows");
	json_put_array(&x->w);
	TRY(db_usage_of_key(x->db, *ret_row, usage_row, x));
	json_put_end(&x->w);
	return OK;
}

/* ---- conversations, responses, files ---- */

/* The row that object_next() would not open. */
static struct status
object_row_after(struct export *x, uint8_t kind, uint64_t after, uint64_t *ret_row)
{
	struct status st;

	sql_int(x->db, SQL_OBJECT_NEXT, 1, (uint64_t)x->user);
	sql_int(x->db, SQL_OBJECT_NEXT, 2, kind);
	sql_int(x->db, SQL_OBJECT_NEXT, 3, after);
	sql_int(x->db, SQL_OBJECT_NEXT, 4, x->c.call->now_s);
	TRY(sql_row(x->db, SQL_OBJECT_NEXT));
	st = sql_column_u64(x->db, SQL_OBJECT_NEXT, 0, ret_row);
	sql_reset(x->db, SQL_OBJECT_NEXT);
	return st;
}

static struct status
object_after(struct export *x, uint8_t kind, uint64_t after, struct object *ret, uint64_t *ret_row)
{
	struct status st;

	arena_reset(x->c.arena);
	st = object_next(&x->c, kind, SPAN_EMPTY, after, ret);
	if (is_unreadable(st))
		TRY(object_row_after(x, kind, after, ret_row));
	TRY(st);
	*ret_row = (uint64_t)ret->id;
	x->id = ret->public_id;
	return OK;
}

static void
put_object(struct export *x, const struct object *o)
{
	member(x, "type", span_str(content_kind_names[o->kind]));
	member(x, "id", o->public_id);
	number(x, "created_at", o->created_s);
	number(x, "updated_at", o->updated_s);
	if (o->expires_s > 0)
		number(x, "expires_at", o->expires_s);
	json_put_key(&x->w, "object");
	value(x, o->meta);
}

static struct status
put_items(struct export *x, const struct object *o, const char *key, uint8_t output)
{
	struct item_room room;
	struct status st;

	TRY(item_room_new(&x->c, CONTENT_ITEMS_MAX, &room));
	room.bytes_max = CONTENT_ARENA_MAX;
	st = items_all(&x->c, o, output, &room);
	if (!is_unreadable(st))
		TRY(st);
	json_put_key(&x->w, key);
	json_put_array(&x->w);
	for (uint32_t i = 0; i < room.n; i++)
		value(x, room.items[i].json);
	json_put_end(&x->w);
	if (!is_ok(st)) {
		json_put_key(&x->w, output == 0   ? "input_cut"
				    : output == 1 ? "output_cut"
						  : "items_cut");
		json_put_bool(&x->w, true);
	}
	return OK;
}

static struct status
put_conversation(struct export *x, uint64_t after, uint64_t *ret_row)
{
	struct object o;

	TRY(object_after(x, CONTENT_CONVERSATION, after, &o, ret_row));
	put_object(x, &o);
	return put_items(x, &o, "items", 2);
}

static struct status
put_response(struct export *x, uint64_t after, uint64_t *ret_row)
{
	struct object o;

	TRY(object_after(x, CONTENT_RESPONSE, after, &o, ret_row));
	put_object(x, &o);
	TRY(put_items(x, &o, "input", 0));
	return put_items(x, &o, "output", 1);
}

static struct status
put_file(struct export *x, uint64_t after, uint64_t *ret_row)
{
	struct span bytes;
	struct object o;

	TRY(object_after(x, CONTENT_FILE, after, &o, ret_row));
	put_object(x, &o);
	member(x, "purpose", o.tag);
	if (x->begins)
		TRY(file_read(&x->c, &o, &bytes));
	member(x, "content_base64", SPAN_EMPTY);
	x->file = o;
	x->has_file = true;
	return OK;
}

/* ---- tools ---- */

static void
put_version(struct export *x, const struct as_tool *t)
{
	json_put_object(&x->w);
	number(x, "version", t->version);
	json_put_key(&x->w, "current");
	json_put_bool(&x->w, t->current != 0);
	json_put_key(&x->w, "allowed");
	json_put_bool(&x->w, t->allowed != 0);
	number(x, "created_at", t->created_s);
	digest(x, "sha256", t->digest);
	json_put_key(&x->w, "manifest");
	value(x, t->manifest);
	json_put_end(&x->w);
}

static struct status
put_tool(struct export *x, uint64_t after, uint64_t *ret_row)
{
	struct db_tool_cursor c = { 0 };
	bool named = false;
	struct as_tool t;
	struct status st;

	TRY(row_after(x->db, SQL_TOOL_OF_USER, x->user, after, ret_row));
	member(x, "type", SPAN_LIT("tool"));
	c.tool = *ret_row - 1;
	while (is_ok(st = db_tool_next(x->db, &c, &t)) && c.tool == *ret_row) {
		if (!named) {
			member(x, "name", t.name);
			json_put_key(&x->w, "versions");
			json_put_array(&x->w);
		}
		named = true;
		put_version(x, &t);
	}
	if (named)
		json_put_end(&x->w);
	return is_ok(st) || st.code == E_NOTFOUND ? OK : st;
}

/* ---- lines and pages ---- */

/* In the place of what does not open: which it is. */
static void
put_unreadable(struct export *x, uint8_t stage, uint64_t row)
{
	member(x, "type", SPAN_LIT("unreadable"));
	member(x, "kind", span_str(stages[stage].kind));
	number(x, "row", row);
	if (x->id.len > 0)
		member(x, "id", x->id);
}

static void
line_begin(struct export *x, struct buf *line)
{
	buf_clear(line);
	x->w = json_writer(line);
	json_put_object(&x->w);
}

static struct status
line_make(struct export *x, uint8_t stage, uint64_t after, uint64_t *ret_row, struct buf *line)
{
	struct status st;

	*ret_row = 0;
	x->id = SPAN_EMPTY;
	x->has_file = false;
	line_begin(x, line);
	st = stages[stage].put(x, after, ret_row);
	sql_reset_all(x->db); /* what failed may have left a read open */
	if (is_unreadable(st) && *ret_row > after) {
		line_begin(x, line);
		put_unreadable(x, stage, *ret_row);
		st = OK;
	}
	TRY(st);
	json_put_end(&x->w);
	TRY(json_writer_finish(&x->w));
	return buf_put_u8(line, '\n');
}

/* The line with what is left out of it. */
static uint64_t
line_len(const struct export *x, const struct buf *line)
{
	return line->len + (x->has_file ? (x->file.length + 2) / 3 * 4 : 0);
}

static struct status
put_slice(struct span text, uint64_t from, uint64_t room, struct buf *page, uint64_t *put)
{
	struct span left = from < text.len ? span_from(text, (size_t)from) : SPAN_EMPTY;

	if (left.len > room)
		left.len = (size_t)room;
	*put += left.len;
	return buf_put_span(page, left);
}

/* Digits `from` and on of the file's bytes. */
static struct status
put_digits(struct export *x, uint64_t from, uint64_t room, struct buf *page, uint64_t *put)
{
	auto_buf struct buf text = BUF_INIT(AS_EXPORT_PAGE_MAX + 8);
	struct span bytes;

	arena_reset(x->c.arena);
	TRY(file_range(&x->c, &x->file, from / 4 * 3, (room + 7) / 4 * 3, &bytes));
	TRY(base64_encode(bytes, &text));
	return put_slice(buf_span(&text), from % 4, room, page, put);
}

/* What the page has room for of the line, from `from` on. */
static struct status
put_part(
    struct export *x, const struct buf *line, uint64_t from, struct buf *page, uint64_t *ret_put)
{
	uint64_t digits = line_len(x, line) - line->len, head = line->len, max;
	struct span text = buf_span(line);

	*ret_put = 0;
	if (x->has_file)
		head -= sizeof(FILE_TAIL) - 1;
	TRY(put_slice(span_of(text.ptr, (size_t)head), from, page->max - page->len, page, ret_put));
	from += *ret_put;
	max = page->max - page->len;
	if (from >= head && from < head + digits && max > 0) {
		uint64_t n = 0, left = head + digits - from;

		TRY(put_digits(x, from - head, left < max ? left : max, page, &n));
		*ret_put += n;
		from += n;
	}
	return from < head + digits ? OK
				    : put_slice(span_from(text, (size_t)head), from - head - digits,
					  page->max - page->len, page, ret_put);
}

/* The line that the cursor stands in, or the next one. E_NOTFOUND: this stage is over. */
static struct status
line_at(struct export *x, struct as_exported *at, struct buf *line)
{
	uint64_t row = 0;
	struct status st;

	x->begins = at->offset == 0;
	if (x->begins) {
		TRY(line_make(x, at->stage, at->row, &row, line));
		at->row = row;
		return OK;
	}
	if (at->row == 0)
		return fail(E_RANGE);
	st = line_make(x, at->stage, at->row - 1, &row, line);
	if (st.code == E_NOTFOUND)
		return fail(E_AGAIN);
	TRY(st);
	return row == at->row && at->offset < line_len(x, line) ? OK : fail(E_AGAIN);
}

static struct status
pages_fill(struct export *x, struct buf *page, struct as_exported *at)
{
	auto_buf struct buf line = BUF_INIT(LINE_MAX_BYTES);

	while (at->stage < STAGES && page->len < page->max) {
		struct status st = line_at(x, at, &line);
		uint64_t put = 0;

		if (st.code == E_NOTFOUND) {
			at->stage++;
			at->row = 0;
			continue;
		}
		TRY(st);
		st = put_part(x, &line, at->offset, page, &put);
		if (is_unreadable(st)) /* since its line began */
			return fail(E_AGAIN);
		TRY(st);
		at->offset += (uint32_t)put;
		if (at->offset == line_len(x, &line))
			at->offset = 0;
	}
	at->more = at->stage < STAGES;
	return OK;
}

struct status
db_user_export(struct db *db, const struct as_export *m, struct buf *page, struct as_exported *ret)
{
	static const struct content_request none;
	static const struct json_opts opts = { .size_max = CONTENT_ITEM_MAX };
	const struct content_call call = { .req = &none };
	auto_arena struct arena arena = ARENA_INIT(CONTENT_ARENA_MAX);
	struct export x = { .db = db, .m = m };
	struct status st;

	TRY(user_find(db, m->tenant, m->user, &x.user));
	x.c = (struct content){ .db = db, .call = &call, .arena = &arena, .user = x.user };
	*ret = (struct as_exported){ .stage = m->stage, .row = m->row, .offset = m->offset };
	TRY(json_init(&x.doc, &opts));
	st = pages_fill(&x, page, ret);
	json_done(&x.doc);
	return st;
}
