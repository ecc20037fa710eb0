/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPAWNER_SLOTS_H
#define SPAWNER_SLOTS_H

/*
 * The slots as the spawner sees them: what was asked for, what limits a run
 * has, why it ended. Between the executor's link and the launcher.
 */
#include <daemon/daemon.h>
#include <wire/executor_spawner.h>

#define SLOTS_TICK_MS 20 /* how often an armed slot's time is looked at */

struct launch_event;

struct spawner_slot {
	bool used;
	uint8_t kind;  /* enum es_kind */
	bool killed;   /* a kill is under way */
	uint8_t ended; /* enum es_ended */
	int cpu_fd;
	int memory_fd;
	uint64_t wall_ns; /* monotonic; 0: not armed */
	uint64_t cpu_us;  /* of the group, at which it ends; 0: not armed */
	uint64_t base_us; /* of the group, when it was armed */
};

struct slots {
	struct daemon *d;
	int launcher; /* descriptor */
	uv_poll_t poll;
	uv_timer_t tick;
	uint32_t used;
	uint32_t sandboxes; /* of these, gVisor's */
	uint32_t armed;
	struct link *executor;
	int next_executor; /* a fresh link that waits for old slots to be gone; -1 */
	struct spawner_slot slots[ES_SLOTS_MAX];
};

MUST_USE struct status slots_init(struct slots *s, struct daemon *d, int launcher);
/* A new executor; takes fd. It is heard as soon as its predecessor's slots are gone. */
void slots_executor(struct slots *s, int fd);
/* Leave as soon as nothing is left. */
void slots_drain(struct slots *s);

#endif
