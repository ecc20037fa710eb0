/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.c: what the authority allowed and nobody has done yet.
 *
 * Runs in: broker. Trusts: the authority; a gateway's claims are compared.
 * Owns: a table of fixed size, found by the grant's random id.
 * Invariants: a grant is used at most once, by the gateway it names, before it expires.
 * See: wire/grant.h.
 */
#include "grants.h"

/* Ids are random, so any part of one is a hash; the comparison must not tell how far it got. */
static uint32_t *
bucket_of(struct grants *g, const uint8_t id[GRANT_LEN])
{
	return &g->buckets[((uint32_t)id[0] << 8 | id[1]) % GRANTS_BUCKETS];
}

static bool
same_id(const uint8_t a[GRANT_LEN], const uint8_t b[GRANT_LEN])
{
	uint8_t diff = 0;

	for (size_t i = 0; i < GRANT_LEN; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

/* The link that leads to the grant, or to 0. */
static uint32_t *
find(struct grants *g, const uint8_t id[GRANT_LEN])
{
	uint32_t *at = bucket_of(g, id);

	while (*at != 0 && !same_id(g->rows[*at - 1].id, id))
		at = &g->rows[*at - 1].next;
	return at;
}

static void
drop(struct grants *g, uint32_t *at)
{
	uint32_t n = *at;
	struct held_grant *row = &g->rows[n - 1];

	*at = row->next;
	*row = (struct held_grant){ .next = g->free };
	g->free = n;
	g->count--;
}

typedef bool drop_test(const struct held_grant *row, uint64_t arg);

static void
drop_if(struct grants *g, drop_test *test, uint64_t arg)
{
	for (size_t b = 0; b < GRANTS_BUCKETS; b++) {
		uint32_t *at = &g->buckets[b];

		while (*at != 0) {
			if (test(&g->rows[*at - 1], arg))
				drop(g, at);
			else
				at = &g->rows[*at - 1].next;
		}
	}
}

static bool
is_expired(const struct held_grant *row, uint64_t now_ms)
{
	return row->expires_ms <= now_ms;
}

static bool
is_of_turn(const struct held_grant *row, uint64_t turn)
{
	return row->turn == turn;
}

static bool
is_any(const struct held_grant *row, uint64_t unused)
{
	(void)row, (void)unused;
	return true;
}

/* An empty row: index + 1; 0 when the table is full. */
static uint32_t
take_row(struct grants *g)
{
	uint32_t n = g->free;

	if (n != 0) {
		g->free = g->rows[n - 1].next;
		return n;
	}
	return g->fresh < GRANTS_MAX ? ++g->fresh : 0;
}

struct status
grants_add(struct grants *g, const struct grant *m, uint64_t now_ms)
{
	struct held_grant row = { .turn = m->turn,
		.gateway = m->gateway,
		.endpoint = m->endpoint,
		.body_len = m->body_len,
		.model_off = m->model_off,
		.expires_ms = now_ms + m->expires_ms };
	uint32_t *bucket = bucket_of(g, m->grant);
	uint32_t n;

	if (*find(g, m->grant) != 0)
		return fail(E_EXISTS);
	TRY(span_to_cstr(m->target, row.target, sizeof(row.target)));
	memcpy(row.id, m->grant, sizeof(row.id));
	memcpy(row.digest, m->digest, sizeof(row.digest));
	if (g->count == GRANTS_MAX)
		drop_if(g, is_expired, now_ms);
	n = take_row(g);
	if (n == 0)
		return fail(E_FULL);
	row.next = *bucket;
	g->rows[n - 1] = row;
	*bucket = n;
	g->count++;
	return OK;
}

struct status
grants_use(struct grants *g, const uint8_t id[GRANT_LEN], uint32_t gateway, uint32_t body_len,
    uint64_t now_ms, struct held_grant *ret)
{
	uint32_t *at = find(g, id);
	struct held_grant row;

	if (*at == 0)
		return fail(E_NOTFOUND);
	row = g->rows[*at - 1];
	if (row.gateway != gateway)
		return fail(E_DENIED);
	drop(g, at);
	if (is_expired(&row, now_ms) || row.body_len != body_len)
		return fail(E_DENIED);
	*ret = row;
	return OK;
}

void
grants_forget_turn(struct grants *g, uint64_t turn)
{
	if (g->count > 0)
		drop_if(g, is_of_turn, turn);
}

void
grants_forget_all(struct grants *g)
{
	drop_if(g, is_any, 0);
}
