/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_test.c: `sallyport tool test`: a tool's own examples, checked and run.
 *
 * Runs in: CLI, as anybody. Trusts: nothing that a tool says.
 * Owns: nothing. Invariants: examples are held to the tool's own schemas first; they run by the
 * service, and only if its current version is what lies in the folder.
 * See: docs/tools.md.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>

#include "tool.h"
#include "tool_dir.h"

#define EQUAL_STEPS_MAX 10000000
#define TARGET_MAX 128

struct schemas {
	const struct schema *input, *output; /* output NULL: any */
};

/* One value of an example against a schema; false after a message. */
static bool
conforms(const struct json_doc *d, uint32_t tok, const struct schema *s)
{
	struct schema_fault fault;

	if (s == NULL || tok == JSON_NONE || is_ok(schema_validate(s, d, tok, &fault)))
		return true;
	/* The pointer is of the list of examples: it names the member. */
	(void)cli_error("tool.json", "/examples%s: %s", fault.pointer, fault.message);
	return false;
}

static bool
check_examples(const struct json_doc *d, const struct schemas *s)
{
	struct json_iter it = json_iter(d, 0);
	bool ok = true;

	while (json_next(&it)) {
		ok &= conforms(d, json_get_str(d, it.val, "arguments"), s->input);
		ok &= conforms(d, json_get_str(d, it.val, "output"), s->output);
	}
	return ok;
}

/* Is the current version of that name this very upload? False after a message. */
static bool
is_pushed(struct remote *remote, const struct tool_dir *t)
{
	char target[TARGET_MAX], digest[2 * DIGEST_LEN];
	auto_tool_reply struct tool_reply r = { .x = { .method = "GET", .target = target } };
	uint8_t bytes[DIGEST_LEN];
	struct json_iter it;

	(void)snprintf(target, sizeof(target), "/v1/tools/%.*s", SPAN_FMT(t->manifest.name));
	if (!is_ok(tool_dir_digest(t, bytes)) || !tool_exchange("tool test", remote, &r))
		return false;
	hex_encode(span_of(bytes, sizeof(bytes)), digest);
	it = json_iter(&r.d, json_get_str(&r.d, 0, "versions"));
	while (json_next(&it)) {
		if (json_type(&r.d, json_get_str(&r.d, it.val, "current")) == JSON_TRUE &&
		    json_str_eq(&r.d, json_get_str(&r.d, it.val, "digest"),
			span_of(digest, sizeof(digest))))
			return true;
	}
	(void)cli_error(
	    "tool test", "the current version at the service is another one: push first");
	return false;
}

static bool
run_example(struct remote *remote, const struct tool_dir *t, const struct json_doc *d,
    uint32_t example, uint32_t index)
{
	char target[TARGET_MAX], what[32];
	auto_tool_reply struct tool_reply r = { .x = { .method = "POST", .target = target } };
	auto_buf struct buf body = BUF_INIT(TOOL_ARGUMENTS_MAX + 256);
	uint32_t wanted = json_get_str(d, example, "output");
	uint64_t steps = EQUAL_STEPS_MAX;
	bool same = true;

	(void)snprintf(what, sizeof(what), "example %u", index);
	(void)snprintf(target, sizeof(target), "/v1/tools/%.*s/call", SPAN_FMT(t->manifest.name));
	if (!is_ok(tool_put_call(json_bytes(d, json_get_str(d, example, "arguments")), 0, &body)))
		return false;
	r.x.body = buf_span(&body);
	if (!tool_exchange(what, remote, &r))
		return false;
	if (!tool_call_ok(&r.d)) {
		tool_print_failure(what, &r.d);
		return false;
	}
	if (wanted != JSON_NONE &&
	    (!is_ok(json_equal(d, wanted, &r.d, json_get_str(&r.d, 0, "output"), &steps, &same)) ||
		!same)) {
		(void)cli_error(what, "the output is not the one that tool.json has: %.*s",
		    SPAN_FMT(json_bytes(&r.d, json_get_str(&r.d, 0, "output"))));
		return false;
	}
	(void)printf("example %u: ok\n", index);
	return true;
}

static int
run_examples(const struct tool_dir *t, const struct json_doc *d)
{
	auto_remote struct remote remote = { .url = NULL };
	struct json_iter it = json_iter(d, 0);
	bool ok = true;

	if (getenv("SALLYPORT_URL") == NULL) {
		(void)cli_error(
		    "tool test", "the examples were checked, not run: SALLYPORT_URL is not set");
		return EXIT_DONE;
	}
	if (!remote_open(&remote) || !is_pushed(&remote, t))
		return EXIT_FAILED;
	while (json_next(&it))
		ok &= run_example(&remote, t, d, it.val, it.index);
	return ok ? EXIT_DONE : EXIT_FAILED;
}

int
cmd_tool_test(const struct invocation *inv)
{
	auto_tool_dir struct tool_dir t = { .text = { .ptr = NULL } };
	auto_arena struct arena a = ARENA_INIT(2UL * MANIFEST_COMPILED_MAX);
	auto_json struct json_doc d = { .count = 0 };
	struct schemas s = { .output = NULL };
	struct status st;

	if (!tool_dir_open(inv, inv->args[0], &t))
		return EXIT_FAILED;
	(void)printf("tool.json: ok\n");
	if (t.manifest.examples.len == 0) {
		(void)cli_error("tool test", "tool.json has no examples");
		return EXIT_DONE;
	}
	st = schema_compile(t.manifest.input_schema, &a, &s.input, NULL);
	if (is_ok(st) && t.manifest.output_schema.len > 0)
		st = schema_compile(t.manifest.output_schema, &a, &s.output, NULL);
	if (is_ok(st))
		st = json_init(&d, &JSON_STRICT);
	if (is_ok(st))
		st = json_parse(&d, t.manifest.examples);
	if (!is_ok(st))
		return cli_status("tool.json", st);
	if (!check_examples(&d, &s))
		return EXIT_FAILED;
	return run_examples(&t, &d);
}
