/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUM_WORLD_H
#define SUM_WORLD_H

/* Users, keys, sessions and a secret, and what somebody else writes into their file. */
#include "store_world.h"

#include <sum.h>

#define PEOPLE (1U << SUM_PEOPLE)

static UNUSED void
edit(const char *text)
{
	sqlite3 *raw = NULL;
	char *why = NULL;

	assert_int_equal(sqlite3_open("store.db", &raw), SQLITE_OK);
	if (sqlite3_exec(raw, text, NULL, NULL, &why) != SQLITE_OK)
		test_fail("%s: %s", text, why);
	assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

/* A look at all rows, in pieces of one. */
static UNUSED struct status
look(struct db *db)
{
	bool more = true;

	while (more)
		TRY(db_sums_look(db, 0, &more));
	return OK;
}

/* What does not fit at the next start. Without a kind of keys there is none: all of it. */
static UNUSED uint8_t
unfit(void)
{
	struct db *db = NULL;
	struct status st = db_open(&kek, NULL, &db);
	uint8_t bits;

	if (st.code == E_CORRUPT)
		return SUMS_ALL;
	assert_is_ok(st);
	bits = db_sums_unfit(db);
	db_close(db);
	return bits;
}

static UNUSED struct status
put_session(struct db *db, unsigned n)
{
	struct as_session s = { .created_s = NOW, .expires_s = NOW + 100, .signer = 1 };
	char names[3][24];
	const struct as_key k = key_of(n, names);

	memset(s.id, 1 + (int)n, sizeof(s.id));
	memcpy(s.key, k.id, sizeof(s.key));
	return db_session_put(db, &s, NOW);
}

static UNUSED struct status
end_key(struct db *db, unsigned n)
{
	char names[3][24];
	const struct as_key k = key_of(n, names);

	return db_key_revoke(db, k.id, NOW);
}

static UNUSED struct status
set_user(struct db *db, uint8_t roles, uint8_t state, uint8_t hold)
{
	const struct as_user_put m = { SPAN_LIT("tenant0"), SPAN_LIT("user0"), roles, state, hold };
	uint8_t subject[AS_SECRET_LEN];

	return db_user_put(db, &m, subject);
}

static UNUSED struct status
set_secret(struct db *db, uint8_t rotate)
{
	const struct as_secret_put m = { SPAN_LIT("one"), SPAN_LIT("sealed"), rotate, NOW };
	struct as_secret ret;

	return db_file_put(db, &m, &ret);
}

/* Users 0 and 1 with two keys each, a session of each key, a secret. */
static UNUSED struct db *
filled(void)
{
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();

	for (unsigned n = 0; n < 4; n++) {
		assert_is_ok(put(db, n, subject));
		assert_is_ok(put_session(db, n));
	}
	assert_is_ok(set_secret(db, 0));
	return db;
}

#endif
