/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The official JSON-Schema-Test-Suite, dialect 2020-12, for our keywords. A group
 * that needs something else is in `skipped` with its reason; the table must be
 * exact: its schemas must be refused, and nothing else may be.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#include <base/cleanup.h>
#include <base/io.h>
#include <json/schema.h>

#define FILES 35

static const struct {
	const char *file, *group, *reason;
} skipped[] = {
	{ "additionalProperties.json", "additionalProperties with propertyNames",
	    "needs the keyword propertyNames" },
	{ "additionalProperties.json", "dependentSchemas with additionalProperties",
	    "needs the keyword dependentSchemas" },
	{ "defs.json", "validate definition against metaschema",
	    "needs references to other documents by URI" },
	{ "not.json", "collect annotations inside a 'not', even if collection is disabled",
	    "needs the keyword unevaluatedProperties" },
	{ "ref.json", "$id must be resolved against nearest parent, not just immediate parent",
	    "needs $id below the root" },
	{ "ref.json", "Recursive references between schemas", "needs $id below the root" },
	{ "ref.json", "URN base URI with URN and JSON pointer ref",
	    "needs references to other documents by URI" },
	{ "ref.json", "URN base URI with URN and anchor ref", "needs the keyword $anchor" },
	{ "ref.json", "URN ref with nested pointer ref", "needs $id below the root" },
	{ "ref.json", "order of evaluation: $id and $anchor and $ref",
	    "needs the keyword $anchor" },
	{ "ref.json", "order of evaluation: $id and $ref", "needs $id below the root" },
	{ "ref.json", "ref creates new scope when adjacent to keywords",
	    "needs the keyword unevaluatedProperties" },
	{ "ref.json", "ref to else", "needs the keyword else" },
	{ "ref.json", "ref to if", "needs the keyword if" },
	{ "ref.json", "ref to then", "needs the keyword then" },
	{ "ref.json", "ref with absolute-path-reference", "needs $id below the root" },
	{ "ref.json", "refs with relative uris and defs", "needs $id below the root" },
	{ "ref.json", "relative refs with absolute uris and defs", "needs $id below the root" },
	{ "ref.json", "remote ref, containing refs itself",
	    "needs references to other documents by URI" },
	{ "ref.json", "simple URN base URI with $ref via the URN",
	    "needs references to other documents by URI" },
};

static bool skip_used[COUNT(skipped)];
static unsigned groups_run, tests_run, wrong;

static const char *
text_of(const struct json_doc *d, uint32_t tok, struct arena *a)
{
	struct span s;
	char *text;

	assert_true(is_ok(json_str(d, tok, a, &s)));
	text = arena_alloc(a, s.len + 1);
	assert_non_null(text);
	memcpy(text, s.ptr, s.len);
	return text;
}

static bool
needs_more(const char *file, const char *group)
{
	for (size_t i = 0; i < COUNT(skipped); i++) {
		if (strcmp(skipped[i].file, file) != 0 || strcmp(skipped[i].group, group) != 0)
			continue;
		skip_used[i] = true;
		return true;
	}
	return false;
}

static void
check_tests(const struct schema *s, const struct json_doc *d, uint32_t group, const char *name,
    const char *file, struct arena *a)
{
	struct json_iter it = json_iter(d, json_get_str(d, group, "tests"));

	while (json_next(&it)) {
		struct schema_fault fault = { .message = NULL };
		struct status st;
		bool want;

		assert_true(is_ok(json_bool(d, json_get_str(d, it.val, "valid"), &want)));
		st = schema_validate(s, d, json_get_str(d, it.val, "data"), &fault);
		tests_run++;
		if (st.code == (want ? E_OK : E_SYNTAX) && (want || fault.message != NULL))
			continue;
		wrong++;
		print_error("%s: %s: %s: status %u, %s at %s\n", file, name,
		    text_of(d, json_get_str(d, it.val, "description"), a), st.code, fault.message,
		    fault.pointer);
	}
}

static void
run_group(const struct json_doc *d, uint32_t group, const char *file)
{
	auto_arena struct arena a = ARENA_INIT(1 << 22);
	const char *name = text_of(d, json_get_str(d, group, "description"), &a);
	bool skip = needs_more(file, name);
	const struct schema *s = NULL;
	struct schema_fault fault = { .message = NULL };
	struct status st;

	st = schema_compile(json_bytes(d, json_get_str(d, group, "schema")), &a, &s, &fault);
	if (is_ok(st) == skip) {
		wrong++;
		print_error("\t{ \"%s\", \"%s\", \"%s %s\" }, %s\n", file, name, fault.message,
		    fault.pointer, skip ? "is stale" : "did not compile");
	}
	if (!is_ok(st))
		return;
	groups_run++;
	check_tests(s, d, group, name, file, &a);
}

static void
run_folder(const char *folder, unsigned *files)
{
	char path[4096];
	struct dirent *e;
	DIR *dir;

	assert_non_null(getenv("SALLYPORT_TEST_DATA"));
	(void)snprintf(path, sizeof(path), "%s/vectors/JSON-Schema-Test-Suite/draft2020-12%s",
	    getenv("SALLYPORT_TEST_DATA"), folder);
	dir = opendir(path);
	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL) {
		struct json_opts opts = { .depth_max = 0 };
		auto_buf struct buf text = BUF_INIT(1 << 22);
		auto_json struct json_doc d = { .count = 0 };
		struct json_iter it;

		if (strstr(e->d_name, ".json") == NULL)
			continue;
		++*files;
		assert_true(is_ok(io_read_file(dirfd(dir), e->d_name, &text)));
		assert_true(is_ok(json_init(&d, &opts)));
		assert_true(is_ok(json_parse(&d, buf_span(&text))));
		for (it = json_iter(&d, 0); json_next(&it);)
			run_group(&d, it.val, e->d_name);
	}
	(void)closedir(dir);
}

static void
official_suite(void **state)
{
	unsigned files = 0;

	(void)state;
	run_folder("", &files);
	run_folder("/optional", &files);
	for (size_t i = 0; i < COUNT(skipped); i++) {
		if (skip_used[i])
			continue;
		wrong++;
		print_error("not in the suite: %s: %s\n", skipped[i].file, skipped[i].group);
	}
	print_message("%u files, %u groups, %u tests, %zu groups skipped\n", files, groups_run,
	    tests_run, COUNT(skipped));
	assert_int_equal(files, FILES);
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(official_suite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
