/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_gateway_tools.c: users' tools: forms, lists, calls, through a whole worker.
 */
#include "gateway_rig.h"

#define MANIFEST                                                                       \
	"{\"name\":\"add\",\"description\":\"Adds two numbers.\",\"input_schema\":"    \
	"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":"     \
	"{\"type\":\"integer\"}},\"required\":[\"a\",\"b\"],\"additionalProperties\":" \
	"false},\"output_schema\":{\"type\":\"integer\"},\"limits\":{\"time_ms\":100}}"

static struct ga_tool add;

static void
have_tool(const char *manifest)
{
	add = (struct ga_tool){
		.name = SPAN_LIT("add"),
		.user = SPAN_LIT("alice"),
		.version = 3,
		.current = 1,
		.sandbox = TOOL_WASM,
		.parts = TOOL_HAS_MODULE,
		.created_s = 1764000000,
		.manifest = span_str(manifest),
	};
	assert_int_equal(sha256(span_str(manifest), add.digest).code, E_OK);
	peers.tools = &add;
	peers.ntools = 1;
	peers.catalog = 41;
}

static void
exchange(
    const char *method, const char *path, const char *body, const char *wanted, const char *also)
{
	struct client c;

	client_open(&c);
	request(&c, method, path, key, body);
	wait_for(&c, wanted);
	wait_for(&c, also);
	client_close(&c);
}

/* ---- calls ---- */

static void
a_call(void **state)
{
	struct tool_request req;
	auto_arena struct arena a = ARENA_INIT(1 << 16);

	(void)state;
	have_tool(MANIFEST);
	peers.out = " 5\n";
	peers.err = "note";
	exchange("POST", "/v1/tools/add/call", "{\"arguments\":{\"a\":2, \"b\":3}}", "200 OK",
	    "\"status\":\"exit\",\"exit_code\":0,\"trap\":null,\"output\": "
	    "5\n,\"output_error\":null,"
	    "\"stderr\":\"note\",\"truncated\":false,\"version\":3,\"sandbox\":\"gvisor:python-"
	    "3\"");
	assert_int_equal(peers.admits, 2);
	assert_int_equal(peers.offered, 1);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.admit.catalog, 41);
	assert_int_equal(peers.admit.endpoint, ENDPOINT_TOOL_CALL);
	assert_true(is_ok(wire_decode(&tool_request_table, buf_span(&run_body), &a, &req)));
	assert_true(span_eq_str(req.arguments, "{\"a\":2, \"b\":3}"));
}

static void
bad_arguments_start_nothing(void **state)
{
	static const struct {
		const char *body, *param;
	} rows[] = {
		{ "{\"arguments\":{\"a\":2}}", "\"param\":\"/arguments\"" },
		{ "{\"arguments\":{\"a\":2,\"b\":\"3\"}}", "\"param\":\"/arguments/b\"" },
		{ "{\"arguments\":{\"a\":2,\"b\":3,\"c\":4}}", "\"param\":\"/arguments/c\"" },
		{ "{\"arguments\":[]}", "\"param\":\"/arguments\"" },
		{ "{\"arguments\":{\"a\":1,\"a\":2}}", "\"param\":\"/arguments/a\"" },
		{ "{}", "\"param\":\"\"" },
		{ "{\"arguments\":{},\"version\":0}", "\"param\":\"/version\"" },
		{ "{\"arguments\":{},\"Version\":1}", "\"param\":\"/Version\"" },
	};

	(void)state;
	have_tool(MANIFEST);
	for (size_t i = 0; i < COUNT(rows); i++)
		exchange("POST", "/v1/tools/add/call", rows[i].body, "400 Bad", rows[i].param);
	assert_int_equal(peers.runs, 0);
	assert_int_equal(peers.settles, 0);
	assert_int_equal(peers.admit.refused, ERROR_INVALID_FIELD);
}

static void
outputs_are_checked(void **state)
{
	static const struct {
		const char *out, *wanted;
	} rows[] = {
		{ "5 6", "\"status\":\"invalid_output\",\"exit_code\":0,\"trap\":null,\"output\":"
			 "null,\"output_error\":\"has something after its end\"" },
		{ "\"5\"", "\"output_error\":\"is not of the required type\"" },
		{ "5\xff", "\"status\":\"invalid_output\"" },
		{ "\"\xff\"", "\"output_error\":\"is not valid UTF-8\"" },
		{ NULL, "\"output_error\":\"is empty\"" },
	};

	(void)state;
	have_tool(MANIFEST);
	for (size_t i = 0; i < COUNT(rows); i++) {
		peers.out = rows[i].out;
		exchange("POST", "/v1/tools/add/call", "{\"arguments\":{\"a\":1,\"b\":2}}",
		    "200 OK", rows[i].wanted);
	}
}

