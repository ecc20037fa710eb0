/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gateways' streams at the store: done as granted, once, and told to the authority first; what
 * was not granted so is not done; answers as slow as they are read; ends of turns, gateways
 * and the authority.
 */
#include "content_world.h"
#include "pasted_forms.h"

#include <sys/socket.h>

#include <crypto/hash.h>

#include <content_stream.h>

static struct {
	uv_loop_t loop;
	struct daemon d;
	struct db *db;
	struct link *gw, *gw2;             /* the gateways' ends */
	struct link *authority, *to_store; /* the authority's end, and the store's */
	struct as_content_done done;
	unsigned dones, ended;
	uint64_t next;
} w;

/* What a gateway sees of one stream. */
struct seen {
	struct stream *stream;
	struct buf body;
	bool result, failed, closed, told_first;
	uint32_t answer_len;
	uint16_t error;
	bool lazy; /* gives no credit back */
};

static void
spin(void)
{
	for (int i = 0; i < 60; i++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

static void
on_done(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.done = *(const struct as_content_done *)msg;
	w.dones++;
}

static void
on_ended(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	w.ended++;
}

static void
on_gone(struct link *l, struct status why, void *ctx)
{
	(void)why;
	*(struct link **)ctx = NULL;
	link_free(l);
}

static void
on_store_gone(struct link *l, struct status why, void *ctx)
{
	content_authority_closed(l);
	on_gone(l, why, ctx);
}

static const struct link_rule authority_rules[] = { { AS_CONTENT_DONE, 0, on_done },
	{ AS_TURN_ENDED, 0, on_ended } };
static const struct link_ops authority_ops = { authority_rules, 2, on_gone };
static const struct link_rule store_rules[] = { { AS_GRANT, 0, content_on_grant },
	{ AS_TURN_END, 0, content_on_turn_end } };
static const struct link_ops store_ops = { store_rules, 2, on_store_gone };
static const struct link_ops gateway_ops = { NULL, 0, on_gone };

static void
pair_of(int fds[2])
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void
authority_connect_(void)
{
	int fds[2];

	pair_of(fds);
	assert_is_ok(
	    link_new(&w.loop, fds[0], &as_edge, true, &authority_ops, &w.authority, &w.authority));
	assert_is_ok(
	    link_new(&w.loop, fds[1], &as_edge, false, &store_ops, &w.to_store, &w.to_store));
	content_authority_connect(w.to_store);
}

static void
gateway_connect_(struct link **ret, uint32_t peer)
{
	int fds[2];

	pair_of(fds);
	assert_is_ok(link_new(&w.loop, fds[0], &gs_edge, true, &gateway_ops, ret, ret));
	content_gateway_connect(peer, fds[1]);
}

static int
begin(void **arg)
{
	(void)fresh(arg);
	memset(&w, 0, sizeof(w));
	assert_int_equal(uv_loop_init(&w.loop), 0);
	w.d = (struct daemon){ .loop = &w.loop };
	w.db = with_users();
	content_streams_init(&w.d, w.db);
	authority_connect_();
	gateway_connect_(&w.gw, 7);
	gateway_connect_(&w.gw2, 8);
	return 0;
}

static int
finish(void **arg)
{
	struct link **all[] = { &w.gw, &w.gw2, &w.authority };

	(void)arg;
	for (size_t i = 0; i < COUNT(all); i++) {
		if (*all[i] != NULL)
			link_free(*all[i]);
		*all[i] = NULL;
	}
	spin();
	assert_int_equal(uv_loop_close(&w.loop), 0);
	db_close(w.db);
	return 0;
}

static struct grant
grant_of(uint8_t op, uint8_t kind, const char *target, const struct buf *body)
{
	struct grant g = { .kind = GRANT_CONTENT,
		.turn = 100 + ++w.next,
		.gateway = 7,
		.tenant = SPAN_LIT("tenant0"),
		.user = SPAN_LIT("user0"),
		.target = span_str(target),
		.body_len = (uint32_t)body->len,
		.expires_ms = 5000,
		.content_op = op,
		.content_kind = kind };

	g.grant[0] = (uint8_t)w.next;
	assert_is_ok(sha256(buf_span(body), g.digest));
	return g;
}

static void
grant(const struct grant *g)
{
	assert_is_ok(link_send(w.authority, 0, AS_GRANT, g));
	link_flush(w.authority);
}

static void
on_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	struct seen *seen = ctx;

	(void)s;
	seen->told_first = w.dones > 0;
	seen->result = type == GS_RESULT;
	seen->failed = type == GS_FAILED;
	if (seen->result)
		seen->answer_len = ((const struct gs_result *)msg)->answer_len;
	if (seen->failed)
		seen->error = ((const struct gs_failed *)msg)->error;
}

static void
on_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct seen *seen = ctx;

	assert_int_equal(channel, 0);
	assert_true(w.dones > 0);
	assert_is_ok(buf_put_span(&seen->body, data));
	if (!seen->lazy)
		stream_consumed(s, data.len);
}

