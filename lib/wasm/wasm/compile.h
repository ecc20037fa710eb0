/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_COMPILE_H
#define WASM_COMPILE_H

/*
 * A module becomes a compiled file. Needs the compiler: wasm-compile alone links it.
 */
#include <wasm/engine.h>

#define WASM_REASON_MAX 255

/*
 * Count, validate, compile, check imports (only what lib/wasm offers, by name and
 * type) and exports (`_start`, `memory`), serialise into `out` behind its head.
 * Errors, with one line in `reason` (its max should be WASM_REASON_MAX): E_SYNTAX
 * (not a module, or not one that can be a tool), E_RANGE (over a limit), E_NOMEM.
 * Time and memory are not bounded here: the process is.
 */
MUST_USE struct status wasm_compile(struct span module, struct buf *out, struct buf *reason);

#endif
