/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c: the table of API keys and users.
 *
 * Runs in: authority. Trusts: the store; a credential is hostile text.
 * Owns: all entries; subject keys in locked memory.
 * Invariants: no key text is ever kept, only its keyed hash; the hash of the
 * whole credential is computed and compared for unknown ids, too.
 * See: keys.h, keytext/keytext.h.
 */
#include "keys.h"

#include <stdlib.h>

#include <sys/resource.h>

#include <base/encode.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>

#define TABLE_CAP_FIRST 4096
#define SWEEP_KEYS 4096 /* entries looked at in one call */
#define USER_BYTES_MAX (TENANT_MAX + 1 + USER_MAX)

static bool is_key(const void *item, struct span id);
static bool is_user(const void *item, struct span bytes);
static bool is_subject(const void *item, struct span bytes);
static bool is_tenant(const void *item, struct span name);
static struct status tenant_get(struct keys *k, struct span name, struct keys_tenant **ret);
static struct status user_new(
    struct keys *k, struct span tenant, struct span name, struct span bytes, struct user **ret);
static struct status user_set_key(
    struct keys *k, struct user *u, const uint8_t subject_key[AS_SECRET_LEN]);
static struct status key_new(struct keys *k, const uint8_t id[KEY_ID_LEN], struct key **ret);
static struct status key_pseudonym(struct key *key);
static void replace(const struct keys *k, struct key *key, uint64_t old_expires_s);
static struct span user_bytes(struct span tenant, struct span name, uint8_t out[USER_BYTES_MAX]);

/* How many have a subject key in what may be locked; a slab is for all else. */
static size_t
users_max(void)
{
	struct rlimit rl = { 0 };
	size_t slabs;

	if (getrlimit(RLIMIT_MEMLOCK, &rl) != 0 || rl.rlim_cur >= USERS_MAX * AS_SECRET_LEN)
		return USERS_MAX;
	slabs = rl.rlim_cur / SECRET_LEN_MAX;
	return slabs > 1 ? (slabs - 1) * SUBJECT_SLAB : 0;
}

struct status
keys_init(struct keys *k)
{
	*k = (struct keys){ .users_max = users_max() };
	TRY(table_init(&k->by_id, TABLE_CAP_FIRST, is_key));
	TRY(table_init(&k->users, TABLE_CAP_FIRST, is_user));
	TRY(table_init(&k->by_subject, TABLE_CAP_FIRST, is_subject));
	TRY(table_init(&k->tenants, TABLE_CAP_FIRST, is_tenant));
	SLIST_INIT(&k->all_tenants);
	k->key_slabs = calloc(KEYS_MAX / KEYS_SLAB, sizeof(struct key *));
	k->user_slabs = calloc(USERS_MAX / KEYS_SLAB, sizeof(struct user *));
	k->subject_slabs = calloc(USERS_MAX / SUBJECT_SLAB, sizeof(struct secret));
	if (k->key_slabs == NULL || k->user_slabs == NULL || k->subject_slabs == NULL)
		return fail(E_NOMEM);
	return OK;
}

void
keys_done(struct keys *k)
{
	struct keys_tenant *t;

	for (size_t i = 0; i < k->nkeys; i++) {
		holder_done(&keys_at(k, i)->holder);
		scope_free(keys_at(k, i)->scope);
	}
	for (size_t i = 0; i < k->nusers; i++) {
		struct user *u = keys_user_at(k, i);

		holder_done(&u->holder);
		free((void *)(uintptr_t)u->tenant.ptr);
	}
	for (size_t i = 0; i * KEYS_SLAB < k->nkeys; i++)
		free(k->key_slabs[i]);
	for (size_t i = 0; i * KEYS_SLAB < k->nusers; i++)
		free(k->user_slabs[i]);
	for (size_t i = 0; k->subject_slabs != NULL && i < USERS_MAX / SUBJECT_SLAB; i++)
		secret_done(&k->subject_slabs[i]);
	free(k->key_slabs);
	free(k->user_slabs);
	free(k->subject_slabs);
	table_done(&k->by_id);
	table_done(&k->users);
	table_done(&k->by_subject);
	table_done(&k->tenants);
	while ((t = SLIST_FIRST(&k->all_tenants)) != NULL) {
		SLIST_REMOVE_HEAD(&k->all_tenants, next);
		free(t);
	}
	hmac_key_free(k->tenant_key);
	keys_peppers_done(k);
	policy_refs_done(&k->refs);
	*k = (struct keys){ 0 };
}

