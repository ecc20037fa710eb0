/* SPDX-License-Identifier: Apache-2.0 */
/* What time it is for sweeps: a wrong date deletes nothing. */
#include "store_world.h"

#include <privacy.h>

#define HOUR_S 3600

static const struct sweep_kept nothing;

static void
goes_by(void **arg)
{
	struct sweep_clock c;
	bool jumped = true;

	(void)arg;
	sweep_clock_start(&c, &nothing, 0, NOW, 10); /* a new database */
	assert_int_equal(sweep_clock_now(&c, NOW + 60, 70, &jumped), NOW + 60);
	assert_false(jumped);
	assert_int_equal(sweep_clock_now(&c, NOW + HOUR_S, 130, &jumped), NOW + HOUR_S); /* set */
	assert_int_equal(sweep_clock_now(&c, NOW, 190, &jumped), NOW);                   /* back */
	/* A host that slept counts that as gone by. */
	assert_int_equal(
	    sweep_clock_now(&c, NOW + 9 * DAY_S, 190 + 9 * DAY_S, &jumped), NOW + 9 * DAY_S);
	assert_false(jumped);
}

static void
jumps(void **arg)
{
	const uint64_t ahead = 40 * DAY_S;
	struct sweep_clock c;
	bool jumped = false;

	(void)arg;
	sweep_clock_start(&c, &nothing, 0, NOW, 10);
	assert_int_equal(sweep_clock_now(&c, NOW, 10, &jumped), NOW);
	assert_int_equal(sweep_clock_now(&c, NOW + ahead, 70, &jumped), NOW + 60);
	assert_true(jumped);
	assert_int_equal(sweep_clock_now(&c, NOW + ahead + 60, 130, &jumped), NOW + 120);
	assert_false(jumped); /* that was said */
	/* It is right again; and wrong, from the beginning. */
	assert_int_equal(sweep_clock_now(&c, NOW + 180, 190, &jumped), NOW + 180);
	assert_int_equal(sweep_clock_now(&c, NOW + ahead, 250, &jumped), NOW + 240);
	assert_true(jumped);
	assert_int_equal(
	    sweep_clock_now(&c, NOW + ahead + SWEEP_DOUBT_S - 1, 249 + SWEEP_DOUBT_S, &jumped),
	    NOW + 239 + SWEEP_DOUBT_S);
	/* For a day: it is so. */
	assert_int_equal(
	    sweep_clock_now(&c, NOW + ahead + SWEEP_DOUBT_S, 250 + SWEEP_DOUBT_S, &jumped),
	    NOW + ahead + SWEEP_DOUBT_S);
	assert_int_equal(sweep_clock_now(&c, NOW + ahead + 2 * DAY_S, 250 + 2 * DAY_S, &jumped),
	    NOW + ahead + 2 * DAY_S);
	assert_false(jumped);
}

/* Of a version that kept no time: the days of the keys say when it last ran. */
static void
starts_by_the_days(void **arg)
{
	uint8_t key[AS_SECRET_LEN];
	struct db *db = open_ok();
	struct sweep_clock c;
	uint64_t newest_s = 1;
	bool jumped = false;

	(void)arg;
	assert_int_equal(db_day_newest(db, &newest_s).code, E_NOTFOUND);
	assert_is_ok(db_day_key(db, SPAN_LIT("2024-10-03"), NOW - DAY_S, key));
	assert_is_ok(db_day_key(db, SPAN_LIT("2024-10-04"), NOW, key));
	assert_is_ok(db_day_newest(db, &newest_s));
	assert_int_equal(newest_s, NOW - NOW % DAY_S);
	/* The next day; and a month ahead. */
	assert_is_ok(db_sweep_clock_start(db, NOW + DAY_S, 10, &c));
	assert_int_equal(sweep_clock_now(&c, NOW + DAY_S, 10, &jumped), NOW + DAY_S);
	assert_is_ok(db_sweep_clock_start(db, newest_s + 2 * DAY_S, 10, &c));
	assert_int_equal(
	    sweep_clock_now(&c, newest_s + 2 * DAY_S, 10, &jumped), newest_s + 2 * DAY_S);
	assert_is_ok(db_sweep_clock_start(db, NOW + 30 * DAY_S, 10, &c));
	assert_int_equal(sweep_clock_now(&c, NOW + 30 * DAY_S, 10, &jumped), newest_s);
	assert_true(jumped);
	db_close(db);
}

