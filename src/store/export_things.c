/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export_things.c: what the line of each thing says that is kept of a person.
 *
 * Runs in: store, jailed. Trusts: nothing that it reads; texts that are no JSON are given as
 * strings. Owns: nothing. Invariants: no secret (a key's hash, a session's token) is in any line;
 * no call reads more than one thing; rows of each kind are in the order of their numbers.
 * See: export.h, export.c; docs/privacy.md.
 */
#include "export.h"

#include <assert.h>

#include <base/cleanup.h>
#include <base/encode.h>

bool
export_is_unreadable(struct status st)
{
	return st.code == E_CORRUPT || st.code == E_CRYPTO;
}

/* ---- members ---- */

void
export_member(struct export *x, const char *key, struct span text)
{
	json_put_key(&x->w, key);
	json_put_str(&x->w, text);
}

void
export_number(struct export *x, const char *key, uint64_t v)
{
	json_put_key(&x->w, key);
	json_put_u64(&x->w, v);
}

void
export_value(struct export *x, struct span text)
{
	if (is_ok(json_parse(&x->doc, text)))
		json_put_compact(&x->w, text);
	else
		json_put_str(&x->w, text);
}

static void
hex(struct export *x, const char *key, struct span bytes)
{
	char text[2 * DIGEST_LEN];

	assert(bytes.len <= DIGEST_LEN);
	hex_encode(bytes, text);
	export_member(x, key, span_of(text, 2 * bytes.len));
}

/* ---- the person, keys, sessions, counts ---- */

static void
roles(struct export *x, unsigned of)
{
	json_put_key(&x->w, "roles");
	json_put_array(&x->w);
	for (size_t i = 0; i < ROLE_COUNT; i++) {
		if ((of & 1U << i) != 0)
			json_put_text(&x->w, role_names[i]);
	}
	json_put_end(&x->w);
}

static void
put_marks(struct export *x, const struct as_user *u)
{
	roles(x, u->roles);
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
	export_member(x, "type", SPAN_LIT("user"));
	export_member(x, "tenant", x->m->tenant);
	export_member(x, "user", x->m->user);
	put_marks(x, &u);
	return OK;
}

static struct status
row_after(struct db *db, enum statement s, int64_t user, uint64_t after, uint64_t *ret_row)
{
	sql_int(db, s, 1, (uint64_t)user);
	sql_int(db, s, 2, after);
	return sql_number(db, s, ret_row);
}

static void
scopes(struct export *x, struct span text)
{
	json_put_key(&x->w, "scopes");
	if (text.len > 0)
		export_value(x, text);
	else
		json_put_null(&x->w);
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
	export_member(x, "type", SPAN_LIT("api_key"));
	export_member(x, "id", span_of(k.id, KEY_ID_LEN));
	export_member(x, "policy", k.policy);
	scopes(x, k.scopes);
	export_number(x, "created_at", k.created_s);
	export_number(x, "expires_at", k.expires_s);
	export_number(x, "revoked_at", k.revoked_s);
	export_number(x, "last_used_at", k.last_used_s);
	return OK;
}

/* What of a session is no secret. */
static struct status
put_session(struct export *x, uint64_t after, uint64_t *ret_row)
{
	struct as_session s = { .signer = 0 };
	int64_t cursor;

	TRY(row_after(x->db, SQL_SESSION_OF_USER, x->user, after, ret_row));
	cursor = (int64_t)*ret_row - 1;
	TRY(db_session_next(x->db, &cursor, &s));
	if (cursor != (int64_t)*ret_row)
		return fail(E_CORRUPT);
	export_member(x, "type", SPAN_LIT("session"));
	hex(x, "id", span_of(s.id, SESSION_ID_LEN));
	export_member(x, "key", span_of(s.key, KEY_ID_LEN));
	if (s.has_roles)
		roles(x, s.roles);
	scopes(x, s.scope);
	export_number(x, "created_at", s.created_s);
	export_number(x, "expires_at", s.expires_s);
	return OK;
}

