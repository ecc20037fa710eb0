/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_session.c: what nghttp2 is told, and what it tells.
 *
 * Runs in: broker. Trusts: nghttp2 for frames, HPACK and windows, and nothing that it decoded: its
 * own checks of messages are off, ours are those of HTTP/1.1.
 * Owns: nghttp2's memory, which is wiped when it is given back: answers may echo a credential.
 * Invariants: nobody pushes; no field of an answer is kept beyond it (the peer may index none); too
 * many frames that carry nothing end the connection; the connection's window is given back as
 * bytes come, so that no stream waits for another.
 * See: h2_conn.c, h2_exchange.c, lib/http/h2_flood.c; RFC 9113; nghttp2_session_client_new3(3).
 */
#include "h2_internal.h"

#include <stdlib.h>

#include <crypto/secret.h>

/* ---- memory ---- */
#define MEM_HEAD 16 /* keeps what follows aligned */

static void *
mem_malloc(size_t size, void *ctx)
{
	uint8_t *p = size > SIZE_MAX - MEM_HEAD ? NULL : malloc(size + MEM_HEAD);

	(void)ctx;
	if (p == NULL)
		return NULL;
	memcpy(p, &size, sizeof(size));
	return p + MEM_HEAD;
}

static size_t
mem_size(const uint8_t *p)
{
	size_t size;

	memcpy(&size, p - MEM_HEAD, sizeof(size));
	return size;
}

static void
mem_free(void *p, void *ctx)
{
	(void)ctx;
	if (p == NULL)
		return;
	secret_wipe(p, mem_size(p));
	free((uint8_t *)p - MEM_HEAD);
}

static void *
mem_calloc(size_t n, size_t size, void *ctx)
{
	size_t len;
	void *p;

	if (__builtin_mul_overflow(n, size, &len))
		return NULL;
	p = mem_malloc(len, ctx);
	if (p != NULL)
		memset(p, 0, len);
	return p;
}

/* Not realloc(3), which leaves a copy behind. */
static void *
mem_realloc(void *p, size_t size, void *ctx)
{
	size_t old = p == NULL ? 0 : mem_size(p);
	void *q = mem_malloc(size, ctx);

	if (q == NULL)
		return NULL;
	if (old > 0)
		memcpy(q, p, old < size ? old : size);
	mem_free(p, ctx);
	return q;
}

/* ---- what nghttp2 tells ---- */
static struct h2_stream *
stream_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

/* One more; too many of them end the connection. */
static int
flood(struct h2_conn *h, enum h2_flood kind)
{
	if (h2_flood_ok(&h->meters, kind, h2_now(h)))
		return 0;
	h->calm = true;
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int
on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *ctx)
{
	struct h2_conn *h = ctx;
	struct h2_stream *s = stream_of(session, hd->stream_id);

	if (hd->type == NGHTTP2_PUSH_PROMISE)
		return NGHTTP2_ERR_CALLBACK_FAILURE; /* it was told not to */
	if (s != NULL && (hd->type == NGHTTP2_DATA || hd->type == NGHTTP2_HEADERS ||
			     hd->type == NGHTTP2_CONTINUATION))
		s->bytes_in += hd->length + H2_FRAME_HEAD_LEN;
	if (hd->type == NGHTTP2_CONTINUATION && ++h->continuations > H2_CONTINUATIONS_MAX) {
		h->calm = true;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	return flood(h, h2_flood_of_frame(hd->type));
}

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2_conn *h = ctx;

	(void)session, (void)frame;
	h->continuations = 0;
	return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	struct span n = span_of(name, name_len), v = span_of(value, value_len);
	struct h2_conn *h = ctx;

	(void)flags;
	if (n.len == 0 && flood(h, H2_EMPTY) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (s == NULL || !h2_stream_waits(s))
		return 0;
	if (s->state == H2_BODY) {
		(void)http_h2_response_trailer(s->answer, n, v); /* told at its end */
	} else if (!http_h2_response_field(s->answer, n, v)) {
		h->calm = true;
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	return 0;
}

static void
on_headers(struct h2_stream *s, bool end)
{
	if (s->state == H2_HEAD)
		h2_stream_head(s, end);
	else
		h2_stream_trailers(s, end);
}

static int
on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	struct h2_conn *h = ctx;

	if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
		h->settled = true;
		h->pool_ops->on_room(h, h->pool);
	}
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		h->going = true;
		if (frame->goaway.error_code == NGHTTP2_HTTP_1_1_REQUIRED)
			(void)h->pool_ops->on_http1(h, h->pool);
	}
	if (frame->hd.type == NGHTTP2_HEADERS && s != NULL)
		on_headers(s, end);
	if (frame->hd.type == NGHTTP2_HEADERS && !end && s != NULL && s->state == H2_OVER)
		return flood(h, H2_EMPTY);
	if (frame->hd.type == NGHTTP2_DATA && !end && frame->hd.length == frame->data.padlen)
		return flood(h, H2_EMPTY);
	if (frame->hd.type == NGHTTP2_DATA && end && s != NULL)
		h2_stream_end(s);
	return 0;
}

/* The bytes lie in our own buffer, in h2_conn.c. */
static int
on_data(
    nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
	struct h2_stream *s = stream_of(session, id);

	(void)flags, (void)ctx;
	(void)nghttp2_session_consume_connection(session, len);
	if (s != NULL)
		h2_stream_body(s, (uint8_t *)(uintptr_t)data, len);
	return 0;
}

static int
on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2_stream *s = stream_of(session, frame->hd.stream_id);
	struct h2_conn *h = ctx;

	if (frame->hd.type == NGHTTP2_DATA)
		h2_flood_data_sent(&h->meters);
	if (frame->hd.type == NGHTTP2_HEADERS)
		h2_flood_request_sent(&h->meters);
	if (s != NULL && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
		h2_stream_sent(s, frame);
	return 0;
}

static int
on_stream_closed(nghttp2_session *session, int32_t id, uint32_t why, void *ctx)
{
	struct h2_stream *s = stream_of(session, id);
	struct h2_conn *h = ctx;

	if (s != NULL)
		h2_stream_closed(s, why);
	h->idle_ms = h2_now(h);
	h->pool_ops->on_room(h, h->pool);
	return 0;
}

/* ---- what it is told ---- */
static int
make(struct h2_conn *h, nghttp2_session_callbacks *cb, nghttp2_option *o)
{
	static nghttp2_mem mem = { NULL, mem_malloc, mem_free, mem_calloc, mem_realloc };

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
	nghttp2_option_set_peer_max_concurrent_streams(o, H2_STREAMS_MAX);
	nghttp2_option_set_max_settings(o, H2_SETTINGS_MAX);
	nghttp2_option_set_max_outbound_ack(o, H2_ACKS_MAX);
	return nghttp2_session_client_new3(&h->session, cb, h, o, &mem);
}

struct status
h2_session_new(struct h2_conn *h)
{
	/* A table of 0: else an echoed credential could stay in it as long as the connection. */
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0 },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_LINE_LEN_MAX + HTTP_HEADER_LEN_MAX },
		{ NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
	};
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *o = NULL;
	int rc = nghttp2_session_callbacks_new(&cb);

	if (rc == 0)
		rc = nghttp2_option_new(&o);
	if (rc == 0)
		rc = make(h, cb, o);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	if (rc == 0)
		rc = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
		    sizeof(settings) / sizeof(settings[0]));
	if (rc == 0)
		rc = nghttp2_session_set_local_window_size(
		    h->session, NGHTTP2_FLAG_NONE, 0, H2_CONN_WINDOW);
	return rc == 0 ? OK : fail(E_NOMEM);
}
