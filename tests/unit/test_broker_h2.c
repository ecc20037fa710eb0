/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker: HTTP/2 with a server that speaks it, in clear: streams, windows, ends, floods, and
 * the pool that shares connections.
 */
#include "h2_origin.h"

#include <crypto/crypto.h>
#include <h2_internal.h>
#include <upstream.h>

#define WAIT_MS 3000
#define XS_MAX 256
#define SECRET "sk-secret-0123456789"

struct x {
	struct exchange *x;
	struct upstream_wait *wait;
	unsigned acquired, heads, ends, fails;
	struct status st;
	enum error why;
	bool stale, shared, blocked, keep;
	uint16_t status;
	size_t len;
	struct buf body;
};

static struct {
	uv_loop_t loop;
	struct resolver *resolver;
	struct h2_origin o;
	struct upstream *u;
	struct exchange_limits limits;
	struct x xs[XS_MAX];
	struct span secret;
	struct span body;
} w;

static int
up(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	assert_true(is_ok(crypto_init()));
	assert_int_equal(uv_loop_init(&w.loop), 0);
	assert_true(is_ok(resolver_new(&w.resolver)));
	assert_true(is_ok(resolver_configure(w.resolver, &w.loop, SPAN_EMPTY, SPAN_EMPTY)));
	h2o_start(&w.o, &w.loop);
	for (size_t i = 0; i < XS_MAX; i++)
		w.xs[i].body = BUF_INIT(1U << 20);
	w.secret = SPAN_LIT(SECRET);
	w.body = SPAN_LIT("abcdef");
	return 0;
}

static void
give_back(struct x *x)
{
	if (x->wait != NULL)
		upstream_cancel(x->wait);
	if (x->x != NULL)
		upstream_discard(w.u, x->x);
	x->wait = NULL;
	x->x = NULL;
}

static int
down(void **state)
{
	(void)state;
	for (size_t i = 0; i < XS_MAX; i++) {
		give_back(&w.xs[i]);
		buf_done(&w.xs[i].body);
	}
	upstream_free(w.u);
	resolver_free(w.resolver);
	h2o_stop(&w.o);
	for (int i = 0; i < 200 && uv_run(&w.loop, UV_RUN_NOWAIT) != 0; i++)
		(void)usleep(1000);
	assert_int_equal(uv_loop_close(&w.loop), 0); /* no handle was leaked */
	return 0;
}

static void
on_timeout(uv_timer_t *t)
{
	*(bool *)t->data = true;
}

#define UNTIL(what)                                                    \
	do {                                                           \
		bool late_ = false;                                    \
		uv_timer_t timer_;                                     \
		(void)uv_timer_init(&w.loop, &timer_);                 \
		timer_.data = &late_;                                  \
		(void)uv_timer_start(&timer_, on_timeout, WAIT_MS, 0); \
		while (!(what) && !late_)                              \
			(void)uv_run(&w.loop, UV_RUN_ONCE);            \
		uv_close((uv_handle_t *)&timer_, NULL);                \
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);                  \
		if (late_)                                             \
			print_error("never came: %s\n", #what);        \
		assert_true(what);                                     \
	} while (0)

static void
settle(void)
{
	for (int i = 0; i < 20; i++) {
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
		(void)usleep(500);
	}
}

/* ---- the user of exchanges ---- */
static size_t
room(void *ctx)
{
	const struct x *x = ctx;

	return x->blocked ? 0 : 5000;
}

static void
on_head(void *ctx, const struct http_response *head)
{
	struct x *x = ctx;

	x->heads++;
	x->status = head->status;
}

static void
on_body(void *ctx, uint8_t *body, size_t len)
{
	struct x *x = ctx;

	assert_true(!x->blocked && len > 0 && len <= 5000 && x->heads == 1);
	x->len += len;
	if (x->body.len + len < (1U << 20))
		assert_true(is_ok(buf_put(&x->body, body, len)));
	memset(body, '*', len);
}

static void
on_end(void *ctx)
{
	struct x *x = ctx;

	x->ends++;
	if (!x->keep)
		upstream_release(w.u, x->x);
	if (!x->keep)
		x->x = NULL;
}

static void
on_failed(void *ctx, enum error why, enum exchange_fault fault)
{
	struct x *x = ctx;

	x->fails++;
	x->why = why;
	x->stale = fault == EXCHANGE_STALE;
	x->shared = !exchange_blames(x->x);
	upstream_discard(w.u, x->x);
	x->x = NULL;
}

