/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.c: one model call: a stream of a gateway, a grant, an exchange with a provider.
 *
 * Runs in: broker. Trusts: the authority's grants; neither gateway nor provider.
 * Owns: the request's body until the answer begins, and the connection while the exchange lasts.
 * Invariants: nothing is buffered without a grant, and nothing is sent before length and digest of
 * the whole body matched it; a body is never parsed; the authority hears of the end of every
 * granted call; a gateway that leaves ends its call at once.
 * See: wire/gateway_broker.h, wire/authority_broker.h.
 */
#include "broker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <http/write.h>
#include <json/write.h>

#define HEAD_LEN_MAX 1024
#define MODEL_TEXT_MAX (6 * MODEL_MAX + 2) /* as JSON, every byte escaped */

struct call {
	LIST_ENTRY(call) entry;
	struct broker *b;
	struct stream *stream; /* NULL: gone */
	struct held_grant grant;
	struct provider *provider;
	struct route route;
	struct conn *conn; /* while an exchange lasts */
	struct sha256_ctx *sha;
	struct buf head, body;
	bool sse;
	bool answered; /* HEAD was sent */
	bool retried;
	bool done;                            /* the authority was told */
	char provider_name[PROVIDER_MAX + 1]; /* the configuration may go while we run */
	enum error error;                     /* why it failed */
	uint8_t attempts;                     /* exchanges begun */
	uint16_t http_status;
	uint64_t bytes_in, bytes_out;
};

static void call_begin(struct call *c);
static void call_exchange(struct call *c, bool fresh);
static void call_fail(struct call *c, enum error why);
static void call_settle(struct call *c);
static void call_free(struct call *c);

static const struct conn_ops conn_ops;

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

/* The grant may be on its way: the authority wrote it before it told the gateway. */
static struct status
take_grant(struct broker *b, uint32_t gateway, const struct gb_open *m, struct held_grant *ret)
{
	struct status st = grants_use(
	    &b->grants, m->grant, gateway, m->body_len, uv_now(b->d->loop), ret);

	if (st.code != E_NOTFOUND || b->authority == NULL)
		return st;
	link_pump(b->authority);
	return grants_use(&b->grants, m->grant, gateway, m->body_len, uv_now(b->d->loop), ret);
}

static struct status
call_new(struct broker *b, const struct held_grant *grant, struct call **ret)
{
	struct call *c;
	struct status st;

	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return fail(E_NOMEM);
	st = sha256_new(&c->sha);
	if (!is_ok(st)) {
		free(c);
		return st;
	}
	c->b = b;
	c->grant = *grant;
	c->head = BUF_INIT(HEAD_LEN_MAX);
	c->body = BUF_INIT(grant->body_len);
	LIST_INSERT_HEAD(&b->calls, c, entry);
	b->ncalls++;
	*ret = c;
	return OK;
}

static void
on_open(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct gb_open *m = msg;
	struct broker *b = ctx;
	struct held_grant grant;
	struct call *c;

	if (b->d->draining || b->authority == NULL) {
		refuse(l, id, ERROR_UNAVAILABLE);
		return;
	}
	if (!is_ok(take_grant(b, link_peer(l), m, &grant))) {
		refuse(l, id, ERROR_GRANT);
		return;
	}
	daemon_metric_add(METRIC_GRANTS, 1);
	if (!is_ok(call_new(b, &grant, &c))) {
		refuse(l, id, ERROR_OVERLOADED);
		return;
	}
	if (!is_ok(stream_accept(l, id, &call_ops, c, &c->stream))) {
		c->stream = NULL;
		call_free(c);
		return;
	}
	c->sse = m->stream != 0;
}

const struct link_rule call_rules[] = { { GB_OPEN, 0, on_open } };
const size_t call_rule_count = sizeof(call_rules) / sizeof(call_rules[0]);

/* ---- the request's body ---- */
/* What has come counts, not what was announced: who sends nothing takes no room. */
static struct status
take_data(struct call *c, struct span data)
{
	TRY(sha256_update(c->sha, data));
	TRY(buf_put_span(&c->body, data));
	c->b->body_bytes += data.len;
	return OK;
}

static void
on_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct call *c = ctx;

	stream_consumed(s, data.len);
	if (c->done)
		return;
	if (channel != 0 || data.len > c->grant.body_len - c->body.len)
		call_fail(c, ERROR_GRANT);
	else if (data.len > c->b->body_bytes_max - c->b->body_bytes)
		call_fail(c, ERROR_OVERLOADED);
	else if (!is_ok(take_data(c, data)))
		call_fail(c, ERROR_INTERNAL);
}

