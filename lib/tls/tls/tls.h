/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_TLS_H
#define TLS_TLS_H

/*
 * TLS 1.3 on a non-blocking socket (RFC 8446), over OpenSSL 3. No threads, no
 * files: certificates come as PEM spans, no OpenSSL configuration is read, and
 * everything works after the jail is entered if tls_init() ran before.
 * The process ignores SIGPIPE.
 */
#include <base/span.h>

#define TLS_ALPN_MAX 4
#define TLS_ALPN_LEN_MAX 32   /* one protocol's name, bytes */
#define TLS_TICKET_KEY_LEN 80 /* name 16, HMAC 32, AES 32 */
#define TLS_RECORD_LEN 16384  /* at most this much goes out by one tls_writev */
#define TLS_HANDSHAKE_LEN_MAX 32768
#define TLS_PEER_KEY_MAX 8192 /* a public key, DER */
#define TLS_PEER_NAME_MAX 2048
#define TLS_CLIENT_CAS_MAX 64 /* authorities that may vouch for clients */

struct tls_ctx;
struct tls_conn;

enum tls_want {
	TLS_WANT_NONE,
	TLS_WANT_READ,
	TLS_WANT_WRITE,
};

/* Why a handshake or connection failed, for counters; NONE while it has not. */
enum tls_failure {
	TLS_FAIL_NONE,
	TLS_FAIL_PLAIN_HTTP,  /* the peer speaks HTTP in clear */
	TLS_FAIL_OLD_VERSION, /* the peer offers less than we accept */
	TLS_FAIL_ALPN,        /* no protocol in common */
	TLS_FAIL_CERT,        /* certificate or name not accepted, by us or by the peer */
	TLS_FAIL_ALERT,       /* another alert from the peer */
	TLS_FAIL_GARBAGE,     /* anything else that is not TLS, or broken TLS */
	TLS_FAIL_CLOSED,      /* the socket ended without close_notify */
	TLS_FAIL_COUNT,
};

struct tls_server_opts {
	struct span cert_pem;    /* leaf first, then its chain */
	struct span key_pem;     /* borrowed from a struct secret */
	const char *const *alpn; /* in our order of preference, NULL-terminated; NULL: http/1.1 */
	struct span
	    ticket_key; /* TLS_TICKET_KEY_LEN, the same for all workers; empty: no tickets */
	/*
	 * Who alone may vouch for clients. Not empty: clients are asked for a certificate, and may
	 * come without. One that does not verify (chain, dates, clientAuth) ends the handshake.
	 */
	struct span client_ca_pem;
	/*
	 * What those have revoked. Not empty: each of them has a list here (tls/crl.h);
	 * a certificate that is on one, or whose list is over, does not verify.
	 */
	struct span client_crl_pem;
	bool read_ahead; /* fewer system calls; its user asks tls_pending() */
};

struct tls_client_opts {
	struct span ca_pem;            /* the only trusted roots; must not be empty */
	const char *const *alpn;       /* NULL: http/1.1 */
	bool allow_tls12;              /* only where the configuration says so by name */
	struct span cert_pem, key_pem; /* for mutual TLS; empty: none */
	bool read_ahead;               /* fewer system calls; its user asks tls_pending() */
};

/* Once, before the jail: OpenSSL without configuration files. E_CRYPTO. */
MUST_USE struct status tls_init(void);

/* Errors: E_NOMEM, E_SYNTAX (PEM, ALPN), E_CRYPTO (key does not match), E_FULL (authorities),
 * E_DENIED (lists of revoked certificates). */
MUST_USE struct status tls_server_ctx_new(const struct tls_server_opts *o, struct tls_ctx **ret);
MUST_USE struct status tls_client_ctx_new(const struct tls_client_opts *o, struct tls_ctx **ret);
/* Connections made from it go on: reload = new context, free the old one. */
void tls_ctx_free(struct tls_ctx *ctx);

/* The descriptor stays the caller's; it must be non-blocking. E_NOMEM. */
MUST_USE struct status tls_accept_new(struct tls_ctx *ctx, int fd, struct tls_conn **ret);
/* `name` is a DNS name or an address that the certificate must carry. */
MUST_USE struct status tls_connect_new(
    struct tls_ctx *ctx, int fd, struct span name, struct tls_conn **ret);
/* Offer this protocol alone (ALPN). State: of tls_connect_new(), before the handshake. E_SYNTAX,
 * E_NOMEM. */
MUST_USE struct status tls_offer(struct tls_conn *c, struct span protocol);
void tls_conn_free(struct tls_conn *c); /* NULL is fine */

/*
 * All five: E_AGAIN: poll for tls_want(), then call again with the same bytes.
 * E_EOF: the peer said close_notify. E_CLOSED: it ended without. E_PROTO: see
 * tls_failure(); only tls_conn_free() is left.
 */
MUST_USE struct status tls_handshake(struct tls_conn *c);
MUST_USE struct status tls_read(struct tls_conn *c, void *out, size_t size, size_t *ret_len);
/* May take less than offered: *ret_len. After E_AGAIN offer at least as much. */
MUST_USE struct status tls_write(struct tls_conn *c, struct span s, size_t *ret_len);
/* Gathers up to TLS_RECORD_LEN bytes into one record; the copy is wiped. */
MUST_USE struct status tls_writev(
    struct tls_conn *c, const struct span *v, size_t count, size_t *ret_len);
/* Sends close_notify; does not wait for the peer's. */
MUST_USE struct status tls_shutdown(struct tls_conn *c);

enum tls_want tls_want(const struct tls_conn *c);
enum tls_failure tls_failure(const struct tls_conn *c);
const char *tls_failure_text(enum tls_failure f);
/* Bytes were taken from the socket and wait (perhaps not for a whole record): read on before
 * polling, until E_AGAIN. */
bool tls_pending(const struct tls_conn *c);
/*
 * Of a context with read_ahead: off, and a read takes no more from the socket than its own record
 * lacks, so that reading until nothing is pending comes to an end, however fast the peer sends.
 */
void tls_read_ahead(struct tls_conn *c, bool on);
/* Facts after the handshake; empty when there is none. Borrowed from c. */
struct span tls_alpn(const struct tls_conn *c);
struct span tls_sni(const struct tls_conn *c);     /* server side */
const char *tls_version(const struct tls_conn *c); /* "TLSv1.3" */
/* The SubjectPublicKeyInfo of the peer's certificate, DER. E_NOTFOUND, E_FULL, E_NOMEM. */
MUST_USE struct status tls_peer_key(const struct tls_conn *c, struct buf *out);
/*
 * Server side: whom the client's certificate names, and when its chain ends, Unix time. Appended to
 * `out`: printable ASCII. E_NOTFOUND: it gave none. E_RANGE: not exactly one such name, or none
 * that could be written down. E_DENIED: of another handshake.
 */
enum tls_name { TLS_NAME_URI, TLS_NAME_DNS, TLS_NAME_CN, TLS_NAME_COUNT };
MUST_USE struct status tls_peer_name(
    const struct tls_conn *c, enum tls_name kind, struct buf *out, uint64_t *ret_until_s);
/*
 * Would a handshake of `by` take that certificate now? `by` may be another context than that of c,
 * as after a reload. *ret_until_s as above. E_DENIED: it would not; E_NOTFOUND: there is none.
 */
MUST_USE struct status tls_peer_again(
    const struct tls_ctx *by, const struct tls_conn *c, uint64_t *ret_until_s);
bool tls_resumed(const struct tls_conn *c);

#endif
