/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

/*
 * SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104), HKDF-SHA-256 (RFC 5869).
 * Errors of all: E_CRYPTO, E_NOMEM.
 */
#include <crypto/secret.h>

#define SHA256_LEN 32
#define HKDF_OUT_LEN_MAX 255 /* times SHA256_LEN by the RFC; this is enough here */
#define HKDF_INFO_LEN_MAX 256
#define HMAC_KEY_LEN_MIN 16

MUST_USE struct status sha256(struct span in, uint8_t out[SHA256_LEN]);
/* Over the parts, one after the other. */
MUST_USE struct status sha256_parts(
    const struct span *parts, size_t count, uint8_t out[SHA256_LEN]);

struct sha256_ctx; /* for bytes that come piece by piece */
MUST_USE struct status sha256_new(struct sha256_ctx **ret);
MUST_USE struct status sha256_update(struct sha256_ctx *ctx, struct span in);
/* The hash of all updates; the context is ready for the next message. */
MUST_USE struct status sha256_final(struct sha256_ctx *ctx, uint8_t out[SHA256_LEN]);
void sha256_free(struct sha256_ctx *ctx);

/* A key with both pads hashed in advance; OpenSSL wipes it when freed. */
struct hmac_key;
/* E_RANGE: shorter than HMAC_KEY_LEN_MIN. */
MUST_USE struct status hmac_key_new(struct span key, struct hmac_key **ret);
void hmac_key_free(struct hmac_key *key);
MUST_USE struct status hmac_sha256(struct hmac_key *key, struct span in, uint8_t out[SHA256_LEN]);
MUST_USE struct status hmac_sha256_parts(
    struct hmac_key *key, const struct span *parts, size_t count, uint8_t out[SHA256_LEN]);

/* E_RANGE: an output or info too long. */
MUST_USE struct status hkdf_sha256(
    struct span key, struct span salt, struct span info, uint8_t *out, size_t out_len);

#endif
