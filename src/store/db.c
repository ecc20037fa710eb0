/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.c: what the service keeps, in SQLite.
 *
 * Runs in: store, jailed; blocks on its disk, which is its job.
 * Trusts: its own tables, after their types and seals were checked.
 * Owns: the connection. Invariants: a change is one transaction, durable when
 * its call returns (WAL, synchronous FULL); secrets are in the file sealed only;
 * a failed change leaves nothing.
 * See: db.h; schema.c; wrap.c.
 */
#include "tool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/crypto.h>

#define DAY_NAME_PREFIX "day:"
#define DAY_NAME_LEN (sizeof(DAY_NAME_PREFIX) - 1 + AS_DAY_LEN)

static const struct span pepper_name = { (const uint8_t *)"pepper", 6 };

static struct status secret_find(struct db *db, struct span name, uint8_t out[AS_SECRET_LEN]);
static struct status secret_make(struct db *db, struct span name, uint8_t out[AS_SECRET_LEN]);

static struct status
pepper_ensure(struct db *db)
{
	uint8_t pepper[AS_SECRET_LEN];
	struct status st = secret_find(db, pepper_name, pepper);

	if (st.code == E_NOTFOUND) {
		TRY(db_begin(db));
		st = db_end(db, secret_make(db, pepper_name, pepper));
	}
	explicit_bzero(pepper, sizeof(pepper));
	return st;
}

struct status
db_open(const struct secret *kek, const struct secret *old_kek, struct db **ret)
{
	struct db *db = calloc(1, sizeof(*db));
	struct status st;
	int rc;

	if (db == NULL)
		return fail(E_NOMEM);
	db->kek = kek;
	st = vfs_register();
	if (is_ok(st)) {
		rc = sqlite3_open_v2(DB_FILE, &db->sql,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW,
		    DB_VFS);
		st = sql_status(rc, db->sql);
	}
	if (is_ok(st))
		(void)sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (is_ok(st))
		st = schema_apply(db->sql, kek, old_kek);
	if (is_ok(st))
		st = sql_prepare(db);
	if (is_ok(st))
		st = pepper_ensure(db);
	if (is_ok(st))
		st = tools_open(db);
	if (!is_ok(st)) {
		db_close(db);
		return st;
	}
	*ret = db;
	return OK;
}

void
db_close(struct db *db)
{
	if (db == NULL)
		return;
	sql_finish(db);
	tools_close(db);
	(void)sqlite3_close(db->sql);
	free(db);
}

/* ---- transactions ---- */

struct status
db_begin(struct db *db)
{
	return sql_run(db, SQL_BEGIN);
}

/* Commit what went well, take back what did not. */
struct status
db_end(struct db *db, struct status st)
{
	if (is_ok(st))
		st = sql_run(db, SQL_COMMIT);
	if (!is_ok(st) && sqlite3_get_autocommit(db->sql) == 0) {
		struct status undone = sql_run(db, SQL_ROLLBACK);

		/* SQLite has rolled back by itself, or the connection is of no use anyway. */
		(void)undone;
	}
	return st;
}

/* ---- secrets ---- */

static struct place
secret_place(struct span name)
{
	return (struct place){ .table = "secrets", .row = { name, SPAN_EMPTY }, .column = "value" };
}

static struct status
secret_find(struct db *db, struct span name, uint8_t out[AS_SECRET_LEN])
{
	const struct place at = secret_place(name);
	struct status st;

	sql_text(db, SQL_SECRET_FIND, 1, name);
	TRY(sql_row(db, SQL_SECRET_FIND));
	st = unwrap(db->kek, &at, sql_column(db, SQL_SECRET_FIND, 0), out);
	sql_reset(db, SQL_SECRET_FIND);
	return st;
}

static struct status
secret_make(struct db *db, struct span name, uint8_t out[AS_SECRET_LEN])
{
	auto_buf struct buf wrapped = BUF_INIT(WRAPPED_MAX);
	const struct place at = secret_place(name);

	TRY(rand_bytes(out, AS_SECRET_LEN));
	TRY(wrap(db->kek, &at, out, &wrapped));
	sql_text(db, SQL_SECRET_ADD, 1, name);
	sql_blob(db, SQL_SECRET_ADD, 2, buf_span(&wrapped));
	return sql_run(db, SQL_SECRET_ADD);
}

