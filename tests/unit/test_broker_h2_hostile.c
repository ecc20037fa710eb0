/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/h2_flood.c, h2_session.c, h2_out.c: peers that break the rules; secrets on their way.
 */
#include "broker_h2_rig.h"

/* ---- hostile peers ---- */
static struct {
	uint8_t type, flags;
	int32_t id; /* -1: the request's */
	struct span payload;
	unsigned count;
	bool head;
} flood;

static void
floods(struct h2o_conn *c, int32_t id)
{
	if (flood.head)
		h2o_raw(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, SPAN_LIT(H200));
	for (unsigned i = 0; i < flood.count; i++)
		h2o_raw(c, flood.type, flood.flags, flood.id < 0 ? id : flood.id, flood.payload);
}

static void
floods_end_the_connection(void **state)
{
	static const uint8_t zeros[64];
	static const struct {
		uint8_t type, flags;
		int32_t id;
		uint8_t len;
		unsigned count;
		bool head;
	} rows[] = {
		{ NGHTTP2_SETTINGS, 0, 0, 0, 100, false },
		{ NGHTTP2_PING, 0, 0, 8, 300, false },
		{ NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, 8, 300, false },
		{ NGHTTP2_DATA, 0, -1, 0, 300, true },
		{ NGHTTP2_PRIORITY, 0, 3, 5, 600, false },
		{ NGHTTP2_GOAWAY, 0, 0, 8, 600, false },
		{ NGHTTP2_CONTINUATION, 0, -1, 0, 50, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct x *x = &w.xs[i];
		struct h2o_conn *c;

		w.o.on_request = floods;
		flood.type = rows[i].type;
		flood.flags = rows[i].flags;
		flood.id = rows[i].id;
		flood.payload = span_of(zeros, rows[i].len);
		flood.count = rows[i].count;
		flood.head = rows[i].head;
		(void)ask(i);
		UNTIL(x->fails == 1);
		assert_false(x->stale && rows[i].type != NGHTTP2_GOAWAY);
		c = &w.o.conns[w.o.nconns - 1];
		UNTIL(!c->open);
		assert_int_equal(w.o.nconns, i + 1);
		assert_int_equal(upstream_open(w.u), 0);
	}
}

/* As nginx does when it answers without the body: once a request, and no flood. */
static void
answers_and_resets(struct h2o_conn *c, int32_t id)
{
	h2o_raw(c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, SPAN_LIT(H200));
	h2o_raw(c, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, SPAN_LIT("hello"));
	h2o_raw(c, NGHTTP2_RST_STREAM, 0, id, SPAN_LIT("\0\0\0\0"));
}

static void
a_reset_with_each_answer_is_no_flood(void **state)
{
	(void)state;
	w.o.on_request = answers_and_resets;
	for (unsigned i = 1; i <= 2000; i++) {
		struct x *x = ask(0);

		UNTIL(x->ends == i);
	}
	assert_int_equal(w.o.nconns, 1);
}

static void
many_resets(struct h2o_conn *c, int32_t id)
{
	for (int i = 0; i < 1000; i++)
		h2o_raw(c, NGHTTP2_RST_STREAM, 0, id, SPAN_LIT("\0\0\0\x08"));
}

static void
resets_beyond_requests_are_one(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = many_resets;
	x = ask(0);
	UNTIL(x->fails == 1);
	UNTIL(w.o.closed == 1);
}

/* A header block that never ends: by CONTINUATION, and by size. */
static void
endless(struct h2o_conn *c, int32_t id)
{
	static uint8_t block[16000];

	/* x: 'a' …, literal without indexing, again and again */
	for (size_t i = 0; i + 127 < sizeof(block); i += 124) {
		block[i] = 0;
		block[i + 1] = 1;
		block[i + 2] = 'x';
		block[i + 3] = 120;
		memset(block + i + 4, 'a', 120);
	}
	h2o_raw(c, NGHTTP2_HEADERS, 0, id, span_of(block, 124UL * 100));
	for (int i = 0; i < 30; i++)
		h2o_raw(c, NGHTTP2_CONTINUATION, 0, id, span_of(block, 124UL * 100));
}

static void
endless_heads_end_the_connection(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = endless;
	x = ask(0);
	UNTIL(x->fails == 1);
	UNTIL(w.o.closed == 1);
}

static void
pushes(struct h2o_conn *c, int32_t id)
{
	h2o_raw(c, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, id,
	    SPAN_LIT("\x00\x00\x00\x02\x82\x87\x84"));
}

static void
nobody_pushes(void **state)
{
	struct x *x;

	(void)state;
	w.o.on_request = pushes;
	x = ask(0);
	UNTIL(x->fails == 1);
	UNTIL(w.o.closed == 1);
}

static void
speaks_otherwise(struct h2o_conn *c, int32_t id)
{
	(void)id;
	c->mute = false;
	assert_true(is_ok(buf_put_str(&c->raw, "HTTP/1.1 400 Bad Request\r\n\r\n")));
}

static void
what_is_no_http_2_ends(void **state)
{
	struct x *x;

	(void)state;
	w.o.no_settings = true;
	w.o.on_request = speaks_otherwise;
	x = ask(0);
	UNTIL(x->fails == 1);
	assert_int_equal(x->why, ERROR_UPSTREAM);
	UNTIL(w.o.closed == 1);
}

/* ---- output ---- */
static void
secrets_lie_between_bytes(void **state)
{
	struct span parts[CONN_PARTS];
	struct h2_out o;
	char all[64] = "";
	size_t n, len = 0;

	(void)state;
	h2_out_init(&o);
	assert_true(is_ok(h2_out_put(&o, SPAN_LIT("ab"))));
	h2_out_put_secret(&o, SPAN_LIT("one"), "1");
	h2_out_put_secret(&o, SPAN_LIT("two"), "2");
	assert_true(is_ok(h2_out_put(&o, SPAN_LIT("cd"))));
	h2_out_put_secret(&o, SPAN_LIT("three"), "1");
	h2_out_advance(&o, 3); /* "abo" */
	assert_true(is_ok(h2_out_put(&o, SPAN_LIT("ef"))));
	h2_out_forget(&o, o.secrets[0].owner);
	while (!h2_out_empty(&o)) { /* a byte at a time */
		n = h2_out_parts(&o, parts);
		assert_true(n > 0 && parts[0].len > 0);
		all[len++] = parts[0].ptr[0] == 0 ? '0' : (char)parts[0].ptr[0];
		h2_out_advance(&o, 1);
	}
	assert_string_equal(all, "00twocd00000ef");
	h2_out_done(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(floods_end_the_connection),
		T(a_reset_with_each_answer_is_no_flood),
		T(resets_beyond_requests_are_one),
		T(endless_heads_end_the_connection),
		T(nobody_pushes),
		T(what_is_no_http_2_ends),
		cmocka_unit_test(secrets_lie_between_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
