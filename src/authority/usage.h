/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_USAGE_H
#define AUTHORITY_USAGE_H

/*
 * What requests have used: counted per key, model and day, and given to the store
 * every USAGE_FLUSH_MS. What was counted since then is lost when this process is
 * killed; the audit log has it.
 */
#include <wire/authority_store.h>

#define USAGE_PENDING_MAX 4096 /* keys and models with something to tell; beyond, it is dropped */
#define USAGE_BUCKETS 4096
#define USAGE_FLUSH_MS 1000

struct authority;
struct key;
struct turn;

struct usage_entry {
	struct as_usage_item item; /* its `model` is the text below */
	char model[MODEL_MAX + 1];
	uint32_t next; /* index + 1 in its bucket; 0: end */
};

struct usage {
	struct usage_entry *pending;
	uint32_t *buckets; /* index + 1 */
	uint32_t n;
	struct usage_entry *flight; /* the batch that the store has not confirmed */
	uint32_t nflight;
	bool waiting; /* for the answer to it */
	uint8_t epoch[AS_EPOCH_LEN];
	uint64_t seq; /* of the batch in flight, or of the last one */
	uint64_t flushed_ms;
};

MUST_USE struct status usage_init(struct usage *u);
void usage_done(struct usage *u);
/* The turn is over. */
void usage_note(struct turn *t);
/* Send what is there, if nothing is under way. */
void usage_flush(struct authority *a);
void usage_tick(struct authority *a);
/* Nothing is left to tell. */
bool usage_is_idle(const struct authority *a);

#endif
