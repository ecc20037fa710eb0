/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole worker on its loop: a TLS client on one side; authority, broker and
 * executor played by this test on the others, over real links.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <conn.h>
#include <crypto/cert.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>
#include <keytext/keytext.h>
#include <wire/gateway_broker.h>
#include <wire/gateway_executor.h>
#include <worker.h>

#define WAIT_MS 5000
#define ANSWER_PARTS 4

static uv_loop_t loop;
static struct gateway g;
static struct daemon d;
static char key[KEYTEXT_LEN + 1];
static struct buf ca = BUF_INIT(CERT_PEM_LEN_MAX), cert = BUF_INIT(CERT_PEM_LEN_MAX);
static struct secret ca_key, cert_key;
static struct tls_ctx *client_ctx;

/* ---- the other processes ---- */

struct model_script {
	uint16_t status;
	const char *parts[ANSWER_PARTS];
};

static struct {
	struct link *authority, *broker, *executor;
	/* what to say */
	enum error check_error, admit_error, run_error;
	uint8_t attach;
	const struct model_script *models; /* one a call */
	const char *out, *files;
	bool hold_run, hold_settle, hold_admit;
	size_t flood; /* bytes of content that the model streams */
	/* what was seen */
	int checks, admits, attached, steps_run, steps_model, settles, failures, revoked;
	int calls, runs, runs_cancelled, calls_cancelled;
	uint32_t failures_counted;
	struct ga_admit admit;
	struct ga_settle settle;
	uint64_t settle_id, admit_id;
	struct buf body; /* of the last model call */
	struct stream *run_stream, *call_stream;
	size_t flooded;
	uint8_t digest[DIGEST_LEN]; /* granted last */
} peers = { .body = BUF_INIT(16UL << 20) };

static void
reply(struct link *l, uint64_t id, uint16_t type, const void *msg)
{
	assert_int_equal(link_send(l, id, type, msg).code, E_OK);
}

static void
on_check(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_checked m = { .error = (uint16_t)peers.check_error };

	(void)msg, (void)ctx;
	peers.checks++;
	reply(l, id, GA_CHECKED, &m);
}

static void
admit_now(struct link *l, uint64_t id)
{
	struct ga_admitted m = { .error = (uint16_t)peers.admit_error,
		.turn = 7,
		.limit = 10,
		.remaining = 9,
		.reset_ms = 6000,
		.steps_max = 4,
		.models = SPAN_LIT("demo\nother") };

	if (peers.admit.refused != 0 && m.error == 0)
		m.error = peers.admit.refused;
	if (m.error != 0 || peers.admit.endpoint == ENDPOINT_MODELS)
		m.turn = 0;
	if (peers.attach != 0 && peers.admit.tools == 0) {
		m.attach = peers.attach;
		m.turn = 0;
		peers.attached++;
	}
	reply(l, id, GA_ADMITTED, &m);
}

static void
on_admit(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	peers.admits++;
	peers.admit = *(const struct ga_admit *)msg;
	memcpy(peers.digest, peers.admit.digest, DIGEST_LEN);
	peers.admit_id = id;
	if (!peers.hold_admit)
		admit_now(l, id);
}

static void
on_step(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_step *s = msg;
	struct ga_granted m = { .error = ERROR_NONE };

	(void)ctx;
	assert_int_equal(s->turn, 7);
	if (s->kind == STEP_RUN) {
		peers.steps_run++;
		m.error = (uint16_t)peers.run_error;
	} else {
		peers.steps_model++;
	}
	memcpy(peers.digest, s->digest, DIGEST_LEN);
	reply(l, id, GA_GRANTED, &m);
}

static void
on_settle(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_settled m = { .error = ERROR_NONE };

	(void)ctx;
	peers.settles++;
	peers.settle = *(const struct ga_settle *)msg;
	peers.settle_id = id;
	if (!peers.hold_settle)
		reply(l, id, GA_SETTLED, &m);
}

static void
on_failures(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	peers.failures++;
	peers.failures_counted += ((const struct ga_failures *)msg)->count;
}

static void
on_revoked(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	peers.revoked++;
}

static void
check_digest(struct span body)
{
	uint8_t digest[DIGEST_LEN];

	assert_int_equal(sha256(body, digest).code, E_OK);
	assert_memory_equal(digest, peers.digest, DIGEST_LEN);
}

