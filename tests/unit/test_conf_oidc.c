/* SPDX-License-Identifier: Apache-2.0 */
/* lib/conf: identity providers: what is taken, and what is refused with its line. */
#include "unit.h"

#include <conf/conf.h>

#define BASE                                                                         \
	"policies: {default: {endpoints: \"*\", models: \"*\"}, staff: {endpoints: " \
	"\"*\", models: \"*\"}}\n"                                                   \
	"providers: {demo: {kind: demo}}\nmodels: {demo: [{provider: demo, model: demo}]}\n"
#define ONE(keys) BASE "oidc:\n- {" keys "}\n"
#define IDP "issuer: 'https://idp.example/realms/a', audience: sallyport"
#define TENANT ", claims: {tenant: org.id}"

static struct status
parse(const char *yaml, struct conf **ret, char error[CONF_ERROR_MAX])
{
	struct status st = conf_parse(span_str(yaml), ret, error);

	if (is_ok(st) == (error[0] != '\0'))
		print_error("%s\n%s\n", yaml, error);
	assert_true(is_ok(st) == (error[0] == '\0'));
	return st;
}

static void
all_keys_are_read(void **state)
{
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;
	struct status st = parse(
	    ONE(IDP
		", claims: {tenant: 'https://x.example/t.y', user: email, "
		"roles: realm_access.roles, policy: pol}, policy: staff, "
		"roles_map: {/groups/admins: administrator, x.y: user}, "
		"algorithms: [ES256, EdDSA], typ: at+jwt, max_age_s: 3600, "
		"skew_s: 0, jwks_hosts: ['keys.example:8443'], "
		"ca_file: ca.pem, allow_private: true, tls_min: 1.2") "- {issuer: "
								      "'http://127.0.0.1:9000', "
								      "audience: b, "
								      "tenant_fixed: acme, "
								      "allow_plain_loopback: "
								      "true}\n",
	    &c, error);

	(void)state;
	assert_true(is_ok(st));
	assert_string_equal(conf_str(c, "oidc.0.claims.tenant"), "https://x.example/t.y");
	assert_string_equal(
	    conf_strf(c, "oidc.%u.roles_map.%s", 0U, "/groups/admins"), "administrator");
	assert_string_equal(conf_strf(c, "oidc.%u.roles_map.%s", 0U, "x.y"), "user");
	assert_string_equal(conf_str(c, "oidc.0.algorithms"), "ES256 EdDSA");
	assert_int_equal(conf_u64(c, "oidc.0.skew_s"), 0);
	assert_string_equal(conf_str(c, "oidc.1.tenant_fixed"), "acme");
	assert_string_equal(conf_str(c, "oidc.1.policy"), "default");
	assert_int_equal(conf_u64(c, "oidc.1.skew_s"), 60);
	assert_int_equal(conf_u64(c, "oidc.1.max_age_s"), 0);
	assert_string_equal(conf_str(c, "oidc.1.typ"), "any");
	assert_null(conf_str(c, "oidc.1.claims.user"));
	conf_free(c);
}

