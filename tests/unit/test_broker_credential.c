/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/credential.c: values behind a reference: read, on record, used, refused, away. */
#include "broker_credential_rig.h"

static void
give_fault(enum secret_fault fault, bool refused)
{
	struct source_result r = { .fault = fault, .refused = refused };

	deliver(&r);
}

static void
assert_value(const char *value)
{
	assert_non_null(w.got);
	assert_true(secret_eq(&w.got->value, span_str(value)));
}

/* ---- tests ---- */
static void
nothing_is_read_without_an_authority(void **state)
{
	struct credential_wait *wait;

	(void)state;
	assert_int_equal(w.started, 0);
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	turn();
	assert_int_equal(w.started, 0);
	authority_comes();
	assert_int_equal(w.started, 1);
	give("sk-value-1", "1");
	assert_int_equal(w.answers, 1);
	assert_true(is_ok(w.st));
	assert_value("sk-value-1");
	credential_release(w.got);
}

static void
a_value_is_used_once_its_reading_is_on_record(void **state)
{
	struct credential_wait *wait;

	(void)state;
	w.mute_end = true;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	give("sk-value-1", "1");
	assert_int_equal(w.records, 1);
	assert_int_equal(w.begun.why, SECRET_START);
	assert_int_equal(w.last.fault, SECRET_FAULT_NONE);
	assert_true(w.last.valid_s > 3590 && w.last.valid_s <= 3600);
	assert_int_equal(w.answers, 0); /* no record, no use */
	/* The authority goes and comes back: the value is read and recorded anew. */
	w.mute_end = false;
	link_free(w.authority);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_CLOSED);
	authority_comes();
	for (int i = 0; i < 2000 && w.job == NULL; i++) {
		(void)usleep(1000);
		turn();
	}
	assert_int_equal(w.started, 2);
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	give("sk-value-1", "1");
	assert_balanced();
	assert_int_equal(w.answers, 2);
	assert_value("sk-value-1");
	credential_release(w.got);
}

/* With audit away nothing is read; what is cached goes on. */
static void
nothing_is_read_without_a_record(void **state)
{
	struct credential_wait *wait;

	(void)state;
	w.refuse = true;
	authority_comes();
	assert_int_equal(w.started, 0);
	assert_int_equal(ask(NULL, &wait).code, E_CLOSED);
	assert_int_equal(w.started, 0);
	w.refuse = false;
	for (int i = 0; i < 2000 && w.job == NULL; i++) {
		(void)usleep(1000);
		turn();
	}
	give("sk-value-1", "1");
	w.refuse = true;
	credentials_source_changed(w.b, REFERENCE_VAULT); /* wants another reading */
	spin();
	assert_int_equal(w.started, 1);
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-1");
	credential_release(w.got);
	assert_int_equal(w.intents, 1);
	assert_balanced();
}

static void
an_end_that_is_not_recorded_throws_the_value_away(void **state)
{
	struct credential_wait *wait;

	(void)state;
	w.refuse_end = true;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	give("sk-value-1", "1");
	assert_int_equal(w.records, 1);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_CLOSED);
	assert_null(w.got);
}

/* Given up while its record is on its way, while it works, while its end is told: it ends once. */
static void
every_intent_has_an_end(void **state)
{
	(void)state;
	w.mute = true;
	authority_comes();
	assert_int_equal(w.started, 0);
	w.mute = false;
	credentials_source_changed(w.b, REFERENCE_VAULT); /* the first one is never answered */
	spin();
	assert_int_equal(w.intents, 1);
	assert_int_equal(w.started, 1);
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	assert_int_equal(w.cancelled, 1);
	assert_int_equal(w.records, 1);
	assert_int_equal(w.last.given_up, 1);
	assert_int_equal(w.started, 2);
	w.mute_end = true;
	give("sk-value-1", "1");
	w.mute_end = false;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	assert_int_equal(w.records, 2);
	assert_int_equal(w.last.given_up, 0);
	give_fault(SECRET_SEALED, false);
	assert_int_equal(w.last.fault, SECRET_SEALED);
	credentials_source_changed(w.b, REFERENCE_VAULT);
	turn();
	credential_free(w.c); /* in the midst of it */
	w.c = NULL;
	assert_balanced();
	assert_int_equal(w.intents, w.records);
}

