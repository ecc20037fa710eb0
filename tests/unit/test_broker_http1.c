/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker/pool.c, h2_exchange.c: a server that chose HTTP/2 and then wants HTTP/1.1 after all
 * (HTTP_1_1_REQUIRED, RFC 9113 §7).
 */
#include "upstream_rig.h"

#include <upstream_internal.h>

#define SETTINGS "\0\0\0\4\0\0\0\0\0"
#define HEAD "\0\0\1\1\4\0\0\0\1\x88" /* of an answer: status 200 */
#define RESET "\0\0\4\3\0\0\0\0\1\0\0\0\xd"
#define GOAWAY "\0\0\x8\7\0\0\0\0\0\0\0\0\0\0\0\0\xd"
#define FRAMES(s)                                  \
	{                                          \
		.text = (s), .len = sizeof(s) - 1, \
	}

static unsigned offers, h2_offers;
static unsigned heads;
static enum exchange_fault fault;

/* What is offered first is taken. */
static int
choose(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
    unsigned in_len, void *arg)
{
	(void)ssl, (void)arg;
	assert_true(in_len > in[0]);
	*out = in + 1;
	*out_len = in[0];
	offers++;
	h2_offers += span_eq_str(span_of(in + 1, in[0]), "h2");
	return SSL_TLSEXT_ERR_OK;
}

static void
on_any_head(void *ctx, const struct http_response *head)
{
	(void)ctx, (void)head;
	heads++;
}

static void
on_broken(void *ctx, enum error why, enum exchange_fault f)
{
	(void)ctx, (void)why;
	fault = f;
	w.failed++;
}

static const struct exchange_ops h2_ops = { room, on_any_head, on_body, on_end, on_broken };

/* The request leaves with the connection's first bytes: what is played answers it. */
static void
on_connected(void *ctx, struct status st, struct exchange *x)
{
	const struct exchange_request r = { .target = SPAN_LIT("/base/x"),
		.authority = SPAN_LIT("h"),
		.body = { SPAN_LIT("ab") } };

	on_done(NULL, st, x);
	if (ctx != NULL)
		*(struct exchange **)ctx = x;
	if (is_ok(st) && conn_of(x) == NULL)
		assert_true(is_ok(exchange_start(x, &r, &h2_ops, NULL)));
}

static void
begin(enum upstream_http http)
{
	struct upstream_opts o = opts("https", "localhost");

	offers = h2_offers = heads = 0;
	o.http = http;
	SSL_CTX_set_alpn_select_cb(w.tls, choose, NULL);
	assert_true(is_ok(upstream_new(&o, &w.u)));
}

static void
ask(void)
{
	struct status st;

	w.done = 0;
	st = upstream_acquire(w.u, true, on_connected, NULL, &w.wait, &w.x);
	assert_int_equal(st.code, E_AGAIN);
	wait_for(&w.done, 1);
	assert_true(is_ok(w.st));
}

static void
drop(void)
{
	upstream_discard(w.u, w.x);
	w.x = NULL;
}

/* A connection of HTTP/2 is kept, and goes with its upstream. */
static void
leave(void)
{
	drop();
	upstream_free(w.u);
	w.u = NULL;
}

/* That one fails, and what follows is sent over HTTP/1.1. */
static void
falls_back(enum exchange_fault want)
{
	ask();
	wait_for(&w.failed, 1);
	assert_int_equal(fault, want);
	drop();
	ask();
	assert_non_null(conn_of(w.x));
	exchange();
	assert_int_equal(offers, 2);
	assert_int_equal(h2_offers, 1);
}

static void
a_stream_that_is_reset_for_it(void **state)
{
	(void)state;
	begin(UPSTREAM_HTTP_AUTO);
	PLAY(&w.server, FRAMES(SETTINGS RESET), { .text = OK_REPLY });
	falls_back(EXCHANGE_STALE);
	upstream_release(w.u, w.x); /* kept, like any other */
	assert_true(is_ok(upstream_acquire(w.u, false, on_done, NULL, &w.wait, &w.x)));
	exchange();
	assert_int_equal(offers, 2);
}

static void
a_connection_that_goes_for_it(void **state)
{
	(void)state;
	begin(UPSTREAM_HTTP_AUTO);
	PLAY(&w.server, FRAMES(SETTINGS GOAWAY), { .text = OK_REPLY });
	falls_back(EXCHANGE_STALE);
}

