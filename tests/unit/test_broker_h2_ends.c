/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/h2_conn.c, h2_exchange.c: how exchanges and their connection end, and when. */
#include "broker_h2_rig.h"

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
	h->idle_ms -= EXCHANGE_KEPT_MS - 10000;
	h2_conn_due(h, 0);
	(void)usleep(20000);
	settle();
	assert_int_equal(w.o.closed, 0);
	h->idle_ms -= 10000;
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