static const struct exchange_ops ops = { room, on_head, on_body, on_end, on_failed };

static void
begin(struct x *x)
{
	struct exchange_request r = { .target = SPAN_LIT("/v1/chat"),
		.authority = SPAN_LIT("h:1"),
		.fields = { { SPAN_LIT("accept"), SPAN_LIT("application/json") } },
		.field_count = 1,
		.secret_name = SPAN_LIT("authorization"),
		.secret_prefix = SPAN_LIT("Bearer "),
		.secret = w.secret,
		.body = { w.body, SPAN_EMPTY, SPAN_LIT("!") } };
	struct status st = exchange_start(x->x, &r, &ops, x);

	if (!is_ok(st)) {
		x->st = st;
		x->fails++;
		upstream_discard(w.u, x->x);
		x->x = NULL;
	}
}

static void
on_acquired(void *ctx, struct status st, struct exchange *x)
{
	struct x *me = ctx;

	me->wait = NULL;
	me->x = x;
	me->st = st;
	me->acquired++;
	if (is_ok(st))
		begin(me);
}

static void
make(void)
{
	char url[64];
	struct upstream_opts o = { .loop = &w.loop,
		.resolver = w.resolver,
		.url = url,
		.plain = true,
		.http = UPSTREAM_HTTP_2,
		.limits = w.limits };

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", w.o.port);
	assert_true(is_ok(upstream_new(&o, &w.u)));
}

static struct x *
ask(size_t i)
{
	struct x *x = &w.xs[i];
	struct status st;

	x->heads = 0;
	if (w.u == NULL)
		make();
	st = upstream_acquire(w.u, false, on_acquired, x, &x->wait, &x->x);
	if (is_ok(st))
		on_acquired(x, OK, x->x);
	else
		assert_int_equal(st.code, E_AGAIN);
	return x;
}

/* ---- requests and answers ---- */
static void
hello(struct h2o_conn *c, int32_t id)
{
	h2o_say(c, id, "hello");
}

static void
a_request_is_answered(void **state)
{
	struct x *x;
	static const uint8_t literal[] = { 0x1f, 0x08, 7 + sizeof(SECRET) - 1 };

	(void)state;
	w.o.on_request = hello;
	x = ask(0);
	UNTIL(x->ends == 1);
	assert_int_equal(x->status, 200);
	assert_true(span_eq_str(buf_span(&x->body), "hello"));
	assert_true(span_eq_str(buf_span(&w.o.body), "abcdef!"));
	assert_string_equal(w.o.fields,
	    ":method: POST\n:scheme: http\n:authority: h:1\n:path: /v1/chat\n"
	    "accept: application/json\ncontent-length: 7\n"
	    "authorization: Bearer " SECRET " (never indexed)\n");
	/* As it is, and in no table of the other side's. */
	assert_non_null(memmem(w.o.conns[0].seen.ptr, w.o.conns[0].seen.len, literal, 3));
	assert_non_null(
	    memmem(w.o.conns[0].seen.ptr, w.o.conns[0].seen.len, SECRET, sizeof(SECRET) - 1));
}

static void
bytes_are_counted(void **state)
{
	struct x *x = &w.xs[0];

	(void)state;
	w.o.on_request = hello;
	x->keep = true;
	(void)ask(0);
	UNTIL(x->ends == 1);
	assert_true(exchange_bytes_in(x->x) > 9 + 9 + 5 && exchange_bytes_in(x->x) < 200);
	assert_true(exchange_bytes_out(x->x) > 9 + 7 + 9 + 20);
}

static void
without_a_secret(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = hello;
	w.secret = SPAN_EMPTY;
	x = ask(0);
	UNTIL(x->ends == 1);
	assert_null(strstr(w.o.fields, "authorization"));
}

static void
large_bodies_go_through_small_windows(void **state)
{
	static uint8_t large[1U << 20];
	struct x *x;

	(void)state;
	w.o.on_request = hello;
	memset(large, 'y', sizeof(large));
	w.body = span_of(large, sizeof(large));
	x = ask(0);
	UNTIL(x->ends == 1);
	assert_int_equal(w.o.body.len, sizeof(large) + 1);
	assert_int_equal(w.o.body.ptr[sizeof(large)], '!');
}

static void
ask_many(size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)ask(i);
}

static unsigned
ended(size_t n)
{
	unsigned sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += w.xs[i].ends;
	return sum;
}

