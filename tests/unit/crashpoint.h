/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASHPOINT_H
#define TESTS_CRASHPOINT_H

/*
 * Stop this process at the n-th call that changes a file. Including this header
 * replaces write, pwrite, fdatasync, fsync, ftruncate, rename, renameat, unlink
 * and unlinkat of the whole program, its libraries included (one .c file only).
 *
 * CRASH_AFTER  the call is done, then SIGKILL
 * CRASH_BEFORE SIGKILL, then the call
 * CRASH_HALF   half of a write, then SIGKILL (other calls: as BEFORE)
 * CRASH_LOSE   SIGKILL before the call, and what was written since the file's
 *              last fsync reads as NULs: the pages that a power loss takes
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum crash_mode { CRASH_BEFORE, CRASH_AFTER, CRASH_HALF, CRASH_LOSE, CRASH_MODES };

#define CRASH_UNSYNCED_MAX 512

/*
 * From one call to the next that is tried. A sanitizer makes each cost ten times as much, and finds
 * what is wrong with memory, which is the same at most of them: there it is an even sample, of
 * other calls in each mode; what is wrong with files is found at all of them, without one.
 */
#ifdef __SANITIZE_ADDRESS__
#define CRASH_STEP(n) (5 * (n))
#define CRASH_FIRST(n, mode) (1 + (unsigned)(mode) * (n))
#else
#define CRASH_STEP(n) (n)
#define CRASH_FIRST(n, mode) 1U
#endif

static struct {
	unsigned calls; /* seen so far */
	unsigned at;    /* 0: never */
	enum crash_mode mode;
	/* instead of dying: fail calls of one kind, for errors of the disk */
	int fail_errno;
	long fail_call; /* SYS_… */
	size_t nunsynced;
	struct {
		int fd;
		ino_t ino;
		off_t off;
		size_t len;
	} unsynced[CRASH_UNSYNCED_MAX];
} crash;

static void
crash_die(void)
{
	if (crash.mode == CRASH_LOSE) {
		for (size_t i = 0; i < crash.nunsynced; i++) {
			for (size_t j = 0; j < crash.unsynced[i].len; j++)
				(void)syscall(SYS_pwrite64, crash.unsynced[i].fd, "", 1,
				    crash.unsynced[i].off + (off_t)j);
		}
	}
	(void)kill(getpid(), SIGKILL);
}

static bool
crash_due(void)
{
	crash.calls++;
	return crash.at != 0 && crash.calls == crash.at;
}

static void
crash_wrote(int fd, off_t off, ssize_t len)
{
	struct stat sb;

	if (crash.at == 0 || crash.mode != CRASH_LOSE || len <= 0 || fstat(fd, &sb) < 0 ||
	    !S_ISREG(sb.st_mode))
		return;
	if (crash.nunsynced == CRASH_UNSYNCED_MAX)
		abort();
	crash.unsynced[crash.nunsynced].fd = fcntl(fd, F_DUPFD_CLOEXEC, 300);
	crash.unsynced[crash.nunsynced].ino = sb.st_ino;
	crash.unsynced[crash.nunsynced].off = off;
	crash.unsynced[crash.nunsynced++].len = (size_t)len;
}

static void
crash_synced(int fd)
{
	struct stat sb;
	size_t kept = 0;

	if (fstat(fd, &sb) < 0)
		return;
	for (size_t i = 0; i < crash.nunsynced; i++) {
		if (crash.unsynced[i].ino == sb.st_ino)
			(void)close(crash.unsynced[i].fd);
		else
			crash.unsynced[kept++] = crash.unsynced[i];
	}
	crash.nunsynced = kept;
}

/* One call: returns what the kernel says, or dies. */
static long
crash_call(long nr, long a, long b, long c, long d)
{
	bool due = crash_due();
	long rc;

	if (crash.fail_errno != 0 && crash.fail_call == nr) {
		errno = crash.fail_errno;
		return -1;
	}
	if (due && crash.mode != CRASH_AFTER) {
		if (crash.mode == CRASH_HALF && (nr == SYS_write || nr == SYS_pwrite64))
			(void)syscall(nr, a, b, c / 2, d);
		crash_die();
	}
	rc = syscall(nr, a, b, c, d);
	if (due)
		crash_die();
	return rc;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	off_t off = lseek(fd, 0, SEEK_CUR);
	ssize_t rc;

	if (off < 0) /* a pipe or a socket: no state on disk */
		return syscall(SYS_write, fd, p, n);
	rc = crash_call(SYS_write, fd, (long)p, (long)n, 0);
	crash_wrote(fd, off, rc);
	return rc;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t off)
{
	ssize_t rc = crash_call(SYS_pwrite64, fd, (long)p, (long)n, off);

	crash_wrote(fd, off, rc);
	return rc;
}

int
fdatasync(int fd)
{
	int rc = (int)crash_call(SYS_fdatasync, fd, 0, 0, 0);

	if (rc == 0)
		crash_synced(fd);
	return rc;
}

int
fsync(int fd)
{
	int rc = (int)crash_call(SYS_fsync, fd, 0, 0, 0);

	if (rc == 0)
		crash_synced(fd);
	return rc;
}

int
ftruncate(int fd, off_t len)
{
	return (int)crash_call(SYS_ftruncate, fd, len, 0, 0);
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	return (int)crash_call(SYS_fallocate, fd, mode, off, len);
}

int
rename(const char *from, const char *to)
{
	return (int)crash_call(SYS_rename, (long)from, (long)to, 0, 0);
}

int
renameat(int fromfd, const char *from, int tofd, const char *to)
{
	return (int)crash_call(SYS_renameat, fromfd, (long)from, tofd, (long)to);
}

int
unlink(const char *path)
{
	return (int)crash_call(SYS_unlink, (long)path, 0, 0, 0);
}

int
unlinkat(int fd, const char *path, int flags)
{
	return (int)crash_call(SYS_unlinkat, fd, (long)path, flags, 0);
}

#endif
