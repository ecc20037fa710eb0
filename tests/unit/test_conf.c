/* SPDX-License-Identifier: Apache-2.0 */
/* lib/conf: values, defaults, lists and faults. */
#include "conf_rig.h"

static void
defaults_are_filled_in(void **state)
{
	struct conf *c = parse_good(GOOD);

	(void)state;
	assert_string_equal(conf_str(c, "listen"), "127.0.0.1:8443");
	assert_int_equal(conf_u64(c, "uid_base"), 700000);
	assert_int_equal(conf_u64(c, "sandboxes.python.pool"), 2);
	assert_int_equal(conf_u64(c, "sandboxes.sh.pool"), 4);
	assert_int_equal(conf_u64(c, "sandboxes.sh.memory_mb"), 512);
	assert_int_equal(conf_u64(c, "limits.turn_steps"), 8);
	assert_int_equal(conf_u64(c, "models.demo.0.weight"), 0);
	assert_int_equal(conf_u64(c, "policies.default.requests_per_min"), 6000);
	assert_string_equal(conf_str(c, "policies.default.attach"), "");
	assert_false(conf_bool(c, "providers.demo.allow_plain_loopback"));
	assert_null(conf_str(c, "providers.demo.ca_file"));
	assert_null(conf_str(c, "sandboxes.javascript.pool"));
	assert_null(conf_str(c, "sandboxes.python")); /* mappings are no values */
	conf_free(c);
}

static void
tools_have_their_table(void **state)
{
	struct conf *c = parse_good(
	    GOOD "tools:\n"
		 "  adder: {sandbox: wasm, limits: {time_ms: 100}, capabilities: [files], allow: "
		 "[default]}\n"
		 "  python: {sandbox: gvisor, limits: {time_ms: 30000}, allow: []}\n"
		 "wasm: {workers: 3}\n");

	(void)state;
	assert_string_equal(conf_str(c, "tools.adder.sandbox"), "wasm");
	assert_string_equal(conf_str(c, "tools.adder.limits.time_ms"), "100");
	assert_null(conf_str(c, "tools.adder.limits.memory_mb"));
	assert_string_equal(conf_str(c, "tools.adder.allow"), "default");
	assert_string_equal(conf_str(c, "tools.python.allow"), ""); /* nobody, not everybody */
	assert_int_equal(conf_u64(c, "wasm.workers"), 3);
	assert_int_equal(conf_u64(c, "wasm.idle_s"), 60);
	conf_free(c);
	c = parse_good("policies: {p: {endpoints: [tools, tool_call], tools: [a_b-C1]}}\n");
	conf_free(c);
	c = parse_good("policies: {p: {endpoints: '*', tools: '*'}}\n"
		       "tools: {a: {limits: {time_ms: 1}, allow: '*'}}\n");
	assert_null(conf_str(c, "tools.a.sandbox"));
	conf_free(c);
}

static void
names_with_dots_are_found(void **state)
{
	struct conf *c = parse_good(POLICY ENGINES "providers: {a.b: {kind: demo}}\n"
						   "models:\n"
						   "  gpt-4.1: [{provider: a.b, model: x.y}]\n"
						   "  Qwen/Qwen3:\n"
						   "  - provider: a.b\n"
						   "    model: q\n"
						   "  - {provider: a.b, model: r, weight: 7}\n");
	static const char *const want[] = { "Qwen/Qwen3", "gpt-4.1" };
	struct span name;
	size_t n = 0;

	(void)state;
	assert_string_equal(conf_strf(c, "models.%s.%u.model", "gpt-4.1", 0U), "x.y");
	assert_string_equal(conf_strf(c, "models.%.*s.0.provider", 7, "gpt-4.1"), "a.b");
	assert_int_equal(conf_u64f(c, "models.%s.1.weight", "Qwen/Qwen3"), 7);
	assert_null(conf_str(c, "models.gpt-4.1.0.model")); /* that dot is a separator */
	for (size_t i = 0; conf_each(c, "models", &i, &name); n++)
		assert_true(n < 2 && span_eq_str(name, want[n]));
	assert_int_equal(n, 2);
	n = 0;
	for (size_t i = 0; conf_each(c, "models.Qwen/Qwen3", &i, &name);)
		n++;
	assert_int_equal(n, 2);
	conf_free(c);
}

static void
each_stops_at_the_end_of_a_prefix(void **state)
{
	struct conf *c = parse_good(GOOD);
	struct span name;
	size_t n = 0, i;

	(void)state;
	for (i = 0; conf_each(c, "sandboxes", &i, &name);)
		n++;
	assert_int_equal(n, 2);
	i = 0;
	assert_false(conf_each(c, "sandbox", &i, &name));
	i = 0;
	assert_false(conf_each(c, "listen", &i, &name));
	i = 0;
	assert_false(conf_each(c, "zzz", &i, &name));
	n = 0;
	for (i = 0; conf_each(c, "", &i, &name);)
		n++;
	assert_int_equal(n, 21); /* the top-level keys, defaults included */
	conf_free(c);
}

static void
lists_are_one_value(void **state)
{
	struct conf *c = parse_good(
	    "policies:\n  p:\n    endpoints: [execute, models]\n"
	    "    models: '*'\n    languages: [sh]\n" DEMO ENGINES "sandboxes: {sh: {pool: 0}}\n");
	struct span item;
	size_t i = 0;

	(void)state;
	assert_string_equal(conf_str(c, "policies.p.endpoints"), "execute models");
	assert_true(conf_list_next("a b", &i, &item) && span_eq_str(item, "a"));
	assert_true(conf_list_next("a b", &i, &item) && span_eq_str(item, "b"));
	assert_false(conf_list_next("a b", &i, &item));
	assert_true(conf_list_has(conf_str(c, "policies.p.languages"), SPAN_LIT("sh")));
	assert_false(conf_list_has(conf_str(c, "policies.p.languages"), SPAN_LIT("s")));
	assert_true(conf_list_has("*", SPAN_LIT("anything")));
	assert_false(conf_list_has("", SPAN_LIT("a")));
	assert_false(conf_list_has(NULL, SPAN_LIT("a")));
	conf_free(c);
}

static void
faults_are_refused_with_their_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		char error[CONF_ERROR_MAX];
		struct conf *c = NULL;
		struct status st = conf_parse(span_str(refused[i].yaml), &c, error);

		if (is_ok(st) || strncmp(error, refused[i].error, strlen(refused[i].error)) != 0)
			print_error("case %zu: %s\n got:  %s\n want: %s\n", i, refused[i].yaml,
			    error, refused[i].error);
		assert_false(is_ok(st));
		assert_null(c);
		assert_true(strncmp(error, refused[i].error, strlen(refused[i].error)) == 0);
		assert_null(strchr(error, '\n'));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_filled_in),
		cmocka_unit_test(tools_have_their_table),
		cmocka_unit_test(names_with_dots_are_found),
		cmocka_unit_test(each_stops_at_the_end_of_a_prefix),
		cmocka_unit_test(lists_are_one_value),
		cmocka_unit_test(faults_are_refused_with_their_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
