/* SPDX-License-Identifier: Apache-2.0 */
/* lib/json: regular expressions, through the keyword `pattern`. */
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#include <base/cleanup.h>
#include <json/schema.h>
#include <json/write.h>

static struct status
compile(struct arena *a, const char *pattern, const struct schema **ret)
{
	auto_buf struct buf text = BUF_INIT(10000);
	struct json_writer w = json_writer(&text);

	json_put_object(&w);
	json_put_key(&w, "pattern");
	json_put_text(&w, pattern);
	json_put_end(&w);
	assert_true(is_ok(json_writer_finish(&w)));
	return schema_compile(buf_span(&text), a, ret, NULL);
}

static bool
matches(const struct schema *s, const char *text)
{
	static const struct json_opts opts = { .depth_max = 0 };
	auto_buf struct buf b = BUF_INIT(10000);
	auto_json struct json_doc d = { .count = 0 };
	struct json_writer w = json_writer(&b);
	struct status st;

	json_put_text(&w, text);
	assert_true(is_ok(json_writer_finish(&w)));
	assert_true(is_ok(json_init(&d, &opts)));
	assert_true(is_ok(json_parse(&d, buf_span(&b))));
	st = schema_validate(s, &d, 0, NULL);
	assert_true(is_ok(st) || st.code == E_SYNTAX);
	return is_ok(st);
}

