/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

/* What the files of this folder share. */
#include <sys/queue.h>

#include <crypto/hash.h>
#include <daemon/daemon.h>
#include <daemon/grants.h>
#include <wire/authority_broker.h>
#include <wire/gateway_broker.h>

#include "issuer.h"
#include "kms.h"
#include "provider.h"
#include "resolve.h"

#define BROKER_GATEWAYS_MAX 256
#define BROKER_CA_MAX (1U << 20) /* the system's bundle */

struct call;
struct credential;
struct leases;
struct sources;

struct broker {
	struct daemon *d;
	struct link *authority; /* NULL while it is away: nothing is granted */
	uint32_t authorities;   /* how many there were: each knows of what began with it */
	struct link *demo;      /* NULL while it is away, or not configured */
	struct link *store;     /* NULL while it is away */
	struct kms kms;
	struct link *gateways[BROKER_GATEWAYS_MAX];
	struct resolver *resolver;
	struct buf system_ca; /* of providers that name no authorities of their own */
	struct providers providers;
	struct issuers issuers;
	struct grants grants;
	const struct sources *sources; /* of credentials; NULL: none */
	LIST_HEAD(, credential) credentials;
	struct leases *leases; /* that go back; NULL: none did yet */
	LIST_HEAD(, call) calls;
	size_t ncalls;
	uint64_t body_bytes; /* of requests in memory */
	uint64_t body_bytes_max;
	void (*on_idle)(struct broker *b); /* no call is left */
};

/* peers.c. State: `b` zeroed, d->loop and d->conf there, b->resolver made. */
void broker_init(struct broker *b, struct daemon *d);
/* Take d->conf and the files that it names. The first error of providers_load(), E_NOMEM, E_SYS. */
MUST_USE struct status broker_configure(struct broker *b);
/* Takes a fresh link's end, also for a peer that came back. */
void peers_add(struct broker *b, enum edge edge, uint32_t peer_id, int fd);
/* End all calls, close all links. */
void peers_free(struct broker *b);

/* call.c: the gateway edge. */
extern const struct link_rule call_rules[];
extern const size_t call_rule_count;
/* End what runs for the turn (0: for all), telling the gateway why. */
void calls_cancel(struct broker *b, uint64_t turn, enum error why);

/* route.c */
#define ROUTE_ENTRIES_MAX CONF_ENTRIES_OF_MODEL_MAX

struct route_entry {
	struct provider *provider;
	const char *path; /* of the endpoint, behind its base */
	char model[MODEL_MAX + 1];
};
struct route {
	struct route_entry *entries; /* in the order in which they are tried */
	unsigned count;
};
/*
 * The entries of a model's alias whose providers speak the endpoint, each with a reference, in the
 * order for this tenant.
 * E_NOTFOUND: none. E_NOMEM.
 */
MUST_USE struct status route_find(struct broker *b, const char *tenant, const char *alias,
    enum ga_endpoint endpoint, struct route *ret);
void route_done(struct route *r);
/* A random number that spreads calls and pauses: not for secrets. */
uint32_t route_chance(void);
/*
 * Pure: which of `n` entries goes first. Those with a weight share by it; with none, or where all
 * that have one weigh 0 just now, the first.
 */
unsigned route_pick(const uint32_t *weights, unsigned n, uint32_t chance);

#endif
