/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on what is kept for users, at the authority: on record before they are granted,
 * to the key's own user, for the object that was named; turns that begin with one and end
 * with one; a gateway that asks for what is not due, a store that dies.
 */
#define WORLD_KEYS 4
#define WORLD_YAML content_yaml

static const char content_yaml[] =
    "policies:\n"
    "  default: { endpoints: '*', models: '*', tools: '*', languages: '*',\n"
    "             requests_per_min: 1000, concurrent: 50 }\n"
    "  helped: { endpoints: [responses, files], models: '*', tools: '*', languages: [python],\n"
    "            credentials: refuse }\n"
    "providers: { d: { kind: openai, base_url: 'http://127.0.0.1:1/v1', credential: none,\n"
    "                  allow_plain_loopback: true } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "sandboxes: { python: { pool: 1 } }\n"
    "engines: { runsc: /x/runsc, image: /x/image, manifest: /x/manifest }\n"
    "limits: { turn_steps: 2 }\n";

#include "authority_world.h"

static struct ga_admit
content_msg(size_t key, uint8_t endpoint, uint8_t op, uint8_t kind, const char *id)
{
	struct ga_admit m = admit_msg(endpoint);

	m.credential = span_of(w.text[key], KEYTEXT_LEN);
	m.tools = 0;
	m.model = endpoint_rows[endpoint].asks_model ? SPAN_LIT("alpha") : SPAN_EMPTY;
	m.language = m.tool_name = SPAN_EMPTY;
	m.content_op = op;
	m.content_kind = kind;
	m.content_id = span_str(id);
	m.store = endpoint == ENDPOINT_RESPONSES ? STORE_DEFAULT : STORE_NO;
	return m;
}

static struct reply *
ask(size_t key, uint8_t endpoint, uint8_t op, uint8_t kind, const char *id)
{
	struct ga_admit m = content_msg(key, endpoint, op, kind, id);

	return call(w.gw, GA_ADMIT, &m);
}

static struct reply *
read_conversation(const char *id)
{
	return ask(0, ENDPOINT_CONVERSATIONS, CONTENT_READ, CONTENT_CONVERSATION, id);
}

static void
content_done_of(const struct grant *g, enum error error)
{
	struct as_content_done m = {
		.turn = g->turn, .error = (uint16_t)error, .size_bytes = 777, .items = 3
	};

	memcpy(m.grant, g->grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.store, 0, AS_CONTENT_DONE, &m)));
	spin();
}

static void
content_done(enum error error)
{
	content_done_of(&w.content_grant, error);
}

static struct reply *
step_save(uint64_t turn, const char *id)
{
	struct ga_step m = { .turn = turn,
		.kind = STEP_CONTENT,
		.body_len = 55,
		.content_op = CONTENT_SAVE,
		.content_kind = CONTENT_RESPONSE,
		.content_id = span_str(id) };

	m.digest[0] = 0xcc;
	return call(w.gw, GA_STEP, &m);
}

static struct reply *
load(size_t key, uint8_t kind, const char *id)
{
	return ask(key, ENDPOINT_RESPONSES, CONTENT_LOAD, kind, id);
}

/* ---- one operation ---- */

