/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_machines.c: machines that come with a certificate: who they are, when they end,
 * and what a gateway could send that is none.
 */
static const char machines_yaml[] =
    "policies:\n"
    "  default: { endpoints: '*', models: '*' }\n"
    "  helped: { endpoints: '*', models: '*' }\n"
    "providers: { d: { kind: demo } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "client_certificates:\n"
    "  ca_file: clients.pem\n"
    "  clients:\n"
    "  - { match: 'spiffe://a.example/app', tenant: t, user: app }\n"
    "  - { match: 'spiffe://a.example/ci/*/build', tenant: t, user: ci, policy: helped, "
    "roles: [user] }\n"
    "  - { match: 'spiffe://a.example/u', tenant: t, user: u }\n";
#define WORLD_YAML machines_yaml
#include "authority_world.h"

#include <time.h>

#include <base/encode.h>
#include <base/rand.h>
#include <wire/certificate.h>
#include <wire/role.h>

#define MORE 400 /* sessions: many batches of records */

static struct buf credential;

static int
begin(void **state)
{
	credential = BUF_INIT(CREDENTIAL_MAX);
	return setup(state);
}

static int
end(void **state)
{
	cut(&w.gw); /* its turns end with it */
	people_done(w.a);
	buf_done(&credential);
	return teardown(state);
}

static struct ga_admit
asking(const char *name, long more_s)
{
	const struct certificate c = { span_str(name), (uint64_t)(time(NULL) + more_s) };
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);

	buf_clear(&credential);
	assert_true(is_ok(certificate_put(&c, &credential)));
	m.credential = buf_span(&credential);
	m.tools = 0;
	return m;
}

static enum error
come(const char *name)
{
	const struct ga_admit m = asking(name, 300);

	return call(w.gw, GA_ADMIT, &m)->error;
}

static struct key *
last_key(void)
{
	return TAILQ_LAST(&w.a->gateways[0].turns, turn_list)->key;
}

static const char *
last_text(void)
{
	return w.recs[w.nrecs - 1].text;
}

static void
the_table_says_who_it_is(void **state)
{
	(void)state;
	assert_int_equal(come("spiffe://a.example/app"), ERROR_NONE);
	assert_int_equal(w.recs[0].event, EVENT_KEY_CREATED);
	assert_int_equal(w.recs[0].phase, AUDIT_PHASE_INTENT);
	assert_int_equal(w.recs[2].event, EVENT_AUTHENTICATION);
	assert_string_equal(w.recs[2].text, "method=client_certificate success=1 ");
	assert_int_equal(key_roles(last_key()), ROLE_SERVICE);
	assert_string_equal(last_key()->policy->name, "default");
	assert_true(span_eq_str(last_key()->user->name, "app"));
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(come("spiffe://a.example/app"), ERROR_NONE);
	assert_int_equal(come("spiffe://a.example/ci/7/build"), ERROR_NONE);
	assert_int_equal(key_roles(last_key()), ROLE_USER);
	assert_string_equal(last_key()->policy->name, "helped");
	assert_int_equal(come("spiffe://a.example/ci/8/build"), ERROR_NONE);
	assert_int_equal(w.store_changes, 2); /* one key for the entry, whoever comes by it */
}

/* The operator's table says it: also a user who was there before. */
static void
it_may_be_a_user_who_is_there(void **state)
{
	(void)state;
	assert_int_equal(come("spiffe://a.example/u"), ERROR_NONE);
	assert_ptr_equal(last_key()->user, w.key[0]->user);
	assert_ptr_not_equal(last_key(), w.key[0]);
	assert_int_equal(w.key[0]->has_roles, 0);
}

static void
others_are_nobody(void **state)
{
	static const char *const names[] = { "spiffe://a.example/apps", "spiffe://a.example/app/",
		"spiffe://A.example/app", "spiffe://a.example/ci//build",
		"spiffe://a.example/ci/a/b/build", "spiffe://a.example/ci/a?b/build", "t", "*",
		"spiffe://a.example/ci/*/buil" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		assert_int_equal(come(names[i]), ERROR_INVALID_KEY);
		assert_string_equal(
		    last_text(), "method=client_certificate success=0 reason=mapping ");
	}
	assert_int_equal(w.store_changes, 0);
}

