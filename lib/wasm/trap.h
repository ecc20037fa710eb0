/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_INTERNAL_TRAP_H
#define WASM_INTERNAL_TRAP_H

#include "engine.h"

/*
 * The text of what ended a guest, and whether it was its deadline. Exactly one of
 * `error` and `trap` is there; both stay the caller's.
 */
void trap_text(const wasmtime_error_t *error, const wasm_trap_t *trap, char *out, size_t size,
    bool *ret_timeout);

#endif
