/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_uses.c: when keys were used last, told to the store once a minute.
 *
 * Runs in: authority. Trusts: nothing. Owns: the list of keys whose use the store does not
 * know yet; each is in it once, however often it is used.
 * Invariants: a request costs no message; what is not told when this process dies is lost, and
 * the audit log has it.
 * See: principal.h, wire/authority_store.h (AS_KEY_USED).
 */
#include "authority.h"
#include "principal.h"

#define FLUSH_MS 60000

void
key_uses_note(struct authority *a, struct key *key, uint64_t now_s)
{
	if (key->last_used_s < now_s)
		key->last_used_s = now_s;
	if (key->used)
		return;
	key->used = true;
	SLIST_INSERT_HEAD(&a->uses.keys, key, next_used);
}

static void
on_told(struct authority *a, void *ctx, enum code code, const void *answered)
{
	(void)ctx, (void)answered;
	a->uses.waiting = false;
	if (code != E_OK)
		diag(DIAG_WARN, "store: when keys were used last is not kept");
}

/* What does not fit in one batch goes with the next tick. */
static void
flush(struct authority *a)
{
	struct as_key_use uses[AS_USED_BATCH_MAX];
	struct as_key_used m = { .keys = { uses, 0 } };
	struct key *key;

	while (m.keys.count < AS_USED_BATCH_MAX && (key = SLIST_FIRST(&a->uses.keys)) != NULL) {
		SLIST_REMOVE_HEAD(&a->uses.keys, next_used);
		key->used = false;
		memcpy(uses[m.keys.count].id, key->id, KEY_ID_LEN);
		uses[m.keys.count++].used_s = key->last_used_s;
	}
	a->uses.waiting = is_ok(store_ask(a, AS_KEY_USED, &m, AS_DONE, on_told, NULL));
	if (SLIST_EMPTY(&a->uses.keys))
		a->uses.flushed_ms = now_ms(a);
}

void
key_uses_tick(struct authority *a)
{
	if (a->uses.waiting || a->store.link == NULL || SLIST_EMPTY(&a->uses.keys) ||
	    now_ms(a) < a->uses.flushed_ms + FLUSH_MS)
		return;
	flush(a);
}
