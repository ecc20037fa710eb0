/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.c: from the executor's messages to the launcher's commands, and time.
 *
 * Runs in: the spawner, jailed: no capability, no file, no new descriptor but
 * those that come by its two sockets.
 * Trusts: the launcher. The executor's messages are numbers within limits; one
 * that contradicts a slot's state ends this process, and so every sandbox.
 * Owns: the limits of a run: wall clock, CPU time, and the look at the group's
 * memory events, every SLOTS_TICK_MS while armed.
 * Invariants: a slot is used from START to EXITED; nothing of an executor that
 * is gone is left before the next one is heard.
 * See: wire/executor_spawner.h, launcher.h.
 */
#include "slots.h"

#include <assert.h>
#include <poll.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>

#include "cgroup.h"
#include "launcher.h"

#define SEND_WAIT_MS 100
#define SEND_TRIES 20 /* of SEND_WAIT_MS: a launcher that takes longer is dead */
#define US_PER_MS 1000ULL

static void on_start(struct link *l, uint64_t id, const void *msg, void *ctx);
static void count_sandboxes(struct slots *s, const struct spawner_slot *slot, int n);
static void on_arm(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_kill(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_executor_closed(struct link *l, struct status why, void *ctx);
static void executor_take(struct slots *s);
static void executor_send(struct slots *s, uint64_t id, uint16_t type, const void *msg);
static void on_launcher(uv_poll_t *p, int status, int events);
static void events_read(struct slots *s);
static void started(struct slots *s, const struct launch_event *e, const int *fds);
static void exited(struct slots *s, const struct launch_event *e);
static void command(struct slots *s, const struct launch_cmd *cmd, const int *fds, size_t n);
static void arm(struct slots *s, struct spawner_slot *slot, uint32_t wall_ms, uint32_t cpu_ms);
static void disarm(struct slots *s, struct spawner_slot *slot);
static void on_tick(uv_timer_t *t);
static void slot_kill(struct slots *s, uint32_t number, enum es_ended why);
static uint64_t read_cpu(const struct spawner_slot *slot);
static bool read_oom(const struct spawner_slot *slot);

static const struct link_rule rules[] = {
	{ ES_START, 0, on_start },
	{ ES_ARM, 0, on_arm },
	{ ES_KILL, 0, on_kill },
};
static const struct link_ops executor_ops = { rules, sizeof(rules) / sizeof(rules[0]),
	on_executor_closed };

struct status
slots_init(struct slots *s, struct daemon *d, int launcher)
{
	s->d = d;
	s->launcher = launcher;
	s->next_executor = -1;
	for (size_t i = 0; i < ES_SLOTS_MAX; i++)
		s->slots[i].cpu_fd = s->slots[i].memory_fd = -1;
	s->poll.data = s->tick.data = s;
	if (uv_timer_init(d->loop, &s->tick) != 0 ||
	    uv_poll_init(d->loop, &s->poll, launcher) != 0 ||
	    uv_poll_start(&s->poll, UV_READABLE, on_launcher) != 0)
		return fail(E_NOMEM);
	return OK;
}

void
slots_executor(struct slots *s, int fd)
{
	cleanup_fd_(&s->next_executor);
	s->next_executor = fd;
	if (s->executor != NULL) /* its end is on its way; do not wait for it */
		on_executor_closed(s->executor, fail(E_CLOSED), s);
	executor_take(s);
}

void
slots_drain(struct slots *s)
{
	if (s->executor == NULL && s->used == 0)
		daemon_quit(s->d, 0);
}

static void
executor_take(struct slots *s)
{
	struct status st;

	if (s->d->draining)
		slots_drain(s);
	if (s->used > 0 || s->executor != NULL || s->next_executor < 0)
		return;
	st = link_new(s->d->loop, fd_take(&s->next_executor), &es_edge, false, &executor_ops, s,
	    &s->executor);
	if (!is_ok(st))
		diag_fatal("executor's link: %s", status_text(st));
}

static void
on_executor_closed(struct link *l, struct status why, void *ctx)
{
	struct slots *s = ctx;

	if (why.code == E_PROTO)
		diag(DIAG_ERROR, "executor dropped: %s", status_text(why));
	link_free(l);
	s->executor = NULL;
	for (uint32_t i = 0; i < ES_SLOTS_MAX; i++) {
		if (s->slots[i].used)
			slot_kill(s, i, ENDED_KILLED);
	}
	executor_take(s);
}

static void
executor_send(struct slots *s, uint64_t id, uint16_t type, const void *msg)
{
	struct status st;

	if (s->executor == NULL)
		return;
	st = link_send(s->executor, id, type, msg);
	if (!is_ok(st) && st.code != E_CLOSED)
		diag_fatal("executor's link: %s", status_text(st));
}

static void
on_start(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct es_start *m = msg;
	struct slots *s = ctx;
	struct spawner_slot *slot = &s->slots[m->slot];
	struct launch_cmd cmd = { .op = LAUNCH_START,
		.kind = m->kind,
		.runner = m->runner,
		.background = m->background,
		.slot = m->slot,
		.memory_mb = m->memory_mb,
		.pids = m->pids,
		.tmp_mb = m->tmp_mb };
	int fds[LAUNCH_STDIO];

	(void)id;
	for (size_t i = 0; i < LAUNCH_STDIO; i++)
		fds[i] = link_take_fd(l);
	if (slot->used || link_take_fd(l) >= 0 || !kind_start_ok(&cmd, fds))
		diag_fatal("executor broke the protocol: start in slot %u", m->slot);
	*slot =
	    (struct spawner_slot){ .used = true, .kind = m->kind, .cpu_fd = -1, .memory_fd = -1 };
	s->used++;
	count_sandboxes(s, slot, 1);
	command(s, &cmd, fds, kind_of(m->kind)->nfds);
	for (size_t i = 0; i < LAUNCH_STDIO; i++)
		cleanup_fd_(&fds[i]);
}

static void
count_sandboxes(struct slots *s, const struct spawner_slot *slot, int n)
{
	if (slot->kind != SLOT_GVISOR)
		return;
	s->sandboxes += (uint32_t)n;
	if (n > 0)
		daemon_metric_add(METRIC_SANDBOXES_STARTED, n);
	daemon_metric_set(METRIC_SANDBOXES_OPEN, s->sandboxes);
}

static void
on_arm(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct es_arm *m = msg;
	struct slots *s = ctx;
	struct spawner_slot *slot = &s->slots[m->slot];
	struct launch_cmd cmd = { .op = LAUNCH_RAISE, .slot = m->slot, .memory_mb = m->memory_mb };
	struct es_slot reply = { m->slot };

	(void)l;
	/* The sandbox may have ended while this was on its way. */
	if (!slot->used || slot->killed)
		return;
	disarm(s, slot);
	if (m->wall_ms != 0 || m->cpu_ms != 0) {
		arm(s, slot, m->wall_ms, m->cpu_ms);
		command(s, &cmd, NULL, 0);
	}
	executor_send(s, id, ES_ARMED, &reply);
}

static void
on_kill(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct es_slot *m = msg;

	(void)l, (void)id;
	slot_kill(ctx, m->slot, ENDED_KILLED);
}

static void
arm(struct slots *s, struct spawner_slot *slot, uint32_t wall_ms, uint32_t cpu_ms)
{
	slot->base_us = read_cpu(slot);
	slot->wall_ns = wall_ms == 0 ? UINT64_MAX : clock_mono_ns() + wall_ms * NS_PER_MS;
	slot->cpu_us = cpu_ms == 0 ? UINT64_MAX : slot->base_us + cpu_ms * US_PER_MS;
	if (s->armed++ == 0)
		(void)uv_timer_start(&s->tick, on_tick, SLOTS_TICK_MS, SLOTS_TICK_MS);
}

static void
disarm(struct slots *s, struct spawner_slot *slot)
{
	if (slot->wall_ns == 0)
		return;
	slot->wall_ns = slot->cpu_us = 0;
	assert(s->armed > 0);
	if (--s->armed == 0)
		(void)uv_timer_stop(&s->tick);
}

static void
on_tick(uv_timer_t *t)
{
	struct slots *s = t->data;
	uint64_t now = clock_mono_ns();

	for (uint32_t i = 0; i < ES_SLOTS_MAX && s->armed > 0; i++) {
		struct spawner_slot *slot = &s->slots[i];

		if (!slot->used || slot->wall_ns == 0)
			continue;
		if (read_oom(slot))
			slot_kill(s, i, ENDED_MEMORY);
		else if (slot->cpu_us != UINT64_MAX && read_cpu(slot) >= slot->cpu_us)
			slot_kill(s, i, ENDED_CPU);
		else if (now >= slot->wall_ns)
			slot_kill(s, i, ENDED_WALL);
	}
}

static void
slot_kill(struct slots *s, uint32_t number, enum es_ended why)
{
	struct spawner_slot *slot = &s->slots[number];
	struct launch_cmd cmd = { .op = LAUNCH_KILL, .slot = number };

	if (!slot->used || slot->killed)
		return;
	disarm(s, slot);
	slot->killed = true;
	slot->ended = (uint8_t)why;
	command(s, &cmd, NULL, 0);
}

/* The launcher may be waiting for us to read: hear it out, then try again. */
static void
command(struct slots *s, const struct launch_cmd *cmd, const int *fds, size_t n)
{
	struct pollfd p = { .fd = s->launcher, .events = POLLIN | POLLOUT };
	struct status st = packet_send(s->launcher, cmd, sizeof(*cmd), fds, n);

	for (int i = 0; st.code == E_AGAIN && i < SEND_TRIES; i++) {
		(void)poll(&p, 1, SEND_WAIT_MS);
		events_read(s);
		st = packet_send(s->launcher, cmd, sizeof(*cmd), fds, n);
	}
	if (!is_ok(st))
		diag_fatal("launcher is gone: %s", status_text(st));
}

static void
on_launcher(uv_poll_t *p, int status, int events)
{
	(void)status, (void)events;
	events_read(p->data);
}

static void
events_read(struct slots *s)
{
	struct launch_event e = { .what = 0 };
	int fds[LAUNCH_STATS];

	for (;;) {
		struct status st = packet_recv(s->launcher, &e, sizeof(e), fds, LAUNCH_STATS);

		if (st.code == E_AGAIN)
			return;
		if (!is_ok(st) || e.slot >= ES_SLOTS_MAX || !s->slots[e.slot].used)
			diag_fatal("launcher is gone: %s", status_text(st));
		if (e.what == LAUNCH_STARTED)
			started(s, &e, fds);
		if (e.what == LAUNCH_EXITED)
			exited(s, &e);
	}
}

static void
started(struct slots *s, const struct launch_event *e, const int *fds)
{
	struct spawner_slot *slot = &s->slots[e->slot];
	struct es_slot reply = { e->slot };

	slot->cpu_fd = fds[0];
	slot->memory_fd = fds[1];
	executor_send(s, 0, ES_STARTED, &reply);
}

static void
exited(struct slots *s, const struct launch_event *e)
{
	struct spawner_slot *slot = &s->slots[e->slot];
	uint64_t used_us = e->cpu_us > slot->base_us ? e->cpu_us - slot->base_us : 0;
	struct es_exited m = { .slot = e->slot,
		.ended = slot->ended,
		.wait_status = e->wait_status,
		.pids_hit = e->pids_hit,
		.failed_start = e->failed_start,
		.stuck = e->stuck,
		.cpu_ms = (uint32_t)(used_us / US_PER_MS) };

	if (!slot->killed && e->oom)
		m.ended = ENDED_MEMORY;
	disarm(s, slot);
	cleanup_fd_(&slot->cpu_fd);
	cleanup_fd_(&slot->memory_fd);
	count_sandboxes(s, slot, -1);
	*slot = (struct spawner_slot){ .cpu_fd = -1, .memory_fd = -1 };
	s->used--;
	daemon_metric_add(METRIC_SANDBOXES_STUCK, e->stuck);
	executor_send(s, 0, ES_EXITED, &m);
	executor_take(s);
}

static struct span
read_stat(int fd, char *text, size_t size)
{
	ssize_t n = fd < 0 ? -1 : pread(fd, text, size, 0);

	return n <= 0 ? SPAN_EMPTY : span_of(text, (size_t)n);
}

static uint64_t
read_cpu(const struct spawner_slot *slot)
{
	char text[CGROUP_FILE_MAX];

	return cgroup_cpu_us(read_stat(slot->cpu_fd, text, sizeof(text)));
}

static bool
read_oom(const struct spawner_slot *slot)
{
	char text[CGROUP_FILE_MAX];

	return cgroup_oom(read_stat(slot->memory_fd, text, sizeof(text)));
}
