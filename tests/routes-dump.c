/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes-dump: the routes of the public API, one a line with tabs between: method, path,
 * endpoint, and the title of what the body is checked by. For tests/system/test_openapi.py.
 */
#include <routes.h>
#include <stdio.h>

#include <base/span.h>
#include <wire/endpoint.h>

static struct span
title_of(const struct route *route)
{
	static const char mark[] = "\"title\":\"";
	struct span s = route->schema == NULL ? SPAN_EMPTY : *route->schema;
	const uint8_t *at = s.len == 0 ? NULL : memmem(s.ptr, s.len, mark, sizeof(mark) - 1);

	if (at == NULL)
		return SPAN_LIT("-");
	s = span_from(s, (size_t)(at - s.ptr) + sizeof(mark) - 1);
	return span_of(s.ptr, (size_t)((const uint8_t *)memchr(s.ptr, '"', s.len) - s.ptr));
}

int
main(void)
{
	for (size_t i = 0; i < routes_count; i++)
		printf("%s\t%s\t%s\t%.*s\n", routes[i].method, routes[i].path,
		    endpoint_rows[routes[i].endpoint].name, SPAN_FMT(title_of(&routes[i])));
	return 0;
}
