/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.c: `sallyport tool …`: users' tools, for their owners.
 *
 * Runs in: CLI, as anybody. Trusts: the certificate authority in SALLYPORT_CA_FILE; not what a
 * tool says.
 * Owns: nothing. Invariants: a tool's output goes to standard output, what it says beside it
 * and all else to standard error; a call that did not end well is exit status 1.
 * See: docs/tools.md; tool_admin.c for operators.
 */
#include "tool.h"

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/rand.h>
#include <json/write.h>

#include "operate.h"
#include "tool_dir.h"

#define FORM_MAX (BODY_MAX + 4096U)
#define TARGET_MAX 256
#define PAGES_MAX 100000

void
tool_reply_done(struct tool_reply *r)
{
	exchange_done(&r->x);
	json_done(&r->d);
}

bool
tool_exchange(const char *what, struct remote *remote, struct tool_reply *r)
{
	return is_ok(json_init(&r->d, &JSON_STRICT)) && remote_run(remote, &r->x) &&
	       answer_ok(what, &r->x, &r->d);
}

int
tool_print_raw(const struct tool_reply *r)
{
	struct span text = buf_span(&r->x.answer);

	return term_put(stdout, text) && putchar('\n') != EOF ? EXIT_DONE : EXIT_FAILED;
}

static bool
name_ok(const char *name)
{
	if (manifest_name_ok(span_str(name)))
		return true;
	(void)cli_error(name, "is no name of a tool: a-z, A-Z, 0-9, _ and -, at most 64");
	return false;
}

/* --version; 0 when it is not given. */
static bool
version_option(const char *text, uint64_t *ret)
{
	*ret = 0;
	if (text == NULL || (is_ok(span_u64(span_str(text), UINT32_MAX, ret)) && *ret > 0))
		return true;
	(void)cli_error(text, "is no version: a number from 1 on");
	return false;
}

/* ---- push ---- */

static struct status
put_part(
    const char *boundary, const char *name, const char *type, struct span body, struct buf *out)
{
	if (body.len == 0)
		return OK;
	TRY(buf_printf(out,
	    "--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\nContent-Type: %s\r\n\r\n",
	    boundary, name, type));
	TRY(buf_put_span(out, body));
	return buf_put_str(out, "\r\n");
}

static struct status
put_form(const struct tool_dir *t, const char *boundary, struct buf *out)
{
	TRY(put_part(boundary, "manifest", "application/json", buf_span(&t->text), out));
	TRY(put_part(boundary, "module", "application/wasm", buf_span(&t->module), out));
	TRY(put_part(boundary, "native", "application/octet-stream", buf_span(&t->native), out));
	return buf_printf(out, "--%s--\r\n", boundary);
}

/* Random, so that no part can have it within. */
static struct status
make_boundary(char boundary[33])
{
	uint8_t bytes[16];

	TRY(rand_bytes(bytes, sizeof(bytes)));
	hex_encode(span_of(bytes, sizeof(bytes)), boundary);
	boundary[32] = '\0';
	return OK;
}

int
cmd_tool_push(const struct invocation *inv)
{
	auto_tool_dir struct tool_dir t = { .text = { .ptr = NULL } };
	auto_remote struct remote remote = { .url = NULL };
	auto_tool_reply struct tool_reply r = { .x = { .method = "POST", .target = "/v1/tools" } };
	auto_buf struct buf form = BUF_INIT(FORM_MAX);
	char boundary[33], type[96];
	struct status st;

	if (!tool_dir_open(inv, inv->args[0], &t) || !remote_open(&remote))
		return EXIT_FAILED;
	st = make_boundary(boundary);
	if (is_ok(st))
		st = put_form(&t, boundary, &form);
	if (is_ok(st) && form.len > BODY_MAX)
		st = fail(E_FULL);
	if (!is_ok(st))
		return st.code == E_FULL
			   ? cli_error(inv->args[0], "is larger than %u bytes", BODY_MAX)
			   : cli_status(inv->args[0], st);
	(void)snprintf(type, sizeof(type), "multipart/form-data; boundary=%s", boundary);
	r.x.body = buf_span(&form);
	r.x.type = type;
	if (!tool_exchange("tool push", &remote, &r))
		return EXIT_FAILED;
	if (inv->options[OPT_JSON] != NULL)
		return tool_print_raw(&r);
	print_cell(&r.d, 0, "name", 0);
	(void)printf(" version ");
	print_cell(&r.d, 0, "version", 0);
	(void)printf(" sha256:");
	print_cell(&r.d, 0, "digest", 0);
	(void)putchar('\n');
	return EXIT_DONE;
}

