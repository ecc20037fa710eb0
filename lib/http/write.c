/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.c: write requests, responses and chunks into a buf.
 *
 * Runs in: gateway, broker, supervisor, demo, CLI.
 * Trusts: nothing: values may come from models and clients.
 * Owns: the text of the current second's date.
 * Invariants: nothing that is written can end a line or begin another; a failed
 * call leaves the buf as it was.
 * See: http/write.h; RFC 9112 §4, §5, §7.1; RFC 9110 §15, §5.6.7.
 */
#include <http/write.h>

#include <stdio.h>

#include <base/clock.h>

#include "chars.h"
#include "target.h"

#define STATUS_MIN 100
#define STATUS_MAX 599

/* The one table of statuses that we send. */
static const char *const reasons[STATUS_MAX + 1] = {
	[200] = "OK",
	[201] = "Created",
	[202] = "Accepted",
	[204] = "No Content",
	[400] = "Bad Request",
	[401] = "Unauthorized",
	[403] = "Forbidden",
	[404] = "Not Found",
	[405] = "Method Not Allowed",
	[406] = "Not Acceptable",
	[408] = "Request Timeout",
	[409] = "Conflict",
	[410] = "Gone",
	[412] = "Precondition Failed",
	[413] = "Content Too Large",
	[414] = "URI Too Long",
	[415] = "Unsupported Media Type",
	[422] = "Unprocessable Content",
	[429] = "Too Many Requests",
	[431] = "Request Header Fields Too Large",
	[499] = "Client Closed Request",
	[500] = "Internal Server Error",
	[501] = "Not Implemented",
	[502] = "Bad Gateway",
	[503] = "Service Unavailable",
	[504] = "Gateway Timeout",
	[505] = "HTTP Version Not Supported",
	[529] = "Overloaded",
};

/* Pass `st` on; when it is a failure, the buf is as long as it was. */
static struct status
or_undo(struct buf *out, size_t len, struct status st)
{
	if (!is_ok(st))
		out->len = len;
	return st;
}

static struct status
put_all(struct buf *out, const struct span *parts, size_t count)
{
	size_t len = out->len;

	for (size_t i = 0; i < count; i++) {
		struct status st = buf_put_span(out, parts[i]);

		if (!is_ok(st))
			return or_undo(out, len, st);
	}
	return OK;
}

const char *
http_reason(uint16_t status)
{
	return status <= STATUS_MAX ? reasons[status] : NULL;
}

struct status
http_put_status(struct buf *out, uint16_t status)
{
	const char *reason = http_reason(status);
	char digits[4];

	if (reason == NULL)
		return fail(E_RANGE);
	snprintf(digits, sizeof(digits), "%u", status % 1000U);
	return put_all(out,
	    (const struct span[]){ SPAN_LIT("HTTP/1.1 "), span_str(digits), SPAN_LIT(" "),
		span_str(reason), SPAN_LIT("\r\n") },
	    5);
}

struct status
http_put_request(struct buf *out, struct span method, struct span target, struct span authority)
{
	if (!http_token_ok(method) || !http_target_ok(target) || !http_authority_ok(authority))
		return fail(E_SYNTAX);
	return put_all(out,
	    (const struct span[]){ method, SPAN_LIT(" "), target, SPAN_LIT(" HTTP/1.1\r\nhost: "),
		authority, SPAN_LIT("\r\n") },
	    6);
}

struct status
http_put_field(struct buf *out, struct span name, struct span value)
{
	if (!http_token_ok(name) || !http_value_ok(value))
		return fail(E_SYNTAX);
	return put_all(
	    out, (const struct span[]){ name, SPAN_LIT(": "), value, SPAN_LIT("\r\n") }, 4);
}

struct status
http_put_field_str(struct buf *out, const char *name, const char *value)
{
	return http_put_field(out, span_str(name), span_str(value));
}

