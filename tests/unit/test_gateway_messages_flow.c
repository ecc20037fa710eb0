/* SPDX-License-Identifier: Apache-2.0 */
/* A whole worker asked in Anthropic's dialect: turns, credentials, heads, errors. */
#include "gateway_rig.h"

#define MESSAGES_PATH "/v1/messages"
#define ASK(rest) "{\"model\":\"claude\",\"max_tokens\":9," MESSAGES rest "}"
#define TOOLS ",\"tools\":[{\"type\":\"code_execution_20250825\",\"name\":\"code_execution\"}]"
#define SSE(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define SSE_START                                                                         \
	SSE("message_start",                                                              \
	    ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\"," \
	    "\"content\":[],\"model\":\"m\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}")
#define SSE_TEXT(t)                                                                \
	SSE("content_block_start",                                                 \
	    ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")    \
	SSE("content_block_delta",                                                 \
	    ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" t "\"}") \
	SSE("content_block_stop", ",\"index\":0")
#define SSE_CALL                                                                                 \
	SSE("content_block_start",                                                               \
	    ",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":" \
	    "\"code_execution\",\"input\":{}}")                                                  \
	SSE("content_block_delta",                                                               \
	    ",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":"            \
	    "\"{\\\"code\\\":\\\"print(1)\\\"}\"}")                                              \
	SSE("content_block_stop", ",\"index\":0")
#define SSE_END(reason)                                                                    \
	SSE("message_delta",                                                               \
	    ",\"delta\":{\"stop_reason\":\"" reason "\"},\"usage\":{\"output_tokens\":5}") \
	SSE("message_stop", "")
#define ONE(content, reason)                                                             \
	"{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\"," \
	"\"content\":[" content "],\"stop_reason\":\"" reason "\",\"usage\":"            \
	"{\"input_tokens\":3,\"output_tokens\":5}}"
#define TEXT_42 "{\"type\":\"text\",\"text\":\"42\"}"
#define OUR_USE                                                                             \
	"{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"code_execution\",\"input\":{" \
	"\"code\":"                                                                         \
	"\"print(1)\"}}"

static const struct model_script plain[] = { { 200, { ONE(TEXT_42, "end_turn") } },
	{ 200, { ONE(TEXT_42, "end_turn") } } };
static const struct model_script whole_turn[] = { { 200, { ONE(OUR_USE, "tool_use") } },
	{ 200, { ONE(TEXT_42, "end_turn") } } };
static const struct model_script stream_turn[] = {
	{ 200, { SSE_START, SSE_CALL, SSE_END("tool_use") } },
	{ 200, { SSE_START, SSE_TEXT("it is 1"), SSE_END("end_turn") } },
};

static void
asks(struct client *c, const char *heads, const char *path, const char *body)
{
	char text[8192];

	(void)snprintf(text, sizeof(text),
	    "POST %s HTTP/1.1\r\nHost: localhost\r\n%s"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
	    path, heads, strlen(body), body);
	client_send(c, text);
}

/* The key where the text has '@'. */
static const char *
key_head(const char *template)
{
	static char text[512];
	size_t n = 0;

	for (const char *at = template; *at != '\0'; at++) {
		if (*at == '@')
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", key);
		else
			text[n++] = *at;
	}
	text[n] = '\0';
	return text;
}

static void
either_header_is_the_key(void **state)
{
	static const char *const good[] = { "X-Api-Key: @\r\n", "authorization: Bearer @\r\n",
		"x-api-key: @\r\nAuthorization: bearer @\r\n" };
	static const char *const bad[] = { "x-api-key: @\r\nAuthorization: Bearer sp_other\r\n",
		"Authorization: Bearer @\r\nx-api-key: sp_other\r\n",
		"x-api-key: @\r\nx-api-key: @\r\n", "x-api-key: @\r\nAuthorization: Basic @\r\n",
		"x-api-key: @\r\nAuthorization: Bearer\r\n", "x-api-key: Bearer @\r\n",
		"x-api-key:\r\n", "" };
	char first[1024] = "", body[1024];

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct client c;

		peers.models = plain;
		peers.calls = 0;
		client_open(&c);
		asks(&c, key_head(good[i]), MESSAGES_PATH, ASK(""));
		wait_for(&c, ONE(TEXT_42, "end_turn"));
		client_close(&c);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct client c;
		uint8_t *at;

		peers.admit_error = ERROR_INVALID_KEY;
		client_open(&c);
		asks(&c, key_head(bad[i]), i % 2 == 0 ? MESSAGES_PATH : "/nowhere", ASK(""));
		wait_for(&c, "invalid_api_key\"}}");
		assert_true(has(&c, "HTTP/1.1 401 "));
		assert_true(has(&c, "{\"type\":\"error\",\"error\":{\"message\":"));
		assert_true(has(&c, "\"type\":\"authentication_error\""));
		assert_true(has(&c, "\r\nrequest-id: "));
		/* "Bearer" is no part of a key there, but which key it is the authority says. */
		assert_int_equal(peers.admit.credential.len > 0, i == 5);
		at = memmem(c.got.ptr, c.got.len, "\r\n\r\n", 4);
		assert_non_null(at);
		(void)snprintf(body, sizeof(body), "%.*s",
		    (int)(c.got.len - (size_t)(at - c.got.ptr)), (char *)at);
		if (i == 0)
			memcpy(first, body, sizeof(body));
		assert_string_equal(body, first);
		client_close(&c);
	}
}

