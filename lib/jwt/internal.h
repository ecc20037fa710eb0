/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JWT_INTERNAL_H
#define JWT_INTERNAL_H

/* What the files of lib/jwt share. */
#include <json/json.h>
#include <jwt/jwt.h>
#include <openssl/evp.h>

/* What a key is: it decides which algorithms are possible at all. */
enum jwk_family {
	JWK_RSA,
	JWK_P256,
	JWK_P384,
	JWK_P521,
	JWK_ED25519,
};

struct jwt_alg_row {
	const char *name;
	enum jwk_family family;
	const char *digest; /* NULL: within the algorithm */
	bool pss;
	size_t coordinate_len; /* of r and s; 0: no pair */
};
extern const struct jwt_alg_row jwt_alg_rows[JWT_ALG_COUNT];

struct jwk {
	EVP_PKEY *pkey;
	uint32_t algs;     /* that it could verify: one where it names one */
	uint32_t fallback; /* the one for which it stands where nothing else is said */
	bool has_kid;
	bool ambiguous; /* another has its kid: neither is meant by it */
	size_t kid_len;
	uint8_t kid[JWK_KID_MAX];
};

struct jwks {
	size_t count, skipped;
	struct jwk keys[JWKS_KEYS_MAX];
};

/* jwk.c: the entry `tok`. E_SYNTAX, E_RANGE, E_UNSUPPORTED, E_CRYPTO, E_NOMEM. Owner: jwk_done().
 */
MUST_USE struct status jwk_parse(const struct json_doc *d, uint32_t tok, struct jwk *ret);
void jwk_done(struct jwk *k);

/* jwks.c: the key that is meant, may it have that algorithm or not; NULL: none. */
const struct jwk *jwks_find(const struct jwks *k, const struct jws *s, uint32_t algs);
/* May this key verify that algorithm, where a policy names `algs` (0: it names none)? */
bool jwk_allows(const struct jwk *k, enum jwt_alg alg, uint32_t algs);

/* alg.c: is `sig` this key's over `msg`? E_CRYPTO, E_NOMEM. */
MUST_USE struct status jwt_alg_verify(
    const struct jwk *k, enum jwt_alg alg, struct span msg, struct span sig);

#endif
