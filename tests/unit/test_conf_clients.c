/* SPDX-License-Identifier: Apache-2.0 */
/* lib/conf: machines' certificates: what is taken, and what is refused with its line. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <conf/conf.h>

#define BASE                                                                         \
	"policies: {default: {endpoints: \"*\", models: \"*\"}, staff: {endpoints: " \
	"\"*\", models: \"*\"}}\n"                                                   \
	"providers: {demo: {kind: demo}}\nmodels: {demo: [{provider: demo, model: demo}]}\n"
#define HEAD BASE "client_certificates:\n  ca_file: c.pem\n"
#define WHO ", tenant: acme, user: app"

static void
all_keys_are_read(void **state)
{
	char error[CONF_ERROR_MAX] = "";
	struct conf *c = NULL;

	(void)state;
	assert_true(
	    is_ok(conf_parse(SPAN_LIT(HEAD "  crl_file: r.pem\n  clients:\n"
					   "  - {match: 'spiffe://a.example/ns/*/app'" WHO "}\n"
					   "  - {match: 'spiffe://a.example/b'" WHO
					   ", roles: [auditor, user], policy: staff}\n"),
		&c, error)));
	assert_string_equal(conf_str(c, "client_certificates.ca_file"), "c.pem");
	assert_string_equal(conf_str(c, "client_certificates.crl_file"), "r.pem");
	assert_string_equal(conf_str(c, "client_certificates.identity"), "uri");
	assert_string_equal(conf_strf(c, "client_certificates.clients.%u.match", 0U),
	    "spiffe://a.example/ns/*/app");
	assert_string_equal(conf_strf(c, "client_certificates.clients.%u.roles", 0U), "service");
	assert_string_equal(conf_strf(c, "client_certificates.clients.%u.policy", 0U), "default");
	assert_string_equal(
	    conf_strf(c, "client_certificates.clients.%u.roles", 1U), "auditor user");
	conf_free(c);
}

static void
what_makes_no_sense_is_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ HEAD, "vouches for nobody" },
		{ BASE "client_certificates: {clients: [{match: 'spiffe://a/b'" WHO "}]}\n",
		    "there is no ca_file" },
		{ BASE "client_certificates: {crl_file: r.pem}\n", "is of no authority" },
		{ HEAD "  clients: [{match: 'spiffe://a/b', user: app}]\n", "tenant" },
		{ HEAD "  clients: [{match: 'spiffe://a/b', tenant: acme}]\n", "user" },
		{ HEAD "  clients: [{match: 'a.example'" WHO "}]\n", "it is no URI" },
		{ HEAD "  identity: dns\n  clients: [{match: 'spiffe://a/b'" WHO "}]\n",
		    "it has a slash" },
		{ HEAD "  identity: email\n  clients: [{match: 'a'" WHO "}]\n", "its choices" },
		{ HEAD "  clients: [{match: 'spiffe://*/b'" WHO "}]\n", "who vouches" },
		{ HEAD "  clients: [{match: 'spiffe://*'" WHO "}]\n", "who vouches" },
		{ HEAD "  clients: [{match: '*://a/b'" WHO "}]\n", "who vouches" },
		{ HEAD "  clients: [{match: 'spiffe://a/b*'" WHO "}]\n", "whole part" },
		{ HEAD "  clients: [{match: 'spiffe://a/*b'" WHO "}]\n", "whole part" },
		{ HEAD "  clients: [{match: 'spiffe://a/*/*'" WHO "}]\n", "more than one" },
		{ HEAD "  identity: dns\n  clients: [{match: '*'" WHO "}]\n", "everybody" },
		{ HEAD "  identity: cn\n  clients: [{match: 'a b'" WHO "}]\n", "without blanks" },
		{ HEAD "  clients: [{match: 'spiffe://a/b'" WHO "}, {match: 'spiffe://a/b'" WHO
		       "}]\n",
		    "is here before" },
		{ HEAD "  clients: [{match: 'spiffe://a/b', tenant: a/b, user: app}]\n",
		    "name of a tenant" },
		{ HEAD "  clients: [{match: 'spiffe://a/b', tenant: acme, user: 'a b'}]\n",
		    "name of a user" },
		{ HEAD "  clients: [{match: 'spiffe://a/b', tenant: '..', user: app}]\n",
		    "name of a tenant" },
		{ HEAD "  clients: [{match: 'spiffe://a/b', tenant: acme, user: '.'}]\n",
		    "name of a user" },
		{ HEAD "  clients: [{match: 'spiffe://a/b'" WHO ", roles: '*'}]\n",
		    "names each role" },
		{ HEAD "  clients: [{match: 'spiffe://a/b'" WHO ", roles: [root]}]\n", "roles" },
		{ HEAD "  clients: [{match: 'spiffe://a/b'" WHO ", roles: []}]\n", "roles" },
		{ HEAD "  clients: [{match: 'spiffe://a/b'" WHO ", policy: none}]\n",
		    "policy that is not there" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char error[CONF_ERROR_MAX] = "";
		struct conf *c = NULL;

		assert_true(is_ok(conf_parse(span_str(rows[i].text), &c, error)) == (c != NULL));
		if (c != NULL || strstr(error, rows[i].why) == NULL ||
		    strncmp(error, "line ", 5) != 0)
			print_error("%s\n%s\n", rows[i].text, error);
		assert_non_null(strstr(error, rows[i].why));
		assert_non_null(strstr(error, "client_certificates"));
	}
}

static void
there_are_at_most_256(void **state)
{
	for (unsigned n = CONF_CLIENTS_MAX; n <= CONF_CLIENTS_MAX + 1; n++) {
		auto_buf struct buf text = BUF_INIT(CONF_FILE_MAX);
		char error[CONF_ERROR_MAX] = "";
		struct conf *c = NULL;

		(void)state;
		assert_true(is_ok(buf_put_str(&text, HEAD "  clients:\n")));
		for (unsigned i = 0; i < n; i++)
			assert_true(
			    is_ok(buf_printf(&text, "  - {match: 'spiffe://a/%u'" WHO "}\n", i)));
		assert_int_equal(
		    is_ok(conf_parse(buf_span(&text), &c, error)), n == CONF_CLIENTS_MAX);
		conf_free(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_keys_are_read),
		cmocka_unit_test(what_makes_no_sense_is_refused),
		cmocka_unit_test(there_are_at_most_256),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
