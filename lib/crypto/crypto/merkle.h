/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_MERKLE_H
#define CRYPTO_MERKLE_H

/*
 * Head of an RFC 6962 Merkle tree: only the right edge is kept, one hash per
 * set bit of the size. leaf = SHA-256(0x00 entry), node = SHA-256(0x01 l r).
 */
#include <crypto/hash.h>

#define MERKLE_LEVELS 64

struct merkle {
	uint64_t size; /* leaves */
	size_t depth;  /* hashes on the stack */
	uint8_t stack[MERKLE_LEVELS][SHA256_LEN];
};

#define MERKLE_INIT ((struct merkle){ 0 })

MUST_USE struct status merkle_leaf_hash(struct span entry, uint8_t out[SHA256_LEN]);
MUST_USE struct status merkle_node_hash(
    const uint8_t left[SHA256_LEN], const uint8_t right[SHA256_LEN], uint8_t out[SHA256_LEN]);

/* E_RANGE: 2^63 leaves. A failed call leaves the tree as it was. */
MUST_USE struct status merkle_append_hash(struct merkle *m, const uint8_t leaf[SHA256_LEN]);
MUST_USE struct status merkle_append(struct merkle *m, struct span entry);
/* The root of no leaves is SHA-256 of nothing. */
MUST_USE struct status merkle_root(const struct merkle *m, uint8_t out[SHA256_LEN]);

#endif
