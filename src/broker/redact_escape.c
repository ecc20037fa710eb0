/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact_escape.c: a credential that is echoed with escapes of JSON or in percent encoding.
 *
 * Runs in: broker. Trusts: nothing: the bytes are a provider's.
 * Owns: a copy of one piece with its escapes undone, wiped before the return.
 * Invariants: a piece is copied only if it holds an escape that stands for a byte of some needle,
 * and then once for each way to read it (three at most): the work a byte is bounded. What is held
 * back begins between escapes, so each piece begins between them, too. See: redact_internal.h; RFC
 * 8259 section 7, RFC 3986 section 2.1.
 */
#include "redact_internal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define READ_JSON 1U
#define READ_PERCENT 2U
#define READ_BOTH (READ_JSON | READ_PERCENT)
#define UTF8_MAX 3 /* of what four hexadecimal digits can say */

/* An escape and what it stands for, or its first byte alone where it is none. */
struct unit {
	size_t len;  /* in the stream; 0: it goes on after the end */
	size_t nout; /* 1, or more for an escape beyond ASCII */
	uint8_t out[UTF8_MAX];
};

static int
digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* `n` hexadecimal digits; -1: they are none, -2: they may come. */
static int
number(const uint8_t *p, size_t len, size_t n)
{
	int v = 0;

	for (size_t i = 0; i < n; i++) {
		if (i == len)
			return -2;
		if (digit(p[i]) < 0)
			return -1;
		v = v * 16 + digit(p[i]);
	}
	return v;
}

static struct unit
one(uint8_t c, size_t len)
{
	return (struct unit){ .len = len, .nout = 1, .out = { c } };
}

static struct unit
utf8(unsigned v)
{
	struct unit u = { .len = 6 };

	if (v < 0x80)
		return one((uint8_t)v, 6);
	if (v >= 0x800)
		u.out[u.nout++] = (uint8_t)(0xe0 | v >> 12);
	u.out[u.nout++] = (uint8_t)(v < 0x800 ? 0xc0 | v >> 6 : 0x80 | (v >> 6 & 0x3f));
	u.out[u.nout++] = (uint8_t)(0x80 | (v & 0x3f));
	return u;
}

/* At a backslash. */
static struct unit
read_json(const uint8_t *p, size_t len)
{
	int v;

	if (len == 1)
		return (struct unit){ .len = 0 };
	if (p[1] == '"' || p[1] == '\\' || p[1] == '/')
		return one(p[1], 2);
	if (p[1] == 'n' || p[1] == 'r' || p[1] == 't' || p[1] == 'b' || p[1] == 'f')
		return one('\n', 2); /* no secret holds any of them */
	if (p[1] != 'u')
		return one(p[0], 1);
	v = number(p + 2, len - 2, 4);
	if (v == -2)
		return (struct unit){ .len = 0 };
	return v < 0 ? one(p[0], 1) : utf8((unsigned)v);
}

/* At a percent sign. */
static struct unit
read_percent(const uint8_t *p, size_t len)
{
	int v = number(p + 1, len - 1, 2);

	if (v == -2)
		return (struct unit){ .len = 0 };
	return v < 0 ? one(p[0], 1) : one((uint8_t)v, 3);
}

/* At a sign that begins an escape, if it does. */
static struct unit
read_unit(const uint8_t *p, size_t len, bool last)
{
	struct unit u = p[0] == '%' ? read_percent(p, len) : read_json(p, len);

	return u.len == 0 && last ? one(p[0], 1) : u;
}

/* ---- where escapes are ---- */
/* The bytes that begin an escape; twice the same where only one does. */
static const uint8_t signs[READ_BOTH + 1][2] = {
	[READ_JSON] = { '\\', '\\' },
	[READ_PERCENT] = { '%', '%' },
	[READ_BOTH] = { '\\', '%' },
};

/* The first of them at or after `at`, or `len`. */
static size_t
next_sign(const uint8_t *p, size_t len, size_t at, unsigned how)
{
	const uint8_t a = signs[how][0], b = signs[how][1];

#ifdef __SSE2__
	const __m128i va = _mm_set1_epi8((char)a), vb = _mm_set1_epi8((char)b);

	for (; at + sizeof(__m128i) <= len; at += sizeof(__m128i)) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
		unsigned bits = (unsigned)_mm_movemask_epi8(
		    _mm_or_si128(_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb)));

		if (bits != 0)
			return at + (unsigned)__builtin_ctz(bits);
	}