static void
on_end(struct stream *s, void *ctx)
{
	struct call *c = ctx;
	uint8_t digest[SHA256_LEN];

	(void)s;
	if (c->done)
		return;
	if (c->body.len != c->grant.body_len || !is_ok(sha256_final(c->sha, digest)) ||
	    !crypto_eq(span_of(digest, sizeof(digest)), span_of(c->grant.digest, DIGEST_LEN)))
		call_fail(c, ERROR_GRANT);
	else
		call_begin(c);
}

/* ---- the exchange ---- */
static struct status
put_head(struct call *c)
{
	const struct provider_ops *p = c->provider->ops;
	auto_buf struct buf target = BUF_INIT(HEAD_LEN_MAX);

	TRY(buf_printf(&target, "%s%s", p->base, c->route.path));
	TRY(http_put_request(
	    &c->head, SPAN_LIT("POST"), buf_span(&target), span_str(p->authority)));
	TRY(http_put_field_str(&c->head, "content-type", "application/json"));
	TRY(http_put_field_str(
	    &c->head, "accept", c->sse ? "text/event-stream" : "application/json"));
	TRY(http_put_length(&c->head, c->body.len));
	return http_put_end(&c->head);
}

/*
 * The provider's own name of the model goes where the granted alias stands: the one edit of this
 * process, at an offset that the authority granted. E_DENIED: something else stands there.
 */
static struct status
name_model(struct call *c)
{
	auto_buf struct buf alias = BUF_INIT(MODEL_MAX + 2);
	auto_buf struct buf out = BUF_INIT(c->body.len + MODEL_TEXT_MAX);
	struct span body = buf_span(&c->body), rest;
	uint64_t before = c->body.len;

	TRY(buf_printf(&alias, "\"%s\"", c->grant.target));
	rest = span_from(body, c->grant.model_off);
	if (!span_starts(rest, buf_span(&alias)))
		return fail(E_DENIED);
	TRY(buf_put(&out, body.ptr, c->grant.model_off));
	TRY(buf_put_u8(&out, '"'));
	TRY(json_escape(span_str(c->route.model), &out));
	TRY(buf_put_u8(&out, '"'));
	TRY(buf_put_span(&out, span_from(rest, alias.len)));
	buf_done(&c->body);
	c->body = out;
	out = BUF_INIT(0);
	c->b->body_bytes = c->b->body_bytes - before + c->body.len;
	return OK;
}

static void
call_begin(struct call *c)
{
	struct status st = route_find(
	    c->b, c->grant.target, (enum ga_endpoint)c->grant.endpoint, &c->route);

	if (!is_ok(st)) {
		call_fail(c, ERROR_MODEL_NOT_FOUND);
		return;
	}
	c->provider = c->route.provider;
	(void)snprintf(c->provider_name, sizeof(c->provider_name), "%s", c->route.name);
	st = name_model(c);
	if (!is_ok(st)) {
		call_fail(c, st.code == E_DENIED ? ERROR_GRANT : ERROR_INTERNAL);
		return;
	}
	daemon_metric_add(METRIC_MODEL_CALLS, 1);
	if (is_ok(put_head(c)))
		call_exchange(c, false);
	else
		call_fail(c, ERROR_INTERNAL);
}

static void
call_exchange(struct call *c, bool fresh)
{
	const struct conn_request r = { .head = buf_span(&c->head), .body = buf_span(&c->body) };
	struct status st = provider_acquire(c->provider, fresh, &c->conn);

	c->attempts++;
	if (is_ok(st))
		st = conn_start(c->conn, &r, &conn_ops, c);
	if (!is_ok(st))
		call_fail(c, st.code == E_FULL ? ERROR_OVERLOADED : c->provider->ops->gone);
}

static void
count_bytes(struct call *c)
{
	c->bytes_in = conn_bytes_in(c->conn);
	c->bytes_out = conn_bytes_out(c->conn);
}

static void
drop_conn(struct call *c)
{
	if (c->conn == NULL)
		return;
	count_bytes(c);
	provider_discard(c->provider, c->conn);
	c->conn = NULL;
}

static void
drop_body(struct call *c)
{
	c->b->body_bytes -= c->body.len;
	buf_done(&c->body);
}

