/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_SIGN_H
#define CRYPTO_SIGN_H

/*
 * Ed25519 (RFC 8032) with raw keys of 32 bytes.
 */
#include <crypto/secret.h>

#define ED25519_KEY_LEN 32
#define ED25519_SIG_LEN 64

struct sign_key; /* private */

/* A fresh private key (32 bytes): store it, then sign_key_new(). */
MUST_USE struct status sign_key_generate(struct secret *ret);
/* E_RANGE: not 32 bytes. E_CRYPTO, E_NOMEM. Owner: sign_key_free(). */
MUST_USE struct status sign_key_new(const struct secret *raw, struct sign_key **ret);
void sign_key_free(struct sign_key *key);
void sign_key_public(const struct sign_key *key, uint8_t out[ED25519_KEY_LEN]);

MUST_USE struct status ed25519_sign(
    const struct sign_key *key, struct span msg, uint8_t sig[ED25519_SIG_LEN]);
/* OK or E_CRYPTO: the signature is not this key's over this message. */
MUST_USE struct status ed25519_verify(
    const uint8_t public_key[ED25519_KEY_LEN], struct span msg, const uint8_t sig[ED25519_SIG_LEN]);

#endif
