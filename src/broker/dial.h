/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_DIAL_H
#define BROKER_DIAL_H

/*
 * From checked addresses to a stream of bytes: connect, handshake, pin. One
 * address after the other, until one takes us.
 */
#include "io.h"
#include "resolve.h"

#define DIAL_MS 20000        /* all addresses together */
#define DIAL_CONNECT_MS 5000 /* the last address */
#define DIAL_NEXT_MS 2000    /* an address that has another one behind it */
#define DIAL_HANDSHAKE_MS 10000
#define DIAL_PIN_LEN 32

struct dial;

struct dial_opts {
	uv_loop_t *loop;
	struct tls_ctx *tls; /* NULL: none */
	const char *name;    /* that the certificate must carry */
	bool http1;          /* offer HTTP/1.1 alone, whatever `tls` does */
	const uint8_t *pin;  /* NULL: none */
	uint16_t port;
	const struct resolve_answer *addresses; /* all of them allowed; copied */
	size_t first;                           /* the one to begin with */
};

/*
 * OK: `io` is the callee's, `used` tells which address it was. E_DENIED (certificate, name, pin),
 * E_CLOSED, E_PROTO, E_TIMEOUT, E_SYS.
 */
typedef void dial_done(void *ctx, struct status st, const struct io *io, size_t used);

/* `done` comes once, from the loop, unless dial_cancel() comes first. E_NOMEM. */
MUST_USE struct status dial_new(
    const struct dial_opts *o, dial_done *done, void *ctx, struct dial **ret);
void dial_cancel(struct dial *d);

#endif
