/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPAWNER_CGROUP_H
#define SPAWNER_CGROUP_H

/*
 * The control groups of one instance: sallyport-<instance>/slot-N, in version 1
 * (one folder per controller) or 2 (one folder), whichever holds the memory
 * controller of this machine.
 */
#include <sys/types.h>

#include <base/span.h>

#define CGROUP_PATH_MAX 256
#define CGROUP_FILE_MAX 4096     /* bytes read of a control file */
#define CGROUP_KILL_ROUNDS 400   /* of CGROUP_KILL_WAIT_US each: 2 s */
#define CGROUP_KILL_WAIT_US 5000 /* microseconds */

enum cgroup_ctl { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CPUACCT, CGROUP_CTLS };

struct cgroups {
	bool v2;
	char mount[CGROUP_CTLS][CGROUP_PATH_MAX]; /* v2: all the same */
	char group[64];                           /* sallyport-<instance> */
	/* Folders that differ, as indexes into mount[]: co-mounted controllers count once. */
	enum cgroup_ctl dirs[CGROUP_CTLS];
	size_t ndirs;
};

struct cgroup_limits {
	uint32_t memory_mb;
	uint32_t pids;
};

struct cgroup_stats {
	uint64_t cpu_us;
	bool oom;      /* the kernel killed for memory */
	bool pids_hit; /* a fork was refused */
};

/* Find the controllers in the text of /proc/self/mountinfo. E_UNSUPPORTED: one is missing. */
MUST_USE struct status cgroups_find(
    struct span mountinfo, const char *instance, struct cgroups *ret);
/* Make the instance's own group. E_SYS. */
MUST_USE struct status cgroups_open(const struct cgroups *cg);
/* End whatever runs in slots of this instance and remove them: left-overs. E_TIMEOUT. */
MUST_USE struct status cgroups_sweep(const struct cgroups *cg);
/* Sweep, then remove the instance's own group. */
MUST_USE struct status cgroups_close(const struct cgroups *cg);
/* How much all sandboxes together weigh against the rest of the machine. */
void cgroups_weigh(const struct cgroups *cg, bool foreground);

/* Make a slot's group with its limits. E_EXISTS, E_SYS. */
MUST_USE struct status cgroup_make(
    const struct cgroups *cg, uint32_t slot, const struct cgroup_limits *limits);
/* Another limit of memory for a slot that runs. E_SYS. */
MUST_USE struct status cgroup_set_memory(
    const struct cgroups *cg, uint32_t slot, uint32_t memory_mb);
/* v1: move `pid` in. v2: nothing, the child was born in it (cgroup_fd). */
MUST_USE struct status cgroup_enter(const struct cgroups *cg, uint32_t slot, pid_t pid);
/* v2: a descriptor for CLONE_INTO_CGROUP; v1: -1. */
int cgroup_fd(const struct cgroups *cg, uint32_t slot);
void cgroup_weigh(const struct cgroups *cg, uint32_t slot, bool foreground);
/* Read-only descriptors whose text cgroup_cpu_us() and cgroup_oom() understand. */
MUST_USE struct status cgroup_open_stats(
    const struct cgroups *cg, uint32_t slot, int *ret_cpu, int *ret_memory);
void cgroup_stats(const struct cgroups *cg, uint32_t slot, struct cgroup_stats *ret);
/* SIGKILL to everything inside; false when it is empty. */
bool cgroup_kill(const struct cgroups *cg, uint32_t slot);
/* E_AGAIN: something is still inside. */
MUST_USE struct status cgroup_remove(const struct cgroups *cg, uint32_t slot);

/* ---- the files' texts ---- */
/* The number after "key " at the start of a line. */
bool cgroup_value(struct span text, const char *key, uint64_t *ret);
uint64_t cgroup_cpu_us(struct span text); /* cpuacct.usage (ns) or cpu.stat */
bool cgroup_oom(struct span text);        /* memory.oom_control or memory.events */

#endif
