/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.c: bodies by length, by chunks, or until close.
 *
 * Runs in: gateway, broker, supervisor, demo. Trusts: nothing.
 * Owns: the current trailer line. Invariants: bytes of the body are handed out as
 * they came, never copied; total <= max; after END no further byte is touched.
 * See: RFC 9112 §6, §7.1.
 */
#include "body.h"

#include "chars.h"
#include "framing.h"

#define CHUNK_DIGITS_MAX 16

typedef uint16_t chunk_fn(struct body *b, uint8_t c);

static chunk_fn on_size, on_ext, on_size_lf, on_data_cr, on_data_lf, on_trailer, on_trailer_lf,
    on_end_lf;

/* One byte each; CHUNK_DATA is not among them, it takes many. */
static chunk_fn *const steps[] = {
	[CHUNK_SIZE] = on_size,
	[CHUNK_EXT] = on_ext,
	[CHUNK_SIZE_LF] = on_size_lf,
	[CHUNK_DATA_CR] = on_data_cr,
	[CHUNK_DATA_LF] = on_data_lf,
	[CHUNK_TRAILER] = on_trailer,
	[CHUNK_TRAILER_LF] = on_trailer_lf,
	[CHUNK_END_LF] = on_end_lf,
};

void
http_body_start(struct body *b, enum body_kind kind, uint64_t length, uint64_t max)
{
	b->kind = kind;
	b->state = CHUNK_SIZE;
	b->left = kind == BODY_LENGTH ? length : 0;
	b->total = 0;
	b->max = max;
	b->digits = 0;
	b->ext_len = 0;
	b->trailer_len = 0;
	b->line.max = b->trailer_max;
	buf_clear(&b->line);
}

void
http_body_done(struct body *b)
{
	buf_done(&b->line);
}

static struct http_step
step_error(uint16_t error, size_t used)
{
	return (struct http_step){ .event = HTTP_EV_ERROR, .error = error, .used = used };
}

static struct http_step
step_plain(enum http_event event, size_t used)
{
	return (struct http_step){ .event = event, .used = used };
}

/* Hand out what is there of `left` bytes, from `at` on. */
static struct http_step
step_body(struct body *b, struct span in, size_t at)
{
	size_t n = in.len - at;

	if (b->left < n)
		n = (size_t)b->left;
	b->left -= n;
	return (struct http_step){
		.event = HTTP_EV_BODY, .used = at + n, .body = span_of(in.ptr + at, n)
	};
}

static struct http_step
feed_length(struct body *b, struct span in)
{
	if (b->left == 0)
		return step_plain(HTTP_EV_END, 0);
	if (in.len == 0)
		return step_plain(HTTP_EV_MORE, 0);
	return step_body(b, in, 0);
}

static struct http_step
feed_close(struct body *b, struct span in)
{
	if (in.len == 0)
		return step_plain(HTTP_EV_MORE, 0);
	if (b->total == b->max)
		return step_error(413, 0);
	b->left = b->max - b->total;
	if (b->left > in.len)
		b->left = in.len;
	b->total += b->left;
	return step_body(b, in, 0);
}

static struct http_step
feed_chunked(struct body *b, struct span in)
{
	size_t at = 0;

	while (b->state != CHUNK_END) {
		uint16_t rc;

		if (at == in.len)
			return step_plain(HTTP_EV_MORE, at);
		if (b->state == CHUNK_DATA) {
			struct http_step step = step_body(b, in, at);

			if (b->left == 0)
				b->state = CHUNK_DATA_CR;
			return step;
		}
		rc = steps[b->state](b, in.ptr[at]);
		if (rc != 0)
			return step_error(rc, at);
		at++;
	}
	return step_plain(HTTP_EV_END, at);
}

struct http_step
http_body_feed(struct body *b, struct span in)
{
	if (b->kind == BODY_NONE)
		return step_plain(HTTP_EV_END, 0);
	if (b->kind == BODY_LENGTH)
		return feed_length(b, in);
	return b->kind == BODY_CLOSE ? feed_close(b, in) : feed_chunked(b, in);
}

static uint16_t
on_size(struct body *b, uint8_t c)
{
	int digit = http_char_hex(c);

	if (digit >= 0) {
		if (b->digits == CHUNK_DIGITS_MAX)
			return 400;
		b->digits++; /* 16 digits of 4 bits: left cannot overflow */
		b->left = b->left << 4 | (uint64_t)digit;
		return 0;
	}
	if (b->digits == 0)
		return 400;
	if (c == '\r') {
		b->state = CHUNK_SIZE_LF;
		return 0;
	}
	if (b->ext_max == 0 || (c != ';' && c != ' ' && c != '\t'))
		return 400;
	b->state = CHUNK_EXT;
	return 0;
}

static uint16_t
on_ext(struct body *b, uint8_t c)
{
	if (c == '\r') {
		b->state = CHUNK_SIZE_LF;
		return 0;
	}
	if (!is_char(c, CH_VALUE) || b->ext_len == b->ext_max)
		return 400;
	b->ext_len++;
	return 0;
}

static uint16_t
on_size_lf(struct body *b, uint8_t c)
{
	if (c != '\n')
		return 400;
	if (b->left == 0) {
		b->state = CHUNK_TRAILER;
		return 0;
	}
	if (b->left > b->max - b->total)
		return 413;
	b->total += b->left;
	b->state = CHUNK_DATA;
	return 0;
}

static uint16_t
on_data_cr(struct body *b, uint8_t c)
{
	b->state = CHUNK_DATA_LF;
	return c == '\r' ? 0 : 400;
}

static uint16_t
on_data_lf(struct body *b, uint8_t c)
{
	b->state = CHUNK_SIZE;
	b->left = 0;
	b->digits = 0;
	b->ext_len = 0;
	return c == '\n' ? 0 : 400;
}

static uint16_t
on_trailer(struct body *b, uint8_t c)
{
	if (c == '\r') {
		b->state = b->line.len == 0 ? CHUNK_END_LF : CHUNK_TRAILER_LF;
		return 0;
	}
	if (!is_char(c, CH_VALUE) || (b->line.len == 0 && (c == ' ' || c == '\t')))
		return 400;
	if (b->trailer_len == b->trailer_max)
		return 431;
	b->trailer_len++;
	return is_ok(buf_put_u8(&b->line, c)) ? 0 : 503;
}

/* Checked, then dropped: nobody here needs trailers. */
static uint16_t
on_trailer_lf(struct body *b, uint8_t c)
{
	struct http_field field;

	if (c != '\n' || !http_field_parse(b->line.ptr, b->line.len, &field) ||
	    http_framing_name(field.name))
		return 400;
	buf_clear(&b->line);
	b->state = CHUNK_TRAILER;
	return 0;
}

static uint16_t
on_end_lf(struct body *b, uint8_t c)
{
	b->state = CHUNK_END;
	return c == '\n' ? 0 : 400;
}
