/* SPDX-License-Identifier: Apache-2.0 */
/* src/authority/tool_changes.c, tool_answers.c, admin_tool.c: changes, lists, loads, operators. */
#include "authority_tools_rig.h"

/* ---- changes by its owner ---- */
static void
test_changes(void **state)
{
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", "")),
		       two = version(2, "t", "u", "one", 2, MANIFEST("one", ""));
	struct ga_admit m;
	struct reply *r;

	(void)state;
	load(&one);
	load(&two);
	assert_int_equal(ask(0, ENDPOINT_TOOL_CURRENT, "one", 9)->error, ERROR_TOOL_NOT_FOUND);
	r = ask(0, ENDPOINT_TOOL_CURRENT, "one", 1);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.turn, 0);
	assert_int_equal(w.tool_marked, 1);
	assert_int_equal(w.tool_mark, TOOL_MARK_CURRENT);
	assert_int_equal(w.recs[w.nrecs - 3].phase, AUDIT_PHASE_INTENT);
	assert_non_null(strstr(w.recs[w.nrecs - 2].text, "change=current"));
	assert_string_equal(ask(0, ENDPOINT_TOOL_LIST, "", 0)->names, "one:1m ");
	w.tool_mode = TOOLS_FAIL;
	w.tool_code = E_SYS;
	assert_int_equal(ask(0, ENDPOINT_TOOL_REMOVE, "one", 0)->error, ERROR_UNAVAILABLE);
	assert_string_equal(ask(0, ENDPOINT_TOOL_LIST, "", 0)->names, "one:1m ");
	w.tool_code = E_DENIED;
	assert_int_equal(ask(0, ENDPOINT_TOOL_REMOVE, "one", 0)->error, ERROR_LEGAL_HOLD);
	assert_int_equal(w.recs[w.nrecs - 1].outcome, AUDIT_FAILURE);
	assert_string_equal(ask(0, ENDPOINT_TOOL_LIST, "", 0)->names, "one:1m ");
	/* The store is asked, and the key's turns end: the act is done, or not, as it says. */
	w.tool_mode = TOOLS_HOLD;
	m = tool_msg(0, ENDPOINT_TOOL_REMOVE, "one");
	m.tool_version = 1;
	r = call(w.gw, GA_ADMIT, &m);
	assert_false(r->come);
	turn_end(TAILQ_FIRST(&w.a->turns.in_use), ERROR_REVOKED, AUDIT_REVOKED);
	assert_int_equal(w.revokes, 0); /* the gateway does not know that turn */
	w.tool_mode = TOOLS_TAKE;
	tool_done(w.store, w.tool_held);
	spin();
	assert_int_equal(r->error, ERROR_REVOKED);
	assert_string_equal(ask(0, ENDPOINT_TOOL_LIST, "", 0)->names, "one:2m ");
	assert_int_equal(w.gones, 1);
	assert_int_equal(w.gone, 1);
	/* The store goes away meanwhile. */
	w.tool_mode = TOOLS_HOLD;
	m.tool_version = 0;
	r = call(w.gw, GA_ADMIT, &m);
	cut(&w.store);
	assert_int_equal(r->error, ERROR_UNAVAILABLE);
	assert_int_equal(ask(0, ENDPOINT_TOOL_REMOVE, "one", 0)->error, ERROR_UNAVAILABLE);
	assert_balanced();
}

/* A gateway that settles, or goes on with, a turn that it was not told of is dropped. */
static void
test_hostile_gateway(void **state)
{
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", ""));
	struct ga_admit m = tool_msg(0, ENDPOINT_TOOL_REMOVE, "one");
	struct reply *r;
	uint64_t turn;

	(void)state;
	load(&one);
	w.tool_mode = TOOLS_HOLD;
	r = call(w.gw, GA_ADMIT, &m);
	assert_false(r->come);
	turn = TAILQ_FIRST(&w.a->turns.in_use)->id;
	(void)settle(turn, ERROR_NONE);
	assert_true(w.gw_closed);
	w.tool_mode = TOOLS_TAKE;
	tool_done(w.store, w.tool_held);
	spin();
	connect_fake(EDGE_GATEWAY_AUTHORITY, 20, &ga_edge, true, &gateway_ops, &w.gw);
	/* A call of a tool is no turn with steps. */
	load(&one);
	r = call_tool(0, "one");
	(void)step_tool(r->admitted.turn, "one", 1);
	assert_true(w.gw == NULL);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 21, &ga_edge, true, &gateway_ops, &w.gw);
	spin();
	assert_balanced();
}

