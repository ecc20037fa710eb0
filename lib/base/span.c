/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span.c: borrowed and owned runs of bytes.
 *
 * Runs in: every process. Trusts: nothing: every length is checked here.
 * Invariants: buf.len <= buf.cap <= buf.max; a failed call leaves buf as it was.
 * See: base/span.h.
 */
#include <base/span.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_CAP_MIN 256

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

bool
span_eq_nocase(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	}
	return true;
}

bool
span_starts(struct span s, struct span prefix)
{
	return s.len >= prefix.len && span_eq(span_of(s.ptr, prefix.len), prefix);
}

struct span
span_from(struct span s, size_t at)
{
	if (at >= s.len)
		return SPAN_EMPTY;
	return span_of(s.ptr + at, s.len - at);
}

struct status
span_u64(struct span s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.len == 0 || s.len > 20)
		return fail(E_SYNTAX);
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] < '0' || s.ptr[i] > '9')
			return fail(E_SYNTAX);
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.ptr[i] - '0'), &v))
			return fail(E_RANGE);
	}
	if (v > max)
		return fail(E_RANGE);
	*ret = v;
	return OK;
}

struct status
span_to_cstr(struct span s, char *dst, size_t dst_size)
{
	if (s.len >= dst_size || (s.len > 0 && memchr(s.ptr, 0, s.len) != NULL))
		return fail(E_RANGE);
	if (s.len > 0)
		memcpy(dst, s.ptr, s.len);
	dst[s.len] = '\0';
	return OK;
}

void
buf_done(struct buf *b)
{
	free(b->ptr);
	b->ptr = NULL;
	b->len = 0;
	b->cap = 0;
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
}

struct status
buf_reserve(struct buf *b, size_t n)
{
	size_t need, cap;
	uint8_t *grown;

	if (__builtin_add_overflow(b->len, n, &need) || need > b->max)
		return fail(E_FULL);
	if (need <= b->cap)
		return OK;
	cap = b->cap < BUF_CAP_MIN ? BUF_CAP_MIN : b->cap;
	while (cap < need)
		cap *= 2;
	if (cap > b->max)
		cap = b->max;
	grown = realloc(b->ptr, cap);
	if (grown == NULL)
		return fail(E_NOMEM);
	b->ptr = grown;
	b->cap = cap;
	return OK;
}

struct status
buf_put(struct buf *b, const void *p, size_t n)
{
	TRY(buf_reserve(b, n));
	if (n > 0)
		memcpy(b->ptr + b->len, p, n);
	b->len += n;
	return OK;
}

struct status
buf_put_span(struct buf *b, struct span s)
{
	return buf_put(b, s.ptr, s.len);
}

struct status
buf_put_str(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

struct status
buf_put_u8(struct buf *b, uint8_t v)
{
	return buf_put(b, &v, 1);
}

struct status
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int need;

	va_start(ap, fmt);
	need = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (need < 0)
		return fail(E_SYNTAX);
	/* One byte more for the NUL that vsnprintf writes; it is not counted. */
	TRY(buf_reserve(b, (size_t)need + 1));
	va_start(ap, fmt);
	(void)vsnprintf((char *)b->ptr + b->len, (size_t)need + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)need;
	return OK;
}

void
buf_shift(struct buf *b, size_t n)
{
	if (n >= b->len) {
		b->len = 0;
		return;
	}
	memmove(b->ptr, b->ptr + n, b->len - n);
	b->len -= n;
}

void
buf_shift_wipe(struct buf *b, size_t n)
{
	size_t len = b->len;

	buf_shift(b, n);
	if (len > b->len)
		explicit_bzero(b->ptr + b->len, len - b->len);
}
