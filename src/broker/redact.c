/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redact.c: overwrite a credential that a provider echoes.
 *
 * Runs in: broker. Trusts: nothing: the bytes are a provider's.
 * Owns: the needles and the table of shifts, in memory for secrets.
 * Invariants: no match survives, wherever the stream is cut; at most held_max bytes are held
 * back; what is no match is not changed; the work a byte is bounded by the number of needles.
 * See: redact.h; S. Wu, U. Manber, "A fast algorithm for multi-pattern searching", 1994: most
 * positions are skipped by the length of the shortest needle.
 */
#include "redact.h"

#include <crypto/crypto.h>

#define BLOCK 3 /* bytes that choose a row of the table of shifts */
#define BASE64_ALIGNMENTS 3
#define FIRSTS 256 /* bytes that begin a needle, after the table of shifts */

/* Needles while they are collected: ranges of `text`, which is wiped. */
struct forms {
	struct secret text;
	size_t len;
	struct {
		size_t at, len;
	} form[REDACT_NEEDLES_MAX];
	size_t count;
};

static unsigned
block_hash(const uint8_t *p)
{
	uint32_t v = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;

	return v * 2654435761U >> 20; /* the top 12 bits: REDACT_SHIFTS rows */
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

static void
form_hex(struct forms *f, struct span s, const char digits[17])
{
	size_t at = f->len;

	for (size_t i = 0; i < s.len; i++) {
		put(f, digits[s.ptr[i] >> 4]);
		put(f, digits[s.ptr[i] & 15]);
	}
	form_end(f, at);
}

static bool
unreserved(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       memchr("-._~", c, 4) != NULL;
}

static void
form_url(struct forms *f, struct span s, const char digits[17])
{
	size_t at = f->len;

	for (size_t i = 0; i < s.len; i++) {
		if (unreserved(s.ptr[i])) {
			put(f, (char)s.ptr[i]);
			continue;
		}
		put(f, '%');
		put(f, digits[s.ptr[i] >> 4]);
		put(f, digits[s.ptr[i] & 15]);
	}
	form_end(f, at);
}

/* As JSON text: a quote and a backslash are escaped (nothing else may be in a header's value). */
static void
form_json(struct forms *f, struct span s)
{
	size_t at = f->len;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"' || s.ptr[i] == '\\')
			put(f, '\\');
		put(f, (char)s.ptr[i]);
	}
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
	static const char lower[17] = "0123456789abcdef", upper[17] = "0123456789ABCDEF";
	static const char std[65] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char url[65] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	form_raw(f, s);
	form_json(f, s);
	form_url(f, s, upper);
	form_url(f, s, lower);
	form_hex(f, s, lower);
	form_hex(f, s, upper);
	for (unsigned before = 0; before < BASE64_ALIGNMENTS; before++) {
		form_base64(f, s, before, std);
		form_base64(f, s, before, url);
	}
}

/* ---- the table ---- */
static void
fill(struct redactor *r, const struct forms *f)
{
	uint8_t *shift = r->mem.ptr, *first = shift + REDACT_SHIFTS, *text = first + FIRSTS;
	size_t miss;

	memcpy(text, f->text.ptr, f->len);
	r->window = SIZE_MAX;
	for (size_t i = 0; i < f->count; i++) {
		r->needles[i] = span_of(text + f->form[i].at, f->form[i].len);
		if (f->form[i].len < r->window)
			r->window = f->form[i].len;
		if (f->form[i].len - 1 > r->held_max)
			r->held_max = f->form[i].len - 1;
	}
	r->count = f->count;
	if (r->window > UINT8_MAX)
		r->window = UINT8_MAX;
	miss = r->window - BLOCK + 1;
	memset(shift, (int)miss, REDACT_SHIFTS);
	for (size_t i = 0; i < r->count; i++) {
		first[r->needles[i].ptr[0]] = 1;
		for (size_t at = 0; at + BLOCK <= r->window; at++) {
			uint8_t *row = &shift[block_hash(r->needles[i].ptr + at)];
			size_t left = r->window - BLOCK - at;

			if (left < *row)
				*row = (uint8_t)left;
		}
	}
}

/* Forms that are the same as the plain one take no room in the end. */
static size_t
forms_len(struct span s)
{
	size_t escaped = 0, reserved = 0, len;

	for (size_t i = 0; i < s.len; i++) {
		escaped += s.ptr[i] == '"' || s.ptr[i] == '\\';
		reserved += !unreserved(s.ptr[i]);
	}
	len = s.len + 2 * 2 * s.len; /* plain, hex twice */
	len += 2 * BASE64_ALIGNMENTS * ((s.len + 2) * 4 / 3 + 1);
	len += escaped > 0 ? s.len + escaped : 0;
	return len + (reserved > 0 ? 2 * (s.len + 2 * reserved) : 0);
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
	TRY(secret_new(forms_len(secret), &f.text));
	collect(&f, secret);
	st = secret_new(REDACT_SHIFTS + FIRSTS + f.len, &r->mem);
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
/* The length of the longest needle that begins at `p`; 0: none. */
static size_t
match_at(const struct redactor *r, const uint8_t *p, size_t len)
{
	size_t best = 0;

	for (size_t i = 0; i < r->count; i++) {
		struct span n = r->needles[i];

		if (n.len <= len && n.len > best && n.ptr[0] == p[0] &&
		    crypto_eq(n, span_of(p, n.len)))
			best = n.len;
	}
	return best;
}

size_t
redact_all(const struct redactor *r, uint8_t *p, size_t len)
{
	size_t at = 0, hits = 0;

	if (r->window == 0)
		return 0;
	while (len - at >= r->window) {
		size_t shift = r->mem.ptr[block_hash(p + at + r->window - BLOCK)];
		size_t found;

		if (shift > 0) {
			at += shift < len - at ? shift : len - at;
			continue;
		}
		found = match_at(r, p + at, len - at);
		if (found > 0)
			memset(p + at, REDACT_MARK, found);
		hits += found > 0;
		at += found > 0 ? found : 1;
	}
	return hits;
}

/* Does `p` begin some needle without being all of it? */
static bool
begins_one(const struct redactor *r, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < r->count; i++) {
		struct span n = r->needles[i];

		if (n.len > len && n.ptr[0] == p[0] &&
		    crypto_eq(span_of(n.ptr, len), span_of(p, len)))
			return true;
	}
	return false;
}

size_t
redact_part(const struct redactor *r, uint8_t *p, size_t len, size_t *ret_held)
{
	size_t hold = len < r->held_max ? len : r->held_max;
	size_t hits = redact_all(r, p, len);
	const uint8_t *first;

	*ret_held = 0;
	if (r->window == 0)
		return 0;
	first = r->mem.ptr + REDACT_SHIFTS;
	while (hold > 0 && (first[p[len - hold]] == 0 || !begins_one(r, p + len - hold, hold)))
		hold--;
	*ret_held = hold;
	return hits;
}
