/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/dial.c: whom an upstream takes for its server. */
#include "upstream_rig.h"

#include <base/encode.h>
#include <crypto/hash.h>

static void
an_exchange_goes_over_tls(void **state)
{
	struct upstream_opts o = opts("https", "localhost");

	(void)state;
	assert_int_equal(dialled(&o), E_OK);
	exchange();
	assert_true(conn_reusable(conn_of(w.x)));
	for (int i = 0; i < 3; i++) { /* kept, though tickets came meanwhile */
		upstream_release(w.u, w.x);
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
		assert_true(is_ok(upstream_acquire(w.u, false, on_done, NULL, &w.wait, &w.x)));
		exchange();
	}
	assert_int_equal(w.server.nconns, 1);
	assert_string_equal(upstream_base(w.u), "/base");
}

static void
another_name_is_refused(void **state)
{
	struct upstream_opts o = opts("https", "127.0.0.1");

	(void)state;
	assert_int_equal(dialled(&o), E_DENIED);
	assert_int_equal(w.server.requests, 0);
}

static void
another_authority_is_refused(void **state)
{
	struct upstream_opts o = opts("https", "localhost");

	(void)state;
	o.ca_pem = buf_span(&w.other_ca);
	assert_int_equal(dialled(&o), E_DENIED);
}

static void
an_expired_certificate_is_refused(void **state)
{
	struct upstream_opts o = opts("https", "localhost");

	(void)state;
	issue("localhost", 1, &w.ca, &w.ca_key);
	w.server.ctx = w.tls;
	sleep(2);
	uv_update_time(&w.loop);
	assert_int_equal(dialled(&o), E_DENIED);
}

static void
tls_1_2_only_where_it_is_allowed(void **state)
{
	struct upstream_opts o = opts("https", "localhost");

	(void)state;
	SSL_CTX_set_max_proto_version(w.tls, TLS1_2_VERSION);
	assert_int_equal(dialled(&o), E_PROTO);
	upstream_free(w.u);
	w.u = NULL;
	o.allow_tls12 = true;
	assert_int_equal(dialled(&o), E_OK);
	exchange();
}

static void
the_pin_is_the_key(void **state)
{
	struct upstream_opts o = opts("https", "localhost");
	X509 *x = SSL_CTX_get0_certificate(w.tls);
	uint8_t *der = NULL, pin[32];
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);

	(void)state;
	assert_true(is_ok(sha256(span_of(der, (size_t)len), pin)));
	OPENSSL_free(der);
	o.pin = pin;
	assert_int_equal(dialled(&o), E_OK);
	exchange();
	upstream_discard(w.u, w.x);
	w.x = NULL;
	upstream_free(w.u);
	w.u = NULL;
	pin[0] ^= 1;
	assert_int_equal(dialled(&o), E_DENIED);
}

static void
clear_text_is_no_tls(void **state)
{
	struct upstream_opts o = opts("https", "localhost");

	(void)state;
	w.server.ctx = NULL;
	PLAY(&w.server, { .text = "HTTP/1.1 400 Bad Request\r\n\r\n", .early = true });
	assert_int_equal(upstream_new(&o, &w.u).code, E_OK);
	assert_int_equal(upstream_acquire(w.u, true, on_done, NULL, &w.wait, &w.x).code, E_AGAIN);
	for (int i = 0; i < 50 && w.server.nconns == 0; i++)
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	assert_true(send(w.server.conns[0].fd, "HTTP/1.1 400 Bad\r\n\r\n", 20, 0) == 20);
	wait_for(&w.done, 1);
	assert_int_equal(w.st.code, E_PROTO);
}

static void
http_needs_leave(void **state)
{
	struct upstream_opts o = opts("http", "localhost");

	(void)state;
	w.server.ctx = NULL;
	assert_int_equal(upstream_new(&o, &w.u).code, E_DENIED);
	o.plain = true;
	assert_int_equal(dialled(&o), E_OK);
	exchange();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_exchange_goes_over_tls),
		T(another_name_is_refused),
		T(another_authority_is_refused),
		T(an_expired_certificate_is_refused),
		T(tls_1_2_only_where_it_is_allowed),
		T(the_pin_is_the_key),
		T(clear_text_is_no_tls),
		T(http_needs_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
