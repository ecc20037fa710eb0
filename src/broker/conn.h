/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_CONN_H
#define BROKER_CONN_H

/*
 * The HTTP/1.1 client: one connection over an abstract stream of bytes, one
 * exchange at a time, kept alive between exchanges. It frames and forwards
 * bodies; it never looks into one.
 */
#include <uv.h>

#include <base/span.h>
#include <http/response.h>

#include "exchange.h"

#define CONN_READ_LEN EXCHANGE_PIECE_MAX

/* A stream of bytes: a socketpair, or TLS on a socket. */
struct io {
	const struct io_ops *ops;
	void *ctx;
	int fd;  /* to poll */
	bool h2; /* ALPN chose HTTP/2 */
};
struct io_ops {
	/* E_AGAIN, E_EOF, E_CLOSED, E_SYS, E_PROTO. */
	struct status (*read)(struct io *io, void *out, size_t size, size_t *ret_len);
	/* At most CONN_PARTS spans; the copy, if there is one, is wiped. */
	struct status (*write)(struct io *io, const struct span *v, size_t n, size_t *ret_len);
	/* After E_AGAIN: what to poll for (UV_READABLE, UV_WRITABLE); `usual` where it is up to us.
	 */
	int (*wants)(const struct io *io, int usual);
	/* There are bytes to read that no poll would tell of. */
	bool (*pending)(const struct io *io);
	void (*close)(struct io *io);
};

struct conn;

#define CONN_PARTS (3 + EXCHANGE_BODY_PARTS)

/* The same as text, for who writes its own. Borrowed until the answer's head or the failure. */
struct conn_request {
	struct span head;   /* whole; or, with a secret, ends with http_put_secret_open() */
	struct span secret; /* the rest of the last field; written from where it is */
	struct span body[EXCHANGE_BODY_PARTS];
};

/* Takes `io` on OK. An idle connection that ends calls `on_idle_closed`. E_NOMEM, E_SYS. */
typedef void conn_idle_closed(struct conn *c, void *pool);
MUST_USE struct status conn_new(uv_loop_t *loop, const struct io *io,
    const struct exchange_limits *limits, conn_idle_closed *on_idle_closed, void *pool,
    struct conn **ret);
/* Close and free; no callback follows. */
void conn_free(struct conn *c);
/*
 * Begin an exchange on an idle connection. No callback comes from within.
 * E_CLOSED: the connection is not usable (and still the caller's to free).
 */
MUST_USE struct status conn_start(
    struct conn *c, const struct conn_request *r, const struct exchange_ops *ops, void *ctx);
/* State: in on_end and after: may it carry another exchange? */
bool conn_reusable(const struct conn *c);

/* One exchange at a time: all of it. */
struct exchange *conn_exchange(struct conn *c);
/* NULL: it is no connection of HTTP/1.1. */
struct conn *conn_of(struct exchange *x);

#endif
