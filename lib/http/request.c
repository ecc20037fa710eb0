/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c: strict push parser for HTTP/1.1 requests.
 *
 * Runs in: gateway, supervisor (management socket), demo.
 * Trusts: nothing: every byte comes from the network.
 * Owns: the head's bytes, on which the request object lies.
 * Invariants: one message at a time; an error is final; the same bytes give the
 * same result however they are split.
 * See: http/request.h; RFC 9112 §2.2, §3, §6, §9.
 */
#include <http/request.h>

#include <stdlib.h>

#include "body.h"
#include "chars.h"
#include "framing.h"
#include "target.h"

#define VERSION_LEN 8 /* HTTP/1.1 */

enum request_state {
	REQUEST_HEAD,
	REQUEST_BODY,
	REQUEST_DONE,
	REQUEST_FAILED,
};

struct http_request_parser {
	enum request_state state;
	uint16_t error;
	bool touched; /* a byte of this message has come */
	bool keep_alive;
	struct http_limits limits;
	struct head head;
	struct body body;
	struct http_request req;
};

struct status
http_request_parser_new(const struct http_limits *limits, struct http_request_parser **ret)
{
	struct http_request_parser *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return fail(E_NOMEM);
	p->limits = http_limits_clamp(limits);
	p->head.line_class = CH_LINE;
	p->head.may_skip = true;
	p->body.trailer_max = p->limits.trailer_len_max;
	*ret = p;
	return OK;
}

void
http_request_parser_free(struct http_request_parser *p)
{
	if (p == NULL)
		return;
	http_head_done(&p->head);
	http_body_done(&p->body);
	free(p);
}

static struct http_step
step_fail(struct http_request_parser *p, uint16_t error, size_t used)
{
	p->state = REQUEST_FAILED;
	p->error = error;
	p->keep_alive = false;
	return (struct http_step){ .event = HTTP_EV_ERROR, .error = error, .used = used };
}

/* 0, 400, or 505 for a well-formed version that is not ours. */
static uint16_t
version_check(struct span v)
{
	if (v.len != VERSION_LEN || !span_starts(v, SPAN_LIT("HTTP/")) || v.ptr[6] != '.' ||
	    v.ptr[5] < '0' || v.ptr[5] > '9' || v.ptr[7] < '0' || v.ptr[7] > '9')
		return 400;
	return span_eq_str(v, "HTTP/1.1") ? 0 : 505;
}

/* method SP target SP version; the target has no space, so the ends decide. */
static uint16_t
line_parse(struct http_request_parser *p, struct target *ret)
{
	uint8_t *line = p->head.ptr;
	size_t len = p->head.line_len;
	uint8_t *first = memchr(line, ' ', len), *last = memrchr(line, ' ', len);
	uint16_t rc;

	if (first == NULL || first == last)
		return 400;
	rc = version_check(span_of(last + 1, len - (size_t)(last + 1 - line)));
	if (rc != 0)
		return rc;
	p->req.method = span_of(line, (size_t)(first - line));
	if (!http_token_ok(p->req.method) || p->req.method.len > HTTP_METHOD_LEN_MAX)
		return 400;
	return http_target_parse(first + 1, (size_t)(last - first) - 1, ret) ? 0 : 400;
}

/* Lower case, in place: the bytes are the head's own. */
static void
lower_in_head(struct head *h, struct span s)
{
	uint8_t *p = h->ptr + (s.ptr - h->ptr);

	for (size_t i = 0; i < s.len; i++)
		p[i] = char_lower(p[i]);
}

static uint16_t
host_check(struct http_request_parser *p, const struct framing *f, struct target *t)
{
	if (!f->has_host || !http_authority_ok(f->host))
		return 400;
	if (t->authority.len > 0 && !span_eq_nocase(t->authority, f->host))
		*t = (struct target){ .bad = true };
	lower_in_head(&p->head, f->host);
	p->req.authority = f->host;
	return 0;
}

