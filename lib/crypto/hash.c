/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash.c: SHA-256, HMAC and HKDF over EVP.
 *
 * Runs in: every process that hashes. Trusts: nothing.
 * Owns: contexts behind sha256_ctx and hmac_key; OpenSSL wipes them when freed.
 * Invariants: the shared contexts of fetched.h are idle between calls; key
 * material on the stack is wiped before a return.
 * See: crypto/hash.h; RFC 2104, RFC 5869.
 */
#include <crypto/hash.h>

#include <stdlib.h>

#include "fetched.h"

#define SHA256_BLOCK_LEN 64

struct sha256_ctx {
	EVP_MD_CTX *md;
};

struct hmac_key {
	EVP_MD_CTX *inner;
	EVP_MD_CTX *outer;
};

static struct status
md_start(EVP_MD_CTX *md)
{
	const struct crypto_fetched *f = crypto_fetched();

	if (f == NULL)
		return fail(E_CRYPTO);
	return evp_ok(EVP_DigestInit_ex2(md, f->sha256, NULL));
}

static struct status
md_update(EVP_MD_CTX *md, const struct span *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		TRY(evp_ok(EVP_DigestUpdate(md, parts[i].ptr, parts[i].len)));
	return OK;
}

struct status
sha256_parts(const struct span *parts, size_t count, uint8_t out[SHA256_LEN])
{
	const struct crypto_fetched *f = crypto_fetched();

	if (f == NULL)
		return fail(E_CRYPTO);
	TRY(md_start(f->md));
	TRY(md_update(f->md, parts, count));
	return evp_ok(EVP_DigestFinal_ex(f->md, out, NULL));
}

struct status
sha256(struct span in, uint8_t out[SHA256_LEN])
{
	return sha256_parts(&in, 1, out);
}

struct status
sha256_new(struct sha256_ctx **ret)
{
	struct sha256_ctx *ctx = calloc(1, sizeof(*ctx));
	struct status st;

	if (ctx == NULL)
		return fail(E_NOMEM);
	ctx->md = EVP_MD_CTX_new();
	st = ctx->md == NULL ? fail(E_NOMEM) : md_start(ctx->md);
	if (!is_ok(st)) {
		sha256_free(ctx);
		return st;
	}
	*ret = ctx;
	return OK;
}

struct status
sha256_update(struct sha256_ctx *ctx, struct span in)
{
	return md_update(ctx->md, &in, 1);
}

struct status
sha256_final(struct sha256_ctx *ctx, uint8_t out[SHA256_LEN])
{
	TRY(evp_ok(EVP_DigestFinal_ex(ctx->md, out, NULL)));
	return md_start(ctx->md);
}

void
sha256_free(struct sha256_ctx *ctx)
{
	if (ctx == NULL)
		return;
	EVP_MD_CTX_free(ctx->md);
	free(ctx);
}

/* A context that has hashed the key with `pad` over it. */
static struct status
pad_new(const uint8_t block[SHA256_BLOCK_LEN], uint8_t pad, EVP_MD_CTX **ret)
{
	uint8_t padded[SHA256_BLOCK_LEN];
	struct span all = span_of(padded, sizeof(padded));
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct status st;

	if (md == NULL)
		return fail(E_NOMEM);
	for (size_t i = 0; i < sizeof(padded); i++)
		padded[i] = block[i] ^ pad;
	st = md_start(md);
	if (is_ok(st))
		st = md_update(md, &all, 1);
	explicit_bzero(padded, sizeof(padded));
	if (!is_ok(st)) {
		EVP_MD_CTX_free(md);
		return st;
	}
	*ret = md;
	return OK;
}

