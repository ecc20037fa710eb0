/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_turn.c: the life of turns, with stand-ins at the other end of
 * every link: a gateway, audit, broker, executor and store on one loop.
 */
#include "authority_world.h"

/* ---- tests ---- */

static void
test_chat_with_a_run(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT);
	uint64_t turn = r->admitted.turn;

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.limit, 50);
	assert_int_equal(r->admitted.remaining, 49);
	assert_int_equal(w.key[0]->holder.running, 1);
	assert_memory_equal(r->admitted.grant, w.model_grant.grant, GRANT_LEN);
	assert_int_equal(w.model_grant.gateway, 5);
	assert_int_equal(w.model_grant.body_len, 120);
	assert_string_equal(w.target, "alpha");
	model_done();
	r = step(turn, STEP_RUN);
	assert_int_equal(r->error, ERROR_NONE);
	assert_memory_equal(r->granted.grant, w.run_grant.grant, GRANT_LEN);
	assert_int_equal(w.run_grant.keep, 1);
	assert_string_equal(w.target, "python");
	/* The next STEP waits until the run has ended. */
	r = step(turn, STEP_MODEL);
	assert_false(r->come);
	run_done(RUN_EXIT, 0);
	assert_true(r->come);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.model_grants, 2);
	model_done();
	r = settle(turn, ERROR_NONE);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.executor_ends, 1); /* the lease */
	assert_int_equal(w.broker_ends, 0);
	EVENTS(EVENT_AUTHENTICATION, EVENT_PROMPT_SUBMITTED, EVENT_MODEL_CALLED, EVENT_MODEL_CALLED,
	    EVENT_CODE_GENERATED, EVENT_TOOL_EXECUTED, EVENT_TOOL_EXECUTED, EVENT_MODEL_CALLED,
	    EVENT_MODEL_CALLED, EVENT_RESPONSE_RETURNED);
	assert_non_null(strstr(w.recs[2].text, "model=alpha step=1 size_bytes=100 sha256=aa00"));
	assert_int_equal(w.recs[2].phase, AUDIT_PHASE_INTENT);
	assert_string_equal(w.recs[3].text,
	    "model=alpha step=1 provider=d host=h:443 secret_version=v7 http_status=200 "
	    "attempts=1 provider_request_id=req_1 ");
	assert_int_equal(w.recs[3].outcome, AUDIT_SUCCESS);
	assert_int_equal(w.recs[6].outcome, AUDIT_SUCCESS);
	assert_non_null(strstr(w.recs[8].text, "model=alpha step=2 provider=d"));
	assert_balanced();
}

static void
test_execute(void **state)
{
	struct reply *r = admit(ENDPOINT_EXECUTE);

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_memory_equal(r->admitted.grant, w.run_grant.grant, GRANT_LEN);
	assert_int_equal(w.run_grant.keep, 0);
	run_done(RUN_SIGNAL, 9);
	run_done(RUN_EXIT, 0); /* a second DONE of the same grant counts for nothing */
	assert_int_equal(w.nrecs, 2);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	EVENTS(EVENT_AUTHENTICATION, EVENT_TOOL_EXECUTED, EVENT_TOOL_EXECUTED,
	    EVENT_RESPONSE_RETURNED);
	assert_int_equal(w.recs[2].outcome, AUDIT_FAILURE);
	assert_int_equal(w.recs[3].phase, AUDIT_PHASE_NONE);
	assert_int_equal(w.executor_ends, 0);
	assert_balanced();
}

/* Each endpoint that asks a model is a turn with a model call; steps only where there are tools. */
static void
test_each_endpoint(void **state)
{
	(void)state;
	for (uint8_t e = ENDPOINT_CHAT; e < ENDPOINT_OTHER; e++) {
		struct ga_admit m = admit_msg(e);
		struct reply *r;

		if (!endpoint_rows[e].asks_model)
			continue;
		w.gw_closed = false;
		if (w.gw == NULL)
			connect_fake(EDGE_GATEWAY_AUTHORITY, 20 + (uint32_t)e, &ga_edge, true,
			    &gateway_ops, &w.gw);
		m.tools = endpoint_rows[e].takes_tools ? TOOL_CODE_INTERPRETER : 0;
		r = call(w.gw, GA_ADMIT, &m);
		assert_int_equal(r->error, ERROR_NONE);
		assert_int_equal(w.model_grant.endpoint, e);
		model_done();
		(void)step(r->admitted.turn, STEP_RUN);
		assert_int_equal(w.gw_closed, !endpoint_rows[e].takes_tools);
		if (w.gw_closed)
			continue;
		run_done(RUN_EXIT, 0);
		assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	}
	if (w.gw == NULL)
		connect_fake(EDGE_GATEWAY_AUTHORITY, 19, &ga_edge, true, &gateway_ops, &w.gw);
	assert_balanced();
}

