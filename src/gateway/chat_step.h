/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CHAT_STEP_H
#define GATEWAY_CHAT_STEP_H

/*
 * One step of a chat turn: a call of ours becomes a run, its result a message.
 */
#include <base/cleanup.h>

#include "turn.h"

/* Go on with the next call of the model's answer, or with the model when all were run. */
void chat_step_next(struct turn *t);

#endif
