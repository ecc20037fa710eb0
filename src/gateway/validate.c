/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate.c: is a request what its route takes? Target, path, fields, query, credentials in its
 * body, the body's type, syntax and schema.
 *
 * Runs in: gateway. Trusts: nothing. The path that was parsed once serves authentication and
 * routing.
 * Owns: nothing; what it copies lies in the request's arena.
 * Invariants: what is wrong is told by the authority's leave only (turn_refuse), in words of a
 * fixed table.
 * See: request.c, which asks; routes.c, strict.c, leak.c, pasted.c.
 */
#include "request.h"

#include <base/cleanup.h>
#include <keytext/keytext.h>

#include "keep.h"
#include "leak.h"
#include <pasted/pasted.h>
#include "routes.h"
#include "strict.h"

void
request_blame(struct request *r, const struct json_doc *d, uint32_t tok, const char *detail)
{
	struct buf b = BUF_INIT(PARAM_MAX - 1);

	r->detail = detail;
	if (is_ok(json_pointer(d, tok, &b)) && b.len > 0) {
		memcpy(r->param, b.ptr, b.len);
		r->param[b.len] = '\0';
	}
	buf_done(&b);
}

static bool
media_type_ok(const struct request *r)
{
	static const struct span json = { (const uint8_t *)"application/json", 16 };
	struct span value;

	if (!is_ok(http_request_field(&r->http, "content-type", &value)))
		return false;
	if (value.len < json.len || !span_eq_nocase(span_of(value.ptr, json.len), json))
		return false;
	if (value.len > json.len && memchr("; \t", value.ptr[json.len], 3) == NULL)
		return false;
	return http_request_field(&r->http, "content-encoding", &value).code == E_NOTFOUND;
}

enum error
request_check_json(struct request *r)
{
	struct gateway *g = r->g;
	auto_buf struct buf pointer = BUF_INIT(PARAM_MAX - 1);
	struct status st = json_parse(&g->doc, buf_span(&r->body));

	if (is_ok(st))
		return ERROR_NONE;
	if (st.code == E_NOMEM)
		return ERROR_OVERLOADED;
	r->detail = g->doc.fault.message;
	if (is_ok(json_fault_pointer(&g->doc, &pointer)) && pointer.len > 0)
		memcpy(r->param, pointer.ptr, pointer.len);
	r->param[pointer.len] = '\0';
	return st.code == E_EXISTS ? ERROR_INVALID_FIELD : ERROR_INVALID_JSON;
}

static enum error
check_schema(struct request *r)
{
	struct gateway *g = r->g;
	struct schema_fault fault;
	uint32_t variant;
	struct status st = schema_validate(g->schemas[r->route - routes], &g->doc, 0, &fault);

	if (!is_ok(st)) {
		r->detail = fault.message;
		memcpy(r->param, fault.pointer, sizeof(fault.pointer));
		return st.code == E_NOMEM ? ERROR_OVERLOADED : ERROR_INVALID_FIELD;
	}
	variant = strict_find_variant(&g->doc, *r->route->schema);
	if (variant == JSON_NONE)
		return ERROR_NONE;
	request_blame(r, &g->doc, variant, "differs from the name of a field only in case");
	return ERROR_INVALID_FIELD;
}

/* Fields, query and the path's parameter. */
static enum error
check_head(struct request *r)
{
	enum error error = ERROR_NONE;

	/* What no object can be called is the id of none. */
	if (r->route->kept != NULL &&
	    ((r->route_param.ptr != NULL && !r->route->param_ok(r->route_param)) ||
		(r->route_param2.ptr != NULL && !keep_id_ok(r->route_param2))))
		return ERROR_CONTENT_NOT_FOUND;
	if (r->route->kept == NULL && r->route->param_ok != NULL &&
	    !r->route->param_ok(r->route_param)) {
		r->detail = "the path has no name of a tool";
		return ERROR_INVALID_FIELD;
	}
	if (r->style->read_head != NULL)
		error = r->style->read_head(r);
	if (error == ERROR_NONE && r->http.query.len > r->query.len && r->route->query != NULL)
		return r->route->query(r);
	if (error == ERROR_NONE && r->http.query.len > r->query.len) {
		r->detail = "the endpoint takes no query";
		return ERROR_INVALID_FIELD;
	}
	return error;
}

/*
 * SDKs write a slash within a model's name as %2F: there it means what a plain one does. Anywhere
 * else it would change which path it is.
 */
static bool
take_slashed(struct request *r)
{
	const struct route *route;
	struct span path = r->http.slashed, name;

	if (path.len == 0 || route_find(r->http.method, path, &route) != ERROR_NONE)
		return false;
	name = route_param(route, path);
	if (name.len == 0 || r->http.slash_at < path.len - name.len)
		return false;
	r->http.path = path;
	return true;
}

static struct status
take_params(struct request *r)
{
	struct span params[ROUTE_PARAMS_MAX];
	struct span *const kept[ROUTE_PARAMS_MAX] = { &r->route_param, &r->route_param2 };

	route_params(r->route, r->http.path, params);
	for (size_t i = 0; i < ROUTE_PARAMS_MAX; i++) {
		if (params[i].ptr != NULL)
			TRY(arena_copy(&r->arena, params[i], kept[i]));
	}
	return OK;
}

/* Keys of ours are refused; whether credentials of others are, the policy says. */
static enum error
check_credentials(struct request *r)
{
	struct span body = buf_span(&r->body);
	struct leaks leaks;

	if (body.len == 0 || r->route->takes_key)
		return ERROR_NONE;
	r->pasted = pasted_any(body);
	if (!is_ok(leak_find(body, &leaks)))
		return ERROR_OVERLOADED;
	if (leaks.n == 0)
		return ERROR_NONE;
	return is_ok(arena_copy(&r->arena, leaks_texts(&leaks), &r->leaked)) ? ERROR_LEAKED_KEY
									     : ERROR_OVERLOADED;
}

static enum error
check_body(struct request *r)
{
	enum error error;

	if (r->route->form)
		return ERROR_NONE; /* its reader sees to all of it */
	if (r->route->schema == NULL && r->body.len > 0) {
		r->detail = "the endpoint takes no body";
		return ERROR_INVALID_FIELD;
	}
	if (r->route->schema == NULL)
		return ERROR_NONE;
	if (!media_type_ok(r))
		return ERROR_MEDIA_TYPE;
	error = request_check_json(r);
	return error == ERROR_NONE ? check_schema(r) : error;
}

enum error
request_validate(struct request *r)
{
	enum error error;

	if (r->http.target_bad && !take_slashed(r)) {
		r->detail = "its target is none that could be served";
		return ERROR_BAD_REQUEST;
	}
	error = route_find(r->http.method, r->http.path, &r->route);
	if (error != ERROR_NONE)
		return error;
	if (!is_ok(take_params(r)))
		return ERROR_OVERLOADED;
	error = check_head(r);
	if (error == ERROR_NONE)
		error = check_credentials(r);
	return error == ERROR_NONE ? check_body(r) : error;
}
