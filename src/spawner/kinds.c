/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kinds.c: what a slot of each kind runs, and within what.
 *
 * Runs in: the launcher, its children, the spawner. Trusts: nothing. Owns: const tables.
 * Invariants: argv and environment are these and no others; every kind has all
 * namespaces of its own; a worker has an empty root that nobody can write to,
 * no capability, and the descriptors that came with START.
 * See: wire/executor_spawner.h; child.c for the steps.
 */
#include "launcher.h"

#include <base/slice.h>
#include <wire/limits.h>

#include <sched.h>

#define FILES_GVISOR 65536
#define FILES_WORKER 256
/* Files of a worker are memory: images of modules, a compiled one. */
#define FILE_RUN_MAX (256UL << 20)
#define FILE_COMPILE_MAX TOOL_ARTEFACT_MAX
/* What is touched is the control group's to judge; a single absurd reservation fails at once. */
#define SPACE_COMPILE_MAX (8UL << 30)

static const char *const gvisor_argv[] = { "runsc", "--root=/run", "--platform=systrap",
	"--network=none", "--ignore-cgroups", "--directfs=false", "--host-uds=none",
	"--host-fifo=none", "--overlay2=none", "--debug=false", "run", "--bundle=/bundle",
	"--pass-fd=3:3", "sandbox", NULL };
static const char *const gvisor_env[] = { "PATH=/", "TMPDIR=/tmp", NULL };
static const char *const run_argv[] = { "wasm-run", NULL };
static const char *const compile_argv[] = { "wasm-compile", NULL };
static const char *const no_env[] = { NULL };

static const struct child_limit gvisor_limits[] = { { RLIMIT_NOFILE, FILES_GVISOR },
	{ RLIMIT_CORE, 0 } };
static const struct child_limit run_limits[] = { { RLIMIT_NOFILE, FILES_WORKER },
	{ RLIMIT_CORE, 0 }, { RLIMIT_MEMLOCK, 0 }, { RLIMIT_FSIZE, FILE_RUN_MAX } };
static const struct child_limit compile_limits[] = { { RLIMIT_NOFILE, FILES_WORKER },
	{ RLIMIT_CORE, 0 }, { RLIMIT_MEMLOCK, 0 }, { RLIMIT_FSIZE, FILE_COMPILE_MAX },
	{ RLIMIT_AS, SPACE_COMPILE_MAX } };

#define LIMITS(a) a, sizeof(a) / sizeof((a)[0])

static const struct kind kinds[] = {
	[SLOT_GVISOR] = { .name = "gvisor",
	    .first_slot = 0,
	    .slots = ES_SANDBOXES_MAX,
	    .nfds = ES_FDS_GVISOR,
	    .weight = WEIGHT_OF_RUN,
	    .slice_us = SLICE_SLOW_US,
	    .argv = gvisor_argv,
	    .env = gvisor_env,
	    LIMITS(gvisor_limits) },
	[SLOT_WASM_RUN] = { .name = "wasm-run",
	    .program = "wasm-run",
	    .first_slot = ES_SANDBOXES_MAX,
	    .slots = ES_WORKERS_MAX,
	    .nfds = ES_FDS_WASM_RUN,
	    .weight = WEIGHT_FULL,
	    .slice_us = SLICE_GUEST_US, /* until a call takes longer: wasm_run/ticker.c */
	    .argv = run_argv,
	    .env = no_env,
	    LIMITS(run_limits) },
	[SLOT_WASM_COMPILE] = { .name = "wasm-compile",
	    .program = "wasm-compile",
	    .first_slot = ES_SANDBOXES_MAX + ES_WORKERS_MAX,
	    .slots = ES_COMPILES_MAX,
	    .nfds = ES_FDS_WASM_COMPILE,
	    .weight = WEIGHT_LOW,
	    .slice_us = SLICE_SLOW_US,
	    .argv = compile_argv,
	    .env = no_env,
	    LIMITS(compile_limits) },
};
static_assert(sizeof(kinds) / sizeof(kinds[0]) == LAUNCH_KINDS, "a row for each kind");

const struct kind *
kind_of(uint8_t kind)
{
	return kind >= SLOT_GVISOR && kind < LAUNCH_KINDS ? &kinds[kind] : NULL;
}

bool
kind_start_ok(const struct launch_cmd *cmd, const int fds[LAUNCH_STDIO])
{
	const struct kind *k = kind_of(cmd->kind);
	bool runner = cmd->runner >= RUNNER_PYTHON && cmd->runner <= RUNNER_SH;

	if (k == NULL || cmd->slot < k->first_slot || cmd->slot - k->first_slot >= k->slots)
		return false;
	for (size_t i = 0; i < LAUNCH_STDIO; i++) {
		if ((fds[i] >= 0) != (i < k->nfds))
			return false;
	}
	return cmd->kind == SLOT_GVISOR ? runner : cmd->runner == 0;
}

struct cgroup_limits
kind_limits(const struct launch_cmd *cmd)
{
	cpu_set_t cores;
	uint32_t n;

	if (cmd->kind != SLOT_GVISOR)
		return (struct cgroup_limits){ cmd->memory_mb, cmd->pids };
	n = sched_getaffinity(0, sizeof(cores), &cores) == 0 ? (uint32_t)CPU_COUNT(&cores) : 1;
	return (struct cgroup_limits){ cmd->memory_mb + LAUNCH_MEMORY_EXTRA_MB,
		LAUNCH_PIDS_BASE + LAUNCH_PIDS_PER_CORE * n + LAUNCH_PIDS_PER_PROCESS * cmd->pids };
}