static void
ends_are_told(void **state)
{
	const struct ge_result trap = { .status = RUN_TRAP,
		.trap = SPAN_LIT("out of bounds memory access in \"f\x1b[2J\"") };
	const struct ge_result late = { .status = RUN_TIMEOUT, .duration_ms = 100 };
	const struct ge_result code = { .status = RUN_EXIT, .exit_code = 7 };

	(void)state;
	have_tool(MANIFEST);
	peers.result = &trap;
	exchange("POST", "/v1/tools/add/call", "{\"arguments\":{\"a\":1,\"b\":2}}", "200 OK",
	    "\"status\":\"trap\",\"exit_code\":null,\"trap\":\"out of bounds memory access in "
	    "\\\"f[2J\\\"\",\"output\":null");
	peers.result = &late;
	exchange("POST", "/v1/tools/add/call", "{\"arguments\":{\"a\":1,\"b\":2}}", "200 OK",
	    "\"status\":\"timeout\",\"exit_code\":null,\"trap\":null,\"output\":null");
	peers.result = &code;
	peers.out = "4";
	exchange("POST", "/v1/tools/add/call", "{\"arguments\":{\"a\":1,\"b\":2}}", "200 OK",
	    "\"status\":\"exit\",\"exit_code\":7,\"trap\":null,\"output\":4");
}

static void
tools_that_are_not_there(void **state)
{
	(void)state;
	have_tool(MANIFEST);
	peers.admit_error = ERROR_TOOL_NOT_FOUND;
	exchange("POST", "/v1/tools/other/call", "{\"arguments\":{}}", "404 Not",
	    "\"code\":\"tool_not_found\"");
	peers.admit_error = ERROR_NONE;
	peers.ntools = 0;
	exchange("POST", "/v1/tools/other/call", "{\"arguments\":{}}", "404 Not",
	    "\"code\":\"tool_not_found\"");
	exchange("POST", "/v1/tools/a.b/call", "{\"arguments\":{}}", "400 Bad",
	    "the path has no name of a tool");
}

/* The catalog changes each time that it is asked for. */
static void
no_end_of_changes(void **state)
{
	struct client c;

	(void)state;
	have_tool(MANIFEST);
	peers.hold_admit = true;
	client_open(&c);
	request(&c, "POST", "/v1/tools/add/call", key, "{\"arguments\":{\"a\":1,\"b\":2}}");
	for (int i = 1; i <= READMITTED_MAX + 1; i++) {
		for (int k = 0; peers.admits < i && k < 10000; k++)
			turn_loop();
		assert_int_equal(peers.admits, i);
		peers.catalog++;
		admit_now(peers.authority, peers.admit_id);
	}
	wait_for(&c, "503 ");
	client_close(&c);
	assert_int_equal(peers.runs, 0);
}

static void
a_client_that_leaves_a_call(void **state)
{
	struct client c;

	(void)state;
	have_tool(MANIFEST);
	peers.hold_run = true;
	client_open(&c);
	request(&c, "POST", "/v1/tools/add/call", key, "{\"arguments\":{\"a\":1,\"b\":2}}");
	for (int i = 0; peers.runs == 0 && i < 10000; i++)
		turn_loop();
	client_close(&c);
	for (int i = 0; peers.settles == 0 && i < 10000; i++)
		turn_loop();
	assert_int_equal(peers.runs_cancelled, 1);
	assert_int_equal(peers.settle.error, ERROR_CANCELLED);
}

/* ---- lists ---- */

static void
lists(void **state)
{
	(void)state;
	have_tool(MANIFEST);
	peers.more = 1;
	exchange("GET", "/v1/tools", "", "200 OK",
	    "{\"object\":\"list\",\"data\":[{\"object\":\"tool\",\"name\":\"add\",\"owner\":"
	    "\"alice\",\"description\":\"Adds two numbers.\",\"version\":3,\"current\":true,"
	    "\"allowed\":false,\"sandbox\":\"wasm\",\"parts\":[\"module\"],\"digest\":\"");
	exchange("GET", "/v1/tools?after=add", "", "200 OK", "\"has_more\":true");
	exchange("GET", "/v1/tools/add", "", "200 OK", "\"manifest\":{\"name\":\"add\"");
	assert_int_equal(peers.admit.endpoint, ENDPOINT_TOOL_GET);
	exchange("GET", "/v1/tools/add?version=3", "", "200 OK", "\"versions\":[{\"version\":3");
	assert_int_equal(peers.admit.tool_version, 3);
	exchange("DELETE", "/v1/tools/add", "", "200 OK",
	    "{\"object\":\"tool.deleted\",\"name\":\"add\",\"version\":null,\"deleted\":true}");
	exchange("DELETE", "/v1/tools/add?version=2", "", "200 OK", "\"version\":2");
	assert_int_equal(peers.admit.endpoint, ENDPOINT_TOOL_REMOVE);
	assert_int_equal(peers.admit.tool_version, 2);
	exchange("POST", "/v1/tools/add/current", "{\"version\":2}", "200 OK",
	    "{\"object\":\"tool\",\"name\":\"add\",\"version\":2,\"current\":true}");
	assert_int_equal(peers.admit.endpoint, ENDPOINT_TOOL_CURRENT);
	peers.ntools = 0;
	exchange("GET", "/v1/tools/add", "", "404 Not", "tool_not_found");
}

