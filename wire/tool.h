/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_TOOL_H
#define WIRE_TOOL_H

/*
 * Users' own tools: what several edges say about one. A version of a tool is what
 * a user uploaded once; its digest is that of the encoded upload, and never changes.
 */
#include <stdint.h>

#include <wire/limits.h>

#define TOOL_TIME_MS_MAX 60000
#define TOOL_MEMORY_MB_MAX 1024

enum tool_sandbox { TOOL_WASM = 1, TOOL_GVISOR };
static const char *const tool_sandbox_names[] = { "none", "wasm", "gvisor" };

/* Bits: what an upload has. */
enum tool_parts { TOOL_HAS_MODULE = 1, TOOL_HAS_NATIVE = 2 };
#define TOOL_PARTS_ALL 3

/* What may be asked for of one version. */
enum tool_part { PART_ARTEFACT = 1, PART_MODULE, PART_NATIVE };

/* Bits: what a tool may reach beyond its standard streams. */
enum tool_capability { TOOL_CAN_FILES = 1 /* a scratch directory in memory */ };
#define TOOL_CAPABILITIES_ALL 1

/* How a granted call runs: the smaller of what tool.json asks for and what the operator allows. */
struct tool_use {
	uint64_t id; /* of the version, in the store */
	uint32_t version;
	uint8_t sandbox; /* enum tool_sandbox */
	uint8_t capabilities;
	uint8_t artefact[DIGEST_LEN]; /* SHA-256 of what runs: compiled module, or native part */
	uint32_t time_ms;
	uint32_t memory_mb;
	uint32_t output_kb;
};

#endif
