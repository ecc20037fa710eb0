/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sessions.c: the table of sessions: found by their tokens, ended, loaded.
 *
 * Runs in: authority. Trusts: the store; nothing of a token: it is one of a session, or none.
 * Owns: the sessions.
 * Invariants: a session never may more, nor longer, than what it was made of; none outlives its
 * parent, its user, or that the configuration names the issuer or machine that vouches for them:
 * also where this process or the store was away just then, or that certificates are revoked, where
 * it was made of one; one that came from the store is taken once its token's signature was seen.
 * See: sessions.h, session_exchange.c, signers.c, principal.c; docs/api.md.
 */
#include "sessions.h"

#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <crypto/crypto.h>
#include <json/json.h>

#include "authority.h"

#define BUCKETS 65536
#define REVOKED_TOLD_S 1 /* by then gateways take no certificate by other lists */

/* ---- the table ---- */

static struct session **
bucket_of(struct sessions *t, const uint8_t digest[DIGEST_LEN])
{
	return &t->buckets[(size_t)digest[0] << 8 | digest[1]];
}

/* Ids are random. */
static struct session **
ids_of(struct sessions *t, const uint8_t id[SESSION_ID_LEN])
{
	return &t->ids[(size_t)id[0] << 8 | id[1]];
}

struct status
sessions_ready(struct sessions *t)
{
	if (t->buckets != NULL)
		return OK;
	TAILQ_INIT(&t->live);
	TAILQ_INIT(&t->over);
	TAILQ_INIT(&t->making);
	t->ids = calloc(BUCKETS, sizeof(struct session *));
	if (t->ids != NULL)
		t->buckets = calloc(BUCKETS, sizeof(struct session *));
	if (t->buckets != NULL)
		return OK;
	free(t->ids);
	t->ids = NULL;
	return fail(E_NOMEM);
}

void
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

static struct session *
by_digest(struct authority *a, const uint8_t digest[DIGEST_LEN])
{
	struct session *s;

	if (a->sessions.buckets == NULL)
		return NULL;
	for (s = *bucket_of(&a->sessions, digest); s != NULL; s = s->chain) {
		if (crypto_eq(span_of(s->digest, DIGEST_LEN), span_of(digest, DIGEST_LEN)))
			return s;
	}
	return NULL;
}

struct key *
sessions_find(struct authority *a, struct span token, uint64_t now_s)
{
	uint8_t digest[DIGEST_LEN];
	struct session *s;

	if (!is_ok(sha256(token, digest)))
		return NULL;
	s = by_digest(a, digest);
	if (s == NULL || !is_valid(&s->key, now_s) || !is_valid(s->key.parent, now_s))
		return NULL;
	if (!s->verified)
		s->verified = signers_verify(&a->sessions, s->signer, token);
	return s->verified ? &s->key : NULL;
}

/* ---- those that are not here ---- */

/* What we have signed holds what put_claims() of session_exchange.c wrote. */
static bool
is_alive(struct authority *a, struct span claims, uint64_t now_s)
{
	const struct json_opts opts = JSON_STRICT;
	auto_json struct json_doc d = { 0 };
	uint64_t until_s = 0;
	struct span id;
	const struct key *parent;

	if (!is_ok(json_init(&d, &opts)) || !is_ok(json_parse(&d, claims)) ||
	    !is_ok(json_u64(&d, json_get_str(&d, 0, "exp"), UINT64_MAX, &until_s)) ||
	    now_s >= until_s)
		return false;
	id = json_bytes(&d, json_get_str(&d, 0, "client_id")); /* with its quotes */
	if (id.len != KEY_ID_LEN + 2)
		return false;
	parent = keys_find(&a->keys, span_of(id.ptr + 1, KEY_ID_LEN));
	return parent == NULL || is_valid(parent, now_s);
}

static bool
has_ended(struct authority *a, struct span token)
{
	uint8_t digest[DIGEST_LEN];
	const struct session *s;

	if (!is_ok(sha256(token, digest)) || by_digest(a, digest) != NULL)
		return true;
	TAILQ_FOREACH(s, &a->sessions.over, next)
	{
		if (crypto_eq(span_of(s->digest, DIGEST_LEN), span_of(digest, DIGEST_LEN)))
			return true;
	}
	return false;
}

bool
sessions_may_be(struct authority *a, struct span token, uint64_t now_s)
{
	auto_buf struct buf claims = BUF_INIT(CREDENTIAL_MAX);
	const uint8_t *first = memchr(token.ptr, '.', token.len);
	size_t from, end = token.len;

	while (end > 0 && token.ptr[end - 1] != '.')
		end--;
	from = first == NULL ? 0 : (size_t)(first - token.ptr) + 1;
	if (first == NULL || end <= from + 1)
		return false;
	return signers_verify_any(&a->sessions, token) && !has_ended(a, token) &&
	       is_ok(base64url_decode(span_of(token.ptr + from, end - 1 - from), &claims)) &&
	       is_alive(a, buf_span(&claims), now_s);
}

