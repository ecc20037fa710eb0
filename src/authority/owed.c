/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owed.c: revocations that the store has not heard of yet.
 *
 * Runs in: authority. Trusts: the store. Owns: the list.
 * Invariants: one at a time, in their order; one leaves the list when the store has it, or says
 * that there is no such key. See: owed.h; grace.h; admin_keys.c.
 */
#include "authority.h"

static void on_done(struct authority *a, void *ctx, enum code code, const struct as_done *m);

bool
owed_add(struct authority *a, const struct as_key_revoke *m)
{
	struct owed *o = &a->owed;

	for (size_t i = 0; i < o->n; i++) {
		if (memcmp(o->all[i].id, m->id, KEY_ID_LEN) == 0)
			return true;
	}
	if (o->n == OWED_MAX)
		return false;
	o->all[o->n++] = *m;
	return true;
}

void
owed_tick(struct authority *a)
{
	struct owed *o = &a->owed;

	/* Not before it is loaded anew: the keys are in the table it is compared with. */
	if (o->n == 0 || o->sent || grace_phase(a) != GRACE_NONE)
		return;
	o->sent = is_ok(store_revoke_key(a, &o->all[0], on_done, NULL));
}

static void
on_done(struct authority *a, void *ctx, enum code code, const struct as_done *m)
{
	struct owed *o = &a->owed;

	(void)ctx, (void)m;
	o->sent = false;
	if (code != E_OK && code != E_EXISTS && code != E_NOTFOUND)
		return;
	memmove(&o->all[0], &o->all[1], --o->n * sizeof(o->all[0]));
	owed_tick(a);
}
