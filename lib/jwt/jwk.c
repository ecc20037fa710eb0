/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwk.c: one public key of a JWK Set.
 *
 * Runs in: authority. Trusts: nothing in the document.
 * Owns: the EVP_PKEY of each key.
 * Invariants: a key that is taken is public, for signatures, strong enough, a point of its curve,
 * and has at least one algorithm.
 * See: jwt/jwks.h; RFC 7517 §4, RFC 7518 §6, RFC 8037 §2.
 */
#include "internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include <base/cleanup.h>
#include <base/encode.h>

#define NUMBER_MAX (JWK_RSA_BITS_MAX / 8)
#define COORDINATE_MAX 66
#define ED25519_LEN 32
#define TEXT_MAX 16384 /* decoded members of one key */

typedef struct status make_fn(
    const struct json_doc *d, uint32_t tok, size_t len, const char *group, EVP_PKEY **ret);
static make_fn make_rsa, make_ec, make_ed25519;

/* `kty` with its `crv`. */
static const struct {
	const char *kty, *curve;
	enum jwk_family family;
	make_fn *make;
	size_t len; /* of a coordinate */
	const char *group;
} kinds[] = {
	{ "RSA", NULL, JWK_RSA, make_rsa, 0, NULL },
	{ "EC", "P-256", JWK_P256, make_ec, 32, "prime256v1" },
	{ "EC", "P-384", JWK_P384, make_ec, 48, "secp384r1" },
	{ "EC", "P-521", JWK_P521, make_ec, COORDINATE_MAX, "secp521r1" },
	{ "OKP", "Ed25519", JWK_ED25519, make_ed25519, ED25519_LEN, NULL },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Of private and of symmetric keys: who publishes one has lost it. */
static const char *const private_members[] = { "d", "p", "q", "dp", "dq", "qi", "oth", "k" };

/* ---- numbers ---- */

/* The bytes of a base64url member into `out`, which has room for `max`. */
static struct status
member_bytes(
    const struct json_doc *d, uint32_t tok, const char *name, uint8_t *out, size_t max, size_t *ret)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX), raw = BUF_INIT(TEXT_MAX);

	TRY(json_str_put(d, json_get_str(d, tok, name), &text));
	TRY(base64url_decode(buf_span(&text), &raw));
	if (raw.len == 0 || raw.len > max)
		return fail(E_RANGE);
	memcpy(out, raw.ptr, raw.len);
	*ret = raw.len;
	return OK;
}

/* A positive number in as few bytes as it needs (RFC 7518 §2). */
static struct status
member_number(
    const struct json_doc *d, uint32_t tok, const char *name, size_t len_max, BIGNUM **ret)
{
	uint8_t bytes[NUMBER_MAX];
	size_t len;

	TRY(member_bytes(d, tok, name, bytes, len_max, &len));
	if (bytes[0] == 0)
		return fail(E_SYNTAX);
	*ret = BN_bin2bn(bytes, (int)len, NULL);
	return *ret == NULL ? fail(E_NOMEM) : OK;
}

/* ---- keys ---- */

static struct status
from_params(const char *type, OSSL_PARAM_BLD *bld, EVP_PKEY **ret)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	struct status st = fail(E_CRYPTO);

	if (params == NULL || ctx == NULL)
		st = fail(E_NOMEM);
	else if (EVP_PKEY_fromdata_init(ctx) == 1 &&
		 EVP_PKEY_fromdata(ctx, ret, EVP_PKEY_PUBLIC_KEY, params) == 1)
		st = OK;
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	return st;
}

static struct status
rsa_from(const BIGNUM *n, const BIGNUM *e, EVP_PKEY **ret)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	struct status st = fail(E_NOMEM);

	if (bld != NULL && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		st = from_params("RSA", bld, ret);
	OSSL_PARAM_BLD_free(bld);
	return st;
}

static bool
rsa_is_strong(const BIGNUM *n, const BIGNUM *e)
{
	int bits = BN_num_bits(n);

	return bits >= JWK_RSA_BITS_MIN && bits <= JWK_RSA_BITS_MAX && BN_is_odd(n) &&
	       BN_is_odd(e) && BN_get_word(e) >= 65537;
}

static struct status
make_rsa(const struct json_doc *d, uint32_t tok, size_t len, const char *group, EVP_PKEY **ret)
{
	BIGNUM *n = NULL, *e = NULL;
	struct status st = member_number(d, tok, "n", NUMBER_MAX, &n);

	(void)len, (void)group;
	if (is_ok(st))
		st = member_number(d, tok, "e", JWK_RSA_EXPONENT_BYTES_MAX, &e);
	if (is_ok(st))
		st = rsa_is_strong(n, e) ? rsa_from(n, e, ret) : fail(E_RANGE);
	BN_free(n);
	BN_free(e);
	return st;
}

/* OpenSSL takes no point that is not on the curve; this asks once more, for the whole key. */
static struct status
check_public(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	struct status st;

	if (ctx == NULL)
		return fail(E_NOMEM);
	st = EVP_PKEY_public_check(ctx) == 1 ? OK : fail(E_CRYPTO);
	EVP_PKEY_CTX_free(ctx);
	return st;
}

static struct status
ec_from(struct span point, const char *group, EVP_PKEY **ret)
{
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	struct status st = fail(E_NOMEM);

	if (bld != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.ptr, point.len) ==
		1)
		st = from_params("EC", bld, ret);
	OSSL_PARAM_BLD_free(bld);
	return st;
}

