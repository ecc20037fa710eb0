/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CLIENTS_RIG_H
#define TLS_CLIENTS_RIG_H

/* Clients with certificates of an authority of the test's own, over a pair of sockets. */
#include "unit.h"

#include <tls/tls.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/cert.h>
#include <crypto/crypto.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 1000
#define SPIFFE "URI:spiffe://a.example/app"
#define CLIENT "clientAuth"

/* What openssl(1) would say of a certificate to be made. */
struct wish {
	const char *san, *usage; /* NULL: no such extension */
	const char *cn, *cn2;
	long from_s, until_s; /* from now */
	bool ca, by_other;
	unsigned between; /* authorities between it and the root */
};
#define GOOD .usage = CLIENT, .cn = "app", .from_s = -60, .until_s = 600

struct party {
	X509 *cert;
	EVP_PKEY *key;
};

static struct {
	struct buf ca, cert; /* the server's */
	struct secret ca_key, key;
	struct party root, other;
	struct buf root_pem;
	uint8_t tickets[TLS_TICKET_KEY_LEN];
	long serial; /* of the last one that was issued */
} pki = { .ca = BUF_INIT(CERT_PEM_LEN_MAX),
	.cert = BUF_INIT(CERT_PEM_LEN_MAX),
	.root_pem = BUF_INIT(CERT_PEM_LEN_MAX) };

static void
extend(X509 *cert, int nid, const char *text)
{
	X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, nid, text);

	assert_non_null(x);
	assert_int_equal(X509_add_ext(cert, x, -1), 1);
	X509_EXTENSION_free(x);
}

static void
name_add(X509_NAME *name, const char *cn)
{
	if (cn != NULL)
		assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
				     (const unsigned char *)cn, -1, -1, 0),
		    1);
}

static struct party
issue(const struct wish *w, const struct party *by)
{
	struct party p = { X509_new(), EVP_EC_gen("P-256") };

	assert_true(p.cert != NULL && p.key != NULL);
	assert_int_equal(X509_set_version(p.cert, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(p.cert), ++pki.serial), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(p.cert), w->from_s));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(p.cert), w->until_s));
	name_add(X509_get_subject_name(p.cert), w->cn);
	name_add(X509_get_subject_name(p.cert), w->cn2);
	assert_int_equal(
	    X509_set_issuer_name(p.cert, X509_get_subject_name(by == NULL ? p.cert : by->cert)), 1);
	assert_int_equal(X509_set_pubkey(p.cert, p.key), 1);
	extend(p.cert, NID_basic_constraints, w->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	if (w->usage != NULL)
		extend(p.cert, NID_ext_key_usage, w->usage);
	if (w->san != NULL)
		extend(p.cert, NID_subject_alt_name, w->san);
	assert_true(X509_sign(p.cert, by == NULL ? p.key : by->key, EVP_sha256()) > 0);
	return p;
}

static void
party_done(struct party *p)
{
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
}

static void
pem_of(const struct party *p, struct buf *cert, struct buf *key)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n;

	assert_int_equal(PEM_write_bio_X509(b, p->cert), 1);
	n = BIO_get_mem_data(b, &text);
	assert_true(is_ok(buf_put(cert, text, (size_t)n)));
	(void)BIO_reset(b);
	if (key != NULL) {
		assert_int_equal(PEM_write_bio_PrivateKey(b, p->key, NULL, NULL, 0, NULL, NULL), 1);
		n = BIO_get_mem_data(b, &text);
		assert_true(is_ok(buf_put(key, text, (size_t)n)));
	}
	BIO_free(b);
}

