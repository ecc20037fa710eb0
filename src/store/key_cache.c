/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_cache.c: unwrapped keys, the least recently used one leaves first.
 *
 * Runs in: store. Trusts: nothing comes from outside. Owns: one locked slab.
 * Invariants: a key that left is wiped before its place is used again; an id is in
 * at most one place.
 * See: key_cache.h.
 */
#include "key_cache.h"

#include <stdlib.h>
#include <sys/queue.h>

#define BUCKETS 1024U

struct entry {
	TAILQ_ENTRY(entry) used; /* the last one was used last */
	LIST_ENTRY(entry) same;  /* of its bucket, while `live` */
	uint64_t id, owner;
	struct secret key; /* a view of the slab */
	bool live;
};

struct key_cache {
	struct secret slab;
	struct entry *entries;
	uint32_t max;
	TAILQ_HEAD(, entry) used;
	LIST_HEAD(bucket, entry) buckets[BUCKETS];
};

static struct bucket *
bucket_of(struct key_cache *c, uint64_t id)
{
	return &c->buckets[id % BUCKETS]; /* ids are the store's own, and count up */
}

struct status
key_cache_new(uint32_t max, struct key_cache **ret)
{
	struct key_cache *c;
	struct status st;

	if (max == 0 || max > KEY_CACHE_MAX)
		return fail(E_RANGE);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return fail(E_NOMEM);
	TAILQ_INIT(&c->used);
	c->max = max;
	c->entries = calloc(max, sizeof(*c->entries));
	st = c->entries == NULL ? fail(E_NOMEM) : secret_new(max * SEAL_KEY_LEN, &c->slab);
	if (!is_ok(st)) {
		key_cache_free(c);
		return st;
	}
	for (uint32_t i = 0; i < max; i++) {
		c->entries[i].key = (struct secret){ .ptr = c->slab.ptr + i * SEAL_KEY_LEN,
			.len = SEAL_KEY_LEN };
		TAILQ_INSERT_TAIL(&c->used, &c->entries[i], used);
	}
	*ret = c;
	return OK;
}

void
key_cache_free(struct key_cache *c)
{
	if (c == NULL)
		return;
	secret_done(&c->slab);
	free(c->entries);
	free(c);
}

static struct entry *
find(struct key_cache *c, uint64_t id)
{
	struct entry *e;

	LIST_FOREACH(e, bucket_of(c, id), same)
	{
		if (e->id == id)
			return e;
	}
	return NULL;
}

static void
forget(struct key_cache *c, struct entry *e)
{
	secret_wipe(e->key.ptr, SEAL_KEY_LEN);
	if (e->live)
		LIST_REMOVE(e, same);
	e->live = false;
	TAILQ_REMOVE(&c->used, e, used);
	TAILQ_INSERT_HEAD(&c->used, e, used);
}

const struct secret *
key_cache_get(struct key_cache *c, uint64_t id, uint64_t owner)
{
	struct entry *e = find(c, id);

	if (e == NULL || e->owner != owner)
		return NULL;
	TAILQ_REMOVE(&c->used, e, used);
	TAILQ_INSERT_TAIL(&c->used, e, used);
	return &e->key;
}

struct secret *
key_cache_add(struct key_cache *c, uint64_t id, uint64_t owner)
{
	struct entry *e;

	key_cache_drop(c, id);
	e = TAILQ_FIRST(&c->used);
	forget(c, e);
	e->id = id;
	e->owner = owner;
	e->live = true;
	LIST_INSERT_HEAD(bucket_of(c, id), e, same);
	TAILQ_REMOVE(&c->used, e, used);
	TAILQ_INSERT_TAIL(&c->used, e, used);
	return &e->key;
}

void
key_cache_drop(struct key_cache *c, uint64_t id)
{
	struct entry *e = find(c, id);

	if (e != NULL)
		forget(c, e);
}

void
key_cache_drop_owner(struct key_cache *c, uint64_t owner)
{
	for (uint32_t i = 0; i < c->max; i++) {
		if (c->entries[i].live && c->entries[i].owner == owner)
			forget(c, &c->entries[i]);
	}
}

void
key_cache_clear(struct key_cache *c)
{
	for (uint32_t i = 0; i < c->max; i++) {
		if (c->entries[i].live)
			forget(c, &c->entries[i]);
	}
}

void
key_cache_keep(struct key_cache *c, bool (*keep)(void *ctx, uint64_t id), void *ctx)
{
	for (uint32_t i = 0; i < c->max; i++) {
		if (c->entries[i].live && !keep(ctx, c->entries[i].id))
			forget(c, &c->entries[i]);
	}
}
