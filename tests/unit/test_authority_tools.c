/* SPDX-License-Identifier: Apache-2.0 */
/* src/authority/tools.c, tool_access.c, tool_parts.c: new versions, and who sees what. */
#include "authority_tools_rig.h"

static struct ae_built
built_msg(const char *manifest)
{
	struct ae_built m = { .turn = w.run_grant.turn,
		.manifest = span_str(manifest),
		.parts = TOOL_HAS_MODULE,
		.engine = SPAN_LIT("wasmtime 48"),
		.module_size = 5 };

	memcpy(m.grant, w.run_grant.grant, GRANT_LEN);
	m.digest[0] = 0xaa;
	m.artefact[0] = 0xbb;
	return m;
}

static struct reply *
push(size_t key, const char *name)
{
	struct ga_admit m = tool_msg(key, ENDPOINT_TOOL_PUSH, name);

	m.tool_parts = TOOL_HAS_MODULE;
	return call(w.gw, GA_ADMIT, &m);
}

/* ---- a new version ---- */
static void
test_push(void **state)
{
	static const char manifest[] = MANIFEST("one", ",\"env\":{\"A\":\"b\"}");
	struct reply *r = push(0, "one"), *settled;
	struct ae_built m;

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->ntools, 1);
	assert_int_equal(r->tools[0].sandbox, TOOL_WASM);
	assert_int_equal(w.run_grant.kind, GRANT_BUILD);
	assert_memory_equal(r->admitted.grant, w.run_grant.grant, GRANT_LEN);
	assert_int_equal(w.run_grant.tool.time_ms, 700);
	m = built_msg(manifest);
	tell(AE_BUILT, &m, 2);
	assert_true(told.come && told.type == AE_KEPT);
	assert_int_equal(told.kept.error, ERROR_NONE);
	assert_int_equal(told.kept.version, 1);
	tell(AE_BUILT, &m, 2); /* once */
	assert_int_equal(told.kept.error, ERROR_GRANT);
	assert_int_equal(w.tool_puts, 1);
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	settled = settle(r->admitted.turn, ERROR_NONE);
	assert_int_equal(settled->error, ERROR_NONE);
	EVENTS(EVENT_AUTHENTICATION, EVENT_TOOL_STORED, EVENT_TOOL_STORED, EVENT_TOOL_CHANGED,
	    EVENT_RESPONSE_RETURNED);
	assert_int_equal(w.recs[1].phase, AUDIT_PHASE_INTENT);
	assert_non_null(strstr(w.recs[1].text, "tool_name=one size_bytes=120 sha256=aa00"));
	assert_int_equal(w.recs[2].outcome, AUDIT_SUCCESS);
	assert_non_null(strstr(w.recs[2].text, "tool_version=1"));
	assert_non_null(strstr(w.recs[3].text, "tool_sha256=aa00"));
	assert_non_null(strstr(w.recs[3].text, "change=current"));
	assert_balanced();
	/* It can be seen and called from now on. */
	assert_string_equal(ask(0, ENDPOINT_TOOL_LIST, "", 0)->names, "one:1m ");
	r = call_tool(0, "one");
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(artefact(1, PART_ARTEFACT), ERROR_NONE);
	assert_int_equal(told.artefact.digest[0], 0xbb);
	assert_memory_equal(told.env, "A=b", 4);
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	assert_balanced();
}

static void
push_fails(const char *manifest, enum error want, uint8_t parts)
{
	struct reply *r = push(0, "one");
	uint32_t puts = w.tool_puts;
	struct ae_built m = built_msg(manifest);

	assert_int_equal(r->error, ERROR_NONE);
	m.parts = parts;
	tell(AE_BUILT, &m, 2);
	assert_int_equal(told.kept.error, want);
	if (want == ERROR_TOOL_INVALID)
		assert_int_equal(w.tool_puts, puts);
	done_with(&w.run_grant, want, RUN_EXIT);
	(void)settle(r->admitted.turn, want);
	assert_int_equal(w.recs[w.nrecs - 3].event, EVENT_TOOL_STORED);
	assert_int_equal(w.recs[w.nrecs - 3].outcome, AUDIT_FAILURE);
	assert_non_null(strstr(w.recs[w.nrecs - 3].text, error_rows[want].code));
	assert_balanced();
}