static void
many_share_a_connection(void **state)
{
	(void)state;
	w.o.on_request = hello;
	ask_many(50);
	UNTIL(ended(50) == 50);
	assert_int_equal(w.o.nconns, 1);
	assert_int_equal(upstream_open(w.u), 1);
	for (int i = 0; i < 20; i++) { /* one after the other */
		struct x *x = ask(0);

		UNTIL(x->ends == 2U + (unsigned)i);
	}
	assert_int_equal(w.o.nconns, 1);
}

static void
nothing(struct h2o_conn *c, int32_t id)
{
	(void)c, (void)id;
}

static void
the_peer_bounds_streams(void **state)
{
	(void)state;
	w.o.on_request = nothing;
	w.o.streams_max = 2;
	ask_many(5);
	UNTIL(w.o.requests == 5);
	assert_int_equal(w.o.nconns, 3);
}

static void
we_bound_streams(void **state)
{
	(void)state;
	w.o.on_request = nothing;
	ask_many(H2_STREAMS_MAX + 50);
	UNTIL(w.o.requests == H2_STREAMS_MAX + 50);
	assert_int_equal(w.o.nconns, 2);
	/* Room that comes back is used. */
	for (size_t i = 0; i < 60; i++)
		give_back(&w.xs[i]);
	for (size_t i = 0; i < 60; i++)
		(void)ask(i);
	UNTIL(w.o.requests == H2_STREAMS_MAX + 110);
	assert_int_equal(w.o.nconns, 2);
}

static void
who_waits_gets_room_that_comes_back(void **state)
{
	(void)state;
	w.o.on_request = nothing;
	w.o.no_settings = true; /* so one stream a connection, and no second connection yet */
	ask_many(2);
	UNTIL(w.o.requests == 1);
	settle();
	assert_int_equal(w.o.requests, 1);
	assert_int_equal(w.o.nconns, 1);
	give_back(&w.xs[0]);
	UNTIL(w.o.requests == 2);
	assert_int_equal(w.o.nconns, 1);
}

/* ---- heads and bodies ---- */
static const char *const *fields;
static struct h2o_answer what;

static void
told(struct h2o_conn *c, int32_t id)
{
	(void)h2o_answer(c, id, fields, what);
}

static void
answers_are_judged(void **state)
{
	static const struct {
		const char *fields[12];
		const char *body;
		bool trailer, good;
	} rows[] = {
		{ { ":status", "200", "content-length", "2" }, "hi", false, true },
		{ { ":status", "200" }, "", false, true },
		{ { ":status", "200" }, "hi", true, true },
		{ { ":status", "204" }, "", false, true },
		{ { ":status", "200", "content-length", "3" }, "hi", false, false },
		{ { ":status", "200", "content-length", "1" }, "hi", false, false },
		{ { ":status", "204" }, "hi", false, false },
		{ { "x", "y" }, "hi", false, false },
		{ { ":status", "200", ":path", "/" }, "hi", false, false },
		{ { ":status", "200", "connection", "close" }, "hi", false, false },
		{ { ":status", "200", "x", "a\nb" }, "hi", false, false },
		{ { ":status", "101" }, "hi", false, false },
	};

	(void)state;
	w.o.on_request = told;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct x *x = &w.xs[i];

		fields = rows[i].fields;
		what = (struct h2o_answer){ .text = rows[i].body,
			.len = strlen(rows[i].body),
			.trailer = rows[i].trailer };
		(void)ask(i);
		UNTIL(x->ends + x->fails == 1);
		if ((x->ends == 1) != rows[i].good)
			print_error("row %zu\n", i);
		assert_int_equal(x->ends, rows[i].good);
		assert_true(x->ends == 1 || (x->why == ERROR_UPSTREAM && !x->stale));
	}
	assert_int_equal(w.o.nconns, 1); /* it is one stream's fault, not the connection's */
}

static void
interim(struct h2o_conn *c, int32_t id)
{
	const nghttp2_nv early = h2o_nv(":status", "103");

	assert_true(
	    nghttp2_submit_headers(c->session, NGHTTP2_FLAG_NONE, id, NULL, &early, 1, NULL) >= 0);
	h2o_say(c, id, "hello");
}

static void
interim_answers_are_skipped(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = interim;
	x = ask(0);
	UNTIL(x->ends == 1);
	assert_int_equal(x->status, 200);
	assert_int_equal(x->heads, 1);
}

#define H200 "\x20\x88" /* a table of 0, as we asked for; :status: 200, indexed */

