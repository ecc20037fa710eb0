/* SPDX-License-Identifier: Apache-2.0 */
/* src/authority: tools, in any order that a gateway and an executor may choose. */
#include "authority_tools_rig.h"

/* ---- anything a gateway and an executor may say, in any order ---- */
static void
random_step(uint64_t turn, uint32_t seed)
{
	static const char *const names[] = { "one", "two", "three", "" };
	const struct ga_step m = { .turn = turn,
		.kind = (uint8_t)((seed >> 4 & 3) == 0 ? STEP_MODEL : STEP_TOOL),
		.tool_name = span_str(names[seed >> 6 & 3]),
		.tool_version = seed >> 8 & 7 };

	if (w.gw != NULL)
		assert_true(is_ok(
		    link_call(w.gw, GA_STEP, &m, 60000, on_reply, &replies[nreplies++], NULL)));
}

static void
test_random_orders(void **state)
{
	uint32_t seed = 7;

	(void)state;
	load_two();
	for (uint32_t i = 0; i < 200; i++) {
		struct reply *r;
		uint64_t turn;

		nreplies = 0;
		w.nrecs = i % 8 == 0 ? 0 : w.nrecs; /* the table is bounded; each part balances */
		if (w.gw == NULL)
			connect_fake(
			    EDGE_GATEWAY_AUTHORITY, 100 + i, &ga_edge, true, &gateway_ops, &w.gw);
		if (w.executor == NULL)
			connect_fake(EDGE_AUTHORITY_EXECUTOR, 1000 + i, &ae_edge, false,
			    &executor_ops, &w.executor);
		spin();
		holder_done(&w.key[0]->holder);
		holder_done(&w.key[0]->user->holder);
		r = chat(0, tools_catalog(w.a, w.key[0]));
		turn = r->admitted.turn;
		for (int j = 0; j < 12 && w.gw != NULL && w.executor != NULL; j++) {
			seed = seed * 1664525 + 1013904223;
			switch (seed >> 24 & 7) {
			case 0:
				model_done();
				break;
			case 1:
			case 2:
			case 3:
				random_step(turn, seed);
				break;
			case 4:
			case 5:
				if (w.run_grants > 0)
					done_with(&w.grants[seed >> 10 & 15], ERROR_NONE, RUN_EXIT);
				break;
			case 6:
				if ((seed >> 12 & 3) == 0)
					cut(&w.executor);
				break;
			default:
				if ((seed >> 12 & 1) == 0)
					(void)settle(turn, ERROR_CANCELLED);
				break;
			}
			if ((seed >> 16 & 3) != 0)
				spin();
		}
		if (w.gw != NULL)
			cut(&w.gw);
		spin();
		assert_int_equal(w.a->turns.n, 0);
		assert_int_equal(tools_by_id(&w.a->tools, 1)->calls, 0);
		assert_int_equal(tools_by_id(&w.a->tools, 2)->calls, 0);
		if (i % 8 == 7)
			assert_balanced();
	}
	w.nrecs = 0;
	if (w.executor == NULL)
		connect_fake(
		    EDGE_AUTHORITY_EXECUTOR, 13, &ae_edge, false, &executor_ops, &w.executor);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_random_orders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
