/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.c: validation and repair of UTF-8.
 *
 * Runs in: every process. Trusts: nothing. Owns: nothing.
 * Invariants: what utf8_repair appends is valid UTF-8, wherever the input was split.
 * See: base/encode.h; Unicode 15 §3.9, table 3-7, and "maximal subparts".
 */
#include <base/encode.h>

/* One row of Unicode's table 3-7: lead byte range, second byte range, length. */
static const struct {
	uint8_t lead_min, lead_max, second_min, second_max, len;
} forms[] = {
	{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
	{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
	{ 0xe1, 0xec, 0x80, 0xbf, 3 },
	{ 0xed, 0xed, 0x80, 0x9f, 3 },
	{ 0xee, 0xef, 0x80, 0xbf, 3 },
	{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
	{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
	{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

struct sequence {
	size_t len;   /* bytes of the maximal subpart, ≥ 1 */
	bool valid;   /* a whole character */
	bool cut_off; /* valid so far, the input ended */
};

static struct sequence
sequence_at(const uint8_t *p, size_t left)
{
	if (p[0] < 0x80)
		return (struct sequence){ 1, true, false };
	for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
		size_t n = 1;

		if (p[0] < forms[f].lead_min || p[0] > forms[f].lead_max)
			continue;
		if (left > 1 && p[1] >= forms[f].second_min && p[1] <= forms[f].second_max) {
			n = 2;
			while (n < forms[f].len && n < left && (p[n] & 0xc0) == 0x80)
				n++;
		}
		return (struct sequence){ n, n == forms[f].len, n < forms[f].len && n == left };
	}
	return (struct sequence){ 1, false, false };
}

/* How many bytes of plain ASCII `s` begins with, in steps of eight. */
static size_t
ascii_run(struct span s)
{
	size_t at = 0;
	uint64_t eight;

	while (s.len - at >= sizeof(eight)) {
		memcpy(&eight, s.ptr + at, sizeof(eight));
		if ((eight & 0x8080808080808080ULL) != 0)
			break;
		at += sizeof(eight);
	}
	return at;
}

size_t
utf8_valid_len(struct span s)
{
	size_t at = ascii_run(s);

	while (at < s.len) {
		struct sequence seq = sequence_at(s.ptr + at, s.len - at);

		if (!seq.valid)
			break;
		at += seq.len;
	}
	return at;
}

struct status
utf8_repair(struct span s, bool final, struct buf *out, size_t *ret_used)
{
	size_t at = 0;

	while (at < s.len) {
		struct span rest = span_from(s, at);
		size_t good = utf8_valid_len(rest);
		struct sequence seq;

		TRY(buf_put(out, rest.ptr, good));
		at += good;
		if (at == s.len)
			break;
		seq = sequence_at(s.ptr + at, s.len - at);
		if (seq.cut_off && !final)
			break;
		TRY(buf_put_str(out, "\xef\xbf\xbd"));
		at += seq.len;
	}
	*ret_used = at;
	return OK;
}
