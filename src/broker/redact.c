/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact.c: overwrite a credential that a provider echoes.
 *
 * Runs in: broker. Trusts: nothing: the bytes are a provider's.
 * Owns: the needles and the table of shifts, in memory for secrets.
 * Invariants: no match survives, wherever the stream is cut; at most REDACT_HELD_MAX bytes are held
 * back; what is no match is not changed; the work a byte is bounded by the needles alone.
 * See: redact.h, redact_escape.c (what is written with escapes); S. Wu, U. Manber, "A fast
 * algorithm for multi-pattern searching", 1994: most positions are skipped by the length of the
 * shortest needle.
 */
#include "redact_internal.h"

#include <assert.h>

#include <crypto/crypto.h>

#define BLOCK 3 /* bytes that choose a row of the table of shifts */
#define BASE64_ALIGNMENTS 3
#define COMPARE_FIRST 8 /* bytes; the rest of a needle only where these are equal */

/* Needles while they are collected: ranges of `text`, which is wiped. */
struct forms {
	struct secret text;
	size_t len;
	struct {
		size_t at, len;
		bool any_case;
	} form[REDACT_NEEDLES_MAX];
	size_t count;
};

static unsigned
block_hash(const uint8_t *p)
{
	uint32_t v = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;

	return v * 2654435761U >> 20; /* the top 12 bits: REDACT_SHIFTS rows */
}

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static uint8_t
upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

/* ---- the forms of a secret ---- */
static void
form_end(struct forms *f, size_t at)
{
	struct span fresh = span_of(f->text.ptr + at, f->len - at);

	for (size_t i = 0; i < f->count; i++) {
		struct span old = span_of(f->text.ptr + f->form[i].at, f->form[i].len);

		if (old.len == fresh.len && crypto_eq(old, fresh)) {
			f->len = at; /* the same again */
			return;
		}
	}
	f->form[f->count].at = at;
	f->form[f->count].len = fresh.len;
	f->count++;
}

static void
put(struct forms *f, char c)
{
	f->text.ptr[f->len++] = (uint8_t)c;
}

static void
form_raw(struct forms *f, struct span s)
{
	size_t at = f->len;

	memcpy(f->text.ptr + at, s.ptr, s.len);
	f->len += s.len;
	form_end(f, at);
}

/* In lower case; it is compared without regard to case. */
static void
form_hex(struct forms *f, struct span s)
{
	static const char digits[17] = "0123456789abcdef";
	size_t at = f->len;

	for (size_t i = 0; i < s.len; i++) {
		put(f, digits[s.ptr[i] >> 4]);
		put(f, digits[s.ptr[i] & 15]);
	}
	f->form[f->count].any_case = true;
	form_end(f, at);
}

/*
 * Base64 of a text in which the secret begins `before` bytes after a multiple of three: only the
 * digits that the secret alone decides.
 */
static void
form_base64(struct forms *f, struct span s, unsigned before, const char digits[65])
{
	size_t at = f->len, first = (8 * before + 5) / 6, end = 8 * (before + s.len) / 6;

	for (size_t d = first; d < end; d++) {
		size_t bit = 6 * d - 8 * before, byte = bit / 8;
		unsigned pair = (unsigned)s.ptr[byte] << 8 |
				(byte + 1 < s.len ? s.ptr[byte + 1] : 0U);

		put(f, digits[pair >> (10 - bit % 8) & 63]);
	}
	form_end(f, at);
}

static void
collect(struct forms *f, struct span s)
{
	static const char std[65] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char url[65] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	form_raw(f, s);
	form_hex(f, s);
	for (unsigned before = 0; before < BASE64_ALIGNMENTS; before++) {
		form_base64(f, s, before, std);
		form_base64(f, s, before, url);
	}
}

/* ---- the tables ---- */
/* All eight ways to write a block in upper and lower case. */
static void
learn_block(uint8_t *shift, const uint8_t *block, bool any_case, size_t left)
{
	for (unsigned i = 0; i < (any_case ? 1U << BLOCK : 1U); i++) {
		uint8_t way[BLOCK];
		uint8_t *row;

		for (unsigned b = 0; b < BLOCK; b++)
			way[b] = (i >> b & 1) != 0 ? upper(block[b]) : block[b];
		row = &shift[block_hash(way)];
		if (left < *row)
			*row = (uint8_t)left;
	}
}

static void
learn(struct redactor *r, const struct redact_needle *n, uint8_t *shift, uint8_t *marks)
{
	for (size_t at = 0; at + BLOCK <= r->window; at++)
		learn_block(shift, n->text.ptr + at, n->any_case, r->window - BLOCK - at);
	for (size_t i = 0; i < n->text.len; i++) {
		uint8_t c = n->text.ptr[i], mark = REDACT_MEMBER | (i == 0 ? REDACT_FIRST : 0);

		marks[c] |= mark;
		if (n->any_case)
			marks[upper(c)] |= mark;
	}
}

