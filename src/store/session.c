/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c: sessions that have not ended, each sealed under its user's data key.
 *
 * Runs in: store. Trusts: nothing that it reads. Owns: the value that was read last.
 * Invariants: a row never changes: a session is there, or has ended and never comes back; one ends
 * in the transaction in which its key is revoked or its user disabled. In clear stand its id,
 * owner, key, signer and end, and must be what the sealed value says.
 * See: db.h; src/authority/sessions.c.
 */
#include "internal.h"

#include <base/arena.h>
#include <base/cleanup.h>

#define ARENA_MAX (SCOPE_MAX + 1024U)
#define VALUE_MAX (SCOPE_MAX + 512U)

/* A session is its own value, but for its id and what a PUT says beside. */
static const struct wire_field value_rows[] = {
	WIRE_FIXED(struct as_session, digest),
	WIRE_FIXED(struct as_session, key),
	WIRE_U64(struct as_session, created_s),
	WIRE_U64(struct as_session, expires_s),
	WIRE_U32(struct as_session, signer, UINT32_MAX),
	WIRE_U8(struct as_session, has_roles, 1),
	WIRE_U8(struct as_session, roles, ROLES_ALL),
	WIRE_BYTES(struct as_session, scope, 0, SCOPE_MAX),
};
static const struct wire_table value_table = WIRE_TABLE(struct as_session, value_rows);

static struct place
session_place(const uint8_t id[SESSION_ID_LEN], int64_t user, uint8_t number[8])
{
	return (struct place){ "sessions",
		{ span_of(id, SESSION_ID_LEN), place_number((uint64_t)user, number) }, "value" };
}

/* ---- it begins ---- */

/* Its key's number, and whose that is. */
static struct status
parent_find(struct db *db, const uint8_t id[KEY_ID_LEN], uint64_t *ret_n, int64_t *ret_user)
{
	uint64_t user = 0, state = 0;
	struct status st;

	sql_blob(db, SQL_KEY_FIND, 1, span_of(id, KEY_ID_LEN));
	TRY(sql_row(db, SQL_KEY_FIND));
	st = sql_column_u64(db, SQL_KEY_FIND, 0, ret_n);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_KEY_FIND, 2, &user);
	sql_reset(db, SQL_KEY_FIND);
	TRY(st);
	*ret_user = (int64_t)user;
	sql_int(db, SQL_CONTENT_USER, 1, user);
	TRY(sql_number(db, SQL_CONTENT_USER, &state));
	return state == USER_ACTIVE ? OK : fail(E_DENIED);
}

static struct status
has_room(struct db *db)
{
	uint64_t n = 0;

	sql_int(db, SQL_SESSIONS_COUNT, 1, 0);
	TRY(sql_number(db, SQL_SESSIONS_COUNT, &n));
	return n < DB_SESSIONS_MAX ? OK : fail(E_FULL);
}

/* The key that signed it is kept, and from now on as long as this session is. */
static struct status
has_signer(struct db *db, uint32_t version)
{
	sql_int(db, SQL_KEYSET_IS, 1, KEYSET_SESSION);
	sql_int(db, SQL_KEYSET_IS, 2, version);
	TRY(sql_row(db, SQL_KEYSET_IS));
	sql_reset(db, SQL_KEYSET_IS);
	return OK;
}

static struct status
row_add(struct db *db, const struct as_session *m)
{
	auto_buf struct buf plain = BUF_INIT(VALUE_MAX),
			    sealed = BUF_INIT(VALUE_MAX + SEAL_OVERHEAD);
	uint64_t parent = 0, key = 0;
	uint8_t number[8];
	int64_t user = 0;
	struct place at;

	TRY(parent_find(db, m->key, &parent, &user));
	at = session_place(m->id, user, number);
	TRY(wire_encode(&value_table, m, &plain));
	TRY(keyring_value_seal(db, user, &at, 0, buf_span(&plain), &key, &sealed));
	sql_blob(db, SQL_SESSION_ADD, 1, span_of(m->id, SESSION_ID_LEN));
	sql_int(db, SQL_SESSION_ADD, 2, (uint64_t)user);
	sql_int(db, SQL_SESSION_ADD, 3, parent);
	sql_int(db, SQL_SESSION_ADD, 4, key);
	sql_int(db, SQL_SESSION_ADD, 5, m->signer);
	sql_int(db, SQL_SESSION_ADD, 6, m->expires_s);
	sql_blob(db, SQL_SESSION_ADD, 7, buf_span(&sealed));
	return sql_run(db, SQL_SESSION_ADD);
}