/* -- broker -- */

static void
write_all(struct stream *s, uint8_t channel, const char *text)
{
	struct span rest = span_str(text);
	size_t taken = 0;

	while (rest.len > 0) {
		assert_int_equal(stream_write(s, channel, rest, &taken).code, E_OK);
		assert_true(taken > 0);
		rest = span_from(rest, taken);
	}
}

static void
call_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	(void)channel, (void)ctx;
	assert_int_equal(buf_put_span(&peers.body, data).code, E_OK);
	stream_consumed(s, data.len);
}

#define FLOOD_CHUNK                                                                    \
	"data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"        \
	"\"0123456789012345678901234567890123456789012345678901234567890123456789\"}," \
	"\"finish_reason\":null}]}\n\n"

static void
flood(struct stream *s)
{
	while (peers.flooded < peers.flood && stream_credit(s) >= sizeof(FLOOD_CHUNK)) {
		size_t taken = 0;

		assert_int_equal(stream_write(s, 0, SPAN_LIT(FLOOD_CHUNK), &taken).code, E_OK);
		if (taken == 0)
			return;
		peers.flooded += taken;
	}
}

static void
more_credit(struct stream *s, void *ctx)
{
	(void)ctx;
	flood(s);
}

static void
call_end(struct stream *s, void *ctx)
{
	const struct model_script *m = &peers.models[peers.calls++];
	struct gb_head head = { .status = m->status };
	const char *first = m->parts[0];

	(void)ctx;
	check_digest(buf_span(&peers.body));
	head.sse = first != NULL && strncmp(first, "data:", 5) == 0;
	assert_int_equal(stream_send(s, GB_HEAD, &head).code, E_OK);
	for (int i = 0; i < ANSWER_PARTS && m->parts[i] != NULL; i++)
		write_all(s, 0, m->parts[i]);
	if (peers.flood > 0) {
		flood(s);
		return;
	}
	if (m->status != 0)
		stream_end(s);
}

static void
call_closed(struct stream *s, struct status why, void *ctx)
{
	(void)s, (void)ctx;
	peers.calls_cancelled += why.code == E_CLOSED;
	peers.call_stream = NULL;
}

static const struct stream_ops broker_stream = { .on_data = call_data,
	.on_end = call_end,
	.on_writable = more_credit,
	.on_closed = call_closed };

static void
on_call(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)msg, (void)ctx;
	buf_clear(&peers.body);
	assert_int_equal(stream_accept(l, id, &broker_stream, NULL, &peers.call_stream).code, E_OK);
}

/* -- executor -- */

static struct buf run_body = BUF_INIT(16UL << 20);

static void
run_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	(void)channel, (void)ctx;
	assert_int_equal(buf_put_span(&run_body, data).code, E_OK);
	stream_consumed(s, data.len);
}

static void
run_end(struct stream *s, void *ctx)
{
	const struct ge_started started = { SPAN_LIT("gvisor:python-3") };
	const struct ge_result result = { .status = RUN_EXIT, .duration_ms = 3 };

	(void)ctx;
	peers.runs++;
	check_digest(buf_span(&run_body));
	assert_int_equal(stream_send(s, GE_STARTED, &started).code, E_OK);
	if (peers.out != NULL)
		write_all(s, RUN_STDOUT, peers.out);
	if (peers.hold_run)
		return;
	assert_int_equal(stream_send(s, GE_RESULT, &result).code, E_OK);
	stream_end(s);
}

static void
run_closed(struct stream *s, struct status why, void *ctx)
{
	(void)s, (void)ctx;
	peers.runs_cancelled += why.code == E_CLOSED;
	peers.run_stream = NULL;
}

static const struct stream_ops executor_stream = {
	.on_data = run_data, .on_end = run_end, .on_closed = run_closed
};

static void
on_run(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)msg, (void)ctx;
	buf_clear(&run_body);
	assert_int_equal(
	    stream_accept(l, id, &executor_stream, NULL, &peers.run_stream).code, E_OK);
}

static void
peer_closed(struct link *l, struct status why, void *ctx)
{
	(void)why;
	*(struct link **)ctx = NULL;
	link_free(l);
}

