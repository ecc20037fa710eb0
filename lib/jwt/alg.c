/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alg.c: the table of algorithms, and one signature checked over EVP.
 *
 * Runs in: authority. Trusts: the key; neither message nor signature.
 * Owns: nothing.
 * Invariants: a signature has exactly the length that key and algorithm give it; no algorithm
 * takes a shared secret, so a public key can never be one.
 * See: jwt/jwks.h; RFC 7518 §3, RFC 8037 §3.1.
 */
#include "internal.h"

#include <assert.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define ED25519_LEN 64
#define DER_MAX 160 /* of an ECDSA signature: two numbers of 66 bytes */

const struct jwt_alg_row jwt_alg_rows[JWT_ALG_COUNT] = {
	[JWT_RS256] = { "RS256", JWK_RSA, "SHA256", false, 0 },
	[JWT_RS384] = { "RS384", JWK_RSA, "SHA384", false, 0 },
	[JWT_RS512] = { "RS512", JWK_RSA, "SHA512", false, 0 },
	[JWT_PS256] = { "PS256", JWK_RSA, "SHA256", true, 0 },
	[JWT_PS384] = { "PS384", JWK_RSA, "SHA384", true, 0 },
	[JWT_PS512] = { "PS512", JWK_RSA, "SHA512", true, 0 },
	[JWT_ES256] = { "ES256", JWK_P256, "SHA256", false, 32 },
	[JWT_ES384] = { "ES384", JWK_P384, "SHA384", false, 48 },
	[JWT_ES512] = { "ES512", JWK_P521, "SHA512", false, 66 },
	[JWT_EDDSA] = { "EdDSA", JWK_ED25519, NULL, false, 0 },
};

struct status
jwt_alg_find(struct span name, enum jwt_alg *ret)
{
	for (unsigned i = 0; i < JWT_ALG_COUNT; i++) {
		if (span_eq_str(name, jwt_alg_rows[i].name)) {
			*ret = (enum jwt_alg)i;
			return OK;
		}
	}
	return fail(E_NOTFOUND);
}

const char *
jwt_alg_name(enum jwt_alg alg)
{
	assert(alg < JWT_ALG_COUNT);
	return jwt_alg_rows[alg].name;
}

/* r and s, each in as many bytes as the field has, as the DER that EVP takes. */
static struct status
pair_to_der(struct span pair, uint8_t out[DER_MAX], struct span *ret)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	size_t half = pair.len / 2;
	BIGNUM *r = BN_bin2bn(pair.ptr, (int)half, NULL);
	BIGNUM *s = BN_bin2bn(pair.ptr + half, (int)half, NULL);
	uint8_t *p = out;
	int len = -1;

	if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
	} else if (i2d_ECDSA_SIG(sig, NULL) <= DER_MAX) {
		len = i2d_ECDSA_SIG(sig, &p);
	}
	ECDSA_SIG_free(sig);
	if (len <= 0)
		return fail(E_NOMEM);
	*ret = span_of(out, (size_t)len);
	return OK;
}

static size_t
signature_len(const struct jwk *k, const struct jwt_alg_row *row)
{
	if (row->family == JWK_ED25519)
		return ED25519_LEN;
	if (row->family == JWK_RSA)
		return (size_t)EVP_PKEY_get_size(k->pkey);
	return 2 * row->coordinate_len;
}

static struct status
set_padding(EVP_PKEY_CTX *ctx)
{
	if (EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) != 1)
		return fail(E_CRYPTO);
	return OK; /* MGF1 takes the signature's digest where no other is set */
}

static struct status
verify(EVP_MD_CTX *md, const struct jwk *k, const struct jwt_alg_row *row, struct span msg,
    struct span sig)
{
	EVP_PKEY_CTX *ctx = NULL;

	if (EVP_DigestVerifyInit_ex(md, &ctx, row->digest, NULL, NULL, k->pkey, NULL) != 1)
		return fail(E_CRYPTO);
	if (row->pss)
		TRY(set_padding(ctx));
	return EVP_DigestVerify(md, sig.ptr, sig.len, msg.ptr, msg.len) == 1 ? OK : fail(E_CRYPTO);
}

struct status
jwt_alg_verify(const struct jwk *k, enum jwt_alg alg, struct span msg, struct span sig)
{
	const struct jwt_alg_row *row = &jwt_alg_rows[alg];
	uint8_t der[DER_MAX];
	EVP_MD_CTX *md;
	struct status st;

	if (sig.len != signature_len(k, row))
		return fail(E_CRYPTO);
	if (row->coordinate_len > 0)
		TRY(pair_to_der(sig, der, &sig));
	md = EVP_MD_CTX_new();
	if (md == NULL)
		return fail(E_NOMEM);
	st = verify(md, k, row, msg, sig);
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return st;
}
