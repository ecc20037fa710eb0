/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_RIG_H
#define TESTS_GATEWAY_RIG_H

/*
 * A whole worker of the gateway on its loop: a TLS client on one side; authority,
 * broker, executor and store played by the test on the others, over real links.
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
#include <wire/gateway_store.h>
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
	struct link *authority, *broker, *executor, *store;
	/* what to say */
	enum error check_error, admit_error, run_error;
	uint8_t attach;
	const struct model_script *models; /* one a call */
	const char *names;                 /* of models, '\n' between; NULL: the usual ones */
	const char *out, *err, *files;
	const struct ga_tool *tools; /* of the key */
	uint32_t ntools;
	uint64_t catalog;
	uint8_t more;
	const struct ge_result *result; /* of a run; NULL: it exits with 0 */
	const struct ge_failed *failed;
	enum error step_error; /* for a tool */
	bool grants_refused;   /* an authority that grants what it is told not to */
	bool hold_step;
	uint64_t step_ids[16];
	bool hold_run, hold_settle, hold_admit, hold_check;
	struct span long_text; /* the whole answer of a model, as its stream takes it */
	size_t flood;          /* bytes of content that the model streams */
	const struct content_answer *contents; /* of the store, one an operation; NULL: empty */
	enum error content_error;
	uint32_t content_cut; /* bytes that it says it has sent, and has not */
	bool may_store, mask, hold_content;
	bool mask_again; /* asks for what is to be kept without credentials */
	/* what was seen */
	int contents_done, contents_cancelled, steps_content;
	struct ga_step content_step;
	char content_id[CONTENT_ID_MAX + 1]; /* admitted, or of the last step */
	struct buf content;                  /* encoded, of the last operation */
	struct stream *content_stream;
	int checks, admits, attached, offered, steps_run, steps_tool, steps_model, settles;
	int steps_refused; /* by the gateway, told to be put on record */
	int failures, revoked;
	struct ga_step step;
	int calls, runs, runs_cancelled, calls_cancelled;
	uint32_t failures_counted;
	struct ga_admit admit;
	struct ga_settle settle;
	uint64_t settle_id, admit_id, check_id;
	struct buf body; /* of the last model call */
	char version[ANTHROPIC_VERSION_MAX + 1], beta[ANTHROPIC_BETA_MAX + 1];
	struct stream *run_stream, *call_stream;
	size_t flooded;
	uint8_t digest[DIGEST_LEN]; /* granted last */
	uint8_t leaked[KEY_TEXT_LEN];
	size_t leaked_len;
} peers = { .body = BUF_INIT(16UL << 20), .content = BUF_INIT(16UL << 20) };

static inline void
reply(struct link *l, uint64_t id, uint16_t type, const void *msg)
{
	assert_int_equal(link_send(l, id, type, msg).code, E_OK);
}

static inline void
on_check(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_checked m = { .error = (uint16_t)peers.check_error };

	(void)msg, (void)ctx;
	peers.checks++;
	peers.check_id = id;
	if (!peers.hold_check)
		reply(l, id, GA_CHECKED, &m);
}

/* What depends on the key's tools. */
static inline void
admit_tools(struct ga_admitted *m)
{
	uint8_t e = peers.admit.endpoint;
	bool told = e >= ENDPOINT_TOOL_LIST && e <= ENDPOINT_TOOL_CURRENT;
	bool asks = (e == ENDPOINT_TOOL_CALL || endpoint_rows[e].takes_tools) && m->error == 0 &&
		    (peers.admit.catalog != peers.catalog || m->attach != peers.admit.attached);

	if (told || asks)
		m->turn = 0;
	if (m->error != 0 || (!told && !asks && e != ENDPOINT_TOOL_PUSH))
		return;
	m->catalog = peers.catalog;
	m->tools = (struct wire_list){ (void *)(uintptr_t)peers.tools, peers.ntools };
	m->more = peers.more;
	peers.offered += asks;
}

