/* SPDX-License-Identifier: Apache-2.0 */
/* What time it is for sweeps: a wrong date deletes nothing. */
#include "store_world.h"

#include <privacy.h>

#define HOUR_S 3600

static void
goes_by(void **arg)
{
	struct sweep_clock c;
	bool jumped = true;

	(void)arg;
	sweep_clock_start(&c, 0, NOW, 10); /* a new database */
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
	sweep_clock_start(&c, 0, NOW, 10);
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

static void
starts(void **arg)
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
	db_close(db);
	/* The next day; and a month ahead. */
	sweep_clock_start(&c, newest_s, NOW + DAY_S, 10);
	assert_int_equal(sweep_clock_now(&c, NOW + DAY_S, 10, &jumped), NOW + DAY_S);
	sweep_clock_start(&c, newest_s, NOW + 30 * DAY_S, 10);
	assert_int_equal(sweep_clock_now(&c, NOW + 30 * DAY_S, 10, &jumped), newest_s + 2 * DAY_S);
	assert_true(jumped);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(goes_by, fresh),
		cmocka_unit_test_setup(jumps, fresh),
		cmocka_unit_test_setup(starts, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
