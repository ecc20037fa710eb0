/* SPDX-License-Identifier: Apache-2.0 */
/*
 * migrate.c: from version 1 to 2: every sealed value under the store's own key.
 *
 * Runs in: store, at the first start of this version, within one transaction.
 * Trusts: nothing: what does not open under the old key ends the migration.
 * Owns: nothing.
 * Invariants: version 1 sealed with the master key itself, from which the key of
 * providers' secrets is derived, too; since version 2 the store has only a key of
 * its own, and the master key is gone once its database is open.
 * See: schema.c, store.c.
 */
#include "internal.h"

#include <base/cleanup.h>

struct rewrap {
	const struct secret *old_kek, *kek;
	const char *select; /* id, two parts of the row's place, value */
	const char *update; /* ?1 value, ?2 id */
	const char *table, *column;
};

static struct span
column(sqlite3_stmt *st, int at)
{
	const void *p = sqlite3_column_blob(st, at);
	int len = sqlite3_column_bytes(st, at);

	return p == NULL || len < 0 ? SPAN_EMPTY : span_of(p, (size_t)len);
}

static struct status
rewrap_row(const struct rewrap *r, sqlite3_stmt *from, sqlite3_stmt *to, sqlite3 *sql)
{
	const struct place at = {
		.table = r->table, .row = { column(from, 1), column(from, 2) }, .column = r->column
	};
	auto_buf struct buf wrapped = BUF_INIT(WRAPPED_MAX);
	uint8_t plain[AS_SECRET_LEN];
	struct status st = unwrap(r->old_kek, &at, column(from, 3), plain);
	int rc;

	if (is_ok(st))
		st = wrap(r->kek, &at, plain, &wrapped);
	explicit_bzero(plain, sizeof(plain));
	TRY(st);
	(void)sqlite3_bind_blob(to, 1, wrapped.ptr, (int)wrapped.len, SQLITE_STATIC);
	(void)sqlite3_bind_int64(to, 2, sqlite3_column_int64(from, 0));
	rc = sqlite3_step(to);
	(void)sqlite3_reset(to);
	return sql_status(rc, sql);
}

static struct status
rewrap_all(const struct rewrap *r, sqlite3 *sql)
{
	sqlite3_stmt *from = NULL, *to = NULL;
	struct status st = OK;
	int rc = sqlite3_prepare_v2(sql, r->select, -1, &from, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(sql, r->update, -1, &to, NULL);
	while (rc == SQLITE_OK && is_ok(st)) {
		int step = sqlite3_step(from);

		if (step != SQLITE_ROW) {
			rc = step == SQLITE_DONE ? SQLITE_DONE : step;
			break;
		}
		st = rewrap_row(r, from, to, sql);
	}
	(void)sqlite3_finalize(from);
	(void)sqlite3_finalize(to);
	return is_ok(st) ? sql_status(rc, sql) : st;
}

struct status
migrate_rewrap(sqlite3 *sql, const struct secret *old_kek, const struct secret *kek)
{
	const struct rewrap secrets = { .old_kek = old_kek,
		.kek = kek,
		.select = "SELECT rowid, name, '', value FROM secrets",
		.update = "UPDATE secrets SET value = ?1 WHERE rowid = ?2",
		.table = "secrets",
		.column = "value" };
	const struct rewrap users = { .old_kek = old_kek,
		.kek = kek,
		.select = "SELECT users.id, tenants.name, users.name, users.subject_key"
			  " FROM users JOIN tenants ON tenants.id = users.tenant",
		.update = "UPDATE users SET subject_key = ?1 WHERE id = ?2",
		.table = "users",
		.column = "subject_key" };

	TRY(rewrap_all(&secrets, sql));
	return rewrap_all(&users, sql);
}
