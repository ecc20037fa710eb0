/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker: makes the model calls that the authority granted, and nothing else.
 *
 * Runs in: a process of its own: own uid, no capability, no file system; of all sockets it may
 * make only pairs (kind demo).
 * Trusts: supervisor and authority. Gateways and providers are hostile.
 * Owns: links, grants, connections to providers.
 * Invariants: without its authority it does nothing: what was granted is void, what runs ends.
 * See: ARCHITECTURE.md; peers.c, call.c, conn.c, provider.c, grants.c.
 */
#include <sys/syscall.h>

#include <crypto/crypto.h>
#include "broker.h"

static const int syscalls[] = { SYS_socketpair, -1 };
static const struct jail jail = { .name = "broker", .syscalls = syscalls, .nofile = 4096 };

static struct broker broker;

/* ---- the process ---- */
static struct status
init(struct daemon *d)
{
	(void)d;
	return crypto_init();
}

static void
config(struct daemon *d)
{
	broker.body_bytes_max = conf_u64(d->conf, "limits.bodies_total_bytes");
	if (broker.body_bytes_max < broker.body_bytes)
		broker.body_bytes_max = broker.body_bytes;
}

static struct status
start(struct daemon *d)
{
	broker_init(&broker, d);
	config(d);
	return OK;
}

static void
peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	(void)d, (void)index;
	peers_add(&broker, edge, peer_id, fd);
}

static void
quit_when_idle(struct broker *b)
{
	daemon_quit(b->d, 0);
}

static void
drain(struct daemon *d)
{
	broker.on_idle = quit_when_idle;
	if (broker.ncalls == 0)
		daemon_quit(d, 0);
}

int
main(int argc, char **argv)
{
	static const struct daemon_ops ops = {
		.proc = PROC_BROKER,
		.jail = &jail,
		.init = init,
		.start = start,
		.config = config,
		.peer = peer,
		.drain = drain,
	};

	return daemon_main(argc, argv, &ops, NULL);
}
