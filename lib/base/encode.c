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

struct status
base64url_encode(struct span in, struct buf *out)
{
	size_t len_before = out->len;

	TRY(base64_encode(in, out));
	while (out->len > len_before && out->ptr[out->len - 1] == '=')
		out->len--;
	for (size_t i = len_before; i < out->len; i++) {
		if (out->ptr[i] == '+')
			out->ptr[i] = '-';
		else if (out->ptr[i] == '/')
			out->ptr[i] = '_';
	}
	return OK;
}

/* A digit of the other alphabet is none of this one. */
static uint8_t
base64_from_url(uint8_t c)
{
	if (c == '-')
		return '+';
	if (c == '_')
		return '/';
	return c == '+' || c == '/' || c == '=' ? '!' : c;
}

struct status
base64url_decode(struct span in, struct buf *out)
{
	size_t len_before = out->len;

	if (in.len % 4 == 1)
		return fail(E_SYNTAX);
	TRY(buf_reserve(out, in.len / 4 * 3 + 3));
	for (size_t i = 0; i < in.len; i += 4) {
		uint8_t quantum[4] = { '=', '=', '=', '=' };
		size_t n = in.len - i < 4 ? in.len - i : 4;
		struct status st;

		for (size_t k = 0; k < n; k++)
			quantum[k] = base64_from_url(in.ptr[i + k]);
		st = base64_quantum(quantum, 4 - n, out);
		if (!is_ok(st)) {
			out->len = len_before;
			return st;
		}
	}
	return OK;
}

static int
percent_digit(uint8_t c)
{
	return hex_value(c >= 'A' && c <= 'F' ? c | 0x20 : c);
}

struct status
percent_encode(struct span in, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i];
		const uint8_t text[3] = { '%', (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15] };
		bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			     (c >= 'a' && c <= 'z') || (c != '\0' && strchr("-._~", c) != NULL);

		TRY(plain ? buf_put_u8(out, c) : buf_put(out, text, sizeof(text)));
	}
	return OK;
}

struct status
percent_decode(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i];

		if (c == '%') {
			int high = in.len - i < 3 ? -1 : percent_digit(in.ptr[i + 1]),
			    low = in.len - i < 3 ? -1 : percent_digit(in.ptr[i + 2]);

			if (high < 0 || low < 0)
				return fail(E_SYNTAX);
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		TRY(buf_put_u8(out, c));
	}
	return OK;
}

