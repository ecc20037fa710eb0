/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_jwks.c: which keys of a JWK Set are taken, and that one bad key spoils no other.
 */
#include <stdio.h>

#include "unit.h"

#include <crypto/crypto.h>
#include <jwt/issue.h>

#include "jwt_world.h"

static struct status
parse(const char *text, size_t *ret_count, size_t *ret_skipped)
{
	struct jwks *keys = NULL;
	struct status st = jwks_parse(span_str(text), &keys);

	if (!is_ok(st)) {
		assert_null(keys);
		return st;
	}
	*ret_count = jwks_count(keys);
	*ret_skipped = jwks_skipped(keys);
	jwks_free(keys);
	return OK;
}

static void
documents_that_are_none(void **state)
{
	static const struct {
		const char *text;
		enum code code;
	} rows[] = {
		{ "", E_SYNTAX },
		{ "{}", E_SYNTAX },
		{ "[]", E_SYNTAX },
		{ "{\"keys\":{}}", E_SYNTAX },
		{ "{\"keys\":null}", E_SYNTAX },
		{ "{\"keys\":[]", E_SYNTAX },
		{ "{\"keys\":[],\"keys\":[]}", E_EXISTS },
		{ "{\"keys\":[{\"kty\":\"RSA\",\"kty\":\"oct\"}]}", E_EXISTS },
		{ "{\"keys\":[[[[[[[[[[]]]]]]]]]]}", E_RANGE },
	};
	size_t n, skipped;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(parse(rows[i].text, &n, &skipped).code, rows[i].code);
	assert_true(is_ok(parse("{\"keys\":[]}", &n, &skipped)));
	assert_int_equal(n + skipped, 0);
}

/* More keys than may be, more bytes than may be. */
static void
huge_documents_are_refused(void **state)
{
	struct signer ed = signer_new("EdDSA", NULL);
	struct buf text = BUF_INIT(4 * JWKS_LEN_MAX);
	struct jwks *keys = NULL;

	(void)state;
	for (size_t n = JWKS_KEYS_MAX; n <= JWKS_KEYS_MAX + 1; n++) {
		buf_clear(&text);
		assert_true(is_ok(buf_put_str(&text, "{\"keys\":[")));
		for (size_t i = 0; i < n; i++) {
			char kid[32];

			(void)snprintf(kid, sizeof(kid), "%zu", i);
			ed.kid = kid;
			signer_put_jwk(&ed, i + 1 < n ? "" : "", &text);
			if (i + 1 < n)
				assert_true(is_ok(buf_put_u8(&text, ',')));
		}
		assert_true(is_ok(buf_put_str(&text, "]}")));
		if (n <= JWKS_KEYS_MAX) {
			assert_true(is_ok(jwks_parse(buf_span(&text), &keys)));
			assert_int_equal(jwks_count(keys), n);
			jwks_free(keys);
			continue;
		}
		assert_int_equal(jwks_parse(buf_span(&text), &keys).code, E_RANGE);
	}
	buf_clear(&text);
	assert_true(is_ok(buf_put_str(&text, "{\"keys\":[")));
	while (text.len < JWKS_LEN_MAX)
		assert_true(is_ok(buf_put_u8(&text, ' ')));
	assert_true(is_ok(buf_put_str(&text, "]}")));
	assert_int_equal(jwks_parse(buf_span(&text), &keys).code, E_RANGE);
	buf_done(&text);
	EVP_PKEY_free(ed.pkey);
}

/* Members behind a good key, and whether it stays good. */
static void
what_a_key_is_for(void **state)
{
	static const struct {
		const char *more;
		bool taken;
	} rows[] = {
		{ "", true },
		{ ",\"use\":\"sig\"", true },
		{ ",\"use\":\"enc\"", false },
		{ ",\"use\":1", false },
		{ ",\"key_ops\":[\"verify\"]", true },
		{ ",\"key_ops\":[\"sign\",\"verify\"]", true },
		{ ",\"key_ops\":[\"sign\"]", false },
		{ ",\"key_ops\":[]", false },
		{ ",\"key_ops\":\"verify\"", false },
		{ ",\"alg\":\"ES384\"", false },
		{ ",\"alg\":\"HS256\"", false },
		{ ",\"alg\":\"none\"", false },
		{ ",\"alg\":\"RSA-OAEP\"", false },
		{ ",\"alg\":5", false },
		{ ",\"kid\":\"\"", false },
		{ ",\"kid\":5", false },
		{ ",\"kid\":null", false },
		{ ",\"d\":\"AA\"", false },
		{ ",\"k\":\"AA\"", false },
		{ ",\"oth\":[]", false },
		{ ",\"x5u\":\"http://169.254.169.254/\",\"x5c\":[\"junk\"],\"x5t\":7", true },
		{ ",\"jku\":\"file:///etc/shadow\"", true },
	};
	struct signer ec = signer_new("ES256", NULL);
	struct buf text = BUF_INIT(JWKS_LEN_MAX);
	size_t n, skipped;

	(void)state;
	ec.quiet = true;
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&text);
		assert_true(is_ok(buf_put_str(&text, "{\"keys\":[")));
		signer_put_jwk(&ec, rows[i].more, &text);
		assert_true(is_ok(buf_put_u8(&text, ',')));
		signer_put_jwk(
		    &ec, ",\"kid\":\"other\"", &text); /* stands, whatever the first is */
		assert_true(is_ok(buf_put(&text, "]}", 3)));
		assert_true(is_ok(parse((char *)text.ptr, &n, &skipped)));
		if (n != (rows[i].taken ? 2U : 1U) || n + skipped != 2)
			FAIL_ROW("%s: %zu taken", rows[i].more, n);
	}
	buf_done(&text);
	EVP_PKEY_free(ec.pkey);
}

