/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h1.c: HTTP/1.1: from bytes to requests, and what a connection of it waits for.
 *
 * Runs in: gateway. Trusts: the parser (lib/http) and nothing that it parsed.
 * Owns: the parser, input that is kept, the request until the client leaves.
 * Invariants: a body is read only for a key that is good, or was within KEY_GOOD_MS on the same
 * connection, unless it has come together with its head; input kept is at most PIPELINE_MAX and one
 * read, and no input is read while it is there, or while a client leaves its answers unread.
 * See: conn.h; h1_reply.c (answers); request.c.
 */
#include "h1.h"

#include <stdlib.h>

#include <crypto/crypto.h>

static size_t feed(struct conn *c, struct span in);
static bool on_head(struct conn *c, struct span rest);
static void on_body(struct conn *c, struct span piece);

/* ---- life ---- */

static void
free_h1(struct conn *c)
{
	struct h1 *h = h1_of(c);

	if (h == NULL)
		return;
	if (h->req != NULL)
		request_left(h->req);
	http_request_parser_free(h->parser);
	buf_done(&h->in);
	free(h);
	c->proto = NULL;
}

static struct status
start_h1(struct conn *c)
{
	struct http_limits limits = http_limits_default;
	struct h1 *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return fail(E_NOMEM);
	c->proto = h;
	h->in.max = PIPELINE_MAX + READ_LEN;
	limits.body_len_max = c->g->body_len_max;
	TRY(http_request_parser_new(&limits, &h->parser));
	h->req = request_new(c->g);
	if (h->req == NULL)
		return fail(E_NOMEM);
	h->req->reply = &h1_reply_ops;
	h->req->conn = c;
	conn_arm(c, TIMEOUT_HEADER); /* nothing at all: closed without an answer */
	return OK;
}

static void
left_h1(struct conn *c)
{
	struct h1 *h = h1_of(c);
	struct request *r = h->req;

	h->req = NULL;
	if (r != NULL)
		request_left(r);
}

/* ---- what it waits for ---- */

/* The client sends requests, but does not read their answers. */
static bool
held_up(const struct conn *c)
{
	return !h1_of(c)->answering && conn_full(c);
}

/* What is kept, and answers not yet read, hold it up. */
static bool
wants_input_h1(const struct conn *c)
{
	return h1_of(c)->in.len < PIPELINE_MAX && !held_up(c);
}

static bool
over_h1(const struct conn *c)
{
	return !h1_of(c)->answering;
}

/* Between requests, with nothing of an answer left to send? */
static bool
is_idle(const struct conn *c)
{
	const struct h1 *h = h1_of(c);

	return !h->answering && http_request_idle(h->parser) && h->in.len == 0 &&
	       conn_unsent(c) == 0;
}

/* Each answer from now on ends its connection: see put_head() in h1_reply.c. */
static void
drain_h1(struct conn *c, bool now)
{
	if (!now || !is_idle(c))
		return;
	(void)is_ok(tls_shutdown(c->tls));
	conn_close(c);
}

/* Which timeout runs now; a header's is not set anew by each byte of it. */
static void
arm(struct conn *c)
{
	struct h1 *h = h1_of(c);
	bool body = http_request_in_body(h->parser);
	bool idle = http_request_idle(h->parser) && h->in.len == 0;

	h->in_head = !body && !idle;
	if (body)
		conn_arm(c, TIMEOUT_BODY);
	else
		conn_arm(c, idle && h->served ? TIMEOUT_IDLE : TIMEOUT_HEADER);
}

/* Answer an error of HTTP itself, and end the connection. */
static void
refuse(struct conn *c, uint16_t status)
{
	struct h1 *h = h1_of(c);
	struct request *r = h->req;

	request_reset(r);
	request_begin(r, &(const struct http_request){ .method = SPAN_EMPTY }, c->source,
	    c->address, SPAN_EMPTY);
	r->close = true;
	h->answering = true;
	reply_error(r, conn_error(status));
}

static void
timed_out_h1(struct conn *c)
{
	struct h1 *h = h1_of(c);

	if (!h->answering && (h->in_head || http_request_in_body(h->parser)) && !c->close_after) {
		refuse(c, 408);
		return;
	}
	if (!h->answering)
		(void)is_ok(tls_shutdown(c->tls));
	conn_close(c);
}

/* The input ended. What was asked before may still be answered if it is out already. */
static void
eof_h1(struct conn *c)
{
	if (!h1_of(c)->answering && conn_unsent(c) > 0) {
		c->eof = c->close_after = true;
		conn_mark(c);
		return;
	}
	conn_close(c);
}

/* ---- input ---- */