static void
test_push_refused(void **state)
{
	struct ga_admit m = tool_msg(0, ENDPOINT_TOOL_PUSH, "native");
	struct ae_built b;
	struct reply *r;

	(void)state;
	/* Before anything starts: the part that its sandbox needs, names, policy. */
	m.tool_parts = TOOL_HAS_MODULE;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_TOOL_SANDBOX);
	m.tool_parts = TOOL_HAS_NATIVE;
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->tools[0].sandbox, TOOL_GVISOR);
	done_with(&w.run_grant, ERROR_TOOL_INVALID, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_TOOL_INVALID);
	assert_int_equal(push(0, "python")->error, ERROR_TOOL_INVALID);
	assert_int_equal(push(0, "code_interpreter")->error, ERROR_TOOL_INVALID);
	assert_int_equal(push(0, "a.b")->error, ERROR_TOOL_INVALID);
	assert_int_equal(push(1, "two")->error, ERROR_DENIED); /* its policy names `one` */
	/* What was built is not what was granted. */
	push_fails(MANIFEST("other", ""), ERROR_TOOL_INVALID, TOOL_HAS_MODULE);
	push_fails("{}", ERROR_TOOL_INVALID, TOOL_HAS_MODULE);
	push_fails(MANIFEST("one", ""), ERROR_TOOL_INVALID, TOOL_PARTS_ALL);
	w.tool_mode = TOOLS_FAIL;
	w.tool_code = E_FULL;
	push_fails(MANIFEST("one", ""), ERROR_TOOL_COUNT, TOOL_HAS_MODULE);
	w.tool_code = E_SYS;
	push_fails(MANIFEST("one", ""), ERROR_UNAVAILABLE, TOOL_HAS_MODULE);
	w.tool_mode = TOOLS_TAKE;
	/* Another upload than the one that was announced; another grant; too few descriptors. */
	r = push(0, "one");
	b = built_msg(MANIFEST("one", ""));
	b.digest[1] = 1;
	tell(AE_BUILT, &b, 2);
	assert_int_equal(told.kept.error, ERROR_GRANT);
	b.digest[1] = 0;
	b.grant[3] ^= 1;
	tell(AE_BUILT, &b, 2);
	assert_int_equal(told.kept.error, ERROR_GRANT);
	b.grant[3] ^= 1;
	tell(AE_BUILT, &b, 1);
	assert_int_equal(told.kept.error, ERROR_GRANT);
	(void)settle(r->admitted.turn, ERROR_CANCELLED);
	tell(AE_BUILT, &b, 2); /* too late */
	assert_int_equal(told.kept.error, ERROR_GRANT);
	assert_int_equal(w.a->tools.n, 0);
	assert_balanced();
}

/* A tenant that has its share of all versions keeps nobody else from pushing, and gets no more. */
static void
test_push_share(void **state)
{
	const uint64_t users_share = TOOL_VERSIONS_TENANT_MAX / 2;
	struct as_tool m;
	struct reply *r;
	char name[8];

	(void)state;
	for (uint64_t i = 0; i < TOOL_VERSIONS_TENANT_MAX; i++) {
		(void)snprintf(
		    name, sizeof(name), "t%u", (unsigned)(i % users_share / TOOL_VERSIONS_MAX));
		m = version(i + 1, "t", i < users_share ? "u" : "v", name,
		    (uint32_t)(i % TOOL_VERSIONS_MAX) + 1, MANIFEST("x", ""));
		load(&m);
	}
	assert_int_equal(push(0, "one")->error, ERROR_TOOL_COUNT);
	assert_int_equal(push(2, "one")->error, ERROR_TOOL_COUNT);
	r = push(3, "one"); /* of another tenant */
	assert_int_equal(r->error, ERROR_NONE);
	done_with(&w.run_grant, ERROR_TOOL_INVALID, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_TOOL_INVALID);
	load(&m); /* told again: it counts once */
	m.digest[1]++;
	load(&m); /* another one in its place */
	assert_int_equal(push(0, "one")->error, ERROR_TOOL_COUNT);
	tools_removed(w.a, tools_by_id(&w.a->tools, 1), false);
	r = push(2, "one");
	assert_int_equal(r->error, ERROR_NONE);
	done_with(&w.run_grant, ERROR_TOOL_INVALID, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_TOOL_INVALID);
	assert_balanced();
}

