/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c: `sallyport key`: create, rotate, list, revoke.
 *
 * Runs in: CLI, as root. Trusts: the service's answers no further than their form.
 * Owns: nothing.
 * Invariants: a key is printed once, to standard output, and kept nowhere.
 * See: src/authority/admin_keys.c; docs/sallyport.1.
 */
#include "operate.h"

#include <base/cleanup.h>
#include <keytext/keytext.h>

#define EXPIRES_IN_S_MAX 315360000 /* the service's own limit */

static struct status
put_request(const struct invocation *inv, uint64_t expires_in_s, struct buf *out)
{
	static const struct {
		const char *name;
		enum option_id id;
	} rows[] = { { "tenant", OPT_TENANT }, { "user", OPT_USER }, { "policy", OPT_POLICY } };
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (inv->options[rows[i].id] == NULL)
			continue;
		json_put_key(&w, rows[i].name);
		json_put_text(&w, inv->options[rows[i].id]);
	}
	if (expires_in_s > 0) {
		json_put_key(&w, "expires_in_s");
		json_put_u64(&w, expires_in_s);
	}
	lists_put_scopes(inv, &w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* The key of the answer, to standard output. */
static int
print_key(const char *what, const struct reply *r)
{
	struct span key = json_bytes(&r->d, json_get_str(&r->d, 0, "key"));

	if (key.len != KEYTEXT_LEN + 2 || !keytext_ok(span_of(key.ptr + 1, KEYTEXT_LEN)))
		return cli_error(what, "the service did not answer with a key");
	(void)printf("%.*s\n", KEYTEXT_LEN, (const char *)key.ptr + 1);
	return EXIT_DONE;
}

int
cmd_key_create(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	auto_buf struct buf body = BUF_INIT(16384);
	auto_reply struct reply r = { .x = { .method = "POST", .target = "/admin/v1/keys" } };
	uint64_t expires_in_s = 0;

	if (inv->options[OPT_EXPIRES] != NULL &&
	    (!parse_duration(inv->options[OPT_EXPIRES], &expires_in_s) ||
		expires_in_s > EXPIRES_IN_S_MAX)) {
		(void)cli_error(inv->options[OPT_EXPIRES],
		    "expects a time such as 12h or 30d, ten years at most");
		return EXIT_USAGE;
	}
	if (!lists_ok(inv))
		return EXIT_USAGE;
	if (!is_ok(put_request(inv, expires_in_s, &body)))
		return cli_error("key create", "a name is too long");
	r.x.body = buf_span(&body);
	if (!state_open_option(inv, &s) || !operate("key create", &s, &r))
		return EXIT_FAILED;
	lists_warn(inv, &s);
	return print_key("key create", &r);
}

int
cmd_key_rotate(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	char target[64], body[64] = "{}";
	auto_reply struct reply r = { .x = { .method = "POST", .target = target } };
	const char *overlap = inv->options[OPT_OVERLAP];
	uint64_t overlap_s = 0;

	if (!keytext_id_ok(span_str(inv->args[0]))) {
		(void)cli_error(inv->args[0], "is not the id of a key");
		return EXIT_USAGE;
	}
	if (overlap != NULL && strcmp(overlap, "0") != 0 && !parse_duration(overlap, &overlap_s)) {
		(void)cli_error(overlap, "expects a time such as 12h or 7d, or 0");
		return EXIT_USAGE;
	}
	if (overlap != NULL)
		(void)snprintf(
		    body, sizeof(body), "{\"overlap_s\":%llu}", (unsigned long long)overlap_s);
	(void)snprintf(target, sizeof(target), "/admin/v1/keys/%s/rotate", inv->args[0]);
	r.x.body = span_str(body);
	if (!state_open_option(inv, &s) || !operate("key rotate", &s, &r))
		return EXIT_FAILED;
	return print_key("key rotate", &r);
}

static void
print_row(const struct json_doc *d, uint32_t row)
{
	static const char *const cells[] = { "tenant", "user", "policy" };

	print_cell(d, row, "id", 12);
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		(void)putchar(' ');
		print_cell(d, row, cells[i], 16);
	}
	print_time(d, row, "created_s");
	print_time(d, row, "expires_s");
	print_time(d, row, "revoked_s");
	print_time(d, row, "last_used_s");
	(void)putchar(' ');
	print_cell(d, row, "replaces", 12);
	(void)putchar(' ');
	print_cell(d, row, "scopes", 0);
	(void)putchar('\n');
}

int
cmd_key_list(const struct invocation *inv)
{
	char head[256];

	(void)snprintf(head, sizeof(head),
	    "%-12s %-16s %-16s %-16s %-17s %-17s %-17s %-17s %-12s %s", "id", "tenant", "user",
	    "policy", "created", "expires", "revoked", "last used", "replaces", "scopes");
	return operate_list(inv, "keys", head, print_row);
}

int
cmd_key_revoke(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	char target[64];
	auto_reply struct reply r = { .x = { .method = "DELETE", .target = target } };

	if (!keytext_id_ok(span_str(inv->args[0]))) {
		(void)cli_error(inv->args[0], "is not the id of a key");
		return EXIT_USAGE;
	}
	(void)snprintf(target, sizeof(target), "/admin/v1/keys/%s", inv->args[0]);
	if (!state_open_option(inv, &s) || !operate("key revoke", &s, &r))
		return EXIT_FAILED;
	print_revoked(&r, inv->args[0]);
	return EXIT_DONE;
}
