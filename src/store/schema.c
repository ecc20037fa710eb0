/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.c: the tables, and which version of them this build knows.
 *
 * Runs in: store, at start. Trusts: nothing. Owns: nothing.
 * Invariants: tables are strict and foreign keys hold; creation is one
 * transaction, and so are the steps from a version before; a database of a later
 * version is not touched. See: db.h; migrate.c for what SQL cannot do.
 */
#include "backup.h"
#include "internal.h"

#define DB_CLEAN_VERSION 5 /* in user_version: the first without names in clear */
#define DB_CLEAN_TEXT "5"

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

/*
 * Version 5: keys over keys (keyring.h), and nothing personal in clear: names are sealed, with
 * a keyed hash beside for finding. Ids stay what they were; rows are carried over by
 * migrate_to_5(). A value's version counts the states of its row.
 */
static const char tables_5[] =
    "ALTER TABLE tenants RENAME TO old_tenants; ALTER TABLE users RENAME TO old_users;"
    "ALTER TABLE keys RENAME TO old_keys; ALTER TABLE secrets RENAME TO old_secrets;"
    "ALTER TABLE tools RENAME TO old_tools; DROP INDEX keys_of_user;"
    "CREATE TABLE keks (version INTEGER PRIMARY KEY, wrapped BLOB NOT NULL) STRICT;"
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, kek INTEGER NOT NULL REFERENCES keks (version),"
    " value BLOB NOT NULL) STRICT;"
    "CREATE INDEX secrets_of_kek ON secrets (kek);"
    "CREATE TABLE tenants (id INTEGER PRIMARY KEY, name_hash BLOB NOT NULL UNIQUE,"
    " key INTEGER NOT NULL, name BLOB NOT NULL) STRICT;"
    "CREATE TABLE tenant_keys (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " tenant INTEGER NOT NULL REFERENCES tenants (id), version INTEGER NOT NULL,"
    " kek INTEGER NOT NULL REFERENCES keks (version), wrapped BLOB NOT NULL,"
    " UNIQUE (tenant, version)) STRICT;"
    "CREATE INDEX tenant_keys_of_kek ON tenant_keys (kek);"
    /* An id never comes again: audit and backups may know it. */
    "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " tenant INTEGER NOT NULL REFERENCES tenants (id), name_hash BLOB NOT NULL,"
    " key INTEGER NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL,"
    " roles INTEGER NOT NULL, state INTEGER NOT NULL, hold INTEGER NOT NULL,"
    " UNIQUE (tenant, name_hash)) STRICT;"
    "CREATE INDEX users_of_hash ON users (name_hash);"
    "CREATE INDEX users_of_key ON users (key);"
    "CREATE TABLE user_keys (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " user INTEGER NOT NULL REFERENCES users (id), version INTEGER NOT NULL,"
    " tenant_key INTEGER NOT NULL REFERENCES tenant_keys (id), wrapped BLOB NOT NULL,"
    " UNIQUE (user, version)) STRICT;"
    "CREATE INDEX user_keys_of_key ON user_keys (tenant_key);"
    "CREATE TABLE keys (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " user INTEGER NOT NULL REFERENCES users (id), key INTEGER NOT NULL,"
    " version INTEGER NOT NULL, pepper INTEGER NOT NULL, value BLOB NOT NULL,"
    " last_used_s INTEGER NOT NULL) STRICT;"
    "CREATE INDEX keys_of_user ON keys (user);"
    "CREATE INDEX keys_of_key ON keys (key);"
    "CREATE TABLE tools (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " user INTEGER NOT NULL REFERENCES users (id), name_hash BLOB NOT NULL,"
    " key INTEGER NOT NULL, name BLOB NOT NULL, live INTEGER NOT NULL, marks BLOB NOT NULL,"
    " UNIQUE (user, name_hash)) STRICT;"
    "CREATE INDEX tools_of_key ON tools (key);"
    "CREATE TABLE rotations (what INTEGER PRIMARY KEY, started_s INTEGER NOT NULL,"
    " ended_s INTEGER NOT NULL, tenant_mark INTEGER NOT NULL, user_mark INTEGER NOT NULL) STRICT;"
    "UPDATE schema_version SET version = 5;";

/*
 * Version 6: what is kept for users (content.h). Numbers of rows never come again: what is
 * sealed is sealed for its row.
 */
