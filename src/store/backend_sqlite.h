/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_BACKEND_SQLITE_H
#define STORE_BACKEND_SQLITE_H

/* What only the backend itself, and tests that change a database behind its back, may see. */
#include <sqlite3.h>

#include "backend.h"

#define DB_VFS "sallyport"

/* Borrowed. */
sqlite3 *backend_sqlite(struct backend *b);
sqlite3_stmt *backend_sqlite_stmt(struct backend_stmt *s);

/* vfs.c: files by their plain name in the current directory. */
MUST_USE struct status vfs_register(void);

#endif
