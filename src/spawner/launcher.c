/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launcher.c: start, raise, kill and reap sandboxes and workers; the last one to leave.
 *
 * Runs in: the launcher, a fork of the spawner from before its jail. It keeps
 * uid 0 and three capabilities: CAP_SETUID and CAP_SETGID to write the id maps of
 * a user namespace, CAP_DAC_OVERRIDE to remove its group from a controller's
 * root (mode 0555). It owns those namespaces, so it needs no more to kill what
 * is in them. runsc inherits its limits, so it has no Landlock
 * (runsc mounts and pivots) and only the supervisor's broad seccomp filter.
 * Trusts: the spawner's commands as to their form; slots and limits are checked
 * again here.
 * Owns: the instance's control groups and every process in them.
 * Invariants: one process of ours a slot; EXITED only after the process, which
 * is first in its pid namespace and so the last to go there, was reaped and its
 * groups are gone, or could not be removed in REMOVE_GIVE_UP_MS (`stuck`). One launcher an
 * instance: an advisory lock on its run folder. See: launcher.h, child.c, cgroup.c.
 */
#include "launcher.h"

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/io.h>
#include <daemon/daemon.h>
#include <wire/topology.h>

#include "cgroup.h"

#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define BUNDLE_MAX 8192
#define MAP_MAX 64
#define RUN_DIR "/run/sallyport"
#define REMOVE_RETRY_MS 4
#define REMOVE_GIVE_UP_MS 2000 /* then it is reported, and the slot not used again */
#define STOP_MAX_MS 1500       /* from end of file to exit */

enum slot_state { SLOT_FREE, SLOT_RUNNING, SLOT_REMOVING, SLOT_STUCK };

struct slot {
	enum slot_state state;
	pid_t pid;
	int report; /* read end: why exec was not reached */
	bool raised;
	uint8_t kind;
	uint32_t memory_mb;
	uint64_t reaped_ns;
	struct launch_event exited;
};

struct launcher {
	int sock;
	int signals;
	int lock;
	int lifeline[2];
	int null;
	struct launch_config conf;
	char runsc[LAUNCH_PATH_MAX];
	char image[LAUNCH_PATH_MAX];
	char run_dir[LAUNCH_PATH_MAX];
	struct cgroups cg;
	struct buf bundle;
	uint32_t nraised;
	uint32_t nremoving;
	struct slot slots[ES_SLOTS_MAX];
};

static struct launcher launcher;

_Noreturn static void launcher_main(int sock, const struct launch_config *conf);
static struct status prepare(struct launcher *l, int sock, const struct launch_config *conf);
static struct status take_lock(struct launcher *l);
static struct status find_cgroups(struct launcher *l);
static void serve(struct launcher *l);
static bool take_command(struct launcher *l);
static void start(struct launcher *l, const struct launch_cmd *cmd, const int *fds);
static struct status start_child(
    struct launcher *l, struct slot *s, const struct launch_cmd *cmd, const int *fds);
static struct status spawn(struct launcher *l, const struct launch_cmd *cmd, struct child *c,
    struct slot *s, int go_write);
static struct status map_ids(const struct launcher *l, uint32_t slot, pid_t pid);
static void announce(struct launcher *l, uint32_t slot);
static void raise_weight(struct launcher *l, uint32_t slot);
static void lower_memory(struct launcher *l, uint32_t slot, uint32_t memory_mb);
static void reap(struct launcher *l);
static void reaped(struct launcher *l, uint32_t slot, int wait_status);
static void remove_groups(struct launcher *l, uint32_t slot);
static void remove_pending(struct launcher *l);
static void end_all(struct launcher *l);
static void send_event(struct launcher *l, const struct launch_event *e, const int *fds, size_t n);

