/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker attempt, provider, route: whole calls to providers on sockets, good and bad ones.
 * Credentials come from this test (the linker wraps credential_get).
 */
#include "broker_world.h"

#include "origin_server.h"

#define KEY_OLD "sk-old-0123456789"
#define KEY_NEW "sk-new-9876543210"
#define SSE "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
#define HELLO SSE "content-length: 5\r\n\r\nhello"
#define STATUS(line) "HTTP/1.1 " line "\r\ncontent-length: 2\r\n\r\n{}"

static struct origin_server one, two;
static struct buf ca = { .max = CERT_PEM_LEN_MAX }, cert = { .max = CERT_PEM_LEN_MAX };
static struct secret ca_key, cert_key;
static SSL_CTX *tls;

/* What credential_get() gives, in turn; those refused are skipped. */
static struct credential_version *versions[3];

struct status __wrap_credential_get(struct credential *c, const struct credential_tried *tried,
    credential_done *done, void *ctx, struct credential_wait **ret_wait,
    struct credential_version **ret);
struct status __real_credential_get(struct credential *c, const struct credential_tried *tried,
    credential_done *done, void *ctx, struct credential_wait **ret_wait,
    struct credential_version **ret);

struct status
__wrap_credential_get(struct credential *c, const struct credential_tried *tried,
    credential_done *done, void *ctx, struct credential_wait **ret_wait,
    struct credential_version **ret)
{
	if (versions[0] == NULL)
		return __real_credential_get(c, tried, done, ctx, ret_wait, ret);
	if (tried->count >= COUNT(versions) || versions[tried->count] == NULL)
		return fail(E_NOTFOUND);
	*ret = versions[tried->count];
	credential_ref(*ret);
	return OK;
}

static void
hold_version(size_t at, const char *value, const char *name)
{
	auto_secret struct secret s = SECRET_NONE;

	assert_true(is_ok(secret_from_span(span_str(value), &s)));
	assert_true(is_ok(credential_version_new(&s, name, UINT64_MAX, &versions[at])));
}

#define PROVIDER(name, kind, more) name ": {kind: " kind ", credential: none, " more "}"
#define PLAIN "allow_plain_loopback: true, base_url: 'http://127.0.0.1:%u'"
#define SECURE "base_url: 'https://localhost:%u/v1'"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static struct status
configure(const char *providers, const char *entries)
{
	char yaml[2048], p[1024];

	snprintf(p, sizeof(p), providers, one.port, two.port);
	snprintf(yaml, sizeof(yaml), POLICY "providers: {%s}\nmodels: {demo: [%s]}\n", p, entries);
	return world_configure(yaml, buf_span(&ca));
}
#pragma GCC diagnostic pop

#define ENTRY(p) "{provider: " p ", model: real}"

static int
up(void **state)
{
	const struct span sans[] = { SPAN_LIT("localhost") };
	const struct cert_leaf leaf = { .sans = sans, .san_count = 1, .ttl_s = 3600 };

	(void)state;
	world_begin(POLICY "providers: {d: {kind: demo}}\n"
			   "models: {demo: [{provider: d, model: real}]}\n",
	    SPAN_EMPTY);
	if (ca.len == 0) {
		assert_true(is_ok(cert_ca_create(SPAN_LIT("CA"), &ca, &ca_key)));
		assert_true(
		    is_ok(cert_leaf_issue(buf_span(&ca), &ca_key, &leaf, &cert, &cert_key)));
		tls = origin_tls(buf_span(&cert), &cert_key, TLS1_3_VERSION);
	}
	origin_start(&one, &w.loop, NULL);
	origin_start(&two, &w.loop, NULL);
	PLAY(&one, { .text = HELLO });
	PLAY(&two, { .text = HELLO });
	assert_true(is_ok(configure(PROVIDER("o", "openai", PLAIN), ENTRY("o"))));
	return 0;
}

static int
down(void **state)
{
	for (size_t i = 0; i < COUNT(versions); i++) {
		credential_release(versions[i]);
		versions[i] = NULL;
	}
	origin_stop(&one);
	origin_stop(&two);
	return world_down(state);
}

static bool
saw(const struct origin_server *s, const char *text)
{
	return memmem(s->seen.ptr, s->seen.len, text, strlen(text)) != NULL;
}

static void
expect_answer(uint16_t status, const char *body)
{
	wait_for(&w.closes, 1);
	assert_int_equal(w.failures, 0);
	assert_int_equal(w.closed.code, E_EOF);
	assert_int_equal(w.head.status, status);
	assert_true(span_eq_str(buf_span(&w.body), body));
	wait_for(&w.dones, 1);
	assert_int_equal(w.done.error, ERROR_NONE);
	assert_int_equal(w.done.http_status, status);
}

static void
expect_failure(enum error why)
{
	wait_for(&w.closes, 1);
	assert_int_equal(w.heads, 0);
	assert_int_equal(w.failed, why);
	wait_for(&w.dones, 1);
	assert_int_equal(w.done.error, why);
	assert_int_equal(w.body.len, 0);
}

static void
expect_cut(enum error why)
{
	wait_for(&w.closes, 1);
	assert_int_equal(w.heads, 1);
	assert_int_equal(w.closed.code, E_CLOSED);
	assert_int_equal(w.closed.err, why);
	wait_for(&w.dones, 1);
	assert_int_equal(w.done.error, why);
}

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

#define BOTH PROVIDER("a", "openai", PLAIN) ", " PROVIDER("b", "openai", PLAIN)

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
	assert_int_equal(p->breaker.state, BREAKER_OPEN);
	assert_int_equal(one.requests, BREAKER_FAILURES);
	ask(3, BODY);
	wait_for(&w.closes, 3);
	assert_int_equal(w.failed, ERROR_UPSTREAM_BUSY);
	assert_int_equal(one.requests, BREAKER_FAILURES);
	p->breaker.until_ms = 0; /* its time is over */
	PLAY(&one, { .text = HELLO });
	ask(4, BODY);
	wait_for(&w.closes, 4);
	assert_int_equal(p->breaker.state, BREAKER_CLOSED);
	assert_int_equal(w.head.status, 200);
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
	PLAY(&one, { .text = STATUS("403 X") });
	ask(1, BODY);
	expect_failure(ERROR_UPSTREAM);
	assert_int_equal(one.requests, 2);
	assert_int_equal(w.attempts, 1);
	assert_int_equal(w.done.http_status, 403);
	assert_int_equal(w.done.attempts, 2);
	assert_string_equal(w.version, "2");
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
		provider_find(w.b, "o")->breaker = (struct breaker){ 0 };
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
	assert_true(uv_hrtime() - began < 100000000);
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

#define T(f) cmocka_unit_test_setup_teardown(f, up, down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(openai_is_asked),
		T(tls_and_a_key),
		T(anthropic_is_asked),
		T(an_endpoint_that_nobody_speaks),
		T(a_large_body_goes_out),
		T(a_bad_moment_is_tried_again),
		T(the_last_answer_is_passed_on),
		T(a_request_of_the_client_is_not_tried_again),
		T(a_short_wait_is_waited),
		T(a_long_wait_is_told),
		T(the_next_entry_is_asked),
		T(a_long_wait_goes_elsewhere),
		T(weights_share),
		cmocka_unit_test(route_picks_by_weight),
		T(the_breaker_opens),
		T(a_refused_key_is_replaced),
		T(a_key_that_is_over_is_not_sent),
		T(no_key_is_taken),
		T(an_echoed_key_is_overwritten),
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
