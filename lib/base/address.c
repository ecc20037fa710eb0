/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.c: what an IP address is for.
 *
 * Runs in: broker. Trusts: nothing: addresses come from DNS.
 * Owns: const tables. Invariants: the first row that matches decides; an IPv6 address is public
 * only inside 2000::/3, and only where no row says otherwise; what carries an IPv4 address is
 * never public.
 * See: base/address.h; IANA IPv4 and IPv6 Special-Purpose Address Registries; RFC 6052.
 */
#include <base/address.h>

#include <stdint.h>
#include <string.h>

static const struct {
	uint8_t prefix[4];
	uint8_t bits;
	uint8_t class;
} rows4[] = {
	{ { 127, 0, 0, 0 }, 8, ADDRESS_LOOPBACK }, { { 169, 254, 0, 0 }, 16, ADDRESS_METADATA },
	{ { 100, 100, 100, 200 }, 32, ADDRESS_METADATA }, /* a cloud's, in the shared range */
	{ { 168, 63, 129, 16 }, 32, ADDRESS_METADATA },   /* a cloud's, in a public range */
	{ { 10, 0, 0, 0 }, 8, ADDRESS_PRIVATE }, { { 172, 16, 0, 0 }, 12, ADDRESS_PRIVATE },
	{ { 192, 168, 0, 0 }, 16, ADDRESS_PRIVATE }, { { 100, 64, 0, 0 }, 10, ADDRESS_PRIVATE },
	{ { 0, 0, 0, 0 }, 8, ADDRESS_BAD }, { { 192, 0, 0, 0 }, 24, ADDRESS_BAD },
	{ { 192, 0, 2, 0 }, 24, ADDRESS_BAD }, { { 192, 31, 196, 0 }, 24, ADDRESS_BAD },
	{ { 192, 52, 193, 0 }, 24, ADDRESS_BAD }, { { 192, 88, 99, 0 }, 24, ADDRESS_BAD },
	{ { 192, 175, 48, 0 }, 24, ADDRESS_BAD }, { { 198, 18, 0, 0 }, 15, ADDRESS_BAD },
	{ { 198, 51, 100, 0 }, 24, ADDRESS_BAD }, { { 203, 0, 113, 0 }, 24, ADDRESS_BAD },
	{ { 224, 0, 0, 0 }, 3, ADDRESS_BAD }, /* multicast, reserved, broadcast */
};

/* Only within these rows; all else outside 2000::/3 is bad. */
static const struct {
	uint8_t prefix[16];
	uint8_t bits;
	uint8_t class;
} rows6[] = {
	{ { [15] = 1 }, 128, ADDRESS_LOOPBACK },
	{ { 0xfe, 0x80 }, 10, ADDRESS_METADATA },
	{ { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 }, 128, ADDRESS_METADATA },
	{ { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54 }, 128, ADDRESS_METADATA },
	{ { 0xfc }, 7, ADDRESS_PRIVATE },
	{ { 0x20, 0x01, 0x00 }, 23, ADDRESS_BAD },             /* Teredo, ORCHID, benchmarks … */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDRESS_BAD },       /* documentation */
	{ { 0x20, 0x02 }, 16, ADDRESS_BAD },                   /* 6to4 */
	{ { 0x26, 0x20, 0x00, 0x4f, 0x80 }, 48, ADDRESS_BAD }, /* AS112 */
	{ { 0x3f, 0xfe }, 16, ADDRESS_BAD },
	{ { 0x3f, 0xff }, 20, ADDRESS_BAD }, /* documentation */
	{ { 0x20 }, 3, ADDRESS_PUBLIC },
};

static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

static bool
in_prefix(const uint8_t *a, const uint8_t *prefix, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, prefix, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

enum address_class
address_class4(const struct in_addr *a)
{
	uint8_t b[4];

	memcpy(b, a, sizeof(b));
	for (size_t i = 0; i < sizeof(rows4) / sizeof(rows4[0]); i++) {
		if (in_prefix(b, rows4[i].prefix, rows4[i].bits))
			return (enum address_class)rows4[i].class;
	}
	return ADDRESS_PUBLIC;
}

enum address_class
address_class6(const struct in6_addr *a)
{
	const uint8_t *b = a->s6_addr;
	struct in_addr inner;

	if (in_prefix(b, nat64, 96)) {
		memcpy(&inner, b + 12, sizeof(inner));
		return address_class4(&inner) == ADDRESS_PUBLIC ? ADDRESS_PRIVATE : ADDRESS_BAD;
	}
	for (size_t i = 0; i < sizeof(rows6) / sizeof(rows6[0]); i++) {
		if (in_prefix(b, rows6[i].prefix, rows6[i].bits))
			return (enum address_class)rows6[i].class;
	}
	return ADDRESS_BAD;
}

enum address_class
address_class(const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		return address_class4(&in.sin_addr);
	}
	if (sa->sa_family != AF_INET6)
		return ADDRESS_BAD;
	memcpy(&in6, sa, sizeof(in6));
	return address_class6(&in6.sin6_addr);
}
