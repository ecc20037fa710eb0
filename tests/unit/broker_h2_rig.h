/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BROKER_H2_RIG_H
#define TESTS_BROKER_H2_RIG_H

/*
 * A connection of src/broker's HTTP/2, its server (h2_origin.h), and users of its exchanges.
 */
#include "unit.h"

#include <crypto/crypto.h>
#include <h2_internal.h>
#include <upstream.h>

#include "h2_origin.h"

#define WAIT_MS 60000 /* what is not there then hangs */
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

static inline int
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

static inline void
give_back(struct x *x)
{
	if (x->wait != NULL)
		upstream_cancel(x->wait);
	if (x->x != NULL)
		upstream_discard(w.u, x->x);
	x->wait = NULL;
	x->x = NULL;
}

static inline int
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

static inline void
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

static inline void
settle(void)
{
	for (int i = 0; i < 20; i++) {
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
		(void)usleep(500);
	}
}

/* ---- the user of exchanges ---- */
static inline size_t
room(void *ctx)
{
	const struct x *x = ctx;

	return x->blocked ? 0 : 5000;
}

static inline void
on_head(void *ctx, const struct http_response *head)
{
	struct x *x = ctx;

	x->heads++;
	x->status = head->status;
}

static inline void
on_body(void *ctx, uint8_t *body, size_t len)
{
	struct x *x = ctx;

	assert_true(!x->blocked && len > 0 && len <= 5000 && x->heads == 1);
	x->len += len;
	if (x->body.len + len < (1U << 20))
		assert_true(is_ok(buf_put(&x->body, body, len)));
	memset(body, '*', len);
}

static inline void
on_end(void *ctx)
{
	struct x *x = ctx;

	x->ends++;
	if (!x->keep)
		upstream_release(w.u, x->x);
	if (!x->keep)
		x->x = NULL;
}

static inline void
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

static inline void
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

static inline void
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

static inline void
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

static inline struct x *
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
static inline void
hello(struct h2o_conn *c, int32_t id)
{
	h2o_say(c, id, "hello");
}

static inline void
ask_many(size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)ask(i);
}

static inline void
nothing(struct h2o_conn *c, int32_t id)
{
	(void)c, (void)id;
}

#define H200 "\x20\x88" /* a table of 0, as we asked for; :status: 200, indexed */

static inline void
early(struct h2o_conn *c, int32_t id)
{
	(void)c, (void)id;
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

#endif