static const char tables_6[] =
    "CREATE TABLE objects (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " user INTEGER NOT NULL REFERENCES users (id), kind INTEGER NOT NULL, hash BLOB NOT NULL,"
    " tag BLOB NOT NULL, created_s INTEGER NOT NULL, updated_s INTEGER NOT NULL,"
    " expires_s INTEGER NOT NULL, size INTEGER NOT NULL, hidden INTEGER NOT NULL DEFAULT 0,"
    " key INTEGER NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL,"
    " UNIQUE (user, hash)) STRICT;"
    "CREATE INDEX objects_of_kind ON objects (user, kind, id) WHERE hidden = 0;"
    "CREATE INDEX objects_of_tag ON objects (user, kind, tag, id) WHERE hidden = 0;"
    "CREATE INDEX objects_of_key ON objects (key);"
    "CREATE INDEX objects_of_age ON objects (kind, updated_s);"
    "CREATE INDEX objects_expiring ON objects (expires_s) WHERE expires_s > 0;"
    "CREATE INDEX objects_hidden ON objects (id) WHERE hidden = 1;"
    "CREATE TABLE items (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " user INTEGER NOT NULL REFERENCES users (id), response INTEGER, conversation INTEGER,"
    " hash BLOB NOT NULL, output INTEGER NOT NULL, hidden INTEGER NOT NULL DEFAULT 0,"
    " size INTEGER NOT NULL, key INTEGER NOT NULL, value BLOB NOT NULL) STRICT;"
    "CREATE INDEX items_of_response ON items (response) WHERE response IS NOT NULL;"
    "CREATE INDEX items_of_conversation ON items (conversation) WHERE conversation IS NOT NULL;"
    "CREATE INDEX items_of_id ON items (conversation, hash) WHERE conversation IS NOT NULL;"
    "CREATE INDEX items_of_key ON items (key);"
    "CREATE INDEX items_hidden ON items (id) WHERE hidden = 1;"
    "CREATE TABLE chunks (file INTEGER NOT NULL, n INTEGER NOT NULL, key INTEGER NOT NULL,"
    " value BLOB NOT NULL, PRIMARY KEY (file, n)) STRICT;"
    "CREATE INDEX chunks_of_key ON chunks (key);"
    "CREATE INDEX users_erased ON users (id) WHERE state = 2;"
    "CREATE TABLE content_use (user INTEGER PRIMARY KEY, objects INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL) STRICT;"
    "UPDATE schema_version SET version = 6;";

/*
 * Version 7: sessions (session.c), and keys that have versions (keyset.c), which are secrets
 * named for their kind and version; by what a key-encryption key is wrapped (keyring_kek.c).
 */
static const char tables_7[] =
    "CREATE TABLE sessions (n INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE,"
    " user INTEGER NOT NULL REFERENCES users (id), parent INTEGER NOT NULL REFERENCES keys (n),"
    " key INTEGER NOT NULL, signer INTEGER NOT NULL, expires_s INTEGER NOT NULL,"
    " value BLOB NOT NULL) STRICT;"
    "CREATE INDEX sessions_of_user ON sessions (user);"
    "CREATE INDEX sessions_of_parent ON sessions (parent);"
    "CREATE INDEX sessions_of_key ON sessions (key);"
    "CREATE INDEX sessions_of_signer ON sessions (signer);"
    "CREATE INDEX sessions_expiring ON sessions (expires_s);"
    "CREATE TABLE keysets (what INTEGER NOT NULL, version INTEGER NOT NULL,"
    " created_s INTEGER NOT NULL, PRIMARY KEY (what, version)) STRICT;"
    "INSERT INTO keysets VALUES (1, 1, CAST(strftime('%s', 'now') AS INTEGER)),"
    " (2, 1, CAST(strftime('%s', 'now') AS INTEGER));"
    "CREATE INDEX keys_of_pepper ON keys (pepper);"
    "ALTER TABLE rotations ADD COLUMN unopened INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE keks ADD COLUMN wrapper TEXT NOT NULL DEFAULT 'local';"
    "UPDATE schema_version SET version = 7;";

/*
 * Version 8: sums over rows (sum.h), which a build without them would not keep true; who is there
 * in a tenant, without those who were erased.
 */
static const char tables_8[] =
    "CREATE INDEX IF NOT EXISTS users_living ON users (tenant, name_hash) WHERE state <> 2;"
    "UPDATE schema_version SET version = 8;";

