/* SPDX-License-Identifier: Apache-2.0 */
/* lib/daemon: the table of grants, and those who come before their grant. */
#include "unit.h"

#include <stdlib.h>

#include <daemon/grants.h>

#define GATEWAY 7U
#define OTHER_GATEWAY 8U

static struct grant
grant_of(uint8_t id, uint64_t turn, uint32_t body_len)
{
	struct grant g = { .turn = turn,
		.gateway = GATEWAY,
		.tenant = SPAN_LIT("t"),
		.keep = 1,
		.user = SPAN_LIT("u"),
		.target = SPAN_LIT("demo"),
		.endpoint = ENDPOINT_CHAT,
		.body_len = body_len,
		.expires_ms = 5000 };

	memset(g.grant, id, sizeof(g.grant));
	return g;
}

static struct status
use(struct grants *g, const struct grant *m, uint32_t gateway, uint32_t body_len, uint64_t now_ms,
    struct held_grant *row)
{
	struct grant_claim c = { .gateway = gateway, .body_len = body_len };

	memcpy(c.id, m->grant, sizeof(c.id));
	return grants_use(g, &c, now_ms, row);
}

static void
grants_are_used_once(void **state)
{
	struct grants *g = calloc(1, sizeof(*g));
	struct grant m = grant_of(1, 10, 3);
	struct held_grant row = { .turn = 0 };

	(void)state;
	assert_int_equal(use(g, &m, GATEWAY, 3, 100, &row).code, E_NOTFOUND);
	assert_true(is_ok(grants_add(g, &m, 100)));
	assert_int_equal(grants_add(g, &m, 100).code, E_EXISTS);
	assert_int_equal(use(g, &m, OTHER_GATEWAY, 3, 100, &row).code, E_DENIED);
	assert_int_equal(row.turn, 0);
	assert_true(is_ok(use(g, &m, GATEWAY, 3, 5099, &row)));
	assert_string_equal(row.target, "demo");
	assert_string_equal(row.tenant, "t");
	assert_string_equal(row.user, "u");
	assert_int_equal(row.turn, 10);
	assert_true(row.keep);
	assert_int_equal(use(g, &m, GATEWAY, 3, 100, &row).code, E_NOTFOUND);
	assert_int_equal(g->count, 0);
	free(g);
}

/* Its own gateway spends it all the same, and whose it was is known. */
static void
wrong_claims_spend_a_grant(void **state)
{
	static const struct {
		uint32_t len;
		uint64_t now;
	} rows[] = { { 4, 100 }, { 3, 5100 } };
	struct grants *g = calloc(1, sizeof(*g));
	struct grant m = grant_of(1, 10, 3);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct held_grant row = { .turn = 0 };

		assert_true(is_ok(grants_add(g, &m, 100)));
		assert_int_equal(use(g, &m, GATEWAY, rows[i].len, rows[i].now, &row).code, E_RANGE);
		assert_int_equal(row.turn, 10);
		assert_int_equal(use(g, &m, GATEWAY, 3, 100, &row).code, E_NOTFOUND);
		assert_int_equal(g->count, 0);
	}
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
	assert_true(is_ok(use(g, &m, GATEWAY, 3, 20000, &row)));
	grants_forget_all(g);
	assert_int_equal(g->count, 0);
	free(g);
}

/* ---- who comes before its grant ---- */
static struct came {
	unsigned n;
	struct status st;
	struct held_grant row;
} came;

static void
on_came(void *ctx, struct status st, const struct held_grant *row)
{
	struct came *c = ctx;

	c->n++;
	c->st = st;
	c->row = *row;
}

static struct grant_wait *
await(struct grants *g, uv_loop_t *loop, const struct grant *m, uint32_t gateway, uint32_t len)
{
	struct grant_claim c = { .gateway = gateway, .body_len = len };
	struct grant_wait *w = NULL;

	memcpy(c.id, m->grant, sizeof(c.id));
	assert_true(is_ok(grants_await(g, loop, &c, on_came, &came, &w)));
	return w;
}

