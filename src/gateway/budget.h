/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_BUDGET_H
#define GATEWAY_BUDGET_H

/*
 * The memory that request bodies may take in one worker. What has arrived is
 * charged, not what was announced. One credential and one source have a share
 * only; the first bytes of each body come from a reserve of their own, so that
 * small requests are served while large ones wait.
 */
#include <base/span.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <wire/limits.h>

#define BUDGET_SMALL_BODY (64U << 10) /* bytes of each body that the reserve is for */
#define BUDGET_STEP_MIN 4096          /* bytes; a body's room doubles */
#define BUDGET_BUCKETS 1024

enum budget_pool { POOL_SMALL, POOL_LARGE, POOL_COUNT };
enum budget_share { SHARE_KEY, SHARE_SOURCE, SHARE_COUNT };

struct budget_owner {
	LIST_ENTRY(budget_owner) next;
	enum budget_share share;
	uint8_t id[DIGEST_LEN];
	size_t refs; /* bodies */
	uint64_t used[POOL_COUNT];
};

struct budget {
	uint64_t max[POOL_COUNT], used[POOL_COUNT];
	uint64_t share_max[SHARE_COUNT][POOL_COUNT];
	LIST_HEAD(budget_bucket, budget_owner) buckets[BUDGET_BUCKETS];
	size_t owners;
};

/* What one body has taken. Zeroed: nothing. */
struct budget_charge {
	struct budget_owner *owners[SHARE_COUNT];
	uint64_t used[POOL_COUNT];
};

/* `body_max`: the largest body, which one owner may have in any case. Bytes. */
void budget_configure(struct budget *b, uint64_t total, uint64_t body_max);
/* Whose body it is. E_NOMEM, E_CRYPTO. State: nothing charged. */
MUST_USE struct status budget_own(struct budget *b, struct budget_charge *c, struct span credential,
    const uint8_t source[SOURCE_LEN]);
/* `more` bytes, all or none. E_FULL: a share, or the whole. State: owned. */
MUST_USE struct status budget_charge(struct budget *b, struct budget_charge *c, uint64_t more);
/* Give everything back. */
void budget_release(struct budget *b, struct budget_charge *c);

#endif
