/* SPDX-License-Identifier: Apache-2.0 */
/*
 * people.c: from an identity that an issuer vouches for to the key that it acts by.
 *
 * Runs in: authority. Trusts: oidc_check() for who it is.
 * Owns: arrivals, while they last.
 * Invariants: nobody acts before the intent to let them in is on record and their key is durable;
 * a key that was revoked, or whose user is disabled or was erased, is not made anew; a key answers
 * for the user that the token names, or for nobody; a user is an issuer's who came by it, or
 * nobody's of it: no issuer can name itself into a user that was made here (but with `link_local`),
 * or by another one, nor be a service; whose issuer or entry is configured no more ends at once.
 * See: people.h, oidc.h, keys.c; machines.c, for certificates; admin_keys.c, which makes keys with
 * a text.
 */
#include "people.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/encode.h>
#include <wire/role.h>

#include "admin.h"
#include "authority.h"

struct arrival {
	LIST_ENTRY(arrival) entry;
	struct authority *a;
	uint8_t id[KEY_ID_LEN];
	uint8_t
	    hash[DIGEST_LEN]; /* of no text, and the same each time: a store that has it says so */
	char tenant[TENANT_MAX + 1], user[USER_MAX + 1], policy[POLICY_MAX + 1];
	char tenant_hex[2 * SUBJECT_LEN];
	char issuer[ISSUER_MAX + 1];
	bool certificate, links;
	bool taken;        /* over: its key's id is somebody's who was erased */
	uint64_t again_ms; /* over, without a key, and not tried again before; 0: under way */
	uint64_t created_s, intent_seq;
	uint32_t load; /* the last LOAD before the store was asked */
	struct waiters waiters;
};

static void on_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_kept(struct authority *a, void *ctx, enum code code, const struct as_done *m);

/* ---- which key ---- */

/* Twelve digits: 71 bits of a hash; the user is compared, too. */
struct status
people_key_id(const struct oidc_identity *who, uint8_t out[KEY_ID_LEN])
{
	const struct span zero = SPAN_LIT("\0");
	const struct span parts[] = { SPAN_LIT("person"), span_str(who->issuer), zero, who->tenant,
		zero, who->user, zero, who->policy, zero, span_of(&who->roles, 1) };
	uint8_t hash[SHA256_LEN];
	uint64_t halves[2];

	TRY(sha256_parts(parts, sizeof(parts) / sizeof(parts[0]), hash));
	memcpy(halves, hash, sizeof(halves));
	base62_u64(halves[0], (char *)out, KEY_ID_LEN / 2);
	base62_u64(halves[1], (char *)out + KEY_ID_LEN / 2, KEY_ID_LEN / 2);
	return OK;
}

static bool
is_of(const struct key *key, const struct oidc_identity *who)
{
	return span_eq(key->user->tenant, who->tenant) && span_eq(key->user->name, who->user);
}

/* Has it a key that came of this issuer (`live`: not revoked)? Whatever its policy and roles were.
 */
static bool
has_key_of(const struct keys *keys, const struct user *u, const char *issuer, bool live)
{
	uint8_t id[KEY_ID_LEN];

	for (size_t i = 0; i < keys->refs.n * (ROLES_ALL + 1U); i++) {
		const struct oidc_identity who = { .tenant = u->tenant,
			.user = u->name,
			.issuer = issuer,
			.policy = span_str(keys->refs.items[i / (ROLES_ALL + 1U)]->name),
			.roles = (uint8_t)(i % (ROLES_ALL + 1U)) };
		const struct key *key;

		if (!is_ok(people_key_id(&who, id)))
			return false;
		key = keys_find(keys, span_of(id, sizeof(id)));
		if (key != NULL && key->user == u && !key_is_past(key) &&
		    (!live || key->revoked_s == 0))
			return true;
	}
	return false;
}

/* Was it made here, and has it been nobody's of any issuer, nor a machine? */
static bool
is_local(const struct authority *a, const struct user *u)
{
	const struct issuers *all = &a->oidc->issuers;

	if (machines_name(a, u->tenant, u->name) || has_key_of(&a->keys, u, MACHINES_ISSUER, false))
		return false;
	for (size_t i = 0; i < all->count; i++) {
		if (has_key_of(&a->keys, u, all->items[i]->url, false))
			return false;
	}
	return (u->roles & ROLE_SERVICE) == 0;
}