/* ---- what is taken ---- */

/*
 * Made of a certificate before others were revoked, or while gateways were still being told. A
 * clock that was ahead then says nothing.
 */
static bool
is_doubtful(const struct authority *a, const struct session *s)
{
	uint64_t news_s = a->revocations.news_s;

	return news_s != 0 && now_real_s() >= news_s &&
	       s->key.created_s <= news_s + REVOKED_TOLD_S && machines_have(a, s->key.parent->id);
}

static bool
is_vouched_for(const struct authority *a, const struct session *s)
{
	return (!s->key.parent->has_roles || people_know(a, s->key.parent)) && !is_doubtful(a, s);
}

/* Where there is no room for it, the next LOAD names it again. */
void
session_keep_until_told(struct authority *a, struct session *s)
{
	struct sessions *t = &a->sessions;

	if (s->kept || t->nkept >= SESSIONS_MAX)
		return;
	s->kept = true;
	t->nkept++;
}

bool
session_insert(struct authority *a, struct session *s)
{
	struct session **bucket = bucket_of(&a->sessions, s->digest);

	if (!is_valid(s->key.parent, now_real_s())) {
		session_keep_until_told(a, s);
		TAILQ_INSERT_TAIL(&a->sessions.over, s, next);
		return false;
	}
	if (by_digest(a, s->digest) != NULL) { /* a LOAD has brought it meanwhile */
		session_free(s);
		return true;
	}
	s->key.load = a->keys.load;
	s->chain = *bucket;
	*bucket = s;
	bucket = ids_of(&a->sessions, s->id_bytes);
	s->id_chain = *bucket;
	*bucket = s;
	TAILQ_INSERT_TAIL(&a->sessions.live, s, next);
	a->sessions.n++;
	if (is_vouched_for(a, s))
		return true;
	session_leave(a, s);
	return false;
}

void
session_end(struct authority *a, struct session *s)
{
	struct session **at = bucket_of(&a->sessions, s->digest);
	struct turn *t, *next;

	while (*at != s)
		at = &(*at)->chain;
	*at = s->chain;
	for (at = ids_of(&a->sessions, s->id_bytes); *at != s;)
		at = &(*at)->id_chain;
	*at = s->id_chain;
	if (s->key.revoked_s == 0)
		s->key.revoked_s = now_real_s();
	a->sessions.nleaving -= s->leaving;
	s->leaving = false;
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

void
sessions_config(struct authority *a)
{
	struct session *s;

	if (a->sessions.buckets == NULL)
		return;
	TAILQ_FOREACH(s, &a->sessions.live, next)
	{
		if (!is_vouched_for(a, s))
			session_leave(a, s);
	}
	sessions_record_leaving(a);
}

void
sessions_revocations(struct authority *a, const struct ctl_revocations *m)
{
	bool more = m->news_s != a->revocations.news_s;
	struct session *s;

	a->revocations =
	    (struct revocations){ .from_s = m->from_s, .until_s = m->until_s, .news_s = m->news_s };
	(void)snprintf(
	    a->revocations.fault, sizeof(a->revocations.fault), "%.*s", SPAN_FMT(m->fault));
	(void)snprintf(a->revocations.authority, sizeof(a->revocations.authority), "%.*s",
	    SPAN_FMT(m->authority));
	if (!more || a->sessions.buckets == NULL)
		return;
	TAILQ_FOREACH(s, &a->sessions.live, next)
	{
		if (machines_have(a, s->key.parent->id))
			session_leave(a, s);
	}
	sessions_record_leaving(a);
}

struct session *
sessions_by_id(struct authority *a, struct span id, struct span tenant)
{
	uint8_t bytes[SESSION_ID_LEN];
	struct session *s;

	if (a->sessions.buckets == NULL || !is_ok(hex_decode(id, bytes, sizeof(bytes))))
		return NULL;
	for (s = *ids_of(&a->sessions, bytes); s != NULL; s = s->id_chain) {
		if (span_eq_str(id, s->id) &&
		    (tenant.len == 0 || span_eq(tenant, s->key.user->tenant)))
			return s;
	}
	return NULL;
}

static void
on_told(struct authority *a, void *ctx, enum code code, const void *answered)
{
	(void)a, (void)ctx, (void)answered;
	if (code != E_OK && code != E_NOTFOUND)
		diag(DIAG_WARN, "store: the end of a session is told again with the next load");
}

/* An end that is lost with the link is told again: the LOAD that follows names the session. */
static bool
is_told(struct authority *a, struct session *s, uint64_t now_s)
{
	struct as_session_end m;

	memcpy(m.id, s->id_bytes, sizeof(m.id));
	if (now_s < s->key.expires_s &&
	    !is_ok(store_ask(a, AS_SESSION_END, &m, AS_DONE, on_told, NULL)))
		return false;
	s->kept = false;
	a->sessions.nkept--;
	return true;
}

static void
forget_those_over(struct authority *a, uint64_t now_s)
{
	struct session *s, *next;
	unsigned asked = 0;

	for (s = TAILQ_FIRST(&a->sessions.over); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		if (s->kept && (asked++ >= SESSIONS_TOLD_MAX || !is_told(a, s, now_s)))
			continue;
		if (!LIST_EMPTY(&s->key.turns))
			continue;
		TAILQ_REMOVE(&a->sessions.over, s, next);
		session_free(s);
	}
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
	sessions_record_leaving(a);
	forget_those_over(a, now_s);
	if (!a->keys.loading) /* what needs them comes behind them */
		signers_retire(&a->sessions);
}

void
sessions_done(struct authority *a)
{
	struct sessions *t = &a->sessions;
	struct session *s;

	signers_done(t);
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
	free(t->ids);
	*t = (struct sessions){ 0 };
}

/* ---- room ---- */

struct status
session_begin(struct authority *a, struct session *s, struct session **ret_ends)
{
	struct session *other, *oldest = NULL;
	size_t n = 0; /* when all that is under way is done */

	TAILQ_FOREACH(other, &a->sessions.live, next)
	{
		if (other->key.user != s->key.user || other->going)
			continue;
		if (oldest == NULL)
			oldest = other;
		n++;
	}
	TAILQ_FOREACH(other, &a->sessions.making, next)
	n += other->key.user == s->key.user;
	if (n >= SESSIONS_USER_MAX && oldest == NULL)
		return fail(E_FULL);
	*ret_ends = n >= SESSIONS_USER_MAX ? oldest : NULL;
	if (*ret_ends != NULL)
		oldest->going = true;
	s->making = true;
	TAILQ_INSERT_TAIL(&a->sessions.making, s, next);
	return OK;
}

void
session_begun(struct authority *a, struct session *s, struct session *ends)
{
	if (!s->making)
		return;
	s->making = false;
	TAILQ_REMOVE(&a->sessions.making, s, next);
	if (ends != NULL)
		ends->going = false;
}

bool
sessions_have_room(const struct authority *a, struct span tenant)
{
	const struct session_list *const lists[] = { &a->sessions.live, &a->sessions.making };
	const struct session *s;
	size_t all = 0, n = 0;

	if (a->sessions.buckets == NULL)
		return true;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		TAILQ_FOREACH(s, lists[i], next)
		{
			all++;
			n += span_eq(s->key.user->tenant, tenant);
		}
	}
	return all < SESSIONS_MAX && n < SESSIONS_TENANT_MAX;
}

