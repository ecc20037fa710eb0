/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers: exact decimals for comparison, and readers into C types.
 *
 * Runs in:    every process that reads JSON.
 * Trusts:     the grammar of numbers, checked by the parser.
 * Owns:       nothing; a decimal points into the source.
 * Invariants: comparison, equality and multiples are exact for any number of
 *             digits; nothing but json_double() rounds.
 * See:        RFC 8259 section 6; JSON Schema 2020-12 core, 4.2.2.
 */
#include <math.h>
#include <stdlib.h>

#include "internal.h"

#define EXPONENT_CAP 100000000000000000LL /* 10^17 */
#define DIVISOR_DIGITS_MAX 18
#define DOUBLE_TEXT_MAX 1000
#define U64_DIGITS_MAX 20

static int64_t read_exponent(const uint8_t *p, const uint8_t *end);
static struct status integer_read(struct span text, bool *ret_negative, uint64_t *ret);
static uint64_t digits_u64(const struct decimal *d);
static uint64_t mul_mod(uint64_t a, uint64_t b, uint64_t m);
static uint64_t pow10_mod(uint64_t exponent, uint64_t m);

/* The digit at *pp, over a point if need be; steps on. */
static inline uint8_t
digit_next(const uint8_t **pp)
{
	if (**pp == '.')
		(*pp)++;
	return *(*pp)++;
}

struct decimal
decimal_read(struct span number)
{
	const uint8_t *p = number.ptr, *end = number.ptr + number.len;
	struct decimal d = { .negative = *p == '-' };
	int64_t whole = 0; /* significant digits before the point, less zeros behind it */
	uint32_t seen = 0;
	bool fraction = false;

	for (p += d.negative; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			fraction = true;
			continue;
		}
		if (seen == 0 && *p == '0') {
			whole -= fraction;
			continue;
		}
		if (seen++ == 0)
			d.digits = p;
		if (*p != '0')
			d.count = seen;
		whole += !fraction;
	}
	if (d.count == 0)
		return (struct decimal){ .negative = false };
	d.point = whole + (p < end ? read_exponent(p + 1, end) : 0);
	return d;
}

static int64_t
read_exponent(const uint8_t *p, const uint8_t *end)
{
	bool negative = *p == '-';
	int64_t v = 0;

	if (*p == '-' || *p == '+')
		p++;
	for (; p < end && v < EXPONENT_CAP; p++)
		v = v * 10 + (*p - '0');
	if (v > EXPONENT_CAP)
		v = EXPONENT_CAP;
	return negative ? -v : v;
}

static int
compare_magnitude(const struct decimal *a, const struct decimal *b)
{
	const uint8_t *pa = a->digits, *pb = b->digits;

	if (a->count == 0 || b->count == 0)
		return (a->count != 0) - (b->count != 0);
	if (a->point != b->point)
		return a->point < b->point ? -1 : 1;
	for (uint32_t i = 0; i < a->count && i < b->count; i++) {
		uint8_t da = digit_next(&pa), db = digit_next(&pb);

		if (da != db)
			return da < db ? -1 : 1;
	}
	return (a->count > b->count) - (a->count < b->count);
}

int
decimal_compare(const struct decimal *a, const struct decimal *b)
{
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	return a->negative ? compare_magnitude(b, a) : compare_magnitude(a, b);
}

bool
decimal_is_integer(const struct decimal *d)
{
	return d->count == 0 || d->point >= (int64_t)d->count;
}

bool
decimal_is_divisor(const struct decimal *d)
{
	return !d->negative && d->count > 0 && d->count <= DIVISOR_DIGITS_MAX;
}

/*
 * d = M·10^x and divisor = N·10^y, M and N not multiples of 10. For x < y, M would
 * have to be a multiple of 10; else N must divide M·10^(x-y).
 */
