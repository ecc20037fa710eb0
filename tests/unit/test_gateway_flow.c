/* SPDX-License-Identifier: Apache-2.0 */
/* src/gateway: requests of each kind, and their answers. */
#include "gateway_flow_rig.h"

static void
lists_models(void **state)
{
	struct client c;

	(void)state;
	client_open(&c);
	request(&c, "GET", "/v1/models", key, "");
	wait_for(&c, "\"other\"");
	assert_true(has(&c, "HTTP/1.1 200 OK\r\n"));
	assert_true(has(&c, "x-ratelimit-remaining-requests: 9\r\n"));
	assert_true(has(&c, "x-ratelimit-reset-requests: 6000ms\r\n"));
	assert_int_equal(peers.admit.endpoint, ENDPOINT_MODELS);
	client_close(&c);
}

static void
one_model(void **state)
{
	static const struct {
		const char *path, *want;
	} rows[] = {
		{ "/v1/models/demo", "{\"id\":\"demo\",\"object\":\"model\"," },
		{ "/v1/models/org/gpt-5.5", "{\"id\":\"org/gpt-5.5\",\"object\":\"model\"," },
		{ "/v1/models/org%2Fgpt-5.5", "{\"id\":\"org/gpt-5.5\",\"object\":\"model\"," },
		{ "/v1/models/org%2fgpt%2d5.5", "{\"id\":\"org/gpt-5.5\",\"object\":\"model\"," },
		{ "/v1/models/org%252Fgpt-5.5", "\"code\":\"model_not_found\"" },
		{ "/v1/models%2Fdemo", "\"code\":\"bad_request\"" },
		{ "/v1%2Fmodels/org%2Fgpt-5.5", "\"code\":\"bad_request\"" },
		{ "/v1/models/..%2Fdemo", "\"code\":\"bad_request\"" },
		{ "/v1/models/org%2F..%2Fdemo", "\"code\":\"bad_request\"" },
		{ "/v1/models/org%5Cgpt-5.5", "\"code\":\"bad_request\"" },
		{ "/v1/models/org%2Fgpt-5.5?a", "\"code\":\"bad_request\"" },
		{ "/v1/models/%2F", "\"code\":\"model_not_found\"" },
		{ "/v1/models/dem", "\"code\":\"model_not_found\"" },
		{ "/v1/models/demo/", "\"code\":\"model_not_found\"" },
		{ "/v1/models/demo%0aother", "\"code\":\"bad_request\"" },
		{ "/v1/models/", "\"code\":\"not_found\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		request(&c, "GET", rows[i].path, key, "");
		wait_for(&c, rows[i].want);
		assert_true(has(&c, strstr(rows[i].want, "bad")         ? "HTTP/1.1 400 "
				    : strstr(rows[i].want, "not_found") ? "HTTP/1.1 404 "
									: "HTTP/1.1 200 "));
		client_close(&c);
	}
}

#define OAI "\"model\":\"org/gpt-5.5\""
#define EMBEDDED                                                                \
	" {\"object\":\"list\", \"data\":[{\"embedding\":\"AAAA\"}],\"usage\":" \
	"{\"prompt_tokens\":8,\"total_tokens\":8}}\n"
static const struct model_script embeddings[] = { { 200, { EMBEDDED } } };

static void
embeds(void **state)
{
	struct client c;

	(void)state;
	peers.models = embeddings;
	client_open(&c);
	request(&c, "POST", "/v1/embeddings", key, "{" OAI ",\"input\":[\"a\", \"b\"] }");
	wait_for(&c, "\r\n\r\n" EMBEDDED); /* as it came */
	assert_int_equal(peers.admit.endpoint, ENDPOINT_EMBEDDINGS);
	assert_int_equal(peers.settle.tokens_in, 8);
	assert_int_equal(peers.settle.tokens_out, 0);
	assert_int_equal(peers.settle.estimated, 0);
	assert_int_equal(peers.body.len, strlen("{" OAI ",\"input\":[\"a\", \"b\"] }"));
	assert_memory_equal(peers.body.ptr + peers.admit.model_off, "\"org/gpt-5.5\"", 13);
	client_close(&c);
	client_open(&c);
	request(&c, "POST", "/v1/embeddings", key, "{\"model\":\"demo\",\"input\":\"a\"}");
	wait_for(&c, "\"code\":\"unsupported_endpoint\"");
	client_close(&c);
}

#define RESP_EVENT(type, rest) \
	"event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":0," rest "}\n\n"
