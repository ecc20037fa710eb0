/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JWT_ISSUE_H
#define JWT_ISSUE_H

/*
 * Tokens of our own: EdDSA with Ed25519 (RFC 8037), and the public keys that others verify them by.
 */
#include <crypto/sign.h>
#include <json/write.h>
#include <jwt/jwt.h>

#define JWT_THUMBPRINT_LEN 43 /* base64url of SHA-256 */

/* RFC 7638, of a public key: our `kid`. E_CRYPTO, E_NOMEM. */
MUST_USE struct status jwk_thumbprint(
    const uint8_t public_key[ED25519_KEY_LEN], char ret[JWT_THUMBPRINT_LEN + 1]);
/*
 * Append the token. `claims` is a JSON object as json/write.h makes it, `typ` "JWT" or "at+jwt".
 * E_RANGE: it would be longer than JWT_LEN_MAX. E_FULL, E_NOMEM, E_CRYPTO.
 */
MUST_USE struct status jwt_sign(
    struct span claims, const char *typ, const struct sign_key *key, struct buf *out);
/* Append a JWK Set of these keys, each with its thumbprint. E_FULL, E_NOMEM, E_CRYPTO. */
MUST_USE struct status jwks_put(
    const uint8_t (*public_keys)[ED25519_KEY_LEN], size_t count, struct buf *out);

#endif
