/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_TOOL_SET_H
#define GATEWAY_TOOL_SET_H

/*
 * What the authority told of a key's tools, kept for that key's next request: which it offers
 * to a model, or the one that a call names. It is a guess: the authority compares the catalog
 * that comes with each request and tells anew what has changed.
 */
#include <sys/queue.h>

#include "tool_def.h"

#define TOOL_SET_BUCKETS 256

struct tool_set {
	LIST_ENTRY(tool_set) in_bucket;
	TAILQ_ENTRY(tool_set) in_order; /* of their use */
	uint8_t id[DIGEST_LEN];
	unsigned refs; /* requests, and the table */
	struct arena arena;
	struct tool_offers offers;
	uint8_t attach; /* enum ga_tools that the key's policy attaches */
};

struct tool_sets {
	LIST_HEAD(tool_set_bucket, tool_set) buckets[TOOL_SET_BUCKETS];
	TAILQ_HEAD(tool_set_order, tool_set) order; /* used last: at the front */
	size_t count, bytes;
};

/* Whose it is and what for: a whole credential, of which a digest is kept; a name for a call. */
struct tool_set_key {
	struct span credential, name; /* no name: what is offered to a model */
	uint32_t version;             /* that the call names; else enum ga_tools of the client's */
};

/* A copy of what the authority told. Owner: the caller holds one reference. E_NOMEM. */
MUST_USE struct status tool_set_new(const struct ga_admitted *m, struct tool_set **ret);
void tool_set_release(struct tool_set *s); /* NULL is fine */

void tool_sets_init(struct tool_sets *all);
void tool_sets_free(struct tool_sets *all);
/* Owner: with a reference for the caller. NULL: not known, or no digest could be made. */
struct tool_set *tool_sets_find(struct tool_sets *all, const struct tool_set_key *k);
/* In place of what was known; one that says that there is nothing only takes its place away. */
void tool_sets_keep(struct tool_sets *all, const struct tool_set_key *k, struct tool_set *s);

#endif