#define RESP_CALL                                                                      \
	"{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"call_1\",\"name\":" \
	"\"code_interpreter\",\"arguments\":\"{\\\"code\\\":\\\"print(1)\\\"}\"}"
static const struct model_script responses_turn[] = {
	{ 200,
	    { RESP_EVENT("response.created", "\"response\":{\"id\":\"resp_1\",\"output\":[]}"),
		RESP_EVENT("response.output_item.added", "\"output_index\":0,\"item\":" RESP_CALL)
		    RESP_EVENT(
			"response.output_item.done", "\"output_index\":0,\"item\":" RESP_CALL),
		RESP_EVENT("response.completed",
		    "\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":"
		    "[" RESP_CALL
		    "],\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}") } },
	{ 200, { RESP_EVENT("response.created", "\"response\":{\"id\":\"resp_2\",\"output\":[]}"),
		   RESP_EVENT("response.output_item.added",
		       "\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\"}")
		       RESP_EVENT("response.output_item.done",
			   "\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_1\"}"),
		   RESP_EVENT("response.completed",
		       "\"response\":{\"id\":\"resp_2\",\"status\":\"completed\",\"output\":[],"
		       "\"usage\":{\"input_tokens\":10,\"output_tokens\":20,\"total_tokens\":30}"
		       "}") } },
};
#define RESP_ASK                                                                               \
	"{" OAI ",\"input\":\"hi\",\"stream\":true,\"tools\":[{\"type\":\"code_interpreter\"," \
	"\"container\":{\"type\":\"auto\"}}]}"

static void
responses_with_steps(void **state)
{
	struct client c;

	(void)state;
	peers.models = responses_turn;
	peers.out = "one\n";
	peers.hold_settle = true;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key, RESP_ASK);
	wait_for(&c, "\"msg_1\"}}\n");
	spin(20);
	client_read(&c);
	assert_true(has(&c, "event: response.code_interpreter_call_code.done\n"));
	assert_true(has(&c, "\"outputs\":[{\"type\":\"logs\",\"logs\":\"one\\n\"}]"));
	assert_false(has(&c, "resp_2"));
	assert_false(has(&c, "function_call"));
	assert_int_equal(peers.settles, 1);
	assert_false(has(&c, "response.completed"));
	reply(peers.authority, peers.settle_id, GA_SETTLED, &(struct ga_settled){ 0 });
	wait_for(&c, "event: response.completed\n");
	wait_for(&c, "\"input_tokens\":11,\"output_tokens\":22,\"total_tokens\":33");
	assert_false(has(&c, "[DONE]"));
	assert_int_equal(peers.settle.tokens_in, 11);
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "\"store\":false", 13));
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "function_call_output", 20));
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "untrusted", 9));
	client_close(&c);
}

static const struct model_script responses_fail[] = { { 200,
    { RESP_EVENT("response.created", "\"response\":{\"id\":\"resp_1\",\"output\":[]}"),
	RESP_EVENT("error", "\"code\":\"x\",\"message\":\"inner words\"") } } };

static void
responses_fail_in_their_words(void **state)
{
	struct client c;

	(void)state;
	peers.models = responses_fail;
	client_open(&c);
	request(&c, "POST", "/v1/responses", key, "{" OAI ",\"input\":\"hi\",\"stream\":true}");
	wait_for(&c, "event: error\ndata: {\"type\":\"error\",\"sequence_number\":1,\"code\":"
		     "\"upstream_error\",\"message\":\"");
	wait_eof(&c);
	assert_true(has(&c, "\"error\":{\"message\":"));
	assert_false(has(&c, "inner words"));
	assert_int_equal(peers.settle.error, ERROR_UPSTREAM);
	/* Nobody has counted: what was asked is paid for all the same. */
	assert_true(peers.settle.tokens_in > 0);
	assert_int_equal(peers.settle.estimated, 1);
	client_close(&c);
}

