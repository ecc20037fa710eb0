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
#define CONN_FIRST_BYTE_MS 120000 /* from the request's last byte to the answer's first */
#define CONN_IDLE_MS 60000        /* without a byte, in either direction */
#define CONN_KEPT_MS 30000        /* kept alive without an exchange */

/* A stream of bytes: a socketpair, or TLS on a socket. */
struct io {
	const struct io_ops *ops;
	void *ctx;
	int fd; /* to poll */
};
struct io_ops {
	/* E_AGAIN, E_EOF, E_CLOSED, E_SYS, E_PROTO. */
	struct status (*read)(struct io *io, void *out, size_t size, size_t *ret_len);
	struct status (*write)(struct io *io, const struct span *v, size_t n, size_t *ret_len);
	void (*close)(struct io *io);
};

struct conn;

struct conn_ops {
	/* How many bytes of the body can be taken now; 0: conn_resume() comes later. */
	size_t (*room)(void *ctx);
	void (*on_head)(void *ctx, const struct http_response *head);
	/* Takes up to all of `body`; what is left comes again after conn_resume(). */
	size_t (*on_body)(void *ctx, struct span body);
	/* The answer is whole. The connection is idle again, or closed itself. */
	void (*on_end)(void *ctx);
	/* It broke and is closed. `stale`: a kept connection ended before any byte of the answer.
	 */
	void (*on_failed)(void *ctx, enum error why, bool stale);
	/* An idle connection ended. */
	void (*on_idle_closed)(struct conn *c, void *pool);
};

/* Takes `io` on OK. `pool` is for on_idle_closed. Errors: E_NOMEM, E_SYS. */
MUST_USE struct status conn_new(uv_loop_t *loop, const struct io *io, const struct conn_ops *ops,
    void *pool, struct conn **ret);
/* Close and free; no callback follows. */
void conn_free(struct conn *c);
/*
 * Begin an exchange on an idle connection. `head` and `body` are borrowed until the head of the
 * answer or the failure. E_CLOSED: the connection is not usable (and still the caller's to free).
 */
MUST_USE struct status conn_start(struct conn *c, struct span head, struct span body, void *ctx);
/* There is room again. */
void conn_resume(struct conn *c);
/* State: in on_end and after: may it carry another exchange? */
bool conn_reusable(const struct conn *c);
uint64_t conn_bytes_in(const struct conn *c); /* of this exchange */
uint64_t conn_bytes_out(const struct conn *c);

#endif
