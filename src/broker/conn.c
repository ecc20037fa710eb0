/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c: the HTTP/1.1 client core: writes a request, forwards the answer as it comes.
 *
 * Runs in: broker. Trusts: nothing that the other side sends.
 * Owns: the stream of bytes, its poll and timer handles, one read buffer.
 * Invariants: not a byte is read that the taker of the body has no room for, so a slow client
 * slows the provider; every wait has a deadline; on_end or on_failed runs once an exchange, and
 * is the last thing that a step does.
 * See: conn.h; http/response.h.
 */
#include "conn.h"

#include <assert.h>
#include <stdlib.h>

enum conn_state { CONN_IDLE, CONN_WRITING, CONN_READING, CONN_CLOSED };

struct conn {
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles; /* open ones; memory goes with the last */
	struct io io;
	const struct conn_ops *ops;
	void *pool;
	void *ctx; /* of the exchange */
	struct http_response_parser *parser;
	enum conn_state state;
	bool used_before;
	bool reusable;
	bool got_byte; /* of this answer */
	bool half;     /* the request could not be written whole */
	int events;
	struct span out[2];
	struct span in;   /* read, not yet parsed */
	struct span left; /* parsed body that nobody had room for */
	uint64_t bytes_in, bytes_out;
	uint8_t buf[CONN_READ_LEN];
};

static void on_poll(uv_poll_t *handle, int status, int events);
static void on_timer(uv_timer_t *handle);
static void step_write(struct conn *c);
static struct status push_out(struct conn *c);
static void begin_reading(struct conn *c);
static void step_read(struct conn *c);
static bool parse_some(struct conn *c);

static void
on_handle_closed(uv_handle_t *h)
{
	struct conn *c = h->data;

	if (--c->handles > 0)
		return;
	http_response_parser_free(c->parser);
	free(c);
}

struct status
conn_new(
    uv_loop_t *loop, const struct io *io, const struct conn_ops *ops, void *pool, struct conn **ret)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct http_limits limits = http_limits_default;
	struct status st;

	if (c == NULL)
		return fail(E_NOMEM);
	limits.body_len_max = UINT64_MAX; /* the turn's limits are the gateway's */
	st = http_response_parser_new(&limits, &c->parser);
	if (is_ok(st) && uv_poll_init(loop, &c->poll, io->fd) != 0)
		st = fail(E_SYS);
	if (!is_ok(st)) {
		http_response_parser_free(c->parser);
		free(c);
		return st;
	}
	(void)uv_timer_init(loop, &c->timer);
	c->handles = 2;
	c->poll.data = c->timer.data = c;
	c->io = *io;
	c->ops = ops;
	c->pool = pool;
	*ret = c;
	return OK;
}

static void
close_io(struct conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	c->reusable = false;
	(void)uv_poll_stop(&c->poll);
	(void)uv_timer_stop(&c->timer);
	c->io.ops->close(&c->io);
}

void
conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	close_io(c);
	uv_close((uv_handle_t *)&c->poll, on_handle_closed);
	uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void
poll_for(struct conn *c, int events)
{
	if (events == c->events)
		return;
	c->events = events;
	if (events == 0)
		(void)uv_poll_stop(&c->poll);
	else
		(void)uv_poll_start(&c->poll, events, on_poll);
}

static void
deadline(struct conn *c, uint64_t ms)
{
	(void)uv_timer_start(&c->timer, on_timer, ms, 0);
}

static void
broke(struct conn *c, enum error why)
{
	bool stale = c->used_before && !c->got_byte && why == ERROR_UPSTREAM;

	close_io(c);
	c->ops->on_failed(c->ctx, why, stale);
}

static void
idle_closed(struct conn *c)
{
	close_io(c);
	c->ops->on_idle_closed(c, c->pool);
}

static void
on_timer(uv_timer_t *handle)
{
	struct conn *c = handle->data;

	if (c->state == CONN_IDLE)
		idle_closed(c);
	else
		broke(c, ERROR_UPSTREAM_TIMEOUT);
}

static void
on_poll(uv_poll_t *handle, int status, int events)
{
	struct conn *c = handle->data;

	(void)status, (void)events; /* reading and writing tell themselves */
	if (c->state == CONN_IDLE)  /* closed, or bytes that nobody asked for */
		idle_closed(c);
	else if (c->state == CONN_WRITING)
		step_write(c);
	else if (c->state == CONN_READING)
		step_read(c);
}

struct status
conn_start(struct conn *c, struct span head, struct span body, void *ctx)
{
	if (c->state != CONN_IDLE)
		return fail(E_CLOSED);
	c->ctx = ctx;
	c->out[0] = head;
	c->out[1] = body;
	c->in = c->left = SPAN_EMPTY;
	c->got_byte = c->reusable = c->half = false;
	c->bytes_in = c->bytes_out = 0;
	c->state = CONN_WRITING;
	http_response_next(c->parser, false);
	/* Most requests fit the socket at once; all else, failures too, comes from the loop. */
	if (is_ok(push_out(c))) {
		begin_reading(c);
	} else {
		deadline(c, CONN_IDLE_MS);
		poll_for(c, UV_WRITABLE);
	}
	return OK;
}

