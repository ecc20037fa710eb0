/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

/* Inside lib/http only: one table of what each byte may be part of. */
#include <base/span.h>

#define CH_TOKEN 1U  /* RFC 9110 §5.6.2 */
#define CH_LINE 2U   /* printable ASCII and space: a request line */
#define CH_VALUE 4U  /* a field value: no control but HTAB, obs-text allowed */
#define CH_PATH 8U   /* RFC 3986 pchar, '/' and '%' */
#define CH_QUERY 16U /* the same and '?' */
#define CH_HOST 32U  /* letters, digits, '-', '.', '_' */

extern const uint8_t http_chars[256];

static inline bool
is_char(uint8_t c, unsigned class)
{
	return (http_chars[c] & class) != 0;
}

/* True when every byte of `s` is of the class; also for the empty span. */
bool http_chars_all(struct span s, unsigned class);
/* 0..15, or -1. */
int http_char_hex(uint8_t c);

static inline uint8_t
char_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

#endif