static void
test_an_operation(void **state)
{
	struct reply *r = read_conversation("conv_1");
	char name[sizeof(w.recs[0].resource)];

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_memory_equal(r->admitted.grant, w.content_grant.grant, GRANT_LEN);
	assert_int_equal(w.content_grant.kind, GRANT_CONTENT);
	assert_int_equal(w.content_grant.content_op, CONTENT_READ);
	assert_int_equal(w.content_grant.content_kind, CONTENT_CONVERSATION);
	assert_int_equal(w.content_grant.gateway, 5);
	assert_int_equal(w.content_grant.body_len, 120);
	assert_int_equal(w.content_grant.digest[0], 0xaa);
	assert_string_equal(w.target, "conv_1");
	/* The intent was there before the grant. */
	assert_int_equal(w.recs[1].phase, AUDIT_PHASE_INTENT);
	assert_non_null(
	    strstr(w.recs[1].text, "operation=read kind=conversation size_bytes=120 sha256=aa00"));
	/* No id that we made: the log has a hash of it. */
	(void)snprintf(name, sizeof(name), "%s", w.recs[1].resource);
	assert_int_equal(strlen(name), sizeof("conversation:~") - 1 + CONTENT_ID_RANDOM);
	assert_int_equal(strncmp(name, "conversation:~", 14), 0);
	content_done(ERROR_NONE);
	content_done(ERROR_CONTENT_FULL); /* a second one counts for nothing */
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	EVENTS(EVENT_AUTHENTICATION, EVENT_CONTENT_ACCESSED, EVENT_CONTENT_ACCESSED,
	    EVENT_RESPONSE_RETURNED);
	assert_int_equal(w.recs[2].outcome, AUDIT_SUCCESS);
	assert_non_null(strstr(w.recs[2].text, "size_bytes=777"));
	assert_non_null(strstr(w.recs[2].text, "items=3"));
	assert_string_equal(w.recs[3].resource, name);
	assert_int_equal(w.store_ends, 0);
	assert_int_equal(w.executor_ends, 0);
	assert_balanced();
}

/* Who holds the key decides whose content it is; nobody else's name is in a grant. */
static void
test_whose_it_is(void **state)
{
	static const char *const whose[WORLD_KEYS] = { "t/u", "t/u", "t/v", "x/u" };

	(void)state;
	for (size_t key = 0; key < WORLD_KEYS; key++) {
		struct reply *r = ask(key, ENDPOINT_FILES, CONTENT_READ, CONTENT_FILE, "file_1");

		assert_int_equal(r->error, ERROR_NONE);
		assert_string_equal(w.whose, whose[key]);
		content_done(ERROR_CONTENT_NOT_FOUND);
		assert_int_equal(
		    settle(r->admitted.turn, ERROR_CONTENT_NOT_FOUND)->error, ERROR_NONE);
	}
	assert_int_equal(w.recs[2].outcome, AUDIT_FAILURE);
	assert_non_null(strstr(w.recs[2].text, "error_type=not_found"));
	assert_balanced();
}

static void
test_refused(void **state)
{
	struct ga_admit m = content_msg(
	    0, ENDPOINT_CONVERSATIONS, CONTENT_READ, CONTENT_CONVERSATION, "conv_1");

	(void)state;
	/* By policy: `helped` has files and responses, no conversations. */
	assert_int_equal(
	    ask(1, ENDPOINT_CONVERSATIONS, CONTENT_READ, CONTENT_CONVERSATION, "c")->error,
	    ERROR_DENIED);
	assert_int_equal(
	    ask(1, ENDPOINT_STORED_RESPONSES, CONTENT_READ, CONTENT_RESPONSE, "r")->error,
	    ERROR_DENIED);
	assert_int_equal(load(1, CONTENT_CONVERSATION, "conv_1")->error, ERROR_DENIED);
	/* What cannot be an id is none, and is not recorded. */
	assert_int_equal(read_conversation("a b")->error, ERROR_CONTENT_NOT_FOUND);
	assert_int_equal(read_conversation("conv\n")->error, ERROR_CONTENT_NOT_FOUND);
	assert_int_equal(load(0, CONTENT_RESPONSE, "../x")->error, ERROR_CONTENT_NOT_FOUND);
	for (size_t i = 0; i < w.nrecs; i++)
		assert_null(strstr(w.recs[i].resource, "a b"));
	/* By the gateway's own look at it. */
	m.refused = ERROR_INVALID_JSON;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_JSON);
	/* Without a log, a store. */
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(read_conversation("conv_1")->error, ERROR_AUDIT_UNAVAILABLE);
	w.audit_mode = AUDIT_TAKES;
	cut(&w.store);
	assert_int_equal(read_conversation("conv_1")->error, ERROR_UNAVAILABLE);
	assert_int_equal(load(0, CONTENT_RESPONSE, "resp_1")->error, ERROR_UNAVAILABLE);
	assert_int_equal(w.content_grants, 0);
	assert_balanced();
}

