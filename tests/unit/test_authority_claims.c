/* SPDX-License-Identifier: Apache-2.0 */
/* src/authority/oidc.c, oidc_cache.c: claims become people; what is remembered. */
#include "authority_oidc_rig.h"

/* ---- claims ---- */
static void
claims_become_people(void **state)
{
	static const struct {
		const char *claims;
		enum jwt_fault fault;
		uint8_t roles;
		const char *policy;
	} rows[] = {
		{ WHO ",\"groups\":[\"/admins\",\"people\",\"else\"]", JWT_FAULT_NONE,
		    ROLE_ADMINISTRATOR | ROLE_USER, "staff" },
		{ WHO ",\"groups\":\"audit.x\"", JWT_FAULT_NONE, ROLE_AUDITOR, "staff" },
		{ WHO ",\"groups\":[]", JWT_FAULT_NONE, 0, "staff" },
		/* names of roles are no values where there is a map */
		{ WHO ",\"groups\":[\"owner\",\"administrator\"]", JWT_FAULT_NONE, 0, "staff" },
		{ WHO ",\"groups\":[\"\",\"/admins\\u001fx\",\"audit\\u001fx\",\"*\"]",
		    JWT_FAULT_NONE, 0, "staff" },
		{ WHO ",\"pol\":\"default\"", JWT_FAULT_NONE, 0, "default" },
		{ WHO ",\"pol\":\"nobodys\"", JWT_FAULT_MAPPING, 0, NULL },
		{ WHO ",\"pol\":null", JWT_FAULT_NONE, 0, "staff" },
		{ WHO ",\"pol\":7", JWT_FAULT_MAPPING, 0, NULL },
		{ WHO ",\"pol\":\"a b\"", JWT_FAULT_MAPPING, 0, NULL },
		{ WHO ",\"groups\":{\"a\":1}", JWT_FAULT_ROLES, 0, NULL },
		{ WHO ",\"groups\":[7]", JWT_FAULT_ROLES, 0, NULL },
		{ WHO ",\"groups\":[[\"/admins\"]]", JWT_FAULT_ROLES, 0, NULL },
		{ "\"email\":\"a\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":\"acme\",\"email\":\"a\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"acme\"}", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"acme\"},\"email\":\"\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"a/b\"},\"email\":\"a\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"a\\u001fb\"},\"email\":\"a\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"acme\"},\"email\":\"a b\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"acme\"},\"email\":\"\\u00e9\"", JWT_FAULT_MAPPING, 0, NULL },
		/* nobody could be administered who is a segment that no path may have */
		{ "\"org\":{\"id\":\"acme\"},\"email\":\"..\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"acme\"},\"email\":\".\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"..\"},\"email\":\"a\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"acme\"},\"email\":\"'; DROP TABLE users; --\"",
		    JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":[\"acme\"]},\"email\":\"a\"", JWT_FAULT_MAPPING, 0, NULL },
		{ "\"org\":{\"id\":\"acme\"},\"email\":"
		  "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
		    JWT_FAULT_MAPPING, 0, NULL },
	};
	char claims[1024];

	(void)state;
	(void)fetched("a");
	for (size_t n = 0; n < COUNT(rows); n++) {
		enum oidc_answer got;

		(void)snprintf(claims, sizeof(claims), "{" A ",%s}", rows[n].claims);
		got = check(&old, claims);
		if (fault != rows[n].fault ||
		    got != (rows[n].fault == JWT_FAULT_NONE ? OIDC_OK : OIDC_BAD))
			FAIL_ROW("%s: %s", rows[n].claims, jwt_fault_name(fault));
		if (got != OIDC_OK)
			continue;
		assert_int_equal(who.roles, rows[n].roles);
		assert_true(span_eq_str(who.policy, rows[n].policy));
		assert_true(span_eq_str(who.tenant, "acme"));
		assert_int_equal(check(&old, claims), OIDC_OK); /* remembered the same */
		assert_int_equal(who.roles, rows[n].roles);
		assert_true(span_eq_str(who.policy, rows[n].policy));
		assert_true(span_eq_str(who.user, "ann@acme.example"));
	}
}

static void
what_is_not_configured_has_its_usual_meaning(void **state)
{
	(void)state;
	w.fetch_discovery = DISCOVERY("b");
	(void)fetched("b");
	assert_int_equal(check(&old, "{" B ",\"sub\":\"u1\",\"tenant\":\"acme\"}"), OIDC_OK);
	assert_true(span_eq_str(who.tenant, "bee") && span_eq_str(who.user, "u1"));
	assert_true(span_eq_str(who.policy, "default"));
	assert_int_equal(who.roles, ROLE_USER);
	assert_int_equal(who.expires_s, 1800000300);
	assert_int_equal(check(&old, "{" B "}"), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_MAPPING);
	/* Without a map the roles' own names count. */
	w.fetch_discovery = DISCOVERY("c");
	(void)fetched("c");
	assert_int_equal(
	    check(&old, "{" C ",\"sub\":\"u1\",\"roles\":[\"owner\",\"auditor\",\"Owner\"]}"),
	    OIDC_OK);
	assert_int_equal(who.roles, ROLE_OWNER | ROLE_AUDITOR);
}

