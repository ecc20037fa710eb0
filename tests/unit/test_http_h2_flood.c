/* SPDX-License-Identifier: Apache-2.0 */
/* What a peer may do so often only: how often, and what gives some of it back. */
#include "unit.h"

#include <http/h2_flood.h>

#define NOW 5000U
#define YEAR_MS (365ULL * 86400 * 1000)

static const struct {
	uint32_t burst, per_s;
} rows[H2_FLOODS] = {
	[H2_RESETS_IN] = { 200, 20 },
	[H2_RESETS_OUT] = { 200, 20 },
	[H2_SETTINGS] = { 16, 1 },
	[H2_PINGS] = { 100, 10 },
	[H2_FAULTS] = { 100, 10 },
	[H2_EMPTY] = { 100, 10 },
	[H2_WINDOWS] = { 2000, 200 },
	[H2_OTHERS] = { 400, 20 },
};

/* As many as go now; at most `max`. */
static uint32_t
drain(struct h2_meters *m, int kind, uint64_t now_ms, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && h2_flood_ok(m, (enum h2_flood)kind, now_ms))
		n++;
	return n;
}

static void
so_many_and_so_many_a_second(void **state)
{
	(void)state;
	for (int kind = 0; kind < H2_FLOODS; kind++) {
		struct h2_meters m;

		h2_flood_init(&m, NOW);
		assert_int_equal(drain(&m, kind, NOW, 5000), rows[kind].burst);
		assert_int_equal(drain(&m, kind, NOW + 1000, 5000), rows[kind].per_s);
		assert_int_equal(
		    drain(&m, kind, NOW + 1000 + 1000 / rows[kind].per_s - 1, 5000), 0);
		assert_int_equal(drain(&m, kind, NOW + 1000 + 1000 / rows[kind].per_s, 5000), 1);
		/* What nobody used for long is no more than at first. */
		assert_int_equal(drain(&m, kind, NOW + YEAR_MS, 5000), rows[kind].burst);
		/* Those of one kind are no others. */
		for (int other = 0; other < H2_FLOODS; other++) {
			if (other != kind)
				assert_int_equal(
				    drain(&m, other, NOW + YEAR_MS, 5000), rows[other].burst);
		}
	}
}

static void
none_of_them_is_never_too_many(void **state)
{
	struct h2_meters m;

	(void)state;
	h2_flood_init(&m, NOW);
	assert_int_equal(drain(&m, H2_FLOODS, NOW, 5000), 5000);
}

static void
what_we_send_gives_some_back(void **state)
{
	struct h2_meters m;

	(void)state;
	h2_flood_init(&m, NOW);
	h2_flood_data_sent(&m); /* none was used: none is given */
	h2_flood_request_sent(&m);
	assert_int_equal(drain(&m, H2_WINDOWS, NOW, 5000), 2000);
	assert_int_equal(drain(&m, H2_RESETS_IN, NOW, 5000), 200);
	h2_flood_data_sent(&m);
	assert_int_equal(drain(&m, H2_WINDOWS, NOW, 5000), 4);
	assert_int_equal(drain(&m, H2_RESETS_IN, NOW, 5000), 0);
	h2_flood_request_sent(&m);
	assert_int_equal(drain(&m, H2_RESETS_IN, NOW, 5000), 2);
	assert_int_equal(drain(&m, H2_WINDOWS, NOW, 5000), 0);
	/* With one that was used, one. */
	h2_flood_init(&m, NOW);
	assert_true(h2_flood_ok(&m, H2_WINDOWS, NOW));
	h2_flood_data_sent(&m);
	assert_int_equal(drain(&m, H2_WINDOWS, NOW, 5000), 2000);
}

/* RFC 9113 §6. What carries something is counted by what it carries. */
static void
each_type_of_frame_is_one(void **state)
{
	static const enum h2_flood known[] = { H2_FLOODS, H2_FLOODS, H2_OTHERS, H2_RESETS_IN,
		H2_SETTINGS, H2_OTHERS, H2_PINGS, H2_OTHERS, H2_WINDOWS, H2_FLOODS };

	(void)state;
	for (unsigned type = 0; type < 256; type++)
		assert_int_equal(h2_flood_of_frame((uint8_t)type),
		    type < COUNT(known) ? known[type] : H2_OTHERS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_and_so_many_a_second),
		cmocka_unit_test(none_of_them_is_never_too_many),
		cmocka_unit_test(what_we_send_gives_some_back),
		cmocka_unit_test(each_type_of_frame_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
