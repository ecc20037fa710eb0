/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

/*
 * What an IP address is for (IANA's special-purpose registries, RFC 6890 and
 * its successors). Whatever is not known to be public is not.
 */
#include <netinet/in.h>
#include <stdbool.h>

enum address_class {
	ADDRESS_PUBLIC,
	ADDRESS_LOOPBACK, /* 127.0.0.0/8, ::1 */
	ADDRESS_PRIVATE,  /* RFC 1918, unique local, shared (RFC 6598), NAT64 of a public one */
	ADDRESS_METADATA, /* link-local, and where clouds serve instance credentials */
	ADDRESS_BAD,      /* all else: multicast, unspecified, reserved, IPv4 in disguise … */
	ADDRESS_CLASS_COUNT,
};
#define ADDRESS_BIT(class) (1U << (class))

enum address_class address_class4(const struct in_addr *a);
enum address_class address_class6(const struct in6_addr *a);
/* AF_INET or AF_INET6; any other family is ADDRESS_BAD. */
enum address_class address_class(const struct sockaddr *sa);

#endif