/* A gateway that asks for what is not of the endpoint is dropped; nothing is granted. */
static void
test_not_due(void **state)
{
	static const struct {
		uint8_t endpoint, op, kind;
		const char *id;
	} bad[] = {
		{ ENDPOINT_CONVERSATIONS, 0, 0, "conv_1" },
		{ ENDPOINT_CONVERSATIONS, CONTENT_READ, 0, "conv_1" },
		{ ENDPOINT_CONVERSATIONS, CONTENT_READ, CONTENT_FILE, "file_1" },
		{ ENDPOINT_CONVERSATIONS, CONTENT_READ, CONTENT_CONVERSATION, "" },
		{ ENDPOINT_CONVERSATIONS, CONTENT_LOAD, CONTENT_CONVERSATION, "conv_1" },
		{ ENDPOINT_CONVERSATIONS, CONTENT_SAVE, CONTENT_RESPONSE, "resp_1" },
		{ ENDPOINT_STORED_RESPONSES, CONTENT_SAVE, CONTENT_RESPONSE, "resp_1" },
		{ ENDPOINT_FILES, CONTENT_READ, CONTENT_CONVERSATION, "conv_1" },
		{ ENDPOINT_FILES, CONTENT_UPDATE, CONTENT_FILE, "file_1" },
		{ ENDPOINT_RESPONSES, CONTENT_READ, CONTENT_RESPONSE, "resp_1" },
		{ ENDPOINT_RESPONSES, CONTENT_LOAD, CONTENT_FILE, "file_1" },
		{ ENDPOINT_CHAT, CONTENT_LOAD, CONTENT_RESPONSE, "resp_1" },
		{ ENDPOINT_MODELS, CONTENT_READ, CONTENT_FILE, "file_1" },
		{ ENDPOINT_EXECUTE, CONTENT_READ, CONTENT_FILE, "file_1" },
	};

	(void)state;
	for (uint32_t i = 0; i < COUNT(bad); i++) {
		if (w.gw == NULL)
			connect_fake(
			    EDGE_GATEWAY_AUTHORITY, 20 + i, &ga_edge, true, &gateway_ops, &w.gw);
		w.gw_closed = false;
		(void)ask(0, bad[i].endpoint, bad[i].op, bad[i].kind, bad[i].id);
		assert_true(w.gw_closed);
	}
	assert_int_equal(w.content_grants, 0);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 60, &ga_edge, true, &gateway_ops, &w.gw);
}

/* ---- turns ---- */

static void
test_a_turn_that_goes_on(void **state)
{
	struct reply *r = load(0, CONTENT_RESPONSE, "resp_1");
	uint64_t turn = r->admitted.turn;

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_memory_equal(r->admitted.grant, w.content_grant.grant, GRANT_LEN);
	assert_int_equal(w.content_grant.content_op, CONTENT_LOAD);
	assert_int_equal(w.model_grants, 0);
	/* The model is asked when the store is done, not before. */
	r = step(turn, STEP_MODEL);
	assert_false(r->come);
	assert_int_equal(w.model_grants, 0);
	content_done(ERROR_NONE);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.model_grants, 1);
	/* The response is kept when the model is done. */
	r = step_save(turn, "resp_2");
	assert_false(r->come);
	model_done();
	assert_int_equal(r->error, ERROR_NONE);
	assert_memory_equal(r->granted.grant, w.content_grant.grant, GRANT_LEN);
	assert_int_equal(w.content_grant.content_op, CONTENT_SAVE);
	assert_int_equal(w.content_grant.body_len, 55);
	assert_int_equal(w.content_grant.digest[0], 0xcc);
	assert_string_equal(w.target, "resp_2");
	content_done(ERROR_NONE);
	assert_int_equal(settle(turn, ERROR_NONE)->error, ERROR_NONE);
	EVENTS(EVENT_AUTHENTICATION, EVENT_PROMPT_SUBMITTED, EVENT_CONTENT_ACCESSED,
	    EVENT_CONTENT_ACCESSED, EVENT_MODEL_CALLED, EVENT_MODEL_CALLED, EVENT_CONTENT_ACCESSED,
	    EVENT_CONTENT_ACCESSED, EVENT_RESPONSE_RETURNED);
	assert_null(strstr(w.recs[1].text, "sha256"));
	assert_non_null(strstr(w.recs[2].text, "operation=load kind=response"));
	assert_non_null(strstr(w.recs[4].text, "step=1"));
	assert_non_null(strstr(w.recs[6].text, "operation=save kind=response size_bytes=55"));
	assert_string_equal(w.recs[8].resource, "model:alpha");
	assert_balanced();
}

