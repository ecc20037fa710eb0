/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.c: `sallyport user|tenant|policy|session|approval`.
 *
 * Runs in: CLI, as root. Trusts: the service's answers no further than their form.
 * Owns: nothing. Invariants: a name becomes a part of a path only when it is one.
 * See: src/authority/admin_users.c, approvals.c; docs/sallyport.1.
 */
#include "operate.h"

#include <base/cleanup.h>

#define NAME_MAX_LEN 64

static bool
name_ok(const char *text, size_t len)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "_.-@+";

	return len >= 1 && len <= NAME_MAX_LEN && strspn(text, set) >= len;
}

/* A path has no such segments; who has that name from an earlier version is found so. */
static const char *
before_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? "~" : "";
}

bool
user_target(const char *who, const char *below, char ret[USER_TARGET_MAX])
{
	size_t len = strcspn(who, "/");

	if (who[len] != '/' || !name_ok(who, len) ||
	    !name_ok(who + len + 1, strlen(who + len + 1))) {
		(void)cli_error(who, "is not TENANT/USER");
		return false;
	}
	(void)snprintf(ret, USER_TARGET_MAX, "/admin/v1/users/%s%s%s?tenant=%.*s",
	    before_dots(who + len + 1), who + len + 1, below, (int)len, who);
	return true;
}

static struct {
	const char *name;
	unsigned tenants; /* that have it */
	bool several;     /* tenants, whoever has it */
	char first[NAME_MAX_LEN + 1];
	char who[USER_WHO_MAX], other[USER_WHO_MAX];
} wanted;

static void
match(const struct json_doc *d, uint32_t row)
{
	auto_arena struct arena a = ARENA_INIT(4096);
	char tenant[NAME_MAX_LEN + 1], *who = wanted.tenants == 0 ? wanted.who : wanted.other;
	struct span name;

	if (!is_ok(json_str(d, json_get_str(d, row, "tenant"), &a, &name)) ||
	    !is_ok(span_to_cstr(name, tenant, sizeof(tenant))) || !name_ok(tenant, strlen(tenant)))
		return;
	if (wanted.first[0] == '\0')
		memcpy(wanted.first, tenant, sizeof(tenant));
	wanted.several = wanted.several || strcmp(tenant, wanted.first) != 0;
	if (!json_str_eq_str(d, json_get_str(d, row, "id"), wanted.name))
		return;
	(void)snprintf(who, USER_WHO_MAX, "%s/%s", tenant, wanted.name);
	wanted.tenants++;
}

/*
 * `list --json` gives names: whose, where no two tenants have it. For what cannot be taken back
 * there must be one tenant only: the same command a second time is not about a namesake.
 */
static int
find_alone(const struct invocation *inv, const struct state *s, bool forever)
{
	wanted.name = inv->args[0];
	wanted.tenants = 0;
	wanted.several = false;
	wanted.first[0] = '\0';
	if (!operate_pages(inv, s, "/admin/v1/users", "users", NULL, match))
		return EXIT_FAILED;
	if (wanted.tenants == 0)
		return cli_error(wanted.name, "There is no such user");
	if (wanted.tenants > 1)
		return cli_error(wanted.name, "is in several tenants: say TENANT/USER (%s, %s%s)",
		    wanted.who, wanted.other, wanted.tenants > 2 ? ", ..." : "");
	if (forever && wanted.several)
		return cli_error(wanted.name,
		    "There are several tenants, and this cannot be taken back: say TENANT/USER "
		    "(%s)",
		    wanted.who);
	return EXIT_DONE;
}

int
user_find(const struct invocation *inv, const struct state *s, const char *below, bool forever,
    char who[USER_WHO_MAX], char ret[USER_TARGET_MAX])
{
	const char *arg = inv->args[0];
	int status;

	if (strchr(arg, '/') == NULL && name_ok(arg, strlen(arg))) {
		status = find_alone(inv, s, forever);
		if (status != EXIT_DONE)
			return status;
		arg = wanted.who;
	}
	if (!user_target(arg, below, ret))
		return EXIT_USAGE;
	(void)snprintf(who, USER_WHO_MAX, "%s", arg);
	return EXIT_DONE;
}

bool
tenant_target(const char *who, const char *below, char ret[USER_TARGET_MAX])
{
	if (!name_ok(who, strlen(who))) {
		(void)cli_error(who, "is not the name of a tenant");
		return false;
	}
	(void)snprintf(
	    ret, USER_TARGET_MAX, "/admin/v1/tenants/%s%s%s", before_dots(who), who, below);
	return true;
}

