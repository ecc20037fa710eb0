/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cert.c: the local certificate authority and its leaves.
 *
 * Runs in: supervisor and CLI (sallyport init); nothing from the network comes here.
 * Trusts: nothing: PEMs may have been edited by hand, names come from options.
 * Owns: nothing: results go into the caller's buf and secret.
 * Invariants: names are built as structures, never as configuration text; private
 * keys leave only into a struct secret, and OpenSSL's copies are wiped.
 * See: crypto/cert.h; RFC 5280 §4.2; spiffe X.509-SVID.
 */
#include <crypto/cert.h>

#include <arpa/inet.h>
#include <limits.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <base/rand.h>

#include "fetched.h"

#define SERIAL_LEN 16
#define DAY_S 86400L
#define SAN_LEN_MAX 253
#define SPIFFE SPAN_LIT("spiffe://")

/* What makes a certificate ours or our leaf's: extension and text for OpenSSL. */
struct ext {
	int nid;
	const char *value;
};

static const struct ext ca_exts[] = {
	{ NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
	{ NID_key_usage, "critical,keyCertSign,cRLSign" },
	{ NID_subject_key_identifier, "hash" },
	{ NID_authority_key_identifier, "keyid:always" },
	{ 0, NULL },
};

static const struct ext leaf_exts[] = {
	{ NID_basic_constraints, "critical,CA:FALSE" },
	{ NID_key_usage, "critical,digitalSignature" },
	{ NID_subject_key_identifier, "hash" },
	{ NID_authority_key_identifier, "keyid:always" },
	{ 0, NULL },
};

static void
cleanup_x509(X509 **p)
{
	X509_free(*p);
}

static void
cleanup_pkey(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static void
cleanup_bio(BIO **p)
{
	BIO_free(*p);
}

#define auto_x509 __attribute__((cleanup(cleanup_x509)))
#define auto_pkey __attribute__((cleanup(cleanup_pkey)))
#define auto_bio __attribute__((cleanup(cleanup_bio)))

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
cert_read(struct span pem, X509 **ret)
{
	auto_bio BIO *bio = NULL;

	if (pem.len == 0 || pem.len > INT_MAX)
		return fail(E_SYNTAX);
	bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
	if (bio == NULL)
		return fail(E_NOMEM);
	*ret = PEM_read_bio_X509(bio, NULL, no_pass, NULL);
	return *ret == NULL ? fail(E_SYNTAX) : OK;
}

static struct status
key_read(const struct secret *pem, EVP_PKEY **ret)
{
	struct span s = secret_borrow(pem);
	auto_bio BIO *bio = NULL;

	if (s.len == 0)
		return fail(E_SYNTAX);
	bio = BIO_new_mem_buf(s.ptr, (int)s.len);
	if (bio == NULL)
		return fail(E_NOMEM);
	*ret = PEM_read_bio_PrivateKey(bio, NULL, no_pass, NULL);
	return *ret == NULL ? fail(E_SYNTAX) : OK;
}

static struct status
cert_write(X509 *cert, struct buf *out)
{
	auto_bio BIO *bio = BIO_new(BIO_s_mem());
	char *p;
	long n;

	if (bio == NULL)
		return fail(E_NOMEM);
	TRY(evp_ok(PEM_write_bio_X509(bio, cert)));
	n = BIO_get_mem_data(bio, &p);
	return n <= 0 ? fail(E_CRYPTO) : buf_put(out, p, (size_t)n);
}

static struct status
key_write(EVP_PKEY *key, struct secret *ret)
{
	auto_bio BIO *bio = BIO_new(BIO_s_mem()); /* grows by wiping what it leaves */
	struct status st;
	char *p;
	long n;

	if (bio == NULL)
		return fail(E_NOMEM);
	TRY(evp_ok(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)));
	n = BIO_get_mem_data(bio, &p);
	if (n <= 0)
		return fail(E_CRYPTO);
	st = secret_from_span(span_of(p, (size_t)n), ret);
	explicit_bzero(p, (size_t)n);
	return st;
}

static struct status
put_exts(X509 *cert, X509 *issuer, const struct ext *exts)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	for (; exts->value != NULL; exts++) {
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, exts->nid, exts->value);
		int rc = e == NULL ? 0 : X509_add_ext(cert, e, -1);

		X509_EXTENSION_free(e);
		TRY(evp_ok(rc));
	}
	return OK;
}

