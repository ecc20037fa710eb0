/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect.c: a gateway's streams, until a request is whole and is what was granted.
 *
 * Runs in: the executor. Trusts: a grant of the authority; the gateway's bytes
 * only when their length and SHA-256 are the granted ones.
 * Owns: the request's bytes, and the run's share of BODIES_TOTAL_MAX.
 * Invariants: no effect without a grant, and of its kind.
 * See: wire/gateway_executor.h, wire/grant.h; run.c, tool.c, build.c for what follows.
 */
#include "tools.h"

#include <crypto/hash.h>

#include <stdlib.h>

#define ARENA_MAX (1U << 20) /* the decoded request: spans borrow from the body */

static void on_open(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_gateway_closed(struct link *l, struct status why, void *ctx);
static struct run *run_new(struct link *l, uint64_t id, struct executor *ex);
static bool is_ready(const struct executor *ex);
static void take_grant(void *ctx, struct status st, const struct held_grant *grant);
static void on_data(struct stream *st, uint8_t channel, struct span data, void *ctx);
static void on_end(struct stream *st, void *ctx);
static bool is_granted(const struct run *r);
static void begin_code(struct run *r);

static const struct link_rule gateway_rules[] = { { GE_OPEN, 0, on_open } };
static const struct link_ops gateway_ops = { gateway_rules, 1, on_gateway_closed };
static const struct stream_ops run_ops = { .on_data = on_data,
	.on_end = on_end,
	.on_writable = run_on_writable,
	.on_closed = run_on_closed };

/* What a grant of each kind begins; a model's is the broker's. */
static const struct {
	void (*begin)(struct run *r);
} kinds[] = {
	[GRANT_RUN] = { begin_code },
	[GRANT_TOOL] = { tool_begin },
	[GRANT_BUILD] = { build_begin },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

void
gateway_connect(struct executor *ex, uint32_t peer_id, int fd)
{
	struct gateway *g = calloc(1, sizeof(*g));
	struct status st = g == NULL ? fail(E_NOMEM) : OK;

	if (is_ok(st))
		st = link_new(ex->d->loop, fd, &ge_edge, false, &gateway_ops, g, &g->link);
	if (!is_ok(st))
		diag_fatal("gateway's link: %s", status_text(st));
	g->ex = ex;
	link_set_peer(g->link, peer_id);
	LIST_INSERT_HEAD(&ex->gateways, g, entry);
}

static void
on_gateway_closed(struct link *l, struct status why, void *ctx)
{
	struct gateway *g = ctx;

	if (why.code == E_PROTO) {
		diag(DIAG_ERROR, "gateway %u dropped: %s", link_peer(l), status_text(why));
		daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	}
	LIST_REMOVE(g, entry);
	link_free(l);
	free(g);
}

/* ---- opening ---- */

static void
on_open(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ge_open *m = msg;
	struct executor *ex = ((struct gateway *)ctx)->ex;
	struct grant_claim claim = { .gateway = link_peer(l), .body_len = m->body_len };
	struct held_grant grant = { .turn = 0 };
	struct status st;
	struct run *r;

	memcpy(claim.id, m->grant, sizeof(claim.id));
	st = grants_claim(&ex->grants, ex->authority, ex->d->loop, &claim, &grant);
	r = run_new(l, id, ex);
	if (r == NULL)
		return; /* the link cancels the stream; the grant's turn ends by time */
	r->body = BUF_INIT(m->body_len);
	r->late = m->late != 0;
	if (st.code != E_NOTFOUND || !is_ready(ex))
		take_grant(r, st, &grant);
	else if (!is_ok(
		     grants_await(&ex->grants, ex->d->loop, &claim, take_grant, r, &r->grant_wait)))
		run_refuse(r, ERROR_OVERLOADED, QUEUE_RETRY_MS);
}

static struct run *
run_new(struct link *l, uint64_t id, struct executor *ex)
{
	struct run *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	if (!is_ok(stream_accept(l, id, &run_ops, r, &r->stream))) {
		free(r);
		return NULL;
	}
	r->ex = ex;
	r->arena = ARENA_INIT(ARENA_MAX);
	TAILQ_INSERT_TAIL(&ex->runs, r, all);
	ex->nruns++;
	daemon_metric_set(METRIC_RUNS_OPEN, ex->nruns);
	return r;
}

static bool
is_ready(const struct executor *ex)
{
	return !ex->d->draining && ex->authority != NULL && ex->spawner != NULL;
}

/* At once, or after a wait for it. The authority hears what became of every grant of ours. */
static void
take_grant(void *ctx, struct status st, const struct held_grant *grant)
{
	struct run *r = ctx;

	r->grant_wait = NULL;
	if (is_ok(st) || st.code == E_RANGE) {
		r->grant = *grant;
		r->granted = true;
		r->grant.keep = grant->keep && grant->kind == GRANT_RUN;
	}
	if (!is_ready(r->ex)) {
		run_refuse(r, ERROR_UNAVAILABLE, 0);
		return;
	}
	if (!is_ok(st)) {
		daemon_metric_add(METRIC_GRANTS_REFUSED, 1);
		run_refuse(r, ERROR_GRANT, 0);
		return;
	}
	daemon_metric_add(METRIC_GRANTS, 1);
	stream_consumed(r->stream, r->unconsumed);
	if (r->ended)
		on_end(r->stream, r);
}

/* What has come counts, not what was announced: who sends nothing takes no room. */
static void
reserve(struct run *r, size_t len)
{
	r->body_reserved += len;
	r->ex->bodies_total += len;
}

static void
on_data(struct stream *st, uint8_t channel, struct span data, void *ctx)
{
	struct run *r = ctx;

	if (r->grant_wait == NULL)
		stream_consumed(st, data.len);
	else
		r->unconsumed += data.len;
	if (r->state == RUN_OVER)
		return;
	if (r->state != RUN_COLLECTING || channel != RUN_REQUEST)
		run_cancel(r, ERROR_GRANT);
	else if (data.len > BODIES_TOTAL_MAX - r->ex->bodies_total)
		run_refuse(r, ERROR_OVERLOADED, QUEUE_RETRY_MS);
	else if (!is_ok(buf_put_span(&r->body, data)))
		run_cancel(r, ERROR_GRANT);
	else
		reserve(r, data.len);
}

static void
on_end(struct stream *st, void *ctx)
{
	struct run *r = ctx;

	(void)st;
	r->ended = true;
	if (r->state != RUN_COLLECTING || r->grant_wait != NULL)
		return;
	r->state = RUN_PREPARING;
	if (is_granted(r))
		kinds[r->grant.kind].begin(r);
	else
		run_refuse(r, ERROR_GRANT, 0);
}

static bool
is_granted(const struct run *r)
{
	uint8_t digest[SHA256_LEN];

	if (r->body.len == r->grant.body_len && is_ok(sha256(buf_span(&r->body), digest)) &&
	    memcmp(digest, r->grant.digest, sizeof(digest)) == 0 && r->grant.kind < KINDS &&
	    kinds[r->grant.kind].begin != NULL)
		return true;
	daemon_metric_add(METRIC_GRANTS_REFUSED, 1);
	return false;
}

static void
begin_code(struct run *r)
{
	if (!is_ok(wire_decode(&run_request_table, buf_span(&r->body), &r->arena, &r->req)) ||
	    !span_eq_str(r->req.language, r->grant.target)) {
		run_refuse(r, ERROR_GRANT, 0);
		return;
	}
	r->language = pool_language(r->ex, r->grant.target);
	if (r->language == NULL)
		run_refuse(r, ERROR_LANGUAGE, 0);
	else
		run_in_sandbox(r);
}

void
run_drop_body(struct run *r)
{
	buf_done(&r->body);
	arena_done(&r->arena);
	r->ex->bodies_total -= r->body_reserved;
	r->body_reserved = 0;
}
