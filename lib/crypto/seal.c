/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal.c: authenticated encryption of stored objects.
 *
 * Runs in: store, audit, broker (sealed file), CLI (auditor).
 * Trusts: nothing: a blob may come from anybody who can write the disk.
 * Owns: nothing; derived keys live on the stack and are wiped.
 * Invariants: one salt, key and nonce per object; the commitment is compared
 * before anything is decrypted; plain text leaves only after its tag was right.
 * See: crypto/seal.h; NIST SP 800-38D; on commitment: eprint 2020/1456.
 */
#include <crypto/seal.h>

#include <base/rand.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>

#include "fetched.h"

#define SEAL_VERSION 1
#define SEAL_NONCE_LEN 12
#define SEAL_INFO SPAN_LIT("sallyport seal v1")

/* What HKDF gives for one object, in its order. */
struct object_keys {
	uint8_t key[SEAL_KEY_LEN];
	uint8_t nonce[SEAL_NONCE_LEN];
	uint8_t commit[SEAL_COMMIT_LEN];
};

_Static_assert(sizeof(struct object_keys) == SEAL_KEY_LEN + SEAL_NONCE_LEN + SEAL_COMMIT_LEN,
    "HKDF writes the struct as one run of bytes");

static struct status
derive(const struct secret *key, const uint8_t *salt, struct object_keys *ret)
{
	struct span k = secret_borrow(key);

	if (k.len != SEAL_KEY_LEN)
		return fail(E_RANGE);
	return hkdf_sha256(
	    k, span_of(salt, SEAL_SALT_LEN), SEAL_INFO, (uint8_t *)ret, sizeof(*ret));
}

static struct status
gcm_start(EVP_CIPHER_CTX *c, const struct object_keys *k, struct span aad, bool enc)
{
	static const uint8_t version = SEAL_VERSION;
	const struct crypto_fetched *f = crypto_fetched();
	int n;

	if (f == NULL)
		return fail(E_CRYPTO);
	if (aad.len > SEAL_PLAIN_LEN_MAX)
		return fail(E_RANGE);
	TRY(evp_ok(EVP_CipherInit_ex2(c, f->aes256gcm, k->key, k->nonce, enc, NULL)));
	TRY(evp_ok(EVP_CipherUpdate(c, NULL, &n, &version, 1)));
	if (aad.len > 0)
		TRY(evp_ok(EVP_CipherUpdate(c, NULL, &n, aad.ptr, (int)aad.len)));
	return OK;
}

static struct status
encrypt(EVP_CIPHER_CTX *c, const struct object_keys *k, struct span aad, struct span plain,
    uint8_t *out)
{
	uint8_t *tag = out + plain.len;
	int n;

	TRY(gcm_start(c, k, aad, true));
	if (plain.len > 0)
		TRY(evp_ok(EVP_EncryptUpdate(c, out, &n, plain.ptr, (int)plain.len)));
	TRY(evp_ok(EVP_EncryptFinal_ex(c, tag, &n)));
	return evp_ok(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_LEN, tag));
}

/* `body` is ciphertext and tag; `out` has room for the ciphertext's length. */
static struct status
decrypt(
    EVP_CIPHER_CTX *c, const struct object_keys *k, struct span aad, struct span body, uint8_t *out)
{
	size_t len = body.len - SEAL_TAG_LEN;
	uint8_t tag[SEAL_TAG_LEN], none[16];
	int n;

	memcpy(tag, body.ptr + len, sizeof(tag));
	TRY(gcm_start(c, k, aad, false));
	if (len > 0)
		TRY(evp_ok(EVP_DecryptUpdate(c, out, &n, body.ptr, (int)len)));
	TRY(evp_ok(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_LEN, tag)));
	return evp_ok(EVP_DecryptFinal_ex(c, none, &n));
}

/* Writes the blob at `at`, which has room for it. */
static struct status
seal_at(const struct secret *key, struct span aad, struct span plain, uint8_t *at)
{
	uint8_t *salt = at + 1, *commit = salt + SEAL_SALT_LEN;
	EVP_CIPHER_CTX *c;
	struct object_keys k;
	struct status st;

	at[0] = SEAL_VERSION;
	TRY(rand_bytes(salt, SEAL_SALT_LEN));
	TRY(derive(key, salt, &k));
	memcpy(commit, k.commit, SEAL_COMMIT_LEN);
	c = EVP_CIPHER_CTX_new();
	st = c == NULL ? fail(E_NOMEM) : encrypt(c, &k, aad, plain, commit + SEAL_COMMIT_LEN);
	EVP_CIPHER_CTX_free(c);
	explicit_bzero(&k, sizeof(k));
	return st;
}

struct status
seal(const struct secret *key, struct span aad, struct span plain, struct buf *out)
{
	if (plain.len > SEAL_PLAIN_LEN_MAX)
		return fail(E_RANGE);
	TRY(buf_reserve(out, plain.len + SEAL_OVERHEAD));
	TRY(seal_at(key, aad, plain, out->ptr + out->len));
	out->len += plain.len + SEAL_OVERHEAD;
	return OK;
}

/* The length of the plain text in `blob`. */
static struct status
blob_check(struct span blob, size_t *ret_len)
{
	if (blob.len < SEAL_OVERHEAD || blob.len - SEAL_OVERHEAD > SEAL_PLAIN_LEN_MAX ||
	    blob.ptr[0] != SEAL_VERSION)
		return fail(E_SYNTAX);
	*ret_len = blob.len - SEAL_OVERHEAD;
	return OK;
}

/* Writes the plain text at `at`, which has room for it; wiped when it is wrong. */
static struct status
open_at(const struct secret *key, struct span aad, struct span blob, uint8_t *at)
{
	const uint8_t *salt = blob.ptr + 1, *commit = salt + SEAL_SALT_LEN;
	struct span body = span_from(blob, 1 + SEAL_SALT_LEN + SEAL_COMMIT_LEN);
	EVP_CIPHER_CTX *c = NULL;
	struct object_keys k;
	struct status st;

	TRY(derive(key, salt, &k));
	if (!crypto_eq(span_of(commit, SEAL_COMMIT_LEN), span_of(k.commit, SEAL_COMMIT_LEN)))
		st = fail(E_CRYPTO);
	else if ((c = EVP_CIPHER_CTX_new()) == NULL)
		st = fail(E_NOMEM);
	else
		st = decrypt(c, &k, aad, body, at);
	EVP_CIPHER_CTX_free(c);
	explicit_bzero(&k, sizeof(k));
	if (!is_ok(st))
		secret_wipe(at, body.len - SEAL_TAG_LEN);
	return st;
}

struct status
seal_open(const struct secret *key, struct span aad, struct span blob, struct buf *out)
{
	size_t len;

	TRY(blob_check(blob, &len));
	TRY(buf_reserve(out, len));
	TRY(open_at(key, aad, blob, out->ptr + out->len));
	out->len += len;
	return OK;
}

struct status
seal_open_secret(const struct secret *key, struct span aad, struct span blob, struct secret *ret)
{
	auto_secret struct secret s = SECRET_NONE;
	size_t len;

	TRY(blob_check(blob, &len));
	TRY(secret_new(len, &s));
	TRY(open_at(key, aad, blob, s.ptr));
	*ret = secret_take(&s);
	return OK;
}