/* ---- lists ---- */

static void
print_user(const struct json_doc *d, uint32_t row)
{
	print_cell(d, row, "tenant", 16);
	(void)putchar(' ');
	print_cell(d, row, "id", 24);
	(void)putchar(' ');
	print_cell(d, row, "state", 8);
	(void)putchar(' ');
	print_cell(d, row, "hold", 5);
	(void)putchar(' ');
	print_cell(d, row, "roles", 0);
	(void)putchar('\n');
}

static void
print_tenant(const struct json_doc *d, uint32_t row)
{
	print_cell(d, row, "id", 16);
	(void)putchar(' ');
	print_cell(d, row, "users", 8);
	(void)putchar(' ');
	print_cell(d, row, "keys", 8);
	(void)putchar('\n');
}

static void
print_policy(const struct json_doc *d, uint32_t row)
{
	static const char *const members[] = { "endpoints", "models", "tools", "languages",
		"requests_per_min", "concurrent" };

	print_cell(d, row, "id", 16);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		(void)printf(" %s=", members[i]);
		print_cell(d, row, members[i], 0);
	}
	(void)putchar('\n');
}

static void
print_approval(const struct json_doc *d, uint32_t row)
{
	print_cell(d, row, "id", 32);
	(void)putchar(' ');
	print_cell(d, row, "operation", 16);
	(void)putchar(' ');
	print_cell(d, row, "state", 8);
	(void)putchar(' ');
	print_cell(d, row, "by", 16);
	print_time(d, row, "expires_s");
	(void)putchar(' ');
	print_cell(d, row, "path", 0);
	(void)putchar('\n');
}

/* Options that are names, as a query; false after a message. */
static bool
put_filters(const struct invocation *inv, char *query, size_t size)
{
	static const struct {
		const char *name;
		enum option_id id;
	} filters[] = { { "tenant", OPT_TENANT }, { "user", OPT_USER } };
	size_t used = 0;

	query[0] = '\0';
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		const char *value = inv->options[filters[i].id];

		if (value == NULL)
			continue;
		if (!name_ok(value, strlen(value))) {
			(void)cli_error(value, "is not the name of a %s", filters[i].name);
			return false;
		}
		used += (size_t)snprintf(query + used, size - used, "%c%s=%s",
		    used == 0 ? '?' : '&', filters[i].name, value);
	}
	return true;
}

int
operate_list(const struct invocation *inv, const char *array, const char *head,
    void (*print)(const struct json_doc *d, uint32_t row))
{
	auto_state struct state s = STATE_NONE;
	char query[USER_TARGET_MAX / 2], base[USER_TARGET_MAX];

	if (!put_filters(inv, query, sizeof(query)))
		return EXIT_USAGE;
	(void)snprintf(base, sizeof(base), "/admin/v1/%s%s", array, query);
	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	return operate_pages(inv, &s, base, array, head, print) ? EXIT_DONE : EXIT_FAILED;
}

int
cmd_user_list(const struct invocation *inv)
{
	return operate_list(inv, "users",
	    "tenant           user                     state    hold  roles", print_user);
}

int
cmd_tenant_list(const struct invocation *inv)
{
	return operate_list(inv, "tenants", "tenant           users    keys", print_tenant);
}

static void
print_session(const struct json_doc *d, uint32_t row)
{
	print_cell(d, row, "id", 32);
	(void)putchar(' ');
	print_cell(d, row, "tenant", 16);
	(void)putchar(' ');
	print_cell(d, row, "user", 16);
	(void)putchar(' ');
	print_cell(d, row, "key", 12);
	print_time(d, row, "expires_s");
	(void)putchar(' ');
	print_cell(d, row, "scopes", 0);
	(void)putchar('\n');
}

int
cmd_session_list(const struct invocation *inv)
{
	return operate_list(inv, "sessions",
	    "session                          tenant           user             key          "
	    "expires           scopes",
	    print_session);
}

int
cmd_session_revoke(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	char target[USER_TARGET_MAX];
	auto_reply struct reply r = { .x = { .method = "DELETE", .target = target } };

	if (!name_ok(inv->args[0], strlen(inv->args[0]))) {
		(void)cli_error(inv->args[0], "is not the id of a session");
		return EXIT_USAGE;
	}
	(void)snprintf(target, sizeof(target), "/admin/v1/sessions/%s", inv->args[0]);
	if (!state_open_option(inv, &s) || !operate("session revoke", &s, &r))
		return EXIT_FAILED;
	(void)fprintf(stderr, "sallyport: %s: revoked\n", inv->args[0]);
	return EXIT_DONE;
}

