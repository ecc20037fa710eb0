/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_KEYRING_INTERNAL_H
#define STORE_KEYRING_INTERNAL_H

/* What keyring.c (keys of tenants and users, values) and keyring_kek.c (keys above them) share. */
#include "internal.h"
#include "key_cache.h"

struct hmac_key;

struct keyring {
	struct key_cache *keks, *tenants, *users;
	struct hmac_key *index;
};

/* A wrapped key, as a row has it; `by` is the id of the key over it. */
struct wrapped {
	struct key_cache *cache;
	uint64_t id, owner;
	struct place at;
	uint64_t by;
};

/* Into memory. */
MUST_USE struct status keyring_unwrap(
    const struct wrapped *w, const struct secret *by, struct span blob, struct data_key *ret);
MUST_USE struct status keyring_wrap(const struct secret *by, const struct place *at, uint64_t by_id,
    const struct secret *key, struct buf *out);
/* Is it in memory? */
bool keyring_in_memory(struct key_cache *c, uint64_t id, uint64_t owner, struct data_key *ret);

#endif
