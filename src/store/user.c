/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.c: tenants and users: rows that say nothing without their keys.
 *
 * Runs in: store. Trusts: nothing that it reads: names, marks and keyed hashes of a row must be
 * those that its sealed value says.
 * Owns: the names that were read last.
 * Invariants: a name is in the file sealed only; the hash beside it is for finding.
 * See: internal.h; keyring.h.
 */
#include "internal.h"

#include <base/arena.h>
#include <base/cleanup.h>
#include <base/rand.h>

#define VALUE_MAX 512U
#define ARENA_MAX 1024U

struct user_value {
	struct span name;
	uint8_t subject_key[AS_SECRET_LEN];
	uint8_t roles, state, hold;
};
static const struct wire_field user_value_rows[] = {
	WIRE_BYTES(struct user_value, name, 1, USER_MAX),
	WIRE_FIXED(struct user_value, subject_key),
	WIRE_U8(struct user_value, roles, ROLES_ALL),
	WIRE_U8(struct user_value, state, USER_ERASED),
	WIRE_U8(struct user_value, hold, 1),
};
static const struct wire_table user_value_table = WIRE_TABLE(struct user_value, user_value_rows);

/* A user's row, opened: spans lie in the database's scratch, until the next call. */
struct user_open {
	int64_t id, tenant;
	uint64_t version;
	struct user_value value;
};

bool
text_ok(struct span s, size_t max)
{
	return s.len > 0 && s.len <= max && memchr(s.ptr, 0, s.len) == NULL;
}

struct status
users_new(struct db *db)
{
	return secret_new(VALUE_MAX, &db->users.scratch);
}

void
users_forget(struct db *db)
{
	db->users.seen.id = 0;
	db->users.tenant_id = 0;
	secret_wipe(db->users.scratch.ptr, db->users.scratch.len);
}

void
users_free(struct db *db)
{
	secret_done(&db->users.scratch);
}

/* ---- tenants ---- */

static struct place
tenant_place(int64_t id, uint8_t number[8])
{
	return (
	    struct place){ "tenants", { place_number((uint64_t)id, number), SPAN_EMPTY }, "name" };
}

static struct status
tenant_hash(struct db *db, struct span name, uint8_t out[DIGEST_LEN])
{
	return keyring_index(db, "tenants.name", name, out);
}

struct status
tenant_find(struct db *db, struct span name, int64_t *ret)
{
	uint8_t hash[DIGEST_LEN];
	uint64_t id = 0;
	struct status st;

	TRY(tenant_hash(db, name, hash));
	sql_blob(db, SQL_TENANT_FIND, 1, span_of(hash, DIGEST_LEN));
	TRY(sql_row(db, SQL_TENANT_FIND));
	st = sql_column_u64(db, SQL_TENANT_FIND, 0, &id);
	sql_reset(db, SQL_TENANT_FIND);
	*ret = (int64_t)id;
	return st;
}

struct status
tenant_seal(struct db *db, int64_t id, struct span name)
{
	auto_buf struct buf sealed = BUF_INIT(TENANT_MAX + SEAL_OVERHEAD);
	uint8_t number[8];
	const struct place at = tenant_place(id, number);
	struct data_key key = { 0 };

	TRY(keyring_tenant_newest(db, id, &key));
	TRY(keyring_sealed_with(&key, &at, 0, name, &sealed));
	sql_int(db, SQL_TENANT_SET, 1, (uint64_t)id);
	sql_int(db, SQL_TENANT_SET, 2, key.id);
	sql_blob(db, SQL_TENANT_SET, 3, buf_span(&sealed));
	return sql_run(db, SQL_TENANT_SET);
}

struct status
tenant_add(struct db *db, int64_t id, struct span name, int64_t *ret)
{
	uint8_t hash[DIGEST_LEN];

	TRY(tenant_hash(db, name, hash));
	if (id != 0)
		sql_int(db, SQL_TENANT_ADD, 1, (uint64_t)id);
	sql_blob(db, SQL_TENANT_ADD, 2, span_of(hash, DIGEST_LEN));
	TRY(sql_run(db, SQL_TENANT_ADD));
	*ret = backend_last_id(db->back);
	return tenant_seal(db, *ret, name);
}

