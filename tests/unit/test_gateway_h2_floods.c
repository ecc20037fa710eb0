/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 as attackers speak it: each flood ends its connection, and nothing is left. */
#include "h2_peer.h"

#define EXECUTE "/v1/execute"
#define RUN "{\"language\":\"python\",\"code\":\"x\",\"stream\":true}"
#define GET_ROOT "\x82\x87\x84\x41\x09localhost" /* HPACK */

static struct peer p;

static int
start_h2(void **state)
{
	static const char *const alpn[] = { "h2", NULL };
	struct tls_client_opts o = { .alpn = alpn };

	if (start(state) != 0)
		return -1;
	tls_ctx_free(client_ctx);
	client_ctx = NULL;
	o.ca_pem = buf_span(&ca);
	return is_ok(tls_client_ctx_new(&o, &client_ctx)) ? 0 : -1;
}

static void
put_frame(struct buf *b, uint8_t type, uint8_t flags, int32_t id, struct span payload)
{
	const uint8_t head[9] = { (uint8_t)(payload.len >> 16), (uint8_t)(payload.len >> 8),
		(uint8_t)payload.len, type, flags, (uint8_t)(id >> 24), (uint8_t)(id >> 16),
		(uint8_t)(id >> 8), (uint8_t)id };

	assert_int_equal(buf_put(b, head, sizeof(head)).code, E_OK);
	assert_int_equal(buf_put_span(b, payload).code, E_OK);
}

/* Send it again and again; by the `limit`th time at the latest we are sent away. */
static void
flood_with(struct span frames, int least, int limit)
{
	int i;

	peer_spin(&p, 5);
	p.mute = true;
	for (i = 0; i < limit && !p.calmed; i++) {
		peer_send_raw(&p, frames);
		if (i % 16 == 15 || i > least)
			peer_turn(&p);
	}
	PEER_UNTIL(&p, p.calmed);
	assert_true(i >= least);
	PEER_UNTIL(&p, p.c.eof);
	spin(limit); /* what is on its way is thrown away, a record a time */
}

/* One frame each, on a connection with a run under way, which ends with it. */
static void
frames_that_carry_nothing(void **state)
{
	static const struct {
		uint8_t type, flags;
		int32_t id;
		struct span payload;
		int least, limit;
	} rows[] = {
		{ NGHTTP2_PING, 0, 0, SPAN_LIT("12345678"), 90, 300 },
		{ NGHTTP2_SETTINGS, 0, 0, SPAN_LIT(""), 10, 60 },
		{ NGHTTP2_WINDOW_UPDATE, 0, 0, SPAN_LIT("\0\0\0\1"), 1900, 5000 },
		{ NGHTTP2_GOAWAY, 0, 0, SPAN_LIT("\0\0\0\0\0\0\0\0"), 300, 2000 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf b = BUF_INIT(1 << 16);

		(void)fresh(state);
		peers.hold_run = true;
		peer_open(&p);
		(void)ask(&p, "POST", EXECUTE, key, RUN);
		PEER_UNTIL(&p, peers.runs == 1);
		put_frame(&b, rows[i].type, rows[i].flags, rows[i].id, rows[i].payload);
		flood_with(buf_span(&b), rows[i].least, rows[i].limit);
		spin(20);
		assert_int_equal(peers.runs_cancelled, 1);
		assert_int_equal(peers.settle.error, ERROR_CANCELLED);
		peer_close(&p);
	}
}

/* On a stream whose body was begun. */
static void
empty_data(void **state)
{
	static const struct {
		uint8_t flags;
		struct span payload;
	} rows[] = { { 0, SPAN_LIT("") }, { NGHTTP2_FLAG_PADDED, SPAN_LIT("\4\0\0\0\0") } };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const nghttp2_nv items[] = { LINE("POST", CHAT_PATH), bearer(key) };
		auto_buf struct buf b = BUF_INIT(1 << 16);

		peer_open(&p);
		(void)ask_nv(&p, items, COUNT(items), (struct h2_upload){ "{", 1, 0, true });
		peer_spin(&p, 10);
		put_frame(&b, NGHTTP2_DATA, rows[i].flags, 1, rows[i].payload);
		flood_with(buf_span(&b), 90, 400);
		peer_close(&p);
	}
}

