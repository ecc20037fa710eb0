/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c: finds words, numbers, quotations and blocks of code in a prompt.
 *
 * Runs in: demo. Trusts: nothing. Owns: nothing; all results are views.
 * Invariants: every scan is linear and bounded.
 * See: demo.h.
 */
#include "demo.h"

static bool
is_word(uint8_t b)
{
	return (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') ||
	       b >= 0x80;
}

static bool
is_digit(uint8_t b)
{
	return b >= '0' && b <= '9';
}

bool
text_has(struct span s, const char *word)
{
	struct span want = span_str(word);

	for (size_t i = 0; i + want.len <= s.len; i++) {
		if (i > 0 && is_word(s.ptr[i - 1]))
			continue;
		if (i + want.len < s.len && is_word(s.ptr[i + want.len]))
			continue;
		if (span_eq_nocase(span_of(s.ptr + i, want.len), want))
			return true;
	}
	return false;
}

/* The length of the number at `i`; 0: none. Thousands may not be grouped. */
static size_t
number_len(struct span s, size_t i)
{
	size_t at = i;

	if (i > 0 && (is_word(s.ptr[i - 1]) || s.ptr[i - 1] == '.'))
		return 0;
	if (s.ptr[at] == '-')
		at++;
	if (at == s.len || !is_digit(s.ptr[at]))
		return 0;
	while (at < s.len && is_digit(s.ptr[at]))
		at++;
	if (at + 1 < s.len && s.ptr[at] == '.' && is_digit(s.ptr[at + 1])) {
		at++;
		while (at < s.len && is_digit(s.ptr[at]))
			at++;
	}
	return at - i > 18 ? 0 : at - i;
}

size_t
text_numbers(struct span s, struct span *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len && n < max;) {
		size_t len = number_len(s, i);

		if (len > 0)
			out[n++] = span_of(s.ptr + i, len);
		i += len > 0 ? len : 1;
	}
	return n;
}

static struct span
trim(struct span s)
{
	while (s.len > 0 && (s.ptr[0] <= ' '))
		s = span_from(s, 1);
	while (s.len > 0 && s.ptr[s.len - 1] <= ' ')
		s.len--;
	return s;
}

/* The inside of the first and the last quotation mark; false when there are not two. */
static bool
quoted(struct span s, struct span *ret)
{
	const uint8_t *open = s.len == 0 ? NULL : memchr(s.ptr, '"', s.len);
	const uint8_t *close = open == NULL ? NULL : memrchr(s.ptr, '"', s.len);

	if (open == NULL || close == open)
		return false;
	*ret = span_of(open + 1, (size_t)(close - open) - 1);
	return ret->len > 0;
}

bool
text_subject(struct span s, struct span *ret)
{
	const uint8_t *open = s.len == 0 ? NULL : memchr(s.ptr, '"', s.len);
	const uint8_t *colon = s.len == 0 ? NULL : memchr(s.ptr, ':', s.len);
	struct span rest;

	if (colon == NULL || (open != NULL && open < colon))
		return quoted(s, ret);
	rest = trim(span_from(s, (size_t)(colon - s.ptr) + 1));
	if (rest.len > 0 && rest.ptr[0] == '"' && quoted(rest, ret))
		return true;
	*ret = rest;
	return ret->len > 0;
}

static const struct {
	const char *tag;
	const char *language;
} tags[] = {
	{ "python", "python" },
	{ "python3", "python" },
	{ "py", "python" },
	{ "javascript", "javascript" },
	{ "js", "javascript" },
	{ "node", "javascript" },
	{ "sh", "sh" },
	{ "bash", "sh" },
	{ "shell", "sh" },
};

static bool
language_of(struct span tag, struct span *ret)
{
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		if (span_eq_nocase(tag, span_str(tags[i].tag))) {
			*ret = span_str(tags[i].language);
			return true;
		}
	}
	return false;
}

/* Cut the next line, without its line feed; false at the end. */
static bool
line_next(struct span *rest, struct span *line)
{
	const uint8_t *nl;

	if (rest->len == 0)
		return false;
	nl = memchr(rest->ptr, '\n', rest->len);
	*line = nl == NULL ? *rest : span_of(rest->ptr, (size_t)(nl - rest->ptr));
	*rest = span_from(*rest, line->len + 1);
	return true;
}

/* From behind an opening line: the block up to its closing line, or to the end. */
static struct span
block_of(struct span *rest)
{
	const uint8_t *begin = rest->ptr, *end = rest->ptr;
	struct span line;

	while (line_next(rest, &line)) {
		if (span_starts(trim(line), SPAN_LIT("```")))
			break;
		end = line.ptr + line.len;
	}
	return end == begin ? SPAN_EMPTY : span_of(begin, (size_t)(end - begin));
}

bool
text_fenced(struct span s, unsigned n, struct span *ret_language, struct span *ret_code)
{
	struct span line;

	while (line_next(&s, &line)) {
		struct span fence = trim(line);

		if (!span_starts(fence, SPAN_LIT("```")))
			continue;
		bool runs = language_of(trim(span_from(fence, 3)), ret_language);

		*ret_code = block_of(&s);
		if (runs && ret_code->len > 0 && n-- == 0)
			return true;
	}
	return false;
}
