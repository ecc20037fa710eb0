/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.c: grants to the processes that act.
 *
 * Runs in: authority. Trusts: nothing. Owns: a pool of random bytes.
 * Invariants: a grant is sent only after the receipt of its intent (the callers
 * are the handlers of DURABLE), and is written before the gateway can know it.
 * See: wire/grant.h.
 */
#include "authority.h"

#include <base/rand.h>

static struct status
random_take(struct authority *a, uint8_t *out, size_t len)
{
	uint8_t *at;

	if (a->random_left < len) {
		TRY(rand_bytes(a->random, sizeof(a->random)));
		a->random_left = sizeof(a->random);
	}
	at = a->random + sizeof(a->random) - a->random_left;
	memcpy(out, at, len);
	explicit_bzero(at, len);
	a->random_left -= len;
	return OK;
}

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
	link_flush(to->link);
	daemon_metric_add(METRIC_GRANTS, 1);
	return OK;
}

struct status
grant_model(struct turn *t, uint32_t body_len, uint32_t model_off, const uint8_t *digest)
{
	struct grant g = grant_for(t, span_str(t->model), body_len, digest);

	g.endpoint = t->endpoint;
	g.model_off = model_off;
	TRY(random_take(t->a, g.grant, sizeof(g.grant)));
	TRY(grant_send(&t->a->broker, AB_GRANT, &g));
	memcpy(t->model_call.grant, g.grant, sizeof(t->model_call.grant));
	t->model_call.granted = true;
	return OK;
}

struct status
grant_run(struct turn *t, struct span language, uint32_t body_len, const uint8_t *digest, bool keep,
    uint8_t ret_grant[GRANT_LEN])
{
	struct grant g = grant_for(t, language, body_len, digest);

	g.kind = GRANT_RUN;
	g.keep = keep;
	TRY(random_take(t->a, g.grant, sizeof(g.grant)));
	TRY(grant_send(&t->a->executor, AE_GRANT, &g));
	memcpy(ret_grant, g.grant, sizeof(g.grant));
	t->lease = t->lease || keep;
	return OK;
}
