/* SPDX-License-Identifier: Apache-2.0 */
/* The table of turns, sources and timeouts: nothing leads nowhere. */
#include "unit.h"

#include <netinet/in.h>

#include <source.h>
#include <timeout.h>
#include <turn.h>

static void
every_state_can_fail(void **state)
{
	(void)state;
	for (int k = 0; k < KIND_COUNT; k++) {
		for (int s = 0; s < TURN_STATES; s++) {
			const struct turn_move *m = turn_moves[k][s];
			bool used = false;

			for (int e = 0; e < TURN_EVENTS; e++)
				used = used || m[e].allowed;
			/* Idle takes no event; every other state that has any takes a failure. */
			assert_true(s != TURN_IDLE || !used);
			assert_int_equal(used, m[TURN_FAIL].allowed);
		}
	}
}

static void
every_end_is_settled(void **state)
{
	(void)state;
	for (int k = 0; k < KIND_COUNT; k++) {
		for (int s = 0; s < TURN_STATES; s++) {
			for (int e = 0; e < TURN_EVENTS; e++) {
				const struct turn_move *m = &turn_moves[k][s][e];

				if (!m->allowed)
					continue;
				assert_non_null(m->act);
				/* To idle by way of SETTLE only, with the last words there. */
				if (m->to == TURN_IDLE) {
					assert_int_equal(s, TURN_SETTLE);
					assert_ptr_equal(m->act, turn_finish);
				}
				if (m->to == TURN_SETTLE)
					assert_ptr_equal(m->act, turn_settle);
			}
		}
	}
}

static bool
reaches_idle(int kind, int from)
{
	int at = from;

	for (int steps = 0; steps < 3; steps++) {
		if (at == TURN_IDLE)
			return true;
		at = (int)turn_moves[kind][at][TURN_FAIL].to;
	}
	return false;
}

static void
failure_ends_in_two_moves(void **state)
{
	(void)state;
	for (int k = 0; k < KIND_COUNT; k++) {
		for (int s = 0; s < TURN_STATES; s++) {
			if (turn_moves[k][s][TURN_FAIL].allowed)
				assert_true(reaches_idle(k, s));
		}
	}
}

/* ---- sources ---- */

static void
address4(uint8_t last, uint8_t out[SOURCE_LEN])
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	in.sin_addr.s_addr = htonl(0x0a000000U | last);
	source_address((const struct sockaddr *)&in, out);
}

static void
limits_per_source(void **state)
{
	static struct sources s;
	uint8_t a[SOURCE_LEN], b[SOURCE_LEN];
	struct source *first, *other;

	(void)state;
	sources_init(&s, 1);
	s.limits = (struct source_limits){ 2, 3, 100 };
	address4(1, a);
	address4(2, b);
	first = source_enter(&s, a, 1000);
	assert_non_null(first);
	assert_ptr_equal(source_enter(&s, a, 1000), first);
	assert_null(source_enter(&s, a, 1000)); /* connections */
	other = source_enter(&s, b, 1000);
	assert_non_null(other); /* undisturbed */
	source_leave(first);
	assert_ptr_equal(source_enter(&s, a, 1001), first);
	source_leave(first);
	assert_null(source_enter(&s, a, 1002)); /* handshakes of this second */
	assert_ptr_equal(source_enter(&s, a, 2500), first);
	sources_free(&s);
}

static void
table_is_bounded(void **state)
{
	static struct sources s;
	struct source *kept = NULL;

	(void)state;
	sources_init(&s, 7);
	s.limits = (struct source_limits){ 10, 10, 8 };
	for (int i = 0; i < 200; i++) {
		uint8_t a[SOURCE_LEN];
		struct source *src;

		address4((uint8_t)i, a);
		src = source_enter(&s, a, 1000);
		assert_non_null(src);
		assert_true(s.count <= 8);
		if (i == 0)
			kept = src; /* stays: it has a connection */
		else
			source_leave(src);
	}
	assert_int_equal(kept->connections, 1);
	sources_free(&s);
}

static void
ipv6_counts_as_its_64(void **state)
{
	static struct sources s;
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	uint8_t a[SOURCE_LEN];
	struct source *first;

	(void)state;
	sources_init(&s, 7);
	s.limits = (struct source_limits){ 10, 10, 8 };
	in6.sin6_addr.s6_addr[0] = 0x20;
	source_address((const struct sockaddr *)&in6, a);
	first = source_enter(&s, a, 1000);
	in6.sin6_addr.s6_addr[15] = 9;
	source_address((const struct sockaddr *)&in6, a);
	assert_ptr_equal(source_enter(&s, a, 1000), first);
	in6.sin6_addr.s6_addr[7] = 9;
	source_address((const struct sockaddr *)&in6, a);
	assert_ptr_not_equal(source_enter(&s, a, 1000), first);
	sources_free(&s);
}

