/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target.c: one parsed path, used for authentication and for routing alike.
 *
 * Runs in: gateway, broker, supervisor, demo. Trusts: nothing.
 * Owns: nothing; paths are decoded where they lie.
 * Invariants: a path is decoded exactly once, has no dot segment, no backslash and no
 * control character, and is valid UTF-8; a target that is well formed but means
 * anything else is `bad` and has no path at all; nor has one with an encoded slash,
 * whose path stands apart.
 * See: RFC 9112 §3.2, RFC 3986 §3.3.
 */
#include "target.h"

#include <base/encode.h>
#include <http/http.h>

#include "chars.h"

#define PORT_MAX 65535
#define IPV6_TEXT_MIN 2
#define IPV6_TEXT_MAX 45

static bool
port_ok(struct span s)
{
	uint64_t port;

	return s.len <= 5 && is_ok(span_u64(s, PORT_MAX, &port)) && port > 0;
}

/* "%41" → 'A'; -1: not two hex digits. */
static int
percent_byte(const uint8_t *p, size_t left)
{
	int hi, lo;

	if (left < 3)
		return -1;
	hi = http_char_hex(p[1]);
	lo = http_char_hex(p[2]);
	return hi < 0 || lo < 0 ? -1 : hi << 4 | lo;
}

/* An encoded byte that would change what the path means is refused. */
static bool
decoded_ok(int c)
{
	return c >= ' ' && c != 0x7f && c != '\\';
}

static bool
path_decode(uint8_t *p, size_t len, struct target *ret)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		int c = p[i];

		if (c == '%') {
			c = percent_byte(p + i, len - i);
			if (!decoded_ok(c))
				return false;
			i += 2;
			if (c == '/' && ret->slash_at == 0)
				ret->slash_at = out;
		}
		p[out++] = (uint8_t)c;
	}
	ret->path = span_of(p, out);
	return true;
}

static bool
has_dot_segment(struct span path)
{
	size_t start = 1;

	for (size_t i = 1; i <= path.len; i++) {
		struct span seg;

		if (i < path.len && path.ptr[i] != '/')
			continue;
		seg = span_of(path.ptr + start, i - start);
		if (span_eq_str(seg, ".") || span_eq_str(seg, ".."))
			return true;
		start = i + 1;
	}
	return false;
}

/* Only characters of a URI, and each '%' has its two digits. */
static bool
chars_ok(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == '%' && percent_byte(s.ptr + i, s.len - i) < 0)
			return false;
		if (!is_char(c, CH_QUERY) && c != '[' && c != ']')
			return false;
	}
	return true;
}

bool
http_scheme_ok(struct span s)
{
	uint8_t first = s.len == 0 ? 0 : char_lower(s.ptr[0]);

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] != '+' && (!is_char(s.ptr[i], CH_HOST) || s.ptr[i] == '_'))
			return false;
	}
	return first >= 'a' && first <= 'z';
}

/* An absolute URI, whatever its scheme. */
static bool
has_scheme(struct span s)
{
	const uint8_t *colon = memchr(s.ptr, ':', s.len);

	return colon != NULL && http_scheme_ok(span_of(s.ptr, (size_t)(colon - s.ptr)));
}

/* host ":" port, as CONNECT has it. */
static bool
authority_form(struct span s)
{
	const uint8_t *colon = memrchr(s.ptr, ':', s.len);
	struct span port = SPAN_EMPTY;

	if (colon != NULL)
		port = span_from(s, (size_t)(colon - s.ptr) + 1);
	return port.len > 0 && port_ok(port) && http_authority_ok(s);
}

/* One of the four forms of RFC 9112 §3.2? */
static bool
well_formed(struct span s)
{
	if (s.len == 0 || !chars_ok(s))
		return false;
	if (s.ptr[0] == '/')
		return http_chars_all(s, CH_QUERY);
	return span_eq_str(s, "*") || has_scheme(s) || authority_form(s);
}

