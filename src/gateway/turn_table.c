/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn_table.c: which event leads where.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: every state but TURN_IDLE takes TURN_FAIL, and ends in TURN_IDLE;
 * TURN_SETTLE is passed on every way out of an admitted turn.
 * See: turn.c; tests/unit/test_gateway_turn.c walks the table.
 */
#include "turn.h"

#define TO(state, act)           \
	{                        \
		true, state, act \
	}
#define SETTLED_OR_FAILED                                                                \
	{                                                                                \
		[TURN_SETTLED] = TO(TURN_IDLE, turn_finish), [TURN_FAIL] = TO(           \
								 TURN_IDLE, turn_finish) \
	}

const struct turn_move turn_moves[KIND_COUNT][TURN_STATES][TURN_EVENTS] = {
	[KIND_MODEL] = {
		[TURN_ADMIT] = {
			[TURN_GO] = TO(TURN_MODEL, loop_ask),
			[TURN_NEXT_LOAD] = TO(TURN_LOAD, history_load),
			[TURN_ATTACH] = TO(TURN_ADMIT, loop_admit_again),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_LOAD] = {
			[TURN_NEXT_MODEL] = TO(TURN_GRANT_MODEL, history_grant_model),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_MODEL] = {
			[TURN_ANSWERED] = TO(TURN_SETTLE, turn_settle),
			[TURN_NEXT_SAVE] = TO(TURN_GRANT_SAVE, history_grant_save),
			[TURN_NEXT_RUN] = TO(TURN_GRANT_RUN, step_grant),
			[TURN_NEXT_TOOLS] = TO(TURN_TOOLS, sides_start),
			[TURN_NEXT_MODEL] = TO(TURN_GRANT_MODEL, loop_grant_model),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_GRANT_RUN] = {
			[TURN_GO] = TO(TURN_RUN, step_start),
			[TURN_NEXT_RUN] = TO(TURN_GRANT_RUN, step_grant),
			[TURN_NEXT_TOOLS] = TO(TURN_TOOLS, sides_start),
			[TURN_NEXT_MODEL] = TO(TURN_GRANT_MODEL, loop_grant_model),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_RUN] = {
			[TURN_NEXT_RUN] = TO(TURN_GRANT_RUN, step_grant),
			[TURN_NEXT_TOOLS] = TO(TURN_TOOLS, sides_start),
			[TURN_NEXT_MODEL] = TO(TURN_GRANT_MODEL, loop_grant_model),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_TOOLS] = {
			[TURN_NEXT_RUN] = TO(TURN_GRANT_RUN, step_grant),
			[TURN_NEXT_TOOLS] = TO(TURN_TOOLS, sides_start),
			[TURN_NEXT_MODEL] = TO(TURN_GRANT_MODEL, loop_grant_model),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_GRANT_MODEL] = {
			[TURN_GO] = TO(TURN_MODEL, loop_ask),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_GRANT_SAVE] = {
			[TURN_GO] = TO(TURN_SAVE, history_save),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_SAVE] = {
			[TURN_ANSWERED] = TO(TURN_SETTLE, turn_settle),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_SETTLE] = SETTLED_OR_FAILED,
	},
	[KIND_EXECUTE] = {
		[TURN_ADMIT] = {
			[TURN_GO] = TO(TURN_RUN, execute_start),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_RUN] = {
			[TURN_ANSWERED] = TO(TURN_SETTLE, turn_settle),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_SETTLE] = SETTLED_OR_FAILED,
	},
	[KIND_PUSH] = {
		[TURN_ADMIT] = {
			[TURN_GO] = TO(TURN_RUN, tool_push_start),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_RUN] = {
			[TURN_ANSWERED] = TO(TURN_SETTLE, turn_settle),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_SETTLE] = SETTLED_OR_FAILED,
	},
	[KIND_CALL] = {
		[TURN_ADMIT] = {
			[TURN_GO] = TO(TURN_RUN, tool_call_start),
			[TURN_ATTACH] = TO(TURN_ADMIT, tool_call_again),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_RUN] = {
			[TURN_ANSWERED] = TO(TURN_SETTLE, turn_settle),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_SETTLE] = SETTLED_OR_FAILED,
	},
	[KIND_CONTENT] = {
		[TURN_ADMIT] = {
			[TURN_GO] = TO(TURN_RUN, keep_start),
			[TURN_ATTACH] = TO(TURN_ADMIT, keep_again),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_RUN] = {
			[TURN_ANSWERED] = TO(TURN_SETTLE, turn_settle),
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_SETTLE] = SETTLED_OR_FAILED,
	},
	/* One question, one answer: turn.c ends it itself. */
	[KIND_PLAIN] = {
		[TURN_ADMIT] = {
			[TURN_FAIL] = TO(TURN_SETTLE, turn_settle),
		},
		[TURN_SETTLE] = SETTLED_OR_FAILED,
	},
};
