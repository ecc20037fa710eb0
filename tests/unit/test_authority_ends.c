/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_ends.c: turns whose gateway, broker, executor or audit process is gone, silent or
 * refuses; keys that are revoked under a turn, and made.
 */
#include "authority_world.h"

/* Silent, not dead: the client is refused, the late receipt's intent is closed. */
static void
on_admin(void *ctx, uint16_t http, struct span body)
{
	(void)ctx, (void)body;
	w.admin_http = http;
}

static void
test_broker_dies(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT), *settled = settle(r->admitted.turn, ERROR_NONE);

	(void)state;
	assert_false(settled->come);
	cut(&w.broker);
	assert_true(settled->come);
	assert_int_equal(w.recs[3].outcome, AUDIT_UNKNOWN);
	assert_int_equal(w.recs[3].cause, AUDIT_PROCESS_DIED);
	assert_int_equal(admit(ENDPOINT_CHAT)->error, ERROR_UNAVAILABLE);
	connect_fake(EDGE_AUTHORITY_BROKER, 12, &ab_edge, false, &broker_ops, &w.broker);
	assert_balanced();
}

static void
test_gateway_dies(void **state)
{
	uint64_t turn = admit(ENDPOINT_CHAT)->admitted.turn;

	(void)state;
	model_done();
	assert_int_equal(step(turn, STEP_RUN)->error, ERROR_NONE);
	cut(&w.gw);
	assert_int_equal(w.executor_ends, 1);
	assert_int_equal(w.recs[w.nrecs - 1].outcome, AUDIT_UNKNOWN);
	assert_int_equal(w.recs[w.nrecs - 1].cause, AUDIT_PROCESS_DIED);
	assert_balanced();
}

static void
test_executor_dies(void **state)
{
	struct reply *r = admit(ENDPOINT_EXECUTE);

	(void)state;
	cut(&w.executor);
	assert_int_equal(settle(r->admitted.turn, ERROR_UNAVAILABLE)->error, ERROR_NONE);
	assert_int_equal(w.recs[2].outcome, AUDIT_UNKNOWN);
	assert_int_equal(w.recs[2].cause, AUDIT_PROCESS_DIED);
	/* Chat goes on without it; runs are refused, and that is recorded. */
	assert_int_equal(admit(ENDPOINT_EXECUTE)->error, ERROR_UNAVAILABLE);
	r = admit(ENDPOINT_CHAT);
	assert_int_equal(r->error, ERROR_NONE);
	model_done();
	assert_int_equal(step(r->admitted.turn, STEP_RUN)->error, ERROR_UNAVAILABLE);
	connect_fake(EDGE_AUTHORITY_EXECUTOR, 13, &ae_edge, false, &executor_ops, &w.executor);
	assert_int_equal(step(r->admitted.turn, STEP_RUN)->error, ERROR_NONE);
	run_done(RUN_EXIT, 0);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	assert_balanced();
}

static void
test_audit_dies(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT);

	(void)state;
	cut(&w.audit);
	assert_int_equal(w.revokes, 1);
	assert_int_equal(w.revoke_error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.broker_ends, 1);
	assert_int_equal(w.a->turns.n, 0);
	assert_int_equal(admit(ENDPOINT_CHAT)->error, ERROR_AUDIT_UNAVAILABLE);
	connect_fake(EDGE_AUTHORITY_AUDIT, 11, &aa_edge, false, &audit_ops, &w.audit);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_CANCELLED);
	assert_int_equal(w.nrecs, 3); /* no second outcome: audit closed that intent itself */
	r = admit(ENDPOINT_CHAT);
	assert_int_equal(r->error, ERROR_NONE);
	model_done();
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
}

/* It is there and still reads its log, for minutes: refused at once, and not ready. */
static void
test_audit_reads_its_log(void **state)
{
	(void)state;
	cut(&w.audit);
	w.audit_reads = true;
	connect_fake(EDGE_AUTHORITY_AUDIT, 11, &aa_edge, false, &audit_ops, &w.audit);
	spin();
	assert_true(audit_is_up(w.a));
	assert_false(audit_is_writable(w.a));
	assert_int_equal(admit(ENDPOINT_CHAT)->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.nrecs, 0);
	assert_true(is_ok(link_send(w.audit, 0, AA_UP, &(struct wire_none){ 0 })));
	spin();
	assert_true(audit_is_writable(w.a));
	/* The next link has its own. */
	cut(&w.audit);
	connect_fake(EDGE_AUTHORITY_AUDIT, 12, &aa_edge, false, &audit_ops, &w.audit);
	spin();
	assert_false(audit_is_writable(w.a));
}

static void
test_audit_dies_with_appends_in_flight(void **state)
{
	struct reply *r;

	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	r = admit(ENDPOINT_CHAT);
	assert_false(r->come);
	cut(&w.audit);
	assert_true(r->come);
	assert_int_equal(r->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.model_grants, 0);
}

static void
test_audit_refuses(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT);

	(void)state;
	model_done();
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(admit(ENDPOINT_CHAT)->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.model_grants, 1);
	assert_false(audit_is_writable(w.a));
	assert_int_equal(step(r->admitted.turn, STEP_RUN)->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.key[0]->holder.running, 0);
	assert_int_equal(w.a->turns.n, 1); /* its intent is still to be closed */
	w.audit_mode = AUDIT_TAKES;
	audit_tick(w.a);
	spin();
	assert_true(audit_is_writable(w.a));
	TAILQ_FIRST(&w.a->turns.in_use)->wait_until_ms = 0;
	turns_tick(w.a);
	spin();
	assert_int_equal(w.a->turns.n, 0);
	assert_balanced();
}

