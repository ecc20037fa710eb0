/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admit.c: who is it, may it, is it within its limits? The answer follows the
 * records that say so.
 *
 * Runs in: authority. Trusts: the gateway only for what a client on it could
 * have said itself; the credential decides. Owns: nothing.
 * Invariants: no answer but 503 without a durable record, except for counted
 * authentication failures; what is not loaded or away refuses.
 * See: admit_decide.c (may it?), admit_failures.c (credentials that are none); turn.h; DESIGN of
 * requests in ARCHITECTURE.md.
 */
#include "authority.h"

#include <stdio.h>

#include <base/clock.h>

#include "later.h"
#include "roles.h"

static void admit_known(struct gateway *gw, uint64_t id, const struct ga_admit *m, struct key *key);

/* Nothing is decided while the table or the log is missing. */
static enum error
not_now(const struct authority *a)
{
	if (!audit_answers(a))
		return ERROR_AUDIT_UNAVAILABLE;
	if (unfit_stops(a))
		return ERROR_STORE_TAMPERED;
	if (!a->loaded || a->d->draining || grace_phase(a) == GRACE_OVER)
		return ERROR_UNAVAILABLE;
	return ERROR_NONE;
}

enum error
admit_who(
    struct authority *a, struct span credential, const uint8_t source[SOURCE_LEN], struct key **ret)
{
	enum error error = not_now(a);

	oidc_forget_awaited(a); /* of the call before: it may be gone */
	return error != ERROR_NONE ? error
				   : principal_find(a, credential, source, now_real_s(), ret);
}

void
admit_on_check(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct gateway *gw = ctx;
	const struct ga_check *m = msg;
	struct key *key = NULL;
	enum error error = admit_who(gw->a, m->credential, m->source, &key);

	(void)l;
	if (error == ERROR_UNAVAILABLE && later(gw, GA_CHECK, id, m, admit_on_check))
		return;
	if (error != ERROR_INVALID_KEY)
		admit_send_error(gw, GA_CHECKED, id, error);
	else
		admit_refuse_unknown(gw, GA_CHECKED, id, m->source, m->request_id);
}

void
admit_on_admit(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct gateway *gw = ctx;
	const struct ga_admit *m = msg;
	struct key *key = NULL;
	enum error error = admit_who(gw->a, m->credential, m->source, &key);

	(void)l;
	if (error == ERROR_UNAVAILABLE && later(gw, GA_ADMIT, id, m, admit_on_admit))
		return;
	if (error == ERROR_NONE)
		admit_known(gw, id, m, key);
	else if (error == ERROR_INVALID_KEY)
		admit_refuse_unknown(gw, GA_ADMITTED, id, m->source, m->request_id);
	else
		admit_send_error(gw, GA_ADMITTED, id, error);
}

void
admit_send_error(struct gateway *gw, uint16_t reply_type, uint64_t id, enum error error)
{
	const struct ga_checked checked = { .error = (uint16_t)error };
	const struct ga_admitted admitted = { .error = (uint16_t)error,
		.retry_after_ms = error_rows[error].http == 503 ? RETRY_MS : 0 };
	const struct ga_admined admined = { .error = (uint16_t)error,
		.retry_after_ms = admitted.retry_after_ms };
	const struct ga_tokened tokened = { .error = (uint16_t)error,
		.retry_after_ms = admitted.retry_after_ms };
	const void *const answers[GA_TYPES] = { [GA_CHECKED] = &checked,
		[GA_ADMITTED] = &admitted,
		[GA_ADMINED] = &admined,
		[GA_TOKENED] = &tokened };
	struct status st = link_send(gw->link, id, reply_type, answers[reply_type]);

	if (!is_ok(st))
		gateway_drop(gw, status_text(st));
}

/* ---- admission ---- */

static void
put_authentication(struct batch *b, const struct record_who *who, const char *endpoint)
{
	(void)batch_add(b, EVENT_AUTHENTICATION, who, "endpoint", span_str(endpoint));
	batch_text(b, principal_method(who->key));
	batch_bool(b, true);
	batch_null(b);
}

static struct turn *
turn_of(struct gateway *gw, uint64_t id, const struct ga_admit *m, struct key *key)
{
	struct turn *t;

	if (!is_ok(turn_new(gw, key, &t))) {
		admit_send_error(gw, GA_ADMITTED, id, ERROR_OVERLOADED);
		return NULL;
	}
	turn_expect(t, GA_ADMITTED, id);
	memcpy(t->request_id, m->request_id, sizeof(t->request_id));
	memcpy(t->source, m->source, sizeof(t->source));
	memcpy(t->digest, m->digest, sizeof(t->digest));
	t->endpoint = m->endpoint;
	t->tools = m->tools;
	t->body_len = m->body_len;
	t->model_off = m->model_off;
	t->state = TURN_ANSWERING;
	return t;
}