struct status
launcher_fork(const struct launch_config *conf, int *ret_fd)
{
	struct launch_event ready = { .what = 0 };
	struct pollfd p = { .events = POLLIN };
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return fail_errno();
	pid = fork();
	if (pid < 0) {
		struct status st = fail_errno();

		(void)close(pair[0]);
		(void)close(pair[1]);
		return st;
	}
	if (pid == 0) {
		(void)close(pair[0]);
		launcher_main(pair[1], conf);
	}
	(void)close(pair[1]);
	p.fd = pair[0];
	if (poll(&p, 1, LAUNCH_READY_MS) != 1 ||
	    !is_ok(packet_recv(pair[0], &ready, sizeof(ready), NULL, 0)) ||
	    fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
		(void)close(pair[0]);
		return fail(E_TIMEOUT);
	}
	*ret_fd = pair[0];
	return OK;
}

_Noreturn static void
launcher_main(int sock, const struct launch_config *conf)
{
	struct launcher *l = &launcher;
	struct launch_event ready = { .what = LAUNCH_READY };
	struct status st = prepare(l, sock, conf);

	if (!is_ok(st))
		diag_fatal("launcher: %s", status_text(st));
	send_event(l, &ready, NULL, 0);
	serve(l);
	end_all(l);
	_exit(0);
}

