/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oidc_cache.c: verified tokens, so that one is verified once.
 *
 * Runs in: authority. Trusts: nothing; only what was verified is put here.
 * Owns: the entries.
 * Invariants: an entry answers until its token ends, and not after the keys of its issuer have
 * changed; whoever comes with many tokens pushes out others, which are verified once more.
 * See: oidc_cache.h, oidc.c.
 */
#include "oidc_cache.h"

#include <stdlib.h>

#include <crypto/crypto.h>

#include "issuers.h"

struct status
oidc_cache_init(struct oidc_cache *c)
{
	c->entries = calloc((size_t)OIDC_CACHE_SETS * OIDC_CACHE_WAYS, sizeof(*c->entries));
	return c->entries == NULL ? fail(E_NOMEM) : OK;
}

void
oidc_cache_done(struct oidc_cache *c)
{
	free(c->entries);
	c->entries = NULL;
}

void
oidc_cache_clear(struct oidc_cache *c)
{
	memset(c->entries, 0, sizeof(*c->entries) * OIDC_CACHE_SETS * OIDC_CACHE_WAYS);
}

static struct oidc_entry *
set_of(const struct oidc_cache *c, const uint8_t hash[SHA256_LEN])
{
	size_t set = ((size_t)hash[0] << 8 | hash[1]) % OIDC_CACHE_SETS;

	return &c->entries[set * OIDC_CACHE_WAYS];
}

static bool
is_alive(const struct oidc_entry *e, uint64_t now_s)
{
	return e->issuer != NULL && e->epoch == e->issuer->epoch && now_s < e->expires_s;
}

const struct oidc_entry *
oidc_cache_find(const struct oidc_cache *c, const uint8_t hash[SHA256_LEN], uint64_t now_s)
{
	const struct oidc_entry *set = set_of(c, hash);

	for (size_t i = 0; i < OIDC_CACHE_WAYS; i++) {
		if (is_alive(&set[i], now_s) &&
		    crypto_eq(span_of(set[i].hash, SHA256_LEN), span_of(hash, SHA256_LEN)))
			return &set[i];
	}
	return NULL;
}

struct oidc_entry *
oidc_cache_place(struct oidc_cache *c, const uint8_t hash[SHA256_LEN], uint64_t now_s)
{
	struct oidc_entry *set = set_of(c, hash), *best = &set[0];

	for (size_t i = 0; i < OIDC_CACHE_WAYS; i++) {
		if (!is_alive(&set[i], now_s)) {
			best = &set[i];
			break;
		}
		if (set[i].expires_s < best->expires_s)
			best = &set[i];
	}
	*best = (struct oidc_entry){ .issuer = NULL };
	memcpy(best->hash, hash, SHA256_LEN);
	return best;
}
