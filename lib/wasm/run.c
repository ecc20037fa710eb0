/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c: calls of compiled modules.
 *
 * Runs in: wasm-run. Trusts: compiled files, which its caller vouches for; of a guest
 * nothing. Owns: the engine, its pool, what is linked into modules.
 * Invariants: a store a call, deleted with it; the deadline and the limits are set
 * before the guest's first instruction, which may be in its start function; a host
 * function gets the guest's memory with its length, as they are at that moment.
 * See: wasm/run.h, wasm/wasi.h.
 */
#include "engine.h"
#include "trap.h"
#include "types.h"

#include <stdlib.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <wasm/run.h>

struct wasm_engine {
	wasm_engine_t *engine;
	wasmtime_linker_t *linker;
};

struct wasm_module {
	wasmtime_module_t *module;
	wasmtime_instance_pre_t *pre;
};

static struct status link_calls(struct wasm_engine *e);
static wasm_trap_t *host_call(
    void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t n);
static bool guest_memory(wasmtime_caller_t *caller, struct wasi_memory *ret);
static void call_start(wasmtime_context_t *context, const struct wasm_module *m,
    wasmtime_error_t **ret_error, wasm_trap_t **ret_trap);
static void judge(struct wasm_result *r, const struct wasi_ctx *wasi,
    const struct engine_limits *limits, wasmtime_error_t *error, wasm_trap_t *trap);

struct status
wasm_engine_open(struct wasm_engine **ret)
{
	struct wasm_engine *e = calloc(1, sizeof(*e));
	struct status st;

	if (e == NULL)
		return fail(E_NOMEM);
	e->engine = engine_new(true);
	if (e->engine == NULL) {
		free(e);
		return fail(E_NOMEM);
	}
	e->linker = wasmtime_linker_new(e->engine);
	st = link_calls(e);
	if (!is_ok(st)) {
		wasm_engine_close(e);
		return st;
	}
	*ret = e;
	return OK;
}

void
wasm_engine_close(struct wasm_engine *e)
{
	if (e == NULL)
		return;
	wasmtime_linker_delete(e->linker);
	wasm_engine_delete(e->engine);
	free(e);
}

void
wasm_engine_tick(struct wasm_engine *e)
{
	wasmtime_engine_increment_epoch(e->engine);
}

static struct status
link_calls(struct wasm_engine *e)
{
	for (size_t i = 0; i < WASI_CALLS; i++) {
		const struct wasi_call *call = &wasi_calls[i];
		wasm_functype_t *type = types_of(call);
		wasmtime_error_t *error = wasmtime_linker_define_func_unchecked(e->linker,
		    WASI_MODULE, strlen(WASI_MODULE), call->name, strlen(call->name), type,
		    host_call, (void *)(uintptr_t)call, NULL);

		wasm_functype_delete(type);
		if (error != NULL) {
			wasmtime_error_delete(error);
			return fail(E_NOMEM);
		}
	}
	return OK;
}

/* Every import arrives here; `env` is its row. The answer WASI_LEAVE ends the guest. */
static wasm_trap_t *
host_call(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *values, size_t n)
{
	static const char leave[] = "leave";
	const struct wasi_call *call = env;
	struct wasi_ctx *wasi = wasmtime_context_get_data(wasmtime_caller_context(caller));
	uint64_t args[WASI_PARAMS_MAX] = { 0 };
	struct wasi_memory memory;
	uint32_t answer;

	for (size_t i = 0; i < n && call->params[i] != '\0'; i++)
		args[i] = call->params[i] == 'I' ? (uint64_t)values[i].i64
						 : (uint64_t)(uint32_t)values[i].i32;
	if (!guest_memory(caller, &memory))
		memory = (struct wasi_memory){ NULL, 0 };
	answer = call->fn(wasi, memory, args);
	if (answer == WASI_LEAVE || !call->answers)
		return wasmtime_trap_new(leave, sizeof(leave) - 1);
	values[0].i32 = (int32_t)answer;
	return NULL;
}

static bool
guest_memory(wasmtime_caller_t *caller, struct wasi_memory *ret)
{
	static const char name[] = "memory";
	wasmtime_context_t *context = wasmtime_caller_context(caller);
	wasmtime_extern_t item;

	if (!wasmtime_caller_export_get(caller, name, sizeof(name) - 1, &item))
		return false;
	if (item.kind != WASMTIME_EXTERN_MEMORY)
		return false;
	ret->base = wasmtime_memory_data(context, &item.of.memory);
	ret->len = wasmtime_memory_data_size(context, &item.of.memory);
	return true;
}

