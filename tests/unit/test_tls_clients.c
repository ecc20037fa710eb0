/* SPDX-License-Identifier: Apache-2.0 */
/* lib/tls: clients' certificates: which are taken, whom they name, and that no session carries one
 * on. */
#include "tls_clients_rig.h"

/* How the handshake with it ends; of one that succeeds, whom it names. */
static struct status
try_it(const struct wish *w, enum tls_name kind, struct status *ret_named, struct buf *name,
    uint64_t *until_s)
{
	struct tls_ctx *s = server_ctx(buf_span(&pki.root_pem)), *c = client_ctx(w);
	struct pair l;
	struct status st;

	pair_open(&l, s, c);
	tls_ctx_free(s);
	tls_ctx_free(c);
	st = l.server_st;
	if (is_ok(st))
		*ret_named = tls_peer_name(l.server, kind, name, until_s);
	else
		assert_int_not_equal(tls_failure(l.server), TLS_FAIL_NONE);
	pair_close(&l);
	return st;
}

static void
a_good_one_names_its_client(void **state)
{
	static const struct {
		struct wish w;
		enum tls_name kind;
		const char *name;
	} rows[] = {
		{ { GOOD, .san = SPIFFE }, TLS_NAME_URI, "spiffe://a.example/app" },
		{ { GOOD, .san = SPIFFE ",DNS:x.example,DNS:y.example" }, TLS_NAME_URI,
		    "spiffe://a.example/app" },
		{ { GOOD, .san = SPIFFE ",DNS:x.example" }, TLS_NAME_DNS, "x.example" },
		{ { GOOD, .san = SPIFFE }, TLS_NAME_CN, "app" },
		{ { .usage = "serverAuth,clientAuth", .cn = "app", .from_s = -60, .until_s = 600 },
		    TLS_NAME_CN, "app" },
		{ { GOOD, .san = SPIFFE, .between = 4 }, TLS_NAME_URI, "spiffe://a.example/app" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf name = BUF_INIT(TLS_PEER_NAME_MAX);
		struct status named = fail(E_SYS);
		uint64_t until_s = 0;
		long most_s = rows[i].w.between > 0 ? 300 : 600; /* the chain's first end */

		assert_true(is_ok(try_it(&rows[i].w, rows[i].kind, &named, &name, &until_s)));
		assert_true(is_ok(named));
		assert_true(span_eq_str(buf_span(&name), rows[i].name));
		assert_in_range(until_s, time(NULL) + most_s - 30, time(NULL) + most_s);
	}
}

static void
one_that_does_not_verify_ends_the_handshake(void **state)
{
	static const struct wish rows[] = {
		{ GOOD, .san = SPIFFE, .by_other = true },
		{ .usage = CLIENT, .san = SPIFFE, .cn = "app", .from_s = -600, .until_s = -60 },
		{ .usage = CLIENT, .san = SPIFFE, .cn = "app", .from_s = 60, .until_s = 600 },
		{ .usage = "serverAuth",
		    .san = SPIFFE,
		    .cn = "app",
		    .from_s = -60,
		    .until_s = 600 },
		{ .usage = "anyExtendedKeyUsage",
		    .san = SPIFFE,
		    .cn = "app",
		    .from_s = -60,
		    .until_s = 600 },
		{ .usage = NULL, .san = SPIFFE, .cn = "app", .from_s = -60, .until_s = 600 },
		{ GOOD, .san = SPIFFE, .ca = true },
		{ GOOD, .san = SPIFFE, .between = 5 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf name = BUF_INIT(TLS_PEER_NAME_MAX);
		struct status named = fail(E_SYS);
		uint64_t until_s = 0;

		assert_false(is_ok(try_it(&rows[i], TLS_NAME_URI, &named, &name, &until_s)));
	}
}

static void
one_without_the_one_name_names_nobody(void **state)
{
	char long_uri[TLS_PEER_NAME_MAX + 16] = "URI:spiffe://a.example/";
	const struct {
		struct wish w;
		enum tls_name kind;
	} rows[] = {
		{ { GOOD }, TLS_NAME_URI },
		{ { GOOD, .san = "DNS:a.example" }, TLS_NAME_URI },
		{ { GOOD, .san = SPIFFE ",URI:spiffe://a.example/b" }, TLS_NAME_URI },
		{ { GOOD, .san = SPIFFE "," SPIFFE }, TLS_NAME_URI },
		{ { GOOD, .san = "URI:spiffe://a.example/a b" }, TLS_NAME_URI },
		{ { GOOD, .san = "DNS:a.example,DNS:b.example" }, TLS_NAME_DNS },
		{ { GOOD, .san = SPIFFE }, TLS_NAME_DNS },
		{ { GOOD, .cn2 = "b" }, TLS_NAME_CN },
		{ { .usage = CLIENT, .san = SPIFFE, .from_s = -60, .until_s = 600 }, TLS_NAME_CN },
		{ { .usage = CLIENT, .cn = "a b", .from_s = -60, .until_s = 600 }, TLS_NAME_CN },
		{ { GOOD, .san = long_uri }, TLS_NAME_URI },
	};

	(void)state;
	memset(long_uri + strlen(long_uri), 'a', sizeof(long_uri) - 1 - strlen(long_uri));
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf name = BUF_INIT(TLS_PEER_NAME_MAX);
		struct status named = OK;
		uint64_t until_s = 0;

		assert_true(is_ok(try_it(&rows[i].w, rows[i].kind, &named, &name, &until_s)));
		assert_int_equal(named.code, E_RANGE);
		assert_int_equal(name.len, 0);
	}
}

static void
none_is_needed(void **state)
{
	auto_buf struct buf name = BUF_INIT(TLS_PEER_NAME_MAX);
	struct status named = OK;
	uint64_t until_s = 0;

	(void)state;
	assert_true(is_ok(try_it(NULL, TLS_NAME_URI, &named, &name, &until_s)));
	assert_int_equal(named.code, E_NOTFOUND);
}

/* ---- sessions ---- */

static SSL_SESSION *kept;

static int
keep(SSL *ssl, SSL_SESSION *s)
{
	(void)ssl;
	SSL_SESSION_free(kept);
	kept = s;
	return 1;
}

/* A client of plain OpenSSL, which brings the last session along. True: it was resumed. */
static bool
visit(struct tls_ctx *server, const struct wish *w, struct status *ret_named)
{
	auto_buf struct buf name = BUF_INIT(TLS_PEER_NAME_MAX);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct tls_conn *c = NULL;
	struct status st = fail(E_AGAIN);
	uint64_t until_s = 0;
	bool resumed;
	int fd[2];
	SSL *ssl;
	char byte;
	size_t n;

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep);
	if (w != NULL) {
		struct party p = issue(w, &pki.root);

		assert_int_equal(SSL_CTX_use_certificate(ctx, p.cert), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(ctx, p.key), 1);
		party_done(&p);
	}
	ssl = SSL_new(ctx);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(SSL_set_fd(ssl, fd[1]), 1);
	SSL_set_connect_state(ssl);
	if (kept != NULL)
		assert_int_equal(SSL_set_session(ssl, kept), 1);
	assert_true(is_ok(tls_accept_new(server, fd[0], &c)));
	for (int i = 0; i < ROUNDS_MAX && st.code == E_AGAIN; i++) {
		(void)SSL_do_handshake(ssl);
		st = tls_handshake(c);
	}
	assert_true(is_ok(st));
	assert_true(is_ok(tls_write(c, SPAN_LIT("x"), &n)));
	for (int i = 0; i < ROUNDS_MAX && SSL_read_ex(ssl, &byte, 1, &n) != 1; i++)
		;
	*ret_named = tls_peer_name(c, TLS_NAME_URI, &name, &until_s);
	resumed = tls_resumed(c);
	SSL_set_quiet_shutdown(ssl, 1); /* else its session counts as broken */
	(void)SSL_shutdown(ssl);
	tls_conn_free(c);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd[0]);
	close(fd[1]);
	return resumed;
}

