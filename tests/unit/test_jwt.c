/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_jwt.c: claims: issuer, audience, times, type; reading by path.
 */
#include <stdio.h>

#include "unit.h"

#include <crypto/crypto.h>

#include "jwt_world.h"

#define NOW 1800000000ULL
#define ISS "\"iss\":\"https://idp.example\""
#define AUD "\"aud\":\"sallyport\""
#define EXP "\"exp\":1800000300"
#define GOOD ISS "," AUD "," EXP

struct world {
	struct signer key;
	struct jwks *keys;
	struct jwt jwt;
	struct buf token;
};

static const struct jwt_policy plain = { .issuer = { (const uint8_t *)"https://idp.example", 19 },
	.audience = { (const uint8_t *)"sallyport", 9 } };

static int
setup(void **state)
{
	static struct world w;

	if (!is_ok(crypto_init()) || !is_ok(jwt_init(&w.jwt)))
		return -1;
	w.key = signer_new("EdDSA", "k");
	w.keys = signers_jwks(&w.key, 1);
	w.token = BUF_INIT((size_t)2 * JWT_LEN_MAX);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	jwt_done(&w->jwt);
	jwks_free(w->keys);
	EVP_PKEY_free(w->key.pkey);
	buf_done(&w->token);
	return 0;
}

static enum jwt_fault
check_with(struct world *w, const char *header, const char *claims, const struct jwt_policy *p)
{
	struct status st;

	buf_clear(&w->token);
	signer_put_token(&w->key, "EdDSA", header, claims, &w->token);
	st = jwt_parse(&w->jwt, buf_span(&w->token));
	if (is_ok(st))
		st = jwt_verify(&w->jwt, w->keys, p, NOW);
	assert_true(is_ok(st) == (w->jwt.fault == JWT_FAULT_NONE));
	return w->jwt.fault;
}

static enum jwt_fault
check(struct world *w, const char *claims, const struct jwt_policy *p)
{
	return check_with(w, "{\"alg\":\"EdDSA\",\"kid\":\"k\"}", claims, p);
}

