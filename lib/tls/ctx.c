/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctx.c: what many TLS connections share: versions, certificate, roots, ALPN.
 *
 * Runs in: gateway (server side), broker and CLI (client side).
 * Trusts: the PEMs' origin, not their form. Owns: the SSL_CTX, counted by its
 * connections, so that a reload never takes it from under one.
 * Invariants: TLS 1.3 (a client may be allowed 1.2), no 0-RTT, no renegotiation,
 * no compression, no session cache; a client always verifies chain and name; a server verifies a
 * certificate that it asked for, if one comes.
 * See: tls/tls.h; peer.c (clients' certificates), crl.c; RFC 8446, RFC 7301; SSL_CTX_new(3).
 */
#include "ctx.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#define SUITES "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
#define SUITES_12 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS "X25519:P-256:P-384"
#define SESSION_CONTEXT SPAN_LIT("sallyport")

static const char *const alpn_default[] = { "http/1.1", NULL };

static struct status
ssl_ok(long rc)
{
	return rc == 1 ? OK : fail(E_CRYPTO);
}

/* What is loaded lazily, loaded now: tables, random generator, time zone file. */
static struct status
warm_up(void)
{
	SSL_CTX *server, *client;
	uint8_t byte;
	bool ok;

	tzset(); /* gmtime_r(3), for certificates' dates, reads /etc/localtime once */
	server = SSL_CTX_new(TLS_server_method());
	client = SSL_CTX_new(TLS_client_method());
	ok = server != NULL && client != NULL && RAND_bytes(&byte, 1) == 1 &&
	     RAND_priv_bytes(&byte, 1) == 1;
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	ERR_clear_error();
	return ok ? OK : fail(E_CRYPTO);
}

struct status
tls_init(void)
{
	TRY(ssl_ok(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL)));
	TRY(ssl_ok(
	    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL)));
	return warm_up();
}

/* Never ask a terminal for a pass phrase. */
static int
no_pass(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static struct status
pem_open(struct span pem, BIO **ret)
{
	if (pem.len == 0 || pem.len > INT_MAX)
		return fail(E_SYNTAX);
	*ret = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	return *ret == NULL ? fail(E_NOMEM) : OK;
}

struct status
tls_pem_certs(struct span pem, void *ctx, tls_cert_fn *use)
{
	struct status st = OK;
	size_t count = 0;
	BIO *bio = NULL;
	X509 *cert;

	TRY(pem_open(pem, &bio));
	while (is_ok(st) && (cert = PEM_read_bio_X509(bio, NULL, no_pass, NULL)) != NULL) {
		st = use(ctx, cert, count++);
		X509_free(cert);
	}
	if (is_ok(st) &&
	    (count == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE))
		st = fail(E_SYNTAX);
	ERR_clear_error();
	BIO_free(bio);
	return st;
}

static struct status
use_chain(void *ctx, X509 *cert, size_t at)
{
	SSL_CTX *ssl = ctx;

	if (at == 0)
		return ssl_ok(SSL_CTX_use_certificate(ssl, cert));
	return SSL_CTX_add1_chain_cert(ssl, cert) == 1 ? OK : fail(E_CRYPTO);
}

static struct status
use_root(void *ctx, X509 *cert, size_t at)
{
	(void)at;
	return ssl_ok(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert));
}

static struct status
use_key(SSL_CTX *ssl, struct span pem)
{
	BIO *bio = NULL;
	EVP_PKEY *key;
	struct status st;

	TRY(pem_open(pem, &bio));
	key = PEM_read_bio_PrivateKey(bio, NULL, no_pass, NULL);
	BIO_free(bio);
	if (key == NULL) {
		ERR_clear_error();
		return fail(E_SYNTAX);
	}
	st = ssl_ok(SSL_CTX_use_PrivateKey(ssl, key));
	EVP_PKEY_free(key);
	if (is_ok(st))
		st = ssl_ok(SSL_CTX_check_private_key(ssl));
	ERR_clear_error();
	return st;
}

static struct status
use_pair(SSL_CTX *ssl, struct span cert_pem, struct span key_pem)
{
	TRY(tls_pem_certs(cert_pem, ssl, use_chain));
	return use_key(ssl, key_pem);
}

/* The names, in the form that both sides send. */
static struct status
alpn_encode(struct tls_ctx *ctx, const char *const *names)
{
	if (names == NULL)
		names = alpn_default;
	for (size_t i = 0; names[i] != NULL; i++) {
		struct span name = span_str(names[i]);

		if (i == TLS_ALPN_MAX || name.len == 0 || name.len > TLS_ALPN_LEN_MAX)
			return fail(E_SYNTAX);
		ctx->alpn[ctx->alpn_len++] = (uint8_t)name.len;
		memcpy(ctx->alpn + ctx->alpn_len, name.ptr, name.len);
		ctx->alpn_len += (unsigned)name.len;
	}
	return ctx->alpn_len > 0 ? OK : fail(E_SYNTAX);
}

