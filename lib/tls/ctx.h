/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CTX_H
#define TLS_CTX_H

/* Inside lib/tls only. */
#include <openssl/ssl.h>

#include <tls/tls.h>

struct tls_ctx {
	SSL_CTX *ssl;
	unsigned refs; /* the owner and each connection */
	bool server, read_ahead;
	uint8_t alpn[TLS_ALPN_MAX * (TLS_ALPN_LEN_MAX + 1)]; /* length, name, ... */
	unsigned alpn_len;
};

void tls_ctx_ref(struct tls_ctx *ctx);

/* Each certificate of the PEM goes to `use`; there must be one, and no rest. */
typedef struct status tls_cert_fn(SSL_CTX *ssl, X509 *cert, size_t at);
MUST_USE struct status tls_pem_certs(struct span pem, SSL_CTX *ssl, tls_cert_fn *use);
/* peer.c: a server's context asks its clients for one, and takes it by these authorities. */
MUST_USE struct status tls_ask_for_certificates(SSL_CTX *ssl, struct span ca_pem);

SSL *tls_conn_ssl(const struct tls_conn *c);

/* What the errors that OpenSSL left mean; empties its queue. */
enum tls_failure tls_failure_take(void);

#endif
