/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider.c: the pool of kept connections of a provider, and the kind `demo`.
 *
 * Runs in: broker. Trusts: nothing behind a connection.
 * Owns: kept connections; one that carries an exchange is its call's.
 * Invariants: at most PROVIDER_OPEN_MAX connections, of which PROVIDER_KEPT_MAX are kept.
 * `demo` is reached by sending one end of a fresh socketpair over the link to its process: no
 * address, nothing to attack.
 * See: provider.h, wire/broker_demo.h.
 */
#include "provider.h"

#include <assert.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <wire/broker_demo.h>

#include "io.h"

static void
idle_closed(struct conn *c, void *pool)
{
	struct provider *p = pool;

	for (size_t i = 0; i < p->nkept; i++) {
		if (p->kept[i] != c)
			continue;
		p->kept[i] = p->kept[--p->nkept];
		provider_discard(p, c);
		return;
	}
}

struct status
provider_acquire(struct provider *p, bool fresh, struct conn **ret)
{
	static const struct conn_limits usual;
	struct io io;
	struct status st;

	if (!fresh && p->nkept > 0) {
		*ret = p->kept[--p->nkept]; /* the one used last: the others may grow old */
		return OK;
	}
	if (p->nopen == PROVIDER_OPEN_MAX)
		return fail(E_FULL);
	TRY(p->ops->connect(p, &io));
	st = conn_new(p->loop, &io, &usual, idle_closed, p, ret);
	if (!is_ok(st)) {
		io.ops->close(&io);
		return st;
	}
	p->nopen++;
	return OK;
}

void
provider_discard(struct provider *p, struct conn *c)
{
	assert(p->nopen > 0);
	p->nopen--;
	conn_free(c);
}

void
provider_release(struct provider *p, struct conn *c)
{
	if (!conn_reusable(c) || p->nkept == PROVIDER_KEPT_MAX)
		provider_discard(p, c);
	else
		p->kept[p->nkept++] = c;
}

void
provider_drop_kept(struct provider *p)
{
	while (p->nkept > 0)
		provider_discard(p, p->kept[--p->nkept]);
}

/* ---- demo ---- */
static struct status
demo_connect(struct provider *p, struct io *ret)
{
	static const struct wire_none none;
	int fds[2];
	struct status st;

	if (p->demo == NULL)
		return fail(E_CLOSED);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return fail_errno();
	st = link_send_fds(p->demo, 0, BD_CONNECT, &none, &fds[1], 1);
	(void)close(fds[1]);
	if (!is_ok(st)) {
		(void)close(fds[0]);
		return st;
	}
	*ret = io_socket(fds[0]);
	return OK;
}

const struct provider_ops provider_demo = {
	.kind = "demo",
	.authority = "demo",
	.base = "/v1",
	.gone = ERROR_UNAVAILABLE,
	.connect = demo_connect,
};