static void
on_end(struct stream *s, void *ctx)
{
	(void)s, (void)ctx;
}

static void
on_closed(struct stream *s, struct status why, void *ctx)
{
	struct seen *seen = ctx;

	(void)s, (void)why;
	seen->closed = true;
	seen->stream = NULL;
}

static const struct stream_ops gateway_stream = {
	.on_msg = on_msg, .on_data = on_data, .on_end = on_end, .on_closed = on_closed
};

static void
open_stream(struct link *gw, const struct grant *g, struct seen *seen)
{
	struct gs_open m = { .body_len = g->body_len };

	*seen = (struct seen){ .body = BUF_INIT(16U << 20), .lazy = seen->lazy };
	memcpy(m.grant, g->grant, GRANT_LEN);
	assert_is_ok(stream_open(gw, GS_OPEN, &m, &gateway_stream, seen, &seen->stream));
}

static void
send_body(struct seen *seen, const struct buf *body)
{
	for (size_t at = 0; at < body->len && seen->stream != NULL;) {
		size_t taken = 0;

		assert_is_ok(stream_write(seen->stream, 0, span_from(buf_span(body), at), &taken));
		at += taken;
		spin();
	}
	if (seen->stream != NULL)
		stream_end(seen->stream);
	spin();
}

static struct buf
encoded(const struct content_request *req)
{
	struct buf out = BUF_INIT(CONTENT_BLOB_MAX + 4096);

	assert_is_ok(wire_encode(&content_request_table, req, &out));
	return out;
}

static void
run(const struct grant *g, const struct buf *body, struct seen *seen)
{
	open_stream(w.gw, g, seen);
	send_body(seen, body);
}

static void
done_well(void **arg)
{
	auto_buf struct buf body = encoded(&(struct content_request){ .meta = SPAN_LIT("{}") });
	auto_arena struct arena arena = ARENA_INIT(1U << 20);
	struct grant g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &body);
	struct content_answer answer;
	struct seen seen = { .lazy = false };

	(void)arg;
	grant(&g);
	run(&g, &body, &seen);
	assert_true(seen.result && seen.told_first && seen.closed);
	assert_int_equal(seen.answer_len, seen.body.len);
	assert_int_equal(w.dones, 1);
	assert_int_equal(w.done.error, ERROR_NONE);
	assert_int_equal(w.done.turn, g.turn);
	assert_memory_equal(w.done.grant, g.grant, GRANT_LEN);
	assert_int_equal(w.done.items, 1);
	assert_is_ok(wire_decode(&content_answer_table, buf_span(&seen.body), &arena, &answer));
	assert_int_equal(answer.objects.count, 1);
	buf_done(&seen.body);
	/* A grant is good for one stream. */
	run(&g, &body, &seen);
	assert_false(seen.result);
	buf_done(&seen.body);
	/* What it says, the grant says: an error of the operation. */
	g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &body);
	grant(&g);
	run(&g, &body, &seen);
	assert_int_equal(seen.error, ERROR_CONTENT_EXISTS);
	assert_int_equal(w.done.error, ERROR_CONTENT_EXISTS);
	buf_done(&seen.body);
}

/* What the policy masks, whatever the gateway did, the grant says, and the tables do not take. */
static void
masked_as_granted(void **arg)
{
	auto_buf struct buf body = encoded(
	    &(struct content_request){ .meta = SPAN_LIT("{\"a\":\"" GH "\"}") });

	(void)arg;
	for (uint8_t masked = 0; masked < 2; masked++) {
		struct grant g = grant_of(
		    CONTENT_CREATE, CONTENT_CONVERSATION, masked ? "conv_2" : "conv_1", &body);
		struct seen seen = { .lazy = false };

		g.masked = masked;
		grant(&g);
		run(&g, &body, &seen);
		assert_int_equal(seen.result, !masked);
		assert_int_equal(w.done.error, masked ? ERROR_CREDENTIAL_IN_CONTENT : ERROR_NONE);
		buf_done(&seen.body);
	}
}

/* The stream overtakes its grant: it waits. */
static void
grant_comes_late(void **arg)
{
	auto_buf struct buf body = encoded(&(struct content_request){ .meta = SPAN_LIT("{}") });
	struct grant g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &body);
	struct seen seen = { .lazy = false };

	(void)arg;
	run(&g, &body, &seen);
	assert_false(seen.result || seen.failed);
	grant(&g);
	spin();
	assert_true(seen.result);
	buf_done(&seen.body);
}