static void
put_intent(struct turn *t, struct batch *b, const struct record_who *who, const struct ga_admit *m)
{
	if (turn_asks_model(t)) {
		(void)batch_add(b, EVENT_PROMPT_SUBMITTED, who, "model", m->model);
		batch_intent(b);
		batch_str(b, m->model);
		batch_u64(b, m->tokens_in);
		batch_bool(b, true);
		batch_u64(b, m->size_bytes);
		/* A body that is not made yet has no digest: its ModelCalled has it. */
		if (t->loads)
			batch_null(b);
		else
			batch_digest(b, m->digest);
		(void)snprintf(t->model, sizeof(t->model), "%.*s", SPAN_FMT(m->model));
		(void)snprintf(t->tool, sizeof(t->tool), "%s", "code_interpreter");
		if (!t->loads) {
			turn_put_model_intent(t, b, who, 1, m->size_bytes, m->digest);
			return;
		}
	}
	/* The name of the tool is the language: both are names of the configuration by now. */
	if (m->endpoint == ENDPOINT_EXECUTE) {
		(void)snprintf(t->tool, sizeof(t->tool), "%.*s", SPAN_FMT(m->language));
		(void)snprintf(
		    t->run.language, sizeof(t->run.language), "%.*s", SPAN_FMT(m->language));
	}
	memcpy(t->run.digest, m->digest, sizeof(t->run.digest));
	if (t->run.kind != RUN_OF_CONTENT)
		t->run.size_bytes = m->endpoint == ENDPOINT_TOOL_PUSH ? m->body_len : m->size_bytes;
	t->run.open = true;
	turn_put_run_intent(t, &t->run, b, who);
}

/* Requests that we answer ourselves. */
static bool
is_answered_here(uint8_t endpoint)
{
	return endpoint == ENDPOINT_MODELS || endpoint == ENDPOINT_TOOL_LIST ||
	       endpoint == ENDPOINT_TOOL_GET || endpoint == ENDPOINT_OPENAPI;
}

static void
put_returned(struct batch *b, const struct record_who *who, struct span endpoint)
{
	(void)batch_add(b, EVENT_RESPONSE_RETURNED, who, "endpoint", endpoint);
	batch_u64(b, 0);
	batch_bool(b, false);
	batch_u64(b, 200);
	batch_nulls(b, 4);
}

static struct status
admit_append(struct turn *t, const struct ga_admit *m)
{
	struct span endpoint = span_str(endpoint_name(m->endpoint));
	struct leaked leaked;
	struct batch b = { .n = 0 };
	struct record_who who;
	struct status st;

	leaks_take(t->a, m, &leaked);
	TRY(turn_who(t, &who));
	put_authentication(&b, &who, endpoint_name(m->endpoint));
	if (t->error != ERROR_NONE) {
		turn_put_error(&b, &who, t->error, endpoint, "endpoint");
		leaks_put(&b, &who, &leaked);
		st = turn_append_batch(t, &b, APPEND_ANSWER);
		leaks_revoke(t->a, &leaked); /* whatever came of that */
		return st;
	}
	if (is_answered_here(m->endpoint)) {
		put_returned(&b, &who, endpoint);
		return turn_append_batch(t, &b, APPEND_ANSWER);
	}
	put_intent(t, &b, &who, m);
	TRY(turn_append_batch(t, &b, APPEND_ADMIT));
	limits_hold(&key_root(t->key)->holder, &t->key->user->holder);
	daemon_metric_add(METRIC_TURNS, 1);
	daemon_metric_add(METRIC_TURNS_OPEN, 1);
	t->holds = true;
	t->state = TURN_ADMITTING;
	return OK;
}

/*
 * The gateway lacks what the body must be made with, or its arguments checked with: it
 * gets that, and asks again. Nothing is admitted, nothing recorded.
 */
static bool
admit_again(struct gateway *gw, uint64_t id, const struct ga_admit *m, struct key *key)
{
	struct authority *a = gw->a;
	const struct policy *p = key->policy->now;
	const struct permit may = key_permit(key);
	uint8_t named = m->tools & (uint8_t)~m->attached; /* by the client itself */
	uint8_t attach = permit_tools(&may, p->attach & (uint8_t)~named);
	struct tool_version *v = NULL;
	struct status st = OK;
	bool again = false;

	/* Who is over a limit hears that, on record, and costs no answer with tools. */
	if (!permit_has(&may, LIST_ENDPOINTS, span_str(endpoint_rows[m->endpoint].name)) ||
	    !roles_allow(key_roles(key), action_of_endpoint(m->endpoint)) ||
	    limits_full(&key_root(key)->holder, p->limits, &key->user->holder,
		a->policies.user_limits, now_ms(a)))
		return false;
	if (endpoint_rows[m->endpoint].takes_tools) {
		again = attach != m->attached || m->catalog != tools_catalog(a, key);
		if (again)
			st = tools_send_offer(a, gw->link, id, key, attach);
	} else if (m->endpoint == ENDPOINT_TOOL_CALL && m->catalog != tools_catalog(a, key)) {
		again = tools_find(a, key, m->tool_name, m->tool_version, &v) == ERROR_NONE;
		if (again)
			st = tools_send_one(a, gw->link, id, key, v);
	} else if (keeping_asks_anew(p, m)) {
		again = true;
		st = link_send(gw->link, id, GA_ADMITTED, &(struct ga_admitted){ .mask = 1 });
	}
	if (!is_ok(st))
		gateway_drop(gw, status_text(st));
	return again;
}