/* A process of the store: it starts at `boot_s`, and its timer goes once an hour. */
static uint64_t
run(uint64_t real_s, uint64_t boot_s, unsigned hours, bool *ret_jumped)
{
	struct db *db = open_ok();
	struct sweep_clock c;
	uint64_t now_s = 0;
	bool jumped;

	*ret_jumped = false;
	assert_is_ok(db_sweep_clock_start(db, real_s, boot_s, &c));
	for (unsigned i = 0; i <= hours; i++) {
		now_s = sweep_clock_now(&c, real_s + i * HOUR_S, boot_s + i * HOUR_S, &jumped);
		*ret_jumped = *ret_jumped || jumped;
		assert_is_ok(db_sweep_clock_keep(db, &c));
	}
	db_close(db);
	return now_s;
}

/* A clock of two years ahead is doubted for a day of running, however often that begins anew. */
static void
doubts_across_starts(void **arg)
{
	const uint64_t ahead = NOW + 700 * DAY_S;
	uint8_t key[AS_SECRET_LEN];
	struct db *db;
	bool jumped;

	(void)arg;
	assert_int_equal(run(NOW, 1000, 2, &jumped), NOW + 2 * HOUR_S);
	assert_false(jumped);
	assert_int_equal(run(ahead, 2000, 0, &jumped), NOW + 2 * HOUR_S);
	assert_true(jumped);
	/* The authority has a key of the wrong day made; the operator starts it anew, and the host.
	 */
	db = open_ok();
	assert_is_ok(db_day_key(db, SPAN_LIT("2026-09-04"), ahead, key));
	db_close(db);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(run(ahead, 10, 2, &jumped), NOW + (4 + 2 * i) * HOUR_S);
		assert_true(jumped);
	}
	/* It is right again, and wrong: from the beginning. */
	assert_int_equal(run(NOW + 23 * HOUR_S, 10, 0, &jumped), NOW + 23 * HOUR_S);
	assert_false(jumped);
	assert_int_equal(run(ahead, 10, 23, &jumped), NOW + 46 * HOUR_S);
	assert_int_equal(run(ahead, 10, 1, &jumped), ahead + HOUR_S);
	assert_int_equal(run(ahead + DAY_S, 10, 1, &jumped), ahead + DAY_S + HOUR_S);
	assert_false(jumped);
}

/* A board without a clock of its own: it begins in 1970, and is set when the network is there. */
static void
begins_before_it_is_set(void **arg)
{
	struct db *db;
	struct sweep_clock c;
	bool jumped = false;

	(void)arg;
	assert_int_equal(run(NOW, 10, 2, &jumped), NOW + 2 * HOUR_S);
	db = open_ok();
	assert_is_ok(db_sweep_clock_start(db, 100, 10, &c));
	assert_int_equal(sweep_clock_now(&c, 100, 10, &jumped), 100);
	assert_is_ok(db_sweep_clock_keep(db, &c));
	assert_int_equal(sweep_clock_now(&c, NOW + 20 * HOUR_S, 70, &jumped), NOW + 20 * HOUR_S);
	assert_false(jumped);
	/* It was off for a day: no more than once. */
	assert_int_equal(
	    sweep_clock_now(&c, NOW + 40 * HOUR_S, 130, &jumped), NOW + 20 * HOUR_S + 60);
	assert_true(jumped);
	db_close(db);
}

/* A row that others wrote, or a later version, says nothing; what it begins with is said. */
static void
what_does_not_open(void **arg)
{
	const uint8_t later[AS_SECRET_LEN] = { [16] = SWEEP_BEHIND + 1 };
	struct db *db;
	struct sweep_clock c;
	bool jumped = false;

	(void)arg;
	assert_int_equal(run(NOW, 10, 2, &jumped), NOW + 2 * HOUR_S);
	db = open_ok();
	assert_int_equal(sqlite3_exec(backend_sqlite(db->back),
			     "UPDATE secrets SET value = zeroblob(length(value))"
			     " WHERE name = 'sweep-clock'",
			     NULL, NULL, NULL),
	    SQLITE_OK);
	assert_false(is_ok(db_sweep_clock_start(db, NOW + DAY_S, 10, &c)));
	assert_int_equal(sweep_clock_now(&c, NOW + DAY_S, 10, &jumped), NOW + DAY_S);
	assert_is_ok(db_sweep_clock_keep(db, &c));
	assert_is_ok(db_sweep_clock_start(db, NOW + DAY_S, 10, &c));
	assert_is_ok(db_begin(db));
	assert_is_ok(db_end(db, db_secret_set(db, SPAN_LIT("sweep-clock"), later)));
	assert_int_equal(db_sweep_clock_start(db, NOW + DAY_S, 10, &c).code, E_CORRUPT);
	db_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(goes_by, fresh),
		cmocka_unit_test_setup(jumps, fresh),
		cmocka_unit_test_setup(starts_by_the_days, fresh),
		cmocka_unit_test_setup(doubts_across_starts, fresh),
		cmocka_unit_test_setup(begins_before_it_is_set, fresh),
		cmocka_unit_test_setup(what_does_not_open, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
