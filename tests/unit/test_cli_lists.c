/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/lists.c: options that are lists: which words there are, and what the service is sent. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include <cli.h>
#include <operate.h>

#include <base/cleanup.h>

const struct command commands[] = { { NULL } };

static char *said;

/* What is said on standard error of this option's value; "" of one that is good. */
static const char *
said_of(enum option_id id, const char *value)
{
	struct invocation inv = { .command = &commands[0] };
	FILE *was = stderr;
	size_t len;
	bool ok;

	inv.options[id] = value;
	free(said);
	stderr = open_memstream(&said, &len);
	ok = lists_ok(&inv);
	(void)fclose(stderr);
	stderr = was;
	assert_int_equal(ok, said[0] == '\0');
	return said;
}

static void
good_words_are_taken(void **state)
{
	static const struct {
		enum option_id id;
		const char *value;
	} rows[] = {
		{ OPT_ROLES, "user,service,auditor,administrator,owner" },
		{ OPT_SCOPE_ENDPOINTS,
		    "chat,responses,messages,count_tokens,embeddings,models,execute" },
		{ OPT_SCOPE_ENDPOINTS, "admin" },
		{ OPT_SCOPE_LANGUAGES, "python,javascript,sh" },
		{ OPT_SCOPE_LANGUAGES, "" },
		{ OPT_SCOPE_MODELS, "" },
		{ OPT_SCOPE_MODELS, "gpt-4.1,b" },
		{ OPT_SCOPE_TOOLS, "a,b" },
		{ OPT_NETWORK,
		    "10.0.0.0/8,192.0.2.7,192.0.2.7/32,0.0.0.0/0,::/0,2001:db8::/32,::1" },
		{ OPT_NETWORK, "10.128.0.0/9,2001:db8:8000::/33,254.0.0.0/7" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(said_of(rows[i].id, rows[i].value), "");
}

static void
others_are_named(void **state)
{
	static const struct {
		enum option_id id;
		const char *value, *message;
	} rows[] = {
		{ OPT_ROLES, "user,king",
		    "king: is no role: user, service, auditor, administrator, owner\n" },
		{ OPT_ROLES, "", "roles: the list is empty: who has no role may nothing\n" },
		{ OPT_ROLES, "User", "User: is no role: user, " },
		{ OPT_ROLES, "use", "use: is no role: user, " },
		{ OPT_ROLES, "user ", "user : is no role: user, " },
		{ OPT_ROLES, ",user", ": is no role: user, " },
		{ OPT_ROLES, "user,,owner", ": is no role: user, " },
		{ OPT_SCOPE_ENDPOINTS, "",
		    "endpoints: the list is empty: the key could do nothing\n" },
		{ OPT_SCOPE_ENDPOINTS, "openapi", "openapi: is no endpoint: chat, responses, " },
		{ OPT_SCOPE_ENDPOINTS, "other", "other: is no endpoint: chat, " },
		{ OPT_SCOPE_ENDPOINTS, "chat,nope", "nope: is no endpoint: chat, " },
		{ OPT_SCOPE_LANGUAGES, "ruby", "ruby: is no language: python, javascript, sh\n" },
		{ OPT_NETWORK, "",
		    "networks: the list is empty: the key would be none anywhere\n" },
		{ OPT_NETWORK, "10.0.0.0/33", "10.0.0.0/33: is no address or network" },
		{ OPT_NETWORK, "10.0.0.1/8", "10.0.0.1/8: is no address or network" },
		{ OPT_NETWORK, "10.128.0.0/8", "10.128.0.0/8: is no address or network" },
		{ OPT_NETWORK, "2001:db8::1/64", "2001:db8::1/64: is no address or network" },
		{ OPT_NETWORK, "::/129", "::/129: is no address or network" },
		{ OPT_NETWORK, "10.0.0.0/", "10.0.0.0/: is no address or network" },
		{ OPT_NETWORK, "10.0.0.0/-1", "10.0.0.0/-1: is no address or network" },
		{ OPT_NETWORK, "/8", "/8: is no address or network" },
		{ OPT_NETWORK, "10.0.0", "10.0.0: is no address or network" },
		{ OPT_NETWORK, "localhost", "localhost: is no address or network" },
		{ OPT_NETWORK, "::1,x", "x: is no address or network" },
		{ OPT_NETWORK, "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb",
		    "1111:2222:3333:4444:5555:6666:7777:8888:: is no address or network" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char want[256];

		(void)snprintf(want, sizeof(want), "sallyport: %s", rows[i].message);
		if (strncmp(said_of(rows[i].id, rows[i].value), want, strlen(want)) != 0)
			assert_string_equal(said, want);
	}
}

/* Each name that a policy's `endpoints` may have, and no other. */
static void
each_endpoint_of_a_policy_is_one(void **state)
{
	char *rest, *word, *named;

	(void)state;
	named = strdup(said_of(OPT_SCOPE_ENDPOINTS, "nope"));
	rest = strstr(named, "endpoint: ") + strlen("endpoint: ");
	rest[strcspn(rest, "\n")] = '\0';
	assert_null(strstr(rest, "openapi"));
	assert_null(strstr(rest, "other"));
	while ((word = strsep(&rest, ",")) != NULL)
		assert_string_equal(said_of(OPT_SCOPE_ENDPOINTS, word + strspn(word, " ")), "");
	free(named);
}

static void
the_service_is_sent_lists(void **state)
{
	struct invocation inv = { .command = &commands[0] };
	auto_buf struct buf out = BUF_INIT(1024);
	struct json_writer w = json_writer(&out);

	(void)state;
	inv.options[OPT_ROLES] = "user,owner";
	inv.options[OPT_SCOPE_MODELS] = "";
	inv.options[OPT_SCOPE_TOOLS] = "a,b\"";
	inv.options[OPT_NETWORK] = "::1";
	json_put_object(&w);
	lists_put_roles(&inv, &w);
	lists_put_scopes(&inv, &w);
	json_put_end(&w);
	assert_true(is_ok(json_writer_finish(&w)));
	assert_int_equal(buf_put_u8(&out, 0).code, E_OK);
	assert_string_equal(out.ptr,
	    "{\"roles\":[\"user\",\"owner\"],\"scopes\":{\"models\":[],\"tools\":[\"a\",\"b\\\"\"],"
	    "\"networks\":[\"::1\"]}}");
	/* Nothing that was not said. */
	memset(inv.options, 0, sizeof(inv.options));
	buf_clear(&out);
	w = json_writer(&out);
	json_put_object(&w);
	lists_put_roles(&inv, &w);
	lists_put_scopes(&inv, &w);
	json_put_end(&w);
	assert_true(is_ok(json_writer_finish(&w)));
	assert_true(span_eq(buf_span(&out), SPAN_LIT("{}")));
}

/* What is said of an option that is not taken, by its long name however it was given. */
static int
no_run(const struct invocation *inv)
{
	(void)inv;
	return EXIT_DONE;
}

static void
options_are_named(void **state)
{
	static const struct command c = { "test", "[X]", 0, 1,
		OPT(OPT_CONFIG) | OPT(OPT_JSON) | OPT(OPT_USER), OPT(OPT_USER), "", no_run };
	static const struct {
		const char *argv[6];
		const char *message;
	} rows[] = {
		{ { "test", "-u" }, "--user: lacks its value" },
		{ { "test", "--user" }, "--user: lacks its value" },
		{ { "test", "-u", "a", "--json=x" }, "--json: takes no value" },
		{ { "test", "-u", "a", "-u", "b" }, "--user: was given twice" },
		{ { "test", "--user=a", "-ub" }, "--user: was given twice" },
		{ { "test", "-u", "a", "-q" }, "-q: unknown option" },
		{ { "test", "-jq", "-u", "a" }, "-q: unknown option" },
		{ { "test", "--frob" }, "--frob: unknown option, or the beginning of several" },
		{ { "test", "-u", "a", "--model", "m" },
		    "--model: unknown option, or the beginning" },
		{ { "test", "-u", "a", "x", "y" }, "y: too many arguments" },
		{ { "test", "x" }, "--user: is missing" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct invocation inv = { .command = &c };
		char *argv[7] = { NULL }, want[256];
		FILE *was = stderr;
		size_t len;
		int argc = 0, rc;

		for (; rows[i].argv[argc] != NULL; argc++)
			argv[argc] = strdup(rows[i].argv[argc]);
		free(said);
		stderr = open_memstream(&said, &len);
		rc = options_parse(&c, argc, argv, &inv);
		(void)fclose(stderr);
		stderr = was;
		assert_int_equal(rc, EXIT_USAGE);
		(void)snprintf(want, sizeof(want), "sallyport: test: %s", rows[i].message);
		if (strncmp(said, want, strlen(want)) != 0)
			assert_string_equal(said, want);
		assert_non_null(strstr(said, "usage: sallyport test [--config FILE] --user NAME"));
		for (int a = 0; a < argc; a++)
			free(argv[a]);
	}
}

/* A flag may come twice: it says the same. */
static void
flags_may_come_twice(void **state)
{
	static const struct command c = { "test", "", 0, 0, OPT(OPT_JSON), 0, "", no_run };
	struct invocation inv = { .command = &c };
	char name[] = "test", twice[] = "-jj", whole[] = "--json";
	char *argv[] = { name, twice, whole, NULL };

	(void)state;
	assert_int_equal(options_parse(&c, 3, argv, &inv), EXIT_DONE);
	assert_non_null(inv.options[OPT_JSON]);
}

static int
stop(void **state)
{
	(void)state;
	free(said);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_words_are_taken),
		cmocka_unit_test(others_are_named),
		cmocka_unit_test(each_endpoint_of_a_policy_is_one),
		cmocka_unit_test(the_service_is_sent_lists),
		cmocka_unit_test(options_are_named),
		cmocka_unit_test(flags_may_come_twice),
	};

	return cmocka_run_group_tests(tests, NULL, stop);
}
