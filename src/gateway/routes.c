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

#include <assert.h>

#include <manifest/manifest.h>

#include "dialect.h"
#include "query.h"
#include "style.h"

/* What is kept: one operation at the store, then the answer. */
#define KEPT(m, p, e, run_, kept_, schema_, ...)                                                  \
	{                                                                                         \
		.method = m, .path = p, .endpoint = ENDPOINT_##e, .schema = schema_, .run = run_, \
		.kept = kept_, ##__VA_ARGS__                                                      \
	}

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
	KEPT("POST", "/v1/conversations", CONVERSATIONS, conversations_create_run,
	    conversations_told, &schema_conversation),
	KEPT("GET", "/v1/conversations/{}", CONVERSATIONS, conversations_get_run,
	    conversations_told, NULL, .param_ok = conversations_id_ok),
	KEPT("POST", "/v1/conversations/{}", CONVERSATIONS, conversations_update_run,
	    conversations_told, &schema_conversation_update, .param_ok = conversations_id_ok),
	KEPT("DELETE", "/v1/conversations/{}", CONVERSATIONS, conversations_delete_run,
	    conversations_deleted_told, NULL, .param_ok = conversations_id_ok),
	KEPT("POST", "/v1/conversations/{}/items", CONVERSATIONS, items_create_run,
	    items_created_told, &schema_items, .param_ok = conversations_id_ok,
	    .query = query_include),
	KEPT("GET", "/v1/conversations/{}/items", CONVERSATIONS, items_list_run, items_told, NULL,
	    .param_ok = conversations_id_ok, .query = query_items),
	KEPT("GET", "/v1/conversations/{}/items/{}", CONVERSATIONS, items_get_run, items_one_told,
	    NULL, .param_ok = conversations_id_ok, .query = query_include),
	KEPT("DELETE", "/v1/conversations/{}/items/{}", CONVERSATIONS, items_delete_run,
	    conversations_told, NULL, .param_ok = conversations_id_ok),
	KEPT("GET", "/v1/responses/{}", STORED_RESPONSES, stored_get_run, stored_told, NULL,
	    .param_ok = stored_id_ok, .query = query_include),
	KEPT("DELETE", "/v1/responses/{}", STORED_RESPONSES, stored_delete_run, stored_deleted_told,
	    NULL, .param_ok = stored_id_ok),
	KEPT("GET", "/v1/responses/{}/input_items", STORED_RESPONSES, stored_input_run, items_told,
	    NULL, .param_ok = stored_id_ok, .query = query_items),
	KEPT("POST", "/v1/files", FILES, files_create_run, files_told, NULL, .form = true),
	KEPT(
	    "GET", "/v1/files", FILES, files_list_run, files_list_told, NULL, .query = query_files),
	KEPT(
	    "GET", "/v1/files/{}", FILES, files_get_run, files_told, NULL, .param_ok = files_id_ok),
	KEPT("GET", "/v1/files/{}/content", FILES, files_body_run, files_body_told, NULL,
	    .param_ok = files_id_ok),
	KEPT("DELETE", "/v1/files/{}", FILES, files_delete_run, files_deleted_told, NULL,
	    .param_ok = files_id_ok),
	{ "GET", "/admin/v1/", ENDPOINT_OTHER, NULL, NULL, admin_run, .query = admin_query,
	    .form = true },
	{ "POST", "/admin/v1/", ENDPOINT_OTHER, NULL, NULL, admin_run, .query = admin_query,
	    .form = true },
	{ "PATCH", "/admin/v1/", ENDPOINT_OTHER, NULL, NULL, admin_run, .query = admin_query,
	    .form = true },
	{ "DELETE", "/admin/v1/", ENDPOINT_OTHER, NULL, NULL, admin_run, .query = admin_query,
	    .form = true },
	{ "POST", "/auth/token", ENDPOINT_OTHER, NULL, NULL, token_run, .form = true,
	    .takes_key = true },
	{ "GET", "/auth/login", ENDPOINT_OPENAPI, NULL, NULL, login_run, login_told },
	{ "POST", "/auth/revoke", ENDPOINT_OTHER, NULL, NULL, token_revoke_run, .form = true,
	    .takes_key = true },
};
const size_t routes_count = sizeof(routes) / sizeof(routes[0]);

/* One segment for each "{}" of the pattern, not empty. */
static bool
match(const char *pattern, struct span path, struct span params[ROUTE_PARAMS_MAX])
{
	size_t n = 0;

	for (;;) {
		const char *hole = strstr(pattern, "{}");
		size_t len = hole == NULL ? strlen(pattern) : (size_t)(hole - pattern);
		const uint8_t *slash;

		if (!span_starts(path, span_of(pattern, len)))
			return false;
		path = span_from(path, len);
		if (hole == NULL)
			return path.len == 0;
		slash = path.len == 0 ? NULL : memchr(path.ptr, '/', path.len);
		assert(n < ROUTE_PARAMS_MAX);
		params[n] = span_of(
		    path.ptr, slash == NULL ? path.len : (size_t)(slash - path.ptr));
		if (params[n].len == 0)
			return false;
		path = span_from(path, params[n++].len);
		pattern = hole + 2;
	}
}

bool
route_params(const struct route *route, struct span path, struct span params[ROUTE_PARAMS_MAX])
{
	size_t len = strlen(route->path);

	for (size_t i = 0; i < ROUTE_PARAMS_MAX; i++)
		params[i] = SPAN_EMPTY;
	if (route->path[len - 1] != '/')
		return match(route->path, path, params);
	if (!span_starts(path, span_of(route->path, len)) || path.len == len)
		return false;
	params[0] = span_from(path, len);
	return true;
}

struct span
route_param(const struct route *route, struct span path)
{
	struct span params[ROUTE_PARAMS_MAX];

	return route_params(route, path, params) ? params[0] : SPAN_EMPTY;
}

static bool
fits(const struct route *route, struct span path)
{
	struct span params[ROUTE_PARAMS_MAX];

	return route_params(route, path, params);
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
