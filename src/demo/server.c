/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.c: serves chat completions on the broker's sockets.
 *
 * Runs in: demo. Trusts: nothing that comes by a socket.
 * Owns: connections with their parser, body and answer.
 * Invariants: one request at a time a connection; nothing is read while an answer waits to be
 * written; a socket that closes ends its answer at once.
 * See: server.h, demo.h.
 */
#include "server.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <http/request.h>
#include <http/write.h>

#define READ_LEN 65536
#define EVENT_LEN_MAX (64U << 10)

struct client {
	LIST_ENTRY(client) entry;
	struct server *server;
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles;
	int fd;
	int events; /* polled for */
	bool closed;
	bool keep;
	struct http_request_parser *parser;
	struct buf body, out;
	size_t sent;
	/* a slow answer */
	bool slow;
	struct arena arena;
	struct demo_plan plan;
	struct demo_reply reply;
};

struct server {
	uv_loop_t *loop;
	LIST_HEAD(, client) clients;
	size_t count;
	struct json_doc doc;
	struct arena names;
	struct span models[SERVER_MODELS_MAX];
	size_t nmodels;
	uint8_t in[READ_LEN];
};

static void on_poll(uv_poll_t *handle, int status, int events);
static void answer(struct client *c);
static void client_write(struct client *c);

struct status
server_new(uv_loop_t *loop, struct server **ret)
{
	struct server *s = calloc(1, sizeof(*s));
	struct status st;

	if (s == NULL)
		return fail(E_NOMEM);
	st = json_init(&s->doc, &JSON_STRICT);
	if (!is_ok(st)) {
		free(s);
		return st;
	}
	s->loop = loop;
	s->names = ARENA_INIT(1U << 20);
	LIST_INIT(&s->clients);
	*ret = s;
	return OK;
}

struct status
server_add_model(struct server *s, struct span name)
{
	if (s->nmodels == SERVER_MODELS_MAX)
		return fail(E_FULL);
	TRY(arena_copy(&s->names, name, &s->models[s->nmodels]));
	s->nmodels++;
	return OK;
}

size_t
server_open(const struct server *s)
{
	return s->count;
}

/* ---- connections ---- */
static void
answer_clear(struct client *c)
{
	plan_done(&c->plan);
	c->plan = (struct demo_plan){ .delay_ms = 0 };
	arena_done(&c->arena);
	c->arena = ARENA_INIT(DEMO_ARENA_MAX);
	c->slow = false;
	buf_done(&c->body); /* a body may be large, and the next one small */
}

static void
on_handle_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	if (--c->handles > 0)
		return;
	http_request_parser_free(c->parser);
	answer_clear(c);
	buf_done(&c->out);
	free(c);
}

