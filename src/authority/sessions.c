/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions.c: session tokens: made, found again, ended.
 *
 * Runs in: authority. Trusts: nothing of a token: it is one that was made here, or none.
 * Owns: the sessions, and the key that signs their tokens.
 * Invariants: a session never may more, nor longer, than what it was made of; no session is
 * made of a session; none is answered before it is on record; none outlives its parent, its
 * user, or this process.
 * See: sessions.h, principal.c; docs/api.md.
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

#define BUCKETS 65536
#define CLAIMS_MAX (SCOPE_MAX + 1024)

/* What waits for its record. */
struct exchange {
	struct gateway *gw;
	uint32_t peer_id;
	uint64_t id;
	struct session *s; /* to be made, or to be ended */
	char ended[2 * SESSION_ID_LEN + 1];
	struct buf token, scope;
	uint32_t lifetime_s;
};

static void on_recorded(struct authority *a, void *ctx, struct status st, uint64_t seq);

/* ---- the table ---- */

static struct session **
bucket_of(struct sessions *t, const uint8_t digest[DIGEST_LEN])
{
	return &t->buckets[(size_t)digest[0] << 8 | digest[1]];
}

static struct status
table_ready(struct sessions *t)
{
	if (t->buckets != NULL)
		return OK;
	TAILQ_INIT(&t->live);
	TAILQ_INIT(&t->over);
	t->buckets = calloc(BUCKETS, sizeof(struct session *));
	return t->buckets != NULL ? OK : fail(E_NOMEM);
}

static void
session_free(struct session *s)
{
	scope_free(s->key.scope);
	free(s);
}

static bool
is_valid(const struct key *key, uint64_t now_s)
{
	return key->revoked_s == 0 && key->user->state == USER_ACTIVE &&
	       (key->expires_s == 0 || now_s < key->expires_s);
}

struct key *
sessions_find(struct authority *a, struct span token, uint64_t now_s)
{
	uint8_t digest[DIGEST_LEN];
	struct session *s;

	if (a->sessions.buckets == NULL || !is_ok(sha256(token, digest)))
		return NULL;
	for (s = *bucket_of(&a->sessions, digest); s != NULL; s = s->chain) {
		if (memcmp(s->digest, digest, DIGEST_LEN) != 0)
			continue;
		return is_valid(&s->key, now_s) && is_valid(s->key.parent, now_s) ? &s->key : NULL;
	}
	return NULL;
}

static void
session_insert(struct authority *a, struct session *s)
{
	struct session **bucket = bucket_of(&a->sessions, s->digest);

	s->chain = *bucket;
	*bucket = s;
	TAILQ_INSERT_TAIL(&a->sessions.live, s, next);
	a->sessions.n++;
}

void
session_end(struct authority *a, struct session *s)
{
	struct session **at = bucket_of(&a->sessions, s->digest);
	struct turn *t, *next;

	while (*at != s)
		at = &(*at)->chain;
	*at = s->chain;
	if (s->key.revoked_s == 0)
		s->key.revoked_s = now_real_s();
	TAILQ_REMOVE(&a->sessions.live, s, next);
	TAILQ_INSERT_TAIL(&a->sessions.over, s, next);
	a->sessions.n--;
	for (t = LIST_FIRST(&s->key.turns); t != NULL; t = next) {
		next = LIST_NEXT(t, of_key);
		turn_end(t, ERROR_REVOKED, AUDIT_REVOKED);
	}
}

void
sessions_end_of_key(struct authority *a, const struct key *parent)
{
	struct session *s, *next;

	if (a->sessions.buckets == NULL)
		return;
	for (s = TAILQ_FIRST(&a->sessions.live); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		if (s->key.parent == parent)
			session_end(a, s);
	}
}

struct session *
sessions_by_id(struct authority *a, struct span id, struct span tenant)
{
	struct session *s;

	if (a->sessions.buckets == NULL)
		return NULL;
	TAILQ_FOREACH(s, &a->sessions.live, next)
	{
		if (span_eq_str(id, s->id) &&
		    (tenant.len == 0 || span_eq(tenant, s->key.user->tenant)))
			return s;
	}
	return NULL;
}

