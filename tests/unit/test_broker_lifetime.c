/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/lifetime.c: when a credential is read, watched, renewed and dropped. */
#include "unit.h"

#include <lifetime.h>

#define S 1000ULL
#define HOUR LIFETIME_AGE_MAX_MS

static const struct lifetime_opts kv = { .poll_ms = 20000, .polls = true, .previous = true };
static const struct lifetime_opts told = { .poll_ms = 0, .previous = true };

static const struct lifetime_reading v1 = { "1", "", 0, false };
static const struct lifetime_reading v2 = { "2", "", 0, false };

/* Read `r` with a request that takes 100 ms. Returns the time afterwards. */
static uint64_t
read_at(struct lifetime *l, uint64_t now, const struct lifetime_reading *r)
{
	uint64_t wake;

	assert_int_equal(lifetime_next(l, now, &wake), LIFETIME_READ);
	lifetime_begin(l, LIFETIME_READ, now);
	assert_int_equal(lifetime_next(l, now + 50, &wake), LIFETIME_IDLE); /* one flight */
	assert_true(wake == LIFETIME_NEVER);
	lifetime_read(l, r, now + 100, 0);
	return now + 100;
}

/* The time of its next step, which must be `op`. */
static uint64_t
until(struct lifetime *l, uint64_t now, enum lifetime_op op)
{
	uint64_t wake;

	for (;;) {
		enum lifetime_op next = lifetime_next(l, now, &wake);

		if (next != LIFETIME_IDLE) {
			assert_int_equal(next, op);
			return now;
		}
		assert_true(wake > now && wake != LIFETIME_NEVER);
		now = wake;
	}
}

static void
a_first_read_is_wanted_at_once(void **state)
{
	struct lifetime l;
	uint64_t now;

	(void)state;
	lifetime_init(&l, &kv);
	assert_false(lifetime_usable(&l, 0));
	assert_int_equal(l.why, SECRET_START);
	now = read_at(&l, 5 * S, &v1);
	assert_true(lifetime_usable(&l, now));
	assert_string_equal(l.version, "1");
}

static void
a_change_during_a_read_is_not_lost(void **state)
{
	struct lifetime l;
	uint64_t now, wake;

	(void)state;
	lifetime_init(&l, &told);
	now = read_at(&l, 5 * S, &v1);
	lifetime_changed(&l, SECRET_ROTATED);
	lifetime_begin(&l, LIFETIME_READ, now);
	lifetime_changed(&l, SECRET_ROTATED); /* once more, before the first was read */
	lifetime_read(&l, &v1, now + 100, 0);
	now = read_at(&l, now + 100, &v2);
	assert_int_equal(lifetime_next(&l, now, &wake), LIFETIME_IDLE);
	/* Nor by a source that was away. */
	lifetime_begin(&l, LIFETIME_READ, wake);
	lifetime_changed(&l, SECRET_ROTATED);
	lifetime_failed(&l, LIFETIME_AWAY, 0, wake, 0);
	assert_true(l.want_read);
	assert_int_equal(l.why, SECRET_ROTATED);
}

static void
nothing_is_used_for_more_than_an_hour(void **state)
{
	struct lifetime l;
	uint64_t now;

	(void)state;
	lifetime_init(&l, &told);
	now = read_at(&l, 5 * S, &v1);
	/* Counted from when it was asked for. */
	assert_true(lifetime_usable(&l, 5 * S + HOUR - 1));
	assert_false(lifetime_usable(&l, 5 * S + HOUR));
	now = until(&l, now, LIFETIME_READ);
	assert_true(now >= 5 * S + HOUR / 2 && now <= 5 * S + HOUR / 3 * 2);
	/* The source is away until the end: tried again and again, used until the hour ends. */
	for (unsigned n = 0; now < 5 * S + HOUR; n++) {
		lifetime_begin(&l, LIFETIME_READ, now);
		assert_int_equal(l.why, SECRET_EXPIRING);
		lifetime_failed(&l, LIFETIME_AWAY, 0, now, n * 7919);
		assert_true(lifetime_usable(&l, now));
		now = until(&l, now, LIFETIME_READ);
		assert_true(n < 2000);
	}
	assert_false(lifetime_usable(&l, now));
	now = read_at(&l, now, &v1);
	assert_true(lifetime_usable(&l, now + HOUR / 2));
}

