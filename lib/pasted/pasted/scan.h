/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PASTED_SCAN_H
#define PASTED_SCAN_H

/*
 * The places of a few byte values in a long text, 64 bytes at a time.
 */
#include <base/span.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define SCAN_BLOCK 64
/* With its caller's constants: that is where the speed comes from. */
#define SCAN_INLINE static inline __attribute__((always_inline))

struct scan {
	struct span text;
	size_t block;  /* where the next one begins */
	uint64_t hits; /* of the one before it */
};

SCAN_INLINE struct scan
scan_of(struct span text)
{
	return (struct scan){ .text = text };
}

SCAN_INLINE uint64_t
scan_slow(const uint8_t *p, size_t len, uint8_t mask, const uint8_t *set, size_t nset)
{
	uint64_t hits = 0;

	for (size_t i = 0; i < len; i++) {
		for (size_t k = 0; k < nset; k++)
			hits |= (uint64_t)((p[i] & mask) == set[k]) << i;
	}
	return hits;
}

#ifdef __SSE2__
SCAN_INLINE __m128i
scan_vector(const uint8_t *p, uint8_t mask, const uint8_t *set, size_t nset)
{
	__m128i v = _mm_loadu_si128((const void *)p);
	__m128i eq;

	if (mask != 0xff)
		v = _mm_and_si128(v, _mm_set1_epi8((char)mask));
	eq = _mm_cmpeq_epi8(v, _mm_set1_epi8((char)set[0]));
	if (nset > 1)
		eq = _mm_or_si128(eq, _mm_cmpeq_epi8(v, _mm_set1_epi8((char)set[1])));
	if (nset > 2)
		eq = _mm_or_si128(eq, _mm_cmpeq_epi8(v, _mm_set1_epi8((char)set[2])));
	if (nset > 3)
		eq = _mm_or_si128(eq, _mm_cmpeq_epi8(v, _mm_set1_epi8((char)set[3])));
	return eq;
}

SCAN_INLINE uint64_t
scan_bits(__m128i eq)
{
	return (uint16_t)_mm_movemask_epi8(eq);
}

/* Most blocks have none: that is found out with one branch. At most four values. */
SCAN_INLINE uint64_t
scan_block(const uint8_t *p, uint8_t mask, const uint8_t *set, size_t nset)
{
	const __m128i a = scan_vector(p, mask, set, nset), b = scan_vector(p + 16, mask, set, nset);
	const __m128i c = scan_vector(p + 32, mask, set, nset),
		      d = scan_vector(p + 48, mask, set, nset);

	if (_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))) == 0)
		return 0;
	return scan_bits(a) | scan_bits(b) << 16 | scan_bits(c) << 32 | scan_bits(d) << 48;
}
#else
SCAN_INLINE uint64_t
scan_block(const uint8_t *p, uint8_t mask, const uint8_t *set, size_t nset)
{
	return scan_slow(p, SCAN_BLOCK, mask, set, nset);
}
#endif

/*
 * The next byte that is one of `set`'s values but for the bits outside of `mask`; false: there is
 * none. Both are constants.
 */
SCAN_INLINE bool
scan_next(struct scan *s, uint8_t mask, const uint8_t *set, size_t nset, size_t *ret)
{
	while (s->hits == 0 && s->block + SCAN_BLOCK <= s->text.len) {
		s->hits = scan_block(s->text.ptr + s->block, mask, set, nset);
		s->block += SCAN_BLOCK;
	}
	if (s->hits == 0 && s->block < s->text.len) {
		s->hits = scan_slow(
		    s->text.ptr + s->block, s->text.len - s->block, mask, set, nset);
		s->block = s->text.len - s->text.len % SCAN_BLOCK + SCAN_BLOCK;
	}
	if (s->hits == 0)
		return false;
	*ret = s->block - SCAN_BLOCK + (size_t)__builtin_ctzll(s->hits);
	s->hits &= s->hits - 1;
	return true;
}

#endif
