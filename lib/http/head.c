/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head.c: collect the head of a message, line by line, byte-exact.
 *
 * Runs in: gateway, broker, supervisor, demo. Trusts: nothing.
 * Owns: the bytes of the lines; wiped when dropped (they hold credentials).
 * Invariants: each byte is judged when it comes, so that no split of the input
 * changes the result; memory never exceeds both limits together.
 * See: RFC 9112 §2.2 (line ends), §5 (fields).
 */
#include "head.h"

#include <stdlib.h>

#include "chars.h"

#define HEAD_CAP_MIN 1024
#define HEAD_CAP_KEEP 8192 /* kept between the messages of a connection */
#define FIELDS_CAP_MIN 16
#define FIELDS_CAP_KEEP 64 /* the same */

typedef uint16_t step_fn(
    struct head *h, const struct http_limits *limits, struct span in, size_t *at);

static step_fn on_line, on_line_lf, on_skip_lf, on_field, on_field_lf, on_end_lf;

/* Each takes at least one byte or fails. */
static step_fn *const steps[HEAD_STATES] = {
	[HEAD_LINE] = on_line,
	[HEAD_LINE_LF] = on_line_lf,
	[HEAD_SKIP_LF] = on_skip_lf,
	[HEAD_FIELD] = on_field,
	[HEAD_FIELD_LF] = on_field_lf,
	[HEAD_END_LF] = on_end_lf,
};

uint16_t
http_head_feed(struct head *h, const struct http_limits *limits, struct span in, size_t *ret_used)
{
	uint16_t rc = HEAD_MORE;
	size_t at = 0;

	while (at < in.len && rc == HEAD_MORE)
		rc = steps[h->state](h, limits, in, &at);
	*ret_used = at;
	return rc;
}

/* After a move of the bytes, the fields point to where they are now. */
static void
fields_move(struct head *h, const uint8_t *from, const uint8_t *to)
{
	for (size_t i = 0; i < h->count; i++) {
		h->fields[i].name.ptr = to + (h->fields[i].name.ptr - from);
		h->fields[i].value.ptr = to + (h->fields[i].value.ptr - from);
	}
}

static void
wipe(uint8_t *p, size_t len)
{
	if (p != NULL)
		explicit_bzero(p, len);
}

/* Not realloc(3), which leaves a copy behind. */
static bool
head_grow(struct head *h, size_t need)
{
	size_t cap = h->cap < HEAD_CAP_MIN ? HEAD_CAP_MIN : h->cap;
	uint8_t *p;

	while (cap < need)
		cap *= 2;
	p = malloc(cap);
	if (p == NULL)
		return false;
	if (h->len > 0) {
		memcpy(p, h->ptr, h->len);
		fields_move(h, h->ptr, p);
	}
	wipe(h->ptr, h->len);
	free(h->ptr);
	h->ptr = p;
	h->cap = cap;
	return true;
}

/* Room for one more field. */
static bool
fields_grow(struct head *h)
{
	size_t cap = h->fields_cap == 0 ? FIELDS_CAP_MIN : 2 * h->fields_cap;
	struct http_field *f;

	if (h->count < h->fields_cap)
		return true;
	f = reallocarray(h->fields, cap, sizeof(*f));
	if (f == NULL)
		return false;
	h->fields = f;
	h->fields_cap = cap;
	return true;
}

static void
fields_free(struct head *h)
{
	free(h->fields);
	h->fields = NULL;
	h->fields_cap = 0;
}

/* Append the run of bytes of `class` at *at, at most `room`. */
static uint16_t
take_run(struct head *h, struct span in, size_t *at, unsigned class, size_t room)
{
	size_t left = in.len - *at, n = 0;

	if (room < left)
		left = room;
	while (n < left && is_char(in.ptr[*at + n], class))
		n++;
	if (n > h->cap - h->len && !head_grow(h, h->len + n))
		return 503;
	if (n > 0)
		memcpy(h->ptr + h->len, in.ptr + *at, n);
	h->len += n;
	*at += n;
	return 0;
}

/* An LF and nothing else; on to `next`. */
static uint16_t
take_lf(struct head *h, struct span in, size_t *at, enum head_state next)
{
	if (in.ptr[*at] != '\n')
		return 400;
	(*at)++;
	h->state = next;
	return HEAD_MORE;
}

static uint16_t
on_line(struct head *h, const struct http_limits *limits, struct span in, size_t *at)
{
	uint16_t rc = take_run(h, in, at, h->line_class, limits->line_len_max - h->len);

	if (rc != 0 || *at == in.len)
		return rc;
	if (is_char(in.ptr[*at], h->line_class))
		return 414; /* the run ended for want of room */
	if (in.ptr[*at] != '\r')
		return 400;
	(*at)++;
	if (h->len > 0) {
		h->state = HEAD_LINE_LF;
		return HEAD_MORE;
	}
	if (!h->may_skip || h->skipped)
		return 400;
	h->skipped = true;
	h->state = HEAD_SKIP_LF;
	return HEAD_MORE;
}

