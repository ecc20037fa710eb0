/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_OWED_H
#define AUTHORITY_OWED_H

/*
 * Keys that were revoked while the store was away: refused from then on, and the store is
 * told when it is back. The supervisor keeps the list on disk, so that it outlives this process
 * and the service: a revocation is answered when it is there, and leaves it when the store has it
 * and the log says so.
 */
#include <wire/authority_store.h>
#include <wire/control.h>

#define OWED_MAX CTL_OWED_MAX
#define OWED_WAITERS_MAX 64
#define OWED_WAIT_MS 3000 /* for the supervisor */

struct authority;

/* It is on disk, or (E_SYS, E_TIMEOUT, E_CLOSED) may not be, and is not in force. */
typedef void owed_kept(struct authority *a, void *ctx, struct status st);

struct owed_one {
	struct ctl_owed_entry entry;
	uint32_t write; /* that brings it to disk; 0: it is there */
};

struct owed_waiter {
	owed_kept *done;
	void *ctx;
	uint32_t write;
};

/* What is under way for one of them. */
enum owed_stage { OWED_IDLE, OWED_SENT, OWED_HAD, OWED_TOLD };

struct owed {
	struct owed_one all[OWED_MAX]; /* in the order of kind and id */
	size_t n;
	struct owed_waiter waiters[OWED_WAITERS_MAX];
	size_t nwaiters;
	uint32_t writes; /* begun */
	bool writing;
	bool changed; /* since the last one was begun */
	/* towards the store, one at a time */
	enum owed_stage stage;
	struct ctl_owed_entry now;
	size_t at; /* whose turn it is */
};

/* State: nothing is loaded. What the supervisor has kept. E_PROTO: no list of ours. */
MUST_USE struct status owed_know(struct owed *o, struct span entries);
/*
 * The key is to be refused from now on, also after a crash: `done` runs exactly once, perhaps
 * before this returns. E_EXISTS: that is so already; E_FULL: there is no room. Then it does not.
 */
MUST_USE struct status owed_add(
    struct authority *a, const struct as_key_revoke *m, owed_kept *done, void *ctx);
/* A LOAD has brought that key: refuse it, if it was revoked. */
void owed_apply(struct authority *a, struct span key_id);
/* The store is back. */
void owed_go_on(struct authority *a);
/* Once a second. */
void owed_tick(struct authority *a);

#endif
