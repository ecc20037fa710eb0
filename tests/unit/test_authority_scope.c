/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes of keys and sessions: what they take away, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "policy.h"

#include <base/cleanup.h>
#include <json/json.h>

#include <cmocka.h>

static struct scope *
scope(const char *json)
{
	struct scope *s = NULL;

	if (!is_ok(scope_parse(span_str(json), &s)))
		fail_msg("%s", json);
	return s;
}

static const char *
fault(const char *json)
{
	auto_arena struct arena a = ARENA_INIT(64U << 10);
	auto_json struct json_doc d = { 0 };

	assert_true(is_ok(json_init(&d, &JSON_STRICT)));
	assert_true(is_ok(json_parse(&d, span_str(json))));
	return scope_fault(&d, 0, &a);
}

static bool
from(const struct scope *s, const char *text)
{
	uint8_t source[SOURCE_LEN] = { [10] = 0xff, [11] = 0xff };

	if (strchr(text, ':') != NULL)
		assert_int_equal(inet_pton(AF_INET6, text, source), 1);
	else
		assert_int_equal(inet_pton(AF_INET, text, source + 12), 1);
	return scope_is_from(s, source);
}

static void
test_lists(void **state)
{
	struct scope *s = scope("{\"endpoints\":[\"chat\",\"models\"],\"tools\":[]}");

	(void)state;
	assert_true(scope_has(s, LIST_ENDPOINTS, SPAN_LIT("chat")));
	assert_true(scope_has(s, LIST_ENDPOINTS, SPAN_LIT("models")));
	assert_false(scope_has(s, LIST_ENDPOINTS, SPAN_LIT("cha")));
	assert_false(scope_has(s, LIST_ENDPOINTS, SPAN_LIT("execute")));
	assert_false(scope_has(s, LIST_ENDPOINTS, SPAN_EMPTY));
	assert_false(scope_has(s, LIST_TOOLS, SPAN_LIT("x"))); /* an empty list: nothing */
	assert_true(scope_has(s, LIST_MODELS, SPAN_LIT("anything")));
	assert_true(scope_has(NULL, LIST_MODELS, SPAN_LIT("anything")));
	assert_true(
	    span_eq_str(scope_text(s), "{\"endpoints\":[\"chat\",\"models\"],\"tools\":[]}"));
	assert_int_equal(scope_text(NULL).len, 0);
	assert_true(from(s, "192.0.2.1"));
	scope_free(s);
	scope_free(NULL);
}

static void
test_networks(void **state)
{
	struct scope *s = scope(
	    "{\"networks\":[\"10.1.0.0/16\",\"192.0.2.7\",\"2001:db8:8000::/33\","
	    "\"198.51.100.128/25\"]}");
	struct scope *none = scope("{\"networks\":[]}"), *all = scope("{\"networks\":[\"::/0\"]}");
	struct scope *v4 = scope("{\"networks\":[\"0.0.0.0/0\"]}");

	(void)state;
	assert_true(from(s, "10.1.0.0") && from(s, "10.1.255.255") && from(s, "192.0.2.7"));
	assert_false(from(s, "10.2.0.0") || from(s, "10.0.255.255") || from(s, "192.0.2.6"));
	assert_true(from(s, "2001:db8:8000::1") && from(s, "2001:db8:ffff::"));
	assert_false(from(s, "2001:db8:7fff::1") || from(s, "2001:db9:8000::"));
	assert_true(from(s, "198.51.100.128") && from(s, "198.51.100.255"));
	assert_false(from(s, "198.51.100.127") || from(s, "::10.1.0.1"));
	assert_false(from(none, "10.1.0.1"));
	assert_true(from(all, "10.1.0.1") && from(all, "::1"));
	assert_true(from(v4, "10.1.0.1"));
	assert_false(from(v4, "::1"));
	scope_free(s);
	scope_free(none);
	scope_free(all);
	scope_free(v4);
}