static struct status
tenant_row_open(struct db *db, int64_t id)
{
	auto_buf struct buf name = BUF_INIT(TENANT_MAX);
	uint8_t hash[DIGEST_LEN], number[8];
	const struct place at = tenant_place(id, number);
	struct data_key key = { 0 };
	uint64_t key_id;

	TRY(sql_column_u64(db, SQL_TENANT_GET, 0, &key_id));
	TRY(keyring_tenant_get(db, id, key_id, &key));
	TRY(keyring_opened_with(&key, &at, 0, sql_column(db, SQL_TENANT_GET, 1), &name));
	TRY(tenant_hash(db, buf_span(&name), hash));
	if (!span_eq(sql_column(db, SQL_TENANT_GET, 2), span_of(hash, DIGEST_LEN)))
		return fail(E_CORRUPT);
	return span_to_cstr(buf_span(&name), db->users.tenant_name, sizeof(db->users.tenant_name));
}

struct status
tenant_name(struct db *db, int64_t id, struct span *ret)
{
	struct status st;

	if (id == 0 || db->users.tenant_id != id) {
		db->users.tenant_id = 0;
		sql_int(db, SQL_TENANT_GET, 1, (uint64_t)id);
		st = sql_row(db, SQL_TENANT_GET);
		if (st.code == E_NOTFOUND)
			return fail(E_CORRUPT);
		TRY(st);
		st = tenant_row_open(db, id);
		sql_reset(db, SQL_TENANT_GET);
		TRY(st);
		db->users.tenant_id = id;
	}
	*ret = span_str(db->users.tenant_name);
	return OK;
}

/* ---- a user's row ---- */

static struct place
user_place(int64_t id, int64_t tenant, uint8_t numbers[16])
{
	return (struct place){ "users",
		{ place_number((uint64_t)id, numbers),
		    place_number((uint64_t)tenant, numbers + 8) },
		"value" };
}

static struct status
user_hash(struct db *db, struct span name, uint8_t out[DIGEST_LEN])
{
	return keyring_index(db, "users.name", name, out);
}

struct status
user_name_hash(struct db *db, struct span name, uint8_t out[DIGEST_LEN])
{
	return user_hash(db, name, out);
}

/* What stands beside the value for those who look for it is what the value says. */
static struct status
marks_check(struct db *db, enum statement s, const struct user_value *v)
{
	uint8_t hash[DIGEST_LEN];
	uint64_t roles, state, hold;

	TRY(sql_column_u64(db, s, 5, &roles));
	TRY(sql_column_u64(db, s, 6, &state));
	TRY(sql_column_u64(db, s, 7, &hold));
	TRY(user_hash(db, v->name, hash));
	if (roles != v->roles || state != v->state || hold != v->hold ||
	    !span_eq(sql_column(db, s, 8), span_of(hash, DIGEST_LEN)))
		return fail(E_CORRUPT);
	return OK;
}

/* The row that `s` has found: id, tenant, key, version, value, roles, state, hold, name_hash. */
static struct status
user_row_open(struct db *db, enum statement s, struct user_open *u)
{
	auto_arena struct arena arena = ARENA_INIT(ARENA_MAX);
	struct buf plain = secret_buf(&db->users.scratch);
	uint8_t numbers[16];
	uint64_t id, tenant, key;
	struct place at;
	struct status st;

	TRY(sql_column_u64(db, s, 0, &id));
	TRY(sql_column_u64(db, s, 1, &tenant));
	u->id = (int64_t)id;
	u->tenant = (int64_t)tenant;
	TRY(sql_column_u64(db, s, 2, &key));
	TRY(sql_column_u64(db, s, 3, &u->version));
	at = user_place(u->id, u->tenant, numbers);
	TRY(keyring_value_open(db, u->id, key, &at, u->version, sql_column(db, s, 4), &plain));
	st = wire_decode(&user_value_table, buf_span(&plain), &arena, &u->value);
	if (!is_ok(st))
		return st.code == E_NOMEM ? st : fail(E_CORRUPT);
	return marks_check(db, s, &u->value);
}

static struct status
user_get(struct db *db, int64_t id, struct user_open *u)
{
	struct status st;

	sql_int(db, SQL_USER_GET, 1, (uint64_t)id);
	TRY(sql_row(db, SQL_USER_GET));
	st = user_row_open(db, SQL_USER_GET, u);
	sql_reset(db, SQL_USER_GET);
	return st;
}

