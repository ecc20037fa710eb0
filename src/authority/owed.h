/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_OWED_H
#define AUTHORITY_OWED_H

/*
 * Keys that were revoked while the store was away: refused from then on, and the store is
 * told when it is back. What is owed ends with the process.
 */
#include <wire/authority_store.h>

#define OWED_MAX 256

struct authority;

struct owed {
	struct as_key_revoke all[OWED_MAX];
	size_t n;
	bool sent; /* the first one */
};

/* False: there is no room, and nothing was done. */
bool owed_add(struct authority *a, const struct as_key_revoke *m);
/* Once a second. */
void owed_tick(struct authority *a);

#endif