static void
no_session_carries_one_on(void **state)
{
	static const struct wish app = { GOOD, .san = SPIFFE };
	struct tls_ctx *plain = server_ctx(SPAN_EMPTY), *asks = server_ctx(buf_span(&pki.root_pem)),
		       *asks_others = server_ctx(buf_span(&pki.ca));
	struct status named = OK;

	(void)state;
	visit(plain, NULL, &named);
	assert_non_null(kept);
	assert_true(visit(plain, NULL, &named));
	SSL_SESSION_free(kept);
	kept = NULL;
	/* With a certificate there is no ticket: each handshake shows it anew. */
	assert_false(visit(asks, &app, &named));
	assert_true(is_ok(named));
	assert_null(kept);
	/* Without one there is, and it is good where the same authorities vouch, and for nobody. */
	assert_false(visit(asks, NULL, &named));
	assert_non_null(kept);
	assert_true(visit(asks, NULL, &named));
	assert_int_equal(named.code, E_NOTFOUND);
	assert_false(visit(asks_others, NULL, &named));
	assert_true(visit(asks_others, NULL, &named));
	/* A ticket of before anybody was asked does not hide a certificate. */
	SSL_SESSION_free(kept);
	kept = NULL;
	assert_false(visit(plain, NULL, &named));
	assert_non_null(kept);
	assert_false(visit(asks, &app, &named));
	assert_true(is_ok(named));
	SSL_SESSION_free(kept);
	kept = NULL;
	tls_ctx_free(plain);
	tls_ctx_free(asks);
	tls_ctx_free(asks_others);
}

static void
authorities_are_few_and_well_formed(void **state)
{
	auto_buf struct buf many = BUF_INIT(1U << 20);
	struct tls_server_opts o = { .cert_pem = buf_span(&pki.cert),
		.key_pem = secret_borrow(&pki.key) };
	struct tls_ctx *ctx = NULL;

	(void)state;
	o.client_ca_pem = SPAN_LIT(
	    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	assert_false(is_ok(tls_server_ctx_new(&o, &ctx)));
	o.client_ca_pem = SPAN_LIT("nothing\n");
	assert_int_equal(tls_server_ctx_new(&o, &ctx).code, E_SYNTAX);
	for (unsigned i = 0; i < TLS_CLIENT_CAS_MAX; i++)
		pem_of(&pki.root, &many, NULL);
	o.client_ca_pem = buf_span(&many);
	assert_true(is_ok(tls_server_ctx_new(&o, &ctx)));
	tls_ctx_free(ctx);
	pem_of(&pki.root, &many, NULL);
	o.client_ca_pem = buf_span(&many);
	assert_int_equal(tls_server_ctx_new(&o, &ctx).code, E_FULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_one_names_its_client),
		cmocka_unit_test(one_that_does_not_verify_ends_the_handshake),
		cmocka_unit_test(one_without_the_one_name_names_nobody),
		cmocka_unit_test(none_is_needed),
		cmocka_unit_test(no_session_carries_one_on),
		cmocka_unit_test(authorities_are_few_and_well_formed),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