/* May people of this issuer be that user? A certificate's is named by the operator alone. */
static bool
is_free_for(const struct authority *a, const struct oidc_identity *who)
{
	const struct user *u = keys_find_user(&a->keys, who->tenant, who->user);

	return u == NULL || u->state == USER_ERASED || who->certificate ||
	       has_key_of(&a->keys, u, who->issuer, true) || (who->links && is_local(a, u));
}

/* ---- the first time ---- */

static struct as_key
key_of(const struct arrival *n)
{
	struct as_key m = { .tenant = span_str(n->tenant),
		.user = span_str(n->user),
		.policy = span_str(n->policy),
		.created_s = n->created_s };

	memcpy(m.id, n->id, sizeof(m.id));
	memcpy(m.hash, n->hash, sizeof(m.hash));
	return m;
}

static struct oidc_identity
identity_of(const struct arrival *n)
{
	return (struct oidc_identity){ .tenant = span_str(n->tenant),
		.user = span_str(n->user),
		.policy = span_str(n->policy),
		.issuer = n->issuer,
		.links = n->links,
		.certificate = n->certificate };
}

static void
put_record(const struct arrival *n, struct batch *b)
{
	const struct span id = span_of(n->id, sizeof(n->id));
	const struct record_who who = { .key = keys_find(&n->a->keys, id),
		.config = n->a->d->generation };

	(void)batch_add(b, EVENT_KEY_CREATED, &who, "key", id);
	batch_str(b, id);
	batch_str(b, span_of(n->tenant_hex, sizeof(n->tenant_hex)));
	batch_text(b, n->policy);
	batch_null(b);
}

static void
arrival_free(struct arrival *n)
{
	LIST_REMOVE(n, entry);
	n->a->people.narrivals--;
	free(n);
}

/* Who was not let in stays in the list for a while, so that each request does not try it again. */
static void
over(struct arrival *n, bool kept)
{
	n->again_ms = now_ms(n->a) + (n->taken ? PEOPLE_TAKEN_MS : PEOPLE_RETRY_MS);
	waiters_wake(&n->waiters);
	if (kept)
		arrival_free(n);
}

static void
on_outcome(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	(void)a, (void)ctx, (void)seq;
	if (!is_ok(st)) /* the audit process closes the intent itself */
		diag(DIAG_WARN, "a first sign-in was not closed in the log: %s", status_text(st));
}

static void
finish(struct arrival *n, enum audit_outcome outcome)
{
	struct batch b = { .n = 0 };

	put_record(n, &b);
	batch_closes(&b, n->intent_seq);
	batch_outcome(&b, outcome, AUDIT_CAUSE_NONE);
	on_outcome(n->a, NULL, audit_append(n->a, &b, on_outcome, NULL), 0);
	over(n, outcome == AUDIT_SUCCESS);
}

static void
on_intent(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct arrival *n = ctx;
	const struct oidc_identity who = identity_of(n);
	struct as_key m = key_of(n);

	const struct user *u = keys_find_user(&a->keys, who.tenant, who.user);

	n->intent_seq = seq;
	n->load = a->keys.load;
	if (!is_ok(st))
		over(n, false);
	else if (!is_free_for(a, &who) || /* made meanwhile */
		 (u != NULL && admin_erases(u)) || !is_ok(store_put_key(a, &m, on_kept, n)))
		finish(n, AUDIT_FAILURE);
}

static void
on_kept(struct authority *a, void *ctx, enum code code, const struct as_done *m)
{
	struct arrival *n = ctx;
	struct as_key k = key_of(n);
	struct status st = code == E_OK ? OK : fail(code);

	if (is_ok(st))
		st = keys_put_user(&a->keys, k.tenant, k.user, m->subject_key, NULL);
	if (is_ok(st))
		st = keys_put(&a->keys, &a->policies, &k, NULL);
	n->taken = st.code == E_EXISTS;
	if (!is_ok(st) && !n->taken)
		diag(DIAG_WARN, "a first sign-in could not be kept: %s", status_text(st));
	if (is_ok(st)) {
		finish(n, AUDIT_SUCCESS);
		return;
	}
	if (m == NULL || code == E_OK) { /* it is there, or may be: then it comes with a LOAD */
		store_load_behind(a, n->load);
		finish(n, AUDIT_UNKNOWN);
		return;
	}
	finish(n, AUDIT_FAILURE);
}

