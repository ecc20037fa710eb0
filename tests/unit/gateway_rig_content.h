/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_RIG_CONTENT_H
#define TESTS_GATEWAY_RIG_CONTENT_H

/*
 * Executor and store of gateway_rig.h: runs, and what is kept.
 */
#include "gateway_rig_state.h"

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

#endif
