/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker breakers: what one tenant's failures do to it, to others, and to a provider. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include <breakers.h>

static struct breakers b;

static int
fresh(void **state)
{
	(void)state;
	memset(&b, 0, sizeof(b));
	return 0;
}

static int
fail_times(const char *tenant, unsigned n, uint64_t now_ms)
{
	int change = 0;

	for (unsigned i = 0; i < n; i++) {
		breakers_begin(&b, tenant, now_ms);
		change += breakers_end(&b, tenant, OUTCOME_BAD, now_ms);
	}
	return change;
}

static void
one_tenant_keeps_nobody_else_away(void **state)
{
	(void)state;
	assert_int_equal(fail_times("bad", BREAKER_FAILURES, 10), 1);
	assert_false(breakers_pass(&b, "bad", 10));
	assert_true(breakers_pass(&b, "good", 10));
	/* Whatever else it does, for however long. */
	for (uint64_t now = 10; now < 10 * BREAKER_OPEN_MAX_MS; now += 500) {
		if (breakers_pass(&b, "bad", now))
			(void)fail_times("bad", 3, now);
		assert_true(breakers_pass(&b, "good", now));
		assert_int_equal(breakers_open(&b), 1);
	}
}

static void
two_tenants_speak_for_all(void **state)
{
	uint64_t due = 10 + BREAKER_OPEN_MIN_MS;

	(void)state;
	(void)fail_times("a", BREAKER_FAILURES, 10);
	(void)fail_times("b", BREAKER_FAILURES - 1, 10);
	assert_true(breakers_pass(&b, "c", 10));
	(void)fail_times("b", 1, 10);
	assert_false(breakers_pass(&b, "c", 10));
	assert_false(breakers_pass(&b, "c", due - 1));
	/* Their time is over: they probe, and others may call. */
	assert_true(breakers_pass(&b, "c", due) && breakers_pass(&b, "a", due));
	breakers_begin(&b, "a", due);
	assert_false(breakers_pass(&b, "a", due));
	assert_int_equal(breakers_end(&b, "a", OUTCOME_GOOD, due), -1);
	assert_true(breakers_pass(&b, "a", due));
}

/* Answers that begin well and are cut, one after the other. */
static void
what_begins_well_may_end_badly(void **state)
{
	(void)state;
	for (unsigned i = 0; i < BREAKER_FAILURES; i++) {
		assert_true(breakers_pass(&b, "a", 10));
		breakers_begin(&b, "a", 10);
		assert_int_equal(breakers_end(&b, "a", OUTCOME_BEGUN, 10), 0);
		assert_int_equal(breakers_end(&b, "a", OUTCOME_BAD, 10), i == BREAKER_FAILURES - 1);
	}
	assert_false(breakers_pass(&b, "a", 10));
	/* A probe that begins lets others through at once; when it is cut, they wait again. */
	breakers_begin(&b, "a", 10 + BREAKER_OPEN_MIN_MS);
	assert_int_equal(breakers_end(&b, "a", OUTCOME_BEGUN, 5000), -1);
	assert_true(breakers_pass(&b, "a", 5000));
	assert_int_equal(breakers_end(&b, "a", OUTCOME_BAD, 5000), 1);
	assert_false(breakers_pass(&b, "a", 5000));
}

/* A long answer that began before the provider failed, and ends well meanwhile. */
static void
what_began_before_says_nothing(void **state)
{
	(void)state;
	breakers_begin(&b, "a", 5);
	assert_int_equal(fail_times("a", BREAKER_FAILURES, 10), 1);
	assert_int_equal(breakers_end(&b, "a", OUTCOME_GOOD, 20), 0);
	assert_false(breakers_pass(&b, "a", 20));
}

static void
a_good_end_forgets(void **state)
{
	static const struct breakers none;

	(void)state;
	(void)fail_times("a", BREAKER_FAILURES - 1, 10);
	assert_int_equal(breakers_end(&b, "a", OUTCOME_UNKNOWN, 11), 0);
	assert_int_equal(breakers_end(&b, "b", OUTCOME_GOOD, 11), 0);
	assert_int_equal(breakers_end(&b, "a", OUTCOME_GOOD, 11), 0);
	assert_memory_equal(&b, &none, sizeof(b));
}

/* More tenants than there are rows: the one of which was heard longest ago goes. */
static void
rows_are_bounded(void **state)
{
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 3 * BREAKERS_TENANTS_MAX; i++) {
		int change;

		(void)snprintf(name, sizeof(name), "t%u", i);
		change = fail_times(name, BREAKER_FAILURES, i);
		assert_int_equal(change, i < BREAKERS_TENANTS_MAX ? 1 : 0);
		assert_false(breakers_pass(&b, name, i));
	}
	assert_int_equal(breakers_open(&b), BREAKERS_TENANTS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_tenant_keeps_nobody_else_away, fresh),
		cmocka_unit_test_setup(two_tenants_speak_for_all, fresh),
		cmocka_unit_test_setup(what_begins_well_may_end_badly, fresh),
		cmocka_unit_test_setup(what_began_before_says_nothing, fresh),
		cmocka_unit_test_setup(a_good_end_forgets, fresh),
		cmocka_unit_test_setup(rows_are_bounded, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
