/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: the authority: who may do what, within which limits, and the grants
 * that let the other processes act.
 *
 * Runs in: a process of its own; its jail has no files and makes no sockets.
 * Trusts: the supervisor, store, audit; broker and executor about their own
 * acts; gateways about nothing. Owns: keys, counters, turns.
 * Invariants: fail closed: without key table, policy or audit nothing is allowed.
 * See: authority.h, ARCHITECTURE.md.
 */
#include "authority.h"

#include <unistd.h>

#include <crypto/crypto.h>
#include <seccomp.h>

#include "admin_call.h"

static struct authority self;

static struct status
init(struct daemon *d)
{
	struct authority *a = d->ctx;
	int fd = daemon_fd(d, "management");

	a->d = d;
	a->supervisor_pid = (uint32_t)getppid();
	TRY(crypto_init());
	TRY(policies_load(d->conf, &a->policies));
	TRY(keys_init(&a->keys));
	TRY(failures_init(&a->failures));
	TRY(sealer_init(&a->sealer));
	TRY(turns_init(a));
	TRY(procs_init(a));
	TRY(usage_init(&a->usage));
	TRY(tools_init(&a->tools));
	TRY(oidc_init(a));
	TRY(machines_load(a));
	a->audit_state.proc_seq = a->audit_state.kept_seq = 1;
	peers_init(a);
	if (fd < 0)
		return fail(E_NOTFOUND);
	return management_init(a, fd);
}

static void
on_tick(uv_timer_t *timer)
{
	struct authority *a = timer->data;
	uint64_t second = now_ms(a) / 1000;

	turns_tick(a);
	audit_tick(a);
	accesses_tick(a);
	admin_tick(a);
	oidc_tick(a);
	if (second == a->swept_s)
		return;
	a->swept_s = second;
	admit_tick(a);
	store_tick(a);
	grace_tick(a);
	unfit_tick(a);
	privacy_tick(a);
	owed_tick(a);
	leaks_tick(a);
	kek_tick(a);
	keysets_tick(a);
	usage_tick(a);
	key_uses_tick(a);
	key_rehash_tick(a);
	sessions_tick(a);
	approvals_tick(a);
	management_tick(a);
	keys_sweep(&a->keys, now_ms(a));
}

static struct status
start(struct daemon *d)
{
	struct authority *a = d->ctx;

	a->started_ms = now_ms(a);
	a->tick.data = a;
	if (uv_timer_init(d->loop, &a->tick) != 0 || uv_timer_init(d->loop, &a->sweep) != 0 ||
	    uv_timer_start(&a->tick, on_tick, TICK_MS, TICK_MS) != 0)
		return fail(E_NOMEM);
	return management_start(a);
}

static void
peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	peers_add(d->ctx, edge, peer_id, index, fd);
}

/* A slice that cannot be compiled would leave a half-new policy: then nothing is allowed. */
static void
config(struct daemon *d)
{
	struct authority *a = d->ctx;
	struct status st = policies_replace(d->conf, &a->policies);

	if (!is_ok(st))
		diag(DIAG_ERROR, "policies: %s: nothing is allowed", status_text(st));
	policy_refs_resolve(&a->keys.refs, &a->policies);
	oidc_config(a);
	machines_config(a);
	people_config(a);
}

static void
on_rolled_back(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	self.rolled_back = *(const struct ctl_rolled_back *)msg;
}

/* Before GO: nothing is loaded yet. */
static void
on_owed(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct status st = owed_know(&self.owed, ((const struct ctl_owed *)msg)->entries);

	(void)l, (void)id, (void)ctx;
	if (!is_ok(st))
		diag_fatal("what is owed to the store: %s", status_text(st));
}

static void
on_revocations(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	sessions_revocations(&self, msg);
}

static const struct link_rule control_rules[] = {
	{ CTL_ROLLED_BACK, 0, on_rolled_back },
	{ CTL_OWED, 0, on_owed },
	{ CTL_REVOCATIONS, 0, on_revocations },
};

static void
metrics(struct daemon *d, const struct ctl_metrics *m, int fd)
{
	procs_add(d->ctx, m, fd);
}

static void
drain(struct daemon *d)
{
	authority_check_drained(d->ctx);
}

static void
stop(struct daemon *d)
{
	struct authority *a = d->ctx;

	management_done(a);
	/* The table of tools stays: the loop turns once more, and an answer may name a version. */
	sessions_done(a);
	people_done(a);
	machines_done(a);
	approvals_done();
	keys_done(&a->keys);
	sealer_done(&a->sealer);
	usage_done(&a->usage);
	explicit_bzero(&a->random, sizeof(a->random));
}

static const int syscalls[] = { SCMP_SYS(accept4), -1 };
static const struct jail jail = { .name = "authority", .syscalls = syscalls, .nofile = 4096 };
static const struct daemon_ops ops = {
	.proc = PROC_AUTHORITY,
	.jail = &jail,
	.init = init,
	.start = start,
	.peer = peer,
	.config = config,
	.metrics = metrics,
	.drain = drain,
	.control_rules = control_rules,
	.ncontrol_rules = sizeof(control_rules) / sizeof(control_rules[0]),
	.stop = stop,
};

int
main(int argc, char **argv)
{
	return daemon_main(argc, argv, &ops, &self);
}
