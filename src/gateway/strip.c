/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strip.c: removes from a text what is not seen when it is shown.
 *
 * Runs in: gateway. Trusts: nothing but that the text is UTF-8; other bytes stay as they are.
 * Owns: nothing.
 * Invariants: no ESC and no C1 control is left, whatever stood beside it; whole characters go,
 * so valid UTF-8 stays valid.
 * See: ECMA-48 §5.4 and §5.6 (sequences); Unicode 15, Default_Ignorable_Code_Point, Bidi_Control
 * and the tag characters U+E0000…; tests/fuzz/fuzz_strip.c.
 */
#include "strip.h"

#define ESC 0x1b
#define BEL 0x07

/* Not seen, or seen at another place. Ascending. */
static const struct {
	uint32_t first, last;
} hidden[] = {
	{ 0x80, 0x9f },        /* C1 controls */
	{ 0xad, 0xad },        /* soft hyphen */
	{ 0x34f, 0x34f },      /* combining grapheme joiner */
	{ 0x61c, 0x61c },      /* Arabic letter mark */
	{ 0x115f, 0x1160 },    /* Hangul fillers */
	{ 0x17b4, 0x17b5 },    /* Khmer inherent vowels */
	{ 0x180b, 0x180f },    /* Mongolian selectors and separator */
	{ 0x200b, 0x200f },    /* zero-width space, joiners; left-to-right, right-to-left */
	{ 0x202a, 0x202e },    /* embeddings and overrides of direction */
	{ 0x2060, 0x206f },    /* word joiner, invisible operators, isolates, deprecated ones */
	{ 0x3164, 0x3164 },    /* Hangul filler */
	{ 0xfe00, 0xfe0f },    /* variation selectors */
	{ 0xfeff, 0xfeff },    /* zero-width no-break space */
	{ 0xffa0, 0xffa0 },    /* Hangul filler, half width */
	{ 0xfff0, 0xfffb },    /* unassigned; interlinear annotation */
	{ 0x1bca0, 0x1bca3 },  /* shorthand format controls */
	{ 0x1d173, 0x1d17a },  /* musical format controls */
	{ 0xe0000, 0xe0fff },  /* tags, variation selectors supplement */
	{ 0xf0000, 0x10ffff }, /* private use: no font has it */
};

static bool
is_hidden(uint32_t cp)
{
	if (cp < 0x20)
		return cp != '\n' && cp != '\t';
	if (cp < 0x80)
		return cp == 0x7f;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		if (cp <= hidden[i].last)
			return cp >= hidden[i].first;
	}
	return false;
}

/* The code point at the front; a byte that begins none is one by itself, never hidden. */
static size_t
decode(struct span s, uint32_t *ret)
{
	uint8_t c = s.ptr[0];
	size_t len = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;

	*ret = c < 0x80 ? c : UINT32_MAX;
	if (len == 1 || len > s.len)
		return 1;
	*ret = c & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s.ptr[i] & 0xc0) != 0x80) {
			*ret = UINT32_MAX;
			return 1;
		}
		*ret = *ret << 6 | (s.ptr[i] & 0x3fU);
	}
	return len;
}

static bool
at(struct span s, size_t i, uint8_t low, uint8_t high)
{
	return i < s.len && s.ptr[i] >= low && s.ptr[i] <= high;
}

/* Parameters and intermediates, then the final byte, as far as they are there. */
static size_t
csi_len(struct span s)
{
	size_t i = 0;

	while (at(s, i, 0x20, 0x3f))
		i++;
	return at(s, i, 0x40, 0x7e) ? i + 1 : i;
}

/* A string (OSC, DCS, SOS, PM, APC) to its BEL or ST; to the end when it has none. */
static size_t
string_len(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == BEL)
			return i + 1;
		if (s.ptr[i] == 0xc2 && at(s, i + 1, 0x9c, 0x9c))
			return i + 2;
		if (s.ptr[i] == ESC) /* ST, or what begins anew */
			return at(s, i + 1, '\\', '\\') ? i + 2 : i;
	}
	return s.len;
}

/* What belongs to a control function that began with ESC `final`, or its C1 form. */
static size_t
body_len(uint8_t final, struct span s)
{
	switch (final) {
	case '[':
		return csi_len(s);
	case ']':
	case 'P':
	case 'X':
	case '^':
	case '_':
		return string_len(s);
	default:
		return 0;
	}
}

/* The length of the sequence that begins at s; 0: none does. */
static size_t
sequence_len(struct span s)
{
	size_t i = 1;

	if (s.ptr[0] == 0xc2 && at(s, 1, 0x80, 0x9f)) /* C1: ESC and the byte 0x40 below */
		return 2 + body_len((uint8_t)(s.ptr[1] - 0x40), span_from(s, 2));
	if (s.ptr[0] != ESC)
		return 0;
	while (at(s, i, 0x20, 0x2f))
		i++;
	if (!at(s, i, 0x30, 0x7e))
		return i;
	return i + 1 + (i == 1 ? body_len(s.ptr[i], span_from(s, i + 1)) : 0);
}

struct status
text_strip(struct span text, struct buf *out)
{
	TRY(buf_reserve(out, text.len));
	while (text.len > 0) {
		uint32_t cp = 0;
		size_t len = sequence_len(text);

		if (len == 0) {
			len = decode(text, &cp);
			if (!is_hidden(cp))
				TRY(buf_put(out, text.ptr, len));
		}
		text = span_from(text, len);
	}
	return OK;
}
