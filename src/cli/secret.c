/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.c: `sallyport secret`: credentials of providers, for `file:NAME`.
 *
 * Runs in: CLI, as root. Trusts: nothing that it reads.
 * Owns: the value and the key that it is sealed under, for as long as it seals.
 * Invariants: a value comes from standard input only, is in locked memory only,
 * and leaves sealed: for the broker, not for those that carry and keep it.
 * See: crypto/file_secret.h; src/authority/admin_secret.c.
 */
#include "operate.h"
#include "passphrase.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <crypto/file_secret.h>
#include <json/write.h>

#define TARGET_MAX 128
#define REQUEST_MAX 16384

/* ---- the value ---- */

static struct termios terminal; /* as it was */

static void
on_interrupt(int signum)
{
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
	_exit(128 + signum);
}

/* One line, without its end. E_RANGE: empty; E_FULL: too long. */
static struct status
read_line(struct secret *ret)
{
	auto_secret struct secret s = SECRET_NONE;
	size_t used = 0;
	ssize_t n = 1;

	TRY(secret_new(FILE_SECRET_LEN_MAX + 1, &s));
	while (used < s.len && (used == 0 || s.ptr[used - 1] != '\n') && n > 0) {
		n = read(STDIN_FILENO, s.ptr + used, s.len - used);
		if (n < 0)
			return fail_errno();
		used += (size_t)n;
	}
	if (used > 0 && s.ptr[used - 1] == '\n')
		used--;
	else if (used == s.len)
		return fail(E_FULL);
	if (used == 0)
		return fail(E_RANGE);
	s.len = used;
	*ret = secret_take(&s);
	return OK;
}

/* At a terminal: asked for, and not shown. */
static struct status
read_terminal(const char *name, struct secret *ret)
{
	const struct sigaction restore = { .sa_handler = on_interrupt };
	struct termios silent;
	struct status st;

	if (tcgetattr(STDIN_FILENO, &terminal) < 0)
		return fail_errno();
	(void)sigaction(SIGINT, &restore, NULL);
	(void)sigaction(SIGTERM, &restore, NULL);
	silent = terminal;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) < 0)
		return fail_errno();
	(void)fprintf(stderr, "value of %s: ", name);
	st = read_line(ret);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal);
	(void)fputc('\n', stderr);
	return st;
}

/* It goes into a header field: nothing but printable ASCII, no blank at an end. */
static bool
value_ok(struct span v)
{
	for (size_t i = 0; i < v.len; i++) {
		if (v.ptr[i] < ' ' || v.ptr[i] > '~')
			return false;
	}
	return v.len > 0 && v.ptr[0] != ' ' && v.ptr[v.len - 1] != ' ';
}

static bool
read_value(const char *name, struct secret *ret)
{
	struct status st = isatty(STDIN_FILENO) == 1
			       ? read_terminal(name, ret)
			       : secret_read_fd(STDIN_FILENO, FILE_SECRET_LEN_MAX, ret);

	if (is_ok(st) && value_ok(secret_borrow(ret)))
		return true;
	if (is_ok(st))
		(void)cli_error(name, "the value holds a control character, a blank at an end, or "
				      "what is not ASCII");
	else if (st.code == E_FULL)
		(void)cli_error(name, "the value is longer than %d bytes", FILE_SECRET_LEN_MAX);
	else if (st.code == E_RANGE)
		(void)cli_error(name, "standard input holds no value");
	else
		(void)cli_error(name, "standard input: %s", status_text(st));
	return false;
}

/* ---- sealing ---- */

static struct status
put_request(const struct secret *master, const char *name, const struct secret *value, bool rotate,
    struct buf *out)
{
	auto_secret struct secret key = SECRET_NONE;
	auto_buf struct buf blob = BUF_INIT(FILE_SECRET_BLOB_MAX);
	auto_buf struct buf text = BUF_INIT(REQUEST_MAX);
	struct json_writer w = json_writer(out);

