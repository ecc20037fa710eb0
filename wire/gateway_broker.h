/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_GATEWAY_BROKER_H
#define WIRE_GATEWAY_BROKER_H

/*
 * One stream, one model call. Gateway (A): OPEN, the body as data on channel 0,
 * end. Broker (B): HEAD, the provider's body as data on channel 0, end; or
 * FAILED. The broker acts only when a grant of the authority matches the stream
 * (grant, gateway, body length and digest), once.
 */
#include <link/wire.h>
#include <wire/errors.h>
#include <wire/limits.h>

enum gb_type { GB_OPEN = 1, GB_HEAD, GB_FAILED };

struct gb_open {
	uint8_t grant[GRANT_LEN];
	uint32_t body_len;
	uint8_t stream; /* the client asked for SSE */
	/* Of the client's head, for a provider of Anthropic's kind: printable, no line ends. */
	struct span anthropic_version; /* empty: none was given */
	struct span anthropic_beta;
};
static const struct wire_field gb_open_rows[] = {
	WIRE_FIXED(struct gb_open, grant),
	WIRE_U32(struct gb_open, body_len, RUN_BLOB_MAX),
	WIRE_U8(struct gb_open, stream, 1),
	WIRE_BYTES(struct gb_open, anthropic_version, 0, ANTHROPIC_VERSION_MAX),
	WIRE_BYTES(struct gb_open, anthropic_beta, 0, ANTHROPIC_BETA_MAX),
};

struct gb_head {
	uint16_t status; /* the provider's HTTP status */
	uint8_t sse;     /* content type is text/event-stream */
	uint32_t retry_after_ms;
};
static const struct wire_field gb_head_rows[] = {
	WIRE_U16(struct gb_head, status, 999),
	WIRE_U8(struct gb_head, sse, 1),
	WIRE_U32(struct gb_head, retry_after_ms, UINT32_MAX),
};

struct gb_failed {
	uint16_t error; /* enum error: ERROR_GRANT, ERROR_UPSTREAM, ERROR_UPSTREAM_TIMEOUT … */
};
static const struct wire_field gb_failed_rows[] = {
	WIRE_U16(struct gb_failed, error, ERROR_COUNT - 1),
};

static const struct wire_msg gb_msgs[] = {
	[GB_OPEN] = { "open", WIRE_A_TO_B, WIRE_TABLE(struct gb_open, gb_open_rows) },
	[GB_HEAD] = { "head", WIRE_B_TO_A, WIRE_TABLE(struct gb_head, gb_head_rows) },
	[GB_FAILED] = { "failed", WIRE_B_TO_A, WIRE_TABLE(struct gb_failed, gb_failed_rows) },
};
static const struct wire_edge gb_edge = WIRE_EDGE("gateway-broker", gb_msgs, true);

#endif