static void
continuations(void **state)
{
	auto_buf struct buf b = BUF_INIT(1 << 16), more = BUF_INIT(1 << 16);

	(void)state;
	peer_open(&p);
	put_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, SPAN_LIT(GET_ROOT));
	put_frame(&more, NGHTTP2_CONTINUATION, 0, 1, SPAN_LIT("\0\1a\1b"));
	peer_spin(&p, 5);
	peer_send_raw(&p, buf_span(&b));
	flood_with(buf_span(&more), 8, 40);
	peer_close(&p);
	/* Of nothing at all. */
	peer_open(&p);
	peer_spin(&p, 5);
	buf_clear(&more);
	put_frame(&more, NGHTTP2_CONTINUATION, 0, 1, SPAN_EMPTY);
	peer_send_raw(&p, buf_span(&b));
	flood_with(buf_span(&more), 8, 40);
	peer_close(&p);
}

/* Small on the wire, endless when it is decoded. */
static void
header_bomb(void **state)
{
	static const struct span large = { (const uint8_t *)"\x40\1x\x7f\xbd\x1d", 6 };
	auto_buf struct buf b = BUF_INIT(1 << 16), block = BUF_INIT(1 << 16);

	(void)state;
	peer_open(&p);
	assert_int_equal(buf_put_span(&block, SPAN_LIT(GET_ROOT)).code, E_OK);
	assert_int_equal(buf_put_span(&block, large).code, E_OK);
	for (int i = 0; i < 3900; i++)
		assert_int_equal(buf_put_u8(&block, 'v').code, E_OK);
	while (block.len < 16384)
		assert_int_equal(buf_put_u8(&block, 0xbe).code, E_OK);
	put_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, buf_span(&block));
	peer_spin(&p, 5);
	p.mute = true;
	peer_send_raw(&p, buf_span(&b));
	PEER_UNTIL(&p, p.c.eof);
	assert_true(p.calmed);
	assert_int_equal(peers.admits, 0);
	peer_close(&p);
}

/* CVE-2023-44487: requests that are taken back at once. */
static void
rapid_reset(void **state)
{
	int n = 0;

	(void)state;
	peers.hold_admit = true;
	peer_open(&p);
	while (n < ANSWERS_MAX && p.goaways == 0) {
		int32_t id = ask(&p, "GET", "/v1/models", key, NULL);

		peer_turn(&p);
		(void)nghttp2_submit_rst_stream(p.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
		peer_turn(&p);
		n++;
	}
	assert_in_range(n, 190, 400);
	assert_true(p.calmed);
	PEER_UNTIL(&p, p.c.eof);
	peer_close(&p);
	link_free(peers.authority); /* those that wait for it are over */
	peers.authority = NULL;
	spin(20);
	peer_up(EDGE_GATEWAY_AUTHORITY);
}

/* CVE-2025-8671: requests that we are made to reset. */
static void
made_to_reset(void **state)
{
	int n = 0;

	(void)state;
	peers.hold_admit = true;
	peer_open(&p);
	peer_spin(&p, 5);
	p.mute = true;
	for (; n < 400 && !p.calmed; n++) {
		auto_buf struct buf b = BUF_INIT(1 << 16);

		put_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS,
		    2 * n + 1, SPAN_LIT(GET_ROOT));
		put_frame(&b, NGHTTP2_WINDOW_UPDATE, 0, 2 * n + 1, SPAN_LIT("\x7f\xff\xff\xff"));
		peer_send_raw(&p, buf_span(&b));
		peer_turn(&p);
	}
	assert_in_range(n, 190, 399);
	PEER_UNTIL(&p, p.c.eof);
	peer_close(&p);
	link_free(peers.authority);
	peers.authority = NULL;
	spin(20);
	peer_up(EDGE_GATEWAY_AUTHORITY);
}

/* Requests that are none cost an answer each: not for ever. */
static void
nonsense(void **state)
{
	auto_buf struct buf b = BUF_INIT(1 << 16);

	(void)state;
	peer_open(&p);
	peer_spin(&p, 5);
	p.mute = true;
	for (int32_t i = 0; i < 300 && !p.calmed; i++) {
		buf_clear(&b);
		put_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS,
		    2 * i + 1, SPAN_EMPTY);
		peer_send_raw(&p, buf_span(&b));
		peer_turn(&p);
		assert_true(i > 90 || !p.calmed);
	}
	assert_true(p.calmed);
	PEER_UNTIL(&p, p.c.eof);
	assert_int_equal(peers.admits, 0);
	peer_close(&p);
}