	TRY(file_secret_key(master, &key));
	TRY(file_secret_seal(&key, span_str(name), value, &blob));
	TRY(base64_encode(buf_span(&blob), &text));
	json_put_object(&w);
	json_put_key(&w, "sealed");
	json_put_str(&w, buf_span(&text));
	json_put_key(&w, "rotate");
	json_put_bool(&w, rotate);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* ---- commands ---- */

/* "/admin/v1/secrets/NAME", or EXIT_USAGE after a message. */
static int
target_of(const char *name, char target[TARGET_MAX])
{
	if (!file_secret_name_ok(span_str(name))) {
		(void)cli_error(
		    name, "is no name: 1 to %d of A-Z a-z 0-9 _ . -", FILE_SECRET_NAME_MAX);
		return EXIT_USAGE;
	}
	(void)snprintf(target, TARGET_MAX, "/admin/v1/secrets/%s", name);
	return EXIT_DONE;
}

static int
set(const struct invocation *inv, bool rotate)
{
	const char *name = inv->args[0];
	char target[TARGET_MAX] = "";
	auto_state struct state s = STATE_NONE;
	auto_secret struct secret value = SECRET_NONE, master = SECRET_NONE;
	auto_buf struct buf body = BUF_INIT(REQUEST_MAX);
	auto_reply struct reply r = { .x = { .method = "PUT", .target = target } };
	uint64_t version = 0;
	struct status st;

	if (target_of(name, target) != EXIT_DONE)
		return EXIT_USAGE;
	if (inv->options[OPT_PASSPHRASE_FILE] != NULL &&
	    strcmp(inv->options[OPT_PASSPHRASE_FILE], "-") == 0) {
		(void)cli_error("--passphrase-file", "standard input is for the value");
		return EXIT_USAGE;
	}
	if (!state_open_option(inv, &s) || !master_key_open(inv, s.dir_fd, &master) ||
	    !read_value(name, &value))
		return EXIT_FAILED;
	st = put_request(&master, name, &value, rotate, &body);
	if (!is_ok(st))
		return cli_status(name, st);
	r.x.body = buf_span(&body);
	if (!operate(rotate ? "secret rotate" : "secret set", &s, &r))
		return EXIT_FAILED;
	if (!is_ok(json_u64(&r.d, json_get_str(&r.d, 0, "version"), UINT32_MAX, &version)))
		return cli_error(inv->command->name, "no good answer");
	(void)fprintf(stderr, "sallyport: %s: version %llu\n", name, (unsigned long long)version);
	return EXIT_DONE;
}

int
cmd_secret_set(const struct invocation *inv)
{
	return set(inv, false);
}

int
cmd_secret_rotate(const struct invocation *inv)
{
	return set(inv, true);
}

int
cmd_secret_list(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	auto_reply struct reply r = { .x = { .method = "GET", .target = "/admin/v1/secrets" } };
	struct json_iter it;

	if (!state_open_option(inv, &s) || !operate("secret list", &s, &r))
		return EXIT_FAILED;
	if (inv->options[OPT_JSON] != NULL)
		return print_raw(&r);
	(void)printf("%-32s %-10s %-10s %s\n", "name", "version", "previous", "set");
	for (it = json_iter(&r.d, json_get_str(&r.d, 0, "secrets")); json_next(&it);) {
		print_cell(&r.d, it.val, "name", 32);
		(void)putchar(' ');
		print_cell(&r.d, it.val, "version", 10);
		(void)putchar(' ');
		print_cell(&r.d, it.val, "previous_version", 10);
		print_time(&r.d, it.val, "set_s");
		(void)putchar('\n');
	}
	return EXIT_DONE;
}

int
cmd_secret_remove(const struct invocation *inv)
{
	char target[TARGET_MAX] = "";
	auto_state struct state s = STATE_NONE;
	auto_reply struct reply r = { .x = { .method = "DELETE", .target = target } };

	if (target_of(inv->args[0], target) != EXIT_DONE)
		return EXIT_USAGE;
	if (!state_open_option(inv, &s) || !operate("secret remove", &s, &r))
		return EXIT_FAILED;
	(void)fprintf(stderr, "sallyport: %s: removed\n", inv->args[0]);
	return EXIT_DONE;
}
