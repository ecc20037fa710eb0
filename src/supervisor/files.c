/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c: the files that the configuration names, for the processes that read them.
 *
 * Runs in: supervisor, as root. Trusts: the configuration, which only root can write; it looks at
 * what a file is, never into it.
 * Owns: nothing: each descriptor is given away. Invariants: a process gets read-only descriptors
 * of regular files, never a path; they are opened anew for each configuration.
 * See: wire/control.h (FILE); topology.c for the other descriptors; clients.c for a gateway's
 * files.
 */
#include "supervisor.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>

/*
 * Who is given what. With `each`, the key is one of every name below that prefix. An optional file
 * may be missing: then its process does without, or says that it cannot. A private one must not be
 * open to others. A rotated one is opened once more whenever its process asks.
 */
enum { OPTIONAL = 1, PRIVATE = 2, ROTATED = 4 };
static const struct {
	enum proc proc;
	const char *each; /* NULL: the key stands alone */
	const char *key;
	unsigned flags;
} rows[] = {
	{ PROC_BROKER, NULL, "network.ca_file", OPTIONAL },
	{ PROC_BROKER, NULL, "network.resolv_conf", OPTIONAL },
	{ PROC_BROKER, NULL, "network.hosts", OPTIONAL },
	{ PROC_BROKER, "providers", "ca_file", 0 },
	{ PROC_BROKER, "oidc", "ca_file", 0 },
	{ PROC_BROKER, NULL, "vault.ca_file", 0 },
	{ PROC_BROKER, NULL, "vault.auth.approle.secret_id_file", PRIVATE | ROTATED },
	{ PROC_BROKER, NULL, "vault.auth.kubernetes.token_file", ROTATED },
	{ PROC_BROKER, NULL, "vault.auth.jwt.token_file", ROTATED },
	{ PROC_BROKER, NULL, "vault.auth.cert.cert_file", 0 },
	{ PROC_BROKER, NULL, "vault.auth.cert.key_file", PRIVATE },
	{ PROC_BROKER, NULL, "aws.ca_file", 0 },
	{ PROC_BROKER, NULL, "aws.shared_file", PRIVATE | ROTATED },
	{ PROC_BROKER, NULL, "aws.web_identity.token_file", ROTATED },
	{ PROC_BROKER, NULL, "aws.container.token_file", ROTATED },
};

typedef struct status file_fn(
    const struct supervisor *sv, const char *name, int fd, void *ctx); /* takes fd */

static struct status
open_regular(const struct supervisor *sv, const char *path, unsigned flags, int *ret)
{
	auto_fd int fd = openat(
	    sv->inst.dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat sb;

	if (fd < 0 || fstat(fd, &sb) < 0)
		return fail_errno();
	if (!S_ISREG(sb.st_mode))
		return fail(E_DENIED);
	if ((flags & PRIVATE) != 0 && (sb.st_mode & S_IRWXO) != 0)
		return fail(E_RANGE);
	*ret = fd_take(&fd);
	return OK;
}

/* One key of the configuration; `name` is its whole path. */
static struct status
visit(const struct supervisor *sv, size_t row, const char *name, const char *path, file_fn *fn,
    void *ctx, char error[CONF_ERROR_MAX])
{
	struct status st;
	int fd = -1;

	if (path == NULL)
		return OK;
	st = open_regular(sv, path, rows[row].flags, &fd);
	if (is_ok(st))
		return fn(sv, name, fd, ctx);
	if ((rows[row].flags & OPTIONAL) != 0 && st.code != E_RANGE)
		return OK;
	(void)snprintf(error, CONF_ERROR_MAX, "%s: %s", path,
	    st.code == E_DENIED  ? "is not a regular file"
	    : st.code == E_RANGE ? "holds a secret, and is open to others"
				 : status_text(st));
	return st;
}

static struct status
visit_each(
    const struct supervisor *sv, size_t row, file_fn *fn, void *ctx, char error[CONF_ERROR_MAX])
{
	const char *prefix = rows[row].each, *key = rows[row].key;
	char name[CONF_PATH_MAX + 1];
	struct span one;

	for (size_t i = 0; conf_each(sv->conf, prefix, &i, &one);) {
		int n = snprintf(name, sizeof(name), "%s%c%.*s%c%s", prefix, CONF_SEP,
		    SPAN_FMT(one), CONF_SEP, key);

		if (n < 0 || n > CONF_PATH_MAX)
			return fail(E_RANGE);
		TRY(visit(sv, row, name,
		    conf_strf(sv->conf, "%s.%.*s.%s", prefix, SPAN_FMT(one), key), fn, ctx, error));
	}
	return OK;
}

/* "a.b" to "a", CONF_SEP, "b": such keys have no open part. */
static void
separate(const char *key, char out[CONF_PATH_MAX + 1])
{
	(void)snprintf(out, CONF_PATH_MAX + 1, "%s", key);
	for (char *p = out; *p != '\0'; p++) {
		if (*p == '.')
			*p = CONF_SEP;
	}
}

static struct status
visit_all(
    const struct supervisor *sv, enum proc proc, file_fn *fn, void *ctx, char error[CONF_ERROR_MAX])
{
	char name[CONF_PATH_MAX + 1];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].proc != proc)
			continue;
		if (rows[i].each != NULL) {
			TRY(visit_each(sv, i, fn, ctx, error));
			continue;
		}
		separate(rows[i].key, name);
		TRY(visit(sv, i, name, conf_str(sv->conf, rows[i].key), fn, ctx, error));
	}
	return OK;
}

static struct status
only_open(const struct supervisor *sv, const char *name, int fd, void *ctx)
{
	(void)sv, (void)name, (void)ctx;
	(void)close(fd);
	return OK;
}

struct status
files_check(const struct supervisor *sv, char error[CONF_ERROR_MAX])
{
	for (unsigned p = 0; p < PROC_COUNT; p++)
		TRY(visit_all(sv, (enum proc)p, only_open, NULL, error));
	return OK;
}

static struct status
send_one(const struct supervisor *sv, const char *name, int fd, void *ctx)
{
	const struct ctl_file m = { .name = span_str(name) };
	struct link *control = ctx;
	struct status st = link_send_fds(control, 0, CTL_FILE, &m, &fd, 1);

	(void)sv;
	(void)close(fd);
	return st;
}

struct status
files_send(const struct child *c)
{
	char error[CONF_ERROR_MAX] = "";
	struct status st = visit_all(c->sv, c->proc, send_one, c->control, error);

	if (!is_ok(st) && error[0] != '\0')
		diag(DIAG_ERROR, "%s", error);
	return st;
}

void
files_send_again(const struct child *c)
{
	char name[CONF_PATH_MAX + 1], error[CONF_ERROR_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].proc != c->proc || (rows[i].flags & ROTATED) == 0)
			continue;
		separate(rows[i].key, name);
		error[0] = '\0';
		if (!is_ok(visit(c->sv, i, name, conf_str(c->sv->conf, rows[i].key), send_one,
			c->control, error)))
			diag(DIAG_WARN, "%s", error);
	}
}