/* ---- compiled anew ---- */
static void
test_rebuilt(void **state)
{
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", ""));
	struct ae_rebuilt m = { .id = 1, .artefact = { 9 }, .engine = SPAN_LIT("new") };
	struct reply *r;

	(void)state;
	load(&one);
	tell(AE_REBUILT, &m, 1);
	assert_int_equal(told.kept.error, ERROR_GRANT); /* nobody calls it */
	r = call_tool(0, "one");
	tell(AE_REBUILT, &m, 0);
	assert_int_equal(told.kept.error, ERROR_GRANT);
	w.audit_mode = AUDIT_REFUSES;
	tell(AE_REBUILT, &m, 1);
	assert_int_equal(told.kept.error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.tool_rebuilds, 0);
	w.audit_mode = AUDIT_TAKES;
	tell(AE_REBUILT, &m, 1);
	assert_int_equal(told.kept.error, ERROR_NONE);
	assert_non_null(strstr(w.recs[w.nrecs - 1].text, "change=rebuilt"));
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	r = call_tool(0, "one");
	assert_int_equal(w.run_grant.tool.artefact[0], 9);
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	assert_balanced();
}

/* ---- loading, lists, reloads ---- */
static void
test_load_replaces(void **state)
{
	(void)state;
	load_two();
	/* A new store: what it does not name is gone; marks are as it says. */
	w.tools[0] = version(1, "t", "u", "one", 1, MANIFEST("one", ""));
	w.tools[0].allowed = 1;
	w.tools[1] = version(8, "t", "u", "bad", 1, "{}");                 /* no manifest */
	w.tools[2] = version(9, "t", "nobody", "x", 1, MANIFEST("x", "")); /* no such user */
	w.ntools = 3;
	cut(&w.store);
	connect_fake(EDGE_AUTHORITY_STORE, 14, &as_edge, false, &store_ops, &w.store);
	spin();
	assert_true(w.a->loaded);
	assert_int_equal(w.a->tools.n, 1);
	assert_string_equal(ask(2, ENDPOINT_TOOL_LIST, "", 0)->names, "one:1m ");
}

/* The store kept what was compiled anew, and died before it said so, while a call held the version.
 */
static void
test_load_of_a_rebuilt_version(void **state)
{
	struct reply *r;

	(void)state;
	load_two();
	r = call_tool(0, "one");
	assert_int_equal(r->error, ERROR_NONE);
	w.tools[0] = version(1, "t", "u", "one", 1, MANIFEST("one", ""));
	memcpy(w.tools[0].digest, tools_by_id(&w.a->tools, 1)->digest, DIGEST_LEN);
	w.tools[0].artefact[0] = 0x77;
	w.tools[0].engine = SPAN_LIT("another");
	w.ntools = 1;
	cut(&w.store);
	connect_fake(EDGE_AUTHORITY_STORE, 14, &as_edge, false, &store_ops, &w.store);
	spin();
	assert_true(w.a->loaded);
	assert_int_equal(tools_by_id(&w.a->tools, 1)->artefact[0], 0x77);
	assert_string_equal(tools_by_id(&w.a->tools, 1)->engine, "another");
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	r = call_tool(0, "one");
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.run_grant.tool.artefact[0], 0x77);
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	assert_balanced();
}

/* A key over its limit hears that, and gets no tools to try again with. */
static void
test_no_offer_over_a_limit(void **state)
{
	struct user *user;
	struct reply *r;

	(void)state;
	load_two();
	r = chat(0, 0);
	assert_true(r->ntools > 0 && r->error == ERROR_NONE);
	user = keys_find_user(&w.a->keys, SPAN_LIT("t"), SPAN_LIT("u"));
	user->holder.running = UINT32_MAX;
	r = chat(0, 0);
	assert_int_equal(r->error, ERROR_CONCURRENCY);
	assert_int_equal(r->ntools, 0);
	user->holder.running = 0;
}