/* RFC 7301 §3.2: nothing in common ends the handshake with its own alert. */
static int
alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
    unsigned in_len, void *arg)
{
	struct tls_ctx *ctx = arg;
	unsigned char *found;

	(void)ssl;
	if (in_len == 0 || SSL_select_next_proto(&found, out_len, ctx->alpn, ctx->alpn_len, in,
			       in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = found;
	return SSL_TLSEXT_ERR_OK;
}

/* What both sides have in common. */
static struct status
ctx_common(SSL_CTX *ssl, int version_min)
{
	/* Without CLEANSE_PLAINTEXT what was read lies on in OpenSSL's buffers: keys, prompts. */
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ssl, TLS_HANDSHAKE_LEN_MAX);
	TRY(ssl_ok(SSL_CTX_set_min_proto_version(ssl, version_min)));
	TRY(ssl_ok(SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION)));
	TRY(ssl_ok(SSL_CTX_set_ciphersuites(ssl, SUITES)));
	TRY(ssl_ok(SSL_CTX_set_cipher_list(ssl, SUITES_12)));
	return ssl_ok(SSL_CTX_set1_groups_list(ssl, GROUPS));
}

static struct status
use_tickets(SSL_CTX *ssl, struct span key)
{
	uint8_t copy[TLS_TICKET_KEY_LEN];
	long rc;

	if (key.len == 0) {
		SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
		return ssl_ok(SSL_CTX_set_num_tickets(ssl, 0));
	}
	if (key.len != sizeof(copy))
		return fail(E_SYNTAX);
	memcpy(copy, key.ptr, sizeof(copy));
	rc = SSL_CTX_set_tlsext_ticket_keys(ssl, copy, sizeof(copy));
	explicit_bzero(copy, sizeof(copy));
	TRY(ssl_ok(rc));
	return ssl_ok(SSL_CTX_set_num_tickets(ssl, 1));
}

static void
use_read_ahead(struct tls_ctx *ctx, bool on)
{
	SSL_CTX_set_read_ahead(ctx->ssl, on);
	ctx->read_ahead = on;
}

static struct status
server_fill(struct tls_ctx *ctx, const struct tls_server_opts *o)
{
	struct span id = SESSION_CONTEXT;

	TRY(ctx_common(ctx->ssl, TLS1_3_VERSION));
	TRY(ssl_ok(SSL_CTX_set_session_id_context(ctx->ssl, id.ptr, (unsigned)id.len)));
	TRY(ssl_ok(SSL_CTX_set_max_early_data(ctx->ssl, 0)));
	TRY(use_tickets(ctx->ssl, o->ticket_key));
	use_read_ahead(ctx, o->read_ahead);
	TRY(alpn_encode(ctx, o->alpn));
	SSL_CTX_set_alpn_select_cb(ctx->ssl, alpn_select, ctx);
	if (o->client_ca_pem.len > 0)
		TRY(tls_ask_for_certificates(ctx->ssl, o->client_ca_pem));
	if (o->client_crl_pem.len > 0)
		TRY(tls_crls_new(o->client_ca_pem, o->client_crl_pem, ctx->ssl, &ctx->crls));
	return use_pair(ctx->ssl, o->cert_pem, o->key_pem);
}

static struct status
client_fill(struct tls_ctx *ctx, const struct tls_client_opts *o)
{
	TRY(ctx_common(ctx->ssl, o->allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION));
	SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER, NULL);
	use_read_ahead(ctx, o->read_ahead);
	TRY(tls_pem_certs(o->ca_pem, ctx->ssl, use_root));
	TRY(alpn_encode(ctx, o->alpn));
	if (SSL_CTX_set_alpn_protos(ctx->ssl, ctx->alpn, ctx->alpn_len) != 0)
		return fail(E_NOMEM); /* this one says 0 when it did it */
	if (o->cert_pem.len == 0)
		return OK;
	return use_pair(ctx->ssl, o->cert_pem, o->key_pem);
}

static struct status
ctx_alloc(const SSL_METHOD *method, bool server, struct tls_ctx **ret)
{
	struct tls_ctx *ctx = calloc(1, sizeof(*ctx));

	if (ctx == NULL)
		return fail(E_NOMEM);
	ctx->refs = 1;
	ctx->server = server;
	ctx->ssl = SSL_CTX_new(method);
	if (ctx->ssl == NULL) {
		tls_ctx_free(ctx);
		return fail(E_NOMEM);
	}
	*ret = ctx;
	return OK;
}

/* `ctx` if it was filled, else nothing of it is left. */
static struct status
ctx_finish(struct tls_ctx *ctx, struct status st, struct tls_ctx **ret)
{
	if (!is_ok(st)) {
		ERR_clear_error();
		tls_ctx_free(ctx);
		return st;
	}
	*ret = ctx;
	return OK;
}

struct status
tls_server_ctx_new(const struct tls_server_opts *o, struct tls_ctx **ret)
{
	struct tls_ctx *ctx = NULL;

	TRY(ctx_alloc(TLS_server_method(), true, &ctx));
	return ctx_finish(ctx, server_fill(ctx, o), ret);
}

struct status
tls_client_ctx_new(const struct tls_client_opts *o, struct tls_ctx **ret)
{
	struct tls_ctx *ctx = NULL;

	TRY(ctx_alloc(TLS_client_method(), false, &ctx));
	/* Answers may hold secrets (Vault, AWS): what was read is wiped in OpenSSL's buffer. */
	SSL_CTX_set_options(ctx->ssl, SSL_OP_CLEANSE_PLAINTEXT);
	return ctx_finish(ctx, client_fill(ctx, o), ret);
}

void
tls_ctx_ref(struct tls_ctx *ctx)
{
	assert(ctx->refs > 0 && ctx->refs < UINT_MAX);
	ctx->refs++;
}

void
tls_ctx_free(struct tls_ctx *ctx)
{
	if (ctx == NULL || --ctx->refs > 0)
		return;
	SSL_CTX_free(ctx->ssl);
	tls_crls_free(ctx->crls);
	free(ctx);
}