static void
test_settle_without_done(void **state)
{
	struct reply *r = admit(ENDPOINT_EXECUTE);

	(void)state;
	/* The grant was never used: TURN_END ends the doubt. */
	assert_int_equal(settle(r->admitted.turn, ERROR_CANCELLED)->error, ERROR_NONE);
	assert_int_equal(w.executor_ends, 1);
	EVENTS(EVENT_AUTHENTICATION, EVENT_TOOL_EXECUTED, EVENT_TOOL_EXECUTED, EVENT_ERROR,
	    EVENT_RESPONSE_RETURNED);
	assert_int_equal(w.recs[2].outcome, AUDIT_FAILURE);
	assert_int_equal(w.recs[2].cause, AUDIT_CANCELLED);
	assert_balanced();
}

/* How a model call ended is known before the turn's end is written, or is called unknown. */
static void
test_settle_before_done(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT), *settled;

	(void)state;
	settled = settle(r->admitted.turn, ERROR_NONE);
	assert_false(settled->come);
	model_done();
	assert_true(settled->come);
	assert_int_equal(w.broker_ends, 0);
	assert_int_equal(w.recs[3].outcome, AUDIT_SUCCESS);
	/* It does not come: the broker is asked once, and then the grant was never used. */
	r = admit(ENDPOINT_CHAT);
	settled = settle(r->admitted.turn, ERROR_NONE);
	TAILQ_FIRST(&w.a->turns.in_use)->wait_until_ms = 0;
	turns_tick(w.a);
	spin();
	assert_true(settled->come);
	assert_int_equal(w.broker_ends, 1);
	assert_int_equal(w.recs[8].event, EVENT_MODEL_CALLED);
	assert_int_equal(w.recs[8].outcome, AUDIT_FAILURE);
	assert_int_equal(w.recs[8].cause, AUDIT_CANCELLED);
	/* A client that left: at once. */
	r = admit(ENDPOINT_CHAT);
	assert_true(settle(r->admitted.turn, ERROR_CANCELLED)->come);
	assert_int_equal(w.broker_ends, 2);
	assert_balanced();
}

/* An exchange that is followed by another is a record of its own, of the granted call only. */
static void
test_attempts(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT);
	struct ab_attempted m = { .turn = w.model_grant.turn,
		.attempt = 1,
		.http_status = 500,
		.provider = SPAN_LIT("d"),
		.host = SPAN_LIT("h:443"),
		.secret_version = SPAN_LIT("v6") };

	(void)state;
	assert_true(is_ok(link_send(w.broker, 0, AB_ATTEMPTED, &m))); /* another grant's */
	memcpy(m.grant, w.model_grant.grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.broker, 0, AB_ATTEMPTED, &m)));
	spin();
	assert_int_equal(w.nrecs, 4);
	assert_int_equal(w.recs[3].event, EVENT_MODEL_ATTEMPTED);
	assert_int_equal(w.recs[3].outcome, AUDIT_FAILURE);
	assert_string_equal(
	    w.recs[3].text, "attempt=1 provider=d host=h:443 secret_version=v6 http_status=500 ");
	model_done();
	assert_true(settle(r->admitted.turn, ERROR_NONE)->come);
	assert_balanced();
}

static uint64_t told[3];
static size_t ntold, unwritten;

static void
on_told(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)type, (void)ctx;
	assert_true(is_ok(st));
	told[ntold++] = ((const struct ga_admitted *)msg)->turn;
}

/* Started last, so before any link writes what this turn of the loop queued. */
static void
on_turn_over(uv_check_t *handle)
{
	(void)handle;
	unwritten += link_queued(w.a->broker.link);
}

/* A grant is written before its gateway can know it, and those of one read together. */
static void
test_grants_before_answers(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	uv_check_t check;

	(void)state;
	ntold = unwritten = 0;
	assert_int_equal(uv_check_init(&w.loop, &check), 0);
	assert_int_equal(uv_check_start(&check, on_turn_over), 0);
	for (int i = 0; i < 3; i++)
		assert_true(is_ok(link_call(w.gw, GA_ADMIT, &m, 60000, on_told, NULL, NULL)));
	spin();
	assert_int_equal(ntold, 3);
	assert_int_equal(w.model_grants, 3);
	assert_int_equal(unwritten, 0);
	uv_close((uv_handle_t *)&check, NULL);
	for (int i = 0; i < 3; i++)
		(void)settle(told[i], ERROR_CANCELLED);
	assert_balanced();
}

