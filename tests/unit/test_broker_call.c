/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker: whole calls over real links: this test is gateway, authority and provider at once.
 */
#include "broker_world.h"

#include <call.h>

/* ---- calls ---- */
static void
a_call_is_answered(void **state)
{
	(void)state;
	ask(1, BODY);
	wait_for(&w.closes, 1);
	assert_int_equal(w.closed.code, E_EOF);
	assert_int_equal(w.heads, 1);
	assert_int_equal(w.head.status, 200);
	assert_int_equal(w.head.sse, 1);
	assert_int_equal(w.head.retry_after_ms, 2000);
	assert_true(span_eq_str(buf_span(&w.body), "hello"));
	wait_for(&w.dones, 1);
	assert_int_equal(w.done.http_status, 200);
	assert_int_equal(w.done.turn, 1);
	assert_int_equal(w.done.bytes_in, strlen(answer));
	assert_true(w.done.bytes_out > 100);
}

/* Whatever a gateway wrote elsewhere: the one edit is made where the grant says, or not at all. */
static void
the_alias_stands_where_it_was_granted(void **state)
{
	(void)state;
	ask(1, "{\"demo\"{end}");
	expect_refused(ERROR_GRANT);
}

static void
connections_are_kept(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 5; i++) {
		ask((uint8_t)i, BODY);
		wait_for(&w.closes, i);
	}
	assert_int_equal(w.requests, 5);
	assert_int_equal(w.nservers, 1);
	assert_int_equal(open_conns("d"), 1);
}

static void
a_stale_connection_is_tried_anew(void **state)
{
	(void)state;
	ask(1, BODY);
	wait_for(&w.closes, 1);
	/* Ended in the same turn of the loop in which the next call takes it. */
	assert_int_equal(shutdown(w.servers[0].fd, SHUT_RDWR), 0);
	server_close(&w.servers[0]);
	ask(2, BODY);
	wait_for(&w.closes, 2);
	assert_int_equal(w.heads, 2);
	assert_int_equal(w.failures, 0);
	assert_int_equal(w.nservers, 2);
}

static void
idle_connections_that_end_are_dropped(void **state)
{
	(void)state;
	w.play = PLAY_CLOSE;
	ask(1, BODY);
	wait_for(&w.closes, 1);
	settle();
	assert_int_equal(w.heads, 1);
	assert_int_equal(open_conns("d"), 0);
	assert_int_equal(open_conns("d"), 0);
}

static void
calls_without_a_grant_are_refused(void **state)
{
	(void)state;
	open_call(1, BODY_LEN, BODY);
	expect_refused(ERROR_GRANT);
	assert_int_equal(w.dones, 0);
}

/* A burst fills the authority's link: the stream may come first, whole or in part. */
static void
a_grant_may_come_after_its_stream(void **state)
{
	(void)state;
	open_call(1, BODY_LEN, BODY);
	settle();
	assert_int_equal(w.failures, 0);
	assert_int_equal(w.requests, 0);
	assert_int_equal(w.b->grants.nwaits, 1);
	give_grant(1, 1, BODY);
	wait_for(&w.closes, 1);
	assert_int_equal(w.failures, 0);
	assert_int_equal(w.heads, 1);
	wait_for(&w.dones, 1);
	assert_int_equal(w.b->grants.nwaits, 0);
	/* It was used up by that, and a late one that does not fit is none. */
	open_call(1, BODY_LEN, BODY);
	wait_for(&w.closes, 2);
	assert_int_equal(w.failed, ERROR_GRANT);
	open_call(2, BODY_LEN + 1, BODY);
	settle();
	give_grant(2, 2, BODY);
	wait_for(&w.closes, 3);
	assert_int_equal(w.failed, ERROR_GRANT);
	assert_int_equal(w.requests, 1);
	assert_int_equal(w.dones, 1);
	assert_int_equal(w.b->grants.nwaits, 0);
}

/* Who waits for a grant holds no more than a stream's first credit, and leaves nothing behind. */
static void
a_client_may_leave_before_its_grant(void **state)
{
	(void)state;
	open_call(1, BODY_LEN, BODY);
	settle();
	stream_cancel(w.stream, ERROR_CANCELLED);
	settle();
	assert_int_equal(w.b->ncalls, 0);
	assert_int_equal(w.b->grants.nwaits, 0);
	assert_int_equal(w.b->body_bytes, 0);
	give_grant(1, 1, BODY);
	settle();
	assert_int_equal(w.requests, 0);
	assert_int_equal(w.dones, 0);
}

static void
a_replayed_grant_is_refused(void **state)
{
	(void)state;
	ask(1, BODY);
	wait_for(&w.closes, 1);
	open_call(1, BODY_LEN, BODY);
	wait_for(&w.closes, 2);
	assert_int_equal(w.failures, 1);
	assert_int_equal(w.failed, ERROR_GRANT);
	assert_int_equal(w.requests, 1);
}

