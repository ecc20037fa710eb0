/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PROCESS_H
#define TESTS_PROCESS_H

/* The real binary of a process, jail and all, with this test as its supervisor and one peer. */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <conf/conf.h>
#include <daemon/daemon.h>
#include <daemon/tables.h>
#include <link/link.h>
#include <wire/control.h>
#include <wire/topology.h>

#define PROCESS_UID 65123

struct process {
	uv_loop_t *loop;
	pid_t pid;
	struct link *control;
	struct link *peer; /* the A end of its edge */
	bool ready, gone;
	uint64_t recorded, heads;
	struct ctl_head head;
	struct buf head_note;
};

static inline void
must_(struct status st, int line)
{
	if (!is_ok(st)) {
		print_error("line %d: %s\n", line, status_text(st));
		_fail(__FILE__, line);
	}
}
#define must(st) must_(st, __LINE__)

static inline void
process_on_hello(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

static inline void
process_on_ready(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg;
	((struct process *)ctx)->ready = true;
}

static inline void
process_on_recorded(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_recorded *m = msg;

	(void)l, (void)id;
	if (m->ok)
		((struct process *)ctx)->recorded = m->seq;
}

static inline void
process_on_head(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct wire_none none = { 0 };
	const struct ctl_head *m = msg;
	struct process *p = ctx;

	p->heads++;
	p->head = *m;
	p->head_note.max = 4096;
	buf_clear(&p->head_note);
	must(buf_put_span(&p->head_note, m->note));
	must(link_send(l, id, CTL_HEAD_KEPT, &none));
}

static inline void
process_on_gone(struct link *l, struct status why, void *ctx)
{
	(void)why;
	((struct process *)ctx)->gone = true;
	((struct process *)ctx)->control = NULL;
	link_free(l);
}

static inline void
process_on_generation(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

static const struct link_rule process_rules[] = {
	{ CTL_HELLO, 0, process_on_hello },
	{ CTL_READY, 0, process_on_ready },
	{ CTL_RECORDED, 0, process_on_recorded },
	{ CTL_HEAD, 0, process_on_head },
	{ CTL_GENERATION, 0, process_on_generation },
};
static const struct link_ops process_ops = { process_rules, COUNT(process_rules), process_on_gone };

/* Where the binary is, if not where it was built; its configuration; its instance. */
static const char *process_folder;
static struct span process_config;
static char process_instance[16] = "0123456789ab";
static uint32_t process_uid = PROCESS_UID;

/* For what leaves more of it on the machine than a process: nobody else's, at this time. */
static inline void
process_be_unique(void)
{
	(void)snprintf(process_instance, sizeof(process_instance), "5b%010x", (unsigned)getpid());
	process_uid = 100000000U + (uint32_t)getpid() % 100000U * UID_RANGE_LEN;
}

/* build/src/<name>/<name>, from build/tests/unit/test_… */
static inline void
process_path(const char *name, char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 64);
	char *slash;

	if (process_folder != NULL) {
		(void)snprintf(path, size, "%s/%s", process_folder, name);
		return;
	}
	assert_true(n > 0);
	path[n] = '\0';
	for (int up = 0; up < 3; up++) {
		slash = strrchr(path, '/');
		assert_non_null(slash);
		*slash = '\0';
	}
	(void)snprintf(path + strlen(path), 64, "/src/%s/%s", name, name);
}

static inline pid_t
process_spawn(const char *name, int control)
{
	char path[512];
	pid_t pid;

	process_path(name, path, sizeof(path));
	pid = fork();
	if (pid == 0) {
		if (control != DAEMON_CONTROL_FD)
			(void)dup2(control, DAEMON_CONTROL_FD);
		else
			(void)fcntl(control, F_SETFD, 0);
		/* Leaks are looked for with ptrace, which a jail forbids. */
		(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		(void)execl(path, name, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static inline void
process_send_fd(struct process *p, const char *name, int fd)
{
	const struct ctl_fd m = { .name = span_str(name) };

	must(link_send_fds(p->control, 0, CTL_FD, &m, &fd, 1));
}

static inline void
process_peer(struct process *p, enum edge edge, const struct wire_edge *wire, uint32_t id,
    const struct link_ops *ops)
{
	const struct ctl_peer m = { .edge = (uint8_t)edge, .peer_id = id };
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	must(link_send_fds(p->control, 0, CTL_PEER, &m, &fds[1], 1));
	(void)close(fds[1]);
	must(link_new(p->loop, fds[0], wire, true, ops, p, &p->peer));
}

/* As far as START; descriptors and peers are the caller's, then process_go(). */
static inline void
process_start(struct process *p, uv_loop_t *loop, const char *name)
{
	const struct ctl_start m = { .instance = span_str(process_instance),
		.uid = process_uid,
		.uid_base = process_uid,
		.peer_id = 77,
		.generation = 1,
		.config = process_config };
	int fds[2];

	*p = (struct process){ .loop = loop };
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	p->pid = process_spawn(name, fds[1]);
	(void)close(fds[1]);
	must(link_new(loop, fds[0], &ctl_edge, true, &process_ops, p, &p->control));
	must(link_send(p->control, 0, CTL_START, &m));
}

static inline void
process_go(struct process *p)
{
	const struct wire_none none = { 0 };

	must(link_send(p->control, 0, CTL_GO, &none));
	while (!p->ready && !p->gone)
		(void)uv_run(p->loop, UV_RUN_ONCE);
	assert_true(p->ready);
}

static inline int
process_end(struct process *p)
{
	int status = 0;

	while (!p->gone)
		(void)uv_run(p->loop, UV_RUN_ONCE);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	buf_done(&p->head_note);
	return status;
}

static inline int
process_drain(struct process *p)
{
	const struct ctl_drain m = { 0 };

	if (p->peer != NULL)
		link_free(p->peer);
	p->peer = NULL;
	must(link_send(p->control, 0, CTL_DRAIN, &m));
	return process_end(p);
}

#endif
