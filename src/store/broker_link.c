/* SPDX-License-Identifier: Apache-2.0 */
/*
 * broker_link.c: the store's questions to the broker, its answers, and what it tells by itself.
 *
 * Runs in: store. Trusts: the broker for what came of a question; not for what is in an answer,
 * which has a seal of the store's own.
 * Owns: the link. Invariants: each question hears of its end once, whatever becomes of the broker.
 * See: wire/store_broker.h, kek.c, credentials.c.
 */
#include "broker_link.h"

#include <stdlib.h>

#include "credentials.h"

static struct link *broker;

struct question {
	broker_answered *done;
	void *ctx;
};

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)ctx;
	if (why.code == E_PROTO) {
		diag(DIAG_ERROR, "broker broke the protocol: link dropped");
		daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	}
	if (broker == l)
		broker = NULL;
	link_free(l);
}

static void
on_credentials(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	credentials_take(msg);
}

void
broker_peer(struct daemon *d, uint32_t peer_id, int fd)
{
	static const struct link_rule rules[] = { { SB_CREDENTIALS, 0, on_credentials } };
	static const struct link_ops ops = { rules, 1, on_closed };
	struct link *old = broker, *fresh = NULL;
	struct status st = link_new(d->loop, fd, &sb_edge, true, &ops, NULL, &fresh);

	if (!is_ok(st))
		diag(DIAG_ERROR, "link of the broker: %s", status_text(st));
	else
		link_set_peer(fresh, peer_id);
	broker = fresh;
	link_free(old);
}

bool
broker_is_there(void)
{
	return broker != NULL;
}

static void
on_answer(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct question q = *(struct question *)ctx;
	const struct sb_kek *m = msg;

	(void)l;
	free(ctx);
	if (!is_ok(st) || type != SB_KEK)
		q.done(q.ctx, SECRET_UNREACHABLE, 0, SPAN_EMPTY);
	else if (m->fault == SECRET_FAULT_NONE && m->answer.len == 0)
		q.done(q.ctx, SECRET_INVALID, 0, SPAN_EMPTY);
	else
		q.done(q.ctx, (enum secret_fault)m->fault, m->retry_after_ms, m->answer);
}

static struct status
ask(enum sb_type type, const void *m, broker_answered *done, void *ctx)
{
	struct question *q;
	struct status st;

	if (broker == NULL)
		return fail(E_CLOSED);
	q = malloc(sizeof(*q));
	if (q == NULL)
		return fail(E_NOMEM);
	*q = (struct question){ done, ctx };
	st = link_call(broker, (uint16_t)type, m, BROKER_WAIT_MS, on_answer, q, NULL);
	if (!is_ok(st))
		free(q);
	return st;
}

struct status
broker_wrap(const struct sb_wrap *m, broker_answered *done, void *ctx)
{
	return ask(SB_WRAP, m, done, ctx);
}

struct status
broker_unwrap(enum sb_type type, const struct sb_unwrap *m, broker_answered *done, void *ctx)
{
	return ask(type, m, done, ctx);
}
