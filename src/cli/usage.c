/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage.c: `sallyport usage`: what keys have used, page by page.
 *
 * Runs in: CLI, as root. Trusts: the service's answers no further than their form.
 * Owns: nothing. Invariants: rows are printed as they come: memory does not grow
 * with their number. See: src/authority/admin_usage.c.
 */
#include "operate.h"

#include <time.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <keytext/keytext.h>
#include <wire/limits.h>

#define REQUEST_MAX 2048
#define PAGES_MAX 1000000

/* Where the next page begins. */
struct cursor {
	uint64_t user, key;
	char model[MODEL_MAX + 1];
};

static const struct {
	const char *name;
	enum option_id id;
	size_t max;
} filters[] = {
	{ "key", OPT_KEY, KEY_ID_LEN },
	{ "user", OPT_USER, USER_MAX },
	{ "model", OPT_MODEL, MODEL_MAX },
};
#define FILTERS (sizeof(filters) / sizeof(filters[0]))

static struct status
put_text(struct buf *out, const char *name, const char *value)
{
	if (value == NULL)
		return OK;
	TRY(buf_printf(out, "&%s=", name));
	return percent_encode(span_str(value), out);
}

/* With its NUL. */
static struct status
put_target(const struct invocation *inv, uint64_t since_s, const struct cursor *at, struct buf *out)
{
	TRY(buf_printf(out, "/admin/v1/usage?since_s=%llu", (unsigned long long)since_s));
	TRY(put_text(out, "tenant", inv->options[OPT_TENANT]));
	for (size_t i = 0; i < FILTERS; i++)
		TRY(put_text(out, filters[i].name, inv->options[filters[i].id]));
	if (at->user > 0)
		TRY(buf_printf(out, "&after_user=%llu&after_key=%llu", (unsigned long long)at->user,
		    (unsigned long long)at->key));
	if (at->user > 0 && at->model[0] != '\0')
		TRY(put_text(out, "after_model", at->model));
	return buf_put_u8(out, '\0');
}

static void
print_head(void)
{
	(void)printf("%-12s %-16s %-16s %-20s %9s %7s %12s %12s %12s %12s %12s %13s %13s\n", "key",
	    "tenant", "user", "model", "requests", "errors", "tokens in", "of cache", "to cache",
	    "tokens out", "reasoning", "in, estimate", "out, estimate");
}

static void
print_number(const struct json_doc *d, uint32_t object, const char *key, int width)
{
	uint64_t n = 0;

	if (is_ok(json_u64(d, json_get_str(d, object, key), INT64_MAX, &n)))
		(void)printf(" %*llu", width, (unsigned long long)n);
	else
		(void)printf(" %*s", width, "-");
}

static void
print_row(const struct json_doc *d, uint32_t row)
{
	static const struct {
		const char *name;
		int width;
	} names[] = { { "key", 12 }, { "tenant", 16 }, { "user", 16 }, { "model", 20 } },
	  numbers[] = { { "requests", 9 }, { "errors", 7 }, { "tokens_in", 12 },
		  { "tokens_in_cached", 12 }, { "tokens_in_cache_written", 12 },
		  { "tokens_out", 12 }, { "tokens_out_reasoning", 12 },
		  { "estimated_tokens_in", 13 }, { "estimated_tokens_out", 13 } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (i > 0)
			(void)putchar(' ');
		print_cell(d, row, names[i].name, names[i].width);
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		print_number(d, row, numbers[i].name, numbers[i].width);
	(void)putchar('\n');
}

/* Rows of all pages make one array. */
static void
print_rows(const struct json_doc *d, bool json, bool *first)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "usage"));

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

/* E_NOTFOUND: that was the last page. */
static struct status
next_page(const struct json_doc *d, struct cursor *ret)
{
	auto_arena struct arena a = ARENA_INIT(4096);
	uint32_t next = json_get_str(d, 0, "next");
	struct span model;

	if (next == JSON_NONE || json_type(d, next) != JSON_OBJECT)
		return fail(E_NOTFOUND);
	TRY(json_u64(d, json_get_str(d, next, "after_user"), INT64_MAX, &ret->user));
	TRY(json_u64(d, json_get_str(d, next, "after_key"), INT64_MAX, &ret->key));
	TRY(json_str(d, json_get_str(d, next, "after_model"), &a, &model));
	return span_to_cstr(model, ret->model, sizeof(ret->model));
}

/* One page; E_NOTFOUND after the last; E_SYS after a message. */
static struct status
page(const struct invocation *inv, const struct state *s, uint64_t since_s, struct cursor *at,
    bool *first)
{
	auto_buf struct buf target = BUF_INIT(REQUEST_MAX);
	auto_reply struct reply r = { .x = { .method = "GET" } };

	TRY(put_target(inv, since_s, at, &target));
	r.x.target = (const char *)target.ptr;
	if (!operate("usage", s, &r))
		return fail(E_SYS);
	print_rows(&r.d, inv->options[OPT_JSON] != NULL, first);
	return next_page(&r.d, at);
}

static int
options_ok(const struct invocation *inv, uint64_t *ret_since_s)
{
	uint64_t ago_s = 0;

	for (size_t i = 0; i < FILTERS; i++) {
		const char *value = inv->options[filters[i].id];

		if (value == NULL || (value[0] != '\0' && strlen(value) <= filters[i].max))
			continue;
		(void)cli_error(filters[i].name, "is empty or too long");
		return EXIT_USAGE;
	}
	if (inv->options[OPT_KEY] != NULL && !keytext_id_ok(span_str(inv->options[OPT_KEY]))) {
		(void)cli_error(inv->options[OPT_KEY], "is not the id of a key");
		return EXIT_USAGE;
	}
	if (inv->options[OPT_SINCE] == NULL)
		return EXIT_DONE;
	if (!parse_duration(inv->options[OPT_SINCE], &ago_s)) {
		(void)cli_error(inv->options[OPT_SINCE], "expects a time such as 12h or 30d");
		return EXIT_USAGE;
	}
	*ret_since_s = (uint64_t)time(NULL) > ago_s ? (uint64_t)time(NULL) - ago_s : 0;
	return EXIT_DONE;
}

int
cmd_usage(const struct invocation *inv)
{
	bool json = inv->options[OPT_JSON] != NULL, first = true;
	auto_state struct state s = STATE_NONE;
	struct cursor at = { 0 };
	uint64_t since_s = 0;
	struct status st = OK;

	if (options_ok(inv, &since_s) != EXIT_DONE)
		return EXIT_USAGE;
	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	if (json)
		(void)printf("{\"usage\":[");
	else
		print_head();
	for (int i = 0; is_ok(st) && i < PAGES_MAX; i++)
		st = page(inv, &s, since_s, &at, &first);
	if (json)
		(void)printf("]}\n");
	if (st.code == E_NOTFOUND)
		return EXIT_DONE;
	return st.code == E_SYS ? EXIT_FAILED : cli_error("usage", "no good answer");
}
