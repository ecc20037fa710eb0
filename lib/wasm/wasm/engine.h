/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_ENGINE_H
#define WASM_ENGINE_H

/*
 * The one configuration of Wasmtime, for who compiles and for who runs, and the head
 * of a compiled file. A compiled file is native code: its digest is checked by
 * whoever hands it on; here only what made it, and whether it is whole.
 */
#include <base/span.h>

#define WASM_ENGINE_ID_MAX 64
#define WASM_MODULE_MAX (8U << 20)    /* bytes of a module */
#define WASM_ARTEFACT_MAX (64U << 20) /* bytes of a compiled file */
#define WASM_MEMORY_MAX (1U << 30)    /* bytes of a tool's memory */
#define WASM_TABLE_MAX 100000         /* elements of one table; Go's need some 6,000 */
#define WASM_TABLES_MAX 4             /* of one module */
#define WASM_STACK_MAX (512U << 10)   /* bytes of a guest's stack */

/* "wasmtime-48.0.8/1a2b3c4d": its version, and a hash of every switch. Static. */
const char *wasm_engine_id(void);

/* What stands before the engine's own bytes in a compiled file. */
#define WASM_HEAD_LEN (8 + 8 + WASM_ENGINE_ID_MAX)
MUST_USE struct status wasm_head_put(struct buf *out, size_t body_len);
/*
 * The engine's bytes of `artefact`. E_CORRUPT: no such file, or cut, or longer than it
 * says. E_UNSUPPORTED: of another version or configuration, to be compiled anew.
 */
MUST_USE struct status wasm_head_check(struct span artefact, struct span *ret_body);

#endif
