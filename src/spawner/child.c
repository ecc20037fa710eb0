/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.c: from a fresh set of namespaces to runsc, or to a worker.
 *
 * Runs in: the launcher's child, first process of its own user, pid, mount,
 * network, ipc and uts namespaces. Trusts: the launcher.
 * Owns: nothing that outlives it: bundle and state lie on a tmpfs of its own
 * mount namespace, and the kernel ends the whole pid namespace with it.
 * Invariants: the host's file system is out of sight before runsc starts: its
 * root is a tmpfs with the binary, the image, /proc and /dev/null. Only
 * descriptors 0 to 3 survive. When the launcher dies, so does this process.
 * A worker's root is empty and read-only, its binary a descriptor that closes as it
 * starts; it is 65534 in its user namespace and has no capability even there.
 */
#include "launcher.h"

#include <base/io.h>
#include <base/slice.h>

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROOT "/sys" /* a folder that every host has and runsc can do without */
#define NOBODY 65534

static int reset_signals(const struct child *c);
static int wait_go(const struct child *c);
static int take_identity(const struct child *c);
static int tie_to_launcher(const struct child *c);
static int make_root(const struct child *c);
static int fill_root(const struct child *c);
static int enter_root(const struct child *c);
static int write_bundle(const struct child *c);
static int seal_root(const struct child *c);
static int set_slice(const struct child *c);
static int set_limits(const struct child *c);
static int become_nobody(const struct child *c);
static int place_fds(const struct child *c);
static int exec_program(const struct child *c);

#define GVISOR 1
#define WORKER 2
#define EACH (GVISOR | WORKER)

static const struct {
	const char *name;
	int of;
	int (*fn)(const struct child *c); /* 0, or -1 and errno */
} steps[] = {
	{ "signals", EACH, reset_signals },
	{ "wait", EACH, wait_go },
	{ "identity", EACH, take_identity },
	{ "parent", EACH, tie_to_launcher },
	{ "root", EACH, make_root },
	{ "mounts", GVISOR, fill_root },
	{ "pivot", EACH, enter_root },
	{ "bundle", GVISOR, write_bundle },
	{ "seal", WORKER, seal_root },
	{ "slice", EACH, set_slice },
	{ "limits", EACH, set_limits },
	{ "nobody", WORKER, become_nobody },
	{ "parent", WORKER, tie_to_launcher },
	{ "descriptors", EACH, place_fds },
	{ "exec", EACH, exec_program },
};
#define STEPS ((int)(sizeof(steps) / sizeof(steps[0])))

const char *
child_step_name(int step)
{
	return step >= 0 && step < STEPS ? steps[step].name : "?";
}

_Noreturn void
child_main(const struct child *c)
{
	const int ours = c->kind->program == NULL ? GVISOR : WORKER;
	struct child_failure failure;

	for (int i = 0; i < STEPS; i++) {
		if ((steps[i].of & ours) == 0 || steps[i].fn(c) == 0)
			continue;
		failure = (struct child_failure){ i, errno };
		(void)!is_ok(io_write_all(
		    i < STEPS - 1 ? c->report : c->nstdio, span_of(&failure, sizeof(failure))));
		break;
	}
	_exit(127);
}

static int
reset_signals(const struct child *c)
{
	sigset_t none;

	(void)c;
	(void)sigemptyset(&none);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGHUP, SIG_DFL);
	(void)signal(SIGPIPE, SIG_DFL);
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
wait_go(const struct child *c)
{
	uint8_t byte;

	return read(c->go, &byte, 1) == 1 ? 0 : -1;
}

static int
take_identity(const struct child *c)
{
	(void)c;
	if (setgroups(0, NULL) != 0 || setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0)
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* A change of identity clears the death signal, so it is set after that; then ask again. */
static int
tie_to_launcher(const struct child *c)
{
	struct pollfd p = { .fd = c->lifeline, .events = POLLIN };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return -1;
	return poll(&p, 1, 0) == 0 ? 0 : -1;
}

static int
make_root(const struct child *c)
{
	(void)c;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return -1;
	return mount("tmpfs", ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=0755");
}

static int
bind_file(const char *from, const char *to)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);

	if (fd < 0)
		return -1;
	(void)close(fd);
	return mount(from, to, NULL, MS_BIND, NULL);
}

