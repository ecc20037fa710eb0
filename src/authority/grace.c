/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grace.c: the store is away: for how long what was loaded serves on without it.
 *
 * Runs in: authority. Trusts: nothing. Owns: since when the store is away, and what the log
 * says of it.
 * Invariants: the record that a grace has begun is sent before those of any request that it
 * serves; a clock that jumps does not make it longer (it is counted by the loop's); a store that
 * is silent is asked for nothing, so that what it does late was not refused before.
 * See: grace.h; admit.c, principal.c, which ask what phase it is.
 */
#include "authority.h"

static void grace_tell(struct authority *a);

static const char *const phase_names[GRACE_PHASES] = { "back", "grace", "over" };

enum grace_phase
grace_phase(const struct authority *a)
{
	const struct grace *g = &a->grace;
	uint64_t grace_ms;

	if (!g->away)
		return GRACE_NONE;
	grace_ms = conf_u64(a->d->conf, "store.grace_s") * 1000;
	return now_ms(a) - g->away_ms < grace_ms ? GRACE_RUNS : GRACE_OVER;
}

uint64_t
grace_left_s(const struct authority *a)
{
	uint64_t grace_ms = conf_u64(a->d->conf, "store.grace_s") * 1000;
	uint64_t gone_ms = now_ms(a) - a->grace.away_ms;

	return gone_ms < grace_ms ? (grace_ms - gone_ms + 999) / 1000 : 0;
}

bool
grace_store_is_silent(const struct authority *a)
{
	return a->store.link == NULL || a->grace.silent_ticks >= STORE_SILENT_TICKS;
}

static void
set_away(struct authority *a)
{
	struct grace *g = &a->grace;

	if (g->away || !a->loaded)
		return;
	g->away = true;
	g->away_ms = now_ms(a);
	g->since_s = now_real_s();
	diag(DIAG_WARN, "the store is away: what is loaded serves on for %llu s",
	    (unsigned long long)conf_u64(a->d->conf, "store.grace_s"));
	grace_tell(a);
}

static void
set_here(struct authority *a)
{
	struct grace *g = &a->grace;

	if (!g->away || !g->linked || g->silent_ticks >= STORE_SILENT_TICKS)
		return;
	grace_tell(a); /* that it was over, where no tick has come since */
	g->away = false;
	diag(DIAG_INFO, "the store is back");
	grace_tell(a);
	owed_go_on(a);
}

void
grace_on_gone(struct authority *a)
{
	a->grace.linked = false;
	a->grace.silent_ticks = 0;
	set_away(a);
}

void
grace_on_loaded(struct authority *a)
{
	a->grace.linked = true;
	a->grace.silent_ticks = 0;
	set_here(a);
}

/* ---- is it there? ---- */

/* Also, with an error, when the link has gone. */
static void
on_pong(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct as_done *m = msg;
	struct authority *a = ctx;

	(void)l;
	a->grace.asked = false;
	a->grace.silent_ticks = 0;
	if (!is_ok(st))
		return;
	a->grace.full = type == AS_DONE && m->code == E_FULL;
	set_here(a);
}

static void
ask(struct authority *a)
{
	const struct wire_none none = { 0 };

	if (a->store.link == NULL)
		return;
	if (a->grace.asked) {
		/* In ticks: when we ourselves were stopped, that is not the store's silence. */
		if (++a->grace.silent_ticks == STORE_SILENT_TICKS)
			set_away(a);
		return;
	}
	a->grace.asked = is_ok(
	    link_call(a->store.link, AS_PING, &none, UINT32_MAX, on_pong, a, NULL));
}

void
grace_tick(struct authority *a)
{
	ask(a);
	grace_tell(a);
}

/* ---- on record ---- */

static void
on_told(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	(void)seq;
	a->grace.telling = false;
	if (is_ok(st)) {
		a->grace.told = (enum grace_phase)(uintptr_t)ctx;
		grace_tell(a);
	}
}

/* What could not be written is tried again with the next tick. */
static void
grace_tell(struct authority *a)
{
	const struct record_who who = { .config = a->d->generation };
	struct grace *g = &a->grace;
	enum grace_phase phase = grace_phase(a);
	struct batch b = { .n = 0 };

	if (g->telling || phase == g->told)
		return;
	(void)batch_add(&b, EVENT_STORE_AWAY, &who, "process", SPAN_LIT("store"));
	batch_outcome(&b, phase == GRACE_NONE ? AUDIT_SUCCESS : AUDIT_FAILURE, AUDIT_CAUSE_NONE);
	batch_text(&b, phase_names[phase]);
	batch_u64(&b, conf_u64(a->d->conf, "store.grace_s"));
	batch_u64(&b, (now_ms(a) - g->away_ms) / 1000);
	g->telling = is_ok(audit_append(a, &b, on_told, (void *)(uintptr_t)phase));
}
