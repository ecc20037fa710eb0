/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leak.c: is a key of ours in this body?
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: time is linear in the body, 2 us of it for 100 KB of prose; whose key it is, and
 * whether it still is one, only the authority knows.
 * See: keytext/keytext.h; request.c, which asks; pasted.c for credentials of others.
 */
#include "leak.h"

#include <base/cleanup.h>

#include <pasted/scan.h>

#define ESCAPE_LEN 6 /* \u0073 */

/* '_' ends the prefix of a key, '\\' begins an escape: one comparison finds both. */
#define TRIGGER_MASK 0xfc
static const uint8_t triggers[] = { '_' & TRIGGER_MASK };
_Static_assert(('_' & TRIGGER_MASK) == ('\\' & TRIGGER_MASK), "they differ in two bits");

/* The ASCII letter, digit or mark that is escaped here; 0: nothing that a key has. */
static uint8_t
escaped(const uint8_t *p, size_t len)
{
	uint8_t c;

	if (len < ESCAPE_LEN || memcmp(p, "\\u00", 4) != 0 || p[4] < '2' || p[4] > '7')
		return 0;
	c = (uint8_t)((p[4] - '0') << 4);
	if (p[5] >= '0' && p[5] <= '9')
		return c | (uint8_t)(p[5] - '0');
	if ((p[5] | 0x20) >= 'a' && (p[5] | 0x20) <= 'f')
		return c | (uint8_t)((p[5] | 0x20) - 'a' + 10);
	return 0;
}

static bool
is_key(struct span text, size_t mark, uint8_t ret_key[KEYTEXT_LEN])
{
	size_t from = mark - (KEYTEXT_PREFIX_LEN - 1);

	if (mark < KEYTEXT_PREFIX_LEN - 1 || text.ptr[mark - 1] != 'p' ||
	    text.len - from < KEYTEXT_LEN || !keytext_ok(span_of(text.ptr + from, KEYTEXT_LEN)))
		return false;
	memcpy(ret_key, text.ptr + from, KEYTEXT_LEN);
	return true;
}

/* *ret_escapes: parts of one may be written as escapes. */
static bool
find(struct span text, uint8_t ret_key[KEYTEXT_LEN], bool *ret_escapes)
{
	struct scan s = scan_of(text);
	size_t at;

	*ret_escapes = false;
	while (scan_next(&s, TRIGGER_MASK, triggers, sizeof(triggers), &at)) {
		if (text.ptr[at] == '\\')
			*ret_escapes = *ret_escapes || escaped(text.ptr + at, text.len - at) != 0;
		else if (text.ptr[at] == '_' && is_key(text, at, ret_key))
			return true;
	}
	return false;
}

static struct status
unescape(struct span text, struct buf *out)
{
	TRY(buf_reserve(out, text.len));
	for (size_t i = 0; i < text.len;) {
		uint8_t c = text.ptr[i] == '\\' ? escaped(text.ptr + i, text.len - i) : 0;

		out->ptr[out->len++] = c != 0 ? c : text.ptr[i];
		i += c != 0 ? ESCAPE_LEN : 1;
	}
	return OK;
}

struct status
leak_find(struct span body, uint8_t ret_key[KEYTEXT_LEN], bool *ret_found)
{
	auto_buf struct buf plain = BUF_INIT(body.len);
	bool escapes;

	*ret_found = find(body, ret_key, &escapes);
	if (*ret_found || !escapes)
		return OK;
	TRY(unescape(body, &plain));
	*ret_found = find(buf_span(&plain), ret_key, &escapes);
	return OK;
}
