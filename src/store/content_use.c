/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_use.c: how much is kept for a user, and numbers of rows.
 *
 * Runs in: store, jailed. Trusts: its own counts, which say nothing about what is kept.
 * Owns: nothing. Invariants: what is added and what goes is counted in the transaction that adds
 * it or lets it go.
 * See: content.h.
 */
#include "content.h"

static struct status
use_get(struct db *db, int64_t user, uint64_t *ret_objects, uint64_t *ret_bytes)
{
	struct status st;

	*ret_objects = *ret_bytes = 0;
	sql_int(db, SQL_USE_GET, 1, (uint64_t)user);
	st = sql_row(db, SQL_USE_GET);
	if (st.code == E_NOTFOUND)
		return OK;
	TRY(st);
	st = sql_column_u64(db, SQL_USE_GET, 0, ret_objects);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_USE_GET, 1, ret_bytes);
	sql_reset(db, SQL_USE_GET);
	return st;
}

static struct status
use_set(struct db *db, int64_t user, uint64_t objects, uint64_t bytes)
{
	sql_int(db, SQL_USE_SET, 1, (uint64_t)user);
	sql_int(db, SQL_USE_SET, 2, objects);
	sql_int(db, SQL_USE_SET, 3, bytes);
	return sql_run(db, SQL_USE_SET);
}

struct status
use_add(struct content *c, uint32_t objects, uint64_t bytes)
{
	uint64_t had_objects, had_bytes, max = c->db->content.user_bytes_max;

	TRY(room_check(c->db, bytes));
	TRY(use_get(c->db, c->user, &had_objects, &had_bytes));
	if (had_objects + objects > CONTENT_OBJECTS_MAX || had_bytes > max ||
	    bytes > max - had_bytes)
		return fail(E_FULL);
	return use_set(c->db, c->user, had_objects + objects, had_bytes + bytes);
}

static uint64_t
less(uint64_t n, uint64_t by)
{
	return n > by ? n - by : 0;
}

struct status
use_take(struct db *db, int64_t user, uint32_t objects, uint64_t bytes)
{
	uint64_t had_objects, had_bytes;

	TRY(use_get(db, user, &had_objects, &had_bytes));
	return use_set(db, user, less(had_objects, objects), less(had_bytes, bytes));
}

/* A number never comes again, even when its row has gone: values are sealed for it. */
struct status
row_next(struct db *db, const char *table, int64_t *ret)
{
	uint64_t last = 0;
	struct status st;

	sql_text(db, SQL_ROW_LAST, 1, span_str(table));
	st = sql_number(db, SQL_ROW_LAST, &last);
	if (st.code != E_NOTFOUND)
		TRY(st);
	if (last >= INT64_MAX - CONTENT_ITEMS_MAX)
		return fail(E_FULL);
	*ret = (int64_t)last + 1;
	return OK;
}

struct status
content_hash(struct db *db, const char *label, struct span text, uint8_t out[CONTENT_HASH_LEN])
{
	uint8_t whole[DIGEST_LEN];

	TRY(keyring_index(db, label, text, whole));
	memcpy(out, whole, CONTENT_HASH_LEN);
	return OK;
}

struct status
content_keep(struct content *c, struct span *s)
{
	struct span copy;
	struct status st = arena_copy(c->arena, *s, &copy);

	if (!is_ok(st))
		return fail(E_RANGE); /* more than an answer can hold */
	*s = copy;
	return OK;
}
