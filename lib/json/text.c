/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of JSON strings: scan and check, decode, count, compare.
 *
 * Runs in:    every process that reads JSON.
 * Trusts:     text_scan() nothing; all else text that text_scan() accepted.
 * Owns:       nothing.
 * Invariants: never reads at or behind `end`; UTF-8 has no overlong forms, no
 *             surrogates, nothing above U+10FFFF.
 * See:        RFC 8259 section 7, RFC 3629, Unicode table 3-7.
 */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "internal.h"

#define REPLACEMENT 0xfffdU

static const uint8_t *plain_end(const uint8_t *p, const uint8_t *end);
static size_t utf8_one(const uint8_t *p, const uint8_t *end);
static struct status scan_escape(
    const uint8_t **pp, const uint8_t *end, const struct json_opts *opts, const char **ret_message);
static bool hex4(const uint8_t *p, const uint8_t *end, uint32_t *ret);
static uint32_t read_escape(const uint8_t **pp, const uint8_t *end);
static uint32_t read_utf8(const uint8_t **pp);

/* What \x stands for, by x; 0 where there is no such escape (\u is apart). */
static const uint8_t escapes[256] = {
	['"'] = '"',
	['\\'] = '\\',
	['/'] = '/',
	['b'] = '\b',
	['f'] = '\f',
	['n'] = '\n',
	['r'] = '\r',
	['t'] = '\t',
};

struct status
text_scan(const uint8_t **pp, const uint8_t *end, const struct json_opts *opts, bool *ret_escaped,
    const char **ret_message)
{
	const uint8_t *p = *pp;
	struct status st = OK;

	*ret_message = "ends too early";
	for (;;) {
		p = plain_end(p, end);
		if (p == end || *p == '"')
			break;
		if (*p == '\\') {
			*ret_escaped = true;
			while (end - p >= 2 && *p == '\\' && escapes[p[1]] != 0)
				p += 2;
			if (p == end || *p != '\\')
				continue;
			st = scan_escape(&p, end, opts, ret_message);
			if (!is_ok(st))
				break;
			continue;
		}
		if (*p < 0x20) {
			*ret_message = "has a control character in a string";
			st = fail(E_SYNTAX);
			break;
		}
		while (p < end && *p >= 0x80) {
			size_t n = utf8_one(p, end);

			if (n == 0) {
				*ret_message = "is not valid UTF-8";
				*pp = p;
				return fail(E_SYNTAX);
			}
			p += n;
		}
	}
	*pp = p;
	return p == end ? fail(E_SYNTAX) : st;
}

/* The first byte that is not plain: quote, backslash, control or not ASCII. */
static inline const uint8_t *
plain_end(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i control = _mm_set1_epi8(0x1f);

	for (; end - p >= 16; p += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i hit = _mm_or_si128(
		    _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, backslash)),
		    _mm_or_si128(x, _mm_cmpeq_epi8(_mm_min_epu8(x, control), x)));
		int mask = _mm_movemask_epi8(hit);

		if (mask != 0)
			return p + __builtin_ctz((unsigned)mask);
	}
