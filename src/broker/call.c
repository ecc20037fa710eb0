/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c: one model call, the gateway's side: a stream, a grant, a body, an end.
 *
 * Runs in: broker. Trusts: the authority's grants; not the gateway.
 * Owns: the request's body until an answer begins.
 * Invariants: without a grant nothing is buffered beyond a stream's first credit, for a second,
 * since a burst may bring the stream before its grant; nothing is sent before length and digest of
 * the whole body matched it; a body is never parsed; the authority hears of the end of every
 * granted call; a gateway that leaves ends its call at once.
 * See: call.h, attempt.c; wire/gateway_broker.h, wire/authority_broker.h.
 */
#include "call.h"

#include <assert.h>
#include <stdlib.h>

#include <crypto/crypto.h>

static void call_settle(struct call *c, enum error why);
static void call_free(struct call *c);

/* ---- a stream that is refused: told why, then ignored ---- */
static void
refused_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	(void)channel, (void)ctx;
	stream_consumed(s, data.len);
}

static const struct stream_ops refused_ops = { .on_data = refused_data };

static void
refuse(struct link *l, uint64_t id, enum error why)
{
	const struct gb_failed failed = { .error = (uint16_t)why };
	struct stream *s;

	if (why == ERROR_GRANT)
		daemon_metric_add(METRIC_GRANTS_REFUSED, 1);
	if (!is_ok(stream_accept(l, id, &refused_ops, NULL, &s)))
		return; /* the link cancels it */
	if (is_ok(stream_send(s, GB_FAILED, &failed)))
		stream_end(s);
	else
		stream_cancel(s, (uint16_t)why);
}

/* ---- opening ---- */
static void on_data(struct stream *s, uint8_t channel, struct span data, void *ctx);
static void on_end(struct stream *s, void *ctx);
static void on_writable(struct stream *s, void *ctx);
static void on_closed(struct stream *s, struct status why, void *ctx);

static const struct stream_ops call_ops = {
	.on_data = on_data, .on_end = on_end, .on_writable = on_writable, .on_closed = on_closed
};

/* The message goes; what its spans point to is kept. */
static struct status
keep_open(struct call *c, const struct gb_open *m)
{
	size_t version = m->anthropic_version.len, beta = m->anthropic_beta.len;

	c->out = calloc(1, sizeof(*c->out) + version + beta);
	if (c->out == NULL)
		return fail(E_NOMEM);
	c->out->model = BUF_INIT(MODEL_TEXT_MAX);
	c->out->open = *m;
	if (version > 0)
		memcpy(c->out->versions, m->anthropic_version.ptr, version);
	if (beta > 0)
		memcpy(c->out->versions + version, m->anthropic_beta.ptr, beta);
	c->out->open.anthropic_version.ptr = c->out->versions;
	c->out->open.anthropic_beta.ptr = c->out->versions + version;
	return OK;
}

static struct status
call_new(
    struct broker *b, const struct held_grant *grant, const struct gb_open *m, struct call **ret)
{
	struct call *c = calloc(1, sizeof(*c));
	struct status st;

	if (c == NULL)
		return fail(E_NOMEM);
	st = keep_open(c, m);
	if (is_ok(st))
		st = sha256_new(&c->sha);
	if (!is_ok(st)) {
		free(c->out);
		free(c);
		return st;
	}
	c->b = b;
	c->grant = *grant;
	c->held = BUF_INIT(REDACT_HELD_MAX);
	c->body = BUF_INIT(grant->body_len);
	LIST_INSERT_HEAD(&b->calls, c, entry);
	b->ncalls++;
	*ret = c;
	return OK;
}

static void
granted(struct call *c)
{
	c->granted = true;
	daemon_metric_add(METRIC_GRANTS, 1);
}

/* A grant that comes after its stream. */
static void
on_grant_came(void *ctx, struct status st, const struct held_grant *grant)
{
	struct call *c = ctx;

	c->grant_wait = NULL;
	if (!is_ok(st)) {
		call_fail(c, ERROR_GRANT);
		return;
	}
	c->grant = *grant;
	granted(c);
	stream_consumed(c->stream, c->unconsumed);
	if (c->ended)
		on_end(c->stream, c);
}

static void
on_open(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct gb_open *m = msg;
	struct broker *b = ctx;
	struct grant_claim claim = { .gateway = link_peer(l), .body_len = m->body_len };
	struct held_grant grant = { .body_len = m->body_len };
	struct status st;
	struct call *c;

	if (b->d->draining || b->authority == NULL) {
		refuse(l, id, ERROR_UNAVAILABLE);
		return;
	}
	memcpy(claim.id, m->grant, sizeof(claim.id));
	st = grants_claim(&b->grants, b->authority, b->d->loop, &claim, &grant);
	if (!is_ok(st) && st.code != E_NOTFOUND) {
		refuse(l, id, ERROR_GRANT);
		return;
	}
	if (!is_ok(call_new(b, &grant, m, &c))) {
		refuse(l, id, ERROR_OVERLOADED);
		return;
	}
	if (!is_ok(stream_accept(l, id, &call_ops, c, &c->stream))) {
		c->stream = NULL;
		call_free(c);
		return;
	}
	if (is_ok(st))
		granted(c);
	else if (!is_ok(grants_await(
		     &b->grants, b->d->loop, &claim, on_grant_came, c, &c->grant_wait)))
		call_fail(c, ERROR_OVERLOADED);
}