/* ---- list, show ---- */

static void
print_row(const struct json_doc *d, uint32_t row)
{
	print_cell(d, row, "name", 24);
	(void)putchar(' ');
	print_cell(d, row, "version", 7);
	(void)putchar(' ');
	print_cell(d, row, "sandbox", 7);
	(void)putchar(' ');
	print_cell(d, row, "owner", 16);
	(void)putchar(' ');
	print_cell(d, row, "description", 0);
	(void)putchar('\n');
}

/* One page; *ret_after is the name behind which the next one begins, "" after the last. */
static bool
list_page(struct remote *remote, bool json, bool *first, char after[MANIFEST_NAME_MAX + 1])
{
	char target[TARGET_MAX];
	auto_tool_reply struct tool_reply r = { .x = { .method = "GET", .target = target } };
	auto_arena struct arena a = ARENA_INIT(4096);
	struct span name = SPAN_EMPTY;
	struct json_iter it;
	bool more = false;

	(void)snprintf(
	    target, sizeof(target), "/v1/tools%s%s", after[0] != '\0' ? "?after=" : "", after);
	if (!tool_exchange("tool list", remote, &r))
		return false;
	it = json_iter(&r.d, json_get_str(&r.d, 0, "data"));
	while (json_next(&it)) {
		uint32_t tok = json_get_str(&r.d, it.val, "name");

		if (json)
			(void)printf(
			    "%s%.*s", *first ? "" : ",", SPAN_FMT(json_bytes(&r.d, it.val)));
		else
			print_row(&r.d, it.val);
		*first = false;
		arena_reset(&a);
		if (!is_ok(json_str(&r.d, tok, &a, &name)))
			name = SPAN_EMPTY;
	}
	(void)json_bool(&r.d, json_get_str(&r.d, 0, "has_more"), &more).code;
	after[0] = '\0';
	if (more && manifest_name_ok(name))
		(void)span_to_cstr(name, after, MANIFEST_NAME_MAX + 1).code;
	return true;
}

int
cmd_tool_list(const struct invocation *inv)
{
	auto_remote struct remote remote = { .url = NULL };
	bool json = inv->options[OPT_JSON] != NULL, first = true;
	char after[MANIFEST_NAME_MAX + 1] = "";

	if (inv->options[OPT_CONFIG] != NULL)
		return cmd_tool_list_all(inv);
	if (!remote_open(&remote))
		return EXIT_FAILED;
	if (json)
		(void)printf("{\"tools\":[");
	else
		(void)printf("%-24s %-7s %-7s %-16s %s\n", "name", "version", "sandbox", "owner",
		    "description");
	for (int i = 0; i < PAGES_MAX; i++) {
		if (!list_page(&remote, json, &first, after))
			return EXIT_FAILED;
		if (after[0] == '\0')
			break;
	}
	if (json)
		(void)printf("]}\n");
	return EXIT_DONE;
}

static void
print_version(const struct json_doc *d, uint32_t row)
{
	bool current = false, allowed = false;

	(void)json_bool(d, json_get_str(d, row, "current"), &current).code;
	(void)json_bool(d, json_get_str(d, row, "allowed"), &allowed).code;
	print_cell(d, row, "version", 7);
	(void)printf(" %-7s %-7s ", current ? "yes" : "-", allowed ? "yes" : "-");
	print_cell(d, row, "sandbox", 7);
	(void)printf(" sha256:");
	print_cell(d, row, "digest", 0);
	(void)putchar('\n');
}

