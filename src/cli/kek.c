/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kek.c: `sallyport kek`, `session-keys`, `pepper`: rotation of the keys of what is stored, of
 * those that sign session tokens, of the secret under the hashes of API keys.
 *
 * Runs in: CLI, as root. Trusts: the service's answers no further than their form.
 * Owns: nothing. Invariants: none.
 * See: src/authority/admin_kek.c, admin_keysets.c.
 */
#include "operate.h"

#define PAGE_MAX 160    /* length of a target */
#define PAGES_MAX 10000 /* of a list */

static void
print_line(const struct json_doc *d, const char *key, const char *label)
{
	(void)printf("%-22s ", label);
	print_cell(d, 0, key, 0);
	(void)putchar('\n');
}

static void
print_when(const struct json_doc *d, const char *key, const char *label)
{
	(void)printf("%-22s ", label);
	print_time(d, 0, key);
	(void)putchar('\n');
}

static int
show(const struct invocation *inv, const struct reply *r)
{
	const struct json_doc *d = &r->d;

	if (inv->options[OPT_JSON] != NULL)
		return print_raw(r);
	print_line(d, "under_way", "under way");
	print_line(d, "wrapper", "wrapped by");
	print_line(d, "wrapped_by_others", "  by others still");
	if (json_type(d, json_get_str(d, 0, "wrapper_fault")) == JSON_STRING)
		print_line(d, "wrapper_fault", "  it did not, last");
	print_line(d, "version", "version");
	print_line(d, "versions", "versions kept");
	print_line(d, "kek_left", "under older versions");
	print_line(d, "tenant_keys_left", "old keys of tenants");
	print_line(d, "user_keys_left", "old keys of users");
	print_line(d, "unopened", "do not open");
	print_when(d, "kek_started_s", "last rotation");
	print_when(d, "kek_ended_s", "  ended");
	print_when(d, "data_started_s", "last rotation, data");
	print_when(d, "data_ended_s", "  ended");
	return EXIT_DONE;
}

static int
ask(const struct invocation *inv, const char *method, const char *target)
{
	auto_reply struct reply r = { .x = { .method = method, .target = target } };
	auto_state struct state s = STATE_NONE;

	if (!state_open_option(inv, &s) || !operate("kek", &s, &r))
		return EXIT_FAILED;
	return show(inv, &r);
}

int
cmd_kek_rotate(const struct invocation *inv)
{
	return ask(
	    inv, "POST", inv->options[OPT_DATA] != NULL ? "/admin/v1/kek/data" : "/admin/v1/kek");
}

int
cmd_kek_status(const struct invocation *inv)
{
	return ask(inv, "GET", "/admin/v1/kek");
}

/* ---- keys in versions, of which the newest is used ---- */

/* The keys that have not been used since the pepper was replaced. */
static void
print_keys(const struct json_doc *d, bool *any)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "keys"));

	while (json_next(&it)) {
		if (!*any)
			(void)printf("\n%-15s %-16s %-16s %s\n", "not used since", "tenant", "user",
			    "last use");
		*any = true;
		print_cell(d, it.val, "id", 15);
		(void)putchar(' ');
		print_cell(d, it.val, "tenant", 16);
		(void)putchar(' ');
		print_cell(d, it.val, "user", 16);
		print_time(d, it.val, "last_used_s");
		(void)putchar('\n');
	}
}

static void
print_versions(const struct json_doc *d)
{
	print_line(d, "version", "version");
	print_line(d, "versions", "versions kept");
	print_line(d, "left", "under older versions");
	print_when(d, "created_s", "last rotation");
}

/* Where the page behind this one is; false: it was the last. */
static bool
next_page(const struct json_doc *d, const char *target, char page[PAGE_MAX])
{
	auto_arena struct arena a = ARENA_INIT(4096);
	struct span next;

	return is_ok(json_str(d, json_get_str(d, 0, "next"), &a, &next)) && next.len <= 64 &&
	       snprintf(page, PAGE_MAX, "%s?after=%.*s", target, SPAN_FMT(next)) < PAGE_MAX;
}

static int
ask_keyset(const struct invocation *inv, const char *name, const char *method, const char *target)
{
	auto_state struct state s = STATE_NONE;
	char page[PAGE_MAX];
	bool any = false, more = true;

	(void)snprintf(page, sizeof(page), "%s", target);
	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	for (int i = 0; more && i < PAGES_MAX; i++) {
		auto_reply struct reply r = { .x = { .method = method, .target = page } };

		if (!operate(name, &s, &r))
			return EXIT_FAILED;
		more = next_page(&r.d, target, page);
		if (inv->options[OPT_JSON] != NULL) {
			(void)print_raw(&r);
			continue;
		}
		if (i == 0)
			print_versions(&r.d);
		print_keys(&r.d, &any);
	}
	return EXIT_DONE;
}

int
cmd_session_keys_rotate(const struct invocation *inv)
{
	return ask_keyset(inv, "session-keys", "POST", "/admin/v1/session-keys");
}

int
cmd_session_keys_status(const struct invocation *inv)
{
	return ask_keyset(inv, "session-keys", "GET", "/admin/v1/session-keys");
}

int
cmd_pepper_rotate(const struct invocation *inv)
{
	return ask_keyset(inv, "pepper", "POST", "/admin/v1/pepper");
}

int
cmd_pepper_status(const struct invocation *inv)
{
	return ask_keyset(inv, "pepper", "GET", "/admin/v1/pepper");
}
