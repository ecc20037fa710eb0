/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users' tools at the authority: who sees which, what is granted with which limits, calls
 * side by side, versions on their way to the store, and a gateway and an executor that lie.
 */
#define WORLD_KEYS 4
#define WORLD_YAML tools_yaml

static const char tools_yaml[] =
    "policies:\n"
    "  default: { endpoints: '*', models: '*', tools: '*', languages: '*',\n"
    "             requests_per_min: 1000, concurrent: 50 }\n"
    "  helped: { endpoints: [chat, tool_call, tools], models: '*',\n"
    "            tools: [code_interpreter, one], languages: [python] }\n"
    "providers: { d: { kind: demo } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "sandboxes: { python: { pool: 1 } }\n"
    "engines: { runsc: /x/runsc, image: /x/image, manifest: /x/manifest }\n"
    "tools:\n"
    "  one: { limits: { time_ms: 700, output_kb: 9 }, capabilities: [files], allow: [default] }\n"
    "  native: { sandbox: gvisor }\n"
    "  python: { limits: { time_ms: 900 } }\n"
    "limits: { turn_steps: 16 }\n";

#include "authority_world.h"

#define MANIFEST(name, more)                                                                       \
	"{\"name\":\"" name "\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}" more \
	"}"

/* A version that the store tells of at a LOAD. */
static struct as_tool
version(uint64_t id, const char *tenant, const char *user, const char *name, uint32_t number,
    const char *manifest)
{
	struct as_tool m = { .id = id,
		.tenant = span_str(tenant),
		.user = span_str(user),
		.name = span_str(name),
		.version = number,
		.current = 1,
		.parts = TOOL_PARTS_ALL,
		.engine = SPAN_LIT("e"),
		.manifest = span_str(manifest) };

	m.digest[0] = (uint8_t)id;
	m.artefact[0] = (uint8_t)(id + 0x40);
	m.native[0] = (uint8_t)(id + 0x80);
	return m;
}

static void
load(const struct as_tool *m)
{
	assert_true(is_ok(tools_load(w.a, m)));
}

static struct ga_admit
tool_msg(size_t key, uint8_t endpoint, const char *name)
{
	struct ga_admit m = admit_msg(endpoint);

	m.credential = span_of(w.text[key], KEYTEXT_LEN);
	m.tools = 0;
	m.model = endpoint_rows[endpoint].asks_model ? SPAN_LIT("alpha") : SPAN_EMPTY;
	m.language = SPAN_EMPTY;
	m.tool_name = span_str(name);
	return m;
}

/* With the catalog that the first answer names. */
static struct reply *
call_tool(size_t key, const char *name)
{
	struct ga_admit m = tool_msg(key, ENDPOINT_TOOL_CALL, name);
	struct reply *r = call(w.gw, GA_ADMIT, &m);

	if (r->error != ERROR_NONE)
		return r;
	assert_int_equal(r->admitted.turn, 0);
	assert_int_equal(r->ntools, 1);
	assert_true(r->tools[0].manifest.len > 0);
	m.catalog = r->admitted.catalog;
	return call(w.gw, GA_ADMIT, &m);
}

static struct reply *
ask(size_t key, uint8_t endpoint, const char *name, uint32_t number)
{
	struct ga_admit m = tool_msg(key, endpoint, name);

	m.tool_version = number;
	return call(w.gw, GA_ADMIT, &m);
}

static struct reply *
chat(size_t key, uint64_t catalog)
{
	struct ga_admit m = tool_msg(key, ENDPOINT_CHAT, "");

	m.catalog = catalog;
	return call(w.gw, GA_ADMIT, &m);
}

static struct reply *
step_tool(uint64_t turn, const char *name, uint32_t number)
{
	const struct ga_step m = { .turn = turn,
		.kind = STEP_TOOL,
		.tool_name = span_str(name),
		.tool_version = number,
		.size_bytes = 10,
		.body_len = 20 };

	return call(w.gw, GA_STEP, &m);
}

static void
done_with(const struct grant *g, enum error error, enum run_status status)
{
	struct ae_done m = { .turn = g->turn,
		.error = (uint16_t)error,
		.status = (uint8_t)status,
		.duration_ms = 7 };

	memcpy(m.grant, g->grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.executor, 0, AE_DONE, &m)));
	spin();
}

/* ---- what the executor asks ---- */

static struct {
	bool come;
	uint16_t type;
	struct ae_kept kept;
	struct ae_artefact artefact;
	char env[64];
	bool fd;
} told;

static void
on_told(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	int fd = link_take_fd(l);

	(void)ctx;
	told.come = is_ok(st);
	told.type = type;
	told.fd = fd >= 0;
	if (fd >= 0)
		(void)close(fd);
	if (type == AE_KEPT)
		told.kept = *(const struct ae_kept *)msg;
	if (type == AE_ARTEFACT) {
		told.artefact = *(const struct ae_artefact *)msg;
		(void)snprintf(told.env, sizeof(told.env), "%.*s", SPAN_FMT(told.artefact.env));
	}
}

