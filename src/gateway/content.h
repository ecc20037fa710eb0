/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CONTENT_H
#define GATEWAY_CONTENT_H

/*
 * One operation at the store: a stream of the data edge, and what came of it. And the state of
 * a turn that has one, which no other turn pays for.
 */
#include <link/link.h>
#include <wire/gateway_store.h>

#include "bounds.h"

#define CONTENT_ANSWER_MAX                                                     \
	(CONTENT_BLOB_MAX + (2UL << 20)) /* its bytes, and what is around them \
					  */

struct content;
struct request;
struct turn;

struct content_ops {
	/* Exactly one of these, last; the operation may be reset in it. */
	void (*done)(struct content *c, void *ctx);
	void (*failed)(struct content *c, enum error error, void *ctx);
	/* So many more bytes are about to be kept; false: there is no room for them. */
	bool (*room)(void *ctx, size_t more);
};

struct content {
	const struct content_ops *ops;
	void *ctx;
	struct stream *stream; /* NULL: not running */
	struct buf request;    /* an encoded struct content_request */
	size_t sent;
	struct buf answer; /* an encoded struct content_answer */
	bool have_result;
	uint32_t answer_len; /* that the store says it has sent */
};

/* Forget the last one; memory is given back. */
void content_reset(struct content *c);
/*
 * Encode and hash what is to be done: what the authority grants. This is the one door into what
 * is kept: with `mask` nothing passes it that looks like a credential.
 * Errors: E_DENIED (such a credential, or a key of ours), E_RANGE, E_FULL, E_NOMEM, E_CRYPTO.
 */
MUST_USE struct status content_prepare(
    struct content *c, const struct content_request *req, bool mask, uint8_t digest[DIGEST_LEN]);
/* State: prepared. E_CLOSED, E_FULL, E_NOMEM. */
MUST_USE struct status content_start(
    struct content *c, struct link *store, const uint8_t grant[GRANT_LEN]);
void content_cancel(struct content *c);
/* State: done. The answer's spans are borrowed until content_reset(). E_PROTO, E_NOMEM. */
MUST_USE struct status content_read(
    const struct content *c, struct arena *arena, struct content_answer *ret);

#endif
