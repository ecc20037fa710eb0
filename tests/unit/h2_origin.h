/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_H2_ORIGIN_H
#define TESTS_H2_ORIGIN_H

/*
 * A server of HTTP/2 in clear on a loopback socket: nghttp2's server session, which answers what
 * the test tells it to, and sends raw frames, however wrong.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <base/cleanup.h>

#include "unit.h"

#define H2O_CONNS_MAX 128
#define H2O_ANSWERS_MAX 1024
#define H2O_SEEN_MAX (8U << 20)

struct h2o_conn;

struct h2o_answer {
	struct h2o_conn *c;
	int32_t id;
	const char *text; /* of the body; NULL: bytes of 'x' */
	size_t len, off;
	bool open; /* … and more may come */
	bool trailer;
	size_t pad;
};

struct h2o_conn {
	struct h2_origin *o;
	uv_poll_t poll;
	int fd;
	nghttp2_session *session;
	struct buf raw; /* to be sent before anything else */
	struct buf seen;
	size_t off;
	struct buf out;
	bool open, mute;
	uint32_t goaway; /* code of the one that came */
	int goaways;
};

struct h2_origin {
	uv_loop_t *loop;
	uv_poll_t poll;
	int fd;
	uint16_t port;
	uint32_t streams_max; /* 0: does not say */
	uint32_t window;      /* of streams; 0: the usual one */
	bool no_settings;
	struct h2o_conn conns[H2O_CONNS_MAX];
	size_t nconns;
	struct h2o_answer answers[H2O_ANSWERS_MAX];
	size_t nanswers;
	void (*on_request)(struct h2o_conn *c, int32_t id);
	unsigned requests, resets;
	uint32_t reset; /* code of the last one */
	char fields[4096];
	struct buf body; /* of all requests */
	unsigned closed;
	size_t most_open, now_open;
};

static inline void
h2o_close(struct h2o_conn *c)
{
	if (!c->open)
		return;
	c->open = false;
	c->o->closed++;
	c->o->now_open--;
	(void)uv_poll_stop(&c->poll);
	uv_close((uv_handle_t *)&c->poll, NULL);
	nghttp2_session_del(c->session);
	(void)close(c->fd);
	buf_done(&c->raw);
	buf_done(&c->out);
	buf_done(&c->seen);
}

static inline void
h2o_send(struct h2o_conn *c)
{
	const uint8_t *data;
	ssize_t n;

	if (!c->open || c->mute)
		return;
	for (;;) {
		if (c->off == c->out.len) {
			buf_clear(&c->out);
			c->off = 0;
			if (c->raw.len > 0) {
				assert_true(is_ok(buf_put_span(&c->out, buf_span(&c->raw))));
				buf_clear(&c->raw);
			} else if ((n = nghttp2_session_mem_send(c->session, &data)) > 0) {
				assert_true(is_ok(buf_put(&c->out, data, (size_t)n)));
			} else {
				break;
			}
		}
		n = send(
		    c->fd, c->out.ptr + c->off, c->out.len - c->off, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			break;
		c->off += (size_t)n;
	}
	(void)uv_poll_start(&c->poll, c->off < c->out.len ? UV_READABLE | UV_WRITABLE : UV_READABLE,
	    c->poll.poll_cb);
}

/* ---- what comes ---- */
static inline int
h2o_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
	struct h2o_conn *c = ctx;
	size_t at = strlen(c->o->fields);

	(void)session, (void)frame;
	if (name_len > 6 && memcmp(name, ":method", 7) == 0)
		at = 0;
	(void)snprintf(c->o->fields + at, sizeof(c->o->fields) - at, "%.*s: %.*s%s\n",
	    (int)name_len, (const char *)name, (int)value_len, (const char *)value,
	    flags & NGHTTP2_NV_FLAG_NO_INDEX ? " (never indexed)" : "");
	return 0;
}

static inline int
h2o_data(
    nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
	struct h2o_conn *c = ctx;

	(void)session, (void)flags, (void)id;
	if (c->o->body.len + len < H2O_SEEN_MAX)
		assert_true(is_ok(buf_put(&c->o->body, data, len)));
	return 0;
}

static inline int
h2o_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct h2o_conn *c = ctx;

	(void)session;
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		c->goaways++;
		c->goaway = frame->goaway.error_code;
	}
	if (frame->hd.type == NGHTTP2_RST_STREAM) {
		c->o->resets++;
		c->o->reset = frame->rst_stream.error_code;
	}
	if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
		c->o->requests++;
		if (c->o->on_request != NULL)
			c->o->on_request(c, frame->hd.stream_id);
	}
	return 0;
}

static inline void
h2o_read(struct h2o_conn *c)
{
	uint8_t part[65536];
	ssize_t n;

	while (c->open && (n = recv(c->fd, part, sizeof(part), MSG_DONTWAIT)) != 0) {
		if (n < 0 && errno != EAGAIN)
			break;
		if (n < 0)
			return;
		if (c->seen.len < 65536)
			assert_true(is_ok(buf_put(&c->seen, part, (size_t)n)));
		(void)nghttp2_session_mem_recv(c->session, part, (size_t)n);
	}
	h2o_close(c);
}

static void
on_h2o_conn(uv_poll_t *p, int status, int events)
{
	struct h2o_conn *c = p->data;

	(void)status, (void)events;
	h2o_read(c);
	h2o_send(c);
}

