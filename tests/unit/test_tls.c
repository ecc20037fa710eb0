/* SPDX-License-Identifier: Apache-2.0 */
/* lib/tls over socketpairs: both sides, and what is refused. */
#include "tls_rig.h"

static void
both_sides_talk(void **state)
{
	struct tls_ctx *s = server_ctx(false), *c = client_ctx(NULL, &pki.ca);
	const struct span parts[] = { SPAN_LIT("authorization: "), SPAN_LIT("sesame"), SPAN_EMPTY,
		SPAN_LIT("\r\n") };
	struct link l;
	char byte;
	size_t n;

	(void)state;
	link_open(&l, s, c, "localhost");
	tls_ctx_free(s); /* connections hold on to their contexts */
	tls_ctx_free(c);
	assert_true(is_ok(l.server_st) && is_ok(l.client_st));
	assert_string_equal(tls_version(l.server), "TLSv1.3");
	assert_true(span_eq_str(tls_alpn(l.server), "http/1.1"));
	assert_true(span_eq_str(tls_sni(l.server), "localhost"));
	assert_false(tls_resumed(l.server));

	assert_int_equal(tls_read(l.server, &byte, 1, &n).code, E_AGAIN);
	assert_int_equal(tls_want(l.server), TLS_WANT_READ);
	assert_true(is_ok(tls_write(l.client, SPAN_LIT("hello"), &n)) && n == 5);
	assert_true(is_ok(tls_read(l.server, &byte, 1, &n)) && byte == 'h');
	assert_true(tls_pending(l.server));
	assert_reads(l.server, "ello");
	assert_false(tls_pending(l.server));
	assert_true(is_ok(tls_writev(l.server, parts, COUNT(parts), &n)) && n == 23);
	assert_reads(l.client, "authorization: sesame\r\n");
	assert_true(is_ok(tls_write(l.server, SPAN_EMPTY, &n)) && n == 0);
	assert_int_equal(tls_read(l.client, &byte, 1, &n).code, E_AGAIN);

	assert_true(is_ok(tls_shutdown(l.client)));
	assert_int_equal(tls_read(l.server, &byte, 1, &n).code, E_EOF);
	assert_int_equal(tls_failure(l.server), TLS_FAIL_NONE);
	assert_true(is_ok(tls_write(l.server, SPAN_LIT("bye"), &n)));
	assert_true(is_ok(tls_shutdown(l.server)));
	link_close(&l);
}

/* More than the socket takes: partial writes, then all of it, in order. */
static void
large_writes_arrive_whole(void **state)
{
	struct tls_ctx *s = server_ctx(false), *c = client_ctx(NULL, &pki.ca);
	size_t len = 4U << 20, sent = 0, got = 0, n;
	uint8_t *out = malloc(len), in[8192];
	bool blocked = false;
	struct link l;

	(void)state;
	assert_non_null(out);
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(i * 31 >> 3);
	link_open(&l, s, c, "127.0.0.1");
	assert_true(is_ok(l.server_st) && is_ok(l.client_st));
	while (got < len) {
		struct span rest = span_from(span_of(out, len), sent);
		struct span v[2] = { span_of(rest.ptr, rest.len / 2),
			span_from(rest, rest.len / 2) };
		struct status st = rest.len == 0   ? fail(E_AGAIN)
				   : sent % 3 == 0 ? tls_write(l.server, rest, &n)
						   : tls_writev(l.server, v, 2, &n);

		if (is_ok(st)) {
			assert_true(n > 0 && n <= rest.len);
			sent += n;
			continue;
		}
		assert_int_equal(st.code, E_AGAIN);
		blocked = blocked || tls_want(l.server) == TLS_WANT_WRITE;
		while (is_ok(tls_read(l.client, in, sizeof(in), &n))) {
			assert_memory_equal(in, out + got, n);
			got += n;
		}
	}
	assert_true(blocked);
	link_close(&l);
	tls_ctx_free(s);
	tls_ctx_free(c);
	free(out);
}

