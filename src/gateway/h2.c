/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2.c: HTTP/2 on a connection: the session, what it waits for, how it ends.
 *
 * Runs in: gateway. Trusts: nghttp2 for frames, HPACK and windows, and nothing
 * that it decoded: its own checks of messages are off, ours are those of HTTP/1.1.
 * Owns: the session and its streams.
 * Invariants: nothing is read while OUT_SOFT_MAX is unsent, so that what nghttp2
 * keeps to be sent is bounded by one event's input; nothing is given to the socket's
 * output before there is room, so that a stream's answer waits in its own share.
 * See: conn.h; h2_stream.c, h2_reply.c, lib/http/h2_flood.c; RFC 9113.
 */
#include "h2.h"

#include <stdlib.h>

static bool fill(struct conn *c);
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *ctx);
static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx);
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *ctx);
static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx);
static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
    size_t len, void *ctx);
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *ctx);
static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t why, void *ctx);

/* ---- life ---- */

static void
free_h2(struct conn *c)
{
	struct h2 *h = h2_of(c);
	struct h2_stream *s;

	if (h == NULL)
		return;
	while ((s = TAILQ_FIRST(&h->streams)) != NULL)
		h2_stream_free(s);
	nghttp2_session_del(h->session);
	free(h);
	c->proto = NULL;
}

static int
session_new(struct conn *c, nghttp2_session_callbacks *cb, nghttp2_option *o)
{
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_closed);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_http_messaging(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_settings(o, H2_SETTINGS_MAX);
	nghttp2_option_set_max_outbound_ack(o, H2_ACKS_MAX);
	return nghttp2_session_server_new2(&h2_of(c)->session, cb, c, o);
}

static struct status
start_session(struct conn *c)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->g->h2_streams_max },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_LINE_LEN_MAX + HTTP_HEADER_LEN_MAX },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *o = NULL;
	int rc = nghttp2_session_callbacks_new(&cb);

	if (rc == 0)
		rc = nghttp2_option_new(&o);
	if (rc == 0)
		rc = session_new(c, cb, o);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	if (rc == 0)
		rc = nghttp2_submit_settings(h2_of(c)->session, NGHTTP2_FLAG_NONE, settings,
		    sizeof(settings) / sizeof(settings[0]));
	return rc == 0 ? OK : fail(E_NOMEM);
}

static struct status
start_h2(struct conn *c)
{
	struct h2 *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return fail(E_NOMEM);
	c->proto = h;
	TAILQ_INIT(&h->streams);
	TAILQ_INIT(&h->early);
	TAILQ_INIT(&h->ended);
	TAILQ_INIT(&h->starved);
	h2_flood_init(&h->meters, gateway_now(c->g));
	TRY(start_session(c));
	daemon_metric_add(METRIC_HTTP2_CONNECTIONS, 1);
	conn_arm(c, TIMEOUT_HEADER);
	conn_mark(c);
	return OK;
}

static void
left_h2(struct conn *c)
{
	struct h2_stream *s;

	TAILQ_FOREACH(s, &h2_of(c)->streams, next)
	{
		h2_stream_leave(s);
	}
}

/* ---- the end ---- */

/* What came so far is answered, nothing else. */
static void
go_away(struct conn *c)
{
	struct h2 *h = h2_of(c);

	if (h->away)
		return;
	h->away = true;
	(void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0);
	conn_mark(c);
}

void
h2_send_away(struct conn *c, uint32_t why)
{
	struct h2 *h = h2_of(c);

	if (h->sent_away)
		return;
	h->sent_away = true;
	if (why == NGHTTP2_ENHANCE_YOUR_CALM)
		daemon_metric_add(METRIC_HTTP2_FLOODS, 1);
	(void)nghttp2_session_terminate_session(h->session, why);
	conn_mark(c);
}

/*
 * The worker was replaced. Some clients give up streams under way when they hear of a
 * GOAWAY: it is said between requests, and among them only when the grace is over.
 * Streams beyond it are not looked at; their clients may send them anew.
 */
