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

static struct status
rewrap_row(const struct rewrap *r, struct backend_stmt *from, struct backend_stmt *to)
{
	const struct place at = { .table = r->table,
		.row = { backend_column(from, 1), backend_column(from, 2) },
		.column = r->column };
	auto_buf struct buf wrapped = BUF_INIT(WRAPPED_MAX);
	uint8_t plain[AS_SECRET_LEN];
	struct status st = unwrap(r->old_kek, &at, backend_column(from, 3), plain);

	if (is_ok(st))
		st = wrap(r->kek, &at, plain, &wrapped);
	explicit_bzero(plain, sizeof(plain));
	TRY(st);
	backend_bind_blob(to, 1, buf_span(&wrapped));
	backend_bind_int(to, 2, backend_column_int(from, 0));
	st = backend_step(to);
	backend_reset(to);
	return st.code == E_NOTFOUND ? OK : st;
}

static struct status
rewrap_all(const struct rewrap *r, struct backend *back)
{
	struct backend_stmt *from = NULL, *to = NULL;
	struct status st = backend_prepare(back, r->select, &from);

	if (is_ok(st))
		st = backend_prepare(back, r->update, &to);
	while (is_ok(st)) {
		st = backend_step(from);
		if (is_ok(st))
			st = rewrap_row(r, from, to);
		else if (st.code == E_NOTFOUND)
			break;
	}
	backend_finalize(from);
	backend_finalize(to);
	return st.code == E_NOTFOUND ? OK : st;
}

struct status
migrate_rewrap(struct backend *back, const struct secret *old_kek, const struct secret *kek)
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

	TRY(rewrap_all(&secrets, back));
	return rewrap_all(&users, back);
}

/* ---- to version 5: names in clear, and secrets right under the root ---- */

typedef struct status carry_fn(struct db *db, struct backend_stmt *row);

static struct status
carry_all(struct db *db, const char *select, carry_fn *carry)
{
	struct backend_stmt *rows = NULL;
	struct status st = backend_prepare(db->back, select, &rows);

	while (is_ok(st)) {
		st = backend_step(rows);
		if (st.code == E_NOTFOUND)
			break;
		if (is_ok(st))
			st = carry(db, rows);
	}
	backend_finalize(rows);
	return st.code == E_NOTFOUND ? OK : st;
}

static struct status
carry_secret(struct db *db, struct backend_stmt *row)
{
	const struct place at = {
		.table = "secrets", .row = { backend_column(row, 0), SPAN_EMPTY }, .column = "value"
	};
	uint8_t plain[AS_SECRET_LEN];
	struct status st = unwrap(db->root, &at, backend_column(row, 1), plain);

	if (is_ok(st))
		st = db_secret_put(db, at.row[0], plain);
	explicit_bzero(plain, sizeof(plain));
	return st;
}

static struct status
carry_tenant(struct db *db, struct backend_stmt *row)
{
	int64_t id = backend_column_int(row, 0);

	if (!text_ok(backend_column(row, 1), TENANT_MAX))
		return fail(E_CORRUPT);
	return tenant_add(db, id, backend_column(row, 1), &id);
}

static struct status
carry_user(struct db *db, struct backend_stmt *row)
{
	const struct place at = { .table = "users",
		.row = { backend_column(row, 2), backend_column(row, 3) },
		.column = "subject_key" };
	int64_t id = backend_column_int(row, 0);
	uint8_t plain[AS_SECRET_LEN];
	struct status st = unwrap(db->root, &at, backend_column(row, 4), plain);

	if (is_ok(st) && !text_ok(at.row[1], USER_MAX))
		st = fail(E_CORRUPT);
	if (is_ok(st))
		st = user_row_add(db, id, backend_column_int(row, 1), at.row[1], plain, &id);
	explicit_bzero(plain, sizeof(plain));
	return st;
}

static struct status
carry_key(struct db *db, struct backend_stmt *row)
{
	struct as_key key = { .pepper = 1,
		.policy = backend_column(row, 4),
		.created_s = (uint64_t)backend_column_int(row, 5),
		.expires_s = (uint64_t)backend_column_int(row, 6),
		.revoked_s = (uint64_t)backend_column_int(row, 7) };
	struct span id = backend_column(row, 1), hash = backend_column(row, 2);

	if (id.len != KEY_ID_LEN || hash.len != DIGEST_LEN || !text_ok(key.policy, POLICY_MAX) ||
	    key.created_s > INT64_MAX || key.expires_s > INT64_MAX || key.revoked_s > INT64_MAX)
		return fail(E_CORRUPT);
	memcpy(key.id, id.ptr, KEY_ID_LEN);
	memcpy(key.hash, hash.ptr, DIGEST_LEN);
	return key_add(db, (uint64_t)backend_column_int(row, 0), backend_column_int(row, 3), &key);
}

static struct status
carry_tool(struct db *db, struct backend_stmt *row)
{
	return tool_row_import(db, (uint64_t)backend_column_int(row, 0), backend_column_int(row, 1),
	    backend_column(row, 2), (uint64_t)backend_column_int(row, 3), backend_column(row, 4));
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
