/* SPDX-License-Identifier: Apache-2.0 */
/* A whole worker: what fails, leaves, dies, is slow, revoked or drained. */
#include "gateway_rig.h"

#include <sys/resource.h>

static void
client_leaves(void **state)
{
	struct client c;

	(void)state;
	peers.hold_run = true;
	client_open(&c);
	request(&c, "POST", "/v1/execute", key,
	    "{\"language\":\"python\",\"code\":\"x\",\"stream\":true}");
	wait_for(&c, "event: started");
	client_close(&c);
	assert_int_equal(peers.runs_cancelled, 1);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.settle.error, ERROR_CANCELLED);
	/* And while it is admitted: the turn is settled all the same. */
	peers.hold_admit = true;
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	spin(20);
	client_close(&c);
	assert_int_equal(peers.settles, 1);
	admit_now(peers.authority, peers.admit_id);
	spin(20);
	assert_int_equal(peers.settles, 2);
	assert_int_equal(peers.settle.error, ERROR_CANCELLED);
}

static void
revocation_ends_streams(void **state)
{
	const struct ga_revoke m = { .turn = 7, .error = ERROR_REVOKED };
	struct client c;

	(void)state;
	peers.hold_run = true;
	client_open(&c);
	request(&c, "POST", "/v1/execute", key,
	    "{\"language\":\"python\",\"code\":\"x\",\"stream\":true}");
	wait_for(&c, "event: started");
	reply(peers.authority, 2, GA_REVOKE, &m);
	wait_for(&c, "key_revoked");
	wait_eof(&c);
	spin(20);
	assert_int_equal(peers.revoked, 1);
	assert_int_equal(peers.runs_cancelled, 1);
	assert_int_equal(peers.settles, 0);
	client_close(&c);
}

static void
authority_dies(void **state)
{
	struct client c;

	(void)state;
	peers.hold_run = true;
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	spin(20);
	link_free(peers.authority);
	peers.authority = NULL;
	wait_for(&c, "HTTP/1.1 503 ");
	spin(20);
	assert_int_equal(peers.runs_cancelled, 1);
	c.got.len = 0;
	request(&c, "GET", "/v1/models", key, ""); /* the connection lives on */
	wait_for(&c, "HTTP/1.1 503 ");
	peer_up(EDGE_GATEWAY_AUTHORITY);
	c.got.len = 0;
	request(&c, "GET", "/v1/models", key, "");
	wait_for(&c, "HTTP/1.1 200 ");
	client_close(&c);
}

static void
executor_dies(void **state)
{
	struct client c;

	(void)state;
	peers.hold_run = true;
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	spin(20);
	link_free(peers.executor);
	peers.executor = NULL;
	wait_for(&c, "HTTP/1.1 503 ");
	assert_int_equal(peers.settle.error, ERROR_UNAVAILABLE);
	peer_up(EDGE_GATEWAY_EXECUTOR);
	client_close(&c);
}

static void
too_large_at_once(void **state)
{
	struct client c;

	(void)state;
	client_open(&c);
	client_send(
	    &c, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n");
	wait_for(&c, "HTTP/1.1 413 ");
	wait_eof(&c);
	assert_int_equal(peers.checks + peers.admits, 0);
	client_close(&c);
}

static void
slow_clients_stop_the_model(void **state)
{
	static struct model_script m[] = { { 200, { FLOOD_CHUNK } } };
	struct client c;

	(void)state;
	peers.models = m;
	peers.flood = 8UL << 20;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\",\"stream\":true," MESSAGES "}");
	spin(3000);
	/* What the sockets and buffers take, and no more. */
	assert_in_range(peers.flooded, 1, 2UL << 20);
	/* While it lasts, what was sent is not kept. */
	assert_int_equal(TAILQ_FIRST(&g.active)->turn.body.cap, 0);
	assert_int_equal(TAILQ_FIRST(&g.active)->turn.body_len, peers.body.len);
	while (peers.flooded < peers.flood) {
		size_t before = peers.flooded;

		for (int i = 0; i < 1000 && peers.flooded == before; i++) {
			client_read(&c);
			turn_loop();
		}
		assert_true(peers.flooded > before);
	}
	client_close(&c);
	assert_int_equal(peers.calls_cancelled, 1);
}