static void
what_is_over_is_over(void **state)
{
	struct ga_admit m = asking("spiffe://a.example/app", 0);

	(void)state;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_string_equal(last_text(), "method=client_certificate success=0 reason=expired ");
	m = asking("spiffe://a.example/app", -(long)time(NULL) + CERTIFICATE_REVOKED);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_string_equal(last_text(), "method=client_certificate success=0 reason=revoked ");
	m = asking("spiffe://a.example/app", -5);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(w.store_changes, 0);
}

static void
what_is_no_certificate_is_none(void **state)
{
	static const struct span texts[] = { SPAN_LIT("\x01"), SPAN_LIT("\x01\x01"),
		SPAN_LIT("\x01"
			 "9999999999"),
		SPAN_LIT("\x01"
			 "9999999999\x01"),
		SPAN_LIT("\x01\x01spiffe://a.example/app"),
		SPAN_LIT("\x01-1\x01spiffe://a.example/app"),
		SPAN_LIT("\x01"
			 "99999999999999999999999\x01spiffe://a.example/app"),
		SPAN_LIT("9999999999\x01spiffe://a.example/app"),
		SPAN_LIT("spiffe://a.example/app") };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct ga_admit m = admit_msg(ENDPOINT_CHAT);

		m.credential = texts[i];
		assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	}
	assert_int_equal(w.store_changes, 0);
}

static void
who_is_disabled_is_out(void **state)
{
	struct key *key;

	(void)state;
	assert_int_equal(come("spiffe://a.example/app"), ERROR_NONE);
	key = last_key();
	key->user->state = USER_DISABLED;
	assert_int_equal(come("spiffe://a.example/app"), ERROR_INVALID_KEY);
	assert_string_equal(last_text(), "method=client_certificate success=0 reason=revoked ");
	key->user->state = USER_ACTIVE;
	key->revoked_s = 1;
	assert_int_equal(come("spiffe://a.example/app"), ERROR_INVALID_KEY);
}

static const char nobody[] = "policies: { default: { endpoints: '*', models: '*' } }\n"
			     "providers: { d: { kind: demo } }\n"
			     "models: { alpha: [ { provider: d, model: a } ] }\n";

/* Another configuration, as main.c takes it; the one of before. */
static struct conf *
reload(const char *text)
{
	char error[CONF_ERROR_MAX] = "";
	struct conf *old = w.d.conf;

	assert_true(is_ok(conf_parse(span_str(text), &w.d.conf, error)));
	oidc_config(w.a);
	machines_config(w.a);
	people_config(w.a);
	return old;
}

static enum error
exchange(const char *name)
{
	const struct ga_admit m = asking(name, 100);
	const struct ga_token t = { .credential = m.credential };

	return call(w.gw, GA_TOKEN, &t)->error;
}

/* Exchanged: the session ends with the certificate at the latest, and with the entry. */
static void
who_leaves_the_table_ends_at_once(void **state)
{
	struct ga_admit m;
	struct turn *turn;

	(void)state;
	assert_int_equal(exchange("spiffe://a.example/app"), ERROR_NONE);
	assert_int_equal(exchange("spiffe://a.example/app"), ERROR_NONE);
	assert_int_equal(w.a->sessions.n, 2);
	assert_int_equal(w.nsessions, 2);
	assert_in_range(
	    TAILQ_FIRST(&w.a->sessions.live)->key.expires_s, time(NULL) + 90, time(NULL) + 100);
	m = asking("spiffe://a.example/app", 100);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	turn = TAILQ_LAST(&w.a->gateways[0].turns, turn_list);
	assert_int_equal(turn->end_error, ERROR_NONE);
	conf_free(reload(machines_yaml)); /* the same: nothing ends */
	assert_int_equal(w.a->sessions.n, 2);
	conf_free(reload(nobody));
	assert_int_equal(turn->end_error, ERROR_REVOKED);
	spin();
	assert_int_equal(w.a->sessions.n, 0);
	sessions_tick(w.a);
	spin();
	assert_int_equal(w.nsessions, 0); /* nor do they come back from the store */
	assert_int_equal(w.a->sessions.nkept, 0);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
}

