/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_row.c: rows of tools and of their versions, sealed; and the sum that ends the chain.
 *
 * Runs in: store. Trusts: nothing that it reads; names in a row only once the seal over
 * them has opened. Owns: the keys of tools, the sum.
 * Invariants: what lies below a hash fits it, or is corrupt; the sum in memory is that of
 * the last commit, and is itself one of the rows that sum.c keeps a sum over.
 * See: tool.h.
 */
#include "tool.h"

#include <base/arena.h>
#include <base/cleanup.h>
#include <crypto/hash.h>
#include <crypto/seal.h>

#define AAD_MAX 512
#define ARENA_MAX (64U << 10)

static struct status row_open(struct db *db, struct span blob, struct tool_row *t);

/* What a sealed value says when it does not open: it is not what was written there. */
static struct status
corrupt(struct status st)
{
	bool ours = st.code == E_NOMEM || st.code == E_SYS || is_ok(st);

	return ours ? st : fail(E_CORRUPT);
}

static struct status
put_id(struct buf *out, uint64_t v)
{
	uint8_t bytes[9] = { 0 };

	for (size_t i = 0; i < 8; i++)
		bytes[i + 1] = (uint8_t)(v >> (56 - 8 * i));
	return buf_put(out, bytes, sizeof(bytes));
}

/* ---- the sum: the HMACs of all marks, added up (sum.c) ---- */

static struct status
term_of(struct db *db, uint64_t id, struct span blob, uint8_t out[DIGEST_LEN])
{
	auto_buf struct buf head = BUF_INIT(16);
	struct span parts[2];

	TRY(put_id(&head, id));
	parts[0] = buf_span(&head);
	parts[1] = blob;
	return hmac_sha256_parts(db->tools.sum_key, parts, 2, out);
}

static struct status
sum_write(struct db *db)
{
	auto_buf struct buf sealed = BUF_INIT(DIGEST_LEN + SEAL_OVERHEAD);

	TRY(seal(
	    &db->tools.key, SPAN_LIT("tool_sum"), span_of(db->tools.sum, DIGEST_LEN), &sealed));
	sql_blob(db, SQL_TOOL_SUM_SET, 1, buf_span(&sealed));
	return sql_run(db, SQL_TOOL_SUM_SET);
}

static struct status
sum_read(struct db *db, uint8_t out[DIGEST_LEN])
{
	auto_buf struct buf plain = BUF_INIT(DIGEST_LEN);
	struct status st = sql_row(db, SQL_TOOL_SUM_GET);

	memset(out, 0, DIGEST_LEN);
	if (st.code == E_NOTFOUND)
		return OK; /* no tool ever */
	TRY(st);
	st = seal_open(
	    &db->tools.key, SPAN_LIT("tool_sum"), sql_column(db, SQL_TOOL_SUM_GET, 0), &plain);
	sql_reset(db, SQL_TOOL_SUM_GET);
	TRY(corrupt(st));
	if (plain.len != DIGEST_LEN)
		return fail(E_CORRUPT);
	memcpy(out, plain.ptr, DIGEST_LEN);
	return OK;
}

static struct status
sum_compute(struct db *db, uint8_t out[DIGEST_LEN])
{
	uint8_t term[DIGEST_LEN];
	uint64_t id = 0;
	struct status st;

	memset(out, 0, DIGEST_LEN);
	for (;;) {
		sql_reset(db, SQL_TOOL_MARKS_NEXT);
		sql_int(db, SQL_TOOL_MARKS_NEXT, 1, id);
		st = sql_row(db, SQL_TOOL_MARKS_NEXT);
		if (st.code == E_NOTFOUND)
			return OK;
		TRY(st);
		TRY(sql_column_u64(db, SQL_TOOL_MARKS_NEXT, 0, &id));
		TRY(term_of(db, id, sql_column(db, SQL_TOOL_MARKS_NEXT, 1), term));
		sum_add(out, term);
	}
}

