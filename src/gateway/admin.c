/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.c: /admin/v1/…: acts of administration, passed on to the authority.
 *
 * Runs in: gateway. Trusts: the authority, which decides and says all that is answered.
 * Owns: nothing. Invariants: what goes on is strict JSON within its limit; which paths there
 * are, and for whom, is the authority's alone. An answer may hold a fresh key: it is copied
 * into what is written, and nowhere else.
 * See: src/authority/admin_door.c, admin_routes.c.
 */
#include <stdio.h>

#include <base/cleanup.h>
#include <json/json.h>

#include "request.h"
#include "routes.h"

static void on_admined(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);

enum error
admin_query(struct request *r)
{
	return is_ok(arena_copy(&r->arena, r->http.query, &r->query)) ? ERROR_NONE
								      : ERROR_OVERLOADED;
}

static enum error
check(struct request *r)
{
	if (r->http.path.len > ADMIN_PATH_MAX || r->http.query.len > ADMIN_PATH_MAX)
		return ERROR_URI_TOO_LONG;
	if (r->body.len > ADMIN_REQUEST_MAX)
		return ERROR_BODY_TOO_LARGE;
	return r->body.len > 0 ? request_check_json(r) : ERROR_NONE;
}

void
admin_run(struct request *r)
{
	struct ga_admin m = { .credential = buf_span(&r->credential),
		.method = r->http.method,
		.path = r->http.path,
		.query = r->http.query,
		.body = buf_span(&r->body) };
	enum error error = check(r);

	if (error != ERROR_NONE) {
		turn_refuse(&r->turn, error);
		return;
	}
	memcpy(m.request_id, r->id, REQUEST_ID_LEN);
	memcpy(m.source, r->address, SOURCE_LEN);
	if (r->g->authority != NULL && is_ok(link_call(r->g->authority, GA_ADMIN, &m,
					   ADMIN_TIMEOUT_MS, on_admined, r, &r->call)))
		return;
	reply_error(r, ERROR_UNAVAILABLE);
	request_over(r);
}

/* What waits for another person: where to look how that goes on. */
static void
note_location(struct request *r, struct span body)
{
	auto_arena struct arena arena = ARENA_INIT(4096);
	auto_json struct json_doc d = { 0 };
	const struct json_opts opts = { .depth_max = 8, .tokens_max = 4096 };
	struct span id;

	if (is_ok(json_init(&d, &opts)) && is_ok(json_parse(&d, body)) &&
	    is_ok(
		json_str(&d, json_get_str(&d, json_get_str(&d, 0, "approval"), "id"), &arena, &id)))
		(void)snprintf(
		    r->location, sizeof(r->location), "/admin/v1/approvals/%.*s", SPAN_FMT(id));
}

static void
on_admined(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct request *r = ctx;
	const struct ga_admined *m = msg;

	(void)l;
	r->call = 0;
	if (!is_ok(st) || type != GA_ADMINED) {
		reply_error(r, ERROR_UNAVAILABLE);
	} else if (m->error != ERROR_NONE) {
		r->retry_after_ms = m->retry_after_ms;
		reply_error(r, (enum error)m->error);
	} else if (m->status < 200 || m->body.len == 0) {
		reply_error(r, ERROR_INTERNAL);
	} else {
		if (m->status == 202)
			note_location(r, m->body);
		reply_json(r, m->status, m->body);
	}
	request_over(r);
}