/* CRC-32 of each byte: polynomial 0xedb88320, reflected. */
static const uint32_t crc32_table[256] = { 0x00000000, 0x77073096, 0xee0e612c, 0x990951ba,
	0x076dc419, 0x706af48f, 0xe963a535, 0x9e6495a3, 0x0edb8832, 0x79dcb8a4, 0xe0d5e91e,
	0x97d2d988, 0x09b64c2b, 0x7eb17cbd, 0xe7b82d07, 0x90bf1d91, 0x1db71064, 0x6ab020f2,
	0xf3b97148, 0x84be41de, 0x1adad47d, 0x6ddde4eb, 0xf4d4b551, 0x83d385c7, 0x136c9856,
	0x646ba8c0, 0xfd62f97a, 0x8a65c9ec, 0x14015c4f, 0x63066cd9, 0xfa0f3d63, 0x8d080df5,
	0x3b6e20c8, 0x4c69105e, 0xd56041e4, 0xa2677172, 0x3c03e4d1, 0x4b04d447, 0xd20d85fd,
	0xa50ab56b, 0x35b5a8fa, 0x42b2986c, 0xdbbbc9d6, 0xacbcf940, 0x32d86ce3, 0x45df5c75,
	0xdcd60dcf, 0xabd13d59, 0x26d930ac, 0x51de003a, 0xc8d75180, 0xbfd06116, 0x21b4f4b5,
	0x56b3c423, 0xcfba9599, 0xb8bda50f, 0x2802b89e, 0x5f058808, 0xc60cd9b2, 0xb10be924,
	0x2f6f7c87, 0x58684c11, 0xc1611dab, 0xb6662d3d, 0x76dc4190, 0x01db7106, 0x98d220bc,
	0xefd5102a, 0x71b18589, 0x06b6b51f, 0x9fbfe4a5, 0xe8b8d433, 0x7807c9a2, 0x0f00f934,
	0x9609a88e, 0xe10e9818, 0x7f6a0dbb, 0x086d3d2d, 0x91646c97, 0xe6635c01, 0x6b6b51f4,
	0x1c6c6162, 0x856530d8, 0xf262004e, 0x6c0695ed, 0x1b01a57b, 0x8208f4c1, 0xf50fc457,
	0x65b0d9c6, 0x12b7e950, 0x8bbeb8ea, 0xfcb9887c, 0x62dd1ddf, 0x15da2d49, 0x8cd37cf3,
	0xfbd44c65, 0x4db26158, 0x3ab551ce, 0xa3bc0074, 0xd4bb30e2, 0x4adfa541, 0x3dd895d7,
	0xa4d1c46d, 0xd3d6f4fb, 0x4369e96a, 0x346ed9fc, 0xad678846, 0xda60b8d0, 0x44042d73,
	0x33031de5, 0xaa0a4c5f, 0xdd0d7cc9, 0x5005713c, 0x270241aa, 0xbe0b1010, 0xc90c2086,
	0x5768b525, 0x206f85b3, 0xb966d409, 0xce61e49f, 0x5edef90e, 0x29d9c998, 0xb0d09822,
	0xc7d7a8b4, 0x59b33d17, 0x2eb40d81, 0xb7bd5c3b, 0xc0ba6cad, 0xedb88320, 0x9abfb3b6,
	0x03b6e20c, 0x74b1d29a, 0xead54739, 0x9dd277af, 0x04db2615, 0x73dc1683, 0xe3630b12,
	0x94643b84, 0x0d6d6a3e, 0x7a6a5aa8, 0xe40ecf0b, 0x9309ff9d, 0x0a00ae27, 0x7d079eb1,
	0xf00f9344, 0x8708a3d2, 0x1e01f268, 0x6906c2fe, 0xf762575d, 0x806567cb, 0x196c3671,
	0x6e6b06e7, 0xfed41b76, 0x89d32be0, 0x10da7a5a, 0x67dd4acc, 0xf9b9df6f, 0x8ebeeff9,
	0x17b7be43, 0x60b08ed5, 0xd6d6a3e8, 0xa1d1937e, 0x38d8c2c4, 0x4fdff252, 0xd1bb67f1,
	0xa6bc5767, 0x3fb506dd, 0x48b2364b, 0xd80d2bda, 0xaf0a1b4c, 0x36034af6, 0x41047a60,
	0xdf60efc3, 0xa867df55, 0x316e8eef, 0x4669be79, 0xcb61b38c, 0xbc66831a, 0x256fd2a0,
	0x5268e236, 0xcc0c7795, 0xbb0b4703, 0x220216b9, 0x5505262f, 0xc5ba3bbe, 0xb2bd0b28,
	0x2bb45a92, 0x5cb36a04, 0xc2d7ffa7, 0xb5d0cf31, 0x2cd99e8b, 0x5bdeae1d, 0x9b64c2b0,
	0xec63f226, 0x756aa39c, 0x026d930a, 0x9c0906a9, 0xeb0e363f, 0x72076785, 0x05005713,
	0x95bf4a82, 0xe2b87a14, 0x7bb12bae, 0x0cb61b38, 0x92d28e9b, 0xe5d5be0d, 0x7cdcefb7,
	0x0bdbdf21, 0x86d3d2d4, 0xf1d4e242, 0x68ddb3f8, 0x1fda836e, 0x81be16cd, 0xf6b9265b,
	0x6fb077e1, 0x18b74777, 0x88085ae6, 0xff0f6a70, 0x66063bca, 0x11010b5c, 0x8f659eff,
	0xf862ae69, 0x616bffd3, 0x166ccf45, 0xa00ae278, 0xd70dd2ee, 0x4e048354, 0x3903b3c2,
	0xa7672661, 0xd06016f7, 0x4969474d, 0x3e6e77db, 0xaed16a4a, 0xd9d65adc, 0x40df0b66,
	0x37d83bf0, 0xa9bcae53, 0xdebb9ec5, 0x47b2cf7f, 0x30b5ffe9, 0xbdbdf21c, 0xcabac28a,
	0x53b39330, 0x24b4a3a6, 0xbad03605, 0xcdd70693, 0x54de5729, 0x23d967bf, 0xb3667a2e,
	0xc4614ab8, 0x5d681b02, 0x2a6f2b94, 0xb40bbe37, 0xc30c8ea1, 0x5a05df1b, 0x2d02ef8d };

uint32_t
crc32_ieee(struct span in)
{
	uint32_t crc = 0xffffffffU;

	for (size_t i = 0; i < in.len; i++)
		crc = crc >> 8 ^ crc32_table[(crc ^ in.ptr[i]) & 0xff];
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
uuid7(struct rand_pool *pool, uint8_t out[UUID_LEN])
{
	uint64_t ms = clock_real_ns() / NS_PER_MS;

	TRY(rand_pool_take(pool, out, UUID_LEN));
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
