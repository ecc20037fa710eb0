/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_EXECUTOR_SPAWNER_H
#define WIRE_EXECUTOR_SPAWNER_H

/*
 * Executor (A) and spawner (B): start, arm, kill in a numbered slot. The spawner
 * has fixed argv for each kind; the executor chooses numbers only.
 * What START brings, by kind (ES_FDS_…):
 * GVISOR: guest's stdin (read end), stdout, stderr (write ends), and the control
 * answer pipe (write end; see guest/PROTOCOL.md).
 * WASM_RUN: 0 is the worker's end of its link (wire/executor_wasm.h); 1 and 2 are
 * /dev/null.
 * WASM_COMPILE: 0 is a sealed memory file with the module, 1 an empty one for the
 * compiled file, 2 takes one line: the engine's name with exit 0, why not with exit 1.
 * The two have no runner, no tmp_mb, and slots of their own.
 * A slot is free again when EXITED came: processes reaped, cgroup, files and
 * mounts removed; or, `stuck`, all but the cgroup.
 */
#include <assert.h>

#include <conf/conf.h>
#include <link/wire.h>

/* Slots: sandboxes of gVisor first, then run workers, then compile workers. */
#define ES_SANDBOXES_MAX 512
#define ES_WORKERS_MAX 64
#define ES_COMPILES_MAX 2
#define ES_SLOTS_MAX (ES_SANDBOXES_MAX + ES_WORKERS_MAX + ES_COMPILES_MAX)
static_assert(CONF_POOLS_MAX <= ES_SANDBOXES_MAX, "every configured pool has its slots");
static_assert(CONF_WORKERS_MAX <= ES_WORKERS_MAX, "so has every worker");
/* Descriptors that the executor needs: a sandbox's four pipes, a worker's link; and all else
 * that it holds: links, compiled tools that it keeps, what it builds. */
#define EXECUTOR_FDS_PER_SLOT 4
#define EXECUTOR_FDS_RESERVED (96 + ES_WORKERS_MAX + 128)

enum es_type { ES_START = 1, ES_STARTED, ES_ARM, ES_ARMED, ES_KILL, ES_EXITED };
enum es_kind { SLOT_GVISOR = 1, SLOT_WASM_RUN, SLOT_WASM_COMPILE };
#define ES_FDS_GVISOR 4
#define ES_FDS_WASM_RUN 1
#define ES_FDS_WASM_COMPILE 3
enum es_runner { RUNNER_PYTHON = 1, RUNNER_PYTHON_DATA, RUNNER_NODE, RUNNER_SH };
/* Why the spawner ended a slot, or what it saw; the first that applies. */
enum es_ended { ENDED_BY_ITSELF, ENDED_KILLED, ENDED_WALL, ENDED_CPU, ENDED_MEMORY };

struct es_start {
	uint32_t slot;
	uint8_t kind;
	uint8_t runner;
	uint32_t memory_mb;
	uint32_t pids; /* inside the guest */
	uint32_t tmp_mb;
	uint8_t background; /* pool refill: lowered priority until ARM */
};
static const struct wire_field es_start_rows[] = {
	WIRE_U32(struct es_start, slot, ES_SLOTS_MAX - 1),
	WIRE_U8(struct es_start, kind, SLOT_WASM_COMPILE),
	WIRE_U8(struct es_start, runner, RUNNER_SH),
	WIRE_U32(struct es_start, memory_mb, 1U << 20),
	WIRE_U32(struct es_start, pids, 32768),
	WIRE_U32(struct es_start, tmp_mb, 65536),
	WIRE_U8(struct es_start, background, 1),
};

struct es_slot {
	uint32_t slot;
};
static const struct wire_field es_slot_rows[] = {
	WIRE_U32(struct es_slot, slot, ES_SLOTS_MAX - 1),
};

/*
 * Limits of one run, from now; 0 disarms. CPU is counted from now on. Memory is the
 * guest's; 0, or more than START said: what START said.
 */
struct es_arm {
	uint32_t slot;
	uint32_t wall_ms;
	uint32_t cpu_ms;
	uint32_t memory_mb;
};
static const struct wire_field es_arm_rows[] = {
	WIRE_U32(struct es_arm, slot, ES_SLOTS_MAX - 1),
	WIRE_U32(struct es_arm, wall_ms, UINT32_MAX),
	WIRE_U32(struct es_arm, cpu_ms, UINT32_MAX),
	WIRE_U32(struct es_arm, memory_mb, 1U << 20),
};

struct es_exited {
	uint32_t slot;
	uint8_t ended;        /* enum es_ended */
	uint32_t wait_status; /* of the slot's process, as waitpid() gives it */
	uint8_t pids_hit;     /* the cgroup's limit of processes was hit */
	uint8_t failed_start; /* never ran: descriptors, cgroup or mount failed */
	uint8_t stuck;        /* its cgroup cannot be removed: do not use the slot again */
	uint32_t cpu_ms;
};
static const struct wire_field es_exited_rows[] = {
	WIRE_U32(struct es_exited, slot, ES_SLOTS_MAX - 1),
	WIRE_U8(struct es_exited, ended, ENDED_MEMORY),
	WIRE_U32(struct es_exited, wait_status, UINT32_MAX),
	WIRE_U8(struct es_exited, pids_hit, 1),
	WIRE_U8(struct es_exited, failed_start, 1),
	WIRE_U8(struct es_exited, stuck, 1),
	WIRE_U32(struct es_exited, cpu_ms, UINT32_MAX),
};

static const struct wire_msg es_msgs[] = {
	[ES_START] = { "start", WIRE_A_TO_B, WIRE_TABLE(struct es_start, es_start_rows) },
	[ES_STARTED] = { "started", WIRE_B_TO_A, WIRE_TABLE(struct es_slot, es_slot_rows) },
	[ES_ARM] = { "arm", WIRE_A_TO_B, WIRE_TABLE(struct es_arm, es_arm_rows) },
	[ES_ARMED] = { "armed", WIRE_B_TO_A, WIRE_TABLE(struct es_slot, es_slot_rows) },
	[ES_KILL] = { "kill", WIRE_A_TO_B, WIRE_TABLE(struct es_slot, es_slot_rows) },
	[ES_EXITED] = { "exited", WIRE_B_TO_A, WIRE_TABLE(struct es_exited, es_exited_rows) },
};
static const struct wire_edge es_edge = WIRE_EDGE("executor-spawner", es_msgs, false);

#endif
