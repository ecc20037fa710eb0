/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_exchange.c: a credential is exchanged for a session token; one's own session ends.
 *
 * Runs in: authority. Trusts: nothing of a request: its credential decides.
 * Owns: exchanges, while they last, with the token in them.
 * Invariants: no session is made of a session; its token is answered once the store has the
 * session and the log its record, in that order, and taken not before; an end is an intent on
 * record, then durable, then it is done.
 * See: sessions.h; docs/api.md.
 */
#include "sessions.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/rand.h>
#include <json/write.h>
#include <jwt/issue.h>

#include "authority.h"
#include "later.h"
#include "roles.h"

#define CLAIMS_MAX (SCOPE_MAX + 1024)

/* What waits for the store and for its records. */
struct exchange {
	struct gateway *gw;
	uint32_t peer_id;
	uint64_t id;
	struct key *by;     /* the credential's, or that which its session is of */
	const char *method; /* how it has shown who it is */
	uint8_t request_id[REQUEST_ID_LEN], source[SOURCE_LEN];
	struct session *s;             /* to be made */
	uint8_t ended[SESSION_ID_LEN]; /* to be ended, or made room of */
	char ended_text[2 * SESSION_ID_LEN];
	bool ends;          /* it was asked for that */
	enum error refused; /* why it is not begun */
	bool scope_bad;
	struct buf token, scope;
	uint32_t lifetime_s;
	uint64_t intent_seq; /* of an end */
};

