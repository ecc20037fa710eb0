/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_key_room.c: may one more key be made for somebody?
 *
 * Runs in: authority. Trusts: its door about who asks. Owns: nothing.
 * Invariants: nobody fills the table that is everybody's: what people make themselves is bounded
 * for each, with what ended lately, and for a tenant where the table grows full.
 * See: admin_keys.c; src/store/key.c, which forgets keys that ended.
 */
#include "admin_op.h"

#define KEYS_OF_PERSON_MAX 64      /* live */
#define KEYS_OF_PERSON_DAY_MAX 256 /* made in a day */
#define DAY_S 86400U
#define ROWS_OF_PERSON_MAX 1024 /* and with those that ended within ENDED_S */
#define ENDED_S (30 * 86400ULL) /* so long the store keeps what ended at least */

bool
admin_key_is_live(const struct key *key)
{
	return key != NULL && key->revoked_s == 0 &&
	       (key->expires_s == 0 || now_real_s() < key->expires_s);
}

/* Has it ended so long ago that the store keeps it no more? */
static bool
is_gone(const struct key *key, uint64_t now_s)
{
	uint64_t over_s = key->revoked_s;

	if (over_s == 0 || (key->expires_s != 0 && key->expires_s < over_s))
		over_s = key->expires_s;
	return over_s != 0 && over_s + ENDED_S <= now_s;
}

/* Where three quarters of the table are taken, a tenant gets no more than a quarter of it. */
static bool
tenant_has_room(const struct keys *k, const struct keys_tenant *t)
{
	return k->nkeys < KEYS_MAX / 4 * 3 || t->nkeys < KEYS_MAX / 4;
}

struct status
admin_key_room(struct admin_call *c, const struct user *user)
{
	uint64_t now_s = now_real_s();
	unsigned live = 0, rows = 0, made = 0;
	const struct key *key;

	if (c->by == NULL || user == NULL)
		return OK;
	SLIST_FOREACH(key, &user->keys, of_user)
	{
		live += admin_key_is_live(key);
		made += key->created_s + DAY_S > now_s;
		rows += !is_gone(key, now_s);
	}
	if (made >= KEYS_OF_PERSON_DAY_MAX)
		return admin_refuse(c, 409, "too_many_keys",
		    "256 keys were made for the user within a day: others later.");
	if (live >= KEYS_OF_PERSON_MAX)
		return admin_refuse(c, 409, "too_many_keys",
		    "The user has 64 valid keys: one must be revoked, or end, first.");
	if (rows >= ROWS_OF_PERSON_MAX)
		return admin_refuse(c, 409, "too_many_keys",
		    "The user has 1024 keys that are valid or ended within 30 days.");
	if (!tenant_has_room(&c->a->keys, user->of))
		return admin_refuse(
		    c, 409, "too_many_keys", "The tenant has a quarter of all keys there may be.");
	return OK;
}
