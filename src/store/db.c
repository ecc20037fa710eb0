/* SPDX-License-Identifier: Apache-2.0 */
/*
 * db.c: what the service keeps.
 *
 * Runs in: store, jailed; blocks on its disk, which is its job.
 * Trusts: its own tables, after their types and seals were checked.
 * Owns: the connection. Invariants: a change is one transaction, durable when
 * its call returns; secrets are in the file sealed only;
 * a failed change leaves nothing.
 * See: db.h; schema.c; keyring.c; user.c; key.c; sum.c.
 */
#include "backup.h"
#include "sum.h"
#include "tool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/crypto.h>
#include <daemon/daemon.h>

#define DAY_NAME_PREFIX "day:"
#define DAY_NAME_LEN (sizeof(DAY_NAME_PREFIX) - 1 + AS_DAY_LEN)

/* As long as there was one pepper, it was that, too. */
static const struct span tenant_key_name = { (const uint8_t *)"pepper", 6 };
static const struct span index_name = { (const uint8_t *)"index", 5 };

/* The newest key-encryption key opens with this root, or all of it is another's. */
static struct status
root_check(struct db *db)
{
	uint8_t key[AS_SECRET_LEN];
	struct status st = db_secret_ensure(db, tenant_key_name, key);

	explicit_bzero(key, sizeof(key));
	return st;
}

static struct status
index_open(struct db *db)
{
	uint8_t key[AS_SECRET_LEN];
	struct status st = db_secret_ensure(db, index_name, key);

	if (is_ok(st))
		st = keyring_index_key(db, key);
	explicit_bzero(key, sizeof(key));
	return st;
}

/* It takes as long as there is data: whoever waits for it is told that it goes on. */
static void
on_moved(uint64_t bytes)
{
	daemon_progress("bytes of the database read and written", bytes, 0);
}

/* A crash may have left a long log: it is read with the first statement, and put away at the end.
 */
static struct status
open_tables(struct db *db, const struct secret *old_kek)
{
	struct status settled;

	TRY(backend_open(DB_FILE, &db->back));
	TRY(keyring_new(db));
	TRY(users_new(db));
	TRY(schema_apply(db, old_kek));
	settled = db_settle_owed(db);
	if (!is_ok(settled))
		diag(
		    DIAG_WARN, "the log of before could not be put away: %s", status_text(settled));
	return OK;
}

static struct status
open_rest(struct db *db)
{
	TRY(root_check(db));
	TRY(index_open(db));
	TRY(keysets_open(db));
	TRY(rotation_open(db));
	TRY(tools_open(db));
	return sums_open(db);
}

struct status
db_open_rest(struct db *db)
{
	struct status st;

	backend_watch(on_moved);
	st = open_rest(db);
	backend_watch(NULL);
	return st;
}

struct status
db_open_tables(
    const struct secret *root, const struct secret *old_kek, const char *wrapper, struct db **ret)
{
	struct db *db = calloc(1, sizeof(*db));
	struct status st;

	if (db == NULL)
		return fail(E_NOMEM);
	db->root = root;
	db->kek.wrapped = BUF_INIT(SB_CIPHERTEXT_MAX);
	db->key_plain = BUF_INIT(KEY_VALUE_MAX);
	db->content.user_bytes_max = DB_CONTENT_BYTES;
	db->content.days[RETAINED_USAGE] = DB_USAGE_DAYS;
	db->settle_owed = true; /* it may have ended in the middle */
	db->backup_waited_s = BACKUP_WAITED_S;
	st = span_to_cstr(span_str(wrapper), db->kek.wrapper, sizeof(db->kek.wrapper));
	backend_watch(on_moved);
	if (is_ok(st))
		st = open_tables(db, old_kek);
	backend_watch(NULL);
	if (!is_ok(st)) {
		db_close(db);
		return st;
	}
	*ret = db;
	return OK;
}

struct status
db_open(const struct secret *root, const struct secret *old_kek, struct db **ret)
{
	struct db *db = NULL;
	struct status st;

	TRY(db_open_tables(root, old_kek, KEK_WRAPPER_LOCAL, &db));
	st = db_open_rest(db);
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
	db_backup_abort(db);
	rotation_close(db);
	sql_finish(db);
	sums_close(db);
	tools_close(db);
	keyring_free(db);
	users_free(db);
	buf_done(&db->key_plain);
	buf_done(&db->kek.wrapped);
	backend_close(db->back);
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
		st = sums_write(db);
	if (is_ok(st))
		st = sql_run(db, SQL_COMMIT);
	sums_over(db, is_ok(st));
	if (is_ok(st))
		db->kek.made = 0;
	if (!is_ok(st) && backend_in_transaction(db->back)) {
		struct status undone = sql_run(db, SQL_ROLLBACK);

		/* SQLite has rolled back by itself, or the connection is of no use anyway. */
		(void)undone;
	}
	if (!is_ok(st)) { /* what is in memory may never have been */
		keyring_forget(db);
		users_forget(db);
	}
	return st;
}

