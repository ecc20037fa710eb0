/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_response.c: assemble an answer from the fields of HTTP/2 header blocks.
 *
 * Runs in: broker. Trusts: nothing: an upstream may be hostile or broken; HPACK only
 * undid its compression.
 * Owns: the head's bytes, on which the response object lies; wiped when dropped.
 * Invariants: the first fault counts, and nothing is kept after it; a body is as long as
 * its content-length says, or there is none of both.
 * See: http/h2_response.h; RFC 9113 §8.1, §8.3.2; response.c.
 */
#include <http/h2_response.h>

#include <stdlib.h>

#include "framing.h"
#include "h2_fields.h"

#define STATUS_LEN 3

struct http_h2_response {
	uint16_t error;
	bool has_status;
	bool regular;     /* a field that is no pseudo-header has come */
	unsigned interim; /* 1xx heads seen */
	struct http_limits limits;
	struct head head;
	size_t seen; /* bytes of fields, also of those dropped */
	size_t trailer_len;
	uint64_t body_len;
	struct http_response res;
};

struct status
http_h2_response_new(const struct http_limits *limits, struct http_h2_response **ret)
{
	struct http_h2_response *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return fail(E_NOMEM);
	q->limits = http_limits_clamp(limits);
	*ret = q;
	return OK;
}

void
http_h2_response_free(struct http_h2_response *q)
{
	if (q == NULL)
		return;
	http_head_done(&q->head);
	free(q);
}

/* Whatever is wrong with it is the other side's fault, but for our memory. */
static uint16_t
set_error(struct http_h2_response *q, uint16_t rc)
{
	if (q->error == 0 && rc != 0)
		q->error = rc == 503 ? 503 : 502;
	return q->error;
}

/* ---- fields ---- */
static uint16_t
take_pseudo(struct http_h2_response *q, struct span name, struct span value)
{
	uint64_t status;

	if (!span_eq_str(name, ":status") || q->regular || q->has_status ||
	    value.len != STATUS_LEN || !is_ok(span_u64(value, 599, &status)) || status < 100)
		return 502;
	q->has_status = true;
	q->res.status = (uint16_t)status;
	return 0;
}

static uint16_t
take_field(struct http_h2_response *q, struct span name, struct span value)
{
	size_t len = name.len + value.len + H2_FIELD_REST;

	q->regular = true;
	if (!http_h2_field_ok(name, value) || len > q->limits.header_len_max - q->head.fields_len)
		return 502;
	q->head.fields_len += len;
	return http_head_add(&q->head, &q->limits, name, value);
}

bool
http_h2_response_field(struct http_h2_response *q, struct span name, struct span value)
{
	q->seen += name.len + value.len + H2_FIELD_COST;
	if (q->error == 0 && name.len > 0 && name.ptr[0] == ':')
		(void)set_error(q, take_pseudo(q, name, value));
	else if (q->error == 0)
		(void)set_error(q, take_field(q, name, value));
	return q->seen <= HTTP_H2_EXCESS * (q->limits.line_len_max + q->limits.header_len_max);
}

/* ---- the whole head ---- */
static uint16_t
body_choose(struct http_h2_response *q, const struct framing *f, bool end)
{
	bool none = q->res.status == 204 || q->res.status == 304;

	if (f->has_length && f->length > q->limits.body_len_max)
		return 502;
	/* Of these a length tells of another answer. */
	if (!none && end && f->length > 0)
		return 502;
	if (none || end || (f->has_length && f->length == 0))
		return 0;
	q->res.body = f->has_length ? HTTP_BODY_LENGTH : HTTP_BODY_STREAM;
	q->res.content_length = f->length;
	return 0;
}

/* Dropped; `seen` goes on counting. */
static uint16_t
interim(struct http_h2_response *q, bool end)
{
	if (end || q->res.status == 101 || ++q->interim > HTTP_INTERIM_MAX)
		return 502;
	http_head_reset(&q->head);
	q->res = (struct http_response){ 0 };
	q->has_status = q->regular = false;
	return 0;
}

uint16_t
http_h2_response_head(struct http_h2_response *q, bool end, bool *ret_interim)
{
	struct framing f = { 0 };

	*ret_interim = false;
	if (q->error == 0 && !q->has_status)
		(void)set_error(q, 502);
	if (q->error == 0)
		(void)set_error(q, http_framing_take(&q->head, &f));
	if (q->error == 0 && q->res.status < 200) {
		*ret_interim = true;
		return set_error(q, interim(q, end));
	}
	if (q->error == 0)
		(void)set_error(q, body_choose(q, &f, end));
	q->res.fields = q->head.fields;
	q->res.field_count = q->head.count;
	return q->error;
}

const struct http_response *
http_h2_response_get(const struct http_h2_response *q)
{
	return &q->res;
}

/* ---- what follows the head ---- */
uint16_t
http_h2_response_body(struct http_h2_response *q, size_t len)
{
	uint64_t max = q->limits.body_len_max;

	if (q->res.body != HTTP_BODY_STREAM)
		max = q->res.body == HTTP_BODY_LENGTH ? q->res.content_length : 0;
	if (q->error == 0 && len > max - q->body_len)
		return set_error(q, 502);
	q->body_len += len;
	return q->error;
}

uint16_t
http_h2_response_trailer(struct http_h2_response *q, struct span name, struct span value)
{
	size_t len = name.len + value.len + H2_FIELD_REST;

	if (!http_h2_trailer_ok(name, value) || len > q->limits.trailer_len_max - q->trailer_len)
		return set_error(q, 502);
	q->trailer_len += len;
	return q->error;
}

uint16_t
http_h2_response_end(struct http_h2_response *q)
{
	if (q->res.body == HTTP_BODY_LENGTH && q->body_len != q->res.content_length)
		return set_error(q, 502);
	return q->error;
}