static void
client_close(struct client *c)
{
	struct server *s = c->server;

	if (c->closed)
		return;
	c->closed = true;
	(void)uv_poll_stop(&c->poll);
	(void)close(c->fd);
	LIST_REMOVE(c, entry);
	s->count--;
	uv_close((uv_handle_t *)&c->poll, on_handle_closed);
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

void
server_free(struct server *s)
{
	struct client *c;

	if (s == NULL)
		return;
	while ((c = LIST_FIRST(&s->clients)) != NULL)
		client_close(c);
	json_done(&s->doc);
	arena_done(&s->names);
	free(s);
}

/* Starting a poll costs a system call, also when nothing changes. */
static void
poll_for(struct client *c, int events)
{
	if (events == c->events)
		return;
	c->events = events;
	(void)uv_poll_start(&c->poll, events, on_poll);
}

static struct status
client_new(struct server *s, int fd, struct client **ret)
{
	struct client *c = calloc(1, sizeof(*c));
	struct http_limits limits = http_limits_default;
	struct status st;

	if (c == NULL)
		return fail(E_NOMEM);
	limits.body_len_max = DEMO_BODY_MAX;
	st = http_request_parser_new(&limits, &c->parser);
	if (is_ok(st) && uv_poll_init(s->loop, &c->poll, fd) != 0)
		st = fail(E_SYS);
	if (!is_ok(st)) {
		http_request_parser_free(c->parser);
		free(c);
		return st;
	}
	(void)uv_timer_init(s->loop, &c->timer);
	c->poll.data = c->timer.data = c;
	c->handles = 2;
	c->server = s;
	c->fd = fd;
	c->body = BUF_INIT(DEMO_BODY_MAX);
	c->out = BUF_INIT(SERVER_OUT_MAX);
	c->arena = ARENA_INIT(DEMO_ARENA_MAX);
	*ret = c;
	return OK;
}

void
server_accept(struct server *s, int fd)
{
	struct client *c;

	if (s->count == SERVER_CONNS_MAX || !is_ok(client_new(s, fd, &c))) {
		(void)close(fd);
		return;
	}
	LIST_INSERT_HEAD(&s->clients, c, entry);
	s->count++;
	poll_for(c, UV_READABLE);
}

/* ---- requests ---- */

/* A request that is refused, or one that is not HTTP. */
static struct status
put_refusal(struct client *c, uint16_t status, const char *why)
{
	auto_buf struct buf text = BUF_INIT(EVENT_LEN_MAX);

	TRY(reply_put_error(why, &text));
	TRY(http_put_status(&c->out, status));
	TRY(http_put_field_str(&c->out, "content-type", "application/json"));
	TRY(http_put_length(&c->out, text.len));
	if (!c->keep)
		TRY(http_put_close(&c->out));
	TRY(http_put_end(&c->out));
	return buf_put_span(&c->out, buf_span(&text));
}

static struct status
put_json(struct client *c, const struct buf *text)
{
	TRY(http_put_status(&c->out, 200));
	TRY(http_put_field_str(&c->out, "content-type", "application/json"));
	TRY(http_put_length(&c->out, text->len));
	TRY(http_put_end(&c->out));
	return buf_put_span(&c->out, buf_span(text));
}

/* The next event as one chunk; at the end the last chunk, and E_EOF. */
static struct status
put_event(struct client *c)
{
	auto_buf struct buf event = BUF_INIT(EVENT_LEN_MAX);
	struct status st = reply_next(&c->reply, &event);

	if (st.code == E_EOF) {
		TRY(http_put_chunk_end(&c->out));
		return st;
	}
	TRY(st);
	return http_put_chunk(&c->out, buf_span(&event));
}

static struct status
put_stream(struct client *c)
{
	struct status st;

	TRY(http_put_status(&c->out, 200));
	TRY(http_put_field_str(&c->out, "content-type", "text/event-stream"));
	TRY(http_put_chunked(&c->out));
	TRY(http_put_end(&c->out));
	if (c->plan.delay_ms > 0) {
		c->slow = true;
		return put_event(c);
	}
	do {
		st = put_event(c);
	} while (is_ok(st));
	return st.code == E_EOF ? OK : st;
}

static struct status
put_chat(struct client *c)
{
	auto_buf struct buf text = BUF_INIT(SERVER_OUT_MAX);
	struct server *s = c->server;
	struct demo_ask ask;
	const char *why = "the body is not JSON";
	struct status st = json_parse(&s->doc, buf_span(&c->body));

	if (is_ok(st))
		st = ask_read(&s->doc, &c->arena, &ask, &why);
	if (!is_ok(st))
		return put_refusal(c, 400, why);
	TRY(plan_make(&ask, &c->arena, &c->plan));
	c->reply = reply_of(&ask, &c->plan, buf_span(&c->body), clock_real_ns() / NS_PER_S);
	if (ask.stream)
		return put_stream(c);
	TRY(reply_put(&c->reply, &text));
	return put_json(c, &text);
}

static struct status
put_models(struct client *c)
{
	auto_buf struct buf text = BUF_INIT(SERVER_OUT_MAX);
	struct server *s = c->server;

	TRY(reply_put_models(s->models, s->nmodels, clock_real_ns() / NS_PER_S, &text));
	return put_json(c, &text);
}

static struct status
put_answer(struct client *c)
{
	const struct http_request *req = http_request_get(c->parser);

	if (req->target_bad)
		return put_refusal(c, 400, "there can be no such endpoint");
	if (span_eq_str(req->path, "/v1/chat/completions"))
		return span_eq_str(req->method, "POST") ? put_chat(c)
							: put_refusal(c, 405, "use POST");
	if (span_eq_str(req->path, "/v1/models"))
		return span_eq_str(req->method, "GET") ? put_models(c)
						       : put_refusal(c, 405, "use GET");
	return put_refusal(c, 404, "there is no such endpoint");
}

static void
answer(struct client *c)
{
	c->keep = http_request_keep_alive(c->parser);
	if (!is_ok(put_answer(c))) {
		client_close(c); /* what does not fit its limits is cut, never bent */
		return;
	}
	client_write(c);
}

/* ---- reading and writing ---- */

/* False: the connection is closed, or busy with an answer. */
static bool
take_step(struct client *c, const struct http_step *step)
{
	if (step->event == HTTP_EV_BODY && !is_ok(buf_put_span(&c->body, step->body))) {
		client_close(c);
		return false;
	}
	if (step->event == HTTP_EV_ERROR) {
		c->keep = false;
		if (is_ok(put_refusal(c, step->error, "this is not a request")))
			client_write(c);
		else
			client_close(c);
		return false;
	}
	if (step->event != HTTP_EV_END)
		return step->event != HTTP_EV_MORE;
	answer(c);
	return false;
}

/* The broker sends one request and waits; bytes behind one are a fault. */
static void
client_read(struct client *c)
{
	struct server *s = c->server;
	ssize_t n = recv(c->fd, s->in, sizeof(s->in), MSG_DONTWAIT);
	struct span in;
	struct http_step step;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || c->slow || c->out.len > 0) {
		client_close(c);
		return;
	}
	in = span_of(s->in, (size_t)n);
	do {
		step = http_request_feed(c->parser, in);
		in = span_from(in, step.used);
	} while (take_step(c, &step));
	if (step.event == HTTP_EV_END && in.len > 0 && !c->closed)
		client_close(c);
}

static void
on_slow(uv_timer_t *timer)
{
	struct client *c = timer->data;
	struct status st = put_event(c);

	if (st.code == E_EOF)
		c->slow = false;
	else if (!is_ok(st)) {
		client_close(c);
		return;
	}
	client_write(c);
}

/* All is written: wait for the next piece, or for the next request. */
static void
written(struct client *c)
{
	buf_clear(&c->out);
	c->sent = 0;
	poll_for(c, UV_READABLE);
	if (c->slow) {
		(void)uv_timer_start(&c->timer, on_slow, c->plan.delay_ms, 0);
		return;
	}
	if (!c->keep) {
		client_close(c);
		return;
	}
	answer_clear(c);
	http_request_next(c->parser);
}

static void
client_write(struct client *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(
		    c->fd, c->out.ptr + c->sent, c->out.len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			poll_for(c, UV_WRITABLE | UV_DISCONNECT);
			return;
		}
		if (n < 0) {
			client_close(c);
			return;
		}
		c->sent += (size_t)n;
	}
	written(c);
}

static void
on_poll(uv_poll_t *handle, int status, int events)
{
	struct client *c = handle->data;

	if (status < 0)
		client_close(c);
	else if ((events & UV_WRITABLE) != 0)
		client_write(c);
	else if ((events & UV_READABLE) != 0)
		client_read(c);
	else if ((events & UV_DISCONNECT) != 0)
		client_close(c);
}
