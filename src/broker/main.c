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
#include <base/cleanup.h>
#include <tls/tls.h>

#include "broker.h"
#include "credentials.h"

static const int syscalls[] = { SYS_socketpair, SYS_socket, SYS_connect, SYS_setsockopt,
	SYS_getsockname, SYS_getpeername, SYS_memfd_secret, SYS_ftruncate, -1 };
static const struct jail jail = { .name = "broker",
	.syscalls = syscalls,
	.nofile = 4096,
	.sockets = true,
	.no_landlock_net = true };

static struct broker broker;

/* ---- the process ---- */
static struct status
init(struct daemon *d)
{
	TRY(crypto_init());
	TRY(tls_init());
	TRY(resolver_new(&broker.resolver));
	return sources_init(d);
}

static struct status
read_named(struct daemon *d, int fd, struct buf *out)
{
	(void)d;
	buf_clear(out);
	return fd < 0 ? OK : daemon_read_file(fd, out);
}

static struct status
configure(struct broker *b)
{
	auto_buf struct buf resolv = BUF_INIT(RESOLVE_TEXT_MAX), hosts = BUF_INIT(RESOLVE_TEXT_MAX);
	struct daemon *d = b->d;
	const char *what = "";
	struct status st;
	struct span name;

	b->system_ca.max = 1U << 20;
	TRY(read_named(d, daemon_filef(d, "network.ca_file"), &b->system_ca));
	TRY(read_named(d, daemon_filef(d, "network.resolv_conf"), &resolv));
	TRY(read_named(d, daemon_filef(d, "network.hosts"), &hosts));
	TRY(resolver_configure(b->resolver, d->loop, buf_span(&resolv), buf_span(&hosts)));
	st = sources_config(b, &what);
	if (!is_ok(st))
		diag(DIAG_ERROR, "%s: %s", what, status_text(st));
	TRY(st);
	for (size_t i = 0; conf_each(d->conf, "providers", &i, &name);) {
		const char *spec = conf_strf(d->conf, "providers.%.*s.credential", SPAN_FMT(name));
		struct credential *c;

		if (spec != NULL)
			TRY(credential_new(b, spec, &c));
	}
	return OK;
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
	return configure(&broker);
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
