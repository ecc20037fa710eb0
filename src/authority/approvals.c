/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals.c: acts that need two people.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks.
 * Owns: the acts that wait for a second person, as they were asked for.
 * Invariants: who asked never decides; who decides has the right to the act; what was decided
 * or has lapsed is done once or not at all; each step is on record; what was asked for by a
 * session or a token is not done when that is over, nor what was about a person of whose name there
 * is another one; nobody decides before it is on record that it was asked for; who decides sees all
 * that was asked for; what is read is read by who asked; what has ended takes no place of what
 * waits, and of what it was about nothing is kept. They do not outlive the process: then they have
 * lapsed, too. See: approvals_show.c, admin_call.h, roles.c (which acts).
 */
#include "approvals.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/rand.h>
#include <json/write.h>

#define APPROVALS_TENANT_MAX 16 /* about one tenant, those that wait; and those that have ended */
#define APPROVALS_PERSON_MAX 8  /* of one person, given ones too */
#define APPROVAL_TTL_MS 3600000
#define APPROVAL_BODY_MAX 1024 /* so that whoever agrees sees all of it */
#define KEY_PATH "/admin/v1/keys/{}"

struct approval approvals[APPROVALS_MAX];
static uint64_t ended_count;

static void put_record(struct admin_op *op, struct batch *b, const struct record_who *who);
static bool still_may(struct authority *a, const struct approval *p);
static void on_asked(struct admin_op *op);
static void undo_ask(struct admin_op *op);
static void on_decided(struct admin_op *op);
static void undo_decision(struct admin_op *op);
static void on_result(void *ctx, uint16_t http, struct span body);

const struct admin_kind admin_approval_kind = { put_record, approval_put_asked, true,
	ADMIN_WAIT_MS };

static void
release(struct approval *p)
{
	if (p->request.ptr != NULL)
		explicit_bzero(p->request.ptr, p->request.cap);
	buf_done(&p->request);
	*p = (struct approval){ .state = FREE };
}

bool
approval_is_by(const struct approval *p, const struct admin_call *c)
{
	if (p->by == NULL || c->by == NULL)
		return p->by == NULL && c->by == NULL && p->uid == c->uid;
	return p->by->user == c->by->user &&
	       memcmp(p->asker, c->by->user->subject, SUBJECT_LEN) == 0;
}

/* NULL: none has ended. */
static struct approval *
oldest_ended(struct span tenant, size_t *ret_n)
{
	struct approval *oldest = NULL;

	*ret_n = 0;
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		struct approval *p = &approvals[i];

		if (!approval_has_ended(p) || (tenant.len > 0 && !span_eq_str(tenant, p->tenant)))
			continue;
		++*ret_n;
		if (oldest == NULL || p->nth < oldest->nth)
			oldest = p;
	}
	return oldest;
}

/* What was asked for is not needed any more; how that ended is told for as long again. */
static void
end(const struct authority *a, struct approval *p, enum approval_state state, uint16_t http,
    const char *error)
{
	struct approval ended = { .state = state,
		.action = p->action,
		.by = p->by,
		.uid = p->uid,
		.nth = ++ended_count,
		.http = http,
		.error = error,
		.until_ms = now_ms(a) + APPROVAL_TTL_MS,
		.expires_s = now_real_s() + APPROVAL_TTL_MS / 1000 };
	struct approval *oldest;
	size_t n;

	memcpy(ended.id, p->id, sizeof(ended.id));
	memcpy(ended.asker, p->asker, sizeof(ended.asker));
	memcpy(ended.tenant, p->tenant, sizeof(ended.tenant));
	release(p);
	oldest = oldest_ended(span_str(ended.tenant), &n);
	if (n >= APPROVALS_TENANT_MAX)
		release(oldest);
	*p = ended;
}

/* ---- asking ---- */