static void
a_lease_ends_before_the_hour(void **state)
{
	const struct lifetime_reading r = { "a", "l/a", 300 * S, false };
	struct lifetime l;
	uint64_t now;

	(void)state;
	lifetime_init(&l, &kv);
	now = read_at(&l, 0, &r);
	assert_true(lifetime_usable(&l, 300 * S - 1));
	assert_false(lifetime_usable(&l, 300 * S));
	/* What is lent to us alone is not looked for, it is read anew in time. */
	now = until(&l, now, LIFETIME_READ);
	assert_true(now >= 150 * S && now <= 200 * S);
}

static void
a_lease_is_renewed_until_its_maximum(void **state)
{
	const struct lifetime_reading r = { "a", "l/a", 300 * S, true };
	struct lifetime l;
	uint64_t now, end;

	(void)state;
	lifetime_init(&l, &kv);
	now = until(&l, read_at(&l, 0, &r), LIFETIME_RENEW);
	assert_true(now <= 200 * S);
	lifetime_begin(&l, LIFETIME_RENEW, now);
	lifetime_renewed(&l, 300 * S, true, now + 10, 0);
	end = now + 300 * S;
	assert_true(lifetime_usable(&l, end - 1) && !lifetime_usable(&l, end));
	/* The second renewal gives less and less: a new one is read. */
	now = until(&l, now + 10, LIFETIME_RENEW);
	lifetime_begin(&l, LIFETIME_RENEW, now);
	lifetime_renewed(&l, end - now, true, now + 10, 0);
	assert_int_equal(until(&l, now + 10, LIFETIME_READ), now + 10);
	assert_int_equal(l.why, SECRET_EXPIRING);
	assert_true(lifetime_usable(&l, now + 10)); /* until then the old one serves */
}

static void
renewing_does_not_pass_the_hour(void **state)
{
	const struct lifetime_reading r = { "a", "l/a", 1200 * S, true };
	struct lifetime l;
	uint64_t now, wake;
	unsigned renewals = 0;

	(void)state;
	lifetime_init(&l, &kv);
	now = read_at(&l, 0, &r);
	for (;;) {
		enum lifetime_op op = lifetime_next(&l, now, &wake);

		assert_true(now < HOUR);
		if (op == LIFETIME_READ)
			break;
		if (op == LIFETIME_IDLE) {
			now = wake;
			continue;
		}
		assert_int_equal(op, LIFETIME_RENEW);
		lifetime_begin(&l, op, now);
		lifetime_renewed(&l, 1200 * S, true, now, 0);
		renewals++;
	}
	assert_true(renewals >= 3);
	assert_false(lifetime_usable(&l, HOUR));
}

static void
a_refused_renewal_asks_for_a_new_one(void **state)
{
	const struct lifetime_reading r = { "a", "l/a", 300 * S, true };
	struct lifetime l;
	uint64_t now;

	(void)state;
	lifetime_init(&l, &kv);
	now = until(&l, read_at(&l, 0, &r), LIFETIME_RENEW);
	lifetime_begin(&l, LIFETIME_RENEW, now);
	lifetime_failed(&l, LIFETIME_REFUSED, 0, now, 0);
	assert_int_equal(until(&l, now, LIFETIME_READ), now);
	assert_true(lifetime_usable(&l, now));
}

static void
a_new_version_is_seen_within_the_interval(void **state)
{
	struct lifetime l;
	uint64_t now;

	(void)state;
	lifetime_init(&l, &kv);
	now = read_at(&l, 0, &v1);
	for (int i = 0; i < 3; i++) {
		uint64_t at = until(&l, now, LIFETIME_POLL);

		assert_true(at - now <= kv.poll_ms);
		lifetime_begin(&l, LIFETIME_POLL, at);
		lifetime_polled(&l, "1", at + 10, (uint32_t)i * 333);
		now = at + 10;
	}
	now = until(&l, now, LIFETIME_POLL);
	lifetime_begin(&l, LIFETIME_POLL, now);
	lifetime_polled(&l, "2", now, 0);
	assert_true(lifetime_usable(&l, now));
	now = read_at(&l, now, &v2);
	assert_int_equal(l.why, SECRET_ROTATED);
	assert_string_equal(l.version, "2");
}