static void on_kept(struct authority *a, void *ctx, enum code code, const void *answered);
static void on_recorded(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_end_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_ended(struct authority *a, void *ctx, enum code code, const void *answered);

/* ---- a new one ---- */

/* RFC 9068. Who it is, by the pseudonym alone: tokens end in other people's logs. */
static struct status
put_claims(const struct session *s, struct span scope, uint64_t now_s, struct buf *out)
{
	struct json_writer w = json_writer(out);
	char subject[2 * SUBJECT_LEN];

	hex_encode(span_of(s->key.user->subject, SUBJECT_LEN), subject);
	json_put_object(&w);
	json_put_key(&w, "iss");
	json_put_text(&w, "sallyport");
	json_put_key(&w, "aud");
	json_put_text(&w, "sallyport");
	json_put_key(&w, "sub");
	json_put_str(&w, span_of(subject, sizeof(subject)));
	json_put_key(&w, "client_id");
	json_put_str(&w, span_of(s->key.parent->id, KEY_ID_LEN));
	json_put_key(&w, "jti");
	json_put_text(&w, s->id);
	json_put_key(&w, "iat");
	json_put_u64(&w, now_s);
	json_put_key(&w, "exp");
	json_put_u64(&w, s->key.expires_s);
	if (scope.len > 0) {
		json_put_key(&w, "scope");
		json_put_str(&w, scope);
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

static struct status
sign(struct authority *a, struct session *s, struct span scope, struct buf *token)
{
	auto_buf struct buf claims = BUF_INIT(CLAIMS_MAX);
	const struct token_signer *signer = signers_newest(&a->sessions);

	if (signer == NULL)
		return fail(E_CLOSED);
	s->signer = signer->version;
	s->verified = true;
	TRY(put_claims(s, scope, now_real_s(), &claims));
	TRY(jwt_sign(buf_span(&claims), "at+jwt", signer->key, token));
	return sha256(buf_span(token), s->digest);
}

/* Each name is one that the credential has, too. */
static bool
is_within(const struct scope *s, const struct permit *may)
{
	for (size_t l = 0; l < LIST_COUNT; l++) {
		for (size_t i = 0; i < s->lists[l].n; i++) {
			if (!permit_has(may, (enum policy_list)l, s->lists[l].names[i]))
				return false;
		}
	}
	return true;
}

/* E_RANGE, E_SYNTAX: the scope is none, or wider. */
static struct status
read_scope(const struct key *parent, struct span words, struct scope **ret)
{
	auto_buf struct buf json = BUF_INIT(2 * SCOPES_MAX);
	const struct permit may = key_permit(parent);

	*ret = NULL;
	if (words.len == 0)
		return OK;
	TRY(scope_of_words(words, &json));
	TRY(scope_parse(buf_span(&json), ret));
	if (is_within(*ret, &may))
		return OK;
	scope_free(*ret);
	*ret = NULL;
	return fail(E_RANGE);
}

static uint32_t
lifetime_of(const struct authority *a, const struct key *parent, uint32_t asked_s)
{
	uint64_t most = a->policies.session_s, now_s = now_real_s();
	uint64_t token_s = a->oidc->token_expires_s; /* of the token that was found just now */

	if (token_s != 0 && token_s < now_s + most)
		most = token_s > now_s ? token_s - now_s : 1;
	if (parent->expires_s != 0 && parent->expires_s - now_s < most)
		most = parent->expires_s - now_s;
	return asked_s != 0 && asked_s < most ? asked_s : (uint32_t)most;
}

static struct status
session_make(struct authority *a, struct key *parent, const struct ga_token *m, struct exchange *x)
{
	struct session *s;

	x->lifetime_s = lifetime_of(a, parent, m->lifetime_s);
	s = x->s = calloc(1, sizeof(*s));
	if (s == NULL)
		return fail(E_NOMEM);
	s->key.user = parent->user;
	s->key.policy = parent->policy;
	s->key.parent = parent;
	s->key.created_s = now_real_s();
	s->key.expires_s = s->key.created_s + x->lifetime_s;
	memcpy(s->key.pseudonym, parent->pseudonym, sizeof(s->key.pseudonym));
	LIST_INIT(&s->key.turns);
	TRY(read_scope(parent, m->scope, &s->key.scope));
	TRY(rand_bytes(s->id_bytes, sizeof(s->id_bytes)));
	hex_encode(span_of(s->id_bytes, sizeof(s->id_bytes)), s->id);
	TRY(buf_put_span(&x->scope, m->scope));
	return sign(a, s, m->scope, &x->token);
}

static void
answer(struct gateway *gw, uint64_t id, const struct ga_tokened *m)
{
	struct status st;

	if (gw->link == NULL || gw->dropped)
		return;
	st = link_send(gw->link, id, GA_TOKENED, m);
	if (!is_ok(st))
		gateway_drop(gw, status_text(st));
}

static void
answer_error(struct gateway *gw, uint64_t id, enum error error, bool scope_bad)
{
	answer(gw, id,
	    &(struct ga_tokened){ .error = (uint16_t)error,
		.scope_bad = scope_bad,
		.retry_after_ms = error_rows[error].http == 503 ? RETRY_MS : 0 });
}

static struct session *
ended_of(const struct exchange *x)
{
	return sessions_by_id(x->gw->a, span_of(x->ended_text, sizeof(x->ended_text)), SPAN_EMPTY);
}

/* Nobody is to have it. */
static void
drop_session(struct exchange *x)
{
	if (x->s == NULL)
		return;
	session_begun(x->gw->a, x->s, ended_of(x));
	session_free(x->s);
	x->s = NULL;
}

static void
exchange_free(struct exchange *x)
{
	drop_session(x);
	if (x->token.ptr != NULL)
		explicit_bzero(x->token.ptr, x->token.cap);
	buf_done(&x->token);
	buf_done(&x->scope);
	free(x);
}

/* ---- records ---- */

static void
put_authentication(struct batch *b, const struct record_who *who, const struct exchange *x)
{
	(void)batch_add(b, EVENT_AUTHENTICATION, who, "endpoint", SPAN_LIT("token"));
	batch_text(b, x->method);
	batch_bool(b, true);
	batch_null(b);
}

static void
put_created(struct batch *b, const struct record_who *who, const struct exchange *x)
{
	(void)batch_add(b, EVENT_SESSION_CREATED, who, "session", span_str(x->s->id));
	batch_text(b, x->s->id);
	batch_text(b, principal_method(x->by));
	batch_u64(b, x->lifetime_s);
}

/* The batch points to the id until it is sent. */
static void
put_revoked(struct batch *b, const struct record_who *who, const struct exchange *x)
{
	const struct span id = span_of(x->ended_text, sizeof(x->ended_text));

	(void)batch_add(b, EVENT_SESSION_REVOKED, who, "session", id);
	batch_str(b, id);
	batch_null(b);
}

static struct status
who_of(const struct exchange *x, struct record_who *who)
{
	struct authority *a = x->gw->a;

	*who = (struct record_who){
		.request_id = x->request_id, .key = x->by, .config = a->d->generation
	};
	return sealer_source(&a->sealer, x->by->user, x->source, &who->source);
}

/* ---- one is made ---- */

static bool
is_awaited(const struct exchange *x)
{
	return x->gw->peer_id == x->peer_id;
}

/* The last word: the exchange is over. */
static void
over(struct exchange *x, enum error error)
{
	const struct ga_tokened m = { .token = buf_span(&x->token),
		.scope = buf_span(&x->scope),
		.expires_s = x->lifetime_s };

	if (is_awaited(x) && error == ERROR_NONE)
		answer(x->gw, x->id, &m);
	else if (is_awaited(x))
		answer_error(x->gw, x->id, error, x->scope_bad && error == x->refused);
	exchange_free(x);
}

static void
on_forgotten(struct authority *a, void *ctx, enum code code, const void *answered)
{
	(void)a, (void)ctx, (void)answered;
	if (code != E_OK && code != E_NOTFOUND)
		diag(DIAG_WARN, "store: a session that nobody has is kept until it runs out");
}

/* Nobody has got its token. */
static void
forget(struct authority *a, const struct session *s)
{
	struct as_session_end m;

	memcpy(m.id, s->id_bytes, sizeof(m.id));
	if (!is_ok(store_ask(a, AS_SESSION_END, &m, AS_DONE, on_forgotten, NULL)))
		on_forgotten(a, NULL, E_CLOSED, NULL);
}

static void
set_ended(struct exchange *x, const struct session *s)
{
	memcpy(x->ended, s->id_bytes, sizeof(x->ended));
	memcpy(x->ended_text, s->id, sizeof(x->ended_text));
}

static struct status
keep(struct exchange *x)
{
	struct session *s = x->s, *oldest = NULL;
	struct as_session m = { .created_s = s->key.created_s,
		.expires_s = s->key.expires_s,
		.signer = s->signer,
		.has_roles = x->by->has_roles,
		.roles = x->by->has_roles ? x->by->roles : 0,
		.scope = scope_text(s->key.scope) };

	TRY(session_begin(x->gw->a, s, &oldest));
	if (oldest != NULL)
		set_ended(x, oldest);
	memcpy(m.id, s->id_bytes, sizeof(m.id));
	memcpy(m.digest, s->digest, sizeof(m.digest));
	memcpy(m.key, x->by->id, sizeof(m.key));
	memcpy(m.ends, x->ended, sizeof(m.ends));
	return store_ask(x->gw->a, AS_SESSION_PUT, &m, AS_DONE, on_kept, x);
}

static void
on_kept(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct exchange *x = ctx;
	struct batch b = { .n = 0 };
	struct record_who who;
	struct session *oldest;
	struct status st;

	(void)answered;
	if (code != E_OK) {
		over(x, code == E_FULL ? ERROR_OVERLOADED : ERROR_UNAVAILABLE);
		return;
	}
	oldest = ended_of(x);
	if (oldest != NULL)
		session_end(a, oldest);
	st = who_of(x, &who);
	if (is_ok(st)) {
		put_authentication(&b, &who, x);
		put_created(&b, &who, x);
		if (oldest != NULL)
			put_revoked(&b, &who, x);
		st = audit_append(a, &b, on_recorded, x);
	}
	if (!is_ok(st))
		on_recorded(a, x, st, 0);
}

static void
on_recorded(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct exchange *x = ctx;
	bool valid = false;

	(void)seq;
	if (!is_ok(st) || !is_awaited(x)) {
		forget(a, x->s);
		over(x, ERROR_AUDIT_UNAVAILABLE);
		return;
	}
	session_begun(a, x->s, NULL);
	valid = session_insert(a, x->s);
	x->s = NULL;
	sessions_record_leaving(a); /* it, where nobody vouches for it any more */
	over(x, valid ? ERROR_NONE : ERROR_REVOKED);
}

/* ---- one's own ends (RFC 7009): any other token is nothing, and that is no error ---- */

static struct status
end_append(struct exchange *x, enum audit_outcome outcome, append_done *done)
{
	struct batch b = { .n = 0 };
	struct record_who who;

	TRY(who_of(x, &who));
	if (outcome == AUDIT_OUTCOME_NONE)
		put_authentication(&b, &who, x);
	if (x->ends) {
		put_revoked(&b, &who, x);
		if (outcome == AUDIT_OUTCOME_NONE) {
			batch_intent(&b);
		} else {
			batch_closes(&b, x->intent_seq);
			batch_outcome(&b, outcome, AUDIT_CAUSE_NONE);
		}
	}
	return audit_append(x->gw->a, &b, done, x);
}

static void
on_done(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	(void)a, (void)seq;
	over(ctx, is_ok(st) ? ERROR_NONE : ERROR_AUDIT_UNAVAILABLE);
}

static void
on_not_done(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	(void)a, (void)st, (void)seq;
	over(ctx, ERROR_UNAVAILABLE);
}

static void
on_end_intent(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct exchange *x = ctx;
	struct as_session_end m;

	if (!is_ok(st)) {
		over(x, ERROR_AUDIT_UNAVAILABLE);
		return;
	}
	x->intent_seq = seq + 1; /* behind the Authentication */
	memcpy(m.id, x->ended, sizeof(m.id));
	if (!is_ok(store_ask(a, AS_SESSION_END, &m, AS_DONE, on_ended, x)))
		on_ended(a, x, E_CLOSED, NULL);
}

static void
on_ended(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct exchange *x = ctx;
	struct session *s = ended_of(x);
	bool ended = code == E_OK || code == E_NOTFOUND;
	append_done *done = ended ? on_done : on_not_done;
	struct status st;

	(void)answered;
	if (ended && s != NULL)
		session_end(a, s);
	st = end_append(x, ended ? AUDIT_SUCCESS : AUDIT_FAILURE, done);
	if (!is_ok(st)) /* the audit process closes the intent itself */
		done(a, x, st, 0);
}

static struct status
end_begin(struct exchange *x, struct span token)
{
	struct key *found = sessions_find(x->gw->a, token, now_real_s());

	x->ends = found != NULL && found->user == x->by->user;
	if (x->ends)
		set_ended(x, (const struct session *)found);
	return end_append(x, AUDIT_OUTCOME_NONE, x->ends ? on_end_intent : on_done);
}

_Static_assert(offsetof(struct session, key) == 0, "a session's key is the session");

/* ---- requests ---- */

static enum error
may_exchange(struct authority *a, struct key *key)
{
	const struct policy *p = key->policy->now;
	struct verdict verdict;

	limits_take(&key_root(key)->holder, p != NULL ? p->limits : a->policies.user_limits,
	    &key->user->holder, a->policies.user_limits, now_ms(a), &verdict);
	if (verdict.error != ERROR_NONE)
		return verdict.error;
	if (!roles_allow(key_roles(key), ACTION_SESSION_OWN))
		return ERROR_ROLE;
	return ERROR_NONE;
}

static struct exchange *
exchange_new(struct gateway *gw, uint64_t id, const struct ga_token *m, struct key *key)
{
	struct exchange *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	*x = (struct exchange){ .gw = gw,
		.peer_id = gw->peer_id,
		.id = id,
		.by = key_root(key),
		.method = principal_method(key),
		.token = BUF_INIT(CREDENTIAL_MAX),
		.scope = BUF_INIT(SCOPE_MAX) };
	memcpy(x->request_id, m->request_id, sizeof(x->request_id));
	memcpy(x->source, m->source, sizeof(x->source));
	return x;
}

static void
on_refused(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct exchange *x = ctx;

	(void)a, (void)seq;
	over(x, is_ok(st) ? x->refused : ERROR_AUDIT_UNAVAILABLE);
}

/* What is refused is on record, as with any other request. */
static void
refuse(struct exchange *x, enum error error)
{
	struct batch b = { .n = 0 };
	struct record_who who;
	struct status st;

	drop_session(x);
	x->refused = error;
	st = who_of(x, &who);
	if (is_ok(st)) {
		put_authentication(&b, &who, x);
		turn_put_error(&b, &who, error, SPAN_LIT("token"), "endpoint");
		st = audit_append(x->gw->a, &b, on_refused, x);
	}
	if (!is_ok(st))
		on_refused(x->gw->a, x, st, 0);
}

/* What must be durable is not begun where it cannot be. */
static enum error
may_begin(struct authority *a, const struct ga_token *m, struct key *key)
{
	enum error error = may_exchange(a, key);

	if (error != ERROR_NONE)
		return error;
	if (m->revoke.len == 0 && key->parent != NULL)
		return ERROR_INVALID_FIELD;
	if (grace_store_is_silent(a))
		return ERROR_UNAVAILABLE;
	if (!is_ok(sessions_ready(&a->sessions)))
		return ERROR_OVERLOADED;
	return m->revoke.len > 0 || sessions_have_room(a, key->user->tenant) ? ERROR_NONE
									     : ERROR_OVERLOADED;
}

/* ERROR_NONE: the store has been asked to keep it. */
static enum error
session_ask(struct exchange *x, const struct ga_token *m, struct key *key)
{
	struct status st = session_make(x->gw->a, key, m, x);

	x->scope_bad = st.code == E_SYNTAX || st.code == E_RANGE;
	if (is_ok(st))
		st = keep(x);
	if (is_ok(st))
		return ERROR_NONE;
	return x->scope_bad          ? ERROR_INVALID_FIELD
	       : st.code == E_CLOSED ? ERROR_UNAVAILABLE
	       : st.code == E_FULL   ? ERROR_CONCURRENCY
				     : ERROR_INTERNAL;
}

static void
exchange_begin(struct gateway *gw, uint64_t id, const struct ga_token *m, struct key *key)
{
	struct exchange *x = exchange_new(gw, id, m, key);
	enum error error;

	if (x == NULL) {
		answer_error(gw, id, ERROR_OVERLOADED, false);
		return;
	}
	error = may_begin(gw->a, m, key);
	if (error == ERROR_NONE && m->revoke.len > 0) {
		if (!is_ok(end_begin(x, m->revoke)))
			over(x, ERROR_AUDIT_UNAVAILABLE);
		return;
	}
	if (error == ERROR_NONE)
		error = session_ask(x, m, key);
	if (error != ERROR_NONE)
		refuse(x, error);
}

void
sessions_on_token(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct gateway *gw = ctx;
	const struct ga_token *m = msg;
	struct key *key = NULL;
	enum error error = admit_who(gw->a, m->credential, m->source, &key);

	(void)l;
	if (error == ERROR_UNAVAILABLE && later(gw, GA_TOKEN, id, m, sessions_on_token))
		return;
	if (error == ERROR_NONE)
		exchange_begin(gw, id, m, key);
	else if (error == ERROR_INVALID_KEY)
		admit_refuse_unknown(gw, GA_TOKENED, id, m->source, m->request_id);
	else
		answer_error(gw, id, error, false);
}