static void
the_authority_may_die_while_it_is_read(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	assert_int_equal(w.started, 1);
	link_free(w.authority);
	w.authority = NULL;
	spin();
	memset(w.open, 0, sizeof(w.open)); /* audit ends what died with it */
	authority_comes();
	give("sk-value-1", "1"); /* nobody has its intent: it is not used */
	assert_int_equal(w.records, 0);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_CLOSED);
	assert_null(w.got);
}

static void
a_version_lives_as_long_as_it_is_written(void **state)
{
	struct credential_version *first;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	assert_true(is_ok(ask(NULL, &wait)));
	first = w.got;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give("sk-value-2", "2");
	assert_int_equal(w.begun.why, SECRET_RELOAD);
	assert_true(secret_eq(&first->value, SPAN_LIT("sk-value-1")));
	credential_release(first);
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-2");
	assert_string_equal(w.got->version, "2");
	credential_release(w.got);
}

static void
a_refused_value_is_fetched_anew_once(void **state)
{
	struct credential_tried tried = { .count = 1 };
	struct credential_version *first;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	assert_true(is_ok(ask(NULL, &wait)));
	first = w.got;
	tried.version[0] = first;
	assert_int_equal(ask(&tried, &wait).code, E_AGAIN);
	assert_int_equal(w.ops[1], LIFETIME_READ);
	give("sk-value-2", "2");
	assert_int_equal(w.begun.why, SECRET_REJECTED);
	assert_int_equal(w.answers, 1);
	assert_value("sk-value-2");
	credential_release(w.got);
	/* Others, with the same one refused: no further reading. */
	assert_true(is_ok(ask(&tried, &wait)));
	assert_value("sk-value-2");
	credential_release(w.got);
	assert_int_equal(w.started, 2);
	credential_release(first);
}

static void
then_the_version_before_is_tried_once(void **state)
{
	struct credential_tried tried = { .count = 1 };
	struct credential_version *first, *before;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-2", "2");
	assert_true(is_ok(ask(NULL, &wait)));
	first = w.got;
	tried.version[0] = first;
	assert_int_equal(ask(&tried, &wait).code, E_AGAIN);
	give("sk-value-2", "2"); /* nothing new */
	assert_int_equal(w.answers, 0);
	assert_int_equal(w.started, 3);
	assert_int_equal(w.ops[2], LIFETIME_PREVIOUS);
	give("sk-value-1", "1");
	assert_int_equal(w.begun.why, SECRET_PREVIOUS);
	assert_int_equal(w.answers, 1);
	assert_value("sk-value-1");
	before = w.got;
	tried.version[tried.count++] = before;
	assert_int_equal(ask(&tried, &wait).code, E_NOTFOUND);
	assert_int_equal(w.started, 3);
	/* Who has not been refused goes on with the current one. */
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-2");
	credential_release(w.got);
	credential_release(first);
	credential_release(before);
}

static void
without_a_version_before_it_ends_there(void **state)
{
	struct credential_tried tried = { .count = 1 };
	struct credential_version *first;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	assert_true(is_ok(ask(NULL, &wait)));
	first = w.got;
	tried.version[0] = first;
	assert_int_equal(ask(&tried, &wait).code, E_AGAIN);
	give("sk-value-1", "1");
	give_fault(SECRET_NOT_FOUND, true);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_NOTFOUND);
	assert_true(is_ok(ask(NULL, &wait))); /* it is still the one */
	credential_release(w.got);
	credential_release(first);
}

static void
a_source_that_is_away_leaves_the_cached_value(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give_fault(SECRET_SEALED, false);
	assert_int_equal(w.last.fault, SECRET_SEALED);
	assert_true(w.last.valid_s > 3000);
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-1");
	credential_release(w.got);
}

static void
a_source_that_says_no_does_not(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give_fault(SECRET_DENIED, true);
	assert_int_equal(w.last.fault, SECRET_DENIED);
	assert_int_equal(ask(NULL, &wait).code, E_DENIED);
	assert_null(w.got);
}

