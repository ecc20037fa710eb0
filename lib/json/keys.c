/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed hashing of text, and the search for duplicate keys of an object.
 *
 * Runs in:    every process that reads JSON.
 * Trusts:     text that text_scan() accepted.
 * Owns:       json_doc.slots, a table that grows with the largest object.
 * Invariants: the seed is random for each document and never leaves, so keys
 *             cannot be chosen to collide; a hash is over the decoded text, so
 *             "a" and "\u0061" are the same key.
 * See:        SipHash-1-3, Aumasson and Bernstein 2012.
 */
#include <stdlib.h>

#include "internal.h"

#define PAIRWISE_MAX 8 /* members; objects up to this size need no table */

static struct status unique_pairwise(struct json_doc *d, uint32_t obj, uint32_t *ret_dup);
static struct status unique_table(struct json_doc *d, uint32_t obj, uint32_t *ret_dup);
static struct status slots_ready(struct json_doc *d, uint32_t members, uint32_t *ret_mask);
static bool same_key(const struct json_doc *d, uint32_t a, uint32_t b);
static uint64_t fold_word(uint64_t w);

static inline uint64_t
rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

void
sip_init(struct sip *s, const uint64_t seed[2])
{
	s->v[0] = seed[0] ^ 0x736f6d6570736575ULL;
	s->v[1] = seed[1] ^ 0x646f72616e646f6dULL;
	s->v[2] = seed[0] ^ 0x6c7967656e657261ULL;
	s->v[3] = seed[1] ^ 0x7465646279746573ULL;
	s->len = 0;
}

void
sip_word(struct sip *s, uint64_t w)
{
	s->v[3] ^= w;
	sip_round(s->v);
	s->v[0] ^= w;
	s->len += 8;
}

uint64_t
sip_done(struct sip *s, uint64_t last, size_t last_len)
{
	assert(last_len < 8);
	sip_word(s, last | (s->len + last_len) << 56);
	s->v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(s->v);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

uint64_t
key_hash(const uint64_t seed[2], struct span raw, bool escaped, bool fold)
{
	struct text_reader r = text_reader(raw);
	uint64_t w = 0;
	size_t n = 0;
	uint8_t c;
	struct sip s;

	sip_init(&s, seed);
	if (!escaped) {
		for (; raw.len >= 8; raw = span_of(raw.ptr + 8, raw.len - 8)) {
			memcpy(&w, raw.ptr, 8);
			sip_word(&s, fold ? fold_word(w) : w);
		}
		w = 0;
		if (raw.len > 0)
			memcpy(&w, raw.ptr, raw.len);
		return sip_done(&s, fold ? fold_word(w) : w, raw.len);
	}
	while (text_next_byte(&r, &c)) {
		w |= (uint64_t)c << (8 * n);
		if (++n < 8)
			continue;
		sip_word(&s, fold ? fold_word(w) : w);
		w = 0;
		n = 0;
	}
	return sip_done(&s, fold ? fold_word(w) : w, n);
}

/* Eight bytes at once: A–Z to a–z, all else as it is. */
static uint64_t
fold_word(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101ULL;
	uint64_t low7 = w & (ones * 0x7f);
	uint64_t from_a = low7 + ones * (0x80 - 'A');
	uint64_t above_z = low7 + ones * (0x7f - 'Z');
	uint64_t upper = from_a & ~above_z & ~w & (ones * 0x80);

	return w | upper >> 2;
}

struct status
keys_unique(struct json_doc *d, uint32_t obj, uint32_t *ret_dup)
{
	if (d->tok[obj].size <= PAIRWISE_MAX)
		return unique_pairwise(d, obj, ret_dup);
	return unique_table(d, obj, ret_dup);
}

static struct status
unique_pairwise(struct json_doc *d, uint32_t obj, uint32_t *ret_dup)
{
	uint32_t keys[PAIRWISE_MAX];
	uint32_t n = 0;

	for (uint32_t key = obj + 1; n < d->tok[obj].size; key = d->tok[key + 1].next) {
		for (uint32_t i = 0; i < n; i++) {
			if (!same_key(d, keys[i], key))
				continue;
			*ret_dup = key;
			return fail(E_EXISTS);
		}
		keys[n++] = key;
	}
	return OK;
}

static struct status
unique_table(struct json_doc *d, uint32_t obj, uint32_t *ret_dup)
{
	uint32_t n = d->tok[obj].size;
	uint32_t key = obj + 1;
	uint32_t mask;

	TRY(slots_ready(d, n, &mask));
	for (uint32_t i = 0; i < n; i++, key = d->tok[key + 1].next) {
		uint32_t at = d->tok[key].size & mask;

		/* 0 is free: the token of a key is never the first. */
		for (; d->slots[at] != 0; at = (at + 1) & mask) {
			if (!same_key(d, d->slots[at], key))
				continue;
			*ret_dup = key;
			return fail(E_EXISTS);
		}
		d->slots[at] = key;
	}
	return OK;
}

/* An empty table at most half full with `members`. */
static struct status
slots_ready(struct json_doc *d, uint32_t members, uint32_t *ret_mask)
{
	uint32_t need = 4 * PAIRWISE_MAX;

	while (need < members * 2)
		need *= 2;
	if (need > d->slot_cap) {
		uint32_t *slots = realloc(d->slots, need * sizeof(*slots));

		if (slots == NULL)
			return fail(E_NOMEM);
		d->slots = slots;
		d->slot_cap = need;
	}
	memset(d->slots, 0, need * sizeof(*d->slots));
	*ret_mask = need - 1;
	return OK;
}

static bool
same_key(const struct json_doc *d, uint32_t a, uint32_t b)
{
	return d->tok[a].size == d->tok[b].size && text_eq(text_raw(d, a), text_raw(d, b), true);
}
