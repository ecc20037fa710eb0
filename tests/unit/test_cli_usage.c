/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli: `usage`: what is asked for, page by page, whatever models are called. */
#include "unit.h"

#include <stdio.h>

#include <operate.h>

const struct command commands[] = { { "usage", NULL, 0, 0, 0, 0, "", cmd_usage }, { NULL } };

#define NEXT(model) \
	"{\"usage\":[],\"next\":{\"after_user\":1,\"after_key\":2,\"after_model\":\"" model "\"}}"

static struct {
	const char *answers[4];
	char asked[4][2048];
	size_t n;
} net;

bool __wrap_operate(const char *what, const struct state *s, struct reply *r);
bool __wrap_state_open_option(const struct invocation *inv, struct state *ret);

bool
__wrap_operate(const char *what, const struct state *s, struct reply *r)
{
	(void)what, (void)s;
	assert_true(net.n < COUNT(net.asked) && net.answers[net.n] != NULL);
	(void)snprintf(net.asked[net.n], sizeof(net.asked[0]), "%s", r->x.target);
	assert_true(is_ok(json_init(&r->d, &JSON_STRICT)));
	assert_true(is_ok(json_parse(&r->d, span_str(net.answers[net.n++]))));
	return true;
}

bool
__wrap_state_open_option(const struct invocation *inv, struct state *ret)
{
	(void)inv;
	*ret = STATE_NONE;
	return true;
}

static int
run(struct invocation *inv)
{
	FILE *was = stdout;
	int rc;

	net.n = 0;
	inv->command = &commands[0];
	stdout = fopen("/dev/null", "we");
	rc = cmd_usage(inv);
	(void)fclose(stdout);
	stdout = was;
	return rc;
}

/* A name adds no parameter and ends nothing, neither the service's nor the operator's. */
static void
names_are_encoded(void **state)
{
	struct invocation inv = { .options = { [OPT_TENANT] = "t&key=x",
				      [OPT_USER] = "bob+a@x.example",
				      [OPT_MODEL] = "a/b c" } };

	(void)state;
	net.answers[0] = NEXT("a&user=x#?%00\\r\\n +\xc3\xbc");
	net.answers[1] = "{\"usage\":[],\"next\":null}";
	assert_int_equal(run(&inv), EXIT_DONE);
	assert_int_equal(net.n, 2);
	assert_string_equal(net.asked[0], "/admin/v1/usage?since_s=0&tenant=t%26key%3Dx"
					  "&user=bob%2Ba%40x.example&model=a%2Fb%20c");
	assert_string_equal(net.asked[1], "/admin/v1/usage?since_s=0&tenant=t%26key%3Dx"
					  "&user=bob%2Ba%40x.example&model=a%2Fb%20c"
					  "&after_user=1&after_key=2"
					  "&after_model=a%26user%3Dx%23%3F%2500%0D%0A%20%2B%C3%BC");
}

/* What has no end, or a name longer than there are, is no good answer. */
static void
no_name_is_too_long(void **state)
{
	static char longest[1024], text[512];
	struct invocation inv = { 0 };

	(void)state;
	for (size_t len = 128; len <= 129; len++) {
		memset(text, '&', len);
		(void)snprintf(longest, sizeof(longest), NEXT("%.*s"), (int)len, text);
		net.answers[0] = longest;
		net.answers[1] = "{\"usage\":[]}";
		assert_int_equal(run(&inv), len == 128 ? EXIT_DONE : EXIT_FAILED);
		assert_int_equal(net.n, len == 128 ? 2 : 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_encoded),
		cmocka_unit_test(no_name_is_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
