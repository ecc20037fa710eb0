/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_sessions.c: session tokens: made, narrowed, ended, kept over restarts, bounded.
 */
#include "authority_admin_rig.h"

static void
test_sessions(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	struct reply *r;
	char token[4096];

	(void)state;
	r = exchange(credential, "endpoint:models", 120, SPAN_EMPTY);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->expires_s, 120);
	(void)snprintf(token, sizeof(token), "%s", r->body);
	assert_non_null(strstr(last(EVENT_SESSION_CREATED)->text, "lifetime_s=120"));
	m.credential = span_str(token);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_DENIED);
	m.endpoint = ENDPOINT_MODELS;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_non_null(strstr(last(EVENT_AUTHENTICATION)->text, "method=session"));
	/* No session of a session; no scope that is none, or wider; no longer than an hour. */
	assert_int_equal(exchange(span_str(token), "", 0, SPAN_EMPTY)->error, ERROR_INVALID_FIELD);
	r = exchange(credential, "nonsense", 0, SPAN_EMPTY);
	assert_true(r->error == ERROR_INVALID_FIELD && r->scope_bad);
	r = exchange(span_of(w.text[1], KEYTEXT_LEN), "endpoint:execute", 0, SPAN_EMPTY);
	assert_true(
	    r->error == ERROR_INVALID_FIELD && r->scope_bad); /* its policy has chat alone */
	assert_int_equal(exchange(credential, "", 999999, SPAN_EMPTY)->expires_s, 3600);
	/* A changed token is none; another user's cannot be revoked; one's own can. */
	token[strlen(token) - 3] = token[strlen(token) - 3] == 'A' ? 'B' : 'A';
	m.credential = span_str(token);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	r = exchange(credential, "", 0, SPAN_EMPTY);
	(void)snprintf(token, sizeof(token), "%s", r->body);
	m.credential = span_str(token);
	assert_int_equal(
	    exchange(span_of(w.text[2], KEYTEXT_LEN), "", 0, span_str(token))->error, ERROR_NONE);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_int_equal(exchange(credential, "", 0, span_str(token))->error, ERROR_NONE);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	/* Not a moment longer than its key. */
	r = exchange(credential, "", 0, SPAN_EMPTY);
	(void)snprintf(token, sizeof(token), "%s", r->body);
	m.credential = span_str(token);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	w.key[0]->revoked_s = 1;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_balanced();
}

static void
expect_refused(struct span credential, const char *scope, struct span revoke, enum error error)
{
	size_t before = w.nrecs;
	struct reply *r = exchange(credential, scope, 0, revoke);

	assert_int_equal(r->error, error);
	assert_int_equal(w.nrecs, before + 2);
	assert_int_equal(w.recs[before].event, EVENT_AUTHENTICATION);
	assert_int_equal(w.recs[before + 1].event, EVENT_ERROR);
	assert_non_null(strstr(w.recs[before + 1].text, error_rows[error].code));
	assert_int_equal(w.recs[before + 1].outcome, AUDIT_DENIED);
}

/* Nobody tries unseen, or without end. */
static void
test_refused_exchanges_are_on_record(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	char token[4096];
	struct reply *r;

	(void)state;
	(void)snprintf(token, sizeof(token), "%s", exchange(credential, "", 0, SPAN_EMPTY)->body);
	expect_refused(span_str(token), "", SPAN_EMPTY, ERROR_INVALID_FIELD);
	expect_refused(credential, "nonsense", SPAN_EMPTY, ERROR_INVALID_FIELD);
	expect_refused(
	    span_of(w.text[1], KEYTEXT_LEN), "endpoint:execute", SPAN_EMPTY, ERROR_INVALID_FIELD);
	assert_int_equal(w.a->sessions.n, 1);
	((struct policy *)(uintptr_t)w.key[0]->policy->now)->limits.per_min = 1;
	expect_refused(credential, "", SPAN_EMPTY, ERROR_RATE_LIMIT);
	expect_refused(credential, "", span_str(token), ERROR_RATE_LIMIT);
	/* Without a record it is not told why. */
	w.audit_mode = AUDIT_REFUSES;
	r = exchange(credential, "", 0, SPAN_EMPTY);
	assert_true(r->error == ERROR_AUDIT_UNAVAILABLE && !r->scope_bad);
	assert_balanced();
}

