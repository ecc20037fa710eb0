/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_RIG_H
#define TESTS_GATEWAY_RIG_H

/*
 * A whole worker of the gateway on its loop: a TLS client on one side; authority,
 * broker, executor and store played by the test on the others, over real links.
 */
#include "gateway_rig_authority.h"
#include "gateway_rig_broker.h"
#include "gateway_rig_content.h"

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
	{ GA_TOKEN, 0, on_token },
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
