/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peppers.c: the secrets under which the texts of API keys are hashed, in versions.
 *
 * Runs in: authority. Trusts: the store, which keeps them. Owns: the keys of the HMACs.
 * Invariants: a text is hashed under the version that its key names, that of an unknown id under
 * the newest; finding a version looks at all of them, whichever it is. But while a LOAD runs there
 * are no more than the store keeps, so that those of the next LOAD fit beside them.
 * See: keys.h; key_rehash.c, which brings keys to the newest.
 */
#include "keys.h"

static struct pepper *
slot_of(struct keys *k, uint32_t version)
{
	struct pepper *none = NULL;

	for (size_t i = 0; i < PEPPERS_LOAD_MAX; i++) {
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

static bool
is_needed(const struct keys *k, uint32_t version)
{
	for (size_t i = 0; i < k->nkeys; i++) {
		if (keys_at(k, i)->pepper == version)
			return true;
	}
	return false;
}

static bool
is_unused(const struct keys *k, const struct pepper *p)
{
	return p->version != 0 && p->version != k->newest && !is_needed(k, p->version);
}

/* Has `version` a place, or could it get one? */
static bool
fits(const struct keys *k, uint32_t version)
{
	size_t n = 0;

	for (size_t i = 0; i < PEPPERS_LOAD_MAX; i++) {
		if (version != 0 && k->peppers[i].version == version)
			return true;
		n += k->peppers[i].version != 0;
	}
	return n < (k->loading ? PEPPERS_LOAD_MAX : PEPPERS_MAX);
}

bool
keys_pepper_fits(const struct keys *k)
{
	size_t unused = 0;

	if (fits(k, 0))
		return true;
	for (size_t i = 0; i < PEPPERS_LOAD_MAX && !k->loading; i++)
		unused += is_unused(k, &k->peppers[i]);
	return unused > 0;
}

struct status
keys_put_pepper(struct keys *k, uint32_t version, const uint8_t pepper[AS_SECRET_LEN])
{
	struct hmac_key *fresh = NULL;
	struct pepper *p;

	if (version == 0)
		return fail(E_RANGE);
	if (!fits(k, version))
		keys_retire_peppers(k);
	p = slot_of(k, version);
	if (p == NULL || !fits(k, version))
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

	for (size_t i = 0; i < PEPPERS_LOAD_MAX; i++) {
		const struct pepper *p = &k->peppers[i];

		newest = p->version == k->newest ? p : newest;
		found = p->version == version ? p : found;
	}
	if (k->newest == 0)
		return NULL;
	return version != 0 && found != NULL ? found->key : newest->key;
}

void
keys_retire_peppers(struct keys *k)
{
	if (k->loading)
		return;
	for (size_t i = 0; i < PEPPERS_LOAD_MAX; i++) {
		if (is_unused(k, &k->peppers[i]))
			drop(&k->peppers[i]);
	}
}

/* An older store was put back: what it does not have is not ours any more. */
void
keys_peppers_load_end(struct keys *k)
{
	k->newest = 0;
	for (size_t i = 0; i < PEPPERS_LOAD_MAX; i++) {
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
	for (size_t i = 0; i < PEPPERS_LOAD_MAX; i++)
		drop(&k->peppers[i]);
	k->newest = 0;
}
