/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_FETCHED_H
#define CRYPTO_FETCHED_H

/* Inside lib/crypto only: what crypto_init() fetched, and two contexts for reuse. */
#include <openssl/evp.h>

#include <crypto/crypto.h>

struct crypto_fetched {
	EVP_MD *sha256;
	EVP_CIPHER *aes256gcm;
	EVP_MD_CTX *md;      /* one-shot hashes */
	EVP_MD_CTX *scratch; /* HMAC */
};

/* NULL before crypto_init(). */
const struct crypto_fetched *crypto_fetched(void);

/* For EVP calls, which say 1 when they did it. */
static inline struct status
evp_ok(int rc)
{
	return rc == 1 ? OK : fail(E_CRYPTO);
}

#endif