#endif
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/* The length of the valid sequence at p, of a byte that is not ASCII; 0 if none. */
static inline size_t
utf8_one(const uint8_t *p, const uint8_t *end)
{
	size_t left = (size_t)(end - p);
	uint8_t c = p[0];
	uint8_t low = 0x80, high = 0xbf;

	if (c >= 0xc2 && c <= 0xdf)
		return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
	if (c >= 0xe0 && c <= 0xef) {
		if (c == 0xe0)
			low = 0xa0;
		if (c == 0xed)
			high = 0x9f;
		return left >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
	}
	if (c < 0xf0 || c > 0xf4 || left < 4)
		return 0;
	if (c == 0xf0)
		low = 0x90;
	if (c == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	return (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80 ? 4 : 0;
}

/* Check the escape at *pp and step over it; a surrogate pair is one escape. */
static struct status
scan_escape(
    const uint8_t **pp, const uint8_t *end, const struct json_opts *opts, const char **ret_message)
{
	const uint8_t *p = *pp;
	uint32_t high, low;

	if (end - p >= 2 && escapes[p[1]] != 0) {
		*pp = p + 2;
		return OK;
	}
	*ret_message = "has an unknown escape in a string";
	if (!hex4(p, end, &high))
		return fail(E_SYNTAX);
	*ret_message = "has an escaped NUL in a string";
	if (high == 0 && opts->refuse_nul)
		return fail(E_SYNTAX);
	*pp = p + 6;
	if (high < 0xd800 || high > 0xdfff)
		return OK;
	if (high < 0xdc00 && hex4(p + 6, end, &low) && low >= 0xdc00 && low <= 0xdfff) {
		*pp = p + 12;
		return OK;
	}
	if (!opts->refuse_surrogates)
		return OK;
	*pp = p;
	*ret_message = "has half a surrogate pair in a string";
	return fail(E_SYNTAX);
}

/* Is \uXXXX at p? */
static bool
hex4(const uint8_t *p, const uint8_t *end, uint32_t *ret)
{
	uint32_t v = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return false;
	for (int i = 2; i < 6; i++) {
		uint8_t c = p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}

struct text_reader
text_reader(struct span raw)
{
	return (struct text_reader){
		.p = raw.ptr,
		.end = raw.len > 0 ? raw.ptr + raw.len : raw.ptr,
	};
}

bool
text_next(struct text_reader *r, uint32_t *ret_code_point)
{
	if (r->p == r->end)
		return false;
	if (*r->p == '\\')
		*ret_code_point = read_escape(&r->p, r->end);
	else if (*r->p < 0x80)
		*ret_code_point = *r->p++;
	else
		*ret_code_point = read_utf8(&r->p);
	return true;
}

bool
text_next_byte(struct text_reader *r, uint8_t *ret)
{
	uint32_t cp;

	if (r->pending_at < r->pending_len) {
		*ret = r->pending[r->pending_at++];
		return true;
	}
	if (r->p == r->end)
		return false;
	if (*r->p != '\\') {
		*ret = *r->p++;
		return true;
	}
	cp = read_escape(&r->p, r->end);
	r->pending_len = (uint8_t)text_encode(cp, r->pending);
	r->pending_at = 1;
	*ret = r->pending[0];
	return true;
}

static uint32_t
read_escape(const uint8_t **pp, const uint8_t *end)
{
	const uint8_t *p = *pp;
	uint32_t high = 0, low = 0;

	if (p[1] != 'u') {
		*pp = p + 2;
		return escapes[p[1]];
	}
	(void)hex4(p, end, &high);
	*pp = p + 6;
	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high >= 0xdc00 || !hex4(p + 6, end, &low) || low < 0xdc00 || low > 0xdfff)
		return REPLACEMENT;
	*pp = p + 12;
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static uint32_t
read_utf8(const uint8_t **pp)
{
	const uint8_t *p = *pp;
	int more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : 1;
	uint32_t cp = p[0] & (0x3fU >> more);

	for (int i = 1; i <= more; i++)
		cp = cp << 6 | (p[i] & 0x3fU);
	*pp = p + more + 1;
	return cp;
}

size_t
text_encode(uint32_t cp, uint8_t out[4])
{
	static const uint8_t lead[5] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;

	for (size_t i = n - 1; i > 0; i--) {
		out[i] = (uint8_t)(0x80 | (cp & 0x3f));
		cp >>= 6;
	}
	out[0] = (uint8_t)(lead[n] | cp);
	return n;
}

size_t
text_code_points(struct span raw)
{
	struct text_reader r = text_reader(raw);
	size_t n = 0;
	uint32_t cp;

	while (text_next(&r, &cp))
		n++;
	return n;
}

static inline uint8_t
fold(uint8_t c, bool nocase)
{
	return nocase && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool
text_eq(struct span raw_a, struct span raw_b, bool nocase)
{
	struct text_reader a = text_reader(raw_a), b = text_reader(raw_b);
	uint8_t ca = 0, cb = 0;

	for (;;) {
		bool more_a = text_next_byte(&a, &ca), more_b = text_next_byte(&b, &cb);

		if (more_a != more_b)
			return false;
		if (!more_a)
			return true;
		if (fold(ca, nocase) != fold(cb, nocase))
			return false;
	}
}