static void
keys_that_are_none(void **state)
{
#define X256 "04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY"
#define Y256 "UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw"
	static const char *const rows[] = {
		"7",
		"null",
		"{}",
		"{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
		"{\"kty\":\"rsa\"}",
		"{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" X256 "\",\"y\":\"" Y256 "\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" X256 "\",\"y\":\"" Y256 "\"}",
		/* off the curve: x twice; zero; y of one bit less */
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X256 "\",\"y\":\"" X256 "\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\","
		"\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		"\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X256
		"\",\"y\":\"UI8exy-C06a7DUnjIdENkxeFtHM4-l_"
		"41LqEw9nVgm0\"}",
		/* beyond the field */
		"{\"kty\":\"EC\",\"crv\":\"P-256\","
		"\"x\":\"__________________________________________8\",\"y\":\"" Y256 "\"}",
		/* short, long, missing, padded */
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQ\",\"y\":\"" Y256 "\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA" X256 "A\",\"y\":\"" Y256 "\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X256 "\"}",
		"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X256 "=\",\"y\":\"" Y256 "\"}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
		"{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" X256 "\"}",
		"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" X256 "\"}",
		"{\"kty\":\"RSA\",\"n\":\"" X256 "\",\"e\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}",
		"{\"kty\":\"RSA\",\"e\":\"AQAB\"}",
	};
	char text[1024];
	size_t n, skipped;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		(void)snprintf(text, sizeof(text), "{\"keys\":[%s]}", rows[i]);
		assert_true(is_ok(parse(text, &n, &skipped)));
		if (n != 0 || skipped != 1)
			FAIL_ROW("taken: %s", rows[i]);
	}
	(void)snprintf(text, sizeof(text),
	    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}]}", X256,
	    Y256);
	assert_true(is_ok(parse(text, &n, &skipped)));
	assert_int_equal(n, 1);
}

/* An RSA key of these bytes. */
static bool
rsa_is_taken(struct span n, struct span e)
{
	struct buf text = BUF_INIT(JWKS_LEN_MAX);
	size_t count = 0, skipped;

	assert_true(is_ok(buf_put_str(&text, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"")));
	assert_true(is_ok(base64url_encode(n, &text)));
	assert_true(is_ok(buf_put_str(&text, "\",\"e\":\"")));
	assert_true(is_ok(base64url_encode(e, &text)));
	assert_true(is_ok(buf_put(&text, "\"}]}", 5)));
	assert_true(is_ok(parse((char *)text.ptr, &count, &skipped)));
	buf_done(&text);
	return count == 1;
}

