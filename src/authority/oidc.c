/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oidc.c: whose is this token?
 *
 * Runs in: authority. Trusts: the configuration, and an issuer for its own people; a token is
 * hostile text until one of its issuer's keys has verified it.
 * Owns: the issuers, the cache of verified tokens, the reader.
 * Invariants: fail closed: without keys nothing is verified; what a token names is taken only where
 * an operator could have named it so; no token is kept or told, only why it was not taken.
 * See: oidc.h, issuers.c, oidc_cache.c; lib/jwt.
 */
#include "authority.h"

#include <stdlib.h>

#include <json/write.h>
#include <wire/role.h>

#include "admin_json.h"

struct status
oidc_init(struct authority *a)
{
	struct status st;

	a->oidc = calloc(1, sizeof(*a->oidc));
	if (a->oidc == NULL)
		return fail(E_NOMEM);
	st = oidc_cache_init(&a->oidc->cache);
	if (is_ok(st))
		st = jwt_init(&a->oidc->reader);
	if (is_ok(st))
		st = issuers_load(a, &a->oidc->issuers);
	return st;
}

void
oidc_done(struct authority *a)
{
	if (a->oidc == NULL)
		return;
	issuers_done(&a->oidc->issuers);
	oidc_cache_done(&a->oidc->cache);
	jwt_done(&a->oidc->reader);
	free(a->oidc);
	a->oidc = NULL;
}

void
oidc_config(struct authority *a)
{
	struct status st;

	oidc_cache_clear(&a->oidc->cache); /* names and roles may come from other claims now */
	a->oidc->awaited = NULL;
	st = issuers_load(a, &a->oidc->issuers);
	if (!is_ok(st))
		diag(DIAG_ERROR, "oidc: %s: no token is accepted", status_text(st));
}

void
oidc_tick(struct authority *a)
{
	issuers_tick(&a->oidc->issuers);
}

/* ---- what the claims mean ---- */

static const char *
claim_of(const struct authority *a, const struct issuer *i, const char *name)
{
	return conf_strf(a->d->conf, "oidc.%u.claims.%s", i->index, name);
}

/* A name as an operator could give it; a claim that is not there is none. */
static struct status
read_name(struct jwt *j, const char *path, struct span *ret)
{
	TRY(jwt_claim_str(j, span_str(path), ret));
	return admin_name_ok(*ret) ? OK : fail(E_RANGE);
}

/* What one value of the claim means: by the map, or where there is none, by its own name. */
static uint8_t
role_of(const struct authority *a, const struct issuer *i, struct span value)
{
	const char *name;

	if (!i->mapped)
		return role_of_name(value);
	name = conf_strf(a->d->conf, "oidc.%u.roles_map.%.*s", i->index, SPAN_FMT(value));
	return name == NULL ? 0 : role_of_name(span_str(name));
}

static struct status
read_roles(struct authority *a, const struct issuer *i, uint8_t *ret)
{
	const char *path = claim_of(a, i, "roles");
	struct span values[JWT_ITEMS_MAX];
	size_t n = 0;
	struct status st;

	*ret = path == NULL ? ROLE_USER : 0;
	if (path == NULL)
		return OK;
	st = jwt_claim_strs(&a->oidc->reader, span_str(path), values, &n);
	if (st.code == E_NOTFOUND)
		return OK;
	TRY(st);
	for (size_t k = 0; k < n; k++)
		*ret |= role_of(a, i, values[k]);
	return OK;
}

static struct status
read_tenant(struct authority *a, const struct issuer *i, struct span *ret)
{
	const char *fixed = conf_strf(a->d->conf, "oidc.%u.tenant_fixed", i->index);
	const char *path = claim_of(a, i, "tenant");

	if (fixed != NULL) {
		*ret = span_str(fixed);
		return OK;
	}
	return path == NULL ? fail(E_NOTFOUND) : read_name(&a->oidc->reader, path, ret);
}

static struct status
read_policy(struct authority *a, const struct issuer *i, struct span *ret)
{
	const char *path = claim_of(a, i, "policy");
	struct status st = fail(E_NOTFOUND);

	if (path != NULL)
		st = read_name(&a->oidc->reader, path, ret);
	if (is_ok(st) && policies_find(&a->policies, *ret) == NULL)
		return fail(E_RANGE); /* an issuer makes no names of policies: each is kept */
	if (st.code != E_NOTFOUND)
		return st;
	*ret = span_str(conf_strf(a->d->conf, "oidc.%u.policy", i->index));
	return OK;
}

static struct status
read_identity(struct authority *a, const struct issuer *i, struct oidc_identity *ret,
    enum jwt_fault *ret_fault)
{
	const char *user = claim_of(a, i, "user");

	*ret_fault = JWT_FAULT_ROLES;
	TRY(read_roles(a, i, &ret->roles));
	*ret_fault = JWT_FAULT_MAPPING;
	TRY(read_tenant(a, i, &ret->tenant));
	TRY(read_name(&a->oidc->reader, user == NULL ? "sub" : user, &ret->user));
	TRY(read_policy(a, i, &ret->policy));
	ret->issuer = i->url;
	ret->links = i->links;
	ret->expires_s = a->oidc->reader.expires_s + i->policy.skew_s;
	*ret_fault = JWT_FAULT_NONE;
	return OK;
}

/* ---- the cache ---- */