/* Its value and marks, sealed anew: the row's version counts on. */
static struct status
user_seal(struct db *db, const struct user_open *u)
{
	auto_buf struct buf sealed = BUF_INIT(VALUE_MAX + SEAL_OVERHEAD);
	auto_secret struct secret text = SECRET_NONE;
	uint8_t numbers[16];
	const struct place at = user_place(u->id, u->tenant, numbers);
	struct buf plain;
	uint64_t key;

	TRY(secret_new(VALUE_MAX, &text));
	plain = secret_buf(&text);
	TRY(wire_encode(&user_value_table, &u->value, &plain));
	TRY(keyring_value_seal(db, u->id, &at, u->version, buf_span(&plain), &key, &sealed));
	sql_int(db, SQL_USER_SET, 1, (uint64_t)u->id);
	sql_int(db, SQL_USER_SET, 2, key);
	sql_int(db, SQL_USER_SET, 3, u->version);
	sql_blob(db, SQL_USER_SET, 4, buf_span(&sealed));
	sql_int(db, SQL_USER_SET, 5, u->value.roles);
	sql_int(db, SQL_USER_SET, 6, u->value.state);
	sql_int(db, SQL_USER_SET, 7, u->value.hold);
	return sql_run(db, SQL_USER_SET);
}

struct status
user_row_add(struct db *db, int64_t id, int64_t tenant, struct span name,
    const uint8_t subject_key[AS_SECRET_LEN], int64_t *ret)
{
	struct user_open u = {
		.tenant = tenant, .version = 1, .value = { .name = name, .roles = ROLE_USER }
	};
	uint8_t hash[DIGEST_LEN];
	struct status st;

	TRY(user_hash(db, name, hash));
	if (id != 0)
		sql_int(db, SQL_USER_ADD, 1, (uint64_t)id);
	sql_int(db, SQL_USER_ADD, 2, (uint64_t)tenant);
	sql_blob(db, SQL_USER_ADD, 3, span_of(hash, DIGEST_LEN));
	TRY(sql_run(db, SQL_USER_ADD));
	u.id = backend_last_id(db->back);
	if (u.id > DB_USERS_MAX)
		TRY(rows_fit(db, SQL_COUNT_USERS, DB_USERS_MAX));
	memcpy(u.value.subject_key, subject_key, AS_SECRET_LEN);
	st = user_seal(db, &u);
	explicit_bzero(&u.value.subject_key, AS_SECRET_LEN);
	*ret = u.id;
	return st;
}

struct status
user_find(struct db *db, struct span tenant, struct span user, int64_t *ret)
{
	uint8_t hash[DIGEST_LEN];
	int64_t tenant_id = 0;
	uint64_t id = 0;
	struct status st;

	TRY(tenant_find(db, tenant, &tenant_id));
	TRY(user_hash(db, user, hash));
	sql_int(db, SQL_USER_FIND, 1, (uint64_t)tenant_id);
	sql_blob(db, SQL_USER_FIND, 2, span_of(hash, DIGEST_LEN));
	TRY(sql_row(db, SQL_USER_FIND));
	st = sql_column_u64(db, SQL_USER_FIND, 0, &id);
	sql_reset(db, SQL_USER_FIND);
	*ret = (int64_t)id;
	return st;
}

static struct status
user_new(
    struct db *db, struct span tenant, struct span user, int64_t *ret, uint8_t out[AS_SECRET_LEN])
{
	int64_t tenant_id = 0;
	struct status st = tenant_find(db, tenant, &tenant_id);

	if (st.code == E_NOTFOUND)
		st = tenant_add(db, 0, tenant, &tenant_id);
	TRY(st);
	TRY(rand_bytes(out, AS_SECRET_LEN));
	return user_row_add(db, 0, tenant_id, user, out, ret);
}

struct status
user_ensure(
    struct db *db, struct span tenant, struct span user, int64_t *ret, uint8_t out[AS_SECRET_LEN])
{
	struct user_open u = { .id = 0 };
	struct status st = user_find(db, tenant, user, ret);

