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
#include <wire/errors.h>

#define CONN_READ_LEN 16384
#define CONN_FIRST_BYTE_MS 300000 /* from the request's last byte to the answer's first */
#define CONN_IDLE_MS 60000        /* without a byte, in either direction */
#define CONN_TOTAL_MS 660000      /* one exchange; a turn is over before */
#define CONN_KEPT_MS 30000        /* kept alive without an exchange */

/* Times of one exchange; 0 means the usual one above. */
struct conn_limits {
	uint32_t first_byte_ms, idle_ms, total_ms;
};

/* A stream of bytes: a socketpair, or TLS on a socket. */
struct io {
	const struct io_ops *ops;
	void *ctx;
	int fd; /* to poll */
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

struct conn_ops {
	/* How many bytes of the body can be taken now; 0: conn_resume() comes later. */
	size_t (*room)(void *ctx);
	/* This one and on_body may give the connection back by upstream_discard(). */
	void (*on_head)(void *ctx, const struct http_response *head);
	/* All of `body`, which is never more than there was room for; it may be overwritten. */
	void (*on_body)(void *ctx, uint8_t *body, size_t len);
	/* The answer is whole. The connection is idle again, or closed itself. */
	void (*on_end)(void *ctx);
	/*
	 * It broke and is closed. `stale`: a kept connection ended before any byte of the answer,
	 * which says nothing about the other side.
	 */
	void (*on_failed)(void *ctx, enum error why, bool stale);
};

#define CONN_BODY_PARTS 3
#define CONN_PARTS (3 + CONN_BODY_PARTS)

/* Borrowed until the answer's head or the failure. */
struct conn_request {
	struct span head;   /* whole; or, with a secret, ends with http_put_secret_open() */
	struct span secret; /* the rest of the last field; written from where it is */
	struct span body[CONN_BODY_PARTS];
};

/* Takes `io` on OK. An idle connection that ends calls `on_idle_closed`. E_NOMEM, E_SYS. */
typedef void conn_idle_closed(struct conn *c, void *pool);
MUST_USE struct status conn_new(uv_loop_t *loop, const struct io *io,
    const struct conn_limits *limits, conn_idle_closed *on_idle_closed, void *pool,
    struct conn **ret);
/* Close and free; no callback follows. */
void conn_free(struct conn *c);
/*
 * Begin an exchange on an idle connection. No callback comes from within.
 * E_CLOSED: the connection is not usable (and still the caller's to free).
 */
MUST_USE struct status conn_start(
    struct conn *c, const struct conn_request *r, const struct conn_ops *ops, void *ctx);
/* There is room again. */
void conn_resume(struct conn *c);
/* State: in on_end and after: may it carry another exchange? */
bool conn_reusable(const struct conn *c);
uint64_t conn_bytes_in(const struct conn *c); /* of this exchange */
uint64_t conn_bytes_out(const struct conn *c);

#endif