/* Of any version: what an index finds is there without it, and an older build keeps it true. */
static const char indexes[] =
    "CREATE INDEX IF NOT EXISTS tool_versions_gone ON tool_versions (id) WHERE version < 0;";

/* What migrate_to_5() has read. */
static const char tables_5_end[] =
    "INSERT INTO sqlite_sequence SELECT 'tools', seq FROM sqlite_sequence"
    " WHERE name = 'old_tools' AND NOT EXISTS"
    " (SELECT 1 FROM sqlite_sequence WHERE name = 'tools');"
    "UPDATE sqlite_sequence SET seq = max(seq, coalesce((SELECT seq FROM sqlite_sequence"
    " WHERE name = 'old_tools'), 0)) WHERE name = 'tools';"
    "DROP TABLE old_keys; DROP TABLE old_tools; DROP TABLE old_users; DROP TABLE old_tenants;"
    "DROP TABLE old_secrets; DROP TABLE policies;";

/* Step by step, from any version before. */
static struct status
upgrade_tables(struct db *db, int64_t version, const struct secret *old_kek)
{
	static const char *const steps[] = { tables, tables_2, tables_3, tables_4, tables_5,
		tables_6, tables_7, tables_8 };

	if (version == 1)
		TRY(migrate_rewrap(db->back, old_kek, db->root));
	for (size_t i = (size_t)version; i < sizeof(steps) / sizeof(steps[0]); i++)
		TRY(backend_exec(db->back, steps[i]));
	return backend_exec(db->back, indexes);
}

/* All tables are there before any row is carried over: statements know all of them. */
static struct status
upgrade(struct db *db, int64_t version, const struct secret *old_kek)
{
	TRY(upgrade_tables(db, version, old_kek));
	TRY(sql_prepare(db));
	if (version >= 5)
		return OK;
	if (version > 0 || strcmp(db->kek.wrapper, KEK_WRAPPER_LOCAL) == 0)
		TRY(keyring_kek_make_local(db, 1)); /* else kek.c has it wrapped first */
	if (version > 0)
		TRY(migrate_to_5(db));
	sql_reset_all(db);
	return backend_exec(db->back, tables_5_end);
}

/* References from other tables are to stay as they are while tables are renamed. */
static struct status
upgrade_all(struct db *db, int64_t version, const struct secret *old_kek)
{
	struct status st, undone;

	if (version > 0)
		TRY(db_backup_before(db));
	TRY(backend_exec(db->back, "PRAGMA foreign_keys=OFF; PRAGMA legacy_alter_table=ON;"));
	TRY(backend_exec(db->back, "BEGIN IMMEDIATE;"));
	st = upgrade(db, version, old_kek);
	if (is_ok(st))
		st = backend_exec(db->back, "COMMIT;");
	if (!is_ok(st) && backend_in_transaction(db->back)) {
		undone = backend_exec(db->back, "ROLLBACK;");
		(void)undone; /* it was rolled back already, or the connection is of no use */
	}
	TRY(st);
	db->kek.made = 0;
	return backend_exec(db->back, "PRAGMA legacy_alter_table=OFF; PRAGMA foreign_keys=ON;");
}

/*
 * Nothing of what an older version had in clear stays in free pages or in the log. Once
 * done, the file says so; a start that was cut short before that does it again.
 */
static struct status
clean(struct db *db)
{
	int64_t cleaned = 0;

	TRY(backend_number(db->back, "PRAGMA user_version", &cleaned));
	if (cleaned == DB_CLEAN_VERSION)
		return OK;
	TRY(backend_compact(db->back));
	TRY(db_settle(db));
	return backend_exec(db->back, "PRAGMA user_version=" DB_CLEAN_TEXT ";");
}

struct status
schema_apply(struct db *db, const struct secret *old_kek)
{
	int64_t version = 0;
	bool empty = false;

	TRY(backend_is_empty(db->back, &empty));
	if (!empty)
		TRY(backend_number(db->back, "SELECT version FROM schema_version", &version));
	if (version < 0 || version > DB_SCHEMA_VERSION || (version == 1 && old_kek == NULL))
		return fail(E_UNSUPPORTED);
	if (version != DB_SCHEMA_VERSION) {
		TRY(upgrade_all(db, version, old_kek));
	} else {
		TRY(backend_exec(db->back, indexes));
		TRY(sql_prepare(db));
	}
	return clean(db);
}
