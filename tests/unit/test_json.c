/* SPDX-License-Identifier: Apache-2.0 */
/* lib/json: limits, faults, duplicates, readers, pointers, equality. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#include <base/cleanup.h>
#include <base/clock.h>
#include <json/json.h>

static const struct json_opts lenient = { .depth_max = 0 };

/* Parse `text`; a failure must be `code`. */
static void
parse(struct json_doc *d, const struct json_opts *opts, const char *text, enum code code)
{
	struct status st;

	assert_true(is_ok(json_init(d, opts)));
	st = json_parse(d, span_str(text));
	if (st.code != code)
		print_error("%s: %s\n", text, d->fault.message);
	assert_int_equal(st.code, code);
}

static void
structure_is_read(void **state)
{
	auto_json struct json_doc d = { .count = 0 };
	const char *text =
	    " {\"a\" : [1, {\"b\":null}, \"x\"], \"c\":{} , \"d\":[],\"a\\u0062\":true}\n";
	struct json_iter it;
	uint32_t arr;

	(void)state;
	parse(&d, &lenient, text, E_OK);
	assert_int_equal(json_type(&d, 0), JSON_OBJECT);
	assert_int_equal(json_size(&d, 0), 4);
	arr = json_get_str(&d, 0, "a");
	assert_int_equal(json_type(&d, arr), JSON_ARRAY);
	assert_int_equal(json_size(&d, arr), 3);
	assert_int_equal(json_type(&d, json_get_str(&d, json_at(&d, arr, 1), "b")), JSON_NULL);
	assert_int_equal(json_at(&d, arr, 3), JSON_NONE);
	assert_true(json_str_eq_str(&d, json_at(&d, arr, 2), "x"));
	assert_int_equal(json_type(&d, json_get_str(&d, 0, "ab")), JSON_TRUE);
	assert_int_equal(json_get_str(&d, 0, "A"), JSON_NONE);
	assert_true(span_eq_str(json_bytes(&d, arr), "[1, {\"b\":null}, \"x\"]"));
	assert_true(span_eq_str(json_bytes(&d, json_at(&d, arr, 2)), "\"x\""));
	it = json_iter(&d, json_get_str(&d, 0, "d"));
	assert_false(json_next(&it));
	it = json_iter(&d, 0);
	for (uint32_t n = 0; n < 4; n++) {
		assert_true(json_next(&it));
		assert_int_equal(it.index, n);
		assert_int_equal(json_type(&d, it.key), JSON_STRING);
	}
	assert_false(json_next(&it));
}

static void
absent_values_are_harmless(void **state)
{
	auto_json struct json_doc d = { .count = 0 };
	auto_arena struct arena a = ARENA_INIT(100);
	struct json_iter it;
	struct span s;
	uint64_t u;
	bool b;

	(void)state;
	parse(&d, &lenient, "[1]", E_OK);
	assert_int_equal(json_get_str(&d, JSON_NONE, "a"), JSON_NONE);
	assert_int_equal(json_get_str(&d, 0, "a"), JSON_NONE);
	assert_int_equal(json_at(&d, 1, 0), JSON_NONE);
	assert_int_equal(json_type(&d, JSON_NONE), JSON_ABSENT);
	it = json_iter(&d, JSON_NONE);
	assert_false(json_next(&it));
	assert_int_equal(json_u64(&d, JSON_NONE, 9, &u).code, E_NOTFOUND);
	assert_int_equal(json_str(&d, JSON_NONE, &a, &s).code, E_NOTFOUND);
	assert_int_equal(json_bool(&d, JSON_NONE, &b).code, E_NOTFOUND);
	assert_int_equal(json_str(&d, 1, &a, &s).code, E_SYNTAX);
	assert_int_equal(json_u64(&d, 0, 9, &u).code, E_SYNTAX);
	assert_int_equal(json_bytes(&d, JSON_NONE).len, 0);
}

static void
limits_hold(void **state)
{
	struct json_opts depth = { .depth_max = 3 }, tokens = { .tokens_max = 4 };
	struct json_opts size = { .size_max = 5 }, wrong = { .depth_max = JSON_DEPTH_MAX + 1 };

	(void)state;
	for (int ok = 0; ok <= 1; ok++) {
		auto_json struct json_doc a = { .count = 0 }, b = { .count = 0 };
		auto_json struct json_doc c = { .count = 0 }, e = { .count = 0 };

		parse(&a, &depth, ok ? "[[[1]],[[]]]" : "[[[[]]]]", ok ? E_OK : E_RANGE);
		parse(&b, &tokens, ok ? "[1,2,3]" : "[1,2,3,4]", ok ? E_OK : E_RANGE);
		parse(&c, &size, ok ? "[1,2]" : "[1,2 ]", ok ? E_OK : E_RANGE);
		parse(&e, &tokens, ok ? "{\"a\":1}" : "{\"a\":{\"b\":2}}", ok ? E_OK : E_RANGE);
		assert_int_equal(json_init(&a, &wrong).code, ok ? E_RANGE : E_RANGE);
	}
}