static void
test_answers_without_a_turn(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);
	struct ga_check check = { .request_id = { 7 }, .credential = m.credential };
	struct reply *r = call(w.gw, GA_ADMIT, &m);

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.turn, 0);
	assert_string_equal(r->models, "alpha");
	m = admit_msg(ENDPOINT_OPENAPI);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	m = admit_msg(ENDPOINT_CHAT);
	m.model = SPAN_LIT("beta");
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_MODEL_NOT_FOUND);
	m = admit_msg(ENDPOINT_OTHER);
	m.refused = ERROR_INVALID_JSON;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_JSON);
	m.credential = SPAN_LIT("sk-wrong");
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(call(w.gw, GA_CHECK, &check)->error, ERROR_NONE);
	check.credential = SPAN_EMPTY;
	assert_int_equal(call(w.gw, GA_CHECK, &check)->error, ERROR_INVALID_KEY);
	EVENTS(EVENT_AUTHENTICATION, EVENT_RESPONSE_RETURNED, EVENT_AUTHENTICATION,
	    EVENT_RESPONSE_RETURNED, EVENT_AUTHENTICATION, EVENT_ERROR, EVENT_AUTHENTICATION,
	    EVENT_ERROR, EVENT_AUTHENTICATION, EVENT_AUTHENTICATION);
	assert_int_equal(w.recs[8].outcome, AUDIT_DENIED);
	assert_true(w.recs[8].anonymous);
	assert_int_equal(w.recs[9].request, 7);
	assert_false(w.recs[0].anonymous);
}

static void
test_attached_tools(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	struct reply *r;

	(void)state;
	m.credential = span_of(w.text[1], KEYTEXT_LEN);
	m.tools = 0;
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.attach, TOOL_CODE_INTERPRETER);
	assert_int_equal(r->admitted.turn, 0);
	assert_int_equal(w.nrecs, 0);
	m.tools = m.attached = TOOL_CODE_INTERPRETER;
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->admitted.attach, 0);
	model_done();
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	m.attached = 0; /* the client names it itself */
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->admitted.attach, 0);
	model_done();
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
}

/* The policy does not attach what a gateway remembers of it. */
static void
test_tools_not_attached_any_more(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	struct reply *r;

	(void)state;
	m.tools = m.attached = TOOL_CODE_INTERPRETER;
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.turn, 0);
	assert_int_equal(r->admitted.attach, 0);
	assert_int_equal(w.nrecs, 0);
}

static void
test_limits_across_gateways(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	struct reply *r[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		r[i] = call(i % 2 == 0 ? w.gw : w.gw2, GA_ADMIT, &m);
	assert_int_equal(r[2]->error, ERROR_NONE);
	assert_int_equal(r[3]->error, ERROR_CONCURRENCY);
	assert_true(r[3]->admitted.retry_after_ms > 0);
	cut(&w.gw2); /* holds one of the three */
	assert_int_equal(w.key[0]->holder.running, 2);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	cut(&w.gw);
	assert_int_equal(w.key[0]->holder.running, 0);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 7, &ga_edge, true, &gateway_ops, &w.gw);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 8, &ga_edge, true, &gateway_ops, &w.gw2);
	m.endpoint = ENDPOINT_MODELS;
	for (int i = 0; i < 46; i++)
		assert_int_equal(call(i % 2 == 0 ? w.gw : w.gw2, GA_ADMIT, &m)->error, ERROR_NONE);
	m.endpoint = ENDPOINT_CHAT;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_RATE_LIMIT);
	assert_int_equal(call(w.gw2, GA_ADMIT, &m)->error, ERROR_RATE_LIMIT);
	assert_int_equal(w.key[0]->holder.rate->total, 50);
	assert_balanced();
}

static void
test_steps_are_bounded(void **state)
{
	uint64_t turn = admit(ENDPOINT_CHAT)->admitted.turn;

	(void)state;
	model_done();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(step(turn, STEP_RUN)->error, ERROR_NONE);
		run_done(RUN_EXIT, 0);
	}
	assert_int_equal(step(turn, STEP_RUN)->error, ERROR_TURN_LIMIT);
	assert_int_equal(settle(turn, ERROR_TURN_LIMIT)->error, ERROR_NONE);
	assert_balanced();
}

