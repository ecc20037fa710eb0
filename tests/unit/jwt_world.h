/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_JWT_WORLD_H
#define TESTS_JWT_WORLD_H

/*
 * An issuer for tests: private keys, their JWKs, tokens signed by them. By OpenSSL's own calls, not
 * by lib/jwt.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <base/encode.h>
#include <jwt/jwt.h>

/* unit.h has no fail_msg(): its macro fail() is ours. */
#define FAIL_ROW(...)                     \
	do {                              \
		print_error(__VA_ARGS__); \
		print_error("\n");        \
		assert_true(false);       \
	} while (0)

struct signer {
	EVP_PKEY *pkey;
	const char *kid; /* NULL: none */
	const char *alg; /* of its tokens, and of its JWK */
	bool quiet;      /* its JWK has no alg */
};

static const struct signer_kind {
	const char *alg, *type, *group, *digest;
	bool pss;
	size_t coordinate; /* of r and s */
} signer_kinds[] = {
	{ "RS256", "RSA", NULL, "SHA256", false, 0 },
	{ "RS384", "RSA", NULL, "SHA384", false, 0 },
	{ "RS512", "RSA", NULL, "SHA512", false, 0 },
	{ "PS256", "RSA", NULL, "SHA256", true, 0 },
	{ "PS384", "RSA", NULL, "SHA384", true, 0 },
	{ "PS512", "RSA", NULL, "SHA512", true, 0 },
	{ "ES256", "EC", "P-256", "SHA256", false, 32 },
	{ "ES384", "EC", "P-384", "SHA384", false, 48 },
	{ "ES512", "EC", "P-521", "SHA512", false, 66 },
	{ "EdDSA", "ED25519", NULL, NULL, false, 0 },
};
#define SIGNER_KINDS (sizeof(signer_kinds) / sizeof(signer_kinds[0]))

static inline const struct signer_kind *
signer_kind(const char *alg)
{
	for (size_t i = 0; i < SIGNER_KINDS; i++) {
		if (strcmp(alg, signer_kinds[i].alg) == 0)
			return &signer_kinds[i];
	}
	abort();
}

static inline struct signer
signer_new(const char *alg, const char *kid)
{
	const struct signer_kind *kind = signer_kind(alg);
	struct signer s = { .kid = kid, .alg = alg };

	if (strcmp(kind->type, "RSA") == 0)
		s.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	else if (strcmp(kind->type, "EC") == 0)
		s.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind->group);
	else
		s.pkey = EVP_PKEY_Q_keygen(NULL, NULL, kind->type);
	assert_non_null(s.pkey);
	return s;
}

static inline void
put_number(struct buf *out, const char *name, EVP_PKEY *pkey, const char *param, int len)
{
	BIGNUM *n = NULL;
	uint8_t bytes[1024];
	int size;

	assert_int_equal(EVP_PKEY_get_bn_param(pkey, param, &n), 1);
	size = len > 0 ? len : BN_num_bytes(n);
	assert_true(BN_bn2binpad(n, bytes, size) == size);
	BN_free(n);
	assert_true(is_ok(buf_printf(out, ",\"%s\":\"", name)));
	assert_true(is_ok(base64url_encode(span_of(bytes, (size_t)size), out)));
	assert_true(is_ok(buf_put_u8(out, '"')));
}

