/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JSON_INTERNAL_H
#define JSON_INTERNAL_H

/*
 * What the files of lib/json share; nothing for its users.
 */
#include <assert.h>

#include <json/json.h>

/* Bits of json_tok.flags. */
#define TOK_ESCAPED 1U /* a string with at least one escape */
#define TOK_KEY 2U     /* its .size is 24 bits of the key's hash, if it was asked for */

/* ---- text.c: the inside of strings ---- */

/*
 * Scan from behind the opening quote to the closing one, checking escapes and
 * UTF-8. On OK *pp is the closing quote, else the faulty byte.
 */
MUST_USE struct status text_scan(const uint8_t **pp, const uint8_t *end,
    const struct json_opts *opts, bool *ret_escaped, const char **ret_message);

/* A string's text as written, without its quotes. */
static inline struct span
text_raw(const struct json_doc *d, uint32_t tok)
{
	const struct json_tok *t = &d->tok[tok];

	return span_of(d->src.ptr + t->off + 1, t->len - 2U);
}

static inline bool
text_is_escaped(const struct json_doc *d, uint32_t tok)
{
	return (d->tok[tok].flags & TOK_ESCAPED) != 0;
}

/* Reads a valid string's text, escapes decoded, by code point or by byte. */
struct text_reader {
	const uint8_t *p;
	const uint8_t *end;
	uint8_t pending[4]; /* bytes of the code point being given out */
	uint8_t pending_len;
	uint8_t pending_at;
};

struct text_reader text_reader(struct span raw);
bool text_next(struct text_reader *r, uint32_t *ret_code_point);
bool text_next_byte(struct text_reader *r, uint8_t *ret);
size_t text_code_points(struct span raw);
bool text_eq(struct span raw_a, struct span raw_b, bool nocase);
/* UTF-8 of a code point; returns its length. */
size_t text_encode(uint32_t cp, uint8_t out[4]);

/* ---- keys.c: hashing, duplicates ---- */
struct sip {
	uint64_t v[4];
	uint64_t len;
};

void sip_init(struct sip *s, const uint64_t seed[2]);
void sip_word(struct sip *s, uint64_t w);                         /* 8 bytes */
uint64_t sip_done(struct sip *s, uint64_t last, size_t last_len); /* last_len < 8 */
/* The hash of a string's text; with `fold`, of its ASCII lower case. */
uint64_t key_hash(const uint64_t seed[2], struct span raw, bool escaped, bool fold);
/* E_EXISTS: *ret_dup is the key that repeats one before it. E_NOMEM. */
MUST_USE struct status keys_unique(struct json_doc *d, uint32_t obj, uint32_t *ret_dup);

/* ---- number.c: decimals, exact ---- */

/*
 * 0.d1d2…dn · 10^point, d1 and dn not 0; the digits stay where they were
 * written, perhaps with a point among them. Zero has count 0. An exponent
 * beyond ±10^17 counts as that.
 */
struct decimal {
	const uint8_t *digits;
	uint32_t count;
	bool negative;
	int64_t point;
};

struct decimal decimal_read(struct span number); /* of valid grammar */
int decimal_compare(const struct decimal *a, const struct decimal *b);
bool decimal_is_integer(const struct decimal *d);
/* A positive divisor of at most 18 digits, usable below. */
bool decimal_is_divisor(const struct decimal *d);
bool decimal_is_multiple(const struct decimal *d, const struct decimal *divisor);
uint64_t decimal_hash(const struct decimal *d, const uint64_t seed[2]);

/* ---- equal.c ---- */

/* Take `n` from *steps, or E_FULL. */
static inline struct status
steps_take(uint64_t *steps, uint64_t n)
{
	if (*steps < n)
		return fail(E_FULL);
	*steps -= n;
	return OK;
}

/* Equal values have equal hashes; members in any order. E_FULL. */
MUST_USE struct status value_hash(
    const struct json_doc *d, uint32_t tok, uint64_t *steps, uint64_t *ret);

/* ---- pointer.c ---- */

/* The value that a decoded RFC 6901 pointer names, or JSON_NONE. */
uint32_t pointer_find(const struct json_doc *d, struct span pointer);

#endif