static void
bad_queries(void **state)
{
	static const struct {
		const char *method, *path;
	} rows[] = {
		{ "GET", "/v1/tools?version=1" },
		{ "GET", "/v1/tools?after=" },
		{ "GET", "/v1/tools?after=a.b" },
		{ "GET", "/v1/tools?after=a&after=b" },
		{ "GET", "/v1/tools/add?version=0" },
		{ "GET", "/v1/tools/add?version=4294967296" },
		{ "GET", "/v1/tools/add?version=-1" },
		{ "GET", "/v1/tools/add?version=1&version=2" },
		{ "DELETE", "/v1/tools/add?version=" },
		{ "DELETE", "/v1/tools/add?x=1" },
		{ "POST", "/v1/tools?version=1" },
		{ "POST", "/v1/tools/add/call?version=1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		exchange(rows[i].method, rows[i].path, "", "400 Bad", "invalid_field");
}

/* ---- uploads ---- */

static void
push(struct client *c, const char *type, const char *body)
{
	char text[8192];

	(void)snprintf(text, sizeof(text),
	    "POST /v1/tools HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
	    key, type, strlen(body), body);
	client_send(c, text);
}

#define FORM "multipart/form-data; boundary=b"
#define PART(name, text) \
	"--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" text "\r\n"
#define GOOD PART("module", "wasm") PART("manifest", MANIFEST) "--b--\r\n"

static void
an_upload(void **state)
{
	const struct ge_result built = { .status = RUN_EXIT, .version = 4, .duration_ms = 9 };
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct tool_upload up;
	struct client c;

	(void)state;
	have_tool(MANIFEST);
	peers.catalog = 0;
	peers.result = &built;
	client_open(&c);
	push(&c, FORM, GOOD);
	wait_for(&c, "201 Created");
	wait_for(&c, "{\"object\":\"tool\",\"name\":\"add\",\"version\":4,\"digest\":\"");
	wait_for(&c, "\"sandbox\":\"wasm\"");
	client_close(&c);
	assert_int_equal(peers.admit.tool_parts, TOOL_HAS_MODULE);
	assert_int_equal(peers.settles, 1);
	assert_true(is_ok(wire_decode(&tool_upload_table, buf_span(&run_body), &a, &up)));
	assert_true(span_eq_str(up.manifest, MANIFEST));
	assert_true(span_eq_str(up.module, "wasm"));
	assert_int_equal(up.native.len, 0);
}

static void
bad_uploads(void **state)
{
	static const struct {
		const char *type, *body, *status, *wanted;
	} rows[] = {
		{ "application/json", "{}", "415 ", "takes multipart/form-data" },
		{ "multipart/form-data", "x", "400 ", "no boundary" },
		{ FORM, "", "400 ", "does not begin" },
		{ FORM, PART("manifest", MANIFEST) "--b--", "400 ", "\"param\":\"/module\"" },
		{ FORM, PART("manifest", MANIFEST) PART("module", "") "--b--", "400 ",
		    "\"param\":\"/module\"" },
		{ FORM, PART("module", "x") "--b--", "400 ", "\"param\":\"/manifest\"" },
		{ FORM, PART("manifest", "{}") PART("module", "x") "--b--", "400 ",
		    "invalid_tool" },
		{ FORM, PART("manifest", MANIFEST) PART("manifest", MANIFEST) "--b--", "400 ",
		    "a part is there twice" },
	};
	struct client c;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		client_open(&c);
		push(&c, rows[i].type, rows[i].body);
		wait_for(&c, rows[i].status);
		wait_for(&c, rows[i].wanted);
		client_close(&c);
	}
	assert_int_equal(peers.runs, 0);
	assert_int_equal(peers.settles, 0);
}

static void
a_refused_module(void **state)
{
	const struct ge_failed refused = { .error = ERROR_TOOL_INVALID,
		.reason = SPAN_LIT("imports env.evil, which is not offered") };
	struct client c;

	(void)state;
	peers.failed = &refused;
	client_open(&c);
	push(&c, FORM, GOOD);
	wait_for(&c, "400 Bad");
	wait_for(&c, "The tool cannot be used as it is: imports env.evil, which is not offered.");
	client_close(&c);
	assert_int_equal(peers.settle.error, ERROR_TOOL_INVALID);
}

/* ---- turns ---- */

#define FUNCTION(call, name, args)                                                  \
	"{\"id\":\"" call "\",\"type\":\"function\",\"function\":{\"name\":\"" name \
	"\",\"arguments\":\"" args "\"}}"
#define ADD "{\\\"a\\\":2,\\\"b\\\":3}"
#define CALLS_OF(calls)                                                                       \
	WHOLE("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" calls "]}", "tool_" \
										      "calls")
#define SAYS(text) WHOLE("{\"role\":\"assistant\",\"content\":\"" text "\"}", "stop")

static const struct model_script one_call[] = {
	{ 200, { CALLS_OF(FUNCTION("c1", "add", ADD)) } },
	{ 200, { SAYS("five") } },
};

static bool
body_has(const char *text)
{
	return peers.body.len > 0 &&
	       memmem(peers.body.ptr, peers.body.len, text, strlen(text)) != NULL;
}

static void
a_turn(void **state)
{
	auto_arena struct arena a = ARENA_INIT(1 << 16);
	struct tool_request req;

	(void)state;
	have_tool(MANIFEST);
	peers.models = one_call;
	peers.out = "5";
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", "\"content\":\"five\"",
	    "\"sallyport\":{\"steps\":[{\"id\":\"exec_");
	assert_int_equal(peers.admits, 2);
	assert_int_equal(peers.admit.catalog, 41);
	assert_int_equal(peers.admit.tools, 0);
	assert_int_equal(peers.steps_tool, 1);
	assert_int_equal(peers.steps_run, 0);
	assert_int_equal(peers.step.kind, STEP_MODEL);
	assert_true(is_ok(wire_decode(&tool_request_table, buf_span(&run_body), &a, &req)));
	assert_true(span_eq_str(req.arguments, "{\"a\":2,\"b\":3}"));
	/* The second call of the model has the tool, its call and the result. */
	assert_true(body_has("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"add\","
			     "\"description\":\"Adds two numbers.\",\"parameters\":{\"type\":"
			     "\"object\""));
	assert_true(body_has("\"tool_call_id\":\"c1\",\"content\":\"{\\\"untrusted\\\":"));
	assert_true(body_has("\\\"output\\\":\\\"5\\\""));
}

