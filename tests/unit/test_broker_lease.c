/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/lease.c: what was lent goes back. */
#include "broker_credential_rig.h"

static void
lend(const char *value, const char *lease, uint64_t lent_ms)
{
	struct source_result r = { .login = 1,
		.lent_ms = lent_ms,
		.reading = { .version = lease, .lease = lease, .lease_ms = lent_ms } };

	assert_true(is_ok(secret_from_span(span_str(value), &r.value)));
	deliver(&r);
}

/* ---- what was lent ---- */
/* A lease in use that is replaced, and one that is used still; all in one world's time. */
static void
replace(struct credential_version **ret_first)
{
	struct credential_wait *wait;

	authority_comes();
	lend("sk-value-1", "db/creds/x/1", 3000000);
	assert_true(is_ok(ask(NULL, &wait)));
	*ret_first = w.got;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	lend("sk-value-2", "db/creds/x/2", 3000000);
}

static void
a_lease_that_nobody_uses_is_given_back(void **state)
{
	struct credential_version *first;

	(void)state;
	replace(&first);
	assert_int_equal(w.revokes, 0);
	/* The one before may be tried again for a moment; then only who still has it keeps it. */
	assert_true(w.c->before == first);
	assert_true(first->expires_ms <= uv_now(&w.loop) + CREDENTIAL_LENT_BEFORE_MS);
	w.c->before->expires_ms = 1;
	credential_act(w.c);
	spin();
	assert_null(w.c->before);
	assert_int_equal(w.revokes, 0);
	credential_release(first);
	spin();
	assert_int_equal(w.revokes, 1);
	assert_string_equal(w.revoked, "db/creds/x/1");
	assert_int_equal(w.begun.act, SECRET_ACT_REVOKE);
	revoked(SECRET_FAULT_NONE, false);
	assert_balanced();
}

static void
giving_back_is_on_record_and_tried_again(void **state)
{
	struct credential_version *first;

	(void)state;
	replace(&first);
	w.c->before->expires_ms = 1;
	credential_act(w.c);
	w.refuse = true;
	credential_release(first);
	spin();
	assert_int_equal(w.revokes, 0); /* no record, no act */
	w.refuse = false;
	for (int i = 0; i < 3000 && w.revoke == NULL; i++) {
		(void)usleep(1000);
		turn();
	}
	assert_int_equal(w.revokes, 1);
	revoked(SECRET_SEALED, false);
	assert_null(w.revoke);
	assert_int_equal(w.last.fault, SECRET_SEALED);
	for (int i = 0; i < 5000 && w.revoke == NULL; i++) {
		(void)usleep(1000);
		turn();
	}
	assert_int_equal(w.revokes, 2);
	revoked(SECRET_DENIED, true); /* never: it ends by itself */
	spin();
	assert_int_equal(w.revokes, 2);
	assert_balanced();
}

static void
what_went_with_its_login_is_not_asked_for(void **state)
{
	struct credential_version *first;

	(void)state;
	replace(&first);
	w.c->before->expires_ms = 1;
	credential_act(w.c);
	w.lost = 1;
	credential_release(first);
	spin();
	assert_int_equal(w.revokes, 0);
	assert_balanced();
}

static void
what_ended_is_not_asked_for(void **state)
{
	struct lease *l = NULL;

	(void)state;
	authority_comes();
	assert_true(is_ok(lease_new(w.b, SPEC, "db/1", 1, uv_now(&w.loop), &l)));
	lease_return(l);
	spin();
	assert_int_equal(w.revokes, 0);
	lease_return(NULL);
}

/* A value that cannot be used, a field that is not there: the lease came all the same. */
static void
a_lease_without_a_value_is_given_back(void **state)
{
	struct source_result r = { .fault = SECRET_NOT_FOUND,
		.refused = true,
		.login = 1,
		.lent_ms = 60000,
		.reading = { .version = "", .lease = "db/creds/x/8" } };

	(void)state;
	authority_comes();
	lend("bad\r\nvalue", "db/creds/x/7", 60000);
	assert_int_equal(w.revokes, 1);
	assert_string_equal(w.revoked, "db/creds/x/7");
	revoked(SECRET_FAULT_NONE, false);
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	deliver(&r);
	assert_int_equal(w.revokes, 2);
	assert_string_equal(w.revoked, "db/creds/x/8");
	/* The source goes away while it is asked. */
	w.sources.by[REFERENCE_VAULT].ops = NULL;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	assert_null(w.revoke);
	assert_int_equal(w.revokes, 2);
	assert_balanced();
}

static void
leases_that_wait_are_bounded(void **state)
{
	(void)state;
	authority_comes();
	w.mute = true;
	for (unsigned i = 0; i < LEASES_MAX + 10; i++) {
		char id[32];
		struct lease *l = NULL;

		(void)snprintf(id, sizeof(id), "db/%u", i);
		assert_true(is_ok(lease_new(w.b, SPEC, id, 1, uv_now(&w.loop) + 60000, &l)));
		lease_return(l);
	}
	spin();
	assert_int_equal(w.revokes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lease_that_nobody_uses_is_given_back),
		TEST(giving_back_is_on_record_and_tried_again),
		TEST(what_went_with_its_login_is_not_asked_for),
		TEST(what_ended_is_not_asked_for),
		TEST(a_lease_without_a_value_is_given_back),
		TEST(leases_that_wait_are_bounded),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
