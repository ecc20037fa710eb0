/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waiters.c: lists of those who wait.
 *
 * Runs in: authority. Trusts: its callers. Owns: the entries.
 * Invariants: an entry is gone before its callback runs.
 * See: waiters.h.
 */
#include "waiters.h"

#include <stdlib.h>

struct waiter {
	TAILQ_ENTRY(waiter) entry;
	void (*ready)(void *ctx);
	void *ctx;
};

void
waiters_init(struct waiters *w)
{
	TAILQ_INIT(&w->list);
	w->n = 0;
}

struct status
waiters_add(struct waiters *w, unsigned max, void (*ready)(void *ctx), void *ctx)
{
	struct waiter *one;

	if (w->n >= max)
		return fail(E_FULL);
	one = malloc(sizeof(*one));
	if (one == NULL)
		return fail(E_NOMEM);
	*one = (struct waiter){ .ready = ready, .ctx = ctx };
	TAILQ_INSERT_TAIL(&w->list, one, entry);
	w->n++;
	return OK;
}

static struct waiter
take(struct waiters *w, struct waiter *one)
{
	struct waiter was = *one;

	TAILQ_REMOVE(&w->list, one, entry);
	w->n--;
	free(one);
	return was;
}

void
waiters_wake(struct waiters *w)
{
	while (!TAILQ_EMPTY(&w->list)) {
		struct waiter was = take(w, TAILQ_FIRST(&w->list));

		was.ready(was.ctx);
	}
}

void
waiters_move(struct waiters *from, struct waiters *to)
{
	TAILQ_CONCAT(&to->list, &from->list, entry);
	to->n += from->n;
	from->n = 0;
}

void
waiters_forget(struct waiters *w, const void *ctx)
{
	struct waiter *one, *next;

	for (one = TAILQ_FIRST(&w->list); one != NULL; one = next) {
		next = TAILQ_NEXT(one, entry);
		if (one->ctx == ctx)
			(void)take(w, one);
	}
}
