/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker.c: keep calls away from a provider that fails.
 *
 * Runs in: broker. Trusts: its caller's clock. Owns: nothing.
 * Invariants: while half open at most one call is under way; an open breaker is probed after
 * BREAKER_OPEN_MAX_MS at the latest.
 * See: breaker.h.
 */
#include "breaker.h"

bool
breaker_passes(const struct breaker *b, uint64_t now_ms)
{
	return b->state == BREAKER_CLOSED || now_ms >= b->until_ms;
}

void
breaker_begin(struct breaker *b, uint64_t now_ms)
{
	if (b->state == BREAKER_CLOSED)
		return;
	b->state = BREAKER_HALF_OPEN;
	b->until_ms = now_ms + BREAKER_PROBE_MS;
}

void
breaker_good(struct breaker *b)
{
	*b = (struct breaker){ .state = BREAKER_CLOSED };
}

void
breaker_begun(struct breaker *b)
{
	if (b->state == BREAKER_HALF_OPEN)
		*b = (struct breaker){ .failures = BREAKER_FAILURES - 1 };
}

static void
open_for(struct breaker *b, uint32_t ms, uint64_t now_ms)
{
	b->state = BREAKER_OPEN;
	b->open_ms = ms < BREAKER_OPEN_MAX_MS ? ms : BREAKER_OPEN_MAX_MS;
	b->until_ms = now_ms + b->open_ms;
}

void
breaker_bad(struct breaker *b, uint64_t now_ms)
{
	if (b->state == BREAKER_HALF_OPEN)
		open_for(b, b->open_ms * 2, now_ms);
	else if (b->state == BREAKER_CLOSED && ++b->failures >= BREAKER_FAILURES)
		open_for(b, BREAKER_OPEN_MIN_MS, now_ms);
}

void
breaker_unknown(struct breaker *b, uint64_t now_ms)
{
	if (b->state == BREAKER_HALF_OPEN)
		b->until_ms = now_ms; /* the next call is the probe */
}