static void
padded(struct h2o_conn *c, int32_t id)
{
	static const uint8_t data[4 + 255] = { 255, 'h', 'i', '!' };

	h2o_raw(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, SPAN_LIT(H200));
	h2o_raw(c, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, id, span_of(data, sizeof(data)));
	h2o_raw(c, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_END_STREAM, id,
	    span_of(data, sizeof(data)));
}

static void
padding_is_taken_off(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = padded;
	x = ask(0);
	UNTIL(x->ends == 1);
	assert_true(span_eq_str(buf_span(&x->body), "hi!hi!"));
}

static void
many_fields(struct h2o_conn *c, int32_t id)
{
	static nghttp2_nv items[1000];

	items[0] = h2o_nv(":status", "200");
	for (size_t i = 1; i < COUNT(items); i++)
		items[i] = h2o_nv("x-field", "0123456789");
	assert_int_equal(nghttp2_submit_response(c->session, id, items, COUNT(items), NULL), 0);
}

static void
heads_are_bounded(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = many_fields;
	x = ask(0);
	UNTIL(x->fails == 1);
	assert_int_equal(x->why, ERROR_UPSTREAM);
	w.o.on_request = hello;
	x = ask(1);
	UNTIL(x->ends == 1);
}

/* ---- windows ---- */
static void
huge(struct h2o_conn *c, int32_t id)
{
	(void)h2o_answer(c, id, h2o_ok, (struct h2o_answer){ .len = 1U << 20 });
}

static void
a_slow_taker_slows_its_stream_only(void **state)
{
	struct x *slow = &w.xs[0], *x;

	(void)state;
	w.o.on_request = huge;
	slow->blocked = true;
	(void)ask(0);
	UNTIL(slow->heads == 1);
	settle();
	assert_int_equal(w.o.answers[0].off, H2_WINDOW);
	for (size_t i = 1; i < 20; i++) { /* as many more: the connection's window is not theirs */
		w.xs[i].blocked = true;
		(void)ask(i);
	}
	settle();
	x = ask(20);
	UNTIL(x->ends == 1);
	assert_int_equal(x->len, 1U << 20);
	assert_int_equal(w.o.answers[0].off, H2_WINDOW);
	slow->blocked = false;
	while (slow->ends == 0) {
		exchange_resume(slow->x);
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	}
	assert_int_equal(slow->len, 1U << 20);
	assert_int_equal(w.o.nconns, 1);
}

/* The end waits for what nobody had room for. */
static void
the_end_comes_last(void **state)
{
	struct x *x = &w.xs[0];

	(void)state;
	w.o.on_request = hello;
	x->blocked = true;
	(void)ask(0);
	UNTIL(x->heads == 1);
	settle();
	assert_int_equal(x->ends + x->fails, 0);
	h2o_close(&w.o.conns[0]);
	settle();
	assert_int_equal(x->ends + x->fails, 0);
	x->blocked = false;
	exchange_resume(x->x);
	assert_int_equal(x->ends, 1);
	assert_true(span_eq_str(buf_span(&x->body), "hello"));
}

/* ---- ends ---- */
static void
goaway_second(struct h2o_conn *c, int32_t id)
{
	if (id == 1)
		return;
	assert_int_equal(
	    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, 1, NGHTTP2_NO_ERROR, NULL, 0), 0);
	h2o_say(c, 1, "hello");
	w.o.on_request = hello;
}

static void
goaway_spares_what_it_has_begun(void **state)
{
	struct x *one, *two, *three;

	(void)state;
	w.o.on_request = goaway_second;
	one = ask(0);
	UNTIL(w.o.requests == 1);
	two = ask(1);
	UNTIL(one->ends == 1);
	UNTIL(two->fails == 1);
	assert_true(two->stale);
	three = ask(2);
	UNTIL(three->ends == 1);
	assert_int_equal(w.o.nconns, 2);
	UNTIL(w.o.closed == 1); /* the first one, which has nothing left */
}

static uint32_t code;

static void
resets(struct h2o_conn *c, int32_t id)
{
	assert_int_equal(nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, code), 0);
}

static void
refused_streams_are_stale(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = resets;
	code = NGHTTP2_REFUSED_STREAM;
	x = ask(0);
	UNTIL(x->fails == 1);
	assert_true(x->stale && x->why == ERROR_UPSTREAM);
	code = NGHTTP2_INTERNAL_ERROR;
	x = ask(1);
	UNTIL(x->fails == 1);
	assert_true(!x->stale && x->why == ERROR_UPSTREAM);
	assert_int_equal(w.o.nconns, 1);
	/* Who was refused asks elsewhere. */
	code = NGHTTP2_REFUSED_STREAM;
	x = ask(2);
	UNTIL(x->fails == 1);
	w.o.on_request = hello;
	assert_int_equal(
	    upstream_acquire(w.u, true, on_acquired, x, &x->wait, &x->x).code, E_AGAIN);
	UNTIL(x->ends == 1);
	assert_int_equal(w.o.nconns, 2);
}

