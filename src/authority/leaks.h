/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_LEAKS_H
#define AUTHORITY_LEAKS_H

/*
 * Keys of ours that stand in a body: each that is good is told of, and, where the configuration
 * says so, revoked. What is to be revoked is forgotten with this process, or where another
 * configuration does not say so any more.
 */
#include <wire/gateway_authority.h>

#include "keys.h"

#define LEAKS_MAX 256 /* to be revoked at a time */
#define LEAK_PAUSE_MS 1000
#define LEAK_PAUSE_MS_MAX 60000

struct authority;
struct batch;
struct record_who;

/* The good keys that stand in a body. */
struct leaked {
	const struct key *keys[LEAKED_KEYS_MAX];
	size_t n;
	size_t nabroad; /* of them, the first: where none belongs */
};

struct leak {
	uint8_t id[KEY_ID_LEN];
	uint32_t pause_ms; /* after the try before; 0: there was none */
	uint64_t next_ms;
};

struct leaks {
	struct leak all[LEAKS_MAX];
	size_t n;
};

/* False: the gateway breaks the protocol. */
bool leaks_are_due(const struct ga_admit *m);
void leaks_take(const struct authority *a, const struct ga_admit *m, struct leaked *ret);
void leaks_put(struct batch *b, const struct record_who *who, const struct leaked *l);
/* Those that stood where none belongs, where the configuration says so. */
void leaks_revoke(struct authority *a, const struct leaked *l);
/* Each second: what is not revoked yet, after its pause, which doubles. */
void leaks_tick(struct authority *a);

#endif