struct status
db_settle(struct db *db)
{
	struct status st;

	db->settle_owed = true;
	if (db_backup_holds(db)) /* the file is as it is until that is over */
		return OK;
	db_backup_abort(db); /* it reads the file that is about to change */
	st = backend_settle(db->back);
	db->settle_owed = !is_ok(st);
	return st;
}

struct status
db_settle_owed(struct db *db)
{
	if (!db->settle_owed)
		return OK;
	sql_reset_all(db);
	return db_settle(db);
}

/* ---- secrets ---- */

static struct place
secret_place(struct span name)
{
	return (struct place){ .table = "secrets", .row = { name, SPAN_EMPTY }, .column = "value" };
}

struct status
db_secret_find(struct db *db, struct span name, uint8_t *out)
{
	const struct place at = secret_place(name);
	struct buf plain = { .ptr = out, .cap = AS_SECRET_LEN, .max = AS_SECRET_LEN };
	struct data_key kek;
	uint64_t version;
	struct status st;

	sql_text(db, SQL_SECRET_FIND, 1, name);
	TRY(sql_row(db, SQL_SECRET_FIND));
	st = sql_column_u64(db, SQL_SECRET_FIND, 0, &version);
	if (is_ok(st))
		st = keyring_kek_get(db, version, &kek);
	if (is_ok(st))
		st = keyring_opened_with(
		    &kek, &at, version, sql_column(db, SQL_SECRET_FIND, 1), &plain);
	sql_reset(db, SQL_SECRET_FIND);
	TRY(st);
	return plain.len == AS_SECRET_LEN ? OK : fail(E_CORRUPT);
}

static struct status
secret_seal(struct db *db, enum statement s, struct span name, const uint8_t *value)
{
	auto_buf struct buf sealed = BUF_INIT(WRAPPED_MAX);
	const struct place at = secret_place(name);
	struct data_key kek;

	TRY(keyring_kek_newest(db, &kek));
	TRY(keyring_sealed_with(&kek, &at, kek.id, span_of(value, AS_SECRET_LEN), &sealed));
	sql_text(db, s, 1, name);
	sql_int(db, s, 2, kek.id);
	sql_blob(db, s, 3, buf_span(&sealed));
	return sql_run(db, s);
}

struct status
db_secret_put(struct db *db, struct span name, const uint8_t *value)
{
	return secret_seal(db, SQL_SECRET_ADD, name, value);
}

struct status
db_secret_set(struct db *db, struct span name, const uint8_t *value)
{
	return secret_seal(db, SQL_SECRET_SET, name, value);
}

struct status
db_secret_keep(struct db *db, struct span name, const uint8_t *value)
{
	return secret_seal(db, SQL_SECRET_KEEP, name, value);
}

struct status
db_secret_rewrap(struct db *db, struct span name)
{
	uint8_t value[AS_SECRET_LEN];
	struct status st = db_secret_find(db, name, value);

	if (is_ok(st))
		st = secret_seal(db, SQL_SECRET_SET, name, value);
	explicit_bzero(value, sizeof(value));
	return st;
}

struct status
db_secret_make(struct db *db, struct span name, uint8_t *out)
{
	TRY(rand_bytes(out, AS_SECRET_LEN));
	return db_secret_put(db, name, out);
}

struct status
db_secret_ensure(struct db *db, struct span name, uint8_t *out)
{
	struct status st = db_secret_find(db, name, out);

	if (st.code != E_NOTFOUND)
		return st;
	TRY(db_begin(db));
	return db_end(db, db_secret_make(db, name, out));
}

struct status
db_tenant_key(struct db *db, uint8_t out[AS_SECRET_LEN])
{
	return db_secret_find(db, tenant_key_name, out);
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
	TRY(db_secret_make(db, name, out));
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
	st = db_secret_find(db, span_of(name, sizeof(name)), out);
	if (st.code != E_NOTFOUND)
		return st;
	now_s -= now_s % 86400;
	if (day_s + DB_DAY_SKEW_S < now_s || day_s > now_s + DB_DAY_SKEW_S)
		return fail(E_RANGE);
	TRY(db_begin(db));
	return db_end(db, day_make(db, span_of(name, sizeof(name)), out));
}

struct status
db_day_newest(struct db *db, uint64_t *ret_s)
{
	uint8_t name[DAY_NAME_LEN];
	struct status st;

	TRY(sql_row(db, SQL_DAY_NEWEST));
	st = sql_column_fixed(db, SQL_DAY_NEWEST, 0, name, sizeof(name));
	sql_reset(db, SQL_DAY_NEWEST);
	TRY(st);
	return day_parse(span_of(name + sizeof(DAY_NAME_PREFIX) - 1, AS_DAY_LEN), ret_s);
}