/* Not sent anew: something of an answer came. What comes after it knows. */
static void
an_answer_that_has_begun(void **state)
{
	(void)state;
	begin(UPSTREAM_HTTP_AUTO);
	PLAY(&w.server, FRAMES(SETTINGS HEAD RESET), { .text = OK_REPLY });
	falls_back(EXCHANGE_BROKE);
	assert_int_equal(heads, 1);
}

static void
it_is_not_remembered_for_ever(void **state)
{
	(void)state;
	begin(UPSTREAM_HTTP_AUTO);
	PLAY(&w.server, FRAMES(SETTINGS RESET), { .text = OK_REPLY }, FRAMES(SETTINGS HEAD));
	falls_back(EXCHANGE_STALE);
	assert_in_range(w.u->http1_until_ms, uv_now(&w.loop) + UPSTREAM_HTTP1_MS / 2,
	    uv_now(&w.loop) + UPSTREAM_HTTP1_MS);
	drop();
	w.u->http1_until_ms = uv_now(&w.loop); /* so much later */
	ask();
	assert_null(conn_of(w.x));
	wait_for(&heads, 1);
	assert_int_equal(h2_offers, 2);
	leave();
}

/* Whoever waits for room on that connection does not wait on. */
static void
those_that_wait_are_served_so(void **state)
{
	struct upstream_wait *wait = NULL;
	struct exchange *x = NULL, *first;

	(void)state;
	begin(UPSTREAM_HTTP_AUTO);
	PLAY(&w.server, FRAMES(SETTINGS RESET), { .text = OK_REPLY });
	w.done = 0;
	assert_int_equal(
	    upstream_acquire(w.u, true, on_connected, NULL, &w.wait, &x).code, E_AGAIN);
	assert_int_equal(upstream_acquire(w.u, true, on_connected, NULL, &wait, &x).code, E_AGAIN);
	wait_for(&w.done, 1);
	first = w.x;
	wait_for(&w.failed, 1);
	assert_int_equal(w.u->carries, 1);
	wait_for(&w.done, 2);
	assert_non_null(conn_of(w.x));
	exchange();
	upstream_discard(w.u, first);
	assert_int_equal(h2_offers, 1);
}

/* Another connection of HTTP/2 is there, or is about to be: nothing more is sent on it. */
static void
beside_another_connection(const struct reply *second)
{
	struct exchange *both[2] = { NULL, NULL }, *x = NULL;
	struct upstream_wait *wait = NULL;

	begin(UPSTREAM_HTTP_AUTO);
	w.u->carries = 1; /* as if its streams were few */
	origin_plays(&w.server,
	    (const struct reply[]){ *second, FRAMES(SETTINGS RESET), { .text = OK_REPLY } }, 3);
	w.done = 0;
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    upstream_acquire(w.u, true, on_connected, &both[i], &wait, &x).code, E_AGAIN);
	wait_for(&w.done, 2);
	wait_for(&w.failed, 1);
	assert_int_equal(h2_offers, 2);
	ask();
	assert_non_null(conn_of(w.x));
	exchange();
	upstream_discard(w.u, both[0]);
	upstream_discard(w.u, both[1]);
	leave();
}

static void
another_connection_is_not_used_any_more(void **state)
{
	(void)state;
	beside_another_connection(&(const struct reply)FRAMES(SETTINGS HEAD));
}

static void
another_that_is_not_there_yet_is_not_waited_for(void **state)
{
	(void)state;
	beside_another_connection(&(const struct reply){ .text = NULL });
}

/* Where the configuration wants HTTP/2 and nothing else, it is a failure like any other. */
static void
where_there_is_no_other_it_is_a_failure(void **state)
{
	(void)state;
	begin(UPSTREAM_HTTP_2);
	PLAY(&w.server, FRAMES(SETTINGS RESET));
	ask();
	wait_for(&w.failed, 1);
	assert_int_equal(fault, EXCHANGE_BROKE);
	drop();
	assert_true(is_ok(upstream_acquire(w.u, true, on_done, NULL, &w.wait, &w.x)));
	assert_null(conn_of(w.x)); /* that connection goes on */
	leave();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_stream_that_is_reset_for_it),
		T(a_connection_that_goes_for_it),
		T(an_answer_that_has_begun),
		T(it_is_not_remembered_for_ever),
		T(those_that_wait_are_served_so),
		T(another_connection_is_not_used_any_more),
		T(another_that_is_not_there_yet_is_not_waited_for),
		T(where_there_is_no_other_it_is_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
