/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_EXECUTOR_WASM_H
#define WIRE_EXECUTOR_WASM_H

/*
 * Executor (A) and one run worker (B), which serves one tenant. The executor makes
 * the socket pair and hands the worker's end to the spawner as descriptor 0. LOAD
 * brings a compiled module as a sealed memory file whose digest the executor has
 * checked; CALL names a module that was loaded, one call at a time; an answer has its
 * question's id; a worker that does not answer in the call's time is killed by its slot. The worker
 * trusts the executor; the executor trusts nothing that the worker says.
 */
#include <link/wire.h>
#include <wire/gateway_executor.h>

#define EW_MODULES_MAX 64 /* loaded in one worker */

enum ew_type { EW_READY = 1, EW_LOAD, EW_LOADED, EW_UNLOAD, EW_CALL, EW_RESULT };

struct ew_ready {
	struct span engine; /* as the compiler names it: artefacts of another one are not loaded */
};
static const struct wire_field ew_ready_rows[] = {
	WIRE_BYTES(struct ew_ready, engine, 1, TOOL_ENGINE_MAX),
};

struct ew_module {
	uint64_t module; /* the executor's number for it */
};
static const struct wire_field ew_module_rows[] = {
	WIRE_U64(struct ew_module, module),
};

struct ew_loaded {
	uint64_t module;
	uint16_t
	    code; /* enum code: E_OK, E_CORRUPT, E_UNSUPPORTED, E_FULL (count, or their bytes) … */
};
static const struct wire_field ew_loaded_rows[] = {
	WIRE_U64(struct ew_loaded, module),
	WIRE_U16(struct ew_loaded, code, 64),
};

struct ew_call {
	uint64_t module;
	uint8_t capabilities;
	uint32_t time_ms;
	uint32_t memory_mb;
	uint32_t output_kb;
	struct span env;
	struct span arguments;
};
static const struct wire_field ew_call_rows[] = {
	WIRE_U64(struct ew_call, module),
	WIRE_U8(struct ew_call, capabilities, TOOL_CAPABILITIES_ALL),
	WIRE_U32(struct ew_call, time_ms, TOOL_TIME_MS_MAX),
	WIRE_U32(struct ew_call, memory_mb, TOOL_MEMORY_MB_MAX),
	WIRE_U32(struct ew_call, output_kb, TOOL_OUTPUT_MAX >> 10),
	WIRE_BYTES(struct ew_call, env, 0, TOOL_ENV_MAX),
	WIRE_BYTES(struct ew_call, arguments, 0, TOOL_ARGUMENTS_MAX),
};

struct ew_result {
	uint8_t status; /* EXIT, TIMEOUT, MEMORY, OUTPUT, TRAP */
	uint32_t exit_code;
	uint32_t duration_us;
	struct span trap;
	struct span output;
	struct span errors; /* standard error, cut at its limit */
	uint8_t truncated;
};
static const struct wire_field ew_result_rows[] = {
	WIRE_U8(struct ew_result, status, RUN_STATUS_COUNT - 1),
	WIRE_U32(struct ew_result, exit_code, UINT32_MAX),
	WIRE_U32(struct ew_result, duration_us, UINT32_MAX),
	WIRE_BYTES(struct ew_result, trap, 0, TOOL_REASON_MAX),
	WIRE_BYTES(struct ew_result, output, 0, TOOL_OUTPUT_MAX),
	WIRE_BYTES(struct ew_result, errors, 0, TOOL_STDERR_MAX),
	WIRE_U8(struct ew_result, truncated, 1),
};

static const struct wire_msg ew_msgs[] = {
	[EW_READY] = { "ready", WIRE_B_TO_A, WIRE_TABLE(struct ew_ready, ew_ready_rows) },
	[EW_LOAD] = { "load", WIRE_A_TO_B, WIRE_TABLE(struct ew_module, ew_module_rows) },
	[EW_LOADED] = { "loaded", WIRE_B_TO_A, WIRE_TABLE(struct ew_loaded, ew_loaded_rows) },
	[EW_UNLOAD] = { "unload", WIRE_A_TO_B, WIRE_TABLE(struct ew_module, ew_module_rows) },
	[EW_CALL] = { "call", WIRE_A_TO_B, WIRE_TABLE(struct ew_call, ew_call_rows) },
	[EW_RESULT] = { "result", WIRE_B_TO_A, WIRE_TABLE(struct ew_result, ew_result_rows) },
};
static const struct wire_edge ew_edge = WIRE_EDGE("executor-wasm", ew_msgs, false);

#endif
