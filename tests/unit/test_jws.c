/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_jws.c: published vectors of signed texts; every algorithm; forms that are none.
 */
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#include <base/io.h>
#include <crypto/crypto.h>
#include <json/write.h>

#include "jwt_world.h"

#define FILE_MAX (1U << 20)

/* Valid in the file, refused here: the key is for another algorithm than the token says. */
static const char *const refused[] = { "Figure20", "Figure27" };

static void
read_vectors(const char *name, struct buf *text)
{
	char path[4096];

	(void)snprintf(
	    path, sizeof(path), "%s/vectors/jws/%s", getenv("SALLYPORT_TEST_DATA"), name);
	assert_true(is_ok(io_read_file(AT_FDCWD, path, text)));
}

static struct jwks *
one_key(struct span jwk)
{
	struct buf text = BUF_INIT(JWKS_LEN_MAX);
	struct jwks *keys = NULL;

	assert_true(is_ok(buf_printf(&text, "{\"keys\":[%.*s]}", SPAN_FMT(jwk))));
	assert_true(is_ok(jwks_parse(buf_span(&text), &keys)));
	buf_done(&text);
	return keys;
}

static bool
verifies(struct jws *s, const struct jwks *keys, struct span token)
{
	return is_ok(jws_parse(s, token)) && is_ok(jws_verify(s, keys, 0));
}

static bool
is_refused(const struct json_doc *d, uint32_t comment)
{
	for (size_t i = 0; i < COUNT(refused); i++) {
		if (json_str_eq_str(d, comment, refused[i]))
			return true;
	}
	return false;
}

struct tally {
	unsigned valid, invalid, refused;
};

static void
run_group(const struct json_doc *d, uint32_t group, struct jws *s, struct tally *n)
{
	struct jwks *keys = one_key(json_bytes(d, json_get_str(d, group, "public")));
	struct json_iter it = json_iter(d, json_get_str(d, group, "tests"));
	struct arena a = ARENA_INIT(1 << 16);

	while (json_next(&it)) {
		bool valid = json_str_eq_str(d, json_get_str(d, it.val, "result"), "valid");
		bool exempt = is_refused(d, json_get_str(d, it.val, "comment"));
		struct span token;

		assert_true(is_ok(json_str(d, json_get_str(d, it.val, "jws"), &a, &token)));
		if (verifies(s, keys, token) != (valid && !exempt))
			FAIL_ROW("vector: %.*s", SPAN_FMT(json_bytes(d, it.val)));
		n->refused += valid && exempt;
		n->valid += valid && !exempt;
		n->invalid += !valid;
		arena_reset(&a);
	}
	arena_done(&a);
	jwks_free(keys);
}

static struct tally
run_file(const char *name)
{
	const struct json_opts opts = { 0 };
	struct buf text = BUF_INIT(FILE_MAX);
	struct json_doc d;
	struct tally n = { 0 };
	struct json_iter it;
	struct jws s;

	read_vectors(name, &text);
	assert_true(is_ok(json_init(&d, &opts)) && is_ok(json_parse(&d, buf_span(&text))));
	assert_true(is_ok(jws_init(&s)));
	it = json_iter(&d, json_get_str(&d, 0, "testGroups"));
	while (json_next(&it))
		run_group(&d, it.val, &s, &n);
	jws_done(&s);
	json_done(&d);
	buf_done(&text);
	return n;
}

static void
the_examples_of_the_rfcs_verify(void **state)
{
	struct tally n = run_file("rfc.json");

	(void)state;
	assert_int_equal(n.valid, 7);
	assert_int_equal(n.invalid, 0);
}

static void
wycheproof_agrees(void **state)
{
	struct tally n = run_file("wycheproof.json");

	(void)state;
	assert_int_equal(n.valid, 32);
	assert_int_equal(n.refused, 4);
	assert_int_equal(n.invalid, 325);
}

/* ---- our own tokens ---- */

static void
every_algorithm_verifies_its_own_bytes_only(void **state)
{
	struct buf token = BUF_INIT(JWT_LEN_MAX);
	struct jws s;

	(void)state;
	assert_true(is_ok(jws_init(&s)));
	for (size_t i = 0; i < SIGNER_KINDS; i++) {
		struct signer one = signer_new(signer_kinds[i].alg, "k");
		struct jwks *keys = signers_jwks(&one, 1);

		buf_clear(&token);
		signer_put(&one, "{\"sub\":\"a\"}", &token);
		assert_true(verifies(&s, keys, buf_span(&token)));
		assert_true(span_eq_str(s.payload, "{\"sub\":\"a\"}"));
		for (size_t at = i; at < token.len; at += 7) {
			token.ptr[at] ^= 1;
			if (verifies(&s, keys, buf_span(&token)))
				FAIL_ROW("%s: byte %zu is not signed", one.alg, at);
			token.ptr[at] ^= 1;
		}
		for (size_t len = 0; len < token.len; len++)
			assert_false(verifies(&s, keys, span_of(token.ptr, len)));
		jwks_free(keys);
		EVP_PKEY_free(one.pkey);
	}
	jws_done(&s);
	buf_done(&token);
}

