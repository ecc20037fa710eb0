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

int
cmd_user_erase(const struct invocation *inv)
{
	char who[USER_WHO_MAX], target[USER_TARGET_MAX];
	auto_reply struct reply r = { .x = { .method = "POST", .target = target } };
	auto_state struct state s = STATE_NONE;
	int status;

	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	status = user_find(inv, &s, "/erase", true, who, target);
	if (status != EXIT_DONE)
		return status;
	if (!operate("user erase", &s, &r) || operate_waits(&r, "user erase"))
		return EXIT_FAILED;
	print_erased(who, &r.d);
	return EXIT_DONE;
}

void
print_erased(const char *who, const struct json_doc *d)
{
	uint64_t rows = 0;

	(void)!is_ok(json_u64(d, json_get_str(d, 0, "rows"), UINT64_MAX, &rows));
	if (json_str_eq_str(d, json_get_str(d, 0, "waits_for"), "backup"))
		(void)fprintf(stderr,
		    "sallyport: %s: erased, and refused from now on; the keys of %llu rows stay in "
		    "the "
		    "database's file until the backup that is being made is over, for 30 minutes "
		    "at "
		    "most, and in that backup\n",
		    who, (unsigned long long)rows);
	else
		(void)fprintf(stderr,
		    "sallyport: %s: erased; nothing of %llu rows can be read any more\n", who,
		    (unsigned long long)rows);
}

struct status
export_page(const struct json_doc *d, char cursor[EXPORT_CURSOR_MAX])
{
	auto_buf struct buf text = BUF_INIT(PAGE_MAX_BYTES), page = BUF_INIT(PAGE_MAX_BYTES);
	auto_buf struct buf next = BUF_INIT(EXPORT_CURSOR_MAX - 1);
	uint32_t tok = json_get_str(d, 0, "next");

	cursor[0] = '\0';
	TRY(json_str_put(d, json_get_str(d, 0, "page_base64"), &text));
	TRY(base64_decode(buf_span(&text), &page));
	if (!term_put(stdout, buf_span(&page)))
		return fail_errno();
	if (json_type(d, tok) != JSON_STRING)
		return OK;
	TRY(json_str_put(d, tok, &next));
	for (size_t i = 0; i < next.len; i++) { /* it becomes part of a path */
		if ((next.ptr[i] < '0' || next.ptr[i] > '9') && next.ptr[i] != '.')
			return fail(E_SYNTAX);
	}
	return span_to_cstr(buf_span(&next), cursor, EXPORT_CURSOR_MAX);
}

/* All pages of what lies below `base`. */
static int
export_print(const struct state *s, const char *what, const char *base)
{
	char target[USER_TARGET_MAX + EXPORT_CURSOR_MAX + 16], cursor[EXPORT_CURSOR_MAX] = "";
	const char *mark = strchr(base, '?') != NULL ? "&cursor=" : "?cursor=";

	do {
		auto_reply struct reply r = { .x = { .method = "GET", .target = target } };
		struct status st;

		(void)snprintf(
		    target, sizeof(target), "%s%s%s", base, cursor[0] != '\0' ? mark : "", cursor);
		if (!operate(what, s, &r) || operate_waits(&r, what))
			return EXIT_FAILED;
		st = export_page(&r.d, cursor);
		if (!is_ok(st))
			return cli_reader_left() ? EXIT_FAILED : cli_status(what, st);
	} while (cursor[0] != '\0');
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

int
cmd_user_export(const struct invocation *inv)
{
	char who[USER_WHO_MAX], base[USER_TARGET_MAX];
	auto_state struct state s = STATE_NONE;
	int status;

	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	status = user_find(inv, &s, "/export", false, who, base);
	return status == EXIT_DONE ? export_print(&s, "user export", base) : status;
}

int
cmd_tenant_export(const struct invocation *inv)
{
	char base[USER_TARGET_MAX];
	auto_state struct state s = STATE_NONE;

	if (!tenant_target(inv->args[0], "/export", base))
		return EXIT_USAGE;
	return state_open_option(inv, &s) ? export_print(&s, "tenant export", base) : EXIT_FAILED;
}
