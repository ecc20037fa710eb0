/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routes.c: what the management socket may be asked for.
 *
 * Runs in: authority. Trusts: callers to be root (management.c has checked);
 * what they send is parsed strictly. Owns: nothing.
 * Invariants: a path, method, query or body that is not in the table of routes
 * or its schema is refused.
 * See: docs/api.md for the paths; admin_routes.c for those of administration.
 */
#include "management.h"

#include <base/cleanup.h>

#include "admin_call.h"

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

/* An act of the table that both doors share. */
static void
admin(struct conn *c)
{
	const struct http_request *req = http_request_get(c->parser);
	struct admin_call call = { .a = c->a,
		.uid = c->uid,
		.reply = conn_on_reply,
		.ctx = c,
		.op = &c->op,
		.method = req->method,
		.path = req->path,
		.query = req->query,
		.body = buf_span(&c->body) };

	c->state = CONN_BUSY;
	if (is_ok(admin_dispatch(&call)))
		return;
	c->state = CONN_READING;
	conn_answer_error(c, call.http, call.code, call.message);
}

static const struct {
	const char *method;
	const char *path;
	void (*fn)(struct conn *c);
} routes[] = {
	{ "GET", "/healthz", get_healthz },
	{ "GET", "/readyz", get_readyz },
	{ "GET", "/metrics", get_metrics },
	{ "GET", "/status", get_status },
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
	if (span_starts(req->path, SPAN_LIT("/admin/v1/"))) {
		admin(c);
		return;
	}
	if (req->query.len > 0) {
		conn_answer_error(c, 400, "invalid_request", "No query is wanted.");
		return;
	}
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (!span_eq_str(req->path, routes[i].path))
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
