/* SPDX-License-Identifier: Apache-2.0 */
/* A whole worker: what it remembers of keys' tools, for whom, how long, and when it is not true. */
#include "gateway_rig.h"

#define MANIFEST(parameter)                                                                  \
	"{\"name\":\"add\",\"description\":\"Adds.\",\"input_schema\":{\"type\":\"object\"," \
	"\"properties\":{\"" parameter "\":{\"type\":\"integer\"}},\"required\":[\""         \
	"" parameter "\"],\"additionalProperties\":false}}"
#define CALL_PATH "/v1/tools/add/call"
#define CALL(parameter) "{\"arguments\":{\"" parameter "\":2}}"
#define PROMPT "{\"model\":\"demo\"," MESSAGES "}"
#define NAMED "{\"model\":\"demo\",\"tools\":[{\"type\":\"code_interpreter\"}]," MESSAGES "}"

static const struct model_script says[] = { { 200, { WHOLE("{\"content\":\"hi\"}", "stop") } },
	{ 200, { WHOLE("{\"content\":\"hi\"}", "stop") } },
	{ 200, { WHOLE("{\"content\":\"hi\"}", "stop") } },
	{ 200, { WHOLE("{\"content\":\"hi\"}", "stop") } } };
static struct ga_tool add;

/* The authority has this version now. */
static void
have(const char *manifest, uint32_t version)
{
	add = (struct ga_tool){ .name = SPAN_LIT("add"),
		.user = SPAN_LIT("alice"),
		.version = version,
		.sandbox = TOOL_WASM,
		.parts = TOOL_HAS_MODULE,
		.manifest = span_str(manifest) };
	assert_int_equal(sha256(span_str(manifest), add.digest).code, E_OK);
	peers.tools = &add;
	peers.ntools = 1;
	peers.catalog = 40 + version;
	peers.models = says;
	peers.out = "5";
}

/* How many ADMITs it takes. */
static int
ask_with(const char *k, const char *path, const char *body, const char *wanted)
{
	int before = peers.admits;
	struct client c;

	client_open(&c);
	request(&c, "POST", path, k, body);
	wait_for(&c, wanted);
	client_close(&c);
	return peers.admits - before;
}

static int
ask(const char *path, const char *body, const char *wanted)
{
	return ask_with(key, path, body, wanted);
}

static bool
body_has(const char *text)
{
	return memmem(peers.body.ptr, peers.body.len, text, strlen(text)) != NULL;
}

/* ---- calls ---- */

static void
a_call_is_admitted_at_once(void **state)
{
	(void)state;
	have(MANIFEST("a"), 1);
	assert_int_equal(ask(CALL_PATH, CALL("a"), "\"version\":1"), 2);
	assert_int_equal(ask(CALL_PATH, CALL("a"), "\"version\":1"), 1);
	assert_int_equal(peers.admit.catalog, 41);
	assert_int_equal(peers.runs, 2);
	/* Named with its version it is another question. */
	assert_int_equal(
	    ask(CALL_PATH, "{\"arguments\":{\"a\":2},\"version\":1}", "\"version\":1"), 2);
}

static void
a_stale_schema_decides_nothing(void **state)
{
	(void)state;
	have(MANIFEST("a"), 1);
	assert_int_equal(ask(CALL_PATH, CALL("a"), "200 OK"), 2);
	have(MANIFEST("b"), 2);
	/* Good by the new one only: asked for without the old one's catalog. */
	assert_int_equal(ask(CALL_PATH, CALL("b"), "\"version\":2"), 2);
	have(MANIFEST("a"), 3);
	/* Good by both. */
	assert_int_equal(ask(CALL_PATH, CALL("a"), "\"version\":3"), 2);
	have(MANIFEST("c"), 4);
	/* Good by the old one only. */
	assert_int_equal(ask(CALL_PATH, CALL("a"), "\"param\":\"/arguments"), 2);
	assert_int_equal(peers.admit.refused, ERROR_INVALID_FIELD);
	assert_int_equal(peers.runs, 3);
	assert_int_equal(ask(CALL_PATH, CALL("c"), "\"version\":4"), 1);
}

