/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statement.c: every SQL statement, prepared once; values only ever bound.
 *
 * Runs in: store. Trusts: nothing: column types and lengths are checked.
 * Owns: the prepared statements. Invariants: a statement is reset, and its
 * bindings forgotten, before it is used again; no SQL is made at run time.
 * See: internal.h.
 */
#include "internal.h"

static const char *const texts[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_TENANT_ADD] = "INSERT INTO tenants (name) VALUES (?1) ON CONFLICT DO NOTHING",
	[SQL_POLICY_ADD] = "INSERT INTO policies (name) VALUES (?1) ON CONFLICT DO NOTHING",
	[SQL_USER_FIND] =
	    "SELECT users.subject_key FROM users JOIN tenants ON tenants.id = users.tenant"
	    " WHERE tenants.name = ?1 AND users.name = ?2",
	[SQL_USER_ADD] = "INSERT INTO users (tenant, name, subject_key)"
			 " SELECT id, ?2, ?3 FROM tenants WHERE name = ?1",
	[SQL_USER_NEXT] = "SELECT users.id, tenants.name, users.name, users.subject_key"
			  " FROM users JOIN tenants ON tenants.id = users.tenant"
			  " WHERE users.id > ?1 ORDER BY users.id LIMIT 1",
	[SQL_KEY_FIND] = "SELECT hash FROM keys WHERE id = ?1",
	[SQL_KEY_ADD] = "INSERT INTO keys (id, hash, user, policy, created_s, expires_s, revoked_s)"
			" SELECT ?1, ?2, users.id, policies.id, ?6, ?7, ?8"
			" FROM users JOIN tenants ON tenants.id = users.tenant JOIN policies"
			" WHERE tenants.name = ?3 AND users.name = ?4 AND policies.name = ?5",
	[SQL_KEY_REVOKE] =
	    "UPDATE keys SET revoked_s = CASE revoked_s WHEN 0 THEN ?2 ELSE revoked_s END"
	    " WHERE id = ?1",
	[SQL_KEY_NEXT] =
	    "SELECT keys.n, keys.id, keys.hash, tenants.name, users.name, policies.name,"
	    " keys.created_s, keys.expires_s, keys.revoked_s"
	    " FROM keys JOIN users ON users.id = keys.user"
	    " JOIN tenants ON tenants.id = users.tenant"
	    " JOIN policies ON policies.id = keys.policy"
	    " WHERE keys.n > ?1 ORDER BY keys.n LIMIT 1",
	[SQL_SECRET_FIND] = "SELECT value FROM secrets WHERE name = ?1",
	[SQL_SECRET_ADD] = "INSERT INTO secrets (name, value) VALUES (?1, ?2)",
	[SQL_DAYS_TRIM] = "DELETE FROM secrets WHERE name GLOB 'day:*' AND name NOT IN"
			  " (SELECT name FROM secrets WHERE name GLOB 'day:*'"
			  "  ORDER BY name DESC LIMIT ?1)",
};

static const struct {
	int rc;
	enum code code;
	int err;
} codes[] = {
	{ SQLITE_NOMEM, E_NOMEM, 0 },
	{ SQLITE_CORRUPT, E_CORRUPT, 0 },
	{ SQLITE_NOTADB, E_CORRUPT, 0 },
	{ SQLITE_FULL, E_SYS, ENOSPC },
	{ SQLITE_READONLY, E_SYS, EROFS },
	{ SQLITE_IOERR, E_SYS, EIO },
	{ SQLITE_CANTOPEN, E_SYS, EACCES },
	{ SQLITE_PERM, E_SYS, EACCES },
	{ SQLITE_BUSY, E_SYS, EBUSY },
	{ SQLITE_TOOBIG, E_RANGE, 0 },
	{ SQLITE_CONSTRAINT, E_EXISTS, 0 },
};

struct status
sql_status(int rc, sqlite3 *sql)
{
	int primary = rc & 0xff;

	if (primary == SQLITE_OK || primary == SQLITE_DONE || primary == SQLITE_ROW)
		return OK;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].rc == primary)
			return (struct status){ (uint16_t)codes[i].code, codes[i].err };
	}
	(void)sql;
	return (struct status){ E_SYS, EIO };
}

struct status
sql_prepare(struct db *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		int rc = sqlite3_prepare_v3(
		    db->sql, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &db->st[i], NULL);

		if (rc == SQLITE_ERROR)
			return fail(E_CORRUPT); /* the tables are not those of our version */
		TRY(sql_status(rc, db->sql));
	}
	return OK;
}

void
sql_finish(struct db *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		(void)sqlite3_finalize(db->st[i]);
		db->st[i] = NULL;
	}
}

/* A failed bind leaves NULL, which the tables refuse. */
void
sql_text(struct db *db, enum statement s, int at, struct span text)
{
	(void)sqlite3_bind_text(
	    db->st[s], at, (const char *)text.ptr, (int)text.len, SQLITE_STATIC);
}

void
sql_blob(struct db *db, enum statement s, int at, struct span blob)
{
	(void)sqlite3_bind_blob(db->st[s], at, blob.ptr, (int)blob.len, SQLITE_STATIC);
}

void
sql_int(struct db *db, enum statement s, int at, uint64_t v)
{
	if (v <= INT64_MAX)
		(void)sqlite3_bind_int64(db->st[s], at, (int64_t)v);
}

void
sql_reset(struct db *db, enum statement s)
{
	(void)sqlite3_reset(db->st[s]);
	(void)sqlite3_clear_bindings(db->st[s]);
}

struct status
sql_run(struct db *db, enum statement s)
{
	int rc;

	do {
		rc = sqlite3_step(db->st[s]);
	} while (rc == SQLITE_ROW);
	sql_reset(db, s);
	return sql_status(rc, db->sql);
}

struct status
sql_row(struct db *db, enum statement s)
{
	int rc = sqlite3_step(db->st[s]);

	if (rc == SQLITE_ROW)
		return OK;
	sql_reset(db, s);
	return rc == SQLITE_DONE ? fail(E_NOTFOUND) : sql_status(rc, db->sql);
}

struct span
sql_column(struct db *db, enum statement s, int at)
{
	const void *p = sqlite3_column_blob(db->st[s], at);
	int len = sqlite3_column_bytes(db->st[s], at);

	return p == NULL || len < 0 ? SPAN_EMPTY : span_of(p, (size_t)len);
}

struct status
sql_column_fixed(struct db *db, enum statement s, int at, uint8_t *out, size_t len)
{
	struct span v = sql_column(db, s, at);

	if (v.ptr == NULL || v.len != len)
		return fail(E_CORRUPT);
	memcpy(out, v.ptr, len);
	return OK;
}

struct status
sql_column_u64(struct db *db, enum statement s, int at, uint64_t *ret)
{
	int64_t v = sqlite3_column_int64(db->st[s], at);

	if (v < 0)
		return fail(E_CORRUPT);
	*ret = (uint64_t)v;
	return OK;
}