static struct oidc_identity
identity_of(const struct oidc_entry *e)
{
	return (struct oidc_identity){ .tenant = span_of(e->tenant, e->tenant_len),
		.user = span_of(e->user, e->user_len),
		.policy = span_of(e->policy, e->policy_len),
		.roles = e->roles,
		.expires_s = e->expires_s,
		.issuer = e->issuer->url,
		.links = e->issuer->links };
}

/* Names were checked: none is longer than its place. */
static void
remember(struct authority *a, const uint8_t hash[SHA256_LEN], const struct issuer *i,
    const struct oidc_identity *id, uint64_t now_s)
{
	struct oidc_entry *e = oidc_cache_place(&a->oidc->cache, hash, now_s);

	memcpy(e->tenant, id->tenant.ptr, id->tenant.len);
	memcpy(e->user, id->user.ptr, id->user.len);
	memcpy(e->policy, id->policy.ptr, id->policy.len);
	e->tenant_len = (uint8_t)id->tenant.len;
	e->user_len = (uint8_t)id->user.len;
	e->policy_len = (uint8_t)id->policy.len;
	e->roles = id->roles;
	e->expires_s = id->expires_s;
	e->epoch = i->epoch;
	e->issuer = i;
}

/* ---- the check ---- */

/* There is no key for it: newer ones may have it. */
static enum oidc_answer
ask_for_keys(struct authority *a, struct issuer *i, enum jwt_fault *ret_fault)
{
	if (issuer_fetch(i)) {
		a->oidc->awaited = &i->waiters;
		return OIDC_LATER;
	}
	*ret_fault = JWT_FAULT_KEYS_AWAY;
	if (i->keys == NULL || i->failures > 0 || i->flying)
		return OIDC_UNAVAILABLE;
	*ret_fault = JWT_FAULT_KEY;
	return OIDC_BAD;
}

static enum oidc_answer
bad(enum jwt_fault fault, enum jwt_fault *ret_fault)
{
	*ret_fault = fault;
	return fault == JWT_FAULT_INTERNAL ? OIDC_UNAVAILABLE : OIDC_BAD;
}

static enum oidc_answer
verify(struct authority *a, struct span token, const uint8_t hash[SHA256_LEN], uint64_t now_s,
    struct oidc_identity *ret, enum jwt_fault *ret_fault)
{
	struct jwt *j = &a->oidc->reader;
	struct issuer *i;

	if (!is_ok(jwt_parse(j, token)))
		return bad(j->fault, ret_fault);
	i = issuers_find(&a->oidc->issuers, jwt_claimed_issuer(j));
	if (i == NULL)
		return bad(JWT_FAULT_ISSUER, ret_fault);
	if (i->keys == NULL || !jwt_key_known(j, i->keys, i->policy.algs))
		return ask_for_keys(a, i, ret_fault);
	if (!is_ok(jwt_verify(j, i->keys, &i->policy, now_s)))
		return bad(j->fault, ret_fault);
	if (!is_ok(read_identity(a, i, ret, ret_fault)))
		return OIDC_BAD;
	remember(a, hash, i, ret, now_s);
	return OIDC_OK;
}

enum oidc_answer
oidc_check(struct authority *a, struct span token, uint64_t now_s, struct oidc_identity *ret,
    enum jwt_fault *ret_fault)
{
	const struct oidc_entry *known;
	uint8_t hash[SHA256_LEN];

	a->oidc->awaited = NULL;
	*ret_fault = JWT_FAULT_NONE;
	if (a->oidc->issuers.count == 0)
		return bad(JWT_FAULT_ISSUER, ret_fault);
	if (token.len > JWT_LEN_MAX)
		return bad(JWT_FAULT_SIZE, ret_fault);
	if (!is_ok(sha256(token, hash)))
		return bad(JWT_FAULT_INTERNAL, ret_fault);
	known = oidc_cache_find(&a->oidc->cache, hash, now_s);
	if (known == NULL && a->oidc->spent)
		return bad(JWT_FAULT_NONE, ret_fault); /* no signature is looked at */
	if (known == NULL)
		return verify(a, token, hash, now_s, ret, ret_fault);
	*ret = identity_of(known);
	return OIDC_OK;
}

struct status
oidc_wait(struct authority *a, void (*ready)(void *ctx), void *ctx)
{
	struct waiters *w = a->oidc->awaited;

	a->oidc->awaited = NULL;
	return w == NULL ? fail(E_CLOSED) : waiters_add(w, OIDC_WAITERS_MAX, ready, ctx);
}

void
oidc_forget_awaited(struct authority *a)
{
	a->oidc->awaited = NULL;
}

bool
oidc_is_awaited(const struct authority *a)
{
	return a->oidc->awaited != NULL;
}

/* ---- for operators ---- */

static void
put_issuer(const struct authority *a, struct json_writer *w, const struct issuer *i)
{
	json_put_object(w);
	json_put_key(w, "issuer");
	json_put_text(w, i->url);
	json_put_key(w, "keys");
	json_put_u64(w, i->keys == NULL ? 0 : jwks_count(i->keys));
	if (i->keys != NULL) {
		json_put_key(w, "age_s");
		json_put_u64(w, (now_ms(a) - i->keys_ms) / 1000);
	}
	if (i->why != NULL) {
		json_put_key(w, "fault");
		json_put_text(w, i->why);
	}
	json_put_end(w);
}

void
oidc_put_status(const struct authority *a, struct json_writer *w)
{
	json_put_key(w, "issuers");
	json_put_array(w);
	for (size_t n = 0; n < a->oidc->issuers.count; n++)
		put_issuer(a, w, a->oidc->issuers.items[n]);
	json_put_end(w);
}
