/* SPDX-License-Identifier: Apache-2.0 */
/* A user's module is hostile: what was accepted keeps within every limit. */
#include <wasm/sections.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wasm_counts c;
	const char *why = NULL;
	struct status st = wasm_sections_check(span_of(data, size), &c, &why);

	if (why == NULL || is_ok(st) != (*why == '\0'))
		abort();
	if (is_ok(st) && (c.locals_max > WASM_LOCALS_MAX || c.body_max > size ||
			     c.bodies != c.items[10] || c.items[3] > WASM_FUNCTIONS_MAX))
		abort();
	return 0;
}
