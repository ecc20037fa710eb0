/* SPDX-License-Identifier: Apache-2.0 */
/* src/authority/policy.c, quota.c: policies and limits. */
#include "authority_rig.h"

static void
test_policy_cells(void **state)
{
	struct policies p = load();

	(void)state;
	for (size_t i = 0; i < COUNT(cells); i++) {
		const struct policy *policy = policies_find(&p, span_str(cells[i].name));

		for (size_t j = 0; j < COUNT(demands); j++) {
			enum error got = policy_decide(
			    &p, &(struct permit){ .policy = policy }, &demands[j]);

			if (got != cells[i].expect[j])
				die("%s, demand %zu: %d, not %d", cells[i].name, j, got,
				    cells[i].expect[j]);
		}
	}
	policies_done(&p);
}

/* Every endpoint can be named in a policy, alone, with just what its row needs. */
static void
test_policy_of_each_endpoint(void **state)
{
	static const char rest[] =
	    "providers: { d: { kind: demo },\n"
	    " o: { kind: openai, base_url: 'https://o', credential: 'file:k' },\n"
	    " a: { kind: anthropic, base_url: 'https://a', credential: 'file:k' } }\n"
	    "models: { alpha: [ { provider: d, model: a }, { provider: o, model: a },\n"
	    " { provider: a, model: a } ] }\n"
	    "sandboxes: { python: { pool: 1 } }\n"
	    "engines: { runsc: /x, image: /y, manifest: /z }\n";

	(void)state;
	for (uint8_t e = ENDPOINT_CHAT; e < ENDPOINT_OPENAPI; e++) {
		const struct endpoint_row *row = &endpoint_rows[e];
		char text[1024], error[CONF_ERROR_MAX] = "";
		struct demand d = { .endpoint = e };
		struct policies p = { 0 };
		struct conf *conf = NULL;

		(void)snprintf(text, sizeof(text),
		    "policies: { one: { endpoints: [%s]%s%s%s } }\n%s", row->name,
		    row->asks_model ? ", models: [alpha]" : "",
		    row->takes_tools ? ", tools: [code_interpreter], attach: [code_interpreter]"
		    : e >= ENDPOINT_TOOL_PUSH && e <= ENDPOINT_TOOL_CALL ? ", tools: [mine]"
									 : "",
		    row->takes_tools || e == ENDPOINT_EXECUTE ? ", languages: [python]" : "", rest);
		if (!is_ok(conf_parse(span_str(text), &conf, error)))
			die("%s: %s", row->name, error);
		assert_true(is_ok(policies_load(conf, &p)));
		conf_free(conf);
		d.model = row->asks_model ? SPAN_LIT("alpha") : SPAN_EMPTY;
		d.language = e == ENDPOINT_EXECUTE ? SPAN_LIT("python") : SPAN_EMPTY;
		for (uint8_t other = ENDPOINT_CHAT; other < ENDPOINT_OTHER; other++) {
			struct demand of = d;

			/* Endpoints of one name are one right. */
			of.endpoint = other;
			assert_int_equal(
			    policy_decide(&p, &(struct permit){ .policy = &p.items[0] }, &of),
			    other == ENDPOINT_OPENAPI ||
				    strcmp(endpoint_rows[other].name, row->name) == 0
				? ERROR_NONE
				: ERROR_DENIED);
		}
		d.tools = TOOL_CODE_INTERPRETER;
		if (row->asks_model)
			assert_int_equal(
			    policy_decide(&p, &(struct permit){ .policy = &p.items[0] }, &d),
			    row->takes_tools ? ERROR_NONE : ERROR_DENIED);
		/* Without a model, or with tools where there are none, it is refused at the start.
		 */
		if (row->asks_model) {
			(void)snprintf(text, sizeof(text),
			    "policies: { one: { endpoints: [%s] } }\n%s", row->name, rest);
			assert_false(is_ok(conf_parse(span_str(text), &conf, error)));
		}
		if (row->asks_model && !row->takes_tools) {
			(void)snprintf(text, sizeof(text),
			    "policies: { one: { endpoints: [%s], models: '*', tools: "
			    "[code_interpreter] } }\n%s",
			    row->name, rest);
			assert_false(is_ok(conf_parse(span_str(text), &conf, error)));
		}
		policies_done(&p);
	}
}

static void
test_policy_runs(void **state)
{
	struct policies p = load();
	const struct policy *helped = policies_find(&p, SPAN_LIT("helped"));
	const struct policy *chatty = policies_find(&p, SPAN_LIT("chatty"));
	struct span python = SPAN_LIT("python");
	uint8_t ci = TOOL_CODE_INTERPRETER;

	(void)state;
	assert_int_equal(helped->attach, TOOL_CODE_INTERPRETER);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = helped }, ci, python), ERROR_NONE);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = helped }, 0, python), ERROR_DENIED);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = helped }, ci, SPAN_LIT("sh")),
	    ERROR_DENIED);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = helped }, ci, SPAN_LIT("perl")),
	    ERROR_LANGUAGE);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = chatty }, ci, python), ERROR_DENIED);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = NULL }, ci, python), ERROR_DENIED);
	policies_done(&p);
}