static void
half(struct h2o_conn *c, int32_t id)
{
	(void)h2o_answer(
	    c, id, h2o_ok, (struct h2o_answer){ .text = "hel", .len = 3, .open = true });
}

static void
a_reset_in_the_middle(void **state)
{
	struct x *x, *y;

	(void)state;
	w.o.on_request = half;
	x = ask(0);
	UNTIL(x->len == 3);
	y = ask(1);
	UNTIL(y->len == 3);
	assert_int_equal(nghttp2_submit_rst_stream(w.o.conns[0].session, NGHTTP2_FLAG_NONE,
			     w.o.answers[0].id, NGHTTP2_INTERNAL_ERROR),
	    0);
	h2o_send(&w.o.conns[0]);
	UNTIL(x->fails == 1);
	assert_false(x->stale);
	assert_int_equal(y->fails, 0);
	/* … and with the connection goes the other. */
	h2o_close(&w.o.conns[0]);
	UNTIL(y->fails == 1);
	assert_false(y->stale);
	assert_int_equal(upstream_open(w.u), 0);
}

/* However many it carried: for the breaker it is one failure. */
static void
a_connection_breaks_once(void **state)
{
	unsigned broke = 0, shared = 0;

	(void)state;
	w.o.on_request = half;
	ask_many(10);
	UNTIL(w.xs[9].len == 3);
	h2o_close(&w.o.conns[0]);
	UNTIL(w.xs[0].fails == 1);
	for (size_t i = 0; i < 10; i++) {
		assert_true(w.xs[i].fails == 1 && !w.xs[i].stale);
		shared += w.xs[i].shared;
		broke += !w.xs[i].shared;
	}
	assert_int_equal(broke, 1);
	assert_int_equal(shared, 9);
}

static void
goaway_tenth(struct h2o_conn *c, int32_t id)
{
	if (id == 19)
		assert_int_equal(nghttp2_submit_goaway(
				     c->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0),
		    0);
}

/* The same where it goes away and refuses them all. */
static void
a_connection_goes_away_once(void **state)
{
	unsigned stale = 0, shared = 0;

	(void)state;
	w.o.on_request = goaway_tenth;
	ask_many(10);
	UNTIL(w.xs[0].fails == 1 && w.xs[9].fails == 1);
	for (size_t i = 0; i < 10; i++) {
		stale += w.xs[i].stale;
		shared += w.xs[i].shared;
	}
	assert_int_equal(stale, 10);
	assert_int_equal(shared, 9);
}

/* Who resets one stream after the other fails each time. */
static void
resets_of_streams_count_each(void **state)
{
	(void)state;
	w.o.on_request = resets;
	code = NGHTTP2_INTERNAL_ERROR;
	ask_many(10);
	UNTIL(w.xs[0].fails == 1 && w.xs[9].fails == 1);
	for (size_t i = 0; i < 10; i++)
		assert_false(w.xs[i].shared);
	assert_int_equal(w.o.nconns, 1);
}

static void
a_connection_that_ended_is_stale(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = hello;
	x = ask(0);
	UNTIL(x->ends == 1);
	/* Ended in the same turn of the loop in which the next call takes it. */
	h2o_close(&w.o.conns[0]);
	x = ask(1);
	UNTIL(x->fails == 1);
	assert_true(x->stale);
	/* A fresh one that ends with nothing is not. */
	w.o.on_request = NULL;
	x = ask(2);
	UNTIL(w.o.requests == 2);
	h2o_close(&w.o.conns[1]);
	UNTIL(x->fails == 1);
	assert_false(x->stale);
}

static void
a_cancelled_exchange_is_reset_at_once(void **state)
{
	struct x *x, *y;

	(void)state;
	w.o.on_request = half;
	x = ask(0);
	y = ask(1);
	UNTIL(x->len == 3 && y->len == 3);
	give_back(x);
	UNTIL(w.o.resets == 1);
	assert_int_equal(w.o.reset, NGHTTP2_CANCEL);
	assert_int_equal(y->fails, 0);
	/* Before its head has left: nobody there hears of it. */
	x = ask(2);
	assert_non_null(x->x);
	give_back(x);
	settle();
	assert_int_equal(w.o.nconns, 1);
	w.o.on_request = hello;
	x = ask(3);
	UNTIL(x->ends == 1);
}

