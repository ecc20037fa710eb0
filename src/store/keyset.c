/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyset.c: keys that sign or hash, in versions: the newest is used, older ones are kept as long
 * as something needs them.
 *
 * Runs in: store. Trusts: nothing that it reads: a key is sealed for its kind and version.
 * Owns: nothing. Invariants: a version is there whole or not at all, its number never comes
 * again; where a rotation is follows from the rows, so that one that was cut off goes on.
 * See: db.h; db_secret_put(), which seals them.
 */
#include "internal.h"

#include <stdio.h>

#include <base/rand.h>

#define NAME_LEN_MAX 48

/* What is known of a kind; its statements: what needs no version older than the newest. */
static const struct {
	const char *name;    /* of its secrets */
	enum statement old;  /* ?1 kind, ?2 newest: a version that nothing needs */
	enum statement left; /* ?1 newest: how much needs older ones */
} kinds[KEYSET_COUNT] = {
	[KEYSET_SESSION] = { "session-key", SQL_KEYSET_SESSION_OLD, SQL_KEYSET_SESSION_LEFT },
	[KEYSET_PEPPER] = { "pepper", SQL_KEYSET_PEPPER_OLD, SQL_KEYSET_PEPPER_LEFT },
};

static struct span
key_name(enum as_keysets what, uint64_t version, char out[NAME_LEN_MAX])
{
	(void)snprintf(out, NAME_LEN_MAX, "%s:%llu", kinds[what].name, (unsigned long long)version);
	return span_str(out);
}

static struct status
newest_row(struct db *db, enum as_keysets what, uint64_t row[3])
{
	struct status st;

	sql_int(db, SQL_KEYSET_NEWEST, 1, what);
	st = sql_row(db, SQL_KEYSET_NEWEST);
	if (st.code == E_NOTFOUND)
		return fail(E_CORRUPT);
	for (int i = 0; i < 3 && is_ok(st); i++)
		st = sql_column_u64(db, SQL_KEYSET_NEWEST, i, &row[i]);
	sql_reset(db, SQL_KEYSET_NEWEST);
	return st;
}

struct status
keyset_newest(struct db *db, enum as_keysets what, uint64_t *ret)
{
	uint64_t row[3] = { 0 };

	TRY(newest_row(db, what, row));
	*ret = row[0];
	return OK;
}

/* Keys of before there were versions are hashed under what names tenants in the log now. */
static struct status
first_pepper(struct db *db, struct span name, uint8_t out[AS_SECRET_LEN])
{
	struct status st;

	sql_int(db, SQL_KEY_NEXT, 1, 0);
	st = sql_row(db, SQL_KEY_NEXT);
	sql_reset(db, SQL_KEY_NEXT);
	if (st.code == E_NOTFOUND)
		return db_secret_ensure(db, name, out);
	TRY(st);
	TRY(db_tenant_key(db, out));
	TRY(db_begin(db));
	return db_end(db, db_secret_put(db, name, out));
}

static struct status
first_version(struct db *db, enum as_keysets what, uint8_t out[AS_SECRET_LEN])
{
	char name[NAME_LEN_MAX];
	struct span is = key_name(what, 1, name);
	struct status st = db_secret_find(db, is, out);

	if (st.code != E_NOTFOUND)
		return st;
	return what == KEYSET_PEPPER ? first_pepper(db, is, out) : db_secret_ensure(db, is, out);
}

/* The row of each first version comes with the tables. */
struct status
keysets_open(struct db *db)
{
	for (enum as_keysets what = KEYSET_SESSION; what < KEYSET_COUNT; what++) {
		uint8_t key[AS_SECRET_LEN];
		uint64_t newest = 0;
		struct status st;

		TRY(keyset_newest(db, what, &newest));
		if (newest > 1)
			continue;
		st = first_version(db, what, key);
		explicit_bzero(key, sizeof(key));
		TRY(st);
	}
	return OK;
}

/* ---- another version ---- */

static struct status
add(struct db *db, enum as_keysets what, uint64_t version, uint64_t now_s)
{
	char name[NAME_LEN_MAX];
	uint8_t key[AS_SECRET_LEN];
	struct status st = db_secret_make(db, key_name(what, version, name), key);

	explicit_bzero(key, sizeof(key));
	TRY(st);
	sql_int(db, SQL_KEYSET_ADD, 1, what);
	sql_int(db, SQL_KEYSET_ADD, 2, version);
	sql_int(db, SQL_KEYSET_ADD, 3, now_s);
	return sql_run(db, SQL_KEYSET_ADD);
}

