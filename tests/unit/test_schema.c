/* SPDX-License-Identifier: Apache-2.0 */
/* lib/json: what the schema compiler refuses, faults, bounded work. */
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#include <base/cleanup.h>
#include <base/clock.h>
#include <json/schema.h>

static const struct json_opts lenient = { .depth_max = 256 };

static const struct schema *
compile(struct arena *a, const char *text)
{
	struct schema_fault fault = { .message = NULL };
	const struct schema *s = NULL;
	struct status st = schema_compile(span_str(text), a, &s, &fault);

	if (!is_ok(st))
		print_error("%s: %s at %s\n", text, fault.message, fault.pointer);
	assert_true(is_ok(st));
	return s;
}

static struct status
validate(const struct schema *s, struct span text, struct schema_fault *fault)
{
	auto_json struct json_doc d = { .count = 0 };

	assert_true(is_ok(json_init(&d, &lenient)));
	assert_true(is_ok(json_parse(&d, text)));
	return schema_validate(s, &d, 0, fault);
}

static void
the_compiler_refuses(void **state)
{
	static const struct {
		const char *text, *pointer;
		enum code code;
	} rows[] = {
		{ "{\"type\":\"string\",\"if\":true}", "/if", E_UNSUPPORTED },
		{ "{\"properties\":{\"a/b\":{\"Minimum\":1}}}", "/properties/a~1b/Minimum",
		    E_UNSUPPORTED },
		{ "{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", "/$schema",
		    E_UNSUPPORTED },
		{ "{\"items\":{\"$id\":\"x\"}}", "/items/$id", E_UNSUPPORTED },
		{ "{\"$ref\":\"other.json\"}", "/$ref", E_UNSUPPORTED },
		{ "{\"$ref\":\"#anchor\"}", "/$ref", E_UNSUPPORTED },
		{ "{\"$ref\":\"#/$defs/a\"}", "/$ref", E_SYNTAX },
		{ "{\"$ref\":\"#/enum/0\",\"enum\":[{}]}", "/$ref", E_SYNTAX },
		{ "{\"$ref\":\"#\"}", "/$ref", E_SYNTAX },
		{ "{\"$defs\":{\"a\":{\"allOf\":[{\"$ref\":\"#/$defs/b\"}]},"
		  "\"b\":{\"not\":{\"$ref\":\"#/$defs/a\"}}}}",
		    NULL, E_SYNTAX },
		{ "{\"type\":\"strin\"}", "/type", E_SYNTAX },
		{ "{\"type\":[\"string\",\"string\"]}", "/type", E_SYNTAX },
		{ "{\"type\":[]}", "/type", E_SYNTAX },
		{ "{\"minLength\":-1}", "/minLength", E_SYNTAX },
		{ "{\"maxItems\":1.5}", "/maxItems", E_SYNTAX },
		{ "{\"minimum\":\"1\"}", "/minimum", E_SYNTAX },
		{ "{\"multipleOf\":0}", "/multipleOf", E_RANGE },
		{ "{\"multipleOf\":-2}", "/multipleOf", E_RANGE },
		{ "{\"uniqueItems\":1}", "/uniqueItems", E_SYNTAX },
		{ "{\"enum\":1}", "/enum", E_SYNTAX },
		{ "{\"required\":[1]}", "/required", E_SYNTAX },
		{ "{\"required\":[\"a\",\"a\"]}", "/required", E_SYNTAX },
		{ "{\"anyOf\":[]}", "/anyOf", E_SYNTAX },
		{ "{\"items\":[{}]}", "/items", E_SYNTAX },
		{ "{\"properties\":{\"a\":1}}", "/properties/a", E_SYNTAX },
		{ "{\"properties\":{\"a\":{},\"\\u0061\":{}}}", NULL, E_EXISTS },
		{ "{\"type\":\"string\",\"type\":\"null\"}", NULL, E_EXISTS },
		{ "{\"pattern\":\"a(\"}", "/pattern", E_SYNTAX },
		{ "{\"patternProperties\":{\"[\":{}}}", "/patternProperties/[", E_SYNTAX },
		{ "{\"title\":1}", "/title", E_SYNTAX },
		{ "{\"type\":", "/type", E_SYNTAX },
		{ "3", "", E_SYNTAX },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		struct schema_fault fault = { .message = NULL };
		const struct schema *s = NULL;
		struct status st = schema_compile(span_str(rows[i].text), &a, &s, &fault);

		if (st.code != rows[i].code ||
		    (rows[i].pointer != NULL && strcmp(fault.pointer, rows[i].pointer) != 0))
			print_error("%s: %s at %s\n", rows[i].text, fault.message, fault.pointer);
		assert_int_equal(st.code, rows[i].code);
		assert_null(s);
		assert_non_null(fault.message);
		if (rows[i].pointer != NULL)
			assert_string_equal(fault.pointer, rows[i].pointer);
		assert_int_equal(
		    schema_compile(span_str(rows[i].text), &a, &s, NULL).code, rows[i].code);
	}
}

