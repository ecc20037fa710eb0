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

#define LEAVE_MAX 256 /* versions in one transaction */

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

/* ---- of a user who is erased ---- */

/* Of one tool: it is there, and has none. */
static struct status
tool_empty(struct db *db, uint64_t id)
{
	struct tool_row t;
	struct status st = tool_row_get(db, id, &t);

	if (st.code == E_CORRUPT)
		return OK; /* nobody is given anything of it */
	TRY(st);
	sql_int(db, SQL_VERSIONS_HIDE, 1, id);
	TRY(sql_run(db, SQL_VERSIONS_HIDE));
	t.n = 0;
	t.current = t.allowed = 0;
	return tool_row_put(db, &t);
}

static struct status
live_next(struct db *db, int64_t user, uint64_t *id)
{
	sql_int(db, SQL_TOOL_LIVE_OF_USER, 1, (uint64_t)user);
	sql_int(db, SQL_TOOL_LIVE_OF_USER, 2, *id);
	return sql_number(db, SQL_TOOL_LIVE_OF_USER, id);
}

static struct status
tools_empty(struct db *db, void *ctx)
{
	const int64_t *user = ctx;
	uint64_t id = 0;
	struct status st;

	while (is_ok(st = live_next(db, *user, &id)))
		TRY(tool_empty(db, id));
	return st.code == E_NOTFOUND ? OK : st;
}

struct status
versions_hide_of_user(struct db *db, int64_t user)
{
	uint64_t id = 0;
	struct status st = db->tools.fit ? live_next(db, user, &id) : fail(E_NOTFOUND);

	if (st.code == E_NOTFOUND)
		return OK; /* where the sum does not fit there are none for anybody */
	TRY(st);
	return tools_change(db, tools_empty, &user);
}

static struct status
leave_of_user(struct db *db, int64_t user, uint64_t max, bool *ret_more)
{
	uint64_t all = 0;

	*ret_more = true;
	for (unsigned n = 0; n < LEAVE_MAX && all < max; n++) {
		uint64_t id = 0, bytes = 0;
		struct status st;

		sql_int(db, SQL_VERSION_LEFT_OF_USER, 1, (uint64_t)user);
		st = sql_number(db, SQL_VERSION_LEFT_OF_USER, &id);
		*ret_more = st.code != E_NOTFOUND;
		if (!*ret_more)
			return OK;
		TRY(st);
		TRY(version_leave(db, id, max - all, &bytes, ret_more));
		all += bytes;
	}
	*ret_more = true; /* there may be */
	return OK;
}

struct status
versions_leave_of_user(struct db *db, int64_t user, uint64_t max, bool *ret_more)
{
	TRY(db_begin(db));
	return db_end(db, leave_of_user(db, user, max, ret_more));
}

/* ---- for sweeps ---- */

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
