/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo.c: how the process `demo` is reached: one end of a fresh socketpair goes over the link to
 * it. No address, nothing to attack.
 *
 * Runs in: broker. Trusts: nothing behind a connection. Owns: nothing.
 * Invariants: without the link there is no connection.
 * See: wire/broker_demo.h, upstream.h.
 */
#include "broker.h"

#include <sys/socket.h>
#include <unistd.h>

#include <wire/broker_demo.h>

#include "io.h"

struct status
demo_connect(void *ctx, struct io *ret)
{
	static const struct wire_none none;
	struct broker *b = ctx;
	int fds[2];
	struct status st;

	if (b->demo == NULL)
		return fail(E_CLOSED);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return fail_errno();
	st = link_send_fds(b->demo, 0, BD_CONNECT, &none, &fds[1], 1);
	(void)close(fds[1]);
	if (!is_ok(st)) {
		(void)close(fds[0]);
		return st;
	}
	*ret = io_socket(fds[0]);
	return OK;
}
