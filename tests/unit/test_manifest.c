/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_manifest.c: tool.json, good, bad and hostile.
 */
#include "unit.h"

#include <base/cleanup.h>
#include <manifest/manifest.h>

#define HEAD "{\"name\":\"t\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}"

static struct status
parse(const char *text, struct arena *a, struct manifest *m, struct manifest_fault *fault)
{
	return manifest_parse(span_str(text), a, m, fault);
}

static void
test_whole(void **state)
{
	static const char text[] =
	    "{ \"name\": \"word_count-2\", \"description\": \"Counts \\u201cwords\\u201d.\\n\","
	    "\"input_schema\": {\"type\": \"object\", \"properties\": {\"text\": {\"type\":"
	    " \"string\"}}}, \"output_schema\": {\"type\":\"integer\"},"
	    "\"limits\": {\"time_ms\": 250, \"memory_mb\": 16, \"output_kb\": 512},"
	    "\"capabilities\": [\"files\"], \"env\": {\"LANG\": \"C\", \"_X9\": \"\"},"
	    "\"examples\": [{\"arguments\": {\"text\": \"a b\"}, \"output\": 2}] }";
	auto_arena struct arena a = ARENA_INIT(1 << 16);
	struct manifest m, again;
	struct manifest_fault fault;

	(void)state;
	assert_true(is_ok(parse(text, &a, &m, &fault)));
	assert_true(span_eq_str(m.name, "word_count-2"));
	assert_true(span_eq_str(m.description, "Counts \u201cwords\u201d.\n"));
	assert_true(span_starts(m.input_schema, SPAN_LIT("{\"type\": \"object\"")));
	assert_true(span_eq_str(m.output_schema, "{\"type\":\"integer\"}"));
	assert_int_equal(m.time_ms, 250);
	assert_int_equal(m.memory_mb, 16);
	assert_int_equal(m.output_kb, 512);
	assert_int_equal(m.capabilities, MANIFEST_CAN_FILES);
	assert_true(span_eq(m.env, SPAN_LIT("LANG=C\0_X9=\0")));
	assert_true(span_starts(m.examples, SPAN_LIT("[{\"arguments\"")));
	assert_true(is_ok(manifest_read(span_str(text), &a, &again)));
	assert_true(span_eq(again.env, m.env) && span_eq(again.name, m.name));
	assert_int_equal(again.capabilities, m.capabilities);
}

static void
test_least(void **state)
{
	auto_arena struct arena a = ARENA_INIT(1 << 16);
	struct manifest m;

	(void)state;
	assert_true(is_ok(parse(HEAD "}", &a, &m, NULL)));
	assert_int_equal(m.time_ms + m.memory_mb + m.output_kb + m.capabilities, 0);
	assert_int_equal(m.env.len + m.output_schema.len + m.examples.len, 0);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *text, *fault;
	} rows[] = {
		{ "", "ends too early" },
		{ "[]", "is not of the required type" },
		{ "{}", "lacks a required member: name" },
		{ HEAD ",\"extra\":1}", "/extra" },
		{ HEAD ",\"name\":\"u\"}", "/name" },
		{ HEAD ",\"Name\":\"u\"}", "/Name" },
		{ "{\"name\":\"a b\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}}",
		    "/name" },
		{ "{\"name\":\"\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}}",
		    "/name" },
		{ "{\"name\":\"a\",\"description\":\"\",\"input_schema\":{\"type\":\"object\"}}",
		    "/description" },
		{ "{\"name\":\"a\",\"description\":\"d\",\"input_schema\":{\"type\":\"string\"}}",
		    "/input_schema/type" },
		{ "{\"name\":\"a\",\"description\":\"d\",\"input_schema\":{}}", "/input_schema" },
		{ "{\"name\":\"a\",\"description\":\"d\",\"input_schema\":true}", "/input_schema" },
		{ "{\"name\":\"a\",\"description\":\"x\\u202ey\",\"input_schema\":{\"type\":"
		  "\"object\"}}",
		    "/description: has control" },
		{ "{\"name\":\"a\",\"description\":\"x\xe2\x80\xaey\",\"input_schema\":{\"type\":"
		  "\"object\"}}",
		    "/description: has control" },
		{ "{\"name\":\"a\",\"description\":\"x\\udb40\\udc41\",\"input_schema\":{\"type\":"
		  "\"object\"}}",
		    "/description: has control" },
		{ "{\"name\":\"a\",\"description\":\"x\\u0000\",\"input_schema\":{\"type\":"
		  "\"object\"}}",
		    "/description" },
		{ "{\"name\":\"a\",\"description\":\"\xff\",\"input_schema\":{\"type\":"
		  "\"object\"}}",
		    "is not valid UTF-8" },
		{ "{\"name\":\"a\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\","
		  "\"properties\":{\"a\":{\"description\":\"\\u2067\"}}}}",
		    "/input_schema/properties/a/description: has control" },
		{ "{\"name\":\"a\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\","
		  "\"unevaluatedProperties\":false}}",
		    "/input_schema/unevaluatedProperties" },
		{ "{\"name\":\"a\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\","
		  "\"properties\":{\"a\":{\"$ref\":\"http://x/\"}}}}",
		    "/input_schema/properties/a/$ref" },
		{ HEAD ",\"output_schema\":{\"type\":\"objekt\"}}", "/output_schema/type" },
		{ HEAD ",\"limits\":{\"time_ms\":0}}", "/limits/time_ms" },
		{ HEAD ",\"limits\":{\"time_ms\":60001}}", "/limits/time_ms" },
		{ HEAD ",\"limits\":{\"memory_mb\":1.5}}", "/limits/memory_mb" },
		{ HEAD ",\"limits\":{\"cpu\":1}}", "/limits/cpu" },
		{ HEAD ",\"capabilities\":[\"network\"]}", "/capabilities/0" },
		{ HEAD ",\"capabilities\":[\"files\",\"files\"]}", "/capabilities" },
		{ HEAD ",\"env\":{\"lower\":\"x\"}}", "/env/lower" },
		{ HEAD ",\"env\":{\"A=B\":\"x\"}}", "/env/A=B" },
		{ HEAD ",\"env\":{\"A\":1}}", "/env/A" },
		{ HEAD ",\"env\":{\"A\":\"\\u0000\"}}", "/env/A" },
		{ HEAD ",\"examples\":[{\"output\":1}]}", "/examples/0" },
		{ HEAD ",\"examples\":[{\"arguments\":[]}]}", "/examples/0/arguments" },
		{ HEAD "} x", "has something after its end" },
	};
	auto_arena struct arena a = ARENA_INIT(1 << 16);
	struct manifest_fault fault;
	struct manifest m;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_false(is_ok(parse(rows[i].text, &a, &m, &fault)));
		assert_non_null(fault.message);
		if (strstr(fault.text, rows[i].fault) == NULL)
			print_error("row %zu: %s\n", i, fault.text);
		assert_non_null(strstr(fault.text, rows[i].fault));
	}
}

