/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.c: clients' certificates: whether they are taken, and whom they name.
 *
 * Runs in: gateway. Trusts: the certificate authorities of the context, and what they have signed;
 * nothing else of a certificate.
 * Owns: nothing.
 * Invariants: a chain that does not verify ends the handshake; a leaf is for clients by its own
 * words, and vouches for no others; a connection with a certificate gets no ticket, so that no
 * session is resumed with an identity, or loses one; a name that is not there exactly once is none.
 * See: tls/tls.h, crl.c (what is revoked); RFC 5280 §4.2.1.6, RFC 8446 §4.4.2; SPIFFE X509-SVID §2,
 * §4.
 */
#include "ctx.h"

#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#define CHAIN_DEPTH_MAX 4 /* certificates between a client's and a root */

/* ---- the context ---- */

static bool
is_for_clients(X509 *leaf)
{
	return X509_check_ca(leaf) == 0 && (X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE) != 0 &&
	       (X509_get_extended_key_usage(leaf) & XKU_SSL_CLIENT) != 0;
}

/* Only where there is a certificate; OpenSSL has looked at signatures, dates and authorities. */
static int
on_certificate(int ok, X509_STORE_CTX *x)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());

	if (ok != 1 || X509_STORE_CTX_get_error_depth(x) != 0)
		return ok;
	if (SSL_set_num_tickets(ssl, 0) == 1 && is_for_clients(X509_STORE_CTX_get_current_cert(x)))
		return 1;
	X509_STORE_CTX_set_error(x, X509_V_ERR_INVALID_PURPOSE);
	return 0;
}

/* A ticket that was made where other authorities, or none, vouched for clients is none here. */
static struct status
bind_tickets(SSL_CTX *ssl, struct span ca_pem)
{
	unsigned char id[EVP_MAX_MD_SIZE];
	size_t len = 0;

	if (EVP_Q_digest(NULL, "SHA256", NULL, ca_pem.ptr, ca_pem.len, id, &len) != 1 ||
	    SSL_CTX_set_session_id_context(ssl, id, (unsigned)len) != 1)
		return fail(E_CRYPTO);
	return OK;
}

static struct status
use_authority(void *ctx, X509 *cert, size_t at)
{
	SSL_CTX *ssl = ctx;

	if (at == TLS_CLIENT_CAS_MAX)
		return fail(E_FULL);
	if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), cert) != 1 ||
	    SSL_CTX_add_client_CA(ssl, cert) != 1)
		return fail(E_CRYPTO);
	return OK;
}

struct status
tls_ask_for_certificates(SSL_CTX *ssl, struct span ca_pem)
{
	TRY(bind_tickets(ssl, ca_pem));
	/* Those authorities are clients', not what our own chain is made of. */
	(void)SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, on_certificate);
	SSL_CTX_set_verify_depth(ssl, CHAIN_DEPTH_MAX);
	return tls_pem_certs(ca_pem, ssl, use_authority);
}

/* ---- the connection ---- */

/* Printable ASCII without blanks: what an operator can write in a table. */
static bool
is_name(struct span s, size_t len_max)
{
	if (s.len == 0 || s.len > len_max)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
			return false;
	}
	return true;
}

static struct span
text_of(const ASN1_STRING *s)
{
	return span_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static size_t
alternative_names(X509 *cert, int type, struct buf *out)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t n = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) { /* none: -1 */
		const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);

		if (one->type == type && n++ == 0 && !is_ok(buf_put_span(out, text_of(one->d.ia5))))
			n = SIZE_MAX / 2; /* longer than any that is taken */
	}
	GENERAL_NAMES_free(all);
	return n;
}

/* BMPString and the like are none: their bytes are not what they look like. */
static size_t
common_names(X509 *cert, struct buf *out)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	size_t n = 0;

	for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
		const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
		int type = ASN1_STRING_type(s);

		if (type != V_ASN1_UTF8STRING && type != V_ASN1_PRINTABLESTRING)
			return SIZE_MAX / 2;
		if (n++ == 0 && !is_ok(buf_put_span(out, text_of(s))))
			n = SIZE_MAX / 2;
	}
	return n;
}