static void
too_many_roles_are_refused(void **state)
{
	struct buf claims = BUF_INIT((size_t)2 * JWT_LEN_MAX);

	(void)state;
	(void)fetched("a");
	assert_true(is_ok(buf_put_str(&claims, "{" A "," WHO ",\"groups\":[\"people\"")));
	for (unsigned n = 0; n < JWT_ITEMS_MAX; n++)
		assert_true(is_ok(buf_put_str(&claims, ",\"people\"")));
	assert_true(is_ok(buf_put(&claims, "]}", 3)));
	assert_int_equal(check(&old, (char *)claims.ptr), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_ROLES);
	buf_done(&claims);
}

static void
tokens_that_are_none_of_ours(void **state)
{
	static const struct {
		const char *claims;
		enum jwt_fault fault;
	} rows[] = {
		{ "{\"iss\":\"https://evil.example\"}", JWT_FAULT_ISSUER },
		{ "{}", JWT_FAULT_ISSUER },
		{ "{\"iss\":\"https://a.example\",\"aud\":\"other\",\"exp\":1800000300," WHO "}",
		    JWT_FAULT_AUDIENCE },
		{ "{\"iss\":\"https://a.example\",\"aud\":\"sallyport\",\"exp\":1799999970," WHO
		  "}",
		    JWT_FAULT_EXPIRED },
		{ "{" A ",\"nbf\":1800000031," WHO "}", JWT_FAULT_FUTURE },
		{ "{\"iss\":\"https://a.example\",\"aud\":\"sallyport\"," WHO "}",
		    JWT_FAULT_NO_EXPIRY },
	};
	char huge[JWT_LEN_MAX + 2];

	(void)state;
	(void)fetched("a");
	for (size_t n = 0; n < COUNT(rows); n++) {
		assert_int_equal(check(&old, rows[n].claims), OIDC_BAD);
		assert_int_equal(fault, rows[n].fault);
	}
	memset(huge, 'a', sizeof(huge));
	assert_int_equal(
	    oidc_check(w.a, span_of(huge, JWT_LEN_MAX + 1), NOW, &who, &fault), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_SIZE);
	assert_int_equal(oidc_check(w.a, SPAN_EMPTY, NOW, &who, &fault), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_FORMAT);
}

/* The key of one house signs nothing for another. */
static void
issuers_do_not_speak_for_each_other(void **state)
{
	(void)state;
	(void)fetched("a");
	w.fetch_discovery = DISCOVERY("b");
	w.fetch_keys = buf_span(&keys_of_fresh);
	(void)fetched("b");
	issuer("a")->next_ms = issuer("b")->next_ms = UINT64_MAX;
	assert_int_equal(check(&fresh, "{" B ",\"sub\":\"u\"}"), OIDC_OK);
	assert_int_equal(check(&old, "{" B ",\"sub\":\"u\"}"), OIDC_BAD);
	assert_int_equal(check(&fresh, "{" A "," WHO "}"), OIDC_BAD);
	fresh.kid = "old";
	assert_int_equal(check(&fresh, "{" A "," WHO "}"), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_ALGORITHM);
}

/* ---- the cache ---- */
static void
a_token_is_remembered_until_its_end(void **state)
{
	struct issuer *i = fetched("a");

	(void)state;
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
	jwks_free(i->keys);
	i->keys = NULL; /* nothing could verify it again */
	i->next_ms = UINT64_MAX;
	assert_int_equal(oidc_check(w.a, buf_span(&token), NOW, &who, &fault), OIDC_OK);
	assert_int_equal(oidc_check(w.a, buf_span(&token), 1800000329, &who, &fault), OIDC_OK);
	assert_int_equal(
	    oidc_check(w.a, buf_span(&token), 1800000330, &who, &fault), OIDC_UNAVAILABLE);
	token.ptr[token.len - 1] ^= 1; /* another token */
	assert_int_equal(oidc_check(w.a, buf_span(&token), NOW, &who, &fault), OIDC_BAD);
	i->epoch++;
	token.ptr[token.len - 1] ^= 1;
	assert_int_equal(oidc_check(w.a, buf_span(&token), NOW, &who, &fault), OIDC_UNAVAILABLE);
}

