/* SPDX-License-Identifier: Apache-2.0 */
/* lib/json: the writer. */
#include <math.h>
#include <stdlib.h>

#include "unit.h"

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/json.h>
#include <json/write.h>

static const struct json_opts lenient = { .depth_max = 0 };

static void
a_whole_document(void **state)
{
	auto_buf struct buf out = BUF_INIT(1000);
	struct json_writer w = json_writer(&out);

	(void)state;
	json_put_object(&w);
	json_put_key(&w, "a");
	json_put_array(&w);
	json_put_u64(&w, UINT64_MAX);
	json_put_i64(&w, INT64_MIN);
	json_put_object(&w);
	json_put_end(&w);
	json_put_array(&w);
	json_put_end(&w);
	json_put_raw(&w, SPAN_LIT("{\"raw\":1}"));
	json_put_end(&w);
	json_put_key_span(&w, SPAN_LIT("b\""));
	json_put_bool(&w, false);
	json_put_key(&w, "c");
	json_put_null(&w);
	json_put_key(&w, "d");
	json_put_str(&w, SPAN_LIT("x\ny"));
	json_put_key(&w, "e");
	json_put_text(&w, "");
	json_put_end(&w);
	assert_true(is_ok(json_writer_finish(&w)));
	assert_true(span_eq_str(buf_span(&out),
	    "{\"a\":[18446744073709551615,-9223372036854775808,{},[],{\"raw\":1}],\"b\\\"\":false,"
	    "\"c\":null,\"d\":\"x\\ny\",\"e\":\"\"}"));
}

/* On one line, the same value. */
static void
compact(void **state)
{
	static const struct {
		const char *value, *want;
	} rows[] = {
		{ " { \"a b\" :\r\n[ 1 ,\t2 ] }\n", "{\"a b\":[1,2]}" },
		{ "\n\" \\\" { \\\\\" ", "\" \\\" { \\\\\"" },
		{ "\t-1e5 ", "-1e5" },
		{ "[\n]", "[]" },
		{ "{\"\\\\\":\n\"\\n\"\n,\n\"\":null}", "{\"\\\\\":\"\\n\",\"\":null}" },
		{ "[\"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\x7f\"]",
		    "[\"\\u2028\\u2029\xe2\x80\xaa\x7f\"]" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf out = BUF_INIT(1000);
		struct json_writer w = json_writer(&out);

		json_put_array(&w);
		json_put_compact(&w, span_str(rows[i].value));
		json_put_compact(&w, SPAN_LIT("1"));
		json_put_end(&w);
		assert_true(is_ok(json_writer_finish(&w)));
		assert_int_equal(out.len, strlen(rows[i].want) + 4);
		assert_memory_equal(out.ptr + 1, rows[i].want, strlen(rows[i].want));
	}
}

static void
an_error_sticks(void **state)
{
	auto_buf struct buf out = BUF_INIT(8);
	struct json_writer w = json_writer(&out);

	(void)state;
	json_put_array(&w);
	json_put_text(&w, "too long for eight bytes");
	json_put_u64(&w, 1);
	json_put_end(&w);
	assert_int_equal(json_writer_finish(&w).code, E_FULL);
}

static void
escapes(void **state)
{
	static const struct {
		const char *text, *json;
	} rows[] = {
		{ "", "" },
		{ "a\"b\\c/", "a\\\"b\\\\c/" },
		{ "\b\f\n\r\t\x01\x1f\x7f", "\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f" },
		{ "\xe2\x80\xa8|\xe2\x80\xa9|\xe2\x80\xaa", "\\u2028|\\u2029|\xe2\x80\xaa" },
		{ "\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80" },
		{ "a\xff"
		  "b",
		    "a\xef\xbf\xbd"
		    "b" },
		{ "\xe2\x80", "\xef\xbf\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf out = BUF_INIT(1000);

		assert_true(is_ok(json_escape(span_str(rows[i].text), &out)));
		assert_true(span_eq_str(buf_span(&out), rows[i].json));
	}
}

/* Whatever bytes go in, JSON comes out that reads as the repaired text. */
static void
any_bytes_make_valid_json(void **state)
{
	uint8_t bytes[9000];
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		auto_buf struct buf out = BUF_INIT(100000), back = BUF_INIT(100000);
		auto_buf struct buf want = BUF_INIT(100000);
		auto_json struct json_doc d = { .count = 0 };
		struct json_writer w = json_writer(&out);
		size_t len = (size_t)round * 30, used;

		for (size_t i = 0; i < len; i++) {
			seed = seed * 1664525U + 1013904223U;
			bytes[i] = (uint8_t)(round % 2 ? seed >> 24 : 0x20 + (seed >> 28));
		}
		if (round % 2 == 0 && len > 5000)
			bytes[4097] = 0xe2;
		json_put_str(&w, span_of(bytes, len));
		assert_true(is_ok(json_writer_finish(&w)));
		assert_true(is_ok(json_init(&d, &lenient)));
		assert_true(is_ok(json_parse(&d, buf_span(&out))));
		assert_true(is_ok(json_str_put(&d, 0, &back)));
		assert_true(is_ok(utf8_repair(span_of(bytes, len), true, &want, &used)));
		assert_true(span_eq(buf_span(&back), buf_span(&want)));
	}
}

static void
doubles_come_back(void **state)
{
	static const double values[] = { 0, 0.1, -1.5, 1e300, 5e-324, 1.7976931348623157e308,
		123456789012345680.0, 1.0 / 3 };

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		auto_buf struct buf out = BUF_INIT(100);
		auto_json struct json_doc d = { .count = 0 };
		struct json_writer w = json_writer(&out);
		double v = 7;

		json_put_double(&w, values[i]);
		assert_true(is_ok(json_writer_finish(&w)));
		assert_true(is_ok(json_init(&d, &lenient)));
		assert_true(is_ok(json_parse(&d, buf_span(&out))));
		assert_true(is_ok(json_double(&d, 0, &v)));
		assert_memory_equal(&v, &values[i], sizeof(v));
	}
	for (int i = 0; i < 2; i++) {
		auto_buf struct buf out = BUF_INIT(100);
		struct json_writer w = json_writer(&out);

		json_put_double(&w, i ? INFINITY : NAN);
		assert_true(span_eq_str(buf_span(&out), "null"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_document),
		cmocka_unit_test(compact),
		cmocka_unit_test(an_error_sticks),
		cmocka_unit_test(escapes),
		cmocka_unit_test(any_bytes_make_valid_json),
		cmocka_unit_test(doubles_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
