/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_PRINCIPAL_H
#define AUTHORITY_PRINCIPAL_H

/*
 * Whose credential is this? Every kind of it (the text of an API key, a session token of
 * ours, a token of the house's identity provider, a verified certificate) ends here, as one struct
 * key.
 */
#include <sys/queue.h>

#include <base/span.h>
#include <wire/authority_store.h>
#include <wire/errors.h>
#include <wire/limits.h>

struct authority;
struct key;

/*
 * ERROR_NONE: *ret is valid now, for a request from `source`. ERROR_INVALID_KEY: it is none,
 * and why is nobody's business. ERROR_UNAVAILABLE: that cannot be said now.
 */
enum error principal_find(struct authority *a, struct span credential,
    const uint8_t source[SOURCE_LEN], uint64_t now_s, struct key **ret);
/* How a principal of this kind has shown who it is, for its Authentication record. */
const char *principal_method(const struct key *key);
/* What the last credential that principal_find() refused looked like, for its record. */
const char *principal_tried(const struct authority *a);

/* ---- key_uses.c: when keys were used last, on its way to the store ---- */
struct key_uses {
	SLIST_HEAD(key_use_list, key) keys; /* used since the store was told */
	bool waiting;                       /* for the store's answer */
	uint64_t flushed_ms;
};
void key_uses_note(struct authority *a, struct key *key, uint64_t now_s);
void key_uses_tick(struct authority *a);

/* ---- key_rehash.c: keys under the newest pepper, on their way to the store ---- */
#define REHASH_LISTED_MAX 100
struct key_rehash {
	size_t at; /* where the next look begins */
	bool waiting;
	size_t nsent; /* in the batch that waits */
	struct key *sent[AS_REHASH_BATCH_MAX];
	uint32_t peppers[AS_REHASH_BATCH_MAX];
};
/* State: `credential` is the text of this key. */
void key_rehash_note(struct authority *a, struct key *key, struct span credential);
/* It has no text: its hash is random, and needs no pepper. */
void key_rehash_none(struct key *key);
void key_rehash_tick(struct authority *a);
/*
 * "keys": those that are under older peppers, from that index on, REHASH_LISTED_MAX at most;
 * "next": the last one's id where there are more, else null.
 */
struct json_writer;
void key_rehash_put_left(const struct authority *a, size_t from, struct json_writer *w);

#endif