/* Those that have run out, or whose parent has: a turn that began in time goes on. */
void
sessions_tick(struct authority *a)
{
	uint64_t now_s = now_real_s();
	struct session *s, *next;

	if (a->sessions.buckets == NULL)
		return;
	for (s = TAILQ_FIRST(&a->sessions.live); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		if (!is_valid(s->key.parent, now_s) ||
		    (now_s >= s->key.expires_s && LIST_EMPTY(&s->key.turns)))
			session_end(a, s);
	}
	for (s = TAILQ_FIRST(&a->sessions.over); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		if (!LIST_EMPTY(&s->key.turns))
			continue;
		TAILQ_REMOVE(&a->sessions.over, s, next);
		session_free(s);
	}
}

void
sessions_done(struct authority *a)
{
	struct sessions *t = &a->sessions;
	struct session *s;

	sign_key_free(t->signer);
	if (t->buckets == NULL)
		return;
	while ((s = TAILQ_FIRST(&t->live)) != NULL) {
		TAILQ_REMOVE(&t->live, s, next);
		session_free(s);
	}
	while ((s = TAILQ_FIRST(&t->over)) != NULL) {
		TAILQ_REMOVE(&t->over, s, next);
		session_free(s);
	}
	free(t->buckets);
	*t = (struct sessions){ 0 };
}

/* ---- a new one ---- */

/* Tokens are signed by another key every day; those of the last one end by themselves. */
static struct status
signer_ready(struct sessions *t, uint64_t now_s)
{
	auto_secret struct secret raw = SECRET_NONE;
	struct sign_key *fresh = NULL;

	if (t->signer != NULL && now_s < t->signer_s + SESSION_KEY_S)
		return OK;
	TRY(sign_key_generate(&raw));
	TRY(sign_key_new(&raw, &fresh));
	sign_key_free(t->signer);
	t->signer = fresh;
	t->signer_s = now_s;
	return OK;
}

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
	uint64_t now_s = now_real_s();

	TRY(signer_ready(&a->sessions, now_s));
	TRY(put_claims(s, scope, now_s, &claims));
	TRY(jwt_sign(buf_span(&claims), "at+jwt", a->sessions.signer, token));
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

/* A user has so many: then its oldest one ends. */
static void
make_room(struct authority *a, const struct user *user)
{
	struct session *s, *oldest = NULL;
	size_t n = 0;

	TAILQ_FOREACH(s, &a->sessions.live, next)
	{
		if (s->key.user != user)
			continue;
		if (oldest == NULL)
			oldest = s;
		n++;
	}
	if (n >= SESSIONS_USER_MAX)
		session_end(a, oldest);
}

/* No tenant takes the others' room. */
static bool
has_room(const struct authority *a, struct span tenant)
{
	const struct session *s;
	size_t n = 0;

	if (a->sessions.buckets == NULL || a->sessions.n < SESSIONS_TENANT_MAX)
		return true;
	TAILQ_FOREACH(s, &a->sessions.live, next)
	n += span_eq(s->key.user->tenant, tenant);
	return a->sessions.n < SESSIONS_MAX && n < SESSIONS_TENANT_MAX;
}

static struct status
session_make(struct authority *a, struct key *parent, const struct ga_token *m, struct exchange *x)
{
	uint8_t id[SESSION_ID_LEN];
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
	TRY(rand_bytes(id, sizeof(id)));
	hex_encode(span_of(id, sizeof(id)), s->id);
	TRY(buf_put_span(&x->scope, m->scope));
	return sign(a, s, m->scope, &x->token);
}

/* ---- requests ---- */

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

static void
exchange_free(struct exchange *x)
{
	if (x->s != NULL)
		session_free(x->s);
	if (x->token.ptr != NULL)
		explicit_bzero(x->token.ptr, x->token.cap);
	buf_done(&x->token);
	buf_done(&x->scope);
	free(x);
}

