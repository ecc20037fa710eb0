/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c: the HTTP/1.1 client core: writes a request, forwards the answer as it comes.
 *
 * Runs in: broker. Trusts: nothing that the other side sends.
 * Owns: the stream of bytes, its poll and timer handles. What is read lies on the stack while it is
 * handed out, and is wiped: a connection that waits costs no buffer.
 * Invariants: not a byte is read that the taker of the body has no room for, so a slow client
 * slows the provider; every wait has a deadline; an answer that comes before the request was
 * written ends the writing; on_end or on_failed runs once an exchange, and is the last thing that
 * a step does.
 * See: exchange.h, conn.h; http/response.h.
 */
#include "conn.h"

#include <assert.h>
#include <stdlib.h>

#include <crypto/secret.h>
#include <http/write.h>

enum conn_state { CONN_IDLE, CONN_BUSY, CONN_CLOSED };

struct conn {
	struct exchange exchange; /* first: see conn_of() */
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned handles; /* open ones; memory goes with the last */
	struct io io;
	struct exchange_limits limits;
	conn_idle_closed *on_idle_closed;
	void *pool;
	const struct exchange_ops *ops; /* of the exchange */
	void *ctx;
	struct http_response_parser *parser;
	enum conn_state state;
	bool used_before;
	bool reusable;
	bool got_byte; /* of this answer */
	bool paused;   /* nobody has room for what comes */
	bool half;     /* the request was not written whole */
	bool broken;   /* the loop does not watch it any more, but there may be bytes to read */
	int events;
	uint64_t due_ms, armed_ms, ends_ms; /* when time is up; of the timer; of the exchange */
	struct span out[CONN_PARTS];
	size_t out_first; /* of those not empty yet */
	struct buf head;  /* of the request, as text */
	struct span in;   /* read, not yet parsed */
	uint64_t bytes_in, bytes_out;
};

static const struct exchange_kind conn_kind;

static void on_poll(uv_poll_t *handle, int status, int events);
static void on_timer(uv_timer_t *handle);
static void step_idle(struct conn *c);
static void step_write(struct conn *c);
static struct status push_out(struct conn *c);
static void step_read(struct conn *c);
static bool read_once(struct conn *c);
static bool parse_all(struct conn *c);

static void
on_handle_closed(uv_handle_t *h)
{
	struct conn *c = h->data;

	if (--c->handles > 0)
		return;
	http_response_parser_free(c->parser);
	buf_done(&c->head);
	free(c);
}

struct status
conn_new(uv_loop_t *loop, const struct io *io, const struct exchange_limits *limits,
    conn_idle_closed *on_idle_closed, void *pool, struct conn **ret)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct http_limits http = http_limits_default;
	struct status st;

	if (c == NULL)
		return fail(E_NOMEM);
	http.body_len_max = UINT64_MAX; /* the turn's limits are the gateway's */
	st = http_response_parser_new(&http, &c->parser);
	if (is_ok(st) && uv_poll_init(loop, &c->poll, io->fd) != 0)
		st = fail(E_SYS);
	if (!is_ok(st)) {
		http_response_parser_free(c->parser);
		free(c);
		return st;
	}
	(void)uv_timer_init(loop, &c->timer);
	c->exchange.kind = &conn_kind;
	c->head = BUF_INIT(EXCHANGE_HEAD_MAX);
	c->handles = 2;
	c->poll.data = c->timer.data = c;
	c->io = *io;
	c->limits = exchange_limits_of(limits);
	c->on_idle_closed = on_idle_closed;
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

/* ---- time ---- */
static void
arm(struct conn *c, uint64_t now)
{
	c->armed_ms = c->due_ms;
	(void)uv_timer_start(&c->timer, on_timer, c->due_ms > now ? c->due_ms - now : 0, 0);
}

/* The timer is moved only to an earlier time: it looks itself whether it came too early. */
static void
due_at(struct conn *c, uint64_t due_ms)
{
	c->due_ms = due_ms;
	if (!uv_is_active((uv_handle_t *)&c->timer) || c->armed_ms > due_ms)
		arm(c, uv_now(c->timer.loop));
}

static void
deadline(struct conn *c, uint64_t ms)
{
	uint64_t due = uv_now(c->timer.loop) + ms;

	due_at(c, due < c->ends_ms ? due : c->ends_ms);
}

static void
broke(struct conn *c, enum error why)
{
	bool stale = c->used_before && !c->got_byte && why == ERROR_UPSTREAM;

	close_io(c);
	c->ops->on_failed(c->ctx, why, stale ? EXCHANGE_STALE : EXCHANGE_BROKE);
}

static void
idle_closed(struct conn *c)
{
	close_io(c);
	c->on_idle_closed(c, c->pool);
}