int
cmd_policy_list(const struct invocation *inv)
{
	return operate_list(inv, "policies", "policy", print_policy);
}

int
cmd_approval_list(const struct invocation *inv)
{
	return operate_list(inv, "approvals",
	    "approval                         operation        state    by               "
	    "expires           path",
	    print_approval);
}

/* ---- users ---- */

int
cmd_user_create(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	auto_buf struct buf body = BUF_INIT(4096);
	auto_reply struct reply r = { .x = { .method = "POST", .target = "/admin/v1/users" } };
	struct json_writer w = json_writer(&body);
	char target[USER_TARGET_MAX];
	size_t len = strcspn(inv->args[0], "/");

	if (!user_target(inv->args[0], "", target) || !lists_ok(inv))
		return EXIT_USAGE;
	json_put_object(&w);
	json_put_key(&w, "tenant");
	json_put_str(&w, span_of(inv->args[0], len));
	json_put_key(&w, "user");
	json_put_text(&w, inv->args[0] + len + 1);
	lists_put_roles(inv, &w);
	json_put_end(&w);
	if (!is_ok(json_writer_finish(&w)))
		return cli_error("user create", "a name is too long");
	r.x.body = buf_span(&body);
	if (!state_open_option(inv, &s) || !operate("user create", &s, &r))
		return EXIT_FAILED;
	(void)fprintf(stderr, "sallyport: %s: created\n", inv->args[0]);
	return EXIT_DONE;
}

static int
change(const struct invocation *inv, struct span body, const char *done)
{
	auto_state struct state s = STATE_NONE;
	char who[USER_WHO_MAX], target[USER_TARGET_MAX];
	auto_reply struct reply r = { .x = { .method = "PATCH", .target = target, .body = body } };
	int status;

	if (!state_open_option(inv, &s))
		return EXIT_FAILED;
	status = user_find(inv, &s, "", false, who, target);
	if (status != EXIT_DONE)
		return status;
	if (!operate(inv->command->name, &s, &r) || operate_waits(&r, inv->command->name))
		return EXIT_FAILED;
	(void)fprintf(stderr, "sallyport: %s: %s\n", who, done);
	return EXIT_DONE;
}

int
cmd_user_set(const struct invocation *inv)
{
	auto_buf struct buf body = BUF_INIT(4096);
	struct json_writer w = json_writer(&body);

	if (!lists_ok(inv))
		return EXIT_USAGE;
	json_put_object(&w);
	lists_put_roles(inv, &w);
	json_put_end(&w);
	if (!is_ok(json_writer_finish(&w)))
		return cli_error("user set", "too many roles");
	return change(inv, buf_span(&body), "changed");
}

int
cmd_user_disable(const struct invocation *inv)
{
	return change(inv, SPAN_LIT("{\"state\":\"disabled\"}"), "disabled; nothing runs any more");
}

int
cmd_user_enable(const struct invocation *inv)
{
	return change(inv, SPAN_LIT("{\"state\":\"active\"}"), "enabled");
}

int
cmd_user_hold(const struct invocation *inv)
{
	return change(inv, SPAN_LIT("{\"hold\":true}"), "held: nothing is erased or aged out");
}

int
cmd_user_release(const struct invocation *inv)
{
	return change(inv, SPAN_LIT("{\"hold\":false}"), "is not held");
}

/* ---- approvals ---- */

static int
ask_of_approval(const struct invocation *inv, const char *method, struct span body)
{
	auto_state struct state s = STATE_NONE;
	char target[USER_TARGET_MAX];
	auto_reply struct reply r = { .x = { .method = method, .target = target, .body = body } };

	if (!name_ok(inv->args[0], strlen(inv->args[0]))) {
		(void)cli_error(inv->args[0], "is not the id of an approval");
		return EXIT_USAGE;
	}
	(void)snprintf(target, sizeof(target), "/admin/v1/approvals/%s", inv->args[0]);
	if (!state_open_option(inv, &s) || !operate(inv->command->name, &s, &r))
		return EXIT_FAILED;
	return print_raw(&r);
}

int
cmd_approval_show(const struct invocation *inv)
{
	return ask_of_approval(inv, "GET", SPAN_EMPTY);
}

int
cmd_approval_approve(const struct invocation *inv)
{
	return ask_of_approval(inv, "POST", SPAN_LIT("{\"decision\":\"approve\"}"));
}

int
cmd_approval_refuse(const struct invocation *inv)
{
	return ask_of_approval(inv, "POST", SPAN_LIT("{\"decision\":\"refuse\"}"));
}
