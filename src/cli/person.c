/* SPDX-License-Identifier: Apache-2.0 */
/*
 * person.c: `sallyport user export`, `user erase` and `tenant export`.
 *
 * Runs in: CLI, as root. Trusts: the service's answers no further than their form.
 * Owns: nothing. Invariants: an export is whole, or the command fails: it goes to standard
 * output as it comes, and is of no use without its exit status.
 * See: src/authority/admin_privacy.c, admin_export.c; docs/privacy.md.
 */
#include "operate.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <base/encode.h>

#define PAGE_MAX_BYTES (1U << 20)
#define CURSOR_MAX 64

int
cmd_user_erase(const struct invocation *inv)
{
	char target[USER_TARGET_MAX];
	auto_reply struct reply r = { .x = { .method = "POST", .target = target } };
	auto_state struct state s = STATE_NONE;
	uint64_t rows = 0;

	if (!user_target(inv->args[0], "/erase", target))
		return EXIT_USAGE;
	if (!state_open_option(inv, &s) || !operate("user erase", &s, &r))
		return EXIT_FAILED;
	if (operate_waits(&r, "user erase"))
		return EXIT_DONE;
	(void)!is_ok(json_u64(&r.d, json_get_str(&r.d, 0, "rows"), UINT64_MAX, &rows));
	(void)fprintf(stderr, "sallyport: %s: erased; nothing of %llu rows can be read any more\n",
	    inv->args[0], (unsigned long long)rows);
	return EXIT_DONE;
}

/* Print the page; `cursor` is where the next one begins, or empty. */
static struct status
page_print(const struct reply *r, char cursor[CURSOR_MAX])
{
	auto_buf struct buf text = BUF_INIT(PAGE_MAX_BYTES), page = BUF_INIT(PAGE_MAX_BYTES);
	auto_buf struct buf next = BUF_INIT(CURSOR_MAX - 1);
	uint32_t tok = json_get_str(&r->d, 0, "next");

	TRY(json_str_put(&r->d, json_get_str(&r->d, 0, "page_base64"), &text));
	TRY(base64_decode(buf_span(&text), &page));
	if (fwrite(page.ptr, 1, page.len, stdout) != page.len)
		return fail_errno();
	cursor[0] = '\0';
	if (json_type(&r->d, tok) != JSON_STRING)
		return OK;
	TRY(json_str_put(&r->d, tok, &next));
	return span_to_cstr(buf_span(&next), cursor, CURSOR_MAX);
}

/* All pages of what lies below `base`. */
static int
export_print(const struct invocation *inv, const char *what, const char *base)
{
	char target[USER_TARGET_MAX + CURSOR_MAX + 16], cursor[CURSOR_MAX] = "";
	const char *mark = strchr(base, '?') != NULL ? "&cursor=" : "?cursor=";
	auto_state struct state s = STATE_NONE;

	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	do {
		auto_reply struct reply r = { .x = { .method = "GET", .target = target } };
		struct status st;

		(void)snprintf(
		    target, sizeof(target), "%s%s%s", base, cursor[0] != '\0' ? mark : "", cursor);
		if (!operate(what, &s, &r))
			return EXIT_FAILED;
		st = page_print(&r, cursor);
		if (!is_ok(st)) {
			(void)cli_error(what, "%s", status_text(st));
			return EXIT_FAILED;
		}
	} while (cursor[0] != '\0');
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

int
cmd_user_export(const struct invocation *inv)
{
	char base[USER_TARGET_MAX];

	return user_target(inv->args[0], "/export", base) ? export_print(inv, "user export", base)
							  : EXIT_USAGE;
}

int
cmd_tenant_export(const struct invocation *inv)
{
	char base[USER_TARGET_MAX];

	return tenant_target(inv->args[0], "/export", base)
		   ? export_print(inv, "tenant export", base)
		   : EXIT_USAGE;
}
