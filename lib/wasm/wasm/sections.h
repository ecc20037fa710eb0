/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_SECTIONS_H
#define WASM_SECTIONS_H

/*
 * A quick look at a module before any compiler sees it (WebAssembly core
 * specification, 5.5): what it declares is counted, so that the common bombs end
 * here, cheaply and with a reason. It does not validate: the engine does.
 */
#include <base/span.h>

#define WASM_SECTION_IDS 13 /* custom is 0, data count 12 */

/* What a module may have. The compiler's own limits of time and memory stand behind these. */
#define WASM_FUNCTIONS_MAX 40000
#define WASM_SEGMENTS_MAX 65536           /* Go packs its data into tens of thousands */
#define WASM_LOCALS_MAX 20000             /* of one function */
#define WASM_BODY_MAX (1U << 20)          /* bytes of one function */
#define WASM_LOCALS_WORK_MAX (1ULL << 31) /* sum over functions of locals × bytes */

struct wasm_counts {
	uint32_t items[WASM_SECTION_IDS]; /* by the section's id; custom: how many of them */
	uint32_t bodies;
	uint32_t locals_max, body_max; /* the largest of one function */
};

/*
 * E_SYNTAX: not a module, cut, or of another kind; E_RANGE: over a limit.
 * *ret_reason is then a static text. *ret is what was counted until then.
 */
MUST_USE struct status wasm_sections_check(
    struct span module, struct wasm_counts *ret, const char **ret_reason);

#endif
