/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_EXCHANGE_H
#define BROKER_EXCHANGE_H

/*
 * One request and its answer, whichever version of HTTP carries them: a whole
 * connection (conn.h), or a stream of one (h2.h). Its user does not know which.
 * Bodies are framed and forwarded; nobody here looks into one.
 */
#include <http/http.h>
#include <wire/errors.h>

#define EXCHANGE_FIRST_BYTE_MS 300000 /* from the request's last byte to the answer's first */
#define EXCHANGE_IDLE_MS 60000        /* without a byte, in either direction */
#define EXCHANGE_TOTAL_MS 660000      /* one exchange; a turn is over before */
#define EXCHANGE_KEPT_MS 30000        /* a connection without an exchange */
#define EXCHANGE_BODY_PARTS 3
#define EXCHANGE_FIELDS_MAX 8
#define EXCHANGE_HEAD_MAX 4096    /* names, values and target together; without the secret */
#define EXCHANGE_PIECE_MAX 16384U /* of a body, handed out at once */

/* Times of one exchange; 0 means the usual one above. */
struct exchange_limits {
	uint32_t first_byte_ms, idle_ms, total_ms;
};

static inline struct exchange_limits
exchange_limits_of(const struct exchange_limits *l)
{
	return (struct exchange_limits){
		.first_byte_ms = l->first_byte_ms ? l->first_byte_ms : EXCHANGE_FIRST_BYTE_MS,
		.idle_ms = l->idle_ms ? l->idle_ms : EXCHANGE_IDLE_MS,
		.total_ms = l->total_ms ? l->total_ms : EXCHANGE_TOTAL_MS,
	};
}

/* A POST. Borrowed until the answer's head, the failure, or the exchange is given back. */
struct exchange_request {
	struct span target, authority;
	struct http_field fields[EXCHANGE_FIELDS_MAX]; /* without a length */
	size_t field_count;
	/* The last field; its value is `secret_prefix`, then `secret`, written from where it is. */
	struct span secret_name, secret_prefix, secret; /* no secret: no such field */
	struct span body[EXCHANGE_BODY_PARTS];
};

/* How it broke, beside why. */
enum exchange_fault {
	EXCHANGE_BROKE,
	/*
	 * The other side has surely not begun with this request, which says nothing against it: a
	 * kept connection had ended, it refused the stream unseen, or wants it over HTTP/1.1.
	 */
	EXCHANGE_STALE,
};

struct exchange_ops {
	/* How many bytes of the body can be taken now; 0: exchange_resume() comes later. */
	size_t (*room)(void *ctx);
	/* This one and on_body may give the exchange back by upstream_discard(). */
	void (*on_head)(void *ctx, const struct http_response *head);
	/*
	 * All of `body`, which is never more than there was room for, nor than
	 * EXCHANGE_PIECE_MAX; it may be overwritten.
	 */
	void (*on_body)(void *ctx, uint8_t *body, size_t len);
	/* The answer is whole. */
	void (*on_end)(void *ctx);
	void (*on_failed)(void *ctx, enum error why, enum exchange_fault fault);
};

struct exchange;

struct exchange_kind {
	struct status (*start)(struct exchange *x, const struct exchange_request *r,
	    const struct exchange_ops *ops, void *ctx);
	void (*resume)(struct exchange *x);
	uint64_t (*bytes_in)(const struct exchange *x);
	uint64_t (*bytes_out)(const struct exchange *x);
	bool (*blames)(struct exchange *x);
};

/* The first member of what carries it. */
struct exchange {
	const struct exchange_kind *kind;
};

static inline uint64_t
exchange_body_len(const struct exchange_request *r)
{
	uint64_t len = 0;

	for (size_t i = 0; i < EXCHANGE_BODY_PARTS; i++)
		len += r->body[i].len;
	return len;
}

/*
 * No callback comes from within. E_CLOSED: what carries it is not usable (any more, and still the
 * caller's to give back). E_FULL, E_NOMEM, E_SYNTAX: it cannot be written.
 */
MUST_USE static inline struct status
exchange_start(
    struct exchange *x, const struct exchange_request *r, const struct exchange_ops *ops, void *ctx)
{
	return x->kind->start(x, r, ops, ctx);
}

/* There is room again. */
static inline void
exchange_resume(struct exchange *x)
{
	x->kind->resume(x);
}

/*
 * State: in on_failed. Does it say something against the other side? A connection that breaks or
 * goes away is one fault, however many exchanges it carried: this is true for the first that asks.
 */
static inline bool
exchange_blames(struct exchange *x)
{
	return x->kind->blames(x);
}

/* Bytes of this exchange, head and framing included. */
static inline uint64_t
exchange_bytes_in(const struct exchange *x)
{
	return x->kind->bytes_in(x);
}

static inline uint64_t
exchange_bytes_out(const struct exchange *x)
{
	return x->kind->bytes_out(x);
}

#endif
