/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin.c: the parts of a configured URL.
 *
 * Runs in: broker. Trusts: the configuration, which was checked for its characters.
 * Owns: nothing. Invariants: what is not understood is refused, never guessed.
 * See: origin.h; RFC 3986 §3.
 */
#include "origin.h"

#include <arpa/inet.h>
#include <stdio.h>

#define PORT_HTTP 80
#define PORT_HTTPS 443

static bool
is_loopback(const char *host)
{
	struct in_addr four;
	struct in6_addr six;

	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &six) == 1)
		return IN6_IS_ADDR_LOOPBACK(&six);
	return strcmp(host, "localhost") == 0;
}

static struct status
take_scheme(struct span *rest, struct origin *o)
{
	if (span_starts(*rest, SPAN_LIT("https://"))) {
		o->tls = true;
		*rest = span_from(*rest, 8);
		return OK;
	}
	if (!span_starts(*rest, SPAN_LIT("http://")))
		return fail(E_SYNTAX);
	*rest = span_from(*rest, 7);
	return OK;
}

/* HOST or [IPv6]; what follows is left in `rest`. */
static struct status
take_host(struct span *rest, struct origin *o)
{
	bool six = rest->len > 0 && rest->ptr[0] == '[';
	size_t n = six, after;
	struct in6_addr addr;

	while (n < rest->len && (six ? rest->ptr[n] != ']' : strchr(":/", rest->ptr[n]) == NULL))
		n++;
	after = n + six;
	if (after > rest->len || n == six)
		return fail(E_SYNTAX);
	TRY(span_to_cstr(span_of(rest->ptr + six, n - six), o->host, sizeof(o->host)));
	*rest = span_from(*rest, after);
	for (char *p = o->host; *p != '\0'; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + 'a' - 'A');
	}
	return !six || inet_pton(AF_INET6, o->host, &addr) == 1 ? OK : fail(E_SYNTAX);
}

static struct status
take_port(struct span *rest, struct origin *o)
{
	uint64_t port = o->tls ? PORT_HTTPS : PORT_HTTP;
	size_t n = 1;

	if (rest->len > 0 && rest->ptr[0] == ':') {
		while (n < rest->len && rest->ptr[n] != '/')
			n++;
		TRY(span_u64(span_of(rest->ptr + 1, n - 1), UINT16_MAX, &port));
		if (port == 0)
			return fail(E_RANGE);
		*rest = span_from(*rest, n);
	}
	o->port = (uint16_t)port;
	return OK;
}

static struct status
put_authority(struct origin *o)
{
	bool usual = o->port == (o->tls ? PORT_HTTPS : PORT_HTTP);
	bool six = strchr(o->host, ':') != NULL;
	char port[8] = "";
	int n;

	if (!usual)
		(void)snprintf(port, sizeof(port), ":%u", o->port);
	n = snprintf(o->authority, sizeof(o->authority), "%s%s%s%s", six ? "[" : "", o->host,
	    six ? "]" : "", port);
	return n > 0 && (size_t)n < sizeof(o->authority) ? OK : fail(E_RANGE);
}

struct status
origin_parse(const char *url, struct origin *ret)
{
	struct span rest = span_str(url);
	struct origin o = { .port = 0 };

	TRY(take_scheme(&rest, &o));
	TRY(take_host(&rest, &o));
	TRY(take_port(&rest, &o));
	TRY(put_authority(&o));
	while (rest.len > 0 && rest.ptr[rest.len - 1] == '/')
		rest.len--;
	if (rest.len > 0 && rest.ptr[0] != '/')
		return fail(E_SYNTAX);
	TRY(span_to_cstr(rest, o.base, sizeof(o.base)));
	o.loopback = is_loopback(o.host);
	*ret = o;
	return OK;
}