static uint16_t
body_choose(struct http_request_parser *p, const struct framing *f)
{
	enum body_kind kind = BODY_NONE;

	if (f->has_length && f->length > p->limits.body_len_max)
		return 413;
	if (f->has_coding) {
		kind = BODY_CHUNKED;
		p->req.body = HTTP_BODY_STREAM;
	} else if (f->length > 0) {
		kind = BODY_LENGTH;
		p->req.body = HTTP_BODY_LENGTH;
		p->req.content_length = f->length;
	}
	http_body_start(&p->body, kind, f->length, p->limits.body_len_max);
	if (f->has_expect && !span_eq_nocase(f->expect, SPAN_LIT("100-continue")))
		return 400;
	p->req.expect_continue = f->has_expect && kind != BODY_NONE;
	return 0;
}

static uint16_t
head_parse(struct http_request_parser *p)
{
	struct framing f;
	struct target t;
	uint16_t rc = line_parse(p, &t);

	if (rc == 0)
		rc = http_framing_take(&p->head, &f);
	if (rc == 0)
		rc = host_check(p, &f, &t);
	if (rc == 0)
		rc = body_choose(p, &f);
	if (rc != 0)
		return rc;
	http_target_put(&t, &p->req);
	p->req.fields = p->head.fields;
	p->req.field_count = p->head.count;
	p->keep_alive = !f.close;
	return 0;
}

static struct http_step
feed_head(struct http_request_parser *p, struct span in)
{
	size_t used = 0;
	uint16_t rc = http_head_feed(&p->head, &p->limits, in, &used);

	p->touched = p->touched || used > 0;
	if (rc == HEAD_MORE)
		return (struct http_step){ .event = HTTP_EV_MORE, .used = used };
	if (rc == HEAD_DONE)
		rc = head_parse(p);
	if (rc != 0)
		return step_fail(p, rc, used);
	p->state = REQUEST_BODY;
	return (struct http_step){ .event = HTTP_EV_HEAD, .used = used };
}

static struct http_step
feed_body(struct http_request_parser *p, struct span in)
{
	struct http_step step = http_body_feed(&p->body, in);

	if (step.event == HTTP_EV_ERROR)
		return step_fail(p, step.error, step.used);
	if (step.event == HTTP_EV_END)
		p->state = REQUEST_DONE;
	return step;
}

struct http_step
http_request_feed(struct http_request_parser *p, struct span in)
{
	if (p->state == REQUEST_FAILED)
		return step_fail(p, p->error, 0);
	if (p->state == REQUEST_DONE)
		return (struct http_step){ .event = HTTP_EV_END };
	return p->state == REQUEST_HEAD ? feed_head(p, in) : feed_body(p, in);
}

const struct http_request *
http_request_get(const struct http_request_parser *p)
{
	return &p->req;
}

bool
http_request_keep_alive(const struct http_request_parser *p)
{
	return p->keep_alive;
}

bool
http_request_idle(const struct http_request_parser *p)
{
	return p->state == REQUEST_HEAD && !p->touched;
}

bool
http_request_in_body(const struct http_request_parser *p)
{
	return p->state == REQUEST_BODY;
}

void
http_request_next(struct http_request_parser *p)
{
	if (p->state != REQUEST_DONE)
		return;
	http_head_reset(&p->head);
	p->req = (struct http_request){ 0 };
	p->touched = false;
	p->keep_alive = false;
	p->state = REQUEST_HEAD;
}

void
http_request_limit_body(struct http_request_parser *p, uint64_t body_len_max)
{
	if (p->state != REQUEST_BODY || body_len_max >= p->body.max)
		return;
	p->body.max = body_len_max;
	if (p->body.total > body_len_max ||
	    (p->body.kind == BODY_LENGTH && p->body.left > body_len_max))
		(void)step_fail(p, 413, 0);
}
