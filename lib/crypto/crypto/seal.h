/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

/*
 * Encryption of stored objects: AES-256-GCM under a key of its own per object.
 *	okm = HKDF-SHA-256(data key, salt, "sallyport seal v1"): key 32, nonce 12, commitment 32
 *	blob = version 1 | salt 32 | commitment 32 | ciphertext | tag 16
 * A fresh random salt per object means that no key and nonce pair comes twice;
 * the commitment binds the blob to one data key. `aad` is authenticated, not
 * stored: bind what the object is (tenant, table, row, column).
 */
#include <crypto/secret.h>

#define SEAL_KEY_LEN 32
#define SEAL_SALT_LEN 32
#define SEAL_COMMIT_LEN 32
#define SEAL_TAG_LEN 16
#define SEAL_OVERHEAD (1 + SEAL_SALT_LEN + SEAL_COMMIT_LEN + SEAL_TAG_LEN)
#define SEAL_PLAIN_LEN_MAX (64U << 20) /* bytes */

/* Appends the blob. E_RANGE (key, size), E_FULL, E_NOMEM, E_SYS (random), E_CRYPTO. */
MUST_USE struct status seal(
    const struct secret *key, struct span aad, struct span plain, struct buf *out);
/*
 * Appends the plain text. E_SYNTAX: no blob of ours; E_CRYPTO: wrong key, aad or any
 * changed bit: nothing is appended, and what was decrypted is wiped.
 */
MUST_USE struct status seal_open(
    const struct secret *key, struct span aad, struct span blob, struct buf *out);
/* The same, for a plain text that is itself a secret (wrapped keys). */
MUST_USE struct status seal_open_secret(
    const struct secret *key, struct span aad, struct span blob, struct secret *ret);

#endif
