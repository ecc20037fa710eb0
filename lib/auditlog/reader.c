/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader.c: the log line by line, across segments, also while it grows.
 *
 * Runs in: audit (recovery), CLI. Trusts: nothing that it reads.
 * Owns: one window of fixed size and the open segment.
 * Invariants: [at, len) of the window is what was read and not yet given out;
 * base is the file offset of window[0]; a line longer than the limit is told
 * once and skipped, never buffered.
 * See: auditlog/auditlog.h.
 */
#include <auditlog/auditlog.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>

#define WINDOW_LEN (256U << 10)
#define BACK_LEN (64U << 10)

_Static_assert(WINDOW_LEN > 2 * AUDITLOG_LINE_MAX, "a line must fit the window");

struct auditlog_reader {
	int dirfd;
	int fd; /* -1: the segment does not exist (yet) */
	uint32_t segment;
	uint64_t base;
	size_t at, len;
	uint64_t line_off;
	bool skipping;
	uint8_t window[WINDOW_LEN];
};

static struct status segment_open(const struct auditlog_reader *r, uint32_t n, int *ret_fd);
static struct status fill(struct auditlog_reader *r, size_t *ret_got);
static struct status next_segment(struct auditlog_reader *r);

struct status
auditlog_open(int dirfd, struct auditlog_reader **ret)
{
	struct auditlog_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return fail(E_NOMEM);
	r->dirfd = dirfd;
	r->fd = -1;
	r->segment = AUDITLOG_SEGMENT_FIRST;
	*ret = r;
	return OK;
}

void
auditlog_close(struct auditlog_reader *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		(void)close(r->fd);
	free(r);
}

void
auditlog_closep(struct auditlog_reader **r)
{
	auditlog_close(*r);
}

uint32_t
auditlog_segment(const struct auditlog_reader *r)
{
	return r->fd < 0 ? 0 : r->segment;
}

uint64_t
auditlog_offset(const struct auditlog_reader *r)
{
	return r->line_off;
}

struct span
auditlog_tail(const struct auditlog_reader *r)
{
	return span_of(r->window + r->at, r->len - r->at);
}

/* A whole line of the window; false when there is none. */
static bool
window_line(struct auditlog_reader *r, struct span *ret)
{
	uint8_t *start = r->window + r->at;
	uint8_t *end = r->at < r->len ? memchr(start, '\n', r->len - r->at) : NULL;

	if (end == NULL)
		return false;
	*ret = span_of(start, (size_t)(end - start));
	r->line_off = r->base + r->at;
	r->at += ret->len + 1;
	return true;
}

/* OK: more was read. E_EOF: nothing more, nowhere. E_CORRUPT: a segment ended in a line. */
static struct status
more(struct auditlog_reader *r)
{
	size_t got = 0;

	if (r->fd < 0) {
		TRY(segment_open(r, r->segment, &r->fd));
		r->base = 0;
		r->at = r->len = 0;
	}
	TRY(fill(r, &got));
	return got > 0 ? OK : next_segment(r);
}

struct status
auditlog_next(struct auditlog_reader *r, struct span *ret_line)
{
	struct span line;

	for (;;) {
		if (window_line(r, &line)) {
			bool tail_of_long = r->skipping;

			r->skipping = false;
			if (tail_of_long)
				continue;
			if (line.len > AUDITLOG_LINE_MAX)
				return fail(E_RANGE);
			*ret_line = line;
			return OK;
		}
		if (r->skipping) {
			r->at = r->len;
		} else if (r->len - r->at > AUDITLOG_LINE_MAX) {
			r->skipping = true;
			r->line_off = r->base + r->at;
			r->at = r->len;
			return fail(E_RANGE);
		}
		TRY(more(r));
	}
}

