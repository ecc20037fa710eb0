/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_arrivals.c: who comes for the first time, and is not let in: without a store, a
 * log or a place, while somebody else makes or erases the user, and after that.
 */
#include "authority_people_rig.h"

/* The same, made while the record of the arrival is being written. */
static void
who_is_made_here_meanwhile_is_so(void **state)
{
	const struct ga_admit m = asking("boss", USER);
	struct aa_receipt receipt = { .first_seq = 1, .count = 1 };
	struct reply *r;

	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	r = call(w.gw, GA_ADMIT, &m);
	assert_false(r->come);
	(void)local("boss", ROLE_OWNER);
	w.audit_mode = AUDIT_TAKES;
	assert_true(is_ok(link_send(w.audit, w.held[0], AA_RECEIPT, &receipt)));
	spin();
	assert_true(r->come);
	assert_int_equal(r->error, ERROR_INVALID_KEY);
	assert_int_equal(w.store_changes, 0);
}

/* Nor does another role or policy of its token bring back who is being erased. */
static void
who_is_being_erased_gets_no_key(void **state)
{
	struct admin_op *op = NULL;
	uint16_t http = 0;
	struct admin_call c = { .a = w.a,
		.reply = on_said,
		.ctx = &http,
		.op = &op,
		.method = SPAN_LIT("POST"),
		.path = SPAN_LIT("/admin/v1/users/ann/erase"),
		.query = SPAN_LIT("tenant=acme") };
	struct aa_receipt receipt = { .count = 1 };
	struct reply *r;

	(void)state;
	assert_int_equal(come("ann", USER)->error, ERROR_NONE);
	w.audit_mode = AUDIT_HOLDS;
	r = come("ann", ",\"roles\":[\"user\",\"owner\"]");
	assert_true(is_ok(admin_dispatch(&c)));
	spin();
	w.audit_mode = AUDIT_TAKES;
	for (size_t i = 0; i < 2; i++) {
		receipt.first_seq = w.seq - 1 + i;
		assert_true(is_ok(link_send(w.audit, w.held[i], AA_RECEIPT, &receipt)));
		spin();
	}
	assert_true(r->come);
	assert_int_equal(r->error, ERROR_UNAVAILABLE);
	assert_int_equal(http, 200);
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(user_named("ann")->state, USER_ERASED);
}

static void
nobody_new_without_a_store(void **state)
{
	(void)state;
	assert_int_equal(come("ann", USER)->error, ERROR_NONE);
	cut(&w.store);
	assert_int_equal(come("bob", USER)->error, ERROR_UNAVAILABLE);
	assert_int_equal(come("ann", USER)->error, ERROR_NONE); /* who is known goes on */
	assert_null(user_named("bob"));
}

static void
nobody_new_without_a_log(void **state)
{
	struct ga_admit m = asking("ann", USER);

	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(come("ann", USER)->error, ERROR_UNAVAILABLE);
	assert_int_equal(w.store_changes, 0);
	assert_null(user_named("ann"));
	/* Not at each request, either; that is nobody else's pause. */
	w.audit_mode = AUDIT_TAKES;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_UNAVAILABLE);
	assert_int_equal(come("bob", USER)->error, ERROR_NONE);
	m = asking("ann", USER);
	(void)usleep((PEOPLE_RETRY_MS + 10) * 1000);
	uv_update_time(&w.loop);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
}

static void
nobody_new_without_a_place(void **state)
{
	(void)state;
	assert_int_equal(come("ann", USER)->error, ERROR_NONE);
	w.a->keys.users_max = w.a->keys.nusers;
	assert_int_equal(come("bob", USER)->error, ERROR_UNAVAILABLE);
	assert_int_equal(come("ann", USER)->error, ERROR_NONE);
	assert_int_equal(come("ann", ",\"roles\":[\"user\",\"auditor\"]")->error, ERROR_NONE);
	assert_int_equal(w.store_changes, 2);
}

/* The store may have it: that is no failure, and soon the table says which it is. */
static void
nobody_knows_of_whom_the_store_says_nothing(void **state)
{
	(void)state;
	w.put_other = true;
	assert_int_equal(come("ann", USER)->error, ERROR_UNAVAILABLE);
	assert_int_equal(w.recs[1].event, EVENT_KEY_CREATED);
	assert_int_equal(w.recs[1].phase, AUDIT_PHASE_OUTCOME);
	assert_int_equal(w.recs[1].outcome, AUDIT_UNKNOWN);
	assert_int_not_equal(w.a->load_again_ms, 0);
}

/* The id of an erased person's key is taken for ever: as where this process has seen the erasure.
 */
static void
who_was_erased_stays_out(void **state)
{
	size_t records;

	(void)state;
	w.put_code = E_EXISTS;
	assert_int_equal(come("ann", USER)->error, ERROR_INVALID_KEY);
	assert_string_equal(w.recs[w.nrecs - 1].text, "method=oidc success=0 reason=revoked ");
	records = w.nrecs;
	assert_int_equal(come("ann", USER)->error, ERROR_INVALID_KEY);
	assert_int_equal(w.nrecs, records + 1);
	assert_int_equal(w.store_changes, 1); /* it was not asked again */
	assert_null(user_named("ann"));
	w.put_code = 0;
	assert_int_equal(w.recs[1].phase, AUDIT_PHASE_OUTCOME);
	assert_int_equal(w.recs[1].outcome, AUDIT_FAILURE);
	assert_int_equal(come("bob", USER)->error, ERROR_NONE);
}

/* However many are not let in: who comes next has a place. */
static void
those_who_fail_take_nobodys_place(void **state)
{
	char name[16];

	(void)state;
	w.put_code = E_EXISTS;
	w.a->policies.auth_failures_per_s = UINT32_MAX;
	for (unsigned i = 0; i < PEOPLE_ARRIVING_MAX + 10; i++) {
		(void)snprintf(name, sizeof(name), "u%u", i);
		assert_int_equal(come(name, USER)->error, ERROR_INVALID_KEY);
		nreplies = w.nrecs = 0; /* their arrays are small */
	}
	assert_int_equal(w.a->people.narrivals, PEOPLE_ARRIVING_MAX);
	assert_int_equal(w.store_changes, PEOPLE_ARRIVING_MAX + 10); /* each was tried */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_is_made_here_meanwhile_is_so),
		TEST(who_is_being_erased_gets_no_key),
		TEST(nobody_new_without_a_store),
		TEST(nobody_new_without_a_log),
		TEST(nobody_new_without_a_place),
		TEST(nobody_knows_of_whom_the_store_says_nothing),
		TEST(who_was_erased_stays_out),
		TEST(those_who_fail_take_nobodys_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
