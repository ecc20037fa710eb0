/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c: start OpenSSL without files and fetch the algorithms once.
 *
 * Runs in: every process that hashes, signs or seals; before its jail.
 * Trusts: nothing. Owns: the fetched algorithms, for the life of the process.
 * Invariants: after crypto_init() no call of this library opens a file; the random
 * generator is seeded and later only needs getrandom(2).
 * See: crypto/crypto.h, OpenSSL's crypto(7) on fetching.
 */
#include <crypto/crypto.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "fetched.h"

static struct crypto_fetched fetched;
static bool ready;

static struct status
fetch_all(struct crypto_fetched *f)
{
	f->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	f->aes256gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (f->sha256 == NULL || f->aes256gcm == NULL)
		return fail(E_CRYPTO);
	f->md = EVP_MD_CTX_new();
	f->scratch = EVP_MD_CTX_new();
	if (f->md == NULL || f->scratch == NULL)
		return fail(E_NOMEM);
	return OK;
}

/* The first key of a kind initialises its provider's tables; do it here. */
static struct status
warm_up(void)
{
	static const uint8_t zero[32];
	uint8_t byte;
	EVP_PKEY *key;

	if (RAND_bytes(&byte, 1) != 1 || RAND_priv_bytes(&byte, 1) != 1)
		return fail(E_CRYPTO);
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, zero, sizeof(zero));
	if (key == NULL)
		return fail(E_CRYPTO);
	EVP_PKEY_free(key);
	return OK;
}

struct status
crypto_init(void)
{
	struct crypto_fetched f = { 0 };
	struct status st;

	if (ready)
		return OK;
	if (OPENSSL_init_crypto(
		OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) != 1)
		return fail(E_CRYPTO);
	st = fetch_all(&f);
	if (is_ok(st))
		st = warm_up();
	if (!is_ok(st)) {
		EVP_MD_CTX_free(f.scratch);
		EVP_MD_CTX_free(f.md);
		EVP_CIPHER_free(f.aes256gcm);
		EVP_MD_free(f.sha256);
		return st;
	}
	fetched = f;
	ready = true;
	return OK;
}

const struct crypto_fetched *
crypto_fetched(void)
{
	return ready ? &fetched : NULL;
}

bool
crypto_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}
