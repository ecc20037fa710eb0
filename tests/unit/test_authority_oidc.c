/* SPDX-License-Identifier: Apache-2.0 */
/* src/authority/oidc.c, issuers.c, discovery.c, later.c: keys, and who waits for them. */
#include "authority_oidc_rig.h"

/* ---- keys ---- */
static void
keys_come_in_the_background(void **state)
{
	struct issuer *i = only("a");

	(void)state;
	oidc_tick(w.a);
	spin();
	assert_int_equal(w.discoveries, 1);
	assert_int_equal(w.key_fetches, 1);
	assert_string_equal(w.fetch_url, "https://a.example/keys");
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
	assert_true(span_eq_str(who.tenant, "acme") && span_eq_str(who.user, "ann@acme.example"));
	assert_true(span_eq_str(who.policy, "staff"));
	assert_int_equal(who.roles, 0);
	assert_int_equal(who.expires_s, 1800000330);
	assert_string_equal(who.issuer, "https://a.example");
	oidc_tick(w.a);
	spin();
	assert_int_equal(w.discoveries, 1); /* not due */
	assert_true(i->refresh_ms >= now_ms(w.a) + ISSUER_REFRESH_MS - 1000);
}

static void
a_token_that_comes_first_waits_for_keys(void **state)
{
	struct issuer *i = only("a");

	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	assert_false(is_ok(oidc_wait(w.a, ready, NULL))); /* once a check */
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, &token)));
	waiters_forget(&i->waiters, &token);
	spin();
	assert_int_equal(w.discoveries, 1); /* one flight for all */
	assert_int_equal(woken, 0);
	w.fetch_mode = FETCHES_ANSWER;
	const struct ab_fetched m = { .code = E_OK, .http_status = 200, .body = DISCOVERY("a") };
	assert_true(is_ok(link_send(w.broker, w.fetch_held, AB_FETCHED, &m)));
	spin();
	assert_int_equal(woken, 2);
	assert_int_equal(i->waiters.n, 0);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
}

static void
tell(const struct ab_fetched *m)
{
	assert_true(is_ok(link_send(w.broker, w.fetch_held, AB_FETCHED, m)));
	spin();
}

/* The broker has heard of a reload later, or ended fetches for it: nothing is wrong with the
 * issuer. */
static void
who_waits_at_a_reload_waits_on(void **state)
{
	const struct ab_fetched again = { .code = E_AGAIN }, found = {
		.code = E_OK, .http_status = 200, .body = DISCOVERY("a")
	};
	struct issuer *i = only("a");

	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	spin();
	assert_int_equal(w.fetch_generation, w.a->d->generation);
	for (unsigned n = 1; n < 4; n++) { /* of each stage: from the beginning */
		if (n == 3) {
			tell(&found);
			assert_int_equal(w.key_fetches, 1);
		}
		tell(&again);
		assert_int_equal(w.discoveries, n); /* not at once: it may need a moment */
		assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_LATER);
		oidc_tick(w.a);
		spin();
		assert_int_equal(w.discoveries, n + 1);
		oidc_tick(w.a);
		spin();
		assert_int_equal(w.discoveries, n + 1); /* one at a time */
	}
	assert_int_equal(woken, 0);
	assert_int_equal(i->failures, 0);
	w.fetch_mode = FETCHES_ANSWER;
	tell(&found);
	assert_int_equal(woken, 1);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
	/* Not for ever. */
	w.fetch_mode = FETCHES_HOLD;
	i->refresh_ms = 0;
	oidc_tick(w.a);
	spin();
	i->began_ms -= OIDC_WAIT_MS;
	tell(&again);
	assert_int_equal(i->failures, 1);
	assert_false(i->flying);
}

static struct {
	unsigned n;
	struct gateway *gw;
	uint64_t id;
	char credential[64];
	uint8_t request;
} heard;

static void
hear(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_check *m = msg;

	heard.n++;
	heard.gw = ctx;
	heard.id = id;
	heard.request = m->request_id[0];
	assert_ptr_equal(l, heard.gw->link);
	assert_true(is_ok(span_to_cstr(m->credential, heard.credential, sizeof(heard.credential))));
}

static void
hear_admin(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_admin *m = msg;

	(void)l, (void)id, (void)ctx;
	heard.n += m->body.len == ADMIN_REQUEST_MAX && m->credential.len == CREDENTIAL_MAX;
}