static void
faults_say_where(void **state)
{
	static const struct {
		const char *text, *pointer, *message;
		size_t offset;
	} rows[] = {
		{ "", "", "ends too early", 0 },
		{ "[1,", "/1", "ends too early", 3 },
		{ "[1 2]", "/1", "needs a comma or ] here", 3 },
		{ "[1,]", "/1", "needs a value here", 3 },
		{ "{\"a\":{\"b\":[0,{\"c\":tru}]}}", "/a/b/1/c", "has an unknown word", 18 },
		{ "{\"a\":1,}", "", "needs a key in quotes here", 7 },
		{ "{\"a\" 1}", "", "needs a colon here", 5 },
		{ "{\"a\":1]", "", "needs a comma or } here", 6 },
		{ "{\"a~/\\u0062\":x}", "/a~0~1b", "needs a value here", 13 },
		{ "[01]", "/1", "needs a comma or ] here", 2 },
		{ "[-]", "/0", "has a number without a digit here", 2 },
		{ "[\"\x01\"]", "/0", "has a control character in a string", 2 },
		{ "[\"\xc0\x80\"]", "/0", "is not valid UTF-8", 2 },
		{ "[\"\xed\xa0\x80\"]", "/0", "is not valid UTF-8", 2 },
		{ "[\"\xf4\x90\x80\x80\"]", "/0", "is not valid UTF-8", 2 },
		{ "[\"\xf0\x8f\xbf\xbf\"]", "/0", "is not valid UTF-8", 2 },
		{ "[\"\xe0\x9f\xbf\"]", "/0", "is not valid UTF-8", 2 },
		{ "[\"\xf5\x80\x80\x80\"]", "/0", "is not valid UTF-8", 2 },
		{ "[\"\xe2\x82\"]", "/0", "is not valid UTF-8", 2 },
		{ "[\"\\x\"]", "/0", "has an unknown escape in a string", 2 },
		{ "\xef\xbb\xbf[]", "", "begins with a byte order mark", 0 },
		{ "[] []", "", "has something after its end", 3 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_json struct json_doc d = { .count = 0 };
		auto_buf struct buf pointer = BUF_INIT(100);

		parse(&d, &lenient, rows[i].text, E_SYNTAX);
		assert_int_equal(d.count, 0);
		assert_string_equal(d.fault.message, rows[i].message);
		assert_int_equal(d.fault.offset, rows[i].offset);
		assert_true(is_ok(json_fault_pointer(&d, &pointer)));
		assert_true(span_eq_str(buf_span(&pointer), rows[i].pointer));
	}
}

static void
nul_never_parses_raw(void **state)
{
	static const char raw[] = "[\"a\0b\"]", outside[] = "[\0]";
	struct json_opts no_nul = { .refuse_nul = true };
	auto_json struct json_doc d = { .count = 0 };
	auto_json struct json_doc e = { .count = 0 }, f = { .count = 0 };

	(void)state;
	assert_true(is_ok(json_init(&d, &lenient)));
	assert_int_equal(json_parse(&d, span_of(raw, sizeof(raw) - 1)).code, E_SYNTAX);
	assert_int_equal(json_parse(&d, span_of(outside, sizeof(outside) - 1)).code, E_SYNTAX);
	assert_int_equal(json_parse(&d, span_of("1\0", 2)).code, E_SYNTAX);
	parse(&e, &lenient, "[\"\\u0000\"]", E_OK);
	parse(&f, &no_nul, "[\"\\u0000\"]", E_SYNTAX);
}

static void
duplicates_are_refused(void **state)
{
	static const struct {
		const char *text, *pointer;
	} rows[] = {
		{ "{\"a\":1,\"a\":2}", "/a" },
		{ "{\"model\":1,\"x\":{},\"Model\":2}", "/Model" },
		{ "{\"a\":1,\"\\u0041\":2}", "/A" },
		{ "{\"\":1,\"\":2}", "/" },
		{ "{\"AZaz\":1,\"azAZ\":2}", "/azAZ" },
		{ "[0,{\"k\":[{\"stream\":1,\"b\":[{}],\"STREAM\":2}]}]", "/1/k/0/STREAM" },
		{ "{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"C\":"
		  "1}",
		    "/C" },
		{ "{\"long-name-of-a-member\":1,\"long-name-of-A-member\":2}",
		    "/long-name-of-A-member" },
	};
	static const char *const fine[] = {
		"{\"a\":{\"a\":1},\"b\":{\"a\":1}}",
		"{\"a[\":1,\"a{\":2,\"a@\":3,\"a`\":4}",
		"{\"\xc3\x84\":1,\"\xc3\xa4\":2}", /* only ASCII case is folded */
		"{\"a\":1,\"a\\u0000\":2,\"a\\u0000\\u0000\":2}",
	};
	struct json_opts opts = { .refuse_duplicates = true };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_json struct json_doc d = { .count = 0 }, e = { .count = 0 };
		auto_buf struct buf pointer = BUF_INIT(100);

		parse(&e, &lenient, rows[i].text, E_OK);
		parse(&d, &opts, rows[i].text, E_EXISTS);
		assert_true(is_ok(json_fault_pointer(&d, &pointer)));
		assert_true(span_eq_str(buf_span(&pointer), rows[i].pointer));
	}
	for (size_t i = 0; i < COUNT(fine); i++) {
		auto_json struct json_doc d = { .count = 0 };

		parse(&d, &opts, fine[i], E_OK);
	}
}