static inline void
admit_now(struct link *l, uint64_t id)
{
	struct ga_admitted m = { .error = (uint16_t)peers.admit_error,
		.turn = 7,
		.limit = 10,
		.remaining = 9,
		.reset_ms = 6000,
		.steps_max = 4,
		.models = peers.names != NULL ? span_str(peers.names)
					      : SPAN_LIT("demo\norg/gpt-5.5\nother") };

	if (peers.admit.refused != 0 && m.error == 0)
		m.error = peers.admit.refused;
	if (m.error != 0 || peers.admit.endpoint == ENDPOINT_MODELS)
		m.turn = 0;
	if (endpoint_rows[peers.admit.endpoint].takes_tools && m.error == 0) {
		m.attach = peers.attach & (uint8_t) ~(peers.admit.tools & ~peers.admit.attached);
		peers.attached += m.attach != peers.admit.attached;
		m.turn = m.attach != peers.admit.attached ? 0 : m.turn;
	}
	admit_tools(&m);
	m.store = m.turn != 0 && peers.may_store && peers.admit.store != STORE_NO;
	m.mask = peers.mask;
	if (peers.mask_again && peers.admit.credentials == CREDENTIALS_FOUND && m.error == 0) {
		m.mask = 1;
		m.turn = 0;
	}
	reply(l, id, GA_ADMITTED, &m);
}

static inline void
on_admit(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	peers.admits++;
	peers.admit = *(const struct ga_admit *)msg;
	assert_true(is_ok(
	    span_to_cstr(peers.admit.content_id, peers.content_id, sizeof(peers.content_id))));
	peers.leaked_len = peers.admit.leaked.len;
	if (peers.leaked_len > 0)
		memcpy(peers.leaked, peers.admit.leaked.ptr, peers.leaked_len);
	memcpy(peers.digest, peers.admit.digest, DIGEST_LEN);
	peers.admit_id = id;
	if (!peers.hold_admit)
		admit_now(l, id);
}

static inline void
on_step(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_step *s = msg;
	struct ga_granted m = { .error = ERROR_NONE };

	(void)ctx;
	assert_int_equal(s->turn, 7);
	if (s->refused != ERROR_NONE) {
		peers.steps_refused++;
		m.error = s->refused;
		if (peers.grants_refused)
			m.error = ERROR_NONE;
	} else if (s->kind == STEP_RUN) {
		peers.steps_run++;
		m.error = (uint16_t)peers.run_error;
	} else if (s->kind == STEP_TOOL) {
		peers.steps_tool++;
		m.error = (uint16_t)peers.step_error;
	} else if (s->kind == STEP_CONTENT) {
		peers.steps_content++;
		peers.content_step = *s;
		assert_true(
		    is_ok(span_to_cstr(s->content_id, peers.content_id, sizeof(peers.content_id))));
	} else {
		peers.steps_model++;
	}
	peers.step = *s;
	if (peers.hold_step) {
		peers.step_ids[peers.steps_tool - 1] = id;
		return;
	}
	if (m.error == ERROR_NONE)
		memcpy(peers.digest, s->digest, DIGEST_LEN);
	reply(l, id, GA_GRANTED, &m);
}

static inline void
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

static inline void
on_failures(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	peers.failures++;
	peers.failures_counted += ((const struct ga_failures *)msg)->count;
}

static inline void
on_revoked(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	peers.revoked++;
}

static inline void
check_digest(struct span body)
{
	uint8_t digest[DIGEST_LEN];

	assert_int_equal(sha256(body, digest).code, E_OK);
	assert_memory_equal(digest, peers.digest, DIGEST_LEN);
}

/* -- broker -- */

static inline void
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

static inline void
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

static inline void
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

static inline void
send_long(struct stream *s)
{
	while (peers.long_text.len > 0) {
		size_t taken = 0;

		assert_int_equal(stream_write(s, 0, peers.long_text, &taken).code, E_OK);
		if (taken == 0)
			return;
		peers.long_text = span_from(peers.long_text, taken);
	}
	stream_end(s);
}

static inline void
more_credit(struct stream *s, void *ctx)
{
	(void)ctx;
	if (peers.long_text.len > 0)
		send_long(s);
	else
		flood(s);
}

