/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.c: one end of an edge: frames in and out, dispatch by table, calls.
 *
 * Runs in: every process, on its libuv loop. Trusts: nothing that the peer
 * sends: kinds, lengths, types, directions and states are checked, and a peer
 * that breaks one of them is dropped (E_PROTO).
 * Owns: the transport, both buffers, descriptors in flight, pending calls.
 * Invariants: callbacks run from the loop only; on_closed runs once; after
 * link_free nothing of the owner's is called. Ids made by the A end are odd,
 * by the B end even, so a reply cannot be taken for a request.
 * See: link/link.h, DESIGN of links in ARCHITECTURE.md.
 */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#define LINK_READS_PER_TURN 8
#define LINK_TICK_MS 20
#define LINK_ARENA_MAX (4U << 20)

static void on_poll(uv_poll_t *handle, int status, int events);
static void on_prepare(uv_prepare_t *handle);
static void on_check(uv_check_t *handle);
static void on_timer(uv_timer_t *handle);
static void link_settle(struct link *l);
static void read_some(struct link *l);
static void dispatch(struct link *l);

static struct status
poll_update(struct link *l)
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
	return poll_update(l);
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
	struct call *c;

	if (l == NULL || l->freed)
		return;
	link_flush(l);
	l->freed = true;
	while ((c = TAILQ_FIRST(&l->calls_in_order)) != NULL) {
		TAILQ_REMOVE(&l->calls_in_order, c, in_order);
		free(c);
	}
	stream_close_all(l);
	uv_close((uv_handle_t *)&l->poll, on_handle_closed);
	uv_close((uv_handle_t *)&l->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&l->check, on_handle_closed);
	uv_close((uv_handle_t *)&l->timer, on_handle_closed);
	/* The poll handle is stopped by uv_close, so the descriptor may go now. */
	if (l->transport.fd >= 0)
		l->transport.ops->close(&l->transport);
}

void *
link_ctx(struct link *l)
{
	return l->ctx;
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
link_fail(struct link *l, struct status why)
{
	if (l->failed)
		return;
	l->failed = true;
	l->why = why;
	(void)uv_poll_stop(&l->poll);
}

/* ---- sending ---- */

static void
put_be(uint8_t *p, uint64_t v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(v >> 8 * (len - 1 - i));
}

static uint64_t
get_be(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++)
		v = v << 8 | p[i];
	return v;
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
	if (link_queued(l) + payload.len > LINK_QUEUE_MAX)
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

static void
queue_compact(struct link *l)
{
	if (l->out_off < l->out.len && l->out_off < LINK_QUEUE_MAX / 8)
		return;
	l->out_base += l->out_off;
	buf_shift(&l->out, l->out_off);
	l->out_off = 0;
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
				 ? fail(E_CLOSED)
				 : st);
		return;
	}
	want = l->out_off < l->out.len;
	if (want != l->want_write) {
		l->want_write = want;
		st = poll_update(l);
		if (!is_ok(st))
			link_fail(l, st);
	}
}

/* ---- the loop's hooks ---- */

/* What is due at the end of a turn: ended streams, queued bytes, a failure to tell. */
static void
link_settle(struct link *l)
{
	struct call *c;

	if (l->freed)
		return;
	if (l->streams_done)
		stream_reap_done(l);
	if (l->freed)
		return;
	if (l->out_off < l->out.len)
		link_flush(l);
	if (l->starved && !l->failed && link_queued(l) < LINK_QUEUE_MAX / 4)
		stream_wake_starved(l);
	if (!l->failed || l->closed || l->freed)
		return;
	l->closed = true;
	while (!l->freed && (c = TAILQ_FIRST(&l->calls_in_order)) != NULL) {
		link_reply *cb = c->cb;
		void *ctx = c->ctx;

		link_call_cancel(l, c->id);
		cb(l, fail(E_CLOSED), 0, NULL, ctx);
	}
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
		read_some(l);
	/* Writing happens in on_check, which comes right after. */
}