/* Everything but the request id, the date and the ids in it. */
static void
body_of(struct client *c, char *out, size_t size)
{
	uint8_t *at = memmem(c->got.ptr, c->got.len, "\r\n\r\n", 4);
	size_t n;

	assert_non_null(at);
	n = c->got.len - (size_t)(at - c->got.ptr);
	assert_true(n < size);
	memcpy(out, at, n);
	out[n] = '\0';
}

static void
one_401_for_all(void **state)
{
	static const char *const rows[][3] = {
		{ "GET", "/v1/models", "sp_nonsense" },
		{ "POST", "/v1/chat/completions", "x" },
		{ "DELETE", "/nowhere", "sp_" },
		{ "GET", "/healthz", "" },
		{ "GET", "/v1/../v1/models", "x" },
		{ "OPTIONS", "*", "x" },
	};
	char first[1024] = "", body[1024];
	struct client flood;

	(void)state;
	peers.admit_error = ERROR_INVALID_KEY;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		request(&c, rows[i][0], rows[i][1], rows[i][2], "");
		wait_for(&c, "invalid_api_key\"}}");
		assert_true(has(&c, "HTTP/1.1 401 "));
		body_of(&c, body, sizeof(body));
		if (i == 0)
			memcpy(first, body, sizeof(body));
		assert_string_equal(body, first);
		client_close(&c);
	}
	assert_int_equal(peers.admits, COUNT(rows)); /* each with its record */
	assert_int_equal(peers.failures, 0);
	/* The same for a key that the authority does not know. */
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		request(&c, rows[i][0], rows[i][1], key, "");
		wait_for(&c, "invalid_api_key\"}}");
		body_of(&c, body, sizeof(body));
		assert_string_equal(body, first);
		client_close(&c);
	}
	assert_int_equal(peers.admits, 2 * COUNT(rows));
	/* Far above the limit of a second they are counted instead, without a look-up. */
	client_open(&flood);
	for (int i = 0; i < 400; i++)
		request(&flood, "GET", "/v1/models", "x", "");
	for (int i = 0; i < 400 && peers.failures == 0; i++) {
		turn_loop();
		client_read(&flood);
	}
	assert_true(peers.failures >= 1);
	client_close(&flood);
}