static void
tell(uint16_t type, const void *msg, size_t nfds)
{
	int fds[2] = { open("/dev/null", O_RDONLY | O_CLOEXEC),
		open("/dev/null", O_RDONLY | O_CLOEXEC) };

	memset(&told, 0, sizeof(told));
	assert_true(
	    is_ok(link_call_fds(w.executor, type, msg, fds, nfds, 60000, on_told, NULL, NULL)));
	(void)close(fds[0]);
	(void)close(fds[1]);
	spin();
}

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

static enum error
artefact(uint64_t id, uint8_t part)
{
	const struct ae_artefact_get m = { .id = id, .part = part };

	tell(AE_ARTEFACT_GET, &m, 0);
	assert_true(told.come && told.type == AE_ARTEFACT);
	assert_int_equal(told.fd, told.artefact.error == ERROR_NONE);
	return (enum error)told.artefact.error;
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
load_two(void)
{
	struct as_tool one = version(1, "t", "u", "one", 1, MANIFEST("one", "")),
		       two = version(2, "t", "u", "two", 4, MANIFEST("two", ""));

	load(&one);
	load(&two);
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
	struct policies fresh = { 0 };
	struct conf *conf = NULL;

	assert_true(is_ok(conf_parse(span_str(text), &conf, error)));
	assert_true(is_ok(policies_load(conf, &fresh)));
	conf_free(w.d.conf);
	w.d.conf = conf;
	w.d.generation++;
	policies_done(&w.a->policies);
	w.a->policies = fresh;
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

/* ---- anything a gateway and an executor may say, in any order ---- */

static void
random_step(uint64_t turn, uint32_t seed)
{
	static const char *const names[] = { "one", "two", "three", "" };
	const struct ga_step m = { .turn = turn,
		.kind = (uint8_t)((seed >> 4 & 3) == 0 ? STEP_MODEL : STEP_TOOL),
		.tool_name = span_str(names[seed >> 6 & 3]),
		.tool_version = seed >> 8 & 7 };

	if (w.gw != NULL)
		assert_true(is_ok(
		    link_call(w.gw, GA_STEP, &m, 60000, on_reply, &replies[nreplies++], NULL)));
}

static void
test_random_orders(void **state)
{
	uint32_t seed = 7;

	(void)state;
	load_two();
	for (uint32_t i = 0; i < 200; i++) {
		struct reply *r;
		uint64_t turn;

		nreplies = 0;
		w.nrecs = i % 8 == 0 ? 0 : w.nrecs; /* the table is bounded; each part balances */
		if (w.gw == NULL)
			connect_fake(
			    EDGE_GATEWAY_AUTHORITY, 100 + i, &ga_edge, true, &gateway_ops, &w.gw);
		if (w.executor == NULL)
			connect_fake(EDGE_AUTHORITY_EXECUTOR, 1000 + i, &ae_edge, false,
			    &executor_ops, &w.executor);
		spin();
		holder_done(&w.key[0]->holder);
		holder_done(&w.key[0]->user->holder);
		r = chat(0, tools_catalog(w.a, w.key[0]));
		turn = r->admitted.turn;
		for (int j = 0; j < 12 && w.gw != NULL && w.executor != NULL; j++) {
			seed = seed * 1664525 + 1013904223;
			switch (seed >> 24 & 7) {
			case 0:
				model_done();
				break;
			case 1:
			case 2:
			case 3:
				random_step(turn, seed);
				break;
			case 4:
			case 5:
				if (w.run_grants > 0)
					done_with(&w.grants[seed >> 10 & 15], ERROR_NONE, RUN_EXIT);
				break;
			case 6:
				if ((seed >> 12 & 3) == 0)
					cut(&w.executor);
				break;
			default:
				if ((seed >> 12 & 1) == 0)
					(void)settle(turn, ERROR_CANCELLED);
				break;
			}
			if ((seed >> 16 & 3) != 0)
				spin();
		}
		if (w.gw != NULL)
			cut(&w.gw);
		spin();
		assert_int_equal(w.a->turns.n, 0);
		assert_int_equal(tools_by_id(&w.a->tools, 1)->calls, 0);
		assert_int_equal(tools_by_id(&w.a->tools, 2)->calls, 0);
		if (i % 8 == 7)
			assert_balanced();
	}
	w.nrecs = 0;
	if (w.executor == NULL)
		connect_fake(
		    EDGE_AUTHORITY_EXECUTOR, 13, &ae_edge, false, &executor_ops, &w.executor);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_push),
		T(test_push_refused),
		T(test_push_share),
		T(test_push_cancelled),
		T(test_cells),
		T(test_allowed_version),
		T(test_call),
		T(test_catalog),
		T(test_parallel),
		T(test_many),
		T(test_steps_refused),
		T(test_arguments_refused),
		T(test_revoked),
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
		T(test_random_orders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
