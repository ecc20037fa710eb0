/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drain.c: ends a worker that was replaced, or stopped, without dropping a request.
 *
 * Runs in: gateway. Trusts: the supervisor. Owns: the timer of the grace.
 * Invariants: what was accepted is answered; with HTTP/1.1 each answer from now on
 * ends its connection, with HTTP/2 a GOAWAY says that no new streams are wished
 * for; an idle connection may bring one more request, within the grace.
 * See: CTL_DRAIN in wire/control.h.
 */
#include "conn.h"

static uv_timer_t grace, ending;
static bool begun;

static void
on_grace_over(uv_timer_t *timer)
{
	struct gateway *g = timer->data;
	struct conn *c, *next;

	for (c = TAILQ_FIRST(&g->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, next);
		if (c->state == CONN_OPEN)
			c->protocol->drain(c, true);
		else
			conn_close(c);
	}
	drain_check(g);
}

/* The service ends: who still waits is told so, and the log how it ended. */
static void
on_ending(uv_timer_t *timer)
{
	requests_end(timer->data);
}

/* Also a second time, with a shorter grace. */
void
drain_start(struct daemon *d)
{
	struct gateway *g = d->ctx;
	struct conn *c;

	accept_stop(g);
	TAILQ_FOREACH(c, &g->conns, next)
	{
		if (c->state == CONN_OPEN)
			c->protocol->drain(c, false);
	}
	if (!begun) {
		(void)uv_timer_init(g->loop, &grace);
		(void)uv_timer_init(g->loop, &ending);
	}
	begun = true;
	grace.data = ending.data = g;
	(void)uv_timer_start(&grace, on_grace_over, d->drain_grace_ms, 0);
	if (d->drain_end_ms > 0)
		(void)uv_timer_start(&ending, on_ending, d->drain_end_ms, 0);
	drain_check(g);
}

void
drain_check(struct gateway *g)
{
	if (g->d->draining && g->nconns == 0 && TAILQ_EMPTY(&g->active))
		daemon_quit(g->d, 0);
}