static void
claims_that_all_have(void **state)
{
	static const struct {
		const char *claims;
		enum jwt_fault fault;
	} rows[] = {
		{ "{" GOOD "}", JWT_FAULT_NONE },
		{ "{" GOOD ",\"sub\":\"a\",\"nbf\":1800000000,\"iat\":1799999999}",
		    JWT_FAULT_NONE },
		/* issuer: exactly */
		{ "{" AUD "," EXP "}", JWT_FAULT_ISSUER },
		{ "{\"iss\":\"https://idp.example/\"," AUD "," EXP "}", JWT_FAULT_ISSUER },
		{ "{\"iss\":\"https://IDP.example\"," AUD "," EXP "}", JWT_FAULT_ISSUER },
		{ "{\"iss\":[\"https://idp.example\"]," AUD "," EXP "}", JWT_FAULT_ISSUER },
		{ "{\"iss\":\"https:\\/\\/idp.example\"," AUD "," EXP "}", JWT_FAULT_NONE },
		/* audience */
		{ "{" ISS "," EXP "}", JWT_FAULT_AUDIENCE },
		{ "{" ISS "," EXP ",\"aud\":\"other\"}", JWT_FAULT_AUDIENCE },
		{ "{" ISS "," EXP ",\"aud\":\"sallyport2\"}", JWT_FAULT_AUDIENCE },
		{ "{" ISS "," EXP ",\"aud\":\"Sallyport\"}", JWT_FAULT_AUDIENCE },
		{ "{" ISS "," EXP ",\"aud\":[]}", JWT_FAULT_AUDIENCE },
		{ "{" ISS "," EXP ",\"aud\":[\"other\",\"sallyport\"]}", JWT_FAULT_NONE },
		{ "{" ISS "," EXP ",\"aud\":[\"sallyport\",7]}", JWT_FAULT_AUDIENCE },
		{ "{" ISS "," EXP ",\"aud\":{\"sallyport\":1}}", JWT_FAULT_AUDIENCE },
		{ "{" ISS "," EXP ",\"aud\":null}", JWT_FAULT_AUDIENCE },
		/* times */
		{ "{" ISS "," AUD "}", JWT_FAULT_NO_EXPIRY },
		{ "{" ISS "," AUD ",\"exp\":1800000000}", JWT_FAULT_EXPIRED },
		{ "{" ISS "," AUD ",\"exp\":1800000001}", JWT_FAULT_NONE },
		{ "{" ISS "," AUD ",\"exp\":1800000000.9}", JWT_FAULT_EXPIRED },
		{ "{" ISS "," AUD ",\"exp\":1.8000003e9}", JWT_FAULT_NONE },
		{ "{" ISS "," AUD ",\"exp\":0}", JWT_FAULT_EXPIRED },
		{ "{" ISS "," AUD ",\"exp\":-1}", JWT_FAULT_CLAIMS },
		{ "{" ISS "," AUD ",\"exp\":1e300}", JWT_FAULT_CLAIMS },
		{ "{" ISS "," AUD ",\"exp\":1e999}", JWT_FAULT_CLAIMS },
		{ "{" ISS "," AUD ",\"exp\":\"1800000300\"}", JWT_FAULT_CLAIMS },
		{ "{" ISS "," AUD ",\"exp\":null}", JWT_FAULT_CLAIMS },
		{ "{" GOOD ",\"nbf\":1800000001}", JWT_FAULT_FUTURE },
		{ "{" GOOD ",\"iat\":1800000001}", JWT_FAULT_FUTURE },
		{ "{" GOOD ",\"nbf\":true}", JWT_FAULT_CLAIMS },
		{ "{" GOOD ",\"iat\":[]}", JWT_FAULT_CLAIMS },
		{ "{" GOOD ",\"sub\":5}", JWT_FAULT_CLAIMS },
		/* text */
		{ "{" GOOD "," EXP "}", JWT_FAULT_CLAIMS },
		{ "{" GOOD ",\"EXP\":1900000000}", JWT_FAULT_CLAIMS },
		{ "{" GOOD "}x", JWT_FAULT_CLAIMS }, { "[" ISS "]", JWT_FAULT_CLAIMS },
		{ "[]", JWT_FAULT_CLAIMS }, { "", JWT_FAULT_CLAIMS },
		{ "\"eyJhbGciOiJub25lIn0.e30.\"", JWT_FAULT_CLAIMS }, /* a token in a token */
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		if (check(w, rows[i].claims, &plain) != rows[i].fault)
			FAIL_ROW("%s: %s", rows[i].claims, jwt_fault_name(w->jwt.fault));
	}
}

static void
clocks_may_differ_a_little(void **state)
{
	struct jwt_policy p = plain;
	struct world *w = *state;

	p.skew_s = 60;
	assert_int_equal(check(w, "{" ISS "," AUD ",\"exp\":1799999941}", &p), JWT_FAULT_NONE);
	assert_int_equal(w->jwt.expires_s, 1799999941);
	assert_int_equal(check(w, "{" ISS "," AUD ",\"exp\":1799999940}", &p), JWT_FAULT_EXPIRED);
	assert_int_equal(check(w, "{" GOOD ",\"nbf\":1800000060}", &p), JWT_FAULT_NONE);
	assert_int_equal(check(w, "{" GOOD ",\"nbf\":1800000061}", &p), JWT_FAULT_FUTURE);
	assert_int_equal(check(w, "{" GOOD ",\"iat\":1800000061}", &p), JWT_FAULT_FUTURE);
}

static void
a_token_may_not_live_longer_than_allowed(void **state)
{
	struct jwt_policy p = plain;
	struct world *w = *state;

	p.age_s_max = 400;
	assert_int_equal(check(w, "{" GOOD ",\"iat\":1799999900}", &p), JWT_FAULT_NONE);
	assert_int_equal(check(w, "{" GOOD ",\"iat\":1799999899}", &p), JWT_FAULT_AGE);
	assert_int_equal(check(w, "{" GOOD "}", &p), JWT_FAULT_AGE);
}

