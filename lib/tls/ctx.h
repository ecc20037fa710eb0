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

/* What the errors that OpenSSL left mean; empties its queue. */
enum tls_failure tls_failure_take(void);

#endif