static void
on_timer(uv_timer_t *handle)
{
	struct link *l = handle->data;
	uint64_t now = uv_now(l->loop);
	struct call *c, *next;

	for (c = TAILQ_FIRST(&l->calls_in_order); c != NULL; c = next) {
		link_reply *cb = c->cb;
		void *ctx = c->ctx;

		next = TAILQ_NEXT(c, in_order);
		if (c->deadline_ms > now)
			continue;
		link_call_cancel(l, c->id);
		cb(l, fail(E_TIMEOUT), 0, NULL, ctx);
		if (l->freed)
			return;
		next = TAILQ_FIRST(&l->calls_in_order); /* the callback may have changed the list */
	}
	if (l->ncalls == 0)
		(void)uv_timer_stop(&l->timer);
}

/* ---- receiving ---- */

static void
read_some(struct link *l)
{
	if (l->dispatching)
		return;
	for (int i = 0; i < LINK_READS_PER_TURN && !l->failed && !l->freed; i++) {
		size_t before = l->in.len;
		struct status st = l->transport.ops->read(
		    &l->transport, &l->in, l->in_fds, LINK_IN_FDS_MAX, &l->nin_fds);

		if (st.code == E_AGAIN)
			return;
		if (!is_ok(st)) {
			link_fail(l, st.code == E_EOF || st.code == E_SYS ? fail(E_CLOSED) : st);
			return;
		}
		dispatch(l);
		if (l->in.len - before < TRANSPORT_READ_LEN && i > 0)
			return;
	}
}

void
link_pump(struct link *l)
{
	if (l != NULL && !l->failed && !l->freed)
		read_some(l);
}

int
link_take_fd(struct link *l)
{
	if (l->next_msg_fd >= l->nmsg_fds)
		return -1;
	return l->msg_fds[l->next_msg_fd++];
}

static struct status
frame_fds(struct link *l, uint8_t n)
{
	if (n > LINK_FDS_MAX || n > l->nin_fds)
		return fail(E_PROTO);
	memcpy(l->msg_fds, l->in_fds, n * sizeof(int));
	l->nin_fds -= n;
	memmove(l->in_fds, l->in_fds + n, l->nin_fds * sizeof(int));
	l->nmsg_fds = n;
	l->next_msg_fd = 0;
	return OK;
}

static struct call *
call_find(struct link *l, uint64_t id)
{
	struct call *c;

	LIST_FOREACH(c, &l->calls[(id >> 1) % LINK_BUCKETS], in_bucket)
	{
		if (c->id == id)
			return c;
	}
	return NULL;
}

static const struct link_rule *
rule_find(const struct link *l, uint16_t type)
{
	for (size_t i = 0; i < l->ops->nrules; i++) {
		if (l->ops->rules[i].type == type)
			return &l->ops->rules[i];
	}
	return NULL;
}

static struct status
dispatch_rule(struct link *l, const struct frame *f, const void *msg)
{
	const struct link_rule *r = rule_find(l, f->type);
	bool ours = f->id != 0 && (f->id & 1) == (l->a_end ? 1U : 0U);

	if (r == NULL)
		return ours ? OK : fail(E_PROTO); /* a reply that came too late is no fault */
	if (r->states != 0 && (r->states & l->states) == 0)
		return fail(E_PROTO);
	r->fn(l, f->id, msg, l->ctx);
	if (!l->freed && l->edge->streams && !ours && f->id != 0 && stream_find(l, f->id) == NULL) {
		const struct frame refuse = { .kind = FRAME_CANCEL, .id = f->id };

		return link_queue(l, &refuse, SPAN_EMPTY, NULL, 0);
	}
	return OK;
}