static void
put_records(struct batch *b, const struct record_who *who, const struct exchange *x)
{
	(void)batch_add(b, EVENT_AUTHENTICATION, who, "endpoint", SPAN_LIT("token"));
	batch_text(b, principal_method(who->key));
	batch_bool(b, true);
	batch_null(b);
	if (x->s != NULL) {
		(void)batch_add(b, EVENT_SESSION_CREATED, who, "session", span_str(x->s->id));
		batch_text(b, x->s->id);
		batch_text(b, principal_method(x->s->key.parent));
		batch_u64(b, x->lifetime_s);
	} else if (x->ended[0] != '\0') {
		(void)batch_add(b, EVENT_SESSION_REVOKED, who, "session", span_str(x->ended));
		batch_text(b, x->ended);
		batch_null(b);
	}
}

static void
record(struct exchange *x, const struct ga_token *m, const struct key *key)
{
	struct authority *a = x->gw->a;
	struct record_who who = {
		.request_id = m->request_id, .key = key, .config = a->d->generation
	};
	struct batch b = { .n = 0 };
	struct status st = sealer_source(&a->sealer, key->user, m->source, &who.source);

	if (is_ok(st)) {
		put_records(&b, &who, x);
		st = audit_append(a, &b, on_recorded, x);
	}
	if (!is_ok(st))
		on_recorded(a, x, st, 0);
}

static void
on_recorded(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct exchange *x = ctx;
	struct session *s = x->ended[0] == '\0' ? NULL
						: sessions_by_id(a, span_str(x->ended), SPAN_EMPTY);
	struct ga_tokened m = { .token = buf_span(&x->token),
		.scope = buf_span(&x->scope),
		.expires_s = x->lifetime_s };

	(void)seq;
	if (!is_ok(st))
		m = (struct ga_tokened){ .error = ERROR_AUDIT_UNAVAILABLE,
			.retry_after_ms = RETRY_MS };
	else if (s != NULL)
		session_end(a, s);
	if (is_ok(st) && x->s != NULL && x->gw->peer_id == x->peer_id) {
		make_room(a, x->s->key.user);
		session_insert(a, x->s);
		x->s = NULL;
	}
	if (x->gw->peer_id == x->peer_id)
		answer(x->gw, x->id, &m);
	exchange_free(x);
}

/* RFC 7009: one's own session ends; any other token is nothing, and that is no error. */
static void
note_revoked(struct authority *a, struct span token, const struct key *key, struct exchange *x)
{
	struct key *found = sessions_find(a, token, now_real_s());

	if (found != NULL && found->user == key->user)
		memcpy(x->ended, ((struct session *)found)->id, sizeof(x->ended));
}

_Static_assert(offsetof(struct session, key) == 0, "a session's key is the session");

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
	return has_room(a, key->user->tenant) ? ERROR_NONE : ERROR_OVERLOADED;
}

static void
exchange_begin(struct gateway *gw, uint64_t id, const struct ga_token *m, struct key *key)
{
	enum error error = may_exchange(gw->a, key);
	struct exchange *x = NULL;
	struct status st = table_ready(&gw->a->sessions);

	if (error == ERROR_NONE && m->revoke.len == 0 && key->parent != NULL)
		error = ERROR_INVALID_FIELD;
	if (error == ERROR_NONE && is_ok(st))
		x = calloc(1, sizeof(*x));
	if (x == NULL) {
		answer_error(gw, id, error != ERROR_NONE ? error : ERROR_OVERLOADED, false);
		return;
	}
	*x = (struct exchange){ .gw = gw,
		.peer_id = gw->peer_id,
		.id = id,
		.token = BUF_INIT(CREDENTIAL_MAX),
		.scope = BUF_INIT(SCOPE_MAX) };
	if (m->revoke.len > 0)
		note_revoked(gw->a, m->revoke, key, x);
	else
		st = session_make(gw->a, key, m, x);
	if (is_ok(st)) {
		record(x, m, key);
		return;
	}
	error = st.code == E_SYNTAX || st.code == E_RANGE ? ERROR_INVALID_FIELD : ERROR_INTERNAL;
	answer_error(gw, id, error, error == ERROR_INVALID_FIELD);
	exchange_free(x);
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
