/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling regular expressions; regex_search.c runs them.
 *
 * Runs in:    whoever compiles schemas.
 * Trusts:     little: patterns are the operator's or the project's, but a tool's
 *             manifest brings a schema too, so that every size is bounded.
 * Owns:       scratch memory while compiling; the result lies in the arena.
 * Invariants: jumps are relative, so code can be copied and moved; code never
 *             exceeds REGEX_CODE_MAX.
 * See:        ECMA-262 section 22.2.1; Thompson 1968; Cox, "Regular Expression
 *             Matching: the Virtual Machine Approach".
 */
#include <stdlib.h>

#include "internal.h"
#include "regex.h"
#include "regex_code.h"

#define NO_MAX UINT32_MAX
#define END 0xffffffffU /* the code point behind the pattern; matches nothing */

struct compiler {
	const uint8_t *p;
	const uint8_t *end;
	uint32_t depth;
	uint32_t len;
	uint32_t range_len;
	struct regex_op code[REGEX_CODE_MAX];
	struct regex_range ranges[REGEX_RANGES_MAX];
};

static struct status parse_alternatives(struct compiler *c);
static struct status parse_sequence(struct compiler *c);
static struct status parse_atom(struct compiler *c);
static struct status parse_group(struct compiler *c);
static struct status parse_repeat(struct compiler *c, uint32_t start);
static struct status parse_bounds(struct compiler *c, uint32_t *ret_min, uint32_t *ret_max);
static struct status parse_count(struct compiler *c, uint32_t *ret);
static struct status repeat(struct compiler *c, uint32_t start, uint32_t min, uint32_t max);
static struct status parse_class(struct compiler *c);
static struct status parse_class_part(struct compiler *c);
static struct status parse_class_atom(struct compiler *c, uint32_t *ret_cp, uint8_t *ret_set);
static struct status parse_escape(struct compiler *c, uint32_t *ret_cp, uint8_t *ret_set);
static struct status parse_hex(struct compiler *c, int digits, uint32_t *ret);
static struct status parse_unicode(struct compiler *c, uint32_t *ret);
static struct status emit(struct compiler *c, uint8_t op, int32_t x, uint32_t y);
static struct status emit_set(struct compiler *c, uint32_t first, bool negated);
static struct status add_range(struct compiler *c, uint32_t low, uint32_t high);
static struct status add_set(struct compiler *c, uint8_t set);
static struct status finish(const struct compiler *c, struct arena *a, const struct regex **ret);

static const struct regex_range set_digit[] = { { '0', '9' } };
static const struct regex_range set_word[] = {
	{ '0', '9' },
	{ 'A', 'Z' },
	{ '_', '_' },
	{ 'a', 'z' },
};
/* ECMA-262 WhiteSpace and LineTerminator, in order. */
static const struct regex_range set_space[] = {
	{ 0x09, 0x0d },
	{ 0x20, 0x20 },
	{ 0xa0, 0xa0 },
	{ 0x1680, 0x1680 },
	{ 0x2000, 0x200a },
	{ 0x2028, 0x2029 },
	{ 0x202f, 0x202f },
	{ 0x205f, 0x205f },
	{ 0x3000, 0x3000 },
	{ 0xfeff, 0xfeff },
};
static const struct regex_range set_newline[] = {
	{ '\n', '\n' },
	{ '\r', '\r' },
	{ 0x2028, 0x2029 },
};

/* By the letter of the escape, '.' for the set that the dot leaves out. */
static const struct {
	uint8_t letter;
	bool negated;
	uint8_t len;
	const struct regex_range *ranges;
} sets[] = {
	{ 'd', false, 1, set_digit },
	{ 'D', true, 1, set_digit },
	{ 'w', false, 4, set_word },
	{ 'W', true, 4, set_word },
	{ 's', false, 10, set_space },
	{ 'S', true, 10, set_space },
	{ '.', true, 3, set_newline },
};

struct status
regex_compile(struct span pattern, struct arena *a, const struct regex **ret)
{
	struct compiler *c;
	struct status st;

	if (pattern.len > REGEX_PATTERN_MAX)
		return fail(E_RANGE);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return fail(E_NOMEM);
	c->p = pattern.ptr;
	c->end = pattern.len > 0 ? pattern.ptr + pattern.len : pattern.ptr;
	st = parse_alternatives(c);
	if (is_ok(st) && c->p != c->end)
		st = fail(E_SYNTAX); /* a closing parenthesis too many */
	if (is_ok(st))
		st = emit(c, RE_MATCH, 0, 0);
	if (is_ok(st))
		st = finish(c, a, ret);
	free(c);
	return st;
}

