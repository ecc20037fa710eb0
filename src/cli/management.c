/* SPDX-License-Identifier: Apache-2.0 */
/*
 * management.c: the operator's commands, over the management socket.
 *
 * Runs in: CLI, as root. Trusts: whoever owns the socket, which lies in a root-only folder; its
 * answers are parsed strictly all the same.
 * Owns: nothing.
 * Invariants: rows are printed as they come: memory does not grow with their number.
 * See: src/authority/admin_routes.c; keys.c, identity.c; docs/sallyport.1.
 */
#include "operate.h"

#include <unistd.h>

#include <base/cleanup.h>
#include <base/encode.h>

#define MANAGEMENT_TIMEOUT_MS 60000
#define TARGET_MAX 1024
#define PAGES_MAX 1000000
#define EXPIRES_S_MAX (100ULL * 365 * 86400)

void
reply_done(struct reply *r)
{
	exchange_done(&r->x);
	json_done(&r->d);
}

static void
print_refusal(const char *what, const struct reply *r)
{
	char text[512] = "";
	auto_arena struct arena a = ARENA_INIT(64U << 10);
	struct span s;
	uint32_t error = json_get_str(&r->d, 0, "error");

	if (is_ok(json_str(&r->d, json_get_str(&r->d, error, "message"), &a, &s)))
		(void)snprintf(text, sizeof(text), "%.*s", SPAN_FMT(s));
	(void)cli_error(what, "%s (%u)", text[0] != '\0' ? text : "refused", r->x.status);
}

static bool
socket_path(const struct state *s, char *ret, size_t size)
{
	const char *path = conf_str(s->conf, "management_socket");

	return snprintf(ret, size, "%s%s%s", path[0] == '/' ? "" : s->dir,
		   path[0] == '/' ? "" : "/", path) < (int)size;
}

bool
operate(const char *what, const struct state *s, struct reply *r)
{
	auto_channel struct channel c = CHANNEL_NONE;
	char path[CLI_PATH_MAX];
	struct status st = fail(E_RANGE);

	r->x.authority = "localhost";
	if (socket_path(s, path, sizeof(path)))
		st = channel_unix(path, MANAGEMENT_TIMEOUT_MS, &c);
	if (st.code == E_SYS && (st.err == ENOENT || st.err == ECONNREFUSED)) {
		(void)cli_error(what, "the service does not run (%s)", path);
		return false;
	}
	if (!is_ok(st)) {
		(void)cli_status(path, st);
		return false;
	}
	st = exchange_run(&c, &r->x);
	if (is_ok(st))
		st = json_init(&r->d, &JSON_STRICT);
	if (is_ok(st))
		st = json_parse(&r->d, buf_span(&r->x.answer));
	if (!is_ok(st)) {
		(void)cli_error(what, "no good answer: %s", status_text(st));
		return false;
	}
	if (r->x.status < 200 || r->x.status > 299) {
		print_refusal(what, r);
		return false;
	}
	return true;
}

int
print_raw(const struct reply *r)
{
	(void)fwrite(r->x.answer.ptr, 1, r->x.answer.len, stdout);
	(void)putchar('\n');
	return EXIT_DONE;
}

/* ---- status, reload ---- */
static void
print_list(const struct json_doc *d, const char *key, const char *label)
{
	uint32_t list = json_get_str(d, 0, key);
	struct json_iter it = json_iter(d, list);

	if (json_size(d, list) == 0)
		return;
	(void)printf("%-12s", label);
	while (json_next(&it)) {
		struct span s = json_bytes(d, it.val);

		(void)printf(" %.*s", (int)s.len - 2, (const char *)s.ptr + 1);
	}
	(void)putchar('\n');
}

/* How far a start is that takes long. */
static void
print_starting(const struct json_doc *d, uint32_t starting)
{
	if (json_get_str(d, starting, "done") == JSON_NONE)
		return;
	(void)printf("  starting: ");
	print_cell(d, starting, "done", 0);
	(void)printf(" bytes of ");
	print_cell(d, starting, "total", 0);
}

static void
print_processes(const struct json_doc *d)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "processes"));

	(void)printf("\n%-12s %-6s %-8s %-8s %s\n", "process", "index", "pid", "uid", "up");
	while (json_next(&it)) {
		print_cell(d, it.val, "name", 13);
		print_cell(d, it.val, "index", 7);
		print_cell(d, it.val, "pid", 9);
		print_cell(d, it.val, "uid", 9);
		print_cell(d, it.val, "up", 0);
		print_starting(d, json_get_str(d, it.val, "starting"));
		(void)putchar('\n');
	}
}

