/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_STYLE_H
#define GATEWAY_STYLE_H

/*
 * How one vendor's API words its errors and heads, whatever the endpoint. A request
 * has a style before it has a route: what is refused is refused in the words that
 * its client reads.
 */
#include <http/http.h>
#include <wire/errors.h>

struct request;

struct style {
	/* The error object, whole answers and streams alike. E_FULL, E_NOMEM. */
	struct status (*put_error)(const struct request *r, enum error error, struct buf *out);
	/* Names of header fields; NULL: is not sent. x-request-id is sent always. */
	const char *request_id, *processing_ms;
	const char *rate_limit, *rate_remaining, *rate_reset;
	bool reset_is_date; /* RFC 3339, else like "12ms" */
};

extern const struct style style_openai; /* error.c */

/* By path and header fields alone: whether a path exists is not told by it. */
const struct style *style_find(const struct http_request *http);

#endif
