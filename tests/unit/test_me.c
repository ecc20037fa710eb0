/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/me.c: what people do about themselves, with a service that answers what it likes. */
#include "cli_rig.h"

#define ME "{\"tenant\":\"acme\",\"id\":\"ann\",\"roles\":[\"user\"]}"
#define WHO                                             \
	{                                               \
		"GET https://a:1 /admin/v1/me", 200, ME \
	}
#define KEY1 "{\"id\":\"aaaaaaaaaaaa\",\"user\":\"ann\"}"
#define KEY2 "{\"id\":\"bbbbbbbbbbbb\",\"user\":\"bob\"}"
#define KEYS "GET https://a:1 /admin/v1/keys?user=ann"
#define S1 "0123456789abcdef0123456789abcdef"

static FILE *real_stdout;
static char printed_path[96], typed_path[96];

static int
begin_with_a_key(void **state)
{
	if (begin(state) != 0)
		return -1;
	(void)setenv("SALLYPORT_URL", "https://a:1", 1);
	(void)setenv("SALLYPORT_API_KEY", "sp_k", 1);
	(void)snprintf(printed_path, sizeof(printed_path), "%s/printed", home);
	(void)snprintf(typed_path, sizeof(typed_path), "%s/typed", home);
	return 0;
}

/* What it prints; the whole script is to be used. */
static const char *
run(command_fn *fn, const char *arg, bool json, int rc, size_t n, const struct step *steps)
{
	static const struct command command = { .name = "me x" };
	const struct invocation inv = { .command = &command,
		.args = { arg },
		.nargs = arg != NULL,
		.options = { [OPT_JSON] = json ? "" : NULL } };
	static char text[16384];
	FILE *f;
	size_t len;

	memset(net.steps, 0, sizeof(net.steps));
	if (n > 0)
		memcpy(net.steps, steps, n * sizeof(steps[0]));
	net.at = 0;
	real_stdout = stdout;
	stdout = fopen(printed_path, "we");
	assert_non_null(stdout);
	len = (size_t)fn(&inv);
	(void)fclose(stdout);
	stdout = real_stdout;
	assert_int_equal(len, rc);
	assert_int_equal(net.at, n);
	f = fopen(printed_path, "re");
	assert_non_null(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	(void)fclose(f);
	return text;
}
#define RUN(fn, arg, json, rc, ...)                                           \
	run(fn, arg, json, rc, COUNT(((const struct step[]){ __VA_ARGS__ })), \
	    (const struct step[]){ __VA_ARGS__ })

static void
type(const char *text)
{
	FILE *f = fopen(typed_path, "we");

	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
	assert_non_null(freopen(typed_path, "re", stdin));
}

static void
who_one_is(void **state)
{
	static const char *const bad[] = { "{}", "[]", "{\"tenant\":\"a\"}",
		"{\"tenant\":\"a\",\"id\":7}", "{\"tenant\":\"a\",\"id\":\"\"}",
		"{\"tenant\":\"a\",\"id\":\"../keys\"}", "{\"tenant\":\"a\",\"id\":\"a&user=b\"}",
		"{\"tenant\":\"a\",\"id\":\"a\\u001b\"}", "{\"tenant\":\"a b\",\"id\":\"b\"}" };
	const char *text;

	(void)state;
	text = RUN(cmd_me_show, NULL, false, EXIT_DONE, WHO);
	assert_string_equal(net.bearer, "sp_k");
	assert_non_null(strstr(text, "service      https://a:1\n"));
	assert_non_null(strstr(text, "user         ann\nroles        user\nstate        -\n"));
	assert_string_equal(RUN(cmd_me_show, NULL, true, EXIT_DONE, WHO), ME "\n");
	for (size_t i = 0; i < COUNT(bad); i++) {
		const struct step s = { "GET https://a:1 /admin/v1/me", 200, bad[i] };

		assert_string_equal(RUN(cmd_me_show, NULL, true, EXIT_FAILED, s), "");
		(void)RUN(cmd_me_keys, NULL, false, EXIT_FAILED, s);
	}
	assert_said("does not say who one is");
	(void)RUN(cmd_me_show, NULL, false, EXIT_FAILED,
	    { "GET https://a:1 /admin/v1/me", 403,
		"{\"error\":{\"message\":\"not \\u009b2J you\",\"code\":\"role\"}}" });
	assert_said("not ??2J you (role)");
}

/* Of others' rows nothing is shown, wherever a page leads nothing else is asked. */
static void
only_ones_own_is_listed(void **state)
{
	static const char *const nowhere[] = { "\"a&b\"", "\"a b\"", "\"a#\"", "\"%2e\"", "\"\"",
		"null", "[\"x\"]", "{}", "true" };
	char body[256];

	(void)state;
	assert_string_equal(
	    RUN(cmd_me_keys, NULL, true, EXIT_DONE, WHO,
		{ KEYS, 200, "{\"keys\":[" KEY1 "," KEY2 "],\"next\":\"aaaaaaaaaaaa\"}" },
		{ KEYS "&after=aaaaaaaaaaaa", 200, "{\"keys\":[" KEY1 "],\"next\":12}" },
		{ KEYS "&after=12", 200, "{\"keys\":[],\"next\":null}" }),
	    "{\"keys\":[" KEY1 "," KEY1 "]}\n");
	assert_null(strstr(RUN(cmd_me_sessions, NULL, false, EXIT_DONE, WHO,
			       { "GET https://a:1 /admin/v1/sessions", 200,
				   "{\"sessions\":[" KEY1 "," KEY2 "]}" }),
	    "bbbb"));
	for (size_t i = 0; i < COUNT(nowhere); i++) {
		(void)snprintf(body, sizeof(body), "{\"keys\":[],\"next\":%s}", nowhere[i]);
		(void)RUN(cmd_me_keys, NULL, false, EXIT_DONE, WHO, { KEYS, 200, body });
	}
	(void)RUN(cmd_me_keys, NULL, false, EXIT_FAILED, WHO, { KEYS, 200, "{" });
	(void)RUN(cmd_me_keys, NULL, false, EXIT_FAILED, WHO, { KEYS, 0, NULL });
}

static void
only_ones_own_is_ended(void **state)
{
	(void)state;
	(void)RUN(cmd_me_revoke_key, "aaaaaaaaaaaa", false, EXIT_DONE, WHO,
	    { KEYS, 200, "{\"keys\":[" KEY2 "," KEY1 "]}" },
	    { "DELETE https://a:1 /admin/v1/keys/aaaaaaaaaaaa", 200, "{}" });
	(void)RUN(cmd_me_revoke_key, "bbbbbbbbbbbb", false, EXIT_FAILED, WHO,
	    { KEYS, 200, "{\"keys\":[" KEY2 "," KEY1 "]}" });
	assert_said("bbbbbbbbbbbb: is none of yours");
	(void)RUN(cmd_me_end_session, S1, false, EXIT_DONE, WHO,
	    { "GET https://a:1 /admin/v1/sessions", 200,
		"{\"sessions\":[{\"id\":\"" S1 "\",\"user\":\"ann\"}]}" },
	    { "DELETE https://a:1 /admin/v1/sessions/" S1, 200, "{}" });
	for (size_t i = 0; i < 4; i++) {
		const char *id = ((const char *[]){ "", "../../me", "aaaaaaaaaaa?", S1 "0" })[i];

		(void)run(cmd_me_revoke_key, id, false, EXIT_USAGE, 0, NULL);
		(void)run(cmd_me_end_session, id, false, EXIT_USAGE, 0, NULL);
	}
}

static void
an_export_is_whole(void **state)
{
#define EXPORT "GET https://a:1 /admin/v1/me/export"
	static const char *const bad[] = { "{}", "{\"page_base64\":7}", "{\"page_base64\":\"!\"}",
		"{\"page_base64\":\"e30K\",\"next\":\"1&x=2\"}",
		"{\"page_base64\":\"e30K\",\"next\":\"/admin\"}" };

	(void)state;
	assert_string_equal(
	    RUN(cmd_me_export, NULL, false, EXIT_DONE,
		{ EXPORT, 200, "{\"page_base64\":\"e30K\",\"next\":\"1.2.3\"}" },
		{ EXPORT "?cursor=1.2.3", 200, "{\"page_base64\":\"e30K\",\"next\":null}" }),
	    "{}\n{}\n");
	for (size_t i = 0; i < COUNT(bad); i++)
		(void)RUN(cmd_me_export, NULL, false, EXIT_FAILED, { EXPORT, 200, bad[i] });
	(void)RUN(cmd_me_export, NULL, false, EXIT_FAILED,
	    { EXPORT, 200, "{\"page_base64\":\"e30K\",\"next\":\"1.2.3\"}" },
	    { EXPORT "?cursor=1.2.3", 409, "{\"error\":{\"code\":\"begin_anew\"}}" });
}

/* Nothing but the whole name, alone on its line. */
static void
an_erasure_wants_the_name(void **state)
{
	static const char *const none[] = { "", "\n", "y\n", "acme/an\n", "acme/annx\n",
		" acme/ann\n", "acme/ann \n", "ACME/ANN\n", "ann\n" };
	static char huge[4096];

	(void)state;
	for (size_t i = 0; i < COUNT(none); i++) {
		type(none[i]);
		(void)RUN(cmd_me_erase, NULL, false, EXIT_FAILED, WHO);
	}
	type("acme/ann\n");
	(void)RUN(cmd_me_erase, NULL, false, EXIT_FAILED,
	    { "GET https://a:1 /admin/v1/me", 200,
		"{\"tenant\":\"acme\",\"id\":\"ann\",\"roles\":[\"user\",\"auditor\"]}" });
	assert_said("an owner takes the other roles away first");
	memset(huge, 'a', sizeof(huge) - 1);
	type(huge);
	(void)RUN(cmd_me_erase, NULL, false, EXIT_FAILED, WHO);
	assert_said("me x: nothing was done");
	type("acme/ann\n");
	(void)RUN(cmd_me_erase, NULL, false, EXIT_DONE, WHO,
	    { "DELETE https://a:1 /admin/v1/me", 200, "{\"erased\":true,\"rows\":7}" });
	assert_said("acme/ann: erased; nothing of 7 rows can be read any more");
	type("acme/ann\n");
	(void)RUN(cmd_me_erase, NULL, false, EXIT_DONE, WHO,
	    { "DELETE https://a:1 /admin/v1/me", 200,
		"{\"erased\":true,\"rows\":8,\"waits_for\":\"backup\"}" });
	assert_said("the keys of 8 rows stay in the database's file until the backup");
	type("acme/ann\n");
	(void)RUN(cmd_me_erase, NULL, false, EXIT_FAILED, WHO,
	    { "DELETE https://a:1 /admin/v1/me", 409, "{\"error\":{\"message\":\"a hold\"}}" });
}

/* The kept session goes with its person, and not with one of a key. */
static void
a_session_goes_with_its_person(void **state)
{
	struct session_file k = { .url = "https://a:1", .expires_s = 2000 };

	(void)state;
	(void)snprintf(k.ca, sizeof(k.ca), "%s", ca);
	assert_true(is_ok(secret_from_span(span_of("s.t.u", 6), &k.token)));
	assert_true(is_ok(session_file_save(&k)));
	type("acme/ann\n");
	(void)RUN(cmd_me_erase, NULL, false, EXIT_DONE, WHO,
	    { "DELETE https://a:1 /admin/v1/me", 200, "{}" });
	assert_int_equal(access(file, F_OK), 0);
	unsetenv("SALLYPORT_API_KEY");
	type("acme/ann\n");
	(void)RUN(cmd_me_erase, NULL, false, EXIT_DONE, WHO,
	    { "DELETE https://a:1 /admin/v1/me", 200, "{}" });
	assert_string_equal(net.bearer, "s.t.u");
	assert_int_not_equal(access(file, F_OK), 0);
	session_file_done(&k);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin_with_a_key, end)
	const struct CMUnitTest tests[] = {
		T(who_one_is),
		T(only_ones_own_is_listed),
		T(only_ones_own_is_ended),
		T(an_export_is_whole),
		T(an_erasure_wants_the_name),
		T(a_session_goes_with_its_person),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
