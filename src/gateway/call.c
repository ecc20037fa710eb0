/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c: the gateway's end of a model call's stream.
 *
 * Runs in: gateway. Trusts: the broker for the order of its messages; the bytes
 * are the provider's and go to answer.c.
 * Owns: the stream. Invariants: done or failed is called once, and never after
 * call_cancel(). See: wire/gateway_broker.h.
 */
#include "call.h"

static void on_msg(struct stream *s, uint16_t type, const void *msg, void *ctx);
static void on_data(struct stream *s, uint8_t channel, struct span data, void *ctx);
static void on_end(struct stream *s, void *ctx);
static void on_writable(struct stream *s, void *ctx);
static void on_closed(struct stream *s, struct status why, void *ctx);

static const struct stream_ops stream_ops = { .on_msg = on_msg,
	.on_data = on_data,
	.on_end = on_end,
	.on_writable = on_writable,
	.on_closed = on_closed };

static void
fail_call(struct call *c, enum error error)
{
	call_cancel(c);
	c->ops->failed(c, error, c->ctx);
}

/* Once: nothing more is sent. */
static void
end_body(struct call *c)
{
	bool first = c->body.ptr != NULL;

	stream_end(c->stream);
	c->body = SPAN_EMPTY;
	c->sent = 0;
	if (first)
		c->ops->sent(c, c->ctx);
}

static void
send_more(struct call *c)
{
	while (c->sent < c->body.len) {
		size_t taken = 0;
		struct status st = stream_write(c->stream, 0, span_from(c->body, c->sent), &taken);

		if (!is_ok(st)) {
			fail_call(c, ERROR_UNAVAILABLE);
			return;
		}
		if (taken == 0)
			return;
		c->sent += taken;
	}
	end_body(c);
}

struct status
call_start(struct call *c, struct link *broker, const uint8_t grant[GRANT_LEN], struct span body,
    bool stream)
{
	struct gb_open open = {
		.body_len = (uint32_t)body.len,
		.stream = stream,
		.anthropic_version = c->anthropic_version,
		.anthropic_beta = c->anthropic_beta,
	};

	if (broker == NULL)
		return fail(E_CLOSED);
	memcpy(open.grant, grant, GRANT_LEN);
	c->body = body;
	c->sent = c->unconsumed = 0;
	c->have_head = c->ended = false;
	TRY(stream_open(broker, GB_OPEN, &open, &stream_ops, c, &c->stream));
	send_more(c);
	return OK;
}

void
call_cancel(struct call *c)
{
	if (c->stream != NULL)
		stream_cancel(c->stream, ERROR_CANCELLED);
	c->stream = NULL;
}

void
call_writable(struct call *c)
{
	size_t n = c->unconsumed;

	if (c->stream == NULL || n == 0)
		return;
	c->unconsumed = 0;
	stream_consumed(c->stream, n);
}

static void
on_writable(struct stream *s, void *ctx)
{
	(void)s;
	send_more(ctx);
}

static void
on_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	struct call *c = ctx;
	const struct gb_failed *failed = msg;

	(void)s;
	if (type == GB_FAILED) {
		fail_call(c, failed->error == ERROR_NONE ? ERROR_UPSTREAM : failed->error);
		return;
	}
	if (c->have_head) {
		fail_call(c, ERROR_UPSTREAM);
		return;
	}
	c->have_head = true;
	(void)c->ops->head(c, msg, c->ctx);
}

static void
on_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct call *c = ctx;

	if (channel != 0 || !c->have_head) {
		fail_call(c, ERROR_UPSTREAM);
		return;
	}
	if (!c->ops->data(c, data, c->ctx))
		return;
	if (c->ops->room(c->ctx))
		stream_consumed(s, data.len);
	else
		c->unconsumed += data.len;
}

static void
on_end(struct stream *s, void *ctx)
{
	struct call *c = ctx;

	(void)s;
	c->ended = true;
	/* A provider may answer before it has read all: the broker needs no more of it. */
	end_body(c);
}

/* The reason that the other side gave, if it is one. */
static enum error
closed_error(struct status why)
{
	if (why.code == E_CLOSED && why.err > ERROR_NONE && why.err < ERROR_COUNT)
		return (enum error)why.err;
	return ERROR_UNAVAILABLE;
}

static void
on_closed(struct stream *s, struct status why, void *ctx)
{
	struct call *c = ctx;

	(void)s;
	c->stream = NULL;
	if (why.code == E_EOF && c->have_head)
		c->ops->done(c, c->ctx);
	else
		c->ops->failed(c, closed_error(why), c->ctx);
}
