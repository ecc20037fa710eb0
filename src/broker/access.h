/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_ACCESS_H
#define BROKER_ACCESS_H

/*
 * An access to a secret, or to its source, on record: its intent is durable
 * before it is made, its outcome after it. Without a record nothing is done.
 */
#include <wire/authority_broker.h>

struct broker;
struct access;

/* From the loop. OK: it is on record; else it is not, and is not going to be. */
typedef void access_done(void *ctx, struct status st);

/*
 * OK: `done` comes once, unless *ret is given up first; when it brings an error *ret is gone.
 * E_CLOSED (the authority is away), E_NOMEM, E_FULL, E_RANGE: nothing was begun.
 */
MUST_USE struct status access_begin(struct broker *b, const struct ab_secret_begin *m,
    access_done *done, void *ctx, struct access **ret);
/*
 * It is over. `m->access` is filled in here. OK: `done` comes once, unless *ret (which is `a`) is
 * given up first; both may be NULL: nobody waits. Else `a` is gone; E_CLOSED: who had the intent on
 * record is gone, and has ended it. State: begun.
 */
MUST_USE struct status access_end(
    struct access *a, struct ab_secret_ended *m, access_done *done, void *ctx, struct access **ret);
/*
 * `done` does not come any more. What was begun ends with outcome unknown; an end that is under way
 * is told all the same. NULL is fine.
 */
void access_give_up(struct access *a);

#endif
