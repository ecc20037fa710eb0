/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_rehash.c: keys are brought to the newest pepper as they are used, told to the store in
 * batches.
 *
 * Runs in: authority. Trusts: nothing. Owns: which hashes the store does not have yet.
 * Invariants: a request costs no message; a hash that was not told when this process dies is made
 * anew with the key's next use. A revoked key needs no hash any more and holds no pepper back; one
 * that has only run out does: clocks jump.
 * See: principal.c, peppers.c; wire/authority_store.h (AS_KEY_REHASH).
 */
#include "authority.h"

#include <base/rand.h>
#include <json/write.h>

#define LOOKED_MAX 4096U /* keys looked at in one tick */

void
key_rehash_note(struct authority *a, struct key *key, struct span credential)
{
	uint8_t hash[DIGEST_LEN];
	uint32_t pepper;

	if (key->pepper == a->keys.newest || !is_ok(keys_hash(&a->keys, credential, hash, &pepper)))
		return;
	memcpy(key->hash, hash, sizeof(key->hash));
	key->pepper = pepper;
	key->ahead = true;
}

void
key_rehash_none(struct key *key)
{
	key->ahead = key->ahead || key->pepper != 0;
	key->pepper = 0;
}

/* Nobody has the text that this would be the hash of. */
static void
forget_revoked(struct authority *a, struct key *key)
{
	if (key->revoked_s == 0 || key->pepper == 0 || key->pepper == a->keys.newest ||
	    !is_ok(rand_bytes(key->hash, sizeof(key->hash))))
		return;
	key_rehash_none(key);
}

static void
on_told(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct key_rehash *r = &a->rehash;

	(void)ctx, (void)answered;
	r->waiting = false;
	if (code != E_OK) {
		diag(DIAG_WARN, "store: hashes of keys are not kept; they are told again");
		return;
	}
	for (size_t i = 0; i < r->nsent; i++) {
		if (r->sent[i]->pepper == r->peppers[i]) /* not hashed anew meanwhile */
			r->sent[i]->ahead = false;
	}
}

static uint32_t
collect(struct authority *a, struct as_key_hash hashes[AS_REHASH_BATCH_MAX])
{
	struct key_rehash *r = &a->rehash;
	const struct keys *k = &a->keys;

	r->nsent = 0;
	for (uint32_t i = 0; i < LOOKED_MAX && i < k->nkeys && r->nsent < AS_REHASH_BATCH_MAX;
	     i++) {
		struct key *key;

		if (r->at >= k->nkeys)
			r->at = 0;
		key = keys_at(k, r->at++);
		forget_revoked(a, key);
		if (!key->ahead)
			continue;
		memcpy(hashes[r->nsent].id, key->id, KEY_ID_LEN);
		memcpy(hashes[r->nsent].hash, key->hash, DIGEST_LEN);
		hashes[r->nsent].pepper = r->peppers[r->nsent] = key->pepper;
		r->sent[r->nsent++] = key;
	}
	return (uint32_t)r->nsent;
}

void
key_rehash_tick(struct authority *a)
{
	struct as_key_hash hashes[AS_REHASH_BATCH_MAX];
	struct as_key_rehash m = { .keys = { hashes, 0 } };

	if (a->rehash.waiting || !a->loaded || unfit_stops(a) || grace_store_is_silent(a))
		return;
	m.keys.count = collect(a, hashes);
	if (m.keys.count > 0)
		a->rehash.waiting = is_ok(store_ask(a, AS_KEY_REHASH, &m, AS_DONE, on_told, NULL));
}

/* ---- what is left ---- */

static void
put_key(struct json_writer *w, const struct key *key)
{
	json_put_object(w);
	json_put_key(w, "id");
	json_put_str(w, span_of(key->id, KEY_ID_LEN));
	json_put_key(w, "tenant");
	json_put_str(w, key->user->tenant);
	json_put_key(w, "user");
	json_put_str(w, key->user->name);
	json_put_key(w, "last_used_s");
	json_put_u64(w, key->last_used_s);
	json_put_key(w, "expires_s");
	json_put_u64(w, key->expires_s);
	json_put_end(w);
}

static bool
is_left(const struct authority *a, const struct key *key)
{
	return key->pepper != 0 && key->pepper != a->keys.newest && key->revoked_s == 0;
}

void
key_rehash_put_left(const struct authority *a, size_t from, struct json_writer *w)
{
	const struct key *last = NULL;
	bool more = false;
	unsigned n = 0;

	json_put_key(w, "keys");
	json_put_array(w);
	for (size_t i = from; i < a->keys.nkeys && !more; i++) {
		const struct key *key = keys_at(&a->keys, i);

		if (!is_left(a, key))
			continue;
		more = n++ == REHASH_LISTED_MAX;
		if (more)
			continue;
		put_key(w, key);
		last = key;
	}
	json_put_end(w);
	json_put_key(w, "next");
	if (more)
		json_put_str(w, span_of(last->id, KEY_ID_LEN));
	else
		json_put_null(w);
}
