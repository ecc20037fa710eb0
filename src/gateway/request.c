/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c: one request from its head to its end: body, then its turn.
 *
 * Runs in: gateway. Trusts: nothing. The same parsed path serves authentication
 * and routing.
 * Owns: the body, its share of the worker's budget, the arena, the turn.
 * Invariants: without a good key nobody learns whether a path exists: what is
 * wrong with a request is told by the authority's leave only (turn_refuse).
 * See: credential.c (who sends it); validate.c (is it what its route takes?); routes.c, turn.c;
 * h1.c, h2.c, which carry it.
 */
#include "request.h"

#include <assert.h>
#include <stdlib.h>

#include <base/clock.h>
#include <base/encode.h>
#include <crypto/crypto.h>

#include "keep.h"
#include "routes.h"
#include "sides.h"

#define LOGIN_RETRY_MS 1000 /* the window of source_single() */

static void on_checked(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
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

void
request_reset(struct request *r)
{
	assert(!r->active && r->call == 0);
	turn_reset(&r->turn);
	drop_bodies(r);
	arena_wipe(&r->arena);
	credential_forget(r);
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
	r->leaked_home = 0;
	r->param[0] = '\0';
	r->detail = NULL;
	r->token_error = NULL;
	r->status = 0;
	r->retry_after_ms = 0;
	r->location[0] = '\0';
	r->have_rate = r->head_sent = r->close = false;
}

/* ---- the head ---- */

void
request_begin(struct request *r, const struct http_request *http, struct source *source,
    const uint8_t address[SOURCE_LEN], struct span certificate)
{
	r->began_ns = clock_mono_ns();
	if (!is_ok(uuid7(&r->g->random, r->id)))
		memset(r->id, 0, sizeof(r->id));
	uuid_text(r->id, r->id_text);
	r->http = *http;
	r->style = style_find(http);
	r->source = source;
	memcpy(r->address, address, SOURCE_LEN);
	credential_take(r, certificate);
	r->tls_generation = r->g->tls_generation;
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

/* Whoever asks so often has as many failures, and no answer. */
static void
refuse_login(struct request *r)
{
	key_failed(r);
	r->retry_after_ms = LOGIN_RETRY_MS;
	reply_error(r, ERROR_RATE_LIMIT);
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
	if (login_is_public(r)) {
		if (source_single(r->source, gateway_now(r->g)))
			login_answer(r);
		else
			refuse_login(r);
		return;
	}
	if (!r->key_ok) {
		refuse_key(r);
		return;
	}
	error = request_validate(r);
	if (error != ERROR_NONE)
		turn_refuse(&r->turn, error);
	else
		r->route->run(r);
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