static void
failures_are_counted(void **state)
{
	static struct sources s;
	uint8_t a[SOURCE_LEN];
	struct source *src, *iter = NULL;
	uint32_t n = 0, ms = 0, reports = 0, total = 0;

	(void)state;
	sources_init(&s, 7);
	s.limits = (struct source_limits){ 10, 10, 8 };
	address4(1, a);
	src = source_enter(&s, a, 5000);
	assert_true(source_failure(src, a, 5000, &n, &ms)); /* the first at once */
	assert_int_equal(n, 1);
	for (uint64_t i = 0; i < 10000; i++) {
		if (source_failure(src, a, 5000 + i / 5, &n, &ms)) {
			reports++;
			total += n;
			assert_true(ms >= 1000);
		}
	}
	assert_true(reports <= 2);
	assert_true(sources_waiting(&s));
	assert_null(sources_due(&s, &iter, 6999, &n, &ms));
	iter = NULL;
	assert_ptr_equal(sources_due(&s, &iter, 9000, &n, &ms), src);
	assert_null(sources_due(&s, &iter, 9000, &n, &ms));
	assert_int_equal(total + n, 10000);
	assert_false(sources_waiting(&s));
	sources_free(&s);
}

/* ---- timeouts ---- */

static int fired;

static void
fire(struct timeout *t)
{
	(void)t;
	fired++;
}

static void
timeouts_fire_once(void **state)
{
	struct timeouts all;
	struct timeout a = { .fn = fire }, b = { .fn = fire };

	(void)state;
	timeouts_init(&all);
	all.len_ms[TIMEOUT_IDLE] = 100;
	all.len_ms[TIMEOUT_WRITE] = 50;
	assert_true(timeouts_next(&all) == UINT64_MAX);
	timeout_set(&all, &a, TIMEOUT_IDLE, 0);
	timeout_set(&all, &b, TIMEOUT_WRITE, 10);
	assert_int_equal(timeouts_next(&all), 60);
	timeouts_run(&all, 59);
	assert_int_equal(fired, 0);
	timeouts_run(&all, 60);
	assert_int_equal(fired, 1);
	timeout_set(&all, &a, TIMEOUT_IDLE, 60); /* anew */
	timeouts_run(&all, 120);
	assert_int_equal(fired, 1);
	timeout_clear(&all, &a);
	timeout_clear(&all, &a);
	timeouts_run(&all, 1000);
	assert_int_equal(fired, 1);
}

/* Each source that is due comes once, whatever stands before it; forgotten ones do not. */
static void
failures_of_many_sources(void **state)
{
	static struct sources s;
	struct source *iter = NULL;
	uint32_t n, ms, reports = 0;

	(void)state;
	sources_init(&s, 7);
	s.limits = (struct source_limits){ 10, 10, 100 };
	for (int i = 0; i < 200; i++) {
		uint64_t now = 5000 + (i % 2 == 0 ? 0U : 900U);
		uint8_t a[SOURCE_LEN];
		struct source *src;

		address4((uint8_t)i, a);
		src = source_enter(&s, a, now);
		assert_non_null(src);
		assert_true(source_failure(src, a, now, &n, &ms));
		assert_false(source_failure(src, a, now, &n, &ms));
		source_leave(src);
	}
	assert_int_equal(s.count, 100);
	while (sources_due(&s, &iter, 6100, &n, &ms) != NULL)
		reports++;
	assert_int_equal(reports, 50);
	assert_true(sources_waiting(&s));
	iter = NULL;
	while (sources_due(&s, &iter, 7000, &n, &ms) != NULL)
		reports++;
	assert_int_equal(reports, 100);
	assert_false(sources_waiting(&s));
	sources_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_can_fail),
		cmocka_unit_test(every_end_is_settled),
		cmocka_unit_test(failure_ends_in_two_moves),
		cmocka_unit_test(limits_per_source),
		cmocka_unit_test(table_is_bounded),
		cmocka_unit_test(ipv6_counts_as_its_64),
		cmocka_unit_test(failures_are_counted),
		cmocka_unit_test(failures_of_many_sources),
		cmocka_unit_test(timeouts_fire_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