static void
test_lists_come_in_pages(void **state)
{
	static char manifest[TOOL_MANIFEST_MAX];
	char names[70][8], last[8] = "";
	struct reply *r;
	uint32_t n = 0;

	(void)state;
	for (uint64_t i = 0; i < 60; i++) {
		int len = snprintf(manifest, sizeof(manifest),
		    "{\"name\":\"t%02u\",\"description\":\"d\",\"input_schema\":{\"description\":"
		    "\"",
		    (unsigned)i);
		struct as_tool m;

		memset(manifest + len, 'x', sizeof(manifest) - (size_t)len - 4);
		memcpy(manifest + sizeof(manifest) - 4, "\"}}", 4);
		(void)snprintf(names[i], sizeof(names[i]), "t%02u", (unsigned)i);
		m = version(i + 1, "t", "u", names[i], 1, manifest);
		load(&m);
	}
	do {
		r = ask(0, ENDPOINT_TOOL_LIST, last, 0);
		assert_int_equal(r->error, ERROR_NONE);
		assert_true(r->ntools > 0);
		n += r->ntools;
		(void)snprintf(last, sizeof(last), "t%02u", n - 1);
	} while (r->admitted.more);
	assert_int_equal(n, 60);
	r = chat(0, 0);
	assert_int_equal(r->ntools, TOOLS_OFFERED_MAX);
	assert_string_equal(ask(0, ENDPOINT_TOOL_LIST, "t59", 0)->names, "");
}

/* As many answers at once as a key can ask for: some come again, the gateway stays. */
static void
test_answers_do_not_pile_up(void **state)
{
	static char manifest[TOOL_MANIFEST_MAX];
	struct ga_admit m = tool_msg(0, ENDPOINT_CHAT, "");
	size_t offered = 0, busy = 0;
	char name[8];

	(void)state;
	for (uint64_t i = 0; i < TOOLS_OFFERED_MAX; i++) {
		int len = snprintf(manifest, sizeof(manifest),
		    "{\"name\":\"t%02u\",\"description\":\"d\",\"input_schema\":{\"description\":"
		    "\"",
		    (unsigned)i);
		struct as_tool v;

		memset(manifest + len, 'x', sizeof(manifest) - (size_t)len - 4);
		memcpy(manifest + sizeof(manifest) - 4, "\"}}", 4);
		(void)snprintf(name, sizeof(name), "t%02u", (unsigned)i);
		v = version(i + 1, "t", "u", name, 1, manifest);
		load(&v);
	}
	for (size_t i = 0; i < 100; i++)
		assert_true(is_ok(
		    link_call(w.gw, GA_ADMIT, &m, 60000, on_reply, &replies[nreplies++], NULL)));
	for (int i = 0; i < 50; i++)
		spin();
	for (size_t i = 0; i < 100; i++) {
		assert_true(replies[i].come && is_ok(replies[i].st));
		offered += replies[i].ntools == TOOLS_OFFERED_MAX;
		busy += replies[i].error == ERROR_OVERLOADED;
	}
	assert_false(w.gw_closed);
	assert_int_equal(offered + busy, 100);
	assert_true(offered > 0 && busy > 0);
	assert_int_equal(w.nrecs, 0);
}

static void
reload(const char *text)
{
	char error[CONF_ERROR_MAX];
	struct conf *conf = NULL;

	assert_true(is_ok(conf_parse(span_str(text), &conf, error)));
	assert_true(is_ok(policies_replace(conf, &w.a->policies)));
	conf_free(w.d.conf);
	w.d.conf = conf;
	w.d.generation++;
	policy_refs_resolve(&w.a->keys.refs, &w.a->policies);
}

