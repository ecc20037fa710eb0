/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_UPSTREAM_H
#define BROKER_UPSTREAM_H

/*
 * An upstream is one origin that the configuration names (a model provider,
 * Vault, an endpoint of AWS) with its pool of kept connections. Nothing else in
 * this process connects to anything: names are resolved, each address is
 * checked against what the origin may be, and the checked address is the one
 * that is used.
 */
#include <base/address.h>
#include <tls/tls.h>

#include "conn.h"
#include "resolve.h"

#define UPSTREAM_OPEN_MAX 1024   /* connections at once, those being made included */
#define UPSTREAM_DIALS_MAX 128   /* of them being made at once: a handshake takes 40 KB */
#define UPSTREAM_KEPT_MAX 64     /* of them kept for the next exchange */
#define UPSTREAM_H2_MAX 64       /* connections of HTTP/2 */
#define UPSTREAM_HTTP1_MS 600000 /* nothing else, once a server said that it wants that */
#define UPSTREAM_PIN_LEN 32
#define UPSTREAM_BASE_MAX 255

struct upstream;
struct upstream_wait;

enum upstream_http {
	UPSTREAM_HTTP_1,
	UPSTREAM_HTTP_2,    /* nothing else; in clear: without asking */
	UPSTREAM_HTTP_AUTO, /* as the server chooses; in clear: HTTP/1.1 */
};

struct upstream_opts {
	uv_loop_t *loop;
	struct resolver *resolver;
	const char *url; /* https://HOST[:PORT][/BASE], http:// where `plain` */
	/*
	 * Bits ADDRESS_BIT(class) of what the addresses may be beside public ones. A URL that
	 * names loopback literally allows loopback, and nothing else.
	 */
	unsigned allow;
	bool plain; /* http: is meant; the configuration was checked for where it may be */
	enum upstream_http http;
	bool allow_tls12;
	struct span ca_pem;            /* the only trusted roots */
	struct span cert_pem, key_pem; /* for mutual TLS; empty: none */
	const uint8_t *pin;            /* UPSTREAM_PIN_LEN: SHA-256 of the key's SPKI; NULL: none */
	struct exchange_limits limits;
};

/* Makes a stream at once. E_CLOSED: what it leads to is away. E_SYS. */
typedef struct status upstream_connect(void *ctx, struct io *ret);

/* One that has no address: `authority` for Host, `connect` for each connection. E_NOMEM. */
MUST_USE struct status upstream_new_local(uv_loop_t *loop, const char *authority,
    upstream_connect *connect, void *ctx, struct upstream **ret);
/* Copies what it needs of `o`. E_SYNTAX (URL, PEM), E_RANGE, E_CRYPTO, E_NOMEM. */
MUST_USE struct status upstream_new(const struct upstream_opts *o, struct upstream **ret);
/*
 * Kept connections are closed; what waits and connections that carry an exchange go on, and are
 * still given back here. NULL is fine.
 */
void upstream_free(struct upstream *u);

/*
 * OK: `x` is the callee's. E_NOTFOUND: no such name. E_DENIED: no address is allowed, or the
 * certificate, its name or the pin is wrong. E_CLOSED: nobody takes the connection. E_PROTO: no
 * TLS that we speak. E_TIMEOUT. E_SYS, E_NOMEM.
 */
typedef void upstream_done(void *ctx, struct status st, struct exchange *x);

/* What such a status means, for diagnostics. */
const char *upstream_why(struct status st);

/*
 * What carries one exchange; `fresh` refuses kept connections. OK: *ret is ready now. E_AGAIN: it
 * is being made; `done` comes once, from the loop, unless *ret_wait is cancelled first. E_FULL,
 * E_NOMEM, E_SYS.
 */
MUST_USE struct status upstream_acquire(struct upstream *u, bool fresh, upstream_done *done,
    void *ctx, struct upstream_wait **ret_wait, struct exchange **ret);
void upstream_cancel(struct upstream_wait *w);
/* After an exchange: its connection is kept if it may be, else closed. */
void upstream_release(struct upstream *u, struct exchange *x);
/* In mid-exchange: the other side is told, or sees the connection close. */
void upstream_discard(struct upstream *u, struct exchange *x);
/* The far end is gone: kept connections are of no use. */
void upstream_drop_kept(struct upstream *u);

/* For the request's head and for records; owned by `u`. */
const char *upstream_authority(const struct upstream *u); /* HOST, or HOST:PORT */
const char *upstream_base(const struct upstream *u);      /* "" or "/path", no slash at its end */
bool upstream_is_tls(const struct upstream *u);
size_t upstream_open(const struct upstream *u);

#endif
