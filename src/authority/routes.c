/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.c: what the management socket may be asked for.
 *
 * Runs in: authority. Trusts: callers to be root (management.c has checked);
 * what they send is parsed strictly. Owns: nothing.
 * Invariants: a path, method, query or body that is not in the table of routes
 * or its schema is refused.
 * See: CONTRACTS for the paths; admin.h for the acts.
 */
#include "management.h"

#include <base/cleanup.h>
#include <crypto/file_secret.h>
#include <keytext/keytext.h>

#include "admin_json.h"

static void
get_healthz(struct conn *c)
{
	conn_answer(c, 200, JSON_TYPE, SPAN_LIT("{\"status\":\"ok\"}"));
}

static void
get_readyz(struct conn *c)
{
	auto_buf struct buf body = BUF_INIT(4096);
	struct status st;
	bool ready = status_put_ready(c->a, &body, &st);

	if (is_ok(st))
		conn_answer(c, ready ? 200 : 503, JSON_TYPE, buf_span(&body));
	else
		conn_close(c);
}

static void
get_metrics(struct conn *c)
{
	auto_buf struct buf body = BUF_INIT(OUT_MAX / 2);

	if (is_ok(procs_put_metrics(c->a, &body)))
		conn_answer(c, 200, METRICS_TYPE, buf_span(&body));
	else
		conn_answer_error(c, 500, "internal_error", "The metrics could not be collected.");
}

static void
get_status(struct conn *c)
{
	auto_buf struct buf body = BUF_INIT(OUT_MAX / 2);

	if (is_ok(status_put(c->a, &body)))
		conn_answer(c, 200, JSON_TYPE, buf_span(&body));
	else
		conn_answer_error(c, 500, "internal_error", "The status could not be collected.");
}

/* An act has begun, or why not. */
static void
act_begun(struct conn *c, struct status st)
{
	if (is_ok(st))
		return;
	c->state = CONN_READING;
	if (st.code == E_NOTFOUND)
		conn_answer_error(c, 404, "not_found", "There is no such key.");
	else if (st.code == E_FULL)
		conn_answer_error(c, 503, "overloaded", "Too many acts at once.");
	else
		conn_answer_error(c, 503, "audit_unavailable",
		    "The audit log cannot be written, so nothing is done.");
}

static bool
table_is_there(struct conn *c)
{
	if (c->a->loaded)
		return true;
	conn_answer_error(c, 503, "unavailable", "The key table is not loaded.");
	return false;
}

static void
post_keys(struct conn *c)
{
	auto_arena struct arena arena = ARENA_INIT(4096);
	struct admin_key k;

	if (!table_is_there(c))
		return;
	if (!is_ok(admin_parse_key(buf_span(&c->body), &arena, &k))) {
		conn_answer_error(c, 400, "invalid_request",
		    "Wanted: {\"tenant\", \"user\", \"policy\"?, \"expires_s\"?}; names of 1 to 64 "
		    "of "
		    "A-Z a-z 0-9 _ . - @ +");
		return;
	}
	if (policies_find(&c->a->policies, k.policy) == NULL) {
		conn_answer_error(c, 400, "unknown_policy", "There is no policy of that name.");
		return;
	}
	c->state = CONN_BUSY;
	act_begun(c, admin_create_key(c->a, c->uid, &k, conn_on_reply, c, &c->op));
}

static void
get_keys(struct conn *c)
{
	if (!table_is_there(c))
		return;
	c->state = CONN_BUSY;
	act_begun(c, admin_list_keys(c->a, c->uid, conn_on_list, c, &c->op));
}

static void
post_reload(struct conn *c)
{
	if (c->body.len > 0) {
		conn_answer_error(c, 400, "invalid_request", "No body is wanted.");
		return;
	}
	c->state = CONN_BUSY;
	act_begun(c, admin_reload(c->a, c->uid, conn_on_reply, c, &c->op));
}

static void
delete_key(struct conn *c)
{
	struct span id = span_from(http_request_get(c->parser)->path, SPAN_LIT("/admin/keys/").len);

	if (!table_is_there(c))
		return;
	if (!keytext_id_ok(id)) {
		conn_answer_error(c, 404, "not_found", "There is no such key.");
		return;
	}
	c->state = CONN_BUSY;
	act_begun(c, admin_revoke_key(c->a, c->uid, id, conn_on_reply, c, &c->op));
}

/* The name of a secret at the end of the path; empty, after an answer: there is none. */
static struct span
secret_name(struct conn *c)
{
	struct span name = span_from(
	    http_request_get(c->parser)->path, SPAN_LIT("/admin/secrets/").len);

	if (file_secret_name_ok(name))
		return name;
	conn_answer_error(
	    c, 400, "invalid_request", "Names of secrets: 1 to 64 of A-Z a-z 0-9 _ . -");
	return SPAN_EMPTY;
}