/* The first model call is no step beyond the limit; what is kept does not count as a step. */
static void
test_steps_of_such_a_turn(void **state)
{
	struct reply *r = load(0, CONTENT_CONVERSATION, "conv_1");
	uint64_t turn = r->admitted.turn;

	(void)state;
	content_done(ERROR_NONE);
	for (int i = 0; i < 3; i++) { /* the first, and turn_steps */
		assert_int_equal(step(turn, STEP_MODEL)->error, ERROR_NONE);
		model_done();
	}
	assert_int_equal(step(turn, STEP_MODEL)->error, ERROR_TURN_LIMIT);
	for (int i = 0; i < TURN_SAVES_MAX; i++) {
		assert_int_equal(step_save(turn, "resp_2")->error, ERROR_NONE);
		content_done(i == 0 ? ERROR_CONTENT_FULL : ERROR_NONE);
	}
	assert_int_equal(step_save(turn, "resp_2")->error, ERROR_TURN_LIMIT);
	assert_int_equal(settle(turn, ERROR_NONE)->error, ERROR_NONE);
	assert_balanced();
}

/* A turn without LOAD keeps its response the same way. */
static void
test_save_alone(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_RESPONSES);
	struct reply *r;
	uint64_t turn;

	(void)state;
	m.tools = 0;
	m.store = STORE_DEFAULT;
	turn = call(w.gw, GA_ADMIT, &m)->admitted.turn;
	assert_int_equal(w.model_grants, 1);
	model_done();
	cut(&w.store);
	assert_int_equal(step_save(turn, "resp_1")->error, ERROR_UNAVAILABLE);
	connect_fake(EDGE_AUTHORITY_STORE, 14, &as_edge, false, &store_ops, &w.store);
	spin();
	r = step_save(turn, "resp_1");
	assert_int_equal(r->error, ERROR_NONE);
	content_done(ERROR_NONE);
	assert_int_equal(settle(turn, ERROR_NONE)->error, ERROR_NONE);
	assert_balanced();
}

