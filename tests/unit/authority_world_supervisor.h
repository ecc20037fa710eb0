/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_WORLD_SUPERVISOR_H
#define TESTS_AUTHORITY_WORLD_SUPERVISOR_H

/*
 * The supervisor of authority_world.h, as far as it keeps what is owed to the store.
 */
#include "authority_world_state.h"

UNUSED static void
owe_answer(struct link *l, uint64_t id, bool ok)
{
	const struct ctl_owe_kept m = { .ok = ok };

	if (ok) {
		memcpy(w.owed, w.owe_list, w.owe_len);
		w.owed_len = w.owe_len;
	}
	assert_true(is_ok(link_send(l, id, CTL_OWE_KEPT, &m)));
}

UNUSED static void
on_owe(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_owed *m = msg;

	(void)ctx;
	w.owes++;
	w.owe_len = m->entries.len;
	memcpy(w.owe_list, m->entries.ptr, m->entries.len);
	w.owe_held = id;
	if (w.owe_mode != OWES_HOLD)
		owe_answer(l, id, w.owe_mode == OWES_KEEP);
}

/* The one that was held: it is on disk, or not. */
UNUSED static void
owe_release(bool ok)
{
	owe_answer(w.supervisor, w.owe_held, ok);
	spin();
}

UNUSED static void
on_control_closed(struct link *l, struct status why, void *ctx)
{
	struct link **at = ctx;

	(void)why;
	*at = NULL;
	link_free(l);
}

UNUSED static void
connect_supervisor(void)
{
	static const struct link_rule rules[] = { { CTL_OWE, 0, on_owe } };
	static const struct link_ops theirs = {
		.rules = rules, .nrules = COUNT(rules), .on_closed = on_control_closed
	};
	static const struct link_ops ours = { .on_closed = on_control_closed };
	int pair[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(is_ok(
	    link_new(&w.loop, pair[0], &ctl_edge, true, &theirs, &w.supervisor, &w.supervisor)));
	assert_true(
	    is_ok(link_new(&w.loop, pair[1], &ctl_edge, false, &ours, &w.d.control, &w.d.control)));
}

#endif
