/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c: from a model's alias to the provider that serves it.
 *
 * Runs in: broker. Trusts: its slice of the configuration, which was checked.
 * Owns: nothing.
 * Invariants: no client chooses an upstream: alias and endpoint come in the authority's grant. The
 * first entry of an alias is the one that is served.
 * See: conf/conf.h, wire/grant.h.
 */
#include "broker.h"

static const char *
path_of(const char *kind, enum ga_endpoint endpoint)
{
	for (size_t i = 0; i < PROVIDER_KINDS; i++) {
		if (strcmp(provider_kinds[i].name, kind) == 0)
			return provider_kinds[i].paths[endpoint];
	}
	return NULL;
}

struct status
route_find(struct broker *b, const char *alias, enum ga_endpoint endpoint, struct route *ret)
{
	const char *name = conf_strf(b->d->conf, "models.%s.0.provider", alias);
	const char *model = conf_strf(b->d->conf, "models.%s.0.model", alias);
	const char *kind, *path;

	if (name == NULL || model == NULL)
		return fail(E_NOTFOUND);
	kind = conf_strf(b->d->conf, "providers.%s.kind", name);
	if (kind == NULL || strcmp(kind, b->demo.ops->kind) != 0)
		return fail(E_NOTFOUND);
	path = path_of(kind, endpoint);
	if (path == NULL)
		return fail(E_NOTFOUND);
	*ret = (struct route){ &b->demo, name, model, path };
	return OK;
}
