/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup_requests.c: backups that the authority asks for, and their timer.
 *
 * Runs in: store, jailed. Trusts: the authority, within the tables of the edge.
 * Owns: the timer. Invariants: a turn of the loop copies for BACKUP_TURN_NS, or one chunk.
 * See: backup.h.
 */
#include "requests.h"

#include <base/clock.h>
#include <daemon/daemon.h>

#include "backup.h"
#include "internal.h"

#define BACKUP_TURN_NS (4 * NS_PER_MS)
#define DROP_MS 30000 /* between two looks at one that nobody has taken */

static struct db *db;
static uv_timer_t timer, drop_timer;

static void
on_timer(uv_timer_t *t)
{
	uint64_t until_ns = clock_mono_ns() + BACKUP_TURN_NS;
	struct as_backup_state s;
	struct status st;

	do {
		st = db_backup_step(db);
		db_backup_state(db, &s);
	} while (is_ok(st) && s.under_way && clock_mono_ns() < until_ns);
	if (!is_ok(st))
		diag(DIAG_ERROR, "the backup ended before it was whole: %s", status_text(st));
	if (!s.under_way)
		(void)uv_timer_stop(t);
	if (!is_ok(st) || s.under_way)
		return;
	diag(DIAG_INFO, "backup of generation %llu, %llu bytes", (unsigned long long)s.generation,
	    (unsigned long long)s.done_bytes);
	generation_tell(); /* from now on that one is an older database */
	if (!is_ok(db_settle_owed(db)))
		diag(DIAG_WARN, "the log still holds what is destroyed; it is cut later");
}

static void
on_drop(uv_timer_t *t)
{
	(void)t;
	db_backup_drop(db, BACKUP_KEPT_S);
}

struct status
backup_requests_init(struct daemon *d, struct db *with)
{
	db = with;
	db_backup_drop_old();
	if (uv_timer_init(d->loop, &timer) != 0 || uv_timer_init(d->loop, &drop_timer) != 0 ||
	    uv_timer_start(&drop_timer, on_drop, DROP_MS, DROP_MS) != 0)
		return fail(E_NOMEM);
	return OK;
}

static void
reply(struct link *l, uint64_t id, const struct as_backup_state *m)
{
	if (!is_ok(link_send(l, id, AS_BACKUP_STATE, m)))
		diag(DIAG_WARN, "the authority does not read its answers");
}

void
requests_on_backup(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct as_backup_state m = { 0 };
	struct status st = db_backup(db, clock_real_ns() / NS_PER_S);

	(void)msg, (void)ctx;
	db_backup_state(db, &m);
	if (is_ok(st))
		(void)uv_timer_start(&timer, on_timer, 0, 1);
	else
		m.code = st.code;
	reply(l, id, &m);
}

void
requests_on_backup_status(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct as_backup_state m;

	(void)msg, (void)ctx;
	db_backup_state(db, &m);
	reply(l, id, &m);
}
