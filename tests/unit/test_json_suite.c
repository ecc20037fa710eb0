/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSONTestSuite: every y_ file parses, no n_ file does, whatever the options that
 * have no part in it.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#include <base/cleanup.h>
#include <base/io.h>
#include <json/json.h>

#define YES_FILES 107
#define NO_FILES 188

static DIR *
suite_open(void)
{
	char path[4096];
	const char *data = getenv("SALLYPORT_TEST_DATA");

	assert_non_null(data);
	(void)snprintf(path, sizeof(path), "%s/vectors/JSONTestSuite", data);
	return opendir(path);
}

static struct status
parse_file(DIR *dir, const char *name, const struct json_opts *opts)
{
	auto_buf struct buf text = BUF_INIT(1 << 20);
	auto_json struct json_doc d = { .count = 0 };
	auto_free uint8_t *exact = NULL;
	struct status st;

	assert_true(is_ok(io_read_file(dirfd(dir), name, &text)));
	assert_true(is_ok(json_init(&d, opts)));
	/* Exactly as long as the text, so that a read behind its end is seen. */
	exact = malloc(text.len + (text.len == 0));
	assert_non_null(exact);
	if (text.len > 0)
		memcpy(exact, text.ptr, text.len);
	st = json_parse(&d, span_of(exact, text.len));
	assert_int_equal(is_ok(st), d.count > 0);
	if (!is_ok(st)) {
		auto_buf struct buf pointer = BUF_INIT(1 << 20);

		assert_non_null(d.fault.message);
		assert_true(d.fault.offset <= text.len);
		assert_true(is_ok(json_fault_pointer(&d, &pointer)));
	}
	return st;
}

static void
run_suite(const struct json_opts *opts)
{
	DIR *dir = suite_open();
	struct dirent *e;
	int seen[2] = { 0, 0 }, wrong = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		bool want = e->d_name[0] == 'y', got;

		if (strstr(e->d_name, ".json") == NULL)
			continue;
		got = is_ok(parse_file(dir, e->d_name, opts));
		if (e->d_name[0] == 'i')
			continue;
		seen[want]++;
		if (got == want)
			continue;
		wrong++;
		print_error("%s: %s\n", e->d_name, got ? "parsed" : "did not parse");
	}
	(void)closedir(dir);
	assert_int_equal(wrong, 0);
	assert_int_equal(seen[true], YES_FILES);
	assert_int_equal(seen[false], NO_FILES);
}

static void
plain(void **state)
{
	struct json_opts opts = { .depth_max = JSON_DEPTH_MAX };

	(void)state;
	run_suite(&opts);
}

static void
surrogates_refused(void **state)
{
	struct json_opts opts = { .refuse_surrogates = true, .depth_max = 512 };

	(void)state;
	run_suite(&opts);
}

/* With JSON_STRICT exactly these y_ files are refused as well. */
static void
strict(void **state)
{
	static const char *const refused[] = {
		"y_object_duplicated_key.json",
		"y_object_duplicated_key_and_value.json",
		"y_object_escaped_null_in_key.json",
		"y_string_null_escape.json",
		"y_structure_500_nested_arrays.json",
	};
	DIR *dir = suite_open();
	struct dirent *e;
	int wrong = 0;

	(void)state;
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		bool want = e->d_name[0] == 'y';

		if (strstr(e->d_name, ".json") == NULL || e->d_name[0] == 'i')
			continue;
		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
			want = want && strcmp(e->d_name, refused[i]) != 0;
		if (is_ok(parse_file(dir, e->d_name, &JSON_STRICT)) != want)
			print_error("%s: wrong under JSON_STRICT\n", e->d_name), wrong++;
	}
	(void)closedir(dir);
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain),
		cmocka_unit_test(surrogates_refused),
		cmocka_unit_test(strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
