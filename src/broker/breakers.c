/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breakers.c: keep calls away from a provider that fails, and one tenant's failures from others.
 *
 * Runs in: broker. Trusts: its caller's clock. Owns: nothing.
 * Invariants: one tenant alone never keeps another one's calls away, however it makes a provider
 * fail; a tenant without failures takes no room.
 * See: breakers.h, breaker.h.
 */
#include "breakers.h"

#include <string.h>

#define NONE BREAKERS_TENANTS_MAX

static size_t
find(const struct breakers *b, const char *tenant)
{
	size_t i = 0;

	while (i < BREAKERS_TENANTS_MAX && strcmp(b->rows[i].tenant, tenant) != 0)
		i++;
	return i;
}

/* Open, and not due for a probe yet. */
static bool
keeps_away(const struct breaker *b, uint64_t now_ms)
{
	return b->state == BREAKER_OPEN && now_ms < b->until_ms;
}

bool
breakers_pass(const struct breakers *b, const char *tenant, uint64_t now_ms)
{
	unsigned open = 0;

	for (size_t i = 0; i < BREAKERS_TENANTS_MAX; i++) {
		if (b->rows[i].tenant[0] == '\0')
			continue;
		if (strcmp(b->rows[i].tenant, tenant) == 0 &&
		    !breaker_passes(&b->rows[i].breaker, now_ms))
			return false;
		open += keeps_away(&b->rows[i].breaker, now_ms);
	}
	return open < BREAKERS_AGREE;
}

void
breakers_begin(struct breakers *b, const char *tenant, uint64_t now_ms)
{
	size_t i = find(b, tenant);

	if (i < NONE)
		breaker_begin(&b->rows[i].breaker, now_ms);
}

unsigned
breakers_open(const struct breakers *b)
{
	unsigned n = 0;

	for (size_t i = 0; i < BREAKERS_TENANTS_MAX; i++)
		n += b->rows[i].breaker.state != BREAKER_CLOSED;
	return n;
}

/* A row for a tenant that fails: a free one, else that of which was heard longest ago. */
static size_t
take_row(struct breakers *b, const char *tenant)
{
	size_t best = 0;

	for (size_t i = 0; i < BREAKERS_TENANTS_MAX && b->rows[best].tenant[0] != '\0'; i++) {
		if (b->rows[i].tenant[0] == '\0' || b->rows[i].used_ms < b->rows[best].used_ms)
			best = i;
	}
	memset(&b->rows[best], 0, sizeof(b->rows[best]));
	strncpy(b->rows[best].tenant, tenant, TENANT_MAX);
	return best;
}

int
breakers_end(struct breakers *b, const char *tenant, enum outcome o, uint64_t now_ms)
{
	unsigned before = breakers_open(b);
	size_t i = find(b, tenant);

	if (i == NONE && o != OUTCOME_BAD)
		return 0;
	if (i == NONE)
		i = take_row(b, tenant);
	b->rows[i].used_ms = now_ms;
	if (o == OUTCOME_GOOD && b->rows[i].breaker.state == BREAKER_OPEN)
		return 0; /* it began before: that says nothing of now */
	if (o == OUTCOME_GOOD)
		memset(&b->rows[i], 0, sizeof(b->rows[i]));
	else if (o == OUTCOME_BEGUN)
		breaker_begun(&b->rows[i].breaker);
	else if (o == OUTCOME_BAD)
		breaker_bad(&b->rows[i].breaker, now_ms);
	else
		breaker_unknown(&b->rows[i].breaker, now_ms);
	return (int)breakers_open(b) - (int)before;
}
