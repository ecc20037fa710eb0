/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_RUN_H
#define WASM_RUN_H

/*
 * Compiled modules and their calls. One call at a time: each gets an instance of its
 * own, whose memory holds what the module put there and zeros, whatever ran before.
 */
#include <wasm/engine.h>
#include <wasm/wasi.h>

#define WASM_TICK_MS 10
#define WASM_TRAP_MAX 255 /* bytes of a trap's text */

struct wasm_engine;
struct wasm_module;

/* Makes Wasmtime's engine and its pool, and takes its signals. E_NOMEM. */
MUST_USE struct status wasm_engine_open(struct wasm_engine **ret);
void wasm_engine_close(struct wasm_engine *e); /* after all modules are gone; NULL is fine */
/* From any thread, each WASM_TICK_MS while a call is on: deadlines are counted in ticks. */
void wasm_engine_tick(struct wasm_engine *e);

/*
 * A compiled file that its sender vouches for: its content is native code, and only
 * its head is checked here. Borrows `artefact` until it returns.
 * Errors: E_CORRUPT, E_UNSUPPORTED (compile it anew), E_NOMEM.
 */
MUST_USE struct status wasm_module_load(
    struct wasm_engine *e, struct span artefact, struct wasm_module **ret);
void wasm_module_free(struct wasm_module *m); /* NULL is fine */

enum wasm_end {
	WASM_EXIT,    /* proc_exit, or _start returned: exit_code */
	WASM_TIMEOUT, /* the deadline came */
	/*
	 * More memory or a larger table was refused, by the call's limit, and the call then
	 * trapped, or exited other than 0, or could not even begin. One that copes with the
	 * refusal and exits 0 ended by itself.
	 */
	WASM_MEMORY,
	WASM_OUTPUT, /* standard output passed its cap */
	WASM_TRAP,
};

struct wasm_call {
	struct wasi_given given;
	uint32_t time_ms;
	uint64_t memory_max; /* bytes */
};

struct wasm_result {
	enum wasm_end end;
	uint32_t exit_code;  /* 0 to 255; more is 255 */
	uint64_t elapsed_ns; /* from instantiation to the guest's end */
	size_t trap_len;
	char trap[WASM_TRAP_MAX + 1]; /* "trap: out of bounds memory access in NAME" */
};

/*
 * Run `_start`. The output is in wasi->out and wasi->err until the caller's wasi_end.
 * It ends between time_ms and time_ms + WASM_TICK_MS, if ticks come; an instruction that
 * works on much memory (memory.fill) is not cut short.
 * Errors: E_RANGE (given), E_NOMEM (ours); the guest's faults are in *ret.
 */
MUST_USE struct status wasm_run(struct wasm_engine *e, const struct wasm_module *m,
    const struct wasm_call *call, struct wasi_ctx *wasi, struct wasm_result *ret);

#endif
