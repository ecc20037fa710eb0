/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_INTERNAL_ENGINE_H
#define WASM_INTERNAL_ENGINE_H

/* Built twice: with the compiler's library, and with the one that only runs. */
#ifdef WASM_COMPILER
#include <wasmtime_compiler.h>
#else
#include <wasmtime_run.h>
#endif

#include <wasm/engine.h>

/* Of the wrapper crate (engines/wasmtime/src/lib.rs). */
struct engine_limits {
	uint64_t memory_max; /* bytes */
	uint64_t table_max;  /* elements */
	bool memory_refused; /* the guest asked for more */
	bool table_refused;
};
void sallyport_store_limit(wasmtime_store_t *store, struct engine_limits *limits);

/* An engine with every switch set; a pool for those that run. NULL: no memory. */
wasm_engine_t *engine_new(bool pooled);

/* One line of printable ASCII, cut at its limit. */
void engine_text(struct span text, struct buf *out);
/* The same for an error's message; frees the error. */
void engine_error_text(wasmtime_error_t *error, struct buf *out);

#endif
