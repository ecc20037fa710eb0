/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_ISSUERS_H
#define AUTHORITY_ISSUERS_H

/*
 * The identity providers of the configuration and their keys, which the broker fetches: the
 * discovery document first, then the JWK Set that it names.
 *
 *	refreshed	each hour, in the background
 *	at once		for a token of a key that is not known, once a minute at most
 *	after failures	again in 1 s, 2 s … 60 s; what is held is used for a day at most
 */
#include <crypto/hash.h>
#include <jwt/jwt.h>
#include <wire/authority_broker.h>

#include "waiters.h"

#define ISSUERS_MAX 16
#define ISSUER_REFRESH_MS 3600000ULL
#define ISSUER_AGAIN_MS 60000ULL
#define ISSUER_BACKOFF_MIN_MS 1000ULL
#define ISSUER_KEYS_AGE_MAX_MS 86400000ULL
#define ISSUER_FETCH_MS 12000 /* for the broker's answer */

struct authority;

struct issuer {
	struct authority *a;
	unsigned index; /* in the configuration */
	bool found;     /* while a configuration is being loaded */
	char url[ISSUER_MAX + 1], audience[256];
	uint8_t print[SHA256_LEN]; /* of where its documents come from */
	struct jwt_policy policy;
	bool mapped; /* it has a roles_map */
	bool links;  /* its people may be users who were made here */
	/* keys */
	struct jwks *keys; /* NULL: none that may be used */
	uint8_t keys_print[SHA256_LEN];
	uint64_t keys_ms; /* when they were fetched */
	uint64_t epoch;   /* another one whenever they are others */
	char keys_url[ISSUER_KEYS_URL_MAX + 1];
	/* the fetch */
	bool flying, for_token; /* for a key that is not known; else in the background */
	bool again; /* the broker had another configuration: asked anew with the next tick */
	enum fetch_kind stage;
	uint64_t call;
	uint64_t began_ms, next_ms, refresh_ms;
	unsigned failures;
	const char *why;        /* of the last failure */
	struct waiters waiters; /* each is told when it is over, or OIDC_WAIT_MS after it began */
};

struct issuers {
	struct issuer
	    *items[2 * ISSUERS_MAX]; /* while others come, those of before are there, too */
	size_t count;
	uint64_t epochs;
};

/*
 * Take those of the configuration: one that is there already keeps its keys where they still come
 * from the same place. E_NOMEM, E_RANGE, E_CRYPTO: then none is left.
 */
MUST_USE struct status issuers_load(struct authority *a, struct issuers *is);
/* All who wait are told. */
void issuers_done(struct issuers *is);
void issuers_tick(struct issuers *is);
/* NULL: none of that name. */
struct issuer *issuers_find(const struct issuers *is, struct span url);
/*
 * Its keys do not do: fetch newer ones, if it is time. True: they are on their way, or just were
 * asked for, and are worth waiting for.
 */
bool issuer_fetch(struct issuer *i);
/*
 * Pure: where a discovery document says that the keys are. E_SYNTAX: no such document; E_DENIED: of
 * another issuer; E_RANGE, E_EXISTS (a member twice), E_NOMEM.
 */
MUST_USE struct status discovery_parse(
    struct span body, struct span issuer, char ret_keys_url[ISSUER_KEYS_URL_MAX + 1]);

#endif