static void
test_bad(void **state)
{
	static const char *const bad[] = { "", "[]", "null", "{", "{\"endpoint\":[\"chat\"]}",
		"{\"endpoints\":\"chat\"}", "{\"endpoints\":[1]}", "{\"endpoints\":[\"\"]}",
		"{\"endpoints\":[\"*\"]}", "{\"endpoints\":[\"a b\"]}",
		"{\"endpoints\":[\"a\\nb\"]}", "{\"endpoints\":[\"a\"],\"endpoints\":[]}",
		"{\"Endpoints\":[\"a\"]}", "{\"endpoints\":[\"a\\u0000\"]}",
		"{\"networks\":\"10.0.0.0/8\"}", "{\"networks\":[\"10.0.0.1/8\"]}",
		"{\"networks\":[\"10.0.0.0/33\"]}", "{\"networks\":[\"10.0.0.0/\"]}",
		"{\"networks\":[\"10.0.0/8\"]}", "{\"networks\":[\"/8\"]}",
		"{\"networks\":[\"::/129\"]}", "{\"networks\":[\"::1/127\"]}",
		"{\"networks\":[\"10.0.0.0/-1\"]}", "{\"networks\":[\"10.0.0.0/8 \"]}",
		"{\"networks\":[\"localhost\"]}", "{\"networks\":[null]}",
		"{\"endpoints\":[[\"chat\"]]}" };
	struct scope *s = NULL;
	char *big = calloc(1, SCOPES_MAX + 64);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (is_ok(scope_parse(span_str(bad[i]), &s)))
			fail_msg("%s", bad[i]);
	}
	assert_non_null(big);
	strcpy(big, "{\"models\":[\"");
	memset(big + strlen(big), 'a', SCOPES_MAX);
	assert_int_equal(scope_parse(span_str(big), &s).code, E_RANGE);
	assert_null(s);
	free(big);
}

/* What could never be is refused where a scope is asked for, and loads all the same. */
static void
test_what_could_never_be(void **state)
{
	static const char *const good[] = { "{}", "{\"models\":[],\"tools\":[],\"languages\":[]}",
		"{\"endpoints\":[\"chat\",\"tools\",\"tool_call\",\"stored_responses\",\"admin\"]}",
		"{\"models\":[\"gpt-5\",\"house/gpt:1@eu+x.y_z\",\"not-yet\"]}",
		"{\"tools\":[\"code_interpreter\",\"not-yet\"]}",
		"{\"languages\":[\"python\",\"javascript\",\"sh\"]}",
		"{\"networks\":[\"0.0.0.0/0\",\"::/0\",\"::1\",\"::/127\",\"0.0.0.0/31\"]}" };
	static const struct {
		const char *json, *member;
	} bad[] = { { "{\"endpoints\":[]}", "scopes.endpoints " },
		{ "{\"endpoints\":[\"chat\",\"cha\"]}", "scopes.endpoints " },
		{ "{\"endpoints\":[\"Chat\"]}", "scopes.endpoints " },
		{ "{\"endpoints\":[\"openapi\"]}", "scopes.endpoints " },
		{ "{\"endpoints\":[\"other\"]}", "scopes.endpoints " },
		{ "{\"endpoints\":[\"none\"]}", "scopes.endpoints " },
		{ "{\"models\":[\"a\",\"b,c\"]}", "scopes.models " },
		{ "{\"models\":[\"\"]}", "scopes.models " },
		{ "{\"models\":[\"*\"]}", "scopes.models " },
		{ "{\"models\":[\"gpt*\"]}", "scopes.models " },
		{ "{\"models\":[\"mod\u00e8le\"]}", "scopes.models " },
		{ "{\"models\":[1]}", "scopes.models " },
		{ "{\"tools\":[\"a.b\"]}", "scopes.tools " },
		{ "{\"tools\":[\"acme/x\"]}", "scopes.tools " },
		{ "{\"tools\":["
		  "\"12345678901234567890123456789012345678901234567890123456789012345\"]}",
		    "scopes.tools " },
		{ "{\"languages\":[\"ruby\"]}", "scopes.languages " },
		{ "{\"languages\":[\"python \"]}", "scopes.languages " },
		{ "{\"networks\":[]}", "scopes.networks " },
		{ "{\"networks\":[\"0.0.0.0\"]}", "scopes.networks " },
		{ "{\"networks\":[\"0.0.0.0/32\"]}", "scopes.networks " },
		{ "{\"networks\":[\"::\"]}", "scopes.networks " },
		{ "{\"networks\":[\"::ffff:0.0.0.0/128\"]}", "scopes.networks " },
		{ "{\"networks\":[\"10.0.0.1/8\"]}", "scopes.networks " },
		{ "{\"networks\":[\"10.0.0.0/\"]}", "scopes.networks " },
		{ "{\"endpoints\":[\"chat\"],\"networks\":[\"10.0.0.0/33\"]}",
		    "scopes.networks " } };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (fault(good[i]) != NULL)
			fail_msg("%s: %s", good[i], fault(good[i]));
		scope_free(scope(good[i]));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (fault(bad[i].json) == NULL ||
		    strncmp(fault(bad[i].json), bad[i].member, strlen(bad[i].member)) != 0)
			fail_msg("%s", bad[i].json);
	}
	scope_free(scope("{\"endpoints\":[\"of_a_later_version\"],\"networks\":[\"0.0.0.0\"]}"));
}