/* Its JWK; `more` are members behind, from a comma on. */
static inline void
signer_put_jwk(const struct signer *s, const char *more, struct buf *out)
{
	const struct signer_kind *kind = signer_kind(s->alg);
	uint8_t raw[32];
	size_t len = sizeof(raw);

	if (strcmp(kind->type, "RSA") == 0) {
		assert_true(is_ok(buf_put_str(out, "{\"kty\":\"RSA\"")));
		put_number(out, "n", s->pkey, OSSL_PKEY_PARAM_RSA_N, 0);
		put_number(out, "e", s->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
	} else if (strcmp(kind->type, "EC") == 0) {
		assert_true(is_ok(buf_printf(out, "{\"kty\":\"EC\",\"crv\":\"%s\"", kind->group)));
		put_number(out, "x", s->pkey, OSSL_PKEY_PARAM_EC_PUB_X, (int)kind->coordinate);
		put_number(out, "y", s->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, (int)kind->coordinate);
	} else {
		assert_int_equal(EVP_PKEY_get_raw_public_key(s->pkey, raw, &len), 1);
		assert_true(
		    is_ok(buf_put_str(out, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"")));
		assert_true(is_ok(base64url_encode(span_of(raw, len), out)));
		assert_true(is_ok(buf_put_u8(out, '"')));
	}
	if (!s->quiet)
		assert_true(is_ok(buf_printf(out, ",\"alg\":\"%s\"", s->alg)));
	if (s->kid != NULL)
		assert_true(is_ok(buf_printf(out, ",\"kid\":\"%s\"", s->kid)));
	assert_true(is_ok(buf_printf(out, "%s}", more)));
}

static inline void
signers_put_jwks(const struct signer *s, size_t n, struct buf *out)
{
	assert_true(is_ok(buf_put_str(out, "{\"keys\":[")));
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			assert_true(is_ok(buf_put_u8(out, ',')));
		signer_put_jwk(&s[i], "", out);
	}
	assert_true(is_ok(buf_put_str(out, "]}")));
}

static inline struct jwks *
signers_jwks(const struct signer *s, size_t n)
{
	struct buf text = BUF_INIT(JWKS_LEN_MAX);
	struct jwks *keys = NULL;

	signers_put_jwks(s, n, &text);
	assert_true(is_ok(jwks_parse(buf_span(&text), &keys)));
	assert_int_equal(jwks_count(keys), n);
	buf_done(&text);
	return keys;
}

/* DER to r and s. */
static inline size_t
pair_of(const uint8_t *der, size_t len, size_t coordinate, uint8_t *out)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);

	assert_non_null(sig);
	assert_true(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)coordinate) > 0);
	assert_true(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + coordinate, (int)coordinate) > 0);
	ECDSA_SIG_free(sig);
	return 2 * coordinate;
}

static inline size_t
sign_bytes(const struct signer *s, const char *alg, struct span msg, uint8_t out[1200])
{
	const struct signer_kind *kind = signer_kind(alg);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx = NULL;
	uint8_t raw[1200];
	size_t len = sizeof(raw);

	assert_int_equal(
	    EVP_DigestSignInit_ex(md, &ctx, kind->digest, NULL, NULL, s->pkey, NULL), 1);
	if (kind->pss) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST), 1);
	}
	assert_int_equal(EVP_DigestSign(md, raw, &len, msg.ptr, msg.len), 1);
	EVP_MD_CTX_free(md);
	if (kind->coordinate > 0)
		return pair_of(raw, len, kind->coordinate, out);
	memcpy(out, raw, len);
	return len;
}

/* A token with exactly this header and these claims, signed as `alg` says. */
static inline void
signer_put_token(const struct signer *s, const char *alg, const char *header, const char *claims,
    struct buf *out)
{
	uint8_t sig[1200];
	size_t at = out->len, len;

	assert_true(is_ok(base64url_encode(span_str(header), out)));
	assert_true(is_ok(buf_put_u8(out, '.')));
	assert_true(is_ok(base64url_encode(span_str(claims), out)));
	len = sign_bytes(s, alg, span_from(buf_span(out), at), sig);
	assert_true(is_ok(buf_put_u8(out, '.')));
	assert_true(is_ok(base64url_encode(span_of(sig, len), out)));
}

/* The usual header. */
static inline void
signer_put(const struct signer *s, const char *claims, struct buf *out)
{
	char header[512];

	if (s->kid != NULL)
		(void)snprintf(header, sizeof(header),
		    "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", s->alg, s->kid);
	else
		(void)snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", s->alg);
	signer_put_token(s, s->alg, header, claims, out);
}

#endif
