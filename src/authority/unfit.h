/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_UNFIT_H
#define AUTHORITY_UNFIT_H

/* Rows of the store that were changed behind its back, on record; an operator accepts them. */
#include <link/link.h>

struct authority;

struct unfit {
	uint8_t sums; /* a bit for each enum as_sum, as the store says */
	uint8_t told; /* … as the log says */
	bool telling;
};

void unfit_on_message(struct link *l, uint64_t id, const void *msg, void *ctx);
void unfit_tick(struct authority *a);

#endif