/* More of a session's parent. */
static void
insert_more(const struct session *like, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct session *s = calloc(1, sizeof(*s));

		assert_non_null(s);
		LIST_INIT(&s->key.turns);
		s->key.user = like->key.user;
		s->key.policy = like->key.policy;
		s->key.parent = like->key.parent;
		s->key.expires_s = like->key.expires_s;
		s->verified = true;
		assert_true(is_ok(rand_bytes(s->id_bytes, sizeof(s->id_bytes))));
		assert_true(is_ok(rand_bytes(s->digest, sizeof(s->digest))));
		hex_encode(span_of(s->id_bytes, sizeof(s->id_bytes)), s->id);
		assert_true(session_insert(w.a, s));
	}
}

/* Each has its record before it ends; refused it is at once. */
static void
each_end_is_on_record_first(void **state)
{
	struct aa_receipt receipt = { .count = AUDIT_BATCH_MAX };
	const struct session *first;
	struct ga_token t;
	struct reply *r;
	struct ga_admit m;
	struct turn *turn;
	char token[4096];
	size_t before;
	uint64_t id;

	(void)state;
	m = asking("spiffe://a.example/app", 100);
	t = (struct ga_token){ .credential = m.credential };
	r = call(w.gw, GA_TOKEN, &t);
	(void)snprintf(token, sizeof(token), "%s", r->body);
	first = TAILQ_FIRST(&w.a->sessions.live);
	m.credential = span_str(token);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	turn = TAILQ_LAST(&w.a->gateways[0].turns, turn_list);
	id = turn->id;
	insert_more(first, MORE - 1);
	before = w.nrecs;
	w.audit_mode = AUDIT_HOLDS;
	conf_free(reload(nobody));
	spin();
	assert_null(sessions_find(w.a, m.credential, now_real_s()));
	assert_int_equal(w.a->sessions.n, MORE);
	assert_int_equal(turn->end_error, ERROR_NONE);
	assert_int_equal(
	    recorded(EVENT_SESSION_REVOKED), AUDIT_BATCH_MAX); /* one batch at a time */
	sessions_tick(w.a);
	assert_int_equal(recorded(EVENT_SESSION_REVOKED), AUDIT_BATCH_MAX);
	assert_int_equal(w.recs[before].event, EVENT_SESSION_REVOKED);
	assert_int_equal(w.recs[before].outcome, AUDIT_SUCCESS);
	w.audit_mode = AUDIT_TAKES;
	assert_int_equal(w.nheld, 1);
	receipt.first_seq = w.seq + 1 - AUDIT_BATCH_MAX;
	assert_true(is_ok(link_send(w.audit, w.held[0], AA_RECEIPT, &receipt)));
	for (size_t i = 0; i < MORE / AUDIT_BATCH_MAX; i++)
		spin();
	assert_int_equal(w.a->sessions.n, 0);
	assert_int_equal(w.a->sessions.nleaving, 0);
	assert_int_equal(recorded(EVENT_SESSION_REVOKED), MORE);
	assert_int_equal(settle(id, ERROR_NONE)->error, ERROR_CANCELLED);
}