static struct status
free_place(const struct admin_call *c, struct approval **ret)
{
	size_t n = 0, own = 0, ended;

	*ret = NULL;
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		if (approvals[i].state == FREE) {
			*ret = &approvals[i];
			continue;
		}
		if (approval_has_ended(&approvals[i]))
			continue;
		n += approvals[i].state != GIVEN && span_eq_str(c->tenant, approvals[i].tenant);
		own += approval_is_by(&approvals[i], c);
	}
	if (*ret == NULL)
		*ret = oldest_ended(SPAN_EMPTY, &ended);
	return *ret != NULL && n < APPROVALS_TENANT_MAX && own < APPROVALS_PERSON_MAX
		   ? OK
		   : fail(E_FULL);
}

/* What was asked for by a session or a token ends with it. */
static void
note_credential(struct approval *p, const struct admin_call *c)
{
	if (c->by != NULL && c->by->parent != NULL) {
		memcpy(p->session, ((const struct session *)c->by)->id, sizeof(p->session));
		p->by_until_s = c->by->expires_s;
	} else if (c->by != NULL && c->by->has_roles) {
		p->by_until_s = c->a->oidc->token_expires_s; /* of this very request's */
	}
}

/* Of the path (of a key: whose it is), or of the body; empty: it is about no one person. */
static struct status
person_of(const struct admin_call *c, enum action action, struct span *ret)
{
	uint32_t tok = c->route->schema == NULL ? JSON_NONE : json_get_str(c->doc, 0, "user");
	const struct key *key = strncmp(c->route->path, KEY_PATH, strlen(KEY_PATH)) == 0
				    ? keys_find(&c->a->keys, c->param)
				    : NULL;

	*ret = action == ACTION_TENANT_EXPORT ? SPAN_EMPTY
	       : key != NULL                  ? key->user->name
					      : c->param;
	return tok == JSON_NONE ? OK : json_str(c->doc, tok, c->arena, ret);
}

/* A name may be another person's by the time that it is used. Zeros: there is nobody. */
static void
subject_of(
    const struct authority *a, struct span tenant, struct span name, uint8_t out[SUBJECT_LEN])
{
	const struct user *u = name.len == 0 ? NULL : keys_find_user(&a->keys, tenant, name);

	memset(out, 0, SUBJECT_LEN);
	if (u != NULL)
		memcpy(out, u->subject, SUBJECT_LEN);
}

static struct status
note_person(struct approval *p, const struct admin_call *c)
{
	struct span name;

	TRY(person_of(c, p->action, &name));
	TRY(span_to_cstr(name, p->person, sizeof(p->person)));
	subject_of(c->a, c->tenant, name, p->subject);
	return OK;
}

static bool
is_about_the_same(const struct authority *a, const struct approval *p)
{
	uint8_t subject[SUBJECT_LEN];

	subject_of(a, span_str(p->tenant), span_str(p->person), subject);
	return memcmp(p->subject, subject, SUBJECT_LEN) == 0;
}

static struct status
fill(struct approval *p, const struct admin_call *c, enum action action)
{
	uint8_t id[APPROVAL_ID_LEN];

	*p = (struct approval){ .state = ASKING,
		.action = action,
		.by = c->by == NULL ? NULL : key_root(c->by),
		.uid = c->uid,
		.request = BUF_INIT(2 * ADMIN_PATH_MAX + ADMIN_REQUEST_MAX + 16),
		.method_len = c->method.len,
		.path_len = c->path.len,
		.query_len = c->query.len,
		.until_ms = now_ms(c->a) + APPROVAL_TTL_MS,
		.expires_s = now_real_s() + APPROVAL_TTL_MS / 1000 };
	if (c->by != NULL)
		memcpy(p->asker, c->by->user->subject, SUBJECT_LEN);
	note_credential(p, c);
	TRY(note_person(p, c));
	TRY(rand_bytes(id, sizeof(id)));
	hex_encode(span_of(id, sizeof(id)), p->id);
	TRY(span_to_cstr(c->tenant, p->tenant, sizeof(p->tenant)));
	TRY(span_to_cstr(c->source, p->source, sizeof(p->source)));
	TRY(buf_put_span(&p->request, c->method));
	TRY(buf_put_span(&p->request, c->path));
	TRY(buf_put_span(&p->request, c->query));
	return buf_put_span(&p->request, c->body);
}

