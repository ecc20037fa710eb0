/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker attempt, provider, route: calls to providers, good and bad ones, and reloads. */
#include "provider_world.h"

/* ---- what goes out ---- */
static void
openai_is_asked(void **state)
{
	char want[1024];

	(void)state;
	ask(1, "\"demo\" and the rest");
	expect_answer(200, "hello");
	assert_int_equal(w.head.sse, 1);
	snprintf(want, sizeof(want),
	    "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%u\r\n"
	    "user-agent: sallyport/0.1.0\r\naccept: text/event-stream\r\n"
	    "content-type: application/json\r\ncontent-length: 19\r\n\r\n\"real\" and the rest",
	    one.port);
	assert_true(span_eq_str(buf_span(&one.seen), want));
	assert_int_equal(w.done.attempts, 1);
	assert_true(span_eq_str(span_of(w.provider, strlen(w.provider)), "o"));
}

static void
tls_and_a_key(void **state)
{
	(void)state;
	one.ctx = tls;
	hold_version(0, KEY_OLD, "7");
	assert_true(is_ok(configure(PROVIDER("o", "openai", SECURE), ENTRY("o"))));
	ask(1, BODY);
	expect_answer(200, "hello");
	assert_true(saw(&one, "POST /v1/chat/completions HTTP/1.1\r\n"));
	assert_true(saw(&one, "authorization: Bearer " KEY_OLD "\r\n\r\n\"real\""));
	assert_string_equal(w.version, "7");
	for (unsigned i = 2; i < 6; i++) {
		ask((uint8_t)i, BODY);
		wait_for(&w.closes, i);
	}
	assert_int_equal(one.nconns, 1);
}

static void
anthropic_is_asked(void **state)
{
	(void)state;
	hold_version(0, KEY_OLD, "7");
	assert_true(is_ok(configure(PROVIDER("a", "anthropic", PLAIN), ENTRY("a"))));
	w.endpoint = ENDPOINT_MESSAGES;
	ask(1, BODY);
	expect_answer(200, "hello");
	assert_true(saw(&one, "POST /v1/messages HTTP/1.1\r\n"));
	assert_true(saw(&one, "anthropic-version: 2023-06-01\r\n"));
	assert_false(saw(&one, "anthropic-beta"));
	assert_false(saw(&one, "uthorization"));
	assert_true(saw(&one, "x-api-key: " KEY_OLD "\r\n\r\n"));
	w.open.anthropic_version = SPAN_LIT("2025-01-01");
	w.open.anthropic_beta = SPAN_LIT("a,b");
	ask(2, BODY);
	wait_for(&w.closes, 2);
	assert_true(saw(&one, "anthropic-version: 2025-01-01\r\nanthropic-beta: a,b\r\n"));
}

static void
an_endpoint_that_nobody_speaks(void **state)
{
	(void)state;
	w.endpoint = ENDPOINT_MESSAGES;
	ask(1, BODY);
	expect_failure(ERROR_MODEL_NOT_FOUND);
	assert_int_equal(one.nconns, 0);
}

static void
a_large_body_goes_out(void **state)
{
	static char body[700000];

	(void)state;
	one.ctx = tls;
	assert_true(is_ok(configure(PROVIDER("o", "openai", SECURE), ENTRY("o"))));
	memset(body, 'b', sizeof(body) - 1);
	memcpy(body, "\"demo\"", 6);
	w.b->body_bytes_max = 1U << 24;
	ask(1, body);
	expect_answer(200, "hello");
	assert_true(saw(&one, "content-length: 699999\r\n\r\n\"real\"bbbb"));
	assert_true(one.seen.len > 699999);
}

