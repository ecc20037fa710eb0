/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_WAITERS_H
#define AUTHORITY_WAITERS_H

/*
 * Who waits for one thing to be over: each is told once.
 */
#include <sys/queue.h>

#include <base/status.h>

struct waiter;
struct waiters {
	TAILQ_HEAD(, waiter) list;
	unsigned n;
};

void waiters_init(struct waiters *w);
/* E_FULL: `max` wait already. E_NOMEM. */
MUST_USE struct status waiters_add(
    struct waiters *w, unsigned max, void (*ready)(void *ctx), void *ctx);
/* Whoever waits now is told; who begins to wait meanwhile is, too. */
void waiters_wake(struct waiters *w);
/* Those of `from` wait with those of `to`. */
void waiters_move(struct waiters *from, struct waiters *to);
void waiters_forget(struct waiters *w, const void *ctx);

#endif
