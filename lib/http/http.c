/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c: limits, the table of characters, look-up of fields.
 *
 * Runs in: gateway, broker, supervisor (management socket), demo.
 * Trusts: nothing. Owns: nothing.
 * See: http/http.h; RFC 9110 §5, RFC 3986 appendix A.
 */
#include <http/http.h>

#include "chars.h"

#define T CH_TOKEN
#define L (CH_LINE | CH_VALUE)
#define P (CH_PATH | CH_QUERY)
#define Q CH_QUERY
#define H CH_HOST

const struct http_limits http_limits_default = {
	.line_len_max = HTTP_LINE_LEN_MAX,
	.header_len_max = HTTP_HEADER_LEN_MAX,
	.fields_max = HTTP_FIELDS_MAX,
	.trailer_len_max = HTTP_TRAILER_LEN_MAX,
	.body_len_max = 8U << 20,
};

const uint8_t http_chars[256] = {
	['\t'] = CH_VALUE,
	[' '] = L,
	['!'] = T | L | P,
	['"'] = L,
	['#'] = T | L,
	['$'] = T | L | P,
	['%'] = T | L | P,
	['&'] = T | L | P,
	['\''] = T | L | P,
	['('] = L | P,
	[')'] = L | P,
	['*'] = T | L | P,
	['+'] = T | L | P,
	[','] = L | P,
	['-'] = T | L | P | H,
	['.'] = T | L | P | H,
	['/'] = L | P,
	['0' ... '9'] = T | L | P | H,
	[':'] = L | P,
	[';'] = L | P,
	['<'] = L,
	['='] = L | P,
	['>'] = L,
	['?'] = L | Q,
	['@'] = L | P,
	['A' ... 'Z'] = T | L | P | H,
	['['] = L,
	['\\'] = L,
	[']'] = L,
	['^'] = T | L,
	['_'] = T | L | P | H,
	['`'] = T | L,
	['a' ... 'z'] = T | L | P | H,
	['{'] = L,
	['|'] = T | L,
	['}'] = L,
	['~'] = T | L | P,
	[0x80 ... 0xff] = CH_VALUE,
};

bool
http_chars_all(struct span s, unsigned class)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_char(s.ptr[i], class))
			return false;
	}
	return true;
}

int
http_char_hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
http_token_ok(struct span s)
{
	return s.len > 0 && http_chars_all(s, CH_TOKEN);
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

bool
http_value_ok(struct span s)
{
	if (s.len > 0 && (is_blank(s.ptr[0]) || is_blank(s.ptr[s.len - 1])))
		return false;
	return http_chars_all(s, CH_VALUE);
}

struct status
http_field_one(const struct http_field *fields, size_t count, const char *name, struct span *ret)
{
	const struct http_field *found = NULL;

	for (size_t i = 0; i < count; i++) {
		if (!span_eq_str(fields[i].name, name))
			continue;
		if (found != NULL)
			return fail(E_EXISTS);
		found = &fields[i];
	}
	if (found == NULL)
		return fail(E_NOTFOUND);
	*ret = found->value;
	return OK;
}

struct status
http_request_field(const struct http_request *req, const char *name, struct span *ret)
{
	return http_field_one(req->fields, req->field_count, name, ret);
}
