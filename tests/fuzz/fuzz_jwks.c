/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JWK Set: whatever comes, keys and skipped entries are within the limit.
 */
#include <stdlib.h>

#include <crypto/crypto.h>
#include <jwt/jwks.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jwks *keys = NULL;

	if (!is_ok(crypto_init()))
		abort();
	if (!is_ok(jwks_parse(span_of(data, size), &keys)))
		return 0;
	if (size > JWKS_LEN_MAX || jwks_count(keys) + jwks_skipped(keys) > JWKS_KEYS_MAX)
		abort();
	jwks_free(keys);
	return 0;
}
