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

struct json_writer;

struct style {
	/* The error object, whole answers and streams alike. E_FULL, E_NOMEM. */
	struct status (*put_error)(const struct request *r, enum error error, struct buf *out);
	/* GET /v1/models: names with '\n' between (style_next_name), and one of them. */
	void (*put_models)(struct json_writer *w, struct span names);
	void (*put_model)(struct json_writer *w, struct span name);
	/* Names of header fields; NULL: is not sent. x-request-id is sent always. */
	const char *request_id, *processing_ms;
	const char *rate_limit, *rate_remaining, *rate_reset;
	bool reset_is_date; /* RFC 3339, else like "12ms" */
};

extern const struct style style_openai; /* error.c */

/* models.c */
void models_put_openai(struct json_writer *w, struct span names);
void models_put_one_openai(struct json_writer *w, struct span name);
/* The next name of such a list, from its front. */
bool style_next_name(struct span *names, struct span *ret);

/* By path and header fields alone: whether a path exists is not told by it. */
const struct style *style_find(const struct http_request *http);

#endif
