/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal_stream.c: authenticated encryption of long objects.
 *
 * Runs in: store, CLI. Trusts: nothing: a stream may come from anybody who can write the disk.
 * Owns: the derived key, in locked memory, and one cipher context keyed with it.
 * Invariants: one salt, so one key, for each stream; no number comes twice; nothing follows the
 * last chunk; plain text leaves only after its tag was right.
 * See: crypto/seal_stream.h; NIST SP 800-38D.
 */
#include <crypto/seal_stream.h>

#include <stdlib.h>

#include <base/rand.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>

#include "fetched.h"

#define STREAM_VERSION 1
#define STREAM_INFO SPAN_LIT("sallyport seal stream v1")
#define PREFIX_LEN 7
#define NONCE_LEN 12

/* What HKDF gives for one stream, in its order. */
struct stream_keys {
	uint8_t key[SEAL_KEY_LEN];
	uint8_t prefix[PREFIX_LEN];
	uint8_t commit[SEAL_COMMIT_LEN];
};
_Static_assert(sizeof(struct stream_keys) == SEAL_KEY_LEN + PREFIX_LEN + SEAL_COMMIT_LEN,
    "HKDF writes the struct as one run of bytes");

struct seal_stream {
	uint8_t head[SEAL_STREAM_HEAD_LEN];
	uint8_t aad[SEAL_STREAM_AAD_MAX];
	size_t aad_len;
	uint8_t prefix[PREFIX_LEN];
	EVP_CIPHER_CTX *cipher;
	uint32_t next;
	bool encrypts, over;
};

/* The context keeps the key; only the nonce changes from chunk to chunk. */
static struct status
cipher_new(struct seal_stream *s, const struct stream_keys *k)
{
	const struct crypto_fetched *f = crypto_fetched();

	if (f == NULL)
		return fail(E_CRYPTO);
	s->cipher = EVP_CIPHER_CTX_new();
	if (s->cipher == NULL)
		return fail(E_NOMEM);
	memcpy(s->prefix, k->prefix, PREFIX_LEN);
	return evp_ok(EVP_CipherInit_ex2(s->cipher, f->aes256gcm, k->key, NULL, s->encrypts, NULL));
}

/* Head and keys; of a stream that is there, the commitment must be the key's. */
static struct status
start(struct seal_stream *s, const struct secret *key, struct span aad)
{
	uint8_t *salt = s->head + 1, *commit = salt + SEAL_SALT_LEN;
	struct span k = secret_borrow(key);
	struct stream_keys keys;
	struct status st;

	if (k.len != SEAL_KEY_LEN || aad.len > SEAL_STREAM_AAD_MAX)
		return fail(E_RANGE);
	if (aad.len > 0)
		memcpy(s->aad, aad.ptr, aad.len);
	s->aad_len = aad.len;
	st = hkdf_sha256(
	    k, span_of(salt, SEAL_SALT_LEN), STREAM_INFO, (uint8_t *)&keys, sizeof(keys));
	if (is_ok(st) && s->encrypts)
		memcpy(commit, keys.commit, SEAL_COMMIT_LEN);
	if (is_ok(st) &&
	    !crypto_eq(span_of(commit, SEAL_COMMIT_LEN), span_of(keys.commit, SEAL_COMMIT_LEN)))
		st = fail(E_CRYPTO);
	if (is_ok(st))
		st = cipher_new(s, &keys);
	explicit_bzero(&keys, sizeof(keys));
	return st;
}

static struct status
stream_new(const struct secret *key, struct span aad, struct span head, struct seal_stream **ret)
{
	struct seal_stream *s = calloc(1, sizeof(*s));
	struct status st = OK;

	if (s == NULL)
		return fail(E_NOMEM);
	s->encrypts = head.len == 0;
	s->head[0] = STREAM_VERSION;
	if (s->encrypts)
		st = rand_bytes(s->head + 1, SEAL_SALT_LEN);
	else
		memcpy(s->head, head.ptr, sizeof(s->head));
	if (is_ok(st))
		st = start(s, key, aad);
	if (!is_ok(st)) {
		seal_stream_free(s);
		return st;
	}
	*ret = s;
	return OK;
}

struct status
seal_stream_new(const struct secret *key, struct span aad, struct seal_stream **ret)
{
	return stream_new(key, aad, SPAN_EMPTY, ret);
}

