/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

/*
 * Each acquisition stands on the line that declares its release:
 *	auto_fd int fd = -1;
 *	auto_buf struct buf b = BUF_INIT(4096);
 */
#include <stdlib.h>
#include <unistd.h>

#include <base/span.h>

static inline void
cleanup_fd_(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void
cleanup_free_(void *p)
{
	free(*(void **)p);
}

#define auto_fd __attribute__((cleanup(cleanup_fd_)))
#define auto_free __attribute__((cleanup(cleanup_free_)))
#define auto_buf __attribute__((cleanup(buf_done)))

/* Move a descriptor out of an auto_fd variable. */
static inline int
fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