static void
drain_h2(struct conn *c, bool now)
{
	struct h2 *h = h2_of(c);

	if (now || (h->nstreams == 0 && h->served))
		go_away(c);
	if (!now || h->nstreams > 0)
		return;
	if (fill(c) && conn_flush(c))
		(void)is_ok(tls_shutdown(c->tls));
	conn_close(c);
}

static bool
over_h2(const struct conn *c)
{
	(void)c;
	return true;
}

static void
timed_out_h2(struct conn *c)
{
	if (h2_of(c)->in_head)
		h2_send_away(c, NGHTTP2_ENHANCE_YOUR_CALM);
	else
		go_away(c);
}

/* ---- bytes ---- */

static bool
wants_input_h2(const struct conn *c)
{
	return !conn_full(c);
}

static bool
take_h2(struct conn *c, struct span in)
{
	struct h2 *h = h2_of(c);
	ssize_t rc = nghttp2_session_mem_recv(h->session, in.ptr, in.len);

	if (rc == NGHTTP2_ERR_FLOODED || rc == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
		h2_send_away(c, NGHTTP2_ENHANCE_YOUR_CALM);
	else if (rc < 0)
		h2_send_away(
		    c, rc == NGHTTP2_ERR_NOMEM ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_PROTOCOL_ERROR);
	h2_streams_check(h);
	conn_mark(c);
	return c->state != CONN_CLOSED;
}

/* Only what the socket may take soon: the rest waits in the streams. False: no memory. */
static bool
fill(struct conn *c)
{
	while (!conn_full(c)) {
		const uint8_t *data = NULL;
		ssize_t n = nghttp2_session_mem_send(h2_of(c)->session, &data);

		if (n <= 0)
			return n == 0;
		h2_of(c)->wrote = true;
		if (!is_ok(buf_put(&c->out, data, (size_t)n)))
			return false;
	}
	return true;
}

/* Which timeout runs: one for a header block, one between requests; bodies have their own. */
static void
arm(struct conn *c)
{
	const struct h2 *h = h2_of(c);

	if (h->in_head)
		conn_arm(c, TIMEOUT_HEADER);
	else if (h->nstreams == 0)
		conn_arm(c, h->served ? TIMEOUT_IDLE : TIMEOUT_HEADER);
	else
		conn_disarm(c);
}

static void
settle_h2(struct conn *c)
{
	struct h2 *h = h2_of(c);
	bool ok;

	h->wrote = false;
	h2_streams_part(h);
	if (h->sent_away)
		left_h2(c);
	ok = fill(c);
	if (ok && (c->g->d->draining || conn_is_expired(c))) {
		drain_h2(c, false); /* together with the last answer: before the next request */
		ok = fill(c);
	}
	if (!ok) {
		conn_close(c);
		return;
	}
	if (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session)) {
		left_h2(c); /* also when nghttp2 found the fault */
		c->close_after = true;
	}
	arm(c);
}

static void
sent_h2(struct conn *c, bool was_full)
{
	struct h2 *h = h2_of(c);

	h2_streams_wake(h);
	/* What was full took nothing from the session in this turn, and no poll tells of room. */
	if ((h->wrote || was_full) && conn_unsent(c) == 0 && nghttp2_session_want_write(h->session))
		conn_mark(c);
}

static void
eof_h2(struct conn *c)
{
	conn_close(c);
}

bool
h2_flood(struct conn *c, enum h2_flood kind)
{
	if (h2_flood_ok(&h2_of(c)->meters, kind, gateway_now(c->g)))
		return true;
	h2_send_away(c, NGHTTP2_ENHANCE_YOUR_CALM);
	return false;
}

/* ---- what nghttp2 tells ---- */

