/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_OWED_H
#define AUTHORITY_OWED_H

/*
 * Keys that were revoked while the store was away: refused from then on, and the store is
 * told when it is back. What is owed ends with the process: until the store has it, the log says
 * `unknown`, and the diagnostics which keys to revoke again.
 */
#include <wire/authority_store.h>

#define OWED_MAX 256

struct authority;

struct owed {
	struct as_key_revoke all[OWED_MAX];
	size_t n;
	bool sent; /* the first one */
	bool kept; /* the store has the first one; the log is to say so */
	bool telling;
};

/* False: there is no room, and nothing was done. */
bool owed_add(struct authority *a, const struct as_key_revoke *m);
/* Once a second. */
void owed_tick(struct authority *a);
/* The store is there, and will have heard of all of them in a moment. */
bool owed_goes_on(const struct authority *a);
/* The process is about to end: say what may be lost with it. */
void owed_drain(const struct authority *a);

#endif