static struct status
prepare(struct launcher *l, int sock, const struct launch_config *conf)
{
	int keep[LAUNCH_KINDS + 1];
	sigset_t set;

	/* Above 2 nothing is ours but this socket, and what workers run. */
	memcpy(keep, conf->programs, sizeof(conf->programs));
	keep[LAUNCH_KINDS] = sock;
	TRY(jail_close_others(keep, LAUNCH_KINDS + 1));
	(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	(void)umask(022); /* two uids share what a sandbox's mount namespace holds */
	l->sock = sock;
	l->conf = *conf;
	l->bundle = BUF_INIT(BUNDLE_MAX);
	TRY(span_to_cstr(span_str(conf->runsc), l->runsc, sizeof(l->runsc)));
	TRY(span_to_cstr(span_str(conf->image), l->image, sizeof(l->image)));
	for (size_t i = 0; i < ES_SLOTS_MAX; i++)
		l->slots[i].report = -1;
	/* A terminal's Ctrl-C is the supervisor's to handle. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) != 0)
		return fail_errno();
	l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	l->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (l->signals < 0 || l->null < 0 || pipe2(l->lifeline, O_CLOEXEC) != 0)
		return fail_errno();
	TRY(take_lock(l));
	TRY(find_cgroups(l));
	TRY(cgroups_sweep(&l->cg));
	TRY(cgroups_open(&l->cg));
	return launcher_drop_privileges();
}

/* A predecessor that is still clearing up holds the lock; it is gone within STOP_MAX_MS. */
static struct status
take_lock(struct launcher *l)
{
	struct stat st;

	if (snprintf(l->run_dir, sizeof(l->run_dir), RUN_DIR "/%s", l->conf.instance) >=
	    (int)sizeof(l->run_dir))
		return fail(E_RANGE);
	for (;;) {
		auto_fd int fd = -1;

		if ((mkdir(RUN_DIR, 0755) != 0 && errno != EEXIST) ||
		    (mkdir(l->run_dir, 0755) != 0 && errno != EEXIST))
			return fail_errno();
		fd = open(l->run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || flock(fd, LOCK_EX) != 0 || fstat(fd, &st) != 0)
			return fail_errno();
		if (st.st_nlink == 0) /* removed by the predecessor as it left */
			continue;
		l->lock = fd_take(&fd);
		return OK;
	}
}

static struct status
find_cgroups(struct launcher *l)
{
	auto_buf struct buf text = BUF_INIT(1U << 20);
	auto_fd int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno();
	TRY(io_read_all(fd, &text));
	return cgroups_find(buf_span(&text), l->conf.instance, &l->cg);
}

static void
serve(struct launcher *l)
{
	struct pollfd p[2] = { { .fd = l->sock, .events = POLLIN },
		{ .fd = l->signals, .events = POLLIN } };

	for (;;) {
		if (poll(p, 2, l->nremoving > 0 ? REMOVE_RETRY_MS : -1) < 0 && errno != EINTR)
			diag_fatal("launcher: poll: %s", strerror(errno));
		if ((p[1].revents & POLLIN) != 0)
			reap(l);
		if (l->nremoving > 0)
			remove_pending(l);
		if (p[0].revents != 0 && !take_command(l))
			return;
	}
}

/* False: the spawner is gone. */
static bool
take_command(struct launcher *l)
{
	struct launch_cmd cmd = { .op = 0 };
	int fds[LAUNCH_STDIO];
	struct status st = packet_recv(l->sock, &cmd, sizeof(cmd), fds, LAUNCH_STDIO);

	if (st.code == E_EOF)
		return false;
	if (!is_ok(st) || cmd.slot >= l->conf.slots)
		diag_fatal("launcher: bad command: %s", status_text(st));
	if (cmd.op == LAUNCH_START)
		start(l, &cmd, fds);
	if (cmd.op == LAUNCH_RAISE) {
		raise_weight(l, cmd.slot);
		lower_memory(l, cmd.slot, cmd.memory_mb);
	}
	if (cmd.op == LAUNCH_KILL && l->slots[cmd.slot].state == SLOT_RUNNING) {
		(void)kill(l->slots[cmd.slot].pid, SIGKILL);
		/* It dies the sooner for having its share of the processor. */
		raise_weight(l, cmd.slot);
	}
	for (size_t i = 0; i < LAUNCH_STDIO; i++)
		cleanup_fd_(&fds[i]);
	return true;
}

/* A new executor cannot know of it; what was in the way may be gone by now. */
static bool
is_unstuck(struct launcher *l, uint32_t slot)
{
	struct slot *s = &l->slots[slot];

	s->exited = (struct launch_event){
		.what = LAUNCH_EXITED, .slot = slot, .failed_start = 1, .stuck = 1
	};
	if (is_ok(cgroup_remove(&l->cg, slot)))
		s->state = SLOT_FREE;
	return s->state == SLOT_FREE;
}

static void
start(struct launcher *l, const struct launch_cmd *cmd, const int *fds)
{
	struct slot *s = &l->slots[cmd->slot];
	struct status st;

	if (s->state == SLOT_STUCK && !is_unstuck(l, cmd->slot)) {
		send_event(l, &s->exited, NULL, 0);
		return;
	}
	if (s->state != SLOT_FREE || !kind_start_ok(cmd, fds))
		diag_fatal("launcher: slot %u cannot start", cmd->slot);
	*s = (struct slot){ .report = -1, .kind = cmd->kind, .memory_mb = cmd->memory_mb };
	s->exited = (struct launch_event){ .what = LAUNCH_EXITED, .slot = cmd->slot };
	st = start_child(l, s, cmd, fds);
	if (is_ok(st)) {
		s->state = SLOT_RUNNING;
		announce(l, cmd->slot);
		if (cmd->background == 0)
			raise_weight(l, cmd->slot);
		return;
	}
	diag(DIAG_ERROR, "launcher: slot %u: start: %s", cmd->slot, status_text(st));
	s->exited.failed_start = 1;
	if (s->pid > 0) { /* it waits for its go, which will not come */
		(void)kill(s->pid, SIGKILL);
		s->state = SLOT_RUNNING;
		return;
	}
	s->state = SLOT_REMOVING;
	s->reaped_ns = clock_mono_ns();
	l->nremoving++;
	remove_groups(l, cmd->slot);
}

static struct status
describe_child(struct launcher *l, const struct launch_cmd *cmd, const int *fds, struct child *c)
{
	*c = (struct child){ .kind = kind_of(cmd->kind),
		.runsc = l->runsc,
		.image = l->image,
		.program = l->conf.programs[cmd->kind],
		.lifeline = l->lifeline[0] };
	memcpy(c->stdio, fds, sizeof(c->stdio));
	c->nstdio = (int)c->kind->nfds;
	if (c->kind->program != NULL) {
		while (c->nstdio < LAUNCH_WORKER_STDIO)
			c->stdio[c->nstdio++] = l->null;
		return c->program < 0 ? fail(E_NOTFOUND) : OK;
	}
	buf_clear(&l->bundle);
	TRY(bundle_write((enum es_runner)cmd->runner, cmd, &l->bundle));
	TRY(buf_put_u8(&l->bundle, 0));
	c->bundle = (const char *)l->bundle.ptr;
	return OK;
}

static struct status
start_child(struct launcher *l, struct slot *s, const struct launch_cmd *cmd, const int *fds)
{
	const struct cgroup_limits limits = kind_limits(cmd);
	auto_fd int go_read = -1, go_write = -1, report_read = -1, report_write = -1;
	int go[2], report[2];
	struct child c;

	TRY(describe_child(l, cmd, fds, &c));
	if (pipe2(go, O_CLOEXEC) != 0)
		return fail_errno();
	go_read = go[0];
	go_write = go[1];
	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) != 0)
		return fail_errno();
	report_read = report[0];
	report_write = report[1];
	TRY(cgroup_make(&l->cg, cmd->slot, &limits));
	cgroup_weigh(&l->cg, cmd->slot, c.kind->weight == WEIGHT_FULL);
	c.go = go_read;
	c.report = report_write;
	TRY(spawn(l, cmd, &c, s, go_write));
	s->report = fd_take(&report_read);
	return OK;
}

