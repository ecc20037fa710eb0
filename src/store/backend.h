/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

/*
 * What the store asks of a database: a connection, statements, transactions, and the
 * bytes of its file. backend_sqlite.c is the one there is; nothing else knows SQLite.
 * Texts are in the backend's dialect of SQL and constant: statement.c, schema.c,
 * migrate.c and keyring_columns.c have them, in tables. Values are only ever bound.
 * Errors of all: E_SYS (err 0: the backend's; ENOSPC, EROFS, EIO, EBUSY), E_CORRUPT,
 * E_NOMEM, E_EXISTS (a constraint).
 */
#include <base/span.h>
#include <base/status.h>

struct backend;
struct backend_stmt;

/*
 * For a start that takes long: told now and then how many bytes of files were read and written
 * since. NULL: no more.
 */
void backend_watch(void (*moved)(uint64_t bytes));
/* Opened or created, in the current directory. Owner: backend_close(), statements before. */
MUST_USE struct status backend_open(const char *file, struct backend **ret);
void backend_close(struct backend *b); /* NULL is allowed */

/* Statements without values or rows, one after the other. */
MUST_USE struct status backend_exec(struct backend *b, const char *text);
/* The first number of the first row. E_CORRUPT: there is none. */
MUST_USE struct status backend_number(struct backend *b, const char *text, int64_t *ret);
MUST_USE struct status backend_is_empty(struct backend *b, bool *ret); /* no tables */

bool backend_in_transaction(const struct backend *b);
/* Rows that the last statement changed, and all of this connection. */
uint64_t backend_changed(const struct backend *b);
uint64_t backend_changed_in_all(const struct backend *b);
int64_t backend_last_id(const struct backend *b); /* of the last row that was added */

/* All that was committed is in the file, and nothing that was deleted is anywhere. */
MUST_USE struct status backend_settle(struct backend *b);
/* The file is written anew, without what was deleted. Needs its size on disk, and little memory. */
MUST_USE struct status backend_compact(struct backend *b);
/*
 * For a copy of the file, after backend_settle(): from freeze to thaw it stays as it is,
 * whatever is committed; backend_settle() would change it.
 */
MUST_USE struct status backend_freeze(struct backend *b, uint64_t *ret_len);
MUST_USE struct status backend_file_read(struct backend *b, uint64_t at, uint8_t *out, size_t len);
void backend_thaw(struct backend *b);

/*
 * Rows, for who keeps a sum over them: `fn` is told of each row_seen(table, gone, row, cells…) that
 * a statement evaluates, and `triggers`, which are this connection's and nobody finds in the file,
 * evaluate it for each row that is added, changed (what it was is gone) or removed. A cell is two
 * parts: its type with its length or number, its bytes. Parts are borrowed. An error of `fn` is
 * the statement's: E_NOMEM, or else E_CORRUPT.
 */
#define BACKEND_CELLS_MAX 12
struct backend_row {
	uint64_t table;
	bool gone;
	int64_t row; /* its number there */
	const struct span *parts;
	size_t nparts;
};
typedef struct status backend_row_fn(void *ctx, const struct backend_row *row);
MUST_USE struct status backend_watch_rows(struct backend *b, backend_row_fn *fn, void *ctx);

/* `text` is borrowed. E_CORRUPT: the tables are not those that it needs. Owner: finalize. */
MUST_USE struct status backend_prepare(
    struct backend *b, const char *text, struct backend_stmt **ret);
void backend_finalize(struct backend_stmt *s); /* NULL is allowed */
/* Borrowed until the reset. A bind that fails leaves NULL, which the tables refuse. */
void backend_bind_text(struct backend_stmt *s, int at, struct span text);
void backend_bind_blob(struct backend_stmt *s, int at, struct span blob);
void backend_bind_int(struct backend_stmt *s, int at, int64_t v);
/* The next row: OK, or E_NOTFOUND. */
MUST_USE struct status backend_step(struct backend_stmt *s);
void backend_reset(struct backend_stmt *s); /* its bindings are gone, too */
/* Of the row: valid until the next step or reset. */
bool backend_column_is_int(struct backend_stmt *s, int at);
int64_t backend_column_int(struct backend_stmt *s, int at);
struct span backend_column(struct backend_stmt *s, int at);

#endif
