/* SPDX-License-Identifier: Apache-2.0 */
/* src/gateway/tools.c, tool_call.c, tool_push.c: calls, lists and uploads of tools. */
#include "gateway_tools_rig.h"
#include "pasted_forms.h"

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

#define SAYING(name, text)                               \
	"{\"name\":\"" name "\",\"description\":\"" text \
	"\",\"input_schema\":{\"type\":\"object\"}}"

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
		{ FORM, PART("manifest", SAYING("ok", "a " GH)) PART("module", "x") "--b--", "400 ",
		    "credential_in_body" },
		{ FORM,
		    PART("manifest", SAYING("ok", "\\u0067" GH_REST)) PART("module", "x") "--b--",
		    "400 ", "credential_in_body" },
		{ FORM, PART("manifest", SAYING(GH, "ok")) PART("module", "x") "--b--", "400 ",
		    "credential_in_body" },
	};
	struct client c;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		client_open(&c);
		push(&c, rows[i].type, rows[i].body);
		wait_for(&c, rows[i].status);
		wait_for(&c, rows[i].wanted);
		client_close(&c);
		assert_int_equal(peers.admit.tool_name.len, 0); /* nothing of it is on record */
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
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
