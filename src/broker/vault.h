/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_VAULT_H
#define BROKER_VAULT_H

/* Vault as a source of credentials; see source.h. */
#include "source.h"
#include "upstream.h"

struct broker;
struct vault;

#define VAULT_TOKEN_AGE_MAX_MS LIFETIME_AGE_MAX_MS /* then we log in anew */
#define VAULT_REDIRECTS_MAX 8

extern const struct source_ops vault_ops;

/*
 * NULL in *ret where the configuration has no section `vault`. Connects when the first job comes.
 * On failure *ret_what names the key that is to blame.
 */
MUST_USE struct status vault_new(struct broker *b, struct vault **ret, const char **ret_what);
/*
 * State: no job is under way. Nothing is told to Vault. NULL is fine. It may go on for a moment
 * after the call.
 */
void vault_free(struct vault *v);
/* Gives our token and with it all leases back, then calls `done`; at most FETCH_TOTAL_MS. */
void vault_stop(struct vault *v, void (*done)(void *ctx), void *ctx);

#endif
