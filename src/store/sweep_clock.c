/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep_clock.c: the time that sweeps go by: that of the clock, unless it jumps ahead.
 *
 * Runs in: store. Trusts: the clock that counts since boot; the other one after a day.
 * Owns: nothing. Invariants: what is deleted for its age is gone for good, so a wrong date must
 * not be enough for it: where the clock is ahead of what has gone by, it is believed when the
 * service has run so for SWEEP_DOUBT_S, also with restarts in between: what is believed, and for
 * how long it was doubted, is a row of the database. Until then time goes on from what was believed
 * before. The days of the keys say nothing where there is such a row: they are asked for by the
 * same clock. One that goes back is gone by at once, but is what the next jump is measured from
 * after a day only: clocks begin anywhere before they are set. See: privacy.h.
 */
#include "privacy.h"

#define AHEAD_S 3600 /* a clock may be set so far */
#define DAY_S 86400
#define OFF_S DAY_S /* and the service be off */

static const struct span row = SPAN_LIT("sweep-clock");

static enum sweep_side
side_of(const struct sweep_clock *c, uint64_t real_s)
{
	if (real_s > c->at.real_s + AHEAD_S + c->off_s)
		return SWEEP_AHEAD;
	return real_s + AHEAD_S < c->at.real_s ? SWEEP_BEHIND : SWEEP_BELIEVED;
}

static void
believe(struct sweep_clock *c, uint64_t real_s)
{
	c->at = (struct sweep_kept){ .real_s = real_s };
	c->off_s = 0;
	c->said = false;
}

void
sweep_clock_start(struct sweep_clock *c, const struct sweep_kept *kept, uint64_t off_s,
    uint64_t real_s, uint64_t boot_s)
{
	*c = (struct sweep_clock){ .at = *kept, .kept = *kept, .boot_s = boot_s, .off_s = off_s };
	if (kept->real_s == 0 || side_of(c, real_s) == SWEEP_BELIEVED)
		believe(c, real_s);
}

uint64_t
sweep_clock_now(struct sweep_clock *c, uint64_t real_s, uint64_t boot_s, bool *ret_jumped)
{
	uint64_t gone_s = boot_s - c->boot_s;
	enum sweep_side side;

	c->boot_s = boot_s;
	c->at.real_s += gone_s;
	side = side_of(c, real_s);
	c->at.doubted_s = side == c->at.side ? c->at.doubted_s + gone_s : 0;
	c->at.side = side;
	*ret_jumped = side == SWEEP_AHEAD && !c->said;
	c->said = side == SWEEP_AHEAD;
	if (side == SWEEP_BELIEVED || c->at.doubted_s >= SWEEP_DOUBT_S) {
		believe(c, real_s);
		*ret_jumped = false;
	}
	return side == SWEEP_AHEAD ? c->at.real_s : real_s;
}

/* ---- in the database ---- */

static void
put_number(uint64_t n, uint8_t out[8])
{
	for (size_t i = 0; i < 8; i++)
		out[i] = (uint8_t)(n >> (56 - 8 * i));
}

static uint64_t
get_number(const uint8_t in[8])
{
	uint64_t n = 0;

	for (size_t i = 0; i < 8; i++)
		n = n << 8 | in[i];
	return n;
}

static struct status
kept_get(struct db *db, struct sweep_kept *ret)
{
	uint8_t value[AS_SECRET_LEN] = { 0 };

	TRY(db_secret_find(db, row, value));
	if (value[16] > SWEEP_BEHIND)
		return fail(E_CORRUPT);
	*ret = (struct sweep_kept){ get_number(value), get_number(value + 8),
		(enum sweep_side)value[16] };
	return OK;
}

static struct status
kept_put(struct db *db, const struct sweep_kept *k)
{
	uint8_t value[AS_SECRET_LEN] = { 0 }, old[AS_SECRET_LEN];
	struct status st;

	put_number(k->real_s, value);
	put_number(k->doubted_s, value + 8);
	value[16] = (uint8_t)k->side;
	st = db_secret_find(db, row, old);
	return st.code == E_NOTFOUND ? db_secret_put(db, row, value)
				     : db_secret_set(db, row, value);
}

struct status
db_sweep_clock_start(struct db *db, uint64_t real_s, uint64_t boot_s, struct sweep_clock *c)
{
	struct sweep_kept kept = { 0 };
	struct status st = kept_get(db, &kept);

	if (is_ok(st)) {
		sweep_clock_start(c, &kept, OFF_S, real_s, boot_s);
		return OK;
	}
	/* As of before there was such a row: it ran within the last day of which there is a key. */
	kept = (struct sweep_kept){ 0 };
	if (!is_ok(db_day_newest(db, &kept.real_s)))
		kept.real_s = 0;
	sweep_clock_start(c, &kept, DAY_S + OFF_S, real_s, boot_s);
	c->kept = (struct sweep_kept){ 0 };
	return st.code == E_NOTFOUND ? OK : st;
}

struct status
db_sweep_clock_keep(struct db *db, struct sweep_clock *c)
{
	uint64_t at_s = c->at.real_s, kept_s = c->kept.real_s;

	if (c->at.side == c->kept.side &&
	    (at_s > kept_s ? at_s - kept_s : kept_s - at_s) < SWEEP_KEEP_S)
		return OK;
	TRY(db_begin(db));
	TRY(db_end(db, kept_put(db, &c->at)));
	c->kept = c->at;
	return OK;
}
