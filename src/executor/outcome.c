/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome.c: one place that says how a run ended.
 *
 * Runs in: the executor. Trusts: the spawner. DONE is the guest's word, which
 * counts for its own run only.
 * See: docs of `status` in the public API; guest/PROTOCOL.md, "A run".
 */
#include "outcome.h"

#include <signal.h>
#include <sys/wait.h>

#include "guest.h"

#define SHELL_SIGNAL 128 /* runsc exits with this plus the signal */

static const enum run_status by_end[] = {
	[ENDED_WALL] = RUN_TIMEOUT,
	[ENDED_CPU] = RUN_CPU,
	[ENDED_MEMORY] = RUN_MEMORY,
};

static struct run_outcome
by_wait_status(int wait_status)
{
	int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;

	if (WIFSIGNALED(wait_status))
		return (struct run_outcome){ RUN_SIGNAL, (uint32_t)WTERMSIG(wait_status) };
	if (code > SHELL_SIGNAL && code <= SHELL_SIGNAL + (int)GUEST_SIGNAL_MAX)
		return (struct run_outcome){ RUN_SIGNAL, (uint32_t)(code - SHELL_SIGNAL) };
	return (struct run_outcome){ RUN_EXIT, (uint32_t)code };
}

/* What DONE says: an exit code, or the signal that ended a shell. */
static struct run_outcome
by_exit_code(uint32_t code)
{
	if (code > GUEST_EXIT_SIGNAL)
		return (struct run_outcome){ RUN_SIGNAL, code - GUEST_EXIT_SIGNAL };
	return (struct run_outcome){ RUN_EXIT, code };
}

struct run_outcome
outcome_of(const struct run_seen *seen)
{
	struct run_outcome out = by_exit_code(seen->exit_code);

	if (seen->verdict == VERDICT_OUTPUT)
		return (struct run_outcome){ RUN_OUTPUT, 0 };
	if (seen->verdict == VERDICT_LIED)
		return (struct run_outcome){ RUN_SIGNAL, SIGKILL };
	if (!seen->done && seen->exited) {
		if (seen->exit.ended >= ENDED_WALL && seen->exit.ended <= ENDED_MEMORY)
			return (struct run_outcome){ by_end[seen->exit.ended], 0 };
		out = by_wait_status((int)seen->exit.wait_status);
	}
	if (seen->exited && seen->exit.pids_hit && (out.status != RUN_EXIT || out.exit_code != 0))
		return (struct run_outcome){ RUN_PIDS, 0 };
	return out;
}
