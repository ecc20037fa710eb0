/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempt.c: the provider's side of a model call: which entry, credential, connection, exchange,
 * and what follows when one fails.
 *
 * Runs in: broker. Trusts: the configuration; not what a provider answers.
 * Owns: what is under way (a credential's or a connection's wait, the connection, a pause) and
 * what of the answer is held back.
 * Invariants: a body goes out once its call was granted, and again only while no byte of an answer
 * was passed on; a credential that comes back in an answer is overwritten before it leaves.
 * See: call.h, call.c, retry.c, route.c, breakers.h, credential.h, redact.h.
 */
#include "call.h"

#include <assert.h>
#include <stdlib.h>

#include <json/write.h>

/* Statuses that another try may change; all else is the answer. */
static const uint16_t again[] = { 408, 409, 429, 500, 502, 503, 504, 529 };

static void on_credential(void *ctx, struct status st, struct credential_version *v);
static void have_credential(struct call *c, struct credential_version *v);
static void acquire(struct call *c);
static void on_acquired(void *ctx, struct status st, struct exchange *x);
static void exchange(struct call *c);

static size_t room(void *ctx);
static void on_head(void *ctx, const struct http_response *head);
static void on_body(void *ctx, uint8_t *body, size_t len);
static void on_exchange_end(void *ctx);
static void on_exchange_failed(void *ctx, enum error why, enum exchange_fault fault);

static const struct exchange_ops exchange_ops = { room, on_head, on_body, on_exchange_end,
	on_exchange_failed };

/* For reading together what was held and what came after it. */
static uint8_t scratch[REDACT_HELD_MAX + EXCHANGE_PIECE_MAX];

/* ---- beginning ---- */
/* The alias stands where the authority granted it, or somebody else wrote the body. */
static bool
alias_is_there(const struct call *c)
{
	struct span rest = span_from(buf_span(&c->body), c->grant.model_off);
	struct span alias = span_str(c->grant.target);

	return rest.len >= alias.len + 2 && rest.ptr[0] == '"' &&
	       span_starts(span_from(rest, 1), alias) && rest.ptr[alias.len + 1] == '"';
}

void
attempt_begin(struct call *c)
{
	struct status st = route_find(
	    c->b, c->grant.tenant, c->grant.target, (enum ga_endpoint)c->grant.endpoint, &c->route);

	if (!is_ok(st)) {
		call_fail(c, st.code == E_NOMEM ? ERROR_OVERLOADED : ERROR_MODEL_NOT_FOUND);
		return;
	}
	if (!alias_is_there(c)) {
		call_fail(c, ERROR_GRANT);
		return;
	}
	daemon_metric_add(METRIC_MODEL_CALLS, 1);
	c->began_ms = call_now(c);
	while (c->at + 1 < c->route.count && !call_passes(c, c->at))
		c->at++;
	if (!call_passes(c, c->at))
		call_fail(c, ERROR_UPSTREAM_BUSY);
	else
		attempt_ask(c);
}

/* ---- one try ---- */
static void
release_version(struct call *c)
{
	credential_release(c->version);
	credential_release(c->other);
	c->version = c->other = NULL;
}

static void
begin_try(struct call *c)
{
	c->tries++;
	c->stale = 0;
	c->http_status = 0;
	c->upstream_id[0] = '\0';
	c->bytes_in = c->bytes_out = 0;
	release_version(c);
	c->probing = call_provider(c)->row->remote;
	if (c->probing)
		breakers_begin(&call_provider(c)->breakers, c->grant.tenant, call_now(c));
}

void
attempt_ask(struct call *c)
{
	struct credential_version *v = NULL;
	struct status st;

	if (!c->refused)
		begin_try(c);
	st = credential_get(
	    call_provider(c)->credential, &c->tried, on_credential, c, &c->credential_wait, &v);
	if (is_ok(st))
		have_credential(c, v);
	else if (st.code != E_AGAIN)
		on_credential(c, st, NULL);
}