static void
another_body_is_refused(void **state)
{
	(void)state;
	give_grant(1, 1, BODY);
	open_call(1, BODY_LEN, "\"demo\"{END}");
	expect_refused(ERROR_GRANT);
	wait_for(&w.dones, 1); /* it was granted, so its end is told */
	assert_int_equal(w.done.http_status, 0);
}

static void
a_short_or_long_body_is_refused(void **state)
{
	(void)state;
	give_grant(1, 1, BODY BODY);
	open_call(1, 2 * BODY_LEN, BODY);
	expect_refused(ERROR_GRANT);
	give_grant(2, 1, BODY);
	open_call(2, BODY_LEN, BODY "more");
	wait_for(&w.failures, 2);
	assert_int_equal(w.failed, ERROR_GRANT);
	give_grant(3, 1, BODY);
	open_call(3, BODY_LEN + 1, BODY "m"); /* a claim that differs from the grant */
	wait_for(&w.failures, 3);
	assert_int_equal(w.requests, 0);
}

static void
another_gateway_is_refused(void **state)
{
	struct grant g = grant_of(1, 1, 5);

	(void)state;
	g.gateway = OTHER_GATEWAY;
	assert_true(is_ok(sha256(SPAN_LIT("{end}"), g.digest)));
	assert_true(is_ok(link_send(w.authority, 0, AB_GRANT, &g)));
	link_flush(w.authority);
	open_call(1, BODY_LEN, BODY);
	expect_refused(ERROR_GRANT);
}

static void
bodies_in_memory_are_bounded(void **state)
{
	(void)state;
	w.b->body_bytes_max = 4;
	ask(1, BODY);
	expect_refused(ERROR_OVERLOADED);
}

static void
an_announced_body_takes_no_room(void **state)
{
	struct gb_open open = { .body_len = BODY_LEN };
	struct stream *silent;

	(void)state;
	w.b->body_bytes_max = BODY_LEN + 3;
	give_grant(9, 9, BODY);
	memset(open.grant, 9, sizeof(open.grant));
	assert_true(is_ok(stream_open(w.gateway, GB_OPEN, &open, &stream_ops, NULL, &silent)));
	ask(1, BODY);
	wait_for(&w.closes, 1);
	assert_int_equal(w.failures, 0);
	assert_int_equal(w.heads, 1);
	assert_int_equal(w.b->ncalls, 1);
	stream_cancel(silent, ERROR_CANCELLED);
	settle();
}

static void
an_absent_provider_is_unavailable(void **state)
{
	(void)state;
	link_free(w.demo);
	w.demo = NULL;
	settle();
	for (unsigned i = 1; i <= BREAKER_FAILURES; i++) {
		ask((uint8_t)i, BODY);
		expect_refused(ERROR_UNAVAILABLE);
		w.closes = w.failures = 0;
	}
	connect_demo(); /* it came back, and nothing keeps calls away from it */
	ask(BREAKER_FAILURES + 1, BODY);
	wait_for(&w.closes, 1);
	assert_int_equal(w.heads, 1);
}

/* A gateway that does not read, with the answers of all its other clients on their way to it. */
static void
an_answer_waits_for_a_full_link(void **state)
{
	const struct gb_head nobodys = { .status = 200 };
	struct link *l = w.b->gateways[0];

	(void)state;
	w.play = PLAY_MUTE;
	ask(1, BODY);
	wait_for(&w.requests, 1);
	while (link_queued(l) < LINK_QUEUE_MAX / 4 * 3)
		assert_true(is_ok(link_send(l, 1001, GB_HEAD, &nobodys)));
	send_text(&w.servers[0], answer);
	wait_for(&w.closes, 1);
	assert_int_equal(w.closed.code, E_EOF);
	assert_true(span_eq_str(buf_span(&w.body), "hello"));
}

static void
a_cut_answer_cancels_the_stream(void **state)
{
	(void)state;
	w.play = PLAY_CUT;
	ask(1, BODY);
	wait_for(&w.closes, 1);
	assert_int_equal(w.heads, 1);
	assert_int_equal(w.closed.code, E_CLOSED);
	assert_int_equal(w.closed.err, ERROR_UPSTREAM);
	assert_int_equal(w.ends, 0);
	wait_for(&w.dones, 1);
}

static void
garbage_is_an_upstream_error(void **state)
{
	(void)state;
	w.play = PLAY_GARBAGE;
	ask(1, BODY);
	wait_for(&w.closes, 1);
	assert_int_equal(w.failed, ERROR_UPSTREAM);
	assert_int_equal(w.heads, 0);
	assert_int_equal(open_conns("d"), 0);
}

