/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget.c: who may keep how much of request bodies in memory.
 *
 * Runs in: gateway. Trusts: nothing; credentials may be wrong still.
 * Owns: a table of those that have bodies here, at most two a body.
 * Invariants: an owner exists as long as a body of it; sums of the owners of one
 * kind are the sums of the worker.
 * See: budget.h; request.c, "the body"; limits.bodies_total_bytes.
 */
#include "budget.h"

#include <stdlib.h>
#include <string.h>

#include <crypto/hash.h>

#define RESERVE_PART 8 /* of the total: for the first bytes of each body, beside the total */

/* One part in so many of each pool. A source is shared by honest clients more often. */
static const uint64_t parts[SHARE_COUNT] = { [SHARE_KEY] = 4, [SHARE_SOURCE] = 2 };

static uint64_t
max_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void
budget_configure(struct budget *b, uint64_t total, uint64_t body_max)
{
	b->max[POOL_SMALL] = max_of(total / RESERVE_PART, BUDGET_SMALL_BODY);
	b->max[POOL_LARGE] = total;
	for (int i = 0; i < SHARE_COUNT; i++) {
		b->share_max[i][POOL_SMALL] = max_of(
		    b->max[POOL_SMALL] / parts[i], BUDGET_SMALL_BODY);
		b->share_max[i][POOL_LARGE] = max_of(total / parts[i], body_max);
	}
}

static struct budget_owner *
enter(struct budget *b, enum budget_share share, const uint8_t id[DIGEST_LEN])
{
	struct budget_owner *o;
	uint64_t hash;

	memcpy(&hash, id, sizeof(hash)); /* of a digest: even enough */
	LIST_FOREACH(o, &b->buckets[hash % BUDGET_BUCKETS], next)
	{
		if (o->share == share && memcmp(o->id, id, DIGEST_LEN) == 0)
			break;
	}
	if (o == NULL) {
		o = calloc(1, sizeof(*o));
		if (o == NULL)
			return NULL;
		o->share = share;
		memcpy(o->id, id, DIGEST_LEN);
		LIST_INSERT_HEAD(&b->buckets[hash % BUDGET_BUCKETS], o, next);
		b->owners++;
	}
	o->refs++;
	return o;
}

struct status
budget_own(struct budget *b, struct budget_charge *c, struct span credential,
    const uint8_t source[SOURCE_LEN])
{
	const struct span names[SHARE_COUNT] = { credential, span_of(source, SOURCE_LEN) };

	for (int i = 0; i < SHARE_COUNT; i++) {
		uint8_t id[DIGEST_LEN];

		TRY(sha256(names[i], id));
		c->owners[i] = enter(b, (enum budget_share)i, id);
		if (c->owners[i] == NULL)
			return fail(E_NOMEM);
	}
	return OK;
}

static bool
fits(const struct budget *b, const struct budget_charge *c, enum budget_pool pool, uint64_t n)
{
	if (n > b->max[pool] || b->used[pool] > b->max[pool] - n)
		return false;
	for (int i = 0; i < SHARE_COUNT; i++) {
		if (c->owners[i]->used[pool] + n > b->share_max[i][pool])
			return false;
	}
	return true;
}

static void
take(struct budget *b, struct budget_charge *c, enum budget_pool pool, uint64_t n)
{
	b->used[pool] += n;
	c->used[pool] += n;
	for (int i = 0; i < SHARE_COUNT; i++)
		c->owners[i]->used[pool] += n;
}

struct status
budget_charge(struct budget *b, struct budget_charge *c, uint64_t more)
{
	uint64_t had = c->used[POOL_SMALL] + c->used[POOL_LARGE];
	uint64_t small = had < BUDGET_SMALL_BODY ? BUDGET_SMALL_BODY - had : 0;

	if (small > more)
		small = more;
	if (!fits(b, c, POOL_SMALL, small))
		small = 0;
	if (more > small && !fits(b, c, POOL_LARGE, more - small))
		return fail(E_FULL);
	take(b, c, POOL_SMALL, small);
	take(b, c, POOL_LARGE, more - small);
	return OK;
}

void
budget_release(struct budget *b, struct budget_charge *c)
{
	for (int i = 0; i < POOL_COUNT; i++)
		b->used[i] -= c->used[i];
	for (int i = 0; i < SHARE_COUNT; i++) {
		struct budget_owner *o = c->owners[i];

		if (o == NULL)
			continue;
		for (int k = 0; k < POOL_COUNT; k++)
			o->used[k] -= c->used[k];
		if (--o->refs > 0)
			continue;
		LIST_REMOVE(o, next);
		free(o);
		b->owners--;
	}
	*c = (struct budget_charge){ .used = { 0 } };
}