static struct status
usage_row(void *ctx, const struct as_usage_row *r)
{
	struct export *x = ctx;

	json_put_object(&x->w);
	export_member(x, "key", span_of(r->id, KEY_ID_LEN));
	export_member(x, "model", r->model);
	export_number(x, "requests", r->requests);
	export_number(x, "errors", r->errors);
	export_number(x, "tokens_in", r->tokens_in);
	export_number(x, "tokens_out", r->tokens_out);
	export_number(x, "estimated_in", r->estimated_in);
	export_number(x, "estimated_out", r->estimated_out);
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
	export_member(x, "type", SPAN_LIT("usage"));
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
	sql_int(x->db, SQL_OBJECT_NEXT, 1, (uint64_t)x->user);
	sql_int(x->db, SQL_OBJECT_NEXT, 2, kind);
	sql_int(x->db, SQL_OBJECT_NEXT, 3, after);
	sql_int(x->db, SQL_OBJECT_NEXT, 4, x->c.call->now_s);
	return sql_number(x->db, SQL_OBJECT_NEXT, ret_row);
}

static struct status
object_after(struct export *x, uint8_t kind, uint64_t after, struct object *ret, uint64_t *ret_row)
{
	struct status st;

	arena_reset(x->c.arena);
	st = object_next(&x->c, kind, SPAN_EMPTY, after, ret);
	if (export_is_unreadable(st))
		TRY(object_row_after(x, kind, after, ret_row));
	TRY(st);
	*ret_row = (uint64_t)ret->id;
	x->id = ret->public_id;
	return OK;
}

static void
put_object(struct export *x, const struct object *o)
{
	export_member(x, "type", span_str(content_kind_names[o->kind]));
	export_member(x, "id", o->public_id);
	export_number(x, "created_at", o->created_s);
	export_number(x, "updated_at", o->updated_s);
	if (o->expires_s > 0)
		export_number(x, "expires_at", o->expires_s);
	json_put_key(&x->w, "object");
	export_value(x, o->meta);
}

static struct status
put_conversation(struct export *x, uint64_t after, uint64_t *ret_row)
{
	static const struct export_list lists[] = { { "items", "items_cut", 2 } };

	TRY(object_after(x, CONTENT_CONVERSATION, after, &x->of, ret_row));
	put_object(x, &x->of);
	x->lists = lists;
	x->nlists = sizeof(lists) / sizeof(lists[0]);
	return OK;
}

static struct status
put_response(struct export *x, uint64_t after, uint64_t *ret_row)
{
	static const struct export_list lists[] = { { "input", "input_cut", 0 },
		{ "output", "output_cut", 1 } };

	TRY(object_after(x, CONTENT_RESPONSE, after, &x->of, ret_row));
	put_object(x, &x->of);
	x->lists = lists;
	x->nlists = sizeof(lists) / sizeof(lists[0]);
	return OK;
}

static struct status
read_file(struct export *x, uint64_t from, uint64_t len, struct span *ret)
{
	return file_range(&x->c, &x->bytes.file, from, len, ret);
}

static struct status
put_file(struct export *x, uint64_t after, uint64_t *ret_row)
{
	struct span bytes;
	struct object o;

	TRY(object_after(x, CONTENT_FILE, after, &o, ret_row));
	put_object(x, &o);
	export_member(x, "purpose", o.tag);
	if (x->begins)
		TRY(file_read(&x->c, &o, &bytes));
	export_member(x, "content_base64", SPAN_EMPTY);
	x->bytes = (struct export_bytes){ .len = o.length, .read = read_file, .file = o };
	x->has_bytes = true;
	return OK;
}

/* ---- tools ---- */

/* With its versions: none where they were removed. */
static struct status
tool_open(struct export *x, uint64_t id)
{
	if (!db_tools_fit(x->db))
		return fail(E_CORRUPT);
	TRY(tool_row_get(x->db, id, &x->tool));
	x->id = span_str(x->tool.name);
	return OK;
}

