/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_routes.c: the table of /admin/v1, for both doors, and what every act of it goes through.
 *
 * Runs in: authority. Trusts: nothing of the request; who asks is known from the door.
 * Owns: nothing but the compiled schemas.
 * Invariants: what is not in the table does not exist; a person's tenant is its own, and any
 * other id is none; a role is checked before a body is looked at.
 * See: admin_call.h, roles.c; docs/api.md.
 */
#include "admin_call.h"

#include <assert.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/schema.h>

#include "authority.h"

#define NAME_FORM                                               \
	"\"type\":\"string\",\"minLength\":1,\"maxLength\":64," \
	"\"pattern\":\"^[A-Za-z0-9_.@+-]+$\""
#define NAME "{" NAME_FORM ",\"not\":{\"enum\":[\".\",\"..\"]}}"
#define KNOWN_NAME "{" NAME_FORM "}"
#define OBJECT(required, properties)                                                       \
	"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" required "]," \
	"\"properties\":{" properties "}}"
#define ROLES_SCHEMA                                                                       \
	"{\"type\":\"array\",\"minItems\":1,\"maxItems\":5,\"items\":{\"enum\":[\"user\"," \
	"\"service\","                                                                     \
	"\"auditor\","                                                                     \
	"\"administrator\",\"owner\"]}}"
#define TIME_SCHEMA "{\"type\":\"integer\",\"minimum\":1,\"maximum\":253402300799}"
#define LIFE_SCHEMA "{\"type\":\"integer\",\"minimum\":1,\"maximum\":315360000}"
#define KEY_SCHEMA                                                                \
	OBJECT("", "\"tenant\":" NAME ",\"user\":" NAME ",\"policy\":" KNOWN_NAME \
		   ",\"expires_s\":" TIME_SCHEMA ",\"expires_in_s\":" LIFE_SCHEMA \
		   ",\"scopes\":{\"type\":\"object\"}")
#define ROTATE_SCHEMA \
	OBJECT("", "\"overlap_s\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":2592000}")
#define USER_SCHEMA \
	OBJECT("\"user\"", "\"tenant\":" NAME ",\"user\":" NAME ",\"roles\":" ROLES_SCHEMA)
#define CHANGE_SCHEMA                                                              \
	"{\"type\":\"object\",\"additionalProperties\":false,\"minProperties\":1," \
	"\"maxProperties\":1,\"properties\":{\"roles\":" ROLES_SCHEMA              \
	",\"state\":{\"enum\":[\"active\",\"disabled\"]},\"hold\":{\"type\":\"boolean\"}}}"
#define DECISION_SCHEMA OBJECT("\"decision\"", "\"decision\":{\"enum\":[\"approve\",\"refuse\"]}")
#define SECRET_SCHEMA                                                                \
	OBJECT("\"sealed\"",                                                         \
	    "\"sealed\":{\"type\":\"string\",\"minLength\":1},\"rotate\":{\"type\":" \
	    "\"boolean\"}")
#define MARK_SCHEMA                                                                     \
	OBJECT("\"tenant\",\"user\",\"name\",\"allowed\"",                              \
	    "\"tenant\":" KNOWN_NAME ",\"user\":" KNOWN_NAME ",\"name\":" KNOWN_NAME    \
	    ",\"version\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":4294967295}," \
	    "\"allowed\":{\"type\":\"boolean\"}")