static struct status
row_remove(struct db *db, const uint8_t id[SESSION_ID_LEN])
{
	sql_blob(db, SQL_SESSION_REMOVE, 1, span_of(id, SESSION_ID_LEN));
	return sql_run(db, SQL_SESSION_REMOVE);
}

static struct status
add(struct db *db, const struct as_session *m, uint64_t now_s)
{
	TRY(sessions_expire(db, now_s));
	TRY(row_remove(db, m->ends));
	TRY(has_signer(db, m->signer));
	TRY(has_room(db));
	return row_add(db, m);
}

struct status
db_session_put(struct db *db, const struct as_session *m, uint64_t now_s)
{
	if (m->scope.len > SCOPE_MAX || m->created_s > INT64_MAX || m->expires_s > INT64_MAX)
		return fail(E_RANGE);
	TRY(db_begin(db));
	return db_end(db, add(db, m, now_s));
}

/* ---- it ends ---- */

struct status
db_session_end(struct db *db, const uint8_t id[SESSION_ID_LEN])
{
	struct status st;

	TRY(db_begin(db));
	sums_less(db);
	st = row_remove(db, id);
	if (is_ok(st) && backend_changed(db->back) == 0)
		st = fail(E_NOTFOUND);
	return db_end(db, st);
}

struct status
sessions_expire(struct db *db, uint64_t now_s)
{
	sql_int(db, SQL_SESSIONS_EXPIRED, 1, now_s);
	return sql_run(db, SQL_SESSIONS_EXPIRED);
}

struct status
sessions_remove_of_key(struct db *db, uint64_t n)
{
	sql_int(db, SQL_SESSIONS_OF_KEY_REMOVE, 1, n);
	return sql_run(db, SQL_SESSIONS_OF_KEY_REMOVE);
}

struct status
sessions_remove_of_user(struct db *db, int64_t user)
{
	sql_int(db, SQL_SESSIONS_OF_USER_REMOVE, 1, (uint64_t)user);
	return sql_run(db, SQL_SESSIONS_OF_USER_REMOVE);
}

/* ---- all of them ---- */

/* What stands beside the value is what the value says. */
static struct status
marks_check(struct db *db, const struct as_session *s)
{
	uint64_t signer, expires_s;

	TRY(sql_column_u64(db, SQL_SESSION_NEXT, 4, &signer));
	TRY(sql_column_u64(db, SQL_SESSION_NEXT, 5, &expires_s));
	if (signer != s->signer || expires_s != s->expires_s ||
	    !span_eq(sql_column(db, SQL_SESSION_NEXT, 7), span_of(s->key, KEY_ID_LEN)))
		return fail(E_CORRUPT);
	return OK;
}

/* The scope lies in db->key_plain, until the next call. */
static struct status
show(struct db *db, struct as_session *ret)
{
	auto_arena struct arena arena = ARENA_INIT(ARENA_MAX);
	struct as_session s = { .signer = 0 };
	uint64_t user, key;
	uint8_t number[8];
	struct place at;
	struct status st;

	TRY(sql_column_fixed(db, SQL_SESSION_NEXT, 1, ret->id, SESSION_ID_LEN));
	TRY(sql_column_u64(db, SQL_SESSION_NEXT, 2, &user));
	TRY(sql_column_u64(db, SQL_SESSION_NEXT, 3, &key));
	at = session_place(ret->id, (int64_t)user, number);
	buf_clear(&db->key_plain);
	TRY(keyring_value_open(
	    db, (int64_t)user, key, &at, 0, sql_column(db, SQL_SESSION_NEXT, 6), &db->key_plain));
	st = wire_decode(&value_table, buf_span(&db->key_plain), &arena, &s);
	if (!is_ok(st))
		return st.code == E_NOMEM ? st : fail(E_CORRUPT);
	memcpy(s.id, ret->id, SESSION_ID_LEN);
	*ret = s;
	return marks_check(db, ret);
}

struct status
db_session_next(struct db *db, int64_t *cursor, struct as_session *ret)
{
	struct status st;
	uint64_t n;

	do {
		*ret = (struct as_session){ .signer = 0 };
		sql_reset(db, SQL_SESSION_NEXT);
		sql_int(db, SQL_SESSION_NEXT, 1, (uint64_t)*cursor);
		TRY(sql_row(db, SQL_SESSION_NEXT));
		TRY(sql_column_u64(db, SQL_SESSION_NEXT, 0, &n));
		*cursor = (int64_t)n;
		st = show(db, ret);
		sql_reset(db, SQL_SESSION_NEXT);
	} while (st.code == E_NOTFOUND); /* its owner was erased */
	return st.code == E_CRYPTO ? fail(E_CORRUPT) : st;
}
