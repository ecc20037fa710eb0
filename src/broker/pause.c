/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pause.c: a call that waits for time to pass.
 *
 * Runs in: broker. Trusts: its own process.
 * Owns: the timer, which outlives its call by one turn of the loop.
 * Invariants: one pause a call at a time; after call_pause_end() its function does not run.
 * See: retry.c (before the next try).
 */
#include "call.h"

#include <assert.h>
#include <stdlib.h>

struct pause {
	uv_timer_t timer;
	struct call *call;
	void (*over)(struct call *c);
};

static void
on_closed(uv_handle_t *h)
{
	free(h->data);
}

void
call_pause_end(struct call *c)
{
	if (c->pause == NULL)
		return;
	uv_close((uv_handle_t *)&c->pause->timer, on_closed);
	c->pause = NULL;
}

static void
on_timer(uv_timer_t *t)
{
	struct pause *p = t->data;
	struct call *c = p->call;
	void (*over)(struct call *) = p->over;

	call_pause_end(c);
	over(c);
}

struct status
call_pause(struct call *c, uint32_t ms, void (*over)(struct call *c))
{
	struct pause *p = calloc(1, sizeof(*p));

	assert(c->pause == NULL);
	if (p == NULL)
		return fail(E_NOMEM);
	p->call = c;
	p->over = over;
	p->timer.data = p;
	(void)uv_timer_init(c->b->d->loop, &p->timer);
	(void)uv_timer_start(&p->timer, on_timer, ms, 0);
	c->pause = p;
	return OK;
}