static struct status
segment_open(const struct auditlog_reader *r, uint32_t n, int *ret_fd)
{
	char name[AUDITLOG_SEGMENT_NAME_LEN + 1];
	int fd;

	if (n > AUDITLOG_SEGMENT_LAST)
		return fail(E_EOF);
	auditlog_segment_name(n, name);
	fd = openat(r->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? fail(E_EOF) : fail_errno();
	*ret_fd = fd;
	return OK;
}

/* The writer takes back what it could not make durable: forget what we saw of that. */
static void
follow_truncation(struct auditlog_reader *r)
{
	struct stat sb;

	if (fstat(r->fd, &sb) < 0 || (uint64_t)sb.st_size >= r->base + r->len)
		return;
	r->base = (uint64_t)sb.st_size;
	r->at = r->len = 0;
	r->skipping = false;
}

static struct status
fill(struct auditlog_reader *r, size_t *ret_got)
{
	ssize_t n;

	if (r->at > 0) {
		memmove(r->window, r->window + r->at, r->len - r->at);
		r->base += r->at;
		r->len -= r->at;
		r->at = 0;
	}
	do {
		n = pread(
		    r->fd, r->window + r->len, WINDOW_LEN - r->len, (off_t)(r->base + r->len));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail_errno();
	if (n == 0)
		follow_truncation(r);
	r->len += (size_t)n;
	*ret_got = (size_t)n;
	return OK;
}

/* The writer finishes a segment before it makes the next: look again, then go on. */
static struct status
next_segment(struct auditlog_reader *r)
{
	auto_fd int fd = -1;
	size_t got = 0;
	bool torn;

	TRY(segment_open(r, r->segment + 1, &fd));
	TRY(fill(r, &got));
	if (got > 0)
		return OK;
	torn = r->len > r->at || r->skipping;
	r->line_off = r->base + r->at;
	(void)close(r->fd);
	r->fd = fd_take(&fd);
	r->segment++;
	r->base = 0;
	r->at = r->len = 0;
	r->skipping = false;
	return torn ? fail(E_CORRUPT) : OK;
}

/*
 * Look backwards in one segment for the start of its last `*need` lines.
 * *need becomes 0 when *ret_off is that start, else what is still missing.
 */
static struct status
seek_in(int fd, uint64_t *need, uint64_t *ret_off)
{
	auto_free uint8_t *chunk = malloc(BACK_LEN);
	uint64_t seen = 0;
	struct stat sb;

	if (chunk == NULL)
		return fail(E_NOMEM);
	if (fstat(fd, &sb) < 0)
		return fail_errno();
	for (uint64_t end = (uint64_t)sb.st_size; end > 0;) {
		size_t want = end < BACK_LEN ? (size_t)end : BACK_LEN;
		ssize_t n = pread(fd, chunk, want, (off_t)(end - want));

		if (n < 0 || (size_t)n != want)
			return n < 0 ? fail_errno() : fail(E_AGAIN);
		for (size_t i = want; i > 0; i--) {
			if (chunk[i - 1] != '\n' || seen++ < *need)
				continue;
			*ret_off = end - want + i;
			*need = 0;
			return OK;
		}
		end -= want;
	}
	*need -= seen < *need ? seen : *need;
	*ret_off = 0;
	return OK;
}

struct status
auditlog_seek_last(struct auditlog_reader *r, uint64_t count)
{
	uint32_t n = AUDITLOG_SEGMENT_FIRST;
	uint64_t off = 0;
	struct status st;
	int fd = -1;

	while (is_ok(st = segment_open(r, n, &fd))) {
		(void)close(fd);
		n++;
	}
	if (st.code != E_EOF)
		return st;
	for (n = n > AUDITLOG_SEGMENT_FIRST ? n - 1 : n;; n--) {
		auto_fd int seg = -1;

		st = segment_open(r, n, &seg);
		if (st.code == E_EOF)
			break;
		TRY(st);
		TRY(seek_in(seg, &count, &off));
		if (count == 0 || n == AUDITLOG_SEGMENT_FIRST) {
			if (r->fd >= 0)
				(void)close(r->fd);
			r->fd = fd_take(&seg);
			break;
		}
	}
	r->segment = n;
	r->base = off;
	r->at = r->len = 0;
	r->skipping = false;
	return OK;
}

struct status
auditlog_seek(struct auditlog_reader *r, uint32_t segment, uint64_t off)
{
	auto_fd int fd = -1;
	struct status st = segment_open(r, segment, &fd);

	if (!is_ok(st) && st.code != E_EOF)
		return st;
	if (r->fd >= 0)
		(void)close(r->fd);
	r->fd = fd_take(&fd);
	r->segment = segment;
	r->base = off;
	r->at = r->len = 0;
	r->skipping = false;
	return OK;
}