/* A gateway's call is heard again when keys are there; not if the gateway is another by then. */
static void
calls_are_kept_for_later(void **state)
{
	struct gateway *gw = &w.a->gateways[0];
	struct ga_check m = { .credential = SPAN_LIT("a.b.c"), .request_id = { 9 } };

	(void)state;
	(void)only("a");
	memset(&heard, 0, sizeof(heard));
	assert_false(later(gw, GA_CHECK, 77, &m, hear)); /* nothing is awaited */
	w.fetch_mode = FETCHES_HOLD;
	for (unsigned n = 0; n < 2; n++) {
		assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
		assert_true(later(gw, GA_CHECK, 77 + n, &m, hear));
		assert_false(later(gw, GA_CHECK, 77 + n, &m, hear)); /* once */
		if (n == 0)
			gw->peer_id++;
	}
	spin();
	cut(&w.broker);
	assert_int_equal(heard.n, 1);
	assert_int_equal(heard.id, 78);
	assert_ptr_equal(heard.gw, gw);
	assert_string_equal(heard.credential, "a.b.c");
	assert_int_equal(heard.request, 9);
}

/* The longest act of administration waits whole. */
static void
long_calls_are_kept_for_later(void **state)
{
	static uint8_t text[ADMIN_REQUEST_MAX];
	const struct span path = span_of(text, ADMIN_PATH_MAX);
	const struct ga_admin m = { .credential = span_of(text, CREDENTIAL_MAX),
		.method = SPAN_LIT("POST"),
		.path = path,
		.query = path,
		.body = span_of(text, ADMIN_REQUEST_MAX) };
	struct gateway *gw = &w.a->gateways[0];

	(void)state;
	(void)only("a");
	memset(text, 'a', sizeof(text));
	memset(&heard, 0, sizeof(heard));
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	assert_true(later(gw, GA_ADMIN, 77, &m, hear_admin));
	spin();
	cut(&w.broker);
	assert_int_equal(heard.n, 1);
}

/* What cannot be kept, or may not ask, leaves nothing behind for the next call to wait for. */
static void
nothing_is_awaited_but_by_its_own_call(void **state)
{
	static uint8_t text[CREDENTIAL_MAX + 1];
	struct gateway *gw = &w.a->gateways[0];
	const struct ga_check good = { .credential = SPAN_LIT("a.b.c") },
			      bad = { .credential = span_of(text, sizeof(text)) };
	struct issuer *i = only("a");

	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	assert_false(later(gw, GA_CHECK, 77, &bad, hear));
	assert_false(oidc_is_awaited(w.a));
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	w.a->loaded = false;
	admit_on_check(gw->link, 78, &good, gw);
	assert_false(oidc_is_awaited(w.a));
	assert_int_equal(i->waiters.n, 0);
}

static void
nobody_waits_longer_than_five_seconds(void **state)
{
	struct issuer *i = only("a");

	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	oidc_tick(w.a);
	assert_int_equal(woken, 0);
	i->began_ms = now_ms(w.a) - OIDC_WAIT_MS;
	oidc_tick(w.a);
	assert_int_equal(woken, 1);
	assert_int_equal(check(&old, "{" A "}"), OIDC_UNAVAILABLE);
	assert_int_equal(fault, JWT_FAULT_KEYS_AWAY);
}

static void
those_who_wait_are_counted(void **state)
{
	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	for (unsigned n = 0; n <= OIDC_WAITERS_MAX; n++) {
		assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
		assert_true(is_ok(oidc_wait(w.a, ready, NULL)) == (n < OIDC_WAITERS_MAX));
	}
}

static void
keys_roll_over(void **state)
{
	struct signer third = { .pkey = fresh.pkey, .kid = "third", .alg = fresh.alg };
	struct issuer *i = fetched("a");

	(void)state;
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
	w.fetch_keys = buf_span(&keys_of_fresh);
	assert_int_equal(check(&fresh, "{" A "," WHO "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	spin();
	assert_int_equal(woken, 1);
	assert_int_equal(w.key_fetches, 2);
	assert_int_equal(w.discoveries, 1);
	assert_int_equal(check(&fresh, "{" A "," WHO "}"), OIDC_OK);
	/* What the old key had verified is not good any more. */
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_KEY);
	/* Not more than once a minute, whoever asks. */
	assert_int_equal(check(&third, "{" A "," WHO "}"), OIDC_BAD);
	assert_int_equal(fault, JWT_FAULT_KEY);
	spin();
	assert_int_equal(w.key_fetches, 2);
	assert_true(i->next_ms >= now_ms(w.a) + ISSUER_AGAIN_MS - 1000);
	i->next_ms = 0;
	assert_int_equal(check(&third, "{" A "," WHO "}"), OIDC_LATER);
}

static void
the_same_keys_again_change_nothing(void **state)
{
	struct issuer *i = fetched("a");
	uint64_t epoch = i->epoch;

	(void)state;
	i->refresh_ms = 0;
	oidc_tick(w.a);
	spin();
	assert_int_equal(w.key_fetches, 2);
	assert_int_equal(i->epoch, epoch);
}

static void
old_keys_outlive_a_failure_for_a_day(void **state)
{
	struct issuer *i = fetched("a");

	(void)state;
	w.fetch_mode = FETCHES_FAIL;
	i->refresh_ms = 0;
	oidc_tick(w.a);
	spin();
	assert_int_equal(i->failures, 1);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
	/* A key that nobody knows: it cannot be told now. */
	assert_int_equal(check(&fresh, "{" A "}"), OIDC_UNAVAILABLE);
	i->keys_ms = now_ms(w.a) - ISSUER_KEYS_AGE_MAX_MS;
	i->refresh_ms = i->next_ms = UINT64_MAX;
	oidc_tick(w.a);
	assert_null(i->keys);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_UNAVAILABLE);
	assert_int_equal(fault, JWT_FAULT_KEYS_AWAY);
}

