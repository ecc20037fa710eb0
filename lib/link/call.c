/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c: requests that wait for their reply, with deadlines.
 *
 * Runs in: every process. Trusts: nothing. Owns: the table of pending calls.
 * Invariants: a call's callback runs once: reply, timeout, closed or freed link; a
 * cancelled call's never.
 * See: link/link.h.
 */
#include "internal.h"

#include <stdlib.h>

#define LINK_TICK_MS 20

struct call *
link_call_find(struct link *l, uint64_t id)
{
	struct call *c;

	LIST_FOREACH(c, &l->calls[(id >> 1) % LINK_BUCKETS], in_bucket)
	{
		if (c->id == id)
			return c;
	}
	return NULL;
}

/* First all that are over their time, then their callbacks, which may cancel each other. */
void
link_on_call_timer(uv_timer_t *handle)
{
	struct link *l = handle->data;
	uint64_t now = uv_now(l->loop);
	struct call *c, *next;

	for (c = TAILQ_FIRST(&l->calls_in_order); c != NULL; c = next) {
		next = TAILQ_NEXT(c, in_order);
		if (c->deadline_ms > now)
			continue;
		TAILQ_REMOVE(&l->calls_in_order, c, in_order);
		TAILQ_INSERT_TAIL(&l->calls_expired, c, in_order);
		c->expired = true;
	}
	while (!l->freed && (c = TAILQ_FIRST(&l->calls_expired)) != NULL) {
		link_reply *cb = c->cb;
		void *ctx = c->ctx;

		link_call_cancel(l, c->id);
		cb(l, fail(E_TIMEOUT), 0, NULL, ctx);
	}
	if (!l->freed && l->ncalls == 0)
		(void)uv_timer_stop(&l->timer);
}

struct status
link_call(struct link *l, uint16_t type, const void *msg, uint32_t timeout_ms, link_reply *cb,
    void *ctx, uint64_t *ret_id)
{
	return link_call_fds(l, type, msg, NULL, 0, timeout_ms, cb, ctx, ret_id);
}

struct status
link_call_fds(struct link *l, uint16_t type, const void *msg, const int *fds, size_t nfds,
    uint32_t timeout_ms, link_reply *cb, void *ctx, uint64_t *ret_id)
{
	struct call *c;
	struct status st;

	if (l->ncalls >= LINK_CALLS_MAX)
		return fail(E_FULL);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return fail(E_NOMEM);
	c->id = link_new_id(l);
	c->cb = cb;
	c->ctx = ctx;
	c->deadline_ms = uv_now(l->loop) + timeout_ms;
	st = link_send_fds(l, c->id, type, msg, fds, nfds);
	if (!is_ok(st)) {
		free(c);
		return st;
	}
	LIST_INSERT_HEAD(&l->calls[(c->id >> 1) % LINK_BUCKETS], c, in_bucket);
	TAILQ_INSERT_TAIL(&l->calls_in_order, c, in_order);
	if (l->ncalls++ == 0)
		(void)uv_timer_start(&l->timer, link_on_call_timer, LINK_TICK_MS, LINK_TICK_MS);
	if (ret_id != NULL)
		*ret_id = c->id;
	return OK;
}

static struct call *
next_call(struct link *l)
{
	struct call *c = TAILQ_FIRST(&l->calls_expired);

	return c != NULL ? c : TAILQ_FIRST(&l->calls_in_order);
}

/* A callback may cancel others, or free the link, which tells the rest. */
void
link_calls_close(struct link *l)
{
	struct call *c;

	while ((c = next_call(l)) != NULL) {
		link_reply *cb = c->cb;
		void *ctx = c->ctx;
		enum code code = c->expired ? E_TIMEOUT : E_CLOSED;

		link_call_cancel(l, c->id);
		cb(l, fail(code), 0, NULL, ctx);
	}
}

void
link_call_cancel(struct link *l, uint64_t id)
{
	struct call *c = link_call_find(l, id);

	if (c == NULL)
		return;
	LIST_REMOVE(c, in_bucket);
	if (c->expired)
		TAILQ_REMOVE(&l->calls_expired, c, in_order);
	else
		TAILQ_REMOVE(&l->calls_in_order, c, in_order);
	l->ncalls--;
	free(c);
}