struct status
tools_open(struct db *db)
{
	uint8_t key[AS_SECRET_LEN], kept[DIGEST_LEN];
	struct status st;

	db->tools.shown = calloc(1, sizeof(*db->tools.shown));
	if (db->tools.shown == NULL)
		return fail(E_NOMEM);
	TRY(secret_new(SEAL_KEY_LEN, &db->tools.key));
	TRY(db_secret_ensure(db, SPAN_LIT(TOOLS_KEY_NAME), db->tools.key.ptr));
	st = db_secret_ensure(db, SPAN_LIT(TOOLS_SUM_NAME), key);
	if (is_ok(st))
		st = hmac_key_new(span_of(key, sizeof(key)), &db->tools.sum_key);
	explicit_bzero(key, sizeof(key));
	TRY(st);
	st = sum_compute(db, db->tools.sum);
	sql_reset(db, SQL_TOOL_MARKS_NEXT);
	if (is_ok(st))
		st = sum_read(db, kept);
	if (st.code == E_NOMEM || st.code == E_SYS)
		return st;
	db->tools.known = is_ok(st);
	db->tools.fit = is_ok(st) && memcmp(kept, db->tools.sum, DIGEST_LEN) == 0;
	if (db->tools.known)
		memcpy(db->tools.sum, kept, DIGEST_LEN);
	return OK;
}

void
tools_close(struct db *db)
{
	secret_done(&db->tools.key);
	hmac_key_free(db->tools.sum_key);
	db->tools.sum_key = NULL;
	if (db->tools.shown != NULL)
		version_row_done(&db->tools.shown->version);
	free(db->tools.shown);
	db->tools.shown = NULL;
}

struct status
tools_change(struct db *db, tools_change_fn *fn, void *ctx)
{
	uint8_t before[DIGEST_LEN];
	struct status st;

	if (!db->tools.fit)
		return fail(E_CORRUPT);
	memcpy(before, db->tools.sum, DIGEST_LEN);
	TRY(db_begin(db));
	st = fn(db, ctx);
	if (is_ok(st))
		st = sum_write(db);
	st = db_end(db, st);
	if (!is_ok(st))
		memcpy(db->tools.sum, before, DIGEST_LEN);
	return st;
}

static struct status
row_erase(struct db *db, uint64_t id)
{
	static const enum statement rows[] = { SQL_VERSIONS_REMOVE, SQL_TOOL_REMOVE };
	uint8_t term[DIGEST_LEN];
	struct status st;

	sql_int(db, SQL_TOOL_GET, 1, id);
	TRY(sql_row(db, SQL_TOOL_GET));
	st = term_of(db, id, sql_column(db, SQL_TOOL_GET, 3), term);
	sql_reset(db, SQL_TOOL_GET);
	TRY(st);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		sql_int(db, rows[i], 1, id);
		TRY(sql_run(db, rows[i]));
	}
	if (db->tools.known)
		sum_take(db->tools.sum, term);
	return OK;
}

static struct status
rows_erase(struct db *db, int64_t user)
{
	struct status st;
	uint64_t id = 0;

	for (;;) {
		sql_int(db, SQL_TOOL_OF_USER, 1, (uint64_t)user);
		sql_int(db, SQL_TOOL_OF_USER, 2, 0);
		st = sql_number(db, SQL_TOOL_OF_USER, &id);
		if (st.code == E_NOTFOUND)
			return id == 0 || !db->tools.known ? OK : sum_write(db);
		TRY(st);
		TRY(row_erase(db, id));
	}
}

/*
 * What is there goes, whether it opens or not, and whether the sum fits or not: one that does not
 * goes along with it, and does not afterwards.
 */
struct status
tools_erase(struct db *db, int64_t user)
{
	uint8_t before[DIGEST_LEN];
	struct status st;

	memcpy(before, db->tools.sum, DIGEST_LEN);
	TRY(db_begin(db));
	sums_less(db);
	st = db_end(db, rows_erase(db, user));
	if (!is_ok(st))
		memcpy(db->tools.sum, before, DIGEST_LEN);
	return st;
}