static inline void
call_end(struct stream *s, void *ctx)
{
	const struct model_script *m = &peers.models[peers.calls++];
	struct gb_head head = { .status = m->status };
	const char *first = m->parts[0];

	(void)ctx;
	check_digest(buf_span(&peers.body));
	head.sse = first != NULL &&
		   (strncmp(first, "data:", 5) == 0 || strncmp(first, "event:", 6) == 0);
	assert_int_equal(stream_send(s, GB_HEAD, &head).code, E_OK);
	for (int i = 0; i < ANSWER_PARTS && m->parts[i] != NULL; i++)
		write_all(s, 0, m->parts[i]);
	if (peers.long_text.len > 0) {
		send_long(s);
		return;
	}
	if (peers.flood > 0) {
		flood(s);
		return;
	}
	if (m->status != 0)
		stream_end(s);
}

static inline void
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

static inline void
on_call(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct gb_open *m = msg;

	(void)ctx;
	assert_true(
	    is_ok(span_to_cstr(m->anthropic_version, peers.version, sizeof(peers.version))));
	assert_true(is_ok(span_to_cstr(m->anthropic_beta, peers.beta, sizeof(peers.beta))));
	buf_clear(&peers.body);
	assert_int_equal(stream_accept(l, id, &broker_stream, NULL, &peers.call_stream).code, E_OK);
}

/* -- executor -- */

static struct buf run_body = BUF_INIT(16UL << 20);

static inline void
run_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	(void)channel, (void)ctx;
	assert_int_equal(buf_put_span(&run_body, data).code, E_OK);
	stream_consumed(s, data.len);
}

static inline void
run_end(struct stream *s, void *ctx)
{
	const struct ge_started started = { SPAN_LIT("gvisor:python-3") };
	const struct ge_result result = { .status = RUN_EXIT, .duration_ms = 3 };

	(void)ctx;
	peers.runs++;
	check_digest(buf_span(&run_body));
	if (peers.failed != NULL) {
		assert_int_equal(stream_send(s, GE_FAILED, peers.failed).code, E_OK);
		return;
	}
	assert_int_equal(stream_send(s, GE_STARTED, &started).code, E_OK);
	if (peers.out != NULL)
		write_all(s, RUN_STDOUT, peers.out);
	if (peers.err != NULL)
		write_all(s, RUN_STDERR, peers.err);
	if (peers.hold_run)
		return;
	assert_int_equal(
	    stream_send(s, GE_RESULT, peers.result != NULL ? peers.result : &result).code, E_OK);
	stream_end(s);
}

static inline void
run_closed(struct stream *s, struct status why, void *ctx)
{
	(void)s, (void)ctx;
	peers.runs_cancelled += why.code == E_CLOSED;
	peers.run_stream = NULL;
}

static const struct stream_ops executor_stream = {
	.on_data = run_data, .on_end = run_end, .on_closed = run_closed
};

static inline void
on_run(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)msg, (void)ctx;
	buf_clear(&run_body);
	assert_int_equal(
	    stream_accept(l, id, &executor_stream, NULL, &peers.run_stream).code, E_OK);
}

/* -- store -- */

static inline void
content_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	(void)ctx;
	assert_int_equal(channel, 0);
	assert_int_equal(buf_put_span(&peers.content, data).code, E_OK);
	stream_consumed(s, data.len);
}

static inline void
content_end(struct stream *s, void *ctx)
{
	static const struct content_answer none = { .more = 0 };
	const struct content_answer *a = peers.contents != NULL
					     ? &peers.contents[peers.contents_done]
					     : &none;
	const struct gs_failed failed = { .error = (uint16_t)peers.content_error };
	struct gs_result result = { .answer_len = 0 };
	struct buf out = BUF_INIT(16UL << 20);
	size_t taken = 0;

	(void)ctx;
	check_digest(buf_span(&peers.content));
	peers.contents_done++;
	if (peers.hold_content)
		return;
	if (peers.content_error != ERROR_NONE) {
		assert_int_equal(stream_send(s, GS_FAILED, &failed).code, E_OK);
		return;
	}
	assert_int_equal(wire_encode(&content_answer_table, a, &out).code, E_OK);
	assert_int_equal(stream_write(s, 0, buf_span(&out), &taken).code, E_OK);
	assert_int_equal(taken, out.len);
	result.answer_len = (uint32_t)out.len + peers.content_cut;
	buf_done(&out);
	assert_int_equal(stream_send(s, GS_RESULT, &result).code, E_OK);
	stream_end(s);
}

