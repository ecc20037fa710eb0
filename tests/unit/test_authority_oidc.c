/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_oidc.c: tokens of identity providers: whose they are, and how keys come, change,
 * stay away and go.
 */
static const char oidc_yaml[] =
    "policies:\n"
    "  default: { endpoints: '*', models: '*' }\n"
    "  staff: { endpoints: '*', models: '*' }\n"
    "providers: { d: { kind: demo } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "oidc:\n"
    "- { issuer: 'https://a.example', audience: sallyport, skew_s: 30,\n"
    "    claims: { tenant: org.id, user: email, roles: groups, policy: pol }, policy: staff,\n"
    "    roles_map: { /admins: administrator, people: user, audit.x: auditor } }\n"
    "- { issuer: 'https://b.example', audience: sallyport, tenant_fixed: bee, skew_s: 0 }\n"
    "- { issuer: 'https://c.example', audience: sallyport, tenant_fixed: cee,\n"
    "    claims: { roles: roles } }\n";
#define WORLD_YAML oidc_yaml
#include "authority_world.h"

#include <wire/role.h>

#include "jwt_world.h"
#include "later.h"

#define NOW 1800000000ULL
#define A "\"iss\":\"https://a.example\",\"aud\":\"sallyport\",\"exp\":1800000300"
#define B "\"iss\":\"https://b.example\",\"aud\":\"sallyport\",\"exp\":1800000300"
#define C "\"iss\":\"https://c.example\",\"aud\":\"sallyport\",\"exp\":1800000300"
#define WHO "\"org\":{\"id\":\"acme\"},\"email\":\"ann@acme.example\""
#define DISCOVERY(x)                                                               \
	SPAN_LIT("{\"issuer\":\"https://" x ".example\",\"jwks_uri\":\"https://" x \
		 ".example/keys\",\"scopes_supported\":[\"openid\"]}")

static struct signer old, fresh;
static struct buf keys_of_old, keys_of_fresh, token;
static struct oidc_identity who;
static enum jwt_fault fault;
static unsigned woken;

static int
begin(void **state)
{
	if (setup(state) != 0)
		return -1;
	old = signer_new("ES256", "old");
	fresh = signer_new("EdDSA", "new");
	keys_of_old = keys_of_fresh = BUF_INIT(JWKS_LEN_MAX);
	token = BUF_INIT((size_t)2 * JWT_LEN_MAX);
	signers_put_jwks(&old, 1, &keys_of_old);
	signers_put_jwks(&fresh, 1, &keys_of_fresh);
	w.fetch_discovery = DISCOVERY("a");
	w.fetch_keys = buf_span(&keys_of_old);
	woken = 0;
	return 0;
}

static int
end(void **state)
{
	int rc = teardown(state); /* what was asked for is still answered in it */

	EVP_PKEY_free(old.pkey);
	EVP_PKEY_free(fresh.pkey);
	buf_done(&keys_of_old);
	buf_done(&keys_of_fresh);
	buf_done(&token);
	return rc;
}

static struct issuer *
issuer(const char *name)
{
	char url[64];

	(void)snprintf(url, sizeof(url), "https://%s.example", name);
	return issuers_find(&w.a->oidc->issuers, span_str(url));
}

/* Only this one is asked; the others are not due. */
static struct issuer *
only(const char *name)
{
	struct issuer *i = issuer(name);

	for (size_t n = 0; n < w.a->oidc->issuers.count; n++)
		w.a->oidc->issuers.items[n]->refresh_ms = UINT64_MAX;
	i->refresh_ms = 0;
	return i;
}

static struct issuer *
fetched(const char *name)
{
	struct issuer *i = only(name);

	oidc_tick(w.a);
	spin();
	assert_non_null(i->keys);
	return i;
}

static enum oidc_answer
check_at(const struct signer *s, const char *claims, uint64_t now_s)
{
	buf_clear(&token);
	signer_put(s, claims, &token);
	return oidc_check(w.a, buf_span(&token), now_s, &who, &fault);
}

static enum oidc_answer
check(const struct signer *s, const char *claims)
{
	return check_at(s, claims, NOW);
}

static void
ready(void *ctx)
{
	(void)ctx;
	woken++;
}

/* ---- keys ---- */

