/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker: the table of grants. */
#include "unit.h"

#include <stdlib.h>

#include <grants.h>

#define GATEWAY 7U
#define OTHER_GATEWAY 8U

static struct grant
grant_of(uint8_t id, uint64_t turn, uint32_t body_len)
{
	struct grant g = { .turn = turn,
		.gateway = GATEWAY,
		.tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.target = SPAN_LIT("demo"),
		.endpoint = ENDPOINT_CHAT,
		.body_len = body_len,
		.expires_ms = 5000 };

	memset(g.grant, id, sizeof(g.grant));
	return g;
}

static void
grants_are_used_once(void **state)
{
	struct grants *g = calloc(1, sizeof(*g));
	struct grant m = grant_of(1, 10, 3);
	struct held_grant row;

	(void)state;
	assert_int_equal(grants_use(g, m.grant, GATEWAY, 3, 100, &row).code, E_NOTFOUND);
	assert_true(is_ok(grants_add(g, &m, 100)));
	assert_int_equal(grants_add(g, &m, 100).code, E_EXISTS);
	assert_int_equal(grants_use(g, m.grant, OTHER_GATEWAY, 3, 100, &row).code, E_DENIED);
	assert_true(is_ok(grants_use(g, m.grant, GATEWAY, 3, 5099, &row)));
	assert_string_equal(row.target, "demo");
	assert_int_equal(grants_use(g, m.grant, GATEWAY, 3, 100, &row).code, E_NOTFOUND);

	assert_true(is_ok(grants_add(g, &m, 100)));
	assert_int_equal(grants_use(g, m.grant, GATEWAY, 3, 5100, &row).code, E_DENIED);
	assert_true(is_ok(grants_add(g, &m, 100)));
	assert_int_equal(grants_use(g, m.grant, GATEWAY, 4, 100, &row).code, E_DENIED);
	assert_int_equal(g->count, 0);
	free(g);
}

static void
grants_are_bounded(void **state)
{
	struct grants *g = calloc(1, sizeof(*g));
	struct held_grant row;

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		uint64_t now = 10000 * round; /* those of the round before have expired */

		for (unsigned i = 0; i < GRANTS_MAX; i++) {
			struct grant m = grant_of(0, i % 7, 3);

			memcpy(m.grant, &(unsigned[]){ i, round }, 8);
			assert_true(is_ok(grants_add(g, &m, now)));
		}
		struct grant more = grant_of(9, 1, 3);
		assert_int_equal(grants_add(g, &more, now).code, E_FULL);
	}
	grants_forget_turn(g, 3);
	assert_int_equal(g->count, GRANTS_MAX - GRANTS_MAX / 7);
	struct grant m = grant_of(9, 1, 3);
	assert_true(is_ok(grants_add(g, &m, 20000)));
	assert_true(is_ok(grants_use(g, m.grant, GATEWAY, 3, 20000, &row)));
	grants_forget_all(g);
	assert_int_equal(g->count, 0);
	free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_are_used_once),
		cmocka_unit_test(grants_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