static const struct link_rule authority_rules[] = {
	{ GA_CHECK, 0, on_check },
	{ GA_ADMIT, 0, on_admit },
	{ GA_STEP, 0, on_step },
	{ GA_SETTLE, 0, on_settle },
	{ GA_FAILURES, 0, on_failures },
	{ GA_REVOKED, 0, on_revoked },
};
static const struct link_rule broker_rules[] = { { GB_OPEN, 0, on_call } };
static const struct link_rule executor_rules[] = { { GE_OPEN, 0, on_run } };

static void
peer_up(enum edge edge)
{
	static const struct link_ops ops[] = {
		{ authority_rules, COUNT(authority_rules), peer_closed },
		{ broker_rules, COUNT(broker_rules), peer_closed },
		{ executor_rules, COUNT(executor_rules), peer_closed },
	};
	static const struct wire_edge *const edges[] = { &ga_edge, &gb_edge, &ge_edge };
	struct link **const mine[] = { &peers.authority, &peers.broker, &peers.executor };
	int i = edge == EDGE_GATEWAY_AUTHORITY ? 0 : edge == EDGE_GATEWAY_BROKER ? 1 : 2;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(
	    link_new(&loop, fds[1], edges[i], false, &ops[i], mine[i], mine[i]).code, E_OK);
	links_peer(&d, edge, 1, 0, fds[0]);
}

/* ---- the client ---- */

struct client {
	int fd;
	struct tls_conn *tls;
	struct buf got;
	bool eof;
};

