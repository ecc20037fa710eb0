/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign.c: Ed25519 signatures over EVP.
 *
 * Runs in: audit (signs), authority and store, CLI (verifies).
 * Trusts: nothing. Owns: the EVP_PKEY of each sign_key; OpenSSL wipes it.
 * Invariants: the public half is derived from the private one, never given.
 * See: crypto/sign.h; RFC 8032.
 */
#include <crypto/sign.h>

#include <stdlib.h>

#include "fetched.h"

struct sign_key {
	EVP_PKEY *pkey;
	uint8_t public_key[ED25519_KEY_LEN];
};

struct status
sign_key_generate(struct secret *ret)
{
	return secret_random(ED25519_KEY_LEN, ret);
}

struct status
sign_key_new(const struct secret *raw, struct sign_key **ret)
{
	struct span r = secret_borrow(raw);
	struct sign_key *k;
	size_t len = ED25519_KEY_LEN;

	if (r.len != ED25519_KEY_LEN)
		return fail(E_RANGE);
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return fail(E_NOMEM);
	k->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, r.ptr, r.len);
	if (k->pkey == NULL || EVP_PKEY_get_raw_public_key(k->pkey, k->public_key, &len) != 1 ||
	    len != ED25519_KEY_LEN) {
		sign_key_free(k);
		return fail(E_CRYPTO);
	}
	*ret = k;
	return OK;
}

void
sign_key_free(struct sign_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

void
sign_key_public(const struct sign_key *key, uint8_t out[ED25519_KEY_LEN])
{
	memcpy(out, key->public_key, ED25519_KEY_LEN);
}

struct status
ed25519_sign(const struct sign_key *key, struct span msg, uint8_t sig[ED25519_SIG_LEN])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t len = ED25519_SIG_LEN;
	struct status st;

	if (md == NULL)
		return fail(E_NOMEM);
	st = evp_ok(EVP_DigestSignInit(md, NULL, NULL, NULL, key->pkey));
	if (is_ok(st))
		st = evp_ok(EVP_DigestSign(md, sig, &len, msg.ptr, msg.len));
	EVP_MD_CTX_free(md);
	return is_ok(st) && len != ED25519_SIG_LEN ? fail(E_CRYPTO) : st;
}

static struct status
verify_with(EVP_PKEY *pkey, EVP_MD_CTX *md, struct span msg, const uint8_t *sig)
{
	TRY(evp_ok(EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey)));
	return evp_ok(EVP_DigestVerify(md, sig, ED25519_SIG_LEN, msg.ptr, msg.len));
}

struct status
ed25519_verify(
    const uint8_t public_key[ED25519_KEY_LEN], struct span msg, const uint8_t sig[ED25519_SIG_LEN])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(
	    EVP_PKEY_ED25519, NULL, public_key, ED25519_KEY_LEN);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct status st = fail(E_CRYPTO);

	if (md == NULL)
		st = fail(E_NOMEM);
	else if (pkey != NULL)
		st = verify_with(pkey, md, msg, sig);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	return st;
}
