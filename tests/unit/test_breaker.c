/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker breaker: its three states, with a clock of the test's. */
#include "unit.h"

#include <breaker.h>

static void
fail_times(struct breaker *b, unsigned n, uint64_t now_ms)
{
	for (unsigned i = 0; i < n; i++) {
		breaker_begin(b, now_ms);
		breaker_bad(b, now_ms);
	}
}

static void
it_opens_after_failures_in_a_row(void **state)
{
	struct breaker b = { 0 };

	(void)state;
	fail_times(&b, BREAKER_FAILURES - 1, 10);
	assert_true(breaker_passes(&b, 10));
	breaker_good(&b); /* the count begins anew */
	fail_times(&b, BREAKER_FAILURES - 1, 10);
	assert_true(breaker_passes(&b, 10));
	breaker_unknown(&b, 10);
	fail_times(&b, 1, 10);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_false(breaker_passes(&b, 10));
	assert_false(breaker_passes(&b, 10 + BREAKER_OPEN_MIN_MS - 1));
}

static void
one_probe_decides(void **state)
{
	struct breaker b = { 0 };
	uint64_t now = BREAKER_OPEN_MIN_MS;

	(void)state;
	fail_times(&b, BREAKER_FAILURES, 0);
	assert_true(breaker_passes(&b, now));
	breaker_begin(&b, now);
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	assert_false(breaker_passes(&b, now));
	breaker_good(&b);
	assert_true(breaker_passes(&b, now));
	assert_int_equal(b.failures, 0);
}

static void
a_failed_probe_doubles_the_time(void **state)
{
	struct breaker b = { 0 };
	uint64_t now = 0;
	uint32_t open_ms = BREAKER_OPEN_MIN_MS;

	(void)state;
	fail_times(&b, BREAKER_FAILURES, now);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(b.open_ms, open_ms);
		now += open_ms;
		assert_false(breaker_passes(&b, now - 1));
		assert_true(breaker_passes(&b, now));
		breaker_begin(&b, now);
		breaker_bad(&b, now);
		open_ms = open_ms * 2 < BREAKER_OPEN_MAX_MS ? open_ms * 2 : BREAKER_OPEN_MAX_MS;
	}
	assert_int_equal(b.open_ms, BREAKER_OPEN_MAX_MS);
}

static void
a_probe_that_says_nothing_is_followed_by_another(void **state)
{
	struct breaker b = { 0 };
	uint64_t now = BREAKER_OPEN_MIN_MS;

	(void)state;
	fail_times(&b, BREAKER_FAILURES, 0);
	breaker_begin(&b, now);
	breaker_unknown(&b, now);
	assert_true(breaker_passes(&b, now));
	breaker_begin(&b, now);
	assert_false(breaker_passes(&b, now + BREAKER_PROBE_MS - 1));
	assert_true(breaker_passes(&b, now + BREAKER_PROBE_MS)); /* it never ended */
}

/* What began before it opened and fails after: counted once. */
static void
late_failures_do_not_prolong(void **state)
{
	struct breaker b = { 0 };
	uint64_t until;

	(void)state;
	fail_times(&b, BREAKER_FAILURES, 0);
	until = b.until_ms;
	breaker_bad(&b, 100);
	assert_int_equal(b.until_ms, until);
	assert_int_equal(b.state, BREAKER_OPEN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_after_failures_in_a_row),
		cmocka_unit_test(one_probe_decides),
		cmocka_unit_test(a_failed_probe_doubles_the_time),
		cmocka_unit_test(a_probe_that_says_nothing_is_followed_by_another),
		cmocka_unit_test(late_failures_do_not_prolong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
