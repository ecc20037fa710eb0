/* SPDX-License-Identifier: Apache-2.0 */
/*
 * intents.c: which intents are open, and whose they are.
 *
 * Runs in: audit, jailed. Trusts: its caller for seqs that are in the log.
 * Owns: one table, grown by doubling up to INTENTS_MAX entries.
 * Invariants: at most half full; linear probing, no tombstones: a removal closes
 * the gap behind it.
 * See: intents.h; DESIGN "Audit before effect" in ARCHITECTURE.md.
 */
#include "intents.h"

#include <assert.h>
#include <stdlib.h>

#define CAP_MIN 1024U

static uint32_t
home(const struct intents *t, uint64_t seq)
{
	return (uint32_t)seq & (t->cap - 1);
}

void
intents_done(struct intents *t)
{
	free(t->slots);
	*t = (struct intents){ 0 };
}

static void
place(struct intents *t, const struct intent *i)
{
	uint32_t at = home(t, i->seq);

	while (t->slots[at].seq != 0)
		at = (at + 1) & (t->cap - 1);
	t->slots[at] = *i;
	t->count++;
}

struct status
intents_reserve(struct intents *t, uint32_t more)
{
	struct intents grown = { 0 };

	if (more > INTENTS_MAX || t->count > INTENTS_MAX - more)
		return fail(E_FULL);
	if (t->cap > 0 && t->count + more <= t->cap / 2)
		return OK;
	grown.cap = t->cap > 0 ? t->cap : CAP_MIN;
	while (t->count + more > grown.cap / 2)
		grown.cap *= 2;
	grown.slots = calloc(grown.cap, sizeof(grown.slots[0]));
	if (grown.slots == NULL)
		return fail(E_NOMEM);
	for (uint32_t i = 0; i < t->cap; i++) {
		if (t->slots[i].seq != 0)
			place(&grown, &t->slots[i]);
	}
	free(t->slots);
	*t = grown;
	return OK;
}

void
intents_add(struct intents *t, const struct intent *i)
{
	assert(i->seq != 0 && t->count < t->cap / 2);
	place(t, i);
}

struct intent *
intents_find(const struct intents *t, uint64_t seq)
{
	if (t->cap == 0 || seq == 0)
		return NULL;
	for (uint32_t at = home(t, seq); t->slots[at].seq != 0; at = (at + 1) & (t->cap - 1)) {
		if (t->slots[at].seq == seq)
			return &t->slots[at];
	}
	return NULL;
}

/* Move back what the gap would hide from its home slot. */
void
intents_remove(struct intents *t, uint64_t seq)
{
	const struct intent *found = intents_find(t, seq);
	uint32_t gap, at, mask = t->cap - 1;

	if (found == NULL)
		return;
	gap = (uint32_t)(found - t->slots);
	for (at = (gap + 1) & mask; t->slots[at].seq != 0; at = (at + 1) & mask) {
		uint32_t from_home = (at - home(t, t->slots[at].seq)) & mask;

		if (from_home < ((at - gap) & mask))
			continue;
		t->slots[gap] = t->slots[at];
		gap = at;
	}
	t->slots[gap] = (struct intent){ 0 };
	t->count--;
}

void
intents_orphan(struct intents *t, uint64_t owner, enum audit_cause cause)
{
	for (uint32_t i = 0; i < t->cap; i++) {
		struct intent *s = &t->slots[i];

		if (s->seq == 0 || s->owner != owner)
			continue;
		s->owner = 0;
		s->cause = (uint8_t)cause;
	}
}

uint32_t
intents_orphans(const struct intents *t, struct intent *out, uint32_t max)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->cap && n < max; i++) {
		if (t->slots[i].seq != 0 && t->slots[i].owner == 0 && !t->slots[i].closing)
			out[n++] = t->slots[i];
	}
	return n;
}

bool
intent_pairs(uint8_t intent_event, uint8_t outcome_event)
{
	return intent_event == outcome_event || outcome_event == EVENT_INTENT_CLOSED ||
	       (intent_event == EVENT_PROMPT_SUBMITTED && outcome_event == EVENT_RESPONSE_RETURNED);
}
