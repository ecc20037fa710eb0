/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_ORIGIN_H
#define BROKER_ORIGIN_H

/* The parts of a configured URL. Pure. */
#include <base/span.h>

#define ORIGIN_HOST_MAX 247 /* with a port: UPSTREAM_HOST_MAX at most */
#define ORIGIN_BASE_MAX 255
#define ORIGIN_AUTHORITY_MAX (ORIGIN_HOST_MAX + 8)

struct origin {
	bool tls;
	bool loopback;                  /* names loopback literally */
	char host[ORIGIN_HOST_MAX + 1]; /* lower case; an IPv6 address without brackets */
	uint16_t port;
	char authority[ORIGIN_AUTHORITY_MAX + 1]; /* as in Host: the usual port is left out */
	char base[ORIGIN_BASE_MAX + 1];           /* path without the slash at its end */
};

/* http[s]://HOST[:PORT][/PATH]. E_SYNTAX, E_RANGE. */
MUST_USE struct status origin_parse(const char *url, struct origin *ret);

#endif