/* Runs until nothing is left: a wait that nobody ends or cancels ends by time. */
static void
run_out(struct grants *g, uv_loop_t *loop)
{
	assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(g->nwaits, 0);
}

static void
a_late_grant_is_used_by_who_waits(void **state)
{
	static const struct {
		uint32_t gateway, len;
		uint16_t code;
		uint32_t left;
	} rows[] = { { GATEWAY, 3, E_OK, 0 }, { GATEWAY, 4, E_RANGE, 0 },
		{ OTHER_GATEWAY, 3, E_DENIED, 1 } };
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct grants *g = calloc(1, sizeof(*g));
		struct grant m = grant_of(1, 10, 3), other = grant_of(2, 10, 3);

		came = (struct came){ 0 };
		(void)await(g, &loop, &m, rows[i].gateway, rows[i].len);
		assert_true(is_ok(grants_add(g, &other, uv_now(&loop))));
		assert_int_equal(came.n, 0);
		assert_true(is_ok(grants_add(g, &m, uv_now(&loop))));
		assert_int_equal(came.n, rows[i].gateway == GATEWAY);
		run_out(g, &loop);
		assert_int_equal(came.n, 1);
		assert_int_equal(came.st.code, rows[i].code);
		assert_int_equal(g->count, 1 + rows[i].left);
		free(g);
	}
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void
a_grant_that_does_not_come_is_told_in_time(void **state)
{
	struct grants *g = calloc(1, sizeof(*g));
	struct grant m = grant_of(1, 10, 3);
	uint64_t began = uv_hrtime();
	uv_loop_t loop;

	(void)state;
	came = (struct came){ 0 };
	assert_int_equal(uv_loop_init(&loop), 0);
	grant_wait_cancel(await(g, &loop, &m, GATEWAY, 3));
	grant_wait_cancel(NULL);
	(void)await(g, &loop, &m, GATEWAY, 3);
	assert_int_equal(g->nwaits, 1);
	run_out(g, &loop);
	assert_int_equal(came.n, 1);
	assert_int_equal(came.st.code, E_NOTFOUND);
	assert_true(uv_hrtime() - began >= (GRANT_WAIT_MS - 50) * 1000000ULL);
	/* One that comes then is for who asks next. */
	assert_true(is_ok(grants_add(g, &m, 0)));
	assert_int_equal(came.n, 1);
	assert_int_equal(uv_loop_close(&loop), 0);
	free(g);
}

static void
waits_are_bounded(void **state)
{
	struct grants *g = calloc(1, sizeof(*g));
	struct grant m = grant_of(1, 10, 3);
	struct grant_claim c = { .gateway = GATEWAY };
	struct grant_wait *w = NULL;
	uv_loop_t loop;

	(void)state;
	came = (struct came){ 0 };
	assert_int_equal(uv_loop_init(&loop), 0);
	for (unsigned i = 0; i < GRANT_WAITS_MAX; i++)
		(void)await(g, &loop, &m, GATEWAY, 3);
	assert_int_equal(grants_await(g, &loop, &c, on_came, &came, &w).code, E_FULL);
	assert_null(w);
	/* All of them claim the same: one has it. */
	assert_true(is_ok(grants_add(g, &m, uv_now(&loop))));
	assert_int_equal(came.n, 1);
	assert_true(is_ok(came.st));
	run_out(g, &loop);
	assert_int_equal(came.n, GRANT_WAITS_MAX);
	assert_int_equal(came.st.code, E_NOTFOUND);
	assert_int_equal(uv_loop_close(&loop), 0);
	free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_are_used_once),
		cmocka_unit_test(wrong_claims_spend_a_grant),
		cmocka_unit_test(grants_are_bounded),
		cmocka_unit_test(a_late_grant_is_used_by_who_waits),
		cmocka_unit_test(a_grant_that_does_not_come_is_told_in_time),
		cmocka_unit_test(waits_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
