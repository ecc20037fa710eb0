/* SPDX-License-Identifier: Apache-2.0 */
/*
 * executor: pools of warm sandboxes, leases, and the guest protocol.
 *
 * Runs in: its own process and jail: no file, no socket that leads outside, no secret;
 * pipes and sockets to sandboxes and workers, and memory files, are all it makes.
 * Trusts: the authority's grants. Owns: warm sandboxes, leases, runs, workers.
 * See: pool.c (who gets a sandbox), sandbox.c (one sandbox), collect.c and run.c (one
 * run), turn.c (the authority), guest.c (the hostile side); tools.h (users' tools).
 */
#include "tools.h"

#include <crypto/crypto.h>

#include <assert.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define NOFILE_WANTED (ES_SANDBOXES_MAX * EXECUTOR_FDS_PER_SLOT + EXECUTOR_FDS_RESERVED)

static const int syscalls[] = { SYS_pipe2, SYS_socketpair, SYS_memfd_create, SYS_pread64, -1 };
static const struct jail jail = {
	.name = "executor", .syscalls = syscalls, .nofile = NOFILE_WANTED
};

static struct executor executor;

static uint32_t
slots_by_files(void)
{
	struct rlimit files = { 1024, 1024 };
	rlim_t slots;

	(void)getrlimit(RLIMIT_NOFILE, &files);
	slots = files.rlim_max < EXECUTOR_FDS_RESERVED + EXECUTOR_FDS_PER_SLOT
		    ? 1
		    : (files.rlim_max - EXECUTOR_FDS_RESERVED) / EXECUTOR_FDS_PER_SLOT;
	return slots < ES_SANDBOXES_MAX ? (uint32_t)slots : ES_SANDBOXES_MAX;
}

static struct status
init(struct daemon *d)
{
	struct executor *ex = d->ctx;

	ex->d = d;
	ex->nslots = slots_by_files();
	/* A guest may close its end of a pipe at any time. */
	(void)signal(SIGPIPE, SIG_IGN);
	TAILQ_INIT(&ex->runs);
	TAILQ_INIT(&ex->waiting);
	for (uint32_t i = 0; i < ex->nslots; i++)
		sandbox_init(ex, i);
	TRY(tools_new(ex));
	return crypto_init();
}

static struct status
start(struct daemon *d)
{
	TRY(pool_init(d->ctx));
	tools_configure(d->ctx);
	return OK;
}

static void
peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	struct executor *ex = d->ctx;

	(void)index;
	if (edge == EDGE_EXECUTOR_SPAWNER)
		spawner_connect(ex, fd);
	else if (edge == EDGE_AUTHORITY_EXECUTOR)
		authority_connect(ex, fd);
	else if (edge == EDGE_GATEWAY_EXECUTOR)
		gateway_connect(ex, peer_id, fd);
	else
		diag_fatal("a link that is not ours");
}

static void
config(struct daemon *d)
{
	pool_configure(d->ctx);
	pool_step(d->ctx);
	tools_configure(d->ctx);
}

static void
drain(struct daemon *d)
{
	struct executor *ex = d->ctx;

	pool_drain(ex);
	if (ex->nruns == 0)
		daemon_quit(d, 0);
}

int
main(int argc, char **argv)
{
	static const struct daemon_ops ops = { .proc = PROC_EXECUTOR,
		.jail = &jail,
		.init = init,
		.start = start,
		.peer = peer,
		.config = config,
		.drain = drain };

	return daemon_main(argc, argv, &ops, &executor);
}
