/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

/*
 * Bytes travel as a span (borrowed, read-only) or in a buf (owned, growable up
 * to a cap). Neither is NUL-terminated.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <base/status.h>

struct span {
	const uint8_t *ptr;
	size_t len;
};

#define SPAN_EMPTY ((struct span){ NULL, 0 })
/* A span over a string literal. */
#define SPAN_LIT(s) ((struct span){ (const uint8_t *)("" s), sizeof(s) - 1 })
/* For printf("%.*s"): bounded text, use on trusted or escaped bytes only. */
#define SPAN_FMT(s) (int)(s).len, (const char *)(s).ptr

static inline struct span
span_of(const void *ptr, size_t len)
{
	return (struct span){ (const uint8_t *)ptr, len };
}

static inline struct span
span_str(const char *s)
{
	return (struct span){ (const uint8_t *)s, strlen(s) };
}

/* Not in constant time: never for secrets (crypto/secret.h has that). */
static inline bool
span_eq(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool
span_eq_str(struct span a, const char *s)
{
	return span_eq(a, span_str(s));
}

bool span_eq_nocase(struct span a, struct span b); /* ASCII only */
bool span_starts(struct span s, struct span prefix);
/* The part of `s` from `at` on; empty when `at` lies beyond the end. */
struct span span_from(struct span s, size_t at);
/* Decimal digits only, no sign, no spaces. Errors: E_SYNTAX, E_RANGE (> max). */
MUST_USE struct status span_u64(struct span s, uint64_t max, uint64_t *ret);
/* A fresh NUL-terminated copy in `dst`; E_RANGE when it does not fit, or has a NUL. */
MUST_USE struct status span_to_cstr(struct span s, char *dst, size_t dst_size);

/* ---- buf: owned bytes, growable up to `max` ---- */
struct buf {
	uint8_t *ptr;
	size_t len;
	size_t cap;
	size_t max; /* bytes; growth beyond fails with E_FULL */
};

#define BUF_INIT(max_) ((struct buf){ .max = (max_) })

void buf_done(struct buf *b);  /* frees; `b` may be used again */
void buf_clear(struct buf *b); /* keeps the memory */
/* Room for `n` more bytes after len; does not change len. E_FULL, E_NOMEM. */
MUST_USE struct status buf_reserve(struct buf *b, size_t n);
MUST_USE struct status buf_put(struct buf *b, const void *p, size_t n);
MUST_USE struct status buf_put_span(struct buf *b, struct span s);
MUST_USE struct status buf_put_str(struct buf *b, const char *s);
MUST_USE struct status buf_put_u8(struct buf *b, uint8_t v);
MUST_USE struct status buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Drop `n` bytes from the front (memmove). */
void buf_shift(struct buf *b, size_t n);
/* The same, and what was dropped or moved away is overwritten. */
void buf_shift_wipe(struct buf *b, size_t n);

static inline struct span
buf_span(const struct buf *b)
{
	return (struct span){ b->ptr, b->len };
}

#endif
