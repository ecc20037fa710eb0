/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_H1_H
#define GATEWAY_H1_H

/*
 * HTTP/1.1 on a connection: request and answer in turns.
 */
#include <crypto/hash.h>
#include <http/request.h>

#include "conn.h"

struct h1 {
	struct http_request_parser *parser;
	struct request *req;      /* NULL: its last request was parted from it */
	struct buf in;            /* read, but not fed to the parser */
	bool answering;           /* a request is under way; input is kept, within PIPELINE_MAX */
	bool served;              /* has had an answer: idle, not header timeout */
	bool in_head;             /* the header timeout runs */
	bool chunked;             /* the answer under way */
	bool no_body;             /* it answers a HEAD */
	uint8_t good[SHA256_LEN]; /* of the credential that was good last; only bodies are read for
				     it */
	uint64_t good_until_ms;
};

/* This request's credential is good now. */
void h1_key_is_good(struct conn *c);
/* Its body may come. */
void h1_await_body(struct conn *c);

extern const struct reply_ops h1_reply_ops;

static inline struct h1 *
h1_of(const struct conn *c)
{
	return c->proto;
}

#endif
