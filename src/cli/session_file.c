/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_file.c: the session that `sallyport login` keeps, and client commands use.
 *
 * Runs in: CLI, as anybody. Trusts: a file that is its caller's own, and nobody else's to read.
 * Owns: that file. Invariants: it is whole or not there; the token passes through locked memory
 * only, and is wiped.
 * See: session_file.h, login.c, remote.c.
 */
#include "session_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>

#define FILE_MAX (CLI_PATH_MAX + SESSION_FILE_URL_MAX + SESSION_FILE_TOKEN_MAX + 64)

/* The file's path, and `suffix`; its folder is made if `make`. */
static struct status
place(bool make, const char *suffix, char ret[CLI_PATH_MAX])
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	bool own = xdg != NULL && xdg[0] == '/'; /* relative ones are to be ignored */
	char dir[CLI_PATH_MAX];
	int n;

	if (!own && (home == NULL || home[0] != '/'))
		return fail(E_NOTFOUND);
	n = snprintf(dir, sizeof(dir), "%s%s", own ? xdg : home, own ? "" : "/.config");
	if (n < 0 || n >= (int)sizeof(dir))
		return fail(E_RANGE);
	if (make && mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fail_errno();
	n = snprintf(ret, CLI_PATH_MAX, "%s/sallyport", dir);
	if (n < 0 || n >= CLI_PATH_MAX)
		return fail(E_RANGE);
	if (make && mkdir(ret, 0700) < 0 && errno != EEXIST)
		return fail_errno();
	n = snprintf(ret, CLI_PATH_MAX, "%s/sallyport/session%s", dir, suffix);
	return n < 0 || n >= CLI_PATH_MAX ? fail(E_RANGE) : OK;
}

/* The next line; false: there is none. */
static bool
line(struct span *rest, struct span *ret)
{
	const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);

	if (end == NULL)
		return false;
	*ret = span_of(rest->ptr, (size_t)(end - rest->ptr));
	*rest = span_from(*rest, ret->len + 1);
	return true;
}

bool
session_file_token_ok(struct span token)
{
	for (size_t i = 0; i < token.len; i++) {
		if (token.ptr[i] <= ' ' || token.ptr[i] > '~')
			return false;
	}
	return token.len > 0 && token.len <= SESSION_FILE_TOKEN_MAX;
}

struct status
session_file_parse(struct span text, struct session_file *ret)
{
	struct span url, ca, expires, token;
	struct buf copy;

	if (!line(&text, &url) || !line(&text, &ca) || !line(&text, &expires))
		return fail(E_SYNTAX);
	token = text;
	if (!session_file_token_ok(token))
		return fail(E_SYNTAX);
	TRY(span_to_cstr(url, ret->url, sizeof(ret->url)));
	TRY(span_to_cstr(ca, ret->ca, sizeof(ret->ca)));
	TRY(span_u64(expires, UINT64_MAX, &ret->expires_s));
	TRY(secret_new(token.len + 1, &ret->token));
	copy = secret_buf(&ret->token);
	return buf_put_span(&copy, token); /* what is behind it is zero */
}

struct status
session_file_load(struct session_file *ret)
{
	auto_secret struct secret text = SECRET_NONE;
	char path[CLI_PATH_MAX];
	struct stat sb;
	auto_fd int fd = -1;

	*ret = (struct session_file){ .token = SECRET_NONE };
	TRY(place(false, "", path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? fail(E_NOTFOUND) : fail_errno();
	if (fstat(fd, &sb) < 0)
		return fail_errno();
	if (!S_ISREG(sb.st_mode) || sb.st_uid != geteuid() || (sb.st_mode & 077) != 0)
		return fail(E_DENIED);
	TRY(secret_read_fd(fd, FILE_MAX, &text));
	return session_file_parse(secret_borrow(&text), ret);
}

/* Of saves that were cut off; who is about one still holds its lock. */
static void
sweep(void)
{
	static const size_t name_len = sizeof("session.XXXXXX") - 1;
	char path[CLI_PATH_MAX];
	DIR *dir = is_ok(place(false, "", path)) ? opendir(dirname(path)) : NULL;

	for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
		auto_fd int fd = -1;

		if (strncmp(e->d_name, "session.", 8) != 0 || strlen(e->d_name) != name_len)
			continue;
		fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

static struct status
write_whole(int fd, const struct session_file *k)
{
	char head[CLI_PATH_MAX + SESSION_FILE_URL_MAX + 64];
	int n = snprintf(
	    head, sizeof(head), "%s\n%s\n%llu\n", k->url, k->ca, (unsigned long long)k->expires_s);
	struct span token = secret_borrow(&k->token);

	if (n < 0 || n >= (int)sizeof(head) || strchr(k->url, '\n') != NULL ||
	    strchr(k->ca, '\n') != NULL || token.len == 0)
		return fail(E_RANGE);
	token.len--;
	if (!session_file_token_ok(token))
		return fail(E_RANGE);
	TRY(io_write_all(fd, span_of(head, (size_t)n)));
	TRY(io_write_all(fd, token));
	return fsync(fd) == 0 ? OK : fail_errno();
}

struct status
session_file_save(const struct session_file *k)
{
	char path[CLI_PATH_MAX], fresh[CLI_PATH_MAX];
	auto_fd int fd = -1;
	struct status st;

	TRY(place(true, "", path));
	TRY(place(true, ".XXXXXX", fresh));
	sweep();
	fd = mkostemp(fresh, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return fail_errno();
	(void)flock(fd, LOCK_EX | LOCK_NB);
	st = write_whole(fd, k);
	if (is_ok(st) && rename(fresh, path) < 0)
		st = fail_errno();
	if (!is_ok(st))
		(void)unlink(fresh);
	return st;
}

struct status
session_file_remove(void)
{
	char path[CLI_PATH_MAX];

	TRY(place(false, "", path));
	sweep();
	if (unlink(path) == 0)
		return OK;
	return errno == ENOENT || errno == ENOTDIR ? fail(E_NOTFOUND) : fail_errno();
}

void
session_file_done(struct session_file *k)
{
	secret_done(&k->token);
}
