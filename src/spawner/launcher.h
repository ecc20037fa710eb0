/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPAWNER_LAUNCHER_H
#define SPAWNER_LAUNCHER_H

/*
 * The launcher: the one privileged process behind the spawner. It is forked
 * before the spawner enters its jail, knows three commands, and dies last: at
 * end of file on its socket it ends every sandbox, removes every control group
 * of its instance, and exits.
 *
 * Commands and events are one packet each on a SOCK_SEQPACKET pair. Both ends
 * are the same binary, so they are plain structs.
 */
#include <sys/resource.h>

#include <base/span.h>
#include <wire/executor_spawner.h>

#include "cgroup.h"

#define LAUNCH_PATH_MAX 512
#define LAUNCH_READY_MS 8000  /* the launcher's start: a sweep, perhaps of a predecessor's */
#define LAUNCH_STDIO 4        /* descriptors with LAUNCH_START, at most */
#define LAUNCH_WORKER_STDIO 3 /* what is missing of these is /dev/null */
#define LAUNCH_KINDS (SLOT_WASM_COMPILE + 1)
#define LAUNCH_STATS 2            /* descriptors with LAUNCH_STARTED: cpu, memory */
#define LAUNCH_MEMORY_EXTRA_MB 64 /* what runsc itself needs beside the guest */
/* The group's limit of processes, so that it bites at the guest's: a warm sandbox
 * has the sentry's threads, which grow with the cores, and each process of the
 * guest is a stub of two threads. */
#define LAUNCH_PIDS_BASE 16
#define LAUNCH_PIDS_PER_CORE 4
#define LAUNCH_PIDS_PER_PROCESS 2

enum launch_op {
	LAUNCH_START = 1, /* with the kind's descriptors */
	LAUNCH_RAISE,     /* a run begins: full CPU weight, its own limit of memory */
	LAUNCH_KILL,
};

struct launch_cmd {
	uint8_t op;
	uint8_t kind;   /* enum es_kind */
	uint8_t runner; /* enum es_runner */
	uint8_t background;
	uint32_t slot;
	uint32_t memory_mb;
	uint32_t pids;
	uint32_t tmp_mb;
};

enum launch_what {
	LAUNCH_READY = 1,
	LAUNCH_STARTED, /* with LAUNCH_STATS descriptors */
	LAUNCH_EXITED,  /* everything of the slot is gone; stuck: but for its groups */
};

struct launch_event {
	uint8_t what;
	uint8_t oom;
	uint8_t pids_hit;
	uint8_t failed_start;
	uint8_t stuck;
	uint32_t slot;
	uint32_t wait_status;
	uint64_t cpu_us;
};

struct launch_config {
	const char *instance;
	const char *runsc;          /* absolute, world-readable */
	const char *image;          /* absolute, world-readable */
	int programs[LAUNCH_KINDS]; /* of kinds that have one: readable; -1: it is not there */
	uint32_t uid_base;
	uint32_t slots;
};

/*
 * Fork the launcher. As root, before the jail, with nothing secret in memory.
 * Owner: the caller owns *ret_fd, non-blocking. Errors: E_SYS; E_RANGE (a path);
 * E_TIMEOUT (it did not get ready).
 */
MUST_USE struct status launcher_fork(const struct launch_config *conf, int *ret_fd);

/* In the launcher (privileges.c): all capabilities but those that its work takes. E_SYS. */
MUST_USE struct status launcher_drop_privileges(void);

/* One packet with descriptors; E_AGAIN, E_CLOSED, E_SYS. */
MUST_USE struct status packet_send(
    int fd, const void *data, size_t len, const int *fds, size_t nfds);
/* E_AGAIN, E_EOF, E_PROTO (another size or number of descriptors). Unused entries are -1. */
MUST_USE struct status packet_recv(int fd, void *data, size_t len, int *fds, size_t nfds);

/* ---- kinds of slots (kinds.c) ---- */
enum weight {
	WEIGHT_OF_RUN, /* low in the background, full from LAUNCH_RAISE on */
	WEIGHT_FULL,
	WEIGHT_LOW,
};

struct child_limit {
	__rlimit_resource_t resource;
	rlim_t max; /* lowered to what there is */
};

struct kind {
	const char *name;
	const char *program; /* beside the spawner's own binary; NULL: runsc */
	uint32_t first_slot, slots;
	size_t nfds; /* with START */
	enum weight weight;
	uint32_t slice_us; /* see base/slice.h */
	const char *const *argv;
	const char *const *env;
	const struct child_limit *limits;
	size_t nlimits;
};

/* NULL: there is no such kind. */
const struct kind *kind_of(uint8_t kind);
/* Kind, slot, runner and descriptors (-1: none) fit each other. */
bool kind_start_ok(const struct launch_cmd *cmd, const int fds[LAUNCH_STDIO]);
/* The control group's, for what was asked for. */
struct cgroup_limits kind_limits(const struct launch_cmd *cmd);

/* ---- the child that becomes runsc or a worker (child.c) ---- */
struct child {
	const struct kind *kind;
	const char *runsc;
	const char *image;
	const char *bundle; /* text of config.json */
	int program;        /* a worker's binary */
	int stdio[LAUNCH_STDIO];
	int nstdio;
	int go;       /* read end: one byte when the maps and groups are set */
	int lifeline; /* read end: end of file when the launcher is gone */
	int report;   /* write end: struct child_failure, when exec was not reached */
};

struct child_failure {
	int step;
	int err;
};

/* In the new namespaces. Never returns. */
_Noreturn void child_main(const struct child *c);
const char *child_step_name(int step);

/* The bundle's config.json (bundle.c). E_FULL. */
MUST_USE struct status bundle_write(
    enum es_runner runner, const struct launch_cmd *cmd, struct buf *out);
const char *runner_name(enum es_runner runner);

#endif
