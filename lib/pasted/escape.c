/* SPDX-License-Identifier: Apache-2.0 */
/*
 * escape.c: characters that need no escape in JSON, and have one.
 *
 * Runs in: gateway; store, at the door into its tables. Trusts: nothing. Owns: nothing.
 * Invariants: what was JSON stays JSON of the same value; a text without such escapes is found to
 * be so in one look at its backslashes. See: pasted.c, leak.c, which would not see it.
 */
#include <pasted/escape.h>

#include <pasted/scan.h>

#define ESCAPE_LEN 6 /* \u0073 */

static const uint8_t backslash[] = { '\\' };

uint8_t
escape_of(struct span text, size_t *ret_len)
{
	const uint8_t *p = text.ptr;
	uint8_t c;

	if (text.len >= 2 && p[0] == '\\' && p[1] == '/') {
		*ret_len = 2;
		return '/';
	}
	if (text.len < ESCAPE_LEN || memcmp(p, "\\u00", 4) != 0 || p[4] < '2' || p[4] > '7')
		return 0;
	c = (uint8_t)((p[4] - '0') << 4);
	if (p[5] >= '0' && p[5] <= '9')
		c |= (uint8_t)(p[5] - '0');
	else if ((p[5] | 0x20) >= 'a' && (p[5] | 0x20) <= 'f')
		c |= (uint8_t)((p[5] | 0x20) - 'a' + 10);
	else
		return 0;
	*ret_len = ESCAPE_LEN;
	return c == '"' || c == '\\' || c == 0x7f ? 0 : c;
}

bool
escape_any(struct span text)
{
	struct scan s = scan_of(text);
	size_t at, len;

	while (scan_next(&s, 0xff, backslash, sizeof(backslash), &at)) {
		if (escape_of(span_from(text, at), &len) != 0)
			return true;
	}
	return false;
}

struct status
escape_plain(struct span text, struct buf *out)
{
	struct scan s = scan_of(text);
	size_t at, len, done = 0;

	TRY(buf_reserve(out, text.len));
	while (scan_next(&s, 0xff, backslash, sizeof(backslash), &at)) {
		uint8_t c;

		if (at < done)
			continue; /* the second half of an escape */
		c = escape_of(span_from(text, at), &len);
		TRY(buf_put(out, text.ptr + done, at - done));
		done = at;
		if (c != 0) {
			TRY(buf_put_u8(out, c));
			done = at + len;
		} else if (at + 1 < text.len) {
			TRY(buf_put(out, text.ptr + at, 2));
			done = at + 2;
		}
	}
	return buf_put_span(out, span_from(text, done));
}