struct status
seal_stream_open(
    const struct secret *key, struct span aad, struct span head, struct seal_stream **ret)
{
	if (head.len != SEAL_STREAM_HEAD_LEN || head.ptr[0] != STREAM_VERSION)
		return fail(E_SYNTAX);
	return stream_new(key, aad, head, ret);
}

void
seal_stream_free(struct seal_stream *s)
{
	if (s == NULL)
		return;
	EVP_CIPHER_CTX_free(s->cipher); /* OpenSSL wipes the key */
	explicit_bzero(s, sizeof(*s));
	free(s);
}

struct span
seal_stream_head(const struct seal_stream *s)
{
	return span_of(s->head, sizeof(s->head));
}

static struct status
chunk_start(struct seal_stream *s, bool last)
{
	uint8_t nonce[NONCE_LEN];
	int n;

	if (s->over)
		return fail(E_PROTO);
	if (s->next == SEAL_STREAM_CHUNKS_MAX)
		return fail(E_FULL);
	memcpy(nonce, s->prefix, PREFIX_LEN);
	for (size_t i = 0; i < 4; i++)
		nonce[PREFIX_LEN + i] = (uint8_t)(s->next >> (24 - 8 * i));
	nonce[NONCE_LEN - 1] = last ? 1 : 0;
	TRY(evp_ok(EVP_CipherInit_ex2(s->cipher, NULL, NULL, nonce, s->encrypts, NULL)));
	TRY(evp_ok(EVP_CipherUpdate(s->cipher, NULL, &n, s->head, 1)));
	if (s->aad_len > 0)
		TRY(evp_ok(EVP_CipherUpdate(s->cipher, NULL, &n, s->aad, (int)s->aad_len)));
	return OK;
}

static bool
len_ok(size_t plain_len, bool last)
{
	return last ? plain_len <= SEAL_CHUNK_LEN : plain_len == SEAL_CHUNK_LEN;
}

static struct status
encrypt(struct seal_stream *s, struct span plain, uint8_t *out)
{
	uint8_t *tag = out + plain.len;
	int n;

	if (plain.len > 0)
		TRY(evp_ok(EVP_EncryptUpdate(s->cipher, out, &n, plain.ptr, (int)plain.len)));
	TRY(evp_ok(EVP_EncryptFinal_ex(s->cipher, tag, &n)));
	return evp_ok(EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_LEN, tag));
}

struct status
seal_stream_put(struct seal_stream *s, struct span plain, bool last, struct buf *out)
{
	if (!s->encrypts || !len_ok(plain.len, last))
		return fail(E_RANGE);
	TRY(buf_reserve(out, plain.len + SEAL_TAG_LEN));
	TRY(chunk_start(s, last));
	TRY(encrypt(s, plain, out->ptr + out->len));
	out->len += plain.len + SEAL_TAG_LEN;
	s->next++;
	s->over = last;
	return OK;
}

static struct status
decrypt(struct seal_stream *s, struct span chunk, uint8_t *out)
{
	size_t len = chunk.len - SEAL_TAG_LEN;
	uint8_t tag[SEAL_TAG_LEN], none[16];
	int n;

	memcpy(tag, chunk.ptr + len, sizeof(tag));
	if (len > 0)
		TRY(evp_ok(EVP_DecryptUpdate(s->cipher, out, &n, chunk.ptr, (int)len)));
	TRY(evp_ok(EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_LEN, tag)));
	return evp_ok(EVP_DecryptFinal_ex(s->cipher, none, &n));
}

struct status
seal_stream_get(struct seal_stream *s, struct span chunk, bool last, struct buf *out)
{
	struct status st;
	size_t len;

	if (s->encrypts || chunk.len < SEAL_TAG_LEN || !len_ok(chunk.len - SEAL_TAG_LEN, last))
		return fail(E_CRYPTO);
	len = chunk.len - SEAL_TAG_LEN;
	TRY(buf_reserve(out, len + 1));
	TRY(chunk_start(s, last));
	st = decrypt(s, chunk, out->ptr + out->len);
	if (!is_ok(st)) {
		secret_wipe(out->ptr + out->len, len);
		s->over = true;
		return st;
	}
	out->len += len;
	s->next++;
	s->over = last;
	return OK;
}