static void
test_words(void **state)
{
	static const struct {
		const char *words, *json;
	} good[] = {
		{ "", "{}" },
		{ "endpoint:chat", "{\"endpoints\":[\"chat\"]}" },
		{ "model:a endpoint:chat model:b tool:x language:python",
		    "{\"endpoints\":[\"chat\"],\"models\":[\"a\",\"b\"],\"tools\":[\"x\"],"
		    "\"languages\":[\"python\"]}" },
		{ "model:a:b", "{\"models\":[\"a:b\"]}" },
	};
	static const char *const bad[] = { " ", "endpoint:chat ", " endpoint:chat",
		"endpoint:chat  model:a", "endpoint:", "endpoint", "openid", "network:10.0.0.0/8",
		"endpoint:*", "endpoints:chat", "model:\"", "model:a\tmodel:b", "model:\\",
		"endpoint:nope", "endpoint:chat endpoint:other", "language:cobol", "model:gpt*",
		"tool:acme/x" };
	struct buf out = BUF_INIT(2 * SCOPES_MAX);

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		buf_clear(&out);
		if (!is_ok(scope_of_words(span_str(good[i].words), &out)) ||
		    !span_eq_str(buf_span(&out), good[i].json))
			fail_msg("%s", good[i].words);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_clear(&out);
		if (is_ok(scope_of_words(span_str(bad[i]), &out)))
			fail_msg("'%s'", bad[i]);
	}
	buf_done(&out);
}

/* A permit is what the policy allows and every scope leaves. */
static void
test_permit(void **state)
{
	struct policy p = { .name = "p" };
	struct scope *a = scope("{\"models\":[\"x\",\"y\"]}");
	struct scope *b = scope("{\"models\":[\"y\",\"z\"],\"tools\":[]}");
	struct permit m = { &p, { NULL, NULL } };

	(void)state;
	assert_true(is_ok(name_set_parse("w x y z", &p.lists[LIST_MODELS])));
	assert_true(is_ok(name_set_parse("*", &p.lists[LIST_TOOLS])));
	assert_true(permit_has(&m, LIST_MODELS, SPAN_LIT("w")));
	assert_int_equal(permit_tools(&m, 0xff), TOOL_CODE_INTERPRETER);
	m.scopes[0] = a;
	assert_false(permit_has(&m, LIST_MODELS, SPAN_LIT("w")));
	assert_true(permit_has(&m, LIST_MODELS, SPAN_LIT("x")));
	m.scopes[1] = b;
	assert_false(permit_has(&m, LIST_MODELS, SPAN_LIT("x")));
	assert_true(permit_has(&m, LIST_MODELS, SPAN_LIT("y")));
	assert_false(permit_has(&m, LIST_MODELS, SPAN_LIT("z")));
	assert_int_equal(permit_tools(&m, 0xff), 0);
	assert_false(permit_has(&m, LIST_LANGUAGES, SPAN_LIT("python")));
	m.policy = NULL;
	assert_false(permit_has(&m, LIST_MODELS, SPAN_LIT("y")));
	scope_free(a);
	scope_free(b);
	for (size_t i = 0; i < LIST_COUNT; i++)
		name_set_done(&p.lists[i]);
}

/* Only names of what passes through lead to nothing that is kept. */
static void
test_what_reaches_the_kept(void **state)
{
	static const struct {
		const char *json;
		bool reaches;
	} rows[] = { { "{}", true }, { "{\"models\":[]}", true }, { "{\"endpoints\":[]}", false },
		{ "{\"endpoints\":[\"chat\",\"models\",\"execute\",\"embeddings\",\"messages\","
		  "\"count_tokens\",\"tool_call\"]}",
		    false },
		{ "{\"endpoints\":[\"chat\",\"responses\"]}", true },
		{ "{\"endpoints\":[\"conversations\"]}", true },
		{ "{\"endpoints\":[\"stored_responses\"]}", true },
		{ "{\"endpoints\":[\"files\"]}", true }, { "{\"endpoints\":[\"tools\"]}", true },
		{ "{\"endpoints\":[\"admin\"]}", true },
		{ "{\"endpoints\":[\"of_a_later_version\"]}", true } };

	(void)state;
	assert_true(scope_reaches_kept(NULL));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scope *s = scope(rows[i].json);

		assert_int_equal(scope_reaches_kept(s), rows[i].reaches);
		scope_free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_what_reaches_the_kept),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_what_could_never_be),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_permit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