static void
provider_errors(void **state)
{
	static const struct {
		struct model_script m;
		const char *want, *also;
	} rows[] = {
		{ { 401, { "{\"error\":{\"message\":\"bad key sk-123\"}}" } }, "HTTP/1.1 502 ",
		    "upstream_error" },
		{ { 500, { "oops" } }, "HTTP/1.1 502 ", "upstream_error" },
		{ { 429, { "{}" } }, "HTTP/1.1 429 ", "rate_limit_exceeded" },
		{ { 400, { "{\"error\":{\"message\":\"too many tokens\"}}" } }, "HTTP/1.1 400 ",
		    "too many tokens" },
		{ { 200, { "garbage" } }, "HTTP/1.1 502 ", "upstream_error" },
		{ { 200, { CHUNK("{}", "null") } }, "HTTP/1.1 502 ", "upstream_error" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		peers.models = &rows[i].m;
		peers.calls = 0;
		client_open(&c);
		request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\"," MESSAGES "}");
		wait_for(&c, rows[i].also);
		assert_true(has(&c, rows[i].want));
		assert_false(has(&c, "sk-123"));
		assert_true(peers.settle.error != ERROR_NONE);
		client_close(&c);
	}
}

static void
failure_within_a_stream(void **state)
{
	static const struct model_script m[] = { { 200,
	    { CHUNK("{\"content\":\"x\"}", "null"),
		"data: {\"error\":{\"message\":\"sk-1\"}}\n\n" } } };
	struct client c;

	(void)state;
	peers.models = m;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\",\"stream\":true," MESSAGES "}");
	wait_for(&c, "data: {\"error\":{");
	wait_eof(&c);
	assert_false(has(&c, "sk-1"));
	assert_false(has(&c, "[DONE]"));
	client_close(&c);
}

static void
turn_times_out(void **state)
{
	uint64_t was = g.timeouts.len_ms[TIMEOUT_TURN];
	struct client c;

	(void)state;
	g.timeouts.len_ms[TIMEOUT_TURN] = 50;
	peers.hold_run = true;
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	wait_for(&c, "turn_limit");
	spin(20);
	assert_int_equal(peers.runs_cancelled, 1);
	g.timeouts.len_ms[TIMEOUT_TURN] = was;
	client_close(&c);
}

/* The authority answers when the client has been told to try again: nothing stays open. */
static void
admission_comes_late(void **state)
{
	struct client c;

	(void)state;
	g.timeouts.len_ms[TIMEOUT_ADMIT] = 50;
	peers.hold_admit = true;
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	wait_for(&c, "HTTP/1.1 503 ");
	wait_for(&c, "connection: close");
	assert_int_equal(peers.settles, 0);
	assert_int_equal(g.bodies.owners, 0);
	wait_eof(&c);
	admit_now(peers.authority, peers.admit_id);
	spin(20);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.settle.error, ERROR_CANCELLED);
	client_close(&c);
	/* The client is gone when the answer comes; or the authority dies instead. */
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	wait_for(&c, "HTTP/1.1 503 ");
	client_close(&c);
	assert_false(TAILQ_EMPTY(&g.active));
	link_free(peers.authority);
	peers.authority = NULL;
	spin(20);
	assert_true(TAILQ_EMPTY(&g.active));
	peer_up(EDGE_GATEWAY_AUTHORITY);
	g.timeouts.len_ms[TIMEOUT_ADMIT] = CALL_TIMEOUT_MS;
}

/* An executor that neither answers nor dies. */
static void
run_times_out(void **state)
{
	struct client c;

	(void)state;
	g.timeouts.len_ms[TIMEOUT_RUN] = 2000; /* so that none is due while this looks */
	peers.hold_run = true;
	client_open(&c);
	request(&c, "POST", "/v1/execute", key,
	    "{\"language\":\"python\",\"code\":\"x\",\"timeout_ms\":100}");
	for (uint64_t end = uv_hrtime() + 120 * 1000000ULL; uv_hrtime() < end;)
		turn_loop();
	assert_int_equal(peers.runs_cancelled, 0);
	wait_for(&c, "\"unavailable\"");
	spin(20);
	assert_int_equal(peers.runs_cancelled, 1);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.settle.error, ERROR_UNAVAILABLE);
	g.timeouts.len_ms[TIMEOUT_RUN] = RUN_GRACE_MS;
	client_close(&c);
}