static inline void
content_closed(struct stream *s, struct status why, void *ctx)
{
	(void)s, (void)ctx;
	peers.contents_cancelled += why.code == E_CLOSED;
	peers.content_stream = NULL;
}

static const struct stream_ops store_stream = {
	.on_data = content_data, .on_end = content_end, .on_closed = content_closed
};

static inline void
on_content(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)msg, (void)ctx;
	buf_clear(&peers.content);
	assert_int_equal(
	    stream_accept(l, id, &store_stream, NULL, &peers.content_stream).code, E_OK);
}

static inline void
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
static const struct link_rule store_rules[] = { { GS_OPEN, 0, on_content } };

static inline void
peer_up(enum edge edge)
{
	static const struct link_ops ops[] = {
		{ authority_rules, COUNT(authority_rules), peer_closed },
		{ broker_rules, COUNT(broker_rules), peer_closed },
		{ executor_rules, COUNT(executor_rules), peer_closed },
		{ store_rules, COUNT(store_rules), peer_closed },
	};
	static const struct wire_edge *const edges[] = { &ga_edge, &gb_edge, &ge_edge, &gs_edge };
	struct link **const mine[] = { &peers.authority, &peers.broker, &peers.executor,
		&peers.store };
	int i = (int)edge - EDGE_GATEWAY_AUTHORITY;
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

static inline void
turn_loop(void)
{
	(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static inline void
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

static inline void
client_close(struct client *c)
{
	tls_conn_free(c->tls);
	(void)close(c->fd);
	buf_done(&c->got);
	for (int i = 0; i < 20; i++)
		turn_loop();
}

static inline void
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

static inline void
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

static inline bool
has(const struct client *c, const char *text)
{
	return c->got.len > 0 && memmem(c->got.ptr, c->got.len, text, strlen(text)) != NULL;
}

/* Until `text` has come. */
static inline void
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

static inline void
wait_eof(struct client *c)
{
	uint64_t end = uv_hrtime() / 1000000 + WAIT_MS;

	while (!c->eof && uv_hrtime() / 1000000 < end) {
		turn_loop();
		client_read(c);
	}
	assert_true(c->eof);
}

static inline void
spin(int n)
{
	for (int i = 0; i < n; i++)
		turn_loop();
}

static inline void
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

/* ---- before and after each test ---- */

static inline int
fresh(void **state)
{
	struct buf body = peers.body, content = peers.content;
	struct link *l[4] = { peers.authority, peers.broker, peers.executor, peers.store };

	(void)state;
	memset(&peers, 0, sizeof(peers));
	peers.body = body;
	peers.authority = l[0];
	peers.broker = l[1];
	peers.executor = l[2];
	tool_sets_free(&g.tool_sets);
	peers.store = l[3];
	peers.content = content;
	return 0;
}

/* Nothing is left of the test before. */
static inline int
clean(void **state)
{
	(void)state;
	spin(20);
	assert_true(TAILQ_EMPTY(&g.active));
	assert_int_equal(g.nconns, 0);
	assert_int_equal(g.bodies.used[POOL_SMALL] + g.bodies.used[POOL_LARGE], 0);
	assert_int_equal(g.bodies.owners, 0);
	assert_null(peers.run_stream);
	assert_null(peers.call_stream);
	assert_null(peers.content_stream);
	return 0;
}

static const char config[] = "policies: { default: { endpoints: \"*\", models: \"*\" } }\n"
			     "providers: { p: { kind: demo, credential: none } }\n"
			     "models: { demo: [ { provider: p, model: up-demo } ] }\n";

/* Models of providers that speak all of a vendor's endpoints. */
static inline void
more_models(void)
{
	g.models[g.nmodels++] = (struct model_name){ SPAN_LIT("org/gpt-5.5"),
		1U << ENDPOINT_CHAT | 1U << ENDPOINT_RESPONSES | 1U << ENDPOINT_EMBEDDINGS };
}

static inline int
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
	g.fds_max = 1024;
	if (!is_ok(worker_prepare(&d)) || !is_ok(keytext_create((uint8_t *)key)))
		return -1;
	worker_hook(&d);
	more_models();
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
	peer_up(EDGE_GATEWAY_STORE);
	return 0;
}

#define FLOW(f) cmocka_unit_test_setup_teardown(f, fresh, clean)

#endif