/* To the byte; of what is read, any part is as good as another. */
static bool
is_same_request(const struct approval *p, const struct admin_call *c)
{
	struct span all = buf_span(&p->request);
	struct span path = span_from(all, p->method_len);
	struct span query = span_from(path, p->path_len);

	if (!span_eq(span_of(all.ptr, p->method_len), c->method) ||
	    !span_eq(span_of(path.ptr, p->path_len), c->path))
		return false;
	return action_is_given(p->action) || (span_eq(span_of(query.ptr, p->query_len), c->query) &&
						 span_eq(span_from(query, p->query_len), c->body));
}

/* The same person has asked for the same already, and that can still be done. In: its states. */
static struct approval *
find_same(const struct admin_call *c, enum action action, enum approval_state first,
    enum approval_state last)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		struct approval *p = &approvals[i];

		if (p->state >= first && p->state <= last && p->action == action &&
		    approval_is_by(p, c) && now_ms(c->a) < p->until_ms && is_same_request(p, c) &&
		    still_may(c->a, p))
			return p;
	}
	return NULL;
}

bool
approval_covers(const struct admin_call *c, enum action action)
{
	return action_is_given(action) && find_same(c, action, GIVEN, GIVEN) != NULL;
}

static struct status
begin_record(struct admin_call *c, struct approval *p, const char *state, admin_step *ready,
    admin_step *undo)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_APPROVAL, &op));
	op->approval = p;
	op->operation = action_name(p->action);
	op->value = state;
	(void)snprintf(op->value_text, sizeof(op->value_text), "%s", p->id);
	op->undo = undo;
	return admin_op_begin(op, ready, c->op);
}

static struct status
begin_asked(struct admin_call *c, struct approval *p)
{
	TRY(begin_record(c, p, "asked", on_asked, undo_ask));
	p->asks++;
	return OK;
}

struct status
approval_ask(struct admin_call *c, enum action action)
{
	struct approval *p = find_same(c, action, ASKING, DECIDING);
	struct status st;

	if (p != NULL && p->state == DECIDING)
		return admin_refuse(
		    c, 409, "busy", "What you asked for before is being decided just now.");
	if (p != NULL)
		return begin_asked(c, p);
	if (c->body.len > APPROVAL_BODY_MAX)
		return admin_refuse(c, 413, "body_too_large",
		    "What another person is to agree to is at most 1024 bytes long.");
	TRY(free_place(c, &p));
	st = fill(p, c, action);
	if (is_ok(st))
		st = begin_asked(c, p);
	if (!is_ok(st))
		release(p);
	return st;
}

static void
put_record(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_APPROVAL, who, "approval", span_str(op->value_text));
	if (strcmp(op->value, "refused") == 0)
		batch_outcome(b, AUDIT_DENIED, AUDIT_CAUSE_NONE);
	batch_text(b, op->value_text);
	batch_text(b, op->operation);
	batch_text(b, op->value);
}

/* One that waited may have been decided, and its place taken, while this was on its way. */
static bool
is_its(const struct admin_op *op)
{
	return strcmp(op->approval->id, op->value_text) == 0;
}

static bool
is_there(const struct admin_op *op)
{
	return is_its(op) && !approval_has_ended(op->approval);
}

/* Any one of those records will do. */
static void
on_asked(struct admin_op *op)
{
	struct approval *p = op->approval;

	if (!is_there(op)) {
		admin_op_answer(op, 409, "not_allowed", "It was decided meanwhile: ask anew.");
		return;
	}
	p->asks--;
	p->state = p->state == ASKING ? WAITING : p->state;
	admin_op_answer(op, 202, NULL, NULL);
}

static void
undo_ask(struct admin_op *op)
{
	struct approval *p = op->approval;

	if (is_there(op) && --p->asks == 0 && p->state == ASKING)
		release(p);
}