static struct status
rotate(struct db *db, enum as_keysets what, uint64_t now_s)
{
	uint64_t row[3] = { 0 };

	TRY(sessions_expire(db, now_s));
	TRY(keysets_retire(db));
	TRY(newest_row(db, what, row));
	if (row[1] >= DB_KEYSET_VERSIONS_MAX || row[0] >= UINT32_MAX)
		return fail(E_FULL);
	return add(db, what, row[0] + 1, now_s);
}

struct status
db_keyset_rotate(struct db *db, enum as_keysets what, uint64_t now_s)
{
	if (what <= KEYSET_NONE || what >= KEYSET_COUNT || now_s == 0 || now_s > INT64_MAX)
		return fail(E_RANGE);
	TRY(db_begin(db));
	return db_end(db, rotate(db, what, now_s));
}

/* ---- old ones ---- */

static struct status
old_next(struct db *db, enum as_keysets what, uint64_t newest, uint64_t *ret)
{
	enum statement s = kinds[what].old;

	sql_int(db, s, 1, what);
	sql_int(db, s, 2, newest);
	return sql_number(db, s, ret);
}

static struct status
remove_version(struct db *db, enum as_keysets what, uint64_t version)
{
	char name[NAME_LEN_MAX];

	db->settle_owed = true; /* nor is it to stay in the log */
	sql_text(db, SQL_SECRET_REMOVE, 1, key_name(what, version, name));
	TRY(sql_run(db, SQL_SECRET_REMOVE));
	sql_int(db, SQL_KEYSET_REMOVE, 1, what);
	sql_int(db, SQL_KEYSET_REMOVE, 2, version);
	return sql_run(db, SQL_KEYSET_REMOVE);
}

static struct status
retire(struct db *db, enum as_keysets what)
{
	uint64_t newest = 0, version = 0;
	struct status st;

	TRY(keyset_newest(db, what, &newest));
	while (is_ok(st = old_next(db, what, newest, &version)))
		TRY(remove_version(db, what, version));
	return st.code == E_NOTFOUND ? OK : st;
}

struct status
keysets_retire(struct db *db)
{
	for (enum as_keysets what = KEYSET_SESSION; what < KEYSET_COUNT; what++)
		TRY(retire(db, what));
	return OK;
}

/* ---- how far it is, and all of them ---- */

struct status
db_keyset_newest(struct db *db, enum as_keysets what, uint8_t ret[AS_SECRET_LEN])
{
	char name[NAME_LEN_MAX];
	uint64_t newest = 0;

	if (what <= KEYSET_NONE || what >= KEYSET_COUNT)
		return fail(E_RANGE);
	TRY(keyset_newest(db, what, &newest));
	return db_secret_find(db, key_name(what, newest, name), ret);
}

struct status
db_keyset_status(struct db *db, enum as_keysets what, struct as_keyset *ret)
{
	struct as_keyset s = { .code = E_OK, .what = (uint8_t)what };
	uint64_t row[3] = { 0 };

	if (what <= KEYSET_NONE || what >= KEYSET_COUNT)
		return fail(E_RANGE);
	TRY(newest_row(db, what, row));
	TRY(db_count(db, kinds[what].left, row[0], &s.left));
	s.version = (uint32_t)row[0];
	s.versions = (uint32_t)row[1];
	s.created_s = row[2];
	*ret = s;
	return OK;
}

static struct status
next_row(struct db *db, struct db_keyset_cursor *c, uint64_t row[3])
{
	struct status st = OK;

	sql_int(db, SQL_KEYSET_NEXT, 1, c->what);
	sql_int(db, SQL_KEYSET_NEXT, 2, c->version);
	TRY(sql_row(db, SQL_KEYSET_NEXT));
	for (int i = 0; i < 3 && is_ok(st); i++)
		st = sql_column_u64(db, SQL_KEYSET_NEXT, i, &row[i]);
	sql_reset(db, SQL_KEYSET_NEXT);
	TRY(st);
	if (row[0] <= KEYSET_NONE || row[0] >= KEYSET_COUNT || row[1] > UINT32_MAX)
		return fail(E_CORRUPT);
	c->what = (uint8_t)row[0];
	c->version = (uint32_t)row[1];
	return OK;
}

struct status
db_keyset_next(struct db *db, struct db_keyset_cursor *c, struct as_keyset_key *ret)
{
	char name[NAME_LEN_MAX];
	uint64_t row[3] = { 0 };
	struct status st;

	TRY(next_row(db, c, row));
	*ret = (struct as_keyset_key){ c->what, c->version, row[2], { 0 } };
	st = db_secret_find(db, key_name((enum as_keysets)c->what, c->version, name), ret->key);
	return st.code == E_NOTFOUND || st.code == E_CRYPTO ? fail(E_CORRUPT) : st;
}
