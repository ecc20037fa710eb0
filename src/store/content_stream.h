/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_CONTENT_STREAM_H
#define STORE_CONTENT_STREAM_H

/*
 * Gateways' operations on what is kept for users: streams, grants, and what the authority
 * hears of them.
 */
#include <daemon/daemon.h>

#include "content.h"

#define CONTENT_GATEWAYS_MAX 128
#define CONTENT_BODIES_MAX (128U << 20) /* bytes of requests and answers in memory */

/* State: before the first link. Both are borrowed. */
void content_streams_init(struct daemon *d, struct db *db);
void content_gateway_connect(uint32_t peer_id, int fd);
/* The authority's newest link; its going ends all that an older one granted. */
void content_authority_connect(struct link *l);
void content_authority_closed(struct link *l);
/* Handlers of its rules. */
void content_on_grant(struct link *l, uint64_t id, const void *msg, void *ctx);
void content_on_turn_end(struct link *l, uint64_t id, const void *msg, void *ctx);

#endif
