/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c: one request: credential, route, schema, then its turn.
 *
 * Runs in: gateway. Trusts: nothing. The same parsed path serves authentication
 * and routing.
 * Owns: the body, its share of the worker's budget, the arena, the turn.
 * Invariants: without a good key nobody learns whether a path exists: what is
 * wrong with a request is told by the authority's leave only (turn_refuse).
 * See: routes.c, turn.c; h1.c, h2.c, which carry it.
 */
#include "request.h"

#include <assert.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/encode.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>

#include "keep.h"
#include "leak.h"
#include "pasted.h"
#include "routes.h"
#include "sides.h"
#include "strict.h"

static void on_checked(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static enum error check(struct request *r);
static void release(struct request *r);

struct request *
request_new(struct gateway *g)
{
	struct request *r = TAILQ_FIRST(&g->spare);

	if (r != NULL) {
		TAILQ_REMOVE(&g->spare, r, next);
		g->nspare--;
		return r;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	r->g = g;
	r->style = &style_openai;
	r->arena = ARENA_INIT(REQUEST_ARENA_MAX);
	r->credential = BUF_INIT(CREDENTIAL_MAX);
	turn_init(&r->turn, r);
	return r;
}

static void
release(struct request *r)
{
	struct gateway *g = r->g;

	request_reset(r);
	if (g->nspare < REQUESTS_SPARE_MAX) {
		TAILQ_INSERT_HEAD(&g->spare, r, next);
		g->nspare++;
		return;
	}
	turn_free(&r->turn);
	buf_done(&r->body);
	buf_done(&r->upstream);
	buf_done(&r->credential);
	arena_done(&r->arena);
	free(r);
}

/* A big buffer goes back to the system; a small one serves the next request. */
static void
clear_buf(struct buf *b)
{
	if (b->cap > OUT_SOFT_MAX)
		buf_done(b);
	else
		buf_clear(b);
}

static void
drop_bodies(struct request *r)
{
	clear_buf(&r->body);
	clear_buf(&r->upstream);
	clear_buf(&r->turn.body);
	clear_buf(&r->turn.more);
	clear_buf(&r->turn.tools);
	answer_over(&r->turn.answer);
	clear_buf(&r->turn.answer.whole);
	clear_buf(&r->turn.answer.held);
	clear_buf(&r->turn.answer.scratch);
	clear_buf(&r->turn.run.out[0].text);
	clear_buf(&r->turn.run.out[1].text);
	clear_buf(&r->turn.run.request);
	clear_buf(&r->turn.run.files);
	sides_free(&r->turn);
	turn_drop_tools(&r->turn);
	keep_free(&r->turn);
	budget_release(&r->g->bodies, &r->charge);
	r->room = 0;
}

/* A key's room stays for the next one, a token's does not. */
static void
forget_credential(struct request *r)
{
	if (r->credential.len > 0)
		explicit_bzero(r->credential.ptr, r->credential.len);
	buf_clear(&r->credential);
	if (r->credential.cap > CREDENTIAL_KEPT_MAX)
		buf_done(&r->credential);
	r->key_ok = false;
}

void
request_reset(struct request *r)
{
	assert(!r->active && r->call == 0);
	turn_reset(&r->turn);
	drop_bodies(r);
	arena_reset(&r->arena);
	forget_credential(r);
	r->http = (struct http_request){ .method = SPAN_EMPTY };
	r->source = NULL;
	r->style = &style_openai;
	r->route = NULL;
	r->route_param = r->route_param2 = r->query = SPAN_EMPTY;
	r->page = NULL;
	r->tool_version = 0;
	r->turn.call.anthropic_version = r->turn.call.anthropic_beta = SPAN_EMPTY;
	r->pasted = false;
	r->leaked = SPAN_EMPTY;
	r->param[0] = '\0';
	r->detail = NULL;
	r->status = 0;
	r->retry_after_ms = 0;
	r->have_rate = r->head_sent = r->close = false;
}

/* ---- the head ---- */

/* What follows "Bearer" and one blank, as RFC 6750 has it; the scheme in any case. */
static struct span
bearer(struct span value)
{
	static const struct span scheme = { (const uint8_t *)"bearer ", 7 };

	if (value.len <= scheme.len || !span_eq_nocase(span_of(value.ptr, scheme.len), scheme))
		return SPAN_EMPTY;
	return span_from(value, scheme.len);
}

/* Either header names the key; both must name the same one. */
static void
take_credential(struct request *r)
{
	struct span auth = SPAN_EMPTY, value = SPAN_EMPTY;
	struct status has_auth = http_request_field(&r->http, "authorization", &auth);
	struct status has_key = http_request_field(&r->http, "x-api-key", &value);

	if (has_auth.code == E_EXISTS || has_key.code == E_EXISTS)
		return;
	auth = bearer(auth);
	if (!is_ok(has_key))
		value = auth;
	else if (is_ok(has_auth) && !crypto_eq(auth, value))
		return;
	if (value.len == 0 || !is_ok(buf_put_span(&r->credential, value)))
		return;
	r->key_ok = keytext_ok(value) || keytext_is_token(value);
}

void
request_begin(struct request *r, const struct http_request *http, struct source *source,
    const uint8_t address[SOURCE_LEN])
{
	r->began_ns = clock_mono_ns();
	if (!is_ok(uuid7(r->id)))
		memset(r->id, 0, sizeof(r->id));
	uuid_text(r->id, r->id_text);
	r->http = *http;
	r->style = style_find(http);
	r->source = source;
	memcpy(r->address, address, SOURCE_LEN);
	take_credential(r);
	daemon_metric_add(METRIC_REQUESTS, 1);
}

static void
activate(struct request *r)
{
	if (!r->active)
		TAILQ_INSERT_TAIL(&r->g->active, r, next);
	r->active = true;
}

/* Its form or checksum is wrong, again and again: refused here, counted for the authority. */
static void
key_failed(struct request *r)
{
	struct ga_failures m;

	daemon_metric_add(METRIC_AUTH_FAILURES, 1);
	memcpy(m.source, r->address, SOURCE_LEN);
	if (!source_failure(r->source, r->address, gateway_now(r->g), &m.count, &m.window_ms)) {
		r->g->failures_pending = true;
		return;
	}
	if (r->g->authority != NULL && !is_ok(link_send(r->g->authority, 0, GA_FAILURES, &m)))
		diag(DIAG_WARN, "failed credentials could not be reported");
}

/* A key that is none: recorded with its request, as long as a source has few of them. */
static void
refuse_key(struct request *r)
{
	if (r->g->authority != NULL && source_single(r->source, gateway_now(r->g))) {
		/* The authority refuses it without a look-up, too, and writes its record. */
		turn_refuse(&r->turn, ERROR_NO_ROUTE);
		return;
	}
	key_failed(r);
	reply_error(r, ERROR_INVALID_KEY);
	request_over(r);
}

void
request_check(struct request *r)
{
	struct ga_check m = { .credential = buf_span(&r->credential) };

	activate(r);
	r->close = true; /* unless the key is good, the body is never read */
	if (!r->key_ok) {
		refuse_key(r);
		return;
	}
	memcpy(m.request_id, r->id, REQUEST_ID_LEN);
	memcpy(m.source, r->address, SOURCE_LEN);
	if (r->g->authority == NULL || !is_ok(link_call(r->g->authority, GA_CHECK, &m,
					   CALL_TIMEOUT_MS, on_checked, r, &r->call))) {
		reply_error(r, ERROR_UNAVAILABLE);
		request_over(r);
	}
}

static void
on_checked(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct request *r = ctx;
	const struct ga_checked *m = msg;
	enum error error = ERROR_UNAVAILABLE;

	(void)l;
	r->call = 0;
	if (is_ok(st) && type == GA_CHECKED)
		error = (enum error)m->error;
	if (error == ERROR_NONE) {
		r->close = false;
		TAILQ_REMOVE(&r->g->active, r, next);
		r->active = false;
		r->reply->go_on(r);
		return;
	}
	reply_error(r, error);
	request_over(r);
}

/* ---- the body ---- */

struct status
request_charge(struct request *r, uint64_t more)
{
	struct budget *b = &r->g->bodies;

	if (r->charge.owners[SHARE_KEY] == NULL)
		TRY(budget_own(b, &r->charge, buf_span(&r->credential), r->address));
	return budget_charge(b, &r->charge, more);
}

/* Double the room, within what was announced; if that is too much, what is needed now. */
static struct status
make_room(struct request *r, uint64_t need)
{
	struct budget *b = &r->g->bodies;
	uint64_t most = r->http.body == HTTP_BODY_LENGTH ? r->http.content_length : BODY_MAX;
	uint64_t room = 2 * r->room > BUDGET_STEP_MIN ? 2 * r->room : BUDGET_STEP_MIN;

	if (r->room == 0)
		TRY(budget_own(b, &r->charge, buf_span(&r->credential), r->address));
	room = room > most ? most : room;
	if (room < need || !is_ok(budget_charge(b, &r->charge, room - r->room))) {
		TRY(budget_charge(b, &r->charge, need - r->room));
		room = need;
	}
	r->room = room;
	return buf_reserve(&r->body, (size_t)room - r->body.len);
}

struct status
request_body(struct request *r, struct span piece)
{
	uint64_t need = r->body.len + piece.len;

	r->body.max = BODY_MAX;
	if (need > r->room)
		TRY(make_room(r, need));
	return buf_put_span(&r->body, piece);
}

/* ---- the whole request ---- */

void
request_run(struct request *r)
{
	enum error error;

	activate(r);
	if (!r->key_ok) {
		refuse_key(r);
		return;
	}
	error = check(r);
	if (error != ERROR_NONE)
		turn_refuse(&r->turn, error);
	else
		r->route->run(r);
}

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
	uint8_t key[KEYTEXT_LEN];
	bool leaked = false;

	if (body.len == 0 || r->route->takes_key)
		return ERROR_NONE;
	r->pasted = pasted_any(body);
	if (!is_ok(leak_find(body, key, &leaked)))
		return ERROR_OVERLOADED;
	if (!leaked)
		return ERROR_NONE;
	return is_ok(arena_copy(&r->arena, span_of(key, sizeof(key)), &r->leaked))
		   ? ERROR_LEAKED_KEY
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

static enum error
check(struct request *r)
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

/* ---- the end ---- */

void
request_over(struct request *r)
{
	assert(r->turn.state == TURN_IDLE && r->call == 0);
	TAILQ_REMOVE(&r->g->active, r, next);
	r->active = false;
	drop_bodies(r); /* an idle connection keeps nothing large */
	if (r->reply == NULL)
		release(r);
}

void
request_left(struct request *r)
{
	r->reply = NULL;
	r->conn = NULL;
	r->source = NULL;
	if (r->call != 0) {
		link_call_cancel(r->g->authority, r->call);
		r->call = 0;
		request_over(r);
	} else if (r->active) {
		turn_fail(&r->turn, ERROR_CANCELLED);
	} else {
		release(r);
	}
}

void
request_give_up(struct request *r, enum error error)
{
	const struct reply_ops *reply = r->reply;

	r->close = true;
	reply_error(r, error);
	reply->part(r);
	r->reply = NULL;
	r->conn = NULL;
	r->source = NULL;
	drop_bodies(r);
}

void
request_writable(struct request *r)
{
	turn_writable(&r->turn);
}

static void
each_unavailable(struct gateway *g, void (*end)(struct turn *t, enum error error))
{
	struct request *r, *next;

	for (r = TAILQ_FIRST(&g->active); r != NULL; r = next) {
		next = TAILQ_NEXT(r, next);
		if (r->call == 0) {
			end(&r->turn, ERROR_UNAVAILABLE);
			continue;
		}
		link_call_cancel(g->authority, r->call);
		r->call = 0;
		reply_error(r, ERROR_UNAVAILABLE);
		request_over(r);
	}
}

void
requests_unavailable(struct gateway *g)
{
	each_unavailable(g, turn_revoke);
}

void
requests_end(struct gateway *g)
{
	each_unavailable(g, turn_fail);
}

void
requests_revoke(struct gateway *g, uint64_t turn, enum error error)
{
	struct request *r;

	TAILQ_FOREACH(r, &g->active, next)
	{
		if (r->turn.id == turn && r->turn.state != TURN_IDLE) {
			turn_revoke(&r->turn, error);
			return;
		}
	}
}
