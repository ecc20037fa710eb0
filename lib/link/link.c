/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.c: one end of an edge: its life, and its place in the loop.
 *
 * Runs in: every process, on its libuv loop. Trusts: nothing that the peer
 * sends (see receive.c).
 * Owns: the transport, both buffers, descriptors in flight, pending calls.
 * Invariants: callbacks run from the loop or from link_free() only; on_closed runs once; link_free
 * tells the calls that wait and the streams that are open, and nothing is told after it. Ids made
 * by the A end are odd, by the B end even, so a reply cannot be taken for a request.
 * See: link/link.h; send.c, receive.c, call.c, stream.c.
 */
#include "internal.h"

#include <stdlib.h>
#include <unistd.h>

#define LINK_ARENA_MAX (4U << 20)

static void on_poll(uv_poll_t *handle, int status, int events);
static void on_prepare(uv_prepare_t *handle);
static void on_check(uv_check_t *handle);
static void link_settle(struct link *l);

struct status
link_poll_update(struct link *l)
{
	int events = UV_READABLE | (l->want_write ? UV_WRITABLE : 0);
	int rc = uv_poll_start(&l->poll, events, on_poll);

	if (rc == 0)
		return OK;
	errno = -rc;
	return fail_errno();
}

static struct status
handles_start(struct link *l)
{
	int rc = uv_poll_init(l->loop, &l->poll, l->transport.fd);

	if (rc != 0) {
		errno = -rc;
		return fail_errno();
	}
	(void)uv_prepare_init(l->loop, &l->prepare);
	(void)uv_check_init(l->loop, &l->check);
	(void)uv_timer_init(l->loop, &l->timer);
	l->handles_open = 4;
	l->poll.data = l->prepare.data = l->check.data = l->timer.data = l;
	(void)uv_prepare_start(&l->prepare, on_prepare);
	(void)uv_check_start(&l->check, on_check);
	uv_unref((uv_handle_t *)&l->prepare);
	uv_unref((uv_handle_t *)&l->check);
	uv_unref((uv_handle_t *)&l->timer);
	return link_poll_update(l);
}

struct status
link_new(uv_loop_t *loop, int fd, const struct wire_edge *edge, bool a_end,
    const struct link_ops *ops, void *ctx, struct link **ret)
{
	struct link *l = calloc(1, sizeof(*l));
	struct status st;

	if (l == NULL) {
		(void)close(fd);
		return fail(E_NOMEM);
	}
	l->loop = loop;
	l->edge = edge;
	l->a_end = a_end;
	l->ops = ops;
	l->ctx = ctx;
	l->states = 1;
	l->next_id = a_end ? 1 : 2;
	l->in = BUF_INIT(WIRE_PAYLOAD_MAX + FRAME_HEAD_LEN + 2UL * TRANSPORT_READ_LEN);
	l->out = BUF_INIT(2UL * LINK_QUEUE_MAX);
	l->arena = ARENA_INIT(LINK_ARENA_MAX);
	STAILQ_INIT(&l->marks);
	TAILQ_INIT(&l->calls_in_order);
	TAILQ_INIT(&l->streams_in_order);
	TAILQ_INIT(&l->starved);
	TAILQ_INIT(&l->calls_expired);
	st = transport_socketpair(fd, &l->transport);
	if (is_ok(st))
		st = handles_start(l);
	if (is_ok(st)) {
		*ret = l;
		return OK;
	}
	(void)close(fd);
	l->transport.fd = -1;
	if (l->handles_open > 0)
		link_free(l);
	else
		free(l);
	return st;
}

static void
free_memory(struct link *l)
{
	struct fd_mark *m;

	while ((m = STAILQ_FIRST(&l->marks)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->marks, next);
		for (size_t i = 0; i < m->n; i++)
			(void)close(m->fds[i]);
		free(m);
	}
	for (size_t i = 0; i < l->nin_fds; i++)
		(void)close(l->in_fds[i]);
	for (size_t i = l->next_msg_fd; i < l->nmsg_fds; i++)
		(void)close(l->msg_fds[i]);
	link_drop(l, &l->in, l->in.len);
	link_drop(l, &l->out, l->out.len);
	buf_done(&l->in);
	buf_done(&l->out);
	arena_done(&l->arena);
	free(l);
}

static void
on_handle_closed(uv_handle_t *handle)
{
	struct link *l = handle->data;

	if (--l->handles_open == 0)
		free_memory(l);
}

void
link_free(struct link *l)
{
	if (l == NULL || l->freed)
		return;
	link_flush(l);
	l->freed = true; /* nothing begins on it any more */
	link_calls_close(l);
	stream_close_all(l);
	uv_close((uv_handle_t *)&l->poll, on_handle_closed);
	uv_close((uv_handle_t *)&l->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&l->check, on_handle_closed);
	uv_close((uv_handle_t *)&l->timer, on_handle_closed);
	/* The poll handle is stopped by uv_close, so the descriptor may go now. */
	if (l->transport.fd >= 0)
		l->transport.ops->close(&l->transport);
}

void
link_set_state(struct link *l, uint32_t state_bit)
{
	l->states = state_bit;
}

void
link_set_peer(struct link *l, uint32_t peer_id)
{
	l->peer_id = peer_id;
}

uint32_t
link_peer(const struct link *l)
{
	return l->peer_id;
}

size_t
link_queued(const struct link *l)
{
	return l->out.len - l->out_off;
}

uint64_t
link_new_id(struct link *l)
{
	uint64_t id = l->next_id;

	l->next_id += 2;
	return id;
}

void
link_drop(const struct link *l, struct buf *b, size_t n)
{
	if (l->edge->secrets && b->len > 0)
		buf_shift_wipe(b, n);
	else
		buf_shift(b, n);
}

void
link_fail(struct link *l, struct status why)
{
	if (l->failed)
		return;
	l->failed = true;
	l->why = why;
	(void)uv_poll_stop(&l->poll);
}

/* What is due at the end of a turn: ended streams, queued bytes, a failure to tell. */
static void
link_settle(struct link *l)
{
	if (l->freed)
		return;
	if (l->streams_done)
		stream_reap_done(l);
	if (l->freed)
		return;
	if (l->out_off < l->out.len)
		link_flush(l);
	if (l->nstarved > 0 && !l->failed && link_queued(l) < LINK_QUEUE_MAX / 4)
		stream_wake_starved(l);
	if (!l->failed || l->closed || l->freed)
		return;
	l->closed = true;
	link_calls_close(l);
	if (!l->freed)
		stream_close_all(l);
	if (!l->freed && l->ops->on_closed != NULL)
		l->ops->on_closed(l, l->why, l->ctx);
}

static void
on_prepare(uv_prepare_t *handle)
{
	link_settle(handle->data);
}

static void
on_check(uv_check_t *handle)
{
	link_settle(handle->data);
}

static void
on_poll(uv_poll_t *handle, int status, int events)
{
	struct link *l = handle->data;

	if (status < 0 || (events & UV_READABLE) != 0)
		link_read_some(l, false);
	/* Writing happens in on_check, which comes right after. */
}
