/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_changes.c: a client removes a tool of its own, or chooses the version that calls get.
 *
 * Runs in: authority. Trusts: the store about what is durable. Owns: nothing.
 * Invariants: the intent is in the log before the store is asked; the table changes once
 * the store has confirmed; calls that were granted before go on.
 * See: tools.h, settle.c.
 */
#include "authority.h"

static void
on_changed(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct turn *t = ctx;
	struct run *r = &t->run;

	(void)answered;
	r->done = true;
	if (code == E_NOTFOUND)
		r->error = ERROR_TOOL_NOT_FOUND;
	else if (code == E_DENIED)
		r->error = ERROR_LEGAL_HOLD;
	else if (code != E_OK)
		r->error = ERROR_UNAVAILABLE;
	/* It may have been done all the same: the next LOAD tells. */
	r->unknown = code == E_CLOSED || code == E_TIMEOUT;
	if (code == E_OK && r->mark != 0)
		tools_marked(a, r->tool, (enum as_tool_marks)r->mark);
	else if (code == E_OK)
		tools_removed(a, r->tool, r->all);
	t->acks--;
	if (t->state == TURN_RUNNING)
		settle_change(t);
	else if (t->acks == 0)
		(void)turn_event(t, TURN_EV_ACKS, NULL);
}

struct status
tool_change_begin(struct turn *t)
{
	struct run *r = &t->run;
	const struct as_tool_mark mark = { .id = r->tool->id, .mark = r->mark };
	const struct as_tool_remove remove = { .id = r->tool->id, .all = r->all };
	struct status st;

	if (r->mark != 0)
		st = store_ask(t->a, AS_TOOL_MARK, &mark, AS_DONE, on_changed, t);
	else
		st = store_ask(t->a, AS_TOOL_REMOVE, &remove, AS_DONE, on_changed, t);
	if (!is_ok(st))
		return st;
	r->granted = true;
	t->acks++;
	return OK;
}
