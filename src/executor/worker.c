/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c: one run worker, from START to EXITED.
 *
 * Runs in: the executor. Trusts: the spawner. A worker runs what a user wrote: an answer that
 * was not asked for, is too long or makes no sense ends it, and so does time.
 * Owns: our end of its link.
 * Invariants: one question at a time; a call is answered once, when the worker answered, when
 * its time is over, or when the worker is no more, which another one makes good where this one
 * had not read the call; what a worker was told or holds is one
 * tenant's. A slot is used again only after EXITED.
 * See: wire/executor_wasm.h, workers.c.
 */
#include "worker.h"

#include <base/cleanup.h>
#include <base/clock.h>

#include <assert.h>
#include <sys/socket.h>

#define DIED "trap: worker died"
#define EXIT_WAIT_MS 20   /* for EXITED of one that closed its link: it says why it ended */
#define GONE_WAIT_MS 2000 /* for EXITED of one that was killed, while its call waits */

static void on_ready(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_loaded(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_result(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_closed(struct link *l, struct status why, void *ctx);
static void on_timer(uv_timer_t *t);
static void set_timer(struct worker *w, uint64_t ms);
static void forget_module(struct worker *w, struct worker_module *module);
static struct worker_module *find_module(struct worker *w, const uint8_t digest[DIGEST_LEN]);
static void load(struct worker *w, const struct artefact *a);
static void call_it(struct worker *w, struct worker_module *m);
static void ask(
    struct worker *w, enum worker_asked what, uint16_t type, const void *msg, const int *fd);
static struct tool_call *let_go(struct worker *w);
static void become_idle(struct worker *w);
static void lied(struct worker *w, const char *what);
static void answer_gone(struct worker *w, bool memory);
static void reset(struct worker *w, bool stuck);

static const struct link_rule rules[] = {
	{ EW_READY, 0, on_ready },
	{ EW_LOADED, 0, on_loaded },
	{ EW_RESULT, 0, on_result },
};
static const struct link_ops worker_ops = { rules, sizeof(rules) / sizeof(rules[0]), on_closed };

void
worker_init(struct executor *ex, uint32_t index)
{
	struct worker *w = &ex->tools->workers[index];

	w->ex = ex;
	w->slot = ES_SANDBOXES_MAX + index;
	w->id = 1;
	w->timer.data = w;
	(void)uv_timer_init(ex->d->loop, &w->timer); /* cannot fail */
}

bool
worker_start(struct worker *w, const char tenant[TENANT_MAX + 1])
{
	const struct es_start m = { .slot = w->slot,
		.kind = SLOT_WASM_RUN,
		.memory_mb = WORKER_MEMORY_MB,
		.pids = WORKER_PIDS };
	auto_fd int theirs = -1;
	int ends[2];
	struct status st;

	assert(w->state == WORKER_FREE);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
		diag(DIAG_ERROR, "worker: %s", strerror(errno));
		return false;
	}
	theirs = ends[1];
	st = link_new(w->ex->d->loop, ends[0], &ew_edge, true, &worker_ops, w, &w->link);
	if (!is_ok(st)) {
		w->link = NULL;
		diag(DIAG_ERROR, "worker: %s", status_text(st));
		return false;
	}
	st = link_send_fds(w->ex->spawner, 0, ES_START, &m, &theirs, 1);
	if (!is_ok(st)) {
		diag(DIAG_ERROR, "worker: %s", status_text(st));
		link_free(w->link);
		w->link = NULL;
		return false;
	}
	w->state = WORKER_STARTING;
	w->ex->tools->changes++;
	memcpy(w->tenant, tenant, sizeof(w->tenant));
	set_timer(w, WORKER_START_MS);
	daemon_metric_add(METRIC_WORKERS_STARTED, 1);
	return true;
}

const char *
worker_engine(const struct worker *w)
{
	return w->engine;
}

uint32_t
worker_number(const struct worker *w)
{
	return w->slot - ES_SANDBOXES_MAX;
}

static void
set_timer(struct worker *w, uint64_t ms)
{
	(void)uv_timer_start(&w->timer, on_timer, ms, 0);
}

static void
on_ready(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ew_ready *m = msg;
	struct worker *w = ctx;

	(void)l, (void)id;
	if (w->state != WORKER_STARTING ||
	    !is_ok(span_to_cstr(m->engine, w->engine, sizeof(w->engine)))) {
		lied(w, "ready");
		return;
	}
	become_idle(w);
	workers_step(w->ex);
}

/* ---- one call ---- */

void
worker_take(struct worker *w, struct tool_call *call)
{
	assert(w->state == WORKER_IDLE && w->call == NULL && call->worker == NULL);
	assert(strcmp(w->tenant, call->run->grant.tenant) == 0);
	w->state = WORKER_BUSY;
	w->call = call;
	w->turn = call->run->grant.turn;
	w->asked = ASKED_NOTHING;
	call->worker = w;
	tool_got_worker(call);
}

void
worker_return(struct tool_call *call)
{
	struct worker *w = call->worker;

	assert(w->state == WORKER_BUSY && w->asked == ASKED_NOTHING);
	(void)let_go(w);
	become_idle(w);
	workers_step(w->ex);
}

/* The worker's call is nobody's of its any more. */
static struct tool_call *
let_go(struct worker *w)
{
	struct tool_call *call = w->call;

	w->call = NULL;
	if (call != NULL)
		call->worker = NULL;
	return call;
}

static void
become_idle(struct worker *w)
{
	w->state = WORKER_IDLE;
	w->asked = ASKED_NOTHING;
	w->turn = 0;
	w->used_ns = clock_mono_ns();
	(void)uv_timer_stop(&w->timer);
}

void
worker_run(struct tool_call *call)
{
	struct worker *w = call->worker;
	struct worker_module *m = find_module(w, call->artefact->digest);

	assert(w->state == WORKER_BUSY && w->asked == ASKED_NOTHING);
	if (m == NULL)
		load(w, call->artefact);
	else
		call_it(w, m);
}

static struct worker_module *
find_module(struct worker *w, const uint8_t digest[DIGEST_LEN])
{
	for (uint32_t i = 0; i < w->nmodules; i++) {
		if (memcmp(w->modules[i].digest, digest, DIGEST_LEN) == 0)
			return &w->modules[i];
	}
	return NULL;
}

bool
worker_knows(const struct worker *w, const uint8_t digest[DIGEST_LEN])
{
	return find_module((struct worker *)(uintptr_t)w, digest) != NULL;
}

/* Room for one more: the one that was used longest ago goes. */
static void
make_room(struct worker *w)
{
	struct worker_module *oldest = &w->modules[0];

	if (w->nmodules < EW_MODULES_MAX)
		return;
	for (uint32_t i = 1; i < w->nmodules; i++) {
		if (w->modules[i].used_ns < oldest->used_ns)
			oldest = &w->modules[i];
	}
	forget_module(w, oldest);
}

/* It reads that once its call is over. */
static void
forget_module(struct worker *w, struct worker_module *module)
{
	const struct ew_module m = { module->number };

	w->more_sent = true;
	if (!is_ok(link_send(w->link, 0, EW_UNLOAD, &m)))
		diag(DIAG_WARN, "worker %u: its link is full", worker_number(w));
	*module = w->modules[--w->nmodules];
}

void
worker_unload(struct worker *w, const uint8_t digest[DIGEST_LEN])
{
	struct worker_module *module = find_module(w, digest);

	if (module != NULL && w->link != NULL && w->state <= WORKER_BUSY)
		forget_module(w, module);
}

static void
load(struct worker *w, const struct artefact *a)
{
	struct ew_module m;

	make_room(w);
	w->loading = (struct worker_module){ .number = ++w->next_module };
	memcpy(w->loading.digest, a->digest, sizeof(w->loading.digest));
	m.module = w->loading.number;
	set_timer(w, WORKER_LOAD_MS);
	ask(w, ASKED_LOAD, EW_LOAD, &m, &a->fd);
}

static void
call_it(struct worker *w, struct worker_module *module)
{
	struct tool_call *call = w->call;
	const struct tool_use *use = &call->run->grant.tool;
	const struct ew_call m = { .module = module->number,
		.capabilities = use->capabilities,
		.time_ms = use->time_ms,
		.memory_mb = use->memory_mb,
		.output_kb = use->output_kb,
		.env = buf_span(&call->artefact->env),
		.arguments = call->req.arguments };

	module->used_ns = clock_mono_ns();
	set_timer(w, use->time_ms + WORKER_GRACE_MS);
	tool_started(call);
	ask(w, ASKED_CALL, EW_CALL, &m, NULL);
}

/* A link that takes nothing any more says so by its end, and so does ours then. */
static void
ask(struct worker *w, enum worker_asked what, uint16_t type, const void *msg, const int *fd)
{
	struct status st;

	w->asked = what;
	w->more_sent = false;
	w->id += 2; /* ours are odd */
	st = link_send_fds(w->link, w->id, type, msg, fd, fd != NULL);
	if (!is_ok(st))
		diag(DIAG_WARN, "worker %u: %s", worker_number(w), status_text(st));
}

static void
on_loaded(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ew_loaded *m = msg;
	struct worker *w = ctx;
	struct tool_call *call = w->call;

	(void)l;
	if (w->state != WORKER_BUSY || w->asked != ASKED_LOAD || id != w->id ||
	    m->module != w->loading.number) {
		lied(w, "loaded");
		return;
	}
	w->asked = ASKED_NOTHING;
	if (m->code == E_OK)
		w->modules[w->nmodules++] = w->loading;
	if (call == NULL) {
		become_idle(w);
		workers_step(w->ex);
		return;
	}
	if (m->code == E_OK) {
		call_it(w, &w->modules[w->nmodules - 1]);
		return;
	}
	(void)let_go(w);
	if (m->code == E_FULL || m->code == E_NOMEM)
		worker_end(w); /* of other modules: a new one has room */
	else
		become_idle(w);
	tool_not_loaded(call, (enum code)m->code);
	workers_step(w->ex);
}

static bool
result_ok(const struct tool_use *use, const struct ew_result *m)
{
	const bool known = m->status == RUN_EXIT || m->status == RUN_TIMEOUT ||
			   m->status == RUN_MEMORY || m->status == RUN_OUTPUT ||
			   m->status == RUN_TRAP;

	return known && m->exit_code <= 255 && m->output.len <= (size_t)use->output_kb << 10;
}

static void
on_result(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ew_result *m = msg;
	struct worker *w = ctx;
	struct tool_call *call;

	(void)l;
	if (w->state != WORKER_BUSY || w->asked != ASKED_CALL || id != w->id ||
	    (w->call != NULL && !result_ok(&w->call->run->grant.tool, m))) {
		lied(w, "result");
		return;
	}
	call = let_go(w);
	become_idle(w);
	if (call != NULL)
		tool_result(call, m);
	else
		turn_check(w->ex);
	workers_step(w->ex);
}

/* ---- ends ---- */

void
worker_abandon(struct worker *w)
{
	(void)let_go(w);
	if (w->state != WORKER_BUSY)
		return;
	if (w->asked == ASKED_NOTHING)
		become_idle(w);
	else
		set_timer(w, WORKER_CANCEL_MS);
}

void
worker_end(struct worker *w)
{
	const struct es_slot m = { w->slot };

	if (w->state < WORKER_STARTING || w->state > WORKER_BUSY)
		return;
	w->state = WORKER_DYING;
	w->ex->tools->changes++;
	(void)uv_timer_stop(&w->timer);
	link_free(w->link);
	w->link = NULL;
	spawner_send(w->ex, ES_KILL, &m);
}

static void
lied(struct worker *w, const char *what)
{
	struct executor *ex = w->ex;
	const bool starting = w->state == WORKER_STARTING;
	char tenant[TENANT_MAX + 1];

	if (w->state > WORKER_BUSY)
		return;
	diag(DIAG_WARN, "worker %u broke its protocol: %s", worker_number(w), what);
	daemon_metric_add(METRIC_WORKERS_FAILED, 1);
	memcpy(tenant, w->tenant, sizeof(tenant));
	worker_end(w);
	answer_gone(w, false);
	if (starting)
		workers_start_failed(ex, tenant);
	workers_step(ex);
}

/* Its end of the link is closed. EXITED is on its way, if it is dead, and says more. */
static void
on_closed(struct link *l, struct status why, void *ctx)
{
	struct worker *w = ctx;

	if (why.code == E_PROTO) {
		lied(w, status_text(why));
		return;
	}
	link_free(l);
	w->link = NULL;
	if (w->state == WORKER_STARTING)
		return; /* its time, or EXITED */
	w->state = WORKER_DYING;
	w->ex->tools->changes++;
	w->unread = why.err != 0 && !w->more_sent;
	set_timer(w, EXIT_WAIT_MS);
}

static void
on_timer(uv_timer_t *t)
{
	struct worker *w = t->data;
	struct executor *ex = w->ex;
	const struct ew_result timeout = { .status = RUN_TIMEOUT };
	const struct es_slot m = { w->slot };
	struct tool_call *call;

	if (w->state == WORKER_DYING) {
		if (!w->killed_late)
			spawner_send(ex, ES_KILL, &m);
		else
			answer_gone(w, false);
		if (!w->killed_late && w->call != NULL)
			set_timer(w, GONE_WAIT_MS);
		w->killed_late = true;
		return;
	}
	/* One whose client left has not failed. */
	if (w->state == WORKER_STARTING || w->call != NULL)
		daemon_metric_add(METRIC_WORKERS_FAILED, 1);
	if (w->state == WORKER_STARTING) {
		char tenant[TENANT_MAX + 1];

		diag(DIAG_WARN, "worker %u: not ready in time", worker_number(w));
		memcpy(tenant, w->tenant, sizeof(tenant));
		worker_end(w);
		workers_start_failed(ex, tenant);
	} else {
		const bool called = w->asked == ASKED_CALL;

		call = let_go(w);
		worker_end(w);
		if (call != NULL && called)
			tool_result(call, &timeout);
		else if (call != NULL)
			tool_refuse(call, ERROR_UNAVAILABLE, "");
	}
	workers_step(ex);
}

/* It is dead or as good as dead; its call has not been answered. */
static void
answer_gone(struct worker *w, bool memory)
{
	const struct ew_result m = { .status = memory ? RUN_MEMORY : RUN_TRAP,
		.trap = memory ? SPAN_EMPTY : SPAN_LIT(DIED) };
	const bool called = w->asked == ASKED_CALL && !w->unread;
	struct tool_call *call = let_go(w);

	if (call == NULL)
		return;
	if (called)
		tool_result(call, &m);
	else
		tool_not_loaded(call, E_CLOSED);
}

void
worker_over(struct worker *w, const struct es_exited *m)
{
	struct executor *ex = w->ex;
	const bool starting = w->state == WORKER_STARTING;
	char tenant[TENANT_MAX + 1];

	if (w->state == WORKER_FREE || w->state == WORKER_STUCK)
		diag_fatal("spawner broke the protocol: slot %u ended twice", m->slot);
	if (w->call != NULL || starting)
		diag(DIAG_WARN, "worker %u ended: %u, status %#x", worker_number(w), m->ended,
		    m->wait_status);
	memcpy(tenant, w->tenant, sizeof(tenant));
	w->state = WORKER_DYING;
	answer_gone(w, m->ended == ENDED_MEMORY);
	reset(w, m->stuck != 0);
	if (starting)
		workers_start_failed(ex, tenant);
}

void
worker_lost(struct worker *w)
{
	struct tool_call *call = let_go(w);

	w->state = WORKER_DYING;
	if (call != NULL)
		tool_refuse(call, ERROR_UNAVAILABLE, "");
	reset(w, false);
}

static void
reset(struct worker *w, bool stuck)
{
	(void)uv_timer_stop(&w->timer);
	link_free(w->link);
	w->link = NULL;
	w->nmodules = 0;
	w->next_module = 0;
	w->turn = 0;
	w->asked = ASKED_NOTHING;
	w->killed_late = w->unread = w->more_sent = false;
	w->tenant[0] = w->engine[0] = '\0';
	w->state = stuck ? WORKER_STUCK : WORKER_FREE;
	w->ex->tools->changes++;
}
