/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passphrase.c: where a passphrase comes from; `sallyport passphrase set` and `remove`.
 *
 * Runs in: CLI, as root. Trusts: the terminal, the named file, systemd's credentials folder.
 * Owns: the terminal's echo while it asks.
 * Invariants: no passphrase is an argument or in the environment; what is written is opened once
 * before it takes the place of what is there; the file is whole at any moment, and opens by the
 * old passphrase or the new one.
 * See: crypto/passphrase.h; serve.c, init.c, secret.c, backup.c.
 */
#include "passphrase.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>

#define CREDENTIAL "sallyport.passphrase" /* of systemd: LoadCredential= */
#define WRONG "wrong passphrase"

/* ---- the terminal ---- */

static volatile sig_atomic_t caught;

static void
on_signal(int signum)
{
	caught = signum;
}

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
#define NSIGNALS (sizeof(signals) / sizeof(signals[0]))

/* A line without its LF. A signal ends it: the caller restores what it changed and dies by it. */
static struct status
line_read(int fd, struct secret *ret)
{
	auto_secret struct secret s = SECRET_NONE;
	size_t used = 0;
	ssize_t n = 1;

	TRY(secret_new(PASSPHRASE_LEN_MAX + 1, &s));
	while (used < s.len && caught == 0 && (n = read(fd, s.ptr + used, 1)) == 1) {
		if (s.ptr[used] == '\n')
			break;
		used++;
	}
	if (n < 0 || caught != 0)
		return fail(E_CLOSED);
	if (used == 0)
		return fail(E_RANGE);
	if (used == s.len)
		return fail(E_FULL);
	s.ptr[used] = 0;
	s.len = used;
	*ret = secret_take(&s);
	return OK;
}

static struct status
ask_without_echo(int tty, const char *prompt, struct secret *ret)
{
	const struct sigaction act = { .sa_handler = on_signal }; /* no SA_RESTART */
	struct sigaction before[NSIGNALS];
	struct termios is, silent;
	struct status st;

	if (tcgetattr(tty, &is) < 0)
		return fail_errno();
	caught = 0;
	for (size_t i = 0; i < NSIGNALS; i++)
		(void)sigaction(signals[i], &act, &before[i]);
	silent = is;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	(void)tcsetattr(tty, TCSAFLUSH, &silent);
	(void)dprintf(tty, "%s: ", prompt);
	st = line_read(tty, ret);
	(void)tcsetattr(tty, TCSAFLUSH, &is);
	(void)dprintf(tty, "\n");
	for (size_t i = 0; i < NSIGNALS; i++)
		(void)sigaction(signals[i], &before[i], NULL);
	if (caught != 0)
		(void)raise(caught);
	return st;
}

static struct status
ask(const struct passphrase_from *from, struct secret *ret)
{
	auto_secret struct secret first = SECRET_NONE, again = SECRET_NONE;
	auto_fd int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (tty < 0)
		return fail(E_NOTFOUND);
	TRY(ask_without_echo(tty, from->prompt, &first));
	if (from->is_new) {
		TRY(ask_without_echo(tty, "The same once more", &again));
		if (!secret_eq(&first, secret_borrow(&again)))
			return fail(E_CORRUPT);
	}
	*ret = secret_take(&first);
	return OK;
}

/* ---- where from ---- */

static struct status
read_path(int dir_fd, const char *path, struct secret *ret)
{
	auto_fd int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? fail_errno() : secret_read_fd(fd, PASSPHRASE_LEN_MAX, ret);
}

/* The folder's name is no secret; what lies in it is a file that systemd shows this unit alone. */
static struct status
read_credential(struct secret *ret)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	auto_fd int fd = folder == NULL || folder[0] != '/'
			     ? -1
			     : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? fail(E_NOTFOUND) : read_path(fd, CREDENTIAL, ret);
}

static struct status
read_any(const struct passphrase_from *from, struct secret *ret)
{
	struct status st;

	if (from->file != NULL && strcmp(from->file, "-") == 0)
		return secret_read_fd(STDIN_FILENO, PASSPHRASE_LEN_MAX, ret);
	if (from->file != NULL)
		return read_path(AT_FDCWD, from->file, ret);
	st = from->is_new ? fail(E_NOTFOUND) : read_credential(ret);
	return is_ok(st) ? OK : ask(from, ret);
}

bool
passphrase_read(const struct passphrase_from *from, struct secret *ret)
{
	struct status st = read_any(from, ret);
	const char *what = from->file != NULL ? from->file : "passphrase";

	if (is_ok(st) && from->is_new && ret->len < PASSPHRASE_LEN_MIN) {
		(void)cli_error(what, "is too short: at least %d bytes", PASSPHRASE_LEN_MIN);
		secret_done(ret);
		return false;
	}
	if (is_ok(st))
		return true;
	if (st.code == E_NOTFOUND)
		(void)cli_error(what,
		    "there is no terminal to ask on: --passphrase-file FILE, or - "
		    "for standard input");
	else if (st.code == E_CORRUPT)
		(void)cli_error(what, "the two are not the same");
	else if (st.code == E_RANGE)
		(void)cli_error(what, "is empty");
	else if (st.code == E_FULL)
		(void)cli_error(what, "is longer than %d bytes", PASSPHRASE_LEN_MAX);
	else
		(void)cli_status(what, st);
	return false;
}

