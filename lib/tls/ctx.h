/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CTX_H
#define TLS_CTX_H

/* Inside lib/tls only. */
#include <openssl/ssl.h>

#include <tls/crl.h>
#include <tls/tls.h>

struct tls_ctx {
	SSL_CTX *ssl;
	unsigned refs; /* the owner and each connection */
	bool server, read_ahead;
	uint8_t alpn[TLS_ALPN_MAX * (TLS_ALPN_LEN_MAX + 1)]; /* length, name, ... */
	unsigned alpn_len;
	struct tls_crls *crls; /* of clients' authorities; NULL: nothing is revoked */
};

void tls_ctx_ref(struct tls_ctx *ctx);

/* Each certificate of the PEM goes to `use`; there must be one, and no rest. */
typedef struct status tls_cert_fn(void *ctx, X509 *cert, size_t at);
MUST_USE struct status tls_pem_certs(struct span pem, void *ctx, tls_cert_fn *use);
/* peer.c: a server's context asks its clients for one, and takes it by these authorities. */
MUST_USE struct status tls_ask_for_certificates(SSL_CTX *ssl, struct span ca_pem);

/*
 * crl_use.c: `ssl` takes no certificate that a list of its authorities has, or whose list is over.
 * Dates of lists are not looked at before. E_DENIED: one of the faults of tls_crls_check() but of
 * dates, or that a list is older.
 */
MUST_USE struct status tls_crls_new(
    struct span ca_pem, struct span crl_pem, SSL_CTX *ssl, struct tls_crls **ret);
void tls_crls_free(struct tls_crls *t); /* NULL is fine */
/* When the lists of that authority end, Unix time; 0: there are none. */
uint64_t tls_crls_end(const struct tls_crls *t, X509 *authority);

/* E_SYNTAX; E_RANGE: before 1970. */
MUST_USE struct status tls_unix_time(const ASN1_TIME *t, uint64_t *ret);

SSL *tls_conn_ssl(const struct tls_conn *c);
const struct tls_ctx *tls_conn_ctx(const struct tls_conn *c);

/* What the errors that OpenSSL left mean; empties its queue. */
enum tls_failure tls_failure_take(void);

#endif