static void
keys_come_in_the_background(void **state)
{
	struct issuer *i = only("a");

	(void)state;
	oidc_tick(w.a);
	spin();
	assert_int_equal(w.discoveries, 1);
	assert_int_equal(w.key_fetches, 1);
	assert_string_equal(w.fetch_url, "https://a.example/keys");
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
	assert_true(span_eq_str(who.tenant, "acme") && span_eq_str(who.user, "ann@acme.example"));
	assert_true(span_eq_str(who.policy, "staff"));
	assert_int_equal(who.roles, 0);
	assert_int_equal(who.expires_s, 1800000330);
	assert_string_equal(who.issuer, "https://a.example");
	oidc_tick(w.a);
	spin();
	assert_int_equal(w.discoveries, 1); /* not due */
	assert_true(i->refresh_ms >= now_ms(w.a) + ISSUER_REFRESH_MS - 1000);
}

static void
a_token_that_comes_first_waits_for_keys(void **state)
{
	struct issuer *i = only("a");

	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	assert_false(is_ok(oidc_wait(w.a, ready, NULL))); /* once a check */
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, &token)));
	waiters_forget(&i->waiters, &token);
	spin();
	assert_int_equal(w.discoveries, 1); /* one flight for all */
	assert_int_equal(woken, 0);
	w.fetch_mode = FETCHES_ANSWER;
	const struct ab_fetched m = { .code = E_OK, .http_status = 200, .body = DISCOVERY("a") };
	assert_true(is_ok(link_send(w.broker, w.fetch_held, AB_FETCHED, &m)));
	spin();
	assert_int_equal(woken, 2);
	assert_int_equal(i->waiters.n, 0);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
}

static struct {
	unsigned n;
	struct gateway *gw;
	uint64_t id;
	char credential[64];
	uint8_t request;
} heard;

static void
hear(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_check *m = msg;

	heard.n++;
	heard.gw = ctx;
	heard.id = id;
	heard.request = m->request_id[0];
	assert_ptr_equal(l, heard.gw->link);
	assert_true(is_ok(span_to_cstr(m->credential, heard.credential, sizeof(heard.credential))));
}

static void
hear_admin(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_admin *m = msg;

	(void)l, (void)id, (void)ctx;
	heard.n += m->body.len == ADMIN_REQUEST_MAX && m->credential.len == CREDENTIAL_MAX;
}

/* A gateway's call is heard again when keys are there; not if the gateway is another by then. */
static void
calls_are_kept_for_later(void **state)
{
	struct gateway *gw = &w.a->gateways[0];
	struct ga_check m = { .credential = SPAN_LIT("a.b.c"), .request_id = { 9 } };

	(void)state;
	(void)only("a");
	memset(&heard, 0, sizeof(heard));
	assert_false(later(gw, GA_CHECK, 77, &m, hear)); /* nothing is awaited */
	w.fetch_mode = FETCHES_HOLD;
	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
		assert_true(later(gw, GA_CHECK, 77 + n, &m, hear));
		assert_false(later(gw, GA_CHECK, 77 + n, &m, hear)); /* once */
		if (n == 0)
			gw->peer_id++;
	}
	spin();
	cut(&w.broker);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.id, 78);
	assert_ptr_equal(heard.gw, gw);
	assert_string_equal(heard.credential, "a.b.c");
	assert_int_equal(heard.request, 9);
}

/* The longest act of administration waits whole. */
static void
long_calls_are_kept_for_later(void **state)
{
	static uint8_t text[ADMIN_REQUEST_MAX];
	const struct span path = span_of(text, ADMIN_PATH_MAX);
	const struct ga_admin m = { .credential = span_of(text, CREDENTIAL_MAX),
		.method = SPAN_LIT("POST"),
		.path = path,
		.query = path,
		.body = span_of(text, ADMIN_REQUEST_MAX) };
	struct gateway *gw = &w.a->gateways[0];

	(void)state;
	(void)only("a");
	memset(text, 'a', sizeof(text));
	memset(&heard, 0, sizeof(heard));
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	assert_true(later(gw, GA_ADMIN, 77, &m, hear_admin));
	spin();
	cut(&w.broker);
	assert_int_equal(heard.n, 1);
}