const struct admin_route admin_routes[] = {
	{ "GET", "/admin/v1/tenants", DOOR_BOTH, ACTION_TENANT_READ, "", NULL, false, tenants_list,
	    NULL },
	{ "GET", "/admin/v1/tenants/{}/export", DOOR_BOTH, ACTION_TENANT_EXPORT, "cursor ", NULL,
	    false, tenants_export, NULL },
	{ "GET", "/admin/v1/me", DOOR_PERSON, ACTION_API_READ, "", NULL, false, me_get, NULL },
	{ "GET", "/admin/v1/me/export", DOOR_PERSON, ACTION_EXPORT_OWN, "cursor ", NULL, false,
	    me_export, NULL },
	{ "DELETE", "/admin/v1/me", DOOR_PERSON, ACTION_ERASE_OWN, "", NULL, false, me_erase,
	    NULL },
	{ "GET", "/admin/v1/users", DOOR_BOTH, ACTION_USER_READ, "tenant after limit ", NULL, false,
	    users_list, NULL },
	{ "POST", "/admin/v1/users", DOOR_BOTH, ACTION_USER_CHANGE, "", USER_SCHEMA, false,
	    users_create, "Wanted: {\"tenant\"?, \"user\", \"roles\"?: [role…]}" },
	{ "GET", "/admin/v1/users/{}", DOOR_BOTH, ACTION_USER_READ, "tenant ", NULL, false,
	    users_get, NULL },
	{ "PATCH", "/admin/v1/users/{}", DOOR_BOTH, ACTION_USER_CHANGE, "tenant ", CHANGE_SCHEMA,
	    false, users_change, "Wanted: one of \"roles\", \"state\", \"hold\"", false, true },
	{ "POST", "/admin/v1/users/{}/erase", DOOR_BOTH, ACTION_USER_ERASE, "tenant ", NULL, false,
	    users_erase, NULL, false, true },
	{ "GET", "/admin/v1/users/{}/export", DOOR_BOTH, ACTION_API_READ, "tenant cursor ", NULL,
	    false, users_export, NULL },
	{ "GET", "/admin/v1/keys", DOOR_BOTH, ACTION_KEY_OWN, "tenant user after limit ", NULL,
	    false, keys_list, NULL },
	{ "POST", "/admin/v1/keys", DOOR_BOTH, ACTION_KEY_OWN, "", KEY_SCHEMA, false, keys_create,
	    "Wanted: {\"tenant\"?, \"user\"?, \"policy\"?, \"expires_in_s\"? (at most ten years) "
	    "or "
	    "\"expires_s\"?, \"scopes\"?}; names of 1 to 64 of A-Z a-z 0-9 _ . - @ +" },
	{ "POST", "/admin/v1/keys/{}/rotate", DOOR_BOTH, ACTION_KEY_OWN, "", ROTATE_SCHEMA, true,
	    keys_rotate, "Wanted: {\"overlap_s\"?: at most 2592000}" },
	{ "DELETE", "/admin/v1/keys/{}", DOOR_BOTH, ACTION_KEY_OWN, "", NULL, false, keys_revoke,
	    NULL, false, true },
	{ "GET", "/admin/v1/policies", DOOR_BOTH, ACTION_POLICY_READ, "", NULL, false,
	    policies_list, NULL },
	{ "GET", "/admin/v1/usage", DOOR_BOTH, ACTION_USAGE_READ,
	    "tenant since_s key user model after_user after_key after_model ", NULL, false,
	    usage_read, NULL },
	{ "GET", "/admin/v1/audit", DOOR_BOTH, ACTION_AUDIT_READ,
	    "tenant type since_s until_s order after limit ", NULL, false, audit_read, NULL },
	{ "GET", "/admin/v1/sessions", DOOR_BOTH, ACTION_SESSION_OWN, "tenant after limit ", NULL,
	    false, sessions_list, NULL },
	{ "DELETE", "/admin/v1/sessions/{}", DOOR_BOTH, ACTION_SESSION_OWN, "", NULL, false,
	    sessions_revoke, NULL, false, true },
	{ "GET", "/admin/v1/approvals", DOOR_BOTH, ACTION_APPROVAL_READ, "", NULL, false,
	    approvals_list, NULL },
	{ "GET", "/admin/v1/approvals/{}", DOOR_BOTH, ACTION_APPROVAL_READ, "", NULL, false,
	    approvals_get, NULL },
	{ "POST", "/admin/v1/approvals/{}", DOOR_BOTH, ACTION_APPROVAL_READ, "", DECISION_SCHEMA,
	    false, approvals_decide, "Wanted: {\"decision\": \"approve\" or \"refuse\"}" },
	{ "POST", "/admin/v1/reload", DOOR_OPERATOR, ACTION_NONE, "", NULL, false, operator_reload,
	    NULL, true },
	{ "GET", "/admin/v1/secrets", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_secret_list, NULL, true },
	{ "PUT", "/admin/v1/secrets/{}", DOOR_OPERATOR, ACTION_NONE, "", SECRET_SCHEMA, false,
	    operator_secret_set, "Wanted: {\"sealed\": base64, \"rotate\"?: boolean}", true },
	{ "DELETE", "/admin/v1/secrets/{}", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_secret_remove, NULL, true },
	{ "GET", "/admin/v1/backup", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_backup_show, NULL, true },
	{ "POST", "/admin/v1/backup", DOOR_OPERATOR, ACTION_NONE, "", NULL, false, operator_backup,
	    NULL, true },
	{ "POST", "/admin/v1/store/accept", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_store_accept, NULL, true },
	{ "GET", "/admin/v1/kek", DOOR_OPERATOR, ACTION_NONE, "", NULL, false, operator_kek_show,
	    NULL, true },
	{ "POST", "/admin/v1/kek", DOOR_OPERATOR, ACTION_NONE, "", NULL, false, operator_kek_rotate,
	    NULL, true },
	{ "GET", "/admin/v1/session-keys", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_session_keys_show, NULL, true },
	{ "POST", "/admin/v1/session-keys", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_session_keys_rotate, NULL, true },
	{ "GET", "/admin/v1/pepper", DOOR_OPERATOR, ACTION_NONE, "after ", NULL, false,
	    operator_pepper_show, NULL, true },
	{ "POST", "/admin/v1/pepper", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_pepper_rotate, NULL, true },
	{ "POST", "/admin/v1/kek/data", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_kek_rotate_data, NULL, true },
	{ "POST", "/admin/v1/audit/key", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_audit_rotate, NULL, true },
	{ "POST", "/admin/v1/certificate", DOOR_OPERATOR, ACTION_NONE, "", NULL, false,
	    operator_certificate_rotate, NULL, true },
	{ "GET", "/admin/v1/tools", DOOR_OPERATOR, ACTION_NONE, "after ", NULL, false,
	    operator_tool_list, NULL },
	{ "POST", "/admin/v1/tools/mark", DOOR_OPERATOR, ACTION_NONE, "", MARK_SCHEMA, false,
	    operator_tool_mark,
	    "Wanted: {\"tenant\", \"user\", \"name\", \"version\"?, \"allowed\": boolean}" },
};
const size_t admin_routes_count = sizeof(admin_routes) / sizeof(admin_routes[0]);
#define ROUTES (sizeof(admin_routes) / sizeof(admin_routes[0]))

