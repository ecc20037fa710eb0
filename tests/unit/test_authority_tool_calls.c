/* SPDX-License-Identifier: Apache-2.0 */
/* src/authority/runs.c, step.c: calls of tools, alone and within a turn. */
#include "authority_tools_rig.h"

/* ---- a call ---- */
static void
test_call(void **state)
{
	static const char manifest[] = MANIFEST(
	    "one", ",\"limits\":{\"time_ms\":5000,\"memory_mb\":20},\"capabilities\":[\"files\"]");
	struct as_tool one = version(5, "t", "u", "one", 3, manifest),
		       two = version(6, "t", "u", "native", 1, MANIFEST("native", ""));
	struct reply *r;

	(void)state;
	load(&one);
	load(&two);
	assert_int_equal(artefact(5, PART_ARTEFACT), ERROR_GRANT); /* nobody calls it */
	r = call_tool(0, "one");
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.run_grant.kind, GRANT_TOOL);
	assert_string_equal(w.target, "one");
	assert_int_equal(w.run_grant.tool.id, 5);
	assert_int_equal(w.run_grant.tool.version, 3);
	assert_int_equal(w.run_grant.tool.sandbox, TOOL_WASM);
	assert_int_equal(w.run_grant.tool.capabilities, TOOL_CAN_FILES);
	assert_int_equal(w.run_grant.tool.artefact[0], 0x45);
	assert_int_equal(w.run_grant.tool.time_ms, 700);  /* configured: less than it asks for */
	assert_int_equal(w.run_grant.tool.memory_mb, 20); /* it asks for less than the default */
	assert_int_equal(w.run_grant.tool.output_kb, 9);
	assert_int_equal(artefact(5, PART_ARTEFACT), ERROR_NONE);
	assert_int_equal(artefact(6, PART_NATIVE), ERROR_GRANT); /* another one's */
	assert_int_equal(artefact(77, PART_ARTEFACT), ERROR_GRANT);
	w.tool_mode = TOOLS_FAIL;
	w.tool_code = E_CORRUPT;
	assert_int_equal(artefact(5, PART_MODULE), ERROR_UNAVAILABLE);
	w.tool_mode = TOOLS_TAKE;
	assert_int_equal(artefact(5, PART_MODULE), ERROR_NONE);
	assert_int_equal(told.artefact.digest[0], 0x4d); /* as the store says */
	assert_int_equal(artefact(5, PART_ARTEFACT), ERROR_NONE);
	assert_int_equal(told.artefact.digest[0], 0x45); /* as the grant says */
	/* Removed meanwhile: the call goes on, and there is no other. */
	tools_removed(w.a, tools_by_id(&w.a->tools, 5), true);
	assert_int_equal(artefact(5, PART_ARTEFACT), ERROR_NONE);
	assert_int_equal(call_tool(0, "one")->error, ERROR_TOOL_NOT_FOUND);
	done_with(&w.run_grant, ERROR_NONE, RUN_TRAP);
	(void)settle(r->admitted.turn, ERROR_NONE);
	assert_int_equal(artefact(5, PART_ARTEFACT), ERROR_GRANT);
	assert_null(tools_by_id(&w.a->tools, 5));
	assert_string_equal(w.recs[1].text, /* the intent; what only the outcome has is not there */
	    "tool_name=one sandbox_type=wasm size_bytes=100 "
	    "sha256=aa00000000000000000000000000000000000000000000000000000000000000 "
	    "tool_version=3 "
	    "tool_sha256=0500000000000000000000000000000000000000000000000000000000000000 ");
	assert_non_null(strstr(w.recs[w.nrecs - 2].text, "status=trap tool_version=3"));
	/* In gVisor the native part runs. */
	r = call_tool(0, "native");
	assert_int_equal(w.run_grant.tool.sandbox, TOOL_GVISOR);
	assert_int_equal(w.run_grant.tool.artefact[0], 0x86);
	assert_int_equal(w.run_grant.tool.time_ms, 5000);
	assert_int_equal(w.run_grant.tool.memory_mb, 64);
	assert_int_equal(w.run_grant.tool.output_kb, 256);
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	assert_balanced();
}

/* A stale catalog is told, never used; code has its own row in the table. */
static void
test_catalog(void **state)
{
	struct as_tool one = version(5, "t", "u", "one", 3, MANIFEST("one", ""));
	struct ga_admit m = tool_msg(0, ENDPOINT_TOOL_CALL, "one");
	uint64_t before, nrecs;
	struct reply *r;

	(void)state;
	assert_int_equal(tools_catalog(w.a, w.key[0]), 0);
	load(&one);
	before = tools_catalog(w.a, w.key[0]);
	assert_true(before != 0);
	assert_int_equal(tools_catalog(w.a, w.key[3]), 0);
	tools_marked(w.a, tools_by_id(&w.a->tools, 5), TOOL_MARK_ALLOWED);
	assert_true(tools_catalog(w.a, w.key[0]) != before);
	nrecs = w.nrecs;
	m.catalog = before;
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->admitted.turn, 0);
	assert_int_equal(r->admitted.catalog, tools_catalog(w.a, w.key[0]));
	assert_int_equal(w.nrecs, nrecs);
	assert_int_equal(chat(0, before)->admitted.turn, 0);
	w.d.generation++;
	assert_true(tools_catalog(w.a, w.key[0]) != r->admitted.catalog);
	before = tools_catalog(w.a, w.key[0]);
	w.key[0]->changes++; /* what the key may see */
	assert_true(tools_catalog(w.a, w.key[0]) != before);
	/* Code: its time is lowered. */
	r = admit(ENDPOINT_EXECUTE);
	assert_int_equal(w.run_grant.kind, GRANT_RUN);
	assert_int_equal(w.run_grant.tool.time_ms, 900);
	run_done(RUN_EXIT, 0);
	(void)settle(r->admitted.turn, ERROR_NONE);
	assert_balanced();
}