static bool
origin_form(uint8_t *raw, size_t len, struct target *ret)
{
	uint8_t *mark = memchr(raw, '?', len);
	size_t path_len = mark == NULL ? len : (size_t)(mark - raw);

	ret->query = mark == NULL ? SPAN_EMPTY : span_of(mark + 1, len - path_len - 1);
	if (path_len == 0 || raw[0] != '/' || !http_chars_all(span_of(raw, path_len), CH_PATH) ||
	    !http_chars_all(ret->query, CH_QUERY))
		return false;
	return path_decode(raw, path_len, ret) && utf8_valid_len(ret->path) == ret->path.len &&
	       !has_dot_segment(ret->path);
}

/* https://authority/path: the caller compares the authority with Host. */
static bool
absolute_form(uint8_t *raw, size_t len, struct target *ret)
{
	const size_t scheme_len = SPAN_LIT("https://").len;
	size_t end = scheme_len;

	if (len < scheme_len || !span_eq_nocase(span_of(raw, scheme_len), SPAN_LIT("https://")))
		return false;
	while (end < len && raw[end] != '/' && raw[end] != '?')
		end++;
	ret->authority = span_of(raw + scheme_len, end - scheme_len);
	if (ret->authority.len == 0)
		return false;
	if (end < len && raw[end] == '/')
		return origin_form(raw + end, len - end, ret);
	ret->path = SPAN_LIT("/");
	ret->query = end < len ? span_of(raw + end + 1, len - end - 1) : SPAN_EMPTY;
	return http_chars_all(ret->query, CH_QUERY);
}

bool
http_target_parse(uint8_t *raw, size_t len, struct target *ret)
{
	struct target t = { 0 };

	if (!well_formed(span_of(raw, len)))
		return false;
	if (raw[0] == '/' ? !origin_form(raw, len, &t) : !absolute_form(raw, len, &t))
		t = (struct target){ .bad = true };
	*ret = t;
	return true;
}

void
http_target_put(const struct target *t, struct http_request *req)
{
	bool apart = !t->bad && t->slash_at > 0;

	req->target_bad = t->bad || apart;
	req->path = req->target_bad ? SPAN_EMPTY : t->path;
	req->query = req->target_bad ? SPAN_EMPTY : t->query;
	req->slashed = apart && t->query.len == 0 ? t->path : SPAN_EMPTY;
	req->slash_at = t->slash_at;
}

/* "[...]" as far as its characters go; nobody connects to it. */
static bool
ipv6_ok(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (http_char_hex(s.ptr[i]) < 0 && s.ptr[i] != ':' && s.ptr[i] != '.')
			return false;
	}
	return s.len >= IPV6_TEXT_MIN && s.len <= IPV6_TEXT_MAX && memchr(s.ptr, ':', s.len);
}

bool
http_authority_ok(struct span s)
{
	const uint8_t *end;
	struct span rest;

	if (s.len == 0 || s.len > HTTP_AUTHORITY_LEN_MAX)
		return false;
	if (s.ptr[0] == '[') {
		end = memchr(s.ptr, ']', s.len);
		if (end == NULL || !ipv6_ok(span_of(s.ptr + 1, (size_t)(end - s.ptr) - 1)))
			return false;
		rest = span_from(s, (size_t)(end - s.ptr) + 1);
	} else {
		end = memchr(s.ptr, ':', s.len);
		rest = end == NULL ? SPAN_EMPTY : span_from(s, (size_t)(end - s.ptr));
		s.len -= rest.len;
		if (s.len == 0 || s.ptr[0] == '.' || !http_chars_all(s, CH_HOST))
			return false;
	}
	return rest.len == 0 || (rest.ptr[0] == ':' && port_ok(span_from(rest, 1)));
}

bool
http_target_ok(struct span s)
{
	if (s.len == 0 || s.len > HTTP_LINE_LEN_MAX || s.ptr[0] != '/')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_char(s.ptr[i], CH_QUERY))
			return false;
	}
	return true;
}
