/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEMO_SERVER_H
#define DEMO_SERVER_H

/* HTTP/1.1 on the sockets that the broker sends. */
#include <uv.h>

#include "demo.h"

#define SERVER_CONNS_MAX 1024
#define SERVER_OUT_MAX (8U << 20) /* bytes of one answer */
#define SERVER_MODELS_MAX 256

struct server;

/* E_NOMEM, E_SYS. Owner: server_free(). */
MUST_USE struct status server_new(uv_loop_t *loop, struct server **ret);
void server_free(struct server *s); /* closes all connections; run the loop to its end after */
/* A name for GET /v1/models, copied. E_FULL. */
MUST_USE struct status server_add_model(struct server *s, struct span name);
/* Takes `fd`; closes it when there are too many. */
void server_accept(struct server *s, int fd);
size_t server_open(const struct server *s);

#endif
