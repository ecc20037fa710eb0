/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_MANAGEMENT_H
#define AUTHORITY_MANAGEMENT_H

/* Between management.c (connections) and routes.c (what they may ask for). */
#include <http/request.h>

#include "admin.h"
#include "authority.h"

#define CONNS_MAX 64
#define BODY_LEN_MAX 16384
#define IN_MAX 16384
#define OUT_MAX (8U << 20)
#define IDLE_MS 60000
#define JSON_TYPE "application/json"
#define METRICS_TYPE "text/plain; version=0.0.4"

enum conn_state { CONN_FREE, CONN_READING, CONN_BUSY, CONN_CLOSING };

struct conn {
	struct authority *a;
	enum conn_state state;
	int fd;
	uv_poll_t poll;
	struct http_request_parser *parser;
	struct buf in, body, out;
	size_t out_off;
	bool last; /* close when `out` is written */
	struct admin_op *op;
	uint64_t active_ms;
	uint32_t uid;
};

struct management {
	struct authority *a;
	int fd;
	uv_poll_t poll;
	bool listening;
	bool done;   /* takes nothing new */
	bool closed; /* the listener's handle is gone */
	uint32_t nconns;
	struct conn conns[CONNS_MAX];
};

/* The whole request has come: answer it, or begin an act (CONN_BUSY). routes.c. */
void conn_route(struct conn *c);
void conn_answer(struct conn *c, uint16_t http, const char *type, struct span body);
void conn_answer_error(struct conn *c, uint16_t http, const char *code, const char *message);
void conn_close(struct conn *c);
/* admin_reply: of an act. */
void conn_on_reply(void *ctx, uint16_t http, struct span body);

#endif