static void
print_engines(const struct json_doc *d)
{
	static const char *const keys[] = { "runsc", "image", "manifest" };
	uint32_t engines = json_get_str(d, 0, "engines");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		(void)printf("%-13s", keys[i]);
		print_cell(d, engines, keys[i], 0);
		(void)putchar('\n');
	}
}

/* Processes that run users' modules. */
static void
print_workers(const struct json_doc *d)
{
	static const struct {
		const char *key, *text;
	} rows[] = { { "live", "" }, { "tenants", ", of tenants: " },
		{ "most_of_one_tenant", ", most of one: " },
		{ "calls_waiting", ", calls waiting: " } };
	uint32_t workers = json_get_str(d, 0, "wasm_workers");

	(void)printf("%-13s", "wasm workers");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		(void)printf("%s", rows[i].text);
		print_cell(d, workers, rows[i].key, 0);
	}
	(void)putchar('\n');
}

/* Since when, and how long what is known is served on. */
static void
print_store_away(const struct json_doc *d)
{
	uint32_t away = json_get_str(d, 0, "store_away");

	if (json_get_str(d, away, "since_s") == JSON_NONE)
		return;
	(void)printf("%-13s", "store away");
	(void)printf("since ");
	print_cell(d, away, "since_s", 0);
	(void)printf(", of the grace are left, s: ");
	print_cell(d, away, "grace_left_s", 0);
	(void)putchar('\n');
}

static void
print_rolled_back(const struct json_doc *d)
{
	uint32_t noticed = json_get_str(d, 0, "store_rolled_back");

	if (json_get_str(d, noticed, "noticed_s") == JSON_NONE)
		return;
	(void)printf("%-13s", "rolled back");
	(void)printf("the store, to generation ");
	print_cell(d, noticed, "generation", 0);
	(void)printf(" of ");
	print_cell(d, noticed, "expected", 0);
	(void)printf(", noticed ");
	print_time(d, noticed, "noticed_s");
	(void)putchar('\n');
}

/* Only what takes certificates away, and what of the file is not in use. */
static void
print_revocations(const struct json_doc *d)
{
	uint32_t lists = json_get_str(d, 0, "client_certificate_lists");
	uint32_t fault = json_get_str(d, lists, "fault");
	bool over = json_str_eq_str(d, json_get_str(d, lists, "state"), "expired");

	if (over || json_str_eq_str(d, json_get_str(d, lists, "state"), "early")) {
		(void)printf("%-13s", "revocations");
		(void)printf("certificates of clients are refused: a list in crl_file counts %s",
		    over ? "until" : "from");
		print_time(d, lists, over ? "until_s" : "from_s");
		(void)putchar('\n');
	}
	if (fault == JSON_NONE || json_type(d, fault) == JSON_NULL)
		return;
	(void)printf("%-13s", "revocations");
	(void)printf("crl_file is not in use as it is: ");
	print_cell(d, lists, "fault", 0);
	(void)printf(", of ");
	print_cell(d, lists, "authority", 0);
	(void)putchar('\n');
}

int
cmd_status(const struct invocation *inv)
{
	static const char *const keys[] = { "version", "instance", "generation", "ready",
		"listening", "uptime_s", "turns_open", "keys" };
	auto_state struct state s = STATE_NONE;
	auto_reply struct reply r = { .x = { .method = "GET", .target = "/status" } };

	if (!state_open_option(inv, &s) || !operate("status", &s, &r))
		return EXIT_FAILED;
	if (inv->options[OPT_JSON] != NULL)
		return print_raw(&r);
	if (inv->options[OPT_PACKAGES] != NULL)
		return packages_print(conf_str(s.conf, "engines.manifest"), true);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		(void)printf("%-13s", keys[i]);
		print_cell(&r.d, 0, keys[i], 0);
		(void)putchar('\n');
	}
	print_workers(&r.d);
	print_list(&r.d, "missing", "missing");
	print_store_away(&r.d);
	print_rolled_back(&r.d);
	print_revocations(&r.d);
	print_list(&r.d, "store_unfit", "rows unfit");
	print_list(&r.d, "providers_without_credential", "no credential");
	print_list(&r.d, "unencrypted", "unencrypted");
	print_list(&r.d, "weaker_controls", "weaker");
	print_list(&r.d, "credentials_unavailable", "unavailable");
	print_engines(&r.d);
	if (packages_print(conf_str(s.conf, "engines.manifest"), false) != EXIT_DONE)
		return EXIT_FAILED;
	print_processes(&r.d);
	return EXIT_DONE;
}