/* A session's turns count for its key, and end with it. */
static void
test_sessions_end_with_their_key(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	struct reply *r = exchange(m.credential, "", 0, SPAN_EMPTY), *chat;
	char token[4096], path[64];

	(void)state;
	(void)snprintf(token, sizeof(token), "%s", r->body);
	m.credential = span_str(token);
	chat = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(chat->error, ERROR_NONE);
	assert_int_equal(w.key[0]->holder.running, 1);
	as(2, ROLE_ADMINISTRATOR);
	(void)snprintf(path, sizeof(path), "/admin/v1/keys/%.12s", w.key[0]->id);
	r = ask(2, "DELETE", path, "");
	assert_int_equal(r->http, 200);
	assert_non_null(strstr(r->body, "\"turns\":1"));
	assert_int_equal(w.revokes, 1);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(settle(chat->admitted.turn, ERROR_NONE)->error, ERROR_CANCELLED);
	sessions_tick(w.a);
	assert_int_equal(w.a->sessions.n, 0);
	assert_int_equal(w.key[0]->holder.running, 0);
	assert_balanced();
}

/* While the store is away: what is known to have ended is told, what is forgotten may be unknown.
 */
static void
test_sessions_without_the_store(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	char token[4096];
	uint64_t turn;
	struct reply *r;

	(void)state;
	(void)snprintf(token, sizeof(token), "%s", exchange(m.credential, "", 0, SPAN_EMPTY)->body);
	m.credential = span_str(token);
	cut(&w.store);
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->error, ERROR_NONE);
	turn = r->admitted.turn;
	session_end(w.a, TAILQ_FIRST(&w.a->sessions.live));
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(settle(turn, ERROR_NONE)->error, ERROR_CANCELLED);
	sessions_tick(w.a);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_UNAVAILABLE);
}

/* No session without its record; one whose gateway has gone is nobody's. */
static void
test_sessions_without_audit(void **state)
{
	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(exchange(span_of(w.text[0], KEYTEXT_LEN), "", 0, SPAN_EMPTY)->error,
	    ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.a->sessions.n, 0);
	assert_int_equal(w.nsessions, 0);
}

/* Who gives and takes roles beyond `user` and `service` alone ends the sessions of those who have
 * one. */
static void
test_sessions_of_high_roles(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	char path[96];

	(void)state;
	for (unsigned role = ROLE_AUDITOR; role <= ROLE_OWNER; role <<= 1) {
		as(0, ROLE_USER);
		assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_NONE);
		as(0, (uint8_t)(ROLE_USER | role));
		(void)snprintf(path, sizeof(path), "/admin/v1/sessions/%s",
		    TAILQ_FIRST(&w.a->sessions.live)->id);
		as(2, ROLE_ADMINISTRATOR);
		assert_int_equal(ask(2, "DELETE", path, "")->http, 403);
		assert_int_equal(w.a->sessions.n, 1);
		as(2, ROLE_OWNER);
		assert_int_equal(ask(2, "DELETE", path, "")->http, 200);
		sessions_tick(w.a);
		assert_int_equal(w.a->sessions.n, 0);
	}
}

/* Nor without the store, which has it before anybody: and what is not durable is not done. */
static void
test_sessions_without_store(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);
	char token[4096], path[96];
	size_t created;

	(void)state;
	(void)snprintf(token, sizeof(token), "%s", exchange(credential, "", 0, SPAN_EMPTY)->body);
	created = w.nrecs;
	m.credential = span_str(token);
	w.session_fails = true;
	assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_UNAVAILABLE);
	assert_int_equal(w.nrecs, created);
	assert_int_equal(exchange(credential, "", 0, span_str(token))->error, ERROR_UNAVAILABLE);
	assert_int_equal(last(EVENT_SESSION_REVOKED)->outcome, AUDIT_FAILURE);
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/sessions/%s", TAILQ_FIRST(&w.a->sessions.live)->id);
	as(0, ROLE_USER);
	assert_int_equal(ask(0, "DELETE", path, "")->http, 503);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	w.session_fails = false;
	cut(&w.store);
	assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_UNAVAILABLE);
	assert_int_equal(exchange(credential, "", 0, span_str(token))->error, ERROR_UNAVAILABLE);
	assert_int_equal(ask(0, "DELETE", path, "")->http, 503);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_balanced();
}