struct status
tools_accept(struct db *db)
{
	if (db->tools.fit)
		return OK;
	TRY(sum_compute(db, db->tools.sum));
	db->tools.fit = db->tools.known = true;
	return sum_write(db);
}

/* ---- tools ---- */

static struct status
marks_aad(const struct tool_row *t, struct buf *out)
{
	const char *const names[] = { t->tenant, t->user, t->name };

	TRY(buf_put_str(out, "tools"));
	TRY(put_id(out, t->id));
	for (size_t i = 0; i < 3; i++) {
		TRY(buf_put_str(out, names[i]));
		TRY(buf_put_u8(out, 0));
	}
	return buf_put_str(out, "marks");
}

static struct place
name_place(uint64_t id, int64_t user, uint8_t numbers[16])
{
	return (struct place){ "tools",
		{ place_number(id, numbers), place_number((uint64_t)user, numbers + 8) }, "name" };
}

/* Of a name among the user's. */
static struct status
name_hash(struct db *db, int64_t user, struct span name, uint8_t out[DIGEST_LEN])
{
	auto_buf struct buf text = BUF_INIT(8 + TOOL_MAX);
	uint8_t number[8];

	TRY(buf_put_span(&text, place_number((uint64_t)user, number)));
	TRY(buf_put_span(&text, name));
	return keyring_index(db, "tools.name", buf_span(&text), out);
}

static struct status
name_seal(struct db *db, uint64_t id, int64_t user, struct span name)
{
	auto_buf struct buf sealed = BUF_INIT(TOOL_MAX + SEAL_OVERHEAD);
	uint8_t numbers[16];
	const struct place at = name_place(id, user, numbers);
	uint64_t key;

	TRY(keyring_value_seal(db, user, &at, 0, name, &key, &sealed));
	sql_int(db, SQL_TOOL_NAME, 1, id);
	sql_int(db, SQL_TOOL_NAME, 2, key);
	sql_blob(db, SQL_TOOL_NAME, 3, buf_span(&sealed));
	return sql_run(db, SQL_TOOL_NAME);
}

static struct status
names_open(struct db *db, struct tool_row *t)
{
	auto_buf struct buf name = BUF_INIT(TOOL_MAX);
	uint8_t numbers[16], hash[DIGEST_LEN];
	struct span tenant, user;
	uint64_t user_id, key;
	struct place at;

	TRY(sql_column_u64(db, SQL_TOOL_GET, 0, &user_id));
	TRY(sql_column_u64(db, SQL_TOOL_GET, 1, &key));
	at = name_place(t->id, (int64_t)user_id, numbers);
	TRY(keyring_value_open(
	    db, (int64_t)user_id, key, &at, 0, sql_column(db, SQL_TOOL_GET, 2), &name));
	TRY(name_hash(db, (int64_t)user_id, buf_span(&name), hash));
	if (!span_eq(sql_column(db, SQL_TOOL_GET, 4), span_of(hash, DIGEST_LEN)))
		return fail(E_CORRUPT);
	TRY(span_to_cstr(buf_span(&name), t->name, sizeof(t->name)));
	TRY(user_names(db, (int64_t)user_id, &tenant, &user));
	TRY(span_to_cstr(tenant, t->tenant, sizeof(t->tenant)));
	return span_to_cstr(user, t->user, sizeof(t->user));
}

struct status
tool_row_get(struct db *db, uint64_t id, struct tool_row *ret)
{
	struct status st;

	*ret = (struct tool_row){ .id = id };
	sql_int(db, SQL_TOOL_GET, 1, id);
	TRY(sql_row(db, SQL_TOOL_GET));
	st = names_open(db, ret);
	if (is_ok(st))
		st = row_open(db, sql_column(db, SQL_TOOL_GET, 3), ret);
	sql_reset(db, SQL_TOOL_GET);
	return corrupt(st);
}

