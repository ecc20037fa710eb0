/* SPDX-License-Identifier: Apache-2.0 */
/*
 * erase_requests.c: the authority's requests to erase persons.
 *
 * Runs in: store, jailed. Trusts: the authority, within the tables of the edge.
 * Owns: who is being erased, and the timer of their steps. Invariants: the answer leaves behind the
 * last step; each has a step in turn, and others are served between two; what is not over by
 * ERASE_GIVE_UP_MS, or when the authority goes, has no step more: nobody is erased whom the
 * authority takes to be there. (The sweep deletes the tools that the first step has hidden.)
 * See: privacy.h, erase.c, wire/authority_store.h.
 */
#include <stdlib.h>
#include <sys/queue.h>

#include "backup.h"
#include "privacy.h"

struct erasing {
	TAILQ_ENTRY(erasing) next;
	struct link *link;
	uint64_t id, rows, until_ms;
	char tenant[TENANT_MAX + 1], user[USER_MAX + 1];
};

static struct {
	struct db *db;
	uv_timer_t timer;
	TAILQ_HEAD(, erasing) waiting;
	unsigned n;
} self = { .waiting = TAILQ_HEAD_INITIALIZER(self.waiting) };

static void on_step(uv_timer_t *t);

void
erase_requests_start(struct daemon *d, struct db *db)
{
	self.db = db;
	(void)uv_timer_init(d->loop, &self.timer);
}

static void
drop(struct erasing *e)
{
	TAILQ_REMOVE(&self.waiting, e, next);
	self.n--;
	free(e);
}

void
erase_requests_closed(struct link *l)
{
	struct erasing *e, *next;

	for (e = TAILQ_FIRST(&self.waiting); e != NULL; e = next) {
		next = TAILQ_NEXT(e, next);
		if (e->link == l)
			drop(e);
	}
}

void
erase_requests_stop(void)
{
	if (self.db != NULL)
		(void)uv_timer_stop(&self.timer);
	while (!TAILQ_EMPTY(&self.waiting))
		drop(TAILQ_FIRST(&self.waiting));
	self.db = NULL;
}

static void
answer(struct link *l, uint64_t id, struct status st, uint64_t rows)
{
	struct as_erased r = { .code = st.code, .rows = rows };

	if (is_ok(st)) {
		db_backup_drop(self.db, BACKUP_TAKEN_S);
		r.waits = db_backup_erased(self.db);
	}
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	if (!is_ok(st) && st.code != E_NOTFOUND && st.code != E_DENIED)
		diag(DIAG_ERROR, "a user could not be erased: %s", status_text(st));
	if (!is_ok(link_send(l, id, AS_ERASED, &r)))
		diag(DIAG_WARN, "the authority does not read its answers");
	privacy_sweep_soon();
}

static struct status
wait_for_steps(struct link *l, uint64_t id, const struct as_user_ref *m, uint64_t rows)
{
	struct erasing *e = self.n < ERASING_MAX ? calloc(1, sizeof(*e)) : NULL;
	struct status st;

	if (e == NULL)
		return fail(E_FULL);
	e->link = l;
	e->id = id;
	e->rows = rows;
	e->until_ms = uv_now(self.timer.loop) + ERASE_GIVE_UP_MS;
	st = span_to_cstr(m->tenant, e->tenant, sizeof(e->tenant));
	if (is_ok(st))
		st = span_to_cstr(m->user, e->user, sizeof(e->user));
	if (!is_ok(st)) {
		free(e);
		return st;
	}
	TAILQ_INSERT_TAIL(&self.waiting, e, next);
	if (self.n++ == 0)
		(void)uv_timer_start(&self.timer, on_step, ERASE_BUSY_MS, 0);
	return OK;
}

void
erase_requests_on_erase(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_user_ref *m = msg;
	uint64_t rows = 0;
	bool more = false;
	struct status st = db_user_erase(self.db, m->tenant, m->user, &rows, &more);

	(void)ctx;
	if (is_ok(st) && more) {
		st = wait_for_steps(l, id, m, rows);
		if (is_ok(st))
			return;
	}
	answer(l, id, st, rows);
}

static void
end(struct erasing *e, struct status st)
{
	const struct erasing over = *e;

	drop(e);
	answer(over.link, over.id, st, over.rows);
}

/* Not one step more for who is past its time: the authority takes it to be there. */
static void
give_up(uint64_t now_ms)
{
	struct erasing *e, *next;

	for (e = TAILQ_FIRST(&self.waiting); e != NULL; e = next) {
		next = TAILQ_NEXT(e, next);
		if (now_ms >= e->until_ms)
			end(e, fail(E_TIMEOUT));
	}
}

/* A step for each in turn: who has little is not behind who has much. */
static void
step(struct erasing *e)
{
	bool more = false;
	struct status st = db_user_erase(
	    self.db, span_str(e->tenant), span_str(e->user), NULL, &more);

	if (!is_ok(st) || !more) {
		end(e, st);
		return;
	}
	TAILQ_REMOVE(&self.waiting, e, next);
	TAILQ_INSERT_TAIL(&self.waiting, e, next);
}

static void
on_step(uv_timer_t *t)
{
	give_up(uv_now(t->loop));
	if (!TAILQ_EMPTY(&self.waiting))
		step(TAILQ_FIRST(&self.waiting));
	if (!TAILQ_EMPTY(&self.waiting))
		(void)uv_timer_start(t, on_step, ERASE_BUSY_MS, 0);
}
