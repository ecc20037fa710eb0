/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON writer.
 *
 * Runs in:    every process that writes JSON.
 * Trusts:     the caller's order of calls (asserted) and json_put_raw()'s bytes.
 * Owns:       nothing; bytes go to the caller's buf.
 * Invariants: what it escapes is valid UTF-8 without control characters, U+2028
 *             and U+2029, so that it is also safe in scripts and in one line.
 * See:        RFC 8259; json/write.h.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/write.h>

#define REPAIR_CHUNK 4096

static void put(struct json_writer *w, struct status st);
static void before_value(struct json_writer *w);
static void after_value(struct json_writer *w);
static void open_level(struct json_writer *w, bool is_object);
static struct status escape_valid(struct span text, struct buf *out);

struct json_writer
json_writer(struct buf *out)
{
	return (struct json_writer){ .out = out, .st = OK };
}

struct status
json_writer_finish(const struct json_writer *w)
{
	TRY(w->st);
	assert(w->done && w->depth == 0);
	return OK;
}

static void
put(struct json_writer *w, struct status st)
{
	if (is_ok(w->st))
		w->st = st;
}

static uint64_t
level_bit(const struct json_writer *w)
{
	return 1ULL << (w->depth - 1);
}

static void
comma(struct json_writer *w)
{
	if (w->has_item & level_bit(w))
		put(w, buf_put_u8(w->out, ','));
	w->has_item |= level_bit(w);
}

static void
before_value(struct json_writer *w)
{
	assert(!w->done);
	if (w->depth == 0)
		return;
	if (w->is_object & level_bit(w)) {
		assert(w->after_key);
		w->after_key = false;
		return;
	}
	comma(w);
}

static void
after_value(struct json_writer *w)
{
	w->done = w->depth == 0;
}

static void
open_level(struct json_writer *w, bool is_object)
{
	before_value(w);
	assert(w->depth < JSON_WRITE_DEPTH_MAX);
	w->depth++;
	w->has_item &= ~level_bit(w);
	w->is_object &= ~level_bit(w);
	if (is_object)
		w->is_object |= level_bit(w);
	put(w, buf_put_u8(w->out, is_object ? '{' : '['));
}

void
json_put_object(struct json_writer *w)
{
	open_level(w, true);
}

void
json_put_array(struct json_writer *w)
{
	open_level(w, false);
}

void
json_put_end(struct json_writer *w)
{
	assert(w->depth > 0 && !w->after_key);
	put(w, buf_put_u8(w->out, w->is_object & level_bit(w) ? '}' : ']'));
	w->depth--;
	after_value(w);
}

static struct status
put_quoted(struct buf *out, struct span text)
{
	TRY(buf_put_u8(out, '"'));
	TRY(json_escape(text, out));
	return buf_put_u8(out, '"');
}

void
json_put_key(struct json_writer *w, const char *key)
{
	json_put_key_span(w, span_str(key));
}

void
json_put_key_span(struct json_writer *w, struct span key)
{
	assert(w->depth > 0 && (w->is_object & level_bit(w)) && !w->after_key);
	comma(w);
	put(w, put_quoted(w->out, key));
	put(w, buf_put_u8(w->out, ':'));
	w->after_key = true;
}

void
json_put_str(struct json_writer *w, struct span text)
{
	before_value(w);
	put(w, put_quoted(w->out, text));
	after_value(w);
}

void
json_put_text(struct json_writer *w, const char *text)
{
	json_put_str(w, span_str(text));
}

void
json_put_u64(struct json_writer *w, uint64_t v)
{
	before_value(w);
	put(w, buf_printf(w->out, "%" PRIu64, v));
	after_value(w);
}

void
json_put_i64(struct json_writer *w, int64_t v)
{
	before_value(w);
	put(w, buf_printf(w->out, "%" PRId64, v));
	after_value(w);
}

void
json_put_double(struct json_writer *w, double v)
{
	char text[40] = "null";

	for (int precision = 15; isfinite(v) && precision <= 17; precision++) {
		(void)snprintf(text, sizeof(text), "%.*g", precision, v);
		if (!islessgreater(strtod(text, NULL), v))
			break;
	}
	json_put_raw(w, span_str(text));
}

void
json_put_bool(struct json_writer *w, bool v)
{
	json_put_raw(w, v ? SPAN_LIT("true") : SPAN_LIT("false"));
}

void
json_put_null(struct json_writer *w)
{
	json_put_raw(w, SPAN_LIT("null"));
}

void
json_put_raw(struct json_writer *w, struct span value)
{
	before_value(w);
	put(w, buf_put_span(w->out, value));
	after_value(w);
}

/* ---- escaping ---- */

/* By byte: 0 as it is, 1 as \u00XX (so are the other controls), 2 perhaps U+2028/9, else \x. */
static const uint8_t escape_as[256] = {
	['\b'] = 'b',
	['\f'] = 'f',
	['\n'] = 'n',
	['\r'] = 'r',
	['\t'] = 't',
	['"'] = '"',
	['\\'] = '\\',
	[0x7f] = 1,
	[0xe2] = 2,
};

struct status
json_escape(struct span text, struct buf *out)
{
	auto_buf struct buf repaired = BUF_INIT(4 * REPAIR_CHUNK);

	while (text.len > 0) {
		size_t used = utf8_valid_len(text);

		TRY(escape_valid(span_of(text.ptr, used), out));
		text = span_from(text, used);
		if (text.len == 0)
			break;
		used = text.len < REPAIR_CHUNK ? text.len : REPAIR_CHUNK;
		buf_clear(&repaired);
		TRY(utf8_repair(span_of(text.ptr, used), used == text.len, &repaired, &used));
		TRY(escape_valid(buf_span(&repaired), out));
		text = span_from(text, used);
	}
	return OK;
}

static struct status
escape_valid(struct span text, struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	size_t start = 0;

	TRY(buf_reserve(out, text.len));
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i], as = escape_as[c] == 0 && c < 0x20 ? 1 : escape_as[c];
		uint8_t escape[6] = { '\\', as, '0', '0', (uint8_t)hex[c >> 4],
			(uint8_t)hex[c & 15] };
		size_t escape_len = as == 1 ? 6 : 2, eaten = 1;

		if (as == 0)
			continue;
		if (as == 1)
			escape[1] = 'u';
		if (as == 2) { /* E2 80 A8 and E2 80 A9; the sequence is whole */
			if (text.ptr[i + 1] != 0x80 || (text.ptr[i + 2] & 0xfe) != 0xa8)
				continue;
			memcpy(escape, text.ptr[i + 2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
			escape_len = 6;
			eaten = 3;
		}
		TRY(buf_put_span(out, span_of(text.ptr + start, i - start)));
		TRY(buf_put(out, escape, escape_len));
		start = i + eaten;
		i = start - 1;
	}
	return buf_put_span(out, span_of(text.ptr + start, text.len - start));
}