static void
where_looking_is_denied_it_is_read(void **state)
{
	struct lifetime l;
	uint64_t now;

	(void)state;
	lifetime_init(&l, &kv);
	now = until(&l, read_at(&l, 0, &v1), LIFETIME_POLL);
	lifetime_begin(&l, LIFETIME_POLL, now);
	lifetime_failed(&l, LIFETIME_REFUSED, 0, now, 0);
	assert_true(lifetime_usable(&l, now));
	now = read_at(&l, now, &v1);
	assert_true(until(&l, now, LIFETIME_READ) - now <= kv.poll_ms);
}

static void
a_source_that_says_no_ends_the_use(void **state)
{
	struct lifetime l;
	uint64_t now, wake;

	(void)state;
	lifetime_init(&l, &kv);
	now = read_at(&l, 0, &v1);
	lifetime_changed(&l, SECRET_ROTATED);
	lifetime_begin(&l, LIFETIME_READ, now);
	lifetime_failed(&l, LIFETIME_REFUSED, 0, now, 0);
	assert_false(lifetime_usable(&l, now));
	assert_int_equal(lifetime_next(&l, now, &wake), LIFETIME_IDLE);
	assert_int_equal(wake, now + LIFETIME_REFUSED_MS);
	assert_int_equal(until(&l, now, LIFETIME_READ), now + LIFETIME_REFUSED_MS);
}

static void
failures_wait_longer_and_longer_up_to_a_cap(void **state)
{
	struct lifetime l;
	uint64_t now = 0, longest = 0;

	(void)state;
	lifetime_init(&l, &kv);
	for (uint32_t i = 0; i < 200; i++) {
		uint64_t at;

		lifetime_begin(&l, LIFETIME_READ, now);
		lifetime_failed(&l, LIFETIME_AWAY, 0, now, i * 2654435761U);
		at = until(&l, now, LIFETIME_READ);
		if (i == 0)
			assert_true(at - now <= 2 * LIFETIME_BACKOFF_MIN_MS);
		longest = at - now > longest ? at - now : longest;
		now = at;
	}
	assert_true(longest > LIFETIME_BACKOFF_MAX_MS / 2);
	assert_true(longest <= LIFETIME_BACKOFF_MAX_MS + LIFETIME_BACKOFF_MIN_MS);
	/* What the source asks for is kept, up to a limit. */
	lifetime_begin(&l, LIFETIME_READ, now);
	lifetime_failed(&l, LIFETIME_AWAY, 5000, now, 0);
	assert_true(until(&l, now, LIFETIME_READ) >= now + 5000);
	now = until(&l, now, LIFETIME_READ);
	lifetime_begin(&l, LIFETIME_READ, now);
	lifetime_failed(&l, LIFETIME_AWAY, UINT32_MAX, now, 0);
	assert_true(until(&l, now, LIFETIME_READ) <=
		    now + LIFETIME_RETRY_AFTER_MAX_MS + LIFETIME_BACKOFF_MIN_MS);
	/* A success forgets the failures. */
	now = until(&l, now, LIFETIME_READ);
	now = read_at(&l, now, &v1);
	assert_int_equal(l.failures, 0);
}