static struct status
row_take(struct tool_row *t, const struct tool_marks *m)
{
	const struct tool_entry *entries = m->entries.items;

	t->last = m->last;
	t->current = m->current;
	t->allowed = m->allowed;
	t->n = m->entries.count;
	for (uint32_t i = 0; i < t->n; i++)
		t->entries[i] = entries[i];
	return OK;
}

static struct status
row_open(struct db *db, struct span blob, struct tool_row *t)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX), plain = BUF_INIT(TOOL_MARKS_MAX);
	auto_arena struct arena arena = ARENA_INIT(ARENA_MAX);
	struct tool_marks m;

	TRY(term_of(db, t->id, blob, t->term));
	TRY(marks_aad(t, &aad));
	TRY(seal_open(&db->tools.key, buf_span(&aad), blob, &plain));
	TRY(wire_decode(&tool_marks_table, buf_span(&plain), &arena, &m));
	return row_take(t, &m);
}

struct status
tool_row_put(struct db *db, struct tool_row *t)
{
	const struct tool_marks m = { .last = t->last,
		.current = t->current,
		.allowed = t->allowed,
		.entries = { t->entries, t->n } };
	auto_buf struct buf aad = BUF_INIT(AAD_MAX), plain = BUF_INIT(TOOL_MARKS_MAX),
			    sealed = BUF_INIT(TOOL_MARKS_MAX + SEAL_OVERHEAD);

	TRY(marks_aad(t, &aad));
	TRY(wire_encode(&tool_marks_table, &m, &plain));
	TRY(seal(&db->tools.key, buf_span(&aad), buf_span(&plain), &sealed));
	sql_int(db, SQL_TOOL_SET, 1, t->id);
	sql_blob(db, SQL_TOOL_SET, 2, buf_span(&sealed));
	sql_int(db, SQL_TOOL_SET, 3, t->n > 0);
	TRY(sql_run(db, SQL_TOOL_SET));
	sum_take(db->tools.sum, t->term);
	TRY(term_of(db, t->id, buf_span(&sealed), t->term));
	sum_add(db->tools.sum, t->term);
	return OK;
}

static struct status
row_insert(struct db *db, uint64_t id, int64_t user, struct span name, uint64_t live,
    struct span marks, uint64_t *ret)
{
	uint8_t hash[DIGEST_LEN];

	TRY(name_hash(db, user, name, hash));
	if (id != 0)
		sql_int(db, SQL_TOOL_ADD, 1, id);
	sql_int(db, SQL_TOOL_ADD, 2, (uint64_t)user);
	sql_blob(db, SQL_TOOL_ADD, 3, span_of(hash, DIGEST_LEN));
	sql_int(db, SQL_TOOL_ADD, 4, live);
	sql_blob(db, SQL_TOOL_ADD, 5, marks.len > 0 ? marks : span_of("", 0));
	TRY(sql_run(db, SQL_TOOL_ADD));
	*ret = (uint64_t)backend_last_id(db->back);
	return name_seal(db, *ret, user, name);
}

struct status
tool_row_import(
    struct db *db, uint64_t id, int64_t user, struct span name, uint64_t live, struct span marks)
{
	return row_insert(db, id, user, name, live, marks, &id);
}

struct status
tool_row_ensure(
    struct db *db, struct span tenant, struct span user, struct span name, struct tool_row *ret)
{
	uint8_t hash[DIGEST_LEN];
	int64_t user_id = 0;
	uint64_t id = 0;
	struct status st;

	TRY(user_find(db, tenant, user, &user_id)); /* E_NOTFOUND: no such user */
	TRY(name_hash(db, user_id, name, hash));
	sql_int(db, SQL_TOOL_FIND, 1, (uint64_t)user_id);
	sql_blob(db, SQL_TOOL_FIND, 2, span_of(hash, DIGEST_LEN));
	st = sql_row(db, SQL_TOOL_FIND);
	if (is_ok(st)) {
		st = sql_column_u64(db, SQL_TOOL_FIND, 0, &id);
		sql_reset(db, SQL_TOOL_FIND);
		TRY(st);
		return tool_row_get(db, id, ret);
	}
	if (st.code != E_NOTFOUND)
		return st;
	*ret = (struct tool_row){ .n = 0 };
	TRY(span_to_cstr(tenant, ret->tenant, sizeof(ret->tenant)));
	TRY(span_to_cstr(user, ret->user, sizeof(ret->user)));
	TRY(span_to_cstr(name, ret->name, sizeof(ret->name)));
	return row_insert(db, 0, user_id, name, 0, SPAN_EMPTY, &ret->id);
}