/* The store has it, and has not answered: nothing is said of the outcome before it does. */
static void
test_push_cancelled(void **state)
{
	struct reply *r = push(0, "one"), *settled;
	struct ae_built m = built_msg(MANIFEST("one", ""));

	(void)state;
	w.tool_mode = TOOLS_HOLD;
	tell(AE_BUILT, &m, 2);
	assert_false(told.come);
	done_with(&w.run_grant, ERROR_CANCELLED, RUN_EXIT);
	settled = settle(r->admitted.turn, ERROR_CANCELLED);
	assert_false(settled->come);
	w.tool_mode = TOOLS_TAKE;
	tool_kept(w.tool_held);
	spin();
	assert_true(settled->come && told.come);
	assert_int_equal(w.recs[2].event, EVENT_TOOL_STORED);
	assert_int_equal(w.recs[2].outcome, AUDIT_SUCCESS);
	assert_int_equal(w.recs[3].event, EVENT_TOOL_CHANGED);
	assert_int_equal(w.a->tools.n, 1);
	assert_balanced();
	/* The store dies: nobody knows. */
	r = push(0, "one");
	m = built_msg(MANIFEST("one", ""));
	w.tool_mode = TOOLS_HOLD;
	tell(AE_BUILT, &m, 2);
	cut(&w.store);
	assert_true(told.come);
	assert_int_equal(told.kept.error, ERROR_UNAVAILABLE);
	done_with(&w.run_grant, ERROR_UNAVAILABLE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_UNAVAILABLE);
	assert_int_equal(w.recs[w.nrecs - 3].outcome, AUDIT_UNKNOWN);
	/* The executor dies after the store has it: it is kept, and said so. */
	w.tool_mode = TOOLS_TAKE;
	connect_fake(EDGE_AUTHORITY_STORE, 14, &as_edge, false, &store_ops, &w.store);
	spin();
	w.a->loaded = true;
	r = push(0, "one");
	m = built_msg(MANIFEST("one", ""));
	tell(AE_BUILT, &m, 2);
	cut(&w.executor);
	(void)settle(r->admitted.turn, ERROR_UNAVAILABLE);
	assert_int_equal(w.recs[w.nrecs - 4].event, EVENT_TOOL_STORED);
	assert_int_equal(w.recs[w.nrecs - 4].outcome, AUDIT_SUCCESS);
	connect_fake(EDGE_AUTHORITY_EXECUTOR, 13, &ae_edge, false, &executor_ops, &w.executor);
	assert_balanced();
}

/* ---- who sees what: every cell ---- */
/*
 * keys: 0 u of t (default), 1 u of t (helped: names `one` only), 2 v of t (default),
 * 3 u of x. `one` is shared with `default` by the configuration; `two` with nobody.
 */
