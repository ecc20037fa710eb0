/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_HTTP_CLIENT_H
#define CLI_HTTP_CLIENT_H

/*
 * One blocking HTTP/1.1 exchange, over the management socket or over TLS 1.3.
 */
#include <base/span.h>

#define EXCHANGE_BODY_MAX (64U << 20) /* bytes of an answer that is kept whole */

struct channel {
	int fd;
	struct tls_ctx *ctx; /* NULL: in clear (the management socket) */
	struct tls_conn *tls;
	int timeout_ms; /* without a byte */
	uint64_t
	    until_ns; /* of clock_mono_ns(), for all of an exchange; 0: as long as bytes come */
};
#define CHANNEL_NONE ((struct channel){ .fd = -1 })
#define auto_channel __attribute__((cleanup(channel_close)))

/* Errors: E_RANGE (path), E_SYS. */
MUST_USE struct status channel_unix(const char *path, int timeout_ms, struct channel *ret);
/*
 * https://HOST[:PORT] with the authority in `ca_pem` as the only root. *ret_why (static) says
 * what failed; the whole handshake has timeout_ms. Errors: E_SYNTAX, E_NOTFOUND (name), E_SYS,
 * E_PROTO, E_CRYPTO, E_TIMEOUT.
 */
MUST_USE struct status channel_tls(
    const char *url, struct span ca_pem, int timeout_ms, struct channel *ret, const char **ret_why);
void channel_close(struct channel *c);
/* "host:port" of an https URL for the Host field. */
bool url_authority(const char *url, char *ret, size_t size);

struct exchange {
	const char *method;
	const char *target;
	const char *authority;
	struct span bearer; /* empty: none; printable, without a blank */
	struct span body;   /* empty: none */
	const char *type;   /* of the body; NULL: JSON */
	size_t answer_max;  /* bytes that are kept; 0: EXCHANGE_BODY_MAX */
	/* Body of a 2xx event stream, as it comes; false ends the exchange. NULL: keep it whole. */
	bool (*on_stream)(void *ctx, struct span part);
	void *ctx;
	/* the answer */
	uint16_t status;
	bool sse;
	struct buf answer;
};
/* A redirection is an answer like any other.
 * Errors: E_SYNTAX (bearer), E_SYS, E_TIMEOUT, E_EOF, E_PROTO, E_FULL, E_NOMEM. */
MUST_USE struct status exchange_run(struct channel *c, struct exchange *x);
void exchange_done(struct exchange *x);

#endif
