/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_PEOPLE_RIG_H
#define TESTS_AUTHORITY_PEOPLE_RIG_H

/*
 * People who come with a token of an identity provider, or a certificate.
 */
static const char people_yaml[] =
    "policies:\n"
    "  default: { endpoints: '*', models: '*' }\n"
    "  helped: { endpoints: '*', models: '*' }\n"
    "providers: { d: { kind: demo } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "oidc:\n"
    "- { issuer: 'https://a.example', audience: sallyport, tenant_fixed: acme,\n"
    "    claims: { roles: roles, policy: pol } }\n"
    "client_certificates:\n"
    "  ca_file: clients.pem\n"
    "  clients:\n"
    "  - { match: 'spiffe://a.example/ci', tenant: acme, user: ci, roles: [user] }\n"
    "  - { match: 'spiffe://a.example/gone', tenant: acme, user: gone, roles: [user] }\n";
#define WORLD_YAML people_yaml
#include "authority_world.h"

#include <time.h>
#include <unistd.h>

#include <wire/certificate.h>
#include <wire/role.h>

#include "admin_op.h"
#include "jwt_world.h"

static struct signer signer;
static struct buf keys, token;

UNUSED static int
begin(void **state)
{
	static const struct span discovery = SPAN_LIT(
	    "{\"issuer\":\"https://a.example\",\"jwks_uri\":\"https://a.example/keys\"}");

	if (setup(state) != 0)
		return -1;
	signer = signer_new("EdDSA", "k");
	keys = token = BUF_INIT(JWKS_LEN_MAX);
	signers_put_jwks(&signer, 1, &keys);
	w.fetch_discovery = discovery;
	w.fetch_keys = buf_span(&keys);
	return 0;
}

UNUSED static int
end(void **state)
{
	cut(&w.gw); /* its turns end with it */
	people_done(w.a);
	EVP_PKEY_free(signer.pkey);
	buf_done(&keys);
	buf_done(&token);
	return teardown(state);
}

/* What a gateway asks with a token of ann's; `more` are claims behind a comma. */
UNUSED static struct ga_admit
asking(const char *sub, const char *more)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	char claims[512];

	(void)snprintf(claims, sizeof(claims),
	    "{\"iss\":\"https://a.example\",\"aud\":\"sallyport\",\"sub\":\"%s\",\"exp\":%lld%s}",
	    sub, (long long)time(NULL) + 300, more);
	buf_clear(&token);
	signer_put(&signer, claims, &token);
	m.credential = buf_span(&token);
	m.tools = 0;
	return m;
}

UNUSED static struct reply *
come(const char *sub, const char *more)
{
	const struct ga_admit m = asking(sub, more);

	return call(w.gw, GA_ADMIT, &m);
}

UNUSED static enum error
come_with_certificate(const char *name)
{
	const struct certificate c = { span_str(name), (uint64_t)time(NULL) + 300 };
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);

	buf_clear(&token);
	assert_true(is_ok(certificate_put(&c, &token)));
	m.credential = buf_span(&token);
	m.tools = 0;
	return call(w.gw, GA_ADMIT, &m)->error;
}

#define USER ",\"roles\":[\"user\"]"

UNUSED static struct user *
user_named(const char *name)
{
	return keys_find_user(&w.a->keys, SPAN_LIT("acme"), span_str(name));
}

/* A user made here, as the store tells of it. */
UNUSED static struct user *
local(const char *name, uint8_t roles)
{
	static const uint8_t subject_key[AS_SECRET_LEN] = { 9 };
	struct user *u = NULL;

	assert_true(
	    is_ok(keys_put_user(&w.a->keys, SPAN_LIT("acme"), span_str(name), subject_key, &u)));
	user_set_marks(u, roles, USER_ACTIVE, 0);
	return u;
}

UNUSED static void
on_said(void *ctx, uint16_t status, struct span body)
{
	(void)body;
	*(uint16_t *)ctx = status;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

#endif
