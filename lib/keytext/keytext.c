/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keytext.c: form, checksum and creation of API keys; the form of signed tokens.
 *
 * Runs in: gateway, authority, CLI. Trusts: nothing. Owns: nothing.
 * Invariants: a created key passes keytext_ok(); digits are drawn without
 * modulo bias (bytes of 248 and above are thrown away: 248 = 4 * 62).
 * See: keytext/keytext.h.
 */
#include <keytext/keytext.h>

#include <base/encode.h>
#include <base/rand.h>

#define DIGITS 62
#define BYTE_BOUND (256 / DIGITS * DIGITS)
#define CRC_AT (KEYTEXT_LEN - KEYTEXT_CRC_LEN)
#define ID_AT KEYTEXT_PREFIX_LEN
#define MARK_AT (ID_AT + KEYTEXT_ID_LEN)

_Static_assert(KEYTEXT_LEN == 65, "a key has 65 bytes");

static bool is_base62(struct span s);
static bool is_base62_digit(uint8_t c);
static struct status random_digits(uint8_t *out, size_t len);

bool
keytext_ok(struct span text)
{
	char crc[KEYTEXT_CRC_LEN];

	if (text.len != KEYTEXT_LEN || !span_starts(text, SPAN_LIT(KEYTEXT_PREFIX)) ||
	    text.ptr[MARK_AT] != '_')
		return false;
	if (!is_base62(span_of(text.ptr + ID_AT, KEYTEXT_ID_LEN)) ||
	    !is_base62(span_from(text, MARK_AT + 1)))
		return false;
	base62_u64(crc32_ieee(span_of(text.ptr, CRC_AT)), crc, sizeof(crc));
	return span_eq(span_from(text, CRC_AT), span_of(crc, sizeof(crc)));
}

struct span
keytext_id(struct span text)
{
	return span_of(text.ptr + ID_AT, KEYTEXT_ID_LEN);
}

bool
keytext_id_ok(struct span id)
{
	return id.len == KEYTEXT_ID_LEN && is_base62(id);
}

bool
keytext_is_token(struct span text)
{
	size_t part_len = 0, dots = 0;

	if (text.len > KEYTEXT_TOKEN_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if (c == '.' && (part_len == 0 || ++dots > 2))
			return false;
		if (c != '.' && c != '-' && c != '_' && !is_base62_digit(c))
			return false;
		part_len = c == '.' ? 0 : part_len + 1;
	}
	return dots == 2 && part_len > 0;
}

struct status
keytext_create(uint8_t out[KEYTEXT_LEN])
{
	char crc[KEYTEXT_CRC_LEN];

	memcpy(out, KEYTEXT_PREFIX, KEYTEXT_PREFIX_LEN);
	TRY(random_digits(out + ID_AT, KEYTEXT_ID_LEN));
	out[MARK_AT] = '_';
	TRY(random_digits(out + MARK_AT + 1, KEYTEXT_SECRET_LEN));
	base62_u64(crc32_ieee(span_of(out, CRC_AT)), crc, sizeof(crc));
	memcpy(out + CRC_AT, crc, sizeof(crc));
	return OK;
}

static bool
is_base62_digit(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_base62(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_base62_digit(s.ptr[i]))
			return false;
	}
	return true;
}

static struct status
random_digits(uint8_t *out, size_t len)
{
	uint8_t pool[64];

	for (size_t done = 0; done < len;) {
		TRY(rand_bytes(pool, sizeof(pool)));
		for (size_t i = 0; i < sizeof(pool) && done < len; i++) {
			if (pool[i] < BYTE_BOUND)
				base62_u64(pool[i] % DIGITS, (char *)&out[done++], 1);
		}
	}
	explicit_bzero(pool, sizeof(pool));
	return OK;
}