/* ---- tools within a turn ---- */
static uint64_t
chat_with_tools(void)
{
	struct reply *r = chat(0, tools_catalog(w.a, w.key[0]));

	assert_int_equal(r->error, ERROR_NONE);
	assert_true(r->admitted.turn != 0);
	model_done();
	return r->admitted.turn;
}

static void
test_parallel(void **state)
{
	struct ga_step more[3];
	struct reply *r[4], *model;
	uint64_t turn;

	(void)state;
	load_two();
	turn = chat_with_tools();
	/* All at once, as a model asks for them; each is recorded before its grant. */
	for (size_t i = 0; i < 3; i++) {
		more[i] = (struct ga_step){ .turn = turn,
			.kind = STEP_TOOL,
			.tool_name = i == 1 ? SPAN_LIT("two") : SPAN_LIT("one"),
			.tool_version = i == 1 ? 4 : 1,
			.size_bytes = 10 };
		r[i] = &replies[nreplies++];
		assert_true(is_ok(link_call(w.gw, GA_STEP, &more[i], 60000, on_reply, r[i], NULL)));
	}
	spin();
	for (size_t i = 0; i < 3; i++) {
		assert_true(r[i]->come);
		assert_int_equal(r[i]->error, ERROR_NONE);
		assert_memory_equal(r[i]->granted.grant, w.grants[i].grant, GRANT_LEN);
		assert_int_equal(w.grants[i].kind, GRANT_TOOL);
		assert_int_equal(w.grants[i].tool.id, i == 1 ? 2 : 1);
	}
	/* Code beside them; asking the model again waits for all. */
	r[3] = step(turn, STEP_RUN);
	assert_int_equal(r[3]->error, ERROR_DENIED); /* the request named no code_interpreter */
	model = step(turn, STEP_MODEL);
	assert_false(model->come);
	done_with(&w.grants[2], ERROR_NONE, RUN_EXIT);
	done_with(&w.grants[0], ERROR_NONE, RUN_TIMEOUT);
	assert_false(model->come);
	done_with(&w.grants[1], ERROR_NONE, RUN_EXIT);
	assert_true(model->come);
	assert_int_equal(model->error, ERROR_NONE);
	model_done();
	assert_int_equal(settle(turn, ERROR_NONE)->error, ERROR_NONE);
	assert_int_equal(tools_by_id(&w.a->tools, 1)->calls, 0);
	assert_balanced();
}

/* As many as there are places; one more waits for the first that ends. */
static void
test_many(void **state)
{
	struct reply *r = NULL;
	uint64_t turn;

	(void)state;
	load_two();
	turn = chat_with_tools();
	for (size_t i = 0; i < TURN_PARALLEL_MAX; i++) {
		r = step_tool(turn, "one", 1);
		assert_int_equal(r->error, ERROR_NONE);
	}
	r = step_tool(turn, "two", 4);
	assert_false(r->come);
	done_with(&w.grants[3], ERROR_NONE, RUN_EXIT);
	assert_true(r->come);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.run_grants, TURN_PARALLEL_MAX + 1);
	/* The executor dies with all of them. */
	cut(&w.executor);
	assert_int_equal(settle(turn, ERROR_UNAVAILABLE)->error, ERROR_NONE);
	connect_fake(EDGE_AUTHORITY_EXECUTOR, 13, &ae_edge, false, &executor_ops, &w.executor);
	assert_balanced();
}

/* Refused ones do not stop the others; what was not offered is not to be had. */
static void
test_steps_refused(void **state)
{
	struct reply *r;
	uint64_t turn;

	(void)state;
	load_two();
	turn = chat_with_tools();
	assert_int_equal(step_tool(turn, "three", 1)->error, ERROR_TOOL_NOT_FOUND);
	assert_int_equal(step_tool(turn, "one", 9)->error, ERROR_TOOL_NOT_FOUND);
	assert_int_equal(step_tool(turn, "one", 1)->error, ERROR_NONE);
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(step_tool(turn, "two", 4)->error, ERROR_AUDIT_UNAVAILABLE);
	w.audit_mode = AUDIT_TAKES;
	tools_removed(w.a, tools_by_id(&w.a->tools, 2), true);
	tools_removed(w.a, tools_by_id(&w.a->tools, 1), true);
	spin();
	assert_int_equal(w.gones, 1);
	assert_int_equal(w.gone, 2); /* a call holds the other */
	assert_int_equal(step_tool(turn, "two", 4)->error, ERROR_TOOL_NOT_FOUND);
	assert_int_equal(w.run_grants, 1);
	r = settle(turn, ERROR_CANCELLED); /* the one that runs is ended */
	assert_true(r->come);
	assert_int_equal(w.gones, 2);
	assert_int_equal(w.gone, 1);
	assert_int_equal(w.executor_ends, 1);
	assert_balanced();
}