/* What the provider calls the request goes into the record, if it is an id and not our key. */
static void
the_providers_id_is_kept(void **state)
{
	static char long_id[400];
	static const struct {
		const char *fields, *want;
	} rows[] = {
		{ "x-request-id: req_0123-aZ.\r\n", "req_0123-aZ." },
		{ "Request-Id: req_011CTest\r\n", "req_011CTest" },
		{ "request-id: b\r\nx-request-id: a\r\n", "a" },
		{ "x-request-id: a\r\nx-request-id: b\r\n", "" },
		{ "x-request-id: a b\r\n", "" },
		{ "x-request-id: \xc3\xa9\r\n", "" },
		{ "x-request-id:\r\n", "" },
		{ "", "" },
		{ "x-request-id: id-" KEY_OLD "\r\n", "" },
		{ "x-request-id: s%6b-old%2D0123456789\r\n", "" },
		{ long_id, "" },
	};

	(void)state;
	hold_version(0, KEY_OLD, "1");
	(void)snprintf(long_id, sizeof(long_id), "x-request-id: %0*d\r\n", UPSTREAM_ID_MAX + 1, 7);
	for (unsigned i = 0; i < COUNT(rows); i++) {
		char text[1024];

		(void)snprintf(text, sizeof(text),
		    "HTTP/1.1 200 OK\r\n%scontent-length: 5\r\n\r\nhello", rows[i].fields);
		PLAY(&one, { .text = text });
		ask((uint8_t)(i + 1), BODY);
		wait_for(&w.dones, i + 1);
		assert_string_equal(w.upstream_id, rows[i].want);
	}
}

/* ---- bad upstreams ---- */
static void
bytes_may_come_one_by_one(void **state)
{
	(void)state;
	one.ctx = tls;
	assert_true(is_ok(configure(PROVIDER("o", "openai", SECURE), ENTRY("o"))));
	PLAY(
	    &one, { .text = "HTTP/1.1 100 Continue\r\n\r\n" SSE "transfer-encoding: chunked\r\n\r\n"
			    "3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nx-trailer: y\r\n\r\n",
		      .piece = 1 });
	ask(1, BODY);
	expect_answer(200, "hello");
	ask(2, BODY);
	wait_for(&w.closes, 2);
	assert_int_equal(one.nconns, 1); /* and the connection is kept */
}

static void
a_body_until_close(void **state)
{
	(void)state;
	one.ctx = tls;
	assert_true(is_ok(configure(PROVIDER("o", "openai", SECURE), ENTRY("o"))));
	PLAY(&one, { .text = SSE "\r\nhello", .after = AFTER_CLOSE });
	ask(1, BODY);
	expect_answer(200, "hello");
}

/* TLS tells an end from a cut. */
static void
a_cut_body_until_close(void **state)
{
	(void)state;
	one.ctx = tls;
	assert_true(is_ok(configure(PROVIDER("o", "openai", SECURE), ENTRY("o"))));
	PLAY(&one, { .text = SSE "\r\nhello", .after = AFTER_CLOSE, .cut = true });
	ask(1, BODY);
	expect_cut(ERROR_UPSTREAM);
}

