/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_UPSTREAM_INTERNAL_H
#define BROKER_UPSTREAM_INTERNAL_H

/* What upstream.c and pool.c share. */
#include <sys/queue.h>

#include "dial.h"
#include "h2.h"
#include "origin.h"
#include "upstream.h"

struct pool_dial;

struct upstream {
	uv_loop_t *loop;
	struct resolver *resolver;
	upstream_connect *connect; /* local: no address */
	void *connect_ctx;
	struct origin origin;
	unsigned allow; /* bits of classes */
	struct exchange_limits limits;
	struct tls_ctx *tls;
	enum upstream_http http;
	bool pinned, closed;
	uint8_t pin[UPSTREAM_PIN_LEN];
	/* addresses */
	struct resolve_answer addresses; /* allowed ones */
	struct status resolved;          /* how the last question ended */
	uint64_t good_until_ms;
	size_t first; /* of `addresses`: worked last time */
	struct resolve_wait *resolving;
	uv_timer_t *timer; /* tells from the loop what is known at once */
	/* pool.c */
	TAILQ_HEAD(upstream_waits, upstream_wait) waits;
	size_t nwaits;
	TAILQ_HEAD(pool_dials, pool_dial)
	dials; /* connections being made, for whoever waits first */
	size_t ndials;
	struct conn *kept[UPSTREAM_KEPT_MAX];
	size_t nkept;
	struct h2_conn *h2s[UPSTREAM_H2_MAX];
	size_t nh2s;
	uint64_t http1_until_ms; /* the server wants HTTP/1.1 */
	size_t carries; /* exchanges that a new connection will carry at once, as far as is known */
	size_t nopen;   /* connections, and waits */
};

void pool_init(struct upstream *u);
void pool_done(struct upstream *u);
/* Something changed: look from the loop for what waits. */
void pool_look(struct upstream *u);
/* E_AGAIN: a question is under way, or is put now. */
MUST_USE struct status upstream_know_addresses(struct upstream *u);
void upstream_destroy(struct upstream *u);

#endif