/* What the log does not take now, it takes later; they are refused all the same. */
static void
an_end_waits_for_the_log(void **state)
{
	struct ga_admit m = asking("spiffe://a.example/app", 100);
	const struct ga_token t = { .credential = m.credential };
	char token[4096];

	(void)state;
	(void)snprintf(token, sizeof(token), "%s", call(w.gw, GA_TOKEN, &t)->body);
	w.audit_mode = AUDIT_REFUSES;
	conf_free(reload(nobody));
	spin();
	assert_int_equal(w.a->sessions.n, 1);
	m.credential = span_str(token);
	assert_int_not_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	conf_free(reload(machines_yaml)); /* it does not come back */
	w.audit_mode = AUDIT_TAKES;
	w.a->audit_state.refusing = false;
	sessions_tick(w.a);
	spin();
	assert_int_equal(w.a->sessions.n, 0);
	assert_int_equal(recorded(EVENT_SESSION_REVOKED), 1);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
}

/* This process has just begun, and has what the store says. */
static void
begin_anew(void)
{
	sessions_done(w.a);
	for (size_t i = 0; i < w.a->keys.nkeys; i++)
		keys_at(&w.a->keys, i)->has_roles = false;
	store_on_link(w.a);
	spin();
}

/* The entry went while this process was not there, or while the store was not. */
static void
who_left_the_table_does_not_come_back(void **state)
{
	struct conf *old;

	(void)state;
	assert_int_equal(exchange("spiffe://a.example/app"), ERROR_NONE);
	w.load_keys_put = true;
	begin_anew();
	assert_int_equal(w.a->sessions.n, 1);
	w.session_fails = true;
	old = reload(nobody);
	sessions_tick(w.a);
	spin();
	assert_int_equal(w.nsessions, 1);
	w.session_fails = false;
	begin_anew();
	assert_int_equal(w.a->sessions.n, 0);
	/* Not when the entry is there again, either. */
	sessions_tick(w.a);
	spin();
	assert_int_equal(w.nsessions, 0);
	conf_free(old);
	conf_free(reload(machines_yaml));
	begin_anew();
	assert_int_equal(w.a->sessions.n, 0);
	assert_int_equal(exchange("spiffe://a.example/app"), ERROR_NONE);
}

/* The entry goes while the record of the exchange is being written. */
static void
who_leaves_the_table_meanwhile_gets_no_session(void **state)
{
	const struct ga_admit m = asking("spiffe://a.example/app", 100);
	const struct ga_token t = { .credential = m.credential };
	struct aa_receipt receipt = { .count = 2 };
	struct reply *r;

	(void)state;
	assert_int_equal(
	    call(w.gw, GA_CHECK, &(struct ga_check){ .credential = m.credential })->error,
	    ERROR_NONE);
	w.audit_mode = AUDIT_HOLDS;
	r = call(w.gw, GA_TOKEN, &t);
	assert_false(r->come);
	conf_free(reload(nobody));
	w.audit_mode = AUDIT_TAKES;
	receipt.first_seq = w.seq - 1;
	assert_int_equal(w.nheld, 1);
	assert_true(is_ok(link_send(w.audit, w.held[0], AA_RECEIPT, &receipt)));
	spin();
	assert_int_equal(r->error, ERROR_REVOKED);
	assert_int_equal(w.nsessions, 1);
	sessions_tick(w.a);
	spin();
	assert_int_equal(w.nsessions, 0);
}

/* The lists of revoked certificates have grown so many seconds ago. */
static void
grow(long ago_s)
{
	const struct ctl_revocations m = { .until_s = 1, .news_s = (uint64_t)(time(NULL) - ago_s) };

	sessions_revocations(w.a, &m);
	spin();
}

