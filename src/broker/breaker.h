/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_BREAKER_H
#define BROKER_BREAKER_H

/*
 * Keeps calls away from a provider that fails. Closed: all pass. After
 * BREAKER_FAILURES in a row it opens: none passes. When its time is over, it is
 * half open: one call is let through as a probe, and its end decides. Pure: the
 * caller brings the time (milliseconds of a monotonic clock).
 */
#include <stdbool.h>
#include <stdint.h>

#define BREAKER_FAILURES 5
#define BREAKER_OPEN_MIN_MS 2000  /* the first time */
#define BREAKER_OPEN_MAX_MS 60000 /* it doubles with each probe that fails */
#define BREAKER_PROBE_MS 60000    /* a probe that has not ended is not waited for longer */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker { /* zeroed: closed */
	enum breaker_state state;
	unsigned failures; /* in a row */
	uint32_t open_ms;  /* how long it is open this time */
	uint64_t until_ms; /* open: when it may be probed; half open: when the probe is given up */
};

/* Would a call pass? */
bool breaker_passes(const struct breaker *b, uint64_t now_ms);
/* A call begins; breaker_passes() said yes. */
void breaker_begin(struct breaker *b, uint64_t now_ms);
/* It answers: a probe lets others through again, but one more failure and they wait anew. */
void breaker_begun(struct breaker *b);
/* How it ended: the provider works, or it does not. */
void breaker_good(struct breaker *b);
void breaker_bad(struct breaker *b, uint64_t now_ms);
/* It ended in a way that says neither. */
void breaker_unknown(struct breaker *b, uint64_t now_ms);

#endif