static void
a_tool_that_went_is_not_found(void **state)
{
	(void)state;
	have(MANIFEST("a"), 1);
	assert_int_equal(ask(CALL_PATH, CALL("a"), "200 OK"), 2);
	peers.admit_error = ERROR_TOOL_NOT_FOUND;
	peers.catalog = 0;
	assert_int_equal(ask(CALL_PATH, CALL("a"), "\"code\":\"tool_not_found\""), 1);
	assert_int_equal(peers.runs, 1);
}

/* ---- turns ---- */

static void
a_turn_is_admitted_at_once(void **state)
{
	(void)state;
	have(MANIFEST("a"), 1);
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 2);
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 1);
	assert_true(body_has("\"name\":\"add\""));
	have(MANIFEST("b"), 2);
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 2);
	assert_true(body_has("\"properties\":{\"b\":"));
	assert_false(body_has("\"properties\":{\"a\":"));
	peers.ntools = 0;
	peers.catalog = 0;
	peers.calls = 0;
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 2);
	assert_false(body_has("\"tools\""));
	assert_int_equal(g.tool_sets.count, 0);
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 1);
}

static void
what_a_policy_attaches_is_remembered(void **state)
{
	(void)state;
	have(MANIFEST("a"), 1);
	peers.catalog = peers.ntools = 0;
	peers.attach = TOOL_CODE_INTERPRETER;
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 2);
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 1);
	assert_int_equal(peers.admit.attached, TOOL_CODE_INTERPRETER);
	assert_true(body_has("\"name\":\"code_interpreter\""));
	peers.calls = 0;
	assert_int_equal(ask(CHAT_PATH, NAMED, "\"content\":\"hi\""), 1);
	assert_int_equal(peers.admit.attached, 0);
	peers.attach = 0;
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 2);
	assert_int_equal(peers.admit.tools, 0);
	assert_false(body_has("code_interpreter"));
}

/* A guess that clashes with this request is not held against it: the authority is asked. */
static void
a_clash_is_told_by_the_authority_only(void **state)
{
	static const char two[] = "{\"model\":\"demo\",\"n\":2," MESSAGES "}";

	(void)state;
	have(MANIFEST("a"), 1);
	peers.attach = TOOL_CODE_INTERPRETER;
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 2);
	assert_int_equal(ask(CHAT_PATH, two, "clashes with the tool"), 2);
	peers.attach = 0;
	assert_int_equal(ask(CHAT_PATH, two, "\"content\":\"hi\""), 2);
	assert_false(body_has("\"tools\""));
}

/* ---- whose they are ---- */

static void
another_key_gets_nothing_of_it(void **state)
{
	char other[KEYTEXT_LEN + 1] = { 0 };
	struct client c;

	(void)state;
	have(MANIFEST("a"), 1);
	assert_true(is_ok(keytext_create((uint8_t *)other)));
	assert_int_equal(ask(CHAT_PATH, PROMPT, "\"content\":\"hi\""), 2);
	peers.catalog = peers.ntools = 0;
	peers.hold_admit = true;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, other, PROMPT);
	for (int i = 0; peers.admits < 3 && i < 10000; i++)
		turn_loop();
	assert_int_equal(peers.admit.catalog, 0);
	assert_int_equal(peers.admit.body_len, strlen(PROMPT));
	admit_now(peers.authority, peers.admit_id);
	wait_for(&c, "\"content\":\"hi\"");
	client_close(&c);
	assert_false(body_has("\"add\""));
}

/* ---- the table ---- */

