/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate.c: `sallyport cert rotate`, and `rotate all`: everything that can be replaced, one after
 * the other, with what is left of each.
 *
 * Runs in: CLI, as root. Trusts: the service's answers no further than their form.
 * Owns: the table. Invariants: one that fails is said and does not keep the others from theirs;
 * what is carried over in the background is waited for, for it needs its old keys until then.
 * See: kek.c; src/authority/admin_kek.c, admin_rotate.c.
 */
#include "operate.h"

#include <unistd.h>

#include <base/cleanup.h>

#define WAIT_US 200000
#define LINE_LEN 72

/* How far one is, of its own answer: a text for people; true: it is over. */
typedef bool progress_fn(const struct json_doc *d, char text[LINE_LEN]);

static progress_fn kek_progress, pepper_progress, certificate_progress;

static const struct rotation {
	const char *name;
	const char *target;    /* POST begins it */
	const char *status;    /* GET shows it; NULL: it is over with the answer */
	progress_fn *progress; /* without `status`: what is left to others */
} rotations[] = {
	{ "key-encryption key", "/admin/v1/kek", "/admin/v1/kek", kek_progress },
	{ "keys of tenants and users", "/admin/v1/kek/data", "/admin/v1/kek", kek_progress },
	{ "signing key of session tokens", "/admin/v1/session-keys", NULL, NULL },
	{ "pepper of API keys", "/admin/v1/pepper", NULL, pepper_progress },
	{ "signing key of the audit log", "/admin/v1/audit/key", NULL, NULL },
	{ "public certificate", "/admin/v1/certificate", NULL, certificate_progress },
};

static uint64_t
number(const struct json_doc *d, const char *key)
{
	uint64_t n = 0;

	return is_ok(span_u64(json_bytes(d, json_get_str(d, 0, key)), UINT64_MAX, &n)) ? n : 0;
}

static bool
kek_progress(const struct json_doc *d, char text[LINE_LEN])
{
	uint64_t left = number(d, "kek_left") + number(d, "tenant_keys_left") +
			number(d, "user_keys_left");

	(void)snprintf(text, LINE_LEN, "%llu left", (unsigned long long)left);
	return span_eq_str(json_bytes(d, json_get_str(d, 0, "under_way")), "\"none\"");
}

/* A key follows when its text comes by. */
static bool
pepper_progress(const struct json_doc *d, char text[LINE_LEN])
{
	(void)snprintf(text, LINE_LEN, "done; %llu keys follow with their next use",
	    (unsigned long long)number(d, "left"));
	return true;
}

/* Files of an operator's that are the same as before. */
static bool
is_unchanged(const struct json_doc *d)
{
	bool changed = true;

	return is_ok(json_bool(d, json_get_str(d, 0, "changed"), &changed)) && !changed;
}

static bool
certificate_progress(const struct json_doc *d, char text[LINE_LEN])
{
	(void)snprintf(text, LINE_LEN, "%s",
	    is_unchanged(d) ? "unchanged: its files hold the one in use" : "done");
	return true;
}

/* On a terminal the line is written over; elsewhere only its end is told. */
static void
say(const struct rotation *r, const char *text, bool last)
{
	if (isatty(STDOUT_FILENO) == 1)
		(void)printf("\r%-32s %-20s%s", r->name, text, last ? "\n" : "");
	else if (last)
		(void)printf("%-32s %s\n", r->name, text);
	(void)fflush(stdout);
}

static bool
wait_over(const struct rotation *r, const struct state *s)
{
	char text[LINE_LEN] = "";

	for (;;) {
		auto_reply struct reply reply = { .x = { .method = "GET", .target = r->status } };

		if (!operate(r->name, s, &reply))
			return false;
		if (r->progress(&reply.d, text))
			return true;
		say(r, text, false);
		(void)usleep(WAIT_US);
	}
}

static bool
rotate_one(const struct rotation *r, const struct state *s)
{
	auto_reply struct reply reply = { .x = { .method = "POST", .target = r->target } };
	char text[LINE_LEN] = "done";

	say(r, "…", false);
	if (!operate(r->name, s, &reply) || (r->status != NULL && !wait_over(r, s))) {
		say(r, "FAILED", true);
		return false;
	}
	if (r->status == NULL && r->progress != NULL)
		(void)r->progress(&reply.d, text);
	say(r, text, true);
	return true;
}

int
cmd_rotate_all(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	int rc = EXIT_DONE;

	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	for (size_t i = 0; i < sizeof(rotations) / sizeof(rotations[0]); i++) {
		if (!rotate_one(&rotations[i], &s))
			rc = EXIT_FAILED;
	}
	return rc;
}

int
cmd_cert_rotate(const struct invocation *inv)
{
	auto_reply struct reply r = { .x = {
					  .method = "POST", .target = "/admin/v1/certificate" } };
	auto_state struct state s = STATE_NONE;

	if (!state_open_option(inv, &s) || !operate("certificate", &s, &r))
		return EXIT_FAILED;
	if (inv->options[OPT_JSON] != NULL)
		return print_raw(&r);
	(void)printf("%sSHA-256 ", is_unchanged(&r.d) ? "unchanged: " : "");
	print_cell(&r.d, 0, "fingerprint", 0);
	(void)printf(", until ");
	print_time(&r.d, 0, "not_after_s");
	(void)putchar('\n');
	return EXIT_DONE;
}