static void
failures_are_tried_again_less_and_less(void **state)
{
	static const uint64_t pauses[] = { 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000 };
	struct issuer *i = only("a");

	(void)state;
	w.fetch_mode = FETCHES_FAIL;
	for (size_t n = 0; n < COUNT(pauses); n++) {
		i->refresh_ms = 0;
		uv_update_time(&w.loop);
		oidc_tick(w.a);
		spin();
		assert_int_equal(i->failures, n + 1);
		assert_in_range(i->next_ms - now_ms(w.a), pauses[n] - 900, pauses[n]);
	}
	assert_int_equal(check(&old, "{" A "}"), OIDC_UNAVAILABLE); /* not asked at each */
	spin();
	assert_int_equal(w.discoveries, COUNT(pauses));
	w.fetch_mode = FETCHES_ANSWER;
	i->refresh_ms = 0;
	oidc_tick(w.a);
	spin();
	assert_int_equal(i->failures, 0);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
}

static void
documents_that_do_not_do(void **state)
{
	static const struct span discoveries[] = { SPAN_LIT(""), SPAN_LIT("[]"), SPAN_LIT("<html>"),
		SPAN_LIT("{\"issuer\":\"https://b.example\",\"jwks_uri\":\"https://b.example\"}"),
		SPAN_LIT("{\"issuer\":\"https://a.example/\",\"jwks_uri\":\"https://a.example\"}"),
		SPAN_LIT("{\"jwks_uri\":\"https://a.example\"}"),
		SPAN_LIT("{\"issuer\":\"https://a.example\"}"),
		SPAN_LIT("{\"issuer\":\"https://a.example\",\"jwks_uri\":\"\"}"),
		SPAN_LIT("{\"issuer\":\"https://a.example\",\"jwks_uri\":7}"),
		SPAN_LIT("{\"issuer\":\"https://a.example\",\"issuer\":\"https://a.example\","
			 "\"jwks_uri\":\"https://a.example\"}") };
	static const struct span sets[] = { SPAN_LIT(""), SPAN_LIT("{}"), SPAN_LIT("{\"keys\":[]}"),
		SPAN_LIT("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}") };
	struct issuer *i = fetched("a");

	(void)state;
	for (size_t n = 0; n < COUNT(discoveries) + COUNT(sets); n++) {
		bool first = n < COUNT(discoveries);

		w.fetch_discovery = first ? discoveries[n] : DISCOVERY("a");
		w.fetch_keys = first ? buf_span(&keys_of_fresh) : sets[n - COUNT(discoveries)];
		i->refresh_ms = 0;
		oidc_tick(w.a);
		spin();
		assert_int_equal(i->failures, n + 1);
		assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK); /* by the old ones */
	}
}

static void
a_broker_that_is_away_is_not_waited_for(void **state)
{
	(void)only("a");
	(void)state;
	cut(&w.broker);
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_UNAVAILABLE);
	oidc_tick(w.a);
	connect_fake(EDGE_AUTHORITY_BROKER, 12, &ab_edge, false, &broker_ops, &w.broker);
	oidc_tick(w.a);
	spin();
	assert_int_equal(check(&old, "{" A "," WHO "}"), OIDC_OK);
}

static void
a_broker_that_dies_ends_the_wait(void **state)
{
	(void)only("a");
	(void)state;
	w.fetch_mode = FETCHES_HOLD;
	assert_int_equal(check(&old, "{" A "}"), OIDC_LATER);
	assert_true(is_ok(oidc_wait(w.a, ready, NULL)));
	spin();
	cut(&w.broker);
	assert_int_equal(woken, 1);
	assert_int_equal(check(&old, "{" A "}"), OIDC_UNAVAILABLE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keys_come_in_the_background),
		TEST(a_token_that_comes_first_waits_for_keys),
		TEST(who_waits_at_a_reload_waits_on),
		TEST(calls_are_kept_for_later),
		TEST(long_calls_are_kept_for_later),
		TEST(nothing_is_awaited_but_by_its_own_call),
		TEST(nobody_waits_longer_than_five_seconds),
		TEST(those_who_wait_are_counted),
		TEST(keys_roll_over),
		TEST(the_same_keys_again_change_nothing),
		TEST(old_keys_outlive_a_failure_for_a_day),
		TEST(failures_are_tried_again_less_and_less),
		TEST(documents_that_do_not_do),
		TEST(a_broker_that_is_away_is_not_waited_for),
		TEST(a_broker_that_dies_ends_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
