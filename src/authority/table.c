/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c: the index behind keys and users.
 *
 * Runs in: authority. Trusts: nothing. Owns: its slots, not the items.
 * Invariants: never more than half full, so that a search for what is not
 * there is short.
 * See: table.h.
 */
#include "table.h"

#include <stdlib.h>

#include <base/rand.h>

uint64_t
table_hash(const struct table *t, struct span bytes)
{
	uint64_t h = t->seed ^ bytes.len;

	for (size_t i = 0; i < bytes.len; i++) {
		h = (h ^ bytes.ptr[i]) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	return h ^ h >> 32;
}

struct status
table_init(struct table *t, size_t cap, bool (*is)(const void *item, struct span bytes))
{
	*t = (struct table){ .cap = cap, .is = is };
	TRY(rand_bytes(&t->seed, sizeof(t->seed)));
	t->slots = calloc(cap, sizeof(t->slots[0]));
	return t->slots == NULL ? fail(E_NOMEM) : OK;
}

void
table_done(struct table *t)
{
	free(t->slots);
	*t = (struct table){ 0 };
}

void *
table_find(const struct table *t, struct span bytes)
{
	uint64_t hash = table_hash(t, bytes);

	for (size_t i = hash & (t->cap - 1); t->slots[i].item != NULL; i = (i + 1) & (t->cap - 1)) {
		if (t->slots[i].hash == hash && t->is(t->slots[i].item, bytes))
			return t->slots[i].item;
	}
	return NULL;
}

static void
place(struct table *t, uint64_t hash, void *item)
{
	size_t i = hash & (t->cap - 1);

	while (t->slots[i].item != NULL)
		i = (i + 1) & (t->cap - 1);
	t->slots[i].hash = hash;
	t->slots[i].item = item;
}

static struct status
grow(struct table *t)
{
	struct table old = *t;

	t->slots = calloc(old.cap * 2, sizeof(t->slots[0]));
	if (t->slots == NULL) {
		t->slots = old.slots;
		return fail(E_NOMEM);
	}
	t->cap = old.cap * 2;
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slots[i].item != NULL)
			place(t, old.slots[i].hash, old.slots[i].item);
	}
	free(old.slots);
	return OK;
}

struct status
table_put(struct table *t, struct span bytes, void *item)
{
	if ((t->n + 1) * 2 > t->cap)
		TRY(grow(t));
	place(t, table_hash(t, bytes), item);
	t->n++;
	return OK;
}