/* Sessions that were made of certificates end, whosever: those of keys go on. */
static void
what_was_made_of_certificates_ends_as_they_are_revoked(void **state)
{
	const struct ga_token t = { .credential = span_of(w.text[0], KEYTEXT_LEN) };
	struct reply *r;

	(void)state;
	assert_int_equal(call(w.gw, GA_TOKEN, &t)->error, ERROR_NONE);
	assert_int_equal(exchange("spiffe://a.example/app"), ERROR_NONE);
	assert_int_equal(exchange("spiffe://a.example/ci/7/build"), ERROR_NONE);
	r = &replies[nreplies - 1];
	assert_int_equal(
	    call(w.gw, GA_CHECK, &(struct ga_check){ .credential = span_str(r->body) })->error,
	    ERROR_NONE);
	grow(0);
	assert_int_equal(w.a->sessions.n, 1);
	assert_int_equal(recorded(EVENT_SESSION_REVOKED), 2);
	assert_int_equal(
	    call(w.gw, GA_CHECK, &(struct ga_check){ .credential = span_str(r->body) })->error,
	    ERROR_INVALID_KEY);
	sessions_tick(w.a);
	spin();
	assert_int_equal(w.nsessions, 1);
	/* A gateway that has not heard of it makes none, either; then they are made anew. */
	assert_int_equal(exchange("spiffe://a.example/app"), ERROR_REVOKED);
	assert_int_equal(w.a->sessions.n, 1);
	grow(5);
	assert_int_equal(exchange("spiffe://a.example/app"), ERROR_NONE);
	/* Told again, and nothing is new: another authority's end of time. */
	grow(5);
	assert_int_equal(w.a->sessions.n, 2);
}

/* This process was not there when they grew, or they have since a clock that is ahead. */
static void
nor_do_they_come_back(void **state)
{
	(void)state;
	assert_int_equal(exchange("spiffe://a.example/app"), ERROR_NONE);
	w.load_keys_put = true;
	w.a->revocations.news_s = (uint64_t)time(NULL) + 100;
	begin_anew();
	assert_int_equal(w.a->sessions.n, 1);
	w.a->revocations.news_s = (uint64_t)time(NULL) - 5;
	begin_anew();
	assert_int_equal(w.a->sessions.n, 1);
	w.a->revocations.news_s = (uint64_t)time(NULL);
	begin_anew();
	assert_int_equal(w.a->sessions.n, 0);
	sessions_tick(w.a);
	spin();
	assert_int_equal(w.nsessions, 0);
}

static void
names_match_as_written(void **state)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} rows[] = {
		{ "a.example", "a.example", true },
		{ "a.example", "A.example", false },
		{ "*.example", "a.example", true },
		{ "*.example", ".example", false },
		{ "*.example", "a.b.example", false },
		{ "ci.*.example", "ci.x.example", true },
		{ "ci.*.example", "ci..example", false },
		{ "ci.*", "ci.x", true },
		{ "ci.*", "ci.", false },
		{ "ci.*.ci", "ci.ci", false },
		{ "spiffe://a/*", "spiffe://a/b", true },
		{ "spiffe://a/*", "spiffe://a/b/", false },
		{ "spiffe://a/*", "spiffe://a/", false },
		{ "spiffe://a/*", "spiffe://a/b.c", true },
		{ "spiffe://a/*", "spiffe://a/b#c", false },
		{ "spiffe://a/*/c", "spiffe://a/b/c", true },
		{ "spiffe://a/*/c", "spiffe://a/b/c/c", false },
		{ "spiffe://a/*/c", "spiffe://a/c", false },
		{ "", "", true },
		{ "a", "", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(machines_match(span_str(rows[i].pattern), span_str(rows[i].name)),
		    rows[i].fits);
	assert_false(machines_match(SPAN_LIT("a.*"), SPAN_LIT("a.b\0c")));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(the_table_says_who_it_is),
		TEST(it_may_be_a_user_who_is_there),
		TEST(others_are_nobody),
		TEST(what_is_over_is_over),
		TEST(what_is_no_certificate_is_none),
		TEST(who_is_disabled_is_out),
		TEST(who_leaves_the_table_ends_at_once),
		TEST(who_left_the_table_does_not_come_back),
		TEST(each_end_is_on_record_first),
		TEST(an_end_waits_for_the_log),
		TEST(who_leaves_the_table_meanwhile_gets_no_session),
		TEST(what_was_made_of_certificates_ends_as_they_are_revoked),
		TEST(nor_do_they_come_back),
		cmocka_unit_test(names_match_as_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
