/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_GRACE_H
#define AUTHORITY_GRACE_H

/*
 * The store is away: what was loaded serves on for `store.grace_s` seconds, on record, and
 * nothing serves after them. Away is: no link, a link whose LOAD is not whole yet, or one that
 * answers nothing.
 */
#include <stdbool.h>
#include <stdint.h>

#define STORE_SILENT_TICKS 3 /* seconds without an answer: then it is away */

struct authority;

enum grace_phase {
	GRACE_NONE, /* the store is there, or nothing was loaded yet */
	GRACE_RUNS, /* those who are known go on; who is not may be, so nobody can say */
	GRACE_OVER, /* nobody is served */
	GRACE_PHASES
};

struct grace {
	bool away;
	uint64_t away_ms;      /* since when, by the loop's clock */
	uint64_t since_s;      /* the same, Unix time */
	unsigned silent_ticks; /* that a question has waited for its answer */
	bool asked;            /* a question waits */
	bool linked;           /* this link's LOAD is whole */
	bool full;             /* the store has no room for more of what is kept */
	enum grace_phase told; /* what the log says */
	bool telling;
};

enum grace_phase grace_phase(const struct authority *a);
/* Nothing is asked of the store now: it has no link, or is silent. */
bool grace_store_is_silent(const struct authority *a);
void grace_on_gone(struct authority *a);
void grace_on_loaded(struct authority *a);
/* Once a second: ask whether it is there; say on record what has changed. */
void grace_tick(struct authority *a);
/* Seconds, up to the end of the grace. */
uint64_t grace_left_s(const struct authority *a);

#endif