/* ---- deciding ---- */

/* A key's text is in the answer: as if who approves had made it. */
static struct status
may_have_answer(struct admin_call *c, enum action action)
{
	if (action != ACTION_SERVICE_KEY || c->by == NULL)
		return OK;
	TRY(admin_may_get_keys(c));
	if (admin_is_narrow(c->by))
		return admin_refuse(c, 403, "denied", "A narrowed credential makes no keys.");
	return OK;
}

struct status
approvals_decide(struct admin_call *c)
{
	bool approve = json_str_eq_str(c->doc, json_get_str(c->doc, 0, "decision"), "approve");
	struct approval *p = approval_find(c->by, c->param);
	struct status st;

	if (p == NULL || (p->state != WAITING && (approve || p->state != GIVEN)) ||
	    now_ms(c->a) >= p->until_ms)
		return admin_refuse_not_found(c);
	TRY(admin_may(c, p->action));
	TRY(admin_not_narrow(c));
	if (approve && approval_is_by(p, c))
		return admin_refuse(
		    c, 403, "same_person", "Another person must approve what you have asked for.");
	if (approve)
		TRY(may_have_answer(c, p->action));
	p->given = p->state == GIVEN;
	p->state = DECIDING;
	st = begin_record(c, p, approve ? "approved" : "refused", on_decided, undo_decision);
	if (!is_ok(st))
		p->state = p->given ? GIVEN : WAITING;
	return st;
}

/* Whoever asked, and whom it is about, is still who it was, and may still do it. */
static bool
still_may(struct authority *a, const struct approval *p)
{
	const struct key *by = p->by;

	if (p->by_until_s != 0 && now_real_s() >= p->by_until_s)
		return false;
	if (p->session[0] != '\0' && sessions_by_id(a, span_str(p->session), SPAN_EMPTY) == NULL)
		return false;
	if (!is_about_the_same(a, p))
		return false;
	return by == NULL || (by->revoked_s == 0 && by->user->state == USER_ACTIVE &&
				 (by->expires_s == 0 || now_real_s() < by->expires_s) &&
				 roles_allow(key_roles(by), p->action));
}

/* The act of who asked, on record as theirs, answered to who approved. */
static struct status
run(struct admin_op *op, struct approval *p, struct admin_op **act, struct admin_call *c)
{
	struct span all = buf_span(&p->request);
	struct span path = span_from(all, p->method_len);
	struct span query = span_from(path, p->path_len);

	*c = (struct admin_call){ .a = op->a,
		.uid = p->uid,
		.by = p->by,
		.source = span_str(p->source),
		.reply = on_result,
		.ctx = op,
		.op = act,
		.method = span_of(all.ptr, p->method_len),
		.path = span_of(path.ptr, p->path_len),
		.query = span_of(query.ptr, p->query_len),
		.body = span_from(query, p->query_len),
		.approved = true };
	if (p->by != NULL)
		c->request_id = op->request_id;
	return admin_dispatch(c);
}

/* From now on, for as long as one waits. */
static void
give(const struct authority *a, struct approval *p)
{
	p->state = GIVEN;
	p->until_ms = now_ms(a) + APPROVAL_TTL_MS;
	p->expires_s = now_real_s() + APPROVAL_TTL_MS / 1000;
}

static void
undo_decision(struct admin_op *op)
{
	op->approval->state = op->approval->given ? GIVEN : WAITING;
}

static void
on_decided(struct admin_op *op)
{
	struct approval *p = op->approval;
	struct admin_op *act = NULL;
	struct admin_call c;

	op->body = BUF_INIT(ADMIN_BODY_MAX);
	if (strcmp(op->value, "refused") == 0) {
		end(op->a, p, REFUSED, 0, NULL);
		on_result(op, 0, SPAN_EMPTY);
		return;
	}
	if (!still_may(op->a, p)) {
		end(op->a, p, FAILED, 409, "not_allowed");
		admin_op_answer(op, 409, "not_allowed",
		    "Who asked may not do that any more, or whom it is about is another.");
	} else if (action_is_given(p->action)) {
		give(op->a, p);
		on_result(op, 0, SPAN_EMPTY);
		return;
	} else if (is_ok(run(op, p, &act, &c))) {
		end(op->a, p, DOING, 0, NULL);
		op->deadline_ms = act->deadline_ms + ADMIN_WAIT_MS; /* it answers first */
	} else {
		end(op->a, p, FAILED, c.http, c.code);
		admin_op_answer(op, c.http, c.code, c.message);
	}
}

