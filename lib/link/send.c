/* SPDX-License-Identifier: Apache-2.0 */
/*
 * send.c: what leaves a link: frames into the queue, the queue into the transport.
 *
 * Runs in: every process. Trusts: our own messages; their tables are checked all
 * the same. Owns: the queue and the descriptors that wait in it.
 * Invariants: a frame is queued whole or not at all; descriptors leave with the
 * first byte of their frame.
 * See: internal.h for the frame; link/link.h.
 */
#include "internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static void
put_be(uint8_t *p, uint64_t v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(v >> 8 * (len - 1 - i));
}

static void
frame_head(const struct frame *f, uint8_t head[FRAME_HEAD_LEN])
{
	put_be(head, f->len, 4);
	head[4] = f->kind;
	head[5] = f->nfds;
	put_be(head + 6, f->type, 2);
	put_be(head + 8, f->id, 8);
}

static struct status
mark_fds(struct link *l, const int *fds, size_t nfds)
{
	struct fd_mark *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return fail(E_NOMEM);
	m->at = l->out_base + l->out.len;
	for (size_t i = 0; i < nfds; i++) {
		m->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (m->fds[i] < 0) {
			struct status st = fail_errno();

			while (i-- > 0)
				(void)close(m->fds[i]);
			free(m);
			return st;
		}
		m->n++;
	}
	STAILQ_INSERT_TAIL(&l->marks, m, next);
	return OK;
}

struct status
link_queue(struct link *l, const struct frame *f, struct span payload, const int *fds, size_t nfds)
{
	uint8_t head[FRAME_HEAD_LEN];

	if (l->failed || l->freed)
		return fail(E_CLOSED);
	/* Credit, ends and cancels get through behind a full queue; they are few and small. */
	if (f->kind == FRAME_DATA && link_queued(l) + payload.len > LINK_QUEUE_MAX)
		return fail(E_FULL);
	TRY(buf_reserve(&l->out, FRAME_HEAD_LEN + payload.len));
	if (nfds > 0)
		TRY(mark_fds(l, fds, nfds));
	frame_head(f, head);
	TRY(buf_put(&l->out, head, sizeof(head)));
	return buf_put_span(&l->out, payload);
}

/* Encode straight into the queue, then fill in the frame's head. */
struct status
link_queue_msg(
    struct link *l, uint64_t id, uint16_t type, const void *msg, const int *fds, size_t nfds)
{
	const struct wire_msg *m;
	size_t start = l->out.len;
	struct frame f = { .kind = FRAME_MSG, .nfds = (uint8_t)nfds, .type = type, .id = id };
	struct status st;

	assert(type < l->edge->nmsgs && nfds <= LINK_FDS_MAX);
	m = &l->edge->msgs[type];
	assert(m->name != NULL && (m->dir & (l->a_end ? WIRE_A_TO_B : WIRE_B_TO_A)) != 0);
	if (l->failed || l->freed)
		return fail(E_CLOSED);
	if (link_queued(l) > LINK_QUEUE_MAX)
		return fail(E_FULL);
	TRY(buf_reserve(&l->out, FRAME_HEAD_LEN));
	l->out.len += FRAME_HEAD_LEN;
	st = wire_encode(&m->table, msg, &l->out);
	if (is_ok(st) && l->out.len - start - FRAME_HEAD_LEN > WIRE_PAYLOAD_MAX)
		st = fail(E_RANGE);
	if (is_ok(st) && nfds > 0) {
		size_t end = l->out.len;

		l->out.len = start; /* the descriptors belong to the frame's first byte */
		st = mark_fds(l, fds, nfds);
		l->out.len = end;
	}
	if (!is_ok(st)) {
		l->out.len = start;
		return st;
	}
	f.len = (uint32_t)(l->out.len - start - FRAME_HEAD_LEN);
	frame_head(&f, l->out.ptr + start);
	return OK;
}

struct status
link_send(struct link *l, uint64_t id, uint16_t type, const void *msg)
{
	return link_queue_msg(l, id, type, msg, NULL, 0);
}

struct status
link_send_fds(
    struct link *l, uint64_t id, uint16_t type, const void *msg, const int *fds, size_t nfds)
{
	return link_queue_msg(l, id, type, msg, fds, nfds);
}

/* One write: up to the next descriptor mark, or with the mark that is due. */
static struct status
write_once(struct link *l)
{
	struct span rest = span_from(buf_span(&l->out), l->out_off);
	struct fd_mark *m = STAILQ_FIRST(&l->marks);
	uint64_t at = l->out_base + l->out_off;
	size_t written = 0;

	if (m == NULL) {
		TRY(l->transport.ops->write(&l->transport, rest, NULL, 0, &written));
	} else if (m->at > at) {
		rest.len = (size_t)(m->at - at);
		TRY(l->transport.ops->write(&l->transport, rest, NULL, 0, &written));
	} else {
		struct fd_mark *next = STAILQ_NEXT(m, next);

		if (next != NULL)
			rest.len = (size_t)(next->at - at);
		TRY(l->transport.ops->write(&l->transport, rest, m->fds, m->n, &written));
		STAILQ_REMOVE_HEAD(&l->marks, next);
		for (size_t i = 0; i < m->n; i++)
			(void)close(m->fds[i]);
		free(m);
	}
	l->out_off += written;
	return OK;
}

/* A burst's memory goes once the queue was emptied with much less in it. */
static void
queue_compact(struct link *l)
{
	size_t used = l->out.len;

	if (l->out_off < used && l->out_off < LINK_QUEUE_MAX / 8)
		return;
	l->out_base += l->out_off;
	link_drop(l, &l->out, l->out_off);
	l->out_off = 0;
	if (l->out.len == 0 && l->out.cap > LINK_QUEUE_KEEP && used < l->out.cap / 8)
		buf_done(&l->out);
}

void
link_flush(struct link *l)
{
	struct status st = OK;
	bool want;

	if (l->failed || l->freed)
		return;
	while (l->out_off < l->out.len && is_ok(st))
		st = write_once(l);
	queue_compact(l);
	if (!is_ok(st) && st.code != E_AGAIN) {
		link_fail(l, st.code == E_SYS && (st.err == EPIPE || st.err == ECONNRESET)
				 ? link_closed(st)
				 : st);
		return;
	}
	want = l->out_off < l->out.len;
	if (want != l->want_write) {
		l->want_write = want;
		st = link_poll_update(l);
		if (!is_ok(st))
			link_fail(l, st);
	}
}
