/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memfd.c: sealed memory files.
 *
 * Runs in: store, authority, executor. Trusts: nothing about a file that came from
 * elsewhere. Owns: nothing.
 * Invariants: a file that was checked can neither shrink nor change under its reader.
 * See: base/memfd.h, memfd_create(2), F_ADD_SEALS of fcntl(2).
 */
#include <base/memfd.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

struct status
memfd_new(const char *name, int *ret_fd)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* a kernel before 6.3 */
		fd = memfd_create(name, flags);
	if (fd < 0)
		return fail_errno();
	*ret_fd = fd;
	return OK;
}

struct status
memfd_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL) < 0 ? fail_errno() : OK;
}

struct status
memfd_of(const char *name, struct span bytes, int *ret_fd)
{
	auto_fd int fd = -1;

	TRY(memfd_new(name, &fd));
	if (bytes.len > 0)
		TRY(io_write_all(fd, bytes));
	TRY(memfd_seal(fd));
	*ret_fd = fd_take(&fd);
	return OK;
}

struct status
memfd_check(int fd, size_t max, size_t *ret_len)
{
	struct stat sb;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return fail(E_PROTO);
	/* The call itself: fstat() may be newfstatat(2), which takes names as well. */
	if (syscall(SYS_fstat, fd, &sb) < 0)
		return fail_errno();
	if (!S_ISREG(sb.st_mode) || sb.st_size < 0)
		return fail(E_PROTO);
	if ((uint64_t)sb.st_size > max)
		return fail(E_RANGE);
	*ret_len = (size_t)sb.st_size;
	return OK;
}

struct status
memfd_read(int fd, size_t at, uint8_t *out, size_t len)
{
	for (size_t got = 0; got < len;) {
		ssize_t n = pread(fd, out + got, len - got, (off_t)(at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		if (n == 0)
			return fail(E_RANGE);
		got += (size_t)n;
	}
	return OK;
}