/* What the header says is not what the key is for. */
static void
an_algorithm_is_the_keys(void **state)
{
	struct signer rsa = signer_new("RS256", "k");
	struct jwks *keys = signers_jwks(&rsa, 1);
	struct buf token = BUF_INIT(JWT_LEN_MAX);
	static const char *const others[] = { "RS384", "RS512", "PS256", "PS384", "PS512" };
	char header[64];
	struct jws s;

	(void)state;
	assert_true(is_ok(jws_init(&s)));
	for (size_t i = 0; i < COUNT(others); i++) {
		buf_clear(&token);
		(void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\"}", others[i]);
		signer_put_token(&rsa, others[i], header, "{}", &token);
		assert_true(is_ok(jws_parse(&s, buf_span(&token))));
		assert_int_equal(jws_verify(&s, keys, 0).code, E_DENIED);
		assert_int_equal(s.fault, JWT_FAULT_ALGORITHM);
	}
	jws_done(&s);
	jwks_free(keys);
	EVP_PKEY_free(rsa.pkey);
	buf_done(&token);
}

/* An RSA key that names no algorithm stands for RS256, or for those that a policy allows. */
static void
a_policy_narrows_what_a_key_leaves_open(void **state)
{
	struct signer rsa = signer_new("RS256", "k");
	struct buf rs = BUF_INIT(JWT_LEN_MAX), ps = BUF_INIT(JWT_LEN_MAX);
	uint32_t only_ps = JWT_ALG_BIT(JWT_PS256);
	struct jwks *keys;
	struct jws s;

	(void)state;
	rsa.quiet = true;
	keys = signers_jwks(&rsa, 1);
	signer_put_token(&rsa, "RS256", "{\"alg\":\"RS256\",\"kid\":\"k\"}", "{}", &rs);
	signer_put_token(&rsa, "PS256", "{\"alg\":\"PS256\",\"kid\":\"k\"}", "{}", &ps);
	assert_true(is_ok(jws_init(&s)));
	assert_true(verifies(&s, keys, buf_span(&rs)));
	assert_false(verifies(&s, keys, buf_span(&ps)));
	assert_true(is_ok(jws_parse(&s, buf_span(&ps))) && is_ok(jws_verify(&s, keys, only_ps)));
	assert_true(is_ok(jws_parse(&s, buf_span(&rs))));
	assert_int_equal(jws_verify(&s, keys, only_ps).code, E_DENIED);
	jws_done(&s);
	jwks_free(keys);
	EVP_PKEY_free(rsa.pkey);
	buf_done(&rs);
	buf_done(&ps);
}

static void
a_token_without_a_kid_means_the_only_key(void **state)
{
	struct signer two[] = { signer_new("ES256", NULL), signer_new("ES256", "b") };
	struct signer other = signer_new("EdDSA", "c");
	struct jwks *one = signers_jwks(two, 1), *both = signers_jwks(two, 2), *none;
	struct buf token = BUF_INIT(JWT_LEN_MAX);
	struct jws s;

	(void)state;
	none = signers_jwks(&other, 1);
	signer_put(&two[0], "{}", &token);
	assert_true(is_ok(jws_init(&s)));
	assert_true(verifies(&s, one, buf_span(&token)));
	assert_false(verifies(&s, both, buf_span(&token)));
	assert_int_equal(s.fault, JWT_FAULT_KEY);
	assert_false(verifies(&s, none, buf_span(&token)));
	assert_int_equal(s.fault, JWT_FAULT_KEY);
	jws_done(&s);
	jwks_free(one);
	jwks_free(both);
	jwks_free(none);
	EVP_PKEY_free(two[0].pkey);
	EVP_PKEY_free(two[1].pkey);
	EVP_PKEY_free(other.pkey);
	buf_done(&token);
}

