/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workers.c: processes that run users' modules: who has one, who gets the next.
 *
 * Runs in: the executor. Trusts: the spawner; nothing that a worker says (worker.c).
 * Owns: the queue of calls that wait for a worker.
 * Invariants: a worker serves one tenant as long as it lives, and one call at a time; at most
 * `wasm.workers` live; for want of one, the idle one that was used longest ago ends first; one
 * tenant has at most one for each core, and a quarter of all; a call waits QUEUE_WAIT_MS at most.
 * See: tools.h, worker.c for one worker's life.
 */
#include "worker.h"

#include <base/clock.h>

#include <stdlib.h>
#include <unistd.h>

static void on_tick(uv_timer_t *t);
static bool serve(struct executor *ex, struct tool_call *call);
static struct worker *find_idle(struct executor *ex, const struct tool_call *call);
static bool start_another(struct executor *ex, const struct tool_call *call);
static struct worker *find_in(struct executor *ex, enum worker_state state);
static void end_idle(struct executor *ex);
static void unqueue(struct tool_call *call);

struct status
tools_new(struct executor *ex)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct tools *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return fail(E_NOMEM);
	t->workers = calloc(ES_WORKERS_MAX, sizeof(*t->workers));
	if (t->workers == NULL || uv_timer_init(ex->d->loop, &t->tick) != 0) {
		free(t->workers);
		free(t);
		return fail(E_NOMEM);
	}
	ex->tools = t;
	t->cores = cores < 1 ? 1 : (uint32_t)cores;
	t->tick.data = ex;
	TAILQ_INIT(&t->artefacts);
	TAILQ_INIT(&t->waiting);
	TAILQ_INIT(&t->compiles);
	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++)
		worker_init(ex, i);
	return OK;
}

void
tools_configure(struct executor *ex)
{
	ex->tools->workers_max = (uint32_t)conf_u64(ex->d->conf, "wasm.workers");
	ex->tools->idle_ns = conf_u64(ex->d->conf, "wasm.idle_s") * 1000 * NS_PER_MS;
	workers_step(ex);
}

static bool
lives(const struct worker *w)
{
	return w->state >= WORKER_STARTING && w->state <= WORKER_BUSY;
}

/* How many there are that can still do something; of `tenant`, where it is not NULL. */
static uint32_t
living(const struct executor *ex, const char *tenant)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++) {
		const struct worker *w = &ex->tools->workers[i];

		n += lives(w) && (tenant == NULL || strcmp(w->tenant, tenant) == 0);
	}
	return n;
}

/* For operators: how many live, of how many tenants, and how many the greediest has. */
static void
count_living(const struct executor *ex)
{
	const struct worker *all = ex->tools->workers;
	uint32_t tenants = 0, most = 0;

	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++) {
		uint32_t before = 0, n = 0;

		for (uint32_t k = 0; lives(&all[i]) && k < ES_WORKERS_MAX; k++) {
			bool same = lives(&all[k]) && strcmp(all[k].tenant, all[i].tenant) == 0;

			n += same;
			before += same && k < i;
		}
		tenants += n > 0 && before == 0;
		most = n > most ? n : most;
	}
	daemon_metric_set(METRIC_WORKERS, living(ex, NULL));
	daemon_metric_set(METRIC_WORKER_TENANTS, tenants);
	daemon_metric_set(METRIC_WORKERS_OF_ONE, most);
}

static uint32_t
starting(const struct executor *ex, const char *tenant)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++) {
		const struct worker *w = &ex->tools->workers[i];

		n += w->state == WORKER_STARTING && strcmp(w->tenant, tenant) == 0;
	}
	return n;
}

static uint32_t
waiting_of(const struct executor *ex, const char *tenant)
{
	const struct tool_call *c;
	uint32_t n = 0;

	TAILQ_FOREACH(c, &ex->tools->waiting, queue)
	n += strcmp(c->run->grant.tenant, tenant) == 0;
	return n;
}

struct status
worker_wanted(struct executor *ex, struct tool_call *call)
{
	struct tools *t = ex->tools;

	if (t->nwaiting == 0 || waiting_of(ex, call->run->grant.tenant) == 0) {
		struct worker *w = find_idle(ex, call);

		if (w != NULL) {
			worker_take(w, call);
			return OK;
		}
	}
	if (t->nwaiting >= CALLS_WAITING_MAX ||
	    waiting_of(ex, call->run->grant.tenant) >= CALLS_WAITING_PER_TENANT_MAX)
		return fail(E_FULL);
	call->deadline_ns = clock_mono_ns() + QUEUE_WAIT_MS * NS_PER_MS;
	call->queued = true;
	TAILQ_INSERT_TAIL(&t->waiting, call, queue);
	t->nwaiting++;
	workers_step(ex);
	return OK;
}

static void
unqueue(struct tool_call *call)
{
	struct tools *t = call->run->ex->tools;

	if (!call->queued)
		return;
	TAILQ_REMOVE(&t->waiting, call, queue);
	call->queued = false;
	t->nwaiting--;
}

void
worker_forget(struct tool_call *call)
{
	unqueue(call);
	if (call->worker != NULL)
		worker_abandon(call->worker);
}

