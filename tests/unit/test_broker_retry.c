/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker retry, breaker, credentials: what follows a try that failed, and which key is used. */
#include "provider_world.h"

#include <call.h>

/* ---- again, and elsewhere ---- */
static void
a_bad_moment_is_tried_again(void **state)
{
	static const char *const bad[] = { STATUS("500 X"), STATUS("502 X"), STATUS("503 X"),
		STATUS("504 X"), STATUS("529 X"), STATUS("408 X"), STATUS("409 X"),
		STATUS("429 X") };

	(void)state;
	for (unsigned i = 0; i < COUNT(bad); i++) {
		PLAY(&one, { .text = bad[i] }, { .text = HELLO });
		ask((uint8_t)(i + 1), BODY);
		wait_for(&w.closes, i + 1);
		assert_int_equal(w.head.status, 200);
		wait_for(&w.dones, i + 1);
		assert_int_equal(w.done.attempts, 2);
		assert_int_equal(w.attempts, i + 1);
		assert_int_equal(w.attempted.http_status, atoi(bad[i] + 9));
	}
}

static void
the_last_answer_is_passed_on(void **state)
{
	(void)state;
	PLAY(&one, { .text = "HTTP/1.1 500 X\r\ncontent-type: text/html\r\n"
			     "content-length: 12\r\n\r\n<h1>no!</h1>" });
	ask(1, BODY);
	expect_answer(500, "<h1>no!</h1>");
	assert_int_equal(w.done.attempts, PROVIDER_TRIES_MAX);
	assert_int_equal(one.requests, PROVIDER_TRIES_MAX);
}

static void
a_request_of_the_client_is_not_tried_again(void **state)
{
	static const char *const final[] = { STATUS("400 X"), STATUS("404 X"), STATUS("413 X"),
		STATUS("422 X"), STATUS("501 X") };

	(void)state;
	for (unsigned i = 0; i < COUNT(final); i++) {
		PLAY(&one, { .text = final[i] });
		ask((uint8_t)(i + 1), BODY);
		wait_for(&w.closes, i + 1);
		assert_int_equal(w.head.status, atoi(final[i] + 9));
		assert_int_equal(one.requests, 1);
	}
}

static void
a_short_wait_is_waited(void **state)
{
	uint64_t began = uv_hrtime();

	(void)state;
	PLAY(&one, { .text = "HTTP/1.1 429 X\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n" },
	    { .text = HELLO });
	ask(1, BODY);
	expect_answer(200, "hello");
	assert_true(uv_hrtime() - began >= 1000000000);
}

/* Each of them is short, but not all together: then the client hears how long to wait. */
static void
waits_add_up(void **state)
{
	(void)state;
	PLAY(&one,
	    { .text = "HTTP/1.1 429 X\r\nretry-after-ms: 1900\r\ncontent-length: 0\r\n\r\n" });
	ask(1, BODY);
	wait_for_ms(&w.closes, 1, CALL_WAIT_MAX_MS + 20000);
	assert_int_equal(w.head.status, 429);
	assert_int_equal(w.head.retry_after_ms, 1900);
	assert_in_range(one.requests, 2, 3); /* a fourth would be beyond CALL_WAIT_MAX_MS */
}

static void
a_long_wait_is_told(void **state)
{
	(void)state;
	PLAY(&one, { .text = "HTTP/1.1 429 X\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n" });
	ask(1, BODY);
	expect_answer(429, "");
	assert_int_equal(w.head.retry_after_ms, 60000);
	assert_int_equal(one.requests, 1);
}

static void
the_next_entry_is_asked(void **state)
{
	(void)state;
	assert_true(is_ok(configure(BOTH, ENTRY("a") ", {provider: b, model: other}")));
	PLAY(&one, { .text = STATUS("503 X") });
	ask(1, BODY);
	expect_answer(200, "hello");
	assert_int_equal(one.requests, 1);
	assert_true(saw(&two, "\r\n\r\n\"other\"{end}"));
	assert_string_equal(w.provider, "b");
	assert_int_equal(w.attempts, 1);
	/* Not only for a status. */
	origin_stop(&one);
	ask(2, BODY);
	wait_for(&w.closes, 2);
	assert_int_equal(w.failures, 0);
	assert_int_equal(two.requests, 2);
	origin_start(&one, &w.loop, NULL);
}

static void
a_long_wait_goes_elsewhere(void **state)
{
	(void)state;
	assert_true(is_ok(configure(BOTH, ENTRY("a") ", " ENTRY("b"))));
	PLAY(&one, { .text = "HTTP/1.1 429 X\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n" });
	ask(1, BODY);
	expect_answer(200, "hello");
	assert_int_equal(two.requests, 1);
}