static void
fill(struct redactor *r, const struct forms *f)
{
	uint8_t *shift = r->mem.ptr, *marks = shift + REDACT_SHIFTS, *text = marks + REDACT_MARKS;

	memcpy(text, f->text.ptr, f->len);
	r->window = UINT8_MAX;
	for (size_t i = 0; i < f->count; i++) {
		r->needles[i].text = span_of(text + f->form[i].at, f->form[i].len);
		r->needles[i].any_case = f->form[i].any_case;
		if (f->form[i].len < r->window)
			r->window = f->form[i].len;
		if (f->form[i].len - 1 > r->held_max)
			r->held_max = f->form[i].len - 1;
	}
	r->count = f->count;
	memset(shift, (int)(r->window - BLOCK + 1), REDACT_SHIFTS);
	for (size_t i = 0; i < r->count; i++)
		learn(r, &r->needles[i], shift, marks);
}

struct status
redactor_init(struct redactor *r, struct span secret)
{
	struct forms f = { 0 };
	struct status st;

	if (secret.len == 0)
		return OK;
	if (secret.len < BLOCK + 2)
		return fail(E_RANGE);
	/* plain, hexadecimal, base64 */
	TRY(secret_new(
	    3 * secret.len + 2 * BASE64_ALIGNMENTS * ((secret.len + 2) * 4 / 3 + 1), &f.text));
	collect(&f, secret);
	st = secret_new(REDACT_SHIFTS + REDACT_MARKS + f.len, &r->mem);
	if (is_ok(st))
		fill(r, &f);
	secret_done(&f.text);
	return st;
}

void
redactor_done(struct redactor *r)
{
	secret_done(&r->mem);
	*r = REDACTOR_NONE;
}

/* ---- looking ---- */
static bool
equal(struct span needle, const uint8_t *p, bool any_case)
{
	uint8_t differ = 0;

	if (!any_case)
		return crypto_eq(needle, span_of(p, needle.len));
	for (size_t i = 0; i < needle.len; i++)
		differ |= needle.ptr[i] ^ lower(p[i]);
	return differ == 0;
}

/*
 * Are the first `len` bytes of the needle at `p`? Most texts differ in the first two; that they
 * do not is no secret, since what begins like one is held back.
 */
static bool
begins(const struct redact_needle *n, const uint8_t *p, size_t len)
{
	const uint8_t *t = n->text.ptr;
	bool two = n->any_case ? t[0] == lower(p[0]) && (len < 2 || t[1] == lower(p[1]))
			       : t[0] == p[0] && (len < 2 || t[1] == p[1]);
	size_t few = len < COMPARE_FIRST ? len : COMPARE_FIRST;

	return two && equal(span_of(t, few), p, n->any_case) &&
	       equal(span_of(t + few, len - few), p + few, n->any_case);
}

/* The length of the longest needle that begins at `p`; 0: none. */
static size_t
match_at(const struct redactor *r, const uint8_t *p, size_t len)
{
	size_t best = 0;

	for (size_t i = 0; i < r->count; i++) {
		const struct redact_needle *n = &r->needles[i];

		if (n->text.len <= len && n->text.len > best && begins(n, p, n->text.len))
			best = n->text.len;
	}
	return best;
}

size_t
redact_find(const struct redactor *r, const uint8_t *p, size_t len, size_t *at)
{
	while (len - *at >= r->window) {
		size_t shift = r->mem.ptr[block_hash(p + *at + r->window - BLOCK)];
		size_t found;

		if (shift > 0) {
			*at += shift < len - *at ? shift : len - *at;
			continue;
		}
		found = match_at(r, p + *at, len - *at);
		if (found > 0)
			return found;
		(*at)++;
	}
	return 0;
}

/* Does `p` begin some needle without being all of it? */
static bool
begins_one(const struct redactor *r, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct redact_needle *n = &r->needles[i];

		if (n->text.len > len && begins(n, p, len))
			return true;
	}
	return false;
}

size_t
redact_tail(const struct redactor *r, const uint8_t *p, size_t len)
{
	const uint8_t *marks = redact_marks(r);
	size_t tail = len < r->held_max ? len : r->held_max;

	while (tail > 0 &&
	       ((marks[p[len - tail]] & REDACT_FIRST) == 0 || !begins_one(r, p + len - tail, tail)))
		tail--;
	return tail;
}

/* What is written without escapes. */
static size_t
redact_plain(const struct redactor *r, uint8_t *p, size_t len)
{
	size_t at = 0, hits = 0, found;

	while ((found = redact_find(r, p, len, &at)) > 0) {
		memset(p + at, REDACT_MARK, found);
		at += found;
		hits++;
	}
	return hits;
}

size_t
redact_part(const struct redactor *r, uint8_t *p, size_t len, size_t *ret_held)
{
	size_t hits, hold_at;

	if (ret_held != NULL)
		*ret_held = 0;
	if (r->window == 0)
		return 0;
	assert(len <= REDACT_PART_MAX);
	hits = redact_plain(r, p, len);
	hold_at = len - redact_tail(r, p, len);
	hits += redact_escaped(r, p, len, ret_held == NULL, &hold_at);
	if (ret_held != NULL)
		*ret_held = len - hold_at;
	return hits;
}