int
cmd_tool_show(const struct invocation *inv)
{
	auto_remote struct remote remote = { .url = NULL };
	char target[TARGET_MAX];
	auto_tool_reply struct tool_reply r = { .x = { .method = "GET", .target = target } };
	uint64_t version;
	struct json_iter it;

	if (!name_ok(inv->args[0]) || !version_option(inv->options[OPT_VERSION], &version))
		return EXIT_USAGE;
	(void)snprintf(target, sizeof(target), "/v1/tools/%s", inv->args[0]);
	if (version > 0)
		(void)snprintf(target, sizeof(target), "/v1/tools/%s?version=%llu", inv->args[0],
		    (unsigned long long)version);
	if (!remote_open(&remote) || !tool_exchange("tool show", &remote, &r))
		return EXIT_FAILED;
	if (inv->options[OPT_JSON] != NULL)
		return tool_print_raw(&r);
	(void)printf(
	    "%-7s %-7s %-7s %-7s %s\n", "version", "current", "allowed", "sandbox", "digest");
	it = json_iter(&r.d, json_get_str(&r.d, 0, "versions"));
	while (json_next(&it))
		print_version(&r.d, it.val);
	(void)putchar('\n');
	(void)term_put(stdout, json_bytes(&r.d, json_get_str(&r.d, 0, "manifest")));
	(void)putchar('\n');
	return EXIT_DONE;
}

/* ---- call ---- */

struct status
tool_put_call(struct span arguments, uint64_t version, struct buf *out)
{
	TRY(buf_put_str(out, "{\"arguments\":"));
	TRY(buf_put_span(out, arguments));
	if (version > 0)
		TRY(buf_printf(out, ",\"version\":%llu", (unsigned long long)version));
	return buf_put_u8(out, '}');
}

bool
tool_call_ok(const struct json_doc *d)
{
	uint64_t code = 1;

	return json_str_eq_str(d, json_get_str(d, 0, "status"), "exit") &&
	       is_ok(json_u64(d, json_get_str(d, 0, "exit_code"), 255, &code)) && code == 0;
}

void
tool_print_failure(const char *what, const struct json_doc *d)
{
	auto_buf struct buf why = BUF_INIT(4096);
	static const char *const members[] = { "trap", "output_error" };

	(void)json_str_put(d, json_get_str(d, 0, "status"), &why).code;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		uint32_t tok = json_get_str(d, 0, members[i]);

		if (json_type(d, tok) != JSON_STRING)
			continue;
		(void)buf_put_str(&why, ": ").code;
		(void)json_str_put(d, tok, &why).code;
	}
	if (json_type(d, json_get_str(d, 0, "exit_code")) == JSON_NUMBER)
		(void)buf_printf(&why, " (exit status %.*s)",
		    SPAN_FMT(json_bytes(d, json_get_str(d, 0, "exit_code"))))
		    .code;
	(void)cli_error(what, "%.*s", SPAN_FMT(buf_span(&why)));
}

/* Output and what the tool said beside it. */
static int
print_call(const char *name, const struct json_doc *d)
{
	auto_buf struct buf err = BUF_INIT(EXCHANGE_BODY_MAX);
	uint32_t output = json_get_str(d, 0, "output");

	if (is_ok(json_str_put(d, json_get_str(d, 0, "stderr"), &err)))
		(void)term_put(stderr, buf_span(&err));
	if (tool_call_ok(d) || json_type(d, output) != JSON_NULL) {
		(void)term_put(stdout, json_bytes(d, output));
		(void)putchar('\n');
	}
	if (tool_call_ok(d))
		return EXIT_DONE;
	tool_print_failure(name, d);
	return EXIT_FAILED;
}

