/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_RUN_WORKER_H
#define WASM_RUN_WORKER_H

/* One worker: its link to the executor, the modules that it holds, one call at a time. */
#include <uv.h>

#include <link/link.h>
#include <wasm/run.h>
#include <wire/executor_wasm.h>

#include "ticker.h"

/* Compiled bytes in one worker: about twice that is its memory. */
#define WORKER_COMPILED_MAX (128U << 20)

struct held_module {
	uint64_t number; /* the executor's; valid where `module` is set */
	size_t len;      /* of its compiled file */
	struct wasm_module *module;
};

struct worker {
	uv_loop_t *loop;
	struct link *link;
	struct wasm_engine *engine;
	struct ticker ticker;
	struct wasi_ctx wasi;
	struct held_module modules[EW_MODULES_MAX];
};

/* Engine, ticker, everything that is made once: before the jail. */
MUST_USE struct status worker_init(struct worker *w);
/* A module and its number; E_FULL (count or bytes), E_EXISTS, or what wasm_module_load says. */
MUST_USE struct status worker_load(struct worker *w, uint64_t number, struct span artefact);
/* E_NOTFOUND: no such module. */
MUST_USE struct status worker_run(
    struct worker *w, uint64_t number, const struct wasm_call *call, struct wasm_result *ret);
/* Speak over `fd` until the executor is gone. */
MUST_USE struct status worker_serve(struct worker *w, uv_loop_t *loop, int fd);

/* As the wire says it: enum run_status. */
uint8_t worker_status(enum wasm_end end);

/* A sealed memory file's content, mapped; *ret is valid until worker_unmap. */
MUST_USE struct status worker_map(int fd, struct span *ret);
void worker_unmap(struct span map);

#endif
