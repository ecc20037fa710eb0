/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients_kept.c: the lists of revoked certificates in use outlive a restart, so that an older one
 * that is put back over their file takes no revocation back then, either.
 *
 * Runs in: supervisor. Trusts: the file for nothing: its lists are judged as others are, by their
 * authorities' signatures. Owns: DIR/crl.used, a copy of those in use.
 * Invariants: the file is whole, the last copy or the one before; without lists in the
 * configuration there is none. One that is gone is none that is missed: who can take it away is
 * root, or whose the directory is, and so an operator says that an older list counts. One that
 * cannot be read is said and on record, and put aside once there are others in its place: a start
 * that fails changes nothing. See: clients.c, tls/crl.h.
 */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/hash.h>

#define KEPT_FILE "crl.used"
#define BAD_FILE KEPT_FILE ".bad"

/* Nothing but a file is waited for. */
static struct status
read_kept(const struct supervisor *sv, struct buf *out)
{
	auto_fd int fd = openat(
	    sv->inst.dir_fd, KEPT_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat sb;

	if (fd < 0 || fstat(fd, &sb) < 0)
		return fail_errno();
	return S_ISREG(sb.st_mode) ? io_read_all(fd, out) : fail(E_SYNTAX);
}

bool
clients_kept_read(struct supervisor *sv, struct buf *out)
{
	struct status st = read_kept(sv, out);

	memset(sv->crl_kept, 0, sizeof(sv->crl_kept)); /* as where there are no lists */
	if (st.code == E_SYS && st.err == ENOENT)
		return true;
	if (is_ok(st))
		st = sha256(buf_span(out), sv->crl_kept);
	sv->crl_bad = !is_ok(st);
	if (sv->crl_bad)
		diag(DIAG_ERROR, KEPT_FILE ": %s: an older list is not noticed", status_text(st));
	return !sv->crl_bad;
}

static void
put_aside(struct supervisor *sv)
{
	sv->crl_bad = false;
	if (renameat(sv->inst.dir_fd, KEPT_FILE, sv->inst.dir_fd, BAD_FILE) == 0)
		diag(DIAG_WARN, KEPT_FILE ": what could not be read is " BAD_FILE);
	else
		diag(DIAG_ERROR, KEPT_FILE ": is not put aside: %s", status_text(fail_errno()));
}

static struct status
forget(const struct supervisor *sv)
{
	if (unlinkat(sv->inst.dir_fd, KEPT_FILE, 0) == 0 || errno == ENOENT)
		return OK;
	return fail_errno();
}

void
clients_keep(struct supervisor *sv)
{
	const struct clients *in = &sv->inst.clients;
	struct status st;

	if (sv->crl_bad)
		put_aside(sv);
	if (memcmp(in->digest, sv->crl_kept, sizeof(sv->crl_kept)) == 0)
		return;
	st = in->until_s == 0
		 ? forget(sv)
		 : io_replace_file(sv->inst.dir_fd, KEPT_FILE, buf_span(&in->crl), 0600);
	if (is_ok(st))
		memcpy(sv->crl_kept, in->digest, sizeof(sv->crl_kept));
	else if (!sv->crl_unkept)
		diag(DIAG_ERROR,
		    KEPT_FILE ": %s: an older list would not be noticed after a restart; it is "
			      "tried again",
		    status_text(st));
	sv->crl_unkept = !is_ok(st);
}
