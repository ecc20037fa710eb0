/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker: grants, and whole calls over real links: this test is gateway, authority and
 * provider at once.
 */
#include "unit.h"

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
#define WAIT_MS 3000
#define LOG_MAX (4U << 20)
#define BODY "\"demo\"{end}" /* as far as the broker looks into it */
#define BODY_LEN (sizeof(BODY) - 1)

/* ---- grants ---- */
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

static void
grants_are_used_once(void **state)
{
	struct grants *g = calloc(1, sizeof(*g));
	struct grant m = grant_of(1, 10, 3);
	struct held_grant row;

	(void)state;
	assert_int_equal(grants_use(g, m.grant, GATEWAY, 3, 100, &row).code, E_NOTFOUND);
	assert_true(is_ok(grants_add(g, &m, 100)));
	assert_int_equal(grants_add(g, &m, 100).code, E_EXISTS);
	assert_int_equal(grants_use(g, m.grant, OTHER_GATEWAY, 3, 100, &row).code, E_DENIED);
	assert_true(is_ok(grants_use(g, m.grant, GATEWAY, 3, 5099, &row)));
	assert_string_equal(row.target, "demo");
	assert_int_equal(grants_use(g, m.grant, GATEWAY, 3, 100, &row).code, E_NOTFOUND);

	assert_true(is_ok(grants_add(g, &m, 100)));
	assert_int_equal(grants_use(g, m.grant, GATEWAY, 3, 5100, &row).code, E_DENIED);
	assert_true(is_ok(grants_add(g, &m, 100)));
	assert_int_equal(grants_use(g, m.grant, GATEWAY, 4, 100, &row).code, E_DENIED);
	assert_int_equal(g->count, 0);
	free(g);
}

static void
grants_are_bounded(void **state)
{
	struct grants *g = calloc(1, sizeof(*g));
	struct held_grant row;

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		uint64_t now = 10000 * round; /* those of the round before have expired */

		for (unsigned i = 0; i < GRANTS_MAX; i++) {
			struct grant m = grant_of(0, i % 7, 3);

			memcpy(m.grant, &(unsigned[]){ i, round }, 8);
			assert_true(is_ok(grants_add(g, &m, now)));
		}
		struct grant more = grant_of(9, 1, 3);
		assert_int_equal(grants_add(g, &more, now).code, E_FULL);
	}
	grants_forget_turn(g, 3);
	assert_int_equal(g->count, GRANTS_MAX - GRANTS_MAX / 7);
	struct grant m = grant_of(9, 1, 3);
	assert_true(is_ok(grants_add(g, &m, 20000)));
	assert_true(is_ok(grants_use(g, m.grant, GATEWAY, 3, 20000, &row)));
	grants_forget_all(g);
	assert_int_equal(g->count, 0);
	free(g);
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
	unsigned dones, turn_ends;
	struct ab_done done;
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

static void
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

static void
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
	w.dones++;
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
	{ AB_TURN_ENDED, 0, on_turn_ended } };
static const struct link_ops authority_ops = { authority_rules, 2, link_closed };
static const struct link_ops gateway_ops = { NULL, 0, link_closed };
static const struct link_rule demo_rules[] = { { BD_CONNECT, 0, on_connect } };
static const struct link_ops demo_ops = { demo_rules, 1, link_closed };

static void
connect_demo(void)
{
	w.demo = connect_peer(EDGE_BROKER_DEMO, &bd_edge, false, &demo_ops, 3);
}