	if (st.code == E_NOTFOUND)
		return user_new(db, tenant, user, ret, out);
	TRY(st);
	st = user_get(db, *ret, &u);
	if (is_ok(st))
		memcpy(out, u.value.subject_key, AS_SECRET_LEN);
	explicit_bzero(&u, sizeof(u));
	return st;
}

static void
see(struct db *db, const struct user_open *u)
{
	struct user_names *n = &db->users.seen;

	n->id = 0;
	if (is_ok(span_to_cstr(u->value.name, n->user, sizeof(n->user)))) {
		n->id = u->id;
		n->tenant = u->tenant;
	}
}

struct status
user_names(struct db *db, int64_t id, struct span *ret_tenant, struct span *ret_user)
{
	if (id == 0 || db->users.seen.id != id) {
		struct user_open u = { .id = 0 };
		struct status st = user_get(db, id, &u);

		if (is_ok(st))
			see(db, &u);
		explicit_bzero(&u, sizeof(u));
		TRY(st);
	}
	if (db->users.seen.id != id)
		return fail(E_CORRUPT);
	*ret_user = span_str(db->users.seen.user);
	return tenant_name(db, db->users.seen.tenant, ret_tenant);
}

/* ---- the whole of them, and changes ---- */

static struct status
next_open(struct db *db, struct as_user *ret)
{
	struct user_open u = { .id = 0 };
	struct status st = user_row_open(db, SQL_USER_NEXT, &u);

	if (is_ok(st)) {
		see(db, &u);
		memcpy(ret->subject_key, u.value.subject_key, AS_SECRET_LEN);
		ret->roles = u.value.roles;
		ret->state = u.value.state;
		ret->hold = u.value.hold;
		st = user_names(db, u.id, &ret->tenant, &ret->user);
	}
	explicit_bzero(&u, sizeof(u));
	return st;
}

struct status
db_user_next(struct db *db, int64_t *cursor, struct as_user *ret)
{
	struct status st;
	uint64_t id;

	do {
		sql_reset(db, SQL_USER_NEXT);
		sql_int(db, SQL_USER_NEXT, 1, (uint64_t)*cursor);
		TRY(sql_row(db, SQL_USER_NEXT));
		TRY(sql_column_u64(db, SQL_USER_NEXT, 0, &id));
		*cursor = (int64_t)id;
		st = next_open(db, ret);
		sql_reset(db, SQL_USER_NEXT);
	} while (st.code == E_NOTFOUND); /* erased */
	return st.code == E_CRYPTO ? fail(E_CORRUPT) : st;
}

/* No role more, not enabled, no hold lifted. */
static bool
is_less(const struct user_value *was, const struct as_user_put *m)
{
	return (m->roles & (uint8_t)~was->roles) == 0 && m->hold >= was->hold &&
	       (m->state == was->state || m->state == USER_DISABLED);
}

static struct status
user_change(struct db *db, const struct as_user_put *m, uint8_t out[AS_SECRET_LEN])
{
	struct user_open u = { .id = 0 };
	int64_t id = 0;
	struct status st = m->fresh ? user_find(db, m->tenant, m->user, &id) : fail(E_NOTFOUND);

	if (st.code != E_NOTFOUND)
		return is_ok(st) ? fail(E_EXISTS) : st;
	TRY(user_ensure(db, m->tenant, m->user, &id, out));
	st = user_get(db, id, &u);
	if (is_ok(st)) {
		if (is_less(&u.value, m))
			sums_less(db);
		u.version++;
		u.value.roles = m->roles;
		u.value.state = m->state;
		u.value.hold = m->hold;
		st = user_seal(db, &u);
	}
	explicit_bzero(&u, sizeof(u));
	if (is_ok(st) && m->state != USER_ACTIVE)
		st = sessions_remove_of_user(db, id);
	return st;
}

struct status
db_user_put(struct db *db, const struct as_user_put *m, uint8_t ret_subject_key[AS_SECRET_LEN])
{
	if (!text_ok(m->tenant, TENANT_MAX) || !text_ok(m->user, USER_MAX))
		return fail(E_SYNTAX);
	if (m->roles > ROLES_ALL || m->state > USER_DISABLED || m->hold > 1)
		return fail(E_RANGE);
	TRY(db_begin(db));
	return db_end(db, user_change(db, m, ret_subject_key));
}
