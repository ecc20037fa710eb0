/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.c: whole reads, whole writes, atomic replacement of a file.
 *
 * Runs in: processes that may block, and every process at start.
 * Trusts: nothing: symbolic links are not followed, sizes are capped by the buf.
 * Owns: nothing beyond a call. See: base/io.h.
 */
#include <base/io.h>

#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <base/cleanup.h>

#define IO_CHUNK_LEN 65536
#define IO_NAME_MAX 255

struct status
io_write_all(int fd, struct span s)
{
	while (s.len > 0) {
		ssize_t n = write(fd, s.ptr, s.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		s = span_from(s, (size_t)n);
	}
	return OK;
}

struct status
io_read_all(int fd, struct buf *out)
{
	for (;;) {
		size_t room = out->max - out->len;
		ssize_t n;

		if (room == 0) {
			uint8_t probe;

			n = read(fd, &probe, 1);
			if (n == 0)
				return OK;
			return n < 0 ? fail_errno() : fail(E_FULL);
		}
		if (room > IO_CHUNK_LEN)
			room = IO_CHUNK_LEN;
		TRY(buf_reserve(out, room));
		n = read(fd, out->ptr + out->len, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		if (n == 0)
			return OK;
		out->len += (size_t)n;
	}
}

struct status
io_read_file(int dirfd, const char *path, struct buf *out)
{
	auto_fd int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return fail_errno();
	return io_read_all(fd, out);
}

struct status
io_replace_file(int dirfd, const char *name, struct span s, unsigned mode)
{
	auto_fd int fd = -1;
	char tmp[IO_NAME_MAX + 1];
	int n = snprintf(tmp, sizeof(tmp), "%s.tmp", name);

	if (n < 0 || (size_t)n >= sizeof(tmp))
		return fail(E_RANGE);
	if (unlinkat(dirfd, tmp, 0) < 0 && errno != ENOENT)
		return fail_errno();
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0 || fchmod(fd, mode) < 0)
		return fail_errno();
	TRY(io_write_all(fd, s));
	if (fsync(fd) < 0 || renameat(dirfd, tmp, dirfd, name) < 0 || fsync(dirfd) < 0)
		return fail_errno();
	return OK;
}

void
io_wipe_unlinked(int fd)
{
	static const uint8_t zeros[4096];
	struct stat sb;

	if (fstat(fd, &sb) < 0 || sb.st_nlink != 0)
		return;
	for (off_t at = 0; at < sb.st_size; at += (off_t)sizeof(zeros)) {
		off_t left = sb.st_size - at;

		if (pwrite(fd, zeros,
			(size_t)(left < (off_t)sizeof(zeros) ? left : (off_t)sizeof(zeros)),
			at) < 0)
			return;
	}
	(void)fdatasync(fd);
}
