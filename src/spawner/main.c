/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawner: starts, limits, kills and reaps sandboxes and workers in numbered slots.
 *
 * Runs in: two processes. The launcher (launcher.c) is forked in init(), as
 * root, because runsc inherits seccomp and Landlock of whoever starts it; what
 * talks to the executor is this one, and it is jailed: own uid, no capability,
 * no file system, no calls beyond the base table but pread64.
 * Trusts: supervisor and launcher; the executor only within wire/executor_spawner.h.
 * Invariants: EOF on control or launcher ends this process; the launcher then
 * ends every sandbox and removes every trace, and so does the next start.
 * The supervisor's filter is inherited by launcher and runsc. Beyond what any
 * program needs they make: clone3, mount, umount2, pivot_root, setgroups,
 * setresuid, setresgid, setuid, setgid, setsid, ptrace, seccomp, prctl, capset,
 * memfd_create, membarrier, close_range, signalfd4, pidfd_open,
 * pidfd_send_signal, sched_setaffinity, mseal, tgkill (seen with all four
 * runners under a logging filter).
 */
#include <sys/syscall.h>
#include <unistd.h>

#include <base/cleanup.h>

#include "launcher.h"
#include "slots.h"

#include <fcntl.h>
#include <stdio.h>

static const int syscalls[] = { SYS_pread64, -1 };
static const struct jail jail = { .name = "spawner", .syscalls = syscalls, .nofile = 2048 };

static struct slots slots;
static int launcher = -1;

/*
 * What workers run lies beside us. A descriptor, because its folder may be closed to the uid
 * that runs it.
 */
static void
open_programs(int programs[LAUNCH_KINDS])
{
	char dir[LAUNCH_PATH_MAX], path[LAUNCH_PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);
	char *slash;

	dir[n < 0 ? 0 : n] = '\0';
	slash = strrchr(dir, '/');
	for (unsigned kind = 0; kind < LAUNCH_KINDS; kind++) {
		const struct kind *k = kind_of((uint8_t)kind);

		programs[kind] = -1;
		if (k == NULL || k->program == NULL || slash == NULL)
			continue;
		if (snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - dir), dir, k->program) <
		    (int)sizeof(path))
			programs[kind] = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (programs[kind] < 0)
			diag(DIAG_ERROR, "%s is not there: no tools in WebAssembly", k->program);
	}
}

static struct status
init(struct daemon *d)
{
	struct launch_config conf = { .instance = d->instance,
		.runsc = conf_str(d->conf, "engines.runsc"),
		.image = conf_str(d->conf, "engines.image"),
		.uid_base = d->uid_base,
		.slots = ES_SLOTS_MAX };
	struct status st;

	/* Without engines nothing can be started; START says so then. */
	if (conf.runsc == NULL || conf.image == NULL)
		conf.runsc = conf.image = "";
	if (access(conf.runsc, X_OK) != 0 || access(conf.image, R_OK) != 0)
		diag(DIAG_ERROR, "engines.runsc or engines.image is not there: no sandboxes");
	open_programs(conf.programs);
	st = launcher_fork(&conf, &launcher);
	for (size_t i = 0; i < LAUNCH_KINDS; i++)
		cleanup_fd_(&conf.programs[i]);
	return st;
}

static struct status
start(struct daemon *d)
{
	return slots_init(&slots, d, launcher);
}

static void
peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	(void)d, (void)peer_id, (void)index;
	if (edge != EDGE_EXECUTOR_SPAWNER)
		diag_fatal("a link that is not the executor's");
	slots_executor(&slots, fd);
}

static void
drain(struct daemon *d)
{
	(void)d;
	slots_drain(&slots);
}

int
main(int argc, char **argv)
{
	static const struct daemon_ops ops = { .proc = PROC_SPAWNER,
		.jail = &jail,
		.init = init,
		.start = start,
		.peer = peer,
		.drain = drain };

	return daemon_main(argc, argv, &ops, NULL);
}
