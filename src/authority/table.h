/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_TABLE_H
#define AUTHORITY_TABLE_H

/*
 * An open-addressing index of pointers by bytes, at most half full; it only
 * grows. What an item's bytes are is told by a callback.
 */
#include <base/span.h>

struct table {
	struct {
		uint64_t hash;
		void *item;
	} * slots;
	size_t cap; /* a power of two */
	size_t n;
	uint64_t seed; /* random: nobody can aim at one chain */
	bool (*is)(const void *item, struct span bytes);
};

MUST_USE struct status table_init(
    struct table *t, size_t cap, bool (*is)(const void *item, struct span bytes));
void table_done(struct table *t);
/* Under this table's secret seed. */
uint64_t table_hash(const struct table *t, struct span bytes);
void *table_find(const struct table *t, struct span bytes);
/* `bytes` are not there yet. E_NOMEM. */
MUST_USE struct status table_put(struct table *t, struct span bytes, void *item);

#endif
