/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeout.c: one queue a kind of timeout.
 *
 * Runs in: gateway. Trusts: its callers. Owns: the queues, not their entries.
 * Invariants: an entry is in at most one queue; its function runs once a setting.
 * See: timeout.h.
 */
#include "timeout.h"

void
timeouts_init(struct timeouts *all)
{
	for (int i = 0; i < TIMEOUT_KINDS; i++)
		TAILQ_INIT(&all->queues[i]);
}

void
timeout_set(struct timeouts *all, struct timeout *t, enum timeout_kind kind, uint64_t now_ms)
{
	timeout_set_longer(all, t, kind, 0, now_ms);
}

/* From the tail: that is where it belongs, but for lengths that differ. */
void
timeout_set_longer(struct timeouts *all, struct timeout *t, enum timeout_kind kind,
    uint64_t more_ms, uint64_t now_ms)
{
	struct timeout *before;

	timeout_clear(all, t);
	t->kind = kind;
	t->deadline_ms = now_ms + all->len_ms[kind] + more_ms;
	t->set = true;
	before = TAILQ_LAST(&all->queues[kind], timeout_queue);
	while (before != NULL && before->deadline_ms > t->deadline_ms)
		before = TAILQ_PREV(before, timeout_queue, next);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&all->queues[kind], t, next);
	else
		TAILQ_INSERT_AFTER(&all->queues[kind], before, t, next);
}

void
timeout_clear(struct timeouts *all, struct timeout *t)
{
	if (!t->set)
		return;
	t->set = false;
	TAILQ_REMOVE(&all->queues[t->kind], t, next);
}

void
timeouts_run(struct timeouts *all, uint64_t now_ms)
{
	for (int i = 0; i < TIMEOUT_KINDS; i++) {
		struct timeout *t;

		while ((t = TAILQ_FIRST(&all->queues[i])) != NULL && t->deadline_ms <= now_ms) {
			timeout_clear(all, t);
			t->fn(t);
		}
	}
}

uint64_t
timeouts_next(const struct timeouts *all)
{
	uint64_t next = UINT64_MAX;

	for (int i = 0; i < TIMEOUT_KINDS; i++) {
		const struct timeout *t = TAILQ_FIRST(&all->queues[i]);

		if (t != NULL && t->deadline_ms < next)
			next = t->deadline_ms;
	}
	return next;
}
