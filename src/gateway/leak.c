/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leak.c: is a key of ours in this body?
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: several are found, a wrong one hides none (up to LEAKED_KEYS_MAX); time is linear in
 * the body, 2 us of it for 100 KB of prose; whose key it is, and whether it still is one, only the
 * authority knows. See: keytext/keytext.h; request.c, which asks; pasted.c for credentials of
 * others.
 */
#include "leak.h"

#include <base/cleanup.h>

#include <pasted/escape.h>
#include <pasted/scan.h>

/* '_' ends the prefix of a key, '\\' begins an escape: one comparison finds both. */
#define TRIGGER_MASK 0xfc
static const uint8_t triggers[] = { '_' & TRIGGER_MASK };
_Static_assert(('_' & TRIGGER_MASK) == ('\\' & TRIGGER_MASK), "they differ in two bits");

static bool
is_key(struct span text, size_t mark, struct span *ret)
{
	size_t from = mark - (KEYTEXT_PREFIX_LEN - 1);

	if (mark < KEYTEXT_PREFIX_LEN - 1 || text.ptr[mark - 1] != 'p' ||
	    text.len - from < KEYTEXT_LEN)
		return false;
	*ret = span_of(text.ptr + from, KEYTEXT_LEN);
	return keytext_ok(*ret);
}

/* False: there is no room for another one. */
static bool
keep(struct leaks *l, struct span key)
{
	for (size_t i = 0; i < l->n; i++) {
		if (memcmp(l->texts + i * KEYTEXT_LEN, key.ptr, KEYTEXT_LEN) == 0)
			return true;
	}
	memcpy(l->texts + l->n++ * KEYTEXT_LEN, key.ptr, KEYTEXT_LEN);
	return l->n < LEAKED_KEYS_MAX;
}

/* *ret_escapes: parts of one may be written as escapes, and there is room for it. */
static void
find(struct span text, struct leaks *l, bool *ret_escapes)
{
	struct scan s = scan_of(text);
	struct span key;
	size_t at, len;
	bool escapes = false;

	*ret_escapes = false;
	while (scan_next(&s, TRIGGER_MASK, triggers, sizeof(triggers), &at)) {
		if (text.ptr[at] == '\\')
			escapes = escapes || escape_of(span_from(text, at), &len) != 0;
		else if (text.ptr[at] == '_' && is_key(text, at, &key) && !keep(l, key))
			return;
	}
	*ret_escapes = escapes;
}

/* JSON within JSON, too: an escape counts whatever precedes its backslash. */
static struct status
unescape(struct span text, struct buf *out)
{
	TRY(buf_reserve(out, text.len));
	for (size_t i = 0, len; i < text.len; i += len) {
		uint8_t c = escape_of(span_from(text, i), &len);

		if (c == 0)
			len = 1;
		out->ptr[out->len++] = c != 0 ? c : text.ptr[i];
	}
	return OK;
}

void
leaks_add(struct leaks *l, struct span key)
{
	if (l->n < LEAKED_KEYS_MAX)
		(void)keep(l, key);
}

struct status
leak_find(struct span body, struct leaks *ret)
{
	auto_buf struct buf plain = BUF_INIT(body.len);
	bool escapes;

	ret->n = 0;
	find(body, ret, &escapes);
	if (!escapes)
		return OK;
	TRY(unescape(body, &plain));
	find(buf_span(&plain), ret, &escapes);
	return OK;
}
