/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_GRANT_H
#define WIRE_GRANT_H

/*
 * A single-use grant, as authority sends it to the process that will act (see
 * authority_broker.h and authority_executor.h). The authority writes the grant
 * before it answers the gateway; an actor that gets a stream whose grant it
 * does not know yet reads what the authority's link has, and then waits for it,
 * GRANT_WAIT_MS at most (daemon/grants.h). A grant is gone after use, after
 * expires_ms, and with its turn.
 */
#include <link/wire.h>
#include <wire/content.h>
#include <wire/endpoint.h>
#include <wire/limits.h>
#include <wire/tool.h>

/* What it allows. */
enum grant_kind {
	GRANT_MODEL,   /* broker: a model call */
	GRANT_RUN,     /* executor: code, as a struct run_request */
	GRANT_TOOL,    /* executor: a call of a tool, as a struct tool_request */
	GRANT_BUILD,   /* executor: a new version of a tool, as a struct tool_upload */
	GRANT_CONTENT, /* store: an operation on what it keeps, as a struct content_request */
};

struct grant {
	uint8_t kind; /* enum grant_kind */
	uint8_t grant[GRANT_LEN];
	uint64_t turn;
	uint32_t gateway; /* peer id of the only gateway that may use it */
	uint8_t request_id[REQUEST_ID_LEN];
	struct span tenant;
	struct span user;
	struct span target; /* broker: model alias; executor: language or tool; store: object */
	uint8_t endpoint;   /* broker: enum ga_endpoint, which says where the body goes */
	uint32_t model_off; /* broker: where "alias", in quotes, stands in the body */
	uint8_t keep;       /* executor: keep the lease until TURN_END (later steps) */
	uint32_t body_len;
	uint8_t digest[DIGEST_LEN];
	uint32_t expires_ms;  /* from receipt */
	struct tool_use tool; /* TOOL; BUILD: its limits alone */
	uint8_t content_op;   /* CONTENT: enum content_op */
	uint8_t content_kind; /* … enum content_kind */
	uint8_t masked;       /* … no credential of others may be in what is written */
};
static const struct wire_field grant_rows[] = {
	WIRE_U8(struct grant, kind, GRANT_CONTENT),
	WIRE_FIXED(struct grant, grant),
	WIRE_U64(struct grant, turn),
	WIRE_U32(struct grant, gateway, UINT32_MAX),
	WIRE_FIXED(struct grant, request_id),
	WIRE_BYTES(struct grant, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct grant, user, 1, USER_MAX),
	WIRE_BYTES(struct grant, target, 0, MODEL_MAX), /* empty: LIST of files */
	WIRE_U8(struct grant, endpoint, ENDPOINT_OTHER),
	WIRE_U32(struct grant, model_off, BODY_MAX),
	WIRE_U8(struct grant, keep, 1),
	WIRE_U32(struct grant, body_len, RUN_BLOB_MAX),
	WIRE_FIXED(struct grant, digest),
	WIRE_U32(struct grant, expires_ms, 60000),
	WIRE_U64(struct grant, tool.id),
	WIRE_U32(struct grant, tool.version, UINT32_MAX),
	WIRE_U8(struct grant, tool.sandbox, TOOL_GVISOR),
	WIRE_U8(struct grant, tool.capabilities, TOOL_CAPABILITIES_ALL),
	WIRE_FIXED(struct grant, tool.artefact),
	WIRE_U32(struct grant, tool.time_ms, TOOL_TIME_MS_MAX),
	WIRE_U32(struct grant, tool.memory_mb, TOOL_MEMORY_MB_MAX),
	WIRE_U32(struct grant, tool.output_kb, TOOL_OUTPUT_MAX >> 10),
	WIRE_U8(struct grant, content_op, CONTENT_OP_COUNT - 1),
	WIRE_U8(struct grant, content_kind, CONTENT_KIND_COUNT - 1),
	WIRE_U8(struct grant, masked, 1),
};

struct turn_ref {
	uint64_t turn;
};
static const struct wire_field turn_ref_rows[] = {
	WIRE_U64(struct turn_ref, turn),
};

#endif
