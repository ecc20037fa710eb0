/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_INTENTS_H
#define AUDIT_INTENTS_H

/*
 * The intents that have no outcome yet, by seq, each with the link that must
 * bring it. Two steps to close one: begin when the outcome is queued, then
 * done (it is durable) or undo (it was not).
 */
#include <wire/audit_event.h>

#define INTENTS_MAX 131072 /* two of each turn: the prompt, and its run or model call */

struct intent {
	uint64_t seq;   /* 0: free */
	uint64_t owner; /* of a link; 0: nobody's, to be closed by us */
	uint8_t event;
	uint8_t cause; /* nobody's: why */
	bool closing;
	uint8_t request_id[REQUEST_ID_LEN];
	uint8_t subject[SUBJECT_LEN];
	uint8_t key[SUBJECT_LEN];
};

struct intents {
	struct intent *slots; /* open addressing */
	uint32_t cap;         /* a power of two, or 0 */
	uint32_t count;
};

void intents_done(struct intents *t);
/* Room for `more` further ones. E_FULL (INTENTS_MAX), E_NOMEM. */
MUST_USE struct status intents_reserve(struct intents *t, uint32_t more);
/* After intents_reserve(). */
void intents_add(struct intents *t, const struct intent *i);
struct intent *intents_find(const struct intents *t, uint64_t seq);
void intents_remove(struct intents *t, uint64_t seq);
/* The holder is gone: they are ours to close. */
void intents_orphan(struct intents *t, uint64_t owner, enum audit_cause cause);
/* Up to `max` of nobody's that are not being closed; the count. */
uint32_t intents_orphans(const struct intents *t, struct intent *out, uint32_t max);
/* May an outcome of this event end an intent of that one? */
bool intent_pairs(uint8_t intent_event, uint8_t outcome_event);

#endif
