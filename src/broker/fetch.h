/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_FETCH_H
#define BROKER_FETCH_H

/*
 * One request and its whole answer, with Vault or AWS, on an upstream's
 * connections. Both lie in secret memory: tokens go out from there, values come
 * back into it.
 */
#include <crypto/secret.h>

#include "upstream.h"

#define FETCH_HEAD_MAX 24576
#define FETCH_BODY_MAX 65536 /* of an answer; more is E_RANGE */
#define FETCH_TOTAL_MS 10000 /* with connecting */
#define FETCH_RETRY_AFTER_MAX_MS 600000
#define FETCH_INDEX_MAX 255

struct fetch;

struct fetch_answer {
	uint16_t status;
	struct span body; /* secret memory; gone after the callback */
	uint32_t retry_after_ms;
	char location[512]; /* of a redirect; "": none, or too long */
	int64_t date_s;     /* Unix seconds of its Date; 0: none */
	char index[FETCH_INDEX_MAX +
		   1]; /* Vault's: what a node must know to answer alike; "": none */
};

/* E_TIMEOUT, E_RANGE (answer too long), and what upstream_done tells. `a` is NULL unless OK. */
typedef void fetch_done(void *ctx, struct status st, const struct fetch_answer *a);

/* A request that is being put together. */
struct fetch_request {
	struct secret head_mem, body_mem;
	struct buf head; /* append fields by http_put_field() … */
	struct buf body; /* State: after fetch_request_body() */
};

#define FETCH_REQUEST_NONE ((struct fetch_request){ 0 })

/* "METHOD TARGET" and Host. E_SYS, E_FULL, E_SYNTAX. */
MUST_USE struct status fetch_request_init(
    struct fetch_request *r, const struct upstream *u, const char *method, struct span target);
/* Room for a body of up to `len_max` bytes. Put it there before fetch_start(). */
MUST_USE struct status fetch_request_body(struct fetch_request *r, size_t len_max);
void fetch_request_done(struct fetch_request *r);

/*
 * Takes what is in `r`, whatever comes of it. OK: `done` comes once, from the loop, unless *ret
 * is cancelled first.
 */
MUST_USE struct status fetch_start(uv_loop_t *loop, struct upstream *u, struct fetch_request *r,
    fetch_done *done, void *ctx, struct fetch **ret);
void fetch_cancel(struct fetch *f); /* NULL is fine */

#endif
