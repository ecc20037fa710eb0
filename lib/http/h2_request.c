/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_request.c: assemble a request from the fields of an HTTP/2 header block.
 *
 * Runs in: gateway. Trusts: nothing: every byte comes from the network; HPACK only
 * undid its compression.
 * Owns: the head's bytes, on which the request object lies; wiped when dropped.
 * Invariants: the first fault counts, and nothing is kept after it; target, host,
 * length and expectation go through the code that reads them for HTTP/1.1.
 * See: http/h2_request.h; RFC 9113 §8.2, §8.3; request.c.
 */
#include <http/h2_request.h>

#include <stdlib.h>

#include "chars.h"
#include "framing.h"
#include "h2_fields.h"
#include "target.h"

#define LINE_REST 10 /* of a request line: two blanks and "HTTP/1.1" */

enum pseudo { PSEUDO_METHOD, PSEUDO_SCHEME, PSEUDO_AUTHORITY, PSEUDO_PATH, PSEUDO_COUNT };

static const char *const pseudo_names[PSEUDO_COUNT] = {
	[PSEUDO_METHOD] = ":method",
	[PSEUDO_SCHEME] = ":scheme",
	[PSEUDO_AUTHORITY] = ":authority",
	[PSEUDO_PATH] = ":path",
};

struct http_h2_request {
	uint16_t error;
	bool regular; /* a field that is no pseudo-header has come */
	struct http_limits limits;
	struct head head;
	struct {
		bool has;
		size_t at, len; /* in head */
	} pseudo[PSEUDO_COUNT];
	size_t seen; /* bytes of fields, also of those dropped */
	size_t trailer_len;
	uint64_t body_len;
	struct http_request req;
};

struct status
http_h2_request_new(const struct http_limits *limits, struct http_h2_request **ret)
{
	struct http_h2_request *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return fail(E_NOMEM);
	q->limits = http_limits_clamp(limits);
	*ret = q;
	return OK;
}

void
http_h2_request_free(struct http_h2_request *q)
{
	if (q == NULL)
		return;
	http_head_done(&q->head);
	free(q);
}

/* ---- fields ---- */

/* A host, too, is counted as the field that it is in HTTP/1.1. */
static uint16_t
count_field(struct http_h2_request *q, size_t name_len, size_t value_len)
{
	size_t len = name_len + value_len + H2_FIELD_REST;

	if (len > q->limits.header_len_max - q->head.fields_len)
		return 431;
	q->head.fields_len += len;
	return 0;
}

static uint16_t
take_pseudo(struct http_h2_request *q, struct span name, struct span value)
{
	enum pseudo i = PSEUDO_METHOD;
	uint16_t rc = 0;

	while (i < PSEUDO_COUNT && !span_eq_str(name, pseudo_names[i]))
		i++;
	if (i == PSEUDO_COUNT || q->regular || q->pseudo[i].has)
		return 400;
	if (i == PSEUDO_AUTHORITY)
		rc = count_field(q, SPAN_LIT("host").len, value.len);
	else if (value.len > q->limits.line_len_max)
		rc = i == PSEUDO_PATH ? 414 : 400;
	if (rc != 0)
		return rc;
	q->pseudo[i].has = true;
	q->pseudo[i].at = q->head.len;
	q->pseudo[i].len = value.len;
	return http_head_keep(&q->head, value) ? 0 : 503;
}

static uint16_t
take_field(struct http_h2_request *q, struct span name, struct span value)
{
	uint16_t rc;

	q->regular = true;
	if (!http_h2_field_ok(name, value))
		return 400;
	/* :authority is one of them, too. */
	if (q->head.count + q->pseudo[PSEUDO_AUTHORITY].has == q->limits.fields_max)
		return 431;
	rc = count_field(q, name.len, value.len);
	return rc != 0 ? rc : http_head_add(&q->head, &q->limits, name, value);
}

bool
http_h2_request_field(struct http_h2_request *q, struct span name, struct span value)
{
	q->seen += name.len + value.len + H2_FIELD_COST;
	if (q->error == 0 && name.len > 0 && name.ptr[0] == ':')
		q->error = take_pseudo(q, name, value);
	else if (q->error == 0)
		q->error = take_field(q, name, value);
	return q->seen <= HTTP_H2_EXCESS * (q->limits.line_len_max + q->limits.header_len_max);
}

/* ---- the whole head ---- */

static uint8_t *
pseudo_ptr(const struct http_h2_request *q, enum pseudo i)
{
	return q->head.ptr + q->pseudo[i].at;
}

static struct span
pseudo_span(const struct http_h2_request *q, enum pseudo i)
{
	return q->pseudo[i].has ? span_of(pseudo_ptr(q, i), q->pseudo[i].len) : SPAN_EMPTY;
}