/* Feed what the parser takes now, keep the rest. */
static bool
take_h1(struct conn *c, struct span in)
{
	struct h1 *h = h1_of(c);

	if (h->in.len == 0 && !h->answering)
		in = span_from(in, feed(c, in));
	if (c->state == CONN_CLOSED)
		return false;
	if (in.len > 0 && !is_ok(buf_put_span(&h->in, in))) {
		conn_close(c);
		return false;
	}
	if (h->in.len > 0 && !h->answering)
		conn_mark(c);
	else if (!h->answering)
		arm(c);
	return true;
}

/* Answers of requests that came in one go are made one after the other, here. */
static void
feed_kept(struct conn *c)
{
	struct h1 *h = h1_of(c);

	while (!h->answering && !c->close_after && h->in.len > 0 && !held_up(c)) {
		size_t used = feed(c, buf_span(&h->in));

		if (c->state == CONN_CLOSED)
			return;
		buf_shift(&h->in, used);
		if (used == 0)
			return;
	}
	if (h->in.len == 0)
		buf_done(&h->in); /* few clients send ahead: keep nothing for them */
}

static void
settle_h1(struct conn *c)
{
	const struct h1 *h = h1_of(c);

	if (h->answering || c->close_after)
		return;
	feed_kept(c);
	if (c->state == CONN_CLOSED)
		return;
	if (held_up(c))
		conn_disarm(c); /* writing has its own */
	else if (!h->answering)
		arm(c);
}

static void
sent_h1(struct conn *c, bool was_full)
{
	struct h1 *h = h1_of(c);

	if (!was_full || conn_full(c))
		return;
	if (h->answering)
		request_writable(h->req);
	else
		conn_mark(c); /* what is kept goes on */
}

static size_t
feed(struct conn *c, struct span in)
{
	struct h1 *h = h1_of(c);
	size_t len = in.len;

	while (!h->answering && !c->close_after) {
		struct http_step step = http_request_feed(h->parser, in);

		in = span_from(in, step.used);
		if (step.event == HTTP_EV_MORE)
			break;
		if (step.event == HTTP_EV_ERROR) {
			refuse(c, step.error);
			return len;
		}
		if (step.event == HTTP_EV_HEAD && !on_head(c, in))
			break;
		if (step.event == HTTP_EV_BODY)
			on_body(c, step.body);
		if (step.event == HTTP_EV_END) {
			h->answering = true;
			conn_disarm(c);
			request_run(h->req);
		}
	}
	return len - in.len;
}

static bool
is_here(const struct http_request *h, struct span rest)
{
	if (h->body == HTTP_BODY_NONE)
		return true;
	return h->body == HTTP_BODY_LENGTH && h->content_length <= rest.len;
}

void
h1_key_is_good(struct conn *c)
{
	struct h1 *h = h1_of(c);

	if (is_ok(sha256(buf_span(&h->req->credential), h->good)))
		h->good_until_ms = gateway_now(c->g) + KEY_GOOD_MS;
}

/* It may have been revoked since: then its request is refused with its body. */
static bool
was_good(struct conn *c)
{
	const struct h1 *h = h1_of(c);
	uint8_t now[SHA256_LEN];

	return gateway_now(c->g) < h->good_until_ms &&
	       is_ok(sha256(buf_span(&h->req->credential), now)) &&
	       crypto_eq(span_of(now, sizeof(now)), span_of(h->good, sizeof(h->good)));
}

/* False: wait; request_check() goes on by h1_reply_ops.go_on or ends it. */
static bool
on_head(struct conn *c, struct span rest)
{
	struct h1 *h = h1_of(c);
	const struct http_request *http = http_request_get(h->parser);
	struct request *r = h->req;

	request_reset(r);
	request_begin(r, http, c->source, c->address, conn_certificate(c));
	r->close = !http_request_keep_alive(h->parser) || c->g->d->draining || conn_is_expired(c);
	h->no_body = span_eq_str(http->method, "HEAD");
	if (is_here(http, rest))
		return true;
	if (was_good(c)) {
		h1_await_body(c);
		return true;
	}
	h->answering = true;
	conn_disarm(c);
	request_check(r);
	return false;
}

static void
on_body(struct conn *c, struct span piece)
{
	struct h1 *h = h1_of(c);
	struct status st = request_body(h->req, piece);

	if (is_ok(st))
		return;
	h->req->close = true;
	h->answering = true;
	reply_error(h->req, ERROR_OVERLOADED);
}

const struct protocol protocol_h1 = {
	.start = start_h1,
	.free = free_h1,
	.wants_input = wants_input_h1,
	.take = take_h1,
	.settle = settle_h1,
	.sent = sent_h1,
	.over = over_h1,
	.drain = drain_h1,
	.timed_out = timed_out_h1,
	.eof = eof_h1,
	.left = left_h1,
};
