/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token, as it comes and, with its first byte set, as the payload of one that our key signed: so
 * that claims are reached, too. Nothing that we did not sign may ever verify.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <jwt/issue.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sign_key *key;
static struct jwks *keys;
static struct jwt reader;

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
init(void)
{
	static const uint8_t raw[ED25519_KEY_LEN] = { 1, 2, 3 };
	auto_secret struct secret secret = SECRET_NONE;
	auto_buf struct buf text = BUF_INIT(4096);
	uint8_t public_key[1][ED25519_KEY_LEN];

	if (keys != NULL)
		return;
	check(is_ok(crypto_init()) && is_ok(jwt_init(&reader)));
	check(is_ok(secret_from_span(span_of(raw, sizeof(raw)), &secret)));
	check(is_ok(sign_key_new(&secret, &key)));
	sign_key_public(key, public_key[0]);
	check(is_ok(jwks_put((const uint8_t(*)[ED25519_KEY_LEN])public_key, 1, &text)));
	check(is_ok(jwks_parse(buf_span(&text), &keys)));
}

static bool
verifies(struct span token)
{
	const struct jwt_policy p = { .issuer = SPAN_LIT("https://a"), .audience = SPAN_LIT("b") };
	struct span s[JWT_ITEMS_MAX];
	size_t n = 0;

	if (!is_ok(jwt_parse(&reader, token)))
		return false;
	(void)jwt_claimed_issuer(&reader);
	if (!is_ok(jwt_verify(&reader, keys, &p, 1800000000)))
		return false;
	(void)is_ok(jwt_claim_str(&reader, SPAN_LIT("t.u"), &s[0]));
	if (is_ok(jwt_claim_strs(&reader, SPAN_LIT("r"), s, &n)))
		check(n <= JWT_ITEMS_MAX);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf token = BUF_INIT((size_t)4 * JWT_LEN_MAX);

	init();
	if (size == 0)
		return 0;
	if (data[0] != '{') {
		check(!verifies(span_of(data, size))); /* nobody has our key */
		return 0;
	}
	if (is_ok(jwt_sign(span_of(data, size), "JWT", key, &token)))
		(void)verifies(buf_span(&token));
	return 0;
}