/* What cannot be kept, or may not ask, leaves nothing behind for the next call to wait for. */
static void
nothing_is_awaited_but_by_its_own_call(void **state)
{
	static uint8_t text[CREDENTIAL_MAX + 1];
	struct gateway *gw = &w.a->gateways[0];
	const struct ga_check good = { .credential = SPAN_LIT("a.b.c") },
			      bad = { .credential = span_of(text, sizeof(text)) };
	struct issuer *i = only("a");

	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	assert_false(later(gw, GA_CHECK, 77, &bad, hear));
	assert_false(oidc_is_awaited(w.a));
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	w.a->loaded = false;
	admit_on_check(gw->link, 78, &good, gw);
	assert_false(oidc_is_awaited(w.a));
	assert_int_equal(i->waiters.n, 0);
}

static void
nobody_waits_longer_than_five_seconds(void **state)
{
	struct issuer *i = only("a");

	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	oidc_tick(w.a);
	assert_int_equal(woken, 0);
	i->began_ms = now_ms(w.a) - OIDC_WAIT_MS;
	oidc_tick(w.a);
	assert_int_equal(woken, 1);
	assert_int_equal(check(&old, "{" A "}"), OIDC_UNAVAILABLE);
	assert_int_equal(fault, JWT_FAULT_KEYS_AWAY);
}

static void
those_who_wait_are_counted(void **state)
{
	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	for (unsigned n = 0; n <= OIDC_WAITERS_MAX; n++) {
		assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
		assert_true(is_ok(oidc_wait(w.a, ready, NULL)) == (n < OIDC_WAITERS_MAX));
	}
}

static void
keys_roll_over(void **state)
{
	struct signer third = { .pkey = fresh.pkey, .kid = "third", .alg = fresh.alg };
	struct issuer *i = fetched("a");

	(void)state;
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
	w.fetch_keys = buf_span(&keys_of_fresh);
	assert_int_equal(check(&fresh, "{" A "," WHO "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	spin();
	assert_int_equal(woken, 1);
	assert_int_equal(w.key_fetches, 2);
	assert_int_equal(w.discoveries, 1);
	assert_int_equal(check(&fresh, "{" A "," WHO "}"), OIDC_OK);
	/* What the old key had verified is not good any more. */
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_KEY);
	/* Not more than once a minute, whoever asks. */
	assert_int_equal(check(&third, "{" A "," WHO "}"), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_KEY);
	spin();
	assert_int_equal(w.key_fetches, 2);
	assert_true(i->next_ms >= now_ms(w.a) + ISSUER_AGAIN_MS - 1000);
	i->next_ms = 0;
	assert_int_equal(check(&third, "{" A "," WHO "}"), OIDC_LATER);
}

static void
the_same_keys_again_change_nothing(void **state)
{
	struct issuer *i = fetched("a");
	uint64_t epoch = i->epoch;

	(void)state;
	i->refresh_ms = 0;
	oidc_tick(w.a);
	spin();
	assert_int_equal(w.key_fetches, 2);
	assert_int_equal(i->epoch, epoch);
}

static void
old_keys_outlive_a_failure_for_a_day(void **state)
{
	struct issuer *i = fetched("a");

	(void)state;
	w.fetch_mode = FETCHES_FAIL;
	i->refresh_ms = 0;
	oidc_tick(w.a);
	spin();
	assert_int_equal(i->failures, 1);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
	/* A key that nobody knows: it cannot be told now. */
	assert_int_equal(check(&fresh, "{" A "}"), OIDC_UNAVAILABLE);
	i->keys_ms = now_ms(w.a) - ISSUER_KEYS_AGE_MAX_MS;
	i->refresh_ms = i->next_ms = UINT64_MAX;
	oidc_tick(w.a);
	assert_null(i->keys);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_UNAVAILABLE);
	assert_int_equal(fault, JWT_FAULT_KEYS_AWAY);
}

