/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_set.c: what keys' tools are, remembered between requests.
 *
 * Runs in: gateway. Trusts: the authority, which says whose tools they are and refuses what is
 * not true any more.
 * Owns: the sets kept, TOOL_SETS_MAX and TOOL_SETS_BYTES_MAX at most.
 * Invariants: found by the digest of the whole credential that they were told for: with another
 * key, or with a wrong secret behind a right id, nothing is found; a credential is not kept; the
 * one used longest ago goes first, and lives on while a request holds it.
 * See: loop.c, tool_call.c; wire/gateway_authority.h, `catalog`.
 */
#include "tool_set.h"

#include <assert.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <crypto/hash.h>

#define SET_BYTES_MAX (2UL * GA_TOOLS_BYTES_MAX)

/* ---- one ---- */

struct status
tool_set_new(const struct ga_admitted *m, struct tool_set **ret)
{
	struct tool_set *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return fail(E_NOMEM);
	s->refs = 1;
	s->attach = m->attach;
	s->arena = ARENA_INIT(SET_BYTES_MAX);
	if (!is_ok(tool_offers_take(&s->offers, m, &s->arena))) {
		tool_set_release(s);
		return fail(E_NOMEM);
	}
	*ret = s;
	return OK;
}

void
tool_set_release(struct tool_set *s)
{
	if (s == NULL)
		return;
	assert(s->refs > 0);
	if (--s->refs > 0)
		return;
	arena_done(&s->arena);
	free(s);
}

/* ---- all ---- */

void
tool_sets_init(struct tool_sets *all)
{
	*all = (struct tool_sets){ .count = 0 };
	TAILQ_INIT(&all->order);
}

static void
forget(struct tool_sets *all, struct tool_set *s)
{
	LIST_REMOVE(s, in_bucket);
	TAILQ_REMOVE(&all->order, s, in_order);
	all->count--;
	all->bytes -= s->arena.used;
	tool_set_release(s);
}

void
tool_sets_free(struct tool_sets *all)
{
	while (!TAILQ_EMPTY(&all->order))
		forget(all, TAILQ_FIRST(&all->order));
}

/* No part of it can be taken for another: a credential has no NUL, nor has a name. */
static struct status
digest_of(const struct tool_set_key *k, uint8_t id[DIGEST_LEN])
{
	auto_buf struct buf b = BUF_INIT(CREDENTIAL_MAX + TOOL_MAX + 8);
	/* At once: where it grows it would leave copies. */
	struct status st = buf_reserve(&b, k->credential.len + k->name.len + 8);

	if (is_ok(st))
		st = buf_put_span(&b, k->credential);
	if (is_ok(st))
		st = buf_put_u8(&b, '\0');
	if (is_ok(st))
		st = buf_put_span(&b, k->name);
	if (is_ok(st))
		st = buf_put(&b, &k->version, sizeof(k->version));
	if (is_ok(st))
		st = sha256(buf_span(&b), id);
	if (b.ptr != NULL)
		explicit_bzero(b.ptr, b.cap);
	return st;
}

static struct tool_set *
look_up(struct tool_sets *all, const uint8_t id[DIGEST_LEN])
{
	struct tool_set *s;

	LIST_FOREACH(s, &all->buckets[id[0] % TOOL_SET_BUCKETS], in_bucket)
	{
		if (memcmp(s->id, id, DIGEST_LEN) == 0)
			return s;
	}
	return NULL;
}

struct tool_set *
tool_sets_find(struct tool_sets *all, const struct tool_set_key *k)
{
	uint8_t id[DIGEST_LEN];
	struct tool_set *s;

	if (all->count == 0 || !is_ok(digest_of(k, id)))
		return NULL;
	s = look_up(all, id);
	if (s == NULL)
		return NULL;
	TAILQ_REMOVE(&all->order, s, in_order);
	TAILQ_INSERT_HEAD(&all->order, s, in_order);
	s->refs++;
	return s;
}

void
tool_sets_keep(struct tool_sets *all, const struct tool_set_key *k, struct tool_set *s)
{
	struct tool_set *old;

	if (!is_ok(digest_of(k, s->id)))
		return;
	old = look_up(all, s->id);
	if (old != NULL)
		forget(all, old);
	if (s->offers.catalog == 0 && s->attach == 0)
		return;
	while (!TAILQ_EMPTY(&all->order) &&
	       (all->count == TOOL_SETS_MAX || all->bytes + s->arena.used > TOOL_SETS_BYTES_MAX))
		forget(all, TAILQ_LAST(&all->order, tool_set_order));
	s->refs++;
	all->count++;
	all->bytes += s->arena.used;
	LIST_INSERT_HEAD(&all->buckets[s->id[0] % TOOL_SET_BUCKETS], s, in_bucket);
	TAILQ_INSERT_HEAD(&all->order, s, in_order);
}