static void
wrong_names_and_roots_are_refused(void **state)
{
	static const struct {
		const char *name;
		const struct buf *ca;
		bool good;
	} rows[] = {
		{ "localhost", &pki.ca, true },
		{ "127.0.0.1", &pki.ca, true },
		{ "LOCALHOST", &pki.ca, true },
		{ "example.org", &pki.ca, false },
		{ "127.0.0.2", &pki.ca, false },
		{ "::1", &pki.ca, false },
		{ "localhost", &pki.other_ca, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tls_ctx *s = server_ctx(false), *c = client_ctx(NULL, rows[i].ca);
		struct link l;

		link_open(&l, s, c, rows[i].name);
		assert_int_equal(l.client_st.code, rows[i].good ? E_OK : E_PROTO);
		assert_int_equal(
		    tls_failure(l.client), rows[i].good ? TLS_FAIL_NONE : TLS_FAIL_CERT);
		assert_int_equal(
		    tls_failure(l.server), rows[i].good ? TLS_FAIL_NONE : TLS_FAIL_CERT);
		assert_int_equal(tls_handshake(l.client).code, rows[i].good ? E_OK : E_PROTO);
		link_close(&l);
		tls_ctx_free(s);
		tls_ctx_free(c);
	}
}

static void
no_common_protocol_is_refused(void **state)
{
	static const char *const h2[] = { "h2", NULL }, *const both[] = { "h2", "http/1.1", NULL };
	struct tls_ctx *s = server_ctx(false), *c = client_ctx(h2, &pki.ca);
	struct link l;

	(void)state;
	link_open(&l, s, c, "localhost");
	assert_int_equal(l.server_st.code, E_PROTO);
	assert_int_equal(tls_failure(l.server), TLS_FAIL_ALPN);
	assert_int_equal(tls_failure(l.client), TLS_FAIL_ALPN);
	link_close(&l);
	tls_ctx_free(c);
	c = client_ctx(both, &pki.ca);
	link_open(&l, s, c, "localhost");
	assert_true(is_ok(l.server_st) && is_ok(l.client_st));
	assert_true(span_eq_str(tls_alpn(l.client), "http/1.1"));
	link_close(&l);
	tls_ctx_free(c);
	tls_ctx_free(s);
}

static void
old_versions_are_refused(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_1_VERSION, TLS1_VERSION };
	struct tls_ctx *s = server_ctx(true);

	(void)state;
	for (size_t i = 0; i < COUNT(versions); i++) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
		struct tls_conn *conn = NULL;
		struct status st;
		SSL *client;
		int fd[2];

		SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
		SSL_CTX_set_min_proto_version(ctx, versions[i]);
		SSL_CTX_set_max_proto_version(ctx, versions[i]);
		sockets(fd);
		client = raw_client(ctx, fd[1]);
		assert_true(SSL_do_handshake(client) <= 0);
		assert_true(is_ok(tls_accept_new(s, fd[0], &conn)));
		st = tls_handshake(conn);
		assert_int_equal(st.code, E_PROTO);
		assert_int_equal(tls_failure(conn), TLS_FAIL_OLD_VERSION);
		assert_true(SSL_do_handshake(client) <= 0);
		assert_int_equal(SSL_get_error(client, -1), SSL_ERROR_SSL);
		tls_conn_free(conn);
		SSL_free(client);
		SSL_CTX_free(ctx);
		close(fd[0]);
		close(fd[1]);
	}
	tls_ctx_free(s);
}

/* The other way round: a server of OpenSSL's own that speaks nothing newer than 1.2. */
static void
a_client_takes_tls12_only_when_allowed(void **state)
{
	SSL_CTX *sctx = SSL_CTX_new(TLS_server_method());
	BIO *cert = BIO_new_mem_buf(pki.cert.ptr, (int)pki.cert.len);
	BIO *key = BIO_new_mem_buf(pki.key.ptr, (int)pki.key.len);
	X509 *x509 = PEM_read_bio_X509(cert, NULL, NULL, NULL);
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);

	(void)state;
	assert_int_equal(SSL_CTX_use_certificate(sctx, x509), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(sctx, pkey), 1);
	SSL_CTX_set_max_proto_version(sctx, TLS1_2_VERSION);
	for (int allow = 0; allow < 2; allow++) {
		struct tls_client_opts o = { .ca_pem = buf_span(&pki.ca), .allow_tls12 = allow };
		struct status st = fail(E_AGAIN);
		struct tls_ctx *ctx = NULL;
		struct tls_conn *conn = NULL;
		SSL *server;
		int fd[2];

		sockets(fd);
		server = SSL_new(sctx);
		assert_int_equal(SSL_set_fd(server, fd[0]), 1);
		SSL_set_accept_state(server);
		assert_true(is_ok(tls_client_ctx_new(&o, &ctx)));
		assert_true(is_ok(tls_connect_new(ctx, fd[1], SPAN_LIT("localhost"), &conn)));
		for (int i = 0; i < ROUNDS_MAX && st.code == E_AGAIN; i++) {
			st = tls_handshake(conn);
			(void)SSL_do_handshake(server);
		}
		assert_int_equal(st.code, allow ? E_OK : E_PROTO);
		assert_int_equal(tls_failure(conn), allow ? TLS_FAIL_NONE : TLS_FAIL_OLD_VERSION);
		if (allow)
			assert_string_equal(tls_version(conn), "TLSv1.2");
		tls_conn_free(conn);
		tls_ctx_free(ctx);
		SSL_free(server);
		close(fd[0]);
		close(fd[1]);
	}
	EVP_PKEY_free(pkey);
	X509_free(x509);
	BIO_free(key);
	BIO_free(cert);
	SSL_CTX_free(sctx);
}

