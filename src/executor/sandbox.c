/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.c: one sandbox from START to EXITED, and its four pipes.
 *
 * Runs in: the executor. Trusts: the spawner. What comes out of the pipes is
 * hostile: control bytes go through guest.c, output goes to the run untouched.
 * Owns: our ends of the pipes.
 * Invariants: nothing blocks; a slot is used again only after EXITED and after
 * its run has let go; a sandbox serves one lease and is never warm again.
 * See: guest/PROTOCOL.md, wire/executor_spawner.h.
 */
#include "tools.h"

#include <base/cleanup.h>
#include <base/clock.h>

#include <assert.h>
#include <fcntl.h>

#define DIAG_START_MAX 160 /* bytes of runsc's complaint that go to diagnostics */

static struct status open_pipes(struct sandbox *s, int guest_fds[CHANNELS]);
static struct status send_start(struct sandbox *s, const int guest_fds[CHANNELS], bool background);
static void on_poll(uv_poll_t *p, int status, int events);
static void write_input(struct sandbox *s);
static bool read_control(struct sandbox *s);
static void became_ready(struct sandbox *s);
static void complain(struct sandbox *s);
static void on_exited(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_nothing(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_spawner_closed(struct link *l, struct status why, void *ctx);
static void exited(struct sandbox *s, const struct es_exited *m);
static void leave_pool(struct sandbox *s);

static const struct link_rule spawner_rules[] = {
	{ ES_STARTED, 0, on_nothing },
	{ ES_ARMED, 0, on_nothing },
	{ ES_EXITED, 0, on_exited },
};
static const struct link_ops spawner_ops = { spawner_rules,
	sizeof(spawner_rules) / sizeof(spawner_rules[0]), on_spawner_closed };

void
sandbox_init(struct executor *ex, uint32_t slot)
{
	struct sandbox *s = &ex->sandboxes[slot];

	*s = (struct sandbox){ .ex = ex, .slot = slot };
	s->input = BUF_INIT(2UL * RUN_BLOB_MAX);
}

void
spawner_connect(struct executor *ex, int fd)
{
	struct status st;

	if (ex->spawner != NULL)
		on_spawner_closed(ex->spawner, fail(E_CLOSED), ex);
	st = link_new(ex->d->loop, fd, &es_edge, true, &spawner_ops, ex, &ex->spawner);
	if (!is_ok(st))
		diag_fatal("spawner's link: %s", status_text(st));
	compile_spawner(ex, true);
	workers_spawner(ex, true);
	pool_step(ex);
}

void
spawner_send(struct executor *ex, uint16_t type, const void *msg)
{
	struct status st = ex->spawner == NULL ? OK : link_send(ex->spawner, 0, type, msg);

	if (!is_ok(st) && st.code != E_CLOSED)
		diag_fatal("spawner's link: %s", status_text(st));
}

struct status
sandbox_start(struct sandbox *s, struct pool *p, bool background)
{
	int guest_fds[CHANNELS] = { -1, -1, -1, -1 };
	struct status st;

	assert(s->state == SANDBOX_FREE);
	s->pool = p;
	guest_init(&s->guest);
	st = open_pipes(s, guest_fds);
	if (is_ok(st))
		st = send_start(s, guest_fds, background);
	for (size_t i = 0; i < CHANNELS; i++)
		cleanup_fd_(&guest_fds[i]);
	if (!is_ok(st)) {
		for (size_t i = 0; i < CHANNELS; i++)
			sandbox_close_channel(s, (enum channel_kind)i);
		guest_done(&s->guest);
		return st;
	}
	s->state = SANDBOX_STARTING;
	s->deadline_ns = clock_mono_ns() + POOL_START_MS * NS_PER_MS;
	p->starting++;
	s->ex->starting++;
	sandbox_watch(s, CHANNEL_CTL, UV_READABLE);
	return OK;
}

static struct status
open_channel(struct sandbox *s, enum channel_kind kind, int fd)
{
	struct channel *c = calloc(1, sizeof(*c));

	if (c == NULL || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
	    uv_poll_init(s->ex->d->loop, &c->poll, fd) != 0) {
		free(c);
		(void)close(fd);
		return fail(E_NOMEM);
	}
	c->fd = fd;
	c->kind = kind;
	c->sandbox = s;
	c->poll.data = c;
	s->channels[kind] = c;
	return OK;
}

static struct status
open_pipes(struct sandbox *s, int guest_fds[CHANNELS])
{
	for (size_t i = 0; i < CHANNELS; i++) {
		int ours = i == CHANNEL_IN ? 1 : 0;
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) != 0)
			return fail_errno();
		guest_fds[i] = ends[1 - ours];
		TRY(open_channel(s, (enum channel_kind)i, ends[ours]));
	}
	return OK;
}