static void
heads_go_on(void **state)
{
	struct client c;

	(void)state;
	peers.models = plain;
	client_open(&c);
	asks(&c,
	    key_head("x-api-key: @\r\nanthropic-version: 2023-06-01\r\n"
		     "anthropic-beta: files-api-2025-04-14,code-execution-2025-05-22\r\n"
		     "X-Other: 1\r\n"),
	    MESSAGES_PATH, ASK(""));
	wait_for(&c, ONE(TEXT_42, "end_turn"));
	assert_string_equal(peers.version, "2023-06-01");
	assert_string_equal(peers.beta, "files-api-2025-04-14,code-execution-2025-05-22");
	assert_true(has(&c, "\r\nrequest-id: "));
	assert_true(has(&c, "\r\nx-request-id: "));
	assert_true(has(&c, "\r\nanthropic-ratelimit-requests-remaining: 9\r\n"));
	assert_true(has(&c, "\r\nanthropic-ratelimit-requests-reset: 20"));
	assert_false(has(&c, "openai-"));
	assert_int_equal(peers.settle.tokens_in, 3);
	assert_int_equal(peers.settle.tokens_out, 5);
	assert_int_equal(peers.settle.estimated, 0);
	client_close(&c);
	/* Of the last request nothing is left for the next. */
	client_open(&c);
	asks(&c, key_head("x-api-key: @\r\n"), MESSAGES_PATH, ASK(""));
	wait_for(&c, ONE(TEXT_42, "end_turn"));
	assert_string_equal(peers.version, "");
	assert_string_equal(peers.beta, "");
	client_close(&c);
}