static void
admit_known(struct gateway *gw, uint64_t id, const struct ga_admit *m, struct key *key)
{
	const struct policy *p = key->policy->now;
	struct turn *t;

	if (m->endpoint < ENDPOINT_CHAT) {
		gateway_drop(gw, "no endpoint");
		return;
	}
	if (!content_is_due(m) || !leaks_are_due(m)) {
		gateway_drop(gw, "an operation that is not of its endpoint");
		return;
	}
	if (p != NULL && m->refused == ERROR_NONE && admit_again(gw, id, m, key))
		return;
	t = turn_of(gw, id, m, key);
	if (t == NULL)
		return;
	t->error = admit_decide(t, m);
	if (!is_ok(admit_append(t, m))) {
		turn_answer(t, ERROR_AUDIT_UNAVAILABLE);
		turn_free(t);
	}
}

/* ---- handlers: a request that ends with its answer ---- */

bool
answer_durable(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	t->append = APPEND_NONE;
	turn_answer(t, t->error);
	turn_free(t);
	return true;
}

bool
answer_refused(struct turn *t, const struct turn_arg *arg)
{
	/* A full disk takes no single failures: then they are counted, and still failures. */
	bool count = t->key == NULL && audit_is_writable(t->a);

	(void)arg;
	t->append = APPEND_NONE;
	if (count)
		failures_count(&t->a->failures, t->source, 1, now_ms(t->a) / 1000);
	turn_answer(t, count ? ERROR_INVALID_KEY : ERROR_AUDIT_UNAVAILABLE);
	turn_free(t);
	return true;
}

/* The records are on their way and stay true; only nobody waits any more. */
bool
answer_end(struct turn *t, const struct turn_arg *arg)
{
	turn_answer(t, arg->error);
	return true;
}

bool
answer_expired(struct turn *t, const struct turn_arg *arg)
{
	(void)arg;
	turn_answer(t, ERROR_AUDIT_UNAVAILABLE);
	t->wait_until_ms = UINT64_MAX;
	return true;
}

/* ---- handlers: admission ---- */

bool
admit_durable(struct turn *t, const struct turn_arg *arg)
{
	struct status st;

	turn_note_durable(t, arg->first_seq);
	t->told = t->run.kind != RUN_OF_CHANGE;
	if (t->run.kind == RUN_OF_CONTENT)
		st = grant_content(t, &t->run, t->body_len);
	else if (turn_asks_model(t))
		st = grant_model(t, t->body_len, t->model_off, t->digest);
	else if (t->run.kind == RUN_OF_CHANGE)
		st = tool_change_begin(t);
	else
		st = grant_run(t, &t->run, t->body_len, false);
	t->deadline_ms = now_ms(t->a) + t->a->policies.turn_s * 1000ULL + TURN_GRACE_MS;
	t->wait_until_ms = t->deadline_ms;
	t->state = TURN_RUNNING;
	if (is_ok(st)) {
		if (t->told)
			turn_answer(t, ERROR_NONE);
		return true;
	}
	t->told = false;
	t->run.done = t->run.open;
	t->model_call.done = t->model_call.open;
	t->run.error = t->model_call.error = ERROR_UNAVAILABLE;
	turn_end(t, ERROR_UNAVAILABLE, AUDIT_CAUSE_NONE);
	return true;
}

bool
admit_refused(struct turn *t, const struct turn_arg *arg)
{
	return answer_refused(t, arg);
}

/* Over before it began: wait for the receipt, then close the intent. */
bool
admit_end(struct turn *t, const struct turn_arg *arg)
{
	turn_answer(t, arg->error);
	t->end_error = arg->error;
	t->end_cause = arg->cause;
	t->run.done = t->run.open;
	t->run.error = arg->error;
	t->run.cause = arg->cause;
	t->state = TURN_ENDING;
	t->wait_until_ms = UINT64_MAX;
	turn_release(t);
	return true;
}

bool
admit_expired(struct turn *t, const struct turn_arg *arg)
{
	const struct turn_arg late = { .error = ERROR_AUDIT_UNAVAILABLE, .cause = AUDIT_TIMEOUT };

	(void)arg;
	return admit_end(t, &late);
}
