/* SPDX-License-Identifier: Apache-2.0 */
/* src/gateway/tool_offer.c, sides.c, tool_def.c: tools within a turn. */
#include "gateway_tools_rig.h"

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
