/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_OIDC_CACHE_H
#define AUTHORITY_OIDC_CACHE_H

/*
 * Tokens that were verified, by their SHA-256: sets of a few places each, in memory of a fixed
 * size. No token is kept, only its hash.
 */
#include <crypto/hash.h>
#include <wire/limits.h>

#define OIDC_CACHE_SETS 1024 /* a power of two */
#define OIDC_CACHE_WAYS 4

struct issuer;

struct oidc_entry {
	uint8_t hash[SHA256_LEN];
	const struct issuer *issuer; /* NULL: the place is free */
	uint64_t epoch;              /* of the keys that verified it */
	uint64_t expires_s;
	uint8_t roles;
	uint8_t tenant_len, user_len, policy_len;
	char tenant[TENANT_MAX], user[USER_MAX], policy[POLICY_MAX];
};

struct oidc_cache {
	struct oidc_entry *entries;
};

MUST_USE struct status oidc_cache_init(struct oidc_cache *c); /* E_NOMEM */
void oidc_cache_done(struct oidc_cache *c);
void oidc_cache_clear(struct oidc_cache *c);
/* What was put, if it is not over at `now_s` and its keys are still the same. */
const struct oidc_entry *oidc_cache_find(
    const struct oidc_cache *c, const uint8_t hash[SHA256_LEN], uint64_t now_s);
/* A place for it: a free one, a dead one, or that of the entry that ends first. */
struct oidc_entry *oidc_cache_place(
    struct oidc_cache *c, const uint8_t hash[SHA256_LEN], uint64_t now_s);

#endif
