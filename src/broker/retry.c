/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retry.c: what follows a try of a model call that failed: the next entry, a pause, or the end.
 *
 * Runs in: broker. Trusts: the configuration. Owns: nothing.
 * Invariants: a failed try goes to the next entry at once, and through all entries again only
 * after a pause with full jitter; tries, time and pauses are bounded; the authority hears of
 * every try that is followed by another.
 * See: call.h, attempt.c, breakers.h.
 */
#include "call.h"

static void on_pause(struct call *c);

/* ---- the breaker ---- */
void
attempt_outcome(struct call *c, enum outcome o)
{
	int change;

	if (!c->probing)
		return;
	c->probing = o == OUTCOME_BEGUN;
	change = breakers_end(&call_provider(c)->breakers, c->grant.tenant, o, call_now(c));
	if (change == 0)
		return;
	daemon_metric_add(METRIC_BREAKERS_OPEN, change);
	diag(DIAG_WARN, "providers.%s: %s", call_provider(c)->name,
	    change > 0 ? "fails for a tenant, which leaves it alone for a while"
		       : "works again for a tenant");
}

/* ---- what follows a failure ---- */
static bool
may_ask(const struct call *c, unsigned at)
{
	return (c->useless >> at & 1) == 0 && call_passes(c, at);
}

/* At least `wait_ms`, which there is time for. */
static uint32_t
pause_of(const struct call *c, uint32_t wait_ms)
{
	uint32_t most = CALL_PAUSE_MIN_MS << (c->rounds < 8 ? c->rounds : 8);
	uint32_t left = CALL_WAIT_MAX_MS - c->waited_ms - wait_ms;

	if (most > CALL_PAUSE_MAX_MS)
		most = CALL_PAUSE_MAX_MS;
	if (most > left)
		most = left;
	return wait_ms + (uint32_t)((uint64_t)route_chance() * most >> 32);
}

/* The next entry at once; after the last one all again, later. False: it was the last try. */
bool
attempt_plan(const struct call *c, uint32_t wait_ms, struct plan *ret)
{
	if (c->last || c->tries >= PROVIDER_TRIES_MAX || call_now(c) - c->began_ms >= CALL_RETRY_MS)
		return false;
	for (unsigned i = c->at + 1; i < c->route.count; i++) {
		if (may_ask(c, i)) {
			*ret = (struct plan){ .at = i };
			return true;
		}
	}
	for (unsigned i = 0; i <= c->at; i++) {
		if (!may_ask(c, i) || (i == c->at && wait_ms > CALL_WAIT_MAX_MS - c->waited_ms))
			continue;
		*ret = (struct plan){ .at = i,
			.pause_ms = pause_of(c, i == c->at ? wait_ms : 0),
			.new_round = true };
		return true;
	}
	return false;
}

static void
on_pause(struct call *c)
{
	if (may_ask(c, c->at))
		attempt_ask(c);
	else
		call_fail(c, ERROR_UPSTREAM_BUSY);
}

void
attempt_drop_exchange(struct call *c)
{
	if (c->exchange == NULL)
		return;
	c->bytes_in = exchange_bytes_in(c->exchange);
	c->bytes_out = exchange_bytes_out(c->exchange);
	upstream_discard(call_provider(c)->upstream, c->exchange);
	c->exchange = NULL;
}

void
attempt_tell(const struct call *c, enum error why)
{
	struct ab_done done = { 0 };
	struct ab_attempted m = { .turn = c->grant.turn,
		.attempt = (uint8_t)c->tries,
		.http_status = c->http_status,
		.error = (uint16_t)why };

	attempt_describe(c, &done);
	m.provider = done.provider;
	m.host = done.host;
	m.secret_version = done.secret_version;
	memcpy(m.grant, c->grant.id, sizeof(m.grant));
	if (c->b->authority != NULL && !is_ok(link_send(c->b->authority, 0, AB_ATTEMPTED, &m)))
		diag(DIAG_WARN, "an attempt could not be told to the authority");
}

void
attempt_forget_tried(struct call *c)
{
	while (c->tried.count > 0)
		credential_release(c->tried.version[--c->tried.count]);
}

void
attempt_follow(struct call *c, const struct plan *plan, enum error why)
{
	daemon_metric_add(METRIC_MODEL_RETRIES, 1);
	attempt_tell(c, why);
	attempt_drop_exchange(c);
	if (plan->at != c->at)
		attempt_forget_tried(c);
	c->at = plan->at;
	c->rounds += plan->new_round;
	c->waited_ms += plan->pause_ms;
	if (plan->pause_ms == 0)
		attempt_ask(c);
	else if (!is_ok(call_pause(c, plan->pause_ms, on_pause)))
		call_fail(c, ERROR_OVERLOADED);
}

/* State: nothing of an answer was passed on. */
void
attempt_failed(struct call *c, enum error why, uint32_t wait_ms)
{
	struct plan plan;

	if (!call_provider(c)->row->remote)
		c->useless |= 1U << c->at;
	if (attempt_plan(c, wait_ms, &plan))
		attempt_follow(c, &plan, why);
	else
		call_fail(c, why);
}
