/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate_requests.c: rotations that the authority asks for, and their timer.
 *
 * Runs in: store, jailed. Trusts: the authority, within the tables of the edge.
 * Owns: the timer. Invariants: a turn of the loop carries over for ROTATE_BUDGET_NS and one
 * commit; a disk that fails is tried again, ever more slowly than one that works.
 * See: rotate.h.
 */
#include "requests.h"

#include <assert.h>

#include <base/clock.h>
#include <daemon/daemon.h>

#include "rotate.h"

#define ROTATE_BUDGET_NS 3000000U
#define ROTATE_PAUSE_MS 12
#define ROTATE_RETRY_MS 5000

static struct db *db;
static uv_timer_t timer;

static void on_timer(uv_timer_t *t);

static uint64_t
now_s(void)
{
	return clock_real_ns() / NS_PER_S;
}

static void
again_in(uint64_t ms)
{
	(void)uv_timer_start(&timer, on_timer, ms, 0);
}

static void
on_timer(uv_timer_t *t)
{
	bool more = false;
	struct status st = db_rotate_step(db, now_s(), ROTATE_BUDGET_NS, &more);

	(void)t;
	if (st.code == E_NOTFOUND)
		return;
	if (!is_ok(st)) {
		diag(DIAG_ERROR, "rotation of keys: %s; it is tried again", status_text(st));
		again_in(ROTATE_RETRY_MS);
		return;
	}
	if (more)
		again_in(ROTATE_PAUSE_MS);
	else
		diag(DIAG_INFO, "rotation of keys is over");
}

struct status
rotate_requests_init(struct daemon *d, struct db *with)
{
	db = with;
	TRY(db_rotate_baseline(db, now_s()));
	if (uv_timer_init(d->loop, &timer) != 0)
		return fail(E_NOMEM);
	again_in(ROTATE_PAUSE_MS); /* what was cut off goes on */
	return OK;
}

static void
reply(struct link *l, uint64_t id, struct status st)
{
	struct as_kek m = { 0 };
	struct status counted = db_rotate_status(db, &m);

	m.code = is_ok(st) ? counted.code : st.code;
	if (!is_ok(link_send(l, id, AS_KEK, &m)))
		diag(DIAG_WARN, "the authority does not read its answers");
}

void
requests_on_kek_rotate(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_kek_rotate *m = msg;
	struct status st = db_rotate(db, (enum as_rotation)m->what, now_s());

	(void)ctx;
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	if (is_ok(st))
		again_in(0);
	else
		diag(DIAG_WARN, "rotation of keys refused: %s", status_text(st));
	reply(l, id, st);
}

void
requests_on_kek_status(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)msg, (void)ctx;
	reply(l, id, OK);
}