static void
a_client_that_leaves_ends_the_call(void **state)
{
	uint64_t began;

	(void)state;
	w.play = PLAY_MUTE;
	ask(1, BODY);
	wait_for(&w.requests, 1);
	began = uv_hrtime();
	stream_cancel(w.stream, 0);
	w.stream = NULL;
	wait_for(&w.dones, 1);
	settle();
	assert_true(uv_hrtime() - began < 2000000000); /* 100 ms: test_upstream.py */
	assert_false(w.servers[0].open);
	assert_int_equal(w.b->ncalls, 0);
}

static void
turn_end_cancels_calls_and_grants(void **state)
{
	const struct turn_ref turn = { .turn = 1 };

	(void)state;
	w.play = PLAY_MUTE;
	ask(1, BODY);
	wait_for(&w.requests, 1);
	give_grant(2, 1, BODY);
	assert_true(is_ok(link_send(w.authority, 4, AB_TURN_END, &turn)));
	wait_for(&w.turn_ends, 1);
	wait_for(&w.closes, 1);
	assert_int_equal(w.closed.err, ERROR_CANCELLED);
	assert_int_equal(w.dones, 1);
	settle();
	assert_false(w.servers[0].open);
	open_call(2, BODY_LEN, BODY);
	wait_for(&w.closes, 2);
	assert_int_equal(w.failed, ERROR_GRANT);
}

static void
a_lost_authority_ends_everything(void **state)
{
	(void)state;
	w.play = PLAY_MUTE;
	ask(1, BODY);
	wait_for(&w.requests, 1);
	link_free(w.authority);
	w.authority = NULL;
	wait_for(&w.closes, 1);
	assert_int_equal(w.closed.err, ERROR_UNAVAILABLE);
	open_call(2, BODY_LEN, BODY);
	wait_for(&w.closes, 2);
	assert_int_equal(w.failed, ERROR_UNAVAILABLE);
	assert_int_equal(w.requests, 1);
}

static void
a_lost_gateway_ends_its_calls(void **state)
{
	(void)state;
	w.play = PLAY_MUTE;
	ask(1, BODY);
	wait_for(&w.requests, 1);
	link_free(w.gateway);
	w.gateway = NULL;
	w.stream = NULL;
	wait_for(&w.dones, 1);
	settle();
	assert_false(w.servers[0].open);
}

static void
a_slow_client_slows_the_provider(void **state)
{
	size_t before;

	(void)state;
	w.play = PLAY_FLOOD;
	w.hold = true;
	ask(1, BODY);
	wait_for(&w.heads, 1);
	settle();
	assert_true(w.body.len > 0 && w.body.len <= LINK_STREAM_CREDIT);
	/* While it lasts, nothing is kept that was for its beginning. */
	assert_null(LIST_FIRST(&w.b->calls)->out);
	assert_null(LIST_FIRST(&w.b->calls)->sha);
	assert_int_equal(LIST_FIRST(&w.b->calls)->body.cap, 0);
	before = w.flooded;
	flood(&w.servers[0]);
	settle();
	assert_int_equal(w.flooded, before); /* all buffers on the way are full, and bounded */
	w.hold = false;
	stream_consumed(w.stream, w.held);
	for (int i = 0; i < 200 && w.body.len < before; i++) {
		settle();
		flood(&w.servers[0]);
	}
	assert_true(w.body.len >= before);
}

#define CALL_TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(a_call_is_answered),
		CALL_TEST(the_alias_stands_where_it_was_granted),
		CALL_TEST(connections_are_kept),
		CALL_TEST(a_stale_connection_is_tried_anew),
		CALL_TEST(idle_connections_that_end_are_dropped),
		CALL_TEST(calls_without_a_grant_are_refused),
		CALL_TEST(a_grant_may_come_after_its_stream),
		CALL_TEST(a_client_may_leave_before_its_grant),
		CALL_TEST(a_replayed_grant_is_refused),
		CALL_TEST(another_body_is_refused),
		CALL_TEST(a_short_or_long_body_is_refused),
		CALL_TEST(another_gateway_is_refused),
		CALL_TEST(bodies_in_memory_are_bounded),
		CALL_TEST(an_announced_body_takes_no_room),
		CALL_TEST(an_absent_provider_is_unavailable),
		CALL_TEST(an_answer_waits_for_a_full_link),
		CALL_TEST(a_cut_answer_cancels_the_stream),
		CALL_TEST(garbage_is_an_upstream_error),
		CALL_TEST(a_client_that_leaves_ends_the_call),
		CALL_TEST(turn_end_cancels_calls_and_grants),
		CALL_TEST(a_lost_authority_ends_everything),
		CALL_TEST(a_lost_gateway_ends_its_calls),
		CALL_TEST(a_slow_client_slows_the_provider),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