static void
a_streamed_turn(void **state)
{
	static const struct model_script script[] = {
		{ 200, { CHUNK("{\"role\":\"assistant\",\"tool_calls\":[{\"index\":0,\"id\":\"c1\","
			       "\"type\":\"function\",\"function\":{\"name\":\"add\",\"arguments\":"
			       "\"" ADD "\"}}]}",
			     "null") CHUNK("{}", "\"tool_calls\""),
			   "data: [DONE]\n\n" } },
		{ 200, { CHUNK("{\"content\":\"five\"}", "null") CHUNK("{}", "\"stop\""),
			   "data: [DONE]\n\n" } },
	};
	struct client c;

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	peers.out = "5";
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\",\"stream\":true," MESSAGES "}");
	wait_for(&c, "data: [DONE]");
	assert_true(has(&c, "\"event\":\"started\",\"id\":\"exec_"));
	assert_true(has(&c, "\"tool\":\"add\",\"arguments\":\"{\\\"a\\\":2,\\\"b\\\":3}\""));
	assert_true(has(&c, "\"event\":\"result\""));
	assert_true(has(&c, "\"status\":\"exit\",\"exit_code\":0,\"trap\":null,\"output\":5"));
	assert_true(has(&c, "\"content\":\"five\""));
	assert_false(has(&c, "\"name\":\"add\""));
	client_close(&c);
}

/* The model's arguments do not fit: it is told so, nothing runs. */
static void
a_turn_with_bad_arguments(void **state)
{
	static const struct model_script script[] = {
		{ 200, { CALLS_OF(FUNCTION("c1", "add", "{\\\"a\\\":true,\\\"b\\\":1}")) } },
		{ 200, { SAYS("sorry") } },
	};

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", "\"content\":\"sorry\"",
	    "\"status\":\"not_run\"");
	assert_int_equal(peers.steps_tool, 0);
	assert_int_equal(peers.steps_refused, 1); /* it is on record */
	assert_int_equal(peers.runs, 0);
	assert_true(body_has("do not fit the tool's parameters: /a is not of the required type."));
	peers.calls = 0;
	peers.grants_refused = true;
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", " 500 ", "internal_error");
	assert_int_equal(peers.runs, 0);
}

