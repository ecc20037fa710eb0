/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TLS_RIG_H
#define TESTS_TLS_RIG_H

/*
 * Both ends of a TLS connection over a pair of sockets, under an authority of the test.
 */
#include "unit.h"

#include <tls/tls.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/cert.h>
#include <crypto/crypto.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS_MAX 1000

static struct {
	struct buf ca, cert, other_ca;
	struct secret ca_key, key, other_key;
	uint8_t ticket_key[TLS_TICKET_KEY_LEN];
} pki = { .ca = BUF_INIT(CERT_PEM_LEN_MAX),
	.cert = BUF_INIT(CERT_PEM_LEN_MAX),
	.other_ca = BUF_INIT(CERT_PEM_LEN_MAX) };

static inline int
start(void **state)
{
	const struct span sans[] = { SPAN_LIT("localhost"), SPAN_LIT("127.0.0.1") };
	const struct cert_leaf leaf = { .sans = sans, .san_count = 2, .ttl_s = 3600 };

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	return is_ok(crypto_init()) && is_ok(tls_init()) &&
		       is_ok(cert_ca_create(SPAN_LIT("test CA"), &pki.ca, &pki.ca_key)) &&
		       is_ok(cert_ca_create(SPAN_LIT("other CA"), &pki.other_ca, &pki.other_key)) &&
		       is_ok(cert_leaf_issue(
			   buf_span(&pki.ca), &pki.ca_key, &leaf, &pki.cert, &pki.key)) &&
		       is_ok(rand_bytes(pki.ticket_key, sizeof(pki.ticket_key)))
		   ? 0
		   : -1;
}

static inline int
stop(void **state)
{
	(void)state;
	buf_done(&pki.ca);
	buf_done(&pki.cert);
	buf_done(&pki.other_ca);
	secret_done(&pki.ca_key);
	secret_done(&pki.key);
	secret_done(&pki.other_key);
	return 0;
}

static inline struct tls_server_opts
server_opts(void)
{
	return (struct tls_server_opts){ .cert_pem = buf_span(&pki.cert),
		.key_pem = secret_borrow(&pki.key) };
}

static inline struct tls_ctx *
server_ctx(bool tickets)
{
	struct tls_server_opts o = server_opts();
	struct tls_ctx *ctx = NULL;

	if (tickets)
		o.ticket_key = span_of(pki.ticket_key, sizeof(pki.ticket_key));
	assert_true(is_ok(tls_server_ctx_new(&o, &ctx)));
	return ctx;
}

static inline struct tls_ctx *
client_ctx(const char *const *alpn, const struct buf *ca)
{
	struct tls_client_opts o = { .ca_pem = buf_span(ca), .alpn = alpn };
	struct tls_ctx *ctx = NULL;

	assert_true(is_ok(tls_client_ctx_new(&o, &ctx)));
	return ctx;
}

static inline void
sockets(int fd[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

struct link {
	int fd[2]; /* server, client */
	struct tls_conn *server, *client;
	struct status server_st, client_st; /* how the handshakes ended */
};

static inline void
link_open(struct link *l, struct tls_ctx *server, struct tls_ctx *client, const char *name)
{
	*l = (struct link){ .server_st = fail(E_AGAIN), .client_st = fail(E_AGAIN) };
	sockets(l->fd);
	assert_true(is_ok(tls_accept_new(server, l->fd[0], &l->server)));
	assert_true(is_ok(tls_connect_new(client, l->fd[1], span_str(name), &l->client)));
	for (int i = 0; i < ROUNDS_MAX; i++) {
		if (l->client_st.code == E_AGAIN)
			l->client_st = tls_handshake(l->client);
		if (l->server_st.code == E_AGAIN)
			l->server_st = tls_handshake(l->server);
		if (l->client_st.code != E_AGAIN && l->server_st.code != E_AGAIN)
			break;
		if (l->client_st.code == E_PROTO) /* its alert is out; nothing else will come */
			(void)shutdown(l->fd[1], SHUT_WR);
	}
}

static inline void
link_close(struct link *l)
{
	tls_conn_free(l->server);
	tls_conn_free(l->client);
	close(l->fd[0]);
	close(l->fd[1]);
}

static inline void
assert_reads(struct tls_conn *c, const char *want)
{
	char got[64];
	size_t n = 0;

	assert_true(is_ok(tls_read(c, got, sizeof(got), &n)));
	assert_true(span_eq_str(span_of(got, n), want));
}

/* A client of OpenSSL's own, with what ours never offers. */
static inline SSL *
raw_client(SSL_CTX *ctx, int fd)
{
	SSL *ssl = SSL_new(ctx);

	assert_non_null(ssl);
	assert_int_equal(SSL_set_fd(ssl, fd), 1);
	SSL_set_connect_state(ssl);
	return ssl;
}

#endif