static struct status
finish(const struct compiler *c, struct arena *a, const struct regex **ret)
{
	struct regex *re = arena_alloc(a, sizeof(*re));
	struct regex_op *code = arena_array(a, c->len, sizeof(*code));
	struct regex_range *ranges = arena_array(a, c->range_len + 1, sizeof(*ranges));

	if (re == NULL || code == NULL || ranges == NULL)
		return fail(E_NOMEM);
	memcpy(code, c->code, c->len * sizeof(*code));
	memcpy(ranges, c->ranges, c->range_len * sizeof(*ranges));
	*re = (struct regex){ .code = code, .len = c->len, .ranges = ranges };
	*ret = re;
	return OK;
}

/* The next character as a code point, END behind the last; patterns are valid UTF-8. */
static uint32_t
look(const struct compiler *c, size_t *ret_len)
{
	struct span rest = span_of(c->p, (size_t)(c->end - c->p));
	int more;
	uint32_t cp;

	*ret_len = 0;
	if (rest.len == 0)
		return END;
	*ret_len = 1;
	if (rest.ptr[0] < 0x80)
		return rest.ptr[0];
	more = rest.ptr[0] >= 0xf0 ? 3 : rest.ptr[0] >= 0xe0 ? 2 : 1;
	if (rest.len <= (size_t)more)
		return END;
	cp = rest.ptr[0] & (0x3fU >> more);
	for (int i = 1; i <= more; i++)
		cp = cp << 6 | (rest.ptr[i] & 0x3fU);
	*ret_len = (size_t)more + 1;
	return cp;
}

static bool
accept(struct compiler *c, char want)
{
	if (c->p == c->end || *c->p != (uint8_t)want)
		return false;
	c->p++;
	return true;
}

/* a|b|c: SPLIT a JMP SPLIT b JMP c; each jump goes behind the last. */
static struct status
parse_alternatives(struct compiler *c)
{
	uint32_t start = c->len, second;

	if (++c->depth > REGEX_NESTING_MAX)
		return fail(E_RANGE);
	TRY(parse_sequence(c));
	while (accept(c, '|')) {
		uint32_t len = c->len - start;

		TRY(emit(c, RE_JMP, 0, 0)); /* room for the SPLIT, then the JMP */
		TRY(emit(c, RE_JMP, 0, 0));
		memmove(&c->code[start + 1], &c->code[start], len * sizeof(c->code[0]));
		c->code[start] = (struct regex_op){ RE_SPLIT, 1, len + 2 };
		second = c->len;
		TRY(parse_sequence(c));
		c->code[second - 1] = (struct regex_op){ RE_JMP, (int32_t)(c->len - second + 1),
			0 };
	}
	c->depth--;
	return OK;
}

static struct status
parse_sequence(struct compiler *c)
{
	while (c->p < c->end && *c->p != '|' && *c->p != ')') {
		uint32_t start = c->len;

		if (accept(c, '^')) {
			TRY(emit(c, RE_BEGIN, 0, 0));
			continue;
		}
		if (accept(c, '$')) {
			TRY(emit(c, RE_END, 0, 0));
			continue;
		}
		TRY(parse_atom(c));
		TRY(parse_repeat(c, start));
	}
	return OK;
}

static struct status
parse_atom(struct compiler *c)
{
	uint8_t set = 0;
	uint32_t first = c->range_len, cp;
	size_t len;

	if (accept(c, '('))
		return parse_group(c);
	if (accept(c, '['))
		return parse_class(c);
	if (accept(c, '.')) {
		TRY(add_set(c, '.'));
		return emit_set(c, first, false);
	}
	if (accept(c, '\\')) {
		TRY(parse_escape(c, &cp, &set));
		if (set == 0)
			return emit(c, RE_CHAR, 0, cp);
		TRY(add_set(c, set));
		return emit_set(c, first, false);
	}
	cp = look(c, &len);
	if (cp == END || (cp < 0x80 && strchr("*+?{}]", (int)cp) != NULL))
		return fail(E_SYNTAX);
	c->p += len;
	return emit(c, RE_CHAR, 0, cp);
}

