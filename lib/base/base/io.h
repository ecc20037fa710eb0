/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_IO_H
#define BASE_IO_H

/*
 * Whole reads and writes for start-up and for the processes that may block.
 */
#include <fcntl.h>

#include <base/span.h>

/* All of `s`, across EINTR and short writes. */
MUST_USE struct status io_write_all(int fd, struct span s);
/* Everything up to end of file into `out` (its max is the limit: E_FULL). */
MUST_USE struct status io_read_all(int fd, struct buf *out);
/* Open below dirfd without following links, read whole. E_SYS, E_FULL. */
MUST_USE struct status io_read_file(int dirfd, const char *path, struct buf *out);
/*
 * Replace dirfd/name atomically: temporary file, fsync, rename, fsync of the
 * directory. `mode` is the file's.
 */
MUST_USE struct status io_replace_file(int dirfd, const char *name, struct span s, unsigned mode);
/*
 * What is not linked any more is overwritten, as far as its file system does that in place. `fd`
 * is open for writing.
 */
void io_wipe_unlinked(int fd);

#endif
