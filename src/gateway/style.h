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
	void (*put_models)(const struct request *r, struct json_writer *w, struct span names);
	/* Writes nothing where it is not to be had in this style. */
	void (*put_model)(const struct request *r, struct json_writer *w, struct span name);
	/* The status that goes with it; NULL: that of the table. */
	uint16_t (*status)(enum error error);
	/* What the request's head has for the provider, kept with its call; NULL: nothing. */
	enum error (*read_head)(struct request *r);
	/* Names of header fields; NULL: is not sent. x-request-id is sent always. */
	const char *request_id, *processing_ms;
	const char *rate_limit, *rate_remaining, *rate_reset;
	bool reset_is_date; /* RFC 3339, else like "12ms" */
};

extern const struct style style_openai;    /* error.c */
extern const struct style style_anthropic; /* messages_error.c */

/* models.c */
void models_put_openai(const struct request *r, struct json_writer *w, struct span names);
void models_put_one_openai(const struct request *r, struct json_writer *w, struct span name);
/* messages_models.c */
void messages_put_models(const struct request *r, struct json_writer *w, struct span names);
void messages_put_model(const struct request *r, struct json_writer *w, struct span name);
enum error messages_models_query(struct request *r); /* keeps it, if it is one */
/* The next name of such a list, from its front. */
bool style_next_name(struct span *names, struct span *ret);

/* By path and header fields alone: whether a path exists is not told by it. */
const struct style *style_find(const struct http_request *http);

#endif