/* An argument, or standard input for "-"; without any an empty object. */
static bool
read_arguments(const struct invocation *inv, struct buf *out)
{
	auto_json struct json_doc d = { .count = 0 };
	const char *text = inv->nargs > 1 ? inv->args[1] : "{}";
	struct status st;

	if (strcmp(text, "-") == 0 && !read_input("arguments", "-", out))
		return false;
	if (strcmp(text, "-") != 0 && !is_ok(buf_put_str(out, text))) {
		(void)cli_error("arguments", "are larger than %u bytes", TOOL_ARGUMENTS_MAX);
		return false;
	}
	st = json_init(&d, &JSON_STRICT);
	if (is_ok(st))
		st = json_parse(&d, buf_span(out));
	if (is_ok(st) && json_type(&d, 0) == JSON_OBJECT)
		return true;
	(void)cli_error("arguments", "are no JSON object%s%s", is_ok(st) ? "" : ": ",
	    is_ok(st) || d.fault.message == NULL ? "" : d.fault.message);
	return false;
}

int
cmd_tool_call(const struct invocation *inv)
{
	auto_remote struct remote remote = { .url = NULL };
	char target[TARGET_MAX];
	auto_tool_reply struct tool_reply r = { .x = { .method = "POST", .target = target } };
	auto_buf struct buf arguments = BUF_INIT(TOOL_ARGUMENTS_MAX);
	auto_buf struct buf body = BUF_INIT(TOOL_ARGUMENTS_MAX + 256);
	uint64_t version;

	if (!name_ok(inv->args[0]) || !version_option(inv->options[OPT_VERSION], &version))
		return EXIT_USAGE;
	if (!read_arguments(inv, &arguments))
		return EXIT_FAILED;
	(void)snprintf(target, sizeof(target), "/v1/tools/%s/call", inv->args[0]);
	if (!remote_open(&remote) || !is_ok(tool_put_call(buf_span(&arguments), version, &body)))
		return EXIT_FAILED;
	r.x.body = buf_span(&body);
	if (!tool_exchange("tool call", &remote, &r))
		return EXIT_FAILED;
	if (inv->options[OPT_JSON] == NULL)
		return print_call(inv->args[0], &r.d);
	(void)tool_print_raw(&r);
	return tool_call_ok(&r.d) ? EXIT_DONE : EXIT_FAILED;
}

/* ---- current, remove ---- */

int
cmd_tool_current(const struct invocation *inv)
{
	auto_remote struct remote remote = { .url = NULL };
	char target[TARGET_MAX], body[64];
	auto_tool_reply struct tool_reply r = { .x = { .method = "POST", .target = target } };
	uint64_t version;

	if (!name_ok(inv->args[0]) || !version_option(inv->args[1], &version))
		return EXIT_USAGE;
	(void)snprintf(target, sizeof(target), "/v1/tools/%s/current", inv->args[0]);
	(void)snprintf(body, sizeof(body), "{\"version\":%llu}", (unsigned long long)version);
	r.x.body = span_str(body);
	return remote_open(&remote) && tool_exchange("tool current", &remote, &r) ? EXIT_DONE
										  : EXIT_FAILED;
}

int
cmd_tool_remove(const struct invocation *inv)
{
	auto_remote struct remote remote = { .url = NULL };
	char target[TARGET_MAX];
	auto_tool_reply struct tool_reply r = { .x = { .method = "DELETE", .target = target } };
	uint64_t version;

	if (!name_ok(inv->args[0]) || !version_option(inv->options[OPT_VERSION], &version))
		return EXIT_USAGE;
	(void)snprintf(target, sizeof(target), "/v1/tools/%s", inv->args[0]);
	if (version > 0)
		(void)snprintf(target, sizeof(target), "/v1/tools/%s?version=%llu", inv->args[0],
		    (unsigned long long)version);
	return remote_open(&remote) && tool_exchange("tool remove", &remote, &r) ? EXIT_DONE
										 : EXIT_FAILED;
}