/* n distinct keys; with `dup`, the last repeats the first in another case. */
static void
many_keys(struct buf *text, unsigned n, bool dup)
{
	assert_true(is_ok(buf_put_str(text, "{\"K0\":0")));
	for (unsigned i = 1; i < n; i++)
		assert_true(is_ok(buf_printf(text, ",\"k%u\":0", dup && i == n - 1 ? 0 : i)));
	assert_true(is_ok(buf_put_str(text, "}")));
}

static void
duplicates_among_many_keys(void **state)
{
	struct json_opts opts = { .refuse_duplicates = true };
	auto_json struct json_doc d = { .count = 0 };
	uint64_t start = clock_mono_ns();

	(void)state;
	assert_true(is_ok(json_init(&d, &opts)));
	for (unsigned n = 2; n <= 131072; n *= 2) {
		auto_buf struct buf text = BUF_INIT(1 << 24), twice = BUF_INIT(1 << 24);

		many_keys(&text, n, false);
		assert_int_equal(json_parse(&d, buf_span(&text)).code, E_OK);
		assert_int_equal(json_size(&d, 0), n);
		many_keys(&twice, n, true);
		assert_int_equal(json_parse(&d, buf_span(&twice)).code, E_EXISTS);
	}
	/* Quadratic would be 10^10 comparisons. */
	assert_true(clock_mono_ns() - start < 10 * NS_PER_S);
}

static void
strings_are_decoded(void **state)
{
	static const struct {
		const char *json, *text;
	} rows[] = {
		{ "\"\"", "" },
		{ "\"plain, longer than sixteen bytes\"", "plain, longer than sixteen bytes" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"a\\u00e9\\u20AC\\ud83d\\uDE00z\"", "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z" },
		{ "\"\\ud83d\"", "\xef\xbf\xbd" },
		{ "\"\\ude00\\ud83dx\"", "\xef\xbf\xbd\xef\xbf\xbdx" },
		{ "\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
					"A" },
		{ "\"\xe2\x82\xac\\n\xf0\x9f\x98\x80\"", "\xe2\x82\xac\n\xf0\x9f\x98\x80" },
	};
	struct json_opts strict = { .refuse_surrogates = true };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_json struct json_doc d = { .count = 0 }, e = { .count = 0 };
		auto_arena struct arena a = ARENA_INIT(1000);
		auto_buf struct buf b = BUF_INIT(1000);
		struct span s;

		parse(&d, &lenient, rows[i].json, E_OK);
		assert_true(is_ok(json_str(&d, 0, &a, &s)));
		assert_true(span_eq_str(s, rows[i].text));
		assert_true(is_ok(json_str_put(&d, 0, &b)));
		assert_true(span_eq_str(buf_span(&b), rows[i].text));
		assert_true(json_str_eq_str(&d, 0, rows[i].text));
		assert_false(json_str_eq_str(&d, 0, "something else"));
		assert_true(is_ok(buf_put_u8(&b, 'x')));
		assert_false(json_str_eq(&d, 0, buf_span(&b)));
		b.len = s.len > 0 ? s.len - 1 : 1;
		assert_false(json_str_eq(&d, 0, buf_span(&b)));
		if (strstr(rows[i].text, "\xef\xbf\xbd") != NULL)
			parse(&e, &strict, rows[i].json, E_SYNTAX);
	}
}

