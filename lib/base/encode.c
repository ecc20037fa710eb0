/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encode.c: hex, base64, base62, CRC-32 and UUIDv7.
 *
 * Runs in: every process. Trusts: nothing. Owns: a const CRC table.
 * Invariants: decoders accept exactly one text for each value.
 * See: base/encode.h; RFC 4648, RFC 9562.
 */
#include <base/encode.h>

#include <base/clock.h>
#include <base/rand.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base62_digits[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void
hex_encode(struct span in, char *out)
{
	for (size_t i = 0; i < in.len; i++) {
		out[2 * i] = hex_digits[in.ptr[i] >> 4];
		out[2 * i + 1] = hex_digits[in.ptr[i] & 15];
	}
}

static int
hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

struct status
hex_decode(struct span in, uint8_t *out, size_t out_len)
{
	if (in.len != 2 * out_len)
		return fail(E_SYNTAX);
	for (size_t i = 0; i < out_len; i++) {
		int high = hex_value(in.ptr[2 * i]), low = hex_value(in.ptr[2 * i + 1]);

		if (high < 0 || low < 0)
			return fail(E_SYNTAX);
		out[i] = (uint8_t)(high << 4 | low);
	}
	return OK;
}

struct status
base64_encode(struct span in, struct buf *out)
{
	uint8_t *p;

	if (in.len > SIZE_MAX / 2)
		return fail(E_RANGE);
	TRY(buf_reserve(out, (in.len + 2) / 3 * 4));
	p = out->ptr + out->len;
	for (size_t i = 0; i < in.len; i += 3) {
		size_t n = in.len - i < 3 ? in.len - i : 3;
		uint32_t v = (uint32_t)in.ptr[i] << 16;

		v |= n > 1 ? (uint32_t)in.ptr[i + 1] << 8 : 0;
		v |= n > 2 ? (uint32_t)in.ptr[i + 2] : 0;
		*p++ = (uint8_t)base64_digits[v >> 18];
		*p++ = (uint8_t)base64_digits[v >> 12 & 63];
		*p++ = n > 1 ? (uint8_t)base64_digits[v >> 6 & 63] : '=';
		*p++ = n > 2 ? (uint8_t)base64_digits[v & 63] : '=';
	}
	out->len += (in.len + 2) / 3 * 4;
	return OK;
}

static int
base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* One quantum; `pad` is the number of '=' in it. Trailing bits must be zero. */
static struct status
base64_quantum(const uint8_t *in, size_t pad, struct buf *out)
{
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int digit = i < 4 - pad ? base64_value(in[i]) : 0;

		if (digit < 0 || (i >= 4 - pad && in[i] != '='))
			return fail(E_SYNTAX);
		v = v << 6 | (uint32_t)digit;
	}
	if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0))
		return fail(E_SYNTAX);
	uint8_t bytes[3] = { (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	return buf_put(out, bytes, 3 - pad);
}

struct status
base64_decode(struct span in, struct buf *out)
{
	size_t len_before = out->len;

	if (in.len % 4 != 0)
		return fail(E_SYNTAX);
	TRY(buf_reserve(out, in.len / 4 * 3));
	for (size_t i = 0; i < in.len; i += 4) {
		bool last = i + 4 == in.len;
		size_t pad = 0;
		struct status st;

		if (last && in.ptr[i + 3] == '=')
			pad = in.ptr[i + 2] == '=' ? 2 : 1;
		st = base64_quantum(in.ptr + i, pad, out);
		if (!is_ok(st)) {
			out->len = len_before;
			return st;
		}
	}
	return OK;
}

uint32_t
crc32_ieee(struct span in)
{
	uint32_t crc = 0xffffffffU;

	for (size_t i = 0; i < in.len; i++) {
		crc ^= in.ptr[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320U & (0U - (crc & 1)));
	}
	return ~crc;
}

void
base62_u64(uint64_t value, char *out, size_t digits)
{
	for (size_t i = digits; i > 0; i--) {
		out[i - 1] = base62_digits[value % 62];
		value /= 62;
	}
}

struct status
uuid7(uint8_t out[UUID_LEN])
{
	uint64_t ms = clock_real_ns() / NS_PER_MS;

	TRY(rand_bytes(out, UUID_LEN));
	for (int i = 5; i >= 0; i--) {
		out[i] = (uint8_t)ms;
		ms >>= 8;
	}
	out[6] = (uint8_t)(0x70 | (out[6] & 0x0f));
	out[8] = (uint8_t)(0x80 | (out[8] & 0x3f));
	return OK;
}

void
uuid_text(const uint8_t id[UUID_LEN], char out[UUID_TEXT_LEN + 1])
{
	size_t at = 0;

	for (size_t i = 0; i < UUID_LEN; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[at++] = '-';
		hex_encode(span_of(id + i, 1), out + at);
		at += 2;
	}
	out[at] = '\0';
}