static void
test_outages_use_up_no_rate(void **state)
{
	struct reply *r = admit(ENDPOINT_MODELS);
	const struct rate *rate = w.key[0]->holder.rate;

	(void)state;
	assert_int_equal(r->admitted.remaining, 49);
	w.audit_mode = AUDIT_REFUSES;
	for (int i = 0; i < 60; i++) {
		r = admit(i % 2 == 0 ? ENDPOINT_CHAT : ENDPOINT_MODELS);
		assert_int_equal(r->error, ERROR_AUDIT_UNAVAILABLE);
	}
	assert_int_equal(rate->total, 1);
	assert_int_equal(w.key[0]->user->holder.rate->total, 1);
	w.audit_mode = AUDIT_TAKES;
	audit_tick(w.a);
	spin();
	w.a->audit_state.probe_at_ms = 0;
	audit_tick(w.a);
	spin();
	cut(&w.executor);
	for (int i = 0; i < 60; i++)
		assert_int_equal(admit(ENDPOINT_EXECUTE)->error, ERROR_UNAVAILABLE);
	assert_int_equal(rate->total, 1);
	for (int i = 0; i < 49; i++)
		assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_NONE);
	assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_RATE_LIMIT);
}

static void
test_audit_hangs(void **state)
{
	struct aa_receipt receipt;
	struct reply *r;

	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	r = admit(ENDPOINT_CHAT);
	TAILQ_FIRST(&w.a->turns.in_use)->wait_until_ms = 0;
	turns_tick(w.a);
	spin();
	assert_int_equal(r->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.key[0]->holder.running, 0);
	w.audit_mode = AUDIT_TAKES;
	receipt = (struct aa_receipt){ .first_seq = 1, .count = w.held_count[0] };
	assert_true(is_ok(link_send(w.audit, w.held[0], AA_RECEIPT, &receipt)));
	spin();
	assert_int_equal(w.model_grants, 0);
	assert_int_equal(w.recs[w.nrecs - 1].cause, AUDIT_TIMEOUT);
	assert_balanced();
}

static void
test_gateway_does_not_settle(void **state)
{
	(void)state;
	(void)admit(ENDPOINT_CHAT);
	TAILQ_FIRST(&w.a->turns.in_use)->wait_until_ms = 0;
	turns_tick(w.a);
	spin();
	assert_int_equal(w.revoke_error, ERROR_TURN_LIMIT);
	assert_int_equal(w.broker_ends, 1);
	assert_int_equal(w.recs[w.nrecs - 1].outcome, AUDIT_UNKNOWN);
	assert_int_equal(w.recs[w.nrecs - 1].cause, AUDIT_TIMEOUT);
	assert_balanced();
}

static void
test_revocation(void **state)
{
	struct admin_op *op = NULL;
	struct reply *chat = admit(ENDPOINT_CHAT);
	struct ga_admit m = admit_msg(ENDPOINT_EXECUTE);
	struct reply *run = call(w.gw2, GA_ADMIT, &m);

	(void)state;
	assert_int_equal(run->error, ERROR_NONE);
	assert_int_equal(
	    admin_revoke_key(
		&(struct admin_call){ .a = w.a, .uid = 0, .reply = on_admin, .op = &op },
		SPAN_LIT("000000000000"))
		.code,
	    E_NOTFOUND);
	assert_true(is_ok(admin_revoke_key(
	    &(struct admin_call){ .a = w.a, .uid = 0, .reply = on_admin, .op = &op },
	    keytext_id(span_of(w.text[0], KEYTEXT_LEN)))));
	spin();
	assert_int_equal(w.admin_http, 200);
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(w.revokes, 2);
	assert_int_equal(w.revoke_error, ERROR_REVOKED);
	assert_int_equal(w.broker_ends, 1);
	assert_int_equal(w.executor_ends, 1);
	assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_INVALID_KEY);
	assert_int_equal(settle(chat->admitted.turn, ERROR_NONE)->error, ERROR_CANCELLED);
	assert_balanced();
}

static void
test_revocation_without_answers(void **state)
{
	struct admin_op *op = NULL;

	(void)state;
	(void)admit(ENDPOINT_CHAT);
	w.mute = true;
	assert_true(is_ok(admin_revoke_key(
	    &(struct admin_call){ .a = w.a, .uid = 0, .reply = on_admin, .op = &op },
	    keytext_id(span_of(w.text[0], KEYTEXT_LEN)))));
	spin();
	assert_int_equal(w.admin_http, 0);
	cut(&w.broker); /* now the last acknowledgement fails */
	assert_int_equal(w.admin_http, 200);
	assert_balanced();
}

/* An actor that does not answer holds a revocation up for a bounded time only. */
static void
test_created_key_works(void **state)
{
	const struct admin_key k = {
		.tenant = SPAN_LIT("t2"), .user = SPAN_LIT("u2"), .policy = SPAN_LIT("default")
	};
	struct admin_op *op = NULL;

	(void)state;
	assert_true(is_ok(admin_create_key(
	    &(struct admin_call){ .a = w.a, .uid = 0, .reply = on_admin, .op = &op }, &k)));
	spin();
	assert_int_equal(w.admin_http, 201);
	assert_int_equal(w.a->keys.nkeys, 3);
	EVENTS(EVENT_KEY_CREATED, EVENT_KEY_CREATED);
	assert_balanced();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_broker_dies),
		T(test_gateway_dies),
		T(test_executor_dies),
		T(test_audit_dies),
		T(test_audit_reads_its_log),
		T(test_audit_dies_with_appends_in_flight),
		T(test_audit_refuses),
		T(test_outages_use_up_no_rate),
		T(test_audit_hangs),
		T(test_gateway_does_not_settle),
		T(test_revocation),
		T(test_revocation_without_answers),
		T(test_created_key_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
