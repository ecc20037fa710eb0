/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CONN_H
#define GATEWAY_CONN_H

/*
 * One connection: TLS, bytes in and out, and a protocol that ALPN chose in the
 * handshake. A protocol turns bytes into requests and answers into bytes; it
 * knows nothing of sockets.
 */
#include <tls/tls.h>

#include "request.h"

enum conn_state {
	CONN_HANDSHAKE,
	CONN_OPEN,   /* the protocol has it */
	CONN_LINGER, /* the last answer is out; what still comes is thrown away */
	CONN_CLOSED,
};

struct conn;

/* All but start: in state CONN_OPEN; free: whenever start was called. */
struct protocol {
	struct status (*start)(struct conn *c);
	void (*free)(struct conn *c);
	/* Is there room for more input? */
	bool (*wants_input)(const struct conn *c);
	/* Plain text came. False: the connection was closed. */
	bool (*take)(struct conn *c, struct span in);
	/* The loop's turn ends: go on with what waits, fill `out`, set the timeout of reading. */
	void (*settle)(struct conn *c);
	/* `out` is shorter now, or full still. */
	void (*sent)(struct conn *c, bool was_full);
	/* Everything is sent: may a connection that is to be closed end now? */
	bool (*over)(const struct conn *c);
	/* This worker was replaced; `now`: the grace is over. */
	void (*drain)(struct conn *c, bool now);
	void (*timed_out)(struct conn *c); /* t_read */
	void (*eof)(struct conn *c);
	/* The client is gone: what it asked for ends at once. */
	void (*left)(struct conn *c);
};

extern const struct protocol protocol_h1;
extern const struct protocol protocol_h2;

struct conn {
	TAILQ_ENTRY(conn) next;
	TAILQ_ENTRY(conn) next_dirty;
	struct gateway *g;
	int fd;
	uv_poll_t poll;
	int events; /* polled for */
	enum conn_state state;
	struct tls_conn *tls;
	const struct protocol *protocol; /* NULL: the handshake is not done */
	void *proto;                     /* the protocol's own state; NULL: none */
	struct source *source;
	uint8_t address[SOURCE_LEN];
	struct buf
	    certificate; /* the client's, as a credential; empty: none, or none that names it */
	uint64_t certificate_until_s; /* Unix time; 0: there is none */
	uint32_t certificate_judged;  /* by the context of that generation */
	struct timeout t_read;        /* handshake, header, body, idle, linger */
	struct timeout t_write;
	struct buf out; /* plain text to be sent, from out_off on */
	size_t out_off;
	size_t lingered; /* bytes */
	bool dirty;
	bool close_after; /* once the output is sent; input is thrown away */
	bool want_write;  /* TLS waits for the socket */
	bool eof;         /* nothing more comes */
};

/* Takes `fd`. On failure everything is given back. */
void conn_open(struct gateway *g, int fd, struct source *source, const uint8_t address[SOURCE_LEN]);
void conn_close(struct conn *c);
/* To be looked at when the loop's turn ends. */
void conn_mark(struct conn *c);
/* Write, and feed what was kept. */
void conn_settle(struct conn *c);
/* Set t_read, unless one of that kind runs already. */
void conn_arm(struct conn *c, enum timeout_kind kind);
void conn_disarm(struct conn *c);
/* In which error of ours a fault of HTTP is told. */
enum error conn_error(uint16_t status);

/* credential.c: after the handshake. E_NOMEM, E_DENIED: no connection that may go on. */
MUST_USE struct status conn_take_certificate(struct conn *c);
/* It, as a credential, for a request that begins now: another context may take it no more. */
struct span conn_certificate(struct conn *c);
/* Its certificate is over: it takes nothing more than what was begun. */
bool conn_is_expired(const struct conn *c);

/* conn_io.c */
void conn_on_poll(uv_poll_t *handle, int status, int events);
void conn_poll(struct conn *c); /* poll for what the state wants */
void conn_readable(struct conn *c);
void conn_resume(struct conn *c); /* poll, and read what TLS holds */
bool conn_flush(struct conn *c);  /* false: the connection was closed */
size_t conn_unsent(const struct conn *c);
/* More unsent output than what stops reading. */
bool conn_full(const struct conn *c);

#endif
