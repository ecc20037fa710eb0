/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.c: `sallyport audit tail` and `audit verify`, also while the service is stopped, and
 * `audit rotate-key`.
 *
 * Runs in: CLI, as root. Trusts: nothing in the log.
 * Owns: nothing. The log it only reads; the rest it asks of the service.
 * See: auditlog/auditlog.h; docs/audit-format.md.
 */
#include "cli.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <unistd.h>

#include <auditlog/auditlog.h>
#include <base/cleanup.h>
#include <base/encode.h>

#include "names.h"
#include "operate.h"

#define TAIL_RECORDS 20
#define TAIL_WAIT_US 100000

/* The state directory of a configuration file, which itself need not be good. */
static int
open_state_dir(const struct invocation *inv, char dir[CLI_PATH_MAX])
{
	const char *conf = conf_option(inv);
	int fd;

	if (realpath(conf, dir) == NULL) {
		(void)cli_status(conf, fail_errno());
		return -1;
	}
	*strrchr(dir, '/') = '\0';
	fd = open(dir[0] == '\0' ? "/" : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		(void)cli_status(dir, fail_errno());
	return fd;
}

/* ---- verify ---- */
static void
print_tampered(const struct auditlog_result *v)
{
	if (v->seq > 0)
		(void)cli_error("audit", "record %llu (%s, byte %llu) %s: %s",
		    (unsigned long long)v->seq, v->file, (unsigned long long)v->offset,
		    auditlog_fault_text(v->fault), v->why);
	else
		(void)cli_error(
		    "audit", "%s %s: %s", v->file, auditlog_fault_text(v->fault), v->why);
}

int
cmd_audit_verify(const struct invocation *inv)
{
	struct auditlog_result v = { 0 };
	char dir[CLI_PATH_MAX];
	auto_fd int fd = open_state_dir(inv, dir);

	if (fd < 0)
		return 2; /* unreadable */
	auditlog_verify_from(fd, inv->options[OPT_PUB], &v);
	if (v.verdict == AUDITLOG_INTACT) {
		(void)printf("intact: %llu records, %llu of them signed",
		    (unsigned long long)v.records, (unsigned long long)v.signed_records);
		if (v.keys > 1)
			(void)printf(", by %llu keys", (unsigned long long)v.keys);
		(void)printf("\n");
		return 0;
	}
	if (v.verdict == AUDITLOG_TAMPERED) {
		print_tampered(&v);
		return 1;
	}
	(void)cli_error(v.file[0] != '\0' ? v.file : dir, "%s%s%s",
	    v.why != NULL ? v.why : "unreadable", v.err != 0 ? ": " : "",
	    v.err != 0 ? status_text((struct status){ E_SYS, v.err }) : "");
	return 2;
}

/* ---- tail ---- */
static bool
wanted(struct span line, const char *request)
{
	struct span id;

	return request == NULL ||
	       (auditlog_member(line, "request_id", &id) && span_eq_str(id, request));
}

/* The record, whole; with --names a last member that says who it was. */
static bool
print(struct span line)
{
	struct span subject;
	const char *who = auditlog_member(line, "subject", &subject) ? names_find(subject) : NULL;
	char member[NAMES_WHO_MAX + 16];

	if (who == NULL)
		return term_put(stdout, line) && term_put(stdout, SPAN_LIT("\n"));
	(void)snprintf(member, sizeof(member), ",\"who\":\"%s\"}\n", who);
	return term_put(stdout, span_of(line.ptr, line.len - 1)) &&
	       term_put(stdout, span_str(member));
}

static int
tail(struct auditlog_reader *r, const char *request, bool follow)
{
	struct span line;
	bool any = false;

	for (;;) {
		struct status st = auditlog_next(r, &line);

		if (st.code == E_EOF && !follow && request != NULL && !any)
			return cli_error(request, "no record of such a request");
		if (st.code == E_EOF && !follow)
			return EXIT_DONE;
		if (st.code == E_EOF) {
			(void)usleep(TAIL_WAIT_US);
		} else if (st.code == E_RANGE) {
			(void)cli_error("audit", "a line is too long: see audit verify");
		} else if (!is_ok(st)) {
			return cli_status("audit", st);
		} else if (wanted(line, request)) {
			if (!print(line))
				return EXIT_FAILED; /* the reader has left */
			any = true;
		}
	}
}

/* Of a running service; the log itself is read without one. */
static bool
load_names(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;

	return state_open_option(inv, &s) && names_load(inv, &s);
}

int
cmd_audit_tail(const struct invocation *inv)
{
	auto_auditlog struct auditlog_reader *r = NULL;
	char dir[CLI_PATH_MAX];
	auto_fd int state = open_state_dir(inv, dir);
	auto_fd int fd = state < 0 ? -1
				   : openat(state, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *request = inv->options[OPT_REQUEST];
	struct status st;

	if (request != NULL && (strlen(request) != UUID_TEXT_LEN ||
				   strspn(request, "0123456789abcdef-") != UUID_TEXT_LEN)) {
		(void)cli_error(request, "is not the id of a request");
		return EXIT_USAGE;
	}
	if (state < 0)
		return EXIT_FAILED;
	if (fd < 0)
		return cli_status("audit", fail_errno());
	if (inv->options[OPT_NAMES] != NULL && !load_names(inv))
		return EXIT_FAILED;
	st = auditlog_open(fd, &r);
	if (is_ok(st) && request == NULL)
		st = auditlog_seek_last(r, TAIL_RECORDS);
	if (!is_ok(st))
		return cli_status("audit", st);
	return tail(r, request, inv->options[OPT_FOLLOW] != NULL);
}

/* ---- rotate-key ---- */
int
cmd_audit_rotate_key(const struct invocation *inv)
{
	auto_reply struct reply r = { .x = { .method = "POST", .target = "/admin/v1/audit/key" } };
	auto_state struct state s = STATE_NONE;

	if (!state_open_option(inv, &s) || !operate("audit", &s, &r))
		return EXIT_FAILED;
	if (inv->options[OPT_JSON] != NULL)
		return print_raw(&r);
	print_cell(&r.d, 0, "key", 0);
	(void)putchar('\n');
	return EXIT_DONE;
}