static void
bad_requests_are_told_to_valid_keys(void **state)
{
	static const struct {
		const char *method, *path, *body;
		const char *want;
	} rows[] = {
		{ "GET", "/nowhere", "", "\"code\":\"not_found\"" },
		{ "PUT", CHAT_PATH, "{}", "\"code\":\"method_not_allowed\"" },
		{ "POST", CHAT_PATH "?a=1", "{}", "takes no query" },
		{ "POST", CHAT_PATH, "{", "\"code\":\"invalid_json\"" },
		{ "POST", CHAT_PATH, "{\"model\":1}", "\"param\":\"" },
		{ "POST", CHAT_PATH, "{\"model\":\"demo\",\"model\":\"x\"," MESSAGES "}",
		    "\"param\":\"/model\"" },
		{ "POST", CHAT_PATH, "{\"model\":\"demo\",\"stream\":3," MESSAGES "}",
		    "\"param\":\"/stream\"" },
		{ "POST", CHAT_PATH, "{\"model\":\"demo\",\"Stream\":true," MESSAGES "}",
		    "\"param\":\"/Stream\"" },
		{ "POST", CHAT_PATH, "{\"model\":\"demo\",\"models\":[\"x\"]," MESSAGES "}",
		    "\"param\":\"/models\"" },
		{ "POST", CHAT_PATH, "{\"model\":\"nix\"," MESSAGES "}",
		    "\"code\":\"model_not_found\"" },
		{ "POST", "/v1/execute",
		    "{\"language\":\"python\",\"code\":\"\",\"files\":"
		    "[{\"name\":\"a\",\"content_base64\":\"!\"}]}",
		    "\"param\":\"/files/0/content_base64\"" },
		{ "GET", "/v1/models", "x", "takes no body" },
		{ "POST", "/v1/models/demo", "", "\"code\":\"method_not_allowed\"" },
		{ "POST", "/v1/responses", "{" OAI ",\"input\":\"a\",\"background\":true}",
		    "answers are given at once.\",\"type\":\"invalid_request_error\",\"param\":"
		    "\"/background\"" },
		{ "POST", "/v1/responses", "{" OAI ",\"input\":\"a\",\"Store\":true}",
		    "\"param\":\"/Store\"" },
		{ "POST", "/v1/responses", "{" OAI ",\"input\":\"a\",\"api_key\":\"x\"}",
		    "\"param\":\"/api_key\"" },
		{ "POST", "/v1/responses",
		    "{" OAI ",\"input\":\"a\",\"tools\":[{\"type\":\"web_search\"}]}",
		    "\"param\":\"/tools/0/type\"" },
		{ "POST", "/v1/embeddings", "{" OAI ",\"input\":[]}", "\"param\":\"/input\"" },
		{ "POST", "/v1/embeddings", "{" OAI ",\"input\":\"a\",\"Model\":\"x\"}",
		    "\"param\":\"/Model\"" },
		{ "GET", "/v1/./models", "", "\"code\":\"bad_request\"" },
		{ "GET", "/v1%2fmodels", "", "\"code\":\"bad_request\"" },
		{ "POST", "https://elsewhere/v1/execute", "{}", "\"code\":\"bad_request\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;

		client_open(&c);
		request(&c, rows[i].method, rows[i].path, key, rows[i].body);
		wait_for(&c, rows[i].want);
		assert_true(has(&c, "HTTP/1.1 4"));
		assert_true(peers.admit.refused != 0);
		assert_true(has(&c, "x-should-retry: false\r\n"));
		assert_false(has(&c, "connection: close\r\n"));
		client_close(&c);
	}
	assert_int_equal(peers.calls + peers.runs, 0);
}

static void
answers_in_order(void **state)
{
	struct client c;
	char text[4096];
	const char *body = "{\"model\":\"demo\"," MESSAGES "}";
	int n = snprintf(text, sizeof(text),
	    "POST " CHAT_PATH " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	    key, strlen(body), body);

	(void)state;
	peers.models = answer_42;
	client_open(&c);
	assert_true(n > 0 && (size_t)n * 2 < sizeof(text));
	memcpy(text + n, text, (size_t)n);
	text[2 * n] = '\0';
	client_send(&c, text);
	wait_for(&c, "\"43\"");
	assert_true(
	    memmem(c.got.ptr, c.got.len, "\"42\"", 4) < memmem(c.got.ptr, c.got.len, "\"43\"", 4));
	assert_int_equal(peers.settles, 2);
	assert_int_equal(peers.settle.tokens_out, 2);
	assert_int_equal(peers.settle.estimated, 0);
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "\"demo\"", 6));
	client_close(&c);
}

static void
turn_without_stream(void **state)
{
	struct client c;

	(void)state;
	peers.models = tool_whole;
	peers.out = "1\n\xff";
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key,
	    "{\"model\":\"demo\",\"tools\":[{\"type\":\"code_interpreter\"}]," MESSAGES "}");
	wait_for(&c, "\"sandbox\":\"gvisor:python-3\"}]}}");
	assert_true(has(&c, "\"content\":\"42\""));
	assert_true(has(&c, "\"language\":\"python\",\"code\":\"print(1)\""));
	assert_true(has(&c, "\"stdout\":\"1\\n\xef\xbf\xbd\""));
	assert_true(has(&c, "\"prompt_tokens\":2"));
	assert_int_equal(peers.steps_run, 1);
	assert_int_equal(peers.steps_model, 1);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.settle.error, ERROR_NONE);
	assert_int_equal(peers.settle.tokens_in, 2);
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "\"tool_call_id\":\"c1\"", 19));
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "untrusted", 9));
	client_close(&c);
}

