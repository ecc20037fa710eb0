/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXECUTOR_OUTCOME_H
#define EXECUTOR_OUTCOME_H

/* From what was seen of a run to its `status` of the public API. */
#include <wire/executor_spawner.h>
#include <wire/gateway_executor.h>

/* Why the executor itself ended a run. */
enum run_verdict { VERDICT_NONE, VERDICT_OUTPUT, VERDICT_LIED };

struct run_seen {
	enum run_verdict verdict;
	bool done;          /* DONE came: the run ended as a program does */
	uint32_t exit_code; /* of DONE, see guest.h */
	bool exited;        /* EXITED came */
	struct es_exited exit;
};

struct run_outcome {
	enum run_status status;
	uint32_t exit_code; /* RUN_EXIT: 0..255; RUN_SIGNAL: the signal */
};

struct run_outcome outcome_of(const struct run_seen *seen);

#endif