static void
weights_share(void **state)
{
	(void)state;
	assert_true(is_ok(configure(
	    BOTH, "{provider: a, model: real, weight: 1}, {provider: b, model: real, weight: 3}")));
	for (unsigned i = 1; i <= 200; i++) {
		ask((uint8_t)(i % 250 + 1), BODY);
		wait_for(&w.closes, i);
	}
	assert_int_equal(one.requests + two.requests, 200);
	assert_true(one.requests > 20 && one.requests < 90);
}

static void
route_picks_by_weight(void **state)
{
	const uint32_t weights[] = { 1, 0, 3 }, none[] = { 0, 0 };

	(void)state;
	assert_int_equal(route_pick(weights, 3, 0), 0);
	assert_int_equal(route_pick(weights, 3, 0x3fffffff), 0);
	assert_int_equal(route_pick(weights, 3, 0x40000000), 2);
	assert_int_equal(route_pick(weights, 3, UINT32_MAX), 2);
	assert_int_equal(route_pick(none, 2, UINT32_MAX), 0);
}

static void
the_breaker_opens(void **state)
{
	struct provider *p;

	(void)state;
	PLAY(&one, { .text = STATUS("500 X") });
	for (unsigned i = 1; i <= 2; i++) {
		ask((uint8_t)i, BODY);
		wait_for(&w.closes, i);
	}
	p = provider_find(w.b, "o");
	assert_int_equal(breakers_open(&p->breakers), 1);
	assert_int_equal(one.requests, BREAKER_FAILURES);
	ask(3, BODY);
	wait_for(&w.closes, 3);
	assert_int_equal(w.failed, ERROR_UPSTREAM_BUSY);
	assert_int_equal(one.requests, BREAKER_FAILURES);
	p->breakers.rows[0].breaker.until_ms = 0; /* its time is over */
	PLAY(&one, { .text = HELLO });
	ask(4, BODY);
	wait_for(&w.closes, 4);
	assert_int_equal(breakers_open(&p->breakers), 0);
	assert_int_equal(w.head.status, 200);
}

/* However one tenant makes a provider fail, another one's calls pass. */
static void
the_breaker_is_the_tenants(void **state)
{
	struct provider *p = provider_find(w.b, "o");

	(void)state;
	PLAY(&one, { .text = STATUS("500 X") });
	for (unsigned i = 1; i <= 3; i++) {
		ask((uint8_t)i, BODY);
		wait_for(&w.closes, i);
	}
	assert_int_equal(w.failed, ERROR_UPSTREAM_BUSY);
	assert_int_equal(breakers_open(&p->breakers), 1);
	w.tenant = "other";
	PLAY(&one, { .text = HELLO });
	ask(4, BODY);
	wait_for(&w.closes, 4);
	assert_int_equal(w.head.status, 200);
	/* When it fails for both, nobody calls. */
	PLAY(&one, { .text = STATUS("500 X") });
	for (unsigned i = 5; i <= 6; i++) {
		ask((uint8_t)i, BODY);
		wait_for(&w.closes, i);
	}
	w.tenant = "third";
	PLAY(&one, { .text = HELLO });
	ask(7, BODY);
	wait_for(&w.closes, 7);
	assert_int_equal(w.failed, ERROR_UPSTREAM_BUSY);
	assert_int_equal(one.requests, 0);
}

/* What is wrong with a request says nothing against its provider, however often. */
static void
refusals_open_nothing(void **state)
{
	static const char *const no[] = { STATUS("400 X"), STATUS("401 X"), STATUS("403 X"),
		STATUS("404 X"), STATUS("413 X"), STATUS("422 X"), STATUS("302 X"),
		"HTTP/1.1 429 X\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n" };
	unsigned n = 0;

	(void)state;
	hold_version(0, KEY_OLD, "1");
	for (unsigned i = 0; i < COUNT(no); i++) {
		PLAY(&one, { .text = no[i] });
		for (unsigned k = 0; k < BREAKER_FAILURES + 1; k++) {
			ask((uint8_t)(n % 250 + 1), BODY);
			wait_for(&w.closes, ++n);
		}
		assert_int_equal(one.requests, BREAKER_FAILURES + 1);
	}
	assert_int_equal(breakers_open(&provider_find(w.b, "o")->breakers), 0);
}

/* ---- credentials ---- */
static void
a_refused_key_is_replaced(void **state)
{
	(void)state;
	hold_version(0, KEY_OLD, "1");
	hold_version(1, KEY_NEW, "2");
	PLAY(&one, { .text = STATUS("401 X") }, { .text = HELLO });
	ask(1, BODY);
	expect_answer(200, "hello");
	assert_true(saw(&one, KEY_NEW));
	assert_string_equal(w.version, "2");
	assert_int_equal(w.attempts, 1);
	assert_int_equal(w.attempted.http_status, 401);
	assert_string_equal(w.attempted_version, "1");
	assert_int_equal(w.done.attempts, 2);
}