static void
hostile_headers(void **state)
{
	static const struct {
		const char *header;
		enum jwt_fault fault;
	} rows[] = {
		{ "{\"alg\":\"none\"}", JWT_FAULT_ALGORITHM },
		{ "{\"alg\":\"None\"}", JWT_FAULT_ALGORITHM },
		{ "{\"alg\":\"nOnE\",\"kid\":\"k\"}", JWT_FAULT_ALGORITHM },
		{ "{\"alg\":\"HS256\",\"kid\":\"k\"}", JWT_FAULT_ALGORITHM },
		{ "{\"alg\":\"eddsa\",\"kid\":\"k\"}", JWT_FAULT_ALGORITHM },
		{ "{\"alg\":\"ES256K\",\"kid\":\"k\"}", JWT_FAULT_ALGORITHM },
		{ "{\"alg\":\"\",\"kid\":\"k\"}", JWT_FAULT_HEADER },
		{ "{\"kid\":\"k\"}", JWT_FAULT_HEADER },
		{ "{\"alg\":null,\"kid\":\"k\"}", JWT_FAULT_HEADER },
		{ "{\"alg\":[\"EdDSA\"],\"kid\":\"k\"}", JWT_FAULT_HEADER },
		{ "{\"alg\":\"EdDSA\",\"kid\":7}", JWT_FAULT_HEADER },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"\"}", JWT_FAULT_HEADER },
		{ "{\"alg\":\"EdDSA\",\"typ\":7}", JWT_FAULT_HEADER },
		{ "{\"alg\":\"EdDSA\",\"alg\":\"none\",\"kid\":\"k\"}", JWT_FAULT_HEADER },
		{ "{\"alg\":\"EdDSA\",\"Alg\":\"none\",\"kid\":\"k\"}", JWT_FAULT_HEADER },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\\u0000\"}", JWT_FAULT_HEADER },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"crit\":[\"exp\"]}", JWT_FAULT_CRITICAL },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"crit\":[]}", JWT_FAULT_CRITICAL },
		{ "[\"EdDSA\"]", JWT_FAULT_HEADER },
		{ "\"EdDSA\"", JWT_FAULT_HEADER },
		{ "{\"alg\":\"EdDSA\"", JWT_FAULT_HEADER },
		{ "{}{}", JWT_FAULT_HEADER },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"../../../../dev/null\"}", JWT_FAULT_KEY },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k' OR '1'='1\"}", JWT_FAULT_KEY },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"K\"}", JWT_FAULT_KEY },
	};
	struct signer ed = signer_new("EdDSA", "k");
	struct jwks *keys = signers_jwks(&ed, 1);
	struct buf token = BUF_INIT(JWT_LEN_MAX);
	struct jws s;

	(void)state;
	assert_true(is_ok(jws_init(&s)));
	for (size_t i = 0; i < COUNT(rows); i++) {
		buf_clear(&token);
		signer_put_token(&ed, "EdDSA", rows[i].header, "{}", &token);
		assert_false(verifies(&s, keys, buf_span(&token)));
		if (s.fault != rows[i].fault)
			FAIL_ROW("%s: %s", rows[i].header, jwt_fault_name(s.fault));
	}
	jws_done(&s);
	jwks_free(keys);
	EVP_PKEY_free(ed.pkey);
	buf_done(&token);
}

/* A stranger's key in the token, or where to find one, is not used. */
static void
keys_in_a_token_are_ignored(void **state)
{
	static const char *const where[] = { "\"jku\":\"https://evil.example/jwks\"",
		"\"x5u\":\"file:///etc/passwd\"", "\"x5c\":[\"MIIB\"]" };
	struct signer ours = signer_new("EdDSA", "k"), theirs = signer_new("EdDSA", "k");
	struct jwks *keys = signers_jwks(&ours, 1);
	struct buf token = BUF_INIT(JWT_LEN_MAX), header = BUF_INIT(JWT_LEN_MAX);
	struct jws s;

	(void)state;
	assert_true(is_ok(jws_init(&s)));
	for (size_t i = 0; i <= COUNT(where); i++) {
		buf_clear(&header);
		assert_true(is_ok(buf_put_str(&header, "{\"alg\":\"EdDSA\",\"kid\":\"k\",")));
		if (i < COUNT(where)) {
			assert_true(is_ok(buf_put_str(&header, where[i])));
		} else {
			assert_true(is_ok(buf_put_str(&header, "\"jwk\":")));
			signer_put_jwk(&theirs, "", &header);
		}
		assert_true(is_ok(buf_put(&header, "}", 2)));
		buf_clear(&token);
		signer_put_token(&theirs, "EdDSA", (char *)header.ptr, "{}", &token);
		assert_false(verifies(&s, keys, buf_span(&token)));
		assert_int_equal(s.fault, JWT_FAULT_SIGNATURE);
		buf_clear(&token);
		signer_put_token(&ours, "EdDSA", (char *)header.ptr, "{}", &token);
		assert_true(verifies(&s, keys, buf_span(&token)));
	}
	jws_done(&s);
	jwks_free(keys);
	EVP_PKEY_free(ours.pkey);
	EVP_PKEY_free(theirs.pkey);
	buf_done(&token);
	buf_done(&header);
}