static struct status
spawn(
    struct launcher *l, const struct launch_cmd *cmd, struct child *c, struct slot *s, int go_write)
{
	auto_fd int group = cgroup_fd(&l->cg, cmd->slot);
	struct clone_args args = { .exit_signal = SIGCHLD,
		.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
			 CLONE_NEWUTS };
	long pid;

	if (group >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (__u64)group;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return fail_errno();
	if (pid == 0) {
		(void)close(l->lifeline[1]);
		(void)close(go_write);
		child_main(c);
	}
	s->pid = (pid_t)pid;
	TRY(cgroup_enter(&l->cg, cmd->slot, s->pid));
	TRY(map_ids(l, cmd->slot, s->pid));
	return io_write_all(go_write, SPAN_LIT("g"));
}

/* Two ids a sandbox: its root is uid N, its 65534, where the sentry runs, N + 1. */
static struct status
map_ids(const struct launcher *l, uint32_t slot, pid_t pid)
{
	static const char *const files[] = { "uid_map", "gid_map" };
	const uint32_t id = l->conf.uid_base + UID_SANDBOX + 2 * slot;
	char path[MAP_MAX], text[MAP_MAX];
	int len = snprintf(text, sizeof(text), "0 %u 1\n65534 %u 1\n", id, id + 1);

	for (size_t i = 0; i < 2; i++) {
		auto_fd int fd = -1;

		(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		/* One write: the kernel takes a map whole or not at all. */
		if (fd < 0 || write(fd, text, (size_t)len) != len)
			return fail_errno();
	}
	return OK;
}

static void
announce(struct launcher *l, uint32_t slot)
{
	struct launch_event e = { .what = LAUNCH_STARTED, .slot = slot };
	int fds[LAUNCH_STATS];
	struct status st = cgroup_open_stats(&l->cg, slot, &fds[0], &fds[1]);

	if (!is_ok(st)) {
		diag(DIAG_ERROR, "launcher: slot %u: stats: %s", slot, status_text(st));
		l->slots[slot].exited.failed_start = 1;
		(void)kill(l->slots[slot].pid, SIGKILL);
		return;
	}
	send_event(l, &e, fds, LAUNCH_STATS);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
raise_weight(struct launcher *l, uint32_t slot)
{
	struct slot *s = &l->slots[slot];

	if (s->state != SLOT_RUNNING || s->raised || kind_of(s->kind)->weight != WEIGHT_OF_RUN)
		return;
	s->raised = true;
	cgroup_weigh(&l->cg, slot, true);
	if (l->nraised++ == 0)
		cgroups_weigh(&l->cg, true);
}

/* A run may get less than its sandbox has. What is in use already counts. */
static void
lower_memory(struct launcher *l, uint32_t slot, uint32_t memory_mb)
{
	const struct launch_cmd like = { .kind = l->slots[slot].kind, .memory_mb = memory_mb };
	struct slot *s = &l->slots[slot];
	struct status st;

	if (s->state != SLOT_RUNNING || memory_mb == 0 || memory_mb >= s->memory_mb)
		return;
	s->memory_mb = memory_mb;
	st = cgroup_set_memory(&l->cg, slot, kind_limits(&like).memory_mb);
	if (is_ok(st))
		return;
	diag(DIAG_WARN, "launcher: slot %u: memory: %s", slot, status_text(st));
	(void)kill(s->pid, SIGKILL); /* never more than was said */
}

static void
reap(struct launcher *l)
{
	struct signalfd_siginfo info;
	int wait_status;
	pid_t pid;

	while (read(l->signals, &info, sizeof(info)) > 0)
		continue;
	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		for (uint32_t i = 0; i < l->conf.slots; i++) {
			if (l->slots[i].state == SLOT_RUNNING && l->slots[i].pid == pid)
				reaped(l, i, wait_status);
		}
	}
}

static void
reaped(struct launcher *l, uint32_t slot, int wait_status)
{
	struct slot *s = &l->slots[slot];
	struct child_failure failure;
	struct cgroup_stats stats;

	cgroup_stats(&l->cg, slot, &stats);
	s->exited.wait_status = (uint32_t)wait_status;
	s->exited.cpu_us = stats.cpu_us;
	s->exited.oom = stats.oom;
	s->exited.pids_hit = stats.pids_hit;
	if (s->report >= 0 && read(s->report, &failure, sizeof(failure)) == sizeof(failure)) {
		s->exited.failed_start = 1;
		diag(DIAG_ERROR, "launcher: slot %u: %s: %s", slot, child_step_name(failure.step),
		    strerror(failure.err));
	}
	cleanup_fd_(&s->report);
	s->report = -1;
	if (s->raised && --l->nraised == 0)
		cgroups_weigh(&l->cg, false);
	s->state = SLOT_REMOVING;
	s->reaped_ns = clock_mono_ns();
	l->nremoving++;
	remove_groups(l, slot);
}

static void
remove_groups(struct launcher *l, uint32_t slot)
{
	struct slot *s = &l->slots[slot];
	struct status st;

	(void)cgroup_kill(&l->cg, slot);
	st = cgroup_remove(&l->cg, slot);
	if (is_ok(st)) {
		s->state = SLOT_FREE;
		l->nremoving--;
		send_event(l, &s->exited, NULL, 0);
		return;
	}
	if (clock_mono_ns() - s->reaped_ns < REMOVE_GIVE_UP_MS * NS_PER_MS)
		return;
	diag(DIAG_ERROR, "launcher: slot %u: its group cannot be removed: %s", slot,
	    status_text(st));
	s->state = SLOT_STUCK;
	s->exited.stuck = 1;
	l->nremoving--;
	/* Its processes are gone, and that is what callers wait for. */
	send_event(l, &s->exited, NULL, 0);
}

static void
remove_pending(struct launcher *l)
{
	for (uint32_t i = 0; i < l->conf.slots; i++) {
		if (l->slots[i].state == SLOT_REMOVING)
			remove_groups(l, i);
	}
}

/* The spawner is gone: so are, soon, its sandboxes, their groups, the lock and we. */
static void
end_all(struct launcher *l)
{
	uint64_t until = clock_mono_ns() + STOP_MAX_MS * NS_PER_MS;
	struct status st;

	(void)close(l->sock);
	l->sock = -1;
	cgroups_weigh(&l->cg, true);
	for (uint32_t i = 0; i < l->conf.slots; i++) {
		if (l->slots[i].state != SLOT_RUNNING)
			continue;
		(void)kill(l->slots[i].pid, SIGKILL);
		cgroup_weigh(&l->cg, i, true);
	}
	while (waitpid(-1, NULL, WNOHANG) >= 0 && clock_mono_ns() < until)
		(void)usleep(1000);
	st = cgroups_close(&l->cg);
	if (!is_ok(st))
		diag(DIAG_ERROR, "launcher: control groups are left: %s", status_text(st));
	(void)rmdir(l->run_dir); /* fails while somebody else keeps something in it */
}

static void
send_event(struct launcher *l, const struct launch_event *e, const int *fds, size_t n)
{
	struct status st;

	if (l->sock < 0)
		return;
	st = packet_send(l->sock, e, sizeof(*e), fds, n);
	/* When the spawner is gone, the next read of the socket says so. */
	if (!is_ok(st) && st.code != E_CLOSED)
		diag_fatal("launcher: send: %s", status_text(st));
}
