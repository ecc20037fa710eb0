/* SPDX-License-Identifier: Apache-2.0 */
/* lib/link: the codec's limits, calls, descriptors, streams, hostile peers. */
#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <link/link.h>
#include <wire/authority_audit.h>
#include <wire/broker_demo.h>
#include <wire/gateway_broker.h>

struct end {
	struct link *link;
	int messages, closed, ended, stream_closed, replies;
	int reads, messages_read; /* calls of on_read; messages by the first of them */
	uint16_t last_type;
	struct status why, stream_why, reply_status;
	struct stream *stream;
	struct buf got;
	int fd;
	bool hold_credit, accept_streams;
	size_t to_send, sent;
};

static uv_loop_t loop;
static struct end a, b;

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	struct end *e = ctx;

	(void)l;
	e->closed++;
	e->why = why;
}

static void
on_read(struct link *l, void *ctx)
{
	struct end *e = ctx;

	(void)l;
	if (e->reads++ == 0)
		e->messages_read = e->messages;
}

static void
on_s_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct end *e = ctx;

	(void)channel;
	assert_true(is_ok(buf_put_span(&e->got, data)));
	if (!e->hold_credit)
		stream_consumed(s, data.len);
}

static void
on_s_end(struct stream *s, void *ctx)
{
	struct end *e = ctx;

	e->ended++;
	stream_end(s);
}

static void
on_s_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	struct end *e = ctx;

	(void)s, (void)msg;
	e->last_type = type;
	e->messages++;
}

static void
send_more(struct stream *s, void *ctx)
{
	static const uint8_t zeros[5000];
	struct end *e = ctx;
	size_t taken = 1;

	while (e->sent < e->to_send && taken > 0) {
		size_t n = e->to_send - e->sent < sizeof(zeros) ? e->to_send - e->sent
								: sizeof(zeros);

		assert_true(is_ok(stream_write(s, 0, span_of(zeros, n), &taken)));
		e->sent += taken;
	}
	if (e->sent == e->to_send)
		stream_end(s);
}

static void
on_s_closed(struct stream *s, struct status why, void *ctx)
{
	struct end *e = ctx;

	(void)s;
	e->stream_closed++;
	e->stream_why = why;
	e->stream = NULL;
}

static const struct stream_ops stream_ops = { on_s_msg, on_s_data, on_s_end, send_more,
	on_s_closed };

static void
on_open(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct end *e = ctx;

	(void)msg;
	e->messages++;
	if (e->accept_streams)
		assert_true(is_ok(stream_accept(l, id, &stream_ops, e, &e->stream)));
}

static void
on_append(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct aa_append *m = msg;
	const struct audit_rec *recs = m->records.items;
	const struct audit_value *v = recs[0].values.items;
	struct aa_receipt receipt = { .first_seq = recs[0].proc_seq, .count = m->records.count };
	struct end *e = ctx;

	assert_int_equal(recs[0].values.count, 2);
	assert_true(span_eq_str(v[0].str, "bearer"));
	e->messages++;
	if (receipt.first_seq != 99) /* 99: never answered */
		assert_true(is_ok(link_send(l, id, AA_RECEIPT, &receipt)));
}

static void
on_connect(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct end *e = ctx;

	(void)id, (void)msg;
	e->messages++;
	e->fd = link_take_fd(l);
}

static const struct link_rule audit_rules[] = { { AA_APPEND, 2, on_append } };
static const struct link_ops audit_ops = { audit_rules, 1, on_closed, on_read };
static const struct link_rule broker_rules[] = { { GB_OPEN, 0, on_open } };
static const struct link_ops broker_ops = { broker_rules, 1, on_closed };
static const struct link_rule demo_rules[] = { { BD_CONNECT, 0, on_connect } };
static const struct link_ops demo_ops = { demo_rules, 1, on_closed };
static const struct link_ops no_rules = { NULL, 0, on_closed };

