/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MEMFD_H
#define BASE_MEMFD_H

/*
 * Memory files that go from process to process: whoever takes one checks that it is
 * sealed, so that nobody changes or cuts it any more, and how long it is, before a
 * byte is read.
 */
#include <base/span.h>

/* Empty, close-on-exec, never executable where the kernel knows that. E_SYS. */
MUST_USE struct status memfd_new(const char *name, int *ret_fd);
/* No byte and no length changes from now on. E_SYS. */
MUST_USE struct status memfd_seal(int fd);
/* The three at once. */
MUST_USE struct status memfd_of(const char *name, struct span bytes, int *ret_fd);
/* E_PROTO: no sealed memory file; E_RANGE: longer than `max`. */
MUST_USE struct status memfd_check(int fd, size_t max, size_t *ret_len);
/* `len` bytes from `at` on, wherever the file's own position is. E_SYS; E_RANGE: it ends before. */
MUST_USE struct status memfd_read(int fd, size_t at, uint8_t *out, size_t len);

#endif