#endif
	while (at < len && p[at] != a && p[at] != b)
		at++;
	return at;
}

/* What a piece holds. */
struct escapes {
	bool matter;  /* one of them stands for a byte of a needle */
	unsigned how; /* the piece can be read: READ_JSON, READ_PERCENT */
	size_t end;   /* where one begins that goes on after the piece, or the end */
};

/* *hold_at is moved out of an escape that it lies in. */
static struct escapes
find_escapes(const struct redactor *r, const uint8_t *p, size_t len, bool last, size_t *hold_at)
{
	const uint8_t *marks = redact_marks(r);
	struct escapes e = { .matter = false };
	size_t at = next_sign(p, len, 0, READ_BOTH);

	while (at < len) {
		struct unit u = read_unit(p + at, len - at, last);

		e.how |= p[at] == '%' ? READ_PERCENT : READ_JSON;
		if (u.len == 0)
			break;
		e.matter = e.matter || (u.len > 1 && (marks[u.out[0]] & REDACT_MEMBER) != 0);
		if (at < *hold_at && *hold_at < at + u.len)
			*hold_at = at;
		at = next_sign(p, len, at + u.len, READ_BOTH);
	}
	e.end = at;
	return e;
}

/* ---- a piece without them ---- */
struct plain {
	uint8_t text[REDACT_PART_MAX];
	uint16_t from[REDACT_PART_MAX + 1]; /* where each byte of it, and its end, came from */
	size_t len;
};

static struct plain plain; /* too large for the stack; one piece at a time */

static void
put_unit(const struct unit *u, size_t at)
{
	for (size_t i = 0; i < u->nout; i++) {
		plain.from[plain.len] = (uint16_t)at;
		plain.text[plain.len++] = u->out[i];
	}
}

static void
put_run(const uint8_t *p, size_t at, size_t end)
{
	memcpy(plain.text + plain.len, p + at, end - at);
	for (; at < end; at++)
		plain.from[plain.len++] = (uint16_t)at;
}

static void
undo(const uint8_t *p, size_t len, bool last, unsigned how)
{
	size_t at = 0;

	plain.len = 0;
	while (at < len) {
		size_t sign = next_sign(p, len, at, how);
		struct unit u;

		put_run(p, at, sign);
		at = sign;
		if (at == len)
			break;
		u = read_unit(p + at, len - at, last);
		if (u.len == 0)
			break;
		put_unit(&u, at);
		at += u.len;
	}
	plain.from[plain.len] = (uint16_t)at;
}

static size_t
redact_read_as(
    const struct redactor *r, uint8_t *p, size_t len, bool last, unsigned how, size_t *hold_at)
{
	size_t at = 0, hits = 0, found, from;

	undo(p, len, last, how);
	while ((found = redact_find(r, plain.text, plain.len, &at)) > 0) {
		memset(p + plain.from[at], REDACT_MARK,
		    (size_t)plain.from[at + found] - plain.from[at]);
		memset(plain.text + at, REDACT_MARK, found);
		at += found;
		hits++;
	}
	from = plain.from[plain.len - redact_tail(r, plain.text, plain.len)];
	if (from < *hold_at)
		*hold_at = from;
	secret_wipe(plain.text, plain.len);
	return hits;
}

/* Where a piece holds signs of both kinds, one of them may be meant as it is. */
size_t
redact_escaped(const struct redactor *r, uint8_t *p, size_t len, bool last, size_t *hold_at)
{
	struct escapes e = find_escapes(r, p, len, last, hold_at);
	size_t hits = 0, without;

	if (!e.matter && e.end == len)
		return 0;
	if (e.end < *hold_at)
		*hold_at = e.end;
	without = *hold_at;
	for (unsigned how = READ_JSON; how <= READ_BOTH; how++) {
		if ((how & e.how) == how)
			hits += redact_read_as(r, p, len, last, how, hold_at);
	}
	(void)find_escapes(
	    r, p, len, last, hold_at); /* another way to read may have put it into one */
	if (len - *hold_at > REDACT_HELD_MAX)
		*hold_at = without;
	return hits;
}
