/* SPDX-License-Identifier: Apache-2.0 */
/*
 * management.c: the management socket: health, metrics, status and acts of
 * operators, over HTTP/1.1 on a Unix socket.
 *
 * Runs in: authority. Trusts: the kernel about who is at the other end; only
 * uid 0 is served. What it sends is parsed as strictly as anything else.
 * Owns: the connections. Invariants: one request at a time on a connection;
 * what holds a key is wiped once it is sent.
 * See: routes.c for the paths; admin.h for the acts.
 */
#include "management.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <http/write.h>

static void on_acceptable(uv_poll_t *handle, int status, int events);
static void on_ready(uv_poll_t *handle, int status, int events);
static void conn_process(struct conn *c);
static void conn_flush(struct conn *c);
static void conn_poll(struct conn *c);

struct status
management_init(struct authority *a, int listen_fd)
{
	struct management *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return fail(E_NOMEM);
	m->a = a;
	m->fd = listen_fd;
	a->management = m;
	return OK;
}

static void
listen_update(struct management *m)
{
	bool want = m->nconns < CONNS_MAX;

	if (m->done || want == m->listening)
		return;
	m->listening = want;
	if (want)
		(void)uv_poll_start(&m->poll, UV_READABLE, on_acceptable);
	else
		(void)uv_poll_stop(&m->poll);
}

struct status
management_start(struct authority *a)
{
	struct management *m = a->management;

	if (uv_poll_init(a->d->loop, &m->poll, m->fd) != 0)
		return fail(E_NOMEM);
	m->poll.data = m;
	listen_update(m);
	return OK;
}

void
management_tick(struct authority *a)
{
	struct management *m = a->management;

	if (m == NULL)
		return;
	for (size_t i = 0; i < CONNS_MAX; i++) {
		struct conn *c = &m->conns[i];

		if (c->state == CONN_READING && now_ms(a) >= c->active_ms + IDLE_MS)
			conn_close(c);
	}
}

static void
free_if_done(struct management *m)
{
	if (!m->closed || m->nconns > 0)
		return;
	m->a->management = NULL;
	free(m);
}

static void
on_listener_closed(uv_handle_t *handle)
{
	struct management *m = handle->data;

	m->closed = true;
	free_if_done(m);
}

void
management_done(struct authority *a)
{
	struct management *m = a->management;

	for (size_t i = 0; i < CONNS_MAX; i++)
		conn_close(&m->conns[i]);
	m->done = true;
	uv_close((uv_handle_t *)&m->poll, on_listener_closed);
}

/* ---- connections ---- */

static struct status
conn_open(struct management *m, int fd, uint32_t uid)
{
	struct http_limits limits = http_limits_default;
	struct conn *c = m->conns;
	struct status st;

	while (c->state != CONN_FREE)
		c++;
	*c = (struct conn){ .a = m->a,
		.fd = fd,
		.uid = uid,
		.in = BUF_INIT(IN_MAX),
		.body = BUF_INIT(BODY_LEN_MAX),
		.out = BUF_INIT(OUT_MAX),
		.active_ms = now_ms(m->a) };
	limits.body_len_max = BODY_LEN_MAX;
	limits.header_len_max = 8192;
	st = http_request_parser_new(&limits, &c->parser);
	if (!is_ok(st) || uv_poll_init(m->a->d->loop, &c->poll, fd) != 0) {
		http_request_parser_free(c->parser);
		return fail(E_NOMEM);
	}
	c->poll.data = c;
	c->state = CONN_READING;
	m->nconns++;
	conn_poll(c);
	return OK;
}

static void
on_acceptable(uv_poll_t *handle, int status, int events)
{
	struct management *m = handle->data;
	struct ucred who;
	socklen_t len = sizeof(who);
	auto_fd int fd = -1;

	(void)status, (void)events;
	fd = accept4(m->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.uid != 0) {
		diag(DIAG_WARN, "management socket: refused a peer that is not root");
		return;
	}
	if (is_ok(conn_open(m, fd, who.uid)))
		(void)fd_take(&fd);
	listen_update(m);
}

static void
on_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;
	struct management *m = c->a->management;

	http_request_parser_free(c->parser);
	buf_done(&c->in);
	buf_done(&c->body);
	buf_done(&c->out);
	*c = (struct conn){ 0 };
	m->nconns--;
	listen_update(m);
	free_if_done(m);
}

void
conn_close(struct conn *c)
{
	if (c->state == CONN_CLOSING || c->state == CONN_FREE)
		return;
	if (c->op != NULL)
		admin_abandon(c->op);
	c->op = NULL;
	c->state = CONN_CLOSING;
	if (c->out.ptr != NULL)
		explicit_bzero(c->out.ptr, c->out.cap);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	(void)close(c->fd);
}