int
cmd_reload(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	auto_reply struct reply r = { .x = { .method = "POST", .target = "/admin/v1/reload" } };

	if (!state_open_option(inv, &s) || !operate("reload", &s, &r))
		return EXIT_FAILED;
	(void)fprintf(stderr, "sallyport: reloaded\n");
	return EXIT_DONE;
}

/* ---- shared ---- */

/* "90s", "15m", "12h", "30d" in seconds. */
bool
parse_duration(const char *text, uint64_t *ret_s)
{
	static const struct {
		char letter;
		uint64_t s;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	struct span s = span_str(text);
	uint64_t n;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (s.len < 2 || (char)s.ptr[s.len - 1] != units[i].letter)
			continue;
		if (!is_ok(span_u64(span_of(s.ptr, s.len - 1), EXPIRES_S_MAX / units[i].s, &n)) ||
		    n == 0)
			return false;
		*ret_s = n * units[i].s;
		return true;
	}
	return false;
}

bool
operate_pages(const struct invocation *inv, const struct state *s, const char *base,
    const char *array, const char *head, void (*print)(const struct json_doc *d, uint32_t row))
{
	bool json = inv->options[OPT_JSON] != NULL, first = true, more = true;
	auto_buf struct buf next = BUF_INIT(TARGET_MAX / 2);
	char target[TARGET_MAX];

	for (int i = 0; more && i < PAGES_MAX; i++) {
		auto_arena struct arena a = ARENA_INIT(4096);
		auto_reply struct reply r = { .x = { .method = "GET", .target = target } };
		struct json_iter it;
		struct span text;

		(void)snprintf(target, sizeof(target), "%s%s%s%.*s", base,
		    next.len == 0               ? ""
		    : strchr(base, '?') != NULL ? "&"
						: "?",
		    next.len == 0 ? "" : "after=", SPAN_FMT(buf_span(&next)));
		if (!operate(inv->command->name, s, &r))
			return false;
		if (i == 0 && json)
			(void)printf("{\"%s\":[", array);
		else if (i == 0 && head != NULL)
			(void)printf("%s\n", head);
		for (it = json_iter(&r.d, json_get_str(&r.d, 0, array)); json_next(&it);) {
			text = json_bytes(&r.d, it.val);
			if (json)
				(void)printf("%s%.*s", first ? "" : ",", SPAN_FMT(text));
			else
				print(&r.d, it.val);
			first = false;
		}
		more = ferror(stdout) == 0 && /* else for nobody: the rest is not asked for */
		       is_ok(json_str(&r.d, json_get_str(&r.d, 0, "next"), &a, &text));
		buf_clear(&next);
		more = more && is_ok(percent_encode(text, &next));
	}
	if (json)
		(void)printf("]}\n");
	return true;
}

bool
operate_waits(const struct reply *r, const char *what)
{
	auto_arena struct arena a = ARENA_INIT(4096);
	uint32_t approval = json_get_str(&r->d, 0, "approval");
	bool lifts = json_str_eq_str(
	    &r->d, json_get_str(&r->d, approval, "operation"), "hold.lift");
	struct span id;

	if (r->x.status != 202 ||
	    !is_ok(json_str(&r->d, json_get_str(&r->d, approval, "id"), &a, &id)))
		return false;
	(void)fprintf(stderr,
	    "sallyport: %s: not done: it waits for another person, for an hour\n"
	    "%s of the tenant approves it with a key, over the API, {\"decision\": \"approve\"} to "
	    "POST /admin/v1/approvals/%.*s\n",
	    what, lifts ? "An owner or administrator" : "An owner", SPAN_FMT(id));
	return true;
}

void
print_revoked(const struct reply *r, const char *id)
{
	bool owed = false;

	(void)json_bool(&r->d, json_get_str(&r->d, 0, "store_owed"), &owed).code;
	(void)fprintf(stderr, "sallyport: %s: revoked%s\n", id,
	    owed ? "; the store is away, and is told when it is back" : "");
}
