/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UPSTREAM_RIG_H
#define TESTS_UPSTREAM_RIG_H

/*
 * One upstream of the broker, a server and a name server for it, and a user of its connections:
 * what the tests of upstream.c, pool.c and dial.c share.
 */
#include "unit.h"

#include <stdio.h>

#include <dial.h>
#include <origin.h>
#include <upstream.h>

#include <crypto/crypto.h>

#include "origin_server.h"

#define WAIT_MS 12000
#define OK_REPLY "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"

static struct upstream_rig {
	uv_loop_t loop;
	struct resolver *resolver;
	struct origin_server server;
	struct dns_server dns;
	struct upstream *u;
	struct buf ca, cert, other_ca;
	struct secret ca_key, key, other_key;
	SSL_CTX *tls;
	char url[300];
	/* the user's side */
	struct upstream_wait *wait;
	struct exchange *x;
	unsigned done, ended, failed;
	struct status st;
	enum error why;
	struct buf body;
} w;

static inline void
issue(const char *name, uint32_t ttl_s, struct buf *ca, struct secret *ca_key)
{
	const struct span sans[] = { span_str(name) };
	const struct cert_leaf leaf = { .sans = sans, .san_count = 1, .ttl_s = ttl_s };

	buf_clear(&w.cert);
	secret_done(&w.key);
	assert_true(is_ok(cert_leaf_issue(buf_span(ca), ca_key, &leaf, &w.cert, &w.key)));
	SSL_CTX_free(w.tls);
	w.tls = origin_tls(buf_span(&w.cert), &w.key, TLS1_3_VERSION);
}

static inline int
up(void **state)
{
	char resolv[64];

	(void)state;
	memset(&w, 0, sizeof(w));
	w.ca = w.cert = w.other_ca = BUF_INIT(CERT_PEM_LEN_MAX);
	w.body = BUF_INIT(1U << 20);
	assert_true(is_ok(crypto_init()) && is_ok(tls_init()));
	assert_true(is_ok(cert_ca_create(SPAN_LIT("test CA"), &w.ca, &w.ca_key)));
	assert_true(is_ok(cert_ca_create(SPAN_LIT("other CA"), &w.other_ca, &w.other_key)));
	issue("localhost", 3600, &w.ca, &w.ca_key);
	assert_int_equal(uv_loop_init(&w.loop), 0);
	dns_start(&w.dns, &w.loop);
	snprintf(resolv, sizeof(resolv), "# test\nnameserver 127.0.0.1:%u\n", w.dns.port);
	assert_true(is_ok(resolver_new(&w.resolver)));
	assert_true(is_ok(resolver_configure(w.resolver, &w.loop, span_str(resolv),
	    SPAN_LIT("127.0.0.1 in-hosts other # x\n10.0.0.1 private.example\n"))));
	origin_start(&w.server, &w.loop, w.tls);
	PLAY(&w.server, { .text = OK_REPLY });
	return 0;
}

static inline int
down(void **state)
{
	(void)state;
	if (w.x != NULL)
		upstream_discard(w.u, w.x);
	if (w.u != NULL)
		assert_int_equal(upstream_open(w.u), 0);
	upstream_free(w.u);
	resolver_free(w.resolver);
	origin_stop(&w.server);
	dns_stop(&w.dns);
	for (int i = 0; i < 100 && uv_run(&w.loop, UV_RUN_NOWAIT) != 0; i++)
		(void)usleep(1000);
	assert_int_equal(uv_loop_close(&w.loop), 0); /* no handle was leaked */
	SSL_CTX_free(w.tls);
	buf_done(&w.ca);
	buf_done(&w.cert);
	buf_done(&w.other_ca);
	buf_done(&w.body);
	secret_done(&w.ca_key);
	secret_done(&w.key);
	secret_done(&w.other_key);
	return 0;
}

static inline void
on_timeout(uv_timer_t *t)
{
	*(bool *)t->data = true;
}

static inline void
wait_for(const unsigned *count, unsigned want)
{
	bool late = false;
	uv_timer_t timer;

	(void)uv_timer_init(&w.loop, &timer);
	timer.data = &late;
	(void)uv_timer_start(&timer, on_timeout, WAIT_MS, 0);
	while (*count < want && !late)
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	assert_int_equal(*count, want);
}

static inline void
on_done(void *ctx, struct status st, struct exchange *x)
{
	(void)ctx;
	w.st = st;
	w.x = x;
	w.wait = NULL;
	w.done++;
}

static inline struct upstream_opts
opts(const char *scheme, const char *host)
{
	snprintf(w.url, sizeof(w.url), "%s://%s:%u/base", scheme, host, w.server.port);
	return (struct upstream_opts){
		.loop = &w.loop, .resolver = w.resolver, .url = w.url, .ca_pem = buf_span(&w.ca)
	};
}

/* Make it, ask for a connection, wait for how that ends. */
static inline uint16_t
dialled(const struct upstream_opts *o)
{
	if (w.u == NULL)
		assert_true(is_ok(upstream_new(o, &w.u)));
	w.done = 0;
	assert_int_equal(upstream_acquire(w.u, true, on_done, NULL, &w.wait, &w.x).code, E_AGAIN);
	wait_for(&w.done, 1);
	return w.st.code;
}

static inline size_t
room(void *ctx)
{
	(void)ctx;
	return 4096;
}

static inline void
on_head(void *ctx, const struct http_response *head)
{
	(void)ctx;
	assert_int_equal(head->status, 200);
}

static inline void
on_body(void *ctx, uint8_t *body, size_t len)
{
	(void)ctx;
	assert_true(is_ok(buf_put(&w.body, body, len)));
}

static inline void
on_end(void *ctx)
{
	(void)ctx;
	w.ended++;
}

static inline void
on_failed(void *ctx, enum error why, enum exchange_fault fault)
{
	(void)ctx, (void)fault;
	w.why = why;
	w.failed++;
}

static const struct exchange_ops ops = { room, on_head, on_body, on_end, on_failed };

static inline void
exchange(void)
{
	const struct conn_request r = {
		.head = SPAN_LIT("POST /base/x HTTP/1.1\r\nhost: h\r\ncontent-length: 6\r\n"
				 "authorization: Bearer "),
		.secret = SPAN_LIT("sk-secret"),
		.body = { SPAN_LIT("ab"), SPAN_LIT("cd"), SPAN_LIT("ef") },
	};

	w.ended = 0;
	buf_clear(&w.body);
	assert_true(is_ok(conn_start(conn_of(w.x), &r, &ops, NULL)));
	wait_for(&w.ended, 1);
	assert_true(span_eq_str(buf_span(&w.body), "hi"));
	assert_true(span_eq_str(buf_span(&w.server.seen),
	    "POST /base/x HTTP/1.1\r\nhost: h\r\ncontent-length: 6\r\n"
	    "authorization: Bearer sk-secret\r\n\r\nabcdef"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

#endif