static struct arena schema_arena = ARENA_INIT(1U << 20);
static const struct schema *schemas[ROUTES];

/* ---- refusals ---- */

bool
admin_has(const struct admin_call *c, enum action action)
{
	return c->by == NULL || roles_allow(key_roles(c->by), action);
}

struct status
admin_may(struct admin_call *c, enum action action)
{
	const struct error_row *row = &error_rows[ERROR_ROLE];

	return admin_has(c, action) ? OK : admin_refuse(c, row->http, row->code, row->message);
}

/* ---- the path ---- */

static bool
fits(const char *pattern, struct span path, struct span *ret_param)
{
	const char *hole = strstr(pattern, "{}");
	size_t before = hole == NULL ? 0 : (size_t)(hole - pattern);
	struct span after = hole == NULL ? SPAN_EMPTY : span_str(hole + 2);

	*ret_param = SPAN_EMPTY;
	if (hole == NULL)
		return span_eq_str(path, pattern);
	if (path.len <= before + after.len || !span_starts(path, span_of(pattern, before)))
		return false;
	*ret_param = span_of(path.ptr + before, path.len - before - after.len);
	return memchr(ret_param->ptr, '/', ret_param->len) == NULL &&
	       span_eq(span_from(path, before + ret_param->len), after);
}

/* "." and "..", which earlier versions took as names, have a "~" before them: no path may have such
 * a segment, and no name that character. */
static struct span
undotted(struct span param)
{
	bool dots = param.len > 0 && param.ptr[0] == '~' && admin_name_is_dots(span_from(param, 1));

	return dots ? span_from(param, 1) : param;
}

