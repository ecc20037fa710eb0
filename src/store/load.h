/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_LOAD_H
#define STORE_LOAD_H

/* What answers AS_LOAD. */
#include <daemon/daemon.h>
#include <link/link.h>

#include "db.h"

struct load;

/* For one link of the authority. `db` and `link` are borrowed. NULL: no memory. */
struct load *load_new(uv_loop_t *loop, struct db *db, struct link *link);
/* It is asked for as `id`; one that is under way is asked for no more. */
void load_begin(struct load *l, uint64_t id);
/* State: before the link goes. */
void load_free(struct load *l);

#endif