static uint16_t
on_line_lf(struct head *h, const struct http_limits *limits, struct span in, size_t *at)
{
	(void)limits;
	h->line_len = h->len;
	h->line_at = h->len;
	return take_lf(h, in, at, HEAD_FIELD);
}

static uint16_t
on_skip_lf(struct head *h, const struct http_limits *limits, struct span in, size_t *at)
{
	(void)limits;
	return take_lf(h, in, at, HEAD_LINE);
}

static uint16_t
on_field(struct head *h, const struct http_limits *limits, struct span in, size_t *at)
{
	size_t before = h->len;
	uint16_t rc;

	if (h->len == h->line_at && (in.ptr[*at] == ' ' || in.ptr[*at] == '\t'))
		return 400; /* obs-fold, or blanks before the first name */
	rc = take_run(h, in, at, CH_VALUE, limits->header_len_max - h->fields_len);
	h->fields_len += h->len - before;
	if (rc != 0 || *at == in.len)
		return rc;
	if (is_char(in.ptr[*at], CH_VALUE))
		return 431;
	if (in.ptr[*at] != '\r')
		return 400;
	(*at)++;
	if (h->len == h->line_at) {
		h->state = HEAD_END_LF;
		return HEAD_MORE;
	}
	if (limits->header_len_max - h->fields_len < 2)
		return 431;
	h->fields_len += 2;
	h->state = HEAD_FIELD_LF;
	return HEAD_MORE;
}

static uint16_t
on_field_lf(struct head *h, const struct http_limits *limits, struct span in, size_t *at)
{
	uint16_t rc = take_lf(h, in, at, HEAD_FIELD);

	if (rc != HEAD_MORE)
		return rc;
	if (h->count == limits->fields_max)
		return 431;
	if (!fields_grow(h))
		return 503;
	if (!http_field_parse(h->ptr + h->line_at, h->len - h->line_at, &h->fields[h->count]))
		return 400;
	h->count++;
	h->line_at = h->len;
	return HEAD_MORE;
}

static uint16_t
on_end_lf(struct head *h, const struct http_limits *limits, struct span in, size_t *at)
{
	uint16_t rc = take_lf(h, in, at, HEAD_END_LF);

	(void)limits;
	return rc == HEAD_MORE ? HEAD_DONE : rc;
}

static struct span
trim(struct span s)
{
	while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
		s = span_from(s, 1);
	while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

bool
http_field_parse(uint8_t *line, size_t len, struct http_field *ret)
{
	uint8_t *colon = memchr(line, ':', len);
	size_t name_len;

	if (colon == NULL)
		return false;
	name_len = (size_t)(colon - line);
	if (!http_token_ok(span_of(line, name_len)))
		return false;
	for (size_t i = 0; i < name_len; i++)
		line[i] = char_lower(line[i]);
	ret->name = span_of(line, name_len);
	ret->value = trim(span_of(colon + 1, len - name_len - 1));
	return true;
}

bool
http_head_keep(struct head *h, struct span s)
{
	if (s.len > h->cap - h->len && !head_grow(h, h->len + s.len))
		return false;
	if (s.len > 0)
		memcpy(h->ptr + h->len, s.ptr, s.len);
	h->len += s.len;
	return true;
}

uint16_t
http_head_add(struct head *h, const struct http_limits *limits, struct span name, struct span value)
{
	size_t at = h->len;

	if (h->count == limits->fields_max)
		return 431;
	if (!fields_grow(h) || !http_head_keep(h, name) || !http_head_keep(h, value))
		return 503;
	h->fields[h->count].name = span_of(h->ptr + at, name.len);
	h->fields[h->count].value = span_of(h->ptr + at + name.len, value.len);
	h->count++;
	return 0;
}

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

struct http_limits
http_limits_clamp(const struct http_limits *limits)
{
	struct http_limits l = limits == NULL ? http_limits_default : *limits;

	l.line_len_max = min_size(l.line_len_max, HTTP_LINE_LEN_MAX);
	l.header_len_max = min_size(l.header_len_max, HTTP_HEADER_LEN_MAX);
	l.fields_max = min_size(l.fields_max, HTTP_FIELDS_MAX);
	l.trailer_len_max = min_size(l.trailer_len_max, HTTP_TRAILER_LEN_MAX);
	return l;
}

void
http_head_reset(struct head *h)
{
	wipe(h->ptr, h->len);
	if (h->cap > HEAD_CAP_KEEP) {
		free(h->ptr);
		h->ptr = NULL;
		h->cap = 0;
	}
	if (h->fields_cap > FIELDS_CAP_KEEP)
		fields_free(h);
	h->state = HEAD_LINE;
	h->skipped = false;
	h->len = 0;
	h->line_len = 0;
	h->line_at = 0;
	h->fields_len = 0;
	h->count = 0;
}

void
http_head_done(struct head *h)
{
	wipe(h->ptr, h->len);
	free(h->ptr);
	h->ptr = NULL;
	h->len = 0;
	h->cap = 0;
	fields_free(h);
	h->count = 0;
}
