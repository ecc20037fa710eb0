/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trap.c: the words for what ended a guest.
 *
 * Runs in: wasm-run. Trusts: the engine's codes; a function's name is the guest's:
 * printable ASCII is kept of it, and not much. Owns: nothing.
 * Invariants: the text of a code never changes; tools and tests rely on it.
 * See: wasm/run.h; wasmtime/trap.h.
 */
#include "trap.h"

#include <stdio.h>

#include <base/cleanup.h>

#define NAME_MAX_ 100 /* bytes shown of a function's name */
#define TEXT_MAX 120  /* and of another message */

static const char *const texts[] = {
	[WASMTIME_TRAP_CODE_STACK_OVERFLOW] = "call stack exhausted",
	[WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS] = "out of bounds memory access",
	[WASMTIME_TRAP_CODE_HEAP_MISALIGNED] = "misaligned memory access",
	[WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS] = "out of bounds table access",
	[WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL] = "call of an empty table element",
	[WASMTIME_TRAP_CODE_BAD_SIGNATURE] = "indirect call of another type",
	[WASMTIME_TRAP_CODE_INTEGER_OVERFLOW] = "integer overflow",
	[WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO] = "integer divide by zero",
	[WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER] = "invalid conversion to integer",
	[WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED] = "unreachable",
	[WASMTIME_TRAP_CODE_INTERRUPT] = "deadline",
};
#define TEXTS (sizeof(texts) / sizeof(texts[0]))

static const char *code_text(const wasm_trap_t *trap, bool *ret_timeout);
static void put_message(const wasm_trap_t *trap, struct buf *out);
static void put_function(const wasm_frame_t *frame, struct buf *out);

void
trap_text(const wasmtime_error_t *error, const wasm_trap_t *trap, char *out, size_t size,
    bool *ret_timeout)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	auto_buf struct buf name = BUF_INIT(NAME_MAX_);
	const char *known = trap != NULL ? code_text(trap, ret_timeout) : NULL;
	wasm_name_t message;

	if (known != NULL) {
		engine_text(span_str(known), &text);
	} else if (trap != NULL) {
		put_message(trap, &text);
	} else {
		wasmtime_error_message(error, &message);
		engine_text(span_of(message.data, message.size), &text);
		wasm_byte_vec_delete(&message);
	}
	if (trap != NULL) {
		wasm_frame_t *frame = wasm_trap_origin(trap);

		put_function(frame, &name);
		if (frame != NULL)
			wasm_frame_delete(frame);
	}
	(void)snprintf(out, size, "trap: %.*s%s%.*s", SPAN_FMT(buf_span(&text)),
	    name.len > 0 ? " in " : "", SPAN_FMT(buf_span(&name)));
}

/* NULL: none of the above. */
static const char *
code_text(const wasm_trap_t *trap, bool *ret_timeout)
{
	wasmtime_trap_code_t code;

	if (!wasmtime_trap_code(trap, &code))
		return NULL;
	*ret_timeout = code == WASMTIME_TRAP_CODE_INTERRUPT;
	return code < TEXTS ? texts[code] : NULL;
}

static void
put_message(const wasm_trap_t *trap, struct buf *out)
{
	wasm_message_t message;

	wasm_trap_message(trap, &message);
	engine_text(span_of(message.data, message.size > 0 ? message.size - 1 : 0), out);
	wasm_byte_vec_delete(&message);
}

/* Modules without a name section have none. */
static void
put_function(const wasm_frame_t *frame, struct buf *out)
{
	const wasm_name_t *name = frame != NULL ? wasmtime_frame_func_name(frame) : NULL;

	if (name != NULL)
		engine_text(span_of(name->data, name->size), out);
}
