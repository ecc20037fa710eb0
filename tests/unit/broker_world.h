/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BROKER_WORLD_H
#define TESTS_BROKER_WORLD_H

/*
 * A broker on real links: the test is gateway and authority, and the process `demo` behind its
 * link. Providers on sockets are in tls_server.h.
 */
#include "unit.h"

#define UNUSED __attribute__((unused))

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <broker.h>

#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <wire/broker_demo.h>

#define GATEWAY 7U
#define OTHER_GATEWAY 8U
#define WAIT_MS 60000 /* what is not there then hangs */
#define LOG_MAX (4U << 20)
#define BODY "\"demo\"{end}" /* as far as the broker looks into it */
#define BODY_LEN (sizeof(BODY) - 1)

static struct grant
grant_of(uint8_t id, uint64_t turn, uint32_t body_len)
{
	struct grant g = { .turn = turn,
		.gateway = GATEWAY,
		.tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.target = SPAN_LIT("demo"),
		.endpoint = ENDPOINT_CHAT,
		.body_len = body_len,
		.expires_ms = 5000 };

	memset(g.grant, id, sizeof(g.grant));
	return g;
}

/* ---- the world around a broker ---- */
enum play { PLAY_ANSWER, PLAY_CUT, PLAY_MUTE, PLAY_GARBAGE, PLAY_FLOOD, PLAY_CLOSE };

struct server { /* one accepted connection of the provider */
	uv_poll_t poll;
	int fd;
	size_t want, got;
	struct buf in;
	bool open;
};

static struct world {
	uv_loop_t loop;
	struct daemon d;
	struct broker *b;
	struct link *gateway, *authority, *demo;
	struct server servers[16];
	size_t nservers;
	enum play play;
	unsigned requests;
	size_t flooded;
	/* what the gateway saw */
	struct stream *stream;
	struct gb_head head;
	struct buf body;
	unsigned heads, failures, ends, closes;
	uint16_t failed;
	struct status closed;
	bool hold; /* do not consume */
	size_t held;
	/* what the authority saw */
	unsigned dones, turn_ends, attempts;
	struct ab_done done;
	struct ab_attempted attempted;
	char provider[PROVIDER_MAX + 1], version[SECRET_VERSION_MAX + 1];
	char upstream_id[UPSTREAM_ID_MAX + 1];
	char attempted_version[SECRET_VERSION_MAX + 1];
	/* what is asked */
	enum ga_endpoint endpoint;
	const char *tenant;
	struct gb_open open;
	struct span rest; /* of a body that is on its way */
	bool sending;
	bool count_only; /* of what the gateway saw */
	uint64_t counted;
} w;

static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
			     "content-length: 5\r\nretry-after: 2\r\n\r\nhello";

static void
server_close(struct server *s)
{
	if (!s->open)
		return;
	s->open = false;
	(void)uv_poll_stop(&s->poll);
	uv_close((uv_handle_t *)&s->poll, NULL);
	(void)close(s->fd);
	buf_done(&s->in);
}

