/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse.c: write and read streams of server-sent events.
 *
 * Runs in: gateway, CLI. Trusts: nothing: data may be text of a model, streams
 * come from upstreams.
 * Owns: a reader's line, data and name. Invariants: no data written can forge a
 * line; a reader's memory is bounded by its limits; no split changes the events.
 * See: http/sse.h; WHATWG HTML §9.2.5, §9.2.6.
 */
#include <http/sse.h>

static bool
has_line_end(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\n' || s.ptr[i] == '\r')
			return true;
	}
	return false;
}

/* The length of the first line of `s`, and of its end: 0, 1 or 2 (CRLF). */
static size_t
line_len(struct span s, size_t *ret_end)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\n' || s.ptr[i] == '\r') {
			bool crlf = s.ptr[i] == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n';

			*ret_end = crlf ? 2 : 1;
			return i;
		}
	}
	*ret_end = 0;
	return s.len;
}

static struct status
put_line(struct buf *out, struct span name, struct span value)
{
	TRY(buf_put_span(out, name));
	TRY(buf_put_span(out, value));
	return buf_put_u8(out, '\n');
}

static struct status
put_event(struct buf *out, struct span event, struct span data)
{
	size_t end;

	if (event.len > 0)
		TRY(put_line(out, SPAN_LIT("event: "), event));
	do {
		size_t n = line_len(data, &end);

		TRY(put_line(out, SPAN_LIT("data: "), span_of(data.ptr, n)));
		data = span_from(data, n + end);
	} while (data.len > 0 || end > 0);
	return buf_put_u8(out, '\n');
}

struct status
sse_put(struct buf *out, struct span event, struct span data)
{
	size_t len = out->len;
	struct status st;

	if (has_line_end(event))
		return fail(E_SYNTAX);
	st = put_event(out, event, data);
	if (!is_ok(st))
		out->len = len;
	return st;
}

struct status
sse_put_comment(struct buf *out, struct span text)
{
	size_t len = out->len;
	struct status st;

	if (has_line_end(text))
		return fail(E_SYNTAX);
	st = put_line(out, SPAN_LIT(": "), text);
	if (is_ok(st))
		st = buf_put_u8(out, '\n');
	if (!is_ok(st))
		out->len = len;
	return st;
}

static size_t
limit(size_t wanted, size_t usual)
{
	if (wanted == 0)
		return usual;
	return wanted > SSE_READER_LEN_MAX ? SSE_READER_LEN_MAX : wanted;
}

void
sse_reader_init(struct sse_reader *r, size_t line_len_max, size_t event_len_max)
{
	*r = (struct sse_reader){
		.line = BUF_INIT(limit(line_len_max, SSE_LINE_LEN_MAX)),
		.data = BUF_INIT(limit(event_len_max, SSE_EVENT_LEN_MAX)),
		.name = BUF_INIT(SSE_NAME_LEN_MAX),
	};
}

void
sse_reader_done(struct sse_reader *r)
{
	buf_done(&r->line);
	buf_done(&r->data);
	buf_done(&r->name);
}

static struct status
field_data(struct sse_reader *r, struct span value)
{
	if (r->has_data)
		TRY(buf_put_u8(&r->data, '\n'));
	r->has_data = true;
	return buf_put_span(&r->data, value);
}

static struct status
field_event(struct sse_reader *r, struct span value)
{
	buf_clear(&r->name);
	return buf_put_span(&r->name, value);
}

/* Fields that matter here; id, retry and comments are skipped. */
static const struct {
	const char *name;
	struct status (*take)(struct sse_reader *r, struct span value);
} fields[] = {
	{ "data", field_data },
	{ "event", field_event },
};

static struct status
take_line(struct sse_reader *r, struct span line)
{
	const uint8_t *colon = line.len == 0 ? NULL : memchr(line.ptr, ':', line.len);
	size_t n = colon == NULL ? line.len : (size_t)(colon - line.ptr);
	struct span name = span_of(line.ptr, n), value = span_from(line, n + 1);

	if (value.len > 0 && value.ptr[0] == ' ')
		value = span_from(value, 1);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (span_eq_str(name, fields[i].name))
			return fields[i].take(r, value);
	}
	return OK;
}

/* One line without its end. OK: an event is complete. E_AGAIN: go on. */
static struct status
on_line(struct sse_reader *r, struct span line, struct sse_event *ret)
{
	if (!r->started && span_starts(line, SPAN_LIT("\xef\xbb\xbf")))
		line = span_from(line, 3);
	r->started = true;
	if (line.len > 0) {
		TRY(take_line(r, line));
		return fail(E_AGAIN);
	}
	if (!r->has_data) {
		buf_clear(&r->name);
		return fail(E_AGAIN);
	}
	r->dispatched = true;
	*ret = (struct sse_event){ buf_span(&r->name), buf_span(&r->data) };
	return OK;
}

/* The next line, joined with what was kept of it. E_AGAIN: it is not whole yet. */
static struct status
next_line(struct sse_reader *r, struct span *in, struct span *ret)
{
	size_t end, n;

	if (in->len == 0)
		return fail(E_AGAIN);
	if (r->after_cr) {
		r->after_cr = false;
		if (in->ptr[0] == '\n')
			*in = span_from(*in, 1);
	}
	n = line_len(*in, &end);
	*ret = span_of(in->ptr, n);
	if (n > r->line.max - r->line.len)
		return fail(E_FULL);
	if (end == 0 || r->line.len > 0) {
		TRY(buf_put_span(&r->line, *ret));
		*ret = buf_span(&r->line);
	}
	r->after_cr = end == 1 && in->ptr[n] == '\r' && n + 1 == in->len;
	*in = span_from(*in, n + end);
	return end == 0 ? fail(E_AGAIN) : OK;
}

struct status
sse_reader_feed(struct sse_reader *r, struct span *in, struct sse_event *ret)
{
	if (r->dispatched) {
		buf_clear(&r->data);
		buf_clear(&r->name);
		r->has_data = false;
		r->dispatched = false;
	}
	for (;;) {
		struct span line;
		struct status st;

		TRY(next_line(r, in, &line));
		st = on_line(r, line, ret);
		buf_clear(&r->line);
		if (st.code != E_AGAIN)
			return st;
	}
}
