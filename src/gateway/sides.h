/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_SIDES_H
#define GATEWAY_SIDES_H

/*
 * Calls of users' tools that a model made in one answer: they run at once, side by side.
 */
#include "turn.h"

/* Go on with several calls, if several of users' tools are next; else false. */
bool sides_next(struct turn *t);
/* The authority is about to answer one of them. */
bool sides_asked(const struct turn *t);
/* End what runs. */
void sides_cancel(struct turn *t);
/* The authority will not be heard any more. */
void sides_forget(struct turn *t);
void sides_free(struct turn *t);

#endif