const struct link_rule call_rules[] = { { GB_OPEN, 0, on_open } };
const size_t call_rule_count = sizeof(call_rules) / sizeof(call_rules[0]);

/* ---- the request's body ---- */
/* Most bodies find room at once, without being moved; what is not written to takes no memory. */
static size_t
first_len(const struct call *c)
{
	return c->grant.body_len < CALL_BODY_FIRST_MAX ? c->grant.body_len : CALL_BODY_FIRST_MAX;
}

/* What has come counts, not what was announced: who sends nothing takes no room. */
static struct status
take_data(struct call *c, struct span data)
{
	TRY(sha256_update(c->sha, data));
	if (c->body.cap == 0)
		TRY(buf_reserve(&c->body, first_len(c)));
	TRY(buf_put_span(&c->body, data));
	c->b->body_bytes += data.len;
	return OK;
}

static void
on_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct call *c = ctx;

	if (c->granted || c->done)
		stream_consumed(s, data.len);
	else
		c->unconsumed += data.len;
	if (c->done)
		return;
	if (channel != 0 || data.len > c->grant.body_len - c->body.len)
		call_fail(c, ERROR_GRANT);
	else if (data.len > c->b->body_bytes_max - c->b->body_bytes)
		call_fail(c, ERROR_OVERLOADED);
	else if (!is_ok(take_data(c, data)))
		call_fail(c, ERROR_INTERNAL);
}

/* The body is the one that the authority granted. */
static bool
is_granted(struct call *c)
{
	uint8_t digest[SHA256_LEN];
	bool same = c->body.len == c->grant.body_len && is_ok(sha256_final(c->sha, digest)) &&
		    crypto_eq(
			span_of(digest, sizeof(digest)), span_of(c->grant.digest, DIGEST_LEN));

	sha256_free(c->sha);
	c->sha = NULL;
	return same;
}

static void
on_end(struct stream *s, void *ctx)
{
	struct call *c = ctx;

	(void)s;
	c->ended = true;
	if (c->done || !c->granted)
		return;
	if (!is_granted(c))
		call_fail(c, ERROR_GRANT);
	else
		attempt_begin(c);
}

static void
on_writable(struct stream *s, void *ctx)
{
	struct call *c = ctx;

	(void)s;
	attempt_resume(c);
}

/* ---- the end ---- */
void
call_drop_request(struct call *c)
{
	c->b->body_bytes -= c->body.len;
	buf_done(&c->body);
	if (c->out != NULL)
		buf_done(&c->out->model);
	free(c->out);
	c->out = NULL;
}

/* Tell the authority, once. */
static void
call_settle(struct call *c, enum error why)
{
	struct ab_done m = { .turn = c->grant.turn, .error = (uint16_t)why };

	if (c->done)
		return;
	c->done = true;
	grant_wait_cancel(c->grant_wait);
	c->grant_wait = NULL;
	if (!c->granted)
		return; /* the authority knows of no call */
	attempt_describe(c, &m);
	memcpy(m.grant, c->grant.id, sizeof(m.grant));
	if (c->b->authority != NULL && !is_ok(link_send(c->b->authority, 0, AB_DONE, &m)))
		diag(DIAG_WARN, "the end of a call could not be told to the authority");
}

void
call_finish(struct call *c)
{
	attempt_stop(c);
	call_settle(c, ERROR_NONE);
	stream_end(c->stream);
}

void
call_fail(struct call *c, enum error why)
{
	const struct gb_failed m = { .error = (uint16_t)why };

	daemon_metric_add(METRIC_MODEL_FAILURES, 1);
	if (why == ERROR_GRANT)
		daemon_metric_add(METRIC_GRANTS_REFUSED, 1);
	attempt_stop(c);
	call_drop_request(c);
	call_settle(c, why);
	if (c->stream == NULL)
		return;
	if (!c->answered && is_ok(stream_send(c->stream, GB_FAILED, &m))) {
		stream_end(c->stream); /* on_closed comes when the gateway has ended, too */
		return;
	}
	stream_cancel(c->stream, (uint16_t)why);
	c->stream = NULL;
	call_free(c);
}

static void
on_closed(struct stream *s, struct status why, void *ctx)
{
	struct call *c = ctx;

	(void)s, (void)why;
	c->stream = NULL;
	attempt_stop(c);
	call_settle(c, ERROR_CANCELLED);
	call_free(c);
}

static void
call_free(struct call *c)
{
	struct broker *b = c->b;

	assert(c->stream == NULL);
	attempt_free(c);
	call_drop_request(c);
	sha256_free(c->sha);
	LIST_REMOVE(c, entry);
	free(c);
	if (--b->ncalls == 0 && b->on_idle != NULL)
		b->on_idle(b);
}

void
calls_cancel(struct broker *b, uint64_t turn, enum error why)
{
	struct call *c = LIST_FIRST(&b->calls), *next;

	for (; c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (turn != 0 && c->grant.turn != turn)
			continue;
		attempt_stop(c);
		call_settle(c, why);
		if (c->stream != NULL)
			stream_cancel(c->stream, (uint16_t)why);
		c->stream = NULL;
		call_free(c);
	}
}
