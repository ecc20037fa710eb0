/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_admin.c: `sallyport tool allow|disallow|list -c FILE`: users' tools, for operators.
 *
 * Runs in: CLI, as root. Trusts: the service's answers no further than their form.
 * Owns: nothing. Invariants: rows are printed as they come: memory does not grow with
 * their number. See: src/authority/admin_tool.c.
 */
#include "operate.h"

#include <base/cleanup.h>
#include <json/write.h>
#include <wire/limits.h>

#define REQUEST_MAX 2048
#define PAGES_MAX 1000000

/* "TENANT/USER/NAME"; false after a message. */
static bool
split(const char *path, struct span parts[3])
{
	struct span rest = span_str(path);

	for (size_t i = 0; i < 3; i++) {
		const uint8_t *end = rest.len > 0 ? memchr(rest.ptr, '/', rest.len) : NULL;
		size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr);

		if (len == 0 || len > TENANT_MAX || (end == NULL) != (i == 2)) {
			(void)cli_error(path, "is not TENANT/USER/NAME");
			return false;
		}
		parts[i] = span_of(rest.ptr, len);
		rest = span_from(rest, len + 1);
	}
	return true;
}

static struct status
put_request(const struct span parts[3], uint64_t version, bool allowed, struct buf *out)
{
	static const char *const names[] = { "tenant", "user", "name" };
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	for (size_t i = 0; i < 3; i++) {
		json_put_key(&w, names[i]);
		json_put_str(&w, parts[i]);
	}
	json_put_key(&w, "version");
	json_put_u64(&w, version);
	json_put_key(&w, "allowed");
	json_put_bool(&w, allowed);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* An allowed version that no policy may call has no effect: say so. */
static void
say_shared(const struct reply *r, const char *path)
{
	struct json_iter it = json_iter(&r->d, json_get_str(&r->d, 0, "shared_with"));

	if (!json_next(&it))
		(void)fprintf(stderr,
		    "sallyport: %s: no policy is named by `allow` of its entry in `tools`: nobody "
		    "but its owner can call it yet\n",
		    path);
}

static int
mark(const struct invocation *inv, bool allowed)
{
	const char *path = inv->args[0];
	auto_state struct state s = STATE_NONE;
	auto_buf struct buf body = BUF_INIT(REQUEST_MAX);
	auto_reply struct reply r = { .x = { .method = "POST", .target = "/admin/v1/tools/mark" } };
	struct span parts[3];
	uint64_t version = 0;
	struct status st;

	if (!split(path, parts))
		return EXIT_USAGE;
	if (inv->nargs > 1 &&
	    (!is_ok(span_u64(span_str(inv->args[1]), UINT32_MAX, &version)) || version == 0)) {
		(void)cli_error(inv->args[1], "is no version: a number from 1 on");
		return EXIT_USAGE;
	}
	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	st = put_request(parts, version, allowed, &body);
	if (!is_ok(st))
		return cli_status(inv->command->name, st);
	r.x.body = buf_span(&body);
	if (!operate(inv->command->name, &s, &r))
		return EXIT_FAILED;
	if (!is_ok(json_u64(&r.d, json_get_str(&r.d, 0, "version"), UINT32_MAX, &version)))
		return cli_error(inv->command->name, "no good answer");
	(void)fprintf(stderr, "sallyport: %s: version %llu is %s to others\n", path,
	    (unsigned long long)version, allowed ? "allowed" : "not allowed any more");
	if (allowed)
		say_shared(&r, path);
	return EXIT_DONE;
}

int
cmd_tool_allow(const struct invocation *inv)
{
	return mark(inv, true);
}

int
cmd_tool_disallow(const struct invocation *inv)
{
	return mark(inv, false);
}

/* ---- list ---- */

static void
print_flag(const struct json_doc *d, uint32_t row, const char *name)
{
	bool is = false;

	(void)printf(
	    " %-8s", is_ok(json_bool(d, json_get_str(d, row, name), &is)) && is ? "yes" : "-");
}

static void
print_row(const struct json_doc *d, uint32_t row)
{
	print_cell(d, row, "tenant", 16);
	(void)putchar(' ');
	print_cell(d, row, "user", 16);
	(void)putchar(' ');
	print_cell(d, row, "name", 24);
	(void)putchar(' ');
	print_cell(d, row, "version", 8);
	print_flag(d, row, "current");
	print_flag(d, row, "allowed");
	(void)putchar(' ');
	print_cell(d, row, "sandbox", 8);
	print_time(d, row, "created_s");
	(void)putchar('\n');
}

static void
print_rows(const struct json_doc *d, bool json, bool *first)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "tools"));

	while (json_next(&it)) {
		struct span text = json_bytes(d, it.val);

		if (!json) {
			print_row(d, it.val);
			continue;
		}
		(void)printf("%s%.*s", *first ? "" : ",", SPAN_FMT(text));
		*first = false;
	}
}

/* The page behind *after, and where the next one begins; 0: that was the last. */
static bool
page(const struct invocation *inv, const struct state *s, uint64_t *after, bool json, bool *first)
{
	char target[64];
	auto_reply struct reply r = { .x = { .method = "GET", .target = target } };
	uint64_t next = 0;

	(void)snprintf(
	    target, sizeof(target), "/admin/v1/tools?after=%llu", (unsigned long long)*after);
	if (!operate(inv->command->name, s, &r))
		return false;
	print_rows(&r.d, json, first);
	/* Null at the end; and it only goes forward, whatever the service says. */
	if (!is_ok(json_u64(&r.d, json_get_str(&r.d, 0, "next"), INT64_MAX, &next)) ||
	    next <= *after)
		next = 0;
	*after = next;
	return true;
}

int
cmd_tool_list_all(const struct invocation *inv)
{
	bool json = inv->options[OPT_JSON] != NULL, first = true;
	auto_state struct state s = STATE_NONE;
	uint64_t after = 0;

	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	if (json)
		(void)printf("{\"tools\":[");
	else
		(void)printf("%-16s %-16s %-24s %-8s %-8s %-8s %-8s %s\n", "tenant", "user", "name",
		    "version", "current", "allowed", "sandbox", "stored");
	for (unsigned i = 0; i < PAGES_MAX; i++) {
		if (!page(inv, &s, &after, json, &first))
			return EXIT_FAILED;
		if (after == 0)
			break;
	}
	if (json)
		(void)printf("]}\n");
	return EXIT_DONE;
}