static void
early(struct h2o_conn *c, int32_t id)
{
	(void)c, (void)id;
}

static int
early_frame(struct h2o_conn *c)
{
	static const char *const refused[] = { ":status", "413", NULL };

	(void)h2o_answer(c, 1, refused, (struct h2o_answer){ .text = "no", .len = 2 });
	h2o_send(c);
	return 1;
}

/* An answer before the request was sent: the rest is not sent, and what was lent is let go. */
static void
an_early_answer_ends_the_request(void **state)
{
	uint8_t *large = calloc(1, 4U << 20);
	struct x *x;

	(void)state;
	w.o.on_request = early;
	w.o.window = 1000;
	w.body = span_of(large, 4U << 20);
	x = ask(0);
	UNTIL(w.o.nconns == 1);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	UNTIL(w.o.body.len > 0);
	assert_int_equal(early_frame(&w.o.conns[0]), 1);
	UNTIL(x->heads == 1);
	free(large);
	UNTIL(x->ends == 1);
	assert_int_equal(x->status, 413);
	UNTIL(w.o.resets == 1);
	assert_int_equal(w.o.reset, NGHTTP2_NO_ERROR);
}

static void
deadlines_are_of_a_stream(void **state)
{
	struct x *x, *y;

	(void)state;
	w.limits = (struct exchange_limits){ .first_byte_ms = 60, .idle_ms = 200 };
	w.o.on_request = nothing;
	x = ask(0);
	UNTIL(x->fails == 1);
	assert_int_equal(x->why, ERROR_UPSTREAM_TIMEOUT);
	UNTIL(w.o.resets == 1);
	w.o.on_request = half;
	y = ask(1);
	UNTIL(y->fails == 1);
	assert_int_equal(y->len, 3);
	assert_int_equal(y->why, ERROR_UPSTREAM_TIMEOUT);
	w.o.on_request = hello;
	x = ask(2);
	UNTIL(x->ends == 1);
	assert_int_equal(w.o.nconns, 1);
	/* Who is slow to take it is no fault of the provider's. */
	y = &w.xs[3];
	y->blocked = true;
	w.o.on_request = half;
	(void)ask(3);
	UNTIL(y->heads == 1);
	for (int i = 0; i < 60; i++) {
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
		(void)usleep(5000);
	}
	assert_int_equal(y->fails, 0);
}

/* ---- times of the connection ---- */
static struct h2_conn *
conn_of_x(const struct x *x)
{
	return ((struct h2_stream *)x->x)->h;
}

static void
an_idle_connection_ends(void **state)
{
	struct x *x = &w.xs[0];
	struct h2_conn *h;

	(void)state;
	w.o.on_request = hello;
	x->keep = true;
	(void)ask(0);
	UNTIL(x->ends == 1);
	h = conn_of_x(x);
	give_back(x);
	h->idle_ms -= EXCHANGE_KEPT_MS - 100;
	h2_conn_due(h, 0);
	(void)usleep(20000);
	settle();
	assert_int_equal(w.o.closed, 0);
	h->idle_ms -= 100;
	h2_conn_due(h, 0);
	UNTIL(w.o.closed == 1);
	assert_int_equal(w.o.conns[0].goaways, 1);
	assert_int_equal(w.o.conns[0].goaway, NGHTTP2_NO_ERROR);
	assert_int_equal(upstream_open(w.u), 0);
}

/* Who is silent is asked; who does not answer that is gone. */
static void
a_silent_peer_is_found_out(void **state)
{
	struct x *x = &w.xs[0];
	struct h2_conn *h;

	(void)state;
	w.o.on_request = half;
	(void)ask(0);
	UNTIL(x->len == 3);
	h = conn_of_x(x);
	h->heard_ms -= H2_QUIET_MS;
	h2_conn_due(h, 0);
	UNTIL(h->pinged && h->heard != h->pinged_heard); /* it answered */
	h->pinged_ms -= H2_PONG_MS;
	h2_conn_due(h, 0);
	settle();
	assert_int_equal(x->fails, 0);
	w.o.conns[0].mute = true;
	h->heard_ms -= H2_QUIET_MS;
	h2_conn_due(h, 0);
	UNTIL(h->pinged);
	h->pinged_ms -= H2_PONG_MS;
	h2_conn_due(h, 0);
	UNTIL(x->fails == 1);
	assert_int_equal(x->why, ERROR_UPSTREAM);
	assert_false(x->stale);
}