static void
on_timer(uv_timer_t *handle)
{
	struct conn *c = handle->data;
	uint64_t now = uv_now(handle->loop);

	if (c->due_ms > now)
		arm(c, now);
	else if (c->state == CONN_IDLE)
		idle_closed(c);
	else
		broke(c, ERROR_UPSTREAM_TIMEOUT);
}

static void
on_poll(uv_poll_t *handle, int status, int events)
{
	struct conn *c = handle->data;

	(void)events;     /* reading and writing tell themselves */
	if (status < 0) { /* libuv stopped watching */
		c->broken = true;
		c->events = 0;
	}
	if (c->state == CONN_IDLE) {
		step_idle(c);
		return;
	}
	/* Reading first: whoever hangs up on a request may have said why before. */
	if (c->state == CONN_BUSY && !c->paused)
		step_read(c);
	if (c->state == CONN_BUSY && c->out_first < CONN_PARTS)
		step_write(c);
}

/* Closed, or bytes that nobody asked for; but TLS has messages of its own (tickets). */
static void
step_idle(struct conn *c)
{
	uint8_t byte;
	size_t n = 0;

	if (c->io.ops->read(&c->io, &byte, 1, &n).code != E_AGAIN)
		idle_closed(c);
}

/* ---- the request ---- */
struct status
conn_start(struct conn *c, const struct conn_request *r, const struct exchange_ops *ops, void *ctx)
{
	struct status st;

	if (c->state != CONN_IDLE)
		return fail(E_CLOSED);
	c->ops = ops;
	c->ctx = ctx;
	c->out[0] = r->head;
	c->out[1] = r->secret;
	c->out[2] = r->secret.len > 0 ? HTTP_SECRET_TAIL : SPAN_EMPTY;
	memcpy(c->out + 3, r->body, sizeof(r->body));
	c->out_first = 0;
	c->in = SPAN_EMPTY;
	c->got_byte = c->reusable = c->half = c->paused = false;
	c->bytes_in = c->bytes_out = 0;
	c->ends_ms = uv_now(c->timer.loop) + c->limits.total_ms;
	c->state = CONN_BUSY;
	http_response_next(c->parser, false);
	/* Most requests fit the socket at once; all else, failures too, comes from the loop. */
	st = push_out(c);
	if (is_ok(st)) {
		deadline(c, c->limits.first_byte_ms);
		poll_for(c, UV_READABLE);
	} else {
		deadline(c, c->limits.idle_ms);
		poll_for(c, UV_READABLE | UV_WRITABLE);
	}
	return OK;
}

static void
advance(struct conn *c, size_t n)
{
	c->bytes_out += n;
	while (c->out_first < CONN_PARTS) {
		struct span *s = &c->out[c->out_first];
		size_t part = n < s->len ? n : s->len;

		*s = span_from(*s, part);
		n -= part;
		if (s->len > 0)
			return;
		c->out_first++;
	}
}

/* Write what is left of the request. E_AGAIN: the rest later. */
static struct status
push_out(struct conn *c)
{
	advance(c, 0);
	while (c->out_first < CONN_PARTS) {
		size_t n = 0;

		TRY(c->io.ops->write(&c->io, c->out + c->out_first, CONN_PARTS - c->out_first, &n));
		advance(c, n);
	}
	return OK;
}

/* Nothing more is written; what was borrowed for it is not touched again. */
static void
stop_writing(struct conn *c)
{
	c->half = c->half || c->out_first < CONN_PARTS;
	c->out_first = CONN_PARTS;
	for (size_t i = 0; i < CONN_PARTS; i++)
		c->out[i] = SPAN_EMPTY;
	buf_done(&c->head);
}

static void
step_write(struct conn *c)
{
	uint64_t before = c->bytes_out;
	struct status st = push_out(c);

	if (st.code == E_AGAIN) {
		if (c->bytes_out > before)
			deadline(c, c->limits.idle_ms);
		poll_for(c, UV_READABLE | c->io.ops->wants(&c->io, UV_WRITABLE));
		return;
	}
	if (!is_ok(st))
		stop_writing(c);
	deadline(c, c->limits.first_byte_ms);
	poll_for(c, UV_READABLE);
	if (c->half)
		step_read(c); /* it tells why */
}

/* ---- the answer ---- */
/* Nothing of the other side's waits, beside messages of TLS itself (tickets). */
static bool
is_quiet(struct conn *c)
{
	uint8_t byte;
	size_t n = 0;

	return !c->io.ops->pending(&c->io) || c->io.ops->read(&c->io, &byte, 1, &n).code == E_AGAIN;
}

static void
finish(struct conn *c)
{
	c->reusable = http_response_keep_alive(c->parser) && c->in.len == 0 && !c->half &&
		      !c->broken && is_quiet(c);
	c->used_before = true;
	http_response_next(c->parser, false);
	if (c->reusable) {
		c->state = CONN_IDLE;
		due_at(c, uv_now(c->timer.loop) + EXCHANGE_KEPT_MS);
		poll_for(c, UV_READABLE);
	} else {
		close_io(c);
	}
	c->ops->on_end(c->ctx);
}