static void
test_cells(void **state)
{
	static const struct {
		const char *name;
		bool allowed;
		bool sees[4];
	} cells[] = {
		{ "one", false, { true, true, false, false } },
		{ "one", true, { true, true, true, false } },
		{ "two", false, { true, false, false, false } },
		{ "two", true, { true, false, false, false } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cells); i++) {
		const char *name = cells[i].name;
		struct as_tool m = version(i + 1, "t", "u", name, 1,
		    strcmp(name, "one") == 0 ? MANIFEST("one", "") : MANIFEST("two", ""));
		struct tool_version *v;

		m.allowed = cells[i].allowed;
		load(&m);
		for (size_t k = 0; k < 4; k++) {
			bool sees = cells[i].sees[k];
			struct reply *r = call_tool(k, name);

			if (r->error != (sees ? ERROR_NONE : ERROR_TOOL_NOT_FOUND))
				print_error("%s allowed %d key %zu: %u\n", name, cells[i].allowed,
				    k, r->error);
			assert_int_equal(r->error, sees ? ERROR_NONE : ERROR_TOOL_NOT_FOUND);
			if (sees) {
				done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
				(void)settle(r->admitted.turn, ERROR_NONE);
			}
			/* Offered exactly where it may be called. */
			r = chat(k, 0);
			assert_int_equal(r->ntools, sees ? 1 : 0);
			assert_int_equal(r->admitted.catalog != 0, sees);
			if (r->admitted.turn != 0) {
				model_done();
				(void)settle(r->admitted.turn, ERROR_NONE);
			}
			/* Only its owner may change it; another user's look like none. */
			if (k >= 2) {
				assert_int_equal(ask(k, ENDPOINT_TOOL_REMOVE, name, 0)->error,
				    ERROR_TOOL_NOT_FOUND);
				assert_int_equal(ask(k, ENDPOINT_TOOL_CURRENT, name, 1)->error,
				    ERROR_TOOL_NOT_FOUND);
				assert_int_equal(ask(k, ENDPOINT_TOOL_GET, name, 0)->error,
				    sees ? ERROR_NONE : ERROR_TOOL_NOT_FOUND);
			}
		}
		v = tools_by_id(&w.a->tools, i + 1);
		tools_removed(w.a, v, true);
	}
	assert_int_equal(w.a->tools.n, 0);
	assert_balanced();
}

/* Others get the version that was allowed, whatever is current; their own hides it. */
static void
test_allowed_version(void **state)
{
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", "")),
		       two = version(2, "t", "u", "one", 2, MANIFEST("one", "")),
		       own = version(3, "t", "v", "one", 7, MANIFEST("one", ""));
	struct ga_admit m;
	struct reply *r;

	(void)state;
	one.current = 0;
	one.allowed = 1;
	load(&one);
	load(&two);
	assert_string_equal(ask(2, ENDPOINT_TOOL_LIST, "", 0)->names, "one:1m ");
	assert_string_equal(ask(0, ENDPOINT_TOOL_LIST, "", 0)->names, "one:2m ");
	assert_string_equal(ask(0, ENDPOINT_TOOL_GET, "one", 0)->names, "one:2m one:1 ");
	assert_string_equal(ask(0, ENDPOINT_TOOL_GET, "one", 1)->names, "one:1m ");
	assert_string_equal(ask(2, ENDPOINT_TOOL_GET, "one", 0)->names, "one:1m ");
	assert_int_equal(ask(2, ENDPOINT_TOOL_GET, "one", 2)->error, ERROR_TOOL_NOT_FOUND);
	m = tool_msg(2, ENDPOINT_TOOL_CALL, "one");
	m.tool_version = 2;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_TOOL_NOT_FOUND);
	r = call_tool(2, "one");
	assert_int_equal(w.run_grant.tool.version, 1);
	assert_int_equal(w.run_grant.tool.id, 1);
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	load(&own);
	assert_string_equal(ask(2, ENDPOINT_TOOL_LIST, "", 0)->names, "one:7m ");
	r = call_tool(2, "one");
	assert_int_equal(w.run_grant.tool.version, 7);
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	assert_balanced();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_push),
		T(test_push_refused),
		T(test_push_share),
		T(test_push_cancelled),
		T(test_cells),
		T(test_allowed_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
