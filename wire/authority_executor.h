/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_EXECUTOR_H
#define WIRE_AUTHORITY_EXECUTOR_H

/*
 * Authority (A) grants runs to the executor (B). DONE comes for every granted
 * run that was started or refused, before the gateway gets RESULT or FAILED;
 * the authority writes ToolExecuted's outcome from it.
 * Tools: the executor compiles and hands what it made to the store by way of the
 * authority (BUILT, answered when it is durable), and asks for it by the id that
 * a grant names. Blobs travel as sealed memory files beside the message.
 */
#include <wire/gateway_executor.h>
#include <wire/grant.h>

enum ae_type {
	AE_GRANT = 1,
	AE_TURN_END,     /* A: kill the turn's lease, forget its grants */
	AE_TURN_ENDED,   /* B: same id: the lease is gone */
	AE_DONE,         /* B */
	AE_BUILT,        /* B: a version of a tool was built; 2 descriptors: an encoded
			    struct tool_upload, and the compiled module (empty: there is none) */
	AE_KEPT,         /* A: same id: durable, or why not */
	AE_ARTEFACT_GET, /* B: a part of a version */
	AE_ARTEFACT,     /* A: same id; 1 descriptor when error is NONE */
	AE_REBUILT,      /* B: compiled anew by another engine, 1 descriptor; answered by KEPT */
	AE_GONE,         /* A: a version that was removed and that no call holds any more */
};

struct ae_built {
	uint8_t grant[GRANT_LEN];
	uint64_t turn;
	struct span manifest;
	uint8_t parts;                /* enum tool_parts that the upload has */
	uint8_t digest[DIGEST_LEN];   /* SHA-256 of the encoded upload */
	uint8_t artefact[DIGEST_LEN]; /* of the compiled module; zero: none */
	uint8_t native[DIGEST_LEN];   /* zero: none */
	struct span engine;           /* that compiled it */
	uint32_t module_size;
	uint32_t native_size;
};
static const struct wire_field ae_built_rows[] = {
	WIRE_FIXED(struct ae_built, grant),
	WIRE_U64(struct ae_built, turn),
	WIRE_BYTES(struct ae_built, manifest, 1, TOOL_MANIFEST_MAX),
	WIRE_U8(struct ae_built, parts, TOOL_PARTS_ALL),
	WIRE_FIXED(struct ae_built, digest),
	WIRE_FIXED(struct ae_built, artefact),
	WIRE_FIXED(struct ae_built, native),
	WIRE_BYTES(struct ae_built, engine, 0, TOOL_ENGINE_MAX),
	WIRE_U32(struct ae_built, module_size, RUN_BLOB_MAX),
	WIRE_U32(struct ae_built, native_size, TOOL_NATIVE_MAX),
};

struct ae_kept {
	uint16_t error;
	uint64_t id;
	uint32_t version;
};
static const struct wire_field ae_kept_rows[] = {
	WIRE_U16(struct ae_kept, error, ERROR_COUNT - 1),
	WIRE_U64(struct ae_kept, id),
	WIRE_U32(struct ae_kept, version, UINT32_MAX),
};

struct ae_artefact_get {
	uint64_t id;
	uint8_t part; /* enum tool_part */
};
static const struct wire_field ae_artefact_get_rows[] = {
	WIRE_U64(struct ae_artefact_get, id),
	WIRE_U8(struct ae_artefact_get, part, PART_NATIVE),
};

struct ae_artefact {
	uint16_t error;
	uint8_t digest[DIGEST_LEN];
	struct span engine; /* PART_ARTEFACT */
	struct span env;    /* of the manifest, for both sandboxes */
};
static const struct wire_field ae_artefact_rows[] = {
	WIRE_U16(struct ae_artefact, error, ERROR_COUNT - 1),
	WIRE_FIXED(struct ae_artefact, digest),
	WIRE_BYTES(struct ae_artefact, engine, 0, TOOL_ENGINE_MAX),
	WIRE_BYTES(struct ae_artefact, env, 0, TOOL_ENV_MAX),
};

struct ae_rebuilt {
	uint64_t id;
	uint8_t artefact[DIGEST_LEN];
	struct span engine;
};
static const struct wire_field ae_rebuilt_rows[] = {
	WIRE_U64(struct ae_rebuilt, id),
	WIRE_FIXED(struct ae_rebuilt, artefact),
	WIRE_BYTES(struct ae_rebuilt, engine, 1, TOOL_ENGINE_MAX),
};

struct ae_done {
	uint8_t grant[GRANT_LEN];
	uint64_t turn;
	uint16_t error; /* enum error; ERROR_NONE: it ran, see status */
	uint8_t status; /* enum run_status */
	uint32_t exit_code;
	uint32_t duration_ms;
};
static const struct wire_field ae_done_rows[] = {
	WIRE_FIXED(struct ae_done, grant),
	WIRE_U64(struct ae_done, turn),
	WIRE_U16(struct ae_done, error, ERROR_COUNT - 1),
	WIRE_U8(struct ae_done, status, RUN_STATUS_COUNT - 1),
	WIRE_U32(struct ae_done, exit_code, 255),
	WIRE_U32(struct ae_done, duration_ms, UINT32_MAX),
};

struct ae_gone {
	uint64_t id;
};
static const struct wire_field ae_gone_rows[] = {
	WIRE_U64(struct ae_gone, id),
};

static const struct wire_msg ae_msgs[] = {
	[AE_GRANT] = { "grant", WIRE_A_TO_B, WIRE_TABLE(struct grant, grant_rows) },
	[AE_TURN_END] = { "turn-end", WIRE_A_TO_B, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AE_TURN_ENDED] = { "turn-ended", WIRE_B_TO_A, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AE_DONE] = { "done", WIRE_B_TO_A, WIRE_TABLE(struct ae_done, ae_done_rows) },
	[AE_BUILT] = { "built", WIRE_B_TO_A, WIRE_TABLE(struct ae_built, ae_built_rows) },
	[AE_KEPT] = { "kept", WIRE_A_TO_B, WIRE_TABLE(struct ae_kept, ae_kept_rows) },
	[AE_ARTEFACT_GET] = { "artefact-get", WIRE_B_TO_A,
	    WIRE_TABLE(struct ae_artefact_get, ae_artefact_get_rows) },
	[AE_ARTEFACT] = { "artefact", WIRE_A_TO_B,
	    WIRE_TABLE(struct ae_artefact, ae_artefact_rows) },
	[AE_REBUILT] = { "rebuilt", WIRE_B_TO_A, WIRE_TABLE(struct ae_rebuilt, ae_rebuilt_rows) },
	[AE_GONE] = { "gone", WIRE_A_TO_B, WIRE_TABLE(struct ae_gone, ae_gone_rows) },
};
static const struct wire_edge ae_edge = WIRE_EDGE("authority-executor", ae_msgs, false);

#endif
