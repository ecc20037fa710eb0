/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_H2_H
#define BROKER_H2_H

/*
 * The HTTP/2 client (RFC 9113): one connection, many exchanges at once, each a
 * stream. For the pool (pool.c); what an exchange can do is in exchange.h.
 * Limits first; bytes unless the name says otherwise.
 */
#include "conn.h"

#define H2_STREAMS_MAX 100        /* at once on one connection, whatever the peer allows */
#define H2_WINDOW 65535           /* of a stream: the protocol's first, never more */
#define H2_CONN_WINDOW (1U << 20) /* given back as bytes come: no stream starves another */
#define H2_OUT_SOFT_MAX 16384     /* unsent; beyond it nothing more is framed */
#define H2_OUT_MAX (64U << 10)    /* that and one frame */
#define H2_SECRETS_MAX 16         /* in what is unsent */
#define H2_SECRET_LEN_MAX 8192    /* of one; with EXCHANGE_HEAD_MAX one frame */
#define H2_ACKS_MAX 256           /* answers to PING and SETTINGS not yet sent */
#define H2_SETTLE_MS 10000        /* until the peer's first SETTINGS */
#define H2_QUIET_MS 20000         /* nothing came while streams are open: a PING is sent */
#define H2_PONG_MS 10000          /* … and is answered */

struct h2_conn;

struct h2_pool_ops {
	/* There may be room for more. Nothing may be done from within but to note it. */
	void (*on_room)(struct h2_conn *h, void *pool);
	/* Its peer wants HTTP/1.1 in its place. True: what comes next is sent so. */
	bool (*on_http1)(struct h2_conn *h, void *pool);
	/* It is closed and nobody has an exchange of it: it is not to be used again. */
	void (*on_gone)(struct h2_conn *h, void *pool);
};

/* Takes `io` on OK. `secure` tells the scheme. E_NOMEM, E_SYS. */
MUST_USE struct status h2_conn_new(uv_loop_t *loop, const struct io *io, bool secure,
    const struct exchange_limits *limits, const struct h2_pool_ops *ops, void *pool,
    struct h2_conn **ret);
/* How many more exchanges it can carry now; of a new one it is one until its peer has said more. */
size_t h2_conn_room(const struct h2_conn *h);
/* How many at once, as far as the peer has said. */
size_t h2_conn_capacity(const struct h2_conn *h);
/* It has not said yet, but may. */
bool h2_conn_settling(const struct h2_conn *h);
/* It refused a stream unseen, and has answered nothing since. */
bool h2_conn_refuses(const struct h2_conn *h);
/* State: there is room. E_NOMEM. */
MUST_USE struct status h2_conn_open(struct h2_conn *h, struct exchange **ret);
/* No more exchanges; it closes when the last one is given back, on_gone comes even from within. */
void h2_conn_shut(struct h2_conn *h);
/* Give an exchange back: whole, or it is cancelled. */
void h2_exchange_free(struct exchange *x);

#endif