/* As after a restart: nothing is here, all comes from the store. */
static void
load_anew(uint32_t signers)
{
	w.signers = signers;
	sessions_done(w.a);
	cut(&w.store);
	connect_fake(EDGE_AUTHORITY_STORE, 24, &as_edge, false, &store_ops, &w.store);
	spin();
}

static void
test_sessions_outlive_us(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);
	char kept[4096], ended[4096];

	(void)state;
	(void)snprintf(kept, sizeof(kept), "%s", exchange(credential, "", 0, SPAN_EMPTY)->body);
	(void)snprintf(ended, sizeof(ended), "%s", exchange(credential, "", 0, SPAN_EMPTY)->body);
	assert_int_equal(exchange(credential, "", 0, span_str(ended))->error, ERROR_NONE);
	assert_int_equal(w.nsessions, 1);
	load_anew(2);
	assert_int_equal(w.a->sessions.n, 1);
	m.credential = span_str(kept);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_non_null(strstr(last(EVENT_AUTHENTICATION)->text, "method=session"));
	m.credential = span_str(ended);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	/* The newest key signs; the older one goes when what it signed is known, or has ended. */
	assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_NONE);
	assert_int_equal(w.sessions[1].signer, 2);
	assert_int_equal(signers_newest(&w.a->sessions)->version, 2);
	/* A token whose key is gone, or another one now, is none. */
	w.sessions[0].signer = 3;
	load_anew(2);
	m.credential = span_str(kept);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	w.sessions[0].signer = 2;
	load_anew(2);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	w.sessions[0].signer = 1;
	load_anew(1);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	/* What a store does not have any more has ended: an older one was put back. */
	w.nsessions = 0;
	cut(&w.store);
	connect_fake(EDGE_AUTHORITY_STORE, 25, &as_edge, false, &store_ops, &w.store);
	spin();
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(w.a->sessions.n, 0);
}

/* What has run out is not loaded, nor what came of an issuer or a machine that is not configured.
 */
static void
test_sessions_as_they_were(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);

	(void)state;
	assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_NONE);
	w.sessions[0].has_roles = 1;
	w.sessions[0].roles = ROLE_AUDITOR | ROLE_USER;
	load_anew(1);
	assert_int_equal(w.a->sessions.n, 0);
	w.key[0]->has_roles = false;
	w.sessions[0].has_roles = w.sessions[0].roles = 0;
	load_anew(1);
	assert_int_equal(w.a->sessions.n, 1);
	w.sessions[0].expires_s = now_real_s();
	load_anew(1);
	assert_int_equal(w.a->sessions.n, 0);
	w.sessions[0].expires_s = now_real_s() + 100;
	w.key[0]->user->state = USER_DISABLED;
	w.sessions[0].key[0] ^= 1;
	load_anew(1);
	assert_int_equal(w.a->sessions.n, 0);
	assert_true(w.a->loaded);
}

/* A user's oldest session makes room for its newest, on record. */
static void
test_sessions_are_bounded(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);
	char first[4096], resource[96];
	const struct rec *last;

	(void)state;
	holder_done(&w.key[0]->holder);
	for (size_t i = 0; i <= SESSIONS_USER_MAX; i++) {
		nreplies = 0;
		if (i % 20 == 0) { /* its limit is 50 a minute */
			holder_done(&w.key[0]->holder);
			holder_done(&w.key[0]->user->holder);
		}
		assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_NONE);
		if (i == 0) {
			(void)snprintf(first, sizeof(first), "%s", replies[0].body);
			(void)snprintf(resource, sizeof(resource), "session:%s",
			    TAILQ_FIRST(&w.a->sessions.live)->id);
		}
		last = &w.recs[w.nrecs - 1];
		assert_int_equal(last->event,
		    i < SESSIONS_USER_MAX ? EVENT_SESSION_CREATED : EVENT_SESSION_REVOKED);
	}
	assert_string_equal(last->resource, resource);
	assert_int_equal(last->phase, AUDIT_PHASE_NONE);
	assert_int_equal(w.a->sessions.n, SESSIONS_USER_MAX);
	m.credential = span_str(first);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
}