static void
slow_heads_time_out(void **state)
{
	uint64_t was = g.timeouts.len_ms[TIMEOUT_HEADER];
	struct client c;

	(void)state;
	g.timeouts.len_ms[TIMEOUT_HEADER] = 50;
	client_open(&c);
	client_send(&c, "GET / HT");
	wait_for(&c, "HTTP/1.1 408 ");
	wait_eof(&c);
	client_close(&c);
	client_open(&c);
	wait_eof(&c); /* not a byte: not an answer */
	assert_int_equal(c.got.len, 0);
	client_close(&c);
	g.timeouts.len_ms[TIMEOUT_HEADER] = was;
}

static void
garbage_gets_400(void **state)
{
	static const char *const rows[] = { "\x16\x03\x01nonsense\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: "
		"chunked\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		client_send(&c, rows[i]);
		wait_for(&c, "HTTP/1.1 400 ");
		wait_eof(&c);
		client_close(&c);
	}
}

static void
draining(void **state)
{
	struct client c, idle, silent;

	(void)state;
	peers.hold_run = true;
	client_open(&idle);
	client_open(&silent);
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	spin(20);
	d.draining = true;
	d.drain_grace_ms = 10000;
	drain_start(&d);
	request(&idle, "GET", "/v1/models", key, ""); /* still answered */
	wait_for(&idle, "\"other\"");
	assert_true(has(&idle, "onnection: close"));
	wait_eof(&idle);
	client_close(&idle);
	assert_int_equal(g.nconns, 2);
	d.drain_grace_ms = 0; /* now idle ones go, busy ones are answered */
	drain_start(&d);
	wait_eof(&silent);
	client_close(&silent);
	assert_int_equal(g.nconns, 1);
	assert_non_null(peers.run_stream);
	assert_int_equal(
	    stream_send(peers.run_stream, GE_RESULT, &(struct ge_result){ .status = RUN_EXIT })
		.code,
	    E_OK);
	stream_end(peers.run_stream);
	wait_for(&c, "\"status\":\"exit\"");
	wait_eof(&c);
	client_close(&c);
}

/* The service ends: what runs longer than that is answered and settled, not cut. */
static void
draining_has_an_end(void **state)
{
	struct client c;

	(void)state;
	peers.hold_run = true;
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	spin(20);
	assert_non_null(peers.run_stream);
	d.draining = true;
	d.drain_grace_ms = 0;
	d.drain_end_ms = 50;
	drain_start(&d);
	wait_for(&c, "HTTP/1.1 503 ");
	assert_true(has(&c, "\"code\":\"unavailable\""));
	wait_eof(&c);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.settle.error, ERROR_UNAVAILABLE);
	assert_int_equal(peers.runs_cancelled, 1);
	client_close(&c);
}

/* One more connection than descriptors: it waits, without a loop that spins. */
static void
out_of_descriptors(void **state)
{
	struct sockaddr_un sa;
	socklen_t len = sizeof(sa);
	struct rlimit was, now;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int next;

	(void)state;
	assert_int_equal(getsockname(g.listen_fd, (struct sockaddr *)&sa, &len), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&sa, len), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	next = dup(fd);
	(void)close(next);
	now = was;
	now.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	spin(5);
	assert_false(g.accepting);
	assert_int_equal(g.nconns, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	for (uint64_t end = uv_hrtime() + WAIT_MS * 1000000ULL; g.nconns == 0 && uv_hrtime() < end;)
		turn_loop();
	assert_int_equal(g.nconns, 1);
	assert_true(g.accepting);
	(void)close(fd);
	spin(20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(client_leaves),
		FLOW(revocation_ends_streams),
		FLOW(authority_dies),
		FLOW(executor_dies),
		FLOW(too_large_at_once),
		FLOW(slow_clients_stop_the_model),
		FLOW(provider_errors),
		FLOW(failure_within_a_stream),
		FLOW(turn_times_out),
		FLOW(run_times_out),
		FLOW(admission_comes_late),
		FLOW(slow_heads_time_out),
		FLOW(garbage_gets_400),
		FLOW(out_of_descriptors),
		FLOW(draining),
		FLOW(draining_has_an_end),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
