/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_feed.c: from bytes to requests.
 *
 * Runs in: gateway. Trusts: the parser (lib/http) and nothing that it parsed.
 * Owns: nothing. Invariants: a body is read only for a good key, unless it has
 * come together with its head.
 * See: conn.c; request.c.
 */
#include "conn.h"

static bool on_head(struct conn *c, struct span rest);
static void on_body(struct conn *c, struct span piece);

/* In which error of ours a fault of HTTP is told. */
static enum error
error_of(uint16_t status)
{
	static const struct {
		uint16_t status;
		enum error error;
	} rows[] = {
		{ 408, ERROR_HEADER_TIMEOUT },
		{ 413, ERROR_BODY_TOO_LARGE },
		{ 414, ERROR_URI_TOO_LONG },
		{ 431, ERROR_HEADERS_TOO_LARGE },
		{ 503, ERROR_OVERLOADED },
		{ 505, ERROR_HTTP_VERSION },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].status == status)
			return rows[i].error;
	}
	return ERROR_BAD_REQUEST;
}

void
conn_refuse(struct conn *c, uint16_t status)
{
	struct request *r = c->req;

	request_reset(r);
	request_begin(
	    r, &(const struct http_request){ .method = SPAN_EMPTY }, c->source, c->address);
	r->close = true;
	c->state = CONN_ANSWER;
	reply_error(r, error_of(status));
}

/* Which timeout runs now; a header's is not set anew by each byte of it. */
void
conn_arm(struct conn *c)
{
	struct timeouts *all = &c->g->timeouts;
	uint64_t now = gateway_now(c->g);
	bool idle = http_request_idle(c->parser) && c->in.len == 0;

	if (http_request_in_body(c->parser)) {
		c->in_head = false;
		if (!c->t_read.set || c->t_read.kind != TIMEOUT_BODY)
			timeout_set(all, &c->t_read, TIMEOUT_BODY, now);
	} else if (!idle) {
		c->in_head = true;
		if (!c->t_read.set || c->t_read.kind != TIMEOUT_HEADER)
			timeout_set(all, &c->t_read, TIMEOUT_HEADER, now);
	} else if (c->served) {
		c->in_head = false;
		if (!c->t_read.set || c->t_read.kind != TIMEOUT_IDLE)
			timeout_set(all, &c->t_read, TIMEOUT_IDLE, now);
	} else if (!c->t_read.set || c->t_read.kind != TIMEOUT_HEADER) {
		/* Nothing at all after the handshake: closed without an answer. */
		timeout_set(all, &c->t_read, TIMEOUT_HEADER, now);
	}
}

size_t
conn_feed(struct conn *c, struct span in)
{
	size_t len = in.len;

	while (c->state == CONN_READ && !c->close_after) {
		struct http_step step = http_request_feed(c->parser, in);

		in = span_from(in, step.used);
		if (step.event == HTTP_EV_MORE)
			break;
		if (step.event == HTTP_EV_ERROR) {
			conn_refuse(c, step.error);
			return len;
		}
		if (step.event == HTTP_EV_HEAD && !on_head(c, in))
			break;
		if (step.event == HTTP_EV_BODY)
			on_body(c, step.body);
		if (step.event == HTTP_EV_END) {
			c->state = CONN_ANSWER;
			timeout_clear(&c->g->timeouts, &c->t_read);
			request_run(c->req);
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

/* False: wait; request_check() goes on by conn_reply_ops.go_on or ends it. */
static bool
on_head(struct conn *c, struct span rest)
{
	const struct http_request *h = http_request_get(c->parser);
	struct request *r = c->req;

	request_reset(r);
	request_begin(r, h, c->source, c->address);
	r->close = !http_request_keep_alive(c->parser) || c->g->d->draining;
	c->no_body = span_eq_str(h->method, "HEAD");
	if (is_here(h, rest))
		return true;
	c->state = CONN_ANSWER;
	timeout_clear(&c->g->timeouts, &c->t_read);
	request_check(r);
	return false;
}

static void
on_body(struct conn *c, struct span piece)
{
	struct status st = request_body(c->req, piece);

	if (is_ok(st))
		return;
	c->req->close = true;
	c->state = CONN_ANSWER;
	reply_error(c->req, ERROR_OVERLOADED);
}
