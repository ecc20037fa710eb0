/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c: from a model's alias to the providers that serve it, in the order in which they are
 * asked.
 *
 * Runs in: broker. Trusts: its slice of the configuration, which was checked.
 * Owns: references on the providers of a route.
 * Invariants: no client chooses an upstream: alias and endpoint come in the authority's grant. An
 * entry whose provider does not speak the endpoint is none. Entries with a weight share the calls
 * by it, as far as their breakers are closed; all others are fallbacks, in their order.
 * See: conf/conf.h, wire/grant.h, wire/endpoint.h.
 */
#include "broker.h"

#include <stdlib.h>

#include <base/rand.h>

static const char *
path_of(const char *kind, enum ga_endpoint endpoint)
{
	for (size_t i = 0; i < PROVIDER_KINDS; i++) {
		if (strcmp(provider_kinds[i].name, kind) == 0)
			return provider_kinds[i].paths[endpoint];
	}
	return NULL;
}

uint32_t
route_chance(void)
{
	uint32_t v = 0;

	(void)is_ok(rand_bytes(&v, sizeof(v))); /* where it fails, the first is as good */
	return v;
}

unsigned
route_pick(const uint32_t *weights, unsigned n, uint32_t chance)
{
	uint64_t sum = 0, at;

	for (unsigned i = 0; i < n; i++)
		sum += weights[i];
	if (sum == 0)
		return 0;
	at = chance * sum >> 32;
	for (unsigned i = 0; i < n; i++) {
		if (at < weights[i])
			return i;
		at -= weights[i];
	}
	return 0;
}

static void
move_to_front(struct route *r, unsigned at)
{
	struct route_entry first = r->entries[at];

	memmove(r->entries + 1, r->entries, at * sizeof(r->entries[0]));
	r->entries[0] = first;
}

/* Weighted ones before the others, each group in its order. */
static void
weighted_first(struct route *r, uint32_t *weights)
{
	unsigned nfirst = 0;

	for (unsigned i = 0; i < r->count; i++) {
		struct route_entry e = r->entries[i];
		uint32_t w = weights[i];

		if (w == 0)
			continue;
		memmove(r->entries + nfirst + 1, r->entries + nfirst,
		    (i - nfirst) * sizeof(r->entries[0]));
		memmove(weights + nfirst + 1, weights + nfirst, (i - nfirst) * sizeof(weights[0]));
		r->entries[nfirst] = e;
		weights[nfirst++] = w;
	}
}

static void
put_in_order(struct route *r, uint32_t *weights, const char *tenant, uint64_t now_ms)
{
	weighted_first(r, weights);
	for (unsigned i = 0; i < r->count; i++) {
		if (!breakers_pass(&r->entries[i].provider->breakers, tenant, now_ms))
			weights[i] = 0;
	}
	move_to_front(r, route_pick(weights, r->count, route_chance()));
}

/* Entry `i` of the alias, if its provider is there and speaks the endpoint. */
static bool
add_entry(struct broker *b, const char *alias, unsigned i, const char *name,
    enum ga_endpoint endpoint, struct route *r)
{
	const char *model = conf_strf(b->d->conf, "models.%s.%u.model", alias, i);
	struct provider *p = provider_find(b, name);
	struct route_entry *e = &r->entries[r->count];

	if (p == NULL || model == NULL || path_of(p->row->kind, endpoint) == NULL ||
	    !is_ok(span_to_cstr(span_str(model), e->model, sizeof(e->model))))
		return false;
	e->path = path_of(p->row->kind, endpoint);
	e->provider = p;
	provider_ref(p);
	r->count++;
	return true;
}

/* How many entries the configuration has. */
static unsigned
entries_of(const struct broker *b, const char *alias)
{
	unsigned n = 0;

	while (n < ROUTE_ENTRIES_MAX && conf_strf(b->d->conf, "models.%s.%u.provider", alias, n))
		n++;
	return n;
}

struct status
route_find(struct broker *b, const char *tenant, const char *alias, enum ga_endpoint endpoint,
    struct route *ret)
{
	uint32_t weights[ROUTE_ENTRIES_MAX] = { 0 };
	unsigned n = entries_of(b, alias);

	*ret = (struct route){ .entries = calloc(n + 1, sizeof(struct route_entry)) };
	if (ret->entries == NULL)
		return fail(E_NOMEM);
	for (unsigned i = 0; i < n; i++) {
		const char *name = conf_strf(b->d->conf, "models.%s.%u.provider", alias, i);

		if (add_entry(b, alias, i, name, endpoint, ret))
			weights[ret->count - 1] = (uint32_t)conf_u64f(
			    b->d->conf, "models.%s.%u.weight", alias, i);
	}
	if (ret->count == 0) {
		route_done(ret);
		return fail(E_NOTFOUND);
	}
	if (ret->count > 1)
		put_in_order(ret, weights, tenant, uv_now(b->d->loop));
	return OK;
}

void
route_done(struct route *r)
{
	while (r->count > 0)
		provider_release(r->entries[--r->count].provider);
	free(r->entries);
	r->entries = NULL;
}