static void
test_policy_models(void **state)
{
	struct policies p = load();
	struct permit all = { .policy = policies_find(&p, SPAN_LIT("all")) };
	struct permit chatty = { .policy = policies_find(&p, SPAN_LIT("chatty")) };
	struct buf out = BUF_INIT(MODELS_TEXT_MAX);

	(void)state;
	assert_true(is_ok(policy_models(&p, &all, &out)));
	assert_true(span_eq_str(buf_span(&out), "alpha\nbeta"));
	buf_clear(&out);
	assert_true(is_ok(policy_models(&p, &chatty, &out)));
	assert_true(span_eq_str(buf_span(&out), "alpha"));
	buf_done(&out);
	policies_done(&p);
}

/* ---- limits ---- */
/* No 60 s hold more than the limit, wherever they begin, whoever comes when. */
static void
test_rate_is_exact(void **state)
{
	static uint64_t taken[20000];
	struct holder keys[2] = { { 0 } }, user = { 0 };
	const struct limit_set key_limits = { 50, 100 }, user_limits = { 80, 100 };
	size_t n = 0, from = 0;
	uint32_t seed = 7;

	(void)state;
	for (uint64_t ms = 5000; ms < 400000; ms += 1 + (seed >> 24) % 40) {
		struct verdict v;

		seed = seed * 1664525 + 1013904223;
		limits_take(&keys[seed >> 31], key_limits, &user, user_limits, ms, &v);
		if (v.error != ERROR_NONE) {
			assert_int_equal(v.error, ERROR_RATE_LIMIT);
			assert_in_range(v.retry_after_ms, 1, 61000);
			continue;
		}
		assert_true(n < COUNT(taken));
		taken[n++] = ms;
	}
	for (size_t i = 0; i < n; i++) {
		while (taken[from] + 60000 <= taken[i])
			from++;
		assert_true(i - from + 1 <= user_limits.per_min);
	}
	/* Nor does it starve anybody: at most a second of each minute is lost. */
	assert_true(n >= 80 * 6);
	holder_done(&keys[0]);
	holder_done(&keys[1]);
	holder_done(&user);
}

static void
test_rate_burst_and_headers(void **state)
{
	struct holder key = { 0 }, user = { 0 };
	const struct limit_set key_limits = { 10, 64 }, user_limits = { 100, 64 };
	struct verdict v;

	(void)state;
	for (uint32_t i = 0; i < 10; i++) {
		limits_take(&key, key_limits, &user, user_limits, 1000500, &v);
		assert_int_equal(v.error, ERROR_NONE);
		assert_int_equal(v.limit, 10);
		assert_int_equal(v.remaining, 9 - i);
		assert_int_equal(v.reset_ms, 60000);
	}
	limits_take(&key, key_limits, &user, user_limits, 1000900, &v);
	assert_int_equal(v.error, ERROR_RATE_LIMIT);
	assert_int_equal(v.retry_after_ms, 60000);
	assert_int_equal(user.rate->total, 10); /* a refusal counts nowhere */
	limits_take(&key, key_limits, &user, user_limits, 1000900 + 60099, &v);
	assert_int_equal(v.error, ERROR_RATE_LIMIT);
	limits_take(&key, key_limits, &user, user_limits, 1000900 + 60100, &v);
	assert_int_equal(v.error, ERROR_NONE);
	holder_sweep(&key, 1000900 + 60100 + 121000);
	assert_null(key.rate);
	holder_done(&user);
}

static void
test_concurrency(void **state)
{
	struct holder a = { 0 }, b = { 0 }, user = { 0 };
	const struct limit_set key_limits = { 1000, 2 }, user_limits = { 1000, 3 };
	struct verdict v;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_false(limits_full(&a, key_limits, &user, user_limits, 1000));
		limits_take(&a, key_limits, &user, user_limits, 1000, &v);
		assert_int_equal(v.error, ERROR_NONE);
		limits_hold(&a, &user);
	}
	assert_true(limits_full(&a, key_limits, &user, user_limits, 1000));
	assert_false(limits_full(&b, key_limits, &user, user_limits, 1000));
	assert_int_equal(user.rate->total, 2); /* to ask counts nothing */
	limits_take(&a, key_limits, &user, user_limits, 1000, &v);
	assert_int_equal(v.error, ERROR_CONCURRENCY);
	limits_take(&b, key_limits, &user, user_limits, 1000, &v);
	assert_int_equal(v.error, ERROR_NONE);
	limits_hold(&b, &user);
	limits_take(&b, key_limits, &user, user_limits, 1000, &v);
	assert_int_equal(v.error, ERROR_CONCURRENCY); /* the user's */
	limits_release(&a, &user);
	limits_take(&b, key_limits, &user, user_limits, 1000, &v);
	assert_int_equal(v.error, ERROR_NONE);
	holder_done(&a);
	holder_done(&b);
	holder_done(&user);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_cells),
		cmocka_unit_test(test_policy_of_each_endpoint),
		cmocka_unit_test(test_policy_runs),
		cmocka_unit_test(test_policy_models),
		cmocka_unit_test(test_rate_is_exact),
		cmocka_unit_test(test_rate_burst_and_headers),
		cmocka_unit_test(test_concurrency),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
