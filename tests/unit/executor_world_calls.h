/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_EXECUTOR_WORLD_CALLS_H
#define TESTS_EXECUTOR_WORLD_CALLS_H

/*
 * The gateway of executor_world.h: calls of tools, and what comes of them.
 */
#include "executor_world_state.h"

static inline void
on_call_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	const struct ge_started *started = msg;
	struct call *c = ctx;

	(void)s;
	if (type == GE_STARTED)
		must(span_to_cstr(started->sandbox, c->sandbox, sizeof(c->sandbox)));
	if (type == GE_RESULT) {
		c->result = true;
		c->r = *(const struct ge_result *)msg;
		must(span_to_cstr(c->r.trap, c->text, sizeof(c->text)));
	}
	if (type == GE_FAILED) {
		c->failed = true;
		c->f = *(const struct ge_failed *)msg;
		must(span_to_cstr(c->f.reason, c->text, sizeof(c->text)));
	}
	if (type != GE_STARTED)
		c->ms = (double)(clock_mono_ns() - c->opened_ns) / 1e6;
}

static inline void
on_call_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct call *c = ctx;

	stream_consumed(s, data.len);
	must(buf_put_span(channel == RUN_STDOUT ? &c->out : &c->err, data));
}

static inline void
on_call_end(struct stream *s, void *ctx)
{
	(void)s, (void)ctx;
}

static inline void
write_call(struct stream *s, void *ctx)
{
	struct call *c = ctx;
	size_t taken = 0;

	if (c->sent == c->body.len)
		return;
	must(stream_write(s, RUN_REQUEST, span_from(buf_span(&c->body), c->sent), &taken));
	c->sent += taken;
	if (c->sent == c->body.len)
		stream_end(s);
}

static inline void
on_call_closed(struct stream *s, struct status why, void *ctx)
{
	struct call *c = ctx;

	(void)s, (void)why;
	c->stream = NULL;
	c->closed = true;
}

static const struct stream_ops call_ops = { .on_msg = on_call_msg,
	.on_data = on_call_data,
	.on_end = on_call_end,
	.on_writable = write_call,
	.on_closed = on_call_closed };

static inline void
open_with(struct call *c, struct grant *g)
{
	g->gateway = GATEWAY_PEER;
	g->expires_ms = 5000;
	if (g->tenant.len == 0)
		g->tenant = SPAN_LIT("acme");
	g->user = SPAN_LIT("ann");
	g->target = SPAN_LIT("adder");
	g->body_len = (uint32_t)c->body.len;
	must(sha256(buf_span(&c->body), g->digest));
	must(rand_bytes(g->grant, sizeof(g->grant)));
	c->open.body_len = g->body_len;
	memcpy(c->open.grant, g->grant, sizeof(c->open.grant));
	c->opened_ns = clock_mono_ns();
	must(link_send(world.authority, 0, AE_GRANT, g));
	link_flush(world.authority);
	must(stream_open(world.gateway, GE_OPEN, &c->open, &call_ops, c, &c->stream));
	write_call(c->stream, c);
}

static inline void
call_init(struct call *c)
{
	*c = (struct call){ .stream = NULL };
	c->body = BUF_INIT(RUN_BLOB_MAX);
	c->out = c->err = BUF_INIT(RUN_BLOB_MAX);
}

/* The grant that the authority would give for the tool in its store. */
static inline struct grant
tool_grant(void)
{
	struct grant g = { .kind = GRANT_TOOL,
		.turn = 7,
		.tool = { .id = 9,
		    .version = 4,
		    .sandbox = TOOL_WASM,
		    .time_ms = CALL_MS,
		    .memory_mb = 64,
		    .output_kb = 16 } };

	must(sha256(world.artefact, g.tool.artefact));
	return g;
}

static inline void
call_open(struct call *c, struct grant *g, struct span arguments)
{
	const struct tool_request req = { arguments };

	call_init(c);
	must(wire_encode(&tool_request_table, &req, &c->body));
	open_with(c, g);
}

static inline void
call_done(struct call *c)
{
	if (c->stream != NULL)
		stream_cancel(c->stream, 0);
	buf_done(&c->body);
	buf_done(&c->out);
	buf_done(&c->err);
}

static inline bool
call_over(const struct call *c)
{
	return c->result || c->failed || c->closed;
}

/* One call from its grant to its answer. */
static inline void
call_once(struct call *c, struct grant *g, const char *arguments)
{
	call_open(c, g, span_str(arguments));
	until(call_over(c));
}

static inline bool
says(const struct buf *b, const char *text)
{
	return span_eq_str(buf_span(b), text);
}

#endif
