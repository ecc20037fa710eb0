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
#include <crypto/hash.h>

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

/* ---- to version 5: names in clear, and secrets right under the root ---- */

typedef struct status carry_fn(struct db *db, sqlite3_stmt *row);

static struct status
carry_all(struct db *db, const char *select, carry_fn *carry)
{
	sqlite3_stmt *rows = NULL;
	struct status st = OK;
	int rc = sqlite3_prepare_v2(db->sql, select, -1, &rows, NULL);

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(rows);
		if (rc == SQLITE_ROW)
			st = carry(db, rows);
		if (!is_ok(st))
			break;
	}
	(void)sqlite3_finalize(rows);
	return is_ok(st) ? sql_status(rc, db->sql) : st;
}

static struct status
carry_secret(struct db *db, sqlite3_stmt *row)
{
	const struct place at = {
		.table = "secrets", .row = { column(row, 0), SPAN_EMPTY }, .column = "value"
	};
	uint8_t plain[AS_SECRET_LEN];
	struct status st = unwrap(db->root, &at, column(row, 1), plain);

	if (is_ok(st))
		st = db_secret_put(db, at.row[0], plain);
	explicit_bzero(plain, sizeof(plain));
	return st;
}

static struct status
carry_tenant(struct db *db, sqlite3_stmt *row)
{
	int64_t id = sqlite3_column_int64(row, 0);

	if (!text_ok(column(row, 1), TENANT_MAX))
		return fail(E_CORRUPT);
	return tenant_add(db, id, column(row, 1), &id);
}

static struct status
carry_user(struct db *db, sqlite3_stmt *row)
{
	const struct place at = {
		.table = "users", .row = { column(row, 2), column(row, 3) }, .column = "subject_key"
	};
	int64_t id = sqlite3_column_int64(row, 0);
	uint8_t plain[AS_SECRET_LEN];
	struct status st = unwrap(db->root, &at, column(row, 4), plain);

	if (is_ok(st) && !text_ok(at.row[1], USER_MAX))
		st = fail(E_CORRUPT);
	if (is_ok(st))
		st = user_row_add(db, id, sqlite3_column_int64(row, 1), at.row[1], plain, &id);
	explicit_bzero(plain, sizeof(plain));
	return st;
}

static struct status
carry_key(struct db *db, sqlite3_stmt *row)
{
	struct as_key key = { .policy = column(row, 4),
		.created_s = (uint64_t)sqlite3_column_int64(row, 5),
		.expires_s = (uint64_t)sqlite3_column_int64(row, 6),
		.revoked_s = (uint64_t)sqlite3_column_int64(row, 7) };
	struct span id = column(row, 1), hash = column(row, 2);

	if (id.len != KEY_ID_LEN || hash.len != DIGEST_LEN || !text_ok(key.policy, POLICY_MAX) ||
	    key.created_s > INT64_MAX || key.expires_s > INT64_MAX || key.revoked_s > INT64_MAX)
		return fail(E_CORRUPT);
	memcpy(key.id, id.ptr, KEY_ID_LEN);
	memcpy(key.hash, hash.ptr, DIGEST_LEN);
	return key_add(
	    db, (uint64_t)sqlite3_column_int64(row, 0), sqlite3_column_int64(row, 3), &key);
}

static struct status
carry_tool(struct db *db, sqlite3_stmt *row)
{
	return tool_row_import(db, (uint64_t)sqlite3_column_int64(row, 0),
	    sqlite3_column_int64(row, 1), column(row, 2), (uint64_t)sqlite3_column_int64(row, 3),
	    column(row, 4));
}

/* Keys that were derived from the root become secrets, so that another root can take its place. */
static struct status
keep_derived(struct db *db, struct span name, struct span info)
{
	uint8_t key[AS_SECRET_LEN];
	struct status st = hkdf_sha256(secret_borrow(db->root), SPAN_EMPTY, info, key, sizeof(key));

	if (is_ok(st))
		st = db_secret_put(db, name, key);
	explicit_bzero(key, sizeof(key));
	return st;
}

static struct status
make_index_key(struct db *db)
{
	uint8_t key[AS_SECRET_LEN];
	struct status st = db_secret_make(db, SPAN_LIT("index"), key);

	if (is_ok(st))
		st = keyring_index_key(db, key);
	explicit_bzero(key, sizeof(key));
	return st;
}

struct status
migrate_to_5(struct db *db)
{
	static const struct {
		const char *select;
		carry_fn *carry;
	} tables[] = {
		{ "SELECT name, value FROM old_secrets", carry_secret },
		{ "SELECT id, name FROM old_tenants", carry_tenant },
		{ "SELECT old_users.id, old_users.tenant, old_tenants.name, old_users.name,"
		  " old_users.subject_key FROM old_users"
		  " JOIN old_tenants ON old_tenants.id = old_users.tenant",
		    carry_user },
		{ "SELECT old_keys.n, old_keys.id, old_keys.hash, old_keys.user, policies.name,"
		  " old_keys.created_s, old_keys.expires_s, old_keys.revoked_s FROM old_keys"
		  " JOIN policies ON policies.id = old_keys.policy",
		    carry_key },
		{ "SELECT id, user, name, live, marks FROM old_tools", carry_tool },
	};

	TRY(keep_derived(db, SPAN_LIT(TOOLS_KEY_NAME), SPAN_LIT("sallyport tools v1")));
	TRY(keep_derived(db, SPAN_LIT(TOOLS_SUM_NAME), SPAN_LIT("sallyport tools sum v1")));
	TRY(make_index_key(db));
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		TRY(carry_all(db, tables[i].select, tables[i].carry));
	return OK;
}
