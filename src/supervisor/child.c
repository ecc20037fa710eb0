/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.c: one process's life: fork, greeting, readiness, death, next start.
 *
 * Runs in: supervisor. Trusts: its table of processes; a child only for its own
 * state. Owns: pids, control links and pages of counters.
 * Invariants: a child that does not get ready in time, nor further with its start (its page of
 * counters tells), is killed; before the
 * service was up once, a child's death ends the service (never retry weaker);
 * afterwards it is started again, with a growing delay.
 * See: wire/control.h for the order of messages.
 */
#include "supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <daemon/tables.h>

static void on_hello(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_ready(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_head(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_generation(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_pong(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_files_again(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_reload(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_control_closed(struct link *l, struct status why, void *ctx);
static void on_start_timeout(uv_timer_t *t);
static void on_backoff(uv_timer_t *t);
static void child_ended(struct child *c, int wait_status);

static const struct link_rule control_rules[] = {
	{ CTL_HELLO, 0, on_hello },
	{ CTL_READY, 0, on_ready },
	{ CTL_HEAD, 0, on_head },
	{ CTL_GENERATION, 0, on_generation },
	{ CTL_RELOAD, 0, on_reload },
	{ CTL_RECORDED, 0, record_on_recorded },
	{ CTL_PONG, 0, on_pong },
	{ CTL_FILES_AGAIN, 0, on_files_again },
	{ CTL_CERT_ROTATE, 0, certificate_on_rotate },
	{ CTL_OWE, 0, owed_on_owe },
};
static const struct link_ops control_ops = { control_rules,
	sizeof(control_rules) / sizeof(control_rules[0]), on_control_closed };

/* In the fork: nothing but descriptors, signals and exec. */
static _Noreturn void
child_exec(const struct supervisor *sv, enum proc proc, int control_fd, pid_t parent)
{
	char path[sizeof(sv->inst.libexec) + 32];
	char *argv[] = { path, NULL }, *envp[] = { NULL };
	sigset_t none;

	(void)snprintf(path, sizeof(path), "%s/%s", sv->inst.libexec, proc_names[proc]);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		_exit(127);
	if (control_fd == DAEMON_CONTROL_FD) {
		if (fcntl(control_fd, F_SETFD, 0) < 0)
			_exit(127);
	} else if (dup2(control_fd, DAEMON_CONTROL_FD) < 0) {
		_exit(127);
	}
	(void)execve(path, argv, envp);
	_exit(127);
}

static struct status
metrics_page(int *ret)
{
	auto_fd int fd = memfd_create("metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, METRICS_PAGE_LEN) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return fail_errno();
	*ret = fd_take(&fd);
	return OK;
}

static struct child *
child_slot(struct supervisor *sv)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		if (sv->children[i].state == CHILD_FREE)
			return &sv->children[i];
	}
	return NULL;
}

static struct status
child_fork(struct child *c)
{
	struct supervisor *sv = c->sv;
	auto_fd int ours = -1;
	auto_fd int theirs = -1;
	auto_fd int metrics = -1;
	pid_t parent = getpid();
	int pair[2];

	TRY(metrics_page(&metrics));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno();
	ours = pair[0];
	theirs = pair[1];
	/* The link first: a child that nobody can talk to must not be born. */
	TRY(link_new(&sv->loop, fd_take(&ours), &ctl_edge, true, &control_ops, c, &c->control));
	c->pid = fork();
	if (c->pid == 0)
		child_exec(sv, c->proc, theirs, parent);
	if (c->pid < 0) {
		struct status st = fail_errno();

		c->pid = 0;
		link_free(c->control);
		c->control = NULL;
		return st;
	}
	c->metrics_fd = fd_take(&metrics);
	c->peer_id = ++sv->next_peer_id;
	c->started_ms = uv_now(&sv->loop);
	c->progress = 0;
	c->state = CHILD_STARTING;
	link_set_peer(c->control, c->peer_id);
	(void)uv_timer_start(&c->timer, on_start_timeout, START_TIMEOUT_MS, 0);
	return OK;
}

struct status
child_start(struct supervisor *sv, enum proc proc, uint32_t index)
{
	struct child *c = child_slot(sv);

	if (c == NULL)
		return fail(E_FULL);
	c->sv = sv;
	c->proc = proc;
	c->index = index;
	c->backoff_ms = 0;
	c->metrics_fd = -1;
	if (!c->timer_up) {
		(void)uv_timer_init(&sv->loop, &c->timer);
		c->timer.data = c;
		c->timer_up = true;
	}
	return child_fork(c);
}

struct child *
child_of(struct supervisor *sv, enum proc proc, bool ready)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &sv->children[i];

		if (c->proc == proc && c->control != NULL &&
		    (c->state == CHILD_READY || (!ready && c->state == CHILD_GREETED)))
			return c;
	}
	return NULL;
}

bool
all_ready(const struct supervisor *sv)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		enum child_state s = sv->children[i].state;

		if (s == CHILD_STARTING || s == CHILD_GREETED || s == CHILD_WAITING)
			return false;
	}
	return true;
}

static struct status
send_start(struct child *c)
{
	struct supervisor *sv = c->sv;
	auto_buf struct buf slice = BUF_INIT(CTL_CONFIG_MAX);
	struct ctl_start m = { .instance = span_str(sv->inst.name),
		.uid = sv->uid_base + UID_OF(c->proc),
		.uid_base = sv->uid_base,
		.index = c->index,
		.peer_id = c->peer_id,
		.generation = sv->generation };

	TRY(conf_slice(sv->conf, proc_rows[c->proc].config, &slice));
	m.config = buf_span(&slice);
	c->generation = sv->generation;
	return link_send(c->control, 0, CTL_START, &m);
}

static struct status
send_fd(struct child *c, const char *name, int fd)
{
	const struct ctl_fd m = { .name = span_str(name) };

	if (fd < 0)
		return fail(E_NOTFOUND);
	return link_send_fds(c->control, 0, CTL_FD, &m, &fd, 1);
}

static struct status
send_fds(struct child *c)
{
	TRY(send_fd(c, "metrics", c->metrics_fd));
	for (const char *const *name = proc_rows[c->proc].fds; *name != NULL; name++) {
		auto_fd int fd = instance_fd(c->sv, *name);

		TRY(send_fd(c, *name, fd));
	}
	return OK;
}

static struct status
greet(struct child *c)
{
	const struct wire_none none = { 0 };

	TRY(send_start(c));
	TRY(send_fds(c));
	TRY(files_send(c));
	TRY(certificate_send(c));
	c->state = CHILD_GREETED;
	TRY(peers_connect(c));
	return link_send(c->control, 0, CTL_GO, &none);
}

static void
on_hello(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_hello *m = msg;
	struct child *c = ctx;
	struct status st;

	(void)l, (void)id;
	if (c->state != CHILD_STARTING)
		return;
	if (m->version != CTL_VERSION || m->tables != daemon_tables_hash()) {
		diag(DIAG_ERROR, "%s: is of another build", proc_names[c->proc]);
		(void)kill(c->pid, SIGKILL);
		return;
	}
	st = greet(c);
	if (!is_ok(st)) {
		diag(DIAG_ERROR, "%s: greeting: %s", proc_names[c->proc], status_text(st));
		(void)kill(c->pid, SIGKILL);
	}
}

static void
on_ready(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct child *c = ctx;
	struct supervisor *sv = c->sv;

	(void)l, (void)id, (void)msg;
	if (c->state != CHILD_GREETED)
		return;
	c->state = CHILD_READY;
	c->heard_ms = uv_now(&sv->loop);
	(void)uv_timer_stop(&c->timer);
	record_process(sv, c, true, 0);
	if (!sv->up && !sv->stopping && all_ready(sv)) {
		sv->up = true;
		diag(DIAG_INFO, "ready on %s", sv->inst.listen);
	}
	record_flush(sv);
	reload_progress(sv);
}

static void
on_head(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_head *m = msg;
	const struct wire_none none = { 0 };
	struct child *c = ctx;
	struct status st = c->proc == PROC_AUDIT ? instance_keep_head(c->sv, m->size, m->note)
						 : fail(E_PROTO);

	(void)l;
	if (is_ok(st))
		st = link_send(c->control, id, CTL_HEAD_KEPT, &none);
	if (st.code == E_CORRUPT) {
		diag(DIAG_ERROR, "the audit log is behind audit.head: it was cut off or put back");
		shutdown_begin(c->sv, 1);
	} else if (!is_ok(st)) {
		diag(DIAG_ERROR, "audit.head: %s", status_text(st));
	}
}

static void
on_generation(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_generation *m = msg;
	struct child *c = ctx;
	struct status st = c->proc == PROC_STORE ? rollback_on_generation(c->sv, m->generation)
						 : fail(E_PROTO);

	(void)l, (void)id;
	if (!is_ok(st))
		diag(DIAG_ERROR, "store.generation: %s", status_text(st));
}

static void
on_reload(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct child *c = ctx;

	(void)l, (void)msg;
	if (c->proc == PROC_AUTHORITY)
		reload_begin(c->sv, id);
}

static void
on_files_again(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct wire_none none = { 0 };
	const struct child *c = ctx;

	(void)msg;
	files_send_again(c);
	if (!is_ok(link_send(l, id, CTL_FILES_SENT, &none)))
		diag(DIAG_WARN, "%s: its files could not be sent", proc_names[c->proc]);
}

static void
on_pong(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct child *c = ctx;

	(void)l, (void)id, (void)msg;
	c->heard_ms = uv_now(&c->sv->loop);
}

/* A process that hangs is worse than one that dies: nobody takes its place. */
void
children_ping(struct supervisor *sv)
{
	const struct wire_none none = { 0 };

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *c = &sv->children[i];

		if (c->control == NULL || (c->state != CHILD_READY && c->state != CHILD_DRAINING))
			continue;
		if (uv_now(&sv->loop) - c->heard_ms <= HANG_MS &&
		    is_ok(link_send(c->control, 0, CTL_PING, &none)))
			continue;
		diag(DIAG_ERROR, "%s (pid %d): does not answer, killed", proc_names[c->proc],
		    (int)c->pid);
		(void)kill(c->pid, SIGKILL);
	}
}

/* Death is told by SIGCHLD; a link that breaks first means that the child misbehaved. */
static void
on_control_closed(struct link *l, struct status why, void *ctx)
{
	struct child *c = ctx;

	if (why.code != E_CLOSED)
		diag(DIAG_ERROR, "%s: control link: %s", proc_names[c->proc], status_text(why));
	c->control = NULL;
	link_free(l);
	if (c->pid > 0 && c->state != CHILD_DRAINING && why.code != E_CLOSED)
		(void)kill(c->pid, SIGKILL);
}

/* Has it come further since it was last asked? For a start that takes as long as there is data. */
static bool
comes_further(struct child *c)
{
	uint64_t done = 0;
	off_t at = offsetof(struct metrics_page, values[METRIC_START_DONE]);

	if (c->metrics_fd < 0 || pread(c->metrics_fd, &done, sizeof(done), at) != sizeof(done) ||
	    done == c->progress)
		return false;
	c->progress = done;
	return true;
}

static void
on_start_timeout(uv_timer_t *t)
{
	struct child *c = t->data;

	if (comes_further(c)) {
		(void)uv_timer_start(t, on_start_timeout, START_TIMEOUT_MS, 0);
		return;
	}
	diag(DIAG_ERROR, "%s: not ready in %d ms, killed", proc_names[c->proc], START_TIMEOUT_MS);
	(void)kill(c->pid, SIGKILL);
}

static void
on_backoff(uv_timer_t *t)
{
	struct child *c = t->data;
	struct status st;

	if (c->sv->stopping) {
		c->state = CHILD_FREE;
		return;
	}
	st = child_fork(c);
	if (!is_ok(st)) {
		diag(DIAG_ERROR, "%s: fork: %s", proc_names[c->proc], status_text(st));
		c->state = CHILD_WAITING;
		(void)uv_timer_start(&c->timer, on_backoff, BACKOFF_MAX_MS, 0);
	}
}

void
child_drain(struct child *c, uint32_t grace_ms, uint32_t end_ms)
{
	const struct ctl_drain m = { .grace_ms = grace_ms, .end_ms = end_ms };

	if (c->state == CHILD_WAITING) {
		(void)uv_timer_stop(&c->timer);
		c->state = CHILD_FREE;
		return;
	}
	if (c->state != CHILD_DRAINING || grace_ms == 0) {
		bool serves = c->state == CHILD_READY || c->state == CHILD_DRAINING;

		c->state = CHILD_DRAINING;
		(void)uv_timer_stop(&c->timer);
		/* What does not serve yet has nothing to finish. */
		if (!serves || c->control == NULL ||
		    !is_ok(link_send(c->control, 0, CTL_DRAIN, &m)))
			(void)kill(c->pid, SIGKILL);
	}
}

static void
child_clear(struct child *c)
{
	if (c->control != NULL)
		link_free(c->control);
	c->control = NULL;
	if (c->metrics_fd >= 0)
		(void)close(c->metrics_fd);
	c->metrics_fd = -1;
	(void)uv_timer_stop(&c->timer);
	c->pid = 0;
}

static void
child_ended(struct child *c, int wait_status)
{
	struct supervisor *sv = c->sv;
	/* A worker of an older configuration is being replaced already. */
	bool replaced = c->proc == PROC_GATEWAY && c->generation != sv->generation;
	bool expected = c->state == CHILD_DRAINING || replaced || sv->stopping;
	bool stable = uv_now(&sv->loop) - c->started_ms > STABLE_MS;

	record_process(sv, c, false, wait_status);
	if (!expected)
		diag(DIAG_WARN, "%s (pid %d) ended: %s %d", proc_names[c->proc], (int)c->pid,
		    WIFSIGNALED(wait_status) ? "signal" : "status",
		    WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
	child_clear(c);
	if (expected) {
		c->state = CHILD_FREE;
		shutdown_progress(sv);
		return;
	}
	if (!sv->up) {
		c->state = CHILD_FREE;
		shutdown_begin(sv, 1);
		return;
	}
	c->backoff_ms = stable || c->backoff_ms == 0 ? BACKOFF_MIN_MS : c->backoff_ms * 2;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
	c->state = CHILD_WAITING;
	(void)uv_timer_start(&c->timer, on_backoff, c->backoff_ms, 0);
}

/* Orphans of the spawner's end up here too (we are their subreaper). */
void
children_reap(struct supervisor *sv)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		for (size_t i = 0; i < CHILDREN_MAX; i++) {
			if (sv->children[i].pid == pid)
				child_ended(&sv->children[i], wait_status);
		}
	}
}
