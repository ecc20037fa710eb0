/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repair.c: cut from the log what a crash left torn.
 *
 * Runs in: audit, jailed, before anything is served. Trusts: recover.c for where the last
 * record that counts ends. Owns: the file `repair`.
 * Invariants: nothing under the checkpoint is cut; the cut is noted in `repair` before it is
 * made, so that a further crash cannot hide it.
 * See: recover.h; docs/audit-format.md, "After a crash".
 */
#include "recover.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>

#define REPAIR_TEXT_MAX 64
#define REWRITE_LEN (256U << 10)

static struct status
repair_read(struct scan *s, uint64_t *ret_size, uint64_t *ret_torn)
{
	auto_buf struct buf text = BUF_INIT(REPAIR_TEXT_MAX);
	struct status st = io_read_file(s->l->dirfd, "repair", &text);
	const uint8_t *blank;
	size_t at;

	if (st.code == E_SYS && st.err == ENOENT)
		return OK;
	TRY(st);
	blank = text.len > 0 ? memchr(text.ptr, ' ', text.len) : NULL;
	if (blank == NULL || text.ptr[text.len - 1] != '\n')
		return contradiction(s, "the note about a repair is not one of ours");
	at = (size_t)(blank - text.ptr);
	if (!is_ok(span_u64(span_of(text.ptr, at), INT64_MAX, ret_size)) ||
	    !is_ok(span_u64(span_of(blank + 1, text.len - at - 2), INT64_MAX, ret_torn)))
		return contradiction(s, "the note about a repair is not one of ours");
	return OK;
}

static struct status
repair_note(struct log *l)
{
	auto_buf struct buf text = BUF_INIT(REPAIR_TEXT_MAX);

	TRY(buf_printf(&text, "%llu %llu\n", (unsigned long long)l->torn_size,
	    (unsigned long long)l->torn_bytes));
	return log_replace(l, "repair.tmp", "repair", buf_span(&text));
}

static struct status
segment_last_open(struct scan *s, uint64_t *ret_size)
{
	char name[AUDITLOG_SEGMENT_NAME_LEN + 1];
	struct log *l = s->l;
	struct stat sb;

	l->segment = auditlog_segment(s->reader);
	if (l->segment == 0)
		l->segment = AUDITLOG_SEGMENT_FIRST;
	auditlog_segment_name(l->segment, name);
	l->fd = openat(l->dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (l->fd < 0 && errno == ENOENT && l->segment == AUDITLOG_SEGMENT_FIRST) {
		*ret_size = 0;
		return log_segment_create(l, AUDITLOG_SEGMENT_FIRST);
	}
	if (l->fd < 0 || fstat(l->fd, &sb) < 0)
		return fail_errno();
	*ret_size = (uint64_t)sb.st_size;
	return OK;
}

struct status
torn_cut(struct scan *s)
{
	struct log *l = s->l;
	uint64_t size, noted_size = UINT64_MAX, noted = 0, torn;

	TRY(segment_last_open(s, &size));
	if (s->good.segment != l->segment)
		s->good = (struct position){ l->segment, 0 };
	l->len = s->good.off;
	torn = size - l->len;
	if (torn > 0 && segment_exists(l, l->segment + 1))
		return contradiction(s, "a segment other than the last ends within a record");
	TRY(repair_read(s, &noted_size, &noted));
	if (noted_size != UINT64_MAX && noted_size > l->now.size)
		return contradiction(s, "the log is shorter than when it was repaired");
	if (noted_size == l->now.size) {
		torn += noted; /* that repair was not recorded yet */
	} else if (noted_size != UINT64_MAX && torn == 0) {
		return log_repair_done(l);
	}
	l->torn_size = l->now.size;
	l->torn_bytes = torn;
	l->repaired = torn > 0;
	if (size > l->len) {
		TRY(repair_note(l));
		if (ftruncate(l->fd, (off_t)l->len) < 0)
			return fail_errno();
	}
	return OK;
}

struct status
tail_rewrite(struct scan *s)
{
	auto_free uint8_t *chunk = malloc(REWRITE_LEN);
	struct log *l = s->l;
	uint64_t at = s->signed_at.segment == l->segment ? s->signed_at.off : 0;

	if (chunk == NULL)
		return fail(E_NOMEM);
	while (at < l->len) {
		size_t want = l->len - at < REWRITE_LEN ? (size_t)(l->len - at) : REWRITE_LEN;
		ssize_t n = pread(l->fd, chunk, want, (off_t)at);

		if (n <= 0)
			return n < 0 ? fail_errno() : fail(E_CORRUPT);
		if (pwrite(l->fd, chunk, (size_t)n, (off_t)at) != n)
			return fail_errno();
		at += (uint64_t)n;
	}
	return fdatasync(l->fd) < 0 ? fail_errno() : OK;
}
