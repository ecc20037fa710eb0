/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_grace.c: the store is away: who is served, for how long, and what the log says.
 */
static const char grace_yaml[] =
    "policies: { default: { endpoints: '*', models: '*' }, helped: { endpoints: [models] } }\n"
    "providers: { d: { kind: demo } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "store: { grace_s: 60 }\n";
#define WORLD_YAML grace_yaml
#include "authority_world.h"

#include <base/encode.h>
#include <jwt/issue.h>

static uint8_t unknown[KEYTEXT_LEN], wrong[KEYTEXT_LEN];

static int
begin(void **state)
{
	const size_t crc_at = KEYTEXT_LEN - KEYTEXT_CRC_LEN;

	if (setup(state) != 0)
		return -1;
	assert_true(is_ok(keytext_create(unknown)));
	/* The id of a key that is there, in front of another secret. */
	memcpy(wrong, w.text[0], sizeof(wrong));
	wrong[crc_at - 1] = wrong[crc_at - 1] == 'x' ? 'y' : 'x';
	base62_u64(crc32_ieee(span_of(wrong, crc_at)), (char *)wrong + crc_at, KEYTEXT_CRC_LEN);
	return 0;
}

static enum error
ask_with(const uint8_t text[KEYTEXT_LEN])
{
	struct ga_check m = { .credential = span_of(text, KEYTEXT_LEN) };
	struct reply *r;

	m.source[15] = 9;
	m.request_id[0] = 1;
	r = call(w.gw, GA_CHECK, &m);
	assert_true(r->come && is_ok(r->st));
	return (enum error)r->error;
}

static void
tick(unsigned n)
{
	while (n-- > 0) {
		grace_tick(w.a);
		spin();
	}
}

/* So many seconds of the grace have gone by. */
static void
later_by(uint64_t s)
{
	w.a->grace.away_ms -= s * 1000;
}

static size_t
told(const char *state)
{
	char text[32];
	size_t n = 0;

	(void)snprintf(text, sizeof(text), "state=%s ", state);
	for (size_t i = 0; i < w.nrecs; i++)
		n += w.recs[i].event == EVENT_STORE_AWAY && strstr(w.recs[i].text, text) != NULL;
	return n;
}

static void
come_back(void)
{
	connect_fake(EDGE_AUTHORITY_STORE, 14, &as_edge, false, &store_ops, &w.store);
	spin();
}

static void
nothing_is_said_while_it_is_there(void **state)
{
	(void)state;
	tick(20);
	assert_int_equal(grace_phase(w.a), GRACE_NONE);
	assert_int_equal(ask_with(w.text[0]), ERROR_NONE);
	assert_int_equal(ask_with(unknown), ERROR_INVALID_KEY);
	assert_int_equal(told("grace") + told("over") + told("back"), 0);
}

static void
the_known_go_on_for_the_grace(void **state)
{
	(void)state;
	cut(&w.store);
	assert_int_equal(w.recs[0].event, EVENT_STORE_AWAY);
	assert_int_equal(w.recs[0].outcome, AUDIT_FAILURE);
	assert_string_equal(w.recs[0].text, "state=grace grace_s=60 away_s=0 ");
	assert_int_equal(ask_with(w.text[0]), ERROR_NONE);
	assert_int_equal(ask_with(unknown), ERROR_UNAVAILABLE);
	later_by(59);
	tick(1);
	assert_int_equal(ask_with(w.text[0]), ERROR_NONE);
	assert_true(grace_left_s(w.a) <= 1);
	assert_int_equal(told("over"), 0);
	later_by(1);
	assert_int_equal(ask_with(w.text[0]), ERROR_UNAVAILABLE);
	assert_int_equal(ask_with(unknown), ERROR_UNAVAILABLE);
	come_back(); /* before any tick */
	assert_int_equal(told("over"), 1);
	assert_int_equal(ask_with(w.text[0]), ERROR_NONE);
	assert_int_equal(ask_with(unknown), ERROR_INVALID_KEY);
	assert_int_equal(told("grace"), 1);
	assert_int_equal(told("back"), 1);
	tick(20);
	assert_int_equal(told("back"), 1);
}