static void
test_saves_that_are_not_due(void **state)
{
	const struct ga_step bad[] = {
		{ .kind = STEP_CONTENT,
		    .content_op = CONTENT_DELETE,
		    .content_kind = CONTENT_RESPONSE,
		    .content_id = SPAN_LIT("resp_1") },
		{ .kind = STEP_CONTENT,
		    .content_op = CONTENT_SAVE,
		    .content_kind = CONTENT_CONVERSATION,
		    .content_id = SPAN_LIT("conv_1") },
		{ .kind = STEP_CONTENT,
		    .content_op = CONTENT_SAVE,
		    .content_kind = CONTENT_RESPONSE },
		{ .kind = STEP_CONTENT,
		    .content_op = CONTENT_SAVE,
		    .content_kind = CONTENT_RESPONSE,
		    .content_id = SPAN_LIT("a b") },
	};

	(void)state;
	for (uint32_t i = 0; i < COUNT(bad) + 1; i++) {
		struct ga_admit m = admit_msg(i < COUNT(bad) ? ENDPOINT_RESPONSES : ENDPOINT_CHAT);
		struct ga_step s = bad[i % COUNT(bad)];

		m.store = STORE_DEFAULT;
		if (w.gw == NULL)
			connect_fake(
			    EDGE_GATEWAY_AUTHORITY, 20 + i, &ga_edge, true, &gateway_ops, &w.gw);
		w.gw_closed = false;
		s.turn = call(w.gw, GA_ADMIT, &m)->admitted.turn;
		assert_true(s.turn != 0);
		model_done();
		if (i == COUNT(bad)) /* the very step that a response may take */
			(void)step_save(s.turn, "resp_1");
		else
			(void)call(w.gw, GA_STEP, &s);
		assert_true(w.gw_closed);
	}
	connect_fake(EDGE_GATEWAY_AUTHORITY, 60, &ga_edge, true, &gateway_ops, &w.gw);
	assert_int_equal(w.content_grants, 0);
	assert_balanced();
}

/* ---- ends ---- */

static void
test_cancelled(void **state)
{
	struct reply *r = read_conversation("conv_1");

	(void)state;
	/* The client left before its grant was used: the store is asked, and forgets it. */
	assert_int_equal(settle(r->admitted.turn, ERROR_CANCELLED)->error, ERROR_NONE);
	assert_int_equal(w.store_ends, 1);
	assert_int_equal(w.executor_ends, 0);
	assert_int_equal(w.recs[2].event, EVENT_CONTENT_ACCESSED);
	assert_int_equal(w.recs[2].outcome, AUDIT_FAILURE);
	assert_int_equal(w.recs[2].cause, AUDIT_CANCELLED);
	/* A store that does not answer: what became of it is not known. */
	w.mute = true;
	r = read_conversation("conv_1");
	(void)settle(r->admitted.turn, ERROR_CANCELLED);
	cut(&w.store);
	assert_int_equal(w.recs[w.nrecs - 4].event, EVENT_CONTENT_ACCESSED);
	assert_int_equal(w.recs[w.nrecs - 4].outcome, AUDIT_UNKNOWN);
	assert_balanced();
}

static void
test_store_dies(void **state)
{
	struct reply *r = load(0, CONTENT_RESPONSE, "resp_1");
	struct reply *s = step(r->admitted.turn, STEP_MODEL);

	(void)state;
	cut(&w.store);
	/* The gateway's stream broke, too; it may still end the turn as it likes. */
	assert_true(s->come);
	assert_int_equal(w.recs[3].event, EVENT_CONTENT_ACCESSED);
	assert_int_equal(w.recs[3].outcome, AUDIT_UNKNOWN);
	assert_int_equal(w.recs[3].cause, AUDIT_PROCESS_DIED);
	model_done();
	assert_int_equal(settle(r->admitted.turn, ERROR_UNAVAILABLE)->error, ERROR_NONE);
	assert_balanced();
}

/* The executor's end, and its words, say nothing about the store's work. */
static void
test_executor_is_another(void **state)
{
	struct reply *r = read_conversation("conv_1");
	struct ae_done m = { .turn = r->admitted.turn, .status = RUN_EXIT };

	(void)state;
	memcpy(m.grant, w.content_grant.grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.executor, 0, AE_DONE, &m)));
	spin();
	cut(&w.executor);
	content_done(ERROR_NONE);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	assert_int_equal(w.recs[2].outcome, AUDIT_SUCCESS);
	assert_non_null(strstr(w.recs[2].text, "items=3")); /* as the store says */
	assert_balanced();
}

static void
test_gateway_dies(void **state)
{
	(void)state;
	(void)load(0, CONTENT_RESPONSE, "resp_1");
	cut(&w.gw);
	assert_int_equal(w.store_ends, 1);
	assert_int_equal(w.a->turns.n, 0);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 60, &ga_edge, true, &gateway_ops, &w.gw);
	assert_balanced();
}

