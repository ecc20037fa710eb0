/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_QUOTA_H
#define AUTHORITY_QUOTA_H

/*
 * Requests a minute and requests at once, of a key and of its user. Exact: no
 * 60 seconds, wherever they begin, hold more than the limit. A count is given
 * back at the end of the second in which it turns 60 s old.
 */
#include <stdbool.h>
#include <stdint.h>

#include <wire/errors.h>

#define RATE_WINDOW_S 60
#define RATE_SLOTS (RATE_WINDOW_S + 1) /* the current second is not over */
#define RATE_IDLE_S 120                /* then a window's memory goes */
#define CONCURRENCY_RETRY_MS 1000

struct rate {
	uint64_t now_s; /* the newest slot */
	uint32_t total;
	uint32_t slots[RATE_SLOTS]; /* by second modulo RATE_SLOTS */
};

/* What a key or a user has used. */
struct holder {
	struct rate *rate; /* NULL until used, and after a long pause */
	uint32_t running;
};

struct limit_set {
	uint32_t per_min;
	uint32_t concurrent;
};

/* For the answer's headers: the tighter of the two windows. */
struct verdict {
	enum error error;
	uint32_t limit;
	uint32_t remaining;
	uint32_t reset_ms;
	uint32_t retry_after_ms;
};

/*
 * Count one request against both, or neither. Errors in v: ERROR_RATE_LIMIT,
 * ERROR_CONCURRENCY, ERROR_OVERLOADED (memory). Units: now_ms is monotonic.
 */
void limits_take(struct holder *key, struct limit_set key_limits, struct holder *user,
    struct limit_set user_limits, uint64_t now_ms, struct verdict *v);
/* Would limits_take() refuse now? Counts nothing. */
bool limits_full(struct holder *key, struct limit_set key_limits, struct holder *user,
    struct limit_set user_limits, uint64_t now_ms);
/* The request that was counted at `counted_ms` had no effect, by no fault of its own. */
void limits_give_back(struct holder *key, struct holder *user, uint64_t counted_ms);
void limits_hold(struct holder *key, struct holder *user);
void limits_release(struct holder *key, struct holder *user);
/* Free a window that has been idle. */
void holder_sweep(struct holder *h, uint64_t now_ms);
void holder_done(struct holder *h);

#endif
