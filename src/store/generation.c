/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation.c: a number that only grows, by which an older database is found out.
 *
 * Runs in: store. Trusts: nothing that it reads. Owns: nothing.
 * Invariants: it is durable here before anybody outside hears of it, so that what is kept
 * outside is never ahead of a database that is not older; the sums over rows are those of
 * this number, and it says that there are some.
 * See: db.h; sum.h; src/supervisor/instance.c, which keeps it.
 */
#include "sum.h"

#define SUMMED_AT 8 /* behind the number: 1 when there are sums, since version 8 */

static const struct span name = { (const uint8_t *)"generation", 10 };

struct status
generation_get(struct db *db, uint64_t *ret, bool *ret_summed)
{
	uint8_t value[AS_SECRET_LEN] = { 0 };
	uint64_t n = 0;

	TRY(db_secret_find(db, name, value));
	for (size_t i = 0; i < 8; i++)
		n = n << 8 | value[i];
	*ret = n;
	*ret_summed = value[SUMMED_AT] != 0;
	return OK;
}

struct status
generation_put(struct db *db, uint64_t generation)
{
	uint8_t value[AS_SECRET_LEN] = { [SUMMED_AT] = 1 };

	(void)place_number(generation, value);
	return db_secret_keep(db, name, value);
}

static struct status
next(struct db *db, uint64_t *ret)
{
	bool summed;

	TRY(generation_get(db, ret, &summed));
	TRY(generation_put(db, ++*ret));
	sums_generation(db, *ret);
	return OK;
}

struct status
db_generation_next(struct db *db, uint64_t *ret)
{
	TRY(db_begin(db));
	TRY(db_end(db, next(db, ret)));
	db->changes = backend_changed_in_all(db->back);
	return OK;
}

bool
db_changed(const struct db *db)
{
	return backend_changed_in_all(db->back) != db->changes;
}