/* A call that was granted goes on as it was; the next one is as the operator says now. */
static void
test_reload(void **state)
{
	static const char other[] =
	    "policies: { default: { endpoints: '*', models: '*', tools: '*', languages: '*' } }\n"
	    "providers: { d: { kind: demo } }\n"
	    "models: { alpha: [ { provider: d, model: a } ] }\n"
	    "sandboxes: { python: { pool: 1 } }\n"
	    "engines: { runsc: /x/runsc, image: /x/image, manifest: /x/manifest }\n"
	    "tools: { one: { sandbox: gvisor, limits: { time_ms: 50 } },\n"
	    "         python: { allow: [] } }\n";
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", "")),
		       module = version(2, "t", "u", "two", 1, MANIFEST("two", ""));
	struct reply *r, *next;

	(void)state;
	one.allowed = 1;
	module.parts = TOOL_HAS_MODULE;
	load(&one);
	load(&module);
	r = call_tool(0, "one");
	assert_int_equal(w.run_grant.tool.sandbox, TOOL_WASM);
	reload(other);
	next = call_tool(0, "one");
	assert_int_equal(w.run_grant.tool.sandbox, TOOL_GVISOR);
	assert_int_equal(w.run_grant.tool.time_ms, 50);
	assert_int_equal(call_tool(2, "one")->error, ERROR_TOOL_NOT_FOUND); /* not shared now */
	assert_int_equal(admit(ENDPOINT_EXECUTE)->error, ERROR_DENIED);     /* nobody's */
	for (uint32_t i = 0; i < 2; i++)
		done_with(&w.grants[i], ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	(void)settle(next->admitted.turn, ERROR_NONE);
	reload(
	    "policies: { default: { endpoints: '*', models: '*', tools: '*', languages: '*' } }\n"
	    "providers: { d: { kind: demo } }\n"
	    "models: { alpha: [ { provider: d, model: a } ] }\n"
	    "tools: { two: { sandbox: gvisor } }\n");
	assert_int_equal(call_tool(0, "two")->error, ERROR_TOOL_SANDBOX);
	r = chat(0, 0);
	assert_string_equal(r->names, "one:1m "); /* what cannot run is not offered */
	assert_balanced();
}

/* Calls are requests: they count. */
static void
test_rate(void **state)
{
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", ""));
	struct reply *r;
	uint32_t before;

	(void)state;
	load(&one);
	r = call_tool(0, "one");
	before = r->admitted.remaining;
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
	r = call_tool(0, "one");
	assert_int_equal(r->admitted.remaining, before - 1); /* one, though two were sent */
	done_with(&w.run_grant, ERROR_NONE, RUN_EXIT);
	(void)settle(r->admitted.turn, ERROR_NONE);
}

/* ---- operators ---- */
static struct {
	bool come;
	uint16_t http;
	char body[4096];
} answered;

static void
on_admin(void *ctx, uint16_t http, struct span body)
{
	(void)ctx;
	answered.come = true;
	answered.http = http;
	(void)snprintf(answered.body, sizeof(answered.body), "%.*s", SPAN_FMT(body));
}

static struct status
mark(const char *tenant, const char *user, const char *name, uint32_t number, bool allowed)
{
	const struct admin_tool m = { .tenant = span_str(tenant),
		.user = span_str(user),
		.name = span_str(name),
		.version = number,
		.allowed = allowed };
	struct admin_op *op = NULL;
	struct status st;

	memset(&answered, 0, sizeof(answered));
	st = admin_mark_tool(
	    &(struct admin_call){ .a = w.a, .uid = 0, .reply = on_admin, .op = &op }, &m);
	spin();
	return st;
}

static void
test_admin(void **state)
{
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", "")),
		       two = version(2, "t", "u", "one", 2, MANIFEST("one", "")),
		       theirs = version(3, "t", "v", "one", 1, MANIFEST("one", "")),
		       far = version(4, "x", "u", "one", 1, MANIFEST("one", ""));
	struct admin_op *op = NULL;

	(void)state;
	load(&one);
	load(&two);
	load(&theirs);
	load(&far);
	assert_int_equal(mark("t", "u", "none", 1, true).code, E_NOTFOUND);
	assert_int_equal(mark("y", "u", "one", 1, true).code, E_NOTFOUND);
	assert_int_equal(mark("t", "u", "one", 3, true).code, E_NOTFOUND);
	assert_int_equal(mark("t", "u", "one", 0, false).code, E_NOTFOUND); /* none is allowed */
	assert_true(is_ok(mark("t", "u", "one", 1, true)));
	assert_int_equal(answered.http, 200);
	assert_string_equal(answered.body,
	    "{\"name\":\"one\",\"version\":1,\"allowed\":true,\"shared_with\":[\"default\"]}");
	assert_int_equal(w.tool_marked, 1);
	assert_int_equal(w.tool_mark, TOOL_MARK_ALLOWED);
	EVENTS(EVENT_TOOL_CHANGED, EVENT_TOOL_CHANGED);
	assert_int_equal(w.recs[0].phase, AUDIT_PHASE_INTENT);
	assert_false(w.recs[0].anonymous); /* it names its owner's pseudonym */
	assert_non_null(strstr(w.recs[0].text, "change=allowed by_uid=0"));
	/* A new version takes its place; another user's of that name cannot beside it. */
	assert_true(is_ok(mark("t", "u", "one", 0, true)));
	assert_int_equal(w.tool_marked, 2);
	assert_int_equal(mark("t", "v", "one", 1, true).code, E_EXISTS);
	assert_true(is_ok(mark("x", "u", "one", 1, true))); /* another tenant's can */
	/* The store fails: nothing has changed. */
	w.tool_mode = TOOLS_FAIL;
	w.tool_code = E_SYS;
	assert_true(is_ok(mark("t", "u", "one", 0, false)));
	assert_int_equal(answered.http, 503);
	assert_ptr_equal(tools_by_id(&w.a->tools, 2)->tool->allowed, tools_by_id(&w.a->tools, 2));
	w.tool_mode = TOOLS_TAKE;
	assert_true(is_ok(mark("t", "u", "one", 0, false)));
	assert_int_equal(answered.http, 200);
	assert_null(tools_by_id(&w.a->tools, 2)->tool->allowed);
	assert_true(is_ok(mark("t", "v", "one", 1, true))); /* now it can */
	w.audit_mode = AUDIT_REFUSES;
	assert_true(is_ok(mark("t", "v", "one", 1, false)));
	assert_int_equal(answered.http, 503);
	assert_non_null(tools_by_id(&w.a->tools, 3)->tool->allowed);
	w.audit_mode = AUDIT_TAKES;
	assert_balanced();
	assert_true(is_ok(admin_list_tools(
	    &(struct admin_call){ .a = w.a, .uid = 0, .reply = on_admin, .op = &op }, 2)));
	spin();
	assert_int_equal(answered.http, 200);
	assert_non_null(strstr(answered.body,
	    "{\"tools\":[{\"tenant\":\"t\",\"user\":\"v\",\"name\":\"one\",\"version\":1,"
	    "\"current\":true,\"allowed\":true,\"sandbox\":\"wasm\",\"sha256\":\"0300"));
	assert_non_null(strstr(answered.body, "\"tenant\":\"x\""));
	assert_non_null(strstr(answered.body, "\"next\":null}"));
	assert_null(strstr(answered.body, "\"sha256\":\"0100"));
}

/* Two acts at once, and a tool that goes while one of them is recorded. */
static void
test_admin_races(void **state)
{
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", "")),
		       theirs = version(3, "t", "v", "one", 1, MANIFEST("one", ""));
	const struct admin_tool a = { SPAN_LIT("t"), SPAN_LIT("u"), SPAN_LIT("one"), 1, true },
				b = { SPAN_LIT("t"), SPAN_LIT("v"), SPAN_LIT("one"), 1, true };
	struct admin_op *op = NULL;

	(void)state;
	load(&one);
	load(&theirs);
	assert_true(is_ok(admin_mark_tool(
	    &(struct admin_call){ .a = w.a, .uid = 0, .reply = on_admin, .op = &op }, &a)));
	assert_true(is_ok(admin_mark_tool(
	    &(struct admin_call){ .a = w.a, .uid = 0, .reply = on_admin, .op = &op }, &b)));
	spin();
	assert_int_equal((tools_by_id(&w.a->tools, 1)->tool->allowed != NULL) +
			     (tools_by_id(&w.a->tools, 3)->tool->allowed != NULL),
	    1);
	assert_true(is_ok(mark("t", "u", "one", 0, false)));
	assert_true(is_ok(admin_mark_tool(
	    &(struct admin_call){ .a = w.a, .uid = 0, .reply = on_admin, .op = &op }, &a)));
	tools_removed(w.a, tools_by_id(&w.a->tools, 1), true);
	memset(&answered, 0, sizeof(answered));
	spin();
	assert_int_equal(answered.http, 404);
	assert_null(tools_by_id(&w.a->tools, 1));
	assert_balanced();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_changes),
		T(test_hostile_gateway),
		T(test_rebuilt),
		T(test_load_replaces),
		T(test_load_of_a_rebuilt_version),
		T(test_no_offer_over_a_limit),
		T(test_lists_come_in_pages),
		T(test_answers_do_not_pile_up),
		T(test_reload),
		T(test_rate),
		T(test_admin),
		T(test_admin_races),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
