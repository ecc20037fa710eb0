/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

/* What the files of this folder share. */
#include <sys/queue.h>

#include <crypto/hash.h>
#include <daemon/daemon.h>
#include <wire/authority_broker.h>
#include <wire/gateway_broker.h>

#include "grants.h"
#include "provider.h"
#include "resolve.h"

#define BROKER_GATEWAYS_MAX 256

struct call;
struct credential;
struct sources;

struct broker {
	struct daemon *d;
	struct link *authority; /* NULL while it is away: nothing is granted */
	struct link *gateways[BROKER_GATEWAYS_MAX];
	struct resolver *resolver;
	struct buf system_ca; /* of providers that name no authorities of their own */
	struct provider demo;
	struct grants grants;
	const struct sources *sources; /* of credentials; NULL: none */
	LIST_HEAD(, credential) credentials;
	LIST_HEAD(, call) calls;
	size_t ncalls;
	uint64_t body_bytes; /* of requests in memory */
	uint64_t body_bytes_max;
	void (*on_idle)(struct broker *b); /* no call is left */
};

/* peers.c. State: `b` zeroed, d->loop and d->conf there. */
void broker_init(struct broker *b, struct daemon *d);
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
struct route {
	struct provider *provider;
	const char *name;  /* of the provider in the configuration */
	const char *model; /* its own name of the model */
	const char *path;  /* of the endpoint, behind its base */
};
/* The provider of a model alias that speaks the endpoint. E_NOTFOUND: none is served. */
MUST_USE struct status route_find(
    struct broker *b, const char *alias, enum ga_endpoint endpoint, struct route *ret);

#endif