static void
faults_are_refused_with_their_line(void **state)
{
	static const struct {
		const char *yaml, *error;
	} rows[] = {
		{ BASE "oidc: {issuer: 'https://a'}\n", "line 4: oidc: expects a list" },
		{ BASE "oidc: []\n", "line 4: oidc: the list is empty" },
		{ ONE("audience: a" TENANT), "line 5: oidc.0.issuer: is missing" },
		{ ONE("issuer: 'https://a'" TENANT), "line 5: oidc.0.audience: is missing" },
		{ ONE(IDP), "line 5: oidc.0.tenant_fixed: is missing, and so is claims.tenant" },
		{ ONE(IDP TENANT ", tenant_fixed: a"), "line 5: oidc.0.tenant_fixed: contradicts" },
		{ ONE(IDP ", tenant_fixed: 'a b'"),
		    "line 5: oidc.0.tenant_fixed: is not the name" },
		{ ONE(IDP ", tenant_fixed: '..'"), "line 5: oidc.0.tenant_fixed: is not the name" },
		{ ONE(IDP TENANT ", policy: none"), "line 5: oidc.0.policy: names a policy that" },
		{ ONE(IDP TENANT ", jwks_uri: 'https://a'"),
		    "line 5: oidc.0.jwks_uri: unknown key" },
		{ ONE(IDP TENANT ", secret: x"), "line 5: oidc.0.secret: unknown key" },
		{ ONE(IDP ", claims: {tenant: a..b}"),
		    "line 5: oidc.0.claims.tenant: has an empty" },
		{ ONE(IDP ", claims: {tenant: a.}"), "line 5: oidc.0.claims.tenant: has an empty" },
		{ ONE(IDP ", claims: {tenant: 'a b'}"), "line 5: oidc.0.claims.tenant: is not" },
		{ ONE(IDP ", claims: {tenant: ''}"), "line 5: oidc.0.claims.tenant: is empty" },
		{ ONE(IDP ", claims: {tenant: a, b: c}"), "line 5: oidc.0.claims.b: unknown key" },
		{ ONE(IDP TENANT ", roles_map: {a: user}"), "line 5: oidc.0.roles_map: can never" },
		{ ONE(IDP ", claims: {tenant: a, roles: r}, roles_map: {a: root}"),
		    "line 5: oidc.0.roles_map.a: is not one of" },
		{ ONE(IDP TENANT ", algorithms: [none]"), "line 5: oidc.0.algorithms: names some" },
		{ ONE(IDP TENANT ", algorithms: [HS256]"),
		    "line 5: oidc.0.algorithms: names some" },
		{ ONE(IDP TENANT ", typ: dpop"), "line 5: oidc.0.typ: is not one of" },
		{ ONE(IDP TENANT ", skew_s: 61"), "line 5: oidc.0.skew_s: is out of its range" },
		{ ONE(IDP TENANT ", jwks_hosts: '*'"), "line 5: oidc.0.jwks_hosts: " },
		{ ONE(IDP TENANT ", jwks_hosts: ['*']"), "line 5: oidc.0.jwks_hosts: names each" },
		{ ONE(IDP TENANT ", jwks_hosts: ['https://k']"),
		    "line 5: oidc.0.jwks_hosts: expects" },
		{ ONE(IDP TENANT ", jwks_hosts: ['u@k']"), "line 5: oidc.0.jwks_hosts: expects" },
		{ ONE(IDP TENANT ", jwks_hosts: [a, b, c, d, e, f, g, h, i]"),
		    "line 5: oidc.0.jwks_hosts: names more than 8" },
		{ ONE(IDP TENANT ", jwks_hosts: ['k:0']"), "line 5: oidc.0.jwks_hosts: has no" },
		{ ONE(IDP TENANT ", jwks_hosts: ['169.254.169.254']"),
		    "line 5: oidc.0.jwks_hosts: names an address that no" },
		{ ONE("issuer: 'http://idp.example', audience: a" TENANT),
		    "line 5: oidc.0.issuer: http: needs a loopback address" },
		{ ONE("issuer: 'http://idp.example', audience: a, allow_plain_loopback: "
		      "true" TENANT),
		    "line 5: oidc.0.issuer: http: needs a loopback address" },
		{ ONE("issuer: 'https://10.0.0.1', audience: a" TENANT),
		    "line 5: oidc.0.issuer: names a private address" },
		{ ONE("issuer: 'https://169.254.169.254', audience: a" TENANT),
		    "line 5: oidc.0.issuer: names an address that no" },
		{ ONE("issuer: 'https://a?b', audience: a" TENANT),
		    "line 5: oidc.0.issuer: holds a" },
		{ ONE("issuer: 'https://u:p@a', audience: a" TENANT),
		    "line 5: oidc.0.issuer: holds a" },
		{ ONE(IDP TENANT ", allow_plain_loopback: true"),
		    "line 5: oidc.0.allow_plain_loopback: can never match" },
		{ ONE("issuer: 'https://localhost', audience: a, allow_private: true" TENANT),
		    "line 5: oidc.0.allow_private: can never match" },
		{ ONE("issuer: 'http://[::1]:1', audience: a, allow_plain_loopback: true, ca_file: "
		      "c" TENANT),
		    "line 5: oidc.0.ca_file: can never match" },
		{ ONE(IDP TENANT) "- {" IDP TENANT "}\n", "line 6: oidc.1.issuer: is here twice" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char error[CONF_ERROR_MAX];
		struct conf *c = NULL;
		struct status st = parse(rows[i].yaml, &c, error);

		if (is_ok(st) || strncmp(error, rows[i].error, strlen(rows[i].error)) != 0)
			print_error("case %zu: %s\n want: %s\n", i, error, rows[i].error);
		assert_false(is_ok(st));
		assert_true(strncmp(error, rows[i].error, strlen(rows[i].error)) == 0);
	}
}

static void
more_than_there_is_room_for(void **state)
{
	struct buf yaml = BUF_INIT(1 << 16);
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;

	(void)state;
	assert_true(is_ok(buf_put_str(&yaml, BASE "oidc:\n")));
	for (unsigned i = 0; i <= CONF_ISSUERS_MAX; i++) {
		assert_true(is_ok(buf_printf(&yaml,
		    "- {issuer: 'https://idp%u.example', audience: a, tenant_fixed: t}\n", i)));
		if (i + 1 < CONF_ISSUERS_MAX)
			continue;
		assert_true(
		    is_ok(conf_parse(buf_span(&yaml), &c, error)) == (i < CONF_ISSUERS_MAX));
		if (i < CONF_ISSUERS_MAX)
			conf_free(c);
	}
	assert_non_null(strstr(error, "too many"));
	buf_done(&yaml);
}

static void
add_weak(void *ctx, struct span name)
{
	struct buf *b = ctx;

	assert_true(is_ok(buf_printf(b, "%.*s ", SPAN_FMT(name))));
}

static void
what_is_in_clear_is_named(void **state)
{
	struct buf names = BUF_INIT(1024);
	char error[CONF_ERROR_MAX];
	struct conf *c = NULL;

	(void)state;
	assert_true(is_ok(parse(
	    ONE(IDP TENANT) "- {issuer: 'http://127.0.0.1:9000', audience: b, tenant_fixed: a, "
			    "allow_plain_loopback: true}\n"
			    "- {issuer: 'https://old.example', audience: b, tenant_fixed: a, "
			    "tls_min: 1.2}\n",
	    &c, error)));
	conf_each_weak(c, add_weak, &names);
	assert_true(span_eq_str(buf_span(&names), "http://127.0.0.1:9000 https://old.example "));
	conf_free(c);
	buf_done(&names);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_keys_are_read),
		cmocka_unit_test(faults_are_refused_with_their_line),
		cmocka_unit_test(more_than_there_is_room_for),
		cmocka_unit_test(what_is_in_clear_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
