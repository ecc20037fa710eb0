/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c: the gateway's end of an operation on what is kept for a user.
 *
 * Runs in: gateway. Trusts: the store for what it answers, whose shape is checked.
 * Owns: the stream, the encoded request and answer of one operation.
 * Invariants: done or failed is called once, and never after content_cancel(); no key of ours
 * is ever sent to be kept, nor, when it is to be masked, a credential of others.
 * See: wire/gateway_store.h; keep.c for the turns; run.c, its sister for the executor.
 */
#include "content.h"

#include <crypto/hash.h>

#include "leak.h"
#include <pasted/pasted.h>

static void on_msg(struct stream *s, uint16_t type, const void *msg, void *ctx);
static void on_data(struct stream *s, uint8_t channel, struct span data, void *ctx);
static void on_writable(struct stream *s, void *ctx);
static void on_closed(struct stream *s, struct status why, void *ctx);

static const struct stream_ops stream_ops = {
	.on_msg = on_msg, .on_data = on_data, .on_writable = on_writable, .on_closed = on_closed
};

void
content_reset(struct content *c)
{
	content_cancel(c);
	buf_done(&c->request);
	buf_done(&c->answer);
	c->request.max = RUN_BLOB_MAX;
	c->answer.max = CONTENT_ANSWER_MAX;
	c->sent = 0;
	c->have_result = false;
	c->answer_len = 0;
}

/* ---- the door ---- */

static struct status
check_passes(struct span text, bool mask)
{
	struct leaks leaks;

	TRY(leak_find(text, &leaks));
	explicit_bzero(leaks.texts, sizeof(leaks.texts));
	return leaks.n > 0 || (mask && pasted_any(text)) ? fail(E_DENIED) : OK;
}

struct status
content_prepare(
    struct content *c, const struct content_request *req, bool mask, uint8_t digest[DIGEST_LEN])
{
	const struct content_item *items = req->items.items;

	TRY(check_passes(req->meta, mask));
	TRY(check_passes(req->body, mask));
	for (uint32_t i = 0; i < req->items.count; i++)
		TRY(check_passes(items[i].json, mask));
	content_reset(c);
	TRY(wire_encode(&content_request_table, req, &c->request));
	return sha256(buf_span(&c->request), digest);
}

/* ---- the stream ---- */

static void
fail_content(struct content *c, enum error error)
{
	content_cancel(c);
	c->ops->failed(c, error, c->ctx);
}

static void
send_more(struct content *c)
{
	while (c->sent < c->request.len) {
		size_t taken = 0;
		struct status st = stream_write(
		    c->stream, 0, span_from(buf_span(&c->request), c->sent), &taken);

		if (!is_ok(st)) {
			fail_content(c, ERROR_UNAVAILABLE);
			return;
		}
		if (taken == 0)
			return;
		c->sent += taken;
	}
	stream_end(c->stream);
}

struct status
content_start(struct content *c, struct link *store, const uint8_t grant[GRANT_LEN])
{
	struct gs_open open = { .body_len = (uint32_t)c->request.len };

	if (store == NULL)
		return fail(E_CLOSED);
	memcpy(open.grant, grant, GRANT_LEN);
	TRY(stream_open(store, GS_OPEN, &open, &stream_ops, c, &c->stream));
	send_more(c);
	return OK;
}

void
content_cancel(struct content *c)
{
	if (c->stream != NULL)
		stream_cancel(c->stream, ERROR_CANCELLED);
	c->stream = NULL;
}

static void
on_writable(struct stream *s, void *ctx)
{
	struct content *c = ctx;

	(void)s;
	if (c->sent < c->request.len)
		send_more(c);
}

static void
on_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	struct content *c = ctx;
	const struct gs_failed *failed = msg;
	const struct gs_result *result = msg;

	(void)s;
	if (type == GS_FAILED) {
		fail_content(
		    c, failed->error == ERROR_NONE ? ERROR_UNAVAILABLE : (enum error)failed->error);
		return;
	}
	c->have_result = true;
	c->answer_len = result->answer_len;
}

static void
on_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct content *c = ctx;
	enum error error = ERROR_NONE;

	if (channel != 0 || c->have_result || c->answer.len + data.len > CONTENT_ANSWER_MAX)
		error = ERROR_UNAVAILABLE;
	else if (!c->ops->room(c->ctx, data.len) || !is_ok(buf_put_span(&c->answer, data)))
		error = ERROR_OVERLOADED;
	if (error != ERROR_NONE)
		fail_content(c, error);
	else
		stream_consumed(s, data.len);
}

static void
on_closed(struct stream *s, struct status why, void *ctx)
{
	struct content *c = ctx;
	bool told = why.code == E_CLOSED && why.err > ERROR_NONE && why.err < ERROR_COUNT;

	(void)s;
	c->stream = NULL;
	if (why.code == E_EOF && c->have_result && c->answer.len == c->answer_len)
		c->ops->done(c, c->ctx);
	else
		c->ops->failed(c, told ? (enum error)why.err : ERROR_UNAVAILABLE, c->ctx);
}

struct status
content_read(const struct content *c, struct arena *arena, struct content_answer *ret)
{
	return wire_decode(&content_answer_table, buf_span(&c->answer), arena, ret);
}
