/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.c: the tables, and which version of them this build knows.
 *
 * Runs in: store, at start. Trusts: nothing. Owns: nothing.
 * Invariants: tables are strict and foreign keys hold; creation is one
 * transaction; a database of another version is not touched.
 * See: db.h.
 */
#include "internal.h"

static const char pragmas[] =
    "PRAGMA locking_mode=EXCLUSIVE;" /* so that WAL needs no shared memory */
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA mmap_size=0;"
    "PRAGMA trusted_schema=OFF;"
    "PRAGMA cell_size_check=ON;"
    "PRAGMA foreign_keys=ON;"
    "PRAGMA secure_delete=ON;"
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=FULL;";

static const char tables[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS tenants (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY,"
    " tenant INTEGER NOT NULL REFERENCES tenants (id), name TEXT NOT NULL,"
    " subject_key BLOB NOT NULL, UNIQUE (tenant, name)) STRICT;"
    "CREATE TABLE IF NOT EXISTS policies (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) "
    "STRICT;"
    "CREATE TABLE IF NOT EXISTS keys (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " hash BLOB NOT NULL, user INTEGER NOT NULL REFERENCES users (id),"
    " policy INTEGER NOT NULL REFERENCES policies (id), created_s INTEGER NOT NULL,"
    " expires_s INTEGER NOT NULL, revoked_s INTEGER NOT NULL) STRICT;"
    "CREATE INDEX IF NOT EXISTS keys_of_user ON keys (user);"
    "CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;"
    "INSERT INTO schema_version SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM schema_version);"
    "COMMIT;";

static struct status
version_read(sqlite3 *sql, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(sql, "SELECT version FROM schema_version", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? OK : rc == SQLITE_DONE ? fail(E_CORRUPT) : sql_status(rc, sql);
}

/* An empty database, or one with a version to look at? */
static struct status
has_tables(sqlite3 *sql, bool *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(sql, "SELECT 1 FROM sqlite_schema LIMIT 1", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	*ret = rc == SQLITE_ROW;
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : sql_status(rc, sql);
}

struct status
schema_apply(sqlite3 *sql)
{
	int64_t version = 0;
	bool exists = false;
	int rc = sqlite3_exec(sql, pragmas, NULL, NULL, NULL);

	if (rc != SQLITE_OK)
		return sql_status(rc, sql);
	TRY(has_tables(sql, &exists));
	if (!exists) {
		rc = sqlite3_exec(sql, tables, NULL, NULL, NULL);
		if (rc != SQLITE_OK)
			return sql_status(rc, sql);
	}
	TRY(version_read(sql, &version));
	return version == DB_SCHEMA_VERSION ? OK : fail(E_UNSUPPORTED);
}
