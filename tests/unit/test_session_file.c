/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/session_file.c: the file of a session: others' files, broken ones, and a crash at every
 * call. */
#include "unit.h"

#include <errno.h>

#include "crashpoint.h"

#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <session_file.h>

#include <base/cleanup.h>

#define HEAD "https://a:1\n/ca.pem\n99\n"

const struct command commands[] = { { NULL } };

static char home[64], dir[128], file[192];

static int
fresh_home(void **state)
{
	(void)state;
	(void)snprintf(home, sizeof(home), "/tmp/test-session-file.XXXXXX");
	assert_non_null(mkdtemp(home));
	(void)snprintf(dir, sizeof(dir), "%s/.config/sallyport", home);
	(void)snprintf(file, sizeof(file), "%s/session", dir);
	unsetenv("XDG_CONFIG_HOME");
	return setenv("HOME", home, 1);
}

static int
remove_home(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf %s", home);
	return system(command);
}

static struct session_file
some(const char *token)
{
	struct session_file k = { .url = "https://a:1", .ca = "/ca.pem", .expires_s = 99 };

	assert_true(is_ok(secret_new(strlen(token) + 1, &k.token)));
	memcpy(k.token.ptr, token, strlen(token));
	return k;
}

static struct status
save(const char *token)
{
	auto_session_file struct session_file k = some(token);

	return session_file_save(&k);
}

/* What is read: its token's text, or how it failed. */
static enum code
load(char *ret, size_t size)
{
	auto_session_file struct session_file k;
	struct status st = session_file_load(&k);

	ret[0] = '\0';
	if (is_ok(st)) {
		assert_string_equal(k.url, "https://a:1");
		assert_string_equal(k.ca, "/ca.pem");
		assert_int_equal(k.expires_s, 99);
		assert_int_equal(k.token.ptr[k.token.len - 1], 0);
		(void)snprintf(ret, size, "%s", (const char *)k.token.ptr);
	}
	return st.code;
}

static void
put(const char *text, size_t len)
{
	auto_fd int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && write(fd, text, len) == (ssize_t)len);
}

static unsigned
files(void)
{
	char command[192], line[32] = "";
	FILE *f;

	(void)snprintf(command, sizeof(command), "ls -A %s | wc -l", dir);
	f = popen(command, "re");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_int_equal(pclose(f), 0);
	return (unsigned)strtoul(line, NULL, 10);
}

static void
what_is_saved_is_read_again(void **state)
{
	static char longest[SESSION_FILE_TOKEN_MAX + 2], text[SESSION_FILE_TOKEN_MAX + 2];
	struct stat sb;

	(void)state;
	memset(longest, 't', SESSION_FILE_TOKEN_MAX);
	assert_int_equal(load(text, sizeof(text)), E_NOTFOUND);
	assert_int_equal(session_file_remove().code, E_NOTFOUND);
	assert_true(is_ok(save("one")));
	assert_true(is_ok(save(longest)));
	assert_int_equal(load(text, sizeof(text)), E_OK);
	assert_string_equal(text, longest);
	assert_int_equal(stat(file, &sb), 0);
	assert_int_equal(sb.st_mode & 07777, 0600);
	assert_int_equal(stat(dir, &sb), 0);
	assert_int_equal(sb.st_mode & 07777, 0700);
	assert_int_equal(files(), 1);
	assert_true(is_ok(session_file_remove()));
	assert_int_equal(files(), 0);
}

static void
what_could_not_be_read_again_is_not_saved(void **state)
{
	static char too_long[SESSION_FILE_TOKEN_MAX + 2], text[64];
	struct session_file none = some("x");
	struct session_file lines = some("x");

	(void)state;
	memset(too_long, 't', SESSION_FILE_TOKEN_MAX + 1);
	assert_true(is_ok(save("before")));
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(
		    save(((const char *[]){ "", "a b", "a\nb", "a\x80", too_long })[i]).code,
		    E_RANGE);
	secret_done(&none.token);
	assert_int_equal(session_file_save(&none).code, E_RANGE);
	(void)snprintf(lines.url, sizeof(lines.url), "https://a\nb");
	assert_int_equal(session_file_save(&lines).code, E_RANGE);
	(void)snprintf(lines.url, sizeof(lines.url), "https://a");
	(void)snprintf(lines.ca, sizeof(lines.ca), "/a\nb");
	assert_int_equal(session_file_save(&lines).code, E_RANGE);
	session_file_done(&lines);
	assert_int_equal(load(text, sizeof(text)), E_OK);
	assert_string_equal(text, "before");
	assert_int_equal(files(), 1);
}

