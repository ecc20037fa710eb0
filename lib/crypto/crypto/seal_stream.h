/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_SEAL_STREAM_H
#define CRYPTO_SEAL_STREAM_H

/*
 * Encryption of long objects, piece by piece: AES-256-GCM in the STREAM construction.
 *	okm = HKDF-SHA-256(key, salt, "sallyport seal stream v1"): key 32, prefix 7, commitment 32
 *	stream = version 1 | salt 32 | commitment 32 | chunk… ; a chunk = ciphertext | tag 16
 *	nonce of a chunk = prefix 7 | number 4, big-endian | 1 for the last one, else 0
 * All chunks but the last are SEAL_CHUNK_LEN bytes in plain; the last one may be shorter, or
 * empty. So a stream that was cut, reordered, doubled or made longer does not open. `aad` is
 * authenticated with every chunk, not stored.
 * See: Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption (2015), STREAM.
 */
#include <crypto/seal.h>

#define SEAL_CHUNK_LEN 65536U
#define SEAL_STREAM_HEAD_LEN (1 + SEAL_SALT_LEN + SEAL_COMMIT_LEN)
#define SEAL_STREAM_AAD_MAX 1024
#define SEAL_STREAM_CHUNKS_MAX (1U << 31)

struct seal_stream;

/* Owner: seal_stream_free(). E_RANGE (key, aad), E_NOMEM, E_CRYPTO, E_SYS (random). */
MUST_USE struct status seal_stream_new(
    const struct secret *key, struct span aad, struct seal_stream **ret);
/* `head` are the first SEAL_STREAM_HEAD_LEN bytes. E_SYNTAX: none of ours; E_CRYPTO: wrong key. */
MUST_USE struct status seal_stream_open(
    const struct secret *key, struct span aad, struct span head, struct seal_stream **ret);
void seal_stream_free(struct seal_stream *s); /* wipes; NULL is fine */

/* To be written before all chunks. Valid as long as the stream. */
struct span seal_stream_head(const struct seal_stream *s);
/*
 * The next chunk: exactly SEAL_CHUNK_LEN bytes of `plain`, or at most that for the last one.
 * Appends ciphertext and tag. E_RANGE (length), E_PROTO (after the last one), E_FULL (too many).
 */
MUST_USE struct status seal_stream_put(
    struct seal_stream *s, struct span plain, bool last, struct buf *out);
/*
 * The next chunk as it was written, with its tag; the caller knows which is the last one by the
 * end of what it reads. Appends the plain text, or on E_CRYPTO (changed, cut, moved) nothing.
 */
MUST_USE struct status seal_stream_get(
    struct seal_stream *s, struct span chunk, bool last, struct buf *out);

#endif