static void
forms_that_are_none(void **state)
{
	static const struct {
		const char *token;
		enum jwt_fault fault;
	} rows[] = {
		{ "", JWT_FAULT_FORMAT },
		{ ".", JWT_FAULT_FORMAT },
		{ "..", JWT_FAULT_FORMAT },
		{ "...", JWT_FAULT_FORMAT },
		{ "eyJhbGciOiJFZERTQSJ9..", JWT_FAULT_FORMAT },
		{ "eyJhbGciOiJFZERTQSJ9.e30", JWT_FAULT_FORMAT },
		{ "eyJhbGciOiJFZERTQSJ9.e30.AA.AA", JWT_FAULT_FORMAT },
		{ "eyJhbGciOiJFZERTQSJ9.e30.AA.AA.AA", JWT_FAULT_FORMAT },
		{ "eyJhbGciOiJFZERTQSJ9.e30.AB", JWT_FAULT_FORMAT },  /* trailing bits */
		{ "eyJhbGciOiJFZERTQSJ9.e30=.AA", JWT_FAULT_FORMAT }, /* padding */
		{ "eyJhbGciOiJFZERTQSJ9.e3 0.AA", JWT_FAULT_FORMAT },
		{ "eyJhbGciOiJFZERTQSJ9.e30.A/A", JWT_FAULT_FORMAT },
		{ "e yJhbGciOiJFZERTQSJ9.e30.AA", JWT_FAULT_FORMAT },
	};
	uint8_t huge[JWT_LEN_MAX + 1];
	struct jws s;

	(void)state;
	assert_true(is_ok(jws_init(&s)));
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_false(is_ok(jws_parse(&s, span_str(rows[i].token))));
		if (s.fault != rows[i].fault)
			FAIL_ROW("%s: %s", rows[i].token, jwt_fault_name(s.fault));
	}
	memset(huge, 'A', sizeof(huge));
	assert_int_equal(jws_parse(&s, span_of(huge, sizeof(huge))).code, E_RANGE);
	assert_int_equal(s.fault, JWT_FAULT_SIZE);
	jws_done(&s);
}

/* r or s that is 0, or not below the order; the whole that is too short or too long. */
static void
numbers_that_sign_nothing(void **state)
{
	struct signer ec = signer_new("ES256", "k");
	struct jwks *keys = signers_jwks(&ec, 1);
	struct buf token = BUF_INIT(JWT_LEN_MAX);
	uint8_t sig[65];
	size_t body;
	struct jws s;

	(void)state;
	assert_true(is_ok(jws_init(&s)));
	signer_put(&ec, "{}", &token);
	body = token.len - 86;
	for (unsigned i = 0; i < 8; i++) {
		memset(sig, i & 4 ? 0xff : 0, sizeof(sig));
		if (i & 1)
			sig[31] = 1;
		if (i & 2)
			sig[63] = 1;
		token.len = body;
		assert_true(is_ok(base64url_encode(span_of(sig, 64), &token)));
		assert_false(verifies(&s, keys, buf_span(&token)));
		assert_int_equal(s.fault, JWT_FAULT_SIGNATURE);
	}
	for (size_t len = 0; len < 66; len++) {
		if (len == 64 || len == 0)
			continue;
		token.len = body;
		assert_true(is_ok(base64url_encode(span_of(sig, len), &token)));
		assert_false(verifies(&s, keys, buf_span(&token)));
		assert_int_equal(s.fault, JWT_FAULT_SIGNATURE);
	}
	jws_done(&s);
	jwks_free(keys);
	EVP_PKEY_free(ec.pkey);
	buf_done(&token);
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
		cmocka_unit_test(the_examples_of_the_rfcs_verify),
		cmocka_unit_test(wycheproof_agrees),
		cmocka_unit_test(every_algorithm_verifies_its_own_bytes_only),
		cmocka_unit_test(an_algorithm_is_the_keys),
		cmocka_unit_test(a_policy_narrows_what_a_key_leaves_open),
		cmocka_unit_test(a_token_without_a_kid_means_the_only_key),
		cmocka_unit_test(hostile_headers),
		cmocka_unit_test(keys_in_a_token_are_ignored),
		cmocka_unit_test(forms_that_are_none),
		cmocka_unit_test(numbers_that_sign_nothing),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
