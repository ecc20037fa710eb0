/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.c: the tables, and which version of them this build knows.
 *
 * Runs in: store, at start. Trusts: nothing. Owns: nothing.
 * Invariants: tables are strict and foreign keys hold; creation is one
 * transaction, and so are the steps from a version before; a database of a later
 * version is not touched. See: db.h; migrate.c for what SQL cannot do.
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
    "INSERT INTO schema_version SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM schema_version);";

/* Version 2: secrets of providers, and usage. */
static const char tables_2[] =
    "CREATE TABLE file_secrets (name TEXT PRIMARY KEY, version INTEGER NOT NULL,"
    " set_s INTEGER NOT NULL, value BLOB, previous_version INTEGER NOT NULL,"
    " previous BLOB) STRICT;"
    "CREATE TABLE usage (key INTEGER NOT NULL REFERENCES keys (n), model TEXT NOT NULL,"
    " day INTEGER NOT NULL, requests INTEGER NOT NULL, errors INTEGER NOT NULL,"
    " tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, estimated INTEGER NOT NULL,"
    " estimated_in INTEGER NOT NULL, estimated_out INTEGER NOT NULL,"
    " PRIMARY KEY (key, model, day)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX usage_of_day ON usage (day);"
    "CREATE TABLE usage_batch (one INTEGER PRIMARY KEY CHECK (one = 1),"
    " epoch BLOB NOT NULL, seq INTEGER NOT NULL) STRICT;"
    "UPDATE schema_version SET version = 2;";

/* Version 3: users' tools. What is in a `marks`, `meta` or `value` is sealed: tool.h. */
static const char tables_3[] =
    "CREATE TABLE tools (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " user INTEGER NOT NULL REFERENCES users (id), name TEXT NOT NULL,"
    " live INTEGER NOT NULL, marks BLOB NOT NULL, UNIQUE (user, name)) STRICT;"
    /* Never an id again: executors keep what they compiled by it. */
    "CREATE TABLE tool_versions (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " tool INTEGER NOT NULL REFERENCES tools (id), version INTEGER NOT NULL,"
    " size INTEGER NOT NULL, meta BLOB NOT NULL, UNIQUE (tool, version)) STRICT;"
    "CREATE TABLE tool_chunks (version INTEGER NOT NULL"
    " REFERENCES tool_versions (id) ON DELETE CASCADE,"
    " part INTEGER NOT NULL, n INTEGER NOT NULL, value BLOB NOT NULL,"
    " UNIQUE (version, part, n)) STRICT;"
    "CREATE TABLE tool_sum (one INTEGER PRIMARY KEY CHECK (one = 1),"
    " value BLOB NOT NULL) STRICT;"
    "UPDATE schema_version SET version = 3;";

/* Version 4: what some of the tokens were. */
static const char tables_4[] =
    "ALTER TABLE usage ADD COLUMN cached_in INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE usage ADD COLUMN cache_written_in INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE usage ADD COLUMN reasoning_out INTEGER NOT NULL DEFAULT 0;"
    "UPDATE schema_version SET version = 4;";

/* Version 5: keys of data, marks of users, and what a key may. */
static const char tables_5[] =
    "ALTER TABLE users ADD COLUMN roles INTEGER NOT NULL DEFAULT 1;"
    "ALTER TABLE users ADD COLUMN state INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE users ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN scopes BLOB NOT NULL DEFAULT x'';"
    "ALTER TABLE keys ADD COLUMN last_used_s INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keys ADD COLUMN replaces BLOB NOT NULL DEFAULT x'000000000000000000000000';"
    "UPDATE schema_version SET version = 5;";

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

static struct status
run(sqlite3 *sql, const char *text)
{
	return sql_status(sqlite3_exec(sql, text, NULL, NULL, NULL), sql);
}

/* Step by step, from any version before. */
static struct status
upgrade(sqlite3 *sql, int64_t version, const struct secret *kek, const struct secret *old_kek)
{
	if (version < 0 || version > DB_SCHEMA_VERSION || (version == 1 && old_kek == NULL))
		return fail(E_UNSUPPORTED);
	if (version == 0)
		TRY(run(sql, tables));
	if (version == 1)
		TRY(migrate_rewrap(sql, old_kek, kek));
	if (version < 2)
		TRY(run(sql, tables_2));
	if (version < 3)
		TRY(run(sql, tables_3));
	if (version < 4)
		TRY(run(sql, tables_4));
	return run(sql, tables_5);
}

struct status
schema_apply(sqlite3 *sql, const struct secret *kek, const struct secret *old_kek)
{
	int64_t version = 0;
	bool exists = false;
	struct status st;

	TRY(run(sql, pragmas));
	TRY(has_tables(sql, &exists));
	if (exists)
		TRY(version_read(sql, &version));
	if (version == DB_SCHEMA_VERSION)
		return OK;
	TRY(run(sql, "BEGIN IMMEDIATE;"));
	st = upgrade(sql, version, kek, old_kek);
	if (is_ok(st))
		st = run(sql, "COMMIT;");
	if (!is_ok(st) && sqlite3_get_autocommit(sql) == 0)
		(void)sqlite3_exec(sql, "ROLLBACK;", NULL, NULL, NULL);
	return st;
}
