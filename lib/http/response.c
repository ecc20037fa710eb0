/* SPDX-License-Identifier: Apache-2.0 */
/*
 * response.c: push parser for HTTP/1.1 responses, client side.
 *
 * Runs in: broker, CLI. Trusts: nothing: an upstream may be hostile or broken.
 * Owns: the head's bytes, on which the response object lies.
 * Invariants: every error is 502 (503: our memory) and final; a body that is cut
 * off is an error, unless its end is the end of the connection.
 * See: http/response.h; RFC 9112 §4, §6.3.
 */
#include <http/response.h>

#include <stdlib.h>

#include "body.h"
#include "chars.h"
#include "framing.h"

#define EXT_LEN_MAX 256    /* chunk extensions, bytes a chunk: skipped */
#define STATUS_LINE_MIN 12 /* HTTP/1.1 200 */

enum response_state {
	RESPONSE_HEAD,
	RESPONSE_BODY,
	RESPONSE_DONE,
	RESPONSE_FAILED,
};

struct http_response_parser {
	enum response_state state;
	uint16_t error;
	bool to_head; /* the request's method was HEAD */
	bool old;     /* HTTP/1.0 */
	bool keep_alive;
	unsigned interim; /* 1xx responses seen */
	struct http_limits limits;
	struct head head;
	struct body body;
	struct http_response res;
};

struct status
http_response_parser_new(const struct http_limits *limits, struct http_response_parser **ret)
{
	struct http_response_parser *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return fail(E_NOMEM);
	p->limits = http_limits_clamp(limits);
	p->head.line_class = CH_VALUE;
	p->body.ext_max = EXT_LEN_MAX;
	p->body.trailer_max = p->limits.trailer_len_max;
	*ret = p;
	return OK;
}

void
http_response_parser_free(struct http_response_parser *p)
{
	if (p == NULL)
		return;
	http_head_done(&p->head);
	http_body_done(&p->body);
	free(p);
}

static struct http_step
step_fail(struct http_response_parser *p, uint16_t error, size_t used)
{
	p->state = RESPONSE_FAILED;
	p->error = error == 503 ? 503 : 502;
	p->keep_alive = false;
	return (struct http_step){ .event = HTTP_EV_ERROR, .error = p->error, .used = used };
}

/* HTTP/1.x SP 3DIGIT, then nothing or SP reason. */
static uint16_t
line_parse(struct http_response_parser *p)
{
	struct span line = span_of(p->head.ptr, p->head.line_len);
	uint64_t status;

	if (line.len < STATUS_LINE_MIN || !span_starts(line, SPAN_LIT("HTTP/1.")) ||
	    (line.ptr[7] != '0' && line.ptr[7] != '1') || line.ptr[8] != ' ' ||
	    (line.len > STATUS_LINE_MIN && line.ptr[STATUS_LINE_MIN] != ' '))
		return 502;
	if (!is_ok(span_u64(span_of(line.ptr + 9, 3), 599, &status)) || status < 100)
		return 502;
	p->old = line.ptr[7] == '0';
	p->res.status = (uint16_t)status;
	return 0;
}

/* RFC 9112 §6.3, in its order. */
static uint16_t
body_choose(struct http_response_parser *p, const struct framing *f)
{
	enum body_kind kind = BODY_CLOSE;

	if (f->has_coding && p->old)
		return 502;
	if (p->to_head || p->res.status == 204 || p->res.status == 304)
		kind = BODY_NONE;
	else if (f->has_coding)
		kind = BODY_CHUNKED;
	else if (f->has_length)
		kind = f->length == 0 ? BODY_NONE : BODY_LENGTH;
	if (kind == BODY_LENGTH && f->length > p->limits.body_len_max)
		return 502;
	p->res.body = kind == BODY_NONE     ? HTTP_BODY_NONE
		      : kind == BODY_LENGTH ? HTTP_BODY_LENGTH
					    : HTTP_BODY_STREAM;
	p->res.content_length = kind == BODY_LENGTH ? f->length : 0;
	p->keep_alive = !p->old && !f->close && kind != BODY_CLOSE;
	http_body_start(&p->body, kind, f->length, p->limits.body_len_max);
	return 0;
}

static uint16_t
head_parse(struct http_response_parser *p)
{
	struct framing f;
	uint16_t rc = line_parse(p);

	if (rc == 0)
		rc = http_framing_take(&p->head, &f);
	if (rc != 0)
		return rc;
	if (p->res.status < 200) {
		p->interim++;
		return p->res.status == 101 || p->interim > HTTP_INTERIM_MAX ? 502 : 0;
	}
	rc = body_choose(p, &f);
	p->res.fields = p->head.fields;
	p->res.field_count = p->head.count;
	return rc;
}

/* Heads until the first that is not interim. */
static struct http_step
feed_head(struct http_response_parser *p, struct span in)
{
	size_t used = 0;

	for (;;) {
		size_t n = 0;
		uint16_t rc = http_head_feed(&p->head, &p->limits, span_from(in, used), &n);

		used += n;
		if (rc == HEAD_MORE)
			return (struct http_step){ .event = HTTP_EV_MORE, .used = used };
		if (rc == HEAD_DONE)
			rc = head_parse(p);
		if (rc != 0)
			return step_fail(p, rc, used);
		if (p->res.status >= 200)
			break;
		http_head_reset(&p->head);
	}
	p->state = RESPONSE_BODY;
	return (struct http_step){ .event = HTTP_EV_HEAD, .used = used };
}

static struct http_step
feed_body(struct http_response_parser *p, struct span in)
{
	struct http_step step = http_body_feed(&p->body, in);

	if (step.event == HTTP_EV_ERROR)
		return step_fail(p, step.error, step.used);
	if (step.event == HTTP_EV_END)
		p->state = RESPONSE_DONE;
	return step;
}

struct http_step
http_response_feed(struct http_response_parser *p, struct span in)
{
	if (p->state == RESPONSE_FAILED)
		return step_fail(p, p->error, 0);
	if (p->state == RESPONSE_DONE)
		return (struct http_step){ .event = HTTP_EV_END };
	return p->state == RESPONSE_HEAD ? feed_head(p, in) : feed_body(p, in);
}

struct http_step
http_response_eof(struct http_response_parser *p)
{
	bool ended = p->state == RESPONSE_DONE ||
		     (p->state == RESPONSE_BODY &&
			 (p->body.kind == BODY_CLOSE || p->body.kind == BODY_NONE ||
			     (p->body.kind == BODY_LENGTH && p->body.left == 0)));

	if (!ended)
		return step_fail(p, p->state == RESPONSE_FAILED ? p->error : 502, 0);
	p->state = RESPONSE_DONE;
	p->keep_alive = false;
	return (struct http_step){ .event = HTTP_EV_END };
}

const struct http_response *
http_response_get(const struct http_response_parser *p)
{
	return &p->res;
}

void
http_response_drop_head(struct http_response_parser *p)
{
	http_head_done(&p->head);
	p->res.fields = NULL;
	p->res.field_count = 0;
}

bool
http_response_keep_alive(const struct http_response_parser *p)
{
	return p->keep_alive;
}

void
http_response_next(struct http_response_parser *p, bool head)
{
	if (p->state == RESPONSE_FAILED)
		return;
	http_head_reset(&p->head);
	p->res = (struct http_response){ 0 };
	p->to_head = head;
	p->keep_alive = false;
	p->interim = 0;
	p->state = RESPONSE_HEAD;
}