/* RFC 9113 §8.5: CONNECT names a host and nothing else; it is never served. */
static uint16_t
connect_check(struct http_h2_request *q)
{
	q->req.target_bad = true;
	return q->pseudo[PSEUDO_SCHEME].has || q->pseudo[PSEUDO_PATH].has ||
		       !q->pseudo[PSEUDO_AUTHORITY].has
		   ? 400
		   : 0;
}

/* Scheme and path, where HTTP/1.1 has one target. */
static uint16_t
target_check(struct http_h2_request *q)
{
	struct span scheme = pseudo_span(q, PSEUDO_SCHEME), path = pseudo_span(q, PSEUDO_PATH);
	struct target t;

	if (!http_scheme_ok(scheme) || path.len == 0 ||
	    !http_target_parse(pseudo_ptr(q, PSEUDO_PATH), path.len, &t))
		return 400;
	/* Scheme and authority have their own fields: in the path they are never served. */
	if (t.authority.len > 0 || !span_eq_nocase(scheme, SPAN_LIT("https")))
		t.bad = true;
	http_target_put(&t, &q->req);
	return 0;
}

static uint16_t
line_check(struct http_h2_request *q)
{
	struct span method = pseudo_span(q, PSEUDO_METHOD);

	if (method.len + q->pseudo[PSEUDO_PATH].len + LINE_REST > q->limits.line_len_max)
		return 414;
	if (!http_token_ok(method) || method.len > HTTP_METHOD_LEN_MAX)
		return 400;
	q->req.method = method;
	return span_eq_str(method, "CONNECT") ? connect_check(q) : target_check(q);
}

static uint16_t
host_check(struct http_h2_request *q, const struct framing *f)
{
	struct span authority = q->pseudo[PSEUDO_AUTHORITY].has ? pseudo_span(q, PSEUDO_AUTHORITY)
								: f->host;
	uint8_t *p;

	if (!http_authority_ok(authority) || (f->has_host && !http_authority_ok(f->host)))
		return 400;
	if (f->has_host && !span_eq_nocase(authority, f->host)) {
		q->req.target_bad = true;
		q->req.slashed = SPAN_EMPTY;
	}
	p = q->head.ptr + (authority.ptr - q->head.ptr);
	for (size_t i = 0; i < authority.len; i++)
		p[i] = char_lower(p[i]);
	q->req.authority = authority;
	return 0;
}

/* A content-length and no body at all: only 0 is true. */
static uint16_t
body_choose(struct http_h2_request *q, const struct framing *f, bool end)
{
	if (f->has_length && f->length > q->limits.body_len_max)
		return 413;
	if (end && f->length > 0)
		return 400;
	if (!end && (!f->has_length || f->length > 0)) {
		q->req.body = f->has_length ? HTTP_BODY_LENGTH : HTTP_BODY_STREAM;
		q->req.content_length = f->length;
	}
	if (f->has_expect && !span_eq_nocase(f->expect, SPAN_LIT("100-continue")))
		return 400;
	q->req.expect_continue = f->has_expect && q->req.body != HTTP_BODY_NONE;
	return 0;
}

uint16_t
http_h2_request_head(struct http_h2_request *q, bool end)
{
	struct framing f = { 0 };

	if (q->error == 0)
		q->error = line_check(q);
	if (q->error == 0)
		q->error = http_framing_take(&q->head, &f);
	if (q->error == 0)
		q->error = host_check(q, &f);
	if (q->error == 0)
		q->error = body_choose(q, &f, end);
	if (q->req.target_bad)
		q->req.path = q->req.query = SPAN_EMPTY;
	q->req.fields = q->head.fields;
	q->req.field_count = q->head.count;
	return q->error;
}

const struct http_request *
http_h2_request_get(const struct http_h2_request *q)
{
	return &q->req;
}

/* ---- what follows the head ---- */

uint16_t
http_h2_request_body(struct http_h2_request *q, size_t len)
{
	uint64_t max = q->limits.body_len_max;
	bool told = q->req.body != HTTP_BODY_STREAM;

	if (told)
		max = q->req.body == HTTP_BODY_LENGTH ? q->req.content_length : 0;
	if (q->error == 0 && len > max - q->body_len)
		q->error = told ? 400 : 413;
	if (q->error == 0)
		q->body_len += len;
	return q->error;
}

uint16_t
http_h2_request_trailer(struct http_h2_request *q, struct span name, struct span value)
{
	size_t len = name.len + value.len + H2_FIELD_REST;

	if (q->error != 0)
		return q->error;
	if (!http_h2_trailer_ok(name, value))
		q->error = 400;
	else if (len > q->limits.trailer_len_max - q->trailer_len)
		q->error = 431;
	else
		q->trailer_len += len;
	return q->error;
}

uint16_t
http_h2_request_end(struct http_h2_request *q)
{
	if (q->error == 0 && q->req.body == HTTP_BODY_LENGTH &&
	    q->body_len != q->req.content_length)
		q->error = 400;
	return q->error;
}
