/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_KEEP_H
#define GATEWAY_KEEP_H

/*
 * A request about what is kept for its user, and the part of a model's turn that is: one
 * operation at the store at a time. A turn without any has no such state.
 */
#include "content.h"
#include "turn.h"

struct keep {
	struct content op;
	struct content_answer answer; /* of the last operation; its spans live in `op` */
	/* KIND_CONTENT: what was asked for, to be encoded again once it is masked */
	struct content_request req;
	struct content_item *items;  /* of `req`, in the request's arena */
	char id[CONTENT_ID_MAX + 1]; /* of a new object */
	/* a model's turn: history.c */
	bool saves, mask;
	struct span before;    /* items that the turn goes on from, JSON with commas between */
	const uint64_t *taken; /* hashes of ids that its conversation has */
	size_t ntaken;
};

/* The turn's, made when it is asked for; NULL: no memory. */
struct keep *keep_of(struct turn *t);
void keep_cancel(struct turn *t);
void keep_free(struct turn *t);
/* So many more bytes are kept in memory for this request; false: it has no room for them. */
bool keep_room(void *turn, size_t more);
/* "PREFIX" and 48 digits that nobody can guess. E_SYS. */
MUST_USE struct status keep_new_id(const char *prefix, char ret[CONTENT_ID_MAX + 1]);
/* Of the form that ids of ours and of providers have: digits, letters, '_', '-'. */
bool keep_id_ok(struct span id);

/*
 * Ask for one operation, which is all that this request is for; route->kept answers. `items`
 * are those of `req`, in the arena. Everything of `req` lives until the request is over.
 */
void keep_ask(struct request *r, enum content_op op, enum content_kind kind, struct span id,
    const struct content_request *req, struct content_item *items);
/* The operation that the turn's grant is for begins. */
void keep_run(struct turn *t, const struct content_ops *ops);
/* The end of a turn whose content the store did not take, or give. */
void keep_failed(struct content *c, enum error error, void *turn);
/* Why it could not be prepared. */
enum error keep_error(struct status st);
/* Each with what looks like a credential taken out; the new texts are in the arena. */
MUST_USE struct status keep_mask(
    struct arena *a, struct span *meta, struct content_item *items, uint32_t nitems);

#endif