/* ---- of a LOAD ---- */

static struct status
session_of(struct authority *a, const struct as_session *m, struct session **ret)
{
	struct key *parent = keys_find(&a->keys, span_of(m->key, sizeof(m->key)));
	struct session *s;
	struct status st;

	if (parent == NULL)
		return fail(E_NOTFOUND);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return fail(E_NOMEM);
	if (m->scope.len > 0) {
		st = scope_parse(m->scope, &s->key.scope);
		if (!is_ok(st)) {
			session_free(s);
			return st;
		}
	}
	LIST_INIT(&s->key.turns);
	s->key.user = parent->user;
	s->key.policy = parent->policy;
	s->key.parent = parent;
	s->key.created_s = m->created_s;
	s->key.expires_s = m->expires_s;
	s->signer = m->signer;
	memcpy(s->key.pseudonym, parent->pseudonym, sizeof(s->key.pseudonym));
	memcpy(s->digest, m->digest, sizeof(s->digest));
	memcpy(s->id_bytes, m->id, sizeof(s->id_bytes));
	hex_encode(span_of(m->id, sizeof(m->id)), s->id);
	*ret = s;
	return OK;
}

struct status
sessions_load(struct authority *a, const struct as_session *m)
{
	struct session *s;

	TRY(sessions_ready(&a->sessions));
	s = by_digest(a, m->digest);
	if (s != NULL) {
		s->key.load = a->keys.load;
		return OK;
	}
	if (a->sessions.n >= SESSIONS_MAX)
		return fail(E_FULL);
	if (now_real_s() >= m->expires_s)
		return OK;
	TRY(session_of(a, m, &s));
	/* Its id is one of the roles, too: those of the token that it was exchanged for. */
	if (m->has_roles != 0 && !s->key.parent->has_roles) {
		s->key.parent->has_roles = true;
		s->key.parent->roles = m->roles;
	}
	(void)session_insert(a, s);
	return OK;
}

void
sessions_load_end(struct authority *a)
{
	struct session *s, *next;

	signers_load_end(&a->sessions, a->keys.load);
	if (a->sessions.buckets == NULL)
		return;
	for (s = TAILQ_FIRST(&a->sessions.live); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next);
		if (s->key.load != a->keys.load)
			session_end(a, s);
	}
	sessions_record_leaving(a);
}
