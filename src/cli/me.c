/* SPDX-License-Identifier: Apache-2.0 */
/*
 * me.c: `sallyport me …` and `audit read`: what people may do about themselves, and auditors.
 *
 * Runs in: CLI, as anybody. Trusts: the certificate authority in SALLYPORT_CA_FILE; the service's
 * answers no further than their form.
 * Owns: nothing. Invariants: of keys and sessions only one's own are shown and ended, whoever
 * else's one may see; nothing is destroyed without its name being typed; rows are printed as they
 * come. See: remote.c, session_file.c; src/authority/admin_routes.c; docs/sallyport.1.
 */
#include "operate.h"

#include <time.h>

#include <base/cleanup.h>
#include <keytext/keytext.h>

#include "remote.h"

#define NAME_MAX_LEN (2 * REMOTE_NAME_MAX)
#define TARGET_MAX 512
#define PAGES_MAX 1000000

struct me {
	struct remote remote;
	char tenant[REMOTE_NAME_MAX], user[REMOTE_NAME_MAX], name[NAME_MAX_LEN]; /* "tenant/user" */
};
#define auto_me __attribute__((cleanup(me_close)))

/* What is made of the rows of a list. */
struct rows {
	const struct me *me;
	const char *array;
	void (*print)(const struct json_doc *d, uint32_t row);
	const char *wanted; /* an id; NULL: all are printed */
	bool json, first, found;
};

static void
me_close(struct me *me)
{
	remote_close(&me->remote);
}

/* ---- exchanges ---- */

/* False after a message; a good answer is in r->d. */
static bool
ask(struct me *me, const char *what, struct reply *r)
{
	return is_ok(json_init(&r->d, &JSON_STRICT)) && remote_run(&me->remote, &r->x) &&
	       answer_ok(what, &r->x, &r->d);
}

/* Who the service takes us for: r has the whole answer. */
static bool
who_am_i(struct me *me, const char *what, struct reply *r)
{
	r->x = (struct exchange){ .method = "GET", .target = "/admin/v1/me" };
	if (!remote_open(&me->remote) || !ask(me, what, r))
		return false;
	if (!remote_name(&r->d, "tenant", me->tenant) || !remote_name(&r->d, "id", me->user)) {
		(void)cli_error(what, "the service does not say who one is");
		return false;
	}
	(void)snprintf(me->name, sizeof(me->name), "%s/%s", me->tenant, me->user);
	return true;
}

static bool
identify(struct me *me, const char *what)
{
	auto_reply struct reply r = { .x = { .method = NULL } };

	return who_am_i(me, what, &r);
}

static void
on_row(struct rows *rows, const struct json_doc *d, uint32_t row)
{
	struct span text = json_bytes(d, row);

	if (rows->wanted != NULL) {
		rows->found = rows->found ||
			      json_str_eq_str(d, json_get_str(d, row, "id"), rows->wanted);
		return;
	}
	if (rows->print != NULL && !rows->json) {
		rows->print(d, row);
		return;
	}
	if (rows->json && !rows->first)
		(void)putchar(',');
	(void)term_put(stdout, text);
	if (!rows->json)
		(void)putchar('\n');
	rows->first = false;
}

/* All pages of a list: those rows that are one's own, where they say whose they are. */
static bool
each_row(struct me *me, const char *what, const char *base, struct rows *rows)
{
	char target[TARGET_MAX], next[REMOTE_NEXT_MAX] = "";
	const char *mark = strchr(base, '?') != NULL ? "&after=" : "?after=";

	for (int i = 0; i < PAGES_MAX; i++) {
		auto_reply struct reply r = { .x = { .method = "GET", .target = target } };
		struct json_iter it;

		(void)snprintf(
		    target, sizeof(target), "%s%s%s", base, next[0] != '\0' ? mark : "", next);
		if (!ask(me, what, &r))
			return false;
		for (it = json_iter(&r.d, json_get_str(&r.d, 0, rows->array)); json_next(&it);) {
			uint32_t user = json_get_str(&r.d, it.val, "user");

			if (user == JSON_NONE || json_str_eq_str(&r.d, user, me->user))
				on_row(rows, &r.d, it.val);
		}
		if (!remote_next(&r.d, next))
			return true;
		if (ferror(stdout) != 0) /* for nobody: the rest is not asked for */
			return false;
	}
	return true;
}

