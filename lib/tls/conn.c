/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c: one TLS connection on a non-blocking socket.
 *
 * Runs in: gateway (server side), broker and CLI (client side).
 * Trusts: nothing: the peer is the network.
 * Owns: the SSL object; the descriptor stays the caller's.
 * Invariants: a call never blocks; after a failure every call fails alike.
 * See: tls/tls.h; SSL_get_error(3).
 */
#include "ctx.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#define NAME_LEN_MAX 253

struct tls_conn {
	SSL *ssl;
	struct tls_ctx *ctx;
	enum tls_want want;
	enum tls_failure failure;
};

static struct status
conn_alloc(struct tls_ctx *ctx, int fd, struct tls_conn **ret)
{
	struct tls_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return fail(E_NOMEM);
	tls_ctx_ref(ctx);
	c->ctx = ctx;
	c->ssl = SSL_new(ctx->ssl);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, fd) != 1) {
		ERR_clear_error();
		tls_conn_free(c);
		return fail(E_NOMEM);
	}
	*ret = c;
	return OK;
}

struct status
tls_accept_new(struct tls_ctx *ctx, int fd, struct tls_conn **ret)
{
	struct tls_conn *c = NULL;

	if (!ctx->server)
		return fail(E_RANGE);
	TRY(conn_alloc(ctx, fd, &c));
	SSL_set_accept_state(c->ssl);
	*ret = c;
	return OK;
}

/* The peer's certificate must carry `name`: address or DNS name. */
static struct status
expect_name(SSL *ssl, struct span name)
{
	char text[NAME_LEN_MAX + 1];
	uint8_t ip[16];

	if (name.len == 0 || !is_ok(span_to_cstr(name, text, sizeof(text))))
		return fail(E_SYNTAX);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), text) == 1
			   ? OK
			   : fail(E_NOMEM);
	if (SSL_set1_host(ssl, text) != 1 || SSL_set_tlsext_host_name(ssl, text) != 1)
		return fail(E_NOMEM);
	return OK;
}

struct status
tls_connect_new(struct tls_ctx *ctx, int fd, struct span name, struct tls_conn **ret)
{
	struct tls_conn *c = NULL;
	struct status st;

	if (ctx->server)
		return fail(E_RANGE);
	TRY(conn_alloc(ctx, fd, &c));
	st = expect_name(c->ssl, name);
	if (!is_ok(st)) {
		ERR_clear_error();
		tls_conn_free(c);
		return st;
	}
	SSL_set_connect_state(c->ssl);
	*ret = c;
	return OK;
}

struct status
tls_offer(struct tls_conn *c, struct span protocol)
{
	uint8_t list[1 + TLS_ALPN_LEN_MAX];

	if (protocol.len == 0 || protocol.len > TLS_ALPN_LEN_MAX)
		return fail(E_SYNTAX);
	list[0] = (uint8_t)protocol.len;
	memcpy(list + 1, protocol.ptr, protocol.len);
	/* This one says 0 when it did it. */
	return SSL_set_alpn_protos(c->ssl, list, 1 + (unsigned)protocol.len) == 0 ? OK
										  : fail(E_NOMEM);
}

void
tls_conn_free(struct tls_conn *c)
{
	if (c == NULL)
		return;
	SSL_free(c->ssl);
	tls_ctx_free(c->ctx);
	free(c);
}

static struct status
conn_failed(const struct tls_conn *c)
{
	return fail(c->failure == TLS_FAIL_CLOSED ? E_CLOSED : E_PROTO);
}

/* Before each call into OpenSSL. */
static struct status
conn_ready(struct tls_conn *c)
{
	c->want = TLS_WANT_NONE;
	ERR_clear_error(); /* other users of OpenSSL in this process may have left some */
	return c->failure == TLS_FAIL_NONE ? OK : conn_failed(c);
}