/* ---- the file ---- */

bool
master_text_read(int dir_fd, struct secret *ret)
{
	auto_fd int fd = -1;
	const char *why;
	struct status st = master_file_find(dir_fd, &fd, &why);

	if (!is_ok(st))
		return cli_error("master.key", "%s", why), false;
	st = master_file_read(fd, ret);
	if (!is_ok(st))
		(void)cli_status("master.key", st);
	return is_ok(st);
}

static bool
open_sealed(struct span text, const char *file, struct secret *ret)
{
	const struct passphrase_from from = { file, "Passphrase of master.key", false };
	auto_secret struct secret passphrase = SECRET_NONE;
	struct status st;

	if (!passphrase_read(&from, &passphrase))
		return false;
	st = master_file_open(text, &passphrase, ret);
	if (st.code == E_CRYPTO)
		(void)cli_error("master.key", WRONG);
	else if (!is_ok(st))
		(void)cli_error("master.key", "is not one of ours: %s", status_text(st));
	return is_ok(st);
}

static bool
open_text(struct span text, const char *file, struct secret *ret)
{
	struct status st;

	if (master_file_is_sealed(text))
		return open_sealed(text, file, ret);
	st = master_file_parse(text, ret);
	if (!is_ok(st))
		(void)cli_status("master.key", st);
	return is_ok(st);
}

bool
master_key_open(const struct invocation *inv, int dir_fd, struct secret *ret)
{
	auto_secret struct secret text = SECRET_NONE;

	return master_text_read(dir_fd, &text) &&
	       open_text(secret_borrow(&text), inv->options[OPT_PASSPHRASE_FILE], ret);
}

/* ---- commands ---- */

static int
replace(const struct state *s, struct span text, const char *done)
{
	auto_fd int old = openat(s->dir_fd, "master.key", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	struct status st = old < 0 ? fail_errno()
				   : io_replace_file(s->dir_fd, "master.key", text, 0600);

	if (!is_ok(st))
		return cli_status("master.key", st);
	io_wipe_unlinked(old);
	(void)fprintf(stderr, "sallyport: master.key: %s\n", done);
	return EXIT_DONE;
}

static int
set(const struct state *s, const struct secret *master, const char *file)
{
	const struct passphrase_from from = { file, "New passphrase of master.key", true };
	auto_secret struct secret passphrase = SECRET_NONE, again = SECRET_NONE;
	auto_buf struct buf text = BUF_INIT(MASTER_FILE_MAX);
	struct status st;

	if (!passphrase_read(&from, &passphrase))
		return EXIT_FAILED;
	st = master_file_seal(master, &passphrase, &SCRYPT_COST, &text);
	if (is_ok(st))
		st = master_file_open(buf_span(&text), &passphrase, &again);
	if (is_ok(st) && !secret_eq(&again, secret_borrow(master)))
		st = fail(E_CORRUPT);
	if (!is_ok(st))
		return cli_status("master.key", st);
	return replace(s, buf_span(&text), "under the new passphrase");
}

int
cmd_passphrase_set(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	auto_secret struct secret master = SECRET_NONE;
	const char *fresh = inv->options[OPT_NEW_PASSPHRASE_FILE];
	const char *old = inv->options[OPT_PASSPHRASE_FILE];

	if (fresh != NULL && old != NULL && strcmp(fresh, "-") == 0 && strcmp(old, "-") == 0) {
		(void)cli_error("passphrase set", "both cannot come from standard input");
		return EXIT_USAGE;
	}
	if (!state_open_option(inv, &s) || !master_key_open(inv, s.dir_fd, &master))
		return EXIT_FAILED;
	return set(&s, &master, fresh);
}

int
cmd_passphrase_remove(const struct invocation *inv)
{
	auto_state struct state s = STATE_NONE;
	auto_secret struct secret old = SECRET_NONE, master = SECRET_NONE, text = SECRET_NONE;
	struct status st;

	if (!state_open_option(inv, &s) || !master_text_read(s.dir_fd, &old) ||
	    !open_text(secret_borrow(&old), inv->options[OPT_PASSPHRASE_FILE], &master))
		return EXIT_FAILED;
	if (!master_file_is_sealed(secret_borrow(&old))) {
		(void)fprintf(stderr, "sallyport: master.key: has no passphrase\n");
		return EXIT_DONE;
	}
	st = master_file_put(&master, &text);
	return is_ok(st) ? replace(&s, secret_borrow(&text), "in the clear")
			 : cli_status("master.key", st);
}
