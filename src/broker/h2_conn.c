/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_conn.c: one connection of HTTP/2 with a provider: its bytes, its times, its end.
 *
 * Runs in: broker. Trusts: nothing that the other side sends.
 * Owns: the stream of bytes, its poll and timer handles, the session, the streams that are
 * nobody's any more. What is read lies on the stack, and is wiped.
 * Invariants: nothing of an exchange is told from within what its user calls; every wait has a
 * deadline, and a connection that went silent is found out by a PING; with the connection every
 * exchange on it ends; memory goes with the last of handles and exchanges.
 * See: h2.h, h2_session.c, h2_exchange.c, h2_out.c; conn.c, which does the same for HTTP/1.1.
 */
#include "h2_internal.h"

#include <assert.h>
#include <stdlib.h>

#include <crypto/secret.h>
#include <daemon/daemon.h>

static void on_poll(uv_poll_t *handle, int status, int events);
static void on_timer(uv_timer_t *handle);
static bool read_once(struct h2_conn *h);
static void end(struct h2_conn *h, enum error why);
static void end_if_over(struct h2_conn *h);

/* ---- life ---- */
void
h2_conn_unref(struct h2_conn *h)
{
	if (--h->refs > 0)
		return;
	assert(h->session == NULL && TAILQ_EMPTY(&h->streams));
	free(h);
}

static void
on_handle_closed(uv_handle_t *handle)
{
	h2_conn_unref(handle->data);
}

struct status
h2_conn_new(uv_loop_t *loop, const struct io *io, bool secure, const struct exchange_limits *limits,
    const struct h2_pool_ops *ops, void *pool, struct h2_conn **ret)
{
	struct h2_conn *h = calloc(1, sizeof(*h));
	struct status st;

	if (h == NULL)
		return fail(E_NOMEM);
	TAILQ_INIT(&h->streams);
	h2_out_init(&h->out);
	st = h2_session_new(h);
	if (is_ok(st) && uv_poll_init(loop, &h->poll, io->fd) != 0)
		st = fail(E_SYS);
	if (!is_ok(st)) {
		nghttp2_session_del(h->session);
		free(h);
		return st;
	}
	(void)uv_timer_init(loop, &h->timer);
	h->poll.data = h->timer.data = h;
	h->refs = 2;
	h->io = *io;
	h->secure = secure;
	h->limits = exchange_limits_of(limits);
	h->pool_ops = ops;
	h->pool = pool;
	h->began_ms = h->heard_ms = h->idle_ms = h2_now(h);
	h2_flood_init(&h->meters, h2_now(h));
	h2_conn_due(h, h->began_ms + H2_SETTLE_MS);
	h2_conn_turn(h);
	*ret = h;
	return OK;
}

/* Once: when it is closed and nobody has anything of it. */
static void
gone(struct h2_conn *h)
{
	if (!h->closed || h->held > 0 || h->gone)
		return;
	h->gone = true;
	h->pool_ops->on_gone(h, h->pool);
}

static void
close_io(struct h2_conn *h)
{
	h->closed = h->going = true;
	(void)uv_poll_stop(&h->poll);
	(void)uv_timer_stop(&h->timer);
	h->io.ops->close(&h->io);
	nghttp2_session_del(h->session);
	h->session = NULL;
	h2_out_done(&h->out);
	uv_close((uv_handle_t *)&h->poll, on_handle_closed);
	uv_close((uv_handle_t *)&h->timer, on_handle_closed);
}

/* It is over, and with it all that it carries: each is told, which may free it and others. */
static void
end(struct h2_conn *h, enum error why)
{
	struct h2_stream *s, *next;

	if (h->closed)
		return;
	close_io(h);
	h->busy = true;
	do {
		for (s = TAILQ_FIRST(&h->streams); s != NULL && !s->live; s = next)
			next = TAILQ_NEXT(s, next);
		if (s != NULL)
			h2_stream_lost(s, why);
	} while (s != NULL);
	h->busy = false;
	gone(h);
}

/* With a GOAWAY, as far as it can be written at once. */
static void
end_politely(struct h2_conn *h, uint32_t code, enum error why)
{
	(void)nghttp2_session_terminate_session(h->session, code);
	h->going = h->broken = true; /* no turn of its own */
	h2_conn_turn(h);
	end(h, why);
}

static void
end_if_over(struct h2_conn *h)
{
	if (h->closed || h->busy)
		return;
	if (nghttp2_session_want_read(h->session) == 0 &&
	    nghttp2_session_want_write(h->session) == 0 && h2_out_empty(&h->out))
		end(h, ERROR_UPSTREAM); /* nghttp2 found a fault, and has said so */
	else if (h->going && h->held == 0 && h->live == 0 && !h->broken)
		end_politely(h, NGHTTP2_NO_ERROR, ERROR_UPSTREAM);
}

