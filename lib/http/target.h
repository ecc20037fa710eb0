/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

/* Inside lib/http only: the request target and the host. */
#include <base/span.h>

struct target {
	bool bad;              /* well formed, but none that is ever served: the rest is empty */
	struct span path;      /* decoded, in place */
	size_t slash_at;       /* in it: the first '/' that was encoded; 0: none was */
	struct span query;     /* as received */
	struct span authority; /* of an absolute-form; else empty */
};

struct http_request;

/* `raw` is rewritten in place. False: not a target (400). */
bool http_target_parse(uint8_t *raw, size_t len, struct target *ret);
/* The members of a request that say what its target is. */
void http_target_put(const struct target *t, struct http_request *req);
/* RFC 3986 §3.1. */
bool http_scheme_ok(struct span s);
/* uri-host [":" port] without user information (RFC 9110 §7.2). */
bool http_authority_ok(struct span s);
/* A path and query that may be sent: printable, begins with '/'. */
bool http_target_ok(struct span s);

#endif