static int
start(void **state)
{
	const struct span sans[] = { SPAN_LIT("localhost") };
	const struct cert_leaf leaf = { .sans = sans, .san_count = 1, .ttl_s = 3600 };
	const struct wish root = { .cn = "root", .until_s = 3600, .from_s = -60, .ca = true };
	const struct wish other = { .cn = "root", .until_s = 3600, .from_s = -60, .ca = true };

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	if (!is_ok(crypto_init()) || !is_ok(tls_init()) ||
	    !is_ok(cert_ca_create(SPAN_LIT("test CA"), &pki.ca, &pki.ca_key)) ||
	    !is_ok(cert_leaf_issue(buf_span(&pki.ca), &pki.ca_key, &leaf, &pki.cert, &pki.key)) ||
	    !is_ok(rand_bytes(pki.tickets, sizeof(pki.tickets))))
		return -1;
	pki.root = issue(&root, NULL);
	pki.other = issue(&other, NULL); /* of the same name */
	pem_of(&pki.root, &pki.root_pem, NULL);
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	party_done(&pki.root);
	party_done(&pki.other);
	buf_done(&pki.ca);
	buf_done(&pki.cert);
	buf_done(&pki.root_pem);
	secret_done(&pki.ca_key);
	secret_done(&pki.key);
	return 0;
}

static inline struct tls_ctx *
server_ctx(struct span client_ca)
{
	const struct tls_server_opts o = { .cert_pem = buf_span(&pki.cert),
		.key_pem = secret_borrow(&pki.key),
		.ticket_key = span_of(pki.tickets, sizeof(pki.tickets)),
		.client_ca_pem = client_ca };
	struct tls_ctx *ctx = NULL;

	assert_true(is_ok(tls_server_ctx_new(&o, &ctx)));
	return ctx;
}

/* A client with that certificate (or none) and its chain. */
static inline struct tls_ctx *
client_ctx(const struct wish *w)
{
	auto_buf struct buf cert = BUF_INIT(64U << 10);
	auto_buf struct buf key = BUF_INIT(64U << 10);
	struct tls_client_opts o = { .ca_pem = buf_span(&pki.ca) };
	struct party by[8], p;
	struct tls_ctx *ctx = NULL;
	unsigned n = 0;

	if (w != NULL) {
		const struct party *last = w->by_other ? &pki.other : &pki.root;

		for (; n < w->between; n++) {
			const struct wish between = { .cn = (const char *[]){ "a", "b", "c", "d",
							  "e", "f" }[n],
				.from_s = -60,
				.until_s = n == 0 ? 300 : 600,
				.ca = true };

			by[n] = issue(&between, last);
			last = &by[n];
		}
		p = issue(w, last);
		pem_of(&p, &cert, &key);
		party_done(&p);
		for (unsigned i = n; i-- > 0;)
			pem_of(&by[i], &cert, NULL);
		for (unsigned i = 0; i < n; i++)
			party_done(&by[i]);
		o.cert_pem = buf_span(&cert);
		o.key_pem = buf_span(&key);
	}
	assert_true(is_ok(tls_client_ctx_new(&o, &ctx)));
	return ctx;
}

struct pair {
	int fd[2];
	struct tls_conn *server, *client;
	struct status server_st;
};

static inline void
pair_open(struct pair *l, struct tls_ctx *server, struct tls_ctx *client)
{
	struct status client_st = fail(E_AGAIN);

	*l = (struct pair){ .server_st = fail(E_AGAIN) };
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, l->fd), 0);
	assert_true(is_ok(tls_accept_new(server, l->fd[0], &l->server)));
	assert_true(is_ok(tls_connect_new(client, l->fd[1], SPAN_LIT("localhost"), &l->client)));
	for (int i = 0; i < ROUNDS_MAX && l->server_st.code == E_AGAIN; i++) {
		if (client_st.code == E_AGAIN)
			client_st = tls_handshake(l->client);
		l->server_st = tls_handshake(l->server);
	}
}

static inline void
pair_close(struct pair *l)
{
	tls_conn_free(l->server);
	tls_conn_free(l->client);
	close(l->fd[0]);
	close(l->fd[1]);
}

#endif