static void
test_key_revoked(void **state)
{
	struct reply *r = read_conversation("conv_1");
	struct turn *t = turn_find(w.a, r->admitted.turn);

	(void)state;
	turn_end(t, ERROR_REVOKED, AUDIT_REVOKED);
	spin();
	assert_int_equal(w.revokes, 1);
	assert_int_equal(w.store_ends, 1);
	assert_int_equal(w.a->turns.n, 0);
	assert_balanced();
}

/* A receipt that comes late, for a turn that has ended: no grant. */
static void
test_no_grant_without_receipt(void **state)
{
	struct reply *r;
	struct aa_receipt receipt = { .first_seq = 1, .count = 2 };

	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	r = read_conversation("conv_1");
	assert_false(r->come);
	assert_int_equal(w.content_grants, 0);
	w.audit_mode = AUDIT_TAKES;
	assert_true(is_ok(link_send(w.audit, w.held[0], AA_RECEIPT, &receipt)));
	spin();
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.content_grants, 1);
	content_done(ERROR_NONE);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	assert_balanced();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- what may be kept ---- */

static struct reply *
respond(size_t key, uint8_t store, uint8_t credentials)
{
	struct ga_admit m = admit_msg(ENDPOINT_RESPONSES);

	m.credential = span_of(w.text[key], KEYTEXT_LEN);
	m.tools = 0;
	m.store = store;
	m.credentials = credentials;
	return call(w.gw, GA_ADMIT, &m);
}

static void
test_who_may_keep(void **state)
{
	struct reply *r = respond(0, STORE_ASKED, CREDENTIALS_FOUND);

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.store, 1);
	assert_int_equal(r->admitted.mask, 1);
	model_done();
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	r = respond(0, STORE_NO, CREDENTIALS_NONE);
	assert_int_equal(r->admitted.store, 0);
	model_done();
	/* A gateway that keeps it all the same. */
	(void)step_save(r->admitted.turn, "resp_1");
	assert_true(w.gw_closed);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 61, &ga_edge, true, &gateway_ops, &w.gw);
	spin();
	/* `helped` may not see responses again: nothing is kept for it. */
	r = respond(1, STORE_DEFAULT, CREDENTIALS_NONE);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.store, 0);
	model_done();
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	assert_int_equal(respond(1, STORE_ASKED, CREDENTIALS_NONE)->error, ERROR_DENIED);
	assert_int_equal(
	    respond(1, STORE_DEFAULT, CREDENTIALS_FOUND)->error, ERROR_CREDENTIAL_IN_CONTENT);
	assert_balanced();
}

static void
test_masked_before_it_is_kept(void **state)
{
	struct ga_admit m = content_msg(
	    0, ENDPOINT_CONVERSATIONS, CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1");
	struct reply *r;

	(void)state;
	m.credentials = CREDENTIALS_FOUND;
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.turn, 0);
	assert_int_equal(r->admitted.mask, 1);
	assert_int_equal(w.nrecs, 0);
	m.credentials = CREDENTIALS_MASKED;
	r = call(w.gw, GA_ADMIT, &m);
	assert_true(r->admitted.turn != 0);
	assert_int_equal(w.content_grant.masked, 1);
	content_done(ERROR_NONE);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	assert_balanced();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_an_operation),
		T(test_whose_it_is),
		T(test_refused),
		T(test_not_due),
		T(test_a_turn_that_goes_on),
		T(test_steps_of_such_a_turn),
		T(test_save_alone),
		T(test_saves_that_are_not_due),
		T(test_cancelled),
		T(test_store_dies),
		T(test_executor_is_another),
		T(test_gateway_dies),
		T(test_key_revoked),
		T(test_no_grant_without_receipt),
		T(test_who_may_keep),
		T(test_masked_before_it_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