static struct status
send_start(struct sandbox *s, const int guest_fds[CHANNELS], bool background)
{
	const struct language *l = s->pool->language;
	struct es_start m = { .slot = s->slot,
		.kind = SLOT_GVISOR,
		.runner = (uint8_t)s->pool->runner,
		.memory_mb = l->memory_mb,
		.pids = l->pids,
		.tmp_mb = l->tmp_mb,
		.background = background };

	return link_send_fds(s->ex->spawner, 0, ES_START, &m, guest_fds, CHANNELS);
}

static void
free_channel(uv_handle_t *h)
{
	free(h->data);
}

void
sandbox_close_channel(struct sandbox *s, enum channel_kind kind)
{
	struct channel *c = s->channels[kind];

	if (c == NULL)
		return;
	s->channels[kind] = NULL;
	(void)uv_poll_stop(&c->poll);
	uv_close((uv_handle_t *)&c->poll, free_channel);
	(void)close(c->fd);
}

void
sandbox_watch(struct sandbox *s, enum channel_kind kind, int events)
{
	struct channel *c = s->channels[kind];

	if (c == NULL || c->events == events)
		return;
	c->events = events;
	if (events == 0)
		(void)uv_poll_stop(&c->poll);
	else if (uv_poll_start(&c->poll, events, on_poll) != 0)
		diag_fatal("poll: out of memory");
}

static void
on_poll(uv_poll_t *p, int status, int events)
{
	const struct channel *c = p->data;
	struct sandbox *s = c->sandbox;

	(void)status, (void)events;
	if (c->kind == CHANNEL_CTL)
		(void)read_control(s);
	else if (c->kind == CHANNEL_IN)
		write_input(s);
	else if (s->run != NULL)
		run_on_output(s->run, c->kind);
	else
		sandbox_watch(s, c->kind, 0);
}

/* False: there is nothing to read now. */
static bool
read_control(struct sandbox *s)
{
	static uint8_t bytes[GUEST_PAYLOAD_MAX];
	struct channel *c = s->channels[CHANNEL_CTL];
	ssize_t n = read(c->fd, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		sandbox_close_channel(s, CHANNEL_CTL);
		if (s->state == SANDBOX_STARTING)
			complain(s);
		if (s->state == SANDBOX_STARTING || s->state == SANDBOX_WARM ||
		    (s->state == SANDBOX_LEASED && s->run == NULL))
			sandbox_kill(s);
	} else if (!is_ok(guest_feed(&s->guest, span_of(bytes, (size_t)n)))) {
		sandbox_close_channel(s, CHANNEL_CTL);
		if (s->run != NULL && s->run->seen.verdict == VERDICT_NONE)
			s->run->seen.verdict = VERDICT_LIED;
		sandbox_kill(s);
	} else if (s->state == SANDBOX_STARTING && s->guest.state == GUEST_IDLE) {
		became_ready(s);
	}
	if (s->run != NULL)
		run_on_sandbox(s->run);
	return true;
}

/* A sandbox that said anything before READY is not what we started. */
static void
became_ready(struct sandbox *s)
{
	const struct es_arm disarm = { s->slot, 0, 0 };
	uint8_t byte;

	if (read(s->channels[CHANNEL_OUT]->fd, &byte, 1) > 0 ||
	    read(s->channels[CHANNEL_ERR]->fd, &byte, 1) > 0) {
		diag(DIAG_WARN, "slot %u: output before ready", s->slot);
		sandbox_kill(s);
		return;
	}
	leave_pool(s);
	spawner_send(s->ex, ES_ARM, &disarm);
	s->state = SANDBOX_WARM;
	s->pool->warm++;
	s->pool->was_warm = true;
	s->pool->backoff_ms = 0;
	s->pool->not_before_ns = 0;
	pool_step(s->ex);
}

static void
complain(struct sandbox *s)
{
	char text[DIAG_START_MAX];
	ssize_t n = read(s->channels[CHANNEL_ERR]->fd, text, sizeof(text));

	/* No user's code has run in it: these are runsc's or the runner's own words. */
	diag(DIAG_WARN, "slot %u: did not start: %.*s", s->slot, n > 0 ? (int)n : 0, text);
}

struct status
sandbox_run(struct sandbox *s, const struct run_request *req, uint32_t flags,
    const struct run_limits *limits)
{
	struct es_arm arm = { s->slot, limits->wall_ms, limits->cpu_ms, limits->memory_mb };

	assert(s->state == SANDBOX_LEASED);
	buf_clear(&s->input);
	s->input_at = 0;
	guest_begin(&s->guest, limits->files_max, s->pool->language->file_bytes_max);
	TRY(guest_put_run(&s->guest, req, flags, &s->input));
	spawner_send(s->ex, ES_ARM, &arm);
	if (s->ex->spawner != NULL)
		link_flush(s->ex->spawner);
	write_input(s);
	return OK;
}

void
sandbox_hurry(struct sandbox *s)
{
	/* Arming is what raises its weight; READY is due by then anyway. */
	struct es_arm arm = { s->slot, POOL_START_MS, 0 };

	if (s->state == SANDBOX_STARTING)
		spawner_send(s->ex, ES_ARM, &arm);
}