static struct status
parse_group(struct compiler *c)
{
	if (accept(c, '?') && !accept(c, ':'))
		return fail(E_UNSUPPORTED);
	TRY(parse_alternatives(c));
	return accept(c, ')') ? OK : fail(E_SYNTAX);
}

static struct status
parse_repeat(struct compiler *c, uint32_t start)
{
	uint32_t min = 0, max = NO_MAX;

	if (accept(c, '+'))
		min = 1;
	else if (accept(c, '?'))
		max = 1;
	else if (accept(c, '{'))
		TRY(parse_bounds(c, &min, &max));
	else if (!accept(c, '*'))
		return OK;
	(void)accept(c, '?'); /* lazy: matches the same texts */
	return repeat(c, start, min, max);
}

static struct status
parse_bounds(struct compiler *c, uint32_t *ret_min, uint32_t *ret_max)
{
	TRY(parse_count(c, ret_min));
	*ret_max = *ret_min;
	if (accept(c, ',')) {
		*ret_max = NO_MAX;
		if (c->p < c->end && *c->p != '}')
			TRY(parse_count(c, ret_max));
	}
	if (!accept(c, '}') || *ret_max < *ret_min)
		return fail(E_SYNTAX);
	return OK;
}

static struct status
parse_count(struct compiler *c, uint32_t *ret)
{
	const uint8_t *start = c->p;
	uint32_t v = 0;

	for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++) {
		v = v * 10 + (uint32_t)(*c->p - '0');
		if (v > REGEX_REPEAT_MAX)
			return fail(E_RANGE);
	}
	*ret = v;
	return c->p > start ? OK : fail(E_SYNTAX);
}

/* Append the atom that lies at `body` (moved out of the way) once more. */
static struct status
append(struct compiler *c, const struct regex_op *body, uint32_t len)
{
	if (len > REGEX_CODE_MAX - c->len)
		return fail(E_RANGE);
	memcpy(&c->code[c->len], body, len * sizeof(*body));
	c->len += len;
	return OK;
}

/* The code from `start` on, min to max times. */
static struct status
repeat(struct compiler *c, uint32_t start, uint32_t min, uint32_t max)
{
	uint32_t len = c->len - start;
	uint32_t optional = max == NO_MAX ? 0 : max - min;
	struct regex_op body[REGEX_CODE_MAX];

	if (len == 0)
		return OK;
	memcpy(body, &c->code[start], len * sizeof(body[0]));
	c->len = start;
	for (uint32_t i = 0; i < min; i++)
		TRY(append(c, body, len));
	if (max == NO_MAX) {
		TRY(emit(c, RE_SPLIT, 1, len + 2));
		TRY(append(c, body, len));
		return emit(c, RE_JMP, -(int32_t)(len + 1), 0);
	}
	for (uint32_t i = 0; i < optional; i++) {
		TRY(emit(c, RE_SPLIT, 1, (optional - i) * (len + 1)));
		TRY(append(c, body, len));
	}
	return OK;
}

/* ---- classes and escapes ---- */

static struct status
parse_class(struct compiler *c)
{
	bool negated = accept(c, '^');
	uint32_t first = c->range_len;

	while (!accept(c, ']')) {
		if (c->p == c->end)
			return fail(E_SYNTAX);
		TRY(parse_class_part(c));
	}
	return emit_set(c, first, negated);
}

static struct status
parse_class_part(struct compiler *c)
{
	uint32_t low, high;
	uint8_t set = 0;

	TRY(parse_class_atom(c, &low, &set));
	if (set != 0)
		return add_set(c, set);
	if (c->end - c->p < 2 || c->p[0] != '-' || c->p[1] == ']')
		return add_range(c, low, low);
	c->p++;
	TRY(parse_class_atom(c, &high, &set));
	if (set != 0 || high < low)
		return fail(E_SYNTAX);
	return add_range(c, low, high);
}