static struct h2_stream *
stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* Frames that are floods when there are many of them. */
static int
on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *ctx)
{
	struct conn *c = ctx;

	(void)session;
	if (hd->type == NGHTTP2_RST_STREAM)
		daemon_metric_add(METRIC_HTTP2_RESETS_IN, 1);
	if (hd->type == NGHTTP2_CONTINUATION && ++h2_of(c)->continuations > H2_CONTINUATIONS_MAX)
		h2_send_away(c, NGHTTP2_ENHANCE_YOUR_CALM);
	(void)h2_flood(c, h2_flood_of_frame(hd->type));
	return 0;
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	/* All streams get their turn: a long answer must not hold up another. */
	static const nghttp2_extpri fair = { .urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1 };
	struct conn *c = ctx;
	struct h2 *h = h2_of(c);
	struct h2_stream *s;

	h->continuations = 0;
	h->in_head = true;
	h->head_id = frame->hd.stream_id;
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = h2_stream_new(c, frame->hd.stream_id);
	if (s == NULL) {
		h->in_head = false;
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	(void)nghttp2_session_set_stream_user_data(session, s->id, s);
	(void)nghttp2_session_change_extpri_stream_priority(session, s->id, &fair, 1);
	return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
	struct conn *c = ctx;
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	struct span n = span_of(name, name_len), v = span_of(value, value_len);
	uint16_t rc = 0;

	(void)flags;
	if (s == NULL || h2_of(c)->sent_away || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (n.len == 0 && !h2_flood(c, H2_EMPTY))
		return 0;
	if (s->state == H2_HEAD) {
		if (!http_h2_request_field(s->head, n, v))
			h2_send_away(c, NGHTTP2_ENHANCE_YOUR_CALM);
	} else if (s->state != H2_ANSWER && s->fault == 0) {
		rc = http_h2_request_trailer(s->head, n, v);
	}
	if (rc != 0)
		h2_stream_fault(s, rc);
	return 0;
}

static void
on_headers(struct conn *c, struct h2_stream *s, bool end)
{
	h2_of(c)->in_head = false;
	if (s->state == H2_HEAD) {
		h2_stream_head(s, end);
		return;
	}
	if (end) {
		h2_stream_end(s);
		return;
	}
	(void)h2_flood(c, H2_EMPTY); /* trailers that are not the end: nonsense */
	h2_stream_fault(s, 400);
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct conn *c = ctx;
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	if (h2_of(c)->sent_away)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && s != NULL)
		on_headers(c, s, end);
	if (frame->hd.type == NGHTTP2_DATA && !end && frame->hd.length == frame->data.padlen)
		(void)h2_flood(c, H2_EMPTY);
	if (frame->hd.type == NGHTTP2_DATA && end && s != NULL)
		h2_stream_end(s);
	return 0;
}

static int
on_data(
    nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
	struct h2_stream *s = stream_of(session, id);

	(void)flags, (void)ctx;
	if (s != NULL)
		h2_stream_body(s, span_of(data, len));
	else
		(void)nghttp2_session_consume_connection(session, len);
	return 0;
}

static int
on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct conn *c = ctx;
	int32_t id = frame->hd.stream_id;

	if (frame->hd.type == NGHTTP2_DATA)
		h2_flood_data_sent(&h2_of(c)->meters);
	if (frame->hd.type == NGHTTP2_RST_STREAM) {
		daemon_metric_add(METRIC_HTTP2_RESETS_OUT, 1);
		(void)h2_flood(c, H2_RESETS_OUT);
	}
	if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
	    nghttp2_session_get_stream_remote_close(session, id) == 0)
		h2_stream_answered(stream_of(session, id));
	return 0;
}

static int
on_stream_closed(nghttp2_session *session, int32_t id, uint32_t why, void *ctx)
{
	struct h2_stream *s = stream_of(session, id);
	struct h2 *h = h2_of(ctx);

	(void)why;
	if (id == h->head_id)
		h->in_head = false; /* nobody tells of its end */
	if (s != NULL)
		h2_stream_free(s);
	return 0;
}

const struct protocol protocol_h2 = {
	.start = start_h2,
	.free = free_h2,
	.wants_input = wants_input_h2,
	.take = take_h2,
	.settle = settle_h2,
	.sent = sent_h2,
	.over = over_h2,
	.drain = drain_h2,
	.timed_out = timed_out_h2,
	.eof = eof_h2,
	.left = left_h2,
};