static uint32_t
retry_after_ms(const struct http_response *head)
{
	struct span v;
	uint64_t n;

	if (is_ok(http_field_one(head->fields, head->field_count, "retry-after-ms", &v)) &&
	    is_ok(span_u64(v, UINT32_MAX, &n)))
		return (uint32_t)n;
	if (is_ok(http_field_one(head->fields, head->field_count, "retry-after", &v)) &&
	    is_ok(span_u64(v, UINT32_MAX / 1000, &n)))
		return (uint32_t)n * 1000;
	return 0;
}

static size_t
room(void *ctx)
{
	struct call *c = ctx;

	return c->stream == NULL ? 0 : stream_credit(c->stream);
}

static void
on_head(void *ctx, const struct http_response *head)
{
	struct call *c = ctx;
	struct gb_head m = { .status = head->status, .retry_after_ms = retry_after_ms(head) };
	struct span type;

	if (is_ok(http_field_one(head->fields, head->field_count, "content-type", &type)))
		m.sse = span_starts(type, SPAN_LIT("text/event-stream"));
	c->http_status = head->status;
	drop_body(c); /* from here on there is no second try */
	if (is_ok(stream_send(c->stream, GB_HEAD, &m)))
		c->answered = true;
	else
		call_fail(c, ERROR_OVERLOADED);
}

static void
on_body(void *ctx, uint8_t *body, size_t len)
{
	struct call *c = ctx;
	size_t taken = 0;

	if (!is_ok(stream_write(c->stream, 0, span_of(body, len), &taken)) || taken < len)
		call_fail(c, ERROR_OVERLOADED);
}

static void
on_exchange_end(void *ctx)
{
	struct call *c = ctx;

	count_bytes(c);
	provider_release(c->provider, c->conn);
	c->conn = NULL;
	call_settle(c);
	stream_end(c->stream);
}

static void
on_exchange_failed(void *ctx, enum error why, bool stale)
{
	struct call *c = ctx;
	bool silent = conn_bytes_in(c->conn) == 0;

	drop_conn(c);
	if (stale && !c->retried) {
		c->retried = true;
		call_exchange(c, true);
		return;
	}
	call_fail(c, silent && why == ERROR_UPSTREAM ? c->provider->ops->gone : why);
}

static const struct conn_ops conn_ops = {
	.room = room,
	.on_head = on_head,
	.on_body = on_body,
	.on_end = on_exchange_end,
	.on_failed = on_exchange_failed,
};

static void
on_writable(struct stream *s, void *ctx)
{
	struct call *c = ctx;

	(void)s;
	if (c->conn != NULL)
		conn_resume(c->conn);
}

/* ---- the end ---- */

/* Tell the authority, once. */
static void
call_settle(struct call *c)
{
	struct ab_done m = { .turn = c->grant.turn,
		.http_status = c->http_status,
		.error = (uint16_t)c->error,
		.attempts = c->attempts,
		.bytes_out = c->bytes_out,
		.bytes_in = c->bytes_in };

	if (c->done)
		return;
	c->done = true;
	if (c->provider != NULL) {
		m.provider = span_str(c->provider_name);
		m.host = span_str(c->provider->ops->authority);
	}
	memcpy(m.grant, c->grant.id, sizeof(m.grant));
	if (c->b->authority != NULL && !is_ok(link_send(c->b->authority, 0, AB_DONE, &m)))
		diag(DIAG_WARN, "the end of a call could not be told to the authority");
}

static void
call_fail(struct call *c, enum error why)
{
	const struct gb_failed m = { .error = (uint16_t)why };

	daemon_metric_add(METRIC_MODEL_FAILURES, 1);
	if (why == ERROR_GRANT)
		daemon_metric_add(METRIC_GRANTS_REFUSED, 1);
	drop_conn(c);
	drop_body(c);
	c->error = why;
	call_settle(c);
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
	drop_conn(c);
	c->error = ERROR_CANCELLED;
	call_settle(c);
	call_free(c);
}

static void
call_free(struct call *c)
{
	struct broker *b = c->b;

	assert(c->stream == NULL && c->conn == NULL);
	drop_body(c);
	buf_done(&c->head);
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
		drop_conn(c);
		c->error = why;
		call_settle(c);
		if (c->stream != NULL)
			stream_cancel(c->stream, (uint16_t)why);
		c->stream = NULL;
		call_free(c);
	}
}
