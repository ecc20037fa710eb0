/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_H2_PEER_H
#define TESTS_H2_PEER_H

/*
 * An HTTP/2 client on the rig: nghttp2's client session, which sends what it is
 * told to, however wrong, and keeps what came. Windows are given back only when
 * the test says so.
 */
#include "gateway_rig.h"

#include <nghttp2/nghttp2.h>

#define ANSWERS_MAX 512

struct h2_answer {
	struct buf body;
	int status;     /* the last that came */
	bool interim;   /* 100 came */
	bool closed;    /* the stream */
	uint32_t error; /* with which it was reset */
	char fields[2048];
};

struct h2_upload {
	const char *text; /* NULL: nothing ever comes */
	size_t len, off;
	bool no_end;
};

struct peer {
	struct client c;
	nghttp2_session *session;
	struct h2_answer answers[ANSWERS_MAX]; /* by (stream - 1) / 2 */
	struct h2_upload uploads[ANSWERS_MAX];
	int goaways;
	uint32_t goaway; /* error code of the last one */
	int32_t last;    /* its last stream */
	int pings, settings, resets;
	bool calmed; /* told to be calm */
	bool lazy;   /* takes no more than the first windows */
	bool mute;   /* sends nothing */
};

static inline struct h2_answer *
answer_of(struct peer *p, int32_t id)
{
	assert_true(id > 0 && (id - 1) / 2 < ANSWERS_MAX);
	return &p->answers[(id - 1) / 2];
}

static inline int
peer_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *ctx)
{
	struct h2_answer *a = answer_of(ctx, frame->hd.stream_id);
	size_t at = strlen(a->fields);

	(void)session, (void)flags;
	if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
		a->status = atoi((const char *)value);
		a->interim = a->interim || a->status == 100;
	}
	(void)snprintf(a->fields + at, sizeof(a->fields) - at, "%.*s: %.*s\n", (int)name_len,
	    (const char *)name, (int)value_len, (const char *)value);
	return 0;
}

static inline int
peer_data(
    nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *ctx)
{
	struct peer *p = ctx;

	(void)flags;
	assert_int_equal(buf_put(&answer_of(p, id)->body, data, len).code, E_OK);
	if (!p->lazy)
		assert_int_equal(nghttp2_session_consume(session, id, len), 0);
	return 0;
}

static inline int
peer_closed_stream(nghttp2_session *session, int32_t id, uint32_t why, void *ctx)
{
	(void)session;
	answer_of(ctx, id)->closed = true;
	answer_of(ctx, id)->error = why;
	return 0;
}

static inline int
peer_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx)
{
	struct peer *p = ctx;

	(void)session;
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		p->goaways++;
		p->goaway = frame->goaway.error_code;
		p->last = frame->goaway.last_stream_id;
	}
	p->pings += frame->hd.type == NGHTTP2_PING;
	p->settings += frame->hd.type == NGHTTP2_SETTINGS;
	p->resets += frame->hd.type == NGHTTP2_RST_STREAM;
	return 0;
}

static inline void
peer_start(struct peer *p)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *o = NULL;

	assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
	assert_int_equal(nghttp2_option_new(&o), 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, peer_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, peer_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, peer_closed_stream);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, peer_frame);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_http_messaging(o, 1);
	nghttp2_option_set_peer_max_concurrent_streams(o, 1000);
	assert_int_equal(nghttp2_session_client_new2(&p->session, cb, p, o), 0);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
}

/*
 * A GOAWAY of ENHANCE_YOUR_CALM, without the session, which may be confused by what
 * the test has sent.
 */
static inline bool
was_sent_away(const struct client *c)
{
	static const uint8_t head[9] = { 0, 0, 8, NGHTTP2_GOAWAY };
	const uint8_t *at = c->got.len < 17 ? NULL
					    : memmem(c->got.ptr, c->got.len, head, sizeof(head));

	return at != NULL && at + 17 <= c->got.ptr + c->got.len &&
	       at[16] == NGHTTP2_ENHANCE_YOUR_CALM;
}

/* All that the session wants to say, or one frame. */
static inline void
peer_send_raw(struct peer *p, struct span rest)
{
	for (int i = 0; rest.len > 0 && i < 10000; i++) {
		size_t n = 0;
		struct status st = tls_write(p->c.tls, rest, &n);

		if (st.code != E_AGAIN && !is_ok(st))
			return; /* it was sent away */
		rest = span_from(rest, n);
		if (rest.len > 0)
			turn_loop();
	}
}

