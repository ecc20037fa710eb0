/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON writer.
 *
 * Runs in:    every process that writes JSON.
 * Trusts:     the caller's order of calls (asserted), and bytes that are said to be JSON.
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

#define ESCAPE_MAX 6 /* bytes */

/* By byte: \x for x in the table, else one of these; a control is \u00XX anyhow. */
enum { AS_IT_IS, AS_HEX, AS_LINE };

static const uint8_t escape_as[256] = {
	['\b'] = 'b',
	['\f'] = 'f',
	['\n'] = 'n',
	['\r'] = 'r',
	['\t'] = 't',
	['"'] = '"',
	['\\'] = '\\',
	[0x7f] = AS_HEX,
	[0xe2] = AS_LINE,
};

struct status
json_escape(struct span text, struct buf *out)
{
	auto_buf struct buf repaired = BUF_INIT(4UL * REPAIR_CHUNK);

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

/* The escape for the byte at p: its length, 0 if it stays; *ret_eaten bytes are done. */
static size_t
escape_one(const uint8_t *p, uint8_t out[ESCAPE_MAX], size_t *ret_eaten)
{
	static const uint8_t line[ESCAPE_MAX] = { '\\', 'u', '2', '0', '2', '8' };
	static const char hex[] = "0123456789abcdef";
	uint8_t c = *p, as = escape_as[c];

	*ret_eaten = 1;
	if (as == AS_IT_IS && c >= 0x20)
		return 0;
	if (as == AS_LINE) { /* E2 80 A8, E2 80 A9; the sequence is whole */
		if (p[1] != 0x80 || (p[2] & 0xfe) != 0xa8)
			return 0;
		memcpy(out, line, sizeof(line));
		out[5] = (uint8_t)('8' + (p[2] & 1));
		*ret_eaten = 3;
		return ESCAPE_MAX;
	}
	out[0] = '\\';
	out[1] = as;
	if (as != AS_IT_IS && as != AS_HEX)
		return 2;
	out[1] = 'u';
	out[2] = out[3] = '0';
	out[4] = (uint8_t)hex[c >> 4];
	out[5] = (uint8_t)hex[c & 15];
	return ESCAPE_MAX;
}

static struct status
escape_valid(struct span text, struct buf *out)
{
	uint8_t escape[ESCAPE_MAX];
	size_t start = 0, eaten;

	TRY(buf_reserve(out, text.len));
	for (size_t i = 0; i < text.len; i += eaten) {
		size_t len = escape_one(text.ptr + i, escape, &eaten);

		if (len == 0)
			continue;
		TRY(buf_put_span(out, span_of(text.ptr + start, i - start)));
		TRY(buf_put(out, escape, len));
		start = i + eaten;
	}
	return buf_put_span(out, span_of(text.ptr + start, text.len - start));
}

/* ---- what is JSON already, on one line ---- */

/* How the byte at p goes on: 0: as it is, unless it is a blank between tokens. */
static size_t
compact_one(const uint8_t *p, bool *in_string, uint8_t out[ESCAPE_MAX], size_t *ret_eaten)
{
	*ret_eaten = 1;
	if (*p == '"')
		*in_string = !*in_string;
	else if (*in_string && *p == '\\')
		*ret_eaten = 2; /* what it escapes ends no string */
	else if (*in_string && escape_as[*p] == AS_LINE)
		return escape_one(p, out, ret_eaten);
	return 0;
}

static struct status
compact(struct span text, struct buf *out)
{
	uint8_t escape[ESCAPE_MAX];
	bool in_string = false;
	size_t start = 0, eaten;

	for (size_t i = 0; i < text.len; i += eaten) {
		size_t len = compact_one(text.ptr + i, &in_string, escape, &eaten);

		if (len == 0 && (in_string || text.ptr[i] > ' '))
			continue;
		TRY(buf_put_span(out, span_of(text.ptr + start, i - start)));
		TRY(buf_put(out, escape, len));
		start = i + eaten;
	}
	return buf_put_span(out, span_from(text, start));
}

void
json_put_compact(struct json_writer *w, struct span value)
{
	before_value(w);
	put(w, compact(value, w->out));
	after_value(w);
}
