/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_people.c: people who come with a token: the first time, again, with other roles,
 * by the name of another one, and shut out.
 */
#include "authority_people_rig.h"

static void
the_first_time_is_on_record(void **state)
{
	struct reply *r = come("ann", USER);

	(void)state;
	assert_true(r->come && r->error == ERROR_NONE && r->admitted.turn != 0);
	assert_int_equal(w.recs[0].event, EVENT_KEY_CREATED);
	assert_int_equal(w.recs[0].phase, AUDIT_PHASE_INTENT);
	assert_true(w.recs[0].anonymous);
	assert_null(strstr(w.recs[0].text, "ann"));
	assert_int_equal(w.recs[1].event, EVENT_KEY_CREATED);
	assert_int_equal(w.recs[1].phase, AUDIT_PHASE_OUTCOME);
	assert_int_equal(w.recs[1].outcome, AUDIT_SUCCESS);
	assert_int_equal(w.recs[1].intent_seq, w.recs[0].seq);
	assert_false(w.recs[1].anonymous);
	assert_int_equal(w.recs[2].event, EVENT_AUTHENTICATION);
	assert_string_equal(w.recs[2].text, "method=oidc success=1 ");
	assert_non_null(user_named("ann"));
	assert_int_equal(w.store_changes, 1);
	/* Again: nothing is made anew. */
	r = come("ann", USER);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(recorded(EVENT_KEY_CREATED), 2);
	assert_int_equal(recorded(EVENT_AUTHENTICATION), 2);
}

static void
all_who_come_at_once_wait_for_one_key(void **state)
{
	const struct ga_admit m = asking("ann", USER);
	struct reply *r[3];

	(void)state;
	for (size_t i = 0; i < COUNT(r); i++) {
		r[i] = &replies[nreplies++];
		assert_true(is_ok(link_call(w.gw, GA_ADMIT, &m, 60000, on_reply, r[i], NULL)));
	}
	spin();
	for (size_t i = 0; i < COUNT(r); i++)
		assert_true(r[i]->come && r[i]->error == ERROR_NONE);
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(w.discoveries, 1);
	assert_int_equal(w.a->people.narrivals, 0);
}

static void
roles_are_those_of_the_token(void **state)
{
	struct key *key;
	struct turn *t;

	(void)state;
	assert_int_equal(come("ann", ",\"roles\":[\"auditor\"]")->error, ERROR_ROLE);
	assert_int_equal(come("ann", "")->error, ERROR_ROLE);
	assert_int_equal(come("ann", USER)->error, ERROR_NONE);
	assert_int_equal(come("ann", ",\"roles\":[\"user\",\"owner\"]")->error, ERROR_NONE);
	t = TAILQ_LAST(&w.a->gateways[0].turns, turn_list);
	key = t->key;
	assert_int_equal(key_roles(key), ROLE_USER | ROLE_OWNER);
	assert_ptr_equal(key->user, user_named("ann"));
	assert_int_equal(user_named("ann")->roles, ROLE_USER); /* what is kept grants nothing */
	assert_int_equal(w.store_changes, 4);
}

static uint16_t
disable(struct key *by, const char *path)
{
	struct admin_op *op = NULL;
	uint16_t http = 0;
	struct admin_call c = { .a = w.a,
		.by = by,
		.reply = on_said,
		.ctx = &http,
		.op = &op,
		.method = SPAN_LIT("PATCH"),
		.path = span_str(path),
		.body = SPAN_LIT("{\"state\":\"disabled\"}") };

	if (!is_ok(admin_dispatch(&c)))
		return c.http;
	spin();
	return http;
}

/* Also before anybody has come with it since this process began: its key's id says them. */
static void
roles_of_who_has_not_come_yet(void **state)
{
	struct key *by;

	(void)state;
	assert_int_equal(
	    come("boss", ",\"roles\":[\"user\",\"administrator\"]")->error, ERROR_NONE);
	by = TAILQ_LAST(&w.a->gateways[0].turns, turn_list)->key;
	assert_int_equal(come("ann", ",\"roles\":[\"user\",\"auditor\"]")->error, ERROR_NONE);
	assert_int_equal(come("bob", USER)->error, ERROR_NONE);
	assert_int_equal(come_with_certificate("spiffe://a.example/ci"), ERROR_NONE);
	for (size_t i = 0; i < w.a->keys.nkeys; i++) {
		struct key *key = keys_at(&w.a->keys, i);

		if (key == by)
			continue;
		key->has_roles = false;
		key->roles = 0;
	}
	assert_int_equal(disable(by, "/admin/v1/users/ann"), 403);
	assert_int_equal(disable(by, "/admin/v1/users/bob"), 200);
	assert_int_equal(admin_all_roles(w.a, user_named("ann")), ROLE_USER | ROLE_AUDITOR);
	assert_int_equal(people_roles_of(w.a, w.key[0]), 0);
	for (size_t i = 0; i < w.a->keys.nkeys; i++) {
		if (keys_at(&w.a->keys, i)->user == user_named("ci"))
			assert_int_equal(people_roles_of(w.a, keys_at(&w.a->keys, i)), ROLE_USER);
		else if (keys_at(&w.a->keys, i)->user == user_named("ann"))
			keys_at(&w.a->keys, i)->revoked_s = 1;
	}
	assert_int_equal(admin_all_roles(w.a, user_named("ann")), ROLE_USER);
}