/* Every special byte at every position of the vector loop, at exact buffer ends. */
static void
scan_finds_each_byte_at_each_place(void **state)
{
	auto_json struct json_doc d = { .count = 0 };

	(void)state;
	assert_true(is_ok(json_init(&d, &lenient)));
	for (size_t len = 1; len < 40; len++) {
		for (size_t at = 0; at < len; at++) {
			for (unsigned c = 0; c < 256; c++) {
				auto_free uint8_t *text = malloc(len + 2);
				bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

				assert_non_null(text);
				memset(text, 'x', len + 2);
				text[0] = text[len + 1] = '"';
				text[at + 1] = (uint8_t)c;
				assert_int_equal(
				    is_ok(json_parse(&d, span_of(text, len + 2))), plain);
				assert_int_equal(is_ok(json_parse(&d, span_of(text, len + 1))),
				    c == '"' && at == len - 1);
			}
		}
	}
}

static void
integers_are_read_by_value(void **state)
{
	static const struct {
		const char *text;
		enum code u, i; /* as u64 up to UINT64_MAX, as the whole of int64 */
		uint64_t value;
	} rows[] = {
		{ "0", E_OK, E_OK, 0 },
		{ "-0", E_OK, E_OK, 0 },
		{ "1.0", E_OK, E_OK, 1 },
		{ "1.500e3", E_OK, E_OK, 1500 },
		{ "12300e-2", E_OK, E_OK, 123 },
		{ "0.00001e5", E_OK, E_OK, 1 },
		{ "0e999999999999999999999", E_OK, E_OK, 0 },
		{ "1.5", E_SYNTAX, E_SYNTAX, 0 },
		{ "1e-1", E_SYNTAX, E_SYNTAX, 0 },
		{ "-1", E_RANGE, E_OK, (uint64_t)-1 },
		{ "9223372036854775807", E_OK, E_OK, INT64_MAX },
		{ "9223372036854775808", E_OK, E_RANGE, 1ULL << 63 },
		{ "-9223372036854775808", E_RANGE, E_OK, 1ULL << 63 },
		{ "-9223372036854775809", E_RANGE, E_RANGE, 0 },
		{ "18446744073709551615", E_OK, E_RANGE, UINT64_MAX },
		{ "18446744073709551616", E_RANGE, E_RANGE, 0 },
		{ "1e19", E_OK, E_RANGE, 10000000000000000000ULL },
		{ "1e20", E_RANGE, E_RANGE, 0 },
		{ "1e99999999999999999999", E_RANGE, E_RANGE, 0 },
		{ "1e-99999999999999999999", E_SYNTAX, E_SYNTAX, 0 },
	};

	(void)state;
	for (size_t k = 0; k < COUNT(rows); k++) {
		auto_json struct json_doc d = { .count = 0 };
		uint64_t u = 77;
		int64_t i = 77;

		parse(&d, &lenient, rows[k].text, E_OK);
		assert_int_equal(json_u64(&d, 0, UINT64_MAX, &u).code, rows[k].u);
		assert_true(u == (rows[k].u == E_OK ? rows[k].value : 77));
		assert_int_equal(json_i64(&d, 0, INT64_MIN, INT64_MAX, &i).code, rows[k].i);
		assert_true(i == (rows[k].i == E_OK ? (int64_t)rows[k].value : 77));
	}
}

static void
ranges_and_doubles(void **state)
{
	auto_json struct json_doc d = { .count = 0 };
	uint64_t u;
	int64_t i;
	double v;
	bool b;

	(void)state;
	parse(&d, &lenient, "[10,-2.5e3,1e400,true,0.1]", E_OK);
	assert_int_equal(json_u64(&d, 1, 9, &u).code, E_RANGE);
	assert_int_equal(json_u64(&d, 1, 10, &u).code, E_OK);
	assert_int_equal(json_i64(&d, 2, -2499, 0, &i).code, E_RANGE);
	assert_int_equal(json_i64(&d, 2, -2500, 0, &i).code, E_OK);
	assert_true(is_ok(json_double(&d, 2, &v)));
	assert_true(fabs(v + 2500) < 1e-9);
	assert_int_equal(json_double(&d, 3, &v).code, E_RANGE);
	assert_true(is_ok(json_bool(&d, 4, &b)) && b);
	assert_int_equal(json_bool(&d, 1, &b).code, E_SYNTAX);
	assert_int_equal(json_double(&d, 4, &v).code, E_SYNTAX);
}

