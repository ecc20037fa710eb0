/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.c: the table of the public API.
 *
 * Runs in: gateway. Trusts: nothing; the path comes decoded once, from the one
 * parser, and is compared whole.
 * Owns: nothing. Invariants: one row a method and path; what is not here is 404. Paths with
 * a parameter come after those without.
 * See: docs/api.md; tests/unit/test_gateway_chat.c and tests/system/test_gateway.py walk it.
 */
#include "routes.h"

#include "dialect.h"
#include "style.h"

const struct route routes[] = {
	{ "POST", "/v1/chat/completions", ENDPOINT_CHAT, &schema_chat, &dialect_chat, loop_run },
	{ "POST", "/v1/responses", ENDPOINT_RESPONSES, &schema_responses, &dialect_responses,
	    loop_run },
	{ "POST", "/v1/embeddings", ENDPOINT_EMBEDDINGS, &schema_embeddings, &dialect_embeddings,
	    loop_run },
	{ "POST", "/v1/messages", ENDPOINT_MESSAGES, &schema_messages, &dialect_messages,
	    loop_run },
	{ "POST", "/v1/messages/count_tokens", ENDPOINT_COUNT_TOKENS, &schema_count_tokens,
	    &dialect_count_tokens, loop_run },
	{ "GET", "/v1/models", ENDPOINT_MODELS, NULL, NULL, models_run },
	{ "GET", "/v1/models/", ENDPOINT_MODELS, NULL, NULL, models_run },
	{ "POST", "/v1/execute", ENDPOINT_EXECUTE, &schema_execute, NULL, execute_run },
};
const size_t routes_count = sizeof(routes) / sizeof(routes[0]);

struct span
route_param(const struct route *route, struct span path)
{
	size_t len = strlen(route->path);

	if (route->path[len - 1] != '/')
		return SPAN_EMPTY;
	return span_starts(path, span_of(route->path, len)) ? span_from(path, len) : SPAN_EMPTY;
}

static bool
fits(const struct route *route, struct span path)
{
	return span_eq_str(path, route->path) ? route->path[path.len - 1] != '/'
					      : route_param(route, path).len > 0;
}

enum error
route_find(struct span method, struct span path, const struct route **ret)
{
	enum error error = ERROR_NO_ROUTE;

	*ret = NULL;
	for (size_t i = 0; i < routes_count; i++) {
		if (!fits(&routes[i], path))
			continue;
		*ret = &routes[i];
		if (span_eq_str(method, routes[i].method))
			return ERROR_NONE;
		error = ERROR_METHOD;
	}
	return error;
}

/* ---- styles ---- */

/* A path, with all below it, or a header field that only one vendor's clients send. */
static const struct {
	const char *path, *field;
	const struct style *style;
} styles[] = {
	{ "/v1/messages", NULL, &style_anthropic },
	{ NULL, "anthropic-version", &style_anthropic },
};

static bool
path_is_below(struct span path, const char *top)
{
	size_t len = strlen(top);

	if (!span_starts(path, span_of(top, len)))
		return false;
	return path.len == len || path.ptr[len] == '/';
}

const struct style *
style_find(const struct http_request *http)
{
	struct span value;

	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++) {
		if (styles[i].path != NULL && !path_is_below(http->path, styles[i].path))
			continue;
		if (styles[i].field == NULL ||
		    is_ok(http_request_field(http, styles[i].field, &value)))
			return styles[i].style;
	}
	return &style_openai;
}
