/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep_clock.c: the time that sweeps go by: that of the clock, unless it jumps ahead.
 *
 * Runs in: store. Trusts: the clock that counts since boot; the other one after a day.
 * Owns: nothing. Invariants: what is deleted for its age is gone for good, so a wrong date must
 * not be enough for it: where the clock is ahead of what has gone by, or at a start of the last day
 * on which the service ran, it is believed when it has been so for SWEEP_DOUBT_S. Until then time
 * goes on from what was believed before. A clock that goes back is believed at once.
 * See: privacy.h.
 */
#include "privacy.h"

#define AHEAD_S 3600 /* a clock may be set so far */
#define DAY_S 86400

void
sweep_clock_start(struct sweep_clock *c, uint64_t newest_s, uint64_t real_s, uint64_t boot_s)
{
	uint64_t last_s = newest_s + 2 * DAY_S; /* the end of that day, and one that it was off */

	*c = (struct sweep_clock){ .real_s = newest_s != 0 && last_s < real_s ? last_s : real_s,
		.boot_s = boot_s };
}

uint64_t
sweep_clock_now(struct sweep_clock *c, uint64_t real_s, uint64_t boot_s, bool *ret_jumped)
{
	uint64_t believed_s = c->real_s + (boot_s - c->boot_s);

	*ret_jumped = false;
	if (real_s <= believed_s + AHEAD_S || (c->until_s != 0 && boot_s >= c->until_s)) {
		*c = (struct sweep_clock){ .real_s = real_s, .boot_s = boot_s };
		return real_s;
	}
	*ret_jumped = c->until_s == 0;
	if (c->until_s == 0)
		c->until_s = boot_s + SWEEP_DOUBT_S;
	return believed_s;
}
