/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.c: from a model's alias to the provider that serves it.
 *
 * Runs in: broker. Trusts: its slice of the configuration, which was checked.
 * Owns: nothing.
 * Invariants: no client chooses an upstream: the alias comes in the authority's grant. The first
 * entry of an alias is the one that is served; the gateway writes that entry's model into the body.
 * See: conf/conf.h, wire/grant.h.
 */
#include "broker.h"

struct provider *
route_find(struct broker *b, const char *alias)
{
	const char *name = conf_strf(b->d->conf, "models.%s.0.provider", alias);
	const char *kind;

	if (name == NULL)
		return NULL;
	kind = conf_strf(b->d->conf, "providers.%s.kind", name);
	return kind != NULL && strcmp(kind, b->demo.ops->kind) == 0 ? &b->demo : NULL;
}
