/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_turn.c: what a model turn goes on from, and what it leaves behind.
 *
 * Runs in: store, jailed. Trusts: as content.c. Owns: nothing.
 * Invariants: a response is kept with all of its items, in its conversation too where it has
 * one, or not at all; of two turns of one conversation one is behind the other, whole. Who goes
 * on from a response goes on from all before it: where one of those is gone there is nothing
 * to go on from (so it is with OpenAI).
 * See: content.h.
 */
#include "content.h"

/* Of the objects only what is no text: meta data of a long chain are much. */
static struct status
chain_walk(struct content *c, struct object *chain, uint32_t *ret_n)
{
	struct object o;
	uint32_t n = 0;

	TRY(object_find(c, c->call->target, CONTENT_RESPONSE, &o));
	for (;;) {
		arena_reset(c->arena);
		if (n == CONTENT_CHAIN_MAX)
			return fail(E_CORRUPT); /* it was bounded when it was kept */
		chain[n++] = o;
		if (o.previous == 0)
			break;
		TRY(object_get(c, o.previous, &o));
		if (o.kind != CONTENT_RESPONSE || o.depth + 1 != chain[n - 1].depth)
			return fail(E_CORRUPT);
	}
	*ret_n = n;
	return OK;
}

static struct status
load_chain(struct content *c, struct item_room *room)
{
	struct object *chain = arena_array(c->arena, CONTENT_CHAIN_MAX, sizeof(*chain));
	auto_arena struct arena texts = ARENA_INIT(2 * CONTENT_META_MAX);
	struct content walk = *c;
	uint32_t n = 0;

	if (chain == NULL)
		return fail(E_NOMEM);
	walk.arena = &texts;
	TRY(chain_walk(&walk, chain, &n));
	while (n > 0)
		TRY(items_all(c, &chain[--n], 2, room));
	return OK;
}

struct status
content_load(struct content *c)
{
	struct item_room room;
	struct object o;

	TRY(item_room_new(c, CONTENT_ITEMS_MAX, &room));
	if (c->call->kind == CONTENT_RESPONSE) {
		TRY(load_chain(c, &room));
	} else {
		TRY(object_find(c, c->call->target, CONTENT_CONVERSATION, &o));
		TRY(items_all(c, &o, 2, &room));
	}
	c->answer->items = (struct wire_list){ room.items, room.n };
	c->done->items = room.n;
	for (uint32_t i = 0; i < room.n; i++)
		c->done->size += room.items[i].json.len;
	return OK;
}

/* The conversation that it is said in has so many more. */
static struct status
conversation_grow(struct content *c, struct object *conversation, uint32_t n)
{
	TRY(object_find(c, c->call->req->parent, CONTENT_CONVERSATION, conversation));
	conversation->nitems += n;
	conversation->updated_s = c->call->now_s;
	return object_set(c, conversation);
}

/* The response that it goes on from. */
static struct status
follow(struct content *c, struct object *o)
{
	struct object before;

	TRY(object_find(c, c->call->req->previous, CONTENT_RESPONSE, &before));
	if (before.depth >= CONTENT_CHAIN_MAX)
		return fail(E_FULL);
	o->previous = (uint64_t)before.id;
	o->depth = before.depth + 1;
	return OK;
}

struct status
content_save(struct content *c)
{
	const struct content_request *req = c->call->req;
	const struct content_item *items = req->items.items;
	struct object conversation = { .id = 0 };
	struct object o = { .kind = CONTENT_RESPONSE,
		.public_id = c->call->target,
		.created_s = c->call->now_s,
		.updated_s = c->call->now_s,
		.depth = 1,
		.nitems = req->items.count,
		.size = CONTENT_ITEM_COST + req->meta.len,
		.meta = req->meta };

	if (req->body.len > 0 || req->tag.len > 0 || (req->previous.len > 0 && req->parent.len > 0))
		return fail(E_SYNTAX);
	if (req->previous.len > 0)
		TRY(follow(c, &o));
	if (req->parent.len > 0) {
		TRY(conversation_grow(c, &conversation, req->items.count));
		o.conversation = (uint64_t)conversation.id;
	}
	TRY(object_add(c, &o));
	TRY(items_add(c, &req->items, (uint64_t)o.id, o.conversation));
	TRY(use_add(c, 1, o.size + items_cost(&req->items)));
	c->done->items = 1 + req->items.count;
	c->done->size = o.meta.len;
	for (uint32_t i = 0; i < req->items.count; i++)
		c->done->size += items[i].json.len;
	return OK;
}