static bool
take_step(struct conn *c, const struct http_step *s)
{
	switch (s->event) {
	case HTTP_EV_HEAD:
		stop_writing(c);
		c->ops->on_head(c->ctx, http_response_get(c->parser));
		if (c->state != CONN_BUSY)
			return false;
		http_response_drop_head(c->parser); /* a key may be echoed in it */
		return true;
	case HTTP_EV_BODY:
		c->ops->on_body(c->ctx, (uint8_t *)(uintptr_t)s->body.ptr, s->body.len);
		return c->state == CONN_BUSY;
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
parse_all(struct conn *c)
{
	for (;;) { /* also without input: the end may follow the last byte of the body */
		struct http_step s = http_response_feed(c->parser, c->in);

		c->in = span_from(c->in, s.used);
		if (!take_step(c, &s))
			return false;
		if (s.event == HTTP_EV_MORE)
			return true;
	}
}

/* The connection ended as it should: a body until close is whole then. */
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
	while (read_once(c))
		;
}

/* Read and hand out one piece. True: there is more that no poll would tell of. */
static bool
read_once(struct conn *c)
{
	uint8_t buf[CONN_READ_LEN];
	size_t n = 0, room = c->ops->room(c->ctx);
	struct status st;
	bool more;

	if (room == 0) { /* the client is slow, not the provider */
		c->paused = true;
		poll_for(c, 0);
		due_at(c, c->ends_ms);
		return false;
	}
	st = c->io.ops->read(&c->io, buf, room < sizeof(buf) ? room : sizeof(buf), &n);
	if (st.code == E_AGAIN) {
		int events = c->io.ops->wants(&c->io, UV_READABLE);

		poll_for(c, c->out_first == CONN_PARTS ? events : UV_READABLE | UV_WRITABLE);
		return false;
	}
	if (!is_ok(st)) {
		if (st.code == E_EOF)
			read_eof(c);
		else
			broke(c, ERROR_UPSTREAM);
		return false;
	}
	c->got_byte = true;
	c->bytes_in += n;
	if (c->out_first == CONN_PARTS)
		deadline(c, c->limits.idle_ms);
	c->in = span_of(buf, n);
	more = parse_all(c);
	c->in = SPAN_EMPTY; /* what is left belongs to a connection that is not used again */
	secret_wipe(buf, n);
	return more && (c->broken || c->io.ops->pending(&c->io));
}

bool
conn_reusable(const struct conn *c)
{
	return c->reusable;
}

/* ---- an exchange, whatever carries it ---- */
static struct status
put_head(struct conn *c, const struct exchange_request *r)
{
	buf_clear(&c->head);
	TRY(http_put_request(&c->head, SPAN_LIT("POST"), r->target, r->authority));
	for (size_t i = 0; i < r->field_count; i++)
		TRY(http_put_field(&c->head, r->fields[i].name, r->fields[i].value));
	TRY(http_put_length(&c->head, exchange_body_len(r)));
	if (r->secret.len == 0)
		return http_put_end(&c->head);
	return http_put_secret_open(&c->head, r->secret_name, r->secret_prefix);
}

static struct status
start(
    struct exchange *x, const struct exchange_request *r, const struct exchange_ops *ops, void *ctx)
{
	struct conn *c = conn_of(x);
	struct conn_request text = { .secret = r->secret };

	if (c->state != CONN_IDLE)
		return fail(E_CLOSED);
	TRY(put_head(c, r));
	text.head = buf_span(&c->head);
	memcpy(text.body, r->body, sizeof(text.body));
	return conn_start(c, &text, ops, ctx);
}

static void
resume(struct exchange *x)
{
	struct conn *c = conn_of(x);

	if (c->state != CONN_BUSY || !c->paused || c->ops->room(c->ctx) == 0)
		return;
	c->paused = false;
	deadline(c, c->limits.idle_ms);
	poll_for(c, UV_READABLE);
	step_read(c);
}

static uint64_t
bytes_in(const struct exchange *x)
{
	return ((const struct conn *)x)->bytes_in;
}

static uint64_t
bytes_out(const struct exchange *x)
{
	return ((const struct conn *)x)->bytes_out;
}

/* It is the only one. */
static bool
blames(struct exchange *x)
{
	(void)x;
	return true;
}

static const struct exchange_kind conn_kind = { start, resume, bytes_in, bytes_out, blames };

struct exchange *
conn_exchange(struct conn *c)
{
	return &c->exchange;
}

struct conn *
conn_of(struct exchange *x)
{
	return x->kind == &conn_kind ? (struct conn *)x : NULL;
}
