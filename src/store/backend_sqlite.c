/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend_sqlite.c: the database in SQLite.
 *
 * Runs in: store, jailed; blocks on its disk, which is its job.
 * Trusts: SQLite; not the file: cells are checked, its schema runs nothing (what it may bring of
 * triggers and views is off; those that run are ours, and temporary).
 * Owns: the connection. Invariants: a commit is durable when it returns (WAL, synchronous
 * FULL); deleted bytes are overwritten; the file changes only at a checkpoint.
 * See: backend.h; https://www.sqlite.org/wal.html.
 */
#include "backend_sqlite.h"

#include <errno.h>
#include <stdlib.h>

#define CHECKPOINT_PAGES 1000 /* SQLite's own default */

struct backend {
	sqlite3 *sql;
	backend_row_fn *row_fn;
	void *row_ctx;
};

struct backend_stmt {
	sqlite3_stmt *st;
};

static const char pragmas[] =
    "PRAGMA locking_mode=EXCLUSIVE;" /* so that WAL needs no shared memory */
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA mmap_size=0;"
    "PRAGMA trusted_schema=OFF;"
    "PRAGMA cell_size_check=ON;"
    "PRAGMA foreign_keys=ON;"
    "PRAGMA recursive_triggers=ON;" /* rows that REPLACE removes are told of, too */
    "PRAGMA secure_delete=ON;"
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=FULL;";

static const struct {
	int rc;
	enum code code;
	int err;
} codes[] = {
	{ SQLITE_NOMEM, E_NOMEM, 0 },
	{ SQLITE_CORRUPT, E_CORRUPT, 0 },
	{ SQLITE_NOTADB, E_CORRUPT, 0 },
	{ SQLITE_FULL, E_SYS, ENOSPC },
	{ SQLITE_READONLY, E_SYS, EROFS },
	{ SQLITE_IOERR, E_SYS, EIO },
	{ SQLITE_CANTOPEN, E_SYS, EACCES },
	{ SQLITE_PERM, E_SYS, EACCES },
	{ SQLITE_BUSY, E_SYS, EBUSY },
	{ SQLITE_TOOBIG, E_RANGE, 0 },
	{ SQLITE_CONSTRAINT, E_EXISTS, 0 },
};

/* Of a schema that somebody else wrote nothing runs; triggers of our own are temporary. */
static const struct {
	int option, on;
} switches[] = {
	{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
	{ SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
	{ SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
};

/* What SQLite says, as a status. */
static struct status
status_of(int rc)
{
	int primary = rc & 0xff;

	if (primary == SQLITE_OK)
		return OK;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].rc == primary)
			return (struct status){ (uint16_t)codes[i].code, codes[i].err };
	}
	return (struct status){ E_SYS, EIO };
}

/* ---- the connection ---- */

static struct status
connect(struct backend *b, const char *file)
{
	int rc;

	TRY(vfs_register());
	rc = sqlite3_open_v2(file, &b->sql,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
		SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_NOFOLLOW,
	    DB_VFS);
	TRY(status_of(rc));
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++)
		(void)sqlite3_db_config(b->sql, switches[i].option, switches[i].on, NULL);
	return backend_exec(b, pragmas);
}

struct status
backend_open(const char *file, struct backend **ret)
{
	struct backend *b = calloc(1, sizeof(*b));
	struct status st;

	if (b == NULL)
		return fail(E_NOMEM);
	st = connect(b, file);
	if (!is_ok(st)) {
		backend_close(b);
		return st;
	}
	*ret = b;
	return OK;
}

void
backend_close(struct backend *b)
{
	if (b == NULL)
		return;
	(void)sqlite3_close(b->sql);
	free(b);
}

sqlite3 *
backend_sqlite(struct backend *b)
{
	return b->sql;
}

struct status
backend_exec(struct backend *b, const char *text)
{
	return status_of(sqlite3_exec(b->sql, text, NULL, NULL, NULL));
}

/*
 * The copy that VACUUM makes on the way lies in a file without a name, beside the database; what
 * is in it is what the database has: sealed.
 */