/* ---- show, keys, sessions ---- */

int
cmd_me_show(const struct invocation *inv)
{
	static const struct {
		const char *label, *member;
	} rows[] = { { "tenant", "tenant" }, { "user", "id" }, { "roles", "roles" },
		{ "state", "state" }, { "hold", "hold" }, { "in the log", "subject" } };
	auto_me struct me me = { .user = "" };
	auto_reply struct reply r = { .x = { .method = NULL } };

	if (!who_am_i(&me, "me show", &r))
		return EXIT_FAILED;
	if (inv->options[OPT_JSON] != NULL)
		return print_raw(&r);
	(void)printf("%-12s %s\n", "service", me.remote.url);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)printf("%-12s ", rows[i].label);
		print_cell(&r.d, 0, rows[i].member, 0);
		(void)putchar('\n');
	}
	return EXIT_DONE;
}

static void
print_key(const struct json_doc *d, uint32_t row)
{
	print_cell(d, row, "id", 12);
	(void)putchar(' ');
	print_cell(d, row, "policy", 16);
	print_time(d, row, "created_s");
	print_time(d, row, "expires_s");
	print_time(d, row, "revoked_s");
	print_time(d, row, "last_used_s");
	(void)putchar(' ');
	print_cell(d, row, "scopes", 0);
	(void)putchar('\n');
}

static void
print_session(const struct json_doc *d, uint32_t row)
{
	print_cell(d, row, "id", 32);
	(void)putchar(' ');
	print_cell(d, row, "key", 12);
	print_time(d, row, "created_s");
	print_time(d, row, "expires_s");
	(void)putchar(' ');
	print_cell(d, row, "scopes", 0);
	(void)putchar('\n');
}

static const struct list {
	const char *array, *base;
	bool by_user; /* it takes ?user= */
	const char *head;
	void (*print)(const struct json_doc *d, uint32_t row);
} keys = { "keys", "/admin/v1/keys", true,
	"key          policy           created           expires           revoked           "
	"last used         scopes",
	print_key },
  sessions = { "sessions", "/admin/v1/sessions", false,
	  "session                          key          created           expires           "
	  "scopes",
	  print_session };

static void
list_base(const struct me *me, const struct list *l, char ret[TARGET_MAX])
{
	(void)snprintf(ret, TARGET_MAX, "%s%s%s", l->base, l->by_user ? "?user=" : "",
	    l->by_user ? me->user : "");
}

static int
list(const struct invocation *inv, const struct list *l)
{
	auto_me struct me me = { .user = "" };
	struct rows rows = { .me = &me, .array = l->array, .print = l->print, .first = true };
	char base[TARGET_MAX];

	rows.json = inv->options[OPT_JSON] != NULL;
	if (!identify(&me, inv->command->name))
		return EXIT_FAILED;
	list_base(&me, l, base);
	if (rows.json)
		(void)printf("{\"%s\":[", l->array);
	else
		(void)printf("%s\n", l->head);
	if (!each_row(&me, inv->command->name, base, &rows))
		return EXIT_FAILED;
	if (rows.json)
		(void)printf("]}\n");
	return EXIT_DONE;
}

int
cmd_me_keys(const struct invocation *inv)
{
	return list(inv, &keys);
}

int
cmd_me_sessions(const struct invocation *inv)
{
	return list(inv, &sessions);
}

/* One of one's own, or none. */
static int
end_one(const struct invocation *inv, const struct list *l)
{
	const char *id = inv->args[0], *what = inv->command->name;
	auto_me struct me me = { .user = "" };
	struct rows rows = { .me = &me, .array = l->array, .wanted = id };
	char target[TARGET_MAX];
	auto_reply struct reply r = { .x = { .method = "DELETE", .target = target } };

	if (!identify(&me, what))
		return EXIT_FAILED;
	list_base(&me, l, target);
	if (!each_row(&me, what, target, &rows))
		return EXIT_FAILED;
	if (!rows.found)
		return cli_error(id, "is none of yours");
	(void)snprintf(target, sizeof(target), "%s/%s", l->base, id);
	if (!ask(&me, what, &r))
		return EXIT_FAILED;
	print_revoked(&r, id);
	return EXIT_DONE;
}