static void
send_text(struct server *s, const char *text)
{
	assert_int_equal(send(s->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void UNUSED
flood(struct server *s)
{
	static char chunk[65536];
	ssize_t n;

	while ((n = send(s->fd, chunk, sizeof(chunk), MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
		w.flooded += (size_t)n;
}

static void
serve(struct server *s)
{
	w.requests++;
	switch (w.play) {
	case PLAY_ANSWER:
	case PLAY_CLOSE:
		send_text(s, answer);
		if (w.play == PLAY_CLOSE)
			server_close(s);
		break;
	case PLAY_CUT:
		send_text(s, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel");
		server_close(s);
		break;
	case PLAY_GARBAGE:
		send_text(s, "SSH-2.0-OpenSSH\r\n\r\n");
		break;
	case PLAY_FLOOD:
		send_text(s, "HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
		flood(s);
		break;
	case PLAY_MUTE:
	default:
		break;
	}
}

static void
on_server(uv_poll_t *p, int status, int events)
{
	struct server *s = p->data;
	char part[65536];
	ssize_t n = recv(s->fd, part, sizeof(part), MSG_DONTWAIT);
	const uint8_t *end;

	(void)status, (void)events;
	if (n <= 0) {
		server_close(s);
		return;
	}
	assert_true(is_ok(buf_put(&s->in, part, (size_t)n)));
	end = memmem(s->in.ptr, s->in.len, "\r\n\r\n", 4);
	if (end == NULL || memmem(s->in.ptr, s->in.len, "{end}", 5) == NULL)
		return;
	assert_non_null(memmem(s->in.ptr, s->in.len, "POST /v1/chat/completions HTTP/1.1\r\n", 36));
	assert_non_null(memmem(s->in.ptr, s->in.len, "\"real\"{end}", 11));
	buf_clear(&s->in);
	serve(s);
}

static void UNUSED
on_connect(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct server *s = &w.servers[w.nservers++];

	(void)id, (void)msg, (void)ctx;
	assert_true(w.nservers <= COUNT(w.servers));
	*s = (struct server){ .fd = link_take_fd(l), .open = true, .in = BUF_INIT(LOG_MAX) };
	assert_true(s->fd >= 0);
	assert_int_equal(uv_poll_init(&w.loop, &s->poll, s->fd), 0);
	s->poll.data = s;
	assert_int_equal(uv_poll_start(&s->poll, UV_READABLE, on_server), 0);
}

static void
on_done(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.done = *(const struct ab_done *)msg;
	assert_true(is_ok(span_to_cstr(w.done.provider, w.provider, sizeof(w.provider))));
	assert_true(is_ok(span_to_cstr(w.done.secret_version, w.version, sizeof(w.version))));
	assert_true(is_ok(span_to_cstr(w.done.upstream_id, w.upstream_id, sizeof(w.upstream_id))));
	w.dones++;
}

static void
on_attempted(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.attempted = *(const struct ab_attempted *)msg;
	assert_true(is_ok(span_to_cstr(
	    w.attempted.secret_version, w.attempted_version, sizeof(w.attempted_version))));
	w.attempts++;
}

static void
on_turn_ended(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	w.turn_ends++;
}

static void
link_closed(struct link *l, struct status why, void *ctx)
{
	struct link **at = l == w.gateway ? &w.gateway : l == w.demo ? &w.demo : &w.authority;

	(void)why, (void)ctx;
	*at = NULL;
	link_free(l);
}

static struct link *
connect_peer(enum edge edge, const struct wire_edge *wire, bool a_end, const struct link_ops *ops,
    uint32_t peer_id)
{
	struct link *l;
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	peers_add(w.b, edge, peer_id, fds[0]);
	assert_true(is_ok(link_new(&w.loop, fds[1], wire, a_end, ops, &w, &l)));
	return l;
}

static const struct link_rule authority_rules[] = { { AB_DONE, 0, on_done },
	{ AB_TURN_ENDED, 0, on_turn_ended }, { AB_ATTEMPTED, 0, on_attempted } };
static const struct link_ops authority_ops = { authority_rules, 3, link_closed };
static const struct link_ops gateway_ops = { NULL, 0, link_closed };
static const struct link_rule UNUSED demo_rules[] = { { BD_CONNECT, 0, on_connect } };
static const struct link_ops UNUSED demo_ops = { demo_rules, 1, link_closed };

static void UNUSED
connect_demo(void)
{
	w.demo = connect_peer(EDGE_BROKER_DEMO, &bd_edge, false, &demo_ops, 3);
}

#define POLICY "policies: {p: {endpoints: '*', models: '*'}}\n"

/* Take another configuration, as after a reload. `ca`: of all providers. */
static struct status
world_configure(const char *yaml, struct span ca)
{
	char error[CONF_ERROR_MAX] = "";
	struct conf *conf = NULL;
	struct status st = conf_parse(span_str(yaml), &conf, error);

	if (!is_ok(st))
		print_error("%s\n", error);
	assert_true(is_ok(st));
	conf_free(w.d.conf);
	w.d.conf = conf;
	buf_clear(&w.b->system_ca);
	assert_true(is_ok(buf_put_span(&w.b->system_ca, ca)));
	return providers_load(w.b);
}

static void
world_begin(const char *yaml, struct span ca)
{
	memset(&w, 0, sizeof(w));
	assert_true(is_ok(crypto_init()));
	assert_true(is_ok(tls_init()));
	assert_int_equal(uv_loop_init(&w.loop), 0);
	w.d.loop = &w.loop;
	w.b = calloc(1, sizeof(*w.b));
	assert_true(is_ok(resolver_new(&w.b->resolver)));
	broker_init(w.b, &w.d);
	assert_true(is_ok(resolver_configure(w.b->resolver, &w.loop, SPAN_EMPTY, SPAN_EMPTY)));
	assert_true(is_ok(world_configure(yaml, ca)));
	w.b->body_bytes_max = 1U << 20;
	w.body = BUF_INIT(LOG_MAX);
	w.authority = connect_peer(EDGE_AUTHORITY_BROKER, &ab_edge, true, &authority_ops, 2);
	w.gateway = connect_peer(EDGE_GATEWAY_BROKER, &gb_edge, true, &gateway_ops, GATEWAY);
}

static int UNUSED
world_up(void **state)
{
	(void)state;
	world_begin(POLICY "providers: {d: {kind: demo}}\n"
			   "models: {demo: [{provider: d, model: real}]}\n",
	    SPAN_EMPTY);
	connect_demo();
	return 0;
}

/* Connections of a provider, open or being made. */
static size_t UNUSED
open_conns(const char *provider)
{
	return upstream_open(provider_find(w.b, provider)->upstream);
}

static int
world_down(void **state)
{
	(void)state;
	w.stream = NULL;
	peers_free(w.b);
	link_free(w.authority);
	link_free(w.gateway);
	link_free(w.demo);
	for (size_t i = 0; i < w.nservers; i++)
		server_close(&w.servers[i]);
	for (int i = 0; i < 100 && uv_run(&w.loop, UV_RUN_NOWAIT) != 0; i++)
		(void)usleep(1000);
	assert_int_equal(w.b->ncalls, 0);
	assert_int_equal(w.b->body_bytes, 0);
	assert_int_equal(uv_loop_close(&w.loop), 0); /* no handle was leaked */
	conf_free(w.d.conf);
	buf_done(&w.body);
	free(w.b);
	return 0;
}

static void
on_timeout(uv_timer_t *t)
{
	*(bool *)t->data = true;
}

/* Run until *count reaches `want`. */
static void
wait_for_ms(const unsigned *count, unsigned want, uint64_t ms)
{
	bool late = false;
	uv_timer_t timer;

	(void)uv_timer_init(&w.loop, &timer);
	timer.data = &late;
	(void)uv_timer_start(&timer, on_timeout, ms, 0);
	while (*count < want && !late)
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	assert_int_equal(*count, want);
}

static void UNUSED
wait_for(const unsigned *count, unsigned want)
{
	wait_for_ms(count, want, WAIT_MS);
}

/* Let what is under way arrive. */
static void UNUSED
settle(void)
{
	for (int i = 0; i < 20; i++) {
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
		(void)usleep(500);
	}
}

/* ---- the gateway's side ---- */
static void
on_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	(void)s, (void)ctx;
	if (type == GB_HEAD) {
		w.head = *(const struct gb_head *)msg;
		w.heads++;
	} else {
		w.failed = ((const struct gb_failed *)msg)->error;
		w.failures++;
	}
}

static void
on_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	(void)ctx;
	assert_int_equal(channel, 0);
	w.counted += data.len;
	if (!w.count_only && w.body.len + data.len < LOG_MAX)
		assert_true(is_ok(buf_put_span(&w.body, data)));
	if (w.hold)
		w.held += data.len;
	else
		stream_consumed(s, data.len);
}

static void
on_end(struct stream *s, void *ctx)
{
	(void)s, (void)ctx;
	w.ends++;
}

static void
on_closed(struct stream *s, struct status why, void *ctx)
{
	(void)ctx;
	if (w.stream == s)
		w.stream = NULL;
	w.closed = why;
	w.closes++;
}

static void
push_rest(struct stream *s)
{
	size_t taken = 0;

	while (w.rest.len > 0 && is_ok(stream_write(s, 0, w.rest, &taken)) && taken > 0)
		w.rest = span_from(w.rest, taken);
	if (w.sending && w.rest.len == 0) {
		w.sending = false;
		stream_end(s);
	}
}

static void
on_writable(struct stream *s, void *ctx)
{
	(void)ctx;
	push_rest(s);
}

static const struct stream_ops stream_ops = { on_msg, on_data, on_end, on_writable, on_closed };

static void UNUSED
give_grant(uint8_t id, uint64_t turn, const char *body)
{
	struct grant g = grant_of(id, turn, (uint32_t)strlen(body));

	if (w.endpoint != 0)
		g.endpoint = (uint8_t)w.endpoint;
	if (w.tenant != NULL)
		g.tenant = span_str(w.tenant);
	assert_true(is_ok(sha256(span_str(body), g.digest)));
	assert_true(is_ok(link_send(w.authority, 0, AB_GRANT, &g)));
	link_flush(w.authority);
}

static void UNUSED
open_call(uint8_t id, size_t body_len, const char *body)
{
	w.open.body_len = (uint32_t)body_len;
	w.open.stream = 1;
	memset(w.open.grant, id, sizeof(w.open.grant));
	assert_true(is_ok(stream_open(w.gateway, GB_OPEN, &w.open, &stream_ops, NULL, &w.stream)));
	w.rest = span_str(body);
	w.sending = true;
	push_rest(w.stream);
}

static void UNUSED
ask(uint8_t id, const char *body)
{
	give_grant(id, id, body);
	open_call(id, strlen(body), body);
}

static void UNUSED
expect_refused(enum error why)
{
	wait_for(&w.closes, 1);
	assert_int_equal(w.failures, 1);
	assert_int_equal(w.failed, why);
	assert_int_equal(w.heads, 0);
	assert_int_equal(w.requests, 0);
}

#endif
