/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leaks.c: keys of ours that stand in the body of a request.
 *
 * Runs in: authority. Trusts: the gateway for what a scan of the body found.
 * Owns: which of them are to be revoked. Invariants: a key is believed to have leaked only
 * where all of it is right, so that nobody has another's revoked by its id; one that could not be
 * revoked is tried again, at first each second and at last each minute (each try is two records),
 * until it is, or is not live any more; where one could be, the others are tried at once.
 * See: leaks.h; wire/gateway_authority.h, ga_admit.leaked; docs/api.md.
 */
#include "authority.h"

#include <unistd.h>

#include <base/clock.h>
#include <keytext/keytext.h>

#include "admin_call.h"
#include "admin_op.h"

bool
leaks_are_due(const struct ga_admit *m)
{
	return m->leaked.len % KEY_TEXT_LEN == 0 && m->leaked_home <= m->leaked.len / KEY_TEXT_LEN;
}

void
leaks_take(const struct authority *a, const struct ga_admit *m, struct leaked *ret)
{
	size_t abroad = m->leaked.len - m->leaked_home * (size_t)KEY_TEXT_LEN;

	*ret = (struct leaked){ .n = 0 };
	if (m->refused != ERROR_LEAKED_KEY)
		return;
	for (size_t at = 0; at < m->leaked.len; at += KEY_TEXT_LEN) {
		const struct key *key = keys_check(
		    &a->keys, span_of(m->leaked.ptr + at, KEY_TEXT_LEN), now_real_s());
		size_t i = 0;

		while (i < ret->n && ret->keys[i] != key)
			i++;
		if (key != NULL && i == ret->n)
			ret->keys[ret->n++] = key;
		if (at < abroad)
			ret->nabroad = ret->n;
	}
}

void
leaks_put(struct batch *b, const struct record_who *who, const struct leaked *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct span id = span_of(l->keys[i]->id, KEY_ID_LEN);

		(void)batch_add(b, EVENT_KEY_LEAKED, who, "key", id);
		batch_str(b, id);
	}
}

/* ---- their end ---- */

/* The tick looks at what became of it; where there is a log and a store again, it waits no more. */
static void
heard(void *ctx, uint16_t http, struct span body)
{
	struct leaks *ls = &((struct authority *)ctx)->leaks;

	(void)body;
	for (size_t i = 0; http < 400 && i < ls->n; i++)
		ls->all[i].next_ms = 0;
}

static void
revoke_one(struct authority *a, struct leak *l)
{
	struct admin_op *op = NULL;
	const struct admin_call call = {
		.a = a, .uid = (uint32_t)getuid(), .reply = heard, .ctx = a, .op = &op
	};

	if (l->pause_ms == LEAK_PAUSE_MS)
		diag(DIAG_ERROR, "a leaked key is not revoked yet; it is tried again");
	l->pause_ms = l->pause_ms == 0 ? LEAK_PAUSE_MS : 2 * l->pause_ms;
	if (l->pause_ms > LEAK_PAUSE_MS_MAX)
		l->pause_ms = LEAK_PAUSE_MS_MAX;
	l->next_ms = now_ms(a) + l->pause_ms;
	(void)!is_ok(admin_revoke_key(&call, span_of(l->id, KEY_ID_LEN)));
}

static void
forget_ended(struct authority *a)
{
	struct leaks *ls = &a->leaks;

	for (size_t i = 0; i < ls->n;) {
		const struct key *key = keys_find(&a->keys, span_of(ls->all[i].id, KEY_ID_LEN));

		if (admin_key_is_live(key))
			i++;
		else
			ls->all[i] = ls->all[--ls->n];
	}
}

static void
try_one(struct authority *a, struct leak *l)
{
	const struct key *key = keys_find(&a->keys, span_of(l->id, KEY_ID_LEN));

	if (now_ms(a) >= l->next_ms && !admin_revokes(key) &&
	    admin_busy() < ADMIN_OPS_MAX - ADMIN_OPS_KEPT)
		revoke_one(a, l);
}

void
leaks_tick(struct authority *a)
{
	struct leaks *ls = &a->leaks;

	if (!a->policies.revokes_leaked)
		ls->n = 0;
	forget_ended(a);
	for (size_t i = 0; i < ls->n; i++)
		try_one(a, &ls->all[i]);
}

/* One that there is no room for is tried this once. */
static void
remember(struct authority *a, const struct key *key)
{
	struct leaks *ls = &a->leaks;
	struct leak fresh = { .pause_ms = 0 };
	size_t i = 0;

	while (i < ls->n && memcmp(ls->all[i].id, key->id, KEY_ID_LEN) != 0)
		i++;
	if (i < ls->n)
		return;
	memcpy(fresh.id, key->id, KEY_ID_LEN);
	if (ls->n < LEAKS_MAX) {
		ls->all[ls->n++] = fresh;
		return;
	}
	diag(DIAG_ERROR, "a leaked key is tried once only: too many others are not revoked yet");
	try_one(a, &fresh);
}

void
leaks_revoke(struct authority *a, const struct leaked *l)
{
	if (!a->policies.revokes_leaked || l->nabroad == 0)
		return;
	forget_ended(a);
	for (size_t i = 0; i < l->nabroad; i++)
		remember(a, l->keys[i]);
	leaks_tick(a);
}