static void
put_secret(struct conn *c)
{
	auto_buf struct buf sealed = BUF_INIT(SECRET_SEALED_MAX);
	struct admin_secret s = { .name = secret_name(c) };

	if (s.name.len == 0)
		return;
	if (!is_ok(admin_parse_secret(buf_span(&c->body), &sealed, &s.rotate))) {
		conn_answer_error(c, 400, "invalid_request",
		    "Wanted: {\"sealed\": base64, \"rotate\"?: boolean}");
		return;
	}
	s.sealed = buf_span(&sealed);
	c->state = CONN_BUSY;
	act_begun(c, admin_set_secret(c->a, c->uid, &s, conn_on_reply, c, &c->op));
}

static void
delete_secret(struct conn *c)
{
	struct span name = secret_name(c);

	if (name.len == 0)
		return;
	c->state = CONN_BUSY;
	act_begun(c, admin_remove_secret(c->a, c->uid, name, conn_on_reply, c, &c->op));
}

static void
get_secrets(struct conn *c)
{
	c->state = CONN_BUSY;
	act_begun(c, admin_list_secrets(c->a, c->uid, conn_on_reply, c, &c->op));
}

static void
post_usage(struct conn *c)
{
	auto_arena struct arena arena = ARENA_INIT(4096);
	struct admin_usage f;

	if (!is_ok(admin_parse_usage(buf_span(&c->body), &arena, &f))) {
		conn_answer_error(c, 400, "invalid_request",
		    "Wanted: {\"since_s\"?, \"key\"?, \"user\"?, \"model\"?, \"after_key\"?, "
		    "\"after_model\"?}");
		return;
	}
	c->state = CONN_BUSY;
	act_begun(c, admin_read_usage(c->a, c->uid, &f, conn_on_reply, c, &c->op));
}

static void
post_tool(struct conn *c)
{
	auto_arena struct arena arena = ARENA_INIT(4096);
	struct admin_tool m;
	struct status st;

	if (!table_is_there(c))
		return;
	if (!is_ok(admin_parse_tool(buf_span(&c->body), &arena, &m))) {
		conn_answer_error(c, 400, "invalid_request",
		    "Wanted: {\"tenant\", \"user\", \"name\", \"version\"?, \"allowed\": boolean}");
		return;
	}
	c->state = CONN_BUSY;
	st = admin_mark_tool(c->a, c->uid, &m, conn_on_reply, c, &c->op);
	if (st.code == E_NOTFOUND || st.code == E_EXISTS) {
		c->state = CONN_READING;
		if (st.code == E_NOTFOUND)
			conn_answer_error(c, 404, "not_found", "There is no such tool or version.");
		else
			conn_answer_error(c, 409, "already_allowed", ADMIN_TOOL_TAKEN);
		return;
	}
	act_begun(c, st);
}

static void
post_tools(struct conn *c)
{
	uint64_t after = 0;

	if (!table_is_there(c))
		return;
	if (!is_ok(admin_parse_after(buf_span(&c->body), &after))) {
		conn_answer_error(c, 400, "invalid_request", "Wanted: {\"after\"?: number}");
		return;
	}
	c->state = CONN_BUSY;
	act_begun(c, admin_list_tools(c->a, c->uid, after, conn_on_reply, c, &c->op));
}

static const struct {
	const char *method;
	const char *path;
	bool prefix;
	void (*fn)(struct conn *c);
} routes[] = {
	{ "GET", "/healthz", false, get_healthz },
	{ "GET", "/readyz", false, get_readyz },
	{ "GET", "/metrics", false, get_metrics },
	{ "GET", "/status", false, get_status },
	{ "POST", "/admin/keys", false, post_keys },
	{ "GET", "/admin/keys", false, get_keys },
	{ "DELETE", "/admin/keys/", true, delete_key },
	{ "POST", "/admin/reload", false, post_reload },
	{ "POST", "/admin/usage", false, post_usage },
	{ "POST", "/admin/tools/mark", false, post_tool },
	{ "POST", "/admin/tools/list", false, post_tools },
	{ "PUT", "/admin/secrets/", true, put_secret },
	{ "DELETE", "/admin/secrets/", true, delete_secret },
	{ "GET", "/admin/secrets", false, get_secrets },
};

void
conn_route(struct conn *c)
{
	const struct http_request *req = http_request_get(c->parser);
	bool path = false;

	if (req->target_bad) {
		conn_answer_error(c, 400, "bad_request", "There can be no such path.");
		return;
	}
	if (req->query.len > 0) {
		conn_answer_error(c, 400, "invalid_request", "No query is wanted.");
		return;
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		struct span want = span_str(routes[i].path);

		if (routes[i].prefix ? !span_starts(req->path, want) : !span_eq(req->path, want))
			continue;
		path = true;
		if (!span_eq_str(req->method, routes[i].method))
			continue;
		routes[i].fn(c);
		return;
	}
	if (path)
		conn_answer_error(c, 405, "method_not_allowed", "Not with this method.");
	else
		conn_answer_error(c, 404, "not_found", "There is no such path.");
}
