/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sum_rows.c: which rows a sum is kept over, and what of them.
 *
 * Runs in: store. Trusts: nothing. Owns: nothing.
 * Invariants: a table's number and the order of its columns are in every sum that is kept: they
 * are added to at the end, or not at all. What is left out may be changed by who writes the file:
 * when a key was used last, and what it has used.
 * See: sum.h.
 */
#include "sum.h"

#define TENANTS(of) of "id, " of "name_hash, " of "key, " of "name"
#define USERS(of)                                                                          \
	of "id, " of "tenant, " of "name_hash, " of "key, " of "version, " of "value, " of \
	   "roles, " of "state, " of "hold"
#define KEYS(of) of "n, " of "id, " of "user, " of "key, " of "version, " of "pepper, " of "value"
#define SESSIONS(of)                                                                              \
	of "n, " of "id, " of "user, " of "parent, " of "key, " of "signer, " of "expires_s, " of \
	   "value"
#define KEYSETS(of) of "what, " of "version, " of "created_s"
#define FILE_SECRETS(of) \
	of "name, " of "version, " of "set_s, " of "value, " of "previous_version, " of "previous"
#define TOOL_SUM(of) of "one, " of "value"

#define ADDED(n, cells, of) "row_seen(" n ", 0, " of "rowid, " cells(of) ")"
#define GONE(n, cells, of) "row_seen(" n ", 1, " of "rowid, " cells(of) ")"
#define ON(table, name, event, does)                                                \
	"CREATE TEMP TRIGGER sum_" table "_" name " AFTER " event " ON main." table \
	" BEGIN SELECT " does "; END;"
#define TRIGGERS(n, table, cells)                                \
	ON(table, "added", "INSERT", ADDED(n, cells, "NEW."))    \
	ON(table, "changed", "UPDATE OF " cells(""),             \
	    GONE(n, cells, "OLD.") ", " ADDED(n, cells, "NEW.")) \
	ON(table, "gone", "DELETE", GONE(n, cells, "OLD."))
#define SUMMED(n, sum, table, cells)                                                   \
	{                                                                              \
		(table), (sum),                                                        \
		    "SELECT " ADDED(n, cells, "") " FROM " table                       \
						  " WHERE rowid >= ?1 ORDER BY rowid", \
		    TRIGGERS(n, table, cells)                                          \
	}

const struct sum_rows sum_rows[] = {
	SUMMED("0", SUM_PEOPLE, "tenants", TENANTS), SUMMED("1", SUM_PEOPLE, "users", USERS),
	SUMMED("2", SUM_PEOPLE, "keys", KEYS), SUMMED("3", SUM_PEOPLE, "sessions", SESSIONS),
	SUMMED("4", SUM_PEOPLE, "keysets", KEYSETS),
	SUMMED("5", SUM_SECRETS, "file_secrets", FILE_SECRETS),
	SUMMED("6", SUM_TOOLS, "tool_sum", TOOL_SUM), /* which has the tools: tool_row.c */
};
const size_t sum_rows_n = sizeof(sum_rows) / sizeof(sum_rows[0]);