static void
types(void **state)
{
	static const struct {
		const char *typ;
		bool any, jwt, access;
	} rows[] = {
		{ "", true, true, false },
		{ ",\"typ\":\"JWT\"", true, true, false },
		{ ",\"typ\":\"jwt\"", true, true, false },
		{ ",\"typ\":\"application/jwt\"", true, true, false },
		{ ",\"typ\":\"at+jwt\"", true, false, true },
		{ ",\"typ\":\"application/at+JWT\"", true, false, true },
		{ ",\"typ\":\"dpop+jwt\"", false, false, false },
		{ ",\"typ\":\"logout+jwt\"", false, false, false },
		{ ",\"typ\":\"application/\"", false, false, false },
		{ ",\"typ\":\"JOSE\"", false, false, false },
	};
	struct jwt_policy any = plain, jwt = plain, access = plain;
	struct world *w = *state;
	char header[128];

	jwt.typ = JWT_TYP_JWT;
	access.typ = JWT_TYP_ACCESS;
	for (size_t i = 0; i < COUNT(rows); i++) {
		(void)snprintf(
		    header, sizeof(header), "{\"alg\":\"EdDSA\",\"kid\":\"k\"%s}", rows[i].typ);
#define IS(p, want)       \
	assert_int_equal( \
	    check_with(w, header, "{" GOOD "}", p), want ? JWT_FAULT_NONE : JWT_FAULT_TYPE)
		IS(&any, rows[i].any);
		IS(&jwt, rows[i].jwt);
		IS(&access, rows[i].access);
	}
}

static void
the_issuer_can_be_asked_before(void **state)
{
	struct world *w = *state;

	buf_clear(&w->token);
	signer_put(&w->key, "{\"iss\":\"https://a.example\"}", &w->token);
	assert_true(is_ok(jwt_parse(&w->jwt, buf_span(&w->token))));
	assert_true(span_eq_str(jwt_claimed_issuer(&w->jwt), "https://a.example"));
	assert_true(jwt_key_known(&w->jwt, w->keys, 0));
	buf_clear(&w->token);
	signer_put_token(
	    &w->key, "EdDSA", "{\"alg\":\"EdDSA\",\"kid\":\"new\"}", "{\"iss\":7}", &w->token);
	assert_true(is_ok(jwt_parse(&w->jwt, buf_span(&w->token))));
	assert_int_equal(jwt_claimed_issuer(&w->jwt).len, 0);
	assert_false(jwt_key_known(&w->jwt, w->keys, 0));
}

/* ---- paths ---- */

static void
claims_by_path(void **state)
{
	static const struct {
		const char *path, *value;
		enum code code;
	} rows[] = {
		{ "sub", "u\xc3\xa9", E_OK },
		{ "a.b.c", "deep", E_OK },
		{ "https://x.example/t.y", "one name", E_OK },
		{ "cognito:groups", "g", E_OK },
		{ "a", NULL, E_SYNTAX },
		{ "a.b", NULL, E_SYNTAX },
		{ "a.x", NULL, E_NOTFOUND },
		{ "a.b.c.d", NULL, E_NOTFOUND },
		{ "none", NULL, E_NOTFOUND },
		{ "empty", NULL, E_NOTFOUND },
		{ "n", NULL, E_SYNTAX },
		{ "dotted.name", NULL, E_NOTFOUND },
		{ "Sub", NULL, E_NOTFOUND },
	};
	struct world *w = *state;
	struct span s;

	assert_int_equal(
	    check(w,
		"{" GOOD
		",\"sub\":\"u\\u00e9\",\"a\":{\"b\":{\"c\":\"deep\"}},\"n\":7,\"empty\":null,"
		"\"https://x.example/t.y\":\"one name\",\"cognito:groups\":\"g\","
		"\"dotted.name\":\"x\"}",
		&plain),
	    JWT_FAULT_NONE);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct status st = jwt_claim_str(&w->jwt, span_str(rows[i].path), &s);

		if (st.code != rows[i].code || (is_ok(st) && !span_eq_str(s, rows[i].value)))
			FAIL_ROW("%s: %s", rows[i].path, status_text(st));
	}
}

