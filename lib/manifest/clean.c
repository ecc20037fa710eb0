/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts of a user that others are shown: nothing in them is hidden.
 *
 * Runs in:    gateway, authority, CLI.
 * Trusts:     that the text is valid UTF-8, as json_parse() has seen to.
 * Owns:       nothing.
 * Invariants: what passes looks the same to a reader and to a model: joiners within words
 *             (U+200C, U+200D) are the only invisible characters in it.
 * See:        Unicode UAX #9 (directions), UTR #36 (security considerations).
 */
#include "clean.h"

#include <base/cleanup.h>

static const struct {
	uint32_t first, last;
} hidden[] = {
	{ 0x00, 0x08 },
	{ 0x0b, 0x1f },
	{ 0x7f, 0x9f },
	{ 0xad, 0xad },     /* soft hyphen */
	{ 0x61c, 0x61c },   /* Arabic letter mark */
	{ 0x180e, 0x180e }, /* Mongolian vowel separator */
	{ 0x200b, 0x200b },
	{ 0x200e, 0x200f },
	{ 0x2028, 0x202e },
	{ 0x2060, 0x206f },
	{ 0xfeff, 0xfeff },
	{ 0xfff9, 0xfffb },
	{ 0x1d173, 0x1d17a },
	{ 0xe0000, 0xe0fff },
};

static uint32_t
next_char(const uint8_t **pp, const uint8_t *end)
{
	const uint8_t *p = *pp;
	uint32_t c = *p++;
	uint32_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;

	if (more > 0)
		c &= 0x3fU >> more;
	for (; more > 0 && p < end; more--)
		c = c << 6 | (*p++ & 0x3fU);
	*pp = p;
	return c;
}

bool
clean_text(struct span text)
{
	const uint8_t *p = text.ptr;
	const uint8_t *end = text.ptr + text.len;

	if (text.len == 0)
		return true;
	while (p < end) {
		uint32_t c = next_char(&p, end);

		for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
			if (c >= hidden[i].first && c <= hidden[i].last)
				return false;
		}
	}
	return true;
}

struct status
clean_check(const struct json_doc *d, uint32_t tok, struct buf *tmp, uint32_t *ret_tok)
{
	uint32_t end = d->tok[tok].next;

	for (uint32_t i = tok; i < end; i++) {
		if (json_type(d, i) != JSON_STRING)
			continue;
		buf_clear(tmp);
		TRY(json_str_put(d, i, tmp));
		if (clean_text(buf_span(tmp)))
			continue;
		*ret_tok = i;
		return fail(E_SYNTAX);
	}
	return OK;
}