void
workers_step(struct executor *ex)
{
	struct tools *t = ex->tools;
	struct tool_call *call, *next;

	if (t->stepping)
		return; /* what it serves may come back here */
	t->stepping = true;
	do {
		for (call = TAILQ_FIRST(&t->waiting); call != NULL; call = next) {
			next = TAILQ_NEXT(call, queue);
			if (serve(ex, call))
				break;
		}
	} while (call != NULL);
	t->stepping = false;
	end_idle(ex);
	if (ex->tools->counted != ex->tools->changes)
		count_living(ex);
	ex->tools->counted = ex->tools->changes;
	daemon_metric_set(METRIC_TOOL_CALLS_QUEUED, t->nwaiting);
	if (!uv_is_active((uv_handle_t *)&t->tick) && (t->nwaiting > 0 || living(ex, NULL) > 0))
		(void)uv_timer_start(&t->tick, on_tick, WORKERS_TICK_MS, 0);
}

/* True: the queue is another one now. */
static bool
serve(struct executor *ex, struct tool_call *call)
{
	struct worker *w = find_idle(ex, call);

	if (call->deadline_ns <= clock_mono_ns()) {
		unqueue(call);
		tool_refuse(call, ERROR_POOL_BUSY, "");
		return true;
	}
	if (w == NULL) {
		(void)start_another(ex, call);
		return false;
	}
	unqueue(call);
	worker_take(w, call);
	return true;
}

/* Of its tenant; the one that knows the module first. */
static struct worker *
find_idle(struct executor *ex, const struct tool_call *call)
{
	struct worker *best = NULL;

	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++) {
		struct worker *w = &ex->tools->workers[i];

		if (w->state != WORKER_IDLE || strcmp(w->tenant, call->run->grant.tenant) != 0)
			continue;
		if (best == NULL || worker_knows(w, call->artefact->digest))
			best = w;
	}
	return best;
}

static uint32_t
tenant_max(const struct tools *t)
{
	uint32_t max = t->workers_max / 4 > 1 ? t->workers_max / 4 : 1;

	max = max < t->cores ? max : t->cores;
	return max < WORKERS_PER_TENANT_MAX ? max : WORKERS_PER_TENANT_MAX;
}

static struct worker *
find_oldest_idle(struct executor *ex, const char *but_of)
{
	struct worker *oldest = NULL;

	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++) {
		struct worker *w = &ex->tools->workers[i];

		if (w->state == WORKER_IDLE && strcmp(w->tenant, but_of) != 0 &&
		    (oldest == NULL || w->used_ns < oldest->used_ns))
			oldest = w;
	}
	return oldest;
}

static struct worker *
find_in(struct executor *ex, enum worker_state state)
{
	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++) {
		if (ex->tools->workers[i].state == state)
			return &ex->tools->workers[i];
	}
	return NULL;
}

/* Where no slot is free, the one that ends makes room, and its EXITED comes back here. */
static bool
start_another(struct executor *ex, const struct tool_call *call)
{
	const char *tenant = call->run->grant.tenant;
	struct worker *w = find_in(ex, WORKER_FREE), *oldest;
	struct tools *t = ex->tools;

	if (ex->spawner == NULL || clock_mono_ns() < t->not_before_ns ||
	    starting(ex, tenant) >= waiting_of(ex, tenant) || living(ex, tenant) >= tenant_max(t))
		return false;
	if (w == NULL && find_in(ex, WORKER_DYING) != NULL)
		return false; /* one is on its way already */
	if (w == NULL || living(ex, NULL) >= t->workers_max) {
		oldest = find_oldest_idle(ex, tenant);
		if (oldest == NULL)
			return false;
		worker_end(oldest);
	}
	return w != NULL && worker_start(w, tenant);
}

/* Those that nobody has used for long, and those over a limit that was lowered. */
static void
end_idle(struct executor *ex)
{
	const uint64_t now = clock_mono_ns();
	struct worker *w;

	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++) {
		w = &ex->tools->workers[i];
		if (w->state == WORKER_IDLE && now - w->used_ns >= ex->tools->idle_ns)
			worker_end(w);
	}
	while (living(ex, NULL) > ex->tools->workers_max && (w = find_oldest_idle(ex, "")) != NULL)
		worker_end(w);
}

static void
on_tick(uv_timer_t *t)
{
	workers_step(t->data);
}

/* It did not come to life: the call for which it was started hears of it, others try again. */
void
workers_start_failed(struct executor *ex, const char *tenant)
{
	struct tool_call *call;

	ex->tools->not_before_ns = clock_mono_ns() + POOL_BACKOFF_MIN_MS * NS_PER_MS;
	TAILQ_FOREACH(call, &ex->tools->waiting, queue)
	{
		if (strcmp(call->run->grant.tenant, tenant) != 0)
			continue;
		unqueue(call);
		tool_refuse(call, ERROR_UNAVAILABLE, "");
		return;
	}
}

void
worker_exited(struct executor *ex, const struct es_exited *m)
{
	worker_over(&ex->tools->workers[m->slot - ES_SANDBOXES_MAX], m);
	workers_step(ex);
}

void
workers_spawner(struct executor *ex, bool there)
{
	for (uint32_t i = 0; i < ES_WORKERS_MAX && !there; i++) {
		if (ex->tools->workers[i].state != WORKER_FREE)
			worker_lost(&ex->tools->workers[i]);
	}
	workers_step(ex);
}

void
workers_unload(struct executor *ex, const char *tenant, const uint8_t digest[DIGEST_LEN])
{
	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++) {
		if (strcmp(ex->tools->workers[i].tenant, tenant) == 0)
			worker_unload(&ex->tools->workers[i], digest);
	}
}

bool
workers_of_turn(const struct executor *ex, uint64_t turn)
{
	for (uint32_t i = 0; i < ES_WORKERS_MAX; i++) {
		const struct worker *w = &ex->tools->workers[i];

		if (w->turn == turn && (w->state == WORKER_BUSY || w->state == WORKER_DYING))
			return true;
	}
	return false;
}
