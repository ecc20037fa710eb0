/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http_multipart.c: forms as clients write them, and as they must not.
 */
#include "unit.h"

#include <stdlib.h>
#include <time.h>

#include <base/cleanup.h>
#include <http/multipart.h>

#define TYPE "multipart/form-data; boundary=b"
#define PART(name, text) \
	"--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" text "\r\n"

static struct multipart_part parts[] = {
	{ .name = "manifest", .max = 100 },
	{ .name = "module", .max = 1U << 20 },
	{ .name = "native", .max = 10 },
};
static const char *why;
static const struct multipart_part *at;

static struct status
read_bytes(const char *type, const void *body, size_t len)
{
	return multipart_read(span_str(type), span_of(body, len), parts, COUNT(parts), &why, &at);
}

static struct status
read_text(const char *type, const char *body)
{
	return read_bytes(type, body, strlen(body));
}

static void
test_good(void **state)
{
	static const struct {
		const char *type, *body, *manifest, *module;
	} rows[] = {
		{ TYPE, PART("manifest", "{}") PART("module", "m") "--b--\r\n", "{}", "m" },
		{ TYPE, PART("module", "m") PART("manifest", "{}") "--b--", "{}", "m" },
		{ TYPE, PART("manifest", "") "--b--\r\nepilogue", "", NULL },
		{ TYPE, "preamble\r\n" PART("manifest", "{}") "--b--", "{}", NULL },
		{ TYPE, "\r\n" PART("manifest", "\r\n--a\r\n\r\n--\r") "--b--",
		    "\r\n--a\r\n\r\n--\r", NULL },
		{ "Multipart/Form-Data;charset=utf-8 ; BOUNDARY=\"b c\"",
		    "--b c\r\ncontent-disposition:form-data;name=manifest;filename=\"t.json\"\r\n"
		    "Content-Type: application/json\r\nX-Other: 1\r\n\r\n{}\r\n--b c--\r\n",
		    "{}", NULL },
		{ TYPE, "--b--\r\n", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct status st = read_text(rows[i].type, rows[i].body);

		if (!is_ok(st))
			print_error("row %zu: %s\n", i, why);
		assert_true(is_ok(st));
		assert_int_equal(parts[0].seen, rows[i].manifest != NULL);
		assert_int_equal(parts[1].seen, rows[i].module != NULL);
		if (rows[i].manifest != NULL)
			assert_true(span_eq_str(parts[0].body, rows[i].manifest));
		if (rows[i].module != NULL)
			assert_true(span_eq_str(parts[1].body, rows[i].module));
	}
}

static void
test_bad(void **state)
{
	static const struct {
		const char *type, *body, *why;
	} rows[] = {
		{ "application/json", "{}", "its type is not multipart/form-data" },
		{ "multipart/form-datax; boundary=b", "", "its type is not multipart/form-data" },
		{ "multipart/form-data", "--b--", "its type has no boundary" },
		{ "multipart/form-data; boundary=", "--b--", "its type has bad parameters" },
		{ "multipart/form-data; boundary=\"\"", "--b--", "its boundary is none" },
		{ "multipart/form-data; boundary=\"b \"", "--b --", "its boundary is none" },
		{ "multipart/form-data; boundary=\"a\\b\"", "", "its type has bad parameters" },
		{ "multipart/form-data; boundary=b; boundary=b", "--b--",
		    "its type has two boundaries" },
		{ "multipart/form-data; boundary="
		  "01234567890123456789012345678901234567890123456789012345678901234567890",
		    "", "its boundary is none" },
		{ TYPE, "", "it does not begin with its boundary" },
		{ TYPE, "x--b--", "it does not begin with its boundary" },
		{ TYPE, "--b", "a delimiter is not alone on its line" },
		{ TYPE, "--bx\r\n", "a delimiter is not alone on its line" },
		{ TYPE, "--b \r\n", "a delimiter is not alone on its line" },
		{ TYPE, "--b--x", "a delimiter is not alone on its line" },
		{ TYPE, "--b\n", "a delimiter is not alone on its line" },
		{ TYPE, "--b\r\n", "a part's header fields have no end" },
		{ TYPE, "--b\r\n\r\nx\r\n--b--", "a part has no name" },
		{ TYPE, "--b\r\nx\r\n\r\n\r\n--b--", "a part's header field is none" },
		{ TYPE, "--b\r\nA: b\nc: d\r\n\r\n\r\n--b--", "a part's header field is none" },
		{ TYPE, "--b\r\nA: b\r\n c\r\n\r\n\r\n--b--", "a part's header field is none" },
		{ TYPE, "--b\r\nContent-Disposition: attachment; name=\"module\"\r\n\r\n\r\n--b--",
		    "a part is not of a form" },
		{ TYPE, "--b\r\nContent-Disposition: form-data\r\n\r\n\r\n--b--",
		    "a part has no name" },
		{ TYPE,
		    "--b\r\nContent-Disposition: form-data; name=module; name=native\r\n\r\n"
		    "\r\n--b--",
		    "a part has two names" },
		{ TYPE,
		    "--b\r\nContent-Disposition: form-data; name=module\r\n"
		    "Content-Disposition: form-data; name=native\r\n\r\n\r\n--b--",
		    "a part has two names" },
		{ TYPE,
		    "--b\r\nContent-Disposition: form-data; name=\"mod\\\"ule\"\r\n\r\n\r\n--b--",
		    "a part's disposition has bad parameters" },
		{ TYPE,
		    "--b\r\nContent-Disposition: form-data; name=module\r\n"
		    "Content-Transfer-Encoding: base64\r\n\r\n\r\n--b--",
		    "a part is encoded" },
		{ TYPE,
		    "--b\r\nContent-Disposition: form-data; name=module\r\n"
		    "Content-Type: Multipart/Mixed; boundary=c\r\n\r\n\r\n--b--",
		    "a part has parts itself" },
		{ TYPE, PART("Module", "x") "--b--", "a part has a name that is not known" },
		{ TYPE, PART("", "x") "--b--", "a part has a name that is not known" },
		{ TYPE, PART("module", "x") PART("module", "x") "--b--", "a part is there twice" },
		{ TYPE, PART("native", "12345678901") "--b--", "a part is larger than the limit" },
		{ TYPE, PART("module", "x"), "a part has no end" },
		{ TYPE, PART("module", "x") "--c--", "a part has no end" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct status st = read_text(rows[i].type, rows[i].body);

		if (is_ok(st) || strcmp(why, rows[i].why) != 0)
			print_error("row %zu: %s\n", i, why);
		assert_false(is_ok(st));
		assert_string_equal(why, rows[i].why);
	}
	assert_false(is_ok(read_text(TYPE, PART("native", "12345678901") "--b--")));
	assert_ptr_equal(at, &parts[2]);
}

static void
put(struct buf *b, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		assert_true(is_ok(buf_put_str(b, text)));
}

/* Limits of what surrounds the parts. */
static void
test_large(void **state)
{
	auto_buf struct buf b = BUF_INIT(1U << 24);

	(void)state;
	put(&b, "x", MULTIPART_AROUND_MAX + 1);
	put(&b, "\r\n" PART("module", "x") "--b--", 1);
	assert_false(is_ok(read_bytes(TYPE, b.ptr, b.len)));
	buf_clear(&b);
	put(&b, PART("module", "x") "--b--\r\n", 1);
	put(&b, "x", MULTIPART_AROUND_MAX + 1);
	assert_int_equal(read_bytes(TYPE, b.ptr, b.len).code, E_RANGE);
	buf_clear(&b);
	put(&b, "--b\r\n", 1);
	put(&b, "A: b\r\n", MULTIPART_HEAD_FIELDS_MAX + 1);
	put(&b, "\r\n\r\n--b--", 1);
	assert_int_equal(read_bytes(TYPE, b.ptr, b.len).code, E_RANGE);
	buf_clear(&b);
	put(&b, "--b\r\nA: ", 1);
	put(&b, "x", MULTIPART_HEAD_MAX);
	put(&b, "\r\n\r\n\r\n--b--", 1);
	assert_int_equal(read_bytes(TYPE, b.ptr, b.len).code, E_RANGE);
}

/* Cut anywhere, a form is never taken for a whole one. */
static void
test_cut(void **state)
{
	static const char whole[] = "\r\n" PART("manifest", "{}")
	    PART("module", "a\r\n--\r\n") "--b--";

	(void)state;
	assert_true(is_ok(read_text(TYPE, whole)));
	for (size_t n = 0; n < sizeof(whole) - 1; n++)
		assert_false(is_ok(read_bytes(TYPE, whole, n)));
}

/* What looks like delimiters all over takes no longer than what does not. */
static void
test_linear(void **state)
{
	auto_buf struct buf b = BUF_INIT(1U << 25);
	clock_t began;

	(void)state;
	put(&b, "--b\r\nContent-Disposition: form-data; name=\"module\"\r\n\r\n", 1);
	put(&b, "\r\n--\r\n--\r\n-", 60000);
	put(&b, "\r\n--b--", 1);
	began = clock();
	assert_true(is_ok(read_bytes(TYPE, b.ptr, b.len)));
	assert_true(clock() - began < CLOCKS_PER_SEC);
	assert_int_equal(parts[1].body.len, 660000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_linear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