static struct status
find_route(struct admin_call *c)
{
	uint8_t door = c->by == NULL ? DOOR_OPERATOR : DOOR_PERSON;
	bool path = false;

	for (size_t i = 0; i < ROUTES; i++) {
		struct span param;

		if ((admin_routes[i].doors & door) == 0 ||
		    !fits(admin_routes[i].path, c->path, &param))
			continue;
		path = true;
		if (!span_eq_str(c->method, admin_routes[i].method))
			continue;
		c->route = &admin_routes[i];
		c->param = undotted(param);
		return OK;
	}
	if (path)
		return admin_refuse(c, 405, "method_not_allowed", "Not with this method.");
	return admin_refuse(c, 404, "not_found", "There is no such path.");
}

/* ---- the query ---- */

struct span
admin_query(const struct admin_call *c, const char *name)
{
	for (size_t i = 0; i < c->npairs; i++) {
		if (span_eq_str(c->pairs[i].name, name))
			return c->pairs[i].value;
	}
	return SPAN_EMPTY;
}

static bool
takes(const struct admin_route *route, struct span name)
{
	struct span names = span_str(route->query);

	while (names.len > 0) {
		size_t len = strcspn((const char *)names.ptr, " ");

		if (span_eq(span_of(names.ptr, len), name))
			return true;
		names = span_from(names, len + 1);
	}
	return false;
}

/* Ids and names, perhaps percent-encoded; "+" is no blank, since some have one. */
static struct status
take_value(struct admin_call *c, struct span text, struct span *ret)
{
	auto_buf struct buf plain = BUF_INIT(text.len);

	TRY(percent_decode(text, &plain));
	for (size_t i = 0; i < plain.len; i++) {
		if (plain.ptr[i] <= ' ' || plain.ptr[i] >= 0x7f)
			return fail(E_SYNTAX);
	}
	return plain.len > 0 ? arena_copy(c->arena, buf_span(&plain), ret) : fail(E_SYNTAX);
}

static struct status
read_query(struct admin_call *c)
{
	struct span rest = c->query;

	c->npairs = 0;
	while (rest.len > 0) {
		const uint8_t *end = memchr(rest.ptr, '&', rest.len);
		size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr);
		const uint8_t *eq = memchr(rest.ptr, '=', len);
		struct span name, value;

		if (eq == NULL || c->npairs == ADMIN_QUERY_PAIRS_MAX || len + 1 == rest.len)
			return admin_refuse(c, 400, "invalid_request", "The query is not valid.");
		name = span_of(rest.ptr, (size_t)(eq - rest.ptr));
		value = span_of(eq + 1, len - name.len - 1);
		if (!takes(c->route, name) || !is_ok(take_value(c, value, &value)))
			return admin_refuse(c, 400, "invalid_request", "The query is not valid.");
		for (size_t i = 0; i < c->npairs; i++) {
			if (span_eq(c->pairs[i].name, name))
				return admin_refuse(
				    c, 400, "invalid_request", "The query is not valid.");
		}
		c->pairs[c->npairs].name = name;
		c->pairs[c->npairs++].value = value;
		rest = end == NULL ? SPAN_EMPTY : span_from(rest, len + 1);
	}
	return OK;
}

struct status
admin_query_limit(struct admin_call *c, uint32_t *ret)
{
	struct span text = admin_query(c, "limit");
	uint64_t n = ADMIN_PAGE_MAX;

	if (text.len > 0 && (!is_ok(span_u64(text, ADMIN_PAGE_MAX, &n)) || n == 0))
		return admin_refuse(c, 400, "invalid_request", "limit is a number from 1 to 500.");
	*ret = (uint32_t)n;
	return OK;
}

/* A person's own; of an operator the one that is named. */
static struct status
read_tenant(struct admin_call *c)
{
	struct span named = admin_query(c, "tenant");

	if (named.len > 0 && !admin_name_known(named))
		return admin_refuse_not_found(c);
	c->tenant = c->by == NULL ? named : c->by->user->tenant;
	if (c->by != NULL && named.len > 0 && !span_eq(named, c->tenant))
		return admin_refuse_not_found(c);
	return OK;
}