/* What the gateway found wrong with a call is on record, and nothing is granted. */
static void
test_arguments_refused(void **state)
{
	struct ga_step m = { .kind = STEP_TOOL,
		.tool_name = SPAN_LIT("one"),
		.tool_version = 1,
		.refused = ERROR_ARGUMENTS };
	const struct rec *rec;
	size_t n;

	(void)state;
	load_two();
	m.turn = chat_with_tools();
	n = w.nrecs;
	assert_int_equal(call(w.gw, GA_STEP, &m)->error, ERROR_ARGUMENTS);
	rec = &w.recs[w.nrecs - 1];
	assert_int_equal(w.nrecs, n + 2); /* the model's outcome was due, too */
	assert_int_equal(rec->event, EVENT_ERROR);
	assert_int_equal(rec->outcome, AUDIT_DENIED);
	assert_string_equal(rec->resource, "tool:one");
	assert_non_null(strstr(rec->text, "=invalid_arguments "));
	m.tool_name = SPAN_LIT("three"); /* none of the key's: its name is not recorded */
	assert_int_equal(call(w.gw, GA_STEP, &m)->error, ERROR_TOOL_NOT_FOUND);
	assert_string_equal(w.recs[w.nrecs - 1].resource, "model:alpha");
	m.kind = STEP_RUN;
	assert_int_equal(call(w.gw, GA_STEP, &m)->error, ERROR_ARGUMENTS);
	assert_string_equal(w.recs[w.nrecs - 1].resource, "tool:code_interpreter");
	assert_int_equal(w.nrecs, n + 4); /* no CodeGenerated: there is no code */
	assert_int_equal(w.run_grants, 0);
	assert_int_equal(tools_by_id(&w.a->tools, 1)->calls, 0);
	assert_int_equal(settle(m.turn, ERROR_NONE)->error, ERROR_NONE);
	assert_balanced();
	/* Without a record there is no answer but that. */
	m.turn = chat_with_tools();
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(call(w.gw, GA_STEP, &m)->error, ERROR_AUDIT_UNAVAILABLE);
	w.audit_mode = AUDIT_TAKES;
	/* Asking a model is not refused by who asks. */
	m.kind = STEP_MODEL;
	(void)call(w.gw, GA_STEP, &m);
	assert_true(w.gw_closed);
}

/* A turn that ends with calls at work, one that is being recorded, and others that wait. */
static void
test_revoked(void **state)
{
	struct reply *r[3];
	uint64_t turn;
	struct ga_step m;

	(void)state;
	for (int mute = 0; mute < 2; mute++) {
		w.mute = mute != 0;
		if (mute == 0)
			load_two();
		turn = chat_with_tools();
		assert_int_equal(step_tool(turn, "one", 1)->error, ERROR_NONE);
		w.audit_mode = AUDIT_HOLDS;
		w.nheld = 0;
		for (size_t i = 0; i < 3; i++) {
			m = (struct ga_step){ .turn = turn,
				.kind = STEP_TOOL,
				.tool_name = SPAN_LIT("one"),
				.tool_version = 1 };
			r[i] = &replies[nreplies++];
			assert_true(
			    is_ok(link_call(w.gw, GA_STEP, &m, 60000, on_reply, r[i], NULL)));
		}
		spin();
		turn_end(turn_find(w.a, turn), ERROR_REVOKED, AUDIT_REVOKED);
		spin();
		for (size_t i = 0; i < 3; i++) {
			assert_true(r[i]->come);
			assert_int_equal(r[i]->error, ERROR_REVOKED);
		}
		w.audit_mode = AUDIT_TAKES;
		for (size_t i = 0; i < w.nheld; i++) {
			struct aa_receipt receipt = { .first_seq = w.seq - w.held_count[i] + 1,
				.count = w.held_count[i] };

			assert_true(is_ok(link_send(w.audit, w.held[i], AA_RECEIPT, &receipt)));
		}
		spin();
		if (mute != 0) {
			cut(&w.executor); /* its answer will not come */
			connect_fake(EDGE_AUTHORITY_EXECUTOR, 13, &ae_edge, false, &executor_ops,
			    &w.executor);
		}
	}
	assert_int_equal(w.a->turns.n, 0);
	assert_balanced();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_call),
		T(test_catalog),
		T(test_parallel),
		T(test_many),
		T(test_steps_refused),
		T(test_arguments_refused),
		T(test_revoked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