/* 127 random bits; RFC 5280 §4.1.2.2 wants it positive. */
static struct status
put_serial(X509 *cert)
{
	uint8_t raw[SERIAL_LEN];
	BIGNUM *bn;
	ASN1_INTEGER *ok;

	TRY(rand_bytes(raw, sizeof(raw)));
	raw[0] = (uint8_t)((raw[0] & 0x7f) | 0x40);
	bn = BN_bin2bn(raw, sizeof(raw), NULL);
	if (bn == NULL)
		return fail(E_NOMEM);
	ok = BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
	BN_free(bn);
	return ok == NULL ? fail(E_NOMEM) : OK;
}

static struct status
put_name(X509 *cert, struct span common_name)
{
	if (common_name.len == 0)
		return OK;
	if (common_name.len > CERT_NAME_LEN_MAX)
		return fail(E_RANGE);
	return evp_ok(X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName,
	    MBSTRING_UTF8, common_name.ptr, (int)common_name.len, -1, 0));
}

/* Version 3, serial, validity, subject and key: what all certificates have. */
static struct status
cert_start(EVP_PKEY *key, struct span common_name, long ttl_s, X509 **ret)
{
	auto_x509 X509 *cert = X509_new();
	time_t now = time(NULL);

	if (cert == NULL)
		return fail(E_NOMEM);
	TRY(evp_ok(X509_set_version(cert, X509_VERSION_3)));
	TRY(put_serial(cert));
	if (ASN1_TIME_set(X509_getm_notBefore(cert), now - CERT_BACKDATE_S) == NULL ||
	    ASN1_TIME_set(X509_getm_notAfter(cert), now + ttl_s) == NULL)
		return fail(E_CRYPTO);
	TRY(put_name(cert, common_name));
	TRY(evp_ok(X509_set_pubkey(cert, key)));
	*ret = cert;
	cert = NULL;
	return OK;
}

static struct status
cert_sign(X509 *cert, EVP_PKEY *key)
{
	return X509_sign(cert, key, EVP_sha256()) > 0 ? OK : fail(E_CRYPTO);
}

/* Both results or none. */
static struct status
write_pair(X509 *cert, EVP_PKEY *key, struct buf *ret_cert_pem, struct secret *ret_key_pem)
{
	auto_secret struct secret s = SECRET_NONE;

	TRY(key_write(key, &s));
	TRY(cert_write(cert, ret_cert_pem));
	*ret_key_pem = secret_take(&s);
	return OK;
}

struct status
cert_ca_create(struct span common_name, struct buf *ret_cert_pem, struct secret *ret_key_pem)
{
	auto_pkey EVP_PKEY *key = EVP_EC_gen("P-256");
	auto_x509 X509 *cert = NULL;

	if (key == NULL)
		return fail(E_CRYPTO);
	if (common_name.len == 0)
		return fail(E_RANGE);
	TRY(cert_start(key, common_name, CERT_CA_DAYS * DAY_S, &cert));
	TRY(evp_ok(X509_set_issuer_name(cert, X509_get_subject_name(cert))));
	TRY(put_exts(cert, cert, ca_exts));
	TRY(cert_sign(cert, key));
	return write_pair(cert, key, ret_cert_pem, ret_key_pem);
}

/* A host name: letters, digits, '-', '_', '.', and a leading "*." */
static bool
dns_ok(struct span s)
{
	if (span_starts(s, SPAN_LIT("*.")))
		s = span_from(s, 2);
	if (s.len == 0 || s.ptr[0] == '.' || s.ptr[0] == '-' || s.ptr[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i], l = c | 0x20;

		if (!(l >= 'a' && l <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
		    c != '.')
			return false;
		if (c == '.' && i > 0 && s.ptr[i - 1] == '.')
			return false;
	}
	return true;
}

static bool
uri_ok(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
			return false;
	}
	return s.len > SPIFFE.len;
}

/* What kind of name `text` is, and its bytes in the certificate. */
static struct status
san_classify(struct span text, int *ret_type, uint8_t ip[16], struct span *ret_value)
{
	char s[SAN_LEN_MAX + 1];

	if (!is_ok(span_to_cstr(text, s, sizeof(s))))
		return fail(E_SYNTAX);
	*ret_value = text;
	if (inet_pton(AF_INET, s, ip) == 1 || inet_pton(AF_INET6, s, ip) == 1) {
		*ret_type = GEN_IPADD;
		*ret_value = span_of(ip, strchr(s, ':') == NULL ? 4 : 16);
		return OK;
	}
	*ret_type = span_starts(text, SPIFFE) ? GEN_URI : GEN_DNS;
	if (*ret_type == GEN_URI ? !uri_ok(text) : !dns_ok(text))
		return fail(E_SYNTAX);
	return OK;
}