/* ---- the body ---- */

static struct status
schema_of(const struct admin_route *route, const struct schema **ret)
{
	const struct schema **place = &schemas[route - admin_routes];
	struct schema_fault fault;

	if (*place == NULL)
		TRY(schema_compile(span_str(route->schema), &schema_arena, place, &fault));
	*ret = *place;
	return OK;
}

/* Clients that always send JSON say {} where they have nothing to say. */
static struct status
read_no_body(struct admin_call *c, struct json_doc *d)
{
	if (c->body.len > 0 && (!is_ok(json_parse(d, c->body)) || json_type(d, 0) != JSON_OBJECT ||
				   json_size(d, 0) > 0))
		return admin_refuse(c, 400, "invalid_request", "No body is wanted.");
	c->body = SPAN_EMPTY;
	return OK;
}

static struct status
read_body(struct admin_call *c, struct json_doc *d)
{
	const struct json_opts opts = { .depth_max = 6,
		.tokens_max = 4096,
		.refuse_duplicates = true,
		.refuse_surrogates = true,
		.refuse_nul = true };
	const struct schema *schema = NULL;
	struct schema_fault fault;

	c->doc = d;
	TRY(json_init(d, &opts));
	if (c->route->schema == NULL)
		return read_no_body(c, d);
	TRY(schema_of(c->route, &schema));
	if (!is_ok(json_parse(
		d, c->body.len == 0 && c->route->body_optional ? SPAN_LIT("{}") : c->body)) ||
	    !is_ok(schema_validate(schema, d, 0, &fault)))
		return admin_refuse(c, 400, "invalid_request", c->route->wanted);
	return OK;
}

struct status
admin_text(struct admin_call *c, const char *member, struct span *ret)
{
	uint32_t tok = json_get_str(c->doc, 0, member);

	*ret = SPAN_EMPTY;
	return tok == JSON_NONE ? OK : json_str(c->doc, tok, c->arena, ret);
}

/* ---- all together ---- */

/* May this be done with what is loaded? */
static struct status
table_check(struct admin_call *c)
{
	const struct error_row *row = &error_rows[ERROR_STORE_TAMPERED];

	if (c->route->without_table)
		return OK;
	if (!c->a->loaded)
		return admin_refuse(c, 503, "unavailable", "The key table is not loaded.");
	if (unfit_stops(c->a) && !c->route->ends && !span_eq_str(c->method, "GET"))
		return admin_refuse(c, row->http, row->code, row->message);
	return OK;
}

/* What a failure of ours is to the caller. */
static void
explain(struct admin_call *c, struct status st)
{
	if (is_ok(st) || c->http != 0)
		return;
	if (st.code == E_NOTFOUND)
		(void)!is_ok(admin_refuse_not_found(c));
	else if (st.code == E_FULL)
		(void)!is_ok(admin_refuse(c, 503, "overloaded", "Too many acts at once."));
	else if (st.code == E_CLOSED)
		(void)!is_ok(admin_refuse(c, 503, "audit_unavailable",
		    "The audit log cannot be written, so nothing is done."));
	else
		(void)!is_ok(admin_refuse(c, 500, "internal_error", "The act could not be begun."));
}

static struct status
begin(struct admin_call *c)
{
	auto_arena struct arena arena = ARENA_INIT(64U << 10);
	auto_json struct json_doc d = { 0 };
	struct status st;

	TRY(find_route(c));
	TRY(table_check(c));
	TRY(admin_may(c, c->route->action));
	c->arena = &arena;
	st = read_query(c);
	if (is_ok(st))
		st = read_tenant(c);
	if (is_ok(st))
		st = read_body(c, &d);
	if (is_ok(st))
		st = c->route->fn(c);
	c->arena = NULL;
	c->doc = NULL;
	return st;
}

struct status
admin_dispatch(struct admin_call *c)
{
	struct status st;

	c->http = 0;
	st = begin(c);
	assert(is_ok(st) || st.code != E_DENIED || c->http != 0);
	explain(c, st);
	return st;
}