static void
failures_are_tried_again_less_and_less(void **state)
{
	static const uint64_t pauses[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
	struct issuer *i = only("a");

	(void)state;
	w.fetch_mode = FETCHES_FAIL;
	for (size_t n = 0; n < COUNT(pauses); n++) {
		i->refresh_ms = 0;
		uv_update_time(&w.loop);
		oidc_tick(w.a);
		spin();
		assert_int_equal(i->failures, n + 1);
		assert_in_range(i->next_ms - now_ms(w.a), pauses[n] - 200, pauses[n]);
	}
	assert_int_equal(check(&old, "{" A "}"), OIDC_UNAVAILABLE); /* not asked at each */
	spin();
	assert_int_equal(w.discoveries, COUNT(pauses));
	w.fetch_mode = FETCHES_ANSWER;
	i->refresh_ms = 0;
	oidc_tick(w.a);
	spin();
	assert_int_equal(i->failures, 0);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
}

static void
documents_that_do_not_do(void **state)
{
	static const struct span discoveries[] = { SPAN_LIT(""), SPAN_LIT("[]"), SPAN_LIT("<html>"),
		SPAN_LIT("{\"issuer\":\"https://b.example\",\"jwks_uri\":\"https://b.example\"}"),
		SPAN_LIT("{\"issuer\":\"https://a.example/\",\"jwks_uri\":\"https://a.example\"}"),
		SPAN_LIT("{\"jwks_uri\":\"https://a.example\"}"),
		SPAN_LIT("{\"issuer\":\"https://a.example\"}"),
		SPAN_LIT("{\"issuer\":\"https://a.example\",\"jwks_uri\":\"\"}"),
		SPAN_LIT("{\"issuer\":\"https://a.example\",\"jwks_uri\":7}"),
		SPAN_LIT("{\"issuer\":\"https://a.example\",\"issuer\":\"https://a.example\","
			 "\"jwks_uri\":\"https://a.example\"}") };
	static const struct span sets[] = { SPAN_LIT(""), SPAN_LIT("{}"), SPAN_LIT("{\"keys\":[]}"),
		SPAN_LIT("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}") };
	struct issuer *i = fetched("a");

	(void)state;
	for (size_t n = 0; n < COUNT(discoveries) + COUNT(sets); n++) {
		bool first = n < COUNT(discoveries);

		w.fetch_discovery = first ? discoveries[n] : DISCOVERY("a");
		w.fetch_keys = first ? buf_span(&keys_of_fresh) : sets[n - COUNT(discoveries)];
		i->refresh_ms = 0;
		oidc_tick(w.a);
		spin();
		assert_int_equal(i->failures, n + 1);
		assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK); /* by the old ones */
	}
}

static void
a_broker_that_is_away_is_not_waited_for(void **state)
{
	(void)only("a");
	(void)state;
	cut(&w.broker);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_UNAVAILABLE);
	oidc_tick(w.a);
	connect_fake(EDGE_AUTHORITY_BROKER, 12, &ab_edge, false, &broker_ops, &w.broker);
	oidc_tick(w.a);
	spin();
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
}

static void
a_broker_that_dies_ends_the_wait(void **state)
{
	(void)only("a");
	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	spin();
	cut(&w.broker);
	assert_int_equal(woken, 1);
	assert_int_equal(check(&old, "{" A "}"), OIDC_UNAVAILABLE);
}

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
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(keys_come_in_the_background),
		TEST(a_token_that_comes_first_waits_for_keys),
		TEST(calls_are_kept_for_later),
		TEST(long_calls_are_kept_for_later),
		TEST(nothing_is_awaited_but_by_its_own_call),
		TEST(nobody_waits_longer_than_five_seconds),
		TEST(those_who_wait_are_counted),
		TEST(keys_roll_over),
		TEST(the_same_keys_again_change_nothing),
		TEST(old_keys_outlive_a_failure_for_a_day),
		TEST(failures_are_tried_again_less_and_less),
		TEST(documents_that_do_not_do),
		TEST(a_broker_that_is_away_is_not_waited_for),
		TEST(a_broker_that_dies_ends_the_wait),
		TEST(claims_become_people),
		TEST(what_is_not_configured_has_its_usual_meaning),
		TEST(too_many_roles_are_refused),
		TEST(tokens_that_are_none_of_ours),
		TEST(issuers_do_not_speak_for_each_other),
		TEST(a_token_is_remembered_until_its_end),
		TEST(a_full_cache_loses_who_ends_first),
		TEST(a_configuration_changes_who_people_are),
		TEST(status_tells_of_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