static int
fill_root(const struct child *c)
{
	static const char *const dirs[] = { ROOT "/proc", ROOT "/tmp", ROOT "/dev", ROOT "/run",
		ROOT "/bundle", ROOT "/rootfs" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (mkdir(dirs[i], 0755) != 0)
			return -1;
	}
	if (bind_file(c->runsc, ROOT "/runsc") != 0 || bind_file(c->image, ROOT "/image") != 0 ||
	    bind_file("/dev/null", ROOT "/dev/null") != 0)
		return -1;
	return mount("proc", ROOT "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static int
enter_root(const struct child *c)
{
	(void)c;
	if (chdir(ROOT) != 0 || syscall(SYS_pivot_root, ".", ".") != 0)
		return -1;
	return umount2(".", MNT_DETACH) != 0 || chdir("/") != 0 ? -1 : 0;
}

static int
write_bundle(const struct child *c)
{
	int fd = open("/bundle/config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	struct status st;

	if (fd < 0)
		return -1;
	st = io_write_all(fd, span_str(c->bundle));
	(void)close(fd);
	return is_ok(st) ? 0 : -1;
}

static int
seal_root(const struct child *c)
{
	(void)c;
	return mount(
	    NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* A courtesy to others, not a wall: what cannot be had is done without. */
static int
set_slice(const struct child *c)
{
	struct slice s;
	struct status st = slice_read(&s);

	if (is_ok(st))
		st = slice_set(&s, 0, c->kind->slice_us);
	(void)!is_ok(st);
	return 0;
}

static int
set_limits(const struct child *c)
{
	for (size_t i = 0; i < c->kind->nlimits; i++) {
		const struct child_limit *row = &c->kind->limits[i];
		struct rlimit rl;

		if (getrlimit(row->resource, &rl) != 0)
			return -1;
		if (rl.rlim_max > row->max)
			rl.rlim_max = row->max;
		rl.rlim_cur = rl.rlim_max;
		if (setrlimit(row->resource, &rl) != 0)
			return -1;
	}
	return 0;
}

/* The last of the capabilities, which were its own namespace's only, go with the identity. */
static int
become_nobody(const struct child *c)
{
	(void)c;
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return -1;
	}
	if (setresgid(NOBODY, NOBODY, NOBODY) != 0)
		return -1;
	return setresuid(NOBODY, NOBODY, NOBODY);
}

/* 0 to nstdio - 1 stay; the report comes next, then the program: exec closes both. */
static int
place_fds(const struct child *c)
{
	int all[LAUNCH_STDIO + 2];
	int n = 0;

	for (; n < c->nstdio; n++)
		all[n] = c->stdio[n];
	all[n++] = c->report;
	if (c->kind->program != NULL)
		all[n++] = c->program;
	for (int i = 0; i < n; i++) {
		all[i] = fcntl(all[i], F_DUPFD_CLOEXEC, 64);
		if (all[i] < 0)
			return -1;
	}
	for (int i = 0; i < n; i++) {
		if (dup3(all[i], i, i < c->nstdio ? 0 : O_CLOEXEC) < 0)
			return -1;
	}
	return (int)syscall(SYS_close_range, n, ~0U, 0);
}

static int
exec_program(const struct child *c)
{
	/* The calls want char *; they do not write to them. */
	char *const *argv = (char *const *)(uintptr_t)c->kind->argv;
	char *const *env = (char *const *)(uintptr_t)c->kind->env;

	if (c->kind->program == NULL)
		return execve("/runsc", argv, env);
	return (int)syscall(SYS_execveat, c->nstdio + 1, "", argv, env, AT_EMPTY_PATH);
}
