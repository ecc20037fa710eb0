/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_UNFIT_H
#define AUTHORITY_UNFIT_H

/*
 * Rows of the store that were changed behind its back, on record; an operator accepts them. Of
 * people they are loaded, so that an operator may look at them and take away; nobody is served.
 */
#include <link/link.h>

struct authority;

struct unfit {
	uint8_t sums; /* a bit for each enum as_sum, as the store says */
	uint8_t told; /* … as the log says */
	bool telling;
	bool stops; /* what is loaded was not the store's own */
};

void unfit_on_message(struct link *l, uint64_t id, const void *msg, void *ctx);
/* A LOAD is whole: it has what was said of it before. */
void unfit_on_loaded(struct authority *a);
/* Is nobody served for that? */
bool unfit_stops(const struct authority *a);
void unfit_tick(struct authority *a);

#endif
