/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_STEP_H
#define GATEWAY_STEP_H

/*
 * One step of a turn: a call of our tool becomes a run, its result the model's.
 */
#include "turn.h"

/* Go on with the next call of the model's answer, or with the model when all were run. */
void step_next(struct turn *t);

/* ---- what sides.c shares ---- */

/* A call of a user's tool becomes a prepared run: arguments in the arena. E_SYNTAX, E_RANGE: they
 * do not fit, see step_misfit(). E_FULL, E_NOMEM, … */
MUST_USE struct status step_prepare_tool(struct turn *t, const struct toolcall *c,
    const struct tool_offer *o, struct run *run, uint8_t digest[DIGEST_LEN],
    struct span *ret_arguments);
/* Why the arguments were refused: in the arena, or a fixed text. */
const char *step_misfit(struct turn *t, const struct run *run);
/* The result of told->run, or `instead` of it: to the client, and for the model. */
MUST_USE struct status step_tell(struct turn *t, const struct step *told, const char *instead);
/* What an error of the authority is told as; NULL: it ends the turn. */
const char *step_refusal(enum error error);
/* The model is asked again, or the next call follows; an error ends the turn. */
void step_told(struct turn *t, struct status st, size_t calls);

#endif