bool
decimal_is_multiple(const struct decimal *d, const struct decimal *divisor)
{
	int64_t x = d->point - (int64_t)d->count;
	int64_t y = divisor->point - (int64_t)divisor->count;
	uint64_t n = digits_u64(divisor), rest = 0;
	const uint8_t *p = d->digits;

	assert(n != 0); /* decimal_is_divisor() saw to it */
	if (d->count == 0)
		return true;
	if (x < y)
		return false;
	for (uint32_t i = 0; i < d->count; i++)
		rest = (mul_mod(rest, 10, n) + (uint64_t)(digit_next(&p) - '0') % n) % n;
	return mul_mod(rest, pow10_mod((uint64_t)(x - y), n), n) == 0;
}

static uint64_t
digits_u64(const struct decimal *d)
{
	const uint8_t *p = d->digits;
	uint64_t v = 0;

	for (uint32_t i = 0; i < d->count; i++)
		v = v * 10 + (uint64_t)(digit_next(&p) - '0');
	return v;
}

static uint64_t
mul_mod(uint64_t a, uint64_t b, uint64_t m)
{
	return (uint64_t)((unsigned __int128)a * b % m);
}

static uint64_t
pow10_mod(uint64_t exponent, uint64_t m)
{
	uint64_t base = 10 % m, v = 1 % m;

	for (; exponent > 0; exponent >>= 1) {
		if (exponent & 1)
			v = mul_mod(v, base, m);
		base = mul_mod(base, base, m);
	}
	return v;
}

uint64_t
decimal_hash(const struct decimal *d, const uint64_t seed[2])
{
	const uint8_t *p = d->digits;
	struct sip s;

	sip_init(&s, seed);
	sip_word(&s, d->negative);
	sip_word(&s, (uint64_t)d->point);
	for (uint32_t i = 0; i < d->count; i++)
		sip_word(&s, digit_next(&p));
	return sip_done(&s, 0, 0);
}

/* ---- readers ---- */

static struct status
number_text(const struct json_doc *d, uint32_t tok, struct span *ret)
{
	if (tok == JSON_NONE)
		return fail(E_NOTFOUND);
	if (d->tok[tok].type != JSON_NUMBER)
		return fail(E_SYNTAX);
	*ret = json_bytes(d, tok);
	return OK;
}

static struct status
integer_read(struct span text, bool *ret_negative, uint64_t *ret)
{
	struct decimal n = decimal_read(text);
	const uint8_t *p = n.digits;
	uint64_t v = 0;

	if (!decimal_is_integer(&n))
		return fail(E_SYNTAX);
	if (n.count != 0 && n.point > U64_DIGITS_MAX)
		return fail(E_RANGE);
	for (int64_t i = 0; n.count != 0 && i < n.point; i++) {
		uint64_t digit = i < (int64_t)n.count ? (uint64_t)(digit_next(&p) - '0') : 0;

		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			return fail(E_RANGE);
	}
	*ret_negative = n.negative;
	*ret = v;
	return OK;
}

struct status
json_u64(const struct json_doc *d, uint32_t tok, uint64_t max, uint64_t *ret)
{
	struct span text;
	bool negative;
	uint64_t v;

	TRY(number_text(d, tok, &text));
	TRY(integer_read(text, &negative, &v));
	if (negative || v > max)
		return fail(E_RANGE);
	*ret = v;
	return OK;
}

struct status
json_i64(const struct json_doc *d, uint32_t tok, int64_t min, int64_t max, int64_t *ret)
{
	struct span text;
	bool negative;
	uint64_t v;
	int64_t n;

	TRY(number_text(d, tok, &text));
	TRY(integer_read(text, &negative, &v));
	if (v > (uint64_t)INT64_MAX + negative)
		return fail(E_RANGE);
	n = negative ? -(int64_t)(v - 1) - 1 : (int64_t)v;
	if (n < min || n > max)
		return fail(E_RANGE);
	*ret = n;
	return OK;
}

struct status
json_double(const struct json_doc *d, uint32_t tok, double *ret)
{
	char text[DOUBLE_TEXT_MAX + 1];
	struct span s;
	double v;

	TRY(number_text(d, tok, &s));
	if (s.len > DOUBLE_TEXT_MAX)
		return fail(E_RANGE);
	memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	v = strtod(text, NULL);
	if (!isfinite(v))
		return fail(E_RANGE);
	*ret = v;
	return OK;
}
