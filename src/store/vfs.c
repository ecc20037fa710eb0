/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfs.c: SQLite's Unix files, reached by plain names in the current directory.
 *
 * Runs in: store. Trusts: SQLite's default VFS for everything but names.
 * Owns: one registered VFS. Invariants: no absolute path is ever made: the
 * folders above may be closed to our uid; randomness is the kernel's.
 * See: https://www.sqlite.org/vfs.html.
 */
#include "backend_sqlite.h"

#include <string.h>

#include <base/rand.h>

static int
full_pathname(sqlite3_vfs *vfs, const char *name, int out_len, char *out)
{
	size_t len = strlen(name);

	(void)vfs;
	if (len >= (size_t)out_len || strchr(name, '/') != NULL)
		return SQLITE_CANTOPEN;
	memcpy(out, name, len + 1);
	return SQLITE_OK;
}

static int
randomness(sqlite3_vfs *vfs, int len, char *out)
{
	(void)vfs;
	if (len <= 0 || !is_ok(rand_bytes(out, (size_t)len)))
		return 0;
	return len;
}

struct status
vfs_register(void)
{
	static sqlite3_vfs vfs;
	const sqlite3_vfs *unix_vfs;

	if (vfs.zName != NULL)
		return OK;
	unix_vfs = sqlite3_vfs_find("unix");
	if (unix_vfs == NULL)
		return fail(E_UNSUPPORTED);
	/* Where temporary files lie: see backend_compact(). */
	sqlite3_temp_directory = sqlite3_mprintf(".");
	if (sqlite3_temp_directory == NULL)
		return fail(E_NOMEM);
	vfs = *unix_vfs;
	vfs.zName = DB_VFS;
	vfs.pNext = NULL;
	vfs.xFullPathname = full_pathname;
	vfs.xRandomness = randomness;
	return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK ? OK : fail(E_UNSUPPORTED);
}
