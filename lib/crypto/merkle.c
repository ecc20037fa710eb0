/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merkle.c: the head of an append-only Merkle tree.
 *
 * Runs in: audit, CLI (audit verify). Trusts: nothing.
 * Owns: nothing beyond the caller's struct merkle.
 * Invariants: depth == popcount(size); stack[0] covers the largest perfect
 * subtree, the last one the smallest.
 * See: crypto/merkle.h; RFC 6962 §2.1.
 */
#include <crypto/merkle.h>

#define LEAF_PREFIX SPAN_LIT("\x00")
#define NODE_PREFIX SPAN_LIT("\x01")

struct status
merkle_leaf_hash(struct span entry, uint8_t out[SHA256_LEN])
{
	const struct span parts[] = { LEAF_PREFIX, entry };

	return sha256_parts(parts, 2, out);
}

struct status
merkle_node_hash(
    const uint8_t left[SHA256_LEN], const uint8_t right[SHA256_LEN], uint8_t out[SHA256_LEN])
{
	const struct span parts[] = { NODE_PREFIX, span_of(left, SHA256_LEN),
		span_of(right, SHA256_LEN) };

	return sha256_parts(parts, 3, out);
}

/* Like adding one in binary: each carry joins two equal subtrees. */
struct status
merkle_append_hash(struct merkle *m, const uint8_t leaf[SHA256_LEN])
{
	uint8_t h[SHA256_LEN];
	size_t depth = m->depth;

	if (m->size >= (UINT64_C(1) << 63) - 1)
		return fail(E_RANGE);
	memcpy(h, leaf, SHA256_LEN);
	for (uint64_t bits = m->size; (bits & 1) != 0; bits >>= 1) {
		TRY(merkle_node_hash(m->stack[depth - 1], h, h));
		depth--;
	}
	memcpy(m->stack[depth], h, SHA256_LEN);
	m->depth = depth + 1;
	m->size++;
	return OK;
}

struct status
merkle_append(struct merkle *m, struct span entry)
{
	uint8_t leaf[SHA256_LEN];

	TRY(merkle_leaf_hash(entry, leaf));
	return merkle_append_hash(m, leaf);
}

struct status
merkle_root(const struct merkle *m, uint8_t out[SHA256_LEN])
{
	uint8_t h[SHA256_LEN];

	if (m->depth == 0)
		return sha256(SPAN_EMPTY, out);
	memcpy(h, m->stack[m->depth - 1], SHA256_LEN);
	for (size_t i = m->depth - 1; i > 0; i--)
		TRY(merkle_node_hash(m->stack[i - 1], h, h));
	memcpy(out, h, SHA256_LEN);
	return OK;
}
