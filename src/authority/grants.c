/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.c: grants to the processes that act.
 *
 * Runs in: authority. Trusts: nothing. Owns: nothing.
 * Invariants: a grant is sent only after the receipt of its intent (the callers
 * are the handlers of DURABLE), and is written before the gateway can know it: when the receipts
 * of one read are handled, and answers leave at the end of the loop's turn.
 * See: wire/grant.h.
 */
#include "authority.h"

static const uint8_t run_kinds[] = {
	[RUN_OF_CODE] = GRANT_RUN,
	[RUN_OF_TOOL] = GRANT_TOOL,
	[RUN_OF_BUILD] = GRANT_BUILD,
};

static struct grant
grant_for(const struct turn *t, struct span target, uint32_t body_len, const uint8_t *digest)
{
	struct grant g = { .turn = t->id,
		.gateway = t->gateway,
		.tenant = t->key->user->tenant,
		.user = t->key->user->name,
		.target = target,
		.body_len = body_len,
		.expires_ms = GRANT_TTL_MS };

	memcpy(g.request_id, t->request_id, sizeof(g.request_id));
	memcpy(g.digest, digest, sizeof(g.digest));
	return g;
}

static struct status
grant_send(struct peer *to, uint16_t type, const struct grant *g)
{
	if (to->link == NULL)
		return fail(E_CLOSED);
	TRY(link_send(to->link, 0, type, g));
	daemon_metric_add(METRIC_GRANTS, 1);
	return OK;
}

/* Those of all receipts that came together leave in one write. */
void
grants_flush(struct authority *a)
{
	struct peer *const actors[] = { &a->broker, &a->executor, &a->store };

	for (size_t i = 0; i < sizeof(actors) / sizeof(actors[0]); i++) {
		if (actors[i]->link != NULL && link_queued(actors[i]->link) > 0)
			link_flush(actors[i]->link);
	}
}

struct status
grant_model(struct turn *t, uint32_t body_len, uint32_t model_off, const uint8_t *digest)
{
	struct grant g = grant_for(t, span_str(t->model), body_len, digest);

	g.kind = GRANT_MODEL;
	g.endpoint = t->endpoint;
	g.model_off = model_off;
	TRY(rand_pool_take(&t->a->random, g.grant, sizeof(g.grant)));
	TRY(grant_send(&t->a->broker, AB_GRANT, &g));
	memcpy(t->model_call.grant, g.grant, sizeof(t->model_call.grant));
	t->model_call.granted = true;
	return OK;
}

struct status
grant_run(struct turn *t, struct run *r, uint32_t body_len, bool keep)
{
	bool code = r->kind == RUN_OF_CODE;
	struct span target = span_str(code ? r->language : r->name);
	struct grant g = grant_for(t, target, body_len, r->digest);

	g.kind = run_kinds[r->kind];
	g.keep = keep;
	g.tool = r->use;
	if (code && tool_rules_find(&t->a->policies.tools, target)->time_is_said)
		g.tool.time_ms = tool_rules_find(&t->a->policies.tools, target)->time_ms;
	TRY(rand_pool_take(&t->a->random, g.grant, sizeof(g.grant)));
	TRY(grant_send(&t->a->executor, AE_GRANT, &g));
	memcpy(r->grant, g.grant, sizeof(g.grant));
	r->granted = true;
	if (r->kind == RUN_OF_TOOL)
		daemon_metric_add(METRIC_TOOL_GRANTS, 1);
	t->lease = t->lease || keep;
	return OK;
}

struct status
grant_content(struct turn *t, struct run *r, uint32_t body_len)
{
	struct grant g = grant_for(t, span_str(r->content_id), body_len, r->digest);

	g.kind = GRANT_CONTENT;
	g.content_op = r->content_op;
	g.content_kind = r->content_kind;
	g.masked = t->masks;
	TRY(rand_pool_take(&t->a->random, g.grant, sizeof(g.grant)));
	TRY(grant_send(&t->a->store, AS_GRANT, &g));
	memcpy(r->grant, g.grant, sizeof(g.grant));
	r->granted = true;
	return OK;
}
