/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: the gateway: TLS, HTTP, schemas, and the turn between model and tools.
 *
 * Runs in: gateway, in its jail. Trusts: the supervisor and the authority.
 * Owns: the worker's shared state (struct gateway).
 * Invariants: nothing of lasting value is held here but the TLS key; no effect
 * happens without a grant of the authority.
 * See: gateway.h; ARCHITECTURE.md.
 */
#include "worker.h"

static struct gateway worker;

static const struct daemon_ops ops = {
	.proc = PROC_GATEWAY,
	.jail = &worker_jail,
	.init = worker_init,
	.start = worker_start,
	.peer = links_peer,
	.config = worker_config,
	.cert = worker_cert,
	.drain = drain_start,
};

int
main(int argc, char **argv)
{
	return daemon_main(argc, argv, &ops, &worker);
}