/* One fits, one does not: both are on record before anything is told. */
static void
a_turn_with_one_misfit(void **state)
{
	static const struct model_script script[] = {
		{ 200, { CALLS_OF(FUNCTION("c1", "add",
			   "{\\\"a\\\":true,\\\"b\\\":1}") "," FUNCTION("c2", "add", ADD)) } },
		{ 200, { SAYS("done") } },
	};

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	peers.out = "5";
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", "\"content\":\"done\"",
	    "\"status\":\"not_run\"");
	assert_int_equal(peers.steps_tool, 1);
	assert_int_equal(peers.steps_refused, 1);
	assert_int_equal(peers.runs, 1);
	assert_true(body_has("do not fit the tool's parameters: /a is not of the required type."));
	peers.calls = 0;
	peers.grants_refused = true;
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", " 500 ", "internal_error");
}

/* Several at once, and one that the authority refuses. */
static void
a_turn_with_several_calls(void **state)
{
	static const struct model_script script[] = {
		{ 200, { CALLS_OF(FUNCTION("c1", "add", ADD) "," FUNCTION("c2", "add", ADD)) } },
		{ 200, { SAYS("done") } },
	};

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	peers.out = "5";
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", "\"content\":\"done\"",
	    "\"index\":0");
	assert_int_equal(peers.steps_tool, 2);
	assert_int_equal(peers.runs, 2);
	assert_true(body_has("\"tool_call_id\":\"c1\"") && body_has("\"tool_call_id\":\"c2\""));
	peers.calls = 0;
	peers.step_error = ERROR_TOOL_NOT_FOUND;
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", "\"content\":\"done\"",
	    "\"status\":\"not_run\"");
	assert_int_equal(peers.runs, 2);
}

/* They run at once; a client that leaves ends all of them, and the turn is settled once. */
static void
calls_at_once(void **state)
{
	static const struct model_script script[] = {
		{ 200, { CALLS_OF(FUNCTION("c1", "add", ADD) "," FUNCTION(
			   "c2", "add", ADD) "," FUNCTION("c3", "add", "{}")) } },
	};
	struct client c;

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	peers.hold_run = true;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\"," MESSAGES "}");
	for (int i = 0; peers.runs < 2 && i < 10000; i++)
		turn_loop();
	assert_int_equal(peers.runs, 2); /* the third one's arguments do not fit */
	client_close(&c);
	for (int i = 0; peers.settles == 0 && i < 10000; i++)
		turn_loop();
	assert_int_equal(peers.runs_cancelled, 2);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.settle.error, ERROR_CANCELLED);
}

/* The authority is about to answer: the turn is settled when it has, and nothing runs. */
static void
a_client_that_leaves_while_calls_are_asked_for(void **state)
{
	static const struct model_script script[] = {
		{ 200, { CALLS_OF(FUNCTION("c1", "add", ADD) "," FUNCTION("c2", "add", ADD)) } },
	};
	const struct ga_granted granted = { .error = ERROR_NONE };
	struct client c;

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	peers.hold_step = true;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\"," MESSAGES "}");
	for (int i = 0; peers.steps_tool < 2 && i < 10000; i++)
		turn_loop();
	client_close(&c);
	spin(20);
	assert_int_equal(peers.settles, 0);
	reply(peers.authority, peers.step_ids[1], GA_GRANTED, &granted);
	spin(20);
	assert_int_equal(peers.settles, 0);
	reply(peers.authority, peers.step_ids[0], GA_GRANTED, &granted);
	for (int i = 0; peers.settles == 0 && i < 10000; i++)
		turn_loop();
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.runs, 0);
}

/* One fails: the turn does, and the other ends with it. */
static void
one_of_several_fails(void **state)
{
	static const struct model_script script[] = {
		{ 200, { CALLS_OF(FUNCTION("c1", "add", ADD) "," FUNCTION("c2", "add", ADD)) } },
	};
	const struct ge_failed failed = { .error = ERROR_POOL_BUSY, .retry_after_ms = 1000 };

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	peers.failed = &failed;
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", "429 Too", "sandbox_busy");
	assert_int_equal(peers.settles, 1);
	/* And when a process of ours is away. */
	peers.calls = peers.settles = 0;
	peers.step_error = ERROR_UNAVAILABLE;
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", "503 ", "unavailable");
	assert_int_equal(peers.settles, 1);
}