static void
faults_name_the_place(void **state)
{
	static const char schema[] =
	    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
	    "\"$id\":\"https://example.com/chat\",\"type\":\"object\","
	    "\"properties\":{\"model\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":4},"
	    "\"n\":{\"type\":\"integer\",\"minimum\":1,\"exclusiveMaximum\":10},"
	    "\"messages\":{\"type\":\"array\",\"minItems\":1,\"uniqueItems\":true,"
	    "\"items\":{\"$ref\":\"#/$defs/message\"}},"
	    "\"x\":{\"not\":{\"type\":\"null\"}},\"e\":{\"enum\":[1,\"a\"]},"
	    "\"o\":{\"oneOf\":[{\"minimum\":1},{\"maximum\":5}]},"
	    "\"y\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}},"
	    "\"required\":[\"model\"],\"additionalProperties\":false,"
	    "\"$defs\":{\"message\":{\"type\":\"object\",\"required\":[\"role\"],"
	    "\"properties\":{\"role\":{\"pattern\":\"^(user|system)$\"}}}}}";
	static const struct {
		const char *text, *pointer, *keyword;
	} rows[] = {
		{ "{\"model\":\"m\",\"n\":1.0,\"messages\":[{\"role\":\"user\"}],\"x\":1,\"y\":"
		  "null,"
		  "\"e\":1.0,\"o\":0}",
		    NULL, NULL },
		{ "[]", "", "type" },
		{ "{}", "", "required" },
		{ "{\"model\":1}", "/model", "type" },
		{ "{\"model\":\"\"}", "/model", "minLength" },
		{ "{\"model\":\"\\u00e9\\ud83d\\ude00\xc3\xa9y\"}", NULL, NULL },
		{ "{\"model\":\"12345\"}", "/model", "maxLength" },
		{ "{\"model\":\"m\",\"n\":1.5}", "/n", "type" },
		{ "{\"model\":\"m\",\"n\":0}", "/n", "minimum" },
		{ "{\"model\":\"m\",\"n\":10}", "/n", "exclusiveMaximum" },
		{ "{\"model\":\"m\",\"messages\":[]}", "/messages", "minItems" },
		{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"},{}]}", "/messages/1",
		    "required" },
		{ "{\"model\":\"m\",\"messages\":[{\"role\":\"users\"}]}", "/messages/0/role",
		    "pattern" },
		{ "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"},{\"\\u0072ole\":\"user\"}]}",
		    "/messages/1", "uniqueItems" },
		{ "{\"model\":\"m\",\"a~/b\":1}", "/a~0~1b", "additionalProperties" },
		{ "{\"model\":\"m\",\"x\":null}", "/x", "not" },
		{ "{\"model\":\"m\",\"e\":\"b\"}", "/e", "enum" },
		{ "{\"model\":\"m\",\"o\":3}", "/o", "oneOf" },
		{ "{\"model\":\"m\",\"y\":3}", "/y", "anyOf" },
	};
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct schema *s = compile(&a, schema);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct schema_fault fault = { .message = NULL };
		struct status st = validate(s, span_str(rows[i].text), &fault);

		if (rows[i].pointer == NULL) {
			assert_true(is_ok(st));
			continue;
		}
		assert_int_equal(st.code, E_SYNTAX);
		assert_string_equal(fault.pointer, rows[i].pointer);
		assert_string_equal(fault.keyword, rows[i].keyword);
		assert_int_equal(
		    span_eq_str(fault.member, i == 2 ? "model" : "role"), i == 2 || i == 11);
	}
}