static void
a_full_cache_loses_who_ends_first(void **state)
{
	uint8_t hash[SHA256_LEN] = { 7 };
	struct issuer i = { .epoch = 1 };
	struct oidc_cache c;

	(void)state;
	assert_true(is_ok(oidc_cache_init(&c)));
	for (uint8_t n = 0; n <= OIDC_CACHE_WAYS; n++) {
		struct oidc_entry *e;

		hash[31] = n;
		e = oidc_cache_place(&c, hash, 100);
		assert_null(e->issuer);
		e->issuer = &i;
		e->epoch = 1;
		e->expires_s = n == 2 ? 200 : 300U + n;
	}
	for (uint8_t n = 0; n <= OIDC_CACHE_WAYS; n++) {
		hash[31] = n;
		assert_true((oidc_cache_find(&c, hash, 100) == NULL) == (n == 2));
	}
	i.epoch = 2;
	hash[31] = 0;
	assert_null(oidc_cache_find(&c, hash, 100));
	oidc_cache_done(&c);
}

static void
reload(const char *yaml_text)
{
	char error[CONF_ERROR_MAX];
	struct conf *conf = NULL;

	assert_true(is_ok(conf_parse(span_str(yaml_text), &conf, error)));
	conf_free(w.d.conf);
	w.d.conf = conf;
	oidc_config(w.a);
}

#define HEAD                                                                                 \
	"policies: {default: {endpoints: '*', models: '*'}}\nproviders: {d: {kind: demo}}\n" \
	"models: {alpha: [{provider: d, model: a}]}\n"

static enum oidc_answer judged;

static void
judge(void *ctx)
{
	ready(ctx);
	judged = oidc_check(w.a, buf_span(&token), NOW, &who, &fault);
}

/* Who waits for keys goes on to wait where they come from now. */
static void
those_who_wait_find_the_next_entry(void **state)
{
	char text[8192];
	size_t len = 0;

	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A ",\"sub\":\"u\"}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, judge, NULL)));
	reload(HEAD "oidc:\n- {issuer: 'https://a.example', audience: sallyport, tenant_fixed: t, "
		    "jwks_hosts: [l.example]}\n");
	assert_int_equal(woken, 1);
	assert_int_equal(judged, OIDC_LATER);
	/* As many as there may be are replaced by as many. */
	for (int round = 0; round < 2; round++) {
		len = (size_t)snprintf(text, sizeof(text), HEAD "oidc:\n");
		for (int n = 0; n < ISSUERS_MAX; n++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
			    "- {issuer: 'https://i%d.example', audience: x, tenant_fixed: t, "
			    "jwks_hosts: [k%d.example]}\n",
			    n, round);
		reload(text);
		assert_int_equal(w.a->oidc->issuers.count, ISSUERS_MAX);
	}
	spin();
}

static void
a_configuration_changes_who_people_are(void **state)
{
	struct issuer *i = fetched("a");

	(void)state;
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
	/* Another place among others, another tenant: the keys stay, what was known goes. */
	reload(HEAD "oidc:\n- {issuer: 'https://n.example', audience: x, tenant_fixed: t}\n"
		    "- {issuer: 'https://a.example', audience: sallyport, tenant_fixed: other, "
		    "claims: {user: email}}\n");
	assert_ptr_equal(issuer("a"), i);
	assert_int_equal(oidc_check(w.a, buf_span(&token), NOW, &who, &fault), OIDC_OK);
	assert_true(span_eq_str(who.tenant, "other"));
	assert_int_equal(who.roles, ROLE_USER);
	assert_null(issuer("b"));
	/* Its keys may lie elsewhere now: they are fetched anew. */
	reload(HEAD "oidc:\n- {issuer: 'https://a.example', audience: sallyport, tenant_fixed: t, "
		    "jwks_hosts: [k.example]}\n");
	assert_null(issuer("a")->keys);
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A ",\"sub\":\"u\"}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	reload(HEAD);
	assert_int_equal(woken, 1);
	assert_int_equal(check(&old, "{" A ",\"sub\":\"u\"}"), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_ISSUER);
	spin();
}

static void
status_tells_of_keys(void **state)
{
	struct buf text = BUF_INIT(1 << 16);
	struct issuer *i = fetched("a");

	(void)state;
	w.fetch_mode = FETCHES_FAIL;
	i->refresh_ms = 0;
	oidc_tick(w.a);
	spin();
	assert_true(is_ok(status_put(w.a, &text)));
	assert_true(is_ok(buf_put_u8(&text, 0)));
	assert_non_null(strstr((char *)text.ptr,
	    "\"issuers\":[{\"issuer\":\"https://a.example\",\"keys\":1,\"age_s\":0,\"fault\":\"its "
	    "discovery document could not be fetched\"},{\"issuer\":\"https://b.example\",\"keys\":"
	    "0}"));
	buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(claims_become_people),
		TEST(what_is_not_configured_has_its_usual_meaning),
		TEST(too_many_roles_are_refused),
		TEST(tokens_that_are_none_of_ours),
		TEST(issuers_do_not_speak_for_each_other),
		TEST(a_token_is_remembered_until_its_end),
		TEST(a_full_cache_loses_who_ends_first),
		TEST(a_configuration_changes_who_people_are),
		TEST(those_who_wait_find_the_next_entry),
		TEST(status_tells_of_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
