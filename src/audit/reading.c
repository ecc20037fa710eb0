/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reading.c: a page of the log, by number or time.
 *
 * Runs in: audit, jailed, between two commits. Trusts: the log, which was verified when it was
 * opened, to be lines; each is looked at all the same. Owns: one window of bytes.
 * Invariants: what is not durable is not shown; seq and ts grow from line to line, also across
 * segments, so that a place is found by halving and nothing is kept of where records lie; a call
 * reads a bounded number of bytes, so that appends wait for it no longer than for a commit.
 * See: reading.h; log.h; docs/audit-format.md.
 */
#include "reading.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>

/* In a window of this length there is a whole line behind any first newline. */
#define PROBE_LEN (2U * RECORD_ROOM)
_Static_assert(PROBE_LEN <= AA_PAGE_MAX, "a probe is a window, too");

struct place {
	uint32_t segment;
	uint64_t off;
};

struct reading {
	const struct log *l;
	const struct aa_read *m;
	int fd; /* of `segment` */
	uint32_t segment;
	uint64_t len; /* durable bytes of it */
};

static uint8_t window[AA_PAGE_MAX], kept[AA_PAGE_MAX];

/* ---- segments ---- */

static struct status
segment_open(struct reading *r, uint32_t n)
{
	char name[AUDITLOG_SEGMENT_NAME_LEN + 1];
	struct stat sb;

	if (r->fd >= 0 && r->segment == n)
		return OK;
	if (r->fd >= 0)
		(void)close(r->fd);
	auditlog_segment_name(n, name);
	r->fd = openat(r->l->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (r->fd < 0 || fstat(r->fd, &sb) < 0)
		return fail_errno();
	r->segment = n;
	r->len = n == r->l->segment ? r->l->len : (uint64_t)sb.st_size;
	return OK;
}

/* Up to `max` bytes from `off` on. */
static struct status
window_read(const struct reading *r, uint64_t off, size_t max, struct span *ret)
{
	size_t want = r->len - off < max ? (size_t)(r->len - off) : max, have = 0;

	while (have < want) {
		ssize_t n = pread(r->fd, window + have, want - have, (off_t)(off + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno();
		if (n == 0)
			return fail(E_CORRUPT); /* shorter than what was durable */
		have += (size_t)n;
	}
	*ret = span_of(window, have);
	return OK;
}

/* The first whole line of s, with where it begins. */
static struct status
first_line(struct span s, struct span *ret, struct auditlog_head *h)
{
	const uint8_t *end = s.len == 0 ? NULL : memchr(s.ptr, '\n', s.len);

	if (end == NULL)
		return fail(E_CORRUPT);
	*ret = span_of(s.ptr, (size_t)(end - s.ptr));
	return is_ok(auditlog_head_of(*ret, h)) ? OK : fail(E_CORRUPT);
}

/* ---- finding the place ---- */

/* Does the record lie before where the page begins (descending: where it ends)? */
static bool
is_before(const struct aa_read *m, const struct auditlog_head *h)
{
	if (m->descending)
		return (m->at == 0 || h->seq < m->at) &&
		       (m->until_ns == 0 || h->ts_ns < m->until_ns);
	return h->seq <= m->at || h->ts_ns < m->since_ns;
}

/* The line that begins at `off`. *ret: is it before; false at the segment's end, too. */
static struct status
look(const struct reading *r, uint64_t off, bool *ret, uint64_t *ret_next)
{
	struct auditlog_head h;
	struct span s, line;

	*ret = false;
	if (off == r->len)
		return OK;
	TRY(window_read(r, off, PROBE_LEN, &s));
	TRY(first_line(s, &line, &h));
	*ret = is_before(r->m, &h);
	*ret_next = off + line.len + 1;
	return OK;
}

/* Where the first line that begins behind `off` does; the segment's end if none. */
static struct status
line_behind(const struct reading *r, uint64_t off, uint64_t *ret)
{
	const uint8_t *end;
	struct span s;

	TRY(window_read(r, off, PROBE_LEN, &s));
	end = memchr(s.ptr, '\n', s.len);
	if (end == NULL)
		return fail(E_CORRUPT);
	*ret = off + (size_t)(end - s.ptr) + 1;
	return OK;
}

/* The last segment whose first record lies before the place. */
static struct status
find_segment(struct reading *r, uint32_t *ret)
{
	uint32_t lo = AUDITLOG_SEGMENT_FIRST, hi = r->l->segment;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo + 1) / 2;
		uint64_t next;
		bool before;

		TRY(segment_open(r, mid));
		TRY(look(r, 0, &before, &next));
		if (before)
			lo = mid;
		else
			hi = mid - 1;
	}
	*ret = lo;
	return OK;
}

/* The first line that is not before; the end of its segment if there is none. */
static struct status
find(struct reading *r, struct place *ret)
{
	uint64_t lo = 0, hi, next = 0;
	bool before;

	TRY(find_segment(r, &ret->segment));
	TRY(segment_open(r, ret->segment));
	hi = r->len;
	while (hi - lo > PROBE_LEN) {
		uint64_t start;

		TRY(line_behind(r, lo + (hi - lo) / 2, &start));
		TRY(look(r, start, &before, &next));
		if (before)
			lo = start;
		else
			hi = lo + (hi - lo) / 2;
	}
	TRY(look(r, lo, &before, &next));
	while (before) {
		lo = next;
		TRY(look(r, lo, &before, &next));
	}
	ret->off = lo;
	return OK;
}

/* ---- a page ---- */

static bool
is_of_type(const struct aa_read *m, struct span line)
{
	struct span type;

	return m->type.len == 0 || (auditlog_member(line, "type", &type) && span_eq(type, m->type));
}

/* One record that was looked at. False: it, and all behind it, are outside of the time asked for.
 */
static bool
take(const struct aa_read *m, struct span line, const struct auditlog_head *h, struct aa_page *ret)
{
	if (m->descending ? h->ts_ns < m->since_ns : m->until_ns != 0 && h->ts_ns >= m->until_ns) {
		ret->end = 1;
		return false;
	}
	ret->at = h->seq;
	if (!is_of_type(m, line))
		return true;
	memcpy(kept + ret->lines.len, line.ptr, line.len);
	kept[ret->lines.len + line.len] = '\n';
	ret->lines.len += line.len + 1;
	return true;
}

static struct status
page_forward(struct reading *r, struct place at, struct aa_page *ret)
{
	struct auditlog_head h;
	struct span s, line;

	if (at.off == r->len && at.segment < r->l->segment) {
		at = (struct place){ .segment = at.segment + 1 };
		TRY(segment_open(r, at.segment));
	}
	TRY(window_read(r, at.off, AA_PAGE_MAX, &s));
	while (s.len > 0) {
		if (memchr(s.ptr, '\n', s.len) == NULL)
			return ret->at != r->m->at ? OK : fail(E_CORRUPT);
		TRY(first_line(s, &line, &h));
		if (!take(r->m, line, &h, ret))
			return OK;
		at.off += line.len + 1;
		s = span_from(s, line.len + 1);
	}
	ret->end = at.off == r->len && r->segment == r->l->segment;
	return OK;
}

static struct status
page_backward(struct reading *r, struct place at, struct aa_page *ret)
{
	uint64_t begin;
	struct span s;

	if (at.off == 0 && at.segment > AUDITLOG_SEGMENT_FIRST) {
		TRY(segment_open(r, at.segment - 1));
		at = (struct place){ at.segment - 1, r->len };
	}
	begin = at.off > AA_PAGE_MAX ? at.off - AA_PAGE_MAX : 0;
	TRY(window_read(r, begin, (size_t)(at.off - begin), &s));
	while (s.len > 0) {
		const uint8_t *before = memrchr(s.ptr, '\n', s.len - 1);
		struct auditlog_head h;
		struct span line, last;

		if (before == NULL && begin > 0)
			return ret->at != r->m->at ? OK : fail(E_CORRUPT);
		last = before == NULL ? s : span_from(s, (size_t)(before - s.ptr) + 1);
		TRY(first_line(last, &line, &h));
		if (!take(r->m, line, &h, ret))
			return OK;
		s.len -= line.len + 1;
	}
	ret->end = begin == 0 && r->segment == AUDITLOG_SEGMENT_FIRST;
	return OK;
}

struct status
reading_page(const struct log *l, const struct aa_read *m, struct aa_page *ret)
{
	struct reading r = { .l = l, .m = m, .fd = -1 };
	struct place at;
	struct status st;

	*ret = (struct aa_page){ .code = E_OK, .at = m->at, .lines = span_of(kept, 0) };
	st = find(&r, &at);
	if (is_ok(st))
		st = m->descending ? page_backward(&r, at, ret) : page_forward(&r, at, ret);
	if (r.fd >= 0)
		(void)close(r.fd);
	return st;
}