struct status
db_pepper(struct db *db, uint8_t out[AS_SECRET_LEN])
{
	return secret_find(db, pepper_name, out);
}

/* ---- days ---- */

void
db_day_of(uint64_t now_s, uint8_t out[AS_DAY_LEN])
{
	time_t t = (time_t)now_s;
	struct tm tm = { 0 };
	char text[32];

	(void)gmtime_r(&t, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%d", &tm);
	memcpy(out, text, AS_DAY_LEN);
}

/* The day's midnight; only a text that its own day gives back is a date. */
static struct status
day_parse(struct span day, uint64_t *ret_s)
{
	uint64_t y, m, d;
	uint8_t again[AS_DAY_LEN];
	struct tm tm = { 0 };
	time_t t;

	if (day.len != AS_DAY_LEN || !is_ok(span_u64(span_of(day.ptr, 4), 9999, &y)) ||
	    !is_ok(span_u64(span_of(day.ptr + 5, 2), 12, &m)) ||
	    !is_ok(span_u64(span_of(day.ptr + 8, 2), 31, &d)))
		return fail(E_SYNTAX);
	tm.tm_year = (int)y - 1900;
	tm.tm_mon = (int)m - 1;
	tm.tm_mday = (int)d;
	t = timegm(&tm);
	if (t < 0)
		return fail(E_SYNTAX);
	db_day_of((uint64_t)t, again);
	*ret_s = (uint64_t)t;
	return span_eq(day, span_of(again, AS_DAY_LEN)) ? OK : fail(E_SYNTAX);
}

static struct status
day_make(struct db *db, struct span name, uint8_t out[AS_SECRET_LEN])
{
	TRY(secret_make(db, name, out));
	sql_int(db, SQL_DAYS_TRIM, 1, DB_DAY_KEYS_MAX);
	return sql_run(db, SQL_DAYS_TRIM);
}

struct status
db_day_key(struct db *db, struct span day, uint64_t now_s, uint8_t out[AS_SECRET_LEN])
{
	uint8_t name[DAY_NAME_LEN];
	struct status st;
	uint64_t day_s;

	TRY(day_parse(day, &day_s));
	memcpy(name, DAY_NAME_PREFIX, sizeof(DAY_NAME_PREFIX) - 1);
	memcpy(name + sizeof(DAY_NAME_PREFIX) - 1, day.ptr, AS_DAY_LEN);
	st = secret_find(db, span_of(name, sizeof(name)), out);
	if (st.code != E_NOTFOUND)
		return st;
	now_s -= now_s % 86400;
	if (day_s + DB_DAY_SKEW_S < now_s || day_s > now_s + DB_DAY_SKEW_S)
		return fail(E_RANGE);
	TRY(db_begin(db));
	return db_end(db, day_make(db, span_of(name, sizeof(name)), out));
}

/* ---- users ---- */

/* Names go into the place that a secret is sealed for: no NUL, nothing empty. */
static bool
name_ok(struct span s, size_t max)
{
	return s.len > 0 && s.len <= max && memchr(s.ptr, 0, s.len) == NULL;
}

static struct status
column_u8(struct db *db, enum statement s, int at, uint8_t max, uint8_t *ret)
{
	uint64_t v;

	TRY(sql_column_u64(db, s, at, &v));
	if (v > max)
		return fail(E_CORRUPT);
	*ret = (uint8_t)v;
	return OK;
}

static struct place
subject_place(struct span tenant, struct span user)
{
	return (struct place){ .table = "users", .row = { tenant, user }, .column = "subject_key" };
}

static struct status
user_ensure(struct db *db, struct span tenant, struct span user, uint8_t out[AS_SECRET_LEN])
{
	auto_buf struct buf wrapped = BUF_INIT(WRAPPED_MAX);
	const struct place at = subject_place(tenant, user);
	struct status st;

	sql_text(db, SQL_USER_FIND, 1, tenant);
	sql_text(db, SQL_USER_FIND, 2, user);
	st = sql_row(db, SQL_USER_FIND);
	if (is_ok(st)) {
		st = unwrap(db->kek, &at, sql_column(db, SQL_USER_FIND, 0), out);
		sql_reset(db, SQL_USER_FIND);
		return st;
	}
	if (st.code != E_NOTFOUND)
		return st;
	TRY(rand_bytes(out, AS_SECRET_LEN));
	TRY(wrap(db->kek, &at, out, &wrapped));
	sql_text(db, SQL_TENANT_ADD, 1, tenant);
	TRY(sql_run(db, SQL_TENANT_ADD));
	sql_text(db, SQL_USER_ADD, 1, tenant);
	sql_text(db, SQL_USER_ADD, 2, user);
	sql_blob(db, SQL_USER_ADD, 3, buf_span(&wrapped));
	TRY(sql_run(db, SQL_USER_ADD));
	return sqlite3_last_insert_rowid(db->sql) <= DB_USERS_MAX ? OK : fail(E_FULL);
}

struct status
db_user_next(struct db *db, int64_t *cursor, struct as_user *ret)
{
	struct place at;
	uint64_t id;

	sql_reset(db, SQL_USER_NEXT);
	sql_int(db, SQL_USER_NEXT, 1, (uint64_t)*cursor);
	TRY(sql_row(db, SQL_USER_NEXT));
	TRY(sql_column_u64(db, SQL_USER_NEXT, 0, &id));
	ret->tenant = sql_column(db, SQL_USER_NEXT, 1);
	ret->user = sql_column(db, SQL_USER_NEXT, 2);
	at = subject_place(ret->tenant, ret->user);
	TRY(unwrap(db->kek, &at, sql_column(db, SQL_USER_NEXT, 3), ret->subject_key));
	TRY(column_u8(db, SQL_USER_NEXT, 4, ROLES_ALL, &ret->roles));
	TRY(column_u8(db, SQL_USER_NEXT, 5, USER_ERASED, &ret->state));
	TRY(column_u8(db, SQL_USER_NEXT, 6, 1, &ret->hold));
	*cursor = (int64_t)id;
	return OK;
}

static struct status
user_set(struct db *db, const struct as_user_put *m, uint8_t subject_key[AS_SECRET_LEN])
{
	TRY(user_ensure(db, m->tenant, m->user, subject_key));
	sql_text(db, SQL_USER_SET, 1, m->tenant);
	sql_text(db, SQL_USER_SET, 2, m->user);
	sql_int(db, SQL_USER_SET, 3, m->roles);
	sql_int(db, SQL_USER_SET, 4, m->state);
	sql_int(db, SQL_USER_SET, 5, m->hold);
	return sql_run(db, SQL_USER_SET);
}

struct status
db_user_put(struct db *db, const struct as_user_put *m, uint8_t ret_subject_key[AS_SECRET_LEN])
{
	if (!name_ok(m->tenant, TENANT_MAX) || !name_ok(m->user, USER_MAX))
		return fail(E_SYNTAX);
	if (m->roles > ROLES_ALL || m->state > USER_DISABLED || m->hold > 1)
		return fail(E_RANGE);
	TRY(db_begin(db));
	return db_end(db, user_set(db, m, ret_subject_key));
}

/* ---- keys ---- */

static struct status
key_insert(struct db *db, const struct as_key *key, uint8_t subject_key[AS_SECRET_LEN])
{
	struct status st = db_key_same(db, key);

	if (st.code != E_NOTFOUND)
		return is_ok(st) ? fail(E_EXISTS) : st;
	TRY(user_ensure(db, key->tenant, key->user, subject_key));
	sql_text(db, SQL_POLICY_ADD, 1, key->policy);
	TRY(sql_run(db, SQL_POLICY_ADD));
	sql_blob(db, SQL_KEY_ADD, 1, span_of(key->id, KEY_ID_LEN));
	sql_blob(db, SQL_KEY_ADD, 2, span_of(key->hash, DIGEST_LEN));
	sql_text(db, SQL_KEY_ADD, 3, key->tenant);
	sql_text(db, SQL_KEY_ADD, 4, key->user);
	sql_text(db, SQL_KEY_ADD, 5, key->policy);
	sql_int(db, SQL_KEY_ADD, 6, key->created_s);
	sql_int(db, SQL_KEY_ADD, 7, key->expires_s);
	sql_int(db, SQL_KEY_ADD, 8, key->revoked_s);
	sql_blob(db, SQL_KEY_ADD, 9, key->scopes.len > 0 ? key->scopes : span_of("", 0));
	sql_blob(db, SQL_KEY_ADD, 10, span_of(key->replaces, KEY_ID_LEN));
	TRY(sql_run(db, SQL_KEY_ADD));
	return sqlite3_last_insert_rowid(db->sql) <= DB_KEYS_MAX ? OK : fail(E_FULL);
}

struct status
db_key_put(struct db *db, const struct as_key *key, uint8_t ret_subject_key[AS_SECRET_LEN])
{
	if (!name_ok(key->tenant, TENANT_MAX) || !name_ok(key->user, USER_MAX) ||
	    !name_ok(key->policy, POLICY_MAX))
		return fail(E_SYNTAX);
	if (key->scopes.len > SCOPES_MAX || key->created_s > INT64_MAX ||
	    key->expires_s > INT64_MAX || key->revoked_s > INT64_MAX)
		return fail(E_RANGE);
	TRY(db_begin(db));
	return db_end(db, key_insert(db, key, ret_subject_key));
}

struct status
db_key_same(struct db *db, const struct as_key *key)
{
	uint8_t hash[DIGEST_LEN];
	struct status st;

	sql_blob(db, SQL_KEY_FIND, 1, span_of(key->id, KEY_ID_LEN));
	TRY(sql_row(db, SQL_KEY_FIND));
	st = sql_column_fixed(db, SQL_KEY_FIND, 0, hash, sizeof(hash));
	sql_reset(db, SQL_KEY_FIND);
	TRY(st);
	return crypto_eq(span_of(hash, DIGEST_LEN), span_of(key->hash, DIGEST_LEN))
		   ? OK
		   : fail(E_EXISTS);
}

struct status
db_key_revoke(struct db *db, const uint8_t id[KEY_ID_LEN], uint64_t revoked_s)
{
	if (revoked_s == 0 || revoked_s > INT64_MAX)
		return fail(E_RANGE);
	sql_blob(db, SQL_KEY_REVOKE, 1, span_of(id, KEY_ID_LEN));
	sql_int(db, SQL_KEY_REVOKE, 2, revoked_s);
	TRY(sql_run(db, SQL_KEY_REVOKE));
	return sqlite3_changes(db->sql) > 0 ? OK : fail(E_NOTFOUND);
}

static struct status
keys_used(struct db *db, const struct as_key_used *m)
{
	const struct as_key_use *uses = m->keys.items;

	for (uint32_t i = 0; i < m->keys.count; i++) {
		sql_blob(db, SQL_KEY_USED, 1, span_of(uses[i].id, KEY_ID_LEN));
		sql_int(db, SQL_KEY_USED, 2, uses[i].used_s);
		TRY(sql_run(db, SQL_KEY_USED));
	}
	return OK;
}

struct status
db_keys_used(struct db *db, const struct as_key_used *m)
{
	TRY(db_begin(db));
	return db_end(db, keys_used(db, m));
}

struct status
db_key_next(struct db *db, int64_t *cursor, struct as_key *ret)
{
	uint64_t n;

	sql_reset(db, SQL_KEY_NEXT);
	sql_int(db, SQL_KEY_NEXT, 1, (uint64_t)*cursor);
	TRY(sql_row(db, SQL_KEY_NEXT));
	TRY(sql_column_u64(db, SQL_KEY_NEXT, 0, &n));
	TRY(sql_column_fixed(db, SQL_KEY_NEXT, 1, ret->id, sizeof(ret->id)));
	TRY(sql_column_fixed(db, SQL_KEY_NEXT, 2, ret->hash, sizeof(ret->hash)));
	ret->tenant = sql_column(db, SQL_KEY_NEXT, 3);
	ret->user = sql_column(db, SQL_KEY_NEXT, 4);
	ret->policy = sql_column(db, SQL_KEY_NEXT, 5);
	TRY(sql_column_u64(db, SQL_KEY_NEXT, 6, &ret->created_s));
	TRY(sql_column_u64(db, SQL_KEY_NEXT, 7, &ret->expires_s));
	TRY(sql_column_u64(db, SQL_KEY_NEXT, 8, &ret->revoked_s));
	ret->scopes = sql_column(db, SQL_KEY_NEXT, 9);
	TRY(sql_column_u64(db, SQL_KEY_NEXT, 10, &ret->last_used_s));
	TRY(sql_column_fixed(db, SQL_KEY_NEXT, 11, ret->replaces, sizeof(ret->replaces)));
	*cursor = (int64_t)n;
	return OK;
}
