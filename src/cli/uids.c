/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uids.c: a range of user ids for each instance on this machine, without accounts.
 *
 * Runs in: `sallyport init`, as root. Trusts: root's files.
 * Owns: /var/lib/sallyport/uids: one file a range, named by its number, holding the path of the
 * state directory it belongs to.
 * Invariants: under the lock, a range has at most one directory and a directory one range; a
 * range whose directory is gone is free; one that an account or a subordinate range uses is not.
 * See: docs/configuration.md, uid_base.
 */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <wire/topology.h>

#define RANGE_FIRST 700000U
#define RANGES_MAX 65536U
#define ACCOUNTS_MAX (16U << 20) /* bytes of passwd and the like */

static struct status
make_folders(const char *path)
{
	char part[CLI_PATH_MAX];

	TRY(span_to_cstr(span_str(path), part, sizeof(part)));
	for (char *p = part + 1;; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return fail_errno();
		*p = was;
		if (was == '\0')
			return OK;
	}
}

struct status
uids_lock(const char *uids_dir, struct uids_lock *ret)
{
	auto_fd int fd = -1;

	TRY(make_folders(uids_dir));
	fd = open(uids_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return fail_errno();
	ret->fd = fd_take(&fd);
	return OK;
}

void
uids_unlock(struct uids_lock *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
}

/* The next field up to ':' or the end of the line. */
static struct span
field_next(struct span *line)
{
	const uint8_t *colon = line->len == 0 ? NULL : memchr(line->ptr, ':', line->len);
	struct span f = colon == NULL ? *line : span_of(line->ptr, (size_t)(colon - line->ptr));

	*line = span_from(*line, f.len + 1);
	return f;
}

static bool
line_overlaps(struct span line, bool subordinate, uint32_t base, uint32_t len)
{
	uint64_t first, count = 1;

	(void)field_next(&line);
	if (!subordinate)
		(void)field_next(&line);
	if (!is_ok(span_u64(field_next(&line), UINT32_MAX, &first)))
		return false; /* a comment, or "+" of a directory service */
	if (subordinate && !is_ok(span_u64(field_next(&line), UINT32_MAX, &count)))
		return false;
	return count > 0 && first < (uint64_t)base + len && first + count > base;
}

bool
uids_overlap(struct span file, bool subordinate, uint32_t base, uint32_t len)
{
	while (file.len > 0) {
		const uint8_t *nl = memchr(file.ptr, '\n', file.len);
		struct span line = nl == NULL ? file : span_of(file.ptr, (size_t)(nl - file.ptr));

		if (line_overlaps(line, subordinate, base, len))
			return true;
		file = span_from(file, line.len + 1);
	}
	return false;
}

static struct status
in_use(const char *etc_dir, uint32_t base, bool *ret)
{
	static const struct {
		const char *name;
		bool subordinate;
	} files[] = { { "passwd", false }, { "group", false }, { "subuid", true },
		{ "subgid", true } };
	auto_fd int dir = open(etc_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return fail_errno();
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		auto_buf struct buf text = BUF_INIT(ACCOUNTS_MAX);
		struct status st = io_read_file(dir, files[i].name, &text);

		if (st.code == E_SYS && st.err == ENOENT)
			continue;
		TRY(st);
		*ret = uids_overlap(buf_span(&text), files[i].subordinate, base, UID_RANGE_LEN);
		if (*ret)
			return OK;
	}
	*ret = false;
	return OK;
}

/* Whose range is it: "" when the file is not there or its directory is gone. */
static struct status
range_owner(struct uids_lock *l, const char *name, char owner[CLI_PATH_MAX])
{
	auto_buf struct buf text = BUF_INIT(CLI_PATH_MAX);
	struct status st = io_read_file(l->fd, name, &text);

	owner[0] = '\0';
	if (st.code == E_SYS && st.err == ENOENT)
		return OK;
	TRY(st);
	if (text.len > 0 && text.ptr[text.len - 1] == '\n')
		text.len--;
	if (!is_ok(span_to_cstr(buf_span(&text), owner, CLI_PATH_MAX)))
		owner[0] = '\0';
	return OK;
}

static struct status
range_take(struct uids_lock *l, const char *name, const char *state_dir)
{
	auto_buf struct buf text = BUF_INIT(CLI_PATH_MAX + 1);
	auto_fd int fd = -1;

	if (unlinkat(l->fd, name, 0) < 0 && errno != ENOENT)
		return fail_errno();
	TRY(buf_put_str(&text, state_dir));
	TRY(buf_put_u8(&text, '\n'));
	fd = openat(l->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return fail_errno();
	TRY(io_write_all(fd, buf_span(&text)));
	return fsync(fd) < 0 || fsync(l->fd) < 0 ? fail_errno() : OK;
}

/* The range that this directory has already; E_NOTFOUND. A bounded number of names is tried. */
static struct status
range_of(struct uids_lock *l, const char *state_dir, uint32_t *ret_n)
{
	char name[16], owner[CLI_PATH_MAX];

	for (uint32_t n = 0; n < RANGES_MAX; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		if (faccessat(l->fd, name, F_OK, 0) < 0) {
			if (n > 1024)
				break; /* far beyond anything that was ever reserved */
			continue;
		}
		TRY(range_owner(l, name, owner));
		if (strcmp(owner, state_dir) == 0) {
			*ret_n = n;
			return OK;
		}
	}
	return fail(E_NOTFOUND);
}

struct status
uids_reserve(struct uids_lock *l, const char *etc_dir, const char *state_dir, uint32_t *ret_base)
{
	char name[16], owner[CLI_PATH_MAX];
	uint32_t n;
	bool used;

	if (is_ok(range_of(l, state_dir, &n))) {
		*ret_base = RANGE_FIRST + n * UID_RANGE_LEN;
		return OK;
	}
	for (n = 0; n < RANGES_MAX; n++) {
		(void)snprintf(name, sizeof(name), "%u", n);
		TRY(range_owner(l, name, owner));
		if (owner[0] != '\0' && access(owner, F_OK) == 0)
			continue;
		TRY(in_use(etc_dir, RANGE_FIRST + n * UID_RANGE_LEN, &used));
		if (used)
			continue;
		TRY(range_take(l, name, state_dir));
		*ret_base = RANGE_FIRST + n * UID_RANGE_LEN;
		return OK;
	}
	return fail(E_FULL);
}

struct status
uids_release(struct uids_lock *l, uint32_t base)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "%u", (base - RANGE_FIRST) / UID_RANGE_LEN);
	return unlinkat(l->fd, name, 0) < 0 && errno != ENOENT ? fail_errno() : OK;
}
