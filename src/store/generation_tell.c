/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation_tell.c: the database's generation, told to the supervisor while it grows.
 *
 * Runs in: store. Trusts: nothing. Owns: the timer.
 * Invariants: it is told at the start, at the end, within GENERATION_MS of a change, and within
 * RIGHTS_MS of one of who may what.
 * See: generation.c; wire/control.h.
 */
#include "requests.h"

#include <daemon/daemon.h>

#define GENERATION_MS 60000 /* an older database is told from ours within that time */
#define RIGHTS_MS 2000      /* … one in which others may what */

static struct db *db;
static struct link *control;
static uv_timer_t timer, rights_timer;
static uint64_t rights; /* changes of them, at the last number */

/* The supervisor keeps it where we cannot write. */
void
generation_tell(void)
{
	struct ctl_generation m = { 0 };
	struct status st = db_generation_next(db, &m.generation);

	if (is_ok(st))
		st = link_send(control, 0, CTL_GENERATION, &m);
	if (is_ok(st))
		rights = db_sums_changes(db);
	else
		diag(DIAG_WARN, "the generation of the database: %s", status_text(st));
}

static void
on_generation(uv_timer_t *t)
{
	(void)t;
	if (db_changed(db))
		generation_tell();
}

static void
on_rights(uv_timer_t *t)
{
	(void)t;
	if (db_sums_changes(db) != rights)
		generation_tell();
}

struct status
generation_start(struct daemon *d, struct db *with)
{
	db = with;
	control = d->control;
	generation_tell();
	if (uv_timer_init(d->loop, &timer) != 0 || uv_timer_init(d->loop, &rights_timer) != 0 ||
	    uv_timer_start(&timer, on_generation, GENERATION_MS, GENERATION_MS) != 0 ||
	    uv_timer_start(&rights_timer, on_rights, RIGHTS_MS, RIGHTS_MS) != 0)
		return fail(E_NOMEM);
	return OK;
}
