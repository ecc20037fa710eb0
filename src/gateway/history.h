/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HISTORY_H
#define GATEWAY_HISTORY_H

/*
 * A model's turn that goes on from what is kept, or is kept itself.
 */
#include <base/span.h>
#include <wire/errors.h>

struct turn;

/* Does it go on from a response or a conversation? */
bool history_loads(const struct turn *t);
/* Is its response to be kept? State: admitted. */
bool history_saves(const struct turn *t);
/* What was before, for its body: items with commas between; empty: nothing, or not loaded yet. */
struct span history_before(const struct turn *t);
/* Into t->admit and t->digest: the first thing to do is LOAD. E_NOMEM, E_FULL, E_CRYPTO. */
MUST_USE struct status history_ask(struct turn *t);
/* Admitted: what the client is told of it is settled, before the model says anything. */
enum error history_begin(struct turn *t);

#endif
