/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation.c: a number that only grows, by which an older database is found out.
 *
 * Runs in: store. Trusts: nothing that it reads. Owns: nothing.
 * Invariants: it is durable here before anybody outside hears of it, so that what is kept
 * outside is never ahead of a database that is not older.
 * See: db.h; src/supervisor/instance.c, which keeps it.
 */
#include "internal.h"

static const struct span name = { (const uint8_t *)"generation", 10 };

static struct status
next(struct db *db, uint64_t *ret)
{
	uint8_t value[AS_SECRET_LEN] = { 0 };
	struct status st = db_secret_find(db, name, value);
	bool first = st.code == E_NOTFOUND;
	uint64_t n = 0;

	if (!first)
		TRY(st);
	for (size_t i = 0; i < 8; i++)
		n = n << 8 | value[i];
	(void)place_number(++n, value);
	*ret = n;
	return first ? db_secret_put(db, name, value) : db_secret_set(db, name, value);
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
