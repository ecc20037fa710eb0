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

#include "kek.h"
#include "rotate.h"

#define ROTATE_BUDGET_NS 3000000U
#define ROTATE_PAUSE_MS 12
#define ROTATE_RETRY_MS 5000

static struct db *db;
static uv_timer_t timer;
/* Who waits for a new key-encryption key; NULL: nobody. */
static struct {
	struct link *link;
	uint64_t id;
} asked;

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
	struct status st;

	(void)t;
	if (db_rotate_is_under_way(db) && (db_sums_unfit(db) & 1U << SUM_PEOPLE) != 0) {
		again_in(ROTATE_RETRY_MS); /* nothing of them is sealed anew before it is ours */
		return;
	}
	st = db_rotate_step(db, now_s(), ROTATE_BUDGET_NS, &more);
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

	if (is_ok(counted))
		counted = kek_put_status(&m);
	m.code = is_ok(st) ? counted.code : st.code;
	if (!is_ok(link_send(l, id, AS_KEK, &m)))
		diag(DIAG_WARN, "the authority does not read its answers");
}

static void
rotated(struct link *l, uint64_t id, struct status st)
{
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	if (is_ok(st))
		again_in(0);
	else
		diag(DIAG_WARN, "rotation of keys refused: %s", status_text(st));
	if (l != NULL)
		reply(l, id, st);
}

static void
on_kek_rotated(void *ctx, struct status st, enum secret_fault fault)
{
	struct link *l = asked.link;

	(void)ctx, (void)fault;
	asked.link = NULL;
	rotated(l, asked.id, st);
}

void
requests_on_kek_rotate(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_kek_rotate *m = msg;

	(void)ctx;
	if (m->what != AS_ROTATE_KEK) {
		rotated(l, id, db_rotate(db, (enum as_rotation)m->what, now_s()));
		return;
	}
	if (asked.link != NULL) {
		rotated(l, id, fail(E_EXISTS));
		return;
	}
	asked.link = l;
	asked.id = id;
	kek_rotate(now_s(), on_kek_rotated, NULL);
}

void
rotate_requests_closed(const struct link *l)
{
	if (asked.link == l)
		asked.link = NULL; /* it goes on, and nobody hears of it */
}

void
requests_on_kek_status(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)msg, (void)ctx;
	reply(l, id, OK);
}
