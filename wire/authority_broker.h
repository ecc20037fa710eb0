/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_BROKER_H
#define WIRE_AUTHORITY_BROKER_H

/* Authority (A) grants model calls to the broker (B) and takes them back. */
#include <wire/grant.h>

enum ab_type {
	AB_GRANT = 1,
	AB_TURN_END,   /* A: cancel what runs for the turn, forget its grants */
	AB_TURN_ENDED, /* B: same id: nothing of that turn runs any more */
	AB_DONE,       /* B: a granted call ended */
};

struct ab_done {
	uint8_t grant[GRANT_LEN];
	uint64_t turn;
	uint16_t http_status; /* the provider's; 0: none */
	uint64_t bytes_out;
	uint64_t bytes_in;
};
static const struct wire_field ab_done_rows[] = {
	WIRE_FIXED(struct ab_done, grant),
	WIRE_U64(struct ab_done, turn),
	WIRE_U16(struct ab_done, http_status, 999),
	WIRE_U64(struct ab_done, bytes_out),
	WIRE_U64(struct ab_done, bytes_in),
};

static const struct wire_msg ab_msgs[] = {
	[AB_GRANT] = { "grant", WIRE_A_TO_B, WIRE_TABLE(struct grant, grant_rows) },
	[AB_TURN_END] = { "turn-end", WIRE_A_TO_B, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AB_TURN_ENDED] = { "turn-ended", WIRE_B_TO_A, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AB_DONE] = { "done", WIRE_B_TO_A, WIRE_TABLE(struct ab_done, ab_done_rows) },
};
static const struct wire_edge ab_edge = WIRE_EDGE("authority-broker", ab_msgs, false);

#endif
