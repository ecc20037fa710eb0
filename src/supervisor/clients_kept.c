/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients_kept.c: the lists of revoked certificates in use outlive a restart, so that an older one
 * that is put back over their file takes no revocation back then, either.
 *
 * Runs in: supervisor. Trusts: the file for nothing: its lists are judged as others are, by their
 * authorities' signatures. Owns: DIR/crl.used, a copy of those in use.
 * Invariants: the file is whole, the last copy or the one before; without lists in the
 * configuration there is none. One that is gone is none that is missed: who can take it away is
 * root, and so an operator says that an older list counts. See: clients.c, tls/crl.h.
 */
#include "supervisor.h"

#include <errno.h>
#include <unistd.h>

#include <base/io.h>
#include <crypto/hash.h>

#define KEPT_FILE "crl.used"

void
clients_kept_read(struct supervisor *sv, struct buf *out)
{
	struct status st = io_read_file(sv->inst.dir_fd, KEPT_FILE, out);

	memset(sv->crl_kept, 0, sizeof(sv->crl_kept)); /* as where there are no lists */
	if (st.code == E_SYS && st.err == ENOENT)
		return;
	if (is_ok(st))
		st = sha256(buf_span(out), sv->crl_kept);
	if (is_ok(st))
		return;
	memset(sv->crl_kept, 0xff, sizeof(sv->crl_kept)); /* to be written anew */
	diag(DIAG_ERROR, KEPT_FILE ": %s: an older list would not be noticed", status_text(st));
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