static inline void
h2o_session(struct h2o_conn *c)
{
	nghttp2_settings_entry iv[2];
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *o = NULL;
	size_t n = 0;

	assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
	assert_int_equal(nghttp2_option_new(&o), 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, h2o_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2o_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2o_frame);
	nghttp2_option_set_no_http_messaging(o, 1);
	assert_int_equal(nghttp2_session_server_new2(&c->session, cb, c, o), 0);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	if (c->o->streams_max > 0)
		iv[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
			c->o->streams_max };
	if (c->o->window > 0)
		iv[n++] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
			c->o->window };
	if (!c->o->no_settings)
		assert_int_equal(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, iv, n), 0);
}

static void
on_h2o_accept(uv_poll_t *p, int status, int events)
{
	struct h2_origin *o = p->data;
	struct h2o_conn *c = &o->conns[o->nconns];
	int fd = accept4(o->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)status, (void)events;
	if (fd < 0)
		return;
	assert_true(o->nconns < H2O_CONNS_MAX);
	o->nconns++;
	if (++o->now_open > o->most_open)
		o->most_open = o->now_open;
	*c = (struct h2o_conn){ .o = o,
		.fd = fd,
		.open = true,
		.raw = BUF_INIT(1U << 20),
		.seen = BUF_INIT(1U << 20),
		.out = BUF_INIT(1U << 20) };
	c->mute = o->no_settings;
	h2o_session(c);
	assert_int_equal(uv_poll_init(o->loop, &c->poll, fd), 0);
	c->poll.data = c;
	(void)uv_poll_start(&c->poll, UV_READABLE, on_h2o_conn);
	h2o_send(c);
}

static inline void
h2o_start(struct h2_origin *o, uv_loop_t *loop)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(in);

	memset(o, 0, sizeof(*o));
	(void)signal(SIGPIPE, SIG_IGN);
	o->loop = loop;
	o->body = BUF_INIT(H2O_SEEN_MAX);
	o->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(o->fd, (struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(o->fd, (struct sockaddr *)&in, &len), 0);
	o->port = ntohs(in.sin_port);
	assert_int_equal(listen(o->fd, 64), 0);
	assert_int_equal(uv_poll_init(loop, &o->poll, o->fd), 0);
	o->poll.data = o;
	(void)uv_poll_start(&o->poll, UV_READABLE, on_h2o_accept);
}

static inline void
h2o_stop(struct h2_origin *o)
{
	for (size_t i = 0; i < o->nconns; i++)
		h2o_close(&o->conns[i]);
	(void)uv_poll_stop(&o->poll);
	uv_close((uv_handle_t *)&o->poll, NULL);
	(void)close(o->fd);
	buf_done(&o->body);
}

/* ---- what it says ---- */
static inline nghttp2_nv
h2o_nv(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
		strlen(value), NGHTTP2_NV_FLAG_NONE };
}

static inline ssize_t
h2o_pull(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
    nghttp2_data_source *source, void *ctx)
{
	struct h2o_answer *a = source->ptr;
	size_t n = a->len - a->off < length ? a->len - a->off : length;
	const nghttp2_nv trailer = h2o_nv("x-trailer", "t");

	(void)ctx;
	if (n > 0 && a->text != NULL)
		memcpy(buf, a->text + a->off, n);
	else
		memset(buf, 'x', n);
	a->off += n;
	if (a->off == a->len && !a->open) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (a->trailer) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			assert_int_equal(nghttp2_submit_trailer(session, id, &trailer, 1), 0);
		}
	}
	return n == 0 && a->open ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}

/* `fields` is "name", "value", …, NULL. */
static inline struct h2o_answer *
h2o_answer(struct h2o_conn *c, int32_t id, const char *const *fields, struct h2o_answer what)
{
	struct h2o_answer *a = &c->o->answers[c->o->nanswers++];
	const nghttp2_data_provider body = { .source = { .ptr = a }, .read_callback = h2o_pull };
	nghttp2_nv items[16];
	size_t n = 0;

	assert_true(c->o->nanswers <= H2O_ANSWERS_MAX);
	*a = what;
	a->c = c;
	a->id = id;
	for (; fields[2 * n] != NULL; n++)
		items[n] = h2o_nv(fields[2 * n], fields[2 * n + 1]);
	assert_int_equal(nghttp2_submit_response(c->session, id, items, n, &body), 0);
	return a;
}

static const char *const h2o_ok[] = { ":status", "200", "content-type", "text/plain", NULL };

static inline void
h2o_say(struct h2o_conn *c, int32_t id, const char *text)
{
	(void)h2o_answer(c, id, h2o_ok, (struct h2o_answer){ .text = text, .len = strlen(text) });
}

/* A frame as it is. */
static inline void
h2o_raw(struct h2o_conn *c, uint8_t type, uint8_t flags, int32_t id, struct span payload)
{
	const uint8_t head[9] = { (uint8_t)(payload.len >> 16), (uint8_t)(payload.len >> 8),
		(uint8_t)payload.len, type, flags, (uint8_t)(id >> 24), (uint8_t)(id >> 16),
		(uint8_t)(id >> 8), (uint8_t)id };

	assert_true(is_ok(buf_put(&c->raw, head, sizeof(head))));
	assert_true(is_ok(buf_put_span(&c->raw, payload)));
}

#endif