static void
not_as_granted(void **arg)
{
	auto_buf struct buf body = encoded(&(struct content_request){ .meta = SPAN_LIT("{}") });
	auto_buf struct buf other = encoded(&(struct content_request){ .meta = SPAN_LIT("[]") });
	auto_buf struct buf junk = BUF_INIT(64);
	struct seen seen = { .lazy = false };
	struct grant g;

	(void)arg;
	/* Other bytes of the same length. */
	g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &body);
	grant(&g);
	run(&g, &other, &seen);
	assert_int_equal(seen.error, ERROR_GRANT);
	assert_int_equal(w.done.error, ERROR_GRANT);
	buf_done(&seen.body);
	/* Another gateway's. */
	g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &body);
	g.gateway = 8;
	grant(&g);
	run(&g, &body, &seen);
	assert_int_equal(seen.error, ERROR_GRANT);
	assert_int_equal(w.dones, 1); /* it is still the other one's */
	buf_done(&seen.body);
	/* Of another kind. */
	g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &body);
	g.kind = GRANT_RUN;
	grant(&g);
	run(&g, &body, &seen);
	assert_int_equal(seen.error, ERROR_GRANT);
	buf_done(&seen.body);
	/* Longer, and shorter, than granted. */
	g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &body);
	grant(&g);
	g.body_len++;
	run(&g, &body, &seen);
	assert_int_equal(seen.error, ERROR_GRANT);
	buf_done(&seen.body);
	/* As granted, and no request. */
	assert_is_ok(buf_put_str(&junk, "\xff\xff\xff\xff no request"));
	g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &junk);
	grant(&g);
	run(&g, &junk, &seen);
	assert_int_equal(seen.error, ERROR_GRANT);
	buf_done(&seen.body);
	assert_int_equal(number(w.db, "SELECT count(*) FROM objects"), 0);
}

static void
ends(void **arg)
{
	auto_buf struct buf body = encoded(&(struct content_request){ .meta = SPAN_LIT("{}") });
	struct grant g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &body);
	struct turn_ref ref = { .turn = g.turn };
	struct seen seen = { .lazy = false };

	(void)arg;
	/* A turn that ends before its grant is used. */
	grant(&g);
	assert_is_ok(link_send(w.authority, 9, AS_TURN_END, &ref));
	spin();
	assert_int_equal(w.ended, 1);
	assert_int_equal(w.dones, 0);
	/* One that ends while the request comes. */
	g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_2", &body);
	grant(&g);
	open_stream(w.gw, &g, &seen);
	spin();
	ref.turn = g.turn;
	assert_is_ok(link_send(w.authority, 9, AS_TURN_END, &ref));
	spin();
	assert_true(seen.failed);
	assert_int_equal(w.done.error, ERROR_CANCELLED);
	send_body(&seen, &body);
	buf_done(&seen.body);
	/* A gateway that leaves in the middle. */
	g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_3", &body);
	grant(&g);
	open_stream(w.gw, &g, &seen);
	spin();
	link_free(w.gw);
	w.gw = NULL;
	spin();
	assert_int_equal(w.dones, 2);
	assert_int_equal(w.done.error, ERROR_CANCELLED);
	buf_done(&seen.body);
	/* Without an authority nothing is done, whatever it granted. */
	gateway_connect_(&w.gw, 7);
	g = grant_of(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_4", &body);
	grant(&g);
	spin();
	link_free(w.authority);
	w.authority = NULL;
	spin();
	run(&g, &body, &seen);
	assert_int_equal(seen.error, ERROR_UNAVAILABLE);
	buf_done(&seen.body);
	/* A new one does not know of the old one's grants. */
	authority_connect_();
	run(&g, &body, &seen);
	assert_false(seen.result);
	buf_done(&seen.body);
	assert_int_equal(number(w.db, "SELECT count(*) FROM objects"), 0);
}

/* 3 MiB in and out; a reader that gives no credit gets a credit's worth, and holds nobody up. */
static void
large(void **arg)
{
	size_t len = 3U << 20;
	uint8_t *bytes = calloc(1, len);
	const struct content_request file = { .meta = SPAN_LIT("{}"), .body = span_of(bytes, len) };
	auto_buf struct buf body = encoded(&file), none = encoded(&(struct content_request){ 0 });
	struct seen seen = { .lazy = false }, lazy = { .lazy = true };
	struct grant g = grant_of(CONTENT_CREATE, CONTENT_FILE, "file_1", &body);

	(void)arg;
	grant(&g);
	run(&g, &body, &seen);
	assert_true(seen.result);
	buf_done(&seen.body);
	g = grant_of(CONTENT_BODY, CONTENT_FILE, "file_1", &none);
	grant(&g);
	run(&g, &none, &lazy);
	assert_int_equal(lazy.body.len, LINK_STREAM_CREDIT);
	assert_false(lazy.result);
	g = grant_of(CONTENT_BODY, CONTENT_FILE, "file_1", &none);
	grant(&g);
	run(&g, &none, &seen);
	for (int i = 0; i < 300 && !seen.result; i++)
		spin();
	assert_true(seen.result);
	assert_int_equal(seen.answer_len, seen.body.len);
	assert_true(seen.body.len > len);
	buf_done(&seen.body);
	buf_done(&lazy.body);
	free(bytes);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(done_well), T(masked_as_granted), T(grant_comes_late),
		T(not_as_granted), T(ends), T(large) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