static void
a_file_of_another_form_is_none(void **state)
{
	static char big[CLI_PATH_MAX + SESSION_FILE_URL_MAX + SESSION_FILE_TOKEN_MAX + 66],
	    text[64];
	static const char *const rows[] = {
		"x",
		"\n\n\n",
		"https://a:1\n/ca.pem\n99",
		HEAD,
		HEAD "a b",
		HEAD "a\nb",
		HEAD "a\r",
		HEAD "\x1b[2J",
		HEAD "a\xc2\x9b",
		"https://a:1\n/ca.pem\n-1\na",
		"https://a:1\n/ca.pem\n0x9\na",
		"https://a:1\n/ca.pem\n99999999999999999999\na",
		"https://a:1\n/ca.pem\n\na",
		"https://a:1\n/ca.pem\n 99\na",
		/* a line twice, or one too many */
		"https://a:1\nhttps://a:1\n/ca.pem\n99\na",
		HEAD "99\na",
		HEAD "token\nhttps://b:1",
	};

	(void)state;
	assert_true(is_ok(save("x")));
	put(HEAD "good\n", sizeof(HEAD "good\n") - 1); /* as an editor leaves it */
	assert_int_equal(load(text, sizeof(text)), E_OK);
	assert_string_equal(text, "good");
	for (size_t i = 0; i < COUNT(rows); i++) {
		put(rows[i], strlen(rows[i]));
		assert_int_not_equal(load(text, sizeof(text)), E_OK);
		assert_int_not_equal(load(text, sizeof(text)), E_NOTFOUND);
	}
	put(HEAD "a\0b", sizeof(HEAD "a\0b") - 1);
	assert_int_equal(load(text, sizeof(text)), E_SYNTAX);
	put("https://a\0:1\n/ca.pem\n99\na", sizeof("https://a\0:1\n/ca.pem\n99\na") - 1);
	assert_int_equal(load(text, sizeof(text)), E_RANGE);
	put("", 0);
	assert_int_equal(load(text, sizeof(text)), E_RANGE);
	memset(big, 'a', sizeof(big));
	put(big, sizeof(big));
	assert_int_equal(load(text, sizeof(text)), E_FULL);
	memcpy(big, HEAD, sizeof(HEAD) - 1);
	put(big, sizeof(HEAD) + SESSION_FILE_TOKEN_MAX);
	assert_int_equal(load(text, sizeof(text)), E_SYNTAX);
	memset(big, 'u', SESSION_FILE_URL_MAX);
	memcpy(big + SESSION_FILE_URL_MAX, "\n/ca.pem\n99\na", 13);
	put(big, SESSION_FILE_URL_MAX + 13);
	assert_int_equal(load(text, sizeof(text)), E_RANGE);
}

/* Cut anywhere before its token it is none: no field takes the place of another. */
static void
a_cut_head_is_no_session(void **state)
{
	static const char whole[] = HEAD "token";
	char text[64];

	(void)state;
	assert_true(is_ok(save("x")));
	for (size_t len = 0; len < sizeof(HEAD); len++) {
		put(whole, len);
		assert_int_not_equal(load(text, sizeof(text)), E_OK);
	}
}

static void
others_files_are_refused(void **state)
{
	static const mode_t modes[] = { 0644, 0640, 0604, 0620, 0602, 0610, 0601, 0666 };
	char text[64], other[256];

	(void)state;
	assert_true(is_ok(save("x")));
	for (size_t i = 0; i < COUNT(modes); i++) {
		assert_int_equal(chmod(file, modes[i]), 0);
		assert_int_equal(load(text, sizeof(text)), E_DENIED);
	}
	assert_int_equal(chmod(file, 0600), 0);
	assert_int_equal(load(text, sizeof(text)), E_OK);
	if (geteuid() == 0) {
		assert_int_equal(chown(file, 12345, 0), 0);
		assert_int_equal(load(text, sizeof(text)), E_DENIED);
		assert_int_equal(chown(file, 0, 0), 0);
	}
	(void)snprintf(other, sizeof(other), "%s/other", home);
	assert_int_equal(rename(file, other), 0);
	assert_int_equal(symlink(other, file), 0);
	assert_int_equal(load(text, sizeof(text)), E_SYS);
	/* A save replaces the link, and leaves what it pointed to. */
	assert_true(is_ok(save("mine")));
	assert_int_equal(load(text, sizeof(text)), E_OK);
	assert_string_equal(text, "mine");
	assert_int_equal(access(other, F_OK), 0);
}

static void
what_is_no_file_is_refused_at_once(void **state)
{
	char text[64];

	(void)state;
	assert_true(is_ok(save("x")));
	assert_true(is_ok(session_file_remove()));
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_int_equal(load(text, sizeof(text)), E_DENIED); /* and does not wait for a writer */
	assert_int_equal(unlink(file), 0);
	assert_int_equal(mkdir(file, 0700), 0);
	assert_int_equal(load(text, sizeof(text)), E_DENIED);
	assert_int_equal(session_file_remove().code, E_SYS);
	assert_int_equal(save("x").code, E_SYS);
	assert_int_equal(files(), 1);
	assert_int_equal(rmdir(file), 0);
	/* A file where its folder should be. */
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(creat(dir, 0600) >= 0, 1);
	assert_int_equal(load(text, sizeof(text)), E_NOTFOUND);
	assert_int_equal(session_file_remove().code, E_NOTFOUND);
	assert_int_equal(save("x").code, E_SYS);
	/* No place at all. */
	assert_int_equal(setenv("HOME", "relative", 1), 0);
	assert_int_equal(load(text, sizeof(text)), E_NOTFOUND);
	assert_int_equal(save("x").code, E_NOTFOUND);
}