static void
turn_loop(void)
{
	(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static void
client_open(struct client *c)
{
	uint8_t address[SOURCE_LEN] = { 0 };
	struct source *src = source_enter(&g.sources, address, uv_now(&loop));
	int fds[2];
	struct status st = fail(E_AGAIN);

	*c = (struct client){ .got = BUF_INIT(64UL << 20) };
	assert_non_null(src);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	conn_open(&g, fds[0], src, address);
	c->fd = fds[1];
	assert_int_equal(
	    tls_connect_new(client_ctx, c->fd, SPAN_LIT("localhost"), &c->tls).code, E_OK);
	for (int i = 0; i < 1000 && st.code == E_AGAIN; i++) {
		st = tls_handshake(c->tls);
		turn_loop();
	}
	assert_int_equal(st.code, E_OK);
}

static void
client_close(struct client *c)
{
	tls_conn_free(c->tls);
	(void)close(c->fd);
	buf_done(&c->got);
	for (int i = 0; i < 20; i++)
		turn_loop();
}

static void
client_send(struct client *c, const char *text)
{
	struct span rest = span_str(text);

	while (rest.len > 0) {
		size_t n = 0;
		struct status st = tls_write(c->tls, rest, &n);

		assert_true(is_ok(st) || st.code == E_AGAIN);
		rest = span_from(rest, n);
		turn_loop();
	}
}

static void
client_read(struct client *c)
{
	uint8_t piece[16384];
	size_t n = 0;
	struct status st;

	while (is_ok(st = tls_read(c->tls, piece, sizeof(piece), &n)))
		assert_int_equal(buf_put(&c->got, piece, n).code, E_OK);
	if (st.code != E_AGAIN)
		c->eof = true;
}

static bool
has(const struct client *c, const char *text)
{
	return c->got.len > 0 && memmem(c->got.ptr, c->got.len, text, strlen(text)) != NULL;
}

/* Until `text` has come. */
static void
wait_for(struct client *c, const char *text)
{
	uint64_t end = uv_hrtime() / 1000000 + WAIT_MS;

	while (!has(c, text) && uv_hrtime() / 1000000 < end) {
		turn_loop();
		client_read(c);
	}
	if (!has(c, text))
		print_error("wanted %s\ngot %.*s\n", text, (int)c->got.len, (char *)c->got.ptr);
	assert_true(has(c, text));
}

static void
wait_eof(struct client *c)
{
	uint64_t end = uv_hrtime() / 1000000 + WAIT_MS;

	while (!c->eof && uv_hrtime() / 1000000 < end) {
		turn_loop();
		client_read(c);
	}
	assert_true(c->eof);
}

static void
spin(int n)
{
	for (int i = 0; i < n; i++)
		turn_loop();
}

static void
request(struct client *c, const char *method, const char *path, const char *k, const char *body)
{
	char text[8192];

	(void)snprintf(text, sizeof(text),
	    "%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	    method, path, k, strlen(body), body);
	client_send(c, text);
}

#define CHAT_PATH "/v1/chat/completions"
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define CHUNK(delta, reason)                                                           \
	"data: {\"id\":\"a\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0," \
	"\"delta\":" delta ",\"finish_reason\":" reason "}]}\n\n"
#define WHOLE(message, reason)                                                   \
	"{\"id\":\"a\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0," \
	"\"message\":" message ",\"finish_reason\":\"" reason                    \
	"\"}],\"usage\":{\"prompt_tokens\":1,"                                   \
	"\"completion_tokens\":2,\"total_tokens\":3}}"
#define OUR_CALL                                                                          \
	"{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":" \
	"{\"name\":\"code_interpreter\",\"arguments\":\"{\\\"code\\\":\\\"print(1)\\\"}\"}}]}"

static const struct model_script answer_42[] = { { 200, { WHOLE("{\"content\":\"42\"}", "stop") } },
	{ 200, { WHOLE("{\"content\":\"43\"}", "stop") } } };
static const struct model_script tool_whole[] = {
	{ 200,
	    { WHOLE(
		"{\"role\":\"assistant\",\"content\":null,"
		"\"tool_calls\":[{\"id\":\"c1\","
		"\"type\":\"function\",\"function\":{\"name\":\"code_interpreter\",\"arguments\":"
		"\"{\\\"code\\\":\\\"print(1)\\\"}\"}}]}",
		"tool_calls") } },
	{ 200, { WHOLE("{\"content\":\"42\"}", "stop") } },
};
static const struct model_script tool_stream[] = {
	{ 200, { CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null"),
		   CHUNK(OUR_CALL, "null"), CHUNK("{}", "\"tool_calls\""), "data: [DONE]\n\n" } },
	{ 200, { CHUNK("{\"content\":\"it is \"}", "null"), CHUNK("{\"content\":\"1\"}", "null"),
		   CHUNK("{}", "\"stop\""), "data: [DONE]\n\n" } },
};

/* ---- tests ---- */

static int
fresh(void **state)
{
	struct buf body = peers.body;
	struct link *l[3] = { peers.authority, peers.broker, peers.executor };

	(void)state;
	memset(&peers, 0, sizeof(peers));
	peers.body = body;
	peers.authority = l[0];
	peers.broker = l[1];
	peers.executor = l[2];
	return 0;
}

/* Nothing is left of the test before. */
static int
clean(void **state)
{
	(void)state;
	spin(20);
	assert_true(TAILQ_EMPTY(&g.active));
	assert_int_equal(g.nconns, 0);
	assert_int_equal(g.bodies_used, 0);
	assert_null(peers.run_stream);
	assert_null(peers.call_stream);
	return 0;
}

static void
lists_models(void **state)
{
	struct client c;

	(void)state;
	client_open(&c);
	request(&c, "GET", "/v1/models", key, "");
	wait_for(&c, "\"other\"");
	assert_true(has(&c, "HTTP/1.1 200 OK\r\n"));
	assert_true(has(&c, "x-ratelimit-remaining-requests: 9\r\n"));
	assert_true(has(&c, "x-ratelimit-reset-requests: 6000ms\r\n"));
	assert_int_equal(peers.admit.endpoint, ENDPOINT_MODELS);
	client_close(&c);
}

/* Everything but the request id, the date and the ids in it. */
static void
body_of(struct client *c, char *out, size_t size)
{
	uint8_t *at = memmem(c->got.ptr, c->got.len, "\r\n\r\n", 4);
	size_t n;

	assert_non_null(at);
	n = c->got.len - (size_t)(at - c->got.ptr);
	assert_true(n < size);
	memcpy(out, at, n);
	out[n] = '\0';
}

static void
one_401_for_all(void **state)
{
	static const char *const rows[][3] = {
		{ "GET", "/v1/models", "sp_nonsense" },
		{ "POST", "/v1/chat/completions", "x" },
		{ "DELETE", "/nowhere", "sp_" },
		{ "GET", "/healthz", "" },
	};
	char first[1024] = "", body[1024];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		request(&c, rows[i][0], rows[i][1], rows[i][2], "");
		wait_for(&c, "invalid_api_key\"}}");
		assert_true(has(&c, "HTTP/1.1 401 "));
		body_of(&c, body, sizeof(body));
		if (i == 0)
			memcpy(first, body, sizeof(body));
		assert_string_equal(body, first);
		client_close(&c);
	}
	assert_int_equal(peers.admits, 0); /* no look-up */
	assert_true(peers.failures >= 1);  /* but counted */
	/* The same for a key that the authority does not know. */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		peers.admit_error = ERROR_INVALID_KEY;
		client_open(&c);
		request(&c, rows[i][0], rows[i][1], key, "");
		wait_for(&c, "invalid_api_key\"}}");
		body_of(&c, body, sizeof(body));
		assert_string_equal(body, first);
		client_close(&c);
	}
	assert_int_equal(peers.admits, COUNT(rows));
}

static void
bad_requests_are_told_to_valid_keys(void **state)
{
	static const struct {
		const char *method, *path, *body;
		const char *want;
	} rows[] = {
		{ "GET", "/nowhere", "", "\"code\":\"not_found\"" },
		{ "PUT", CHAT_PATH, "{}", "\"code\":\"method_not_allowed\"" },
		{ "POST", CHAT_PATH "?a=1", "{}", "takes no query" },
		{ "POST", CHAT_PATH, "{", "\"code\":\"invalid_json\"" },
		{ "POST", CHAT_PATH, "{\"model\":1}", "\"param\":\"" },
		{ "POST", CHAT_PATH, "{\"model\":\"demo\",\"model\":\"x\"," MESSAGES "}",
		    "\"param\":\"/model\"" },
		{ "POST", CHAT_PATH, "{\"model\":\"demo\",\"stream\":3," MESSAGES "}",
		    "\"param\":\"/stream\"" },
		{ "POST", CHAT_PATH, "{\"model\":\"demo\",\"Stream\":true," MESSAGES "}",
		    "\"param\":\"/Stream\"" },
		{ "POST", CHAT_PATH, "{\"model\":\"nix\"," MESSAGES "}",
		    "\"code\":\"model_not_found\"" },
		{ "POST", "/v1/execute",
		    "{\"language\":\"python\",\"code\":\"\",\"files\":"
		    "[{\"name\":\"a\",\"content_base64\":\"!\"}]}",
		    "\"param\":\"/files/0/content_base64\"" },
		{ "GET", "/v1/models", "x", "takes no body" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		request(&c, rows[i].method, rows[i].path, key, rows[i].body);
		wait_for(&c, rows[i].want);
		assert_true(has(&c, "HTTP/1.1 4"));
		assert_true(peers.admit.refused != 0);
		assert_true(has(&c, "x-should-retry: false\r\n"));
		client_close(&c);
	}
	assert_int_equal(peers.calls + peers.runs, 0);
}

static void
answers_in_order(void **state)
{
	struct client c;
	char text[4096];
	const char *body = "{\"model\":\"demo\"," MESSAGES "}";
	int n = snprintf(text, sizeof(text),
	    "POST " CHAT_PATH " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	    key, strlen(body), body);

	(void)state;
	peers.models = answer_42;
	client_open(&c);
	assert_true(n > 0 && (size_t)n * 2 < sizeof(text));
	memcpy(text + n, text, (size_t)n);
	text[2 * n] = '\0';
	client_send(&c, text);
	wait_for(&c, "\"43\"");
	assert_true(
	    memmem(c.got.ptr, c.got.len, "\"42\"", 4) < memmem(c.got.ptr, c.got.len, "\"43\"", 4));
	assert_int_equal(peers.settles, 2);
	assert_int_equal(peers.settle.tokens_out, 2);
	assert_int_equal(peers.settle.estimated, 0);
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "\"up-demo\"", 9));
	client_close(&c);
}

static void
turn_without_stream(void **state)
{
	struct client c;

	(void)state;
	peers.models = tool_whole;
	peers.out = "1\n\xff";
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key,
	    "{\"model\":\"demo\",\"tools\":[{\"type\":\"code_interpreter\"}]," MESSAGES "}");
	wait_for(&c, "\"sandbox\":\"gvisor:python-3\"}]}}");
	assert_true(has(&c, "\"content\":\"42\""));
	assert_true(has(&c, "\"language\":\"python\",\"code\":\"print(1)\""));
	assert_true(has(&c, "\"stdout\":\"1\\n\xef\xbf\xbd\""));
	assert_true(has(&c, "\"prompt_tokens\":2"));
	assert_int_equal(peers.steps_run, 1);
	assert_int_equal(peers.steps_model, 1);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.settle.error, ERROR_NONE);
	assert_int_equal(peers.settle.tokens_in, 2);
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "\"tool_call_id\":\"c1\"", 19));
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "untrusted", 9));
	client_close(&c);
}

