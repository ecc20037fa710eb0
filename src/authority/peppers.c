/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peppers.c: the secrets under which the texts of API keys are hashed, in versions.
 *
 * Runs in: authority. Trusts: the store, which keeps them. Owns: the keys of the HMACs.
 * Invariants: a text is hashed under the version that its key names, that of an unknown id under
 * the newest; finding a version looks at all of them, whichever it is.
 * See: keys.h; key_rehash.c, which brings keys to the newest.
 */
#include "keys.h"

static struct pepper *
slot_of(struct keys *k, uint32_t version)
{
	struct pepper *none = NULL;

	for (size_t i = 0; i < PEPPERS_MAX; i++) {
		if (k->peppers[i].version == version)
			return &k->peppers[i];
		if (k->peppers[i].version == 0)
			none = &k->peppers[i];
	}
	return none;
}

static void
drop(struct pepper *p)
{
	hmac_key_free(p->key);
	*p = (struct pepper){ 0 };
}

struct status
keys_put_pepper(struct keys *k, uint32_t version, const uint8_t pepper[AS_SECRET_LEN])
{
	struct pepper *p = slot_of(k, version);
	struct hmac_key *fresh = NULL;

	if (version == 0)
		return fail(E_RANGE);
	if (p == NULL)
		return fail(E_FULL);
	TRY(hmac_key_new(span_of(pepper, AS_SECRET_LEN), &fresh));
	hmac_key_free(p->key);
	*p = (struct pepper){ version, fresh, k->load };
	if (version > k->newest)
		k->newest = version;
	return OK;
}

struct hmac_key *
keys_pepper(const struct keys *k, uint32_t version)
{
	const struct pepper *newest = NULL, *found = NULL;

	for (size_t i = 0; i < PEPPERS_MAX; i++) {
		const struct pepper *p = &k->peppers[i];

		newest = p->version == k->newest ? p : newest;
		found = p->version == version ? p : found;
	}
	if (k->newest == 0)
		return NULL;
	return version != 0 && found != NULL ? found->key : newest->key;
}

static bool
is_needed(const struct keys *k, uint32_t version)
{
	for (size_t i = 0; i < k->nkeys; i++) {
		if (keys_at(k, i)->pepper == version)
			return true;
	}
	return false;
}

void
keys_retire_peppers(struct keys *k)
{
	for (size_t i = 0; i < PEPPERS_MAX; i++) {
		struct pepper *p = &k->peppers[i];

		if (p->version != 0 && p->version != k->newest && !is_needed(k, p->version))
			drop(p);
	}
}

/* An older store was put back: what it does not have is not ours any more. */
void
keys_peppers_load_end(struct keys *k)
{
	k->newest = 0;
	for (size_t i = 0; i < PEPPERS_MAX; i++) {
		struct pepper *p = &k->peppers[i];

		if (p->version != 0 && p->load != k->load)
			drop(p);
		else if (p->version > k->newest)
			k->newest = p->version;
	}
}

void
keys_peppers_done(struct keys *k)
{
	for (size_t i = 0; i < PEPPERS_MAX; i++)
		drop(&k->peppers[i]);
	k->newest = 0;
}