struct status
keys_set_tenant_key(struct keys *k, struct span tenant_key)
{
	struct hmac_key *fresh = NULL;

	TRY(hmac_key_new(tenant_key, &fresh));
	hmac_key_free(k->tenant_key);
	k->tenant_key = fresh;
	return OK;
}

/*
 * Whoever was erased begins anew, as the store has it: without keys, an active ROLE_USER. While a
 * LOAD runs that may be about to say that nobody was erased: then that one comes first.
 */
static void
made_again(const struct keys *k, struct user *u)
{
	if (k->loading)
		u->again = true;
	else
		user_set_marks(u, ROLE_USER, USER_ACTIVE, 0);
}

struct status
keys_put_user(struct keys *k, struct span tenant, struct span name,
    const uint8_t subject_key[AS_SECRET_LEN], struct user **ret)
{
	uint8_t text[USER_BYTES_MAX];
	struct span bytes = user_bytes(tenant, name, text);
	struct user *u = table_find(&k->users, bytes);

	if (u == NULL)
		TRY(user_new(k, tenant, name, bytes, &u));
	TRY(user_set_key(k, u, subject_key));
	u->load = k->load;
	if (u->state == USER_ERASED)
		made_again(k, u);
	if (ret != NULL)
		*ret = u;
	return OK;
}

/* Locked memory for the subject key of the user with that serial. */
static struct status
subject_place(struct keys *k, size_t serial)
{
	struct secret *slab;

	if (serial >= k->users_max)
		return fail(E_FULL);
	slab = &k->subject_slabs[serial / SUBJECT_SLAB];
	return secret_borrow(slab).len > 0 ? OK : secret_new(SECRET_LEN_MAX, slab);
}

bool
keys_user_fits(struct keys *k, struct span tenant, struct span name)
{
	const struct keys_tenant *t = keys_find_tenant(k, tenant);
	size_t max = k->users_max;

	if (keys_find_user(k, tenant, name) != NULL)
		return true;
	if (!is_ok(subject_place(k, k->nusers + USERS_SPARE)))
		return false;
	return k->nusers < max / 4 * 3 || t == NULL || t->nusers < max / 4;
}

void
user_set_marks(struct user *u, uint8_t roles, uint8_t state, uint8_t hold)
{
	u->roles = roles;
	u->state = state;
	u->hold = hold;
	u->again = false;
}

bool
claim_is_held(const struct claim *c, const struct keys *k)
{
	return c->held || c->until > k->load_ended;
}

struct user *
keys_user_at(const struct keys *k, size_t index)
{
	return &k->user_slabs[index / KEYS_SLAB][index % KEYS_SLAB];
}

struct keys_tenant *
keys_find_tenant(const struct keys *k, struct span tenant)
{
	return table_find(&k->tenants, tenant);
}

struct user *
keys_find_user(const struct keys *k, struct span tenant, struct span name)
{
	uint8_t text[USER_BYTES_MAX];

	return table_find(&k->users, user_bytes(tenant, name, text));
}

struct user *
keys_find_subject(const struct keys *k, const uint8_t subject[SUBJECT_LEN])
{
	struct user *u = table_find(&k->by_subject, span_of(subject, SUBJECT_LEN));

	return u == NULL || u->state == USER_ERASED ? NULL : u;
}