static struct status
parse_class_atom(struct compiler *c, uint32_t *ret_cp, uint8_t *ret_set)
{
	size_t len;

	if (accept(c, '\\')) {
		if (c->p < c->end && (*c->p == '-' || *c->p == 'b')) {
			*ret_cp = *c->p++ == '-' ? '-' : '\b';
			return OK;
		}
		return parse_escape(c, ret_cp, ret_set);
	}
	*ret_cp = look(c, &len);
	c->p += len;
	return *ret_cp == END ? fail(E_SYNTAX) : OK;
}

/* Behind a backslash: a character, or the letter of a set in *ret_set. */
static struct status
parse_escape(struct compiler *c, uint32_t *ret_cp, uint8_t *ret_set)
{
	static const char plain[] = "^$\\.*+?()[]{}|/";
	static const char letters[] = "tnvfr", controls[] = "\t\n\v\f\r";
	const char *at;
	uint8_t e;

	if (c->p == c->end)
		return fail(E_SYNTAX);
	e = *c->p++;
	if (e != 0 && strchr(plain, e) != NULL) {
		*ret_cp = e;
		return OK;
	}
	if (e != 0 && (at = strchr(letters, e)) != NULL) {
		*ret_cp = (uint8_t)controls[at - letters];
		return OK;
	}
	if (e != 0 && strchr("dDwWsS", e) != NULL) {
		*ret_set = e;
		return OK;
	}
	*ret_cp = 0;
	if (e == '0' && (c->p == c->end || *c->p < '0' || *c->p > '9'))
		return OK;
	if (e == 'x')
		return parse_hex(c, 2, ret_cp);
	if (e == 'u')
		return parse_unicode(c, ret_cp);
	return fail(E_UNSUPPORTED);
}

static struct status
parse_hex(struct compiler *c, int digits, uint32_t *ret)
{
	uint32_t v = 0;

	for (int i = 0; i < digits; i++, c->p++) {
		uint32_t h = c->p < c->end ? *c->p : 0;

		if (h >= '0' && h <= '9')
			v = v << 4 | (h - '0');
		else if ((h | 0x20) >= 'a' && (h | 0x20) <= 'f')
			v = v << 4 | ((h | 0x20) - 'a' + 10);
		else
			return fail(E_SYNTAX);
	}
	*ret = v;
	return OK;
}

/* \uXXXX, a surrogate pair of two of them, or \u{X…}. */
static struct status
parse_unicode(struct compiler *c, uint32_t *ret)
{
	uint32_t low, v = 0;

	if (!accept(c, '{')) {
		TRY(parse_hex(c, 4, &v));
		if (v >= 0xd800 && v < 0xdc00 && accept(c, '\\')) {
			if (!accept(c, 'u'))
				return fail(E_SYNTAX);
			TRY(parse_hex(c, 4, &low));
			if (low < 0xdc00 || low > 0xdfff)
				return fail(E_SYNTAX);
			v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
		}
		*ret = v;
		return OK;
	}
	do {
		TRY(parse_hex(c, 1, &low));
		v = v << 4 | low;
		if (v > 0x10ffff)
			return fail(E_RANGE);
	} while (!accept(c, '}'));
	*ret = v;
	return OK;
}

static struct status
emit(struct compiler *c, uint8_t op, int32_t x, uint32_t y)
{
	if (c->len == REGEX_CODE_MAX)
		return fail(E_RANGE);
	c->code[c->len++] = (struct regex_op){ op, x, y };
	return OK;
}

static struct status
emit_set(struct compiler *c, uint32_t first, bool negated)
{
	return emit(c, negated ? RE_NOT_SET : RE_SET, (int32_t)first, c->range_len - first);
}

static struct status
add_range(struct compiler *c, uint32_t low, uint32_t high)
{
	if (c->range_len == REGEX_RANGES_MAX)
		return fail(E_RANGE);
	c->ranges[c->range_len++] = (struct regex_range){ low, high };
	return OK;
}

static struct status
add_set(struct compiler *c, uint8_t set)
{
	uint32_t from = 0;
	size_t k = 0;

	while (sets[k].letter != set)
		k++;
	for (size_t i = 0; i < sets[k].len; i++) {
		struct regex_range r = sets[k].ranges[i];

		if (!sets[k].negated)
			TRY(add_range(c, r.low, r.high));
		if (sets[k].negated && r.low > from)
			TRY(add_range(c, from, r.low - 1));
		from = r.high + 1;
	}
	return sets[k].negated ? add_range(c, from, 0x10ffff) : OK;
}
