/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.c: the audit process: key, jail, start, drain, heads.
 *
 * Runs in: audit; init() as root, all else jailed with nothing but its directory.
 * Trusts: the supervisor. Owns: the signing key, the log, the server.
 * Invariants: recovery is the start; a log that contradicts its checkpoint is
 * not opened; the last thing it does is to sign what it has.
 * See: server.h, log.h; ARCHITECTURE.md.
 */
#include "audit.h"

#include <assert.h>
#include <fcntl.h>
#include <seccomp.h>

#include <base/encode.h>
#include <crypto/crypto.h>

#include "server.h"

#define KEY_TEXT_MAX 128
#define HEAD_KEPT_MS 2000

static struct {
	struct daemon *d;
	struct sign_key *key;
	struct log log;
	struct server server;
	uint32_t heads_waiting;
	bool finishing;
} self;

static void on_record(struct link *l, uint64_t id, const void *msg, void *ctx);

static const int syscalls[] = { SCMP_SYS(openat), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
	SCMP_SYS(fdatasync), SCMP_SYS(fsync), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
	SCMP_SYS(renameat), SCMP_SYS(unlinkat), SCMP_SYS(newfstatat), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), -1 };
static const struct jail jail = { .name = "audit", .syscalls = syscalls, .nofile = 256 };

static const struct link_rule control_rules[] = {
	{ CTL_RECORD, 0, on_record },
};

static struct status
key_read(int fd)
{
	auto_secret struct secret text = SECRET_NONE;
	auto_secret struct secret raw = SECRET_NONE;

	TRY(secret_read_fd(fd, KEY_TEXT_MAX, &text));
	TRY(secret_new(ED25519_KEY_LEN, &raw));
	TRY(hex_decode(secret_borrow(&text), raw.ptr, raw.len));
	return sign_key_new(&raw, &self.key);
}

static struct status
audit_init(struct daemon *d)
{
	int dirfd = daemon_fd(d, "audit-dir"), keyfd = daemon_fd(d, "audit-key"), fd;

	self.d = d;
	if (dirfd < 0 || keyfd < 0)
		diag_fatal("descriptor audit-dir or audit-key is missing");
	TRY(crypto_init());
	TRY(key_read(keyfd));
	(void)close(keyfd);
	fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno();
	return daemon_allow_path(d, fd, JAIL_READ | JAIL_WRITE);
}

/* ---- hooks of the server ---- */

static void
quit_when_done(void)
{
	if (self.finishing && self.heads_waiting == 0)
		daemon_quit(self.d, 0);
}

static void
on_kept(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)type, (void)msg, (void)ctx;
	if (!is_ok(st))
		diag(DIAG_WARN, "the head was not taken: %s", status_text(st));
	self.heads_waiting--;
	quit_when_done();
}

static void
on_head(struct server *s, uint64_t size, struct span note)
{
	const struct ctl_head head = { .size = size, .note = note };
	struct status st = link_call(
	    self.d->control, CTL_HEAD, &head, HEAD_KEPT_MS, on_kept, NULL, NULL);

	(void)s;
	if (is_ok(st))
		self.heads_waiting++;
	else
		diag(DIAG_WARN, "the head was not sent: %s", status_text(st));
}

static void
on_recorded(struct server *s, uint64_t id, uint64_t seq, bool ok)
{
	const struct ctl_recorded m = { .seq = seq, .ok = ok ? 1 : 0 };

	(void)s;
	if (!is_ok(link_send(self.d->control, id, CTL_RECORDED, &m)))
		diag(DIAG_WARN, "the supervisor does not read its answers");
}

static void
on_dead(struct server *s, struct status why)
{
	(void)s;
	diag(DIAG_ERROR, "the log cannot be written any more: %s", status_text(why));
	daemon_quit(self.d, 1);
}

static void
finish(void)
{
	struct status st;

	self.finishing = true;
	st = server_sync(&self.server);
	if (!is_ok(st))
		diag(DIAG_ERROR, "last checkpoint: %s", status_text(st));
	quit_when_done();
}

static void
on_idle(struct server *s)
{
	(void)s;
	if (self.d->draining)
		finish();
}

static const struct server_hooks hooks = {
	.on_head = on_head,
	.on_recorded = on_recorded,
	.on_dead = on_dead,
	.on_idle = on_idle,
};

/* ---- callbacks of the skeleton ---- */

static struct status
audit_start(struct daemon *d)
{
	const struct log_opts opts = LOG_OPTS_DEFAULT;
	const char *why = "";
	struct status st = log_open(
	    &self.log, daemon_fd(d, "audit-dir"), d->instance, self.key, &opts, &why);

	if (!is_ok(st))
		diag_fatal("the log cannot be opened: %s: %s", status_text(st), why);
	if (self.log.repaired)
		diag(DIAG_WARN, "cut %llu torn bytes after record %llu",
		    (unsigned long long)self.log.torn_bytes,
		    (unsigned long long)self.log.torn_size);
	TRY(server_init(&self.server, d->loop, &self.log, &hooks, d->peer_id, d->generation));
	return server_start(&self.server);
}

static void
audit_peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	struct status st;

	(void)d, (void)index;
	assert(edge == EDGE_AUTHORITY_AUDIT);
	st = server_peer_add(&self.server, peer_id, fd);
	if (!is_ok(st))
		diag(DIAG_ERROR, "link of authority %u: %s", peer_id, status_text(st));
}

static void
on_record(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)ctx;
	server_record(&self.server, id, msg);
}

static void
audit_config(struct daemon *d)
{
	self.server.config = d->generation;
}

/* What the authority still has to settle comes first: it ends its link when it is done. */
static void
audit_drain(struct daemon *d)
{
	(void)d;
	if (self.server.npeers == 0)
		finish();
}

static void
audit_stop(struct daemon *d)
{
	struct status st = server_sync(&self.server);

	(void)d;
	if (!is_ok(st))
		diag(DIAG_ERROR, "last checkpoint: %s", status_text(st));
	log_close(&self.log);
	sign_key_free(self.key);
	self.key = NULL;
}

const struct daemon_ops audit_ops = {
	.proc = PROC_AUDIT,
	.jail = &jail,
	.init = audit_init,
	.start = audit_start,
	.peer = audit_peer,
	.config = audit_config,
	.drain = audit_drain,
	.control_rules = control_rules,
	.ncontrol_rules = sizeof(control_rules) / sizeof(control_rules[0]),
	.stop = audit_stop,
};
