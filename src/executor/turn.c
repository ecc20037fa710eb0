/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.c: the authority's side: grants in, turns' ends in, outcomes out.
 *
 * Runs in: the executor. Trusts: the authority.
 * Invariants: TURN_ENDED is sent when no sandbox of the turn exists any more;
 * without an authority nothing runs.
 * See: wire/authority_executor.h.
 */
#include "tools.h"

#include <stdlib.h>

static void on_grant(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_turn_end(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_gone(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_authority_closed(struct link *l, struct status why, void *ctx);
static void end_turn(struct executor *ex, uint64_t turn, enum error error, bool all);

static const struct link_rule rules[] = {
	{ AE_GRANT, 0, on_grant },
	{ AE_TURN_END, 0, on_turn_end },
	{ AE_GONE, 0, on_gone },
};
static const struct link_ops authority_ops = { rules, sizeof(rules) / sizeof(rules[0]),
	on_authority_closed };

void
authority_connect(struct executor *ex, int fd)
{
	struct status st;

	if (ex->authority != NULL)
		on_authority_closed(ex->authority, fail(E_CLOSED), ex);
	st = link_new(ex->d->loop, fd, &ae_edge, false, &authority_ops, ex, &ex->authority);
	if (!is_ok(st))
		diag_fatal("authority's link: %s", status_text(st));
}

static void
on_authority_closed(struct link *l, struct status why, void *ctx)
{
	struct executor *ex = ctx;
	struct turn_end *t;

	if (why.code == E_PROTO)
		diag(DIAG_ERROR, "authority dropped: %s", status_text(why));
	ex->authority = NULL;
	link_free(l);
	grants_forget_all(&ex->grants);
	end_turn(ex, 0, ERROR_UNAVAILABLE, true);
	while ((t = LIST_FIRST(&ex->turn_ends)) != NULL) {
		LIST_REMOVE(t, entry);
		free(t);
	}
}

static void
on_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct executor *ex = ctx;
	struct status st = grants_add(&ex->grants, msg, uv_now(ex->d->loop));

	(void)l, (void)id;
	if (!is_ok(st))
		diag(DIAG_WARN, "grant not kept: %s", status_text(st));
}

static void
on_turn_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct turn_ref *m = msg;
	struct executor *ex = ctx;
	struct turn_end *t = calloc(1, sizeof(*t));

	(void)l;
	if (t == NULL) { /* our end ends the turn as well */
		diag(DIAG_ERROR, "out of memory");
		daemon_quit(ex->d, 1);
		return;
	}
	t->turn = m->turn;
	t->id = id;
	LIST_INSERT_HEAD(&ex->turn_ends, t, entry);
	grants_forget_turn(&ex->grants, m->turn);
	end_turn(ex, m->turn, ERROR_CANCELLED, false);
	turn_check(ex);
}

static void
on_gone(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ae_gone *m = msg;

	(void)l, (void)id;
	artefacts_gone(ctx, m->id);
}

static void
end_turn(struct executor *ex, uint64_t turn, enum error error, bool all)
{
	struct run *r;

	TAILQ_FOREACH(r, &ex->runs, all)
	{
		if (all || (r->granted && r->grant.turn == turn))
			run_cancel(r, error);
	}
	for (uint32_t i = 0; i < ex->nslots; i++) {
		struct sandbox *s = &ex->sandboxes[i];

		if (s->state == SANDBOX_LEASED && (all || s->turn == turn))
			sandbox_kill(s);
	}
}

static bool
is_left(const struct executor *ex, uint64_t turn)
{
	for (uint32_t i = 0; i < ex->nslots; i++) {
		const struct sandbox *s = &ex->sandboxes[i];

		if (s->state >= SANDBOX_LEASED && s->turn == turn)
			return true;
	}
	return workers_of_turn(ex, turn);
}

void
turn_check(struct executor *ex)
{
	struct turn_end *t, *next;

	for (t = LIST_FIRST(&ex->turn_ends); t != NULL; t = next) {
		struct turn_ref m = { t->turn };

		next = LIST_NEXT(t, entry);
		if (is_left(ex, t->turn))
			continue;
		if (ex->authority != NULL &&
		    !is_ok(link_send(ex->authority, t->id, AE_TURN_ENDED, &m)))
			diag(DIAG_WARN, "turn's end could not be told");
		LIST_REMOVE(t, entry);
		free(t);
	}
}

void
authority_report(struct run *r, enum error error, struct run_outcome outcome)
{
	struct ae_done m = { .turn = r->grant.turn,
		.error = (uint16_t)error,
		.status = (uint8_t)outcome.status,
		.exit_code = outcome.exit_code,
		.duration_ms = r->duration_ms };

	if (!r->granted || r->ex->authority == NULL)
		return;
	r->granted = false;
	/* It did run, until its client or its turn was gone. */
	if (error == ERROR_CANCELLED && r->state == RUN_GOING)
		m.error = ERROR_NONE;
	memcpy(m.grant, r->grant.id, sizeof(m.grant));
	if (!is_ok(link_send(r->ex->authority, 0, AE_DONE, &m)))
		diag(DIAG_WARN, "an outcome could not be told");
	link_flush(r->ex->authority);
}