static void
errors_in_its_words(void **state)
{
	static const struct {
		const char *heads, *path, *body;
		enum error error; /* of the authority */
		const char *status, *type, *code;
	} rows[] = {
		{ "", MESSAGES_PATH, "{", 0, "400", "invalid_request_error", "invalid_json" },
		{ "", MESSAGES_PATH, ASK(",\"stream\":2"), 0, "400", "invalid_request_error",
		    "invalid_field\",\"param\":\"/stream\"" },
		{ "", MESSAGES_PATH, ASK(",\"Tools\":[]"), 0, "400", "invalid_request_error",
		    "invalid_field\",\"param\":\"/Tools\"" },
		{ "anthropic-beta: a;b\r\n", MESSAGES_PATH, ASK(""), 0, "400",
		    "invalid_request_error", "invalid_field" },
		{ "anthropic-version: a\r\nanthropic-version: b\r\n", MESSAGES_PATH, ASK(""), 0,
		    "400", "invalid_request_error", "invalid_field" },
		{ "", MESSAGES_PATH, "{\"model\":\"nix\",\"max_tokens\":1," MESSAGES "}", 0, "404",
		    "not_found_error", "model_not_found\",\"param\":\"/model\"" },
		{ "", MESSAGES_PATH, "{\"model\":\"demo\",\"max_tokens\":1," MESSAGES "}", 0, "400",
		    "invalid_request_error", "unsupported_endpoint" },
		{ "", MESSAGES_PATH "/x", "{}", 0, "404", "not_found_error", "not_found" },
		{ "anthropic-version: 2023-06-01\r\n", "/nowhere", "{}", 0, "404",
		    "not_found_error", "not_found" },
		{ "", MESSAGES_PATH, ASK(""), ERROR_DENIED, "403", "permission_error", "denied" },
		{ "", MESSAGES_PATH, ASK(""), ERROR_RATE_LIMIT, "429", "rate_limit_error",
		    "rate_limit_exceeded" },
		{ "", MESSAGES_PATH, ASK(""), ERROR_OVERLOADED, "529", "overloaded_error",
		    "overloaded" },
		{ "", MESSAGES_PATH, ASK(""), ERROR_AUDIT_UNAVAILABLE, "503", "api_error",
		    "audit_unavailable" },
		{ "", MESSAGES_PATH, ASK(""), ERROR_BODY_TOO_LARGE, "413", "request_too_large",
		    "body_too_large" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;
		char heads[512], want[256];

		peers.admit_error = rows[i].error;
		client_open(&c);
		(void)snprintf(heads, sizeof(heads), "x-api-key: %s\r\n%s", key, rows[i].heads);
		asks(&c, heads, rows[i].path, rows[i].body);
		wait_for(&c, "\"request_id\":\"");
		(void)snprintf(want, sizeof(want), "HTTP/1.1 %s ", rows[i].status);
		if (!has(&c, want))
			print_error("%zu: %.*s\n", i, (int)c.got.len, (char *)c.got.ptr);
		assert_true(has(&c, want));
		(void)snprintf(want, sizeof(want),
		    "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"", rows[i].type);
		assert_true(has(&c, want));
		(void)snprintf(
		    want, sizeof(want), "\"details\":{\"error_code\":\"%s", rows[i].code);
		assert_true(has(&c, want));
		assert_true(has(&c, "\r\nrequest-id: "));
		client_close(&c);
	}
	assert_int_equal(peers.calls, 0);
}

static void
providers_errors(void **state)
{
	static const struct {
		struct model_script script;
		const char *status, *want;
	} rows[] = {
		{ { 400, { "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
			   "\"message\":\"messages: too odd\"}}" } },
		    "400", "\"type\":\"invalid_request_error\",\"message\":\"messages: too odd\"" },
		{ { 413, { "{\"type\":\"error\",\"error\":{\"type\":\"request_too_large\","
			   "\"message\":\"too long\"}}" } },
		    "413", "\"type\":\"request_too_large\",\"message\":\"too long\"" },
		{ { 401, { "{\"error\":{\"message\":\"secret\"}}" } }, "502", "\"api_error\"" },
		{ { 500, { "<html>" } }, "502", "\"api_error\"" },
		{ { 529, { "{}" } }, "529", "\"overloaded_error\"" },
		{ { 429, { "{}" } }, "429", "\"rate_limit_error\"" },
		{ { 504, { "{}" } }, "504", "\"timeout_error\"" },
		{ { 200, { "{\"type\":\"error\",\"error\":{}}" } }, "502", "\"api_error\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;
		char want[32];

		peers.models = &rows[i].script;
		peers.calls = 0;
		client_open(&c);
		request(&c, "POST", MESSAGES_PATH, key, ASK(""));
		wait_for(&c, "\"request_id\":\"");
		(void)snprintf(want, sizeof(want), "HTTP/1.1 %s ", rows[i].status);
		if (!has(&c, want) || !has(&c, rows[i].want))
			print_error("%zu: %.*s\n", i, (int)c.got.len, (char *)c.got.ptr);
		assert_true(has(&c, want));
		assert_true(has(&c, rows[i].want));
		assert_false(has(&c, "secret"));
		client_close(&c);
	}
}

static void
turn_without_stream(void **state)
{
	struct client c;

	(void)state;
	peers.models = whole_turn;
	peers.out = "1\n";
	client_open(&c);
	request(&c, "POST", MESSAGES_PATH, key, ASK(TOOLS));
	wait_for(&c, "\"sandbox\":\"gvisor:python-3\"}]}}");
	assert_true(has(&c,
	    "\"content\":[{\"type\":\"server_tool_use\",\"id\":\"srvtoolu_1\",\"name\":"
	    "\"code_execution\",\"input\":{\"code\":\"print(1)\"}},"
	    "{\"type\":\"code_execution_tool_result\",\"tool_use_id\":\"srvtoolu_1\",\"content\":"
	    "{\"type\":\"code_execution_result\",\"stdout\":\"1\\n\",\"stderr\":\"\","
	    "\"return_code\":0,\"content\":[]}}," TEXT_42 "]"));
	assert_true(has(&c, "\"container\":{\"id\":\"container_"));
	assert_true(has(&c, "\"input_tokens\":6,\"output_tokens\":10"));
	assert_int_equal(peers.steps_run, 1);
	assert_int_equal(peers.steps_model, 1);
	assert_int_equal(peers.settles, 1);
	assert_int_equal(peers.settle.tokens_in, 6);
	assert_int_equal(peers.admit.tools, TOOL_CODE_INTERPRETER);
	assert_int_equal(peers.admit.endpoint, ENDPOINT_MESSAGES);
	assert_non_null(memmem(peers.body.ptr, peers.body.len,
	    ",{\"role\":\"assistant\",\"content\":[" OUR_USE "]},{\"role\":\"user\",\"content\":"
	    "[{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_1\",\"content\":\"{\\\"untrusted",
	    200));
	client_close(&c);
}

static void
turn_with_stream(void **state)
{
	struct client c;

	(void)state;
	peers.models = stream_turn;
	peers.out = "1\n";
	peers.hold_settle = true;
	client_open(&c);
	request(&c, "POST", MESSAGES_PATH, key, ASK(TOOLS ",\"stream\":true"));
	wait_for(&c, "it is 1");
	spin(20);
	client_read(&c);
	assert_true(has(&c, "event: content_block_start\ndata: {\"type\":\"content_block_start\","
			    "\"index\":0,\"content_block\":{\"type\":\"server_tool_use\""));
	assert_true(
	    has(&c, "\"index\":1,\"content_block\":{\"type\":\"code_execution_tool_result\""));
	assert_true(has(&c, "\"index\":2,\"content_block\":{\"type\":\"text\",\"text\":\"\"}"));
	assert_false(has(&c, "toolu_1\",\"name\":\"code_execution\",\"input\":{\"code"));
	/* Nothing final before the end is durable. */
	assert_int_equal(peers.settles, 1);
	assert_false(has(&c, "message_delta"));
	assert_false(has(&c, "message_stop"));
	reply(peers.authority, peers.settle_id, GA_SETTLED, &(struct ga_settled){ 0 });
	wait_for(&c, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
	wait_for(&c, "0\r\n\r\n");
	assert_true(has(&c, "\"stop_reason\":\"end_turn\""));
	assert_true(has(&c, "\"input_tokens\":6,"));
	assert_true(has(&c, "\"output_tokens\":10"));
	assert_true(has(&c, "\"steps\":[{"));
	assert_false(has(&c, "[DONE]"));
	client_close(&c);
}

/* A failure in mid-stream is an event with a name, then the end. */
static void
errors_in_streams(void **state)
{
	static const struct model_script cut[] = { { 200,
	    { SSE_START, SSE("error", ",\"error\":{\"type\":\"overloaded_error\"}") } } };
	static const struct model_script odd[] = { { 200,
	    { SSE_START, SSE("error", ",\"error\":{\"type\":\"api_error\"}") } } };
	struct client c;

	(void)state;
	peers.models = cut;
	client_open(&c);
	request(&c, "POST", MESSAGES_PATH, key, ASK(",\"stream\":true"));
	wait_for(&c,
	    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",");
	wait_eof(&c);
	assert_false(has(&c, "message_stop"));
	assert_int_equal(peers.settle.error, ERROR_UPSTREAM_BUSY);
	client_close(&c);
	peers.models = odd;
	peers.calls = 0;
	client_open(&c);
	request(&c, "POST", MESSAGES_PATH, key, ASK(",\"stream\":true"));
	wait_for(&c, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",");
	wait_eof(&c);
	assert_int_equal(peers.settle.error, ERROR_UPSTREAM);
	client_close(&c);
}

static void
policy_attaches(void **state)
{
	struct client c;

	(void)state;
	peers.models = whole_turn;
	peers.attach = TOOL_CODE_INTERPRETER;
	peers.out = "1\n";
	client_open(&c);
	request(&c, "POST", MESSAGES_PATH, key, ASK(""));
	wait_for(&c, "\"steps\":[{");
	assert_int_equal(peers.attached, 1);
	assert_int_equal(peers.runs, 1);
	client_close(&c);
	client_open(&c);
	request(&c, "POST", MESSAGES_PATH, key,
	    ASK(",\"tools\":[{\"name\":\"code_execution\",\"input_schema\":{}}]"));
	wait_for(&c, "clashes with the tool");
	client_close(&c);
}

static void
counts_tokens(void **state)
{
	static const struct model_script counts[] = { { 200, { "{\"input_tokens\": 14}" } } };
	struct client c;

	(void)state;
	peers.models = counts;
	client_open(&c);
	request(&c, "POST", MESSAGES_PATH "/count_tokens", key,
	    "{\"model\":\"claude\"," MESSAGES TOOLS "}");
	wait_for(&c, "\r\n\r\n{\"input_tokens\": 14}");
	assert_int_equal(peers.admit.endpoint, ENDPOINT_COUNT_TOKENS);
	assert_int_equal(peers.admit.tools, 0);
	assert_int_equal(peers.settle.tokens_in, 0);
	assert_int_equal(peers.settle.estimated, 0);
	assert_non_null(memmem(peers.body.ptr, peers.body.len, "\"input_schema\"", 14));
	client_close(&c);
}

#define MODEL(id)                                                            \
	"{\"type\":\"model\",\"id\":\"" id "\",\"display_name\":\"" id "\"," \
	"\"created_at\":\"1970-01-01T00:00:00Z\",\"lifecycle\":\"active\"}"
#define MODELS(list, more, first, last)                                          \
	"\r\n\r\n{\"data\":[" list "],\"has_more\":" more ",\"first_id\":" first \
	",\"last_id\":" last "}"

static void
lists_models(void **state)
{
	static const struct {
		const char *path, *status, *want;
	} rows[] = {
		{ "/v1/models", "200",
		    MODELS(MODEL("claude") "," MODEL("c/2") "," MODEL("c3"), "false", "\"claude\"",
			"\"c3\"") },
		{ "/v1/models?limit=2", "200",
		    MODELS(MODEL("claude") "," MODEL("c/2"), "true", "\"claude\"", "\"c/2\"") },
		{ "/v1/models?after_id=c%2f2&limit=2", "200",
		    MODELS(MODEL("c3"), "false", "\"c3\"", "\"c3\"") },
		{ "/v1/models?limit=1&before_id=c3", "200",
		    MODELS(MODEL("c/2"), "true", "\"c/2\"", "\"c/2\"") },
		{ "/v1/models?before_id=claude", "200", MODELS("", "false", "null", "null") },
		{ "/v1/models?after_id=nix", "200", MODELS("", "false", "null", "null") },
		{ "/v1/models/c/2", "200", "\r\n\r\n" MODEL("c/2") },
		{ "/v1/models/demo", "404", "\"not_found_error\"" },
		{ "/v1/models/nix", "404", "\"not_found_error\"" },
		{ "/v1/models?limit=0", "400", "the query is not limit" },
		{ "/v1/models?limit=1001", "400", "the query is not limit" },
		{ "/v1/models?limit=", "400", "the query is not limit" },
		{ "/v1/models?Limit=1", "400", "the query is not limit" },
		{ "/v1/models?after_id=a&after_id=b", "400", "the query is not limit" },
		{ "/v1/models?after_id=a&before_id=b", "400", "the query is not limit" },
		{ "/v1/models?after_id=%zz", "400", "" },
		{ "/v1/models?&", "400", "the query is not limit" },
		{ "/v1/models/claude?limit=1", "400", "takes no query" },
	};

	(void)state;
	peers.names = "demo\nclaude\nc/2\nc3\nother";
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client c;
		char text[1024];

		client_open(&c);
		(void)snprintf(text, sizeof(text),
		    "GET %s HTTP/1.1\r\nHost: localhost\r\nanthropic-version: 2023-06-01\r\n"
		    "x-api-key: %s\r\n\r\n",
		    rows[i].path, key);
		client_send(&c, text);
		wait_for(&c, "}");
		wait_for(&c, rows[i].want);
		(void)snprintf(text, sizeof(text), "HTTP/1.1 %s ", rows[i].status);
		assert_true(has(&c, text));
		client_close(&c);
	}
}

/* Models whose provider speaks this dialect, and that only. */
static int
start_with_claude(void **state)
{
	static const char *const names[] = { "claude", "c/2", "c3" };

	if (start(state) != 0)
		return -1;
	for (size_t i = 0; i < COUNT(names); i++)
		g.models[g.nmodels++] = (struct model_name){ span_str(names[i]),
			1U << ENDPOINT_MESSAGES | 1U << ENDPOINT_COUNT_TOKENS };
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(either_header_is_the_key),
		FLOW(heads_go_on),
		FLOW(errors_in_its_words),
		FLOW(providers_errors),
		FLOW(turn_without_stream),
		FLOW(turn_with_stream),
		FLOW(errors_in_streams),
		FLOW(policy_attaches),
		FLOW(counts_tokens),
		FLOW(lists_models),
	};

	return cmocka_run_group_tests(tests, start_with_claude, NULL);
}