/* The name of an error, which is in a table; NULL: it is none. */
static const char *
error_of(struct span body)
{
	auto_json struct json_doc d = { 0 };
	const struct json_opts opts = { .depth_max = 8, .tokens_max = 4096 };
	uint32_t code;

	if (!is_ok(json_init(&d, &opts)) || !is_ok(json_parse(&d, body)))
		return NULL;
	code = json_get_str(&d, json_get_str(&d, 0, "error"), "code");
	for (size_t i = 0; code != JSON_NONE && i < admin_codes_count; i++) {
		if (json_str_eq_str(&d, code, admin_codes[i].code))
			return admin_codes[i].code;
	}
	return NULL;
}

static void
note_result(struct approval *p, uint16_t http, struct span body)
{
	p->state = http < 400 ? DONE : FAILED;
	p->http = http;
	p->error = http < 400 ? NULL : error_of(body);
}

static struct status
put_result(struct admin_op *op, uint16_t http, struct span body, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "id");
	json_put_text(&w, op->value_text);
	json_put_key(&w, "state");
	json_put_text(&w, op->value);
	if (http != 0) {
		json_put_key(&w, "status");
		json_put_u64(&w, http);
		json_put_key(&w, "result");
		json_put_raw(&w, body);
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
on_result(void *ctx, uint16_t http, struct span body)
{
	struct admin_op *op = ctx;

	if (is_its(op) && op->approval->state == DOING)
		note_result(op->approval, http, body);
	/* Room first: a new key's text is in it, and no half of it stays where a buffer was. */
	if (is_ok(buf_reserve(&op->body, body.len + 512)) &&
	    is_ok(put_result(op, http, body, &op->body)))
		admin_op_answer_body(op, 200);
	else
		admin_op_answer(op, 500, "internal_error", "The answer could not be made.");
}

/* ---- lapsing ---- */

static void
on_lapsed(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	(void)a, (void)ctx, (void)seq;
	if (!is_ok(st))
		diag(DIAG_WARN, "an approval lapsed, and the audit log does not say so");
}

/* What was asked of a hold before it was set, or lifted, is not about the one that comes. */
void
approvals_end_lifts(const struct authority *a, const struct user *u)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		struct approval *p = &approvals[i];

		if (p->action != ACTION_HOLD_LIFT ||
		    memcmp(p->subject, u->subject, SUBJECT_LEN) != 0)
			continue;
		p->until_ms = now_ms(a); /* the next tick puts it on record */
		p->expires_s = now_real_s();
	}
}

void
approvals_tick(struct authority *a)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		struct approval *p = &approvals[i];
		struct record_who who = { .key = p->by, .config = a->d->generation };
		struct batch b = { .n = 0 };

		if ((p->state == GIVEN || approval_has_ended(p)) && now_ms(a) >= p->until_ms)
			release(p);
		if (p->state != WAITING || now_ms(a) < p->until_ms || !audit_is_writable(a))
			continue;
		(void)batch_add(&b, EVENT_APPROVAL, &who, "approval", span_str(p->id));
		batch_outcome(&b, AUDIT_FAILURE, AUDIT_TIMEOUT);
		batch_text(&b, p->id);
		batch_text(&b, action_name(p->action));
		batch_text(&b, "lapsed");
		if (is_ok(audit_append(a, &b, on_lapsed, NULL)))
			release(p);
	}
}

void
approvals_done(void)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++)
		release(&approvals[i]);
}