static inline void
peer_turn(struct peer *p)
{
	auto_buf struct buf out = BUF_INIT(1UL << 24);
	const uint8_t *data = NULL;
	ssize_t n;

	/* In one piece: head and body come together. */
	while (!p->mute && (n = nghttp2_session_mem_send(p->session, &data)) > 0)
		assert_int_equal(buf_put(&out, data, (size_t)n).code, E_OK);
	peer_send_raw(p, buf_span(&out));
	turn_loop();
	if (p->c.eof)
		return;
	client_read(&p->c);
	p->calmed = p->calmed || was_sent_away(&p->c);
	if (p->c.got.len > 0)
		(void)nghttp2_session_mem_recv(p->session, p->c.got.ptr, p->c.got.len);
	p->c.got.len = 0;
}

static inline void
peer_spin(struct peer *p, int n)
{
	for (int i = 0; i < n; i++)
		peer_turn(p);
}

#define PEER_UNTIL(p, what)                                                              \
	do {                                                                             \
		uint64_t end_ = uv_hrtime() + WAIT_MS * 1000000ULL;                      \
		while (!(what) && uv_hrtime() < end_)                                    \
			peer_turn(p);                                                    \
		if (!(what))                                                             \
			print_error("never came: %s (GOAWAY %u)\n", #what, (p)->goaway); \
		assert_true(what);                                                       \
	} while (0)

static inline void
peer_open(struct peer *p)
{
	memset(p, 0, sizeof(*p));
	for (int i = 0; i < ANSWERS_MAX; i++)
		p->answers[i].body.max = 64UL << 20;
	client_open(&p->c);
	assert_true(span_eq_str(tls_alpn(p->c.tls), "h2"));
	peer_start(p);
	assert_int_equal(nghttp2_submit_settings(p->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
	PEER_UNTIL(p, p->settings >= 2);
}

static inline void
peer_close(struct peer *p)
{
	nghttp2_session_del(p->session);
	for (int i = 0; i < ANSWERS_MAX; i++)
		buf_done(&p->answers[i].body);
	client_close(&p->c);
}

static inline bool
answer_has(const struct h2_answer *a, const char *text)
{
	return a->body.len > 0 && memmem(a->body.ptr, a->body.len, text, strlen(text)) != NULL;
}

/* ---- requests ---- */

static inline ssize_t
peer_upload(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
    nghttp2_data_source *source, void *ctx)
{
	struct h2_upload *u = source->ptr;
	size_t n = u->len - u->off < length ? u->len - u->off : length;

	(void)session, (void)id, (void)ctx;
	if (n > 0)
		memcpy(buf, u->text + u->off, n);
	u->off += n;
	if (u->off == u->len && !u->no_end)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return n == 0 && u->no_end ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}

static inline nghttp2_nv
nv(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
		strlen(value), NGHTTP2_NV_FLAG_NONE };
}

#define LINE(method, path)                                                            \
	nv(":method", method), nv(":scheme", "https"), nv(":authority", "localhost"), \
	    nv(":path", path)

static inline int32_t
ask_nv(struct peer *p, const nghttp2_nv *items, size_t count, struct h2_upload u)
{
	int32_t next = (int32_t)nghttp2_session_get_next_stream_id(p->session);
	struct h2_upload *mine = &p->uploads[(next - 1) / 2];
	nghttp2_data_provider body = { .source = { .ptr = mine }, .read_callback = peer_upload };
	int32_t id;

	*mine = u;
	id = nghttp2_submit_request(
	    p->session, NULL, items, count, u.text != NULL || u.no_end ? &body : NULL, NULL);
	assert_int_equal(id, next);
	return id;
}

static inline nghttp2_nv
bearer(const char *k)
{
	static char text[128];

	(void)snprintf(text, sizeof(text), "Bearer %s", k);
	return nv("authorization", text);
}

static inline int32_t
ask(struct peer *p, const char *method, const char *path, const char *k, const char *body)
{
	const nghttp2_nv items[] = { LINE(method, path), bearer(k),
		nv("content-type", "application/json") };
	size_t len = body == NULL ? 0 : strlen(body);

	return ask_nv(p, items, COUNT(items), (struct h2_upload){ body, len, 0, false });
}

/* ... and wait for its end. */
static inline struct h2_answer *
asked(struct peer *p, int32_t id)
{
	struct h2_answer *a = answer_of(p, id);

	PEER_UNTIL(p, a->closed);
	return a;
}

#endif