void
h2_conn_shut(struct h2_conn *h)
{
	h->going = true;
	end_if_over(h);
}

/* ---- for the pool ---- */
size_t
h2_conn_capacity(const struct h2_conn *h)
{
	uint32_t theirs;

	if (!h->settled || h->session == NULL)
		return 0;
	theirs = nghttp2_session_get_remote_settings(
	    h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	return theirs < H2_STREAMS_MAX ? theirs : H2_STREAMS_MAX;
}

bool
h2_conn_settling(const struct h2_conn *h)
{
	return !h->settled && !h->going && !h->broken;
}

/* Streams that are nghttp2's or will be. */
static size_t
taken(const struct h2_conn *h)
{
	const struct h2_stream *s;
	size_t n = h->live;

	TAILQ_FOREACH(s, &h->streams, next)
	{
		n += s->state == H2_NEW;
	}
	return n;
}

size_t
h2_conn_room(const struct h2_conn *h)
{
	size_t most = h->settled ? h2_conn_capacity(h) : 1, now;

	if (h->going || h->broken)
		return 0;
	now = taken(h);
	return now < most ? most - now : 0;
}

bool
h2_conn_refuses(const struct h2_conn *h)
{
	return h->refuses;
}

struct status
h2_conn_open(struct h2_conn *h, struct exchange **ret)
{
	struct h2_stream *s = h2_stream_new(h);

	if (s == NULL)
		return fail(E_NOMEM);
	h->held++;
	h->refs++;
	*ret = &s->exchange;
	return OK;
}

void
h2_conn_given_back(struct h2_conn *h)
{
	h->held--;
	h->idle_ms = h2_now(h);
	if (!h->closed) {
		h2_conn_due(h, h->idle_ms + EXCHANGE_KEPT_MS);
		h->pool_ops->on_room(h, h->pool);
		h2_conn_turn(h); /* a reset goes out at once */
	}
	gone(h);
	h2_conn_unref(h);
}

/* ---- time ---- */
void
h2_conn_due(struct h2_conn *h, uint64_t due_ms)
{
	uint64_t now = h2_now(h);

	if (h->closed || (uv_is_active((uv_handle_t *)&h->timer) && h->armed_ms <= due_ms))
		return;
	h->armed_ms = due_ms;
	(void)uv_timer_start(&h->timer, on_timer, due_ms > now ? due_ms - now : 0, 0);
}

/* Those that waited too long. A callback may free others. */
static void
end_late(struct h2_conn *h)
{
	struct h2_stream *s;

	do {
		TAILQ_FOREACH(s, &h->streams, next)
		{
			if (h2_stream_waits(s) && s->due_ms <= h2_now(h))
				break;
		}
		if (s != NULL)
			h2_stream_timed_out(s);
	} while (s != NULL);
}

/* Is anybody there? False: nobody. */
static bool
sound(struct h2_conn *h)
{
	uint64_t now = h2_now(h);

	if (!h->settled && now - h->began_ms >= H2_SETTLE_MS)
		return false;
	h->pinged = h->pinged && h->heard == h->pinged_heard;
	if (h->pinged)
		return now - h->pinged_ms < H2_PONG_MS;
	if (h->live > 0 && now - h->heard_ms >= H2_QUIET_MS) {
		(void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
		h->pinged = true;
		h->pinged_ms = now;
		h->pinged_heard = h->heard;
	}
	return true;
}

static void
arm(struct h2_conn *h)
{
	const struct h2_stream *s;

	if (!h->settled)
		h2_conn_due(h, h->began_ms + H2_SETTLE_MS);
	if (h->held == 0)
		h2_conn_due(h, h->idle_ms + EXCHANGE_KEPT_MS);
	if (h->live > 0)
		h2_conn_due(h, h->pinged ? h->pinged_ms + H2_PONG_MS : h->heard_ms + H2_QUIET_MS);
	TAILQ_FOREACH(s, &h->streams, next)
	{
		if (h2_stream_waits(s))
			h2_conn_due(h, s->due_ms);
	}
}

static void
on_timer(uv_timer_t *handle)
{
	struct h2_conn *h = handle->data;

	while (h->broken && !h->closed && read_once(h))
		;
	if (h->broken || !sound(h)) {
		end(h, ERROR_UPSTREAM);
		return;
	}
	h->busy = true;
	end_late(h);
	h->busy = false;
	if (h->held == 0 && h->live == 0 && h2_now(h) >= h->idle_ms + EXCHANGE_KEPT_MS)
		h->going = true;
	h2_conn_turn(h);
	if (!h->closed)
		arm(h);
}

/* ---- writing ---- */
/*
 * One frame. Of a HEADERS of ours the last bytes are zeros that stand for its secret: it goes in
 * between what is before and after them (see add_secret() in h2_exchange.c).
 */
static struct status
put_frame(struct h2_conn *h, struct span frame)
{
	struct h2_stream *s = NULL;
	size_t n;

	if (frame.len > H2_FRAME_HEAD_LEN && frame.ptr[3] == NGHTTP2_HEADERS)
		s = nghttp2_session_get_stream_user_data(h->session,
		    (int32_t)((uint32_t)(frame.ptr[5] & 0x7f) << 24 | (uint32_t)frame.ptr[6] << 16 |
			      (uint32_t)frame.ptr[7] << 8 | frame.ptr[8]));
	n = s == NULL ? 0 : s->secret.len;
	if (n == 0)
		return h2_out_put(&h->out, frame);
	/* Ours: one frame, and nothing behind the secret. */
	assert(n < frame.len && memcmp(frame.ptr + frame.len - n, h2_blank(n).ptr, n) == 0);
	TRY(h2_out_put(&h->out, span_of(frame.ptr, frame.len - n)));
	h2_out_put_secret(&h->out, s->secret, s);
	return OK;
}

static struct status
fill(struct h2_conn *h)
{
	while (!h2_out_full(&h->out)) {
		const uint8_t *data = NULL;
		ssize_t n = nghttp2_session_mem_send(h->session, &data);

		if (n == 0)
			return OK;
		if (n < 0)
			return fail(E_NOMEM);
		TRY(put_frame(h, span_of(data, (size_t)n)));
	}
	return OK;
}

static struct status
write_out(struct h2_conn *h)
{
	for (;;) {
		struct span parts[CONN_PARTS];
		size_t n = 0, count;

		TRY(fill(h));
		count = h2_out_parts(&h->out, parts);
		if (count == 0)
			return OK;
		TRY(h->io.ops->write(&h->io, parts, count, &n));
		h2_out_advance(&h->out, n);
	}
}

static void
poll_for(struct h2_conn *h, int events)
{
	if (events == h->events)
		return;
	h->events = events;
	(void)uv_poll_start(&h->poll, events, on_poll);
}

void
h2_conn_turn(struct h2_conn *h)
{
	struct status st;

	if (h->busy || h->closed)
		return;
	h->busy = true;
	st = write_out(h);
	h->busy = false;
	if (h->broken)
		return;
	if (is_ok(st)) {
		poll_for(h, UV_READABLE);
	} else if (st.code == E_AGAIN) {
		poll_for(h, UV_READABLE | h->io.ops->wants(&h->io, UV_WRITABLE));
	} else { /* whoever hangs up may have said why before: it is read first */
		h->broken = true;
		poll_for(h, UV_READABLE);
		h2_conn_due(h, 0);
		return;
	}
	end_if_over(h);
}

/* ---- reading ---- */
/* Of what it said wrongly, or too often. */
static void
leave(struct h2_conn *h, ssize_t rc)
{
	uint32_t code = NGHTTP2_PROTOCOL_ERROR;

	if (h->calm || rc == NGHTTP2_ERR_FLOODED)
		code = NGHTTP2_ENHANCE_YOUR_CALM;
	else if (rc == NGHTTP2_ERR_NOMEM)
		code = NGHTTP2_INTERNAL_ERROR;
	if (code == NGHTTP2_ENHANCE_YOUR_CALM)
		daemon_metric_add(METRIC_UPSTREAM_HTTP2_FLOODS, 1);
	end_politely(h, code, ERROR_UPSTREAM);
}

static void
on_poll(uv_poll_t *handle, int status, int events)
{
	struct h2_conn *h = handle->data;

	(void)events;     /* reading and writing tell themselves */
	if (status < 0) { /* libuv stopped watching */
		h->broken = true;
		h->events = 0;
	}
	while (!h->closed && read_once(h))
		;
	if (h->broken && !h->closed)
		end(h, ERROR_UPSTREAM);
	h2_conn_turn(h);
}

/* Read and hand out one piece. True: there is more that no poll would tell of. */
static bool
read_once(struct h2_conn *h)
{
	uint8_t buf[CONN_READ_LEN];
	struct status st;
	size_t n = 0;
	ssize_t rc;

	st = h->io.ops->read(&h->io, buf, sizeof(buf), &n);
	if (st.code == E_AGAIN)
		return false;
	if (!is_ok(st)) {
		end(h, ERROR_UPSTREAM);
		return false;
	}
	h->heard += n;
	h->heard_ms = h2_now(h);
	h->busy = true;
	rc = nghttp2_session_mem_recv(h->session, buf, n);
	h->busy = false;
	secret_wipe(buf, n);
	if (rc < 0) {
		leave(h, rc);
		return false;
	}
	return h->broken || h->io.ops->pending(&h->io);
}