/* Relative folders of XDG are ignored, as its specification has it. */
static void
places_follow_xdg(void **state)
{
	char xdg[128], path[256], text[64];

	(void)state;
	assert_int_equal(setenv("XDG_CONFIG_HOME", "elsewhere", 1), 0);
	assert_true(is_ok(save("x")));
	assert_int_equal(access(file, F_OK), 0);
	(void)snprintf(xdg, sizeof(xdg), "%s/xdg", home);
	assert_int_equal(setenv("XDG_CONFIG_HOME", xdg, 1), 0);
	assert_int_equal(load(text, sizeof(text)), E_NOTFOUND);
	assert_true(is_ok(save("y")));
	(void)snprintf(path, sizeof(path), "%s/sallyport/session", xdg);
	assert_int_equal(access(path, F_OK), 0);
	unsetenv("XDG_CONFIG_HOME");
	assert_int_equal(load(text, sizeof(text)), E_OK);
	assert_string_equal(text, "x");
}

static void
a_failing_disk_leaves_the_old_one(void **state)
{
	static const long calls[] = { SYS_write, SYS_fsync, SYS_rename };
	char text[64];
	bool failed = false;

	(void)state;
	assert_true(is_ok(save("old")));
	for (size_t i = 0; i < COUNT(calls); i++) {
		struct status st;

		crash.fail_call = calls[i];
		crash.fail_errno = ENOSPC;
		st = save("new");
		crash.fail_errno = 0;
		if (is_ok(st)) { /* a call that this machine does not make */
			assert_true(is_ok(save("old")));
			continue;
		}
		failed = true;
		assert_int_equal(load(text, sizeof(text)), E_OK);
		assert_string_equal(text, "old");
		assert_int_equal(files(), 1);
	}
	assert_true(failed);
}

/* A kill or a power loss at each call: the old one or the new one, whole; the next save sweeps. */
static void
a_crash_leaves_one_of_both(void **state)
{
	char text[64];

	(void)state;
	for (enum crash_mode mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;

		for (unsigned at = 1; died; at++) {
			int how;
			pid_t pid;

			assert_true(is_ok(save("old")));
			pid = fork();
			assert_true(pid >= 0);
			if (pid == 0) {
				crash.calls = 0;
				crash.at = at;
				crash.mode = mode;
				if (!is_ok(save("new")))
					_exit(1);
				(void)unlink("/nowhere"); /* or right behind it */
				_exit(0);
			}
			assert_int_equal(waitpid(pid, &how, 0), pid);
			died = WIFSIGNALED(how);
			assert_true(died || WEXITSTATUS(how) == 0);
			assert_int_equal(load(text, sizeof(text)), E_OK);
			assert_true(strcmp(text, "old") == 0 || strcmp(text, "new") == 0);
			assert_true(died || strcmp(text, "new") == 0);
			assert_true(is_ok(save("after")));
			assert_int_equal(files(), 1);
		}
	}
	/* So does a removal, also where there is no session. */
	assert_true(is_ok(session_file_remove()));
	assert_int_equal(chdir(dir), 0);
	assert_true(close(creat("session.abcdef", 0600)) == 0);
	assert_int_equal(symlink("/etc/passwd", "session.ghijkl"), 0);
	assert_true(close(creat("session.bak", 0600)) == 0);
	assert_int_equal(session_file_remove().code, E_NOTFOUND);
	assert_int_equal(files(), 2); /* what is not of a save is not ours */
	assert_int_equal(chdir("/"), 0);
}

/* Who is about it holds a lock: a second save at the same time takes nothing away from it. */
static void
a_save_that_goes_on_is_left_alone(void **state)
{
	char fresh[256];
	auto_fd int fd = -1;

	(void)state;
	assert_true(is_ok(save("x")));
	(void)snprintf(fresh, sizeof(fresh), "%s/session.abcdef", dir);
	fd = creat(fresh, 0600);
	assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
	assert_true(is_ok(save("y")));
	assert_int_equal(access(fresh, F_OK), 0);
	assert_int_equal(flock(fd, LOCK_UN), 0);
	assert_true(is_ok(save("z")));
	assert_int_not_equal(access(fresh, F_OK), 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh_home, remove_home)
	const struct CMUnitTest tests[] = {
		T(what_is_saved_is_read_again),
		T(what_could_not_be_read_again_is_not_saved),
		T(a_file_of_another_form_is_none),
		T(a_cut_head_is_no_session),
		T(others_files_are_refused),
		T(what_is_no_file_is_refused_at_once),
		T(places_follow_xdg),
		T(a_failing_disk_leaves_the_old_one),
		T(a_crash_leaves_one_of_both),
		T(a_save_that_goes_on_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
