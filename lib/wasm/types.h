/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_TYPES_H
#define WASM_TYPES_H

/* The types of wasi_calls, in the engine's words. */
#include "engine.h"

#include <wasm/wasi.h>

/* NULL: no such call. */
const struct wasi_call *types_find(struct span name);
/* Is `type` exactly the call's? */
bool types_match(const struct wasi_call *call, const wasm_functype_t *type);
/* Without parameters and results? */
bool types_plain(const wasm_functype_t *type);
/* The call's type; the caller deletes it. */
wasm_functype_t *types_of(const struct wasi_call *call);

#endif