struct status
keys_put(struct keys *k, const struct policies *p, const struct as_key *m, struct key **ret)
{
	struct user *u = keys_find_user(k, m->tenant, m->user);
	struct key *key = keys_find(k, span_of(m->id, sizeof(m->id)));
	struct policy_ref *policy = NULL;
	struct scope *scope = NULL;
	struct status st;

	if (u == NULL || (key != NULL && key->user != u))
		return fail(E_PROTO);
	TRY(policy_ref_get(&k->refs, p, m->policy, &policy));
	if (m->scopes.len > 0)
		TRY(scope_parse(m->scopes, &scope));
	if (key == NULL) {
		st = key_new(k, m->id, &key);
		if (!is_ok(st)) {
			scope_free(scope);
			return st;
		}
		SLIST_INSERT_HEAD(&u->keys, key, of_user);
		u->of->nkeys++;
	}
	scope_free(key->scope);
	key->scope = scope;
	key->changes++;
	key->user = u;
	key->policy = policy;
	memcpy(key->hash, m->hash, sizeof(key->hash));
	key->pepper = m->pepper;
	key->ahead = false;
	key->created_s = m->created_s;
	key->expires_s = m->expires_s;
	if (key->revoked_s == 0) /* never taken back */
		key->revoked_s = m->revoked_s;
	if (m->last_used_s > key->last_used_s)
		key->last_used_s = m->last_used_s;
	memcpy(key->replaces, m->replaces, sizeof(key->replaces));
	replace(k, key, m->old_expires_s);
	key->load = k->load;
	key->life = u->life;
	if (ret != NULL)
		*ret = key;
	return key_pseudonym(key);
}

/* The key that this one replaces knows it, and ends when that was said to. */
static void
replace(const struct keys *k, struct key *key, uint64_t old_expires_s)
{
	struct key *old = keys_find(k, span_of(key->replaces, sizeof(key->replaces)));

	if (old == NULL || old->user != key->user)
		return;
	old->replaced_by = key;
	if (old_expires_s != 0 && (old->expires_s == 0 || old_expires_s < old->expires_s))
		old->expires_s = old_expires_s;
}

struct key *
keys_find(const struct keys *k, struct span id)
{
	return table_find(&k->by_id, id);
}

struct key *
keys_at(const struct keys *k, size_t index)
{
	return &k->key_slabs[index / KEYS_SLAB][index % KEYS_SLAB];
}

bool
key_is_past(const struct key *key)
{
	return key->user->state == USER_ERASED || key->life != key->user->life;
}

/*
 * What an unknown id is compared with: any key, so that memory is reached for as it is for a
 * known one, and as early. Which one it is nobody can choose: the table's hash has a secret seed.
 */
static const struct key *
decoy(const struct keys *k, struct span id)
{
	static const struct key nobody;
	uint64_t n = table_hash(&k->by_id, id) >> 32;

	return k->nkeys == 0 ? &nobody : keys_at(k, (size_t)(n * k->nkeys >> 32));
}

struct key *
keys_check(const struct keys *k, struct span credential, uint64_t now_s)
{
	uint8_t hash[DIGEST_LEN];
	const struct key *with;
	struct key *key;
	uint32_t pepper;
	bool same;

	if (!keytext_ok(credential) || k->newest == 0)
		return NULL;
	with = decoy(k, keytext_id(credential));
	key = keys_find(k, keytext_id(credential));
	with = key != NULL ? key : with;
	pepper = with->pepper;
	pepper = key != NULL ? pepper : k->newest;
	if (!is_ok(hmac_sha256(keys_pepper(k, pepper), credential, hash)))
		return NULL;
	same = crypto_eq(span_of(hash, sizeof(hash)), span_of(with->hash, sizeof(hash)));
	if (key == NULL || !same || key->revoked_s != 0 || key->user->state != USER_ACTIVE)
		return NULL;
	return key->expires_s != 0 && now_s >= key->expires_s ? NULL : key;
}

struct status
keys_hash(
    const struct keys *k, struct span credential, uint8_t out[DIGEST_LEN], uint32_t *ret_pepper)
{
	if (k->newest == 0)
		return fail(E_DENIED);
	*ret_pepper = k->newest;
	return hmac_sha256(keys_pepper(k, k->newest), credential, out);
}

