/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c: how many warm sandboxes there are, and who gets one.
 *
 * Runs in: the executor. Trusts: the configuration.
 * Owns: the queue of runs that wait.
 * Invariants: at most POOL_STARTING_MAX sandboxes start at a time; a run waits
 * at most QUEUE_WAIT_MS, and at most queue_max of a language do; starts that
 * fail are repeated ever more slowly.
 * See: sandbox.c for one sandbox's life.
 */
#include "executor.h"

#include <base/clock.h>

static const struct {
	const char *name;
	enum es_runner light, data;
} known[] = {
	{ "python", RUNNER_PYTHON, RUNNER_PYTHON_DATA },
	{ "javascript", RUNNER_NODE, 0 },
	{ "sh", RUNNER_SH, 0 },
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

static void on_tick(uv_timer_t *t);
static void expire(struct executor *ex, uint64_t now);
static void serve_queue(struct executor *ex);
static void refill(struct executor *ex, struct pool *p, uint64_t now, bool *ret_busy);
static void shed(struct executor *ex);
static void publish(struct executor *ex);
static struct sandbox *find(struct executor *ex, const struct pool *p, enum sandbox_state state);

struct status
pool_init(struct executor *ex)
{
	for (size_t i = 0; i < KNOWN; i++)
		ex->languages[i].name = known[i].name;
	ex->tick.data = ex;
	if (uv_timer_init(ex->d->loop, &ex->tick) != 0)
		return fail(E_NOMEM);
	pool_configure(ex);
	return OK;
}

static void
configure(struct language *l, const struct conf *c)
{
	const char *n = l->name;

	l->memory_mb = (uint32_t)conf_u64f(c, "sandboxes.%s.memory_mb", n);
	l->pids = (uint32_t)conf_u64f(c, "sandboxes.%s.pids", n);
	l->tmp_mb = (uint32_t)conf_u64f(c, "sandboxes.%s.tmp_mb", n);
	l->wall_ms = (uint32_t)conf_u64f(c, "sandboxes.%s.wall_s", n) * 1000;
	l->cpu_ms = (uint32_t)conf_u64f(c, "sandboxes.%s.cpu_s", n) * 1000;
	l->output_max = conf_u64f(c, "sandboxes.%s.output_kb", n) << 10;
	l->file_bytes_max = (uint32_t)conf_u64f(c, "sandboxes.%s.files_kb", n) << 10;
	l->queue_max = (uint32_t)conf_u64f(c, "sandboxes.%s.queue", n);
	l->pools[POOL_LIGHT].target = (uint32_t)conf_u64f(c, "sandboxes.%s.pool", n);
	if (l->pools[POOL_DATA].offered)
		l->pools[POOL_DATA].target = (uint32_t)conf_u64f(c, "sandboxes.%s.pool_data", n);
}

void
pool_configure(struct executor *ex)
{
	struct span name;

	for (size_t i = 0; i < KNOWN; i++) {
		struct language *l = &ex->languages[i];

		l->configured = false;
		l->pools[POOL_LIGHT].target = l->pools[POOL_DATA].target = 0;
		l->pools[POOL_LIGHT].runner = known[i].light;
		l->pools[POOL_DATA].runner = known[i].data;
		l->pools[POOL_LIGHT].offered = true;
		l->pools[POOL_DATA].offered = known[i].data != 0;
		l->pools[POOL_LIGHT].language = l->pools[POOL_DATA].language = l;
	}
	for (size_t iter = 0; conf_each(ex->d->conf, "sandboxes", &iter, &name);) {
		for (size_t i = 0; i < KNOWN; i++) {
			if (!span_eq_str(name, known[i].name))
				continue;
			ex->languages[i].configured = true;
			configure(&ex->languages[i], ex->d->conf);
		}
	}
}

struct language *
pool_language(struct executor *ex, const char *name)
{
	for (size_t i = 0; i < KNOWN; i++) {
		if (ex->languages[i].configured && strcmp(ex->languages[i].name, name) == 0)
			return &ex->languages[i];
	}
	return NULL;
}

static struct sandbox *
find(struct executor *ex, const struct pool *p, enum sandbox_state state)
{
	for (uint32_t i = 0; i < ex->nslots; i++) {
		struct sandbox *s = &ex->sandboxes[i];

		if (s->state == state && (p == NULL || s->pool == p))
			return s;
	}
	return NULL;
}

/* The run's kind; for want of a warm one with the modules, a light one will do. */
static struct sandbox *
find_warm(struct executor *ex, const struct run *r)
{
	struct sandbox *s = r->pool->warm > 0 ? find(ex, r->pool, SANDBOX_WARM) : NULL;
	struct pool *light = &r->language->pools[POOL_LIGHT];

	if (s == NULL && r->pool != light && light->warm > 0 && light->queued == 0)
		s = find(ex, light, SANDBOX_WARM);
	return s;
}

struct status
pool_lease(struct executor *ex, struct run *r)
{
	struct language *l = r->language;
	struct pool *data = &l->pools[POOL_DATA];
	struct sandbox *s;

	r->pool = &l->pools[POOL_LIGHT];
	if (data->target > 0 && scan_names_data(r->req.code))
		r->pool = data;
	s = find_warm(ex, r);
	if (s != NULL) {
		run_begin(r, s);
		return OK;
	}
	if (l->queued >= l->queue_max)
		return fail(E_FULL);
	r->state = RUN_WAITING;
	r->deadline_ns = clock_mono_ns() + QUEUE_WAIT_MS * NS_PER_MS;
	TAILQ_INSERT_TAIL(&ex->waiting, r, queue);
	ex->nwaiting++;
	l->queued++;
	r->pool->queued++;
	for (uint32_t i = 0; i < ex->nslots; i++) {
		if (ex->sandboxes[i].pool == r->pool)
			sandbox_hurry(&ex->sandboxes[i]);
	}
	return OK;
}

void
pool_unqueue(struct executor *ex, struct run *r)
{
	if (r->state != RUN_WAITING)
		return;
	TAILQ_REMOVE(&ex->waiting, r, queue);
	ex->nwaiting--;
	r->language->queued--;
	r->pool->queued--;
	r->state = RUN_COLLECTING;
}

void
pool_step(struct executor *ex)
{
	uint64_t now = clock_mono_ns();
	bool busy = false;

	serve_queue(ex);
	if (!ex->d->draining && ex->spawner != NULL) {
		for (size_t i = 0; i < KNOWN * POOL_VARIANTS; i++) {
			struct language *l = &ex->languages[i % KNOWN];

			refill(ex, &l->pools[i / KNOWN], now, &busy);
		}
	}
	shed(ex);
	publish(ex);
	if ((busy || ex->nwaiting > 0 || ex->starting > 0) &&
	    !uv_is_active((uv_handle_t *)&ex->tick))
		(void)uv_timer_start(&ex->tick, on_tick, POOL_TICK_MS, 0);
}

void
pool_poke(struct executor *ex)
{
	if (!uv_is_active((uv_handle_t *)&ex->tick))
		(void)uv_timer_start(&ex->tick, on_tick, POOL_POKE_MS, 0);
}

static void
on_tick(uv_timer_t *t)
{
	struct executor *ex = t->data;

	expire(ex, clock_mono_ns());
	pool_step(ex);
}

static void
expire(struct executor *ex, uint64_t now)
{
	struct run *r, *next;

	for (uint32_t i = 0; ex->starting > 0 && i < ex->nslots; i++) {
		struct sandbox *s = &ex->sandboxes[i];

		if (s->state == SANDBOX_STARTING && s->deadline_ns <= now) {
			diag(DIAG_WARN, "slot %u: not ready in time", s->slot);
			sandbox_kill(s);
		}
	}
	for (r = TAILQ_FIRST(&ex->waiting); r != NULL; r = next) {
		next = TAILQ_NEXT(r, queue);
		if (r->deadline_ns <= now)
			run_refuse(r, ERROR_POOL_BUSY, QUEUE_RETRY_MS);
	}
}

static void
serve_queue(struct executor *ex)
{
	struct run *r, *next;

	for (r = TAILQ_FIRST(&ex->waiting); r != NULL; r = next) {
		struct sandbox *s = find_warm(ex, r);

		next = TAILQ_NEXT(r, queue);
		if (s == NULL && r->pool->warm > 0)
			s = find(ex, r->pool, SANDBOX_WARM);
		if (s == NULL)
			continue;
		pool_unqueue(ex, r);
		run_begin(r, s);
	}
}

uint32_t
pool_missing(const struct pool *p, uint64_t now_ns, uint32_t *ret_urgent)
{
	uint32_t want = p->target + p->queued;
	uint32_t have = p->warm + p->starting;

	*ret_urgent = 0;
	if (have >= want || now_ns < p->not_before_ns)
		return 0;
	if (p->queued > p->starting)
		*ret_urgent = p->queued - p->starting;
	else if (have == 0) /* the next caller should not have to wait */
		*ret_urgent = 1;
	return want - have;
}

static void
refill(struct executor *ex, struct pool *p, uint64_t now, bool *ret_busy)
{
	uint32_t urgent, missing = pool_missing(p, now, &urgent);

	if (!p->offered || !p->language->configured)
		return;
	*ret_busy = *ret_busy || p->not_before_ns > now;
	while (missing > 0 && ex->starting < POOL_STARTING_MAX) {
		struct sandbox *s = find(ex, NULL, SANDBOX_FREE);
		struct status st;

		if (s == NULL)
			return;
		st = sandbox_start(s, p, urgent == 0);
		if (!is_ok(st)) {
			diag(DIAG_ERROR, "slot %u: %s", s->slot, status_text(st));
			pool_failed(ex, p);
			*ret_busy = true;
			return;
		}
		missing--;
		urgent -= urgent > 0;
	}
}

void
pool_failed(struct executor *ex, struct pool *p)
{
	(void)ex;
	p->backoff_ms = p->backoff_ms == 0 ? POOL_BACKOFF_MIN_MS : p->backoff_ms * 2;
	if (p->backoff_ms > POOL_BACKOFF_MAX_MS)
		p->backoff_ms = POOL_BACKOFF_MAX_MS;
	p->not_before_ns = clock_mono_ns() + p->backoff_ms * NS_PER_MS;
}

/* More than wanted: a smaller pool was configured, or a queue went away. */
static void
shed(struct executor *ex)
{
	for (uint32_t i = 0; i < ex->nslots; i++) {
		struct sandbox *s = &ex->sandboxes[i];

		if (s->state == SANDBOX_WARM &&
		    (ex->d->draining || s->pool->warm > s->pool->target + s->pool->queued))
			sandbox_kill(s);
	}
}

void
pool_drain(struct executor *ex)
{
	for (uint32_t i = 0; i < ex->nslots; i++) {
		if (ex->sandboxes[i].state == SANDBOX_STARTING)
			sandbox_kill(&ex->sandboxes[i]);
	}
	shed(ex);
}

static void
publish(struct executor *ex)
{
	uint64_t warm = 0, target = 0, ready = 1;

	for (size_t i = 0; i < KNOWN; i++) {
		for (size_t v = 0; v < POOL_VARIANTS; v++) {
			const struct pool *p = &ex->languages[i].pools[v];

			warm += p->warm;
			target += p->target;
			if (p->target > 0 && !p->was_warm)
				ready = 0;
		}
	}
	daemon_metric_set(METRIC_POOL_WARM, warm);
	daemon_metric_set(METRIC_POOL_TARGET, target);
	/* A pool that its callers have emptied is as ready as ever. */
	daemon_metric_set(METRIC_POOLS_READY, ready);
	daemon_metric_set(METRIC_RUNS_QUEUED, ex->nwaiting);
}