static void
test_large(void **state)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	auto_buf struct buf text = BUF_INIT(1 << 20);
	struct manifest_fault fault;
	struct manifest m;

	(void)state;
	/* Variables of more bytes than a tool gets. */
	assert_true(is_ok(buf_put_str(&text, HEAD ",\"env\":{")));
	for (int i = 0; i < 9; i++)
		assert_true(
		    is_ok(buf_printf(&text, "%s\"V%d\":\"%0512d\"", i > 0 ? "," : "", i, i)));
	assert_true(is_ok(buf_put_str(&text, "}}")));
	assert_int_equal(manifest_parse(buf_span(&text), &a, &m, &fault).code, E_RANGE);
	assert_string_equal(fault.text, "/env: is too large");
	/* More bytes than a manifest may have. */
	buf_clear(&text);
	assert_true(is_ok(buf_printf(&text,
	    HEAD ",\"examples\":[{\"arguments\":{\"a\":\"%0*d\"}}]}", (int)MANIFEST_MAX, 1)));
	assert_int_equal(manifest_parse(buf_span(&text), &a, &m, &fault).code, E_RANGE);
	/* A pattern that unrolls, many times: the compiled schema is bounded. */
	buf_clear(&text);
	assert_true(is_ok(buf_put_str(&text,
	    "{\"name\":\"a\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\","
	    "\"properties\":{")));
	for (int i = 0; i < 250; i++)
		assert_true(is_ok(buf_printf(
		    &text, "%s\"p%d\":{\"pattern\":\"(a|b){900}\"}", i > 0 ? "," : "", i)));
	assert_true(is_ok(buf_put_str(&text, "}}}")));
	assert_int_equal(manifest_parse(buf_span(&text), &a, &m, &fault).code, E_RANGE);
	assert_non_null(strstr(fault.text, "/input_schema"));
}

static void
test_long_pointer(void **state)
{
	auto_arena struct arena a = ARENA_INIT(1 << 16);
	auto_buf struct buf text = BUF_INIT(1 << 16);
	struct manifest_fault fault;
	struct manifest m;

	(void)state;
	assert_true(is_ok(buf_put_str(&text, HEAD ",\"")));
	for (int i = 0; i < 200; i++)
		assert_true(is_ok(buf_put_str(&text, "\xc3\xa9")));
	assert_true(is_ok(buf_put_str(&text, "\":1}")));
	assert_false(is_ok(manifest_parse(buf_span(&text), &a, &m, &fault)));
	assert_true(strlen(fault.text) < MANIFEST_FAULT_MAX);
	assert_int_equal((uint8_t)fault.text[strlen(fault.text) - 1], 0xa9);
	/* And one that would turn the reader's line around. */
	assert_false(is_ok(parse(HEAD ",\"\u202e\":1}", &a, &m, &fault)));
	assert_null(strstr(fault.text, "\u202e"));
}

static void
test_no_memory(void **state)
{
	auto_arena struct arena none = ARENA_INIT(0);
	struct manifest m;

	(void)state;
	assert_int_equal(parse(HEAD ",\"env\":{\"A\":\"b\"}}", &none, &m, NULL).code, E_NOMEM);
}

static void
test_names(void **state)
{
	static const char *const bad[] = { "", "a b", "a.b", "a/b", "\xc3\xa9", "a\n" };
	char longest[MANIFEST_NAME_MAX + 1];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_true(manifest_name_ok(span_str("aZ09_-")));
	assert_true(manifest_name_ok(span_of(longest, MANIFEST_NAME_MAX)));
	assert_false(manifest_name_ok(span_of(longest, MANIFEST_NAME_MAX + 1)));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(manifest_name_ok(span_str(bad[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_long_pointer),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
