/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.c: from a fresh set of namespaces to runsc.
 *
 * Runs in: the launcher's child, first process of its own user, pid, mount,
 * network, ipc and uts namespaces. Trusts: the launcher.
 * Owns: nothing that outlives it: bundle and state lie on a tmpfs of its own
 * mount namespace, and the kernel ends the whole pid namespace with it.
 * Invariants: the host's file system is out of sight before runsc starts: its
 * root is a tmpfs with the binary, the image, /proc and /dev/null. Only
 * descriptors 0 to 3 survive. When the launcher dies, so does this process.
 */
#include "launcher.h"

#include <base/io.h>

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
#define CHILD_NOFILE 65536

static int reset_signals(const struct child *c);
static int wait_go(const struct child *c);
static int take_identity(const struct child *c);
static int tie_to_launcher(const struct child *c);
static int make_root(const struct child *c);
static int fill_root(const struct child *c);
static int enter_root(const struct child *c);
static int write_bundle(const struct child *c);
static int set_limits(const struct child *c);
static int place_fds(const struct child *c);
static int exec_runsc(const struct child *c);

static const struct {
	const char *name;
	int (*fn)(const struct child *c); /* 0, or -1 and errno */
} steps[] = {
	{ "signals", reset_signals },
	{ "wait", wait_go },
	{ "identity", take_identity },
	{ "parent", tie_to_launcher },
	{ "root", make_root },
	{ "mounts", fill_root },
	{ "pivot", enter_root },
	{ "bundle", write_bundle },
	{ "limits", set_limits },
	{ "descriptors", place_fds },
	{ "exec", exec_runsc },
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
	struct child_failure failure;

	for (int i = 0; i < STEPS; i++) {
		if (steps[i].fn(c) == 0)
			continue;
		failure = (struct child_failure){ i, errno };
		(void)!is_ok(io_write_all(
		    i < STEPS - 1 ? c->report : LAUNCH_STDIO, span_of(&failure, sizeof(failure))));
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
set_limits(const struct child *c)
{
	struct rlimit core = { 0, 0 };
	struct rlimit files;

	(void)c;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return -1;
	if (files.rlim_max > CHILD_NOFILE)
		files.rlim_max = CHILD_NOFILE;
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) != 0 ? -1 : setrlimit(RLIMIT_CORE, &core);
}

/* 0 to 3 are the guest's; 4 is the report, until exec closes it. */
static int
place_fds(const struct child *c)
{
	int high[LAUNCH_STDIO + 1];

	for (int i = 0; i <= LAUNCH_STDIO; i++) {
		high[i] = fcntl(i < LAUNCH_STDIO ? c->stdio[i] : c->report, F_DUPFD_CLOEXEC, 64);
		if (high[i] < 0)
			return -1;
	}
	for (int i = 0; i <= LAUNCH_STDIO; i++) {
		if (dup3(high[i], i, i == LAUNCH_STDIO ? O_CLOEXEC : 0) < 0)
			return -1;
	}
	return (int)syscall(SYS_close_range, LAUNCH_STDIO + 1, ~0U, 0);
}

static int
exec_runsc(const struct child *c)
{
	static const char *const argv[] = { "runsc", "--root=/run", "--platform=systrap",
		"--network=none", "--ignore-cgroups", "--directfs=false", "--host-uds=none",
		"--host-fifo=none", "--overlay2=none", "--debug=false", "run", "--bundle=/bundle",
		"--pass-fd=3:3", "sandbox", NULL };
	static const char *const env[] = { "PATH=/", "TMPDIR=/tmp", NULL };

	(void)c;
	/* execve() wants char *; it does not write to them. */
	return execve("/runsc", (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
}
