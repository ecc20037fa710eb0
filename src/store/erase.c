/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erase.c: nothing of a person can be read any more.
 *
 * Runs in: store, jailed. Trusts: the authority that it may be done. Owns: nothing.
 * Invariants: what is not under the user's data keys (tools' parts, counts) is gone before
 * they are; a store that dies in between does the rest when it is asked again.
 * See: privacy.h, keyring.h.
 */
#include "privacy.h"
#include "tool.h"

#define ROWS_MAX 1024 /* deleted in one transaction */

static struct status
look(struct db *db, int64_t user, uint64_t *ret_rows)
{
	uint64_t state = 0, hold = 0;
	struct status st;

	sql_int(db, SQL_CONTENT_USER, 1, (uint64_t)user);
	TRY(sql_row(db, SQL_CONTENT_USER));
	st = sql_column_u64(db, SQL_CONTENT_USER, 0, &state);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_CONTENT_USER, 1, &hold);
	sql_reset(db, SQL_CONTENT_USER);
	TRY(st);
	if (state == USER_ERASED)
		return fail(E_NOTFOUND);
	if (hold != 0)
		return fail(E_DENIED);
	sql_int(db, SQL_ROWS_OF_USER, 1, (uint64_t)user);
	return sql_number(db, SQL_ROWS_OF_USER, ret_rows);
}

/* Their parts lie under a key of the store; nothing has to open for it. */
static struct status
tools_erase(struct db *db, int64_t user)
{
	for (;;) {
		uint64_t id = 0;
		struct status st;

		sql_int(db, SQL_TOOL_OF_USER, 1, (uint64_t)user);
		sql_int(db, SQL_TOOL_OF_USER, 2, 0);
		st = sql_row(db, SQL_TOOL_OF_USER);
		if (st.code == E_NOTFOUND)
			return OK;
		TRY(st);
		st = sql_column_u64(db, SQL_TOOL_OF_USER, 0, &id);
		sql_reset(db, SQL_TOOL_OF_USER);
		TRY(st);
		TRY(tool_erase(db, id));
	}
}

/* Counts, and then the sessions and keys that they are of; of counts a bounded number in one
 * transaction. */
static struct status
counts_erase(struct db *db, int64_t user, bool *ret_more)
{
	static const enum statement last[] = { SQL_SESSIONS_OF_USER_REMOVE, SQL_KEYS_REMOVE };

	sql_int(db, SQL_USAGE_REMOVE, 1, (uint64_t)user);
	sql_int(db, SQL_USAGE_REMOVE, 2, ROWS_MAX);
	TRY(sql_run(db, SQL_USAGE_REMOVE));
	*ret_more = backend_changed(db->back) == ROWS_MAX;
	if (*ret_more)
		return OK;
	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		sql_int(db, last[i], 1, (uint64_t)user);
		TRY(sql_run(db, last[i]));
	}
	return OK;
}

struct status
db_user_erase(struct db *db, struct span tenant, struct span user, uint64_t *ret_rows)
{
	bool more = true;
	int64_t id = 0;

	TRY(user_find(db, tenant, user, &id));
	TRY(look(db, id, ret_rows));
	TRY(tools_erase(db, id));
	sql_reset_all(db);
	while (more) {
		TRY(db_begin(db));
		sums_less(db);
		TRY(db_end(db, counts_erase(db, id, &more)));
	}
	db->content.erased = 0; /* its rows are the first that the next sweep takes */
	return keyring_user_destroy(db, id);
}