static void
numbers_are_exact(void **state)
{
	static const struct {
		const char *schema, *value;
		bool ok;
	} rows[] = {
		{ "{\"multipleOf\":0.01}", "19.99", true },
		{ "{\"multipleOf\":0.01}", "19.999", false },
		{ "{\"multipleOf\":0.1}", "0.30000000000000000000000000000001", false },
		{ "{\"multipleOf\":3}", "123456789012345678901234567891", false },
		{ "{\"multipleOf\":3}", "123456789012345678901234567890", true },
		{ "{\"multipleOf\":7}", "7e1000000000", true },
		{ "{\"multipleOf\":7}", "1e1000000000", false },
		{ "{\"multipleOf\":1e-1000}", "1", true },
		{ "{\"multipleOf\":999999999999999999}", "999999999999999999e5", true },
		{ "{\"maximum\":1e400}", "9.99e399", true },
		{ "{\"maximum\":1e400}", "1.0000000000001e400", false },
		{ "{\"minimum\":-0.0}", "0", true },
		{ "{\"exclusiveMinimum\":0}", "1e-999999", true },
		{ "{\"minimum\":-10}", "-10.000000000000000000000000001", false },
		{ "{\"type\":\"integer\"}", "1e400", true },
		{ "{\"type\":\"integer\"}", "100.0100", false },
		{ "{\"const\":9007199254740993}", "9007199254740992", false },
		{ "{\"const\":9007199254740993}", "9007199254740993.0", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		const struct schema *s = compile(&a, rows[i].schema);
		struct status st = validate(s, span_str(rows[i].value), NULL);

		if (is_ok(st) != rows[i].ok)
			print_error("%s %s\n", rows[i].schema, rows[i].value);
		assert_int_equal(st.code, rows[i].ok ? E_OK : E_SYNTAX);
	}
}

static void
put_repeated(struct buf *b, const char *before, const char *piece, int n, const char *after)
{
	assert_true(is_ok(buf_put_str(b, before)));
	for (int i = 0; i < n; i++)
		assert_true(is_ok(buf_put_str(b, piece)));
	assert_true(is_ok(buf_put_str(b, after)));
}

/* Each of these is exponential or quadratic for a naive validator. */
static void
work_is_bounded(void **state)
{
	static const struct {
		const char *schema, *before, *piece, *after;
		int n;
		enum code code;
	} rows[] = {
		{ "{\"$defs\":{\"t\":{\"anyOf\":[{\"items\":{\"$ref\":\"#/$defs/"
		  "t\"},\"maxItems\":0},"
		  "{\"items\":{\"$ref\":\"#/$defs/t\"},\"minItems\":9},"
		  "{\"items\":{\"$ref\":\"#/$defs/t\"},\"minItems\":8}]}},\"$ref\":\"#/$defs/t\"}",
		    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "", "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 0,
		    E_SYNTAX },
		{ "{\"uniqueItems\":true}", "[1e1", ",\"x\",2.50e1", "]", 50000, E_SYNTAX },
		{ "{\"pattern\":\"^(a*)*(a*)*(a|a?)*$\"}", "\"", "a", "b\"", 20000, E_SYNTAX },
		{ "{\"pattern\":\"(x?){5}x{5}y\"}", "\"", "x", "\"", 20000, E_SYNTAX },
		{ "{\"pattern\":\"(([a-z]{1,20}){1,20}!){2}\"}", "\"", "a", "\"", 50000, E_FULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		auto_buf struct buf text = BUF_INIT(1 << 22);
		uint64_t start = clock_mono_ns();
		struct schema_fault fault;
		struct status st;

		put_repeated(&text, rows[i].before, rows[i].piece, rows[i].n, rows[i].after);
		st = validate(compile(&a, rows[i].schema), buf_span(&text), &fault);
		if (st.code != rows[i].code)
			print_error("%s: %u %s\n", rows[i].schema, st.code, fault.message);
		assert_int_equal(st.code, rows[i].code);
		assert_true(clock_mono_ns() - start < 5 * NS_PER_S);
	}
}

/* Distinct elements of every kind, in their tens of thousands, are found unique. */
static void
unique_items_are_linear(void **state)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct schema *s = compile(&a, "{\"uniqueItems\":true}");
	auto_buf struct buf text = BUF_INIT(1 << 24);
	uint64_t start = clock_mono_ns();

	(void)state;
	put_repeated(&text, "[null,true,false,[],{},\"\",0,[[]],[0],[{}]", "", 0, "");
	for (int i = 1; i < 30000; i++)
		assert_true(is_ok(buf_printf(&text,
		    ",%d,\"%d\",[%d],{\"a\":%d,\"b\":0},{\"a\":0,\"b\":%d}", i, i, i, i, i)));
	put_repeated(&text, "]", "", 0, "");
	assert_true(is_ok(validate(s, buf_span(&text), NULL)));
	text.len--;
	put_repeated(&text, ",{\"b\":7.0,\"\\u0061\":0}]", "", 0, "");
	assert_int_equal(validate(s, buf_span(&text), NULL).code, E_SYNTAX);
	assert_true(clock_mono_ns() - start < 5 * NS_PER_S);
}

static void
limits_of_schemas(void **state)
{
	auto_arena struct arena a = ARENA_INIT(1 << 24), small = ARENA_INIT(300);
	auto_buf struct buf names = BUF_INIT(1 << 20), nested = BUF_INIT(1 << 20);
	auto_buf struct buf nodes = BUF_INIT(1 << 20);
	const struct schema *s = NULL;

	(void)state;
	put_repeated(&names, "{\"required\":[\"x\"", "", 0, "");
	for (int i = 0; i < SCHEMA_MEMBERS_MAX; i++)
		assert_true(is_ok(buf_printf(&names, ",\"%d\"", i)));
	put_repeated(&names, "]}", "", 0, "");
	assert_int_equal(schema_compile(buf_span(&names), &a, &s, NULL).code, E_RANGE);
	put_repeated(&nodes, "{\"allOf\":[true", ",true", SCHEMA_NODES_MAX, "]}");
	assert_int_equal(schema_compile(buf_span(&nodes), &a, &s, NULL).code, E_RANGE);
	put_repeated(&nested, "", "{\"not\":", SCHEMA_INPLACE_MAX + 1, "true");
	put_repeated(&nested, "", "}", SCHEMA_INPLACE_MAX + 1, "");
	assert_int_equal(schema_compile(buf_span(&nested), &a, &s, NULL).code, E_RANGE);
	assert_int_equal(
	    schema_compile(SPAN_LIT("{\"type\":\"null\"}"), &small, &s, NULL).code, E_NOMEM);
	assert_null(s);
}

/* The arena runs out at every possible place: E_NOMEM, and nothing comes back. */
static void
memory_runs_out_cleanly(void **state)
{
	static const char text[] =
	    "{\"$ref\":\"#/$defs/"
	    "a\",\"$defs\":{\"a\":{\"pattern\":\"[a-z]+\\\\d\"}},\"allOf\":[{}],"
	    "\"patternProperties\":{\"\\u0061\":true},\"properties\":{\"b\\n\":{}},\"required\":["
	    "\"c\"]}";
	const struct schema *s = NULL;
	size_t max;

	(void)state;
	for (max = 0; s == NULL; max += 16) {
		auto_arena struct arena a = ARENA_INIT(max);
		struct schema_fault fault = { .message = NULL };
		struct status st = schema_compile(span_str(text), &a, &s, max % 32 ? &fault : NULL);

		assert_int_equal(st.code, s == NULL ? E_NOMEM : E_OK);
		assert_true(max < 1 << 16);
	}
	assert_true(max > 1000);
}

static void
recursion_is_bounded(void **state)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct schema *s = compile(&a,
	    "{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"items\":"
	    "{\"$ref\":\"#/$defs/a\"}}},\"$ref\":\"#/$defs/a\"}");
	auto_buf struct buf deep = BUF_INIT(1 << 20), fine = BUF_INIT(1 << 20);

	(void)state;
	put_repeated(&deep, "", "[", 200, "");
	put_repeated(&deep, "", "]", 200, "");
	assert_int_equal(validate(s, buf_span(&deep), NULL).code, E_FULL);
	put_repeated(&fine, "", "[", 64, "");
	put_repeated(&fine, "", "]", 64, "");
	assert_int_equal(validate(s, buf_span(&fine), NULL).code, E_OK);
}

/* A failed alternative gives its depth back. */
static void
alternatives_leave_no_depth(void **state)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct schema *s = compile(
	    &a, "{\"items\":{\"anyOf\":[{\"items\":{\"type\":\"null\"}},{\"type\":\"array\"}]}}");
	auto_buf struct buf text = BUF_INIT(1 << 20);

	(void)state;
	put_repeated(&text, "[[1]", ",[1]", 2 * SCHEMA_DEPTH_MAX, "]");
	assert_int_equal(validate(s, buf_span(&text), NULL).code, E_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_compiler_refuses),
		cmocka_unit_test(faults_name_the_place),
		cmocka_unit_test(numbers_are_exact),
		cmocka_unit_test(work_is_bounded),
		cmocka_unit_test(unique_items_are_linear),
		cmocka_unit_test(limits_of_schemas),
		cmocka_unit_test(memory_runs_out_cleanly),
		cmocka_unit_test(recursion_is_bounded),
		cmocka_unit_test(alternatives_leave_no_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