static void
patterns_match(void **state)
{
	/* In `yes` and `no`: texts apart by |, a leading one for the empty text. */
	static const struct {
		const char *pattern, *yes, *no;
	} rows[] = {
		{ "", "|a", NULL },
		{ "b", "b|abc", "|a|ac" },
		{ "^b", "b|bc", "ab|" },
		{ "b$", "b|ab", "ba|" },
		{ "^$", "", "a" },
		{ "$", "|abc", NULL },
		{ "^a|b$", "ax|xb", "xa|bx" },
		{ "^(a|b)$", "a|b", "ab|" },
		{ "^(?:ab|a|)c$", "abc|ac|c", "bc|aabc" },
		{ "^a*$", "|aaa", "b|ab" },
		{ "^a+b?$", "a|aab", "|b|abb" },
		{ "^a{2}$", "aa", "a|aaa" },
		{ "^a{2,}$", "aa|aaaaa", "a" },
		{ "^a{1,3}$", "a|aa|aaa", "|aaaa" },
		{ "^a{0}b$", "b", "ab" },
		{ "^a{0,2}b$", "b|ab|aab", "aaab" },
		{ "^(ab){2,3}c$", "ababc|abababc", "abc|ababababc" },
		{ "^((a|b){2}c){2}$", "abcbac|aacbbc", "abc|abcab" },
		{ "^a*?b+?c??$", "b|aabc", "c" },
		{ "^(a*)*$", "|aaaa", "b" },
		{ "^(a|b*)*c$", "c|ababc", "abd" },
		{ "^.$", "a|\xc3\xa9|\xf0\x9f\x98\x80|\t", "ab|\n|\r|\xe2\x80\xa8" },
		{ "^[a-c]+$", "abc", "d|" },
		{ "^[^a-c]$", "d|-|\n", "a" },
		{ "^[]$", NULL, "|a" },
		{ "^[^]$", "a|\n", "" },
		{ "^[a\\-z]$", "a|-|z", "b" },
		{ "^[-a]$", "-|a", "b" },
		{ "^[a-]$", "-|a", "b" },
		{ "^[\\d_-]+$", "0_9-", "a" },
		{ "^[\\]\\\\^]$", "]|\\|^", "a" },
		{ "^\\d\\D\\w\\W\\s\\S$", "1a_- x", "11_- x|1a-- x" },
		{ "^[^\\W\\d]$", "a|_", "1|-" },
		{ "^\\s$", "\xc2\xa0|\xe3\x80\x80|\xef\xbb\xbf", "x|\xe2\x80\x8b" },
		{ "^\\x41\\u0042\\u{43}\\u{1F600}\\uD83D\\uDE00$",
		    "ABC\xf0\x9f\x98\x80\xf0\x9f\x98\x80", "ABC" },
		{ "^[\xc3\xa0-\xc3\xbf]$", "\xc3\xa9", "e|\xc3" },
		{ "^[\xf0\x9f\x98\x80]$", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x81" },
		{ "^\\^\\$\\.\\*\\+\\?\\(\\)\\[\\]\\{\\}\\/$", "^$.*+?()[]{}/", "a" },
		{ "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z]{2,8})+$",
		    "example.com|a-c.example.org", "-a.com|a..com|localhost" },
		{ "^[A-Za-z0-9._:/-]{1,64}$", "gpt-4.1/mini:latest", "|a b" },
		{ "^\\t\\n\\v\\f\\r$", "\t\n\v\f\r", "tnvfr" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		const struct schema *s = NULL;

		if (!is_ok(compile(&a, rows[i].pattern, &s)))
			print_error("refused: %s\n", rows[i].pattern);
		assert_non_null(s);
		for (int want = 0; want <= 1; want++) {
			const char *p = want ? rows[i].yes : rows[i].no;

			while (p != NULL) {
				const char *bar = strchr(p, '|');
				char text[200];

				(void)snprintf(text, sizeof(text), "%.*s",
				    bar == NULL ? (int)strlen(p) : (int)(bar - p), p);
				if (matches(s, text) != want)
					print_error("%s: %s\n", rows[i].pattern, text);
				assert_int_equal(matches(s, text), want);
				p = bar == NULL ? NULL : bar + 1;
			}
		}
	}
}

static void
patterns_are_refused(void **state)
{
	static const struct {
		const char *pattern;
		enum code code;
	} rows[] = {
		{ "(", E_SYNTAX },
		{ ")", E_SYNTAX },
		{ "a)b", E_SYNTAX },
		{ "[a", E_SYNTAX },
		{ "[b-a]", E_SYNTAX },
		{ "[a-\\d]", E_SYNTAX },
		{ "]", E_SYNTAX },
		{ "}", E_SYNTAX },
		{ "*a", E_SYNTAX },
		{ "a**", E_SYNTAX },
		{ "^*", E_SYNTAX },
		{ "a{", E_SYNTAX },
		{ "a{x}", E_SYNTAX },
		{ "a{2,1}", E_SYNTAX },
		{ "a{,2}", E_SYNTAX },
		{ "\\", E_SYNTAX },
		{ "\\u12", E_SYNTAX },
		{ "\\u{}", E_SYNTAX },
		{ "\\x4", E_SYNTAX },
		{ "(?=a)", E_UNSUPPORTED },
		{ "(?<n>a)", E_UNSUPPORTED },
		{ "(a)\\1", E_UNSUPPORTED },
		{ "\\bword", E_UNSUPPORTED },
		{ "\\p{L}", E_UNSUPPORTED },
		{ "\\a", E_UNSUPPORTED },
		{ "a{1001}", E_RANGE },
		{ "a{99999999999999999999}", E_RANGE },
		{ "((a{1000}){1000}){1000}", E_RANGE },
		{ "\\u{110000}", E_RANGE },
		{ "((((((((((((((((((((((((((((((((()))))))))))))))))))))))))))))))))", E_RANGE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		const struct schema *s = NULL;
		struct status st = compile(&a, rows[i].pattern, &s);

		if (st.code != rows[i].code)
			print_error("%s: %u\n", rows[i].pattern, st.code);
		assert_int_equal(st.code, rows[i].code);
	}
}

static void
empty_repetitions_end(void **state)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct schema *s = NULL;

	(void)state;
	assert_true(is_ok(compile(&a, "^((((){1000}){1000}){1000}){1000}x$", &s)));
	assert_true(matches(s, "x"));
	assert_false(matches(s, "y"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match),
		cmocka_unit_test(patterns_are_refused),
		cmocka_unit_test(empty_repetitions_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
