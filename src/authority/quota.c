/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota.c: sliding windows and counts of what runs.
 *
 * Runs in: authority. Trusts: nothing. Owns: the windows behind holders.
 * Invariants: a request is counted in both windows or in none; `running` never
 * goes below zero (abort: it would be our own fault).
 * See: quota.h.
 */
#include "quota.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool rate_ready(struct holder *h, uint64_t now_s);
static void rate_advance(struct rate *r, uint64_t now_s);
static uint32_t rate_retry_ms(const struct rate *r, uint32_t limit, uint64_t now_ms);
static uint32_t rate_reset_ms(const struct rate *r, uint64_t now_ms);
static void rate_tell(
    const struct rate *r, uint32_t limit, uint64_t now_ms, struct verdict *v, bool first);

static enum error
refusal(const struct holder *key, struct limit_set key_limits, const struct holder *user,
    struct limit_set user_limits)
{
	if (key->rate->total >= key_limits.per_min || user->rate->total >= user_limits.per_min)
		return ERROR_RATE_LIMIT;
	if (key->running >= key_limits.concurrent || user->running >= user_limits.concurrent)
		return ERROR_CONCURRENCY;
	return ERROR_NONE;
}

bool
limits_full(struct holder *key, struct limit_set key_limits, struct holder *user,
    struct limit_set user_limits, uint64_t now_ms)
{
	uint64_t now_s = now_ms / 1000;

	return !rate_ready(key, now_s) || !rate_ready(user, now_s) ||
	       refusal(key, key_limits, user, user_limits) != ERROR_NONE;
}

void
limits_take(struct holder *key, struct limit_set key_limits, struct holder *user,
    struct limit_set user_limits, uint64_t now_ms, struct verdict *v)
{
	uint64_t now_s = now_ms / 1000;

	*v = (struct verdict){ .error = ERROR_NONE };
	if (!rate_ready(key, now_s) || !rate_ready(user, now_s)) {
		v->error = ERROR_OVERLOADED;
		return;
	}
	v->error = refusal(key, key_limits, user, user_limits);
	if (v->error == ERROR_NONE) {
		struct rate *both[] = { key->rate, user->rate };

		for (size_t i = 0; i < 2; i++) {
			both[i]->slots[now_s % RATE_SLOTS]++;
			both[i]->total++;
		}
	}
	rate_tell(key->rate, key_limits.per_min, now_ms, v, true);
	rate_tell(user->rate, user_limits.per_min, now_ms, v, false);
	if (v->error == ERROR_CONCURRENCY)
		v->retry_after_ms = CONCURRENCY_RETRY_MS;
}

static void
rate_give_back(struct rate *r, uint64_t s)
{
	/* The second may have left the window, and the window its memory. */
	if (r == NULL || s > r->now_s || r->now_s - s >= RATE_SLOTS ||
	    r->slots[s % RATE_SLOTS] == 0)
		return;
	r->slots[s % RATE_SLOTS]--;
	r->total--;
}

void
limits_give_back(struct holder *key, struct holder *user, uint64_t counted_ms)
{
	rate_give_back(key->rate, counted_ms / 1000);
	rate_give_back(user->rate, counted_ms / 1000);
}

void
limits_hold(struct holder *key, struct holder *user)
{
	key->running++;
	user->running++;
}

void
limits_release(struct holder *key, struct holder *user)
{
	assert(key->running > 0 && user->running > 0);
	key->running--;
	user->running--;
}

void
holder_sweep(struct holder *h, uint64_t now_ms)
{
	if (h->rate != NULL && h->rate->now_s + RATE_IDLE_S < now_ms / 1000)
		holder_done(h);
}

void
holder_done(struct holder *h)
{
	free(h->rate);
	h->rate = NULL;
}

static bool
rate_ready(struct holder *h, uint64_t now_s)
{
	if (h->rate == NULL) {
		h->rate = calloc(1, sizeof(*h->rate));
		if (h->rate == NULL)
			return false;
		h->rate->now_s = now_s;
	}
	rate_advance(h->rate, now_s);
	return true;
}

static void
rate_advance(struct rate *r, uint64_t now_s)
{
	if (now_s < r->now_s + RATE_SLOTS) {
		while (r->now_s < now_s) {
			r->now_s++;
			r->total -= r->slots[r->now_s % RATE_SLOTS];
			r->slots[r->now_s % RATE_SLOTS] = 0;
		}
		return;
	}
	*r = (struct rate){ .now_s = now_s };
}

/* When second `s` leaves the window, from now. */
static uint32_t
leaves_ms(uint64_t s, uint64_t now_ms)
{
	uint64_t ms = (s + RATE_SLOTS) * 1000 - now_ms;

	/* The window's slots make it up to a second longer; clients stop listening at 60 s. */
	return (uint32_t)(ms > RATE_WINDOW_S * 1000 ? RATE_WINDOW_S * 1000 : ms);
}

static uint32_t
rate_retry_ms(const struct rate *r, uint32_t limit, uint64_t now_ms)
{
	uint32_t left = r->total;

	for (uint64_t back = RATE_SLOTS; back-- > 0;) {
		uint64_t s = r->now_s - back;

		if (back > r->now_s)
			continue;
		left -= r->slots[s % RATE_SLOTS];
		if (left < limit)
			return leaves_ms(s, now_ms);
	}
	return RATE_WINDOW_S * 1000;
}

static uint32_t
rate_reset_ms(const struct rate *r, uint64_t now_ms)
{
	for (uint64_t back = 0; back < RATE_SLOTS && back <= r->now_s; back++) {
		if (r->slots[(r->now_s - back) % RATE_SLOTS] != 0)
			return leaves_ms(r->now_s - back, now_ms);
	}
	return 0;
}

static void
rate_tell(const struct rate *r, uint32_t limit, uint64_t now_ms, struct verdict *v, bool first)
{
	uint32_t remaining = r->total < limit ? limit - r->total : 0;

	if (v->error == ERROR_RATE_LIMIT && r->total >= limit) {
		uint32_t wait = rate_retry_ms(r, limit, now_ms);

		if (wait > v->retry_after_ms)
			v->retry_after_ms = wait;
	}
	if (!first && remaining >= v->remaining)
		return;
	v->limit = limit;
	v->remaining = remaining;
	v->reset_ms = rate_reset_ms(r, now_ms);
}