static void
cut_answers(void **state)
{
	static const struct reply bad[] = {
		{ .text = SSE "content-length: 9\r\n\r\nhello", .after = AFTER_CLOSE },
		{ .text = SSE "content-length: 9\r\n\r\nhello", .after = AFTER_RESET },
		{ .text = SSE "content-length: 9\r\n\r\nhello", .after = AFTER_HALF },
		{ .text = SSE "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
		    .after = AFTER_CLOSE },
		{ .text = SSE "transfer-encoding: chunked\r\n\r\n5\r\nhelloX\r\n" },
		{ .text = SSE "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT(bad); i++) {
		origin_plays(&one, &bad[i], 1);
		w.closes = w.heads = w.dones = 0;
		buf_clear(&w.body);
		ask((uint8_t)(i + 1), BODY);
		expect_cut(ERROR_UPSTREAM);
		assert_int_equal(one.requests, 1); /* never again once something was passed on */
		settle();
		assert_int_equal(open_conns("o"), 0);
		assert_int_equal(provider_find(w.b, "o")->breakers.rows[0].breaker.failures, 1);
		provider_find(w.b, "o")->breakers = (struct breakers){ 0 };
	}
}

static void
answers_that_are_none(void **state)
{
	static char fields[400000], wide[70000];
	const struct reply bad[] = {
		{ .text = "SSH-2.0-OpenSSH\r\n\r\n" },
		{ .text =
			"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello" },
		{ .text = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"
			  "transfer-encoding: chunked\r\n\r\nhello" },
		{ .text = "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n" },
		{ .text = "HTTP/1.1 101 Switching\r\n\r\n" },
		{ .text = "HTTP/2 200\r\n\r\n" },
		{ .text = "", .after = AFTER_CLOSE },
		{ .text = "HTTP/1.1 200 OK\r\ncon", .after = AFTER_RESET },
		{ .text = fields },
		{ .text = wide },
	};
	char *at = fields + sprintf(fields, "HTTP/1.1 200 OK\r\n");

	(void)state;
	for (int i = 0; i < 10000; i++)
		at += sprintf(at, "x-field-%d: y\r\n", i);
	memset(wide, 'w', sizeof(wide) - 1);
	memcpy(wide, "HTTP/1.1 200 OK\r\nx: ", 20);
	for (unsigned i = 0; i < COUNT(bad); i++) {
		origin_plays(&one, &bad[i], 1);
		w.closes = w.heads = w.dones = 0;
		provider_find(w.b, "o")->breakers = (struct breakers){ 0 };
		ask((uint8_t)(i + 1), BODY);
		expect_failure(ERROR_UPSTREAM);
		assert_int_equal(one.requests, PROVIDER_TRIES_MAX);
		settle();
		assert_int_equal(open_conns("o"), 0);
	}
}

static void
redirects_are_not_followed(void **state)
{
	(void)state;
	PLAY(&one, { .text = "HTTP/1.1 307 X\r\nlocation: http://169.254.169.254/latest/\r\n"
			     "content-length: 0\r\n\r\n" });
	ask(1, BODY);
	expect_failure(ERROR_UPSTREAM);
	assert_int_equal(one.requests, 1);
	assert_int_equal(one.nconns, 1);
}

static void
coded_answers_are_refused(void **state)
{
	(void)state;
	PLAY(&one, { .text = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n"
			     "content-length: 2\r\n\r\nxx" });
	ask(1, BODY);
	expect_failure(ERROR_UPSTREAM);
}

/* It answers before it has read the request, and hangs up. */
static void
an_early_answer_counts(void **state)
{
	static char body[7000000]; /* more than the sockets hold */

	(void)state;
	memset(body, 'b', sizeof(body) - 1);
	memcpy(body, "\"demo\"", 6);
	w.b->body_bytes_max = 1U << 24;
	PLAY(&one, { .text = "HTTP/1.1 413 X\r\ncontent-length: 5\r\n\r\nlarge", .early = true });
	ask(1, body);
	expect_answer(413, "large");
	settle();
	assert_int_equal(open_conns("o"), 0); /* half a request is no beginning of another */
}

static void
much_is_passed_on_and_nothing_grows(void **state)
{
	(void)state;
	one.ctx = tls;
	assert_true(is_ok(configure(PROVIDER("o", "openai", SECURE), ENTRY("o"))));
	hold_version(0, KEY_OLD, "1");
	PLAY(&one, { .text = SSE "content-length: 200000000\r\n\r\n", .flood = 200000000 });
	w.count_only = true;
	ask(1, BODY);
	wait_for_ms(&w.closes, 1, 60000);
	assert_int_equal(w.failures, 0);
	assert_true(w.counted == 200000000);
	assert_int_equal(w.done.bytes_in / 1000, 200000);
}

static void
who_leaves_is_not_waited_for(void **state)
{
	uint64_t began;

	(void)state;
	PLAY(&one, { .text = NULL });
	ask(1, BODY);
	wait_for(&one.requests, 1);
	began = uv_hrtime();
	stream_cancel(w.stream, 0);
	w.stream = NULL;
	wait_for(&one.closed, 1);
	assert_true(uv_hrtime() - began < 2000000000); /* 100 ms: test_upstream.py */
	wait_for(&w.dones, 1);
	assert_int_equal(w.done.error, ERROR_CANCELLED);
	assert_int_equal(open_conns("o"), 0);
}

static void
a_pause_ends_with_its_call(void **state)
{
	(void)state;
	PLAY(&one, { .text = "HTTP/1.1 429 X\r\nretry-after: 4\r\ncontent-length: 0\r\n\r\n" });
	ask(1, BODY);
	wait_for(&w.attempts, 1);
	stream_cancel(w.stream, 0);
	w.stream = NULL;
	wait_for(&w.dones, 1);
	settle();
	assert_int_equal(w.b->ncalls, 0);
}

static void
a_silent_provider_times_out(void **state)
{
	(void)state;
	assert_true(
	    is_ok(configure(PROVIDER("o", "openai", PLAIN ", first_byte_s: 1"), ENTRY("o"))));
	PLAY(&one, { .text = NULL });
	ask(1, BODY);
	expect_failure(ERROR_UPSTREAM_TIMEOUT);
	assert_int_equal(one.requests, 1);
}

static void
a_provider_that_stops_times_out(void **state)
{
	(void)state;
	assert_true(is_ok(configure(PROVIDER("o", "openai", PLAIN ", idle_s: 1"), ENTRY("o"))));
	PLAY(&one, { .text = SSE "content-length: 9\r\n\r\nhello" });
	ask(1, BODY);
	expect_cut(ERROR_UPSTREAM_TIMEOUT);
}

/* ---- reload ---- */
static void
what_did_not_change_is_kept(void **state)
{
	(void)state;
	assert_true(is_ok(configure(BOTH, ENTRY("a"))));
	ask(1, BODY);
	wait_for(&w.closes, 1);
	assert_true(is_ok(configure(BOTH, ENTRY("a"))));
	ask(2, BODY);
	wait_for(&w.closes, 2);
	assert_int_equal(one.nconns, 1);
	assert_true(is_ok(configure(PROVIDER("b", "openai", PLAIN), ENTRY("b"))));
	assert_null(provider_find(w.b, "a"));
	settle();
	assert_int_equal(one.closed, 1);
}

static void
a_call_outlives_its_provider(void **state)
{
	(void)state;
	PLAY(&one, { .text = NULL });
	ask(1, BODY);
	wait_for(&one.requests, 1);
	assert_true(is_ok(configure(PROVIDER("x", "openai", PLAIN), ENTRY("x"))));
	assert_int_equal(send(one.conns[0].fd, HELLO, sizeof(HELLO) - 1, 0), sizeof(HELLO) - 1);
	expect_answer(200, "hello");
	settle();
	assert_int_equal(one.closed, 1);
}

static void
certificates_that_are_none(void **state)
{
	struct buf good = ca;

	(void)state;
	ca = BUF_INIT(100);
	assert_true(is_ok(buf_put_str(&ca, "no certificate")));
	assert_false(is_ok(configure(PROVIDER("s", "openai", SECURE), ENTRY("s"))));
	buf_done(&ca);
	ca = good;
	ask(1, BODY);
	expect_failure(ERROR_MODEL_NOT_FOUND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(openai_is_asked),
		T(tls_and_a_key),
		T(anthropic_is_asked),
		T(an_endpoint_that_nobody_speaks),
		T(a_large_body_goes_out),
		T(the_providers_id_is_kept),
		T(bytes_may_come_one_by_one),
		T(a_body_until_close),
		T(a_cut_body_until_close),
		T(cut_answers),
		T(answers_that_are_none),
		T(redirects_are_not_followed),
		T(coded_answers_are_refused),
		T(an_early_answer_counts),
		T(much_is_passed_on_and_nothing_grows),
		T(who_leaves_is_not_waited_for),
		T(a_pause_ends_with_its_call),
		T(a_silent_provider_times_out),
		T(a_provider_that_stops_times_out),
		T(what_did_not_change_is_kept),
		T(a_call_outlives_its_provider),
		T(certificates_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
