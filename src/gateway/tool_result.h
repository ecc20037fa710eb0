/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_TOOL_RESULT_H
#define GATEWAY_TOOL_RESULT_H

/*
 * A call of a user's tool, checked on both sides: its arguments before anything starts,
 * its output before anybody is told.
 */
#include <json/write.h>

#include "run.h"
#include "tool_def.h"

#define TOOL_WHY_MAX 512

/* What came of a call. */
struct tool_result {
	const char *status; /* of the run, or "invalid_output" */
	struct span output; /* one JSON value, as the tool wrote it; empty: none that is valid */
	char why[TOOL_WHY_MAX]; /* what is wrong with the output; empty: nothing */
};

/*
 * One JSON value, as it goes to the tool, against its schema. `d` is the worker's, used within.
 * Errors: E_SYNTAX with `fault`, E_RANGE (too large), E_CORRUPT, E_NOMEM.
 */
MUST_USE struct status tool_arguments_check(struct gateway *g, const struct tool_offer *o,
    struct json_doc *d, struct span arguments, struct schema_fault *fault);
/* State: the run is done. The output's span lies in the run. */
void tool_result_read(
    struct gateway *g, const struct tool_offer *o, const struct run *run, struct tool_result *ret);
/* The members that clients are told, into an open object. */
void tool_result_put(const struct tool_result *res, const struct run *run,
    const struct tool_offer *o, struct json_writer *w);
/* What the model is told, a JSON text: cut, stripped, marked as untrusted. */
MUST_USE struct status tool_result_put_for_model(
    const struct tool_result *res, const struct run *run, struct buf *out);
/* How long its call may take here, beside RUN_GRACE_MS. */
uint64_t tool_run_ms(struct gateway *g, const struct tool_offer *o);

#endif