static void
turn(void)
{
	for (int i = 0; i < 50; i++)
		(void)uv_run(&loop, UV_RUN_NOWAIT);
}

static int
pair_up(const struct wire_edge *edge, const struct link_ops *b_ops, bool raw_a)
{
	int fds[2];

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	a.got = b.got = BUF_INIT(1 << 20);
	a.fd = b.fd = -1;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_true(is_ok(link_new(&loop, fds[1], edge, false, b_ops, &b, &b.link)));
	if (raw_a)
		return fds[0];
	assert_true(is_ok(link_new(&loop, fds[0], edge, true, &no_rules, &a, &a.link)));
	return -1;
}

static void
tear_down(void)
{
	link_free(a.link);
	link_free(b.link);
	turn();
	buf_done(&a.got);
	buf_done(&b.got);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static struct audit_value values[] = { { .kind = AUDIT_V_STR },
	{ .kind = AUDIT_V_BOOL, .num = 1 } };
static struct audit_rec rec = { .event = EVENT_AUTHENTICATION, .outcome = AUDIT_SUCCESS };

static struct aa_append
append_of(uint64_t proc_seq)
{
	values[0].str = SPAN_LIT("bearer");
	rec.values = (struct wire_list){ values, 2 };
	rec.proc_seq = proc_seq;
	return (struct aa_append){ .records = { &rec, 1 } };
}

static void
on_reply(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct end *e = ctx;

	(void)l;
	e->replies++;
	e->reply_status = st;
	e->last_type = type;
	if (is_ok(st))
		assert_true(((const struct aa_receipt *)msg)->first_seq == 7);
}

/* So whoever gathers what they lead to can write it once. */
static void
one_read_is_told_once(void **state)
{
	(void)state;
	(void)pair_up(&aa_edge, &audit_ops, false);
	link_set_state(b.link, 2);
	for (int i = 0; i < 3; i++) {
		struct aa_append m = append_of(7);

		assert_true(is_ok(link_call(a.link, AA_APPEND, &m, 1000, on_reply, &a, NULL)));
	}
	turn();
	assert_int_equal(b.messages, 3);
	assert_int_equal(b.reads, 1);
	assert_int_equal(b.messages_read, 3);
	tear_down();
}

static void
calls_are_answered_or_time_out(void **state)
{
	struct aa_append m = append_of(7);

	(void)state;
	(void)pair_up(&aa_edge, &audit_ops, false);
	link_set_state(b.link, 2);
	assert_true(is_ok(link_call(a.link, AA_APPEND, &m, 1000, on_reply, &a, NULL)));
	assert_int_equal(a.replies, 0);
	turn();
	assert_int_equal(a.replies, 1);
	assert_int_equal(a.last_type, AA_RECEIPT);
	m = append_of(99);
	assert_true(is_ok(link_call(a.link, AA_APPEND, &m, 30, on_reply, &a, NULL)));
	for (int i = 0; i < 20; i++) {
		(void)usleep(5000);
		turn();
	}
	assert_int_equal(a.reply_status.code, E_TIMEOUT);
	assert_int_equal(a.replies, 2);
	assert_true(is_ok(link_call(a.link, AA_APPEND, &m, 1000, on_reply, &a, NULL)));
	turn();
	link_free(b.link);
	b.link = NULL;
	turn();
	assert_int_equal(a.replies, 3);
	assert_int_equal(a.reply_status.code, E_CLOSED);
	assert_int_equal(a.closed, 1);
	tear_down();
}

/* ---- a link that is freed while calls wait ---- */
static struct waiter {
	uint64_t id, cancels, replies;
	struct status st;
	bool frees;
} waiters[4];

static void
on_waiter(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct waiter *w = ctx;
	struct aa_append m = append_of(7);

	assert_null(msg);
	assert_int_equal(type, 0);
	w->replies++;
	w->st = st;
	if (w->cancels != 0)
		link_call_cancel(l, w->cancels);
	if (w->frees)
		link_free(l);
	/* Nothing begins on it any more: it would never be told. */
	assert_int_equal(link_call(l, AA_APPEND, &m, 1000, on_waiter, w, NULL).code, E_CLOSED);
}

static void
call_all(void)
{
	struct aa_append m = append_of(7);

	memset(waiters, 0, sizeof(waiters));
	for (size_t i = 0; i < COUNT(waiters); i++)
		assert_true(is_ok(
		    link_call(a.link, AA_APPEND, &m, 30, on_waiter, &waiters[i], &waiters[i].id)));
}

static void
a_freed_link_tells_who_waits(void **state)
{
	(void)state;
	(void)pair_up(&aa_edge, &audit_ops, false);
	call_all();
	waiters[0].cancels = waiters[1].id; /* a cancelled one hears nothing */
	waiters[2].frees = true;            /* again, in the midst of it */
	link_free(a.link);
	for (size_t i = 0; i < COUNT(waiters); i++) {
		assert_int_equal(waiters[i].replies, i != 1);
		assert_int_equal(waiters[i].st.code, i == 1 ? 0 : E_CLOSED);
	}
	a.link = NULL;
	turn();
	assert_int_equal(a.closed, 0);
	for (size_t i = 0; i < COUNT(waiters); i++)
		assert_int_equal(waiters[i].replies, i != 1);
	tear_down();
}

/* Freed by one of several that are over their time: the others hear that, and only once. */
static void
a_link_may_be_freed_by_a_call_that_is_late(void **state)
{
	(void)state;
	(void)pair_up(&aa_edge, &audit_ops, false);
	call_all();
	waiters[0].frees = true;
	for (int i = 0; i < 20 && waiters[0].replies == 0; i++) {
		(void)usleep(5000);
		(void)uv_run(&loop, UV_RUN_NOWAIT);
	}
	a.link = NULL;
	turn();
	for (size_t i = 0; i < COUNT(waiters); i++) {
		assert_int_equal(waiters[i].replies, 1);
		assert_int_equal(waiters[i].st.code, E_TIMEOUT);
	}
	tear_down();
}

static void
a_message_in_the_wrong_state_drops_the_peer(void **state)
{
	struct aa_append m = append_of(7);

	(void)state;
	(void)pair_up(&aa_edge, &audit_ops, false); /* b stays in state 1; APPEND wants 2 */
	assert_true(is_ok(link_send(a.link, 0, AA_APPEND, &m)));
	turn();
	assert_int_equal(b.messages, 0);
	assert_int_equal(b.closed, 1);
	assert_int_equal(b.why.code, E_PROTO);
	tear_down();
}

static void
limits_hold_in_both_directions(void **state)
{
	static uint8_t big[AUDIT_STR_MAX + 1];
	struct buf out = BUF_INIT(65536);
	struct arena arena = ARENA_INIT(65536);
	struct aa_append m = append_of(1), back;
	const struct wire_table *t = &aa_msgs[AA_APPEND].table;

	(void)state;
	assert_true(is_ok(wire_encode(t, &m, &out)));
	assert_true(is_ok(wire_decode(t, buf_span(&out), &arena, &back)));
	for (size_t cut = 0; cut < out.len; cut++)
		assert_int_equal(
		    wire_decode(t, span_of(out.ptr, cut), &arena, &back).code, E_PROTO);
	assert_true(is_ok(buf_put_u8(&out, 0)));
	assert_int_equal(wire_decode(t, buf_span(&out), &arena, &back).code, E_PROTO);
	values[0].str = span_of(big, sizeof(big));
	buf_clear(&out);
	assert_int_equal(wire_encode(t, &m, &out).code, E_RANGE);
	assert_int_equal(out.len, 0);
	m.records.count = 0;
	assert_int_equal(wire_encode(t, &m, &out).code, E_RANGE);
	buf_done(&out);
	arena_done(&arena);
}

static void
descriptors_travel_with_their_message(void **state)
{
	const struct wire_none none = { 0 };
	int p[2];
	char c = 0;

	(void)state;
	(void)pair_up(&bd_edge, &demo_ops, false);
	assert_int_equal(pipe(p), 0);
	assert_true(is_ok(link_send(a.link, 0, BD_CONNECT, &none)));
	assert_true(is_ok(link_send_fds(a.link, 0, BD_CONNECT, &none, &p[1], 1)));
	turn();
	assert_int_equal(b.messages, 2);
	assert_true(b.fd >= 0);
	assert_true((fcntl(b.fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(write(b.fd, "x", 1), 1);
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(c, 'x');
	(void)close(b.fd);
	(void)close(p[0]);
	(void)close(p[1]);
	tear_down();
}

static void
streams_move_any_size_under_credit(void **state)
{
	const struct gb_open open = { .body_len = 5 };

	(void)state;
	(void)pair_up(&gb_edge, &broker_ops, false);
	b.accept_streams = true;
	a.to_send = 300000;
	assert_true(is_ok(stream_open(a.link, GB_OPEN, &open, &stream_ops, &a, &a.stream)));
	send_more(a.stream, &a);
	assert_int_equal(a.sent, LINK_STREAM_CREDIT);
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(b.got.len, 300000);
	assert_int_equal(a.stream_closed + b.stream_closed, 2);
	assert_int_equal(a.stream_why.code, E_EOF);
	tear_down();
}

static void
a_slow_reader_holds_its_writer(void **state)
{
	const struct gb_open open = { .body_len = 5 };

	(void)state;
	(void)pair_up(&gb_edge, &broker_ops, false);
	b.accept_streams = b.hold_credit = true;
	a.to_send = 300000;
	assert_true(is_ok(stream_open(a.link, GB_OPEN, &open, &stream_ops, &a, &a.stream)));
	send_more(a.stream, &a);
	turn();
	assert_int_equal(b.got.len, LINK_STREAM_CREDIT);
	assert_int_equal(a.sent, LINK_STREAM_CREDIT);
	stream_consumed(b.stream, LINK_STREAM_CREDIT);
	turn();
	assert_int_equal(a.sent, 2 * LINK_STREAM_CREDIT);
	stream_cancel(b.stream, 42);
	turn();
	assert_int_equal(a.stream_closed, 1);
	assert_int_equal(a.stream_why.err, 42);
	assert_int_equal(b.stream_closed, 0);
	tear_down();
}

static void
an_unaccepted_stream_is_cancelled(void **state)
{
	const struct gb_open open = { .body_len = 5 };

	(void)state;
	(void)pair_up(&gb_edge, &broker_ops, false);
	assert_true(is_ok(stream_open(a.link, GB_OPEN, &open, &stream_ops, &a, &a.stream)));
	turn();
	assert_int_equal(a.stream_closed, 1);
	assert_int_equal(a.stream_why.code, E_CLOSED);
	tear_down();
}

/* More streams than the queue has room for, and a peer that reads nothing for a while. */
static void
many_streams_share_a_full_queue(void **state)
{
	static struct end ends[450];
	const struct gb_open open = { .body_len = 5 };
	int fds[2];
	size_t sent = 0;

	(void)state;
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	b.got = BUF_INIT(32 << 20);
	b.accept_streams = true;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_true(is_ok(link_new(&loop, fds[0], &gb_edge, true, &no_rules, &a, &a.link)));
	for (size_t i = 0; i < COUNT(ends); i++) {
		ends[i] = (struct end){ .to_send = 24000 };
		assert_true(is_ok(
		    stream_open(a.link, GB_OPEN, &open, &stream_ops, &ends[i], &ends[i].stream)));
		send_more(ends[i].stream, &ends[i]);
		sent += ends[i].sent;
	}
	assert_true(sent < COUNT(ends) * LINK_STREAM_CREDIT); /* the queue was full */
	turn();
	assert_true(is_ok(link_new(&loop, fds[1], &gb_edge, false, &broker_ops, &b, &b.link)));
	for (int i = 0; i < 400 && b.stream_closed < (int)COUNT(ends); i++)
		turn();
	turn();
	assert_int_equal(b.got.len, COUNT(ends) * 24000);
	for (size_t i = 0; i < COUNT(ends); i++)
		assert_int_equal(ends[i].stream_closed, 1);
	tear_down();
}

/* Frames by hand: length, kind, descriptors, type, id. */
static const struct {
	const char *what;
	uint8_t bytes[24];
	size_t len;
} hostile[] = {
	{ "a length over the limit", { 0x7f, 0xff, 0xff, 0xff, 1, 0, 0, 1 }, 16 },
	{ "kind 0", { 0, 0, 0, 0, 0, 0, 0, 1 }, 16 },
	{ "an unknown kind", { 0, 0, 0, 0, 9, 0, 0, 1 }, 16 },
	{ "an unknown type", { 0, 0, 0, 0, 1, 0, 0, 77 }, 16 },
	{ "type 0", { 0, 0, 0, 0, 1, 0, 0, 0 }, 16 },
	{ "a message of the other direction", { 0, 0, 0, 7, 1, 0, 0, GB_HEAD }, 23 },
	{ "descriptors that did not come", { 0, 0, 0, 0, 1, 3, 0, GB_OPEN }, 16 },
	{ "a short message", { 0, 0, 0, 1, 1, 0, 0, GB_OPEN }, 17 },
};

static void
hostile_frames_drop_the_peer(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(hostile); i++) {
		int raw = pair_up(&gb_edge, &broker_ops, true);

		assert_int_equal(
		    write(raw, hostile[i].bytes, hostile[i].len), (ssize_t)hostile[i].len);
		turn();
		if (b.closed != 1 || b.why.code != E_PROTO)
			print_error("%s was not refused\n", hostile[i].what);
		assert_int_equal(b.why.code, E_PROTO);
		(void)close(raw);
		tear_down();
	}
}

static void
data_beyond_the_credit_drops_the_peer(void **state)
{
	static uint8_t frame[16 + LINK_STREAM_CREDIT] = { 0, 0, 0x40, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 1 };
	/* a grant, u32, u8, and two texts of no length */
	uint8_t open[16 + GRANT_LEN + 13] = { 0, 0, 0, GRANT_LEN + 13, 1, 0, 0, GB_OPEN, 0, 0, 0, 0,
		0, 0, 0, 1 };
	int raw = pair_up(&gb_edge, &broker_ops, true);

	(void)state;
	b.accept_streams = b.hold_credit = true;
	assert_int_equal(write(raw, open, sizeof(open)), sizeof(open));
	assert_int_equal(write(raw, frame, sizeof(frame)), sizeof(frame));
	turn();
	assert_int_equal(b.closed, 0);
	assert_int_equal(b.got.len, LINK_STREAM_CREDIT);
	frame[2] = 0, frame[3] = 1;
	assert_int_equal(write(raw, frame, 17), 17);
	turn();
	assert_int_equal(b.closed, 1);
	assert_int_equal(b.why.code, E_PROTO);
	assert_int_equal(b.stream_closed, 1);
	(void)close(raw);
	tear_down();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_read_is_told_once),
		cmocka_unit_test(calls_are_answered_or_time_out),
		cmocka_unit_test(a_freed_link_tells_who_waits),
		cmocka_unit_test(a_link_may_be_freed_by_a_call_that_is_late),
		cmocka_unit_test(a_message_in_the_wrong_state_drops_the_peer),
		cmocka_unit_test(limits_hold_in_both_directions),
		cmocka_unit_test(descriptors_travel_with_their_message),
		cmocka_unit_test(streams_move_any_size_under_credit),
		cmocka_unit_test(a_slow_reader_holds_its_writer),
		cmocka_unit_test(an_unaccepted_stream_is_cancelled),
		cmocka_unit_test(many_streams_share_a_full_queue),
		cmocka_unit_test(hostile_frames_drop_the_peer),
		cmocka_unit_test(data_beyond_the_credit_drops_the_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
