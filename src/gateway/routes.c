/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.c: the table of the public API.
 *
 * Runs in: gateway. Trusts: nothing; the path comes decoded once, from the one
 * parser, and is compared whole.
 * Owns: nothing. Invariants: one row a method and path; what is not here is 404.
 * See: docs/api.md; tests/unit/test_gateway_routes.c walks it.
 */
#include "routes.h"

const struct route routes[] = {
	{ "POST", "/v1/chat/completions", ENDPOINT_CHAT, &schema_chat, chat_run },
	{ "GET", "/v1/models", ENDPOINT_MODELS, NULL, models_run },
	{ "POST", "/v1/execute", ENDPOINT_EXECUTE, &schema_execute, execute_run },
};
const size_t routes_count = sizeof(routes) / sizeof(routes[0]);

enum error
route_find(struct span method, struct span path, const struct route **ret)
{
	enum error error = ERROR_NO_ROUTE;

	*ret = NULL;
	for (size_t i = 0; i < routes_count; i++) {
		if (!span_eq_str(path, routes[i].path))
			continue;
		*ret = &routes[i];
		if (span_eq_str(method, routes[i].method))
			return ERROR_NONE;
		error = ERROR_METHOD;
	}
	return error;
}
