/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.c: what the authority allowed and nobody has done yet.
 *
 * Runs in: the executor. Trusts: the authority. The gateway's claims are compared.
 * Invariants: a grant is used at most once, by the gateway it names, before it
 * expires; one that was tried with wrong claims is gone.
 * See: wire/grant.h.
 */
#include "grants.h"

#include <base/clock.h>

/* Ids are unguessable, so their comparison must not tell how far it got. */
static bool
same_id(const uint8_t *a, const uint8_t *b)
{
	uint8_t diff = 0;

	for (size_t i = 0; i < GRANT_LEN; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

static void
drop(struct grants *g, struct held_grant *row)
{
	*row = (struct held_grant){ .held = false };
	g->count--;
}

static struct held_grant *
find(struct grants *g, const uint8_t *id)
{
	size_t left = g->count;

	for (size_t i = 0; i < GRANTS_MAX && left > 0; i++) {
		if (!g->rows[i].held)
			continue;
		left--;
		if (same_id(g->rows[i].id, id))
			return &g->rows[i];
	}
	return NULL;
}

static struct held_grant *
free_row(struct grants *g, uint64_t now_ns)
{
	for (size_t i = 0; i < GRANTS_MAX; i++) {
		if (g->rows[i].held && g->rows[i].expires_ns <= now_ns)
			drop(g, &g->rows[i]);
		if (!g->rows[i].held)
			return &g->rows[i];
	}
	return NULL;
}

struct status
grants_add(struct grants *g, const struct grant *msg, uint64_t now_ns)
{
	struct held_grant row = { .held = true,
		.turn = msg->turn,
		.gateway = msg->gateway,
		.keep = msg->keep != 0,
		.body_len = msg->body_len,
		.expires_ns = now_ns + msg->expires_ms * NS_PER_MS };
	struct held_grant *to;

	if (find(g, msg->grant) != NULL)
		return fail(E_EXISTS);
	memcpy(row.id, msg->grant, sizeof(row.id));
	memcpy(row.digest, msg->digest, sizeof(row.digest));
	TRY(span_to_cstr(msg->tenant, row.tenant, sizeof(row.tenant)));
	TRY(span_to_cstr(msg->user, row.user, sizeof(row.user)));
	TRY(span_to_cstr(msg->target, row.language, sizeof(row.language)));
	to = free_row(g, now_ns);
	if (to == NULL)
		return fail(E_FULL);
	*to = row;
	g->count++;
	return OK;
}

struct status
grants_use(struct grants *g, const uint8_t id[GRANT_LEN], uint32_t gateway, uint32_t body_len,
    uint64_t now_ns, struct held_grant *ret)
{
	struct held_grant *row = find(g, id);
	bool fresh;

	if (row == NULL)
		return fail(E_NOTFOUND);
	*ret = *row;
	fresh = row->expires_ns > now_ns;
	drop(g, row);
	if (!fresh || ret->gateway != gateway || ret->body_len != body_len)
		return fail(E_DENIED);
	return OK;
}

void
grants_forget_turn(struct grants *g, uint64_t turn)
{
	for (size_t i = 0; i < GRANTS_MAX; i++) {
		if (g->rows[i].held && g->rows[i].turn == turn)
			drop(g, &g->rows[i]);
	}
}

void
grants_forget_all(struct grants *g)
{
	for (size_t i = 0; i < GRANTS_MAX; i++) {
		if (g->rows[i].held)
			drop(g, &g->rows[i]);
	}
}