struct status
keys_tenant_pseudonym(const struct keys *k, struct span tenant, char out[2 * SUBJECT_LEN])
{
	/* No key's text begins with the label: keys were hashed under this one, too. */
	const struct span parts[] = { SPAN_LIT("tenant"), SPAN_LIT("\0"), tenant };
	uint8_t digest[DIGEST_LEN];

	if (k->tenant_key == NULL)
		return fail(E_DENIED);
	TRY(hmac_sha256_parts(k->tenant_key, parts, sizeof(parts) / sizeof(parts[0]), digest));
	hex_encode(span_of(digest, SUBJECT_LEN), out);
	return OK;
}

struct permit
key_permit(const struct key *key)
{
	return (struct permit){ key->policy->now,
		{ key->scope, key->parent == NULL ? NULL : key->parent->scope } };
}

struct key *
key_root(struct key *key)
{
	return key->parent == NULL ? key : key->parent;
}

uint8_t
key_roles(const struct key *key)
{
	const struct key *root = key->parent == NULL ? key : key->parent;

	return root->has_roles ? root->roles : root->user->roles;
}

void
keys_load_begin(struct keys *k)
{
	k->load++;
	k->loading = true;
}

void
keys_load_end(struct keys *k, uint64_t now_s)
{
	for (size_t i = 0; i < k->nkeys; i++) {
		struct key *key = keys_at(k, i);

		if (key->load != k->load && key->revoked_s == 0)
			key->revoked_s = now_s;
	}
	for (size_t i = 0; i < k->nusers; i++) {
		struct user *u = keys_user_at(k, i);

		if (u->load != k->load)
			u->state = USER_ERASED;
		else if (u->again)
			user_set_marks(u, ROLE_USER, USER_ACTIVE, 0);
	}
	k->loading = false;
	k->load_ended = k->load;
}

void
keys_sweep(struct keys *k, uint64_t now_ms)
{
	for (size_t i = 0; i < SWEEP_KEYS && i < k->nkeys; i++) {
		struct key *key;

		if (k->sweep_at >= k->nkeys)
			k->sweep_at = 0;
		key = keys_at(k, k->sweep_at++);
		holder_sweep(&key->holder, now_ms);
		holder_sweep(&key->user->holder, now_ms);
	}
}

/* ---- entries ---- */

static bool
is_key(const void *item, struct span id)
{
	const struct key *key = item;

	return span_eq(span_of(key->id, sizeof(key->id)), id);
}

/* A user's bytes: tenant, NUL, name; the entry holds them as one block. */
static bool
is_subject(const void *item, struct span bytes)
{
	const struct user *u = item;

	return span_eq(span_of(u->subject, SUBJECT_LEN), bytes);
}

static bool
is_tenant(const void *item, struct span name)
{
	const struct keys_tenant *t = item;

	return span_eq(span_of(t->name, t->len), name);
}

static bool
is_user(const void *item, struct span bytes)
{
	const struct user *u = item;

	return span_eq(span_of(u->tenant.ptr, u->tenant.len + 1 + u->name.len), bytes);
}

static struct span
user_bytes(struct span tenant, struct span name, uint8_t out[USER_BYTES_MAX])
{
	if (tenant.len > TENANT_MAX || name.len > USER_MAX)
		return SPAN_EMPTY;
	memcpy(out, tenant.ptr, tenant.len);
	out[tenant.len] = 0;
	memcpy(out + tenant.len + 1, name.ptr, name.len);
	return span_of(out, tenant.len + 1 + name.len);
}

static struct status
tenant_get(struct keys *k, struct span name, struct keys_tenant **ret)
{
	struct keys_tenant *t = keys_find_tenant(k, name);

	if (t == NULL) {
		t = calloc(1, sizeof(*t) + name.len);
		if (t == NULL)
			return fail(E_NOMEM);
		memcpy(t->name, name.ptr, name.len);
		t->len = name.len;
		if (!is_ok(table_put(&k->tenants, name, t))) {
			free(t);
			return fail(E_NOMEM);
		}
		SLIST_INSERT_HEAD(&k->all_tenants, t, next);
	}
	*ret = t;
	return OK;
}

