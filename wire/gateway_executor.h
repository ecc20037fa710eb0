/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_GATEWAY_EXECUTOR_H
#define WIRE_GATEWAY_EXECUTOR_H

/*
 * One stream, one run. Gateway (A): OPEN, an encoded `struct run_request` as
 * data on channel 0, end. Executor (B): STARTED, output as data on channels
 * 1 and 2 as it comes, an encoded `struct run_files` on channel 3, RESULT, end;
 * or FAILED. A call of a tool is the same with a `struct tool_request` and without
 * files; a new version of one is a `struct tool_upload`, answered by RESULT with the
 * version's number once it is kept, or FAILED with the reason. Which of the three
 * it is, the grant says. The executor acts only when a grant of the authority matches the
 * stream (grant, gateway, length and SHA-256 of the encoded request), once.
 * A stream that the gateway cancels ends its run within 100 ms.
 */
#include <link/wire.h>
#include <wire/errors.h>
#include <wire/limits.h>
#include <wire/tool.h>

enum ge_type { GE_OPEN = 1, GE_STARTED, GE_RESULT, GE_FAILED };
enum ge_channel { RUN_REQUEST, RUN_STDOUT, RUN_STDERR, RUN_FILES };

/* `status` of the public API, in the order of docs/api.md. */
enum run_status {
	RUN_EXIT,
	RUN_SIGNAL,
	RUN_TIMEOUT,
	RUN_CPU,
	RUN_MEMORY,
	RUN_OUTPUT,
	RUN_PIDS,
	RUN_CANCELLED,
	RUN_TRAP, /* tools in WebAssembly: stopped by a fault of its own */
	RUN_STATUS_COUNT
};
static const char *const run_status_names[RUN_STATUS_COUNT] = { "exit", "signal", "timeout", "cpu",
	"memory", "output", "pids", "cancelled", "trap" };

struct run_file {
	struct span name; /* no '/', NUL, control bytes; not "." or ".." */
	struct span content;
};
static const struct wire_field run_file_rows[] = {
	WIRE_BYTES(struct run_file, name, 1, FILE_NAME_MAX),
	WIRE_BYTES(struct run_file, content, 0, FILES_TOTAL_MAX),
};
static const struct wire_table run_file_table = WIRE_TABLE(struct run_file, run_file_rows);

struct run_request {
	struct span language;
	struct span code;
	struct span input;   /* standard input */
	uint32_t timeout_ms; /* 0: the sandbox's limit; else lowered to it */
	uint8_t notebook;    /* show the last expression's value, keep variables for later steps */
	struct wire_list files; /* struct run_file, placed in the working directory */
};
static const struct wire_field run_request_rows[] = {
	WIRE_BYTES(struct run_request, language, 1, LANGUAGE_MAX),
	WIRE_BYTES(struct run_request, code, 0, RUN_BLOB_MAX),
	WIRE_BYTES(struct run_request, input, 0, RUN_BLOB_MAX),
	WIRE_U32(struct run_request, timeout_ms, UINT32_MAX),
	WIRE_U8(struct run_request, notebook, 1),
	WIRE_LIST(struct run_request, files, 0, FILES_MAX, &run_file_table),
};
static const struct wire_table run_request_table = WIRE_TABLE(struct run_request, run_request_rows);

struct run_files {
	struct wire_list files; /* struct run_file, from /tmp/out */
};
static const struct wire_field run_files_rows[] = {
	WIRE_LIST(struct run_files, files, 0, FILES_MAX, &run_file_table),
};
static const struct wire_table run_files_table = WIRE_TABLE(struct run_files, run_files_rows);

/* What a user uploads; `module` or `native` may be empty, not both. */
struct tool_upload {
	struct span manifest; /* tool.json, as it came */
	struct span module;   /* WebAssembly */
	struct span native;   /* a script or a static ELF binary, for gVisor */
};
static const struct wire_field tool_upload_rows[] = {
	WIRE_BYTES(struct tool_upload, manifest, 1, TOOL_MANIFEST_MAX),
	WIRE_BYTES(struct tool_upload, module, 0, RUN_BLOB_MAX),
	WIRE_BYTES(struct tool_upload, native, 0, TOOL_NATIVE_MAX),
};
static const struct wire_table tool_upload_table = WIRE_TABLE(struct tool_upload, tool_upload_rows);

struct tool_request {
	struct span arguments; /* one JSON value, for the tool's standard input */
};
static const struct wire_field tool_request_rows[] = {
	WIRE_BYTES(struct tool_request, arguments, 1, TOOL_ARGUMENTS_MAX),
};
static const struct wire_table tool_request_table = WIRE_TABLE(
    struct tool_request, tool_request_rows);

struct ge_open {
	uint8_t grant[GRANT_LEN];
	uint32_t body_len;
	uint8_t late; /* STARTED may come with the result: nobody is shown that it began */
};
static const struct wire_field ge_open_rows[] = {
	WIRE_FIXED(struct ge_open, grant),
	WIRE_U32(struct ge_open, body_len, RUN_BLOB_MAX),
	WIRE_U8(struct ge_open, late, 1),
};

struct ge_started {
	struct span sandbox; /* its name, for the answer: "gvisor:python-3" */
};
static const struct wire_field ge_started_rows[] = {
	WIRE_BYTES(struct ge_started, sandbox, 1, 64),
};

struct ge_result {
	uint8_t status;     /* enum run_status */
	uint32_t exit_code; /* RUN_EXIT: 0..255; RUN_SIGNAL: the signal */
	uint8_t truncated;
	uint8_t files_dropped; /* some files were over a limit */
	uint32_t duration_ms;
	struct span trap; /* RUN_TRAP: which, and the function's name where it has one */
	uint32_t version; /* of a tool that was built */
};
static const struct wire_field ge_result_rows[] = {
	WIRE_U8(struct ge_result, status, RUN_STATUS_COUNT - 1),
	WIRE_U32(struct ge_result, exit_code, 255),
	WIRE_U8(struct ge_result, truncated, 1),
	WIRE_U8(struct ge_result, files_dropped, 1),
	WIRE_U32(struct ge_result, duration_ms, UINT32_MAX),
	WIRE_BYTES(struct ge_result, trap, 0, TOOL_REASON_MAX),
	WIRE_U32(struct ge_result, version, UINT32_MAX),
};

struct ge_failed {
	uint16_t error; /* ERROR_GRANT, ERROR_POOL_BUSY, ERROR_LANGUAGE, ERROR_UNAVAILABLE … */
	uint32_t retry_after_ms;
	struct span reason; /* ERROR_TOOL_INVALID */
};
static const struct wire_field ge_failed_rows[] = {
	WIRE_U16(struct ge_failed, error, ERROR_COUNT - 1),
	WIRE_U32(struct ge_failed, retry_after_ms, UINT32_MAX),
	WIRE_BYTES(struct ge_failed, reason, 0, TOOL_REASON_MAX),
};

static const struct wire_msg ge_msgs[] = {
	[GE_OPEN] = { "open", WIRE_A_TO_B, WIRE_TABLE(struct ge_open, ge_open_rows) },
	[GE_STARTED] = { "started", WIRE_B_TO_A, WIRE_TABLE(struct ge_started, ge_started_rows) },
	[GE_RESULT] = { "result", WIRE_B_TO_A, WIRE_TABLE(struct ge_result, ge_result_rows) },
	[GE_FAILED] = { "failed", WIRE_B_TO_A, WIRE_TABLE(struct ge_failed, ge_failed_rows) },
};
static const struct wire_edge ge_edge = WIRE_EDGE("gateway-executor", ge_msgs, true);

#endif
