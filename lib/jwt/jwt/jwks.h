/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JWT_JWKS_H
#define JWT_JWKS_H

/*
 * Public keys of an issuer (RFC 7517, 7518 §6, 8037): RSA of 2048 to 8192 bits with an odd
 * exponent of at least 65537, EC on P-256, P-384 and P-521 (the point is checked), Ed25519.
 *
 * An entry that is none of these, is not for signatures, holds a private or symmetric key, or
 * shares its `kid` with another is skipped and counted; the others stand. `x5u`, `x5c` and all
 * members that are not named here are ignored: nothing is ever fetched for a key.
 */
#include <stdint.h>

#include <base/span.h>

#define JWKS_LEN_MAX 65536 /* bytes of a document */
#define JWKS_KEYS_MAX 64
#define JWK_KID_MAX 256
#define JWK_RSA_BITS_MIN 2048
#define JWK_RSA_BITS_MAX 8192
#define JWK_RSA_EXPONENT_BYTES_MAX 8 /* a long exponent is work, and no strength */

/* What a token may be signed with. There is no `none` and no HMAC. */
enum jwt_alg {
	JWT_RS256,
	JWT_RS384,
	JWT_RS512,
	JWT_PS256,
	JWT_PS384,
	JWT_PS512,
	JWT_ES256,
	JWT_ES384,
	JWT_ES512,
	JWT_EDDSA,
	JWT_ALG_COUNT,
};
#define JWT_ALG_BIT(alg) (1U << (alg))

/* E_NOTFOUND: none of these; the comparison is exact. */
MUST_USE struct status jwt_alg_find(struct span name, enum jwt_alg *ret);
const char *jwt_alg_name(enum jwt_alg alg);

struct jwks; /* private */

/*
 * Owner: the caller, jwks_free(). A document without one usable key is OK and empty.
 * Errors: E_RANGE (size, more than JWKS_KEYS_MAX entries), E_SYNTAX (no JWK Set), E_EXISTS (a
 * member twice), E_NOMEM.
 */
MUST_USE struct status jwks_parse(struct span text, struct jwks **ret);
void jwks_free(struct jwks *k);            /* NULL is fine */
size_t jwks_count(const struct jwks *k);   /* keys that can verify */
size_t jwks_skipped(const struct jwks *k); /* entries that were not taken */

#endif
