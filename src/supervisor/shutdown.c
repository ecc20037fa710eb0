/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shutdown.c: everybody ends in order, the audit process last.
 *
 * Runs in: supervisor. Trusts: nobody to be quick: each phase has a deadline,
 * then the process is killed. Owns: the order.
 * Invariants: at most SHUTDOWN_MS; when the audit process ends, the signed head
 * of everything before it is on disk.
 * See: wire/control.h (DRAIN).
 */
#include "supervisor.h"

#include <signal.h>

static const struct {
	enum proc procs[3];
	uint32_t max_ms; /* the phase's share */
	uint32_t end_ms; /* when requests that still run are answered with an error */
} phases[] = {
	{ { PROC_GATEWAY }, 7000, 6000 },
	{ { PROC_BROKER, PROC_EXECUTOR, PROC_DEMO }, 600, 0 },
	{ { PROC_AUTHORITY, PROC_SPAWNER }, 1000, 0 },
	{ { PROC_STORE }, 400, 0 },
	{ { PROC_AUDIT }, 900, 0 },
};
#define NPHASES (sizeof(phases) / sizeof(phases[0]))

static bool
in_phase(size_t phase, enum proc proc)
{
	for (size_t i = 0; i < 3; i++) {
		if (phases[phase].procs[i] == proc && proc != PROC_SUPERVISOR)
			return true;
	}
	return false;
}

void
shutdown_hurry(struct supervisor *sv)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &sv->children[i];

		if (c->pid > 0 && in_phase(sv->phase, c->proc)) {
			diag(DIAG_WARN, "%s: did not end in time, killed", proc_names[c->proc]);
			(void)kill(c->pid, SIGKILL);
		}
	}
}

static void
on_phase_timeout(uv_timer_t *t)
{
	shutdown_hurry(t->data);
}

static void
phase_begin(struct supervisor *sv)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &sv->children[i];

		if (c->state != CHILD_FREE && in_phase(sv->phase, c->proc))
			child_drain(c, 0, phases[sv->phase].end_ms);
	}
	(void)uv_timer_start(&sv->stop_timer, on_phase_timeout, phases[sv->phase].max_ms, 100);
}

static bool
phase_over(const struct supervisor *sv)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		const struct child *c = &sv->children[i];

		if (c->state != CHILD_FREE && in_phase(sv->phase, c->proc))
			return false;
	}
	return true;
}

void
shutdown_progress(struct supervisor *sv)
{
	while (sv->stopping && phase_over(sv)) {
		if (++sv->phase >= NPHASES) {
			(void)uv_timer_stop(&sv->stop_timer);
			uv_stop(&sv->loop);
			return;
		}
		phase_begin(sv);
	}
}

void
shutdown_begin(struct supervisor *sv, int exit_status)
{
	if (sv->stopping)
		return;
	sv->stopping = true;
	sv->exit_status = exit_status;
	sv->phase = 0;
	phase_begin(sv);
	shutdown_progress(sv);
}
