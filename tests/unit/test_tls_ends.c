/* SPDX-License-Identifier: Apache-2.0 */
/* lib/tls: what a connection has read ahead, how it ends, and what comes that is none. */
#include "tls_rig.h"

static void
send_records(struct tls_conn *c, size_t count)
{
	static const uint8_t record[TLS_RECORD_LEN];
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		assert_true(is_ok(tls_write(c, span_of(record, sizeof(record)), &n)) &&
			    n == sizeof(record));
}

static void
read_record(struct tls_conn *c)
{
	static uint8_t record[TLS_RECORD_LEN];
	size_t n = 0;

	assert_true(is_ok(tls_read(c, record, sizeof(record), &n)) && n == sizeof(record));
}

/* What was read beyond a record is told of; without reading ahead nothing is. */
static void
reading_ahead_ends(void **state)
{
	struct tls_server_opts o = server_opts();
	struct tls_ctx *s = NULL, *c = client_ctx(NULL, &pki.ca);
	struct link l;

	(void)state;
	o.read_ahead = true;
	assert_true(is_ok(tls_server_ctx_new(&o, &s)));
	link_open(&l, s, c, "localhost");
	tls_ctx_free(s);
	tls_ctx_free(c);
	assert_true(is_ok(l.server_st) && is_ok(l.client_st));
	send_records(l.client, 4);
	read_record(l.server);
	assert_true(tls_pending(l.server)); /* the beginning of the second */
	read_record(l.server);
	assert_false(tls_pending(l.server));
	tls_read_ahead(l.server, false);
	read_record(l.server);
	assert_false(tls_pending(l.server)); /* the fourth lies in the socket */
	tls_read_ahead(l.server, true);
	read_record(l.server);
	link_close(&l);
}

static void
what_is_not_tls_is_told_apart(void **state)
{
	static const struct {
		struct span in;
		bool end;
		enum code code;
		enum tls_failure failure;
	} rows[] = {
		{ SPAN_LIT("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), false, E_PROTO,
		    TLS_FAIL_PLAIN_HTTP },
		{ SPAN_LIT("POST /v1/execute HTTP/1.1\r\n"), false, E_PROTO, TLS_FAIL_PLAIN_HTTP },
		{ SPAN_LIT("CONNECT h:443 HTTP/1.1\r\n"), false, E_PROTO, TLS_FAIL_PLAIN_HTTP },
		{ SPAN_LIT("SSH-2.0-OpenSSH_9.2\r\n"), false, E_PROTO, TLS_FAIL_GARBAGE },
		{ SPAN_LIT("\x16\x03\x01\x7f\xff"
			   "aaaaaaaaaaaaaaaa"),
		    false, E_PROTO, TLS_FAIL_GARBAGE },
		{ SPAN_LIT("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), false, E_PROTO,
		    TLS_FAIL_GARBAGE },
		{ SPAN_LIT("\x16\x03\x01"), false, E_AGAIN, TLS_FAIL_NONE },
		{ SPAN_LIT("\x16\x03\x01"), true, E_CLOSED, TLS_FAIL_CLOSED },
		{ SPAN_LIT(""), true, E_CLOSED, TLS_FAIL_CLOSED },
		{ SPAN_LIT("\x15\x03\x01\x00\x02\x02\x28"), false, E_PROTO, TLS_FAIL_GARBAGE },
	};
	struct tls_ctx *s = server_ctx(true);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tls_conn *conn = NULL;
		struct status st;
		int fd[2];

		sockets(fd);
		assert_int_equal(write(fd[1], rows[i].in.ptr, rows[i].in.len), rows[i].in.len);
		if (rows[i].end)
			assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
		assert_true(is_ok(tls_accept_new(s, fd[0], &conn)));
		st = tls_handshake(conn);
		if (st.code != rows[i].code || tls_failure(conn) != rows[i].failure)
			print_error("row %zu: %s\n", i, tls_failure_text(tls_failure(conn)));
		assert_int_equal(st.code, rows[i].code);
		assert_int_equal(tls_failure(conn), rows[i].failure);
		assert_int_equal(tls_shutdown(conn).code,
		    rows[i].failure == TLS_FAIL_NONE ? E_OK : rows[i].code);
		tls_conn_free(conn);
		close(fd[0]);
		close(fd[1]);
	}
	tls_ctx_free(s);
}

static int
verify_out_of_memory(X509_STORE_CTX *store, void *arg)
{
	(void)arg;
	X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
	return 0; /* OpenSSL makes the alert internal_error of it */
}

static void
other_alerts_are_told_apart(void **state)
{
	struct tls_ctx *s = server_ctx(false);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct status st = fail(E_AGAIN);
	struct tls_conn *conn = NULL;
	SSL *client;
	int fd[2];

	(void)state;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify_out_of_memory, NULL);
	sockets(fd);
	client = raw_client(ctx, fd[1]);
	assert_true(is_ok(tls_accept_new(s, fd[0], &conn)));
	for (int i = 0; i < ROUNDS_MAX && st.code == E_AGAIN; i++) {
		assert_true(SSL_do_handshake(client) <= 0);
		st = tls_handshake(conn);
	}
	assert_int_equal(st.code, E_PROTO);
	assert_int_equal(tls_failure(conn), TLS_FAIL_ALERT);
	tls_conn_free(conn);
	SSL_free(client);
	SSL_CTX_free(ctx);
	tls_ctx_free(s);
	close(fd[0]);
	close(fd[1]);
}

static void
a_cut_connection_is_not_an_end(void **state)
{
	struct tls_ctx *s = server_ctx(false), *c = client_ctx(NULL, &pki.ca);
	struct link l;
	char byte;
	size_t n;

	(void)state;
	link_open(&l, s, c, "localhost");
	assert_int_equal(shutdown(l.fd[1], SHUT_RDWR), 0);
	assert_int_equal(tls_read(l.server, &byte, 1, &n).code, E_CLOSED);
	assert_int_equal(tls_failure(l.server), TLS_FAIL_CLOSED);
	assert_int_equal(tls_write(l.server, SPAN_LIT("x"), &n).code, E_CLOSED);
	link_close(&l);
	tls_ctx_free(s);
	tls_ctx_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading_ahead_ends),
		cmocka_unit_test(what_is_not_tls_is_told_apart),
		cmocka_unit_test(other_alerts_are_told_apart),
		cmocka_unit_test(a_cut_connection_is_not_an_end),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