static struct status
make_ec(const struct json_doc *d, uint32_t tok, size_t len, const char *group, EVP_PKEY **ret)
{
	uint8_t point[1 + 2 * COORDINATE_MAX] = { 4 }; /* uncompressed */
	size_t x, y;
	struct status st;

	TRY(member_bytes(d, tok, "x", point + 1, len, &x));
	TRY(member_bytes(d, tok, "y", point + 1 + len, len, &y));
	if (x != len || y != len)
		return fail(E_SYNTAX);
	TRY(ec_from(span_of(point, 1 + 2 * len), group, ret));
	st = check_public(*ret);
	if (!is_ok(st)) {
		EVP_PKEY_free(*ret);
		*ret = NULL;
	}
	return st;
}

static struct status
make_ed25519(const struct json_doc *d, uint32_t tok, size_t len, const char *group, EVP_PKEY **ret)
{
	uint8_t x[ED25519_LEN];
	size_t got;

	(void)group;
	TRY(member_bytes(d, tok, "x", x, sizeof(x), &got));
	if (got != len)
		return fail(E_SYNTAX);
	*ret = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, len);
	return *ret == NULL ? fail(E_CRYPTO) : OK;
}

/* ---- what it is for ---- */

static bool
is_absent(const struct json_doc *d, uint32_t tok)
{
	return json_type(d, tok) == JSON_ABSENT;
}

static bool
has_private_part(const struct json_doc *d, uint32_t tok)
{
	for (size_t i = 0; i < sizeof(private_members) / sizeof(private_members[0]); i++) {
		if (!is_absent(d, json_get_str(d, tok, private_members[i])))
			return true;
	}
	return false;
}

/* `use` and `key_ops`, where they are there. */
static bool
may_verify(const struct json_doc *d, uint32_t tok)
{
	uint32_t use = json_get_str(d, tok, "use"), ops = json_get_str(d, tok, "key_ops");
	struct json_iter it = json_iter(d, ops);

	if (!is_absent(d, use) && !json_str_eq_str(d, use, "sig"))
		return false;
	if (is_absent(d, ops))
		return true;
	if (json_type(d, ops) != JSON_ARRAY)
		return false;
	while (json_next(&it)) {
		if (json_str_eq_str(d, it.val, "verify"))
			return true;
	}
	return false;
}

static uint32_t
algs_of(enum jwk_family family)
{
	uint32_t algs = 0;

	for (unsigned i = 0; i < JWT_ALG_COUNT; i++)
		algs |= jwt_alg_rows[i].family == family ? JWT_ALG_BIT(i) : 0;
	return algs;
}

/* The key's own `alg`, or what its kind leaves open: of RSA, RS256 unless a policy says other. */
static struct status
read_algs(const struct json_doc *d, uint32_t tok, enum jwk_family family, struct jwk *k)
{
	uint32_t alg = json_get_str(d, tok, "alg");

	k->algs = algs_of(family);
	k->fallback = family == JWK_RSA ? JWT_ALG_BIT(JWT_RS256) : k->algs;
	if (is_absent(d, alg))
		return OK;
	for (unsigned i = 0; i < JWT_ALG_COUNT; i++) {
		if (json_str_eq_str(d, alg, jwt_alg_rows[i].name)) {
			k->algs &= JWT_ALG_BIT(i);
			k->fallback = k->algs;
			return k->algs == 0 ? fail(E_UNSUPPORTED) : OK;
		}
	}
	return fail(E_UNSUPPORTED);
}

static struct status
read_kid(const struct json_doc *d, uint32_t tok, struct jwk *k)
{
	auto_buf struct buf text = BUF_INIT(JWK_KID_MAX);
	uint32_t kid = json_get_str(d, tok, "kid");

	if (is_absent(d, kid))
		return OK;
	TRY(json_str_put(d, kid, &text));
	if (text.len == 0)
		return fail(E_SYNTAX);
	memcpy(k->kid, text.ptr, text.len);
	k->kid_len = text.len;
	k->has_kid = true;
	return OK;
}

static struct status
find_kind(const struct json_doc *d, uint32_t tok, size_t *ret)
{
	uint32_t kty = json_get_str(d, tok, "kty"), curve = json_get_str(d, tok, "crv");

	for (size_t i = 0; i < KINDS; i++) {
		if (json_str_eq_str(d, kty, kinds[i].kty) &&
		    (kinds[i].curve == NULL || json_str_eq_str(d, curve, kinds[i].curve))) {
			*ret = i;
			return OK;
		}
	}
	return fail(E_UNSUPPORTED);
}

struct status
jwk_parse(const struct json_doc *d, uint32_t tok, struct jwk *ret)
{
	struct jwk k = { 0 };
	size_t kind;
	struct status st;

	if (json_type(d, tok) != JSON_OBJECT)
		return fail(E_SYNTAX);
	if (has_private_part(d, tok) || !may_verify(d, tok))
		return fail(E_UNSUPPORTED);
	TRY(find_kind(d, tok, &kind));
	TRY(read_algs(d, tok, kinds[kind].family, &k));
	TRY(read_kid(d, tok, &k));
	st = kinds[kind].make(d, tok, kinds[kind].len, kinds[kind].group, &k.pkey);
	ERR_clear_error();
	if (is_ok(st))
		*ret = k;
	return st;
}

void
jwk_done(struct jwk *k)
{
	EVP_PKEY_free(k->pkey);
	*k = (struct jwk){ 0 };
}