static void
conn_poll(struct conn *c)
{
	int events = UV_DISCONNECT;

	/* A request that came together with the one before. */
	if (c->state == CONN_READING && c->out.len == 0 && c->in.len > 0)
		conn_process(c);
	if (c->state == CONN_CLOSING || c->state == CONN_FREE)
		return;
	if (c->state == CONN_READING && c->out.len == 0)
		events |= UV_READABLE;
	if (c->out_off < c->out.len)
		events |= UV_WRITABLE;
	(void)uv_poll_start(&c->poll, events, on_ready);
}

static bool
conn_read(struct conn *c)
{
	ssize_t n;

	if (!is_ok(buf_reserve(&c->in, 4096)))
		return false;
	n = read(c->fd, c->in.ptr + c->in.len, 4096);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->in.len += (size_t)n;
	c->active_ms = now_ms(c->a);
	return n > 0;
}

static void
on_ready(uv_poll_t *handle, int status, int events)
{
	struct conn *c = handle->data;

	if (status < 0 || ((events & UV_DISCONNECT) != 0 && (events & UV_READABLE) == 0)) {
		conn_close(c);
		return;
	}
	if ((events & UV_WRITABLE) != 0)
		conn_flush(c);
	if ((events & UV_READABLE) != 0 && c->state == CONN_READING) {
		if (conn_read(c))
			conn_process(c);
		else
			conn_close(c);
	}
	conn_poll(c);
}

/* ---- answers ---- */

static struct status
put_head(struct conn *c, uint16_t http, const char *type)
{
	TRY(http_put_status(&c->out, http));
	TRY(http_put_date(&c->out, clock_real_ns()));
	TRY(http_put_field_str(&c->out, "content-type", type));
	TRY(http_put_field_str(&c->out, "cache-control", "no-store"));
	return c->last ? http_put_close(&c->out) : OK;
}

static struct status
put_answer(struct conn *c, uint16_t http, const char *type, struct span body)
{
	TRY(put_head(c, http, type));
	TRY(http_put_length(&c->out, body.len));
	TRY(http_put_end(&c->out));
	return buf_put_span(&c->out, body);
}

/* The request is answered: the next one may come. */
static void
request_over(struct conn *c)
{
	c->op = NULL;
	c->state = CONN_READING;
	buf_clear(&c->body);
	if (!c->last)
		http_request_next(c->parser);
	conn_flush(c);
}

void
conn_answer(struct conn *c, uint16_t http, const char *type, struct span body)
{
	/* Room first, so that no half of a key is left behind by a buffer that moved. */
	struct status st = buf_reserve(&c->out, body.len + 1024);

	if (is_ok(st))
		st = put_answer(c, http, type, body);
	if (!is_ok(st)) {
		conn_close(c);
		return;
	}
	request_over(c);
}

void
conn_answer_error(struct conn *c, uint16_t http, const char *code, const char *message)
{
	auto_buf struct buf body = BUF_INIT(4096);

	if (is_ok(admin_put_error(&body, code, message)))
		conn_answer(c, http, JSON_TYPE, buf_span(&body));
	else
		conn_close(c);
}

void
conn_on_reply(void *ctx, uint16_t http, struct span body)
{
	struct conn *c = ctx;

	c->op = NULL;
	conn_answer(c, http, JSON_TYPE, body);
	conn_poll(c);
}

static void
conn_flush(struct conn *c)
{
	while (c->state != CONN_CLOSING && c->out_off < c->out.len) {
		ssize_t n = send(
		    c->fd, c->out.ptr + c->out_off, c->out.len - c->out_off, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conn_close(c);
			return;
		}
		c->out_off += (size_t)n;
		c->active_ms = now_ms(c->a);
		if (c->out_off < c->out.len)
			continue;
		explicit_bzero(c->out.ptr, c->out.len);
		buf_clear(&c->out);
		c->out_off = 0;
		if (c->last)
			conn_close(c);
	}
}

/* ---- requests ---- */

static bool
take_step(struct conn *c, const struct http_step *step)
{
	switch (step->event) {
	case HTTP_EV_HEAD:
		if (http_request_get(c->parser)->expect_continue)
			return is_ok(buf_put_span(&c->out, HTTP_CONTINUE));
		return true;
	case HTTP_EV_BODY:
		return is_ok(buf_put_span(&c->body, step->body));
	case HTTP_EV_END:
		c->last = !http_request_keep_alive(c->parser);
		conn_route(c);
		return true;
	case HTTP_EV_ERROR:
		c->last = true;
		conn_answer_error(c, step->error, "bad_request", "The request could not be taken.");
		return false;
	case HTTP_EV_MORE:
		break;
	}
	return false;
}

static void
conn_process(struct conn *c)
{
	while (c->state == CONN_READING && !c->last) {
		struct http_step step = http_request_feed(c->parser, buf_span(&c->in));
		bool go_on;

		if (step.event == HTTP_EV_MORE) {
			buf_clear(&c->in);
			break;
		}
		go_on = take_step(c, &step); /* `step.body` borrows from `in` */
		if (c->state == CONN_CLOSING)
			return;
		buf_shift(&c->in, step.used);
		if (!go_on)
			break;
	}
	if (c->out.len > 0)
		conn_flush(c);
}