struct status
backend_compact(struct backend *b)
{
	struct status st = backend_exec(b, "PRAGMA temp_store=FILE; VACUUM;");

	TRY(backend_exec(b, "PRAGMA temp_store=MEMORY;"));
	return st;
}

struct status
backend_number(struct backend *b, const char *text, int64_t *ret)
{
	struct backend_stmt *s = NULL;
	struct status st;

	TRY(backend_prepare(b, text, &s));
	st = backend_step(s);
	if (is_ok(st))
		*ret = backend_column_int(s, 0);
	backend_finalize(s);
	return st.code == E_NOTFOUND ? fail(E_CORRUPT) : st;
}

struct status
backend_is_empty(struct backend *b, bool *ret)
{
	int64_t n = 0;

	TRY(backend_number(b, "SELECT count(*) FROM sqlite_schema", &n));
	*ret = n == 0;
	return OK;
}

bool
backend_in_transaction(const struct backend *b)
{
	return sqlite3_get_autocommit(b->sql) == 0;
}

uint64_t
backend_changed(const struct backend *b)
{
	return (uint64_t)sqlite3_changes64(b->sql);
}

uint64_t
backend_changed_in_all(const struct backend *b)
{
	return (uint64_t)sqlite3_total_changes64(b->sql);
}

int64_t
backend_last_id(const struct backend *b)
{
	return sqlite3_last_insert_rowid(b->sql);
}

/* ---- rows, for who keeps a sum ---- */

#define CELL_HEAD_LEN 9

static void
cell(sqlite3_value *v, uint8_t head[CELL_HEAD_LEN], struct span parts[2])
{
	int type = sqlite3_value_type(v);
	const void *bytes = type == SQLITE_INTEGER ? NULL : sqlite3_value_blob(v);
	uint64_t n = type == SQLITE_INTEGER ? (uint64_t)sqlite3_value_int64(v)
					    : (uint64_t)sqlite3_value_bytes(v);

	head[0] = (uint8_t)type;
	for (size_t i = 0; i < 8; i++)
		head[1 + i] = (uint8_t)(n >> (56 - 8 * i));
	parts[0] = span_of(head, CELL_HEAD_LEN);
	parts[1] = bytes == NULL ? SPAN_EMPTY : span_of(bytes, (size_t)n);
}

#define NOT_CELLS 3 /* arguments */

/* row_seen(table, gone, row, cells…) */
static void
on_row(sqlite3_context *c, int argc, sqlite3_value **argv)
{
	struct backend *b = sqlite3_user_data(c);
	uint8_t heads[BACKEND_CELLS_MAX][CELL_HEAD_LEN];
	struct span parts[2 * BACKEND_CELLS_MAX];
	size_t n = argc < NOT_CELLS ? 0 : (size_t)argc - NOT_CELLS;
	struct status st = fail(E_CORRUPT);

	if (n > 0 && n <= BACKEND_CELLS_MAX) {
		for (size_t i = 0; i < n; i++)
			cell(argv[i + NOT_CELLS], heads[i], &parts[2 * i]);
		st = b->row_fn(
		    b->row_ctx, &(struct backend_row){ (uint64_t)sqlite3_value_int64(argv[0]),
				    sqlite3_value_int64(argv[1]) != 0, sqlite3_value_int64(argv[2]),
				    parts, 2 * n });
	}
	if (!is_ok(st))
		sqlite3_result_error_code(c, st.code == E_NOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT);
}

/* Not `innocuous`: no schema of the file may call it. */
struct status
backend_watch_rows(struct backend *b, backend_row_fn *fn, void *ctx)
{
	b->row_fn = fn;
	b->row_ctx = ctx;
	return status_of(sqlite3_create_function_v2(
	    b->sql, "row_seen", -1, SQLITE_UTF8, b, on_row, NULL, NULL, NULL));
}

/* ---- its file ---- */

