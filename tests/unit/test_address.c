/* SPDX-License-Identifier: Apache-2.0 */
/* lib/base address: what an IP address is for. */
#include "unit.h"

#include <arpa/inet.h>

#include <base/address.h>

static const struct {
	const char *text;
	enum address_class class;
} rows[] = {
	{ "1.1.1.1", ADDRESS_PUBLIC },
	{ "8.8.8.8", ADDRESS_PUBLIC },
	{ "172.15.255.255", ADDRESS_PUBLIC },
	{ "172.32.0.0", ADDRESS_PUBLIC },
	{ "223.255.255.255", ADDRESS_PUBLIC },
	{ "127.0.0.1", ADDRESS_LOOPBACK },
	{ "127.255.255.255", ADDRESS_LOOPBACK },
	{ "10.0.0.1", ADDRESS_PRIVATE },
	{ "172.16.0.1", ADDRESS_PRIVATE },
	{ "172.31.255.255", ADDRESS_PRIVATE },
	{ "192.168.1.1", ADDRESS_PRIVATE },
	{ "100.64.0.1", ADDRESS_PRIVATE },
	{ "100.127.255.255", ADDRESS_PRIVATE },
	{ "169.254.169.254", ADDRESS_METADATA },
	{ "169.254.170.2", ADDRESS_METADATA },
	{ "100.100.100.200", ADDRESS_METADATA },
	{ "168.63.129.16", ADDRESS_METADATA },
	{ "0.0.0.0", ADDRESS_BAD },
	{ "0.1.2.3", ADDRESS_BAD },
	{ "192.0.0.192", ADDRESS_BAD },
	{ "192.0.2.1", ADDRESS_BAD },
	{ "192.88.99.1", ADDRESS_BAD },
	{ "198.18.0.1", ADDRESS_BAD },
	{ "198.19.255.255", ADDRESS_BAD },
	{ "203.0.113.9", ADDRESS_BAD },
	{ "224.0.0.1", ADDRESS_BAD },
	{ "240.0.0.1", ADDRESS_BAD },
	{ "255.255.255.255", ADDRESS_BAD },
	{ "2606:4700::6810:84e5", ADDRESS_PUBLIC },
	{ "2a00:1450::1", ADDRESS_PUBLIC },
	{ "2001:200::1", ADDRESS_PUBLIC },
	{ "::1", ADDRESS_LOOPBACK },
	{ "fc00::1", ADDRESS_PRIVATE },
	{ "fd12:3456::1", ADDRESS_PRIVATE },
	{ "64:ff9b::8.8.8.8", ADDRESS_PRIVATE },
	{ "fd00:ec2::254", ADDRESS_METADATA },
	{ "fd20:ce::254", ADDRESS_METADATA },
	{ "fe80::1", ADDRESS_METADATA },
	{ "febf::1", ADDRESS_METADATA },
	{ "::", ADDRESS_BAD },
	{ "::2", ADDRESS_BAD },
	{ "::127.0.0.1", ADDRESS_BAD },
	{ "::ffff:127.0.0.1", ADDRESS_BAD },
	{ "::ffff:169.254.169.254", ADDRESS_BAD },
	{ "::ffff:8.8.8.8", ADDRESS_BAD },
	{ "64:ff9b::169.254.169.254", ADDRESS_BAD },
	{ "64:ff9b::127.0.0.1", ADDRESS_BAD },
	{ "64:ff9b::10.0.0.1", ADDRESS_BAD },
	{ "64:ff9b:1::8.8.8.8", ADDRESS_BAD },
	{ "2002:7f00:1::", ADDRESS_BAD },
	{ "2002:808:808::1", ADDRESS_BAD },
	{ "2001::1", ADDRESS_BAD },
	{ "2001:db8::1", ADDRESS_BAD },
	{ "3fff::1", ADDRESS_BAD },
	{ "fec0::1", ADDRESS_BAD },
	{ "ff02::1", ADDRESS_BAD },
	{ "4000::1", ADDRESS_BAD },
	{ "100::1", ADDRESS_BAD },
};

static void
addresses_have_a_class(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sockaddr_in in = { .sin_family = AF_INET };
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
		const struct sockaddr *sa = (const struct sockaddr *)&in;

		if (inet_pton(AF_INET, rows[i].text, &in.sin_addr) != 1) {
			assert_int_equal(inet_pton(AF_INET6, rows[i].text, &in6.sin6_addr), 1);
			sa = (const struct sockaddr *)&in6;
		}
		if (address_class(sa) != rows[i].class)
			print_error("%s\n", rows[i].text);
		assert_int_equal(address_class(sa), rows[i].class);
	}
}

static void
other_families_are_bad(void **state)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNIX };

	(void)state;
	assert_int_equal(address_class((struct sockaddr *)&ss), ADDRESS_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_have_a_class),
		cmocka_unit_test(other_families_are_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
