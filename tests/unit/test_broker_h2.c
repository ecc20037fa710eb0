/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/h2_conn.c, h2_exchange.c: requests, heads, bodies and windows. */
#include "broker_h2_rig.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