static void
turn_with_stream(void **state)
{
	struct client c;

	(void)state;
	peers.models = tool_stream;
	peers.out = "one\n";
	peers.hold_settle = true;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key,
	    "{\"model\":\"demo\",\"stream\":true,\"tools\":[{\"type\":\"code_interpreter\"}]"
	    "," MESSAGES "}");
	wait_for(&c, "\"content\":\"1\"");
	spin(20);
	client_read(&c);
	assert_true(has(&c, "\"event\":\"started\""));
	assert_true(has(&c, "\"event\":\"stdout\",\"data\":\"one\\n\""));
	assert_true(has(&c, "\"event\":\"result\""));
	assert_false(has(&c, "code_interpreter"));
	/* Nothing final before the end is durable. */
	assert_int_equal(peers.settles, 1);
	assert_false(has(&c, "\"stop\""));
	assert_false(has(&c, "[DONE]"));
	reply(peers.authority, peers.settle_id, GA_SETTLED, &(struct ga_settled){ 0 });
	wait_for(&c, "data: [DONE]\n\n");
	assert_true(has(&c, "\"stop\""));
	assert_true(has(&c, "\"steps\":[{"));
	client_close(&c);
}

static void
policy_attaches(void **state)
{
	struct client c;

	(void)state;
	peers.models = tool_whole;
	peers.attach = TOOL_CODE_INTERPRETER;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\"," MESSAGES "}");
	wait_for(&c, "\"steps\":[{");
	assert_int_equal(peers.attached, 1);
	assert_int_equal(peers.admits, 2);
	assert_int_equal(peers.runs, 1);
	client_close(&c);
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key, "{\"model\":\"demo\",\"n\":2," MESSAGES "}");
	wait_for(&c, "clashes with the tool");
	client_close(&c);
}

static void
refused_language_is_told_to_the_model(void **state)
{
	struct client c;

	(void)state;
	peers.models = tool_whole;
	peers.run_error = ERROR_LANGUAGE;
	client_open(&c);
	request(&c, "POST", CHAT_PATH, key,
	    "{\"model\":\"demo\",\"tools\":[{\"type\":\"code_interpreter\"}]," MESSAGES "}");
	wait_for(&c, "\"steps\":[{");
	assert_int_equal(peers.runs, 0);
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "not offered here", 16));
	client_close(&c);
}

static void
executes(void **state)
{
	struct client c;

	(void)state;
	peers.out = "hello\n";
	client_open(&c);
	request(&c, "POST", "/v1/execute", key, "{\"language\":\"python\",\"code\":\"x\"}");
	wait_for(&c, "\"sandbox\":\"gvisor:python-3\"}");
	assert_true(has(&c, "\"status\":\"exit\",\"exit_code\":0,\"stdout\":\"hello\\n\""));
	c.got.len = 0;
	request(&c, "POST", "/v1/execute", key,
	    "{\"language\":\"python\",\"code\":\"x\",\"stream\":true}");
	wait_for(&c, "event: result\n");
	assert_true(has(&c, "event: started\n"));
	assert_true(has(&c, "event: stdout\ndata: {\"data\":\"hello\\n\"}\n\n"));
	assert_int_equal(peers.settles, 2);
	client_close(&c);
}

/* Last: the worker takes nothing new afterwards. */
int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(lists_models),
		FLOW(one_model),
		FLOW(embeds),
		FLOW(responses_with_steps),
		FLOW(responses_fail_in_their_words),
		FLOW(one_401_for_all),
		FLOW(bad_requests_are_told_to_valid_keys),
		FLOW(answers_in_order),
		FLOW(turn_without_stream),
		FLOW(turn_with_stream),
		FLOW(policy_attaches),
		FLOW(refused_language_is_told_to_the_model),
		FLOW(executes),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