static struct status
dispatch_msg(struct link *l, const struct frame *f, struct span payload)
{
	const struct wire_msg *m;
	struct call *c = call_find(l, f->id);
	struct stream *s = stream_find(l, f->id);
	void *msg;

	if (f->type >= l->edge->nmsgs || l->edge->msgs[f->type].name == NULL)
		return fail(E_PROTO);
	m = &l->edge->msgs[f->type];
	if ((m->dir & (l->a_end ? WIRE_B_TO_A : WIRE_A_TO_B)) == 0)
		return fail(E_PROTO);
	arena_reset(&l->arena);
	msg = arena_alloc(&l->arena, m->table.size);
	if (msg == NULL)
		return fail(E_NOMEM);
	TRY(wire_decode(&m->table, payload, &l->arena, msg));
	if (c != NULL) {
		link_reply *cb = c->cb;
		void *ctx = c->ctx;

		link_call_cancel(l, c->id);
		cb(l, OK, f->type, msg, ctx);
		return OK;
	}
	if (s != NULL) {
		stream_on_msg(s, f->type, msg);
		return OK;
	}
	return dispatch_rule(l, f, msg);
}

static struct status
dispatch_frame(struct link *l, const struct frame *f, struct span payload)
{
	struct status st;

	TRY(frame_fds(l, f->nfds));
	if (f->kind == FRAME_MSG)
		st = dispatch_msg(l, f, payload);
	else
		st = l->edge->streams ? stream_on_frame(l, f, payload) : fail(E_PROTO);
	for (size_t i = l->next_msg_fd; i < l->nmsg_fds; i++)
		(void)close(l->msg_fds[i]);
	l->nmsg_fds = l->next_msg_fd = 0;
	return st;
}

static bool
next_frame(struct link *l, struct frame *f, struct span *payload)
{
	struct span rest = span_from(buf_span(&l->in), l->in_off);

	if (rest.len < FRAME_HEAD_LEN)
		return false;
	*f = (struct frame){ .len = (uint32_t)get_be(rest.ptr, 4),
		.kind = rest.ptr[4],
		.nfds = rest.ptr[5],
		.type = (uint16_t)get_be(rest.ptr + 6, 2),
		.id = get_be(rest.ptr + 8, 8) };
	if (f->len > WIRE_PAYLOAD_MAX || f->kind == 0 || f->kind >= FRAME_KIND_COUNT) {
		link_fail(l, fail(E_PROTO));
		return false;
	}
	if (rest.len - FRAME_HEAD_LEN < f->len)
		return false;
	*payload = span_of(rest.ptr + FRAME_HEAD_LEN, f->len);
	l->in_off += FRAME_HEAD_LEN + f->len;
	return true;
}

static void
dispatch(struct link *l)
{
	struct frame f;
	struct span payload;

	l->dispatching = true;
	while (!l->failed && !l->freed && next_frame(l, &f, &payload)) {
		struct status st = dispatch_frame(l, &f, payload);

		if (!is_ok(st))
			link_fail(l, st);
	}
	l->dispatching = false;
	buf_shift(&l->in, l->in_off);
	l->in_off = 0;
}

/* ---- calls ---- */

struct status
link_call(struct link *l, uint16_t type, const void *msg, uint32_t timeout_ms, link_reply *cb,
    void *ctx, uint64_t *ret_id)
{
	struct call *c;
	struct status st;

	if (l->ncalls >= LINK_CALLS_MAX)
		return fail(E_FULL);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return fail(E_NOMEM);
	c->id = link_new_id(l);
	c->cb = cb;
	c->ctx = ctx;
	c->deadline_ms = uv_now(l->loop) + timeout_ms;
	st = link_send(l, c->id, type, msg);
	if (!is_ok(st)) {
		free(c);
		return st;
	}
	LIST_INSERT_HEAD(&l->calls[(c->id >> 1) % LINK_BUCKETS], c, in_bucket);
	TAILQ_INSERT_TAIL(&l->calls_in_order, c, in_order);
	if (l->ncalls++ == 0)
		(void)uv_timer_start(&l->timer, on_timer, LINK_TICK_MS, LINK_TICK_MS);
	if (ret_id != NULL)
		*ret_id = c->id;
	return OK;
}

void
link_call_cancel(struct link *l, uint64_t id)
{
	struct call *c = call_find(l, id);

	if (c == NULL)
		return;
	LIST_REMOVE(c, in_bucket);
	TAILQ_REMOVE(&l->calls_in_order, c, in_order);
	l->ncalls--;
	free(c);
}
