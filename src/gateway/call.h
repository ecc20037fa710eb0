/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CALL_H
#define GATEWAY_CALL_H

/*
 * One call of a model through the broker: a stream of the data edge.
 */
#include <link/link.h>
#include <wire/gateway_broker.h>

struct call;

struct call_ops {
	/* The provider's status; return false after having cancelled. */
	bool (*head)(struct call *c, const struct gb_head *h, void *ctx);
	/* False after having cancelled. */
	bool (*data)(struct call *c, struct span data, void *ctx);
	/* Exactly one of these, last. */
	void (*done)(struct call *c, void *ctx);
	void (*failed)(struct call *c, enum error error, void *ctx);
	bool (*room)(void *ctx);
	/* The body was sent, and is not needed any more. */
	void (*sent)(struct call *c, void *ctx);
};

struct call {
	const struct call_ops *ops;
	void *ctx;
	struct stream *stream; /* NULL: not running */
	/* Of the client's head, for the provider's; borrowed until the turn ends. */
	struct span anthropic_version, anthropic_beta;
	struct span body; /* borrowed until sent, done, failed or call_cancel() */
	size_t sent;
	size_t unconsumed;
	bool have_head, ended;
};

/* E_CLOSED, E_FULL, E_NOMEM. */
MUST_USE struct status call_start(struct call *c, struct link *broker,
    const uint8_t grant[GRANT_LEN], struct span body, bool stream);
void call_writable(struct call *c); /* the client can take more */
void call_cancel(struct call *c);

#endif
