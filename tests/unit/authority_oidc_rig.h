/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_OIDC_RIG_H
#define TESTS_AUTHORITY_OIDC_RIG_H

/*
 * Tokens of identity providers in src/authority: the broker that fetches, and who signs.
 */
#include "unit.h"

#include <wire/role.h>

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

static inline int
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

static inline int
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

static inline struct issuer *
issuer(const char *name)
{
	char url[64];

	(void)snprintf(url, sizeof(url), "https://%s.example", name);
	return issuers_find(&w.a->oidc->issuers, span_str(url));
}

/* Only this one is asked; the others are not due. */
static inline struct issuer *
only(const char *name)
{
	struct issuer *i = issuer(name);

	for (size_t n = 0; n < w.a->oidc->issuers.count; n++)
		w.a->oidc->issuers.items[n]->refresh_ms = UINT64_MAX;
	i->refresh_ms = 0;
	return i;
}

static inline struct issuer *
fetched(const char *name)
{
	struct issuer *i = only(name);

	oidc_tick(w.a);
	spin();
	assert_non_null(i->keys);
	return i;
}

static inline enum oidc_answer
check_at(const struct signer *s, const char *claims, uint64_t now_s)
{
	buf_clear(&token);
	signer_put(s, claims, &token);
	return oidc_check(w.a, buf_span(&token), now_s, &who, &fault);
}

static inline enum oidc_answer
check(const struct signer *s, const char *claims)
{
	return check_at(s, claims, NOW);
}

static inline void
ready(void *ctx)
{
	(void)ctx;
	woken++;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
