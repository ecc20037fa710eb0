/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation_tell.c: the database's generation, told to the supervisor while it grows.
 *
 * Runs in: store. Trusts: nothing. Owns: the timer.
 * Invariants: it is told at the start, at the end, and within GENERATION_MS of a change.
 * See: generation.c; wire/control.h.
 */
#include "requests.h"

#include <daemon/daemon.h>

#define GENERATION_MS 60000 /* an older database is told from ours within that time */

static struct db *db;
static struct link *control;
static uv_timer_t timer;

/* The supervisor keeps it where we cannot write. */
void
generation_tell(void)
{
	struct ctl_generation m = { 0 };
	struct status st = db_generation_next(db, &m.generation);

	if (is_ok(st))
		st = link_send(control, 0, CTL_GENERATION, &m);
	if (!is_ok(st))
		diag(DIAG_WARN, "the generation of the database: %s", status_text(st));
}

static void
on_generation(uv_timer_t *t)
{
	(void)t;
	if (db_changed(db))
		generation_tell();
}

struct status
generation_start(struct daemon *d, struct db *with)
{
	db = with;
	control = d->control;
	generation_tell();
	if (uv_timer_init(d->loop, &timer) != 0 ||
	    uv_timer_start(&timer, on_generation, GENERATION_MS, GENERATION_MS) != 0)
		return fail(E_NOMEM);
	return OK;
}
