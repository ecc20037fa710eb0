/* SPDX-License-Identifier: Apache-2.0 */
/*
 * room.c: is there room on the disk for more of what is kept?
 *
 * Runs in: store, jailed, in its directory. Trusts: the kernel's count. Owns: nothing.
 * Invariants: what users put stops before the disk is full, so that what takes away (a deletion,
 * an erasure, a rotation) has room for its pages in the log.
 * See: content_use.c, tool.c, which ask; store.c, which tells the authority.
 */
#include "internal.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* What the database has of its own: pages of what was deleted. */
static uint64_t
free_bytes(struct db *db)
{
	int64_t pages = 0, size = 0;

	if (!is_ok(backend_number(db->back, "PRAGMA freelist_count", &pages)) ||
	    !is_ok(backend_number(db->back, "PRAGMA page_size", &size)) || pages < 0 || size < 0)
		return 0;
	return (uint64_t)pages * (uint64_t)size;
}

/* The log begins anew within its file. */
static uint64_t
log_bytes(void)
{
	struct stat st;

	return stat(DB_FILE "-wal", &st) == 0 ? (uint64_t)st.st_size : 0;
}

struct status
room_check(struct db *db, uint64_t bytes)
{
	uint64_t left, reserve = db->content.reserve;
	struct statvfs fs;

	if (reserve == 0 || statvfs(".", &fs) != 0)
		return OK; /* who writes learns it */
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (left >= reserve + 2 * bytes) /* once in the log, once in its place */
		return OK;
	left += log_bytes();
	/* What fits where something was deleted may use the half: others fill the disk, too. */
	if (left >= reserve / 2 + bytes && left + free_bytes(db) >= reserve + 2 * bytes)
		return OK;
	errno = ENOSPC;
	return fail_errno();
}
