/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erase.c: nothing of a person can be read any more.
 *
 * Runs in: store, jailed. Trusts: the authority that it may be done. Owns: nothing.
 * Invariants: what is not under the user's data keys (tools' parts, counts) is gone before
 * they are; no step is of more than SWEEP_BYTES_MAX or ROWS_MAX; a store that dies in between does
 * the rest when it is asked again.
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
	if (ret_rows == NULL)
		return OK;
	sql_int(db, SQL_ROWS_OF_USER, 1, (uint64_t)user);
	return sql_number(db, SQL_ROWS_OF_USER, ret_rows);
}

/*
 * Their parts lie under a key of the store: they go chunk by chunk, and nobody sees them meanwhile;
 * then the rows of the tools.
 */
static struct status
tools_step(struct db *db, int64_t user, bool *ret_more)
{
	TRY(versions_hide_of_user(db, user));
	TRY(versions_leave_of_user(db, user, SWEEP_BYTES_MAX, ret_more));
	return *ret_more ? OK : tools_erase(db, user);
}

/* Counts, and then the sessions and keys that they are of; of counts a bounded number in one
 * transaction. */
static struct status
counts_remove(struct db *db, int64_t user, bool *ret_more)
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

static struct status
counts_step(struct db *db, int64_t user, bool *ret_more)
{
	TRY(db_begin(db));
	sums_less(db);
	return db_end(db, counts_remove(db, user, ret_more));
}

struct status
db_user_erase(
    struct db *db, struct span tenant, struct span user, uint64_t *ret_rows, bool *ret_more)
{
	int64_t id = 0;

	*ret_more = false;
	TRY(user_find(db, tenant, user, &id));
	TRY(look(db, id, ret_rows));
	TRY(tools_step(db, id, ret_more));
	sql_reset_all(db);
	if (!*ret_more)
		TRY(counts_step(db, id, ret_more));
	if (*ret_more)
		return OK;
	db->content.erased = 0; /* its rows are the first that the next sweep takes */
	return keyring_user_destroy(db, id);
}
