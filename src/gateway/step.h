/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_STEP_H
#define GATEWAY_STEP_H

/*
 * One step of a turn: a call of our tool becomes a run, its result the model's.
 */
#include "turn.h"

/* Go on with the next call of the model's answer, or with the model when all were run. */
void step_next(struct turn *t);

#endif