/* The client's own function of that name wins; and names that mean something here. */
static void
names_that_are_taken(void **state)
{
	static const struct model_script script[] = {
		{ 200, { CALLS_OF(FUNCTION("c1", "add", ADD)) } },
	};

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	exchange("POST", CHAT_PATH,
	    "{\"model\":\"demo\"," MESSAGES ",\"tools\":[{\"type\":\"function\",\"function\":"
	    "{\"name\":\"\\u0061dd\"}}]}",
	    "\"tool_calls\":[{\"id\":\"c1\"", "200 OK");
	assert_int_equal(peers.steps_tool, 0);
	assert_false(body_has("Adds two numbers."));
	peers.calls = 0;
	exchange("POST", CHAT_PATH, "{\"model\":\"demo\",\"n\":2," MESSAGES "}",
	    "\"tool_calls\":[{\"id\":\"c1\"", "200 OK");
	assert_false(body_has("Adds two numbers."));
}

/* Beside a function of the client's, ours is left out of what it sees, and not run. */
static void
mixed_calls(void **state)
{
	static const struct model_script script[] = {
		{ 200,
		    { CALLS_OF(FUNCTION("c1", "add", ADD) "," FUNCTION("c2", "theirs", "{}")) } },
	};
	struct client c;

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key,
	    "{\"model\":\"demo\"," MESSAGES ",\"tools\":[{\"type\":\"function\",\"function\":"
	    "{\"name\":\"theirs\"}}]}");
	wait_for(&c, "\"id\":\"c2\"");
	assert_false(has(&c, "\"id\":\"c1\""));
	client_close(&c);
	assert_int_equal(peers.runs, 0);
	assert_true(body_has(
	    "\"name\":\"theirs\"}},{\"type\":\"function\",\"function\":{\"name\":\"add\""));
}

/* The policy's code interpreter and users' tools in one answer of the authority. */
static void
attached_and_offered(void **state)
{
	static const struct model_script script[] = { { 200, { SAYS("hi") } } };

	(void)state;
	have_tool(MANIFEST);
	peers.attach = TOOL_CODE_INTERPRETER;
	peers.models = script;
	exchange(
	    "POST", CHAT_PATH, "{\"model\":\"demo\"," MESSAGES "}", "\"content\":\"hi\"", "200 OK");
	assert_int_equal(peers.admit.tools, TOOL_CODE_INTERPRETER);
	assert_true(body_has(
	    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"code_interpreter\""));
	assert_true(body_has("},{\"type\":\"function\",\"function\":{\"name\":\"add\""));
}

/* ---- the other dialects ---- */

#define OAI "\"model\":\"org/gpt-5.5\""
#define RESPONSE(status, output)                                                                  \
	"{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":1,\"model\":\"m\",\"status\":" \
	"\"" status "\",\"output\":[" output "],\"tools\":[],\"usage\":{\"input_tokens\":1,"      \
	"\"output_tokens\":2,\"total_tokens\":3}}"
#define RESPONSE_CALL                                                                      \
	"{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c1\",\"name\":\"add\"," \
	"\"arguments\":\"" ADD "\",\"status\":\"completed\"}"
#define RESPONSE_TEXT                                                                             \
	"{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\",\"status\":\"completed\"," \
	"\"content\":[{\"type\":\"output_text\",\"text\":\"five\",\"annotations\":[]}]}"
#define EV(type, more) \
	"event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":0" more "}\n\n"

static void
a_turn_of_responses(void **state)
{
	static const struct model_script script[] = {
		{ 200, { RESPONSE("completed", RESPONSE_CALL) } },
		{ 200, { RESPONSE("completed", RESPONSE_TEXT) } },
	};

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	peers.out = "5";
	exchange("POST", "/v1/responses", "{" OAI ",\"input\":\"hi\"}",
	    "\"type\":\"mcp_call\",\"status\":\"completed\",\"server_label\":\"sallyport\","
	    "\"name\":"
	    "\"add\",\"arguments\":\"{\\\"a\\\":2,\\\"b\\\":3}\",\"approval_request_id\":null,"
	    "\"output\":\"5\",\"error\":null",
	    "\"text\":\"five\"");
	assert_int_equal(peers.steps_tool, 1);
	assert_true(body_has("\"tools\":[{\"type\":\"function\",\"name\":\"add\""));
	assert_true(body_has("\"type\":\"function_call_output\",\"call_id\":\"c1\""));
	/* The client sends the item back: the model knows it as its call and a result. */
	peers.calls = 0;
	peers.models = &script[1];
	exchange("POST", "/v1/responses",
	    "{" OAI ",\"input\":[{\"role\":\"user\",\"content\":\"hi\"},{\"type\":\"mcp_call\","
	    "\"id\":\"mcp_1\",\"server_label\":\"sallyport\",\"name\":\"add\",\"arguments\":\"{}\","
	    "\"output\":\"5\"},{\"role\":\"user\",\"content\":\"and?\"}]}",
	    "\"text\":\"five\"", "200 OK");
	assert_true(
	    body_has("{\"type\":\"function_call\",\"call_id\":\"call_sallyport_1\",\"name\":"
		     "\"add\",\"arguments\":\"{}\"},{\"type\":\"function_call_output\""));
	assert_false(body_has("mcp_call"));
}