static void
advance(struct conn *c, size_t n)
{
	c->bytes_out += n;
	for (size_t i = 0; i < 2; i++) {
		size_t part = n < c->out[i].len ? n : c->out[i].len;

		c->out[i] = span_from(c->out[i], part);
		n -= part;
	}
}

/* Whoever hangs up on a request may have said why first. */
static void
write_failed(struct conn *c)
{
	c->out[0] = c->out[1] = SPAN_EMPTY;
	c->half = true;
	c->state = CONN_READING;
	poll_for(c, UV_READABLE);
	step_read(c);
}

/* Write what is left of the request. E_AGAIN: the rest later. */
static struct status
push_out(struct conn *c)
{
	while (c->out[0].len + c->out[1].len > 0) {
		bool first = c->out[0].len > 0;
		size_t n = 0;

		TRY(c->io.ops->write(&c->io, first ? c->out : c->out + 1, first ? 2 : 1, &n));
		advance(c, n);
	}
	return OK;
}

static void
begin_reading(struct conn *c)
{
	c->state = CONN_READING;
	deadline(c, CONN_FIRST_BYTE_MS);
	poll_for(c, UV_READABLE);
}

static void
step_write(struct conn *c)
{
	uint64_t before = c->bytes_out;
	struct status st = push_out(c);

	if (is_ok(st))
		begin_reading(c);
	else if (st.code != E_AGAIN)
		write_failed(c);
	else if (c->bytes_out > before)
		deadline(c, CONN_IDLE_MS);
}

static void
finish(struct conn *c)
{
	c->reusable = http_response_keep_alive(c->parser) && c->in.len == 0 && !c->half;
	c->used_before = true;
	if (c->reusable) {
		c->state = CONN_IDLE;
		deadline(c, CONN_KEPT_MS);
		poll_for(c, UV_READABLE);
	} else {
		close_io(c);
	}
	c->ops->on_end(c->ctx);
}

/* The client is slow, not the provider: no deadline runs until conn_resume(). */
static void
pause_reading(struct conn *c)
{
	poll_for(c, 0);
	(void)uv_timer_stop(&c->timer);
}

/* Hand out what is left of a body. False: no room, or the exchange is over. */
static bool
give_body(struct conn *c)
{
	size_t taken;

	if (c->left.len > 0) {
		taken = c->ops->on_body(c->ctx, c->left);
		assert(taken <= c->left.len);
		c->left = span_from(c->left, taken);
	}
	if (c->state != CONN_READING)
		return false;
	if (c->left.len > 0) {
		pause_reading(c);
		return false;
	}
	return true;
}

static bool
take_step(struct conn *c, const struct http_step *s)
{
	switch (s->event) {
	case HTTP_EV_HEAD:
		c->ops->on_head(c->ctx, http_response_get(c->parser));
		return c->state == CONN_READING;
	case HTTP_EV_BODY:
		c->left = s->body;
		return give_body(c);
	case HTTP_EV_END:
		finish(c);
		return false;
	case HTTP_EV_ERROR:
		broke(c, ERROR_UPSTREAM);
		return false;
	case HTTP_EV_MORE:
	default:
		return true;
	}
}

/* True: all input is used and more is wanted. */
static bool
parse_some(struct conn *c)
{
	if (!give_body(c))
		return false;
	for (;;) { /* also without input: the end may follow the last byte of the body */
		struct http_step s = http_response_feed(c->parser, c->in);

		c->in = span_from(c->in, s.used);
		if (!take_step(c, &s))
			return false;
		if (s.event == HTTP_EV_MORE)
			return true;
	}
}

static void
read_eof(struct conn *c)
{
	struct http_step s = http_response_eof(c->parser);

	if (s.event == HTTP_EV_END)
		finish(c);
	else
		broke(c, ERROR_UPSTREAM);
}

static void
step_read(struct conn *c)
{
	size_t n = 0, room = c->ops->room(c->ctx);
	struct status st;

	if (room == 0) {
		pause_reading(c);
		return;
	}
	st = c->io.ops->read(&c->io, c->buf, room < sizeof(c->buf) ? room : sizeof(c->buf), &n);
	if (st.code == E_AGAIN)
		return;
	if (st.code == E_EOF) {
		read_eof(c);
		return;
	}
	if (!is_ok(st)) {
		broke(c, ERROR_UPSTREAM);
		return;
	}
	c->got_byte = true;
	c->bytes_in += n;
	deadline(c, CONN_IDLE_MS);
	c->in = span_of(c->buf, n);
	(void)parse_some(c);
}

void
conn_resume(struct conn *c)
{
	if (c->state != CONN_READING || c->events != 0 || c->ops->room(c->ctx) == 0)
		return;
	if (!parse_some(c))
		return;
	deadline(c, CONN_IDLE_MS);
	poll_for(c, UV_READABLE);
}

bool
conn_reusable(const struct conn *c)
{
	return c->reusable;
}

uint64_t
conn_bytes_in(const struct conn *c)
{
	return c->bytes_in;
}

uint64_t
conn_bytes_out(const struct conn *c)
{
	return c->bytes_out;
}