static struct arrival *
arriving(const struct people *p, const uint8_t id[KEY_ID_LEN])
{
	struct arrival *n;

	LIST_FOREACH(n, &p->arrivals, entry)
	{
		if (memcmp(n->id, id, KEY_ID_LEN) == 0)
			return n;
	}
	return NULL;
}

/* Two issuers with the same name for somebody at once: the first one, then the other is refused. */
static bool
is_contested(const struct people *p, const struct oidc_identity *who)
{
	const struct arrival *n;

	LIST_FOREACH(n, &p->arrivals, entry)
	{
		if (n->again_ms == 0 && span_eq_str(who->tenant, n->tenant) &&
		    span_eq_str(who->user, n->user) && strcmp(who->issuer, n->issuer) != 0)
			return true;
	}
	return false;
}

static struct status
fill(struct arrival *n, const struct oidc_identity *who, uint64_t now_s)
{
	const struct span no_text[] = { SPAN_LIT("no text"), span_of(n->id, sizeof(n->id)) };

	n->created_s = now_s;
	n->certificate = who->certificate;
	n->links = who->links;
	waiters_init(&n->waiters);
	TRY(sha256_parts(no_text, 2, n->hash));
	TRY(span_to_cstr(who->tenant, n->tenant, sizeof(n->tenant)));
	TRY(span_to_cstr(who->user, n->user, sizeof(n->user)));
	TRY(span_to_cstr(who->policy, n->policy, sizeof(n->policy)));
	TRY(span_to_cstr(span_str(who->issuer), n->issuer, sizeof(n->issuer)));
	return keys_tenant_pseudonym(&n->a->keys, who->tenant, n->tenant_hex);
}

/* Room for one more: of those that are over the one that would be tried again first goes. */
static bool
make_room(struct people *p)
{
	struct arrival *n, *first = NULL;

	if (p->narrivals < PEOPLE_ARRIVING_MAX)
		return true;
	LIST_FOREACH(n, &p->arrivals, entry)
	{
		if (n->again_ms != 0 && (first == NULL || n->again_ms < first->again_ms))
			first = n;
	}
	if (first != NULL)
		arrival_free(first);
	return first != NULL;
}

static struct arrival *
begin(struct authority *a, const struct oidc_identity *who, const uint8_t id[KEY_ID_LEN],
    uint64_t now_s)
{
	struct people *p = &a->people;
	struct batch b = { .n = 0 };
	struct arrival *n;

	if (grace_store_is_silent(a) || is_contested(p, who) ||
	    !keys_user_fits(&a->keys, who->tenant, who->user) || !make_room(p))
		return NULL;
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->a = a;
	memcpy(n->id, id, sizeof(n->id));
	if (is_ok(fill(n, who, now_s))) {
		put_record(n, &b);
		batch_intent(&b);
		if (is_ok(audit_append(a, &b, on_intent, n))) {
			LIST_INSERT_HEAD(&p->arrivals, n, entry);
			p->narrivals++;
			return n;
		}
	}
	free(n);
	return NULL;
}

/* Let them in, if it is time; whoever asks meanwhile waits for the same. */
static enum error
introduce(struct authority *a, const struct oidc_identity *who, const uint8_t id[KEY_ID_LEN],
    uint64_t now_s)
{
	struct arrival *n = arriving(&a->people, id);
	bool rests = n != NULL && n->again_ms != 0;

	if ((n == NULL || rests) && !is_free_for(a, who)) {
		a->oidc->fault = JWT_FAULT_MAPPING;
		return ERROR_INVALID_KEY;
	}
	if (rests && now_ms(a) < n->again_ms) {
		a->oidc->fault = n->taken ? JWT_FAULT_REVOKED : JWT_FAULT_NONE;
		return n->taken ? ERROR_INVALID_KEY : ERROR_UNAVAILABLE;
	}
	if (rests) {
		arrival_free(n);
		n = NULL;
	}
	if (n == NULL)
		n = begin(a, who, id, now_s);
	if (n != NULL)
		a->oidc->awaited = &n->waiters;
	return ERROR_UNAVAILABLE;
}

