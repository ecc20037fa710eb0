/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token-timing: what a token of an identity provider costs the authority.
 *
 * Runs in:    a shell. Prints one JSON object: the medians, in nanoseconds, of many rounds: by
 *             algorithm, parsed and verified; of a token that was verified before, its hash and
 *             the look-up, for one of the usual length and for the longest.
 * Trusts:     its own tokens. Owns: nothing.
 * Invariants: every token is verified with a full policy, as the authority does.
 * See:        jwt/jwt.h, src/authority/oidc_cache.h; bench/rows.py.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/encode.h>
#include <crypto/crypto.h>
#include <issuers.h>
#include <oidc_cache.h>

#define ROUNDS 2001
#define NOW 1800000000ULL
#define CLAIMS                                                                                     \
	"{\"iss\":\"https://idp.example\",\"aud\":[\"sallyport\",\"account\"],\"exp\":1800000300," \
	"\"iat\":1799999990,\"sub\":\"0b7c1f0e-8d54-4a56-9a63-2f4c1d6a7e11\",\"email\":"           \
	"\"ann@acme.example\",\"tenant\":\"acme\",\"groups\":[\"/staff\",\"/admins\"],\"jti\":"    \
	"\"pZUPA6rr7MKEOsLkGWQTop3-6X2wy_PvqTgOF8rnmMQ\",\"client_id\":\"web\"}"

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static void
put_number(EVP_PKEY *k, const char *name, const char *param, int len, struct buf *out)
{
	uint8_t bytes[512];
	BIGNUM *n = NULL;

	must(EVP_PKEY_get_bn_param(k, param, &n) == 1);
	len = len > 0 ? len : BN_num_bytes(n);
	must(BN_bn2binpad(n, bytes, len) == len);
	BN_free(n);
	must(is_ok(buf_printf(out, ",\"%s\":\"", name)));
	must(is_ok(base64url_encode(span_of(bytes, (size_t)len), out)));
	must(is_ok(buf_put_u8(out, '"')));
}

static EVP_PKEY *
make_key(const char *alg, struct buf *jwks)
{
	EVP_PKEY *k;
	uint8_t raw[32];
	size_t len = sizeof(raw);

	must(is_ok(buf_put_str(jwks, "{\"keys\":[{\"kid\":\"k\",\"kty\":\"")));
	if (alg[0] == 'R') {
		k = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
		must(is_ok(buf_put_str(jwks, "RSA\"")));
		put_number(k, "n", OSSL_PKEY_PARAM_RSA_N, 0, jwks);
		put_number(k, "e", OSSL_PKEY_PARAM_RSA_E, 0, jwks);
	} else if (alg[1] == 'S') {
		k = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
		must(is_ok(buf_put_str(jwks, "EC\",\"crv\":\"P-256\"")));
		put_number(k, "x", OSSL_PKEY_PARAM_EC_PUB_X, 32, jwks);
		put_number(k, "y", OSSL_PKEY_PARAM_EC_PUB_Y, 32, jwks);
	} else {
		k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		must(EVP_PKEY_get_raw_public_key(k, raw, &len) == 1);
		must(is_ok(buf_put_str(jwks, "OKP\",\"crv\":\"Ed25519\",\"x\":\"")));
		must(is_ok(base64url_encode(span_of(raw, len), jwks)));
		must(is_ok(buf_put_u8(jwks, '"')));
	}
	must(is_ok(buf_put_str(jwks, "}]}")));
	return k;
}

static void
make_token(const char *alg, EVP_PKEY *k, struct buf *out)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t sig[512], pair[64];
	const uint8_t *der = sig;
	size_t len = sizeof(sig);
	char header[64];

	(void)snprintf(
	    header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"k\"}", alg);
	must(is_ok(base64url_encode(span_str(header), out)) && is_ok(buf_put_u8(out, '.')));
	must(is_ok(base64url_encode(SPAN_LIT(CLAIMS), out)));
	must(EVP_DigestSignInit_ex(md, NULL, alg[0] == 'E' && alg[1] == 'd' ? NULL : "SHA256", NULL,
		 NULL, k, NULL) == 1);
	must(EVP_DigestSign(md, sig, &len, out->ptr, out->len) == 1);
	EVP_MD_CTX_free(md);
	must(is_ok(buf_put_u8(out, '.')));
	if (alg[0] == 'E' && alg[1] == 'S') {
		ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &der, (long)len);

		must(BN_bn2binpad(ECDSA_SIG_get0_r(s), pair, 32) == 32);
		must(BN_bn2binpad(ECDSA_SIG_get0_s(s), pair + 32, 32) == 32);
		ECDSA_SIG_free(s);
		must(is_ok(base64url_encode(span_of(pair, 64), out)));
		return;
	}
	must(is_ok(base64url_encode(span_of(sig, len), out)));
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static unsigned long long
median_ns(uint64_t ns[ROUNDS])
{
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	return ns[ROUNDS / 2];
}

static void
verified(const char *alg, struct buf *token)
{
	const struct jwt_policy p = { .issuer = SPAN_LIT("https://idp.example"),
		.audience = SPAN_LIT("sallyport") };
	auto_buf struct buf text = BUF_INIT(JWKS_LEN_MAX);
	static uint64_t ns[ROUNDS];
	struct jwks *keys;
	auto_jwt struct jwt j;
	EVP_PKEY *k = make_key(alg, &text);

	must(is_ok(jwks_parse(buf_span(&text), &keys)) && is_ok(jwt_init(&j)));
	buf_clear(token);
	make_token(alg, k, token);
	for (size_t i = 0; i < ROUNDS; i++) {
		uint64_t began = clock_mono_ns();

		must(is_ok(jwt_parse(&j, buf_span(token))));
		must(is_ok(jwt_verify(&j, keys, &p, NOW)));
		ns[i] = clock_mono_ns() - began;
	}
	printf("\"%s\":%llu,", alg, median_ns(ns));
	jwks_free(keys);
	EVP_PKEY_free(k);
}

static void
cached(const char *name, struct span token)
{
	static uint64_t ns[ROUNDS];
	static struct issuer issuer = { .epoch = 1 };
	uint8_t hash[SHA256_LEN];
	struct oidc_cache c;
	struct oidc_entry *e;

	must(is_ok(oidc_cache_init(&c)) && is_ok(sha256(token, hash)));
	e = oidc_cache_place(&c, hash, NOW);
	*e = (struct oidc_entry){ .issuer = &issuer, .epoch = 1, .expires_s = NOW + 1 };
	memcpy(e->hash, hash, sizeof(hash));
	for (size_t i = 0; i < ROUNDS; i++) {
		uint64_t began = clock_mono_ns();

		must(is_ok(sha256(token, hash)));
		must(oidc_cache_find(&c, hash, NOW) != NULL);
		ns[i] = clock_mono_ns() - began;
	}
	printf("\"%s\":%llu", name, median_ns(ns));
	oidc_cache_done(&c);
}

int
main(void)
{
	static const char *const algs[] = { "EdDSA", "ES256", "RS256" };
	auto_buf struct buf token = BUF_INIT(JWT_LEN_MAX);
	static uint8_t longest[JWT_LEN_MAX];

	must(is_ok(crypto_init()));
	printf("{");
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
		verified(algs[i], &token);
	cached("cached", buf_span(&token));
	printf(",");
	cached("cached_longest", span_of(longest, sizeof(longest)));
	printf("}\n");
	return 0;
}