static void
who_never_settles_is_left(void **state)
{
	struct x *x = &w.xs[0], *y = &w.xs[1];

	(void)state;
	w.o.no_settings = true;
	(void)ask(0);
	(void)ask(1);
	UNTIL(w.o.requests == 1);
	assert_null(y->x);
	conn_of_x(x)->began_ms -= H2_SETTLE_MS;
	h2_conn_due(conn_of_x(x), 0);
	UNTIL(x->fails == 1);
	UNTIL(w.o.nconns == 2); /* for the one that waits */
}

/* A reload: what it carries goes on, then it ends. */
static void
a_shut_connection_finishes(void **state)
{
	struct x *x = &w.xs[0];
	struct upstream *u;

	(void)state;
	w.o.on_request = half;
	(void)ask(0);
	UNTIL(x->len == 3);
	u = w.u;
	upstream_free(u);
	settle();
	assert_int_equal(w.o.closed, 0);
	w.o.answers[0].open = false;
	assert_int_equal(nghttp2_session_resume_data(w.o.conns[0].session, 1), 0);
	h2o_send(&w.o.conns[0]);
	UNTIL(x->ends == 1);
	w.u = NULL;
	UNTIL(w.o.closed == 1);
}

/* ---- hostile peers ---- */
static struct {
	uint8_t type, flags;
	int32_t id; /* -1: the request's */
	struct span payload;
	unsigned count;
	bool head;
} flood;

static void
floods(struct h2o_conn *c, int32_t id)
{
	if (flood.head)
		h2o_raw(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, SPAN_LIT(H200));
	for (unsigned i = 0; i < flood.count; i++)
		h2o_raw(c, flood.type, flood.flags, flood.id < 0 ? id : flood.id, flood.payload);
}