enum error
people_key_of(
    struct authority *a, const struct oidc_identity *who, uint64_t now_s, struct key **ret)
{
	uint8_t id[KEY_ID_LEN];
	struct key *key;

	if (!is_ok(people_key_id(who, id)))
		return ERROR_UNAVAILABLE;
	key = keys_find(&a->keys, span_of(id, sizeof(id)));
	if (key == NULL)
		return introduce(a, who, id, now_s);
	a->oidc->fault = JWT_FAULT_REVOKED;
	if (key->revoked_s != 0 || key->user->state != USER_ACTIVE || !is_of(key, who) ||
	    (!who->certificate && (key->user->roles & ROLE_SERVICE) != 0))
		return ERROR_INVALID_KEY;
	a->oidc->fault = JWT_FAULT_NONE;
	key->has_roles = true;
	key->has_certificate = who->certificate;
	key->roles = who->roles;
	a->oidc->token_expires_s = who->expires_s;
	key_rehash_none(key); /* one of before there were versions */
	*ret = key;
	return ERROR_NONE;
}

enum error
people_find(struct authority *a, struct span token, uint64_t now_s, struct key **ret)
{
	struct oidc_identity who;

	switch (oidc_check(a, token, now_s, &who, &a->oidc->fault)) {
	case OIDC_OK:
		return people_key_of(a, &who, now_s, ret);
	case OIDC_BAD:
		return ERROR_INVALID_KEY;
	case OIDC_LATER:
	case OIDC_UNAVAILABLE:
	default:
		return ERROR_UNAVAILABLE;
	}
}

/* ---- who vouches for them no more ---- */

/* Its id is made of all that is known of it, and of the issuer. */
bool
people_know(const struct authority *a, const struct key *key)
{
	const struct issuers *all = &a->oidc->issuers;
	struct oidc_identity who = { .tenant = key->user->tenant,
		.user = key->user->name,
		.policy = span_str(key->policy->name),
		.roles = key->roles };
	uint8_t id[KEY_ID_LEN];

	for (size_t i = 0; i < all->count; i++) {
		who.issuer = all->items[i]->url;
		if (is_ok(people_key_id(&who, id)) && memcmp(id, key->id, sizeof(id)) == 0)
			return true;
	}
	return machines_have(a, key->id);
}

uint8_t
people_roles_of(const struct authority *a, const struct key *key)
{
	const struct issuers *all = &a->oidc->issuers;
	struct oidc_identity who = { .tenant = key->user->tenant,
		.user = key->user->name,
		.policy = span_str(key->policy->name) };
	uint8_t id[KEY_ID_LEN];

	if (key->has_roles)
		return key->roles;
	for (size_t i = 0; i < (all->count + 1) * (ROLES_ALL + 1U); i++) {
		size_t n = i / (ROLES_ALL + 1U);

		who.issuer = n < all->count ? all->items[n]->url : MACHINES_ISSUER;
		who.roles = (uint8_t)(i % (ROLES_ALL + 1U));
		if (is_ok(people_key_id(&who, id)) && memcmp(id, key->id, sizeof(id)) == 0)
			return who.roles;
	}
	return 0;
}

void
people_config(struct authority *a)
{
	struct turn *t, *next;

	sessions_config(a);
	for (size_t i = 0; i < a->keys.nkeys; i++) {
		struct key *key = keys_at(&a->keys, i);

		if (!key->has_roles || LIST_EMPTY(&key->turns) || people_know(a, key))
			continue;
		for (t = LIST_FIRST(&key->turns); t != NULL; t = next) {
			next = LIST_NEXT(t, of_key);
			turn_end(t, ERROR_REVOKED, AUDIT_REVOKED);
		}
	}
}

void
people_done(struct authority *a)
{
	while (!LIST_EMPTY(&a->people.arrivals))
		arrival_free(LIST_FIRST(&a->people.arrivals));
}