static void
turn_with_stream(void **state)
{
	struct client c;

	(void)state;
	peers.models = tool_stream;
	peers.out = "one\n";
	peers.hold_settle = true;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key,
	    "{\"model\":\"demo\",\"stream\":true,\"tools\":[{\"type\":\"code_interpreter\"}]"
	    "," MESSAGES "}");
	wait_for(&c, "\"content\":\"1\"");
	spin(20);
	client_read(&c);
	assert_true(has(&c, "\"event\":\"started\""));
	assert_true(has(&c, "\"event\":\"stdout\",\"data\":\"one\\n\""));
	assert_true(has(&c, "\"event\":\"result\""));
	assert_false(has(&c, "code_interpreter"));
	/* Nothing final before the end is durable. */
	assert_int_equal(peers.settles, 1);
	assert_false(has(&c, "\"stop\""));
	assert_false(has(&c, "[DONE]"));
	reply(peers.authority, peers.settle_id, GA_SETTLED, &(struct ga_settled){ 0 });
	wait_for(&c, "data: [DONE]\n\n");
	assert_true(has(&c, "\"stop\""));
	assert_true(has(&c, "\"steps\":[{"));
	client_close(&c);
}

static void
policy_attaches(void **state)
{
	struct client c;

	(void)state;
	peers.models = tool_whole;
	peers.attach = TOOL_CODE_INTERPRETER;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\"," MESSAGES "}");
	wait_for(&c, "\"steps\":[{");
	assert_int_equal(peers.attached, 1);
	assert_int_equal(peers.admits, 2);
	assert_int_equal(peers.runs, 1);
	client_close(&c);
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\",\"n\":2," MESSAGES "}");
	wait_for(&c, "clashes with the tool");
	client_close(&c);
}

