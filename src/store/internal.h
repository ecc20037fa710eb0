/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

/* What the files of the database share. */
#include <sqlite3.h>

#include "db.h"
#include "keyring.h"

#define DB_FILE "store.db"
#define DB_VFS "sallyport"
#define WRAPPED_MAX 256 /* bytes of a sealed secret */

enum statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_TENANT_ADD,
	SQL_POLICY_ADD,
	SQL_USER_FIND,
	SQL_USER_ADD,
	SQL_USER_SET,
	SQL_USER_NEXT,
	SQL_KEY_FIND,
	SQL_KEY_ADD,
	SQL_KEY_REVOKE,
	SQL_KEY_USED,
	SQL_KEY_NEXT,
	SQL_SECRET_FIND,
	SQL_SECRET_ADD,
	SQL_DAYS_TRIM,
	SQL_FILE_FIND,
	SQL_FILE_COUNT,
	SQL_FILE_PUT,
	SQL_FILE_ROTATE,
	SQL_FILE_REMOVE,
	SQL_FILE_NEXT,
	SQL_BATCH_FIND,
	SQL_BATCH_SET,
	SQL_USAGE_ADD,
	SQL_USAGE_TRIM,
	SQL_USAGE_NEXT,
	SQL_TOOL_FIND,
	SQL_TOOL_ADD,
	SQL_TOOL_GET,
	SQL_TOOL_SET,
	SQL_TOOL_NEXT,
	SQL_TOOL_MARKS_NEXT,
	SQL_TOOL_SUM_GET,
	SQL_TOOL_SUM_SET,
	SQL_TOOLS_OF_USER,
	SQL_TOOL_NAMES_OF_USER,
	SQL_TOOL_BYTES_OF_USER,
	SQL_VERSIONS_COUNT,
	SQL_VERSION_ADD,
	SQL_VERSION_GET,
	SQL_VERSION_SET,
	SQL_VERSION_REMOVE,
	SQL_CHUNK_ADD,
	SQL_CHUNK_GET,
	SQL_CHUNKS_REMOVE,
	SQL_COUNT
};

struct tool_shown;
struct hmac_key;

/* Of users' tools: tool.h. */
struct tools_state {
	struct secret key; /* from the KEK */
	struct hmac_key *sum_key;
	uint8_t sum[DIGEST_LEN]; /* over the marks of all */
	bool fit;                /* the sum was that which was kept */
	struct tool_shown *shown;
};

struct db {
	sqlite3 *sql;
	sqlite3_stmt *st[SQL_COUNT];
	const struct secret *kek;
	struct tools_state tools;
};

/* What SQLite says, as a status. */
struct status sql_status(int rc, sqlite3 *sql);

/* statement.c: a statement is bound, stepped and reset by these. */
MUST_USE struct status sql_prepare(struct db *db);
void sql_finish(struct db *db);
void sql_text(struct db *db, enum statement s, int at, struct span text);
void sql_blob(struct db *db, enum statement s, int at, struct span blob);
void sql_int(struct db *db, enum statement s, int at, uint64_t v);
/* Run to the end. */
MUST_USE struct status sql_run(struct db *db, enum statement s);
/* One row: OK, or E_NOTFOUND. sql_reset() afterwards, when its columns have been read. */
MUST_USE struct status sql_row(struct db *db, enum statement s);
void sql_reset(struct db *db, enum statement s);
struct span sql_column(struct db *db, enum statement s, int at);
/* A blob of exactly `len` bytes, or E_CORRUPT. */
MUST_USE struct status sql_column_fixed(
    struct db *db, enum statement s, int at, uint8_t *out, size_t len);
/* A number that is not negative, or E_CORRUPT. */
MUST_USE struct status sql_column_u64(struct db *db, enum statement s, int at, uint64_t *ret);

/* db.c: a transaction; the end of it commits what went well, and takes back what did not. */
MUST_USE struct status db_begin(struct db *db);
MUST_USE struct status db_end(struct db *db, struct status st);

/* schema.c: create the tables, or bring them to our version. E_UNSUPPORTED. */
MUST_USE struct status schema_apply(
    sqlite3 *sql, const struct secret *kek, const struct secret *old_kek);
/* migrate.c. E_CRYPTO: `old_kek` is not the key of these values. */
MUST_USE struct status migrate_rewrap(
    sqlite3 *sql, const struct secret *old_kek, const struct secret *kek);

/* wrap.c: a secret of AS_SECRET_LEN bytes, sealed for its place: table, row, column. */
MUST_USE struct status wrap(
    const struct secret *kek, const struct place *at, const uint8_t *plain, struct buf *out);
MUST_USE struct status unwrap(
    const struct secret *kek, const struct place *at, struct span blob, uint8_t *out);

/* vfs.c: files by their plain name in the current directory. */
MUST_USE struct status vfs_register(void);

#endif
