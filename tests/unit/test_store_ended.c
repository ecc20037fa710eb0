/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that ended: which rows go, and that they do not use up the table. */
#include "content_world.h"

#include <crypto/hash.h>

#include <privacy.h>

static void
sweep_all(struct db *db, uint64_t now_s)
{
	bool more = true;

	for (unsigned i = 0; more; i++) {
		assert_in_range(i, 0, 99);
		assert_is_ok(db_sweep(db, now_s, &more));
	}
}

static bool
is_there(struct db *db, unsigned n)
{
	char names[3][24];
	struct as_key k = key_of(n, names);

	return db_key_same(db, &k).code != E_NOTFOUND;
}

/* A person's of an identity provider, who was told that it is over. */
static void
put_person(struct db *db, unsigned n, uint64_t revoked_s)
{
	char names[3][24];
	struct as_key k = key_of(n, names);
	const struct span no_text[] = { SPAN_LIT("no text"), span_of(k.id, sizeof(k.id)) };
	uint8_t subject[AS_SECRET_LEN];

	assert_is_ok(sha256_parts(no_text, 2, k.hash));
	k.pepper = 0;
	k.revoked_s = revoked_s;
	assert_is_ok(db_key_put(db, &k, subject));
}

static void
what_ended_goes(void **arg)
{
	const uint64_t late = NOW + (KEY_ENDED_DAYS + 1) * DAY_S;
	struct as_user_put held = { SPAN_LIT("tenant1"), SPAN_LIT("user2"), ROLE_USER, USER_ACTIVE,
		1 };
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];
	char names[3][24];

	(void)arg;
	for (unsigned n = 0; n < 6; n++)
		assert_is_ok(put(db, n, subject)); /* but for the first they ended at n */
	put_person(db, 6, 1);
	assert_is_ok(usage_add(db, 1, 2, "m", 100));
	assert_is_ok(db_user_put(db, &held, subject));
	sweep_all(db, NOW);
	assert_true(is_there(db, 0));
	assert_false(is_there(db, 1));
	assert_true(is_there(db, 2)); /* its use is counted */
	assert_false(is_there(db, 3));
	assert_true(is_there(db, 4) && is_there(db, 5)); /* under a hold */
	assert_true(is_there(db, 6));                    /* else that person could come again */
	/* Its use is forgotten; the hold is lifted; another is revoked; not before an hour. */
	sql(db, "DELETE FROM usage");
	held.hold = 0;
	assert_is_ok(db_user_put(db, &held, subject));
	assert_is_ok(db_key_revoke(db, key_of(0, names).id, NOW));
	sweep_all(db, NOW + 3599);
	assert_true(is_there(db, 2) && is_there(db, 4));
	sweep_all(db, NOW + 3600);
	assert_false(is_there(db, 2) || is_there(db, 4) || is_there(db, 5));
	assert_true(is_there(db, 0));
	sweep_all(db, NOW + KEY_ENDED_DAYS * DAY_S - 1);
	assert_true(is_there(db, 0));
	sweep_all(db, late);
	assert_false(is_there(db, 0));
	assert_true(is_there(db, 6));
	db_close(db);
	db = open_ok();
	assert_int_equal(number(db, "SELECT count(*) FROM keys"), 1);
	db_close(db);
}

/* Whichever end came first counts; its sessions go with it. */
static void
the_first_end_counts(void **arg)
{
	static const struct {
		uint64_t expires_s, revoked_s;
		bool stays;
	} rows[] = { { NOW - 31 * DAY_S, NOW - 1, false }, { NOW + DAY_S, NOW - 31 * DAY_S, false },
		{ NOW - 31 * DAY_S, 0, false }, { 0, NOW - 31 * DAY_S, false },
		{ NOW - 29 * DAY_S, 0, true }, { NOW - 29 * DAY_S, NOW - 29 * DAY_S, true },
		{ NOW + DAY_S, NOW - 29 * DAY_S, true }, { 0, 0, true } };
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];

	(void)arg;
	for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		struct as_session s = { .created_s = NOW,
			.expires_s = NOW + 3600,
			.signer = 1,
			.scope = SPAN_LIT("{}") };
		char names[3][24];
		struct as_key k = key_of(n, names);

		k.expires_s = rows[n].expires_s;
		k.revoked_s = rows[n].revoked_s;
		assert_is_ok(db_key_put(db, &k, subject));
		memset(s.id, 1 + (int)n, sizeof(s.id));
		memcpy(s.key, k.id, sizeof(s.key));
		(void)db_session_put(db, &s, NOW).code;
	}
	sweep_all(db, NOW);
	for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++)
		assert_int_equal(is_there(db, n), rows[n].stays);
	assert_int_equal(
	    number(db, "SELECT count(*) FROM sessions WHERE parent NOT IN (SELECT n FROM keys)"),
	    0);
	db_close(db);
}

/* A table of many: in steps, each key looked at once. */
static void
in_steps(void **arg)
{
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];
	unsigned steps = 0;
	bool more = true;

	(void)arg;
	assert_is_ok(put(db, 1, subject));
	sql(db,
	    "BEGIN; WITH RECURSIVE i (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM i WHERE i < 2000)"
	    " INSERT INTO keys SELECT i, randomblob(12), 1, key, version, pepper, value, 0"
	    " FROM i, keys WHERE n = 1; COMMIT;");
	while (more) {
		assert_is_ok(db_sweep(db, NOW, &more));
		steps++;
	}
	assert_int_equal(steps, 4);
	assert_int_equal(number(db, "SELECT count(*) FROM keys"), 1999); /* they do not open */
	db_close(db);
}

/* What was there does not count, but what is. */
static void
rows_count(void **arg)
{
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];

	(void)arg;
	assert_is_ok(put(db, 0, subject));
	sql(db, "BEGIN; UPDATE keys SET n = 1000000; UPDATE sqlite_sequence SET seq = 1000000"
		" WHERE name = 'users'; COMMIT;");
	assert_is_ok(put(db, 2, subject)); /* of a new user, too */
	assert_int_equal(number(db, "SELECT max(n) FROM keys"), 1000001);
	assert_int_equal(number(db, "SELECT max(id) FROM users"), 1000001);
	assert_is_ok(rows_fit(db, SQL_COUNT_KEYS, 2));
	assert_int_equal(rows_fit(db, SQL_COUNT_KEYS, 1).code, E_FULL);
	assert_int_equal(rows_fit(db, SQL_COUNT_USERS, 1).code, E_FULL);
	sql(db, "BEGIN; UPDATE users SET state = 2 WHERE id = 1; COMMIT;");
	assert_is_ok(rows_fit(db, SQL_COUNT_USERS, 1));
	db_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_ended_goes, fresh),
		cmocka_unit_test_setup(the_first_end_counts, fresh),
		cmocka_unit_test_setup(in_steps, fresh),
		cmocka_unit_test_setup(rows_count, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