static struct status
san_push(GENERAL_NAMES *names, struct span text)
{
	uint8_t ip[16];
	struct span value;
	int type;
	GENERAL_NAME *name;
	ASN1_STRING *str;

	TRY(san_classify(text, &type, ip, &value));
	name = GENERAL_NAME_new();
	str = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
	if (name == NULL || str == NULL || ASN1_STRING_set(str, value.ptr, (int)value.len) != 1) {
		ASN1_STRING_free(str);
		GENERAL_NAME_free(name);
		return fail(E_NOMEM);
	}
	GENERAL_NAME_set0_value(name, type, str);
	if (sk_GENERAL_NAME_push(names, name) <= 0) {
		GENERAL_NAME_free(name);
		return fail(E_NOMEM);
	}
	return OK;
}

/* RFC 5280 §4.2.1.6: critical when the subject is empty. */
static struct status
put_sans(X509 *cert, const struct cert_leaf *leaf)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	struct status st = names == NULL ? fail(E_NOMEM) : OK;

	for (size_t i = 0; i < leaf->san_count && is_ok(st); i++)
		st = san_push(names, leaf->sans[i]);
	if (is_ok(st))
		st = evp_ok(X509_add1_ext_i2d(cert, NID_subject_alt_name, names,
		    leaf->common_name.len == 0, X509V3_ADD_DEFAULT));
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return st;
}

static struct status
leaf_fill(X509 *cert, X509 *ca, const struct cert_leaf *leaf)
{
	const struct ext purpose[] = {
		{ NID_ext_key_usage, leaf->client_auth ? "serverAuth,clientAuth" : "serverAuth" },
		{ 0, NULL },
	};

	TRY(evp_ok(X509_set_issuer_name(cert, X509_get_subject_name(ca))));
	TRY(put_exts(cert, ca, leaf_exts));
	TRY(put_exts(cert, ca, purpose));
	return put_sans(cert, leaf);
}

struct status
cert_leaf_issue(struct span ca_cert_pem, const struct secret *ca_key_pem,
    const struct cert_leaf *leaf, struct buf *ret_cert_pem, struct secret *ret_key_pem)
{
	auto_pkey EVP_PKEY *ca_key = NULL, *key = NULL;
	auto_x509 X509 *ca = NULL, *cert = NULL;

	if (leaf->san_count == 0 || leaf->san_count > CERT_SANS_MAX || leaf->ttl_s == 0 ||
	    leaf->ttl_s > CERT_LEAF_DAYS_MAX * DAY_S)
		return fail(E_RANGE);
	TRY(cert_read(ca_cert_pem, &ca));
	TRY(key_read(ca_key_pem, &ca_key));
	TRY(evp_ok(X509_check_private_key(ca, ca_key)));
	key = EVP_EC_gen("P-256");
	if (key == NULL)
		return fail(E_CRYPTO);
	TRY(cert_start(key, leaf->common_name, (long)leaf->ttl_s, &cert));
	TRY(leaf_fill(cert, ca, leaf));
	TRY(cert_sign(cert, ca_key));
	return write_pair(cert, key, ret_cert_pem, ret_key_pem);
}

static struct status
time_read(const ASN1_TIME *at, int64_t *ret_unix_s)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(at, &tm) != 1)
		return fail(E_SYNTAX);
	*ret_unix_s = (int64_t)timegm(&tm);
	return OK;
}

struct status
cert_not_after(struct span cert_pem, int64_t *ret_unix_s)
{
	auto_x509 X509 *cert = NULL;

	TRY(cert_read(cert_pem, &cert));
	return time_read(X509_get0_notAfter(cert), ret_unix_s);
}

struct status
cert_not_before(struct span cert_pem, int64_t *ret_unix_s)
{
	auto_x509 X509 *cert = NULL;

	TRY(cert_read(cert_pem, &cert));
	return time_read(X509_get0_notBefore(cert), ret_unix_s);
}

bool
cert_is_for(struct span cert_pem, const char *host)
{
	auto_x509 X509 *cert = NULL;

	if (!is_ok(cert_read(cert_pem, &cert)))
		return false;
	return X509_check_ip_asc(cert, host, 0) == 1 ||
	       X509_check_host(cert, host, strlen(host), 0, NULL) == 1;
}

struct status
cert_fingerprint(struct span cert_pem, uint8_t out[32])
{
	auto_x509 X509 *cert = NULL;
	unsigned len = 0;

	TRY(cert_read(cert_pem, &cert));
	return evp_ok(X509_digest(cert, EVP_sha256(), out, &len));
}

struct status
cert_key_matches(struct span cert_pem, const struct secret *key_pem)
{
	auto_x509 X509 *cert = NULL;
	auto_pkey EVP_PKEY *key = NULL;

	TRY(cert_read(cert_pem, &cert));
	TRY(key_read(key_pem, &key));
	return evp_ok(X509_check_private_key(cert, key));
}