static void
pointers_name_every_token(void **state)
{
	auto_json struct json_doc d = { .count = 0 };
	static const char *const want[] = { "", "/a", "/a", "/a/0", "/a/1", "/a/1/~1~0",
		"/a/1/~1~0", "/a/2", "/", "/" };

	(void)state;
	parse(&d, &lenient, "{\"a\":[1,{\"/~\":2},[]],\"\":3}", E_OK);
	assert_int_equal(d.count, COUNT(want));
	for (uint32_t i = 0; i < d.count; i++) {
		auto_buf struct buf p = BUF_INIT(100);

		assert_true(is_ok(json_pointer(&d, i, &p)));
		assert_true(span_eq_str(buf_span(&p), want[i]));
	}
}

static void
equality_is_mathematical(void **state)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} rows[] = {
		{ "1", "1.0", true },
		{ "100", "1e2", true },
		{ "-0", "0.0e7", true },
		{ "0.10", "1E-1", true },
		{ "1", "-1", false },
		{ "1", "1.0000000000000000000000000000001", false },
		{ "12345678901234567890123", "12345678901234567890124", false },
		{ "1", "\"1\"", false },
		{ "1", "true", false },
		{ "\"a\\u0062\"", "\"ab\"", true },
		{ "\"ab\"", "\"aB\"", false },
		{ "[1,2]", "[1.0,2]", true },
		{ "[1,2]", "[2,1]", false },
		{ "[1]", "[1,1]", false },
		{ "{\"a\":1,\"b\":[{}]}", "{\"b\":[{}],\"\\u0061\":1.0}", true },
		{ "{\"a\":1}", "{\"b\":1}", false },
		{ "{\"a\":1}", "{\"a\":1,\"b\":1}", false },
		{ "null", "false", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_json struct json_doc a = { .count = 0 }, b = { .count = 0 };
		uint64_t steps = 1000, none = 0;
		bool equal;

		parse(&a, &lenient, rows[i].a, E_OK);
		parse(&b, &lenient, rows[i].b, E_OK);
		assert_true(is_ok(json_equal(&a, 0, &b, 0, &steps, &equal)));
		assert_int_equal(equal, rows[i].equal);
		assert_true(is_ok(json_equal(&b, 0, &a, 0, &steps, &equal)));
		assert_int_equal(equal, rows[i].equal);
		assert_int_equal(json_equal(&a, 0, &a, 0, &none, &equal).code, E_FULL);
	}
}

static void
a_document_is_reused(void **state)
{
	auto_json struct json_doc d = { .count = 0 };
	auto_buf struct buf big = BUF_INIT(1 << 20);

	(void)state;
	assert_true(is_ok(json_init(&d, &JSON_STRICT)));
	assert_true(is_ok(buf_put_str(&big, "[0")));
	for (int i = 0; i < 100000; i++)
		assert_true(is_ok(buf_put_str(&big, ",0")));
	assert_true(is_ok(buf_put_str(&big, "]")));
	for (int i = 0; i < 3; i++) {
		assert_true(is_ok(json_parse(&d, buf_span(&big))));
		assert_int_equal(d.count, 100002);
		assert_true(is_ok(json_parse(&d, SPAN_LIT("{\"a\":1}"))));
		assert_int_equal(d.count, 3);
		assert_int_equal(json_parse(&d, SPAN_LIT("{")).code, E_SYNTAX);
		assert_int_equal(d.count, 0);
		assert_int_equal(json_parse(&d, SPAN_EMPTY).code, E_SYNTAX);
	}
	assert_true(d.cap <= 64);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structure_is_read),
		cmocka_unit_test(absent_values_are_harmless),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(faults_say_where),
		cmocka_unit_test(nul_never_parses_raw),
		cmocka_unit_test(duplicates_are_refused),
		cmocka_unit_test(duplicates_among_many_keys),
		cmocka_unit_test(strings_are_decoded),
		cmocka_unit_test(scan_finds_each_byte_at_each_place),
		cmocka_unit_test(integers_are_read_by_value),
		cmocka_unit_test(ranges_and_doubles),
		cmocka_unit_test(pointers_name_every_token),
		cmocka_unit_test(equality_is_mathematical),
		cmocka_unit_test(a_document_is_reused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
