/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c: the files that a configuration names, as descriptors.
 *
 * Runs in: every process that is given some. Trusts: the supervisor, which opened them.
 * Owns: the descriptors. Invariants: names are distinct; a table of fixed size.
 * See: daemon/daemon.h; wire/control.h (FILE).
 */
#include "internal.h"

#include <unistd.h>

int
files_find(const struct files *f, struct span name)
{
	for (size_t i = 0; i < f->count; i++) {
		if (span_eq_str(name, f->rows[i].name))
			return f->rows[i].fd;
	}
	return -1;
}

struct status
files_add(struct files *f, struct span name, int fd)
{
	struct file_row *row = &f->rows[f->count];

	if (f->count == DAEMON_FILES_MAX)
		return fail(E_FULL);
	if (files_find(f, name) >= 0)
		return fail(E_EXISTS);
	TRY(span_to_cstr(name, row->name, sizeof(row->name)));
	row->fd = fd;
	f->count++;
	return OK;
}

void
files_replace(struct files *f, struct files *by)
{
	for (size_t i = 0; i < f->count; i++)
		(void)close(f->rows[i].fd);
	*f = *by;
	by->count = 0;
}

void
files_merge(struct files *f, struct files *by)
{
	for (size_t i = 0; i < by->count; i++) {
		struct span name = span_str(by->rows[i].name);
		int fd = by->rows[i].fd;
		size_t at = 0;

		while (at < f->count && !span_eq_str(name, f->rows[at].name))
			at++;
		if (at < f->count) {
			(void)close(f->rows[at].fd);
			f->rows[at].fd = fd;
		} else if (!is_ok(files_add(f, name, fd))) {
			(void)close(fd);
		}
	}
	by->count = 0;
}

struct status
daemon_read_file(int fd, struct buf *out)
{
	off_t size;
	size_t left;

	if (fd < 0)
		return fail(E_NOTFOUND);
	size = lseek(fd, 0, SEEK_END);
	if (size < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return fail_errno();
	left = (size_t)size;
	TRY(buf_reserve(out, left));
	while (left > 0) {
		ssize_t n = read(fd, out->ptr + out->len, left);

		if (n < 0)
			return fail_errno();
		if (n == 0)
			break; /* it shrank */
		out->len += (size_t)n;
		left -= (size_t)n;
	}
	return OK;
}