static struct tool_set *
kept(const char *credential, const char *name, uint32_t version, uint64_t catalog)
{
	const struct tool_set_key k = { span_str(credential), span_str(name), version };
	const struct ga_admitted m = { .catalog = catalog, .tools = { &add, 1 } };
	struct tool_set *s;

	assert_true(is_ok(tool_set_new(&m, &s)));
	tool_sets_keep(&g.tool_sets, &k, s);
	return s;
}

static uint64_t
catalog_of(const char *credential, const char *name, uint32_t version)
{
	const struct tool_set_key k = { span_str(credential), span_str(name), version };
	struct tool_set *s = tool_sets_find(&g.tool_sets, &k);
	uint64_t catalog = s != NULL ? s->offers.catalog : 0;

	tool_set_release(s);
	return catalog;
}

static void
sets_are_found_by_all_of_their_key(void **state)
{
	(void)state;
	have(MANIFEST("a"), 1);
	tool_set_release(kept("sp_1_x", "", 0, 1));
	tool_set_release(kept("sp_1_y", "", 0, 2));
	tool_set_release(kept("sp_1_x", "add", 0, 3));
	tool_set_release(kept("sp_1_x", "add", 7, 4));
	assert_int_equal(catalog_of("sp_1_x", "", 0), 1);
	assert_int_equal(catalog_of("sp_1_y", "", 0), 2);
	assert_int_equal(catalog_of("sp_1_x", "add", 0), 3);
	assert_int_equal(catalog_of("sp_1_x", "add", 7), 4);
	assert_int_equal(catalog_of("sp_1_z", "", 0), 0);
	assert_int_equal(catalog_of("sp_1_", "x", 0), 0);
	assert_int_equal(catalog_of("sp_1_x", "", 1), 0);
	tool_set_release(kept("sp_1_x", "", 0, 5));
	assert_int_equal(catalog_of("sp_1_x", "", 0), 5);
	assert_int_equal(g.tool_sets.count, 4);
	tool_set_release(kept("sp_1_x", "", 0, 0));
	assert_int_equal(catalog_of("sp_1_x", "", 0), 0);
	assert_int_equal(g.tool_sets.count, 3);
}

/* The one used longest ago goes; a request that holds it has it still. */
static void
sets_are_bounded(void **state)
{
	static char manifest[TOOL_MANIFEST_MAX];
	struct tool_set *held;
	char credential[16];

	(void)state;
	have(MANIFEST("a"), 1);
	held = kept("0", "", 0, 1);
	for (int i = 1; i <= 2 * TOOL_SETS_MAX; i++) {
		(void)snprintf(credential, sizeof(credential), "%d", i);
		tool_set_release(kept(credential, "", 0, 1 + (uint64_t)i));
		if (i <= TOOL_SETS_MAX)
			assert_int_equal(catalog_of("1", "", 0), 2);
		assert_true(g.tool_sets.count <= TOOL_SETS_MAX);
	}
	assert_int_equal(catalog_of("0", "", 0), 0);
	assert_true(span_eq_str(held->offers.items[0].name, "add"));
	tool_set_release(held);
	memset(manifest, 'x', sizeof(manifest));
	add.manifest = span_of(manifest, sizeof(manifest));
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(credential, sizeof(credential), "%d", i);
		tool_set_release(kept(credential, "", 0, 1));
		assert_true(g.tool_sets.bytes <= TOOL_SETS_BYTES_MAX);
	}
	assert_int_equal(catalog_of("999", "", 0), 1);
	tool_sets_free(&g.tool_sets);
	assert_int_equal(g.tool_sets.count + g.tool_sets.bytes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(a_call_is_admitted_at_once),
		FLOW(a_stale_schema_decides_nothing),
		FLOW(a_tool_that_went_is_not_found),
		FLOW(a_turn_is_admitted_at_once),
		FLOW(what_a_policy_attaches_is_remembered),
		FLOW(a_clash_is_told_by_the_authority_only),
		FLOW(another_key_gets_nothing_of_it),
		FLOW(sets_are_found_by_all_of_their_key),
		FLOW(sets_are_bounded),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