static void
policies_are_those_of_the_token(void **state)
{
	struct turn *t;

	(void)state;
	assert_int_equal(come("ann", USER ",\"pol\":\"helped\"")->error, ERROR_NONE);
	t = TAILQ_LAST(&w.a->gateways[0].turns, turn_list);
	assert_string_equal(t->key->policy->name, "helped");
	assert_int_equal(come("ann", USER ",\"pol\":\"nowhere\"")->error, ERROR_INVALID_KEY);
}

static void
who_is_shut_out_stays_out(void **state)
{
	struct key *key;

	(void)state;
	assert_int_equal(come("ann", USER)->error, ERROR_NONE);
	key = TAILQ_FIRST(&w.a->gateways[0].turns)->key;
	key->revoked_s = 1;
	assert_int_equal(come("ann", USER)->error, ERROR_INVALID_KEY);
	assert_string_equal(w.recs[w.nrecs - 1].text, "method=oidc success=0 reason=revoked ");
	key->revoked_s = 0;
	user_named("ann")->state = USER_DISABLED;
	assert_int_equal(come("ann", USER)->error, ERROR_INVALID_KEY);
	assert_int_equal(w.store_changes, 1);
}

static void
who_was_made_here_is_nobody_of_an_issuer(void **state)
{
	(void)state;
	(void)local("boss", ROLE_OWNER);
	assert_int_equal(come("boss", USER)->error, ERROR_INVALID_KEY);
	assert_string_equal(w.recs[w.nrecs - 1].text, "method=oidc success=0 reason=mapping ");
	assert_int_equal(w.store_changes, 0);
	/* Who came by the issuer goes on, also with other roles and policies: until shut out. */
	assert_int_equal(come("ann", USER)->error, ERROR_NONE);
	assert_int_equal(come("ann", ",\"roles\":[\"auditor\",\"user\"]")->error, ERROR_NONE);
	assert_int_equal(come("ann", USER ",\"pol\":\"helped\"")->error, ERROR_NONE);
	assert_int_equal(w.store_changes, 3);
	for (size_t i = 0; i < w.a->keys.nkeys; i++) {
		if (keys_at(&w.a->keys, i)->user == user_named("ann"))
			keys_at(&w.a->keys, i)->revoked_s = 1;
	}
	assert_int_equal(come("ann", ",\"roles\":[\"user\",\"owner\"]")->error, ERROR_INVALID_KEY);
	/* And none of them is a service, whose key an administrator may get. */
	assert_int_equal(come("bob", USER)->error, ERROR_NONE);
	user_named("bob")->roles = ROLE_SERVICE;
	assert_int_equal(come("bob", USER)->error, ERROR_INVALID_KEY);
}

/* With `link_local` it may be, unless it is a service, or was another issuer's, or is shut out. */
static void
who_was_made_here_may_be_linked(void **state)
{
	struct user *boss = local("boss", ROLE_OWNER);
	struct key *key;

	(void)state;
	w.a->oidc->issuers.items[0]->links = true;
	assert_int_equal(come("boss", USER)->error, ERROR_NONE);
	key = TAILQ_LAST(&w.a->gateways[0].turns, turn_list)->key;
	assert_ptr_equal(key->user, boss);
	assert_int_equal(key_roles(key), ROLE_USER); /* the token's alone */
	key->revoked_s = 1;
	assert_int_equal(come("boss", USER)->error, ERROR_INVALID_KEY);
	assert_int_equal(come("boss", USER ",\"pol\":\"helped\"")->error, ERROR_INVALID_KEY);
	(void)local("robot", ROLE_SERVICE);
	assert_int_equal(come("robot", USER)->error, ERROR_INVALID_KEY);
	assert_int_equal(come("ann", USER)->error, ERROR_NONE);
	assert_int_equal(w.store_changes, 2);
}

/* A machine's is the operator's: also one that has not come yet, or whose entry is gone. */
static void
who_is_a_machine_is_not_linked(void **state)
{
	(void)state;
	w.a->oidc->issuers.items[0]->links = true;
	(void)local("ci", ROLE_USER);
	assert_int_equal(come("ci", USER)->error, ERROR_INVALID_KEY);
	assert_int_equal(come_with_certificate("spiffe://a.example/gone"), ERROR_NONE);
	machines_done(w.a);
	assert_int_equal(come("gone", USER)->error, ERROR_INVALID_KEY);
	assert_int_equal(w.store_changes, 1);
	(void)local("boss", ROLE_OWNER);
	assert_int_equal(come("boss", USER)->error, ERROR_NONE);
}

