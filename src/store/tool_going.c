/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_going.c: versions of tools that are no more, and whose bytes go in steps.
 *
 * Runs in: store, jailed. Trusts: nothing that it reads; nothing has to open. Owns: nothing.
 * Invariants: what is hidden is in no tool's marks, has a negative number and never comes back; no
 * call takes more than it was told to, and a chunk; what is gone counts for its user no more.
 * See: tool.h, sweep.c, erase.c.
 */
#include "tool.h"

struct status
version_hide(struct db *db, uint64_t id)
{
	sql_int(db, SQL_VERSION_HIDE, 1, id);
	return sql_run(db, SQL_VERSION_HIDE);
}

static struct status
chunk_first(struct db *db, uint64_t version, uint64_t *ret_row, uint64_t *ret_len)
{
	struct status st;

	sql_int(db, SQL_CHUNK_FIRST, 1, version);
	TRY(sql_row(db, SQL_CHUNK_FIRST));
	st = sql_column_u64(db, SQL_CHUNK_FIRST, 0, ret_row);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_CHUNK_FIRST, 1, ret_len);
	sql_reset(db, SQL_CHUNK_FIRST);
	return st;
}

struct status
version_leave(struct db *db, uint64_t id, uint64_t max, uint64_t *ret_bytes, bool *ret_more)
{
	uint64_t row = 0, len = 0;
	struct status st = OK;

	*ret_bytes = 0;
	while (*ret_bytes < max && is_ok(st = chunk_first(db, id, &row, &len))) {
		sql_int(db, SQL_CHUNK_REMOVE, 1, row);
		TRY(sql_run(db, SQL_CHUNK_REMOVE));
		*ret_bytes += len;
	}
	*ret_more = st.code != E_NOTFOUND;
	if (!*ret_more) {
		sql_int(db, SQL_VERSION_REMOVE, 1, id);
		return sql_run(db, SQL_VERSION_REMOVE);
	}
	TRY(st);
	sql_int(db, SQL_VERSION_SHRINK, 1, id);
	sql_int(db, SQL_VERSION_SHRINK, 2, *ret_bytes);
	return sql_run(db, SQL_VERSION_SHRINK);
}

struct status
version_hidden_next(struct db *db, uint64_t *id, bool *ret_held)
{
	uint64_t hold = 0;
	struct status st;

	sql_int(db, SQL_SWEEP_VERSION, 1, *id);
	TRY(sql_row(db, SQL_SWEEP_VERSION));
	st = sql_column_u64(db, SQL_SWEEP_VERSION, 0, id);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_SWEEP_VERSION, 1, &hold);
	sql_reset(db, SQL_SWEEP_VERSION);
	*ret_held = hold != 0;
	return st;
}