int
cmd_me_revoke_key(const struct invocation *inv)
{
	if (keytext_id_ok(span_str(inv->args[0])))
		return end_one(inv, &keys);
	(void)cli_error(inv->args[0], "is not the id of a key");
	return EXIT_USAGE;
}

int
cmd_me_end_session(const struct invocation *inv)
{
	static const char set[] = "0123456789abcdef";

	if (strlen(inv->args[0]) == 32 && strspn(inv->args[0], set) == 32)
		return end_one(inv, &sessions);
	(void)cli_error(inv->args[0], "is not the id of a session");
	return EXIT_USAGE;
}

/* ---- export, erase ---- */

int
cmd_me_export(const struct invocation *inv)
{
	auto_me struct me me = { .user = "" };
	char target[TARGET_MAX], cursor[EXPORT_CURSOR_MAX] = "";

	if (!remote_open(&me.remote))
		return EXIT_FAILED;
	do {
		auto_reply struct reply r = { .x = { .method = "GET", .target = target } };
		struct status st;

		(void)snprintf(target, sizeof(target), "/admin/v1/me/export%s%s",
		    cursor[0] != '\0' ? "?cursor=" : "", cursor);
		if (!ask(&me, inv->command->name, &r))
			return EXIT_FAILED;
		st = export_page(&r.d, cursor);
		if (!is_ok(st))
			return cli_reader_left() ? EXIT_FAILED : cli_status(inv->command->name, st);
	} while (cursor[0] != '\0');
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* Was the name typed, or piped in? */
static bool
confirmed(const struct me *me)
{
	char line[NAME_MAX_LEN + 2] = "";

	(void)fprintf(stderr,
	    "All that is kept of %s at %s will be destroyed, for ever.\n"
	    "To go on, type %s: ",
	    me->name, me->remote.url, me->name);
	if (fgets(line, sizeof(line), stdin) == NULL)
		(void)fputc('\n', stderr);
	line[strcspn(line, "\n")] = '\0';
	return strcmp(line, me->name) == 0;
}

/* Whoever has other roles is not asked for a name that leads nowhere. */
static bool
is_plain_user(const struct json_doc *d, const char *what)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "roles"));

	while (json_next(&it)) {
		if (json_str_eq_str(d, it.val, "user"))
			continue;
		(void)cli_error(what,
		    "not for who has other roles than user: an owner takes the other roles "
		    "away first");
		return false;
	}
	return true;
}

int
cmd_me_erase(const struct invocation *inv)
{
	auto_me struct me me = { .user = "" };
	auto_reply struct reply r = { .x = { .method = "DELETE", .target = "/admin/v1/me" } };
	auto_reply struct reply who = { .x = { .method = NULL } };

	if (!who_am_i(&me, inv->command->name, &who) || !is_plain_user(&who.d, inv->command->name))
		return EXIT_FAILED;
	if (!confirmed(&me))
		return cli_error(inv->command->name, "nothing was done");
	if (!ask(&me, inv->command->name, &r))
		return EXIT_FAILED;
	print_erased(me.name, &r.d);
	if (me.remote.session.token.len > 0) /* it is nobody's now */
		(void)is_ok(session_file_remove());
	return EXIT_DONE;
}

/* ---- audit read ---- */

int
cmd_audit_read(const struct invocation *inv)
{
	const char *since = inv->options[OPT_SINCE], *type = inv->options[OPT_TYPE];
	auto_me struct me me = { .user = "" };
	struct rows rows = { .me = &me, .array = "records" };
	uint64_t ago_s = 0, now_s = (uint64_t)time(NULL);
	char base[TARGET_MAX];

	if (since != NULL && (!parse_duration(since, &ago_s) || ago_s > now_s)) {
		(void)cli_error(since, "expects a time such as 12h or 30d");
		return EXIT_USAGE;
	}
	if (type != NULL &&
	    (type[0] == '\0' || strlen(type) > 64 ||
		strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") !=
		    strlen(type))) {
		(void)cli_error("audit read", "that is no type of records");
		return EXIT_USAGE;
	}
	(void)snprintf(base, sizeof(base), "/admin/v1/audit?order=asc&since_s=%llu%s%s",
	    (unsigned long long)(since != NULL ? now_s - ago_s : 0), type != NULL ? "&type=" : "",
	    type != NULL ? type : "");
	if (!remote_open(&me.remote) || !each_row(&me, inv->command->name, base, &rows))
		return EXIT_FAILED;
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