/* One handshake of OpenSSL's own client; its session when a ticket came. */
static bool
resume_with(struct tls_ctx *s, SSL_CTX *ctx, SSL_SESSION **session)
{
	struct tls_conn *conn = NULL;
	struct status st = fail(E_AGAIN);
	bool resumed;
	SSL *client;
	size_t n;
	int fd[2];
	char byte;

	sockets(fd);
	client = raw_client(ctx, fd[1]);
	if (*session != NULL)
		assert_int_equal(SSL_set_session(client, *session), 1);
	assert_true(is_ok(tls_accept_new(s, fd[0], &conn)));
	for (int i = 0; i < ROUNDS_MAX && SSL_do_handshake(client) != 1; i++)
		st = tls_handshake(conn);
	if (!is_ok(st))
		st = tls_handshake(conn);
	assert_true(is_ok(st));
	assert_true(is_ok(tls_write(conn, SPAN_LIT("x"), &n)));
	assert_int_equal(SSL_read(client, &byte, 1), 1);
	resumed = tls_resumed(conn);
	assert_int_equal(resumed, SSL_session_reused(client));
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(client);
	assert_int_equal(SSL_SESSION_get_max_early_data(*session), 0);
	SSL_shutdown(client);
	SSL_free(client);
	tls_conn_free(conn);
	close(fd[0]);
	close(fd[1]);
	return resumed;
}

static void
tickets_work_between_workers(void **state)
{
	struct tls_ctx *a = server_ctx(true), *b = server_ctx(true), *none = server_ctx(false);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_SESSION *session = NULL, *no_session = NULL;

	(void)state;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
	assert_false(resume_with(a, ctx, &session));
	assert_true(resume_with(b, ctx, &session));
	assert_false(resume_with(none, ctx, &no_session));
	assert_false(SSL_SESSION_is_resumable(no_session));
	assert_false(resume_with(none, ctx, &session));
	SSL_SESSION_free(session);
	SSL_SESSION_free(no_session);
	SSL_CTX_free(ctx);
	tls_ctx_free(a);
	tls_ctx_free(b);
	tls_ctx_free(none);
}

static void
bad_options_are_refused(void **state)
{
	static const char *const none[] = { NULL }, *const empty[] = { "", NULL },
				 *const five[] = { "a", "b", "c", "d", "e", NULL };
	const char *const *const alpns[] = { none, empty, five };
	struct tls_server_opts o;
	struct tls_client_opts c = { .ca_pem = SPAN_EMPTY };
	struct tls_ctx *ctx = NULL;
	auto_buf struct buf cut = BUF_INIT(CERT_PEM_LEN_MAX);

	(void)state;
	for (size_t i = 0; i < COUNT(alpns); i++) {
		o = server_opts();
		o.alpn = alpns[i];
		assert_int_equal(tls_server_ctx_new(&o, &ctx).code, E_SYNTAX);
	}
	o = server_opts();
	o.cert_pem = SPAN_LIT("junk");
	assert_int_equal(tls_server_ctx_new(&o, &ctx).code, E_SYNTAX);
	o = server_opts();
	o.key_pem = SPAN_LIT("junk");
	assert_int_equal(tls_server_ctx_new(&o, &ctx).code, E_SYNTAX);
	o = server_opts();
	o.key_pem = secret_borrow(&pki.ca_key);
	assert_int_equal(tls_server_ctx_new(&o, &ctx).code, E_CRYPTO);
	o = server_opts();
	o.ticket_key = SPAN_LIT("short");
	assert_int_equal(tls_server_ctx_new(&o, &ctx).code, E_SYNTAX);
	assert_int_equal(tls_client_ctx_new(&c, &ctx).code, E_SYNTAX);
	assert_true(is_ok(buf_put_span(&cut, buf_span(&pki.ca))));
	assert_true(is_ok(buf_put(&cut, pki.ca.ptr, pki.ca.len / 2)));
	c.ca_pem = buf_span(&cut);
	assert_int_equal(tls_client_ctx_new(&c, &ctx).code, E_SYNTAX);
	assert_null(ctx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_sides_talk),
		cmocka_unit_test(large_writes_arrive_whole),
		cmocka_unit_test(wrong_names_and_roots_are_refused),
		cmocka_unit_test(no_common_protocol_is_refused),
		cmocka_unit_test(old_versions_are_refused),
		cmocka_unit_test(a_client_takes_tls12_only_when_allowed),
		cmocka_unit_test(tickets_work_between_workers),
		cmocka_unit_test(bad_options_are_refused),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
