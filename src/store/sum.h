/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_SUM_H
#define STORE_SUM_H

/*
 * Sums over rows that say who may what. Each row is sealed for its place and state; what a seal
 * cannot tell is that a whole row was put back with its version, or taken away. So HMACs of all
 * rows, added up modulo 2^256, are kept as secrets of the store, together with one of the
 * database's generation: rows that were put back with the sum of then do not fit the generation
 * of now, and with that one, too, they are an older database, which the supervisor notices
 * (generation.c). A change costs the HMACs of what the row was and is, and one seal.
 * Where a sum does not fit, nothing under it is told or changed until an operator accepts what
 * is there, or puts a backup in its place.
 */
#include "internal.h"

struct sum_rows {
	const char *table;
	enum as_sum sum;
	const char *all;      /* tells of all rows from number ?1 on */
	const char *triggers; /* tell of those that change from then on */
};
extern const struct sum_rows sum_rows[];
extern const size_t sum_rows_n;

/* sum_walk.c: rows that this connection changes are in the sums from now on. */
MUST_USE struct status sum_watch(struct db *db);
/* db->sums.walk.now: what all rows that are there add up to. */
MUST_USE struct status sum_walk_all(struct db *db);
/* … for as long as `budget_ns`, but a step at least; outside of transactions. */
MUST_USE struct status sum_walk_some(struct db *db, uint64_t budget_ns, bool *ret_more);
/* A transaction is over. */
void sum_walk_over(struct sum_walk *w, bool committed);

/* After all else is open: rows are watched from now on, and compared with what was kept. */
MUST_USE struct status sums_open(struct db *db);
void sums_close(struct db *db);
/* Within the transaction that changed rows, at its end. E_CORRUPT: they may not be changed. */
MUST_USE struct status sums_write(struct db *db);
/* … and when it is over. */
void sums_over(struct db *db, bool committed);
/* Within a transaction: the generation is another one from now on. */
void sums_generation(struct db *db, uint64_t generation);

/* generation.c. E_NOTFOUND: there is none yet; *ret_summed: sums were kept with it. */
MUST_USE struct status generation_get(struct db *db, uint64_t *ret, bool *ret_summed);
/* Within a transaction. */
MUST_USE struct status generation_put(struct db *db, uint64_t generation);

#endif
