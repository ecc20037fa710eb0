/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_RIG_BROKER_H
#define TESTS_GATEWAY_RIG_BROKER_H

/*
 * The broker of gateway_rig.h: what models answer.
 */
#include "gateway_rig_state.h"

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

#endif
