/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.c: modules in, calls, results out.
 *
 * Runs in: wasm-run. Trusts: the executor, which checks every digest before it sends a
 * module; of modules and what they say nothing. Owns: modules, the engine, the link.
 * Invariants: at most EW_MODULES_MAX modules and WORKER_COMPILED_MAX bytes of them; a handler
 * blocks for a call's time: this process does nothing else, and its slot ends it if it takes
 * longer; what a call wrote is wiped before the next. See: worker.h, wire/executor_wasm.h,
 * wasm/run.h.
 */
#include "worker.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <base/cleanup.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define MIB (UINT64_C(1) << 20)

static_assert(TOOL_ENGINE_MAX >= WASM_ENGINE_ID_MAX, "an engine's name fits");
/* NOLINTNEXTLINE(misc-redundant-expression): that they are equal is what is asserted */
static_assert(TOOL_ARTEFACT_MAX == WASM_ARTEFACT_MAX, "a compiled file fits");
static_assert(TOOL_MEMORY_MB_MAX * MIB == WASM_MEMORY_MAX, "a tool's memory fits");
static_assert(TOOL_REASON_MAX >= WASM_TRAP_MAX, "a trap's text fits");

static void on_load(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_unload(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_call(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_closed(struct link *l, struct status why, void *ctx);
static struct held_module *find(struct worker *w, uint64_t number);
static struct status load_fd(struct worker *w, uint64_t number, int fd);
static void answer(struct worker *w, uint64_t id, const struct wasm_result *r);
static void give_up(struct worker *w);

static const struct link_rule rules[] = {
	{ EW_LOAD, 0, on_load },
	{ EW_UNLOAD, 0, on_unload },
	{ EW_CALL, 0, on_call },
};
static const struct link_ops ops = {
	.rules = rules,
	.nrules = sizeof(rules) / sizeof(rules[0]),
	.on_closed = on_closed,
};

/* How an end is called on the wire. */
static const uint8_t statuses[] = {
	[WASM_EXIT] = RUN_EXIT,
	[WASM_TIMEOUT] = RUN_TIMEOUT,
	[WASM_MEMORY] = RUN_MEMORY,
	[WASM_OUTPUT] = RUN_OUTPUT,
	[WASM_TRAP] = RUN_TRAP,
};

uint8_t
worker_status(enum wasm_end end)
{
	return statuses[end];
}

struct status
worker_init(struct worker *w)
{
	wasi_init(&w->wasi);
	TRY(wasm_engine_open(&w->engine));
	return ticker_start(&w->ticker, w->engine);
}

struct status
worker_serve(struct worker *w, uv_loop_t *loop, int fd)
{
	const struct ew_ready ready = { .engine = span_str(wasm_engine_id()) };

	w->loop = loop;
	TRY(link_new(loop, fd, &ew_edge, false, &ops, w, &w->link));
	TRY(link_send(w->link, 0, EW_READY, &ready));
	(void)uv_run(loop, UV_RUN_DEFAULT);
	return OK;
}

static void
on_load(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct worker *w = ctx;
	const struct ew_module *m = msg;
	auto_fd int fd = link_take_fd(l);
	const struct ew_loaded loaded = { .module = m->module,
		.code = load_fd(w, m->module, fd).code };

	if (!is_ok(link_send(l, id, EW_LOADED, &loaded)))
		give_up(w);
}

static struct status
load_fd(struct worker *w, uint64_t number, int fd)
{
	struct span map;
	struct status st;

	TRY(worker_map(fd, &map));
	st = worker_load(w, number, map);
	worker_unmap(map);
	return st;
}

struct status
worker_map(int fd, struct span *ret)
{
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	off_t len = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	void *map;

	/* No descriptor came, or one that is not a memory file. */
	if (seals < 0 || (seals & SEALS) != SEALS || len < 0)
		return fail(E_DENIED);
	if (len <= 0 || len > WASM_ARTEFACT_MAX)
		return fail(E_CORRUPT);
	map = mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return fail(E_NOMEM);
	*ret = span_of(map, (size_t)len);
	return OK;
}

void
worker_unmap(struct span map)
{
	(void)munmap((void *)(uintptr_t)map.ptr, map.len);
}

struct status
worker_load(struct worker *w, uint64_t number, struct span artefact)
{
	struct held_module *free_row = NULL;
	size_t held = 0;

	if (find(w, number) != NULL)
		return fail(E_EXISTS);
	for (size_t i = 0; i < EW_MODULES_MAX; i++) {
		if (w->modules[i].module == NULL)
			free_row = &w->modules[i];
		else
			held += w->modules[i].len;
	}
	if (free_row == NULL || artefact.len > WORKER_COMPILED_MAX - held)
		return fail(E_FULL);
	free_row->number = number;
	free_row->len = artefact.len;
	return wasm_module_load(w->engine, artefact, &free_row->module);
}

static struct held_module *
find(struct worker *w, uint64_t number)
{
	for (size_t i = 0; i < EW_MODULES_MAX; i++) {
		if (w->modules[i].module != NULL && w->modules[i].number == number)
			return &w->modules[i];
	}
	return NULL;
}

static void
on_unload(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ew_module *m = msg;
	struct held_module *held = find(ctx, m->module);

	(void)l, (void)id;
	if (held == NULL)
		return;
	wasm_module_free(held->module);
	*held = (struct held_module){ 0 };
}

static void
on_call(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	static const uint8_t name[] = "tool";
	struct worker *w = ctx;
	const struct ew_call *m = msg;
	const struct wasm_call call = {
		.given = { .args = span_of(name, sizeof(name)),
		    .environment = m->env,
		    .in = m->arguments,
		    .out_max = (size_t)m->output_kb << 10,
		    .err_max = TOOL_STDERR_MAX,
		    .files = (m->capabilities & TOOL_CAN_FILES) != 0 },
		.time_ms = m->time_ms,
		.memory_max = m->memory_mb * MIB,
	};
	struct wasm_result result;

	(void)l;
	/* An unknown module, an environment without its NULs, no memory: not a tool's fault. */
	if (!is_ok(worker_run(w, m->module, &call, &result))) {
		give_up(w);
		return;
	}
	answer(w, id, &result);
	wasi_end(&w->wasi);
}

struct status
worker_run(struct worker *w, uint64_t number, const struct wasm_call *call, struct wasm_result *ret)
{
	struct held_module *held = find(w, number);
	struct status st;

	if (held == NULL)
		return fail(E_NOTFOUND);
	ticker_on(&w->ticker);
	st = wasm_run(w->engine, held->module, call, &w->wasi, ret);
	ticker_off(&w->ticker);
	return st;
}

static void
answer(struct worker *w, uint64_t id, const struct wasm_result *r)
{
	const uint64_t us = r->elapsed_ns / 1000;
	const struct ew_result m = {
		.status = worker_status(r->end),
		.exit_code = r->exit_code,
		.duration_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us,
		.trap = span_of(r->trap, r->trap_len),
		.output = buf_span(&w->wasi.out),
		.errors = buf_span(&w->wasi.err),
		.truncated = r->end == WASM_OUTPUT || w->wasi.err_cut,
	};

	if (!is_ok(link_send(w->link, id, EW_RESULT, &m)))
		give_up(w);
}

/* The executor is gone, or went wrong: nothing here outlives that. */
static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)l, (void)why;
	give_up(ctx);
}

static void
give_up(struct worker *w)
{
	uv_stop(w->loop);
}