static void
floods_end_the_connection(void **state)
{
	static const uint8_t zeros[64];
	static const struct {
		uint8_t type, flags;
		int32_t id;
		uint8_t len;
		unsigned count;
		bool head;
	} rows[] = {
		{ NGHTTP2_SETTINGS, 0, 0, 0, 100, false },
		{ NGHTTP2_PING, 0, 0, 8, 300, false },
		{ NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, 8, 300, false },
		{ NGHTTP2_DATA, 0, -1, 0, 300, true },
		{ NGHTTP2_PRIORITY, 0, 3, 5, 600, false },
		{ NGHTTP2_GOAWAY, 0, 0, 8, 600, false },
		{ NGHTTP2_CONTINUATION, 0, -1, 0, 50, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct x *x = &w.xs[i];
		struct h2o_conn *c;

		w.o.on_request = floods;
		flood.type = rows[i].type;
		flood.flags = rows[i].flags;
		flood.id = rows[i].id;
		flood.payload = span_of(zeros, rows[i].len);
		flood.count = rows[i].count;
		flood.head = rows[i].head;
		(void)ask(i);
		UNTIL(x->fails == 1);
		assert_false(x->stale && rows[i].type != NGHTTP2_GOAWAY);
		c = &w.o.conns[w.o.nconns - 1];
		UNTIL(!c->open);
		assert_int_equal(w.o.nconns, i + 1);
		assert_int_equal(upstream_open(w.u), 0);
	}
}

/* As nginx does when it answers without the body: once a request, and no flood. */
static void
answers_and_resets(struct h2o_conn *c, int32_t id)
{
	h2o_raw(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, SPAN_LIT(H200));
	h2o_raw(c, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, SPAN_LIT("hello"));
	h2o_raw(c, NGHTTP2_RST_STREAM, 0, id, SPAN_LIT("\0\0\0\0"));
}

static void
a_reset_with_each_answer_is_no_flood(void **state)
{
	(void)state;
	w.o.on_request = answers_and_resets;
	for (unsigned i = 1; i <= 2000; i++) {
		struct x *x = ask(0);

		UNTIL(x->ends == i);
	}
	assert_int_equal(w.o.nconns, 1);
}

static void
many_resets(struct h2o_conn *c, int32_t id)
{
	for (int i = 0; i < 1000; i++)
		h2o_raw(c, NGHTTP2_RST_STREAM, 0, id, SPAN_LIT("\0\0\0\x08"));
}

static void
resets_beyond_requests_are_one(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = many_resets;
	x = ask(0);
	UNTIL(x->fails == 1);
	UNTIL(w.o.closed == 1);
}

/* A header block that never ends: by CONTINUATION, and by size. */
static void
endless(struct h2o_conn *c, int32_t id)
{
	static uint8_t block[16000];

	/* x: 'a' …, literal without indexing, again and again */
	for (size_t i = 0; i + 127 < sizeof(block); i += 124) {
		block[i] = 0;
		block[i + 1] = 1;
		block[i + 2] = 'x';
		block[i + 3] = 120;
		memset(block + i + 4, 'a', 120);
	}
	h2o_raw(c, NGHTTP2_HEADERS, 0, id, span_of(block, 124UL * 100));
	for (int i = 0; i < 30; i++)
		h2o_raw(c, NGHTTP2_CONTINUATION, 0, id, span_of(block, 124UL * 100));
}

static void
endless_heads_end_the_connection(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = endless;
	x = ask(0);
	UNTIL(x->fails == 1);
	UNTIL(w.o.closed == 1);
}

static void
pushes(struct h2o_conn *c, int32_t id)
{
	h2o_raw(c, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, id,
	    SPAN_LIT("\x00\x00\x00\x02\x82\x87\x84"));
}

static void
nobody_pushes(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = pushes;
	x = ask(0);
	UNTIL(x->fails == 1);
	UNTIL(w.o.closed == 1);
}

static void
speaks_otherwise(struct h2o_conn *c, int32_t id)
{
	(void)id;
	c->mute = false;
	assert_true(is_ok(buf_put_str(&c->raw, "HTTP/1.1 400 Bad Request\r\n\r\n")));
}

static void
what_is_no_http_2_ends(void **state)
{
	struct x *x;

	(void)state;
	w.o.no_settings = true;
	w.o.on_request = speaks_otherwise;
	x = ask(0);
	UNTIL(x->fails == 1);
	assert_int_equal(x->why, ERROR_UPSTREAM);
	UNTIL(w.o.closed == 1);
}

/* ---- output ---- */
static void
secrets_lie_between_bytes(void **state)
{
	struct span parts[CONN_PARTS];
	struct h2_out o;
	char all[64] = "";
	size_t n, len = 0;

	(void)state;
	h2_out_init(&o);
	assert_true(is_ok(h2_out_put(&o, SPAN_LIT("ab"))));
	h2_out_put_secret(&o, SPAN_LIT("one"), "1");
	h2_out_put_secret(&o, SPAN_LIT("two"), "2");
	assert_true(is_ok(h2_out_put(&o, SPAN_LIT("cd"))));
	h2_out_put_secret(&o, SPAN_LIT("three"), "1");
	h2_out_advance(&o, 3); /* "abo" */
	assert_true(is_ok(h2_out_put(&o, SPAN_LIT("ef"))));
	h2_out_forget(&o, o.secrets[0].owner);
	while (!h2_out_empty(&o)) { /* a byte at a time */
		n = h2_out_parts(&o, parts);
		assert_true(n > 0 && parts[0].len > 0);
		all[len++] = parts[0].ptr[0] == 0 ? '0' : (char)parts[0].ptr[0];
		h2_out_advance(&o, 1);
	}
	assert_string_equal(all, "00twocd00000ef");
	h2_out_done(&o);
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_request_is_answered),
		T(bytes_are_counted),
		T(without_a_secret),
		T(large_bodies_go_through_small_windows),
		T(many_share_a_connection),
		T(the_peer_bounds_streams),
		T(we_bound_streams),
		T(who_waits_gets_room_that_comes_back),
		T(answers_are_judged),
		T(interim_answers_are_skipped),
		T(padding_is_taken_off),
		T(heads_are_bounded),
		T(a_slow_taker_slows_its_stream_only),
		T(the_end_comes_last),
		T(goaway_spares_what_it_has_begun),
		T(refused_streams_are_stale),
		T(a_reset_in_the_middle),
		T(a_connection_breaks_once),
		T(a_connection_goes_away_once),
		T(resets_of_streams_count_each),
		T(a_connection_that_ended_is_stale),
		T(a_cancelled_exchange_is_reset_at_once),
		T(an_early_answer_ends_the_request),
		T(deadlines_are_of_a_stream),
		T(an_idle_connection_ends),
		T(a_silent_peer_is_found_out),
		T(who_never_settles_is_left),
		T(a_shut_connection_finishes),
		T(floods_end_the_connection),
		T(a_reset_with_each_answer_is_no_flood),
		T(resets_beyond_requests_are_one),
		T(endless_heads_end_the_connection),
		T(nobody_pushes),
		T(what_is_no_http_2_ends),
		cmocka_unit_test(secrets_lie_between_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