/* A gateway that lies is dropped, and only its own turns end. */
static void
test_lies(void **state)
{
	struct ga_step m = { .kind = STEP_MODEL };
	struct reply *mine = admit(ENDPOINT_CHAT);

	(void)state;
	m.turn = mine->admitted.turn;
	(void)call(w.gw2, GA_STEP, &m); /* of the other gateway */
	assert_true(w.gw2_closed);
	assert_int_equal(w.a->turns.n, 1);
	model_done();
	assert_int_equal(settle(mine->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	/* A turn that is over is no lie: messages cross. */
	assert_int_equal(step(mine->admitted.turn, STEP_MODEL)->error, ERROR_CANCELLED);
	assert_int_equal(settle(mine->admitted.turn, ERROR_NONE)->error, ERROR_CANCELLED);
	assert_false(w.gw_closed);
	m.turn = mine->admitted.turn + (1ULL << 40);
	(void)call(w.gw, GA_STEP, &m);
	assert_true(w.gw_closed);
	assert_balanced();
}

static void
test_step_while_one_is_open(void **state)
{
	uint64_t turn = admit(ENDPOINT_CHAT)->admitted.turn;

	(void)state;
	assert_false(step(turn, STEP_RUN)->come); /* waits for the model's end */
	(void)step(turn, STEP_RUN);
	assert_true(w.gw_closed);
	assert_int_equal(w.run_grants, 0);
	assert_balanced();
}

/* An outage is not followed by a lock-out: what we refuse for our own sake is not counted. */
/* ---- the table, cell by cell ---- */

static void
test_table(void **state)
{
	/* Columns: STEP SETTLE RUN_DONE MODEL_DONE DURABLE REFUSED END ACKS EXPIRED */
	static const char *const allowed[TURN_STATE_COUNT] = {
		[TURN_FREE] = ".........",
		[TURN_ANSWERING] = "..xxxxx.x",
		[TURN_ADMITTING] = "..xxxxx.x",
		[TURN_RUNNING] = "xxxx..x.x",
		[TURN_STEP_WAIT] = "x.xx..x.x",
		[TURN_STEP_AUDIT] = "x.xxxxx.x",
		[TURN_SETTLE_WAIT] = "..xx..xxx",
		[TURN_SETTLE_AUDIT] = "..xxxxxxx",
		[TURN_ENDING] = "xxxxxxxxx",
		[TURN_CLOSING] = "xxxxxxxxx",
	};

	(void)state;
	for (int s = 0; s < TURN_STATE_COUNT; s++) {
		for (int e = 0; e < TURN_EVENT_COUNT; e++) {
			bool is = turn_handler_of((enum turn_state)s, (enum turn_event)e) != NULL;

			if (is != (allowed[s][e] == 'x'))
				print_error("state %d, event %d\n", s, e);
			assert_int_equal(is, allowed[s][e] == 'x');
		}
	}
}

/* Anything a gateway may send, in any order: no crash, no leak, every intent closed. */
static void
test_random_orders(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < 60; i++) {
		uint64_t turn;

		if (w.gw == NULL) {
			w.gw_closed = false;
			connect_fake(EDGE_GATEWAY_AUTHORITY, 100 + (uint32_t)i, &ga_edge, true,
			    &gateway_ops, &w.gw);
		}
		nreplies = 0;
		holder_done(&w.key[0]->holder);
		holder_done(&w.key[0]->user->holder);
		turn = admit((seed & 64) != 0 ? ENDPOINT_CHAT : ENDPOINT_EXECUTE)->admitted.turn;
		for (int j = 0; j < 6 && w.gw != NULL; j++) {
			seed = seed * 1664525 + 1013904223;
			switch (seed >> 24 & 7) {
			case 0:
			case 1:
				(void)step(turn, STEP_RUN);
				break;
			case 2:
				(void)step(turn, STEP_MODEL);
				break;
			case 3:
				(void)settle(turn, ERROR_NONE);
				break;
			case 4:
				run_done(RUN_EXIT, 0);
				break;
			case 5:
				cut(&w.gw);
				break;
			default:
				model_done();
				break;
			}
		}
		if (w.gw != NULL)
			cut(&w.gw);
		assert_int_equal(w.a->turns.n, 0);
		assert_balanced();
	}
	connect_fake(EDGE_GATEWAY_AUTHORITY, 99, &ga_edge, true, &gateway_ops, &w.gw);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_chat_with_a_run),
		T(test_execute),
		T(test_settle_without_done),
		T(test_each_endpoint),
		T(test_settle_before_done),
		T(test_attempts),
		T(test_grants_before_answers),
		T(test_answers_without_a_turn),
		T(test_attached_tools),
		T(test_tools_not_attached_any_more),
		T(test_limits_across_gateways),
		T(test_steps_are_bounded),
		T(test_lies),
		T(test_step_while_one_is_open),
		T(test_random_orders),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