static void
without_a_value_requests_fail_at_once_while_it_backs_off(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	give_fault(SECRET_UNREACHABLE, false);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_CLOSED);
	assert_int_equal(ask(NULL, &wait).code, E_CLOSED);
	assert_int_equal(w.answers, 1);
}

static void
a_value_that_cannot_be_sent_is_none(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value\r\nx: y", "1");
	assert_int_equal(w.last.fault, SECRET_INVALID);
	assert_int_equal(ask(NULL, &wait).code, E_DENIED);
}

static void
nor_does_it_end_the_one_before_it(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give("short", "2");
	assert_int_equal(w.last.fault, SECRET_INVALID);
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-1");
	credential_release(w.got);
}

static void
one_reference_is_read_once_for_all(void **state)
{
	struct credential *other;
	struct credential_wait *waits[3];

	(void)state;
	assert_true(is_ok(credential_new(w.b, SPEC, &other)));
	assert_ptr_equal(other, w.c);
	authority_comes();
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(NULL, &waits[i]).code, E_AGAIN);
	credential_cancel(waits[1]);
	give("sk-value-1", "1");
	assert_int_equal(w.started, 1);
	assert_int_equal(w.records, 1);
	assert_int_equal(w.answers, 2);
	credential_release(w.got);
	credential_release(w.got); /* both got the same */
	credential_free(other);
}

static void
waiting_is_bounded(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	for (unsigned i = 0; i < CREDENTIAL_WAITS_MAX; i++)
		assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	assert_int_equal(ask(NULL, &wait).code, E_FULL);
	give_fault(SECRET_THROTTLED, false);
	assert_int_equal(w.answers, CREDENTIAL_WAITS_MAX);
}

static void
an_unnamed_version_is_named_by_its_value(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "");
	assert_string_equal(w.version, "r1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give("sk-value-1", "");
	assert_string_equal(w.version, "r1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give("sk-value-2", "");
	assert_string_equal(w.version, "r2");
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-2");
	credential_release(w.got);
}

static void
a_source_may_go_away_in_flight(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	w.sources.by[REFERENCE_VAULT].ops = NULL;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	assert_int_equal(w.cancelled, 1);
	assert_null(w.job);
	assert_int_equal(ask(NULL, &wait).code, E_NOTFOUND);
}

static void
on_done_and_leave(void *ctx, struct status st, struct credential_version *v)
{
	on_done(ctx, st, v);
	credential_release(ctx);
	credential_free(w.c);
	w.c = NULL;
}

static void
the_last_user_may_leave_when_it_is_told(void **state)
{
	struct credential_tried tried = { .count = 1 };
	struct credential_version *first;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	assert_true(is_ok(ask(NULL, &wait)));
	first = tried.version[0] = w.got;
	assert_int_equal(
	    credential_get(w.c, &tried, on_done_and_leave, first, &wait, &w.got).code, E_AGAIN);
	spin();
	give("sk-value-1", "1");
	give_fault(SECRET_NOT_FOUND, true);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_NOTFOUND);
	assert_null(w.c);
	assert_null(w.job);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_read_without_an_authority),
		TEST(a_value_is_used_once_its_reading_is_on_record),
		TEST(nothing_is_read_without_a_record),
		TEST(an_end_that_is_not_recorded_throws_the_value_away),
		TEST(every_intent_has_an_end),
		TEST(the_authority_may_die_while_it_is_read),
		TEST(a_version_lives_as_long_as_it_is_written),
		TEST(a_refused_value_is_fetched_anew_once),
		TEST(then_the_version_before_is_tried_once),
		TEST(without_a_version_before_it_ends_there),
		TEST(a_source_that_is_away_leaves_the_cached_value),
		TEST(a_source_that_says_no_does_not),
		TEST(without_a_value_requests_fail_at_once_while_it_backs_off),
		TEST(a_value_that_cannot_be_sent_is_none),
		TEST(nor_does_it_end_the_one_before_it),
		TEST(one_reference_is_read_once_for_all),
		TEST(waiting_is_bounded),
		TEST(the_last_user_may_leave_when_it_is_told),
		TEST(an_unnamed_version_is_named_by_its_value),
		TEST(a_source_may_go_away_in_flight),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