static enum code
read_roles(struct world *w, const char *roles, struct span *ret, size_t *n)
{
	struct buf claims = BUF_INIT((size_t)2 * JWT_LEN_MAX);
	struct status st;

	assert_true(is_ok(buf_printf(&claims, "{" GOOD ",\"r\":%s}", roles)));
	assert_true(is_ok(buf_put_u8(&claims, 0)));
	assert_int_equal(check(w, (char *)claims.ptr, &plain), JWT_FAULT_NONE);
	buf_done(&claims);
	st = jwt_claim_strs(&w->jwt, SPAN_LIT("r"), ret, n);
	return (enum code)st.code;
}

static void
lists_are_bounded(void **state)
{
	struct span s[JWT_ITEMS_MAX];
	struct buf many = BUF_INIT(1 << 20);
	struct world *w = *state;
	char item[JWT_ITEM_LEN_MAX + 4];
	size_t n = 0;

	assert_int_equal(read_roles(w, "\"one\"", s, &n), E_OK);
	assert_true(n == 1 && span_eq_str(s[0], "one"));
	assert_int_equal(read_roles(w, "[\"a\",\"\\u0062\"]", s, &n), E_OK);
	assert_true(n == 2 && span_eq_str(s[1], "b"));
	assert_int_equal(read_roles(w, "[]", s, &n), E_OK);
	assert_int_equal(n, 0);
	assert_int_equal(read_roles(w, "null", s, &n), E_NOTFOUND);
	assert_int_equal(read_roles(w, "7", s, &n), E_SYNTAX);
	assert_int_equal(read_roles(w, "[\"a\",7]", s, &n), E_SYNTAX);
	assert_int_equal(read_roles(w, "[[\"a\"]]", s, &n), E_SYNTAX);
	memset(item, 'x', sizeof(item));
	item[0] = item[JWT_ITEM_LEN_MAX + 1] = '"';
	item[JWT_ITEM_LEN_MAX + 2] = '\0';
	assert_int_equal(read_roles(w, item, s, &n), E_OK);
	item[JWT_ITEM_LEN_MAX + 1] = 'x';
	item[JWT_ITEM_LEN_MAX + 2] = '"';
	item[JWT_ITEM_LEN_MAX + 3] = '\0';
	assert_int_equal(read_roles(w, item, s, &n), E_RANGE);

	for (size_t roles = 64; roles <= 1000; roles = roles == 64 ? 65 : roles * 4) {
		buf_clear(&many);
		for (size_t i = 0; i < roles; i++)
			assert_true(is_ok(buf_put_str(&many, i == 0 ? "[\"r\"" : ",\"r\"")));
		assert_true(is_ok(buf_put(&many, "]", 2)));
		assert_int_equal(
		    read_roles(w, (char *)many.ptr, s, &n), roles == 64 ? E_OK : E_RANGE);
	}
	buf_done(&many);
}

/* They do not even fit. */
static void
ten_thousand_roles_are_refused(void **state)
{
	struct buf claims = BUF_INIT(1 << 20), token = BUF_INIT(1 << 20);
	struct world *w = *state;

	assert_true(is_ok(buf_put_str(&claims, "{" GOOD ",\"r\":[\"r\"")));
	for (size_t i = 1; i < 10000; i++)
		assert_true(is_ok(buf_put_str(&claims, ",\"r\"")));
	assert_true(is_ok(buf_put(&claims, "]}", 3)));
	signer_put(&w->key, (char *)claims.ptr, &token);
	assert_int_equal(jwt_parse(&w->jwt, buf_span(&token)).code, E_RANGE);
	assert_int_equal(w->jwt.fault, JWT_FAULT_SIZE);
	buf_done(&claims);
	buf_done(&token);
}

static void
every_fault_has_a_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < JWT_FAULT_COUNT; i++) {
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(
			    jwt_fault_name((enum jwt_fault)i), jwt_fault_name((enum jwt_fault)k));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_that_all_have),
		cmocka_unit_test(clocks_may_differ_a_little),
		cmocka_unit_test(a_token_may_not_live_longer_than_allowed),
		cmocka_unit_test(types),
		cmocka_unit_test(the_issuer_can_be_asked_before),
		cmocka_unit_test(claims_by_path),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(ten_thousand_roles_are_refused),
		cmocka_unit_test(every_fault_has_a_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
