/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_usage.c: what requests have used is counted once, whatever the
 * store does, and estimates stay apart.
 */
#include "authority_world.h"

static void
chat(uint32_t in, uint32_t out, bool estimated, enum error error)
{
	struct ga_settle m = { .turn = admit(ENDPOINT_CHAT)->admitted.turn,
		.tokens_in = in,
		.tokens_out = out,
		.estimated = estimated,
		.error = (uint16_t)error };

	model_done();
	assert_int_equal(call(w.gw, GA_SETTLE, &m)->error, ERROR_NONE);
}

/* More of a part than there is of the whole is the whole. */
static void
test_parts_are_parts(void **state)
{
	struct ga_settle m = { .tokens_in = 100,
		.tokens_out = 20,
		.tokens_cached = 90,
		.tokens_cache_written = 30,
		.tokens_reasoning = UINT32_MAX };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		m.turn = admit(ENDPOINT_CHAT)->admitted.turn;
		m.estimated = i == 1; /* parts of what only we counted are none */
		model_done();
		assert_int_equal(call(w.gw, GA_SETTLE, &m)->error, ERROR_NONE);
	}
	usage_flush(w.a);
	spin();
	assert_int_equal(w.usage.tokens_in, 100);
	assert_int_equal(w.usage.cached_in, 90);
	assert_int_equal(w.usage.cache_written_in, 10);
	assert_int_equal(w.usage.reasoning_out, 20);
}

static void
flush(void)
{
	usage_flush(w.a);
	spin();
}

static void
test_counts(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);

	(void)state;
	chat(10, 20, false, ERROR_NONE);
	chat(1, 2, false, ERROR_UPSTREAM);
	chat(100, 200, true, ERROR_NONE);
	m.model = SPAN_LIT("beta");
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_MODEL_NOT_FOUND);
	m.credential = SPAN_LIT("sk-wrong");
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(w.usage_batches, 0);
	flush();
	assert_int_equal(w.usage_batches, 1);
	assert_int_equal(w.usage_items, 2); /* the model, and what named none that is there */
	assert_int_equal(w.usage.requests, 4);
	assert_int_equal(w.usage.errors, 2);
	assert_int_equal(w.usage.tokens_in, 11);
	assert_int_equal(w.usage.tokens_out, 22);
	assert_int_equal(w.usage.estimated_out, 200);
	assert_true(usage_is_idle(w.a));
	flush();
	assert_int_equal(w.usage_batches, 1);
}

/* A turn that its gateway left counts, too. */
static void
test_a_dead_gateway_counts(void **state)
{
	(void)state;
	(void)admit(ENDPOINT_CHAT);
	cut(&w.gw);
	flush();
	assert_int_equal(w.usage.requests, 1);
	assert_int_equal(w.usage.errors, 1);
}

static void
test_store_fails_and_comes_back(void **state)
{
	(void)state;
	w.usage_mode = USAGE_FAILS;
	chat(10, 20, false, ERROR_NONE);
	flush();
	assert_false(usage_is_idle(w.a));
	w.usage_mode = USAGE_HOLDS; /* it is durable, but nobody hears of it */
	flush();
	chat(1, 1, false, ERROR_NONE);
	cut(&w.store);
	assert_false(usage_is_idle(w.a));
	flush(); /* to nobody */
	w.usage_mode = USAGE_TAKES;
	connect_fake(EDGE_AUTHORITY_STORE, 14, &as_edge, false, &store_ops, &w.store);
	spin();
	flush();
	flush();
	assert_true(usage_is_idle(w.a));
	assert_int_equal(w.usage.requests, 2);
	assert_int_equal(w.usage.tokens_out, 21);
}

static void
test_bounded(void **state)
{
	struct turn *t;

	(void)state;
	(void)admit(ENDPOINT_CHAT);
	t = TAILQ_FIRST(&w.a->turns.in_use);
	for (unsigned i = 0; i < USAGE_PENDING_MAX + 10; i++) {
		(void)snprintf(t->model, sizeof(t->model), "m%u", i);
		usage_note(t);
	}
	assert_int_equal(w.a->usage.n, USAGE_PENDING_MAX);
	for (int i = 0; i < USAGE_PENDING_MAX / AS_USAGE_BATCH_MAX + 1; i++)
		flush();
	assert_true(usage_is_idle(w.a));
	assert_int_equal(w.usage_items, USAGE_PENDING_MAX);
	for (size_t i = 0; i < USAGE_BUCKETS; i++)
		assert_int_equal(w.a->usage.buckets[i], 0);
	(void)snprintf(t->model, sizeof(t->model), "alpha");
	cut(&w.gw);
}

static uint16_t http;
static char body[1024];

static void
on_act(void *ctx, uint16_t status, struct span text)
{
	(void)ctx;
	http = status;
	(void)snprintf(body, sizeof(body), "%.*s", SPAN_FMT(text));
}

static void
test_page(void **state)
{
	const struct admin_usage f = { .since_s = 3 * 86400 + 5 };
	struct admin_op *op = NULL;

	(void)state;
	chat(1, 1, false, ERROR_NONE);
	assert_true(is_ok(admin_read_usage(
	    &(struct admin_call){ .a = w.a, .uid = 7, .reply = on_act, .op = &op }, &f)));
	spin();
	assert_int_equal(http, 200);
	assert_int_equal(w.usage.requests, 1); /* what was pending went first */
	assert_non_null(strstr(body, "\"key\":\"kkkkkkkkkkkk\",\"tenant\":\"t\",\"user\":\"u\","
				     "\"model\":\"alpha\",\"requests\":3,"));
	assert_non_null(
	    strstr(body, "\"next\":{\"after_user\":1,\"after_key\":5,\"after_model\":\"alpha\"}"));
	assert_int_equal(w.recs[w.nrecs - 1].event, EVENT_ADMIN);
	assert_string_equal(w.recs[w.nrecs - 1].text, "operation=usage.read by_uid=7 ");
}

/* What is empty is not an answer; one page at a time of each person. */
static void
test_pages(void **state)
{
	const struct admin_usage f = { .since_s = 3 * 86400 + 5 };
	struct admin_op *op = NULL, *other = NULL;
	const struct admin_call c = {
		.a = w.a, .by = keys_at(&w.a->keys, 0), .reply = on_act, .op = &op
	};
	struct admin_call again = c;

	(void)state;
	w.usage_empty = 4;
	again.op = &other;
	assert_true(is_ok(admin_read_usage(&c, &f)));
	assert_int_equal(admin_read_usage(&again, &f).code, E_EXISTS);
	spin();
	assert_int_equal(http, 200);
	assert_int_equal(w.usage_empty, 0);
	assert_non_null(strstr(body, "\"requests\":3,"));
	assert_non_null(strstr(body, "\"next\":{\"after_user\":5,"));
	w.usage_empty = 100;
	assert_true(is_ok(admin_read_usage(&c, &f)));
	spin();
	assert_string_equal(body, "{\"usage\":[],\"next\":{\"after_user\":17,\"after_key\":5,"
				  "\"after_model\":\"alpha\"}}");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_counts),
		T(test_parts_are_parts),
		T(test_a_dead_gateway_counts),
		T(test_store_fails_and_comes_back),
		T(test_bounded),
		T(test_page),
		T(test_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