void
sandbox_rest(struct sandbox *s)
{
	struct es_arm arm = { s->slot, TURN_TTL_MS, KEPT_CPU_MS };

	s->run = NULL;
	spawner_send(s->ex, ES_ARM, &arm);
}

static void
write_input(struct sandbox *s)
{
	struct channel *c = s->channels[CHANNEL_IN];

	while (c != NULL && s->input_at < s->input.len) {
		ssize_t n = write(c->fd, s->input.ptr + s->input_at, s->input.len - s->input_at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			sandbox_watch(s, CHANNEL_IN, UV_WRITABLE);
			return;
		}
		if (n < 0) { /* nobody reads any more; the control pipe says the rest */
			s->input_at = s->input.len;
			break;
		}
		s->input_at += (size_t)n;
	}
	sandbox_watch(s, CHANNEL_IN, 0);
	buf_done(&s->input);
	s->input_at = 0;
}

/* Out of the pool's counts, whatever it was there. */
static void
leave_pool(struct sandbox *s)
{
	if (s->state == SANDBOX_STARTING) {
		s->pool->starting--;
		s->ex->starting--;
	}
	if (s->state == SANDBOX_WARM)
		s->pool->warm--;
}

void
sandbox_kill(struct sandbox *s)
{
	struct es_slot m = { s->slot };

	if (s->state == SANDBOX_FREE || s->state >= SANDBOX_DYING)
		return;
	if (s->state == SANDBOX_STARTING)
		pool_failed(s->ex, s->pool);
	leave_pool(s);
	s->state = SANDBOX_DYING;
	spawner_send(s->ex, ES_KILL, &m);
}

void
sandbox_release(struct sandbox *s)
{
	s->run = NULL;
	sandbox_kill(s);
	if (s->state == SANDBOX_GONE)
		s->state = SANDBOX_FREE;
	for (size_t i = 0; i < CHANNELS; i++)
		sandbox_close_channel(s, (enum channel_kind)i);
	guest_done(&s->guest);
	buf_done(&s->input);
	if (s->state == SANDBOX_FREE) {
		bool stuck = s->stuck;

		sandbox_init(s->ex, s->slot);
		s->state = stuck ? SANDBOX_STUCK : SANDBOX_FREE;
	}
}

static void
on_nothing(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

static void
on_exited(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct es_exited *m = msg;
	struct executor *ex = ctx;

	(void)l, (void)id;
	if (m->slot >= ES_SANDBOXES_MAX) {
		if (m->slot < ES_SANDBOXES_MAX + ES_WORKERS_MAX)
			worker_exited(ex, m);
		else
			compile_exited(ex, m);
		turn_check(ex);
		return;
	}
	if (m->slot >= ex->nslots || ex->sandboxes[m->slot].state == SANDBOX_FREE ||
	    ex->sandboxes[m->slot].state >= SANDBOX_GONE)
		diag_fatal("spawner broke the protocol: slot %u ended twice", m->slot);
	exited(&ex->sandboxes[m->slot], m);
	turn_check(ex);
	pool_step(ex);
}

static void
exited(struct sandbox *s, const struct es_exited *m)
{
	if (s->state == SANDBOX_STARTING) {
		if (s->channels[CHANNEL_CTL] != NULL)
			complain(s);
		pool_failed(s->ex, s->pool);
	}
	leave_pool(s);
	s->state = SANDBOX_GONE;
	s->stuck = m->stuck != 0;
	if (s->run == NULL) {
		sandbox_release(s);
		return;
	}
	s->run->seen.exited = true;
	s->run->seen.exit = *m;
	/* What DONE it managed to say lies in the pipe still. */
	while (s->channels[CHANNEL_CTL] != NULL && s->run != NULL && read_control(s))
		continue;
	if (s->state == SANDBOX_GONE)
		sandbox_close_channel(s, CHANNEL_CTL);
	if (s->run != NULL)
		run_on_sandbox(s->run);
}

/* All sandboxes died with it, or will: their slots start anew with the next one. */
static void
on_spawner_closed(struct link *l, struct status why, void *ctx)
{
	struct executor *ex = ctx;

	if (why.code == E_PROTO)
		diag(DIAG_ERROR, "spawner dropped: %s", status_text(why));
	ex->spawner = NULL;
	link_free(l);
	compile_spawner(ex, false);
	workers_spawner(ex, false);
	for (uint32_t i = 0; i < ex->nslots; i++) {
		struct sandbox *s = &ex->sandboxes[i];

		if (s->state == SANDBOX_FREE)
			continue;
		leave_pool(s);
		s->state = SANDBOX_GONE;
		s->stuck = false;
		if (s->run != NULL)
			run_cancel(s->run, ERROR_UNAVAILABLE);
		else
			sandbox_release(s);
	}
	turn_check(ex);
}