/* After each call that returned `rc`. */
static struct status
conn_result(struct tls_conn *c, int rc)
{
	switch (rc > 0 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_NONE:
		return OK;
	case SSL_ERROR_WANT_READ:
		c->want = TLS_WANT_READ;
		return fail(E_AGAIN);
	case SSL_ERROR_WANT_WRITE:
		c->want = TLS_WANT_WRITE;
		return fail(E_AGAIN);
	case SSL_ERROR_ZERO_RETURN:
		return fail(E_EOF);
	case SSL_ERROR_SYSCALL:
		c->failure = TLS_FAIL_CLOSED;
		ERR_clear_error();
		return conn_failed(c);
	default:
		c->failure = tls_failure_take();
		return conn_failed(c);
	}
}

struct status
tls_handshake(struct tls_conn *c)
{
	TRY(conn_ready(c));
	return conn_result(c, SSL_do_handshake(c->ssl));
}

struct status
tls_read(struct tls_conn *c, void *out, size_t size, size_t *ret_len)
{
	TRY(conn_ready(c));
	return conn_result(c, SSL_read_ex(c->ssl, out, size, ret_len));
}

struct status
tls_write(struct tls_conn *c, struct span s, size_t *ret_len)
{
	TRY(conn_ready(c));
	if (s.len == 0) {
		*ret_len = 0;
		return OK;
	}
	return conn_result(c, SSL_write_ex(c->ssl, s.ptr, s.len, ret_len));
}

struct status
tls_writev(struct tls_conn *c, const struct span *v, size_t count, size_t *ret_len)
{
	uint8_t record[TLS_RECORD_LEN];
	struct status st;
	size_t len = 0;

	if (count == 1)
		return tls_write(c, v[0], ret_len);
	for (size_t i = 0; i < count && len < sizeof(record); i++) {
		size_t n = v[i].len < sizeof(record) - len ? v[i].len : sizeof(record) - len;

		if (n > 0)
			memcpy(record + len, v[i].ptr, n);
		len += n;
	}
	st = tls_write(c, span_of(record, len), ret_len);
	explicit_bzero(record, len);
	return st;
}

struct status
tls_shutdown(struct tls_conn *c)
{
	int rc;

	TRY(conn_ready(c));
	if (!SSL_is_init_finished(c->ssl))
		return OK; /* nothing to say goodbye with */
	rc = SSL_shutdown(c->ssl);
	return rc >= 0 ? OK : conn_result(c, rc);
}

enum tls_want
tls_want(const struct tls_conn *c)
{
	return c->want;
}

enum tls_failure
tls_failure(const struct tls_conn *c)
{
	return c->failure;
}

bool
tls_pending(const struct tls_conn *c)
{
	return SSL_pending(c->ssl) > 0 || (c->ctx->read_ahead && SSL_has_pending(c->ssl) == 1);
}

void
tls_read_ahead(struct tls_conn *c, bool on)
{
	SSL_set_read_ahead(c->ssl, on);
}

struct span
tls_alpn(const struct tls_conn *c)
{
	const unsigned char *name = NULL;
	unsigned len = 0;

	SSL_get0_alpn_selected(c->ssl, &name, &len);
	return span_of(name, len);
}

struct span
tls_sni(const struct tls_conn *c)
{
	const char *name = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);

	return name == NULL ? SPAN_EMPTY : span_str(name);
}

const char *
tls_version(const struct tls_conn *c)
{
	return SSL_get_version(c->ssl);
}

bool
tls_resumed(const struct tls_conn *c)
{
	return SSL_session_reused(c->ssl) == 1;
}

SSL *
tls_conn_ssl(const struct tls_conn *c)
{
	return c->ssl;
}

const struct tls_ctx *
tls_conn_ctx(const struct tls_conn *c)
{
	return c->ctx;
}

struct status
tls_peer_key(const struct tls_conn *c, struct buf *out)
{
	X509 *cert = SSL_get0_peer_certificate(c->ssl);
	X509_PUBKEY *key = cert == NULL ? NULL : X509_get_X509_PUBKEY(cert);
	int len = key == NULL ? 0 : i2d_X509_PUBKEY(key, NULL);
	uint8_t *at;

	if (len <= 0)
		return fail(E_NOTFOUND);
	TRY(buf_reserve(out, (size_t)len));
	at = out->ptr + out->len; /* which the next call moves */
	if (i2d_X509_PUBKEY(key, &at) != len)
		return fail(E_NOMEM);
	out->len += (size_t)len;
	return OK;
}