static void
what_is_wrong_is_recorded_and_not_told(void **state)
{
	struct ga_admit m = asking("ann", ",\"nbf\":9999999999");
	struct reply *r = call(w.gw, GA_ADMIT, &m);

	(void)state;
	assert_int_equal(r->error, ERROR_INVALID_KEY);
	assert_string_equal(w.recs[0].text, "method=oidc success=0 reason=future ");
	m.credential = SPAN_LIT("sp_x");
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_string_equal(w.recs[1].text, "method=api_key success=0 ");
}

/* Who has failed too often this second costs no signature; who is known goes on. */
static void
who_fails_too_often_is_not_verified(void **state)
{
	struct ga_admit m;

	(void)state;
	assert_int_equal(come("ann", USER)->error, ERROR_NONE);
	m = asking("bob", USER);
	for (unsigned i = 0; i <= w.a->policies.auth_failures_per_s; i++)
		(void)failures_note(&w.a->failures, m.source, 1, w.a->policies.auth_failures_per_s,
		    now_ms(w.a) / 1000);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_null(user_named("bob"));
	m.source[0] ^= 1;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_non_null(user_named("bob"));
	m.source[0] ^= 1;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
}

/* Whose issuer is configured no more: turns and sessions end, also where a LOAD names them. */
static void
who_has_no_issuer_any_more_ends(void **state)
{
	static const char none[] = "policies: { default: { endpoints: '*', models: '*' } }\n"
				   "providers: { d: { kind: demo } }\n"
				   "models: { alpha: [ { provider: d, model: a } ] }\n";
	char error[CONF_ERROR_MAX] = "";
	struct conf *old = w.d.conf;
	struct ga_token t;
	struct turn *turn;
	size_t revoked = 0;

	(void)state;
	assert_int_equal(come("ann", ",\"roles\":[\"user\",\"auditor\"]")->error, ERROR_NONE);
	turn = TAILQ_LAST(&w.a->gateways[0].turns, turn_list);
	t = (struct ga_token){ .credential = buf_span(&token) };
	assert_int_equal(call(w.gw, GA_TOKEN, &t)->error, ERROR_NONE);
	t = (struct ga_token){ .credential = span_of(w.text[0], KEYTEXT_LEN) };
	assert_int_equal(call(w.gw, GA_TOKEN, &t)->error, ERROR_NONE);
	people_config(w.a); /* nothing is other */
	assert_int_equal(w.a->sessions.n, 2);
	assert_int_equal(turn->end_error, ERROR_NONE);
	/* Also after this process has begun anew; they have the roles of then. */
	w.load_keys_put = true;
	sessions_done(w.a);
	turn->key->has_roles = false;
	turn->key->roles = 0;
	store_on_link(w.a);
	spin();
	assert_int_equal(w.a->sessions.n, 2);
	assert_true(turn->key->has_roles);
	assert_int_equal(key_roles(turn->key), ROLE_USER | ROLE_AUDITOR);
	w.session_fails = true;
	assert_true(is_ok(conf_parse(span_str(none), &w.d.conf, error)));
	oidc_config(w.a);
	people_config(w.a);
	conf_free(old);
	assert_int_equal(turn->end_error, ERROR_REVOKED);
	spin();
	assert_int_equal(w.a->sessions.n, 1); /* that of a key of ours */
	for (size_t i = 0; i < w.nrecs; i++)
		revoked += w.recs[i].event == EVENT_SESSION_REVOKED;
	assert_int_equal(revoked, 1);
	sessions_tick(w.a);
	spin();
	assert_int_equal(w.nsessions, 2);
	w.session_fails = false;
	store_on_link(w.a);
	spin();
	assert_int_equal(w.a->sessions.n, 1);
	sessions_tick(w.a);
	spin();
	assert_int_equal(w.nsessions, 1);
}

static void
a_body_is_waited_for_only_from_somebody(void **state)
{
	const struct ga_admit m = asking("ann", USER);
	const struct ga_check check = { .credential = m.credential };

	(void)state;
	assert_int_equal(call(w.gw, GA_CHECK, &check)->error, ERROR_NONE);
	assert_int_equal(w.store_changes, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_time_is_on_record),
		TEST(all_who_come_at_once_wait_for_one_key),
		TEST(roles_are_those_of_the_token),
		TEST(roles_of_who_has_not_come_yet),
		TEST(policies_are_those_of_the_token),
		TEST(who_is_shut_out_stays_out),
		TEST(who_was_made_here_is_nobody_of_an_issuer),
		TEST(who_was_made_here_may_be_linked),
		TEST(who_is_a_machine_is_not_linked),
		TEST(what_is_wrong_is_recorded_and_not_told),
		TEST(who_fails_too_often_is_not_verified),
		TEST(who_has_no_issuer_any_more_ends),
		TEST(a_body_is_waited_for_only_from_somebody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