/* Any length: RFC 2104 itself has no minimum (HKDF's salt may be empty). */
static struct status
hmac_key_any(struct span key, struct hmac_key **ret)
{
	uint8_t block[SHA256_BLOCK_LEN] = { 0 };
	struct hmac_key *k = calloc(1, sizeof(*k));
	struct status st = OK;

	if (k == NULL)
		return fail(E_NOMEM);
	if (key.len > sizeof(block))
		st = sha256(key, block);
	else if (key.len > 0)
		memcpy(block, key.ptr, key.len);
	if (is_ok(st))
		st = pad_new(block, 0x36, &k->inner);
	if (is_ok(st))
		st = pad_new(block, 0x5c, &k->outer);
	explicit_bzero(block, sizeof(block));
	if (!is_ok(st)) {
		hmac_key_free(k);
		return st;
	}
	*ret = k;
	return OK;
}

struct status
hmac_key_new(struct span key, struct hmac_key **ret)
{
	if (key.len < HMAC_KEY_LEN_MIN)
		return fail(E_RANGE);
	return hmac_key_any(key, ret);
}

void
hmac_key_free(struct hmac_key *key)
{
	if (key == NULL)
		return;
	EVP_MD_CTX_free(key->inner);
	EVP_MD_CTX_free(key->outer);
	free(key);
}

struct status
hmac_sha256_parts(
    struct hmac_key *key, const struct span *parts, size_t count, uint8_t out[SHA256_LEN])
{
	const struct crypto_fetched *f = crypto_fetched();
	uint8_t inner[SHA256_LEN];
	struct span in = span_of(inner, sizeof(inner));

	if (f == NULL)
		return fail(E_CRYPTO);
	TRY(evp_ok(EVP_MD_CTX_copy_ex(f->scratch, key->inner)));
	TRY(md_update(f->scratch, parts, count));
	TRY(evp_ok(EVP_DigestFinal_ex(f->scratch, inner, NULL)));
	TRY(evp_ok(EVP_MD_CTX_copy_ex(f->scratch, key->outer)));
	TRY(md_update(f->scratch, &in, 1));
	return evp_ok(EVP_DigestFinal_ex(f->scratch, out, NULL));
}

struct status
hmac_sha256(struct hmac_key *key, struct span in, uint8_t out[SHA256_LEN])
{
	return hmac_sha256_parts(key, &in, 1, out);
}

/* RFC 5869 §2.2: the key for the expansion. */
static struct status
hkdf_extract(struct span key, struct span salt, struct hmac_key **ret)
{
	uint8_t prk[SHA256_LEN] = { 0 };
	struct hmac_key *k = NULL;
	struct status st;

	TRY(hmac_key_any(salt, &k));
	st = hmac_sha256(k, key, prk);
	hmac_key_free(k);
	if (is_ok(st))
		st = hmac_key_any(span_of(prk, sizeof(prk)), ret);
	explicit_bzero(prk, sizeof(prk));
	return st;
}

/* RFC 5869 §2.3: T(n) = HMAC(prk, T(n-1) | info | n). */
static struct status
hkdf_expand(struct hmac_key *prk, struct span info, uint8_t *out, size_t out_len)
{
	uint8_t block[SHA256_LEN];
	struct span parts[3] = { SPAN_EMPTY, info, SPAN_EMPTY };
	struct status st = OK;
	uint8_t n = 0;

	for (size_t at = 0; at < out_len && is_ok(st); at += SHA256_LEN) {
		size_t take = out_len - at < SHA256_LEN ? out_len - at : SHA256_LEN;

		n++;
		parts[2] = span_of(&n, 1);
		st = hmac_sha256_parts(prk, parts, 3, block);
		if (is_ok(st))
			memcpy(out + at, block, take);
		parts[0] = span_of(block, sizeof(block));
	}
	explicit_bzero(block, sizeof(block));
	return st;
}

struct status
hkdf_sha256(struct span key, struct span salt, struct span info, uint8_t *out, size_t out_len)
{
	struct hmac_key *prk = NULL;
	struct status st;

	if (out_len == 0 || out_len > HKDF_OUT_LEN_MAX || info.len > HKDF_INFO_LEN_MAX)
		return fail(E_RANGE);
	TRY(hkdf_extract(key, salt, &prk));
	st = hkdf_expand(prk, info, out, out_len);
	hmac_key_free(prk);
	return st;
}