static void
heads_that_trickle(void **state)
{
	uint64_t was = g.timeouts.len_ms[TIMEOUT_HEADER];
	auto_buf struct buf b = BUF_INIT(1 << 16);

	(void)state;
	g.timeouts.len_ms[TIMEOUT_HEADER] = 1000;
	peer_open(&p);
	put_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_STREAM, 1, SPAN_LIT(GET_ROOT));
	peer_spin(&p, 5);
	p.mute = true;
	peer_send_raw(&p, buf_span(&b));
	PEER_UNTIL(&p, p.c.eof);
	assert_true(p.calmed);
	g.timeouts.len_ms[TIMEOUT_HEADER] = was;
	peer_close(&p);
}

static void
garbage(void **state)
{
	static const struct span rows[] = {
		SPAN_LIT("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		SPAN_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\5\7\0\0\0\0\0hello"),
		SPAN_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		for (struct span rest = rows[i]; rest.len > 0;) {
			size_t n = 0;

			(void)is_ok(tls_write(c.tls, rest, &n));
			rest = span_from(rest, n);
		}
		wait_eof(&c);
		assert_false(has(&c, "HTTP/1.1"));
		client_close(&c);
	}
}

/* A client with windows that are never used up asks for `flood` bytes, and reads none of them. */
static int32_t
ask_and_read_not(size_t flood)
{
	int32_t id;

	peers.models = (const struct model_script[]){ { 200, { FLOOD_CHUNK } } };
	peers.flood = flood;
	peer_open(&p);
	(void)nghttp2_session_set_local_window_size(p.session, NGHTTP2_FLAG_NONE, 0, 1 << 30);
	(void)nghttp2_submit_settings(p.session, NGHTTP2_FLAG_NONE,
	    (const nghttp2_settings_entry[]){ { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30 } },
	    1);
	id = ask(&p, "POST", CHAT_PATH, key, "{\"model\":\"demo\",\"stream\":true," MESSAGES "}");
	peer_turn(&p);
	spin(3000);
	return id;
}

/*
 * It reads on, and says nothing: there is room again, of which nobody but the socket tells. Once it
 * takes all that is there at once, and once a piece at a time.
 */
static void
unread_answers_go_on(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		peers.flooded = 0;
		peers.calls = 0;
		(void)ask_and_read_not(4UL << 20);
		assert_in_range(peers.flooded, 1, 4UL << 20);
		p.mute = true;
		for (int turns = 0; i == 1 && turns < 10; turns++) {
			spin(20);
			peer_turn(&p);
		}
		PEER_UNTIL(&p, peers.flooded >= peers.flood);
		peer_close(&p);
		spin(50);
		assert_int_equal(peers.calls_cancelled, i + 1);
	}
}

/* A client that sends and never reads is not read either. */
static void
unread_answers_stop_reading(void **state)
{
	struct client c;
	size_t sent = 0;
	auto_buf struct buf b = BUF_INIT(1 << 20);

	(void)state;
	(void)ask_and_read_not(64UL << 20);
	c = p.c;
	assert_in_range(peers.flooded, 1, 2UL << 20);
	put_frame(&b, 0xfa, 0, 0, span_of(p.answers, 1000)); /* of no known type: not counted */
	for (int idle = 0; idle < 100 && sent < 16UL << 20;) {
		size_t n = 0;
		struct status st = tls_write(c.tls, buf_span(&b), &n);

		assert_true(is_ok(st) || st.code == E_AGAIN);
		idle = is_ok(st) ? 0 : idle + 1;
		sent += n;
		turn_loop();
	}
	assert_in_range(sent, 1, 4UL << 20); /* what the socket took */
	assert_int_equal(g.nconns, 1);
	peer_close(&p);
	assert_int_equal(peers.calls_cancelled, 1);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FLOW(frames_that_carry_nothing),
		FLOW(empty_data),
		FLOW(continuations),
		FLOW(header_bomb),
		FLOW(rapid_reset),
		FLOW(made_to_reset),
		FLOW(nonsense),
		FLOW(heads_that_trickle),
		FLOW(garbage),
		FLOW(unread_answers_go_on),
		FLOW(unread_answers_stop_reading),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, start_h2, NULL);
}
