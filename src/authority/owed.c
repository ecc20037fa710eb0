/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owed.c: revocations that the store has not heard of yet.
 *
 * Runs in: authority. Trusts: the store. Owns: the list.
 * Invariants: one at a time, in their order; one leaves the list when the store has it, or says
 * that there is no such key, and that is on record: no `success` before. See: owed.h; grace.h;
 * admin_keys.c.
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
	diag(DIAG_WARN,
	    "the key %.*s is revoked, but the store does not know: where the service ends before "
	    "it "
	    "does, it must be revoked again",
	    KEY_ID_LEN, (const char *)m->id);
	return true;
}

/* The store has it: only now the log says that it is so. */
static void
on_told(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct owed *o = &a->owed;

	(void)ctx, (void)seq;
	o->telling = false;
	if (!is_ok(st))
		return; /* with the next tick */
	o->kept = false;
	memmove(&o->all[0], &o->all[1], --o->n * sizeof(o->all[0]));
	owed_tick(a);
	authority_check_drained(a);
}

static void
tell(struct authority *a)
{
	const struct span id = span_of(a->owed.all[0].id, KEY_ID_LEN);
	const struct record_who who = { .key = keys_find(&a->keys, id),
		.config = a->d->generation };
	struct batch b = { .n = 0 };

	(void)batch_add(&b, EVENT_KEY_REVOKED, &who, "key", id);
	batch_outcome(&b, AUDIT_SUCCESS, AUDIT_CAUSE_NONE);
	batch_str(&b, id);
	batch_null(&b);
	a->owed.telling = is_ok(audit_append(a, &b, on_told, NULL));
}

void
owed_tick(struct authority *a)
{
	struct owed *o = &a->owed;

	if (o->n == 0 || o->sent || o->telling)
		return;
	if (o->kept)
		tell(a);
	/* Not before it is loaded anew: the keys are in the table it is compared with. */
	else if (grace_phase(a) == GRACE_NONE)
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
	diag(DIAG_INFO, "the store has heard that the key %.*s is revoked", KEY_ID_LEN,
	    (const char *)o->all[0].id);
	o->kept = true;
	owed_tick(a);
}

bool
owed_goes_on(const struct authority *a)
{
	return a->owed.n > 0 && (a->owed.kept || grace_phase(a) == GRACE_NONE);
}

void
owed_drain(const struct authority *a)
{
	const struct owed *o = &a->owed;

	if (owed_goes_on(a))
		return;
	for (size_t i = 0; i < o->n; i++)
		diag(DIAG_ERROR,
		    "the store has not heard that the key %.*s was revoked: it may be valid again "
		    "with "
		    "the next start; revoke it again",
		    KEY_ID_LEN, (const char *)o->all[i].id);
}