static int
world_up(void **state)
{
	static const char yaml[] = "policies: {p: {endpoints: chat, models: '*'}}\n"
				   "providers: {d: {kind: demo}}\n"
				   "models: {demo: [{provider: d, model: real}]}\n";
	char error[CONF_ERROR_MAX];

	(void)state;
	memset(&w, 0, sizeof(w));
	assert_true(is_ok(crypto_init()));
	assert_int_equal(uv_loop_init(&w.loop), 0);
	w.d.loop = &w.loop;
	assert_true(is_ok(conf_parse(span_str(yaml), &w.d.conf, error)));
	w.b = calloc(1, sizeof(*w.b));
	broker_init(w.b, &w.d);
	w.b->body_bytes_max = 1U << 20;
	w.body = BUF_INIT(LOG_MAX);
	w.authority = connect_peer(EDGE_AUTHORITY_BROKER, &ab_edge, true, &authority_ops, 2);
	w.gateway = connect_peer(EDGE_GATEWAY_BROKER, &gb_edge, true, &gateway_ops, GATEWAY);
	connect_demo();
	return 0;
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
	assert_int_equal(w.b->demo.nopen, 0);
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
wait_for(const unsigned *count, unsigned want)
{
	bool late = false;
	uv_timer_t timer;

	(void)uv_timer_init(&w.loop, &timer);
	timer.data = &late;
	(void)uv_timer_start(&timer, on_timeout, WAIT_MS, 0);
	while (*count < want && !late)
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
	assert_int_equal(*count, want);
}

/* Let what is under way arrive. */
static void
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
	if (w.body.len + data.len < LOG_MAX)
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

static const struct stream_ops stream_ops = { on_msg, on_data, on_end, NULL, on_closed };

static void
give_grant(uint8_t id, uint64_t turn, const char *body)
{
	struct grant g = grant_of(id, turn, (uint32_t)strlen(body));

	assert_true(is_ok(sha256(span_str(body), g.digest)));
	assert_true(is_ok(link_send(w.authority, 0, AB_GRANT, &g)));
	link_flush(w.authority);
}

static void
open_call(uint8_t id, size_t body_len, const char *body)
{
	struct gb_open open = { .body_len = (uint32_t)body_len, .stream = 1 };
	size_t taken;

	memset(open.grant, id, sizeof(open.grant));
	assert_true(is_ok(stream_open(w.gateway, GB_OPEN, &open, &stream_ops, NULL, &w.stream)));
	assert_true(is_ok(stream_write(w.stream, 0, span_str(body), &taken)));
	assert_int_equal(taken, strlen(body));
	stream_end(w.stream);
}

static void
ask(uint8_t id, const char *body)
{
	give_grant(id, id, body);
	open_call(id, strlen(body), body);
}

static void
expect_refused(enum error why)
{
	wait_for(&w.closes, 1);
	assert_int_equal(w.failures, 1);
	assert_int_equal(w.failed, why);
	assert_int_equal(w.heads, 0);
	assert_int_equal(w.requests, 0);
}

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
	assert_int_equal(w.b->demo.nkept, 1);
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
	assert_int_equal(w.b->demo.nkept, 0);
	assert_int_equal(w.b->demo.nopen, 0);
}

static void
calls_without_a_grant_are_refused(void **state)
{
	(void)state;
	open_call(1, BODY_LEN, BODY);
	expect_refused(ERROR_GRANT);
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
	ask(1, BODY);
	expect_refused(ERROR_UNAVAILABLE);
	w.closes = w.failures = 0;
	connect_demo(); /* it came back */
	ask(2, BODY);
	wait_for(&w.closes, 1);
	assert_int_equal(w.heads, 1);
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
	assert_int_equal(w.b->demo.nopen, 0);
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
	assert_true(uv_hrtime() - began < 100000000);
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
		cmocka_unit_test(grants_are_used_once),
		cmocka_unit_test(grants_are_bounded),
		CALL_TEST(a_call_is_answered),
		CALL_TEST(the_alias_stands_where_it_was_granted),
		CALL_TEST(connections_are_kept),
		CALL_TEST(a_stale_connection_is_tried_anew),
		CALL_TEST(idle_connections_that_end_are_dropped),
		CALL_TEST(calls_without_a_grant_are_refused),
		CALL_TEST(a_replayed_grant_is_refused),
		CALL_TEST(another_body_is_refused),
		CALL_TEST(a_short_or_long_body_is_refused),
		CALL_TEST(another_gateway_is_refused),
		CALL_TEST(bodies_in_memory_are_bounded),
		CALL_TEST(an_announced_body_takes_no_room),
		CALL_TEST(an_absent_provider_is_unavailable),
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
