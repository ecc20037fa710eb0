/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_sessions.c: sessions: list, revoke.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks.
 * Owns: nothing. Invariants: without the right to others' a person sees its own; a session that
 * is revoked runs nothing when that is answered, and does not come back: its end is durable.
 * See: admin_call.h, sessions.h.
 */
#include "admin_op.h"

#include <stdio.h>

#include <json/write.h>

static void put_revoked(struct admin_op *op, struct batch *b, const struct record_who *who);
static struct status put_body(struct admin_op *op, struct json_writer *w);
static void on_intent(struct admin_op *op);
static void on_ended(struct authority *a, void *ctx, enum code code, const void *answered);

const struct admin_kind admin_session_kind = { put_revoked, put_body, false, ADMIN_WAIT_MS };

static bool
is_seen(const struct session *s, struct span tenant, struct span user)
{
	return (tenant.len == 0 || span_eq(s->key.user->tenant, tenant)) &&
	       (user.len == 0 || span_eq(s->key.user->name, user));
}

static void
put_session(struct json_writer *w, const struct session *s)
{
	json_put_object(w);
	json_put_key(w, "id");
	json_put_text(w, s->id);
	json_put_key(w, "tenant");
	json_put_str(w, s->key.user->tenant);
	json_put_key(w, "user");
	json_put_str(w, s->key.user->name);
	json_put_key(w, "key");
	json_put_str(w, span_of(s->key.parent->id, KEY_ID_LEN));
	json_put_key(w, "created_s");
	json_put_u64(w, s->key.created_s);
	json_put_key(w, "expires_s");
	json_put_u64(w, s->key.expires_s);
	json_put_key(w, "scopes");
	if (s->key.scope != NULL)
		json_put_raw(w, scope_text(s->key.scope));
	else
		json_put_null(w);
	json_put_end(w);
}

static struct status
make_list(struct admin_op *op, struct buf *out)
{
	const struct sessions *t = &op->a->sessions;
	struct json_writer w = json_writer(out);
	const struct session *s;
	const char *next = NULL, *last = NULL;
	bool behind = op->after[0] == '\0';
	uint32_t n = 0;

	json_put_object(&w);
	json_put_key(&w, "sessions");
	json_put_array(&w);
	for (s = t->buckets == NULL ? NULL : TAILQ_FIRST(&t->live); s != NULL;
	     s = TAILQ_NEXT(s, next)) {
		if (is_seen(s, span_str(op->tenant), span_str(op->user)) && behind) {
			if (n == op->limit) {
				next = last;
				break;
			}
			put_session(&w, s);
			last = s->id;
			n++;
		}
		behind = behind || strcmp(op->after, s->id) == 0;
	}
	json_put_end(&w);
	json_put_key(&w, "next");
	if (next != NULL)
		json_put_text(&w, next);
	else
		json_put_null(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* One that the caller may know of; NULL: none. */
static struct session *
known_session(const struct admin_call *c, struct span id)
{
	struct session *s = sessions_by_id(c->a, id, c->tenant);

	if (s == NULL || c->by == NULL || s->key.user == c->by->user)
		return s;
	return admin_has(c, ACTION_SESSION_READ) ? s : NULL;
}

struct status
sessions_list(struct admin_call *c)
{
	struct span after = admin_query(c, "after");
	struct admin_op *op = NULL;
	uint32_t limit = 0;

	TRY(admin_query_limit(c, &limit));
	if (after.len > 0 && known_session(c, after) == NULL)
		return admin_refuse_not_found(c);
	TRY(admin_read_new(c, "sessions.list", make_list, &op));
	op->limit = limit < 100 ? limit : 100; /* of scopes there may be 4 KB each */
	(void)snprintf(op->after, sizeof(op->after), "%.*s", SPAN_FMT(after));
	if (!admin_has(c, ACTION_SESSION_READ))
		(void)snprintf(op->user, sizeof(op->user), "%.*s", SPAN_FMT(c->by->user->name));
	return admin_read_begin(c, op);
}

/* ---- revoke ---- */

/* Of somebody with more than an ordinary role only who may give and take such roles. */
static struct status
may_end(struct admin_call *c, const struct user *u)
{
	const uint8_t ordinary = ROLE_USER | ROLE_SERVICE;

	TRY(admin_may(c, ACTION_SESSION_REVOKE));
	if ((admin_all_roles(c->a, u) & (uint8_t)~ordinary) == 0)
		return OK;
	return admin_may(c, ACTION_ROLE_GRANT);
}

struct status
sessions_revoke(struct admin_call *c)
{
	struct session *s = known_session(c, c->param);
	struct admin_op *op = NULL;

	if (s == NULL)
		return admin_refuse_not_found(c);
	if (c->by != NULL && s->key.user != c->by->user)
		TRY(may_end(c, s->key.user));
	if (&s->key != c->by && s->key.parent != c->by)
		TRY(admin_not_narrow(c));
	TRY(admin_op_new(c, OP_SESSION, &op));
	(void)snprintf(op->value_text, sizeof(op->value_text), "%s", s->id);
	return admin_op_begin(op, on_intent, c->op);
}

static void
put_revoked(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_SESSION_REVOKED, who, "session", span_str(op->value_text));
	batch_text(b, op->value_text);
	admin_put_by(op, b);
}

static struct status
put_body(struct admin_op *op, struct json_writer *w)
{
	json_put_key(w, "id");
	json_put_text(w, op->value_text);
	json_put_key(w, "turns");
	json_put_u64(w, op->turns);
	return OK;
}

static void
on_intent(struct admin_op *op)
{
	struct session *s = sessions_by_id(op->a, span_str(op->value_text), SPAN_EMPTY);
	struct as_session_end m = { 0 };

	if (s == NULL) { /* it has ended by itself */
		admin_finish_after_turns(op);
		return;
	}
	memcpy(m.id, s->id_bytes, sizeof(m.id));
	admin_op_ask(op, AS_SESSION_END, &m, AS_DONE, on_ended);
}

static void
on_ended(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct admin_op *op = ctx;
	struct session *s = sessions_by_id(a, span_str(op->value_text), SPAN_EMPTY);

	(void)answered;
	if (code != E_OK && code != E_NOTFOUND) {
		admin_op_finish(op, 503, "store_unavailable",
		    "The store did not end it; the session is still valid.");
		return;
	}
	if (s != NULL) {
		admin_end_turns(op, &s->key);
		session_end(a, s);
	}
	admin_finish_after_turns(op);
}
