/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_ITEMS_H
#define GATEWAY_ITEMS_H

/*
 * Items of conversations and responses, as clients and models write them, for the store: each
 * with an id of its own.
 */
#include <base/arena.h>
#include <json/json.h>
#include <wire/gateway_store.h>

struct items {
	struct content_item *all; /* in the arena */
	uint32_t count, max;
	uint64_t *ids; /* hashes of the ids that are taken: a table with open addresses */
	size_t nids, ids_size;
};

/* Room for `max` items besides `taken` ids. E_NOMEM. */
MUST_USE struct status items_start(
    struct items *s, struct arena *a, uint32_t max, const uint64_t *taken, size_t ntaken);
/*
 * One more: an object. It keeps its id where that is of the right form and, with `fresh`, not
 * taken; else it gets one, also for a credential where it is `fresh`. A message gets what OpenAI's
 * have: type, status, a list of parts. `d` and its source live as long as the item, where nothing
 * was changed.
 * Errors: E_EXISTS, E_DENIED (not `fresh`, and taken, or a credential), E_FULL (`max`), E_NOMEM.
 */
MUST_USE struct status items_add(struct items *s, const struct json_doc *d, uint32_t tok,
    bool output, bool fresh, struct arena *a);
/* The message of a user with the text of the JSON string `tok`. */
MUST_USE struct status items_add_text(
    struct items *s, const struct json_doc *d, uint32_t tok, struct arena *a);
/* What is said of one that items_find_variant() finds. */
#define ITEMS_VARIANT "differs from the name of a field only in case"
/*
 * Is there a name in an item that differs from one that is read here in case alone? Its value, or
 * JSON_NONE. What is kept would not have it: it would be a duplicate of ours.
 */
uint32_t items_find_variant(const struct json_doc *d, uint32_t tok);
/* What is said of an id that is one. */
#define ITEMS_PASTED "the id of an item is kept and told beside it, where nothing is masked"
/* Is an item's id a credential? It stands beside the item, where nothing is masked. */
bool items_id_pasted(const struct json_doc *d, uint32_t tok);
uint64_t items_hash(struct span id);

#endif