static struct status
user_new(struct keys *k, struct span tenant, struct span name, struct span bytes, struct user **ret)
{
	struct user **slab = &k->user_slabs[k->nusers / KEYS_SLAB];
	struct keys_tenant *of = NULL;
	struct user *u;
	uint8_t *text;

	if (bytes.len == 0)
		return fail(E_RANGE);
	TRY(subject_place(k, k->nusers));
	TRY(tenant_get(k, tenant, &of));
	if (k->nusers % KEYS_SLAB == 0 && *slab == NULL)
		*slab = calloc(KEYS_SLAB, sizeof(**slab));
	text = malloc(bytes.len);
	if (*slab == NULL || text == NULL) {
		free(text);
		return fail(E_NOMEM);
	}
	memcpy(text, bytes.ptr, bytes.len);
	u = &(*slab)[k->nusers % KEYS_SLAB];
	u->tenant = span_of(text, tenant.len);
	u->name = span_of(text + tenant.len + 1, name.len);
	u->serial = (uint32_t)k->nusers;
	if (!is_ok(table_put(&k->users, bytes, u))) {
		free(text);
		*u = (struct user){ 0 };
		return fail(E_NOMEM);
	}
	user_set_marks(u, ROLE_USER, USER_ACTIVE, 0);
	u->of = of;
	SLIST_INSERT_HEAD(&of->users, u, of_tenant);
	of->nusers++;
	k->nusers++;
	*ret = u;
	return OK;
}

static struct status
user_set_key(struct keys *k, struct user *u, const uint8_t subject_key[AS_SECRET_LEN])
{
	const struct secret *slab = &k->subject_slabs[u->serial / SUBJECT_SLAB];
	const struct span parts[] = { SPAN_LIT("subject"), u->tenant, SPAN_LIT("\0"), u->name };
	struct hmac_key *h = NULL;
	uint8_t mac[SHA256_LEN], *place;
	struct status st;

	place = slab->ptr + u->serial % SUBJECT_SLAB * AS_SECRET_LEN;
	memcpy(place, subject_key, AS_SECRET_LEN);
	u->subject_key = place;
	TRY(hmac_key_new(span_of(place, AS_SECRET_LEN), &h));
	st = hmac_sha256_parts(h, parts, sizeof(parts) / sizeof(parts[0]), mac);
	hmac_key_free(h);
	TRY(st);
	/* A person keeps it: with another one it is another person of that name. */
	if (memcmp(u->subject, mac, sizeof(u->subject)) != 0)
		u->life++;
	memcpy(u->subject, mac, sizeof(u->subject));
	/* An entry under what it was called before finds nobody any more. */
	if (table_find(&k->by_subject, span_of(u->subject, SUBJECT_LEN)) != NULL)
		return OK;
	return table_put(&k->by_subject, span_of(u->subject, SUBJECT_LEN), u);
}

static struct status
key_new(struct keys *k, const uint8_t id[KEY_ID_LEN], struct key **ret)
{
	struct key **slab = &k->key_slabs[k->nkeys / KEYS_SLAB];
	struct key *key;

	if (k->nkeys == KEYS_MAX)
		return fail(E_FULL);
	if (k->nkeys % KEYS_SLAB == 0 && *slab == NULL)
		*slab = calloc(KEYS_SLAB, sizeof(**slab));
	if (*slab == NULL)
		return fail(E_NOMEM);
	key = &(*slab)[k->nkeys % KEYS_SLAB];
	memcpy(key->id, id, KEY_ID_LEN);
	LIST_INIT(&key->turns);
	TRY(table_put(&k->by_id, span_of(key->id, KEY_ID_LEN), key));
	key->index = (uint32_t)k->nkeys++;
	*ret = key;
	return OK;
}

static struct status
key_pseudonym(struct key *key)
{
	const struct span parts[] = { SPAN_LIT("key"), span_of(key->id, sizeof(key->id)) };
	struct hmac_key *h = NULL;
	uint8_t mac[SHA256_LEN];
	struct status st;

	TRY(hmac_key_new(span_of(key->user->subject_key, AS_SECRET_LEN), &h));
	st = hmac_sha256_parts(h, parts, sizeof(parts) / sizeof(parts[0]), mac);
	hmac_key_free(h);
	memcpy(key->pseudonym, mac, sizeof(key->pseudonym));
	return st;
}