static void
on_credential(void *ctx, struct status st, struct credential_version *v)
{
	struct call *c = ctx;
	bool refused = c->refused;

	c->credential_wait = NULL;
	if (is_ok(st)) {
		have_credential(c, v);
		return;
	}
	attempt_outcome(c, OUTCOME_UNKNOWN);
	c->refused = false;
	c->useless |= 1U << c->at;
	if (refused)
		diag(DIAG_WARN, "providers.%s: refuses our credential", call_provider(c)->name);
	/* Whose key was refused is not the client's business. */
	attempt_failed(c, refused ? ERROR_UPSTREAM : ERROR_CREDENTIAL, 0);
}

static struct span
body_before(const struct call *c)
{
	return span_of(c->body.ptr, c->grant.model_off);
}

static struct span
body_after(const struct call *c)
{
	return span_from(buf_span(&c->body), c->grant.model_off + strlen(c->grant.target) + 2);
}

/* The provider's own name of the model, as JSON: the one edit of this process. */
static struct status
put_model(struct call *c)
{
	struct buf *model = &c->out->model;

	buf_clear(model);
	TRY(buf_put_u8(model, '"'));
	TRY(json_escape(span_str(c->route.entries[c->at].model), model));
	return buf_put_u8(model, '"');
}

static struct status
put_request(struct call *c)
{
	TRY(put_model(c));
	return provider_request(call_provider(c), c->route.entries[c->at].path, &c->out->open,
	    c->out->target, &c->out->request);
}

static void
have_credential(struct call *c, struct credential_version *v)
{
	if (c->refused) { /* so another try follows the one before */
		c->refused = false;
		attempt_tell(c, ERROR_NONE);
		begin_try(c);
	}
	c->version = v;
	c->other = credential_other(call_provider(c)->credential, v);
	if (is_ok(put_request(c)))
		acquire(c);
	else
		call_fail(c, ERROR_INTERNAL);
}

static void
acquire(struct call *c)
{
	struct status st = upstream_acquire(call_provider(c)->upstream, c->stale > 0, on_acquired,
	    c, &c->upstream_wait, &c->exchange);

	if (is_ok(st))
		exchange(c);
	else if (st.code != E_AGAIN)
		on_acquired(c, st, NULL);
}

static void
on_acquired(void *ctx, struct status st, struct exchange *x)
{
	struct call *c = ctx;
	struct provider *p = call_provider(c);
	bool ours = st.code == E_FULL || st.code == E_NOMEM || st.code == E_SYS;

	c->upstream_wait = NULL;
	if (is_ok(st)) {
		c->exchange = x;
		exchange(c);
		return;
	}
	if (p->row->secret_name != NULL)
		diag(DIAG_WARN, "providers.%s: %s: %s", p->name, upstream_authority(p->upstream),
		    upstream_why(st));
	if (st.code == E_DENIED)
		c->useless |= 1U << c->at;
	attempt_outcome(c, ours ? OUTCOME_UNKNOWN : OUTCOME_BAD);
	attempt_failed(c,
	    ours                   ? ERROR_OVERLOADED
	    : st.code == E_TIMEOUT ? ERROR_UPSTREAM_TIMEOUT
				   : p->row->gone,
	    0);
}

static void
exchange(struct call *c)
{
	struct exchange_request r = c->out->request;
	struct status st;

	r.secret = secret_borrow(&c->version->value);
	r.body[0] = body_before(c);
	r.body[1] = buf_span(&c->out->model);
	r.body[2] = body_after(c);
	if (call_now(c) >= c->version->expires_ms) { /* over while the connection was made */
		attempt_outcome(c, OUTCOME_UNKNOWN);
		attempt_drop_exchange(c);
		attempt_failed(c, ERROR_CREDENTIAL, 0);
		return;
	}
	st = exchange_start(c->exchange, &r, &exchange_ops, c);
	if (st.code == E_CLOSED)
		on_exchange_failed(c, ERROR_UPSTREAM, EXCHANGE_STALE);
	else if (!is_ok(st))
		call_fail(c, ERROR_INTERNAL);
}

/* ---- the answer ---- */
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

/* Nobody asked for a coding, and nobody here would undo it. */
static bool
is_coded(const struct http_response *head)
{
	struct span v;
	struct status st = http_field_one(head->fields, head->field_count, "content-encoding", &v);

	return st.code != E_NOTFOUND && !(is_ok(st) && span_eq_nocase(v, SPAN_LIT("identity")));
}

