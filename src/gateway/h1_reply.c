/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1_reply.c: answers as HTTP/1.1.
 *
 * Runs in: gateway. Trusts: its own process. Owns: nothing.
 * Invariants: answers leave in the order of their requests, since the next
 * request is parsed when the last answer is complete; unsent output is bounded
 * by OUT_SOFT_MAX for streams, by OUT_MAX in any case.
 * See: RFC 9112; h1.c; request.h.
 */
#include <assert.h>

#include <http/write.h>

#include <base/clock.h>

#include "h1.h"

static struct status
put_head(struct conn *c, const struct request *r, const struct reply_head *h)
{
	struct http_field fields[REPLY_FIELDS_MAX];
	char text[REPLY_TEXT_MAX];
	size_t n = reply_fields(r, h->status, fields, text);
	struct buf *out = &c->out;

	/* 499 is ours alone and never sent; a status without a phrase cannot be. */
	TRY(http_put_status(out, http_reason(h->status) != NULL ? h->status : 500));
	TRY(http_put_date(out, clock_real_ns()));
	TRY(http_put_field_str(out, "content-type", h->type));
	for (size_t i = 0; i < n; i++)
		TRY(http_put_field(out, fields[i].name, fields[i].value));
	if (h->stream) {
		TRY(http_put_field_str(out, "cache-control", "no-cache"));
		TRY(http_put_field_str(out, "x-accel-buffering", "no"));
		TRY(http_put_chunked(out));
	} else {
		TRY(http_put_field_str(out, "cache-control", "no-store"));
		TRY(http_put_length(out, h->len));
	}
	if (r->close || c->g->d->draining)
		TRY(http_put_close(out));
	return http_put_end(out);
}

/* What cannot be written whole must not look whole. */
static void
cut(struct conn *c)
{
	h1_of(c)->req->close = true;
	h1_of(c)->chunked = false;
	c->close_after = true;
}

static void
reply_head_h1(struct request *r, const struct reply_head *h)
{
	struct conn *c = r->conn;

	h1_of(c)->chunked = h->stream;
	if (c->g->d->draining)
		r->close = true;
	if (!is_ok(put_head(c, r, h)))
		cut(c);
	conn_mark(c);
}

static void
reply_data_h1(struct request *r, struct span s)
{
	struct conn *c = r->conn;
	const struct h1 *h = c->proto;

	if (h->no_body || c->close_after)
		return;
	if (!is_ok(h->chunked ? http_put_chunk(&c->out, s) : buf_put_span(&c->out, s)))
		cut(c);
	conn_mark(c);
}

static void
reply_end_h1(struct request *r)
{
	struct conn *c = r->conn;
	struct h1 *h = c->proto;

	if (h->chunked && !h->no_body && !c->close_after && !is_ok(http_put_chunk_end(&c->out)))
		cut(c);
	h->chunked = h->no_body = h->in_head = false;
	h->served = true;
	c->close_after = c->close_after || r->close;
	if (!c->close_after)
		http_request_next(h->parser);
	h->answering = false;
	conn_mark(c);
}

static bool
reply_room_h1(struct request *r)
{
	return !conn_full(r->conn);
}

void
h1_await_body(struct conn *c)
{
	if (h1_of(c)->req->http.expect_continue && !is_ok(buf_put_span(&c->out, HTTP_CONTINUE)))
		cut(c);
	conn_mark(c);
}

static void
reply_go_on_h1(struct request *r)
{
	struct conn *c = r->conn;
	struct h1 *h = c->proto;

	h1_key_is_good(c);
	h1_await_body(c);
	r->close = !http_request_keep_alive(h->parser) || c->g->d->draining;
	h->answering = false;
	conn_disarm(c);
	conn_mark(c);
}

/* Nothing is read any more that could become a request. */
static void
reply_part_h1(struct request *r)
{
	struct conn *c = r->conn;

	assert(c->close_after);
	h1_of(c)->req = NULL;
}

const struct reply_ops h1_reply_ops = {
	.head = reply_head_h1,
	.data = reply_data_h1,
	.end = reply_end_h1,
	.room = reply_room_h1,
	.go_on = reply_go_on_h1,
	.part = reply_part_h1,
};
