/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit.c: the audit process: key, jail, start, drain, heads; when a new key is due.
 *
 * Runs in: audit; init() as root, all else jailed with nothing but two folders: the log and
 * its signing key.
 * Trusts: the supervisor. Owns: the signing key, the log, the server.
 * Invariants: recovery is the start; a log that contradicts its checkpoint is
 * not opened; the last thing it does is to sign what it has.
 * See: server.h, log.h; ARCHITECTURE.md.
 */
#include "audit.h"

#include <assert.h>
#include <fcntl.h>
#include <seccomp.h>

#include <base/clock.h>
#include <crypto/crypto.h>
#include <crypto/file_secret.h>

#include "server.h"
#include "signing.h"

#define HEAD_KEPT_MS 2000
#define KEY_LOOK_MS 60000 /* how often it is asked whether a new key is due */
#define KEY_FIRST_MS 2000 /* the first time: an instance that never runs for long is heard, too */

static struct {
	struct daemon *d;
	struct signing signing;
	struct log log;
	struct server server;
	uv_timer_t key_timer;
	uint32_t heads_waiting;
	bool finishing;
} self;

static void on_record(struct link *l, uint64_t id, const void *msg, void *ctx);

static const int syscalls[] = { SCMP_SYS(openat), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
	SCMP_SYS(fdatasync), SCMP_SYS(fsync), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
	SCMP_SYS(renameat), SCMP_SYS(unlinkat), SCMP_SYS(newfstatat), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(fchmod), -1 };
static const struct jail jail = { .name = "audit", .syscalls = syscalls, .nofile = 256 };

static const struct link_rule control_rules[] = {
	{ CTL_RECORD, 0, on_record },
};

static struct status
allow_folder(struct daemon *d, int dirfd)
{
	int fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? fail_errno() : daemon_allow_path(d, fd, JAIL_READ | JAIL_WRITE);
}

static struct status
audit_init(struct daemon *d)
{
	int dirfd = daemon_fd(d, "audit-dir"), keyfd = daemon_fd(d, "audit-key");

	self.d = d;
	if (dirfd < 0 || keyfd < 0)
		diag_fatal("descriptor audit-dir or audit-key is missing");
	TRY(crypto_init());
	TRY(allow_folder(d, dirfd));
	return allow_folder(d, keyfd);
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

	if (is_ok(st))
		self.heads_waiting++;
	else
		diag(DIAG_WARN, "the head was not sent: %s", status_text(st));
	st = signing_settle(&self.signing, s->log);
	if (!is_ok(st))
		diag(DIAG_ERROR, "the signing key's file: %s", status_text(st));
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

static struct status
on_rotate(struct server *s, uint64_t *ret_seq)
{
	TRY(signing_rotate(&self.signing, s, "demand", ret_seq));
	diag(DIAG_INFO, "signs with key %llu from record %llu on",
	    (unsigned long long)s->log->key_version, (unsigned long long)*ret_seq);
	return OK;
}

static void
on_key_timer(uv_timer_t *t)
{
	uint64_t days = conf_u64(self.d->conf, "audit.key_days"), seq;
	struct status st;

	(void)t;
	if (self.finishing || !signing_due(&self.log, clock_real_ns(), days))
		return;
	st = signing_rotate(&self.signing, &self.server, "schedule", &seq);
	if (!is_ok(st))
		diag(DIAG_ERROR, "the new signing key that is due: %s", status_text(st));
	if (self.log.dead)
		on_dead(&self.server, fail(E_SYS));
}

static const struct server_hooks hooks = {
	.on_head = on_head,
	.on_recorded = on_recorded,
	.on_dead = on_dead,
	.on_idle = on_idle,
	.on_rotate = on_rotate,
};

/* ---- callbacks of the skeleton ---- */

static void
on_progress(uint64_t done, uint64_t total)
{
	daemon_progress("bytes of the log", done, total);
}

static void
log_open_or_die(struct daemon *d)
{
	struct log_opts opts = LOG_OPTS_DEFAULT;
	const struct log_keys keys = { self.signing.key, self.signing.next };
	const char *why = "";
	struct status st;

	opts.progress = on_progress;
	st = log_open(&self.log, daemon_fd(d, "audit-dir"), d->instance, &keys, &opts, &why);

	if (!is_ok(st))
		diag_fatal("the log cannot be opened: %s: %s", status_text(st), why);
	if (self.log.repaired)
		diag(DIAG_WARN, "cut %llu torn bytes after record %llu",
		    (unsigned long long)self.log.torn_bytes,
		    (unsigned long long)self.log.torn_size);
	if (strcmp(self.log.origin, self.log.name.name) != 0)
		diag(DIAG_WARN,
		    "the log is %s, and a log of this instance is %s: the state directory was "
		    "moved, "
		    "or this is a copy of another's; two that go on with one log contradict each "
		    "other",
		    self.log.name.name, self.log.origin);
	if (self.log.state_misfit)
		diag(DIAG_WARN, "the state beside the log is not this log's: all of it was read");
}

static struct status
audit_start(struct daemon *d)
{
	auto_secret struct secret seal = SECRET_NONE;
	int fd = daemon_fd(d, "audit-seal");
	struct status st = fd < 0 ? fail(E_NOTFOUND) : master_key_read(fd, &seal);

	(void)close(fd);
	if (is_ok(st))
		st = signing_open(&self.signing, daemon_fd(d, "audit-key"), &seal);

	if (!is_ok(st))
		diag_fatal("the signing key cannot be read: %s", status_text(st));
	log_open_or_die(d);
	TRY(signing_settle(&self.signing, &self.log));
	TRY(server_init(&self.server, d->loop, &self.log, &hooks, d->peer_id, d->generation));
	(void)uv_timer_init(d->loop, &self.key_timer);
	(void)uv_timer_start(&self.key_timer, on_key_timer, KEY_FIRST_MS, KEY_LOOK_MS);
	uv_unref((uv_handle_t *)&self.key_timer);
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
	struct status st = server_end(&self.server);

	(void)d;
	if (!is_ok(st))
		diag(DIAG_ERROR, "last checkpoint: %s", status_text(st));
	log_close(&self.log);
	signing_close(&self.signing);
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