static void
a_streamed_turn_of_responses(void **state)
{
	static const struct model_script script[] = {
		{ 200, { EV("response.created", ",\"response\":" RESPONSE("in_progress", "")),
			   EV("response.output_item.added",
			       ",\"output_index\":0,\"item\":" RESPONSE_CALL)
			       EV("response.output_item.done",
				   ",\"output_index\":0,\"item\":" RESPONSE_CALL),
			   EV("response.completed",
			       ",\"response\":" RESPONSE("completed", RESPONSE_CALL)) } },
		{ 200, { EV("response.created", ",\"response\":" RESPONSE("in_progress", "")),
			   EV("response.output_item.added",
			       ",\"output_index\":0,\"item\":" RESPONSE_TEXT)
			       EV("response.output_item.done",
				   ",\"output_index\":0,\"item\":" RESPONSE_TEXT),
			   EV("response.completed",
			       ",\"response\":" RESPONSE("completed", RESPONSE_TEXT)) } },
	};
	struct client c;

	(void)state;
	have_tool(MANIFEST);
	peers.models = script;
	peers.out = "5";
	client_open(&c);
	request(&c, "POST", "/v1/responses", key, "{" OAI ",\"stream\":true,\"input\":\"hi\"}");
	wait_for(&c, "event: response.completed");
	assert_true(has(&c, "event: response.mcp_call.in_progress\n"));
	assert_true(has(&c, "event: response.mcp_call_arguments.delta\n"));
	assert_true(has(&c, "event: response.mcp_call_arguments.done\n"));
	assert_true(has(&c, "event: response.mcp_call.completed\n"));
	assert_false(has(&c, "function_call"));
	client_close(&c);
}

#define CLAUDE "\"model\":\"claude\",\"max_tokens\":9"
#define MESSAGE(reason, content)                                                                  \
	"{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","          \
	"\"content\":[" content "],\"stop_reason\":\"" reason "\",\"usage\":{\"input_tokens\":1," \
	"\"output_tokens\":2}}"
#define MESSAGE_CALL \
	"{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"add\",\"input\":{\"a\":2,\"b\":3}}"
#define MESSAGE_TEXT "{\"type\":\"text\",\"text\":\"five\"}"

static void
speak_messages(void)
{
	g.models[g.nmodels++] = (struct model_name){ SPAN_LIT("claude"),
		1U << ENDPOINT_MESSAGES | 1U << ENDPOINT_COUNT_TOKENS };
}

static void
a_turn_of_messages(void **state)
{
	static const struct model_script script[] = {
		{ 200, { MESSAGE("tool_use", MESSAGE_CALL) } },
		{ 200, { MESSAGE("end_turn", MESSAGE_TEXT) } },
	};

	(void)state;
	speak_messages();
	have_tool(MANIFEST);
	peers.models = script;
	peers.out = "5";
	exchange("POST", "/v1/messages", "{" CLAUDE "," MESSAGES "}",
	    "\"content\":[{\"type\":\"mcp_tool_use\",\"id\":\"srvtoolu_1\",\"name\":\"add\","
	    "\"server_name\":\"sallyport\",\"input\":{\"a\":2,\"b\":3}},{\"type\":"
	    "\"mcp_tool_result\",\"tool_use_id\":\"srvtoolu_1\",\"is_error\":false,\"content\":[{"
	    "\"type\":\"text\",\"text\":\"5\"}]}",
	    "\"text\":\"five\"");
	assert_int_equal(peers.steps_tool, 1);
	assert_true(body_has("\"tools\":[{\"name\":\"add\",\"description\":\"Adds two numbers.\","
			     "\"input_schema\":{"));
	assert_true(body_has("{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"content\":"));
	peers.calls = 0;
	peers.models = &script[1];
	exchange("POST", "/v1/messages",
	    "{" CLAUDE ",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
	    "\"assistant\",\"content\":[{\"type\":\"mcp_tool_use\",\"id\":\"srvtoolu_1\",\"name\":"
	    "\"add\",\"server_name\":\"sallyport\",\"input\":{\"a\":2}},{\"type\":"
	    "\"mcp_tool_result\",\"tool_use_id\":\"srvtoolu_1\",\"is_error\":false,\"content\":[{"
	    "\"type\":\"text\",\"text\":\"5\"}]}," MESSAGE_TEXT
	    "]},{\"role\":\"user\",\"content\":\"and?\"}]}",
	    "\"text\":\"five\"", "200 OK");
	assert_true(
	    body_has("{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"add\",\"input\":{"
		     "\"a\":2}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
		     "\"tool_use_id\":\"toolu_1\""));
	assert_false(body_has("mcp_tool"));
	g.nmodels--;
}

