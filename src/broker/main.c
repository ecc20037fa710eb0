/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker: makes the model calls that the authority granted, and nothing else.
 *
 * Runs in: a process of its own: own uid, no capability, no file system; it makes TCP and UDP
 * sockets and pairs, and listens on none.
 * Trusts: supervisor and authority. Gateways and providers are hostile.
 * Owns: links, grants, credentials, connections to providers.
 * Invariants: without its authority it does nothing: what was granted is void, what runs ends.
 * See: ARCHITECTURE.md; peers.c, call.c, attempt.c, provider.c, upstream.c, conn.c, grants.c.
 */
#include <malloc.h>
#include <sys/syscall.h>

#include <crypto/crypto.h>
#include <tls/tls.h>

#include "broker.h"
#include "credentials.h"

/* A socket for a provider or for DNS: lib/jail bounds what kind it may be. */
static const int syscalls[] = { SYS_socketpair, SYS_connect, SYS_getsockname, SYS_getpeername,
	SYS_memfd_secret, SYS_ftruncate, -1 };
static const struct jail jail = {
	.name = "broker", .syscalls = syscalls, .nofile = 8192, .sockets = true, .tcp_out = true
};

static struct broker broker;

/* ---- the process ---- */
/* Bodies come and go: their pages need not come anew from the kernel each time. */
static void
keep_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

static struct status
init(struct daemon *d)
{
	keep_memory();
	TRY(crypto_init());
	TRY(tls_init());
	TRY(resolver_new(&broker.resolver));
	return sources_init(d);
}

/* What cannot be used has been told; calls to it fail. */
static void
config(struct daemon *d)
{
	(void)d;
	(void)is_ok(broker_configure(&broker));
}

static struct status
start(struct daemon *d)
{
	broker_init(&broker, d);
	return broker_configure(&broker);
}

static void
peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	(void)d, (void)index;
	peers_add(&broker, edge, peer_id, fd);
}

static void
quit(void *ctx)
{
	daemon_quit(ctx, 0);
}

static void
quit_when_idle(struct broker *b)
{
	b->on_idle = NULL;
	sources_stop(b, quit, b->d);
}

static void
drain(struct daemon *d)
{
	broker.on_idle = quit_when_idle;
	(void)d;
	if (broker.ncalls == 0)
		quit_when_idle(&broker);
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