static bool
may_change(uint16_t status)
{
	for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
		if (again[i] == status)
			return true;
	}
	return false;
}

/* The provider does not take our key: a fresh one, then the one before, then no more. */
static void
credential_refused(struct call *c)
{
	attempt_outcome(c, OUTCOME_GOOD);
	attempt_drop_exchange(c);
	c->refused = true;
	if (c->tried.count == CREDENTIAL_TRIES_MAX) {
		on_credential(c, fail(E_NOTFOUND), NULL);
		return;
	}
	c->tried.version[c->tried.count++] = c->version;
	credential_ref(c->version);
	attempt_ask(c);
}

/*
 * This entry will not do in this call: a redirect is not followed, a coding not undone; and a key
 * that is good but may not (403: its project has no such model, its country is not served) gets no
 * better by being fetched anew.
 */
static void
entry_refused(struct call *c, uint16_t status)
{
	attempt_outcome(c, OUTCOME_GOOD);
	c->useless |= 1U << c->at;
	if (status == 403)
		diag(DIAG_WARN, "providers.%s: our credential may not do this (403)",
		    call_provider(c)->name);
	attempt_failed(c, ERROR_UPSTREAM, 0);
}

static void
accept_head(struct call *c, const struct http_response *head)
{
	struct gb_head m = { .status = head->status, .retry_after_ms = retry_after_ms(head) };
	struct span type;

	if (is_ok(http_field_one(head->fields, head->field_count, "content-type", &type)))
		m.sse = span_starts(type, SPAN_LIT("text/event-stream"));
	call_drop_request(c); /* from here on there is no other try */
	attempt_forget_tried(c);
	if (is_ok(stream_send(c->stream, GB_HEAD, &m)))
		c->answered = true;
	else
		call_fail(c, ERROR_OVERLOADED);
}

/* The key of this request, and the one that it replaced or that replaced it. NULL: the end. */
static size_t
redact(const struct call *c, uint8_t *p, size_t len, size_t *ret_held)
{
	size_t held = 0, other = 0;
	size_t hits = redact_part(&c->version->redactor, p, len, ret_held != NULL ? &held : NULL);

	if (c->other != NULL)
		hits += redact_part(&c->other->redactor, p, len, ret_held != NULL ? &other : NULL);
	if (hits > 0)
		daemon_metric_add(METRIC_SECRETS_REDACTED, (int64_t)hits);
	if (ret_held != NULL)
		*ret_held = held > other ? held : other;
	return hits;
}

/* For the record, unless it is none or holds our credential. */
static void
keep_upstream_id(struct call *c, const struct http_response *head)
{
	uint8_t *p = (uint8_t *)c->upstream_id;
	struct span id = provider_request_id(head);

	if (id.len == 0 || id.len > UPSTREAM_ID_MAX)
		return;
	memcpy(p, id.ptr, id.len);
	if (redact(c, p, id.len, NULL) > 0)
		id.len = 0;
	p[id.len] = '\0';
}

static void
on_head(void *ctx, const struct http_response *head)
{
	struct call *c = ctx;
	uint32_t wait_ms = retry_after_ms(head);
	struct plan plan;

	c->http_status = head->status;
	keep_upstream_id(c, head);
	if (head->status == 401) {
		credential_refused(c);
		return;
	}
	attempt_outcome(c, head->status >= 500 ? OUTCOME_BAD : OUTCOME_BEGUN);
	if (head->status / 100 == 3 || head->status == 403 || is_coded(head)) {
		entry_refused(c, head->status);
	} else if (may_change(head->status) && call_provider(c)->row->remote &&
		   attempt_plan(c, wait_ms, &plan)) {
		attempt_outcome(c, OUTCOME_GOOD); /* it works, and limits */
		attempt_follow(c, &plan, ERROR_NONE);
	} else {
		accept_head(c, head);
	}
}

static size_t
room(void *ctx)
{
	struct call *c = ctx;
	size_t n = c->stream == NULL ? 0 : stream_room(c->stream);

	return n > c->held.len ? n - c->held.len : 0;
}

