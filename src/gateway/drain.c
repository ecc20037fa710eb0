/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain.c: ends a worker that was replaced, without dropping a request.
 *
 * Runs in: gateway. Trusts: the supervisor. Owns: nothing.
 * Invariants: what was accepted is answered; each answer from now on ends its
 * connection; an idle connection may bring one more request, within DRAIN_MS.
 * See: CTL_DRAIN in wire/control.h.
 */
#include "conn.h"

static uv_timer_t deadline;

static void
on_deadline(uv_timer_t *timer)
{
	struct gateway *g = timer->data;

	daemon_quit(g->d, 0);
}

void
drain_start(struct daemon *d)
{
	struct gateway *g = d->ctx;

	accept_stop(g);
	(void)uv_timer_init(g->loop, &deadline);
	deadline.data = g;
	(void)uv_timer_start(&deadline, on_deadline, DRAIN_MS, 0);
	drain_check(g);
}

void
drain_check(struct gateway *g)
{
	if (g->d->draining && g->nconns == 0 && TAILQ_EMPTY(&g->active))
		daemon_quit(g->d, 0);
}