/* What is no key at all, or the id of one with another text, is told as ever. */
static void
what_is_surely_wrong_is_refused(void **state)
{
	uint8_t bad[KEYTEXT_LEN];

	(void)state;
	memcpy(bad, unknown, sizeof(bad));
	bad[KEYTEXT_LEN - 1] ^= 1;
	cut(&w.store);
	assert_int_equal(ask_with(bad), ERROR_INVALID_KEY);
	assert_true(keytext_ok(span_of(wrong, sizeof(wrong))));
	assert_int_equal(ask_with(wrong), ERROR_INVALID_KEY);
	w.key[1]->revoked_s = 1;
	assert_int_equal(ask_with(w.text[1]), ERROR_INVALID_KEY);
}

/* A token of ours with two claims. */
struct claims {
	const char *by, *until; /* their names */
	struct span client;
	long more_s;
};
#define OF(id) "client_id", "exp", span_of(id, KEY_ID_LEN)

static struct span
signed_with(const struct claims *c)
{
	static struct buf token = BUF_INIT(4096);
	char claims[256];

	buf_clear(&token);
	(void)snprintf(claims, sizeof(claims), "{\"%s\":\"%.*s\",\"%s\":%ld}", c->by,
	    SPAN_FMT(c->client), c->until, (long)time(NULL) + c->more_s);
	assert_true(is_ok(
	    jwt_sign(span_str(claims), "at+jwt", signers_newest(&w.a->sessions)->key, &token)));
	return buf_span(&token);
}

static enum error
ask_token(struct span token)
{
	struct ga_check m = { .credential = token, .request_id = { 1 } };

	return (enum error)call(w.gw, GA_CHECK, &m)->error;
}

/* A session that the store might know; what is over, ended or not ours is told as ever. */
static void
an_unknown_session_is_not_refused_for_good(void **state)
{
	const struct claims revoked = { OF(w.key[1]->id), 600 }, good = { OF(w.key[0]->id), 600 };
	const struct {
		struct claims c;
		enum error error;
	} rows[] = {
		{ good, ERROR_UNAVAILABLE },
		{ { OF((const uint8_t *)"unknown....."), 600 }, ERROR_UNAVAILABLE },
		{ revoked, ERROR_INVALID_KEY },
		{ { OF(w.key[0]->id), 0 }, ERROR_INVALID_KEY },
		{ { "client_id", "exp", SPAN_LIT("short"), 600 }, ERROR_INVALID_KEY },
		{ { "client_id", "nbf", span_of(w.key[0]->id, KEY_ID_LEN), 600 },
		    ERROR_INVALID_KEY },
		{ { "x", "exp", span_of(w.key[0]->id, KEY_ID_LEN), 600 }, ERROR_INVALID_KEY },
		{ { "exp", "exp", span_of(w.key[0]->id, KEY_ID_LEN), 600 }, ERROR_INVALID_KEY },
	};

	(void)state;
	w.key[1]->revoked_s = 1;
	assert_int_equal(ask_token(signed_with(&good)), ERROR_INVALID_KEY);
	cut(&w.store);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct span token = signed_with(&rows[i].c);

		assert_int_equal(ask_token(token), rows[i].error);
		if (rows[i].error != ERROR_UNAVAILABLE)
			continue;
		for (size_t len = 1; len < token.len; len += 9)
			assert_int_equal(ask_token(span_of(token.ptr, len)), ERROR_INVALID_KEY);
		((uint8_t *)(uintptr_t)token.ptr)[token.len - 9] ^= 1;
		assert_int_equal(ask_token(token), ERROR_INVALID_KEY);
	}
	come_back();
	assert_int_equal(ask_token(signed_with(&good)), ERROR_INVALID_KEY);
}