struct status
wasm_module_load(struct wasm_engine *e, struct span artefact, struct wasm_module **ret)
{
	struct wasm_module *m;
	wasmtime_error_t *error;
	struct span body;

	TRY(wasm_head_check(artefact, &body));
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return fail(E_NOMEM);
	error = wasmtime_module_deserialize(e->engine, body.ptr, body.len, &m->module);
	if (error == NULL)
		error = wasmtime_linker_instantiate_pre(e->linker, m->module, &m->pre);
	if (error != NULL) {
		/* The right head, and yet: made on another machine, or for another processor. */
		wasmtime_error_delete(error);
		wasm_module_free(m);
		return fail(E_UNSUPPORTED);
	}
	*ret = m;
	return OK;
}

void
wasm_module_free(struct wasm_module *m)
{
	if (m == NULL)
		return;
	if (m->pre != NULL)
		wasmtime_instance_pre_delete(m->pre);
	if (m->module != NULL)
		wasmtime_module_delete(m->module);
	free(m);
}

struct status
wasm_run(struct wasm_engine *e, const struct wasm_module *m, const struct wasm_call *call,
    struct wasi_ctx *wasi, struct wasm_result *ret)
{
	struct engine_limits limits = { .memory_max = call->memory_max,
		.table_max = WASM_TABLE_MAX };
	wasmtime_error_t *error = NULL;
	wasm_trap_t *trap = NULL;
	wasmtime_store_t *store;
	uint64_t begun;

	TRY(wasi_begin(wasi, &call->given));
	store = wasmtime_store_new(e->engine, wasi, NULL);
	sallyport_store_limit(store, &limits);
	/* The first tick may come at once: one more than the time has. */
	wasmtime_context_set_epoch_deadline(
	    wasmtime_store_context(store), call->time_ms / WASM_TICK_MS + 1);
	*ret = (struct wasm_result){ .end = WASM_EXIT };
	begun = clock_mono_ns();
	call_start(wasmtime_store_context(store), m, &error, &trap);
	ret->elapsed_ns = clock_mono_ns() - begun;
	judge(ret, wasi, &limits, error, trap);
	wasmtime_store_delete(store);
	return wasi->end == WASI_NO_MEMORY ? fail(E_NOMEM) : OK;
}

static void
call_start(wasmtime_context_t *context, const struct wasm_module *m, wasmtime_error_t **ret_error,
    wasm_trap_t **ret_trap)
{
	static const char name[] = "_start";
	wasmtime_instance_t instance;
	wasmtime_extern_t item;

	*ret_error = wasmtime_instance_pre_instantiate(m->pre, context, &instance, ret_trap);
	if (*ret_error != NULL || *ret_trap != NULL)
		return;
	if (!wasmtime_instance_export_get(context, &instance, name, sizeof(name) - 1, &item) ||
	    item.kind != WASMTIME_EXTERN_FUNC) {
		*ret_error = wasmtime_error_new("no function _start");
		return;
	}
	*ret_error = wasmtime_func_call(context, &item.of.func, NULL, 0, NULL, 0, ret_trap);
}

/* What the guest said comes before how the engine puts it; frees error and trap. */
static void
judge(struct wasm_result *r, const struct wasi_ctx *wasi, const struct engine_limits *limits,
    wasmtime_error_t *error, wasm_trap_t *trap)
{
	bool refused = limits->memory_refused || limits->table_refused;
	bool timeout = false;

	if (wasi->end == WASI_EXITED) {
		r->exit_code = wasi->exit_code > 255 ? 255 : wasi->exit_code;
		r->end = refused && r->exit_code != 0 ? WASM_MEMORY : WASM_EXIT;
	} else if (wasi->end == WASI_OUTPUT_FULL) {
		r->end = WASM_OUTPUT;
	} else if (error != NULL || trap != NULL) {
		trap_text(error, trap, r->trap, sizeof(r->trap), &timeout);
		r->trap_len = strlen(r->trap);
		r->end = timeout ? WASM_TIMEOUT : refused ? WASM_MEMORY : WASM_TRAP;
	}
	if (r->end == WASM_TIMEOUT || r->end == WASM_MEMORY) {
		/* The status says it. */
		r->trap_len = 0;
		r->trap[0] = '\0';
	}
	if (error != NULL)
		wasmtime_error_delete(error);
	if (trap != NULL)
		wasm_trap_delete(trap);
}
