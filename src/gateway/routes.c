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

#include <manifest/manifest.h>

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
	{ "POST", "/v1/execute", ENDPOINT_EXECUTE, &schema_execute, NULL, execute_run },
	{ "GET", "/v1/models", ENDPOINT_MODELS, NULL, NULL, models_run, models_finish },
	{ "GET", "/v1/models/", ENDPOINT_MODELS, NULL, NULL, models_run, models_finish },
	{ "GET", "/openapi.json", ENDPOINT_OPENAPI, NULL, NULL, openapi_run, openapi_told },
	{ "POST", "/v1/tools", ENDPOINT_TOOL_PUSH, NULL, NULL, tool_push_run, .form = true },
	{ "GET", "/v1/tools", ENDPOINT_TOOL_LIST, NULL, NULL, tools_list_run, tools_list_told,
	    .query = tools_query_after },
	{ "GET", "/v1/tools/{}", ENDPOINT_TOOL_GET, NULL, NULL, tools_get_run, tools_get_told,
	    manifest_name_ok, tools_query_version },
	{ "DELETE", "/v1/tools/{}", ENDPOINT_TOOL_REMOVE, NULL, NULL, tools_remove_run,
	    tools_remove_told, manifest_name_ok, tools_query_version },
	{ "POST", "/v1/tools/{}/current", ENDPOINT_TOOL_CURRENT, &schema_tool_current, NULL,
	    tools_current_run, tools_current_told, manifest_name_ok },
	{ "POST", "/v1/tools/{}/call", ENDPOINT_TOOL_CALL, &schema_tool_call, NULL, tool_call_run,
	    .param_ok = manifest_name_ok },
};
const size_t routes_count = sizeof(routes) / sizeof(routes[0]);

/* What stands for the "{}" of a pattern: one segment, not empty. */
static struct span
segment(const char *pattern, const char *hole, struct span path)
{
	size_t before = (size_t)(hole - pattern), after = strlen(hole + 2);
	struct span s;

	if (path.len <= before + after || !span_starts(path, span_of(pattern, before)))
		return SPAN_EMPTY;
	s = span_of(path.ptr + before, path.len - before - after);
	if (memchr(s.ptr, '/', s.len) != NULL ||
	    !span_eq(span_from(path, before + s.len), span_of(hole + 2, after)))
		return SPAN_EMPTY;
	return s;
}

struct span
route_param(const struct route *route, struct span path)
{
	size_t len = strlen(route->path);
	const char *hole = strstr(route->path, "{}");

	if (hole != NULL)
		return segment(route->path, hole, path);
	if (route->path[len - 1] != '/')
		return SPAN_EMPTY;
	return span_starts(path, span_of(route->path, len)) ? span_from(path, len) : SPAN_EMPTY;
}

static bool
fits(const struct route *route, struct span path)
{
	if (strstr(route->path, "{}") != NULL || path.len == 0 || path.ptr[path.len - 1] == '/')
		return route_param(route, path).len > 0;
	return span_eq_str(path, route->path) || route_param(route, path).len > 0;
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