/* Exchanges of key 0, all asked for before one of them is answered. */
static void
begin_exchanges(size_t n)
{
	struct ga_token m = { .credential = span_of(w.text[0], KEYTEXT_LEN) };
	struct limit_set much = { 60000, 64 };

	w.a->policies.items[0].limits = w.a->policies.user_limits = much;
	memset(replies, 0, sizeof(replies));
	nreplies = 0;
	for (size_t i = 0; i < n; i++)
		assert_true(is_ok(
		    link_call(w.gw, GA_TOKEN, &m, 60000, on_reply, &replies[nreplies++], NULL)));
	spin();
}

/* So is what is being made: each ends another one, and who has none to end waits. */
static void
test_sessions_in_the_making_are_bounded(void **state)
{
	(void)state;
	for (size_t round = 0; round < 2; round++) {
		w.audit_mode = AUDIT_HOLDS;
		begin_exchanges(SESSIONS_USER_MAX + 1);
		for (size_t i = 0; i <= SESSIONS_USER_MAX; i++)
			assert_false(replies[i].come);
		assert_int_equal(w.nsessions, SESSIONS_USER_MAX);
		release_held();
		spin();
		for (size_t i = 0; i <= SESSIONS_USER_MAX; i++)
			assert_int_equal(replies[i].error,
			    i == SESSIONS_USER_MAX ? ERROR_CONCURRENCY : ERROR_NONE);
		w.audit_mode = AUDIT_TAKES;
		assert_int_equal(w.a->sessions.n, SESSIONS_USER_MAX);
		assert_int_equal(w.nsessions, SESSIONS_USER_MAX);
		assert_true(TAILQ_EMPTY(&w.a->sessions.making));
	}
	/* What is not made ends nothing, and takes no place. */
	w.session_fails = true;
	begin_exchanges(SESSIONS_USER_MAX);
	for (size_t i = 0; i < SESSIONS_USER_MAX; i++)
		assert_int_equal(replies[i].error, ERROR_UNAVAILABLE);
	assert_int_equal(w.a->sessions.n, SESSIONS_USER_MAX);
	w.session_fails = false;
	begin_exchanges(1);
	assert_int_equal(replies[0].error, ERROR_NONE);
	assert_int_equal(w.a->sessions.n, SESSIONS_USER_MAX);
}

/* A tenant has so many, with what is being made; that is not others' loss. */
static void
test_a_tenant_has_so_many(void **state)
{
	struct session *fakes = calloc(SESSIONS_TENANT_MAX, sizeof(*fakes));
	struct reply *full;

	(void)state;
	assert_non_null(fakes);
	assert_true(is_ok(sessions_ready(&w.a->sessions)));
	for (size_t i = 0; i < SESSIONS_TENANT_MAX - 1; i++) {
		fakes[i].key.user = w.key[2]->user;
		TAILQ_INSERT_TAIL(&w.a->sessions.live, &fakes[i], next);
	}
	w.audit_mode = AUDIT_HOLDS;
	begin_exchanges(1);
	full = exchange(span_of(w.text[0], KEYTEXT_LEN), "", 0, SPAN_EMPTY);
	assert_false(exchange(span_of(w.text[3], KEYTEXT_LEN), "", 0, SPAN_EMPTY)->come);
	for (size_t i = 0; i < SESSIONS_TENANT_MAX - 1; i++)
		TAILQ_REMOVE(&w.a->sessions.live, &fakes[i], next);
	free(fakes);
	release_held();
	spin();
	assert_int_equal(full->error, ERROR_OVERLOADED);
	assert_int_equal(w.a->sessions.n, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_sessions),
		T(test_refused_exchanges_are_on_record),
		T(test_sessions_end_with_their_key),
		T(test_sessions_without_audit),
		T(test_sessions_without_the_store),
		T(test_sessions_of_high_roles),
		T(test_sessions_without_store),
		T(test_sessions_outlive_us),
		T(test_sessions_as_they_were),
		T(test_sessions_are_bounded),
		T(test_sessions_in_the_making_are_bounded),
		T(test_a_tenant_has_so_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