struct status
tls_unix_time(const ASN1_TIME *t, uint64_t *ret)
{
	struct tm tm;
	time_t s;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return fail(E_SYNTAX);
	s = timegm(&tm);
	if (s <= 0)
		return fail(E_RANGE);
	*ret = (uint64_t)s;
	return OK;
}

/* When what is known of a certificate's revocation ends. */
static uint64_t
list_end(const struct tls_ctx *by, STACK_OF(X509) * chain, int i)
{
	int authority = i + 1 < sk_X509_num(chain) ? i + 1 : i; /* the last one is its own */

	return by->crls == NULL ? UINT64_MAX
				: tls_crls_end(by->crls, sk_X509_value(chain, authority));
}

/* The chain's first end: of the leaf, of an authority above it, or of a list of these. */
static struct status
chain_end(const struct tls_ctx *by, STACK_OF(X509) * chain, uint64_t *ret)
{
	uint64_t first = UINT64_MAX, one = 0, list;

	for (int i = 0; i < sk_X509_num(chain); i++) {
		TRY(tls_unix_time(X509_get0_notAfter(sk_X509_value(chain, i)), &one));
		list = list_end(by, chain, i);
		if (list == 0)
			return fail(E_DENIED);
		one = list < one ? list : one;
		first = one < first ? one : first;
	}
	*ret = first;
	return first == UINT64_MAX ? fail(E_NOTFOUND) : OK;
}

struct status
tls_peer_name(const struct tls_conn *c, enum tls_name kind, struct buf *out, uint64_t *ret_until_s)
{
	static const struct {
		int type; /* of a subjectAltName; -1: it is the subject's */
		size_t len_max;
	} rows[TLS_NAME_COUNT] = {
		[TLS_NAME_URI] = { GEN_URI, TLS_PEER_NAME_MAX },
		[TLS_NAME_DNS] = { GEN_DNS, 253 },
		[TLS_NAME_CN] = { -1, 64 },
	};
	const SSL *ssl = tls_conn_ssl(c);
	X509 *cert = SSL_get0_peer_certificate(ssl);
	size_t before = out->len, n;

	if (cert == NULL)
		return fail(E_NOTFOUND);
	if (SSL_session_reused(ssl) == 1 || SSL_get_verify_result(ssl) != X509_V_OK)
		return fail(E_DENIED);
	n = rows[kind].type < 0 ? common_names(cert, out)
				: alternative_names(cert, rows[kind].type, out);
	if (n == 1 && is_name(span_from(buf_span(out), before), rows[kind].len_max))
		return chain_end(tls_conn_ctx(c), SSL_get0_verified_chain(ssl), ret_until_s);
	out->len = before;
	return fail(E_RANGE);
}

/* What a handshake does, with the chain that one has built already. */
static struct status
verify_again(
    const struct tls_ctx *by, X509_STORE_CTX *x, X509 *leaf, STACK_OF(X509) * chain, uint64_t *ret)
{
	if (X509_STORE_CTX_init(x, SSL_CTX_get_cert_store(by->ssl), leaf, chain) != 1 ||
	    X509_STORE_CTX_set_default(x, "ssl_client") != 1 ||
	    X509_VERIFY_PARAM_set1(X509_STORE_CTX_get0_param(x), SSL_CTX_get0_param(by->ssl)) != 1)
		return fail(E_CRYPTO);
	if (X509_verify_cert(x) != 1 || !is_for_clients(leaf))
		return fail(E_DENIED);
	return chain_end(by, X509_STORE_CTX_get0_chain(x), ret);
}

struct status
tls_peer_again(const struct tls_ctx *by, const struct tls_conn *c, uint64_t *ret_until_s)
{
	const SSL *ssl = tls_conn_ssl(c);
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	X509_STORE_CTX *x;
	struct status st;

	if (leaf == NULL)
		return fail(E_NOTFOUND);
	x = X509_STORE_CTX_new();
	if (x == NULL)
		return fail(E_NOMEM);
	st = verify_again(by, x, leaf, SSL_get0_verified_chain(ssl), ret_until_s);
	X509_STORE_CTX_free(x);
	ERR_clear_error();
	return st;
}
