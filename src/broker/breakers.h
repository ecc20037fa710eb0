/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_BREAKERS_H
#define BROKER_BREAKERS_H

/*
 * A provider's breakers: one for each tenant that has failures there. A tenant's
 * own failures keep only its own calls away. While the breakers of two tenants
 * are open at once it is the provider, and nobody's call passes. Pure, like
 * breaker.h: the caller brings the time.
 */
#include <stddef.h>

#include <wire/limits.h>

#include "breaker.h"

#define BREAKERS_TENANTS_MAX 32 /* with failures; the one unused for longest goes */
#define BREAKERS_AGREE 2        /* so many tenants' breakers speak for all */

enum outcome {
	OUTCOME_GOOD,    /* an answer, whole, whatever it says of the request */
	OUTCOME_BEGUN,   /* an answer has begun; how it ends is still to come */
	OUTCOME_BAD,     /* the provider failed */
	OUTCOME_UNKNOWN, /* it says neither */
};

struct breakers { /* zeroed: all closed */
	struct {
		char tenant[TENANT_MAX + 1]; /* empty: free */
		uint64_t used_ms;
		struct breaker breaker;
	} rows[BREAKERS_TENANTS_MAX];
};

/* Would a call of the tenant pass? */
bool breakers_pass(const struct breakers *b, const char *tenant, uint64_t now_ms);
/* A call begins; breakers_pass() said yes. */
void breakers_begin(struct breakers *b, const char *tenant, uint64_t now_ms);
/* How it went. By how many more or fewer breakers are open now: -1, 0, 1. */
int breakers_end(struct breakers *b, const char *tenant, enum outcome o, uint64_t now_ms);
/* How many are not closed. */
unsigned breakers_open(const struct breakers *b);

#endif