static void
a_rejected_version_is_read_again_once_a_minute(void **state)
{
	struct lifetime l;
	uint64_t now;

	(void)state;
	lifetime_init(&l, &kv);
	now = read_at(&l, 0, &v1);
	assert_true(lifetime_rejected(&l, "1", now));
	assert_true(lifetime_rejected(&l, "1", now)); /* a second request: it is wanted already */
	now = read_at(&l, now, &v1);
	assert_int_equal(l.why, SECRET_REJECTED);
	assert_false(lifetime_rejected(&l, "1", now)); /* that brought nothing else */
	assert_true(lifetime_want_previous(&l));
	lifetime_begin(&l, LIFETIME_PREVIOUS, now);
	assert_true(lifetime_want_previous(&l));
	lifetime_read_previous(&l);
	assert_false(lifetime_want_previous(&l)); /* once */
	assert_false(lifetime_rejected(&l, "1", now + LIFETIME_REJECTED_MS - 200));
	assert_true(lifetime_rejected(&l, "1", now + LIFETIME_REJECTED_MS));
}

static void
a_rejected_version_that_was_replaced_needs_no_read(void **state)
{
	struct lifetime l;
	uint64_t now, wake;

	(void)state;
	lifetime_init(&l, &kv);
	now = read_at(&l, 0, &v1);
	lifetime_changed(&l, SECRET_ROTATED);
	now = read_at(&l, now, &v2);
	assert_false(lifetime_rejected(&l, "1", now));
	assert_int_equal(lifetime_next(&l, now, &wake), LIFETIME_IDLE);
	/* The new one may be refused, too: its own read is free. */
	assert_true(lifetime_rejected(&l, "2", now));
}

static void
a_failed_look_at_the_one_before_is_no_loop(void **state)
{
	struct lifetime l;
	uint64_t now;

	(void)state;
	lifetime_init(&l, &kv);
	now = read_at(&l, 0, &v1);
	assert_true(lifetime_rejected(&l, "1", now));
	now = read_at(&l, now, &v1);
	assert_true(lifetime_want_previous(&l));
	assert_int_equal(until(&l, now, LIFETIME_PREVIOUS), now);
	lifetime_begin(&l, LIFETIME_PREVIOUS, now);
	lifetime_failed(&l, LIFETIME_REFUSED, 0, now, 0);
	assert_false(lifetime_want_previous(&l));
	assert_true(lifetime_usable(&l, now));
	assert_true(until(&l, now, LIFETIME_POLL) > now);
}

static void
a_source_without_the_one_before_is_not_asked(void **state)
{
	const struct lifetime_opts opts = { .poll_ms = 20000 };
	struct lifetime l;

	(void)state;
	lifetime_init(&l, &opts);
	(void)read_at(&l, 0, &v1);
	assert_false(lifetime_want_previous(&l));
}

static void
long_names_are_cut_not_overrun(void **state)
{
	char name[4 * SECRET_LEASE_MAX];
	const struct lifetime_reading r = { name, name, 10 * S, true };
	struct lifetime l;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	lifetime_init(&l, &kv);
	(void)read_at(&l, 0, &r);
	assert_int_equal(strlen(l.version), SECRET_VERSION_MAX);
	assert_int_equal(strlen(l.lease), SECRET_LEASE_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_first_read_is_wanted_at_once),
		cmocka_unit_test(a_change_during_a_read_is_not_lost),
		cmocka_unit_test(nothing_is_used_for_more_than_an_hour),
		cmocka_unit_test(a_lease_ends_before_the_hour),
		cmocka_unit_test(a_lease_is_renewed_until_its_maximum),
		cmocka_unit_test(renewing_does_not_pass_the_hour),
		cmocka_unit_test(a_refused_renewal_asks_for_a_new_one),
		cmocka_unit_test(a_new_version_is_seen_within_the_interval),
		cmocka_unit_test(where_looking_is_denied_it_is_read),
		cmocka_unit_test(a_source_that_says_no_ends_the_use),
		cmocka_unit_test(failures_wait_longer_and_longer_up_to_a_cap),
		cmocka_unit_test(a_rejected_version_is_read_again_once_a_minute),
		cmocka_unit_test(a_rejected_version_that_was_replaced_needs_no_read),
		cmocka_unit_test(a_failed_look_at_the_one_before_is_no_loop),
		cmocka_unit_test(a_source_without_the_one_before_is_not_asked),
		cmocka_unit_test(long_names_are_cut_not_overrun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