/* It is taken: room() promised no more. */
static bool
pass_on(struct call *c, const uint8_t *p, size_t len)
{
	if (is_ok(stream_put(c->stream, 0, span_of(p, len))))
		return true;
	call_fail(c, ERROR_OVERLOADED);
	return false;
}

static void
on_body(void *ctx, uint8_t *body, size_t len)
{
	struct call *c = ctx;
	uint8_t *p = body;
	size_t held;

	if (c->held.len > 0) {
		assert(c->held.len + len <= sizeof(scratch));
		memcpy(scratch, c->held.ptr, c->held.len);
		memcpy(scratch + c->held.len, body, len);
		p = scratch;
		len += c->held.len;
	}
	(void)redact(c, p, len, &held);
	if (c->held.len > 0)
		secret_wipe(c->held.ptr, c->held.len);
	buf_clear(&c->held);
	if (!is_ok(buf_put(&c->held, p + len - held, held)))
		call_fail(c, ERROR_INTERNAL);
	else
		(void)pass_on(c, p, len - held);
	if (p == scratch)
		secret_wipe(scratch, len);
}

static void
on_exchange_end(void *ctx)
{
	struct call *c = ctx;

	(void)redact(c, c->held.ptr, c->held.len, NULL);
	if (!pass_on(c, c->held.ptr, c->held.len))
		return;
	attempt_outcome(c, OUTCOME_GOOD);
	c->bytes_in = exchange_bytes_in(c->exchange);
	c->bytes_out = exchange_bytes_out(c->exchange);
	upstream_release(call_provider(c)->upstream, c->exchange);
	c->exchange = NULL;
	call_finish(c);
}

static void
on_exchange_failed(void *ctx, enum error why, enum exchange_fault fault)
{
	struct call *c = ctx;
	bool silent = exchange_bytes_in(c->exchange) == 0;
	bool anew = fault == EXCHANGE_STALE && c->stale < CALL_STALE_MAX;
	bool blames = !anew && exchange_blames(c->exchange);

	attempt_drop_exchange(c);
	if (anew) { /* that says nothing of the provider */
		c->stale++;
		acquire(c);
		return;
	}
	attempt_outcome(c, blames ? OUTCOME_BAD : OUTCOME_UNKNOWN);
	if (silent && why == ERROR_UPSTREAM)
		why = call_provider(c)->row->gone;
	if (why == ERROR_UPSTREAM_TIMEOUT)
		c->last = true; /* it took all the time there is */
	if (c->answered)
		call_fail(c, why);
	else
		attempt_failed(c, why, 0);
}

void
attempt_resume(struct call *c)
{
	if (c->exchange != NULL)
		exchange_resume(c->exchange);
}

/* ---- the end ---- */
void
attempt_stop(struct call *c)
{
	call_pause_end(c);
	if (c->route.count == 0)
		return;
	if (c->credential_wait != NULL)
		credential_cancel(c->credential_wait);
	c->credential_wait = NULL;
	if (c->upstream_wait != NULL)
		upstream_cancel(c->upstream_wait);
	c->upstream_wait = NULL;
	attempt_drop_exchange(c);
	attempt_outcome(c, OUTCOME_UNKNOWN);
	attempt_forget_tried(c);
}

void
attempt_free(struct call *c)
{
	attempt_stop(c);
	release_version(c);
	route_done(&c->route);
	if (c->held.cap > 0)
		secret_wipe(c->held.ptr, c->held.cap);
	buf_done(&c->held);
}

void
attempt_describe(const struct call *c, struct ab_done *ret)
{
	if (c->route.count == 0 || c->tries == 0)
		return;
	ret->http_status = c->http_status;
	ret->bytes_in = c->bytes_in;
	ret->bytes_out = c->bytes_out;
	ret->attempts = (uint8_t)c->tries;
	ret->provider = span_str(call_provider(c)->name);
	ret->host = span_str(upstream_authority(call_provider(c)->upstream));
	if (c->version != NULL && c->version->value.len > 0)
		ret->secret_version = span_str(c->version->version);
	ret->upstream_id = span_str(c->upstream_id);
}
