/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_KEY_CACHE_H
#define STORE_KEY_CACHE_H

/*
 * Keys that were unwrapped, in locked memory: at most as many as it was made for; the
 * one that was not used for longest makes room.
 */
#include <crypto/seal.h>

#define KEY_CACHE_MAX (SECRET_LEN_MAX / SEAL_KEY_LEN)

struct key_cache;

/* Owner: key_cache_free(). E_RANGE: 0, or more than KEY_CACHE_MAX. E_NOMEM, E_SYS (mlock). */
MUST_USE struct status key_cache_new(uint32_t max, struct key_cache **ret);
void key_cache_free(struct key_cache *c); /* wipes */
/* NULL: not there, or another owner's. Borrowed until the next call. */
const struct secret *key_cache_get(struct key_cache *c, uint64_t id, uint64_t owner);
/* A key of zeroes, to be written by the caller; key_cache_drop() when that fails. */
struct secret *key_cache_add(struct key_cache *c, uint64_t id, uint64_t owner);
void key_cache_drop(struct key_cache *c, uint64_t id);          /* wipes it, if it is there */
void key_cache_drop_owner(struct key_cache *c, uint64_t owner); /* all of the owner's */
void key_cache_clear(struct key_cache *c);
/* All of which `keep` does not say true. */
void key_cache_keep(struct key_cache *c, bool (*keep)(void *ctx, uint64_t id), void *ctx);

#endif
