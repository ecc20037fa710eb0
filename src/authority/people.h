/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_PEOPLE_H
#define AUTHORITY_PEOPLE_H

/*
 * People who come with a token of an identity provider, and machines with a certificate, as keys
 * of their users.
 *
 * Who comes for the first time gets a key on record and in the store, with tenant and user
 * where they are missing: a key without a text, whose id is made of issuer, tenant, user, policy
 * and roles. So limits, usage and revocation are those of keys; the roles are the token's.
 */
#include <sys/queue.h>

#include <base/span.h>
#include <wire/errors.h>
#include <wire/limits.h>

#define PEOPLE_ARRIVING_MAX 256 /* at once, with those that were not let in just now */
#define PEOPLE_RETRY_MS 1000    /* after one could not be kept */
#define PEOPLE_TAKEN_MS 60000   /* after the store said that its key was of somebody erased */

struct arrival;
struct authority;
struct key;
struct oidc_identity;

struct people {
	LIST_HEAD(, arrival) arrivals;
	unsigned narrivals;
};

/*
 * ERROR_NONE: *ret is whose token this is. ERROR_INVALID_KEY: nobody's, see a->oidc->fault.
 * ERROR_UNAVAILABLE: not now; it may be awaited: see later.h.
 */
enum error people_find(struct authority *a, struct span token, uint64_t now_s, struct key **ret);
/* The same for somebody who was told who it is by other means. */
enum error people_key_of(
    struct authority *a, const struct oidc_identity *who, uint64_t now_s, struct key **ret);
/* Of a key that came with roles: does the configuration name its issuer, or its entry? */
bool people_know(const struct authority *a, const struct key *key);
/*
 * The roles that whoever came with it has by it, also where nobody has come since this process
 * began: its id is made of them. 0: none, or its issuer or entry is configured no more.
 */
uint8_t people_roles_of(const struct authority *a, const struct key *key);
/* Issuers and machines are those of another configuration: whom it does not know ends at once. */
void people_config(struct authority *a);
/* The id of their key. E_CRYPTO. */
MUST_USE struct status people_key_id(const struct oidc_identity *who, uint8_t out[KEY_ID_LEN]);
/* Nobody is told any more. */
void people_done(struct authority *a);

#endif
