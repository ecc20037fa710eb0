/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owed.c: revocations that were answered while the store was away outlive the authority.
 *
 * Runs in: supervisor. Trusts: the authority for what is owed: it decides who is let in.
 * Owns: DIR/store.owed, the list, sealed under the supervisor's key for files.
 * Invariants: a list is on disk before the authority hears that it is kept; whatever dies, the
 * file holds a whole list, the last that was kept or one that was not answered yet; no authority
 * is started with a file that is not as it was left. A file that is gone is an empty list: who can
 * take it away is root. See: src/authority/owed.c; wire/control.h.
 */
#include "supervisor.h"

#include <errno.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/seal.h>

#define OWED_FILE "store.owed"
#define OWED_BYTES_MAX (CTL_OWED_MAX * CTL_OWED_LEN)

static const struct span owed_aad = SPAN_LIT("sallyport owed revocations 1");

static struct status
read_list(const struct supervisor *sv, struct buf *out)
{
	auto_buf struct buf blob = BUF_INIT(OWED_BYTES_MAX + SEAL_OVERHEAD);
	struct status st = io_read_file(sv->inst.dir_fd, OWED_FILE, &blob);

	if (st.code == E_SYS && st.err == ENOENT)
		return OK;
	TRY(st);
	TRY(seal_open(&sv->inst.seal, owed_aad, buf_span(&blob), out));
	return out->len % CTL_OWED_LEN == 0 ? OK : fail(E_CORRUPT);
}

static struct status
write_list(const struct supervisor *sv, struct span entries)
{
	auto_buf struct buf blob = BUF_INIT(OWED_BYTES_MAX + SEAL_OVERHEAD);

	TRY(seal(&sv->inst.seal, owed_aad, entries, &blob));
	return io_replace_file(sv->inst.dir_fd, OWED_FILE, buf_span(&blob), 0600);
}

struct status
owed_check(const struct supervisor *sv)
{
	auto_buf struct buf list = BUF_INIT(OWED_BYTES_MAX);
	struct status st = read_list(sv, &list);

	if (!is_ok(st))
		diag(DIAG_ERROR, OWED_FILE
		    ": damaged, or changed by somebody else. Keys that were revoked "
		    "while the store was away may be valid again without it: revoke those "
		    "whose KeyRevoked is `unknown` in the audit log, once it is removed");
	return st;
}

struct status
owed_tell(const struct child *authority)
{
	auto_buf struct buf list = BUF_INIT(OWED_BYTES_MAX);
	struct ctl_owed m;

	TRY(read_list(authority->sv, &list));
	m.entries = buf_span(&list);
	return link_send(authority->control, 0, CTL_OWED, &m);
}

void
owed_on_owe(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_owed *m = msg;
	const struct child *c = ctx;
	struct status st = fail(E_PROTO);
	struct ctl_owe_kept answer;

	if (c->proc == PROC_AUTHORITY && m->entries.len % CTL_OWED_LEN == 0)
		st = write_list(c->sv, m->entries);
	if (!is_ok(st))
		diag(DIAG_ERROR, OWED_FILE ": %s", status_text(st));
	answer.ok = is_ok(st);
	if (!is_ok(link_send(l, id, CTL_OWE_KEPT, &answer)))
		diag(DIAG_WARN, "the authority does not read what it is told");
}
