/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_EXECUTOR_H
#define WIRE_AUTHORITY_EXECUTOR_H

/*
 * Authority (A) grants runs to the executor (B). DONE comes for every granted
 * run that was started or refused, before the gateway gets RESULT or FAILED;
 * the authority writes ToolExecuted's outcome from it.
 */
#include <wire/gateway_executor.h>
#include <wire/grant.h>

enum ae_type {
	AE_GRANT = 1,
	AE_TURN_END,   /* A: kill the turn's lease, forget its grants */
	AE_TURN_ENDED, /* B: same id: the lease is gone */
	AE_DONE,       /* B */
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

static const struct wire_msg ae_msgs[] = {
	[AE_GRANT] = { "grant", WIRE_A_TO_B, WIRE_TABLE(struct grant, grant_rows) },
	[AE_TURN_END] = { "turn-end", WIRE_A_TO_B, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AE_TURN_ENDED] = { "turn-ended", WIRE_B_TO_A, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AE_DONE] = { "done", WIRE_B_TO_A, WIRE_TABLE(struct ae_done, ae_done_rows) },
};
static const struct wire_edge ae_edge = WIRE_EDGE("authority-executor", ae_msgs, false);

#endif
