/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CONN_H
#define GATEWAY_CONN_H

/*
 * One HTTP/1.1 connection over TLS: handshake, then request and answer in turns.
 */
#include <http/request.h>
#include <tls/tls.h>

#include "request.h"

enum conn_state {
	CONN_HANDSHAKE,
	CONN_READ,   /* the parser wants input */
	CONN_ANSWER, /* a request is under way; input is kept, within PIPELINE_MAX */
	CONN_LINGER, /* the last answer is out; what still comes is thrown away */
	CONN_CLOSED,
};

struct conn {
	TAILQ_ENTRY(conn) next;
	TAILQ_ENTRY(conn) next_dirty;
	struct gateway *g;
	int fd;
	uv_poll_t poll;
	int events; /* polled for */
	enum conn_state state;
	struct tls_conn *tls;
	struct http_request_parser *parser;
	struct request *req; /* NULL: its last request was parted from it */
	struct source *source;
	uint8_t address[SOURCE_LEN];
	struct timeout t_read; /* handshake, header, body, idle, linger */
	struct timeout t_write;
	struct buf in;  /* read, but not fed to the parser */
	struct buf out; /* plain text to be sent, from out_off on */
	size_t out_off;
	size_t lingered; /* bytes */
	bool dirty;
	bool served;      /* has had an answer: idle, not header timeout */
	bool in_head;     /* the header timeout runs */
	bool close_after; /* once the output is sent */
	bool chunked;     /* the answer under way */
	bool no_body;     /* it answers a HEAD */
	bool want_write;  /* TLS waits for the socket */
	bool eof;         /* nothing more comes */
};

extern const struct reply_ops conn_reply_ops;

/* Takes `fd`. On failure everything is given back. */
void conn_open(struct gateway *g, int fd, struct source *source, const uint8_t address[SOURCE_LEN]);
void conn_close(struct conn *c);
/* To be looked at when the loop's turn ends. */
void conn_mark(struct conn *c);
/* Write, and feed what was kept. */
void conn_settle(struct conn *c);
/* Answer an error of HTTP itself, and end the connection. */
void conn_refuse(struct conn *c, uint16_t status);

/* conn_io.c */
void conn_on_poll(uv_poll_t *handle, int status, int events);
void conn_poll(struct conn *c); /* poll for what the state wants */
void conn_readable(struct conn *c);
void conn_resume(struct conn *c); /* poll, and read what TLS holds */
/* The client sends requests, but does not read their answers. */
bool conn_held_up(const struct conn *c);
bool conn_flush(struct conn *c); /* false: the connection was closed */
size_t conn_unsent(const struct conn *c);

/* conn_feed.c: bytes used of `in` */
size_t conn_feed(struct conn *c, struct span in);
void conn_arm(struct conn *c); /* the timeout that the parser's state asks for */

#endif