struct status
http_put_field_u64(struct buf *out, const char *name, uint64_t value)
{
	char digits[21];

	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
	return http_put_field_str(out, name, digits);
}

/*
 * Not gmtime(3): on its first call it opens a file. Days to year, month, day
 * in the proleptic Gregorian calendar, counted in years that begin in March.
 */
static void
date_format(uint64_t unix_s, char out[HTTP_DATE_LEN + 1])
{
	static const char days[] = "ThuFriSatSunMonTueWed";
	static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
	unsigned s = (unsigned)(unix_s % 86400), day_no = (unsigned)(unix_s / 86400 % 3652059);
	unsigned z = day_no + 719468, era = z / 146097, doe = z % 146097;
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), m = (5 * doy + 2) / 153;
	unsigned day = doy - (153 * m + 2) / 5 + 1, year = yoe + era * 400 + (m >= 10);

	snprintf(out, HTTP_DATE_LEN + 1, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT",
	    days + day_no % 7 * 3, day % 100, months + m % 12 * 3, year % 10000, s / 3600 % 100,
	    s / 60 % 60, s % 60);
}

struct span
http_date(uint64_t real_ns)
{
	static char text[HTTP_DATE_LEN + 1];
	static uint64_t text_s = UINT64_MAX;
	uint64_t now_s = real_ns / NS_PER_S;

	if (now_s != text_s) {
		date_format(now_s, text);
		text_s = now_s;
	}
	return span_of(text, HTTP_DATE_LEN);
}

struct status
http_put_date(struct buf *out, uint64_t real_ns)
{
	return http_put_field(out, SPAN_LIT("date"), http_date(real_ns));
}

struct status
http_put_length(struct buf *out, uint64_t len)
{
	return http_put_field_u64(out, "content-length", len);
}

struct status
http_put_chunked(struct buf *out)
{
	return buf_put_span(out, SPAN_LIT("transfer-encoding: chunked\r\n"));
}

struct status
http_put_close(struct buf *out)
{
	return buf_put_span(out, SPAN_LIT("connection: close\r\n"));
}

struct status
http_put_end(struct buf *out)
{
	return buf_put_span(out, SPAN_LIT("\r\n"));
}

struct status
http_put_secret_open(struct buf *out, struct span name, struct span prefix)
{
	if (!http_token_ok(name) || !http_chars_all(prefix, CH_VALUE))
		return fail(E_SYNTAX);
	return put_all(out, (const struct span[]){ name, SPAN_LIT(": "), prefix }, 3);
}

size_t
http_chunk_line(size_t data_len, char line[HTTP_CHUNK_LINE_LEN_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (int shift = 60; shift >= 0; shift -= 4) {
		unsigned d = (unsigned)(data_len >> shift) & 15U;

		if (n > 0 || d > 0 || shift == 0)
			line[n++] = digits[d];
	}
	line[n++] = '\r';
	line[n++] = '\n';
	return n;
}

struct status
http_put_chunk(struct buf *out, struct span data)
{
	char line[HTTP_CHUNK_LINE_LEN_MAX];
	size_t n;

	if (data.len == 0)
		return OK; /* it would end the body */
	n = http_chunk_line(data.len, line);
	return put_all(out, (const struct span[]){ span_of(line, n), data, SPAN_LIT("\r\n") }, 3);
}

struct status
http_put_chunk_end(struct buf *out)
{
	return buf_put_span(out, SPAN_LIT("0\r\n\r\n"));
}

static bool
is_unreserved(uint8_t c)
{
	return is_char(c, CH_HOST) || c == '~';
}

struct status
http_put_encoded(struct buf *out, struct span s)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = out->len;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		char hex[3] = { '%', digits[c >> 4], digits[c & 15] };
		struct status st = is_unreserved(c) ? buf_put_u8(out, c)
						    : buf_put(out, hex, sizeof(hex));

		if (!is_ok(st))
			return or_undo(out, len, st);
	}
	return OK;
}