static void
sizes_of_rsa(void **state)
{
	static const uint8_t e65537[] = { 1, 0, 1 }, e3[] = { 3 }, even[] = { 1, 0, 2 },
			     padded[] = { 0, 1, 0, 1 }, zero[] = { 0 },
			     long_e[] = { 1, 0, 0, 0, 0, 0, 0, 0, 1 },
			     e8[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct span e = span_of(e65537, sizeof(e65537));
	uint8_t n[1026];

	(void)state;
	memset(n, 0xff, sizeof(n));
	assert_true(rsa_is_taken(span_of(n, 256), e));
	assert_true(rsa_is_taken(span_of(n, 1024), e));
	assert_false(rsa_is_taken(span_of(n, 255), e));
	assert_false(rsa_is_taken(span_of(n, 1025), e));
	assert_true(rsa_is_taken(span_of(n, 256), span_of(e8, sizeof(e8))));
	assert_false(rsa_is_taken(span_of(n, 256), span_of(e3, sizeof(e3))));
	assert_false(rsa_is_taken(span_of(n, 256), span_of(even, sizeof(even))));
	assert_false(rsa_is_taken(span_of(n, 256), span_of(padded, sizeof(padded))));
	assert_false(rsa_is_taken(span_of(n, 256), span_of(zero, sizeof(zero))));
	assert_false(rsa_is_taken(span_of(n, 256), span_of(long_e, sizeof(long_e))));
	n[0] = 0x7f; /* 2047 bits */
	assert_false(rsa_is_taken(span_of(n, 256), e));
	n[0] = 0; /* a byte that is not needed */
	assert_false(rsa_is_taken(span_of(n, 257), e));
	n[0] = n[255] = 0xfe; /* even */
	assert_false(rsa_is_taken(span_of(n, 256), e));
}

/* Two of one name: neither is meant by it, and the third is not alone. */
static void
a_kid_that_comes_twice_names_no_key(void **state)
{
	struct signer s[] = { signer_new("EdDSA", "a"), signer_new("EdDSA", "b"),
		signer_new("EdDSA", "a"), signer_new("EdDSA", "a") };
	struct buf text = BUF_INIT(JWKS_LEN_MAX), token = BUF_INIT(JWT_LEN_MAX);
	struct jwks *keys = NULL;
	struct jws one;

	(void)state;
	assert_true(is_ok(jws_init(&one)));
	signers_put_jwks(s, COUNT(s), &text);
	assert_true(is_ok(jwks_parse(buf_span(&text), &keys)));
	assert_int_equal(jwks_count(keys), 1);
	assert_int_equal(jwks_skipped(keys), 3);
	for (size_t i = 0; i < COUNT(s); i++) {
		buf_clear(&token);
		signer_put(&s[i], "{}", &token);
		assert_true(is_ok(jws_parse(&one, buf_span(&token))));
		assert_true(is_ok(jws_verify(&one, keys, 0)) == (i == 1));
		EVP_PKEY_free(s[i].pkey);
	}
	jws_done(&one);
	jwks_free(keys);
	buf_done(&text);
	buf_done(&token);
}

/* ---- keys of our own ---- */

/* RFC 8037, appendix A.3. */
static void
the_thumbprint_of_the_rfc(void **state)
{
	struct buf x = BUF_INIT(64);
	char text[JWT_THUMBPRINT_LEN + 1];

	(void)state;
	assert_true(
	    is_ok(base64url_decode(SPAN_LIT("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"), &x)));
	assert_true(is_ok(jwk_thumbprint(x.ptr, text)));
	assert_string_equal(text, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
	buf_done(&x);
}

static void
what_we_publish_verifies_what_we_sign(void **state)
{
	struct secret raw[2] = { SECRET_NONE, SECRET_NONE };
	struct sign_key *key[2];
	uint8_t public_keys[2][ED25519_KEY_LEN];
	struct buf text = BUF_INIT(JWKS_LEN_MAX), token = BUF_INIT(JWT_LEN_MAX);
	struct buf big = BUF_INIT(JWT_LEN_MAX);
	struct jwks *keys = NULL;
	struct jws s;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_true(is_ok(sign_key_generate(&raw[i])));
		assert_true(is_ok(sign_key_new(&raw[i], &key[i])));
		sign_key_public(key[i], public_keys[i]);
	}
	assert_true(is_ok(jwks_put((const uint8_t(*)[ED25519_KEY_LEN])public_keys, 2, &text)));
	assert_true(is_ok(jwks_parse(buf_span(&text), &keys)));
	assert_int_equal(jwks_count(keys), 2);
	assert_true(is_ok(jws_init(&s)));
	for (size_t i = 0; i < 2; i++) {
		buf_clear(&token);
		assert_true(is_ok(jwt_sign(SPAN_LIT("{\"sub\":\"a\"}"), "at+jwt", key[i], &token)));
		assert_true(is_ok(jws_parse(&s, buf_span(&token))));
		assert_true(is_ok(jws_verify(&s, keys, 0)));
		assert_true(span_eq_str(s.typ, "at+jwt") && s.has_kid);
	}
	for (size_t i = 0; i < JWT_LEN_MAX; i++)
		assert_true(is_ok(buf_put_u8(&big, ' ')));
	assert_int_equal(jwt_sign(buf_span(&big), "JWT", key[0], &token).code, E_RANGE);
	jws_done(&s);
	jwks_free(keys);
	for (size_t i = 0; i < 2; i++) {
		sign_key_free(key[i]);
		secret_done(&raw[i]);
	}
	buf_done(&text);
	buf_done(&token);
	buf_done(&big);
}

static int
setup(void **state)
{
	(void)state;
	return is_ok(crypto_init()) ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_that_are_none),
		cmocka_unit_test(huge_documents_are_refused),
		cmocka_unit_test(what_a_key_is_for),
		cmocka_unit_test(keys_that_are_none),
		cmocka_unit_test(sizes_of_rsa),
		cmocka_unit_test(a_kid_that_comes_twice_names_no_key),
		cmocka_unit_test(the_thumbprint_of_the_rfc),
		cmocka_unit_test(what_we_publish_verifies_what_we_sign),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
