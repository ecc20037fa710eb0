/* SPDX-License-Identifier: Apache-2.0 */
/*
 * links.c: the four edges of a gateway, and what happens when one is lost.
 *
 * Runs in: gateway. Trusts: the authority; the others for their framing only.
 * Owns: the links.
 * Invariants: a lost authority ends every request with 503; the process goes on
 * and takes the next link.
 * See: wire/topology.h; turn.c.
 */
#include <wire/gateway_broker.h>
#include <wire/gateway_executor.h>
#include <wire/gateway_store.h>

#include "request.h"

static void on_revoke(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_closed(struct link *l, struct status why, void *ctx);

static const struct link_rule authority_rules[] = {
	{ GA_REVOKE, 0, on_revoke },
};
static const struct link_ops authority_ops = { authority_rules, 1, on_closed };
static const struct link_ops data_ops = { NULL, 0, on_closed };

static void
on_revoke(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_revoke *m = msg;
	const struct wire_none none = { 0 };

	requests_revoke(ctx, m->turn, m->error == ERROR_NONE ? ERROR_REVOKED : m->error);
	if (!is_ok(link_send(l, id, GA_REVOKED, &none)))
		diag(DIAG_WARN, "a revocation could not be acknowledged");
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	struct gateway *g = ctx;

	(void)why;
	if (l == g->authority) {
		requests_unavailable(g);
		g->authority = NULL;
	} else if (l == g->broker) {
		g->broker = NULL;
	} else if (l == g->executor) {
		g->executor = NULL;
	} else if (l == g->store) {
		g->store = NULL;
	}
	link_free(l);
}

void
links_peer(struct daemon *d, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	struct gateway *g = d->ctx;
	const struct {
		struct link **link;
		const struct wire_edge *edge;
		const struct link_ops *ops;
	} rows[EDGE_COUNT] = {
		[EDGE_GATEWAY_AUTHORITY] = { &g->authority, &ga_edge, &authority_ops },
		[EDGE_GATEWAY_BROKER] = { &g->broker, &gb_edge, &data_ops },
		[EDGE_GATEWAY_EXECUTOR] = { &g->executor, &ge_edge, &data_ops },
		[EDGE_GATEWAY_STORE] = { &g->store, &gs_edge, &data_ops },
	};
	struct link **mine = rows[edge].link;
	struct link *l = NULL;

	(void)index;
	if (mine == NULL) {
		diag_fatal("control link: a peer on an edge that is not ours");
		return;
	}
	if (*mine != NULL)
		on_closed(*mine, fail(E_CLOSED), g);
	if (!is_ok(link_new(d->loop, fd, rows[edge].edge, true, rows[edge].ops, g, &l))) {
		diag(DIAG_ERROR, "%s: no memory for a link", rows[edge].edge->name);
		return;
	}
	link_set_peer(l, peer_id);
	*mine = l;
}