struct tool_entry *
tool_row_entry(struct tool_row *t, uint64_t id)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->entries[i].id == id)
			return &t->entries[i];
	}
	return NULL;
}

/* ---- versions ---- */

void
version_row_done(struct version_row *v)
{
	buf_done(&v->plain);
}

struct status
version_tool(struct db *db, uint64_t id, uint64_t *ret_tool)
{
	sql_int(db, SQL_VERSION_GET, 1, id);
	return sql_number(db, SQL_VERSION_GET, ret_tool);
}

static struct status
meta_aad(uint64_t tool, uint64_t id, uint32_t version, struct buf *out)
{
	TRY(buf_put_str(out, "tool_versions"));
	TRY(put_id(out, tool));
	TRY(put_id(out, id));
	TRY(put_id(out, version));
	return buf_put_str(out, "meta");
}

static struct status
meta_open(struct db *db, const struct tool_row *t, const struct tool_entry *e, struct span blob,
    struct version_row *v)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);
	auto_arena struct arena arena = ARENA_INIT(ARENA_MAX);
	uint8_t hash[DIGEST_LEN];

	TRY(sha256(blob, hash));
	if (memcmp(hash, e->meta, DIGEST_LEN) != 0)
		return fail(E_CORRUPT);
	TRY(meta_aad(t->id, e->id, e->version, &aad));
	v->plain.max = TOOL_META_MAX;
	buf_clear(&v->plain);
	TRY(seal_open(&db->tools.key, buf_span(&aad), blob, &v->plain));
	TRY(wire_decode(&tool_meta_table, buf_span(&v->plain), &arena, &v->meta));
	return v->meta.version == e->version ? OK : fail(E_CORRUPT);
}

struct status
version_row_get(struct db *db, struct tool_row *t, uint64_t id, struct version_row *ret)
{
	const struct tool_entry *e = tool_row_entry(t, id);
	struct status st;

	if (e == NULL)
		return fail(E_CORRUPT);
	sql_int(db, SQL_VERSION_GET, 1, id);
	st = sql_row(db, SQL_VERSION_GET);
	if (st.code == E_NOTFOUND)
		return fail(E_CORRUPT); /* its tool says that it is there */
	TRY(st);
	ret->id = id;
	ret->tool = t->id;
	st = meta_open(db, t, e, sql_column(db, SQL_VERSION_GET, 1), ret);
	sql_reset(db, SQL_VERSION_GET);
	return corrupt(st);
}

struct status
version_row_put(struct db *db, struct tool_row *t, uint64_t id, const struct tool_meta *meta)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX), plain = BUF_INIT(TOOL_META_MAX),
			    sealed = BUF_INIT(TOOL_META_MAX + SEAL_OVERHEAD);
	struct tool_entry *e = tool_row_entry(t, id);

	TRY(meta_aad(t->id, id, meta->version, &aad));
	TRY(wire_encode(&tool_meta_table, meta, &plain));
	TRY(seal(&db->tools.key, buf_span(&aad), buf_span(&plain), &sealed));
	sql_int(db, SQL_VERSION_SET, 1, id);
	sql_blob(db, SQL_VERSION_SET, 2, buf_span(&sealed));
	sql_int(db, SQL_VERSION_SET, 3,
	    (uint64_t)meta->artefact_size + meta->module_size + meta->native_size);
	TRY(sql_run(db, SQL_VERSION_SET));
	return sha256(buf_span(&sealed), e->meta);
}