/* Its hour ended while the connection was made. */
static void
a_key_that_is_over_is_not_sent(void **state)
{
	(void)state;
	hold_version(0, KEY_OLD, "1");
	versions[0]->expires_ms = uv_now(&w.loop);
	ask(1, BODY);
	expect_refused(ERROR_CREDENTIAL);
	assert_int_equal(one.requests, 0);
}

static void
no_key_is_taken(void **state)
{
	(void)state;
	hold_version(0, KEY_OLD, "1");
	hold_version(1, KEY_NEW, "2");
	PLAY(&one, { .text = STATUS("401 X") });
	ask(1, BODY);
	expect_failure(ERROR_UPSTREAM);
	assert_int_equal(one.requests, 2);
	assert_int_equal(w.attempts, 1);
	assert_int_equal(w.done.http_status, 401);
	assert_int_equal(w.done.attempts, 2);
	assert_string_equal(w.version, "2");
}

/* 403: the key is good, and may not do this. Another one of ours would be told the same. */
static void
a_forbidden_key_is_not_fetched_anew(void **state)
{
	(void)state;
	hold_version(0, KEY_OLD, "1");
	hold_version(1, KEY_NEW, "2");
	PLAY(&one, { .text = STATUS("403 X") });
	ask(1, BODY);
	expect_failure(ERROR_UPSTREAM);
	assert_int_equal(one.requests, 1);
	assert_int_equal(w.done.http_status, 403);
	assert_int_equal(w.done.attempts, 1);
	/* Another entry has another key. */
	assert_true(is_ok(configure(BOTH, ENTRY("a") ", " ENTRY("b"))));
	ask(2, BODY);
	wait_for(&w.closes, 2);
	assert_int_equal(w.head.status, 200);
	assert_int_equal(one.requests, 2);
	assert_int_equal(two.requests, 1);
}

static void
an_echoed_key_is_overwritten(void **state)
{
	(void)state;
	hold_version(0, KEY_OLD, "1");
	for (unsigned piece = 1; piece <= 200; piece += piece < 80 ? 1 : 40) {
		PLAY(&one, { .text = SSE "transfer-encoding: chunked\r\n\r\n"
					 "2a\r\ndata: Bearer " KEY_OLD " is your key\r\n"
					 "a\r\nsk-old-012\r\n7\r\n3456789\r\n3\r\nsk-\r\n0\r\n\r\n",
			       .piece = piece,
			       .after = AFTER_CLOSE });
		w.closes = w.failures = w.dones = 0;
		buf_clear(&w.body);
		ask((uint8_t)(piece % 250 + 1), BODY);
		expect_answer(200, "data: Bearer ***************** is your key"
				   "*****************sk-");
	}
}

/* After a rotation a provider may still have the key before, or already the next one. */
static void
the_other_version_is_overwritten(void **state)
{
	(void)state;
	hold_version(0, KEY_NEW, "2");
	hold_version(1, KEY_OLD, "1");
	for (unsigned piece = 1; piece <= 200; piece += piece < 80 ? 1 : 40) {
		PLAY(&one, { .text = SSE "transfer-encoding: chunked\r\n\r\n"
					 "29\r\ndata: " KEY_OLD " " KEY_NEW "\r\n"
					 "3\r\nsk-\r\n0\r\n\r\n",
			       .piece = piece,
			       .after = AFTER_CLOSE });
		w.closes = w.failures = w.dones = 0;
		buf_clear(&w.body);
		ask((uint8_t)(piece % 250 + 1), BODY);
		expect_answer(200, "data: ***************** *****************sk-");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_bad_moment_is_tried_again),
		T(the_last_answer_is_passed_on),
		T(a_request_of_the_client_is_not_tried_again),
		T(a_short_wait_is_waited),
		T(waits_add_up),
		T(a_long_wait_is_told),
		T(the_next_entry_is_asked),
		T(a_long_wait_goes_elsewhere),
		T(weights_share),
		cmocka_unit_test(route_picks_by_weight),
		T(the_breaker_opens),
		T(the_breaker_is_the_tenants),
		T(refusals_open_nothing),
		T(a_refused_key_is_replaced),
		T(a_key_that_is_over_is_not_sent),
		T(no_key_is_taken),
		T(a_forbidden_key_is_not_fetched_anew),
		T(an_echoed_key_is_overwritten),
		T(the_other_version_is_overwritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
