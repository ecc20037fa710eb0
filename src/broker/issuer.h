/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_ISSUER_H
#define BROKER_ISSUER_H

/*
 * Identity providers of the configuration, as far as the broker has to do with them: it fetches
 * their public documents for the authority, which has no network.
 */
#include <sys/queue.h>

#include <base/span.h>

#define ISSUER_HOSTS_MAX 8     /* besides its own, of one issuer */
#define ISSUER_ERRANDS_MAX 64  /* documents being fetched */
#define ISSUER_TARGET_MAX 1280 /* path and query of one */

struct broker;
struct errand;
struct issuer;
struct link;

struct issuers {
	LIST_HEAD(, issuer) items;
	LIST_HEAD(, errand) errands;
	unsigned nerrands;
};

/* Take those of the configuration; what was being fetched for others is told as E_AGAIN. */
MUST_USE struct status issuers_load(struct broker *b);
void issuers_free(struct broker *b);
/* AB_FETCH. */
void issuers_on_fetch(struct link *l, uint64_t id, const void *msg, void *ctx);
/* The authority that asked is gone. */
void issuers_forget(struct broker *b);

/*
 * Pure: an absolute URL as its origin ("https://HOST[:PORT]") and what is asked of it. E_SYNTAX:
 * no such URL, user information, a fragment, bytes that need quoting. E_RANGE.
 */
MUST_USE struct status issuer_url_split(
    struct span url, char origin[ISSUER_TARGET_MAX], char target[ISSUER_TARGET_MAX]);

#endif