struct status
backend_settle(struct backend *b)
{
	return status_of(
	    sqlite3_wal_checkpoint_v2(b->sql, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
}

static struct status
file_of(struct backend *b, sqlite3_file **ret)
{
	int rc = sqlite3_file_control(b->sql, "main", SQLITE_FCNTL_FILE_POINTER, ret);

	return rc == SQLITE_OK && *ret != NULL && (*ret)->pMethods != NULL ? OK : fail(E_SYS);
}

struct status
backend_freeze(struct backend *b, uint64_t *ret_len)
{
	sqlite3_file *file = NULL;
	sqlite3_int64 len = 0;

	(void)sqlite3_wal_autocheckpoint(b->sql, 0);
	TRY(file_of(b, &file));
	if (file->pMethods->xFileSize(file, &len) != SQLITE_OK || len <= 0)
		return fail(E_SYS);
	*ret_len = (uint64_t)len;
	return OK;
}

struct status
backend_file_read(struct backend *b, uint64_t at, uint8_t *out, size_t len)
{
	sqlite3_file *file = NULL;

	TRY(file_of(b, &file));
	if (len > INT32_MAX ||
	    file->pMethods->xRead(file, out, (int)len, (sqlite3_int64)at) != SQLITE_OK)
		return (struct status){ E_SYS, EIO };
	return OK;
}

void
backend_thaw(struct backend *b)
{
	(void)sqlite3_wal_autocheckpoint(b->sql, CHECKPOINT_PAGES);
}

/* ---- statements ---- */

struct status
backend_prepare(struct backend *b, const char *text, struct backend_stmt **ret)
{
	struct backend_stmt *s = calloc(1, sizeof(*s));
	struct status st;
	int rc;

	if (s == NULL)
		return fail(E_NOMEM);
	rc = sqlite3_prepare_v3(b->sql, text, -1, SQLITE_PREPARE_PERSISTENT, &s->st, NULL);
	if (rc == SQLITE_OK) {
		*ret = s;
		return OK;
	}
	free(s);
	st = rc == SQLITE_ERROR ? fail(E_CORRUPT) : status_of(rc);
	return is_ok(st) ? fail(E_SYS) : st;
}

void
backend_finalize(struct backend_stmt *s)
{
	if (s == NULL)
		return;
	(void)sqlite3_finalize(s->st);
	free(s);
}

sqlite3_stmt *
backend_sqlite_stmt(struct backend_stmt *s)
{
	return s->st;
}

void
backend_bind_text(struct backend_stmt *s, int at, struct span text)
{
	if (text.len <= INT32_MAX)
		(void)sqlite3_bind_text(
		    s->st, at, (const char *)text.ptr, (int)text.len, SQLITE_STATIC);
}

void
backend_bind_blob(struct backend_stmt *s, int at, struct span blob)
{
	if (blob.len <= INT32_MAX)
		(void)sqlite3_bind_blob(s->st, at, blob.ptr, (int)blob.len, SQLITE_STATIC);
}

void
backend_bind_int(struct backend_stmt *s, int at, int64_t v)
{
	(void)sqlite3_bind_int64(s->st, at, v);
}

struct status
backend_step(struct backend_stmt *s)
{
	int rc = sqlite3_step(s->st);

	return rc == SQLITE_ROW ? OK : rc == SQLITE_DONE ? fail(E_NOTFOUND) : status_of(rc);
}

void
backend_reset(struct backend_stmt *s)
{
	(void)sqlite3_reset(s->st);
	(void)sqlite3_clear_bindings(s->st);
}

bool
backend_column_is_int(struct backend_stmt *s, int at)
{
	return sqlite3_column_type(s->st, at) == SQLITE_INTEGER;
}

int64_t
backend_column_int(struct backend_stmt *s, int at)
{
	return sqlite3_column_int64(s->st, at);
}

struct span
backend_column(struct backend_stmt *s, int at)
{
	const void *p = sqlite3_column_blob(s->st, at);
	int len = sqlite3_column_bytes(s->st, at);

	return p == NULL || len < 0 ? SPAN_EMPTY : span_of(p, (size_t)len);
}