static void
refused_language_is_told_to_the_model(void **state)
{
	struct client c;

	(void)state;
	peers.models = tool_whole;
	peers.run_error = ERROR_LANGUAGE;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key,
	    "{\"model\":\"demo\",\"tools\":[{\"type\":\"code_interpreter\"}]," MESSAGES "}");
	wait_for(&c, "\"steps\":[{");
	assert_int_equal(peers.runs, 0);
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "not offered here", 16));
	client_close(&c);
}

static void
executes(void **state)
{
	struct client c;

	(void)state;
	peers.out = "hello\n";
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	wait_for(&c, "\"sandbox\":\"gvisor:python-3\"}");
	assert_true(has(&c, "\"status\":\"exit\",\"exit_code\":0,\"stdout\":\"hello\\n\""));
	c.got.len = 0;
	request(&c, "POST", "/v1/execute", key,
	    "{\"language\":\"python\",\"code\":\"x\",\"stream\":true}");
	wait_for(&c, "event: result\n");
	assert_true(has(&c, "event: started\n"));
	assert_true(has(&c, "event: stdout\ndata: {\"data\":\"hello\\n\"}\n\n"));
	assert_int_equal(peers.settles, 2);
	client_close(&c);
}

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
bodies_wait_for_the_key(void **state)
{
	struct client c;
	char text[1024];

	(void)state;
	peers.models = answer_42;
	(void)snprintf(text, sizeof(text),
	    "POST " CHAT_PATH " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/json\r\nExpect: 100-continue\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n",
	    key);
	client_open(&c);
	client_send(&c, text);
	wait_for(&c, "100 Continue\r\n\r\n");
	assert_int_equal(peers.checks, 1);
	client_send(&c, "10\r\n{\"model\":\"demo\",\r\n");
	client_send(&c, "2c\r\n" MESSAGES "}\r\n0\r\n\r\n");
	wait_for(&c, "\"42\"");
	c.got.len = 0;
	/* An unknown key is told before its body comes, and the connection ends. */
	peers.check_error = ERROR_INVALID_KEY;
	client_send(&c, text);
	wait_for(&c, "HTTP/1.1 401 ");
	wait_eof(&c);
	assert_false(has(&c, "100 Continue"));
	assert_true(has(&c, "connection: close") || has(&c, "Connection: close"));
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
head_has_no_body(void **state)
{
	struct client c;

	(void)state;
	client_open(&c);
	client_send(&c, "HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
			"HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	wait_eof(&c);
	assert_false(has(&c, "{"));
	assert_int_equal(strncmp((char *)c.got.ptr, "HTTP/1.1 401 ", 13), 0);
	assert_non_null(memmem(c.got.ptr + 13, c.got.len - 13, "HTTP/1.1 401 ", 13));
	client_close(&c);
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

/* Last: the worker takes nothing new afterwards. */
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

static const char config[] = "policies: { default: { endpoints: \"*\", models: \"*\" } }\n"
			     "providers: { p: { kind: demo, credential: none } }\n"
			     "models: { demo: [ { provider: p, model: up-demo } ] }\n";

static int
start(void **state)
{
	const struct span sans[] = { SPAN_LIT("localhost") };
	const struct cert_leaf leaf = { .sans = sans, .san_count = 1, .ttl_s = 3600 };
	struct tls_client_opts o = { .alpn = NULL };
	const struct sockaddr_un any = { .sun_family = AF_UNIX };
	struct ctl_cert m;
	char error[CONF_ERROR_MAX];
	struct conf *conf = NULL;

	(void)state;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)uv_loop_init(&loop);
	d.loop = &loop;
	d.ctx = &g;
	if (!is_ok(conf_parse(span_str(config), &conf, error))) {
		print_error("%s\n", error);
		return -1;
	}
	d.conf = conf;
	if (!is_ok(worker_prepare(&d)) || !is_ok(keytext_create((uint8_t *)key)))
		return -1;
	worker_hook(&d);
	g.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(g.listen_fd, (const struct sockaddr *)&any, sizeof(any.sun_family)) != 0 ||
	    listen(g.listen_fd, 1) != 0 || !is_ok(accept_start(&g)))
		return -1;
	if (!is_ok(cert_ca_create(SPAN_LIT("CA"), &ca, &ca_key)) ||
	    !is_ok(cert_leaf_issue(buf_span(&ca), &ca_key, &leaf, &cert, &cert_key)))
		return -1;
	m = (struct ctl_cert){ .chain_pem = buf_span(&cert), .key_pem = secret_borrow(&cert_key) };
	worker_cert(&d, &m);
	o.ca_pem = buf_span(&ca);
	if (!is_ok(tls_client_ctx_new(&o, &client_ctx)))
		return -1;
	peer_up(EDGE_GATEWAY_AUTHORITY);
	peer_up(EDGE_GATEWAY_BROKER);
	peer_up(EDGE_GATEWAY_EXECUTOR);
	return 0;
}

#define FLOW(f) cmocka_unit_test_setup_teardown(f, fresh, clean)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(lists_models),
		FLOW(one_401_for_all),
		FLOW(bad_requests_are_told_to_valid_keys),
		FLOW(answers_in_order),
		FLOW(turn_without_stream),
		FLOW(turn_with_stream),
		FLOW(policy_attaches),
		FLOW(refused_language_is_told_to_the_model),
		FLOW(executes),
		FLOW(client_leaves),
		FLOW(revocation_ends_streams),
		FLOW(authority_dies),
		FLOW(executor_dies),
		FLOW(bodies_wait_for_the_key),
		FLOW(too_large_at_once),
		FLOW(slow_clients_stop_the_model),
		FLOW(provider_errors),
		FLOW(failure_within_a_stream),
		FLOW(turn_times_out),
		FLOW(slow_heads_time_out),
		FLOW(head_has_no_body),
		FLOW(garbage_gets_400),
		FLOW(draining),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
