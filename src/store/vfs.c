/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfs.c: SQLite's Unix files, reached by plain names in the current directory.
 *
 * Runs in: store. Trusts: SQLite's default VFS for everything but names.
 * Owns: one registered VFS, and a count of bytes. Invariants: no absolute path is ever made: the
 * folders above may be closed to our uid; randomness is the kernel's.
 * See: https://www.sqlite.org/vfs.html.
 */
#include "backend_sqlite.h"

#include <stddef.h>
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

/* ---- how much is read and written, for a start that takes long ---- */
#define WATCH_EVERY (4U << 20) /* bytes */
#define METHODS_MAX 8

/* The Unix methods of one kind of file, and ours in their place. */
struct methods {
	const sqlite3_io_methods *unix_ones;
	sqlite3_io_methods ours;
};

static struct methods all_methods[METHODS_MAX];
static void (*watcher)(uint64_t bytes);
static uint64_t moved, moved_told;
static int (*unix_open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);

void
backend_watch(void (*fn)(uint64_t bytes))
{
	watcher = fn;
	moved = moved_told = 0;
}

static void
moved_more(int len)
{
	if (watcher == NULL || len <= 0)
		return;
	moved += (uint64_t)len;
	if (moved - moved_told < WATCH_EVERY)
		return;
	moved_told = moved;
	watcher(moved);
}

static const sqlite3_io_methods *
unix_of(const sqlite3_file *f)
{
	const char *ours = (const char *)f->pMethods;

	return ((const struct methods *)(const void *)(ours - offsetof(struct methods, ours)))
	    ->unix_ones;
}

static int
watched_read(sqlite3_file *f, void *out, int len, sqlite3_int64 at)
{
	moved_more(len);
	return unix_of(f)->xRead(f, out, len, at);
}

static int
watched_write(sqlite3_file *f, const void *p, int len, sqlite3_int64 at)
{
	moved_more(len);
	return unix_of(f)->xWrite(f, p, len, at);
}

static void
watch_file(sqlite3_file *f)
{
	size_t i = 0;

	while (i < METHODS_MAX && all_methods[i].unix_ones != NULL &&
	       all_methods[i].unix_ones != f->pMethods)
		i++;
	if (i == METHODS_MAX)
		return; /* it is not counted, nothing else */
	if (all_methods[i].unix_ones == NULL) {
		all_methods[i] = (struct methods){ f->pMethods, *f->pMethods };
		all_methods[i].ours.xRead = watched_read;
		all_methods[i].ours.xWrite = watched_write;
	}
	f->pMethods = &all_methods[i].ours;
}

static int
watched_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	int rc = unix_open(vfs, name, f, flags, ret_flags);

	if (rc == SQLITE_OK && f->pMethods != NULL)
		watch_file(f);
	return rc;
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
	unix_open = vfs.xOpen;
	vfs.xOpen = watched_open;
	vfs.xFullPathname = full_pathname;
	vfs.xRandomness = randomness;
	return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK ? OK : fail(E_UNSUPPORTED);
}