static struct status
put_version(struct export *x, uint64_t id)
{
	auto_version struct version_row v = { .id = 0 };

	TRY(version_row_get(x->db, &x->tool, id, &v));
	json_put_object(&x->w);
	export_number(x, "version", v.meta.version);
	json_put_key(&x->w, "current");
	json_put_bool(&x->w, x->tool.current == id);
	json_put_key(&x->w, "allowed");
	json_put_bool(&x->w, x->tool.allowed == id);
	export_number(x, "created_at", v.meta.created_s);
	hex(x, "sha256", span_of(v.meta.digest, DIGEST_LEN));
	json_put_key(&x->w, "manifest");
	export_value(x, v.meta.manifest);
	json_put_end(&x->w);
	return OK;
}

static struct status
put_tool(struct export *x, uint64_t after, uint64_t *ret_row)
{
	TRY(row_after(x->db, SQL_TOOL_OF_USER, x->user, after, ret_row));
	TRY(tool_open(x, *ret_row));
	export_member(x, "type", SPAN_LIT("tool"));
	export_member(x, "name", span_str(x->tool.name));
	json_put_key(&x->w, "versions");
	json_put_array(&x->w);
	for (uint32_t i = 0; i < x->tool.n; i++)
		TRY(put_version(x, x->tool.entries[i].id));
	json_put_end(&x->w);
	return OK;
}

static struct status
read_part(struct export *x, uint64_t from, uint64_t len, struct span *ret)
{
	struct buf out = BUF_INIT(0);

	out.max = out.cap = (size_t)len;
	out.ptr = arena_alloc(x->c.arena, out.cap);
	if (out.ptr == NULL)
		return fail(E_NOMEM);
	TRY(blob_range(x->db, x->bytes.version, x->bytes.part, x->bytes.len, from, &out));
	*ret = buf_span(&out);
	return OK;
}

/* A part's row: twice its version's, and one more for the native one. */
static enum tool_part
part_of(uint64_t row)
{
	return row % 2 == 0 ? PART_MODULE : PART_NATIVE;
}

/* E_NOTFOUND: the version has no such part. */
static struct status
put_part_of(struct export *x, uint64_t row)
{
	auto_version struct version_row v = { .id = 0 };
	const enum tool_part part = part_of(row);
	const bool module = part == PART_MODULE;
	uint64_t tool = 0, id = row / 2;
	size_t len;

	TRY(version_tool(x->db, id, &tool));
	TRY(tool_open(x, tool));
	TRY(version_row_get(x->db, &x->tool, id, &v));
	len = module ? v.meta.module_size : v.meta.native_size;
	if (len == 0)
		return fail(E_NOTFOUND);
	if (x->begins)
		TRY(blob_check(x->db, id, part, len, module ? v.meta.module : v.meta.native));
	export_member(x, "type", SPAN_LIT("tool_part"));
	export_member(x, "tool", span_str(x->tool.name));
	export_number(x, "version", v.meta.version);
	export_member(x, "part", module ? SPAN_LIT("module") : SPAN_LIT("native"));
	export_member(x, "content_base64", SPAN_EMPTY);
	x->bytes =
	    (struct export_bytes){ .len = len, .read = read_part, .version = id, .part = part };
	x->has_bytes = true;
	return OK;
}

static struct status
put_part(struct export *x, uint64_t after, uint64_t *ret_row)
{
	struct status st;

	do {
		uint64_t row = after + 1, version = 0;

		TRY(row_after(x->db, SQL_VERSION_OF_USER, x->user, row / 2, &version));
		*ret_row = after = version > row / 2 ? 2 * version : row;
		st = put_part_of(x, after);
	} while (st.code == E_NOTFOUND);
	return st;
}

const struct export_stage export_stages[EXPORT_STAGES] = { { "user", put_user },
	{ "api_key", put_key }, { "conversation", put_conversation }, { "response", put_response },
	{ "file", put_file }, { "tool", put_tool }, { "usage", put_usage },
	{ "session", put_session }, { "tool_part", put_part } };
