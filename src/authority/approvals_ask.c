/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals_ask.c: acts that need two people, as they are asked for.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks. Owns: nothing.
 * Invariants: nobody decides before it is on record that it was asked for; the same asked for again
 * is one; all that was asked for can be shown to who decides; what was asked for by a session or a
 * token is not done when that is over, nor what was about a person of whose name there is another
 * one; what is read is read by who asked.
 * See: approvals.c.
 */
#include "approvals.h"

#include <base/encode.h>
#include <base/rand.h>

#define APPROVAL_BODY_MAX 1024 /* so that whoever agrees sees all of it */
#define KEY_PATH "/admin/v1/keys/{}"

static void on_asked(struct admin_op *op);
static void undo_ask(struct admin_op *op);

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

/* Whoever asked, and whom it is about, is still who it was, and may still do it. */
bool
approval_may_still(struct authority *a, const struct approval *p)
{
	const struct key *by = p->by;

	if (p->by_until_s != 0 && now_real_s() >= p->by_until_s)
		return false;
	if (p->session[0] != '\0' && sessions_by_id(a, span_str(p->session), SPAN_EMPTY) == NULL)
		return false;
	if (!is_about_the_same(a, p))
		return false;
	return by == NULL ||
	       (by->revoked_s == 0 && approval_asker(p) != NULL && by->user->state == USER_ACTIVE &&
		   (by->expires_s == 0 || now_real_s() < by->expires_s) &&
		   roles_allow(key_roles(by), p->action));
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
		struct approval *p = approval_at(i);

		if (p->state >= first && p->state <= last && p->action == action &&
		    approval_is_by(p, c) && now_ms(c->a) < p->until_ms && is_same_request(p, c) &&
		    approval_may_still(c->a, p))
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
begin_asked(struct admin_call *c, struct approval *p)
{
	TRY(approval_begin_record(c, p, "asked", on_asked, undo_ask));
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
	TRY(approval_take_place(c, &p));
	st = fill(p, c, action);
	if (is_ok(st))
		st = begin_asked(c, p);
	if (!is_ok(st))
		approval_release(p);
	return st;
}

static bool
is_there(const struct admin_op *op)
{
	return approval_is_of(op) && !approval_has_ended(op->approval);
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
		approval_release(p);
}