/* Who fails too often costs no signature. */
static void
nor_is_much_spent_on_them(void **state)
{
	const struct claims good = { OF(w.key[0]->id), 600 };
	const uint8_t source[SOURCE_LEN] = { 0 };

	(void)state;
	cut(&w.store);
	assert_int_equal(ask_token(signed_with(&good)), ERROR_UNAVAILABLE);
	(void)failures_note(
	    &w.a->failures, source, 1000, w.a->policies.auth_failures_per_s, now_ms(w.a) / 1000);
	for (unsigned i = 0; i < 1000; i++)
		(void)failures_note(&w.a->failures, source, 1, w.a->policies.auth_failures_per_s,
		    now_ms(w.a) / 1000);
	assert_int_equal(ask_token(signed_with(&good)), ERROR_INVALID_KEY);
}

static void
a_silent_store_is_away(void **state)
{
	struct as_key_revoke m = { .revoked_s = 1 };

	(void)state;
	w.store_mute = true;
	tick(STORE_SILENT_TICKS);
	assert_int_equal(grace_phase(w.a), GRACE_NONE);
	tick(1);
	assert_int_equal(grace_phase(w.a), GRACE_RUNS);
	assert_int_equal(ask_with(w.text[0]), ERROR_NONE);
	assert_int_equal(ask_with(unknown), ERROR_UNAVAILABLE);
	/* It is not asked for what it would do when it wakes up. */
	assert_int_equal(store_revoke_key(w.a, &m, NULL, NULL).code, E_CLOSED);
	w.store_mute = false;
	assert_true(
	    is_ok(link_send(w.store, w.ping_held, AS_DONE, &(struct as_done){ .code = E_OK })));
	spin();
	assert_int_equal(grace_phase(w.a), GRACE_NONE);
	assert_int_equal(ask_with(unknown), ERROR_INVALID_KEY);
	assert_int_equal(told("back"), 1);
}

/* A link is not enough: what the store has is known with the end of its LOAD. */
static void
it_is_back_when_all_is_loaded(void **state)
{
	(void)state;
	cut(&w.store);
	w.load_mute = true;
	come_back();
	tick(3);
	assert_int_equal(ask_with(unknown), ERROR_UNAVAILABLE);
	assert_int_equal(told("back"), 0);
	w.load_mute = false;
	cut(&w.store);
	come_back();
	assert_int_equal(ask_with(unknown), ERROR_INVALID_KEY);
	assert_int_equal(told("grace"), 1);
	assert_int_equal(told("back"), 1);
}

/* The log is told as soon as it can be: what it missed is what nobody was served in. */
static void
the_log_hears_of_it_later(void **state)
{
	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	cut(&w.store);
	tick(1);
	assert_int_equal(told("grace"), 0);
	w.audit_mode = AUDIT_TAKES;
	tick(2);
	assert_int_equal(told("grace"), 1);
	later_by(60);
	tick(1);
	assert_int_equal(told("over"), 1);
}

static void
without_a_grace_nobody_is_served(void **state)
{
	struct conf *with = w.d.conf, *conf = NULL;
	char error[CONF_ERROR_MAX], text[1024];

	(void)state;
	(void)snprintf(text, sizeof(text), "%.*sstore: { grace_s: 0 }\n",
	    (int)(strstr(grace_yaml, "store:") - grace_yaml), grace_yaml);
	assert_true(is_ok(conf_parse(span_str(text), &conf, error)));
	w.d.conf = conf;
	cut(&w.store);
	assert_int_equal(ask_with(w.text[0]), ERROR_UNAVAILABLE);
	assert_int_equal(told("over"), 1);
	w.d.conf = with;
	conf_free(conf);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_is_said_while_it_is_there),
		CASE(the_known_go_on_for_the_grace),
		CASE(what_is_surely_wrong_is_refused),
		CASE(an_unknown_session_is_not_refused_for_good),
		CASE(nor_is_much_spent_on_them),
		CASE(a_silent_store_is_away),
		CASE(it_is_back_when_all_is_loaded),
		CASE(the_log_hears_of_it_later),
		CASE(without_a_grace_nobody_is_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
