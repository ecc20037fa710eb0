/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MANIFEST_MANIFEST_H
#define MANIFEST_MANIFEST_H

/*
 * tool.json: what a user says of a tool of theirs. Its texts go to models and to other
 * people, so all that is in it is bounded and checked here, once, the same everywhere.
 */
#include <json/schema.h>

#define MANIFEST_MAX (16U << 10)      /* bytes */
#define MANIFEST_NAME_MAX 64          /* [a-zA-Z0-9_-] */
#define MANIFEST_DESCRIPTION_MAX 1024 /* characters */
#define MANIFEST_DEPTH_MAX 24
#define MANIFEST_TOKENS_MAX 8192
#define MANIFEST_ENV_MAX (4U << 10) /* bytes, as `env` has them */
#define MANIFEST_EXAMPLES_MAX 16
#define MANIFEST_TIME_MS_MAX 60000
#define MANIFEST_MEMORY_MB_MAX 1024
#define MANIFEST_OUTPUT_KB_MAX 512
#define MANIFEST_COMPILED_MAX (1U << 20) /* bytes that a compiled schema of it may take */
#define MANIFEST_FAULT_MAX 256           /* bytes of a fault's text */

/* Bits. */
enum manifest_capability { MANIFEST_CAN_FILES = 1 };

/* Spans lie in the text or in the arena. */
struct manifest {
	struct span name;
	struct span description;
	struct span input_schema;  /* JSON, as written: an object's schema */
	struct span output_schema; /* the same of any value; empty: none */
	uint32_t time_ms;          /* 0: not said */
	uint32_t memory_mb;        /* 0: not said */
	uint32_t output_kb;        /* 0: not said */
	uint8_t capabilities;
	struct span env;      /* "NAME=value", each with its NUL */
	struct span examples; /* JSON array; empty: none */
};

struct manifest_fault {
	const char *message;           /* of a fixed table */
	char text[MANIFEST_FAULT_MAX]; /* "/input_schema/type: is not …"; NUL-terminated UTF-8 */
};

/*
 * Read and check all: shape, characters, and that both schemas compile.
 * Owner:  nothing is kept of the caller's; *fault may be NULL.
 * Errors: E_SYNTAX, E_EXISTS (a name twice), E_UNSUPPORTED (a schema's keyword), E_RANGE
 *	   (a limit above); all with *fault. E_NOMEM, E_SYS.
 */
MUST_USE struct status manifest_parse(
    struct span text, struct arena *a, struct manifest *ret, struct manifest_fault *fault);
/* Read what manifest_parse() accepted before: far less work. Same errors. */
MUST_USE struct status manifest_read(struct span text, struct arena *a, struct manifest *ret);
/* May a tool be called that? */
bool manifest_name_ok(struct span name);

#endif