#define MEV(type, more) "event: " type "\ndata: {\"type\":\"" type "\"" more "}\n\n"
#define MSTART                                                                            \
	MEV("message_start",                                                              \
	    ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\"," \
	    "\"model\":"                                                                  \
	    "\"m\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":1,"    \
	    "\"output_tokens\":1}}")
#define MEND(reason)                                                                       \
	MEV("content_block_stop", ",\"index\":0")                                          \
	MEV("message_delta",                                                               \
	    ",\"delta\":{\"stop_reason\":\"" reason "\"},\"usage\":{\"output_tokens\":2}") \
	MEV("message_stop", "")

static void
a_streamed_turn_of_messages(void **state)
{
	static const struct model_script script[] = {
		{ 200,
		    { MSTART,
			MEV("content_block_start",
			    ",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":"
			    "\"toolu_1\",\"name\":\"add\",\"input\":{}}") MEV("content_block_delta",
			    ",\"index\":0,\"delta\":{\"type\":\"input_json_delta\","
			    "\"partial_json\":\"" ADD "\"}"),
			MEND("tool_use") } },
		{ 200,
		    { MSTART,
			MEV("content_block_start", ",\"index\":0,\"content_block\":" MESSAGE_TEXT),
			MEND("end_turn") } },
	};
	struct client c;

	(void)state;
	speak_messages();
	have_tool(MANIFEST);
	peers.models = script;
	peers.out = "5";
	client_open(&c);
	request(&c, "POST", "/v1/messages", key, "{" CLAUDE ",\"stream\":true," MESSAGES "}");
	wait_for(&c, "event: message_stop");
	assert_true(has(&c, "\"content_block\":{\"type\":\"mcp_tool_use\",\"id\":\"srvtoolu_1\""));
	assert_true(has(&c, "\"input\":{\"a\":2,\"b\":3}"));
	assert_true(has(&c, "\"content_block\":{\"type\":\"mcp_tool_result\""));
	assert_false(has(&c, "\"type\":\"tool_use\""));
	client_close(&c);
	g.nmodels--;
}

/* ---- definitions ---- */

static void
definitions_are_bounded(void **state)
{
	struct tool_offer o = { .name = SPAN_LIT("add"), .manifest = SPAN_LIT(MANIFEST) };
	const struct tool_def *def, *first;

	(void)state;
	assert_true(is_ok(tool_def_get(&g.tool_defs, &o, &first)));
	assert_true(is_ok(tool_def_get(&g.tool_defs, &o, &def)));
	assert_ptr_equal(first, def);
	for (uint32_t i = 1; i < 3 * TOOL_DEFS_MAX; i++) {
		memcpy(o.digest, &i, sizeof(i));
		assert_true(is_ok(tool_def_get(&g.tool_defs, &o, &def)));
		assert_true(g.tool_defs.bytes <= TOOL_DEFS_BYTES_MAX);
	}
	o.digest[0] ^= 0xff;
	o.manifest = SPAN_LIT("{");
	assert_int_equal(tool_def_get(&g.tool_defs, &o, &def).code, E_CORRUPT);
	tool_defs_free(&g.tool_defs);
	assert_int_equal(g.tool_defs.bytes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(a_call),
		FLOW(bad_arguments_start_nothing),
		FLOW(outputs_are_checked),
		FLOW(ends_are_told),
		FLOW(tools_that_are_not_there),
		FLOW(no_end_of_changes),
		FLOW(a_client_that_leaves_a_call),
		FLOW(lists),
		FLOW(bad_queries),
		FLOW(an_upload),
		FLOW(bad_uploads),
		FLOW(a_refused_module),
		FLOW(a_turn),
		FLOW(a_streamed_turn),
		FLOW(a_turn_with_bad_arguments),
		FLOW(a_turn_with_one_misfit),
		FLOW(a_turn_with_several_calls),
		FLOW(calls_at_once),
		FLOW(a_client_that_leaves_while_calls_are_asked_for),
		FLOW(one_of_several_fails),
		FLOW(names_that_are_taken),
		FLOW(mixed_calls),
		FLOW(attached_and_offered),
		FLOW(a_turn_of_responses),
		FLOW(a_streamed_turn_of_responses),
		FLOW(a_turn_of_messages),
		FLOW(a_streamed_turn_of_messages),
		FLOW(definitions_are_bounded),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
