/* SPDX-License-Identifier: Apache-2.0 */
/* src/demo: what it plans for a prompt, its wire format, and its server on a real socket. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <server.h>

#include <base/cleanup.h>
#include <http/sse.h>

#define TOOL "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"code_interpreter\"}}]"
#define USER(text) "\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]"

/* ---- plans ---- */
struct planned {
	struct json_doc d;
	struct arena a;
	struct demo_ask ask;
	struct demo_plan plan;
};

static void
plan(struct planned *p, const char *body)
{
	const char *why = "";

	*p = (struct planned){ .a = ARENA_INIT(DEMO_ARENA_MAX) };
	assert_true(is_ok(json_init(&p->d, &JSON_STRICT)));
	assert_true(is_ok(json_parse(&p->d, span_str(body))));
	assert_true(is_ok(ask_read(&p->d, &p->a, &p->ask, &why)));
	assert_true(is_ok(plan_make(&p->ask, &p->a, &p->plan)));
}

static void
planned_done(struct planned *p)
{
	plan_done(&p->plan);
	arena_done(&p->a);
	json_done(&p->d);
}

static bool
holds(const struct buf *b, const char *text)
{
	return memmem(b->ptr, b->len, text, strlen(text)) != NULL;
}

static void
fenced_code_becomes_a_call(void **state)
{
	static const struct {
		const char *body, *arguments;
	} rows[] = {
		{ "{\"model\":\"m\"," TOOL
		  "," USER("Run:\\n```python\\nprint(1)\\n```\\nthanks") "}",
		    "{\"language\":\"python\",\"code\":\"print(1)\"}" },
		{ "{\"model\":\"m\"," TOOL "," USER("```js\\nlet a = `x`\\na\\n```") "}",
		    "{\"language\":\"javascript\",\"code\":\"let a = `x`\\na\"}" },
		{ "{\"model\":\"m\"," TOOL "," USER("```text\\nno\\n```\\n```bash\\nls") "}",
		    "{\"language\":\"sh\",\"code\":\"ls\"}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct planned p;

		plan(&p, rows[i].body);
		assert_true(span_eq_str(p.plan.call, "code_interpreter"));
		assert_true(span_eq_str(buf_span(&p.plan.text), rows[i].arguments));
		planned_done(&p);
	}
}

static void
code_is_only_called_when_offered(void **state)
{
	struct planned p;

	(void)state;
	plan(&p, "{\"model\":\"m\"," USER("```python\\nprint(1)\\n```") "}");
	assert_int_equal(p.plan.call.len, 0);
	assert_true(holds(&p.plan.text, "print(1)") && holds(&p.plan.text, "no AI"));
	planned_done(&p);
	plan(&p, "{\"model\":\"m\",\"tool_choice\":\"none\"," TOOL "," USER("sum of 1 and 2") "}");
	assert_int_equal(p.plan.call.len, 0);
	planned_done(&p);
}

static void
each_block_is_a_step(void **state)
{
	struct planned p;

	(void)state;
#define TWO "{\"role\":\"user\",\"content\":\"```py\\na=1\\n```\\n```py\\nprint(a)\\n```\"}"
#define RESULT(text) "{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":\"" text "\"}"
	plan(&p, "{\"model\":\"m\"," TOOL ",\"messages\":[" TWO "]}");
	assert_true(holds(&p.plan.text, "a=1"));
	planned_done(&p);
	plan(&p, "{\"model\":\"m\"," TOOL ",\"messages\":[" TWO "," RESULT("") "]}");
	assert_true(holds(&p.plan.text, "print(a)"));
	planned_done(&p);
	plan(&p,
	    "{\"model\":\"m\"," TOOL ",\"messages\":[" TWO "," RESULT("") "," RESULT(
		"{\\\"status\\\":\\\"exit\\\",\\\"exit_code\\\":3,\\\"stdout\\\":\\\"1\\\\n\\\","
		"\\\"stderr\\\":\\\"oh\\\"}") "]}");
	assert_int_equal(p.plan.call.len, 0);
	assert_true(holds(&p.plan.text, "```\n1\n```") && holds(&p.plan.text, "oh") &&
		    holds(&p.plan.text, "exit code was 3") && holds(&p.plan.text, "no AI"));
	planned_done(&p);
}

static void
a_clients_own_function_is_called_by_name(void **state)
{
	struct planned p;

	(void)state;
	plan(&p,
	    "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
	    "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
	    "\"call f {\\\"a\\\": [1]}\"}]}]}");
	assert_true(span_eq_str(p.plan.call, "f"));
	assert_true(span_eq_str(buf_span(&p.plan.text), "{\"a\": [1]}"));
	planned_done(&p);
	plan(&p, "{\"model\":\"m\"," USER("call g {}") "}"); /* not offered */
	assert_int_equal(p.plan.call.len, 0);
	planned_done(&p);
}

static void
anything_else_says_what_this_is(void **state)
{
	struct planned p;

	(void)state;
	plan(&p, "{\"model\":\"m\"," TOOL "," USER("What is the meaning of life?") "}");
	assert_int_equal(p.plan.call.len, 0);
	assert_true(holds(&p.plan.text, "no AI") && holds(&p.plan.text, "sallyport.yaml"));
	planned_done(&p);
}

static void
bad_requests_are_refused(void **state)
{
	static const char *const rows[] = { "[]", "{}", "{\"model\":1,\"messages\":[]}",
		"{\"model\":\"m\"}", "{\"model\":\"m\",\"messages\":[]}",
		"{\"model\":\"m\",\"messages\":{}}" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_json struct json_doc d = { .count = 0 };
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		struct demo_ask ask;
		const char *why = "";

		assert_true(is_ok(json_init(&d, &JSON_STRICT)));
		assert_true(is_ok(json_parse(&d, span_str(rows[i]))));
		assert_false(is_ok(ask_read(&d, &a, &ask, &why)));
		assert_true(strlen(why) > 0);
	}
}

/* ---- tasks: their code is run by a real Python ---- */
static const struct {
	const char *prompt, *output;
} tasks[] = {
	{ "What is the sum of 1, 2, 3.5 and -4?", "2.5\n" },
	{ "Please add 007 and 8", "15\n" },
	{ "sum of the numbers from 1 to 100", "5050\n" },
	{ "What is the 100th prime?", "541\n" },
	{ "tell me prime number 1", "2\n" },
	{ "the first 10 Fibonacci numbers", "0 1 1 2 3 5 8 13 21 34\n" },
	{ "factorial of 20", "2432902008176640000\n" },
	{ "average of 1 2 6", "3.0\n" },
	{ "Word count of this: the quick \"brown\" fox", "4\n" },
	{ "how many words are in \"one two\nthree'''\"?", "3\n" },
	{ "days between 2024-02-28 and 2024-03-01", "2\n" },
	{ "sort 3, 1, 2", "1 2 3\n" },
	{ "sort: pear, apple", "apple pear\n" },
	{ "reverse: héllo", "olléh\n" },
};

static void
tasks_give_right_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(tasks); i++) {
		auto_buf struct buf code = BUF_INIT(DEMO_CODE_MAX), command = BUF_INIT(1 << 20);
		char out[256] = "";
		size_t n;
		FILE *f;

		assert_true(is_ok(task_code(span_str(tasks[i].prompt), &code)));
		assert_true(is_ok(
		    buf_put_str(&command, "PYTHONUTF8=1 python3 -I -X utf8 - <<'END_OF_CODE'\n")));
		assert_true(is_ok(buf_put_span(&command, buf_span(&code))));
		assert_true(is_ok(buf_put(&command, "END_OF_CODE\n", 13)));
		f = popen((const char *)command.ptr, "r");
		assert_non_null(f);
		n = fread(out, 1, sizeof(out) - 1, f);
		out[n] = '\0';
		assert_int_equal(pclose(f), 0);
		assert_string_equal(out, tasks[i].output);
	}
}

static void
unknown_tasks_have_no_code(void **state)
{
	static const char *const rows[] = { "", "sum", "Hello 1 2 3", "primate 5", "plot a murder",
		"prime 999999999", "summary of 1 and 2" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf code = BUF_INIT(DEMO_CODE_MAX);

		assert_int_equal(task_code(span_str(rows[i]), &code).code, E_NOTFOUND);
	}
}

static void
plots_use_matplotlib(void **state)
{
	auto_buf struct buf code = BUF_INIT(DEMO_CODE_MAX);

	(void)state;
	assert_true(is_ok(task_code(SPAN_LIT("Plot the cosine"), &code)));
	assert_true(
	    holds(&code, "matplotlib") && holds(&code, "np.cos") && holds(&code, "/tmp/out/"));
}

/* ---- the wire format ---- */

/* Put the deltas of a stream together again. */
static void
join(struct demo_reply *r, struct buf *text, struct buf *args, unsigned *events, bool *usage)
{
	auto_buf struct buf sse = BUF_INIT(1 << 24);
	auto_json struct json_doc d = { .count = 0 };
	struct sse_reader reader;
	struct sse_event e;
	struct span in;
	bool done = false;

	while (is_ok(reply_next(r, &sse)))
		;
	in = buf_span(&sse);
	sse_reader_init(&reader, 0, 0);
	assert_true(is_ok(json_init(&d, &JSON_STRICT)));
	while (is_ok(sse_reader_feed(&reader, &in, &e))) {
		uint32_t choice, delta, call;

		assert_false(done);
		done = span_eq_str(e.data, "[DONE]");
		if (done)
			continue;
		(*events)++;
		assert_true(is_ok(json_parse(&d, e.data)));
		*usage = *usage || json_get_str(&d, 0, "usage") != JSON_NONE;
		choice = json_at(&d, json_get_str(&d, 0, "choices"), 0);
		delta = json_get_str(&d, choice, "delta");
		(void)is_ok(json_str_put(&d, json_get_str(&d, delta, "content"), text));
		call = json_at(&d, json_get_str(&d, delta, "tool_calls"), 0);
		if (call != JSON_NONE)
			assert_true(is_ok(json_str_put(&d,
			    json_get_str(&d, json_get_str(&d, call, "function"), "arguments"),
			    args)));
	}
	assert_true(done);
	sse_reader_done(&reader);
}

static void
streams_and_answers_say_the_same(void **state)
{
	static const char *const bodies[] = {
		"{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
		"\"messages\":[{\"role\":\"user\",\"content\":\"hé\"}]}",
		"{\"model\":\"m\",\"stream\":true," TOOL "," USER(
		    "```python\\n# ééééééééééééééééééééééééééééééééééééééééééééééééééé\\n```") "}",
		"{\"model\":\"m\",\"stream\":true," USER("count slowly to 3") "}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++) {
		auto_buf struct buf text = BUF_INIT(1 << 20), args = BUF_INIT(1 << 20),
				    whole = BUF_INIT(1 << 20);
		struct planned p;
		struct demo_reply r;
		unsigned events = 0;
		bool usage = false;

		plan(&p, bodies[i]);
		r = reply_of(&p.ask, &p.plan, span_str(bodies[i]), 1);
		join(&r, &text, &args, &events, &usage);
		assert_true(
		    span_eq(buf_span(p.plan.call.len > 0 ? &args : &text), buf_span(&p.plan.text)));
		assert_true(events >= 4);
		assert_int_equal(usage, i == 0);
		r = reply_of(&p.ask, &p.plan, span_str(bodies[i]), 1);
		r.stream = false;
		assert_true(is_ok(reply_put(&r, &whole)));
		assert_true(is_ok(json_parse(&p.d, buf_span(&whole))));
		assert_true(holds(&whole, "sallyport-demo-no-ai") && holds(&whole, "\"usage\""));
		assert_int_equal(
		    holds(&whole, "\"finish_reason\":\"tool_calls\""), p.plan.call.len > 0);
		planned_done(&p);
	}
}

/* ---- the server ---- */
static uv_loop_t loop;
static struct server *server;

static int
server_up(void **state)
{
	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_true(is_ok(server_new(&loop, &server)));
	assert_true(is_ok(server_add_model(server, SPAN_LIT("demo"))));
	return 0;
}

static int
server_down(void **state)
{
	(void)state;
	server_free(server);
	for (int i = 0; i < 100 && uv_run(&loop, UV_RUN_NOWAIT) != 0; i++)
		(void)usleep(1000);
	return uv_loop_close(&loop);
}

static int
dial(void)
{
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	server_accept(server, fds[0]);
	return fds[1];
}

/* Read until `end` is in, or the server closed; false: neither in time. */
static bool
read_until(int fd, const char *end, struct buf *out)
{
	for (int i = 0; i < 3000; i++) {
		char part[4096];
		ssize_t n;

		(void)uv_run(&loop, UV_RUN_NOWAIT);
		while ((n = recv(fd, part, sizeof(part), MSG_DONTWAIT)) > 0)
			assert_true(is_ok(buf_put(out, part, (size_t)n)));
		if (n == 0 ||
		    (out->len > 0 && memmem(out->ptr, out->len, end, strlen(end)) != NULL))
			return true;
		(void)usleep(1000);
	}
	return false;
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void
post(int fd, const char *body)
{
	char head[128];

	(void)snprintf(head, sizeof(head),
	    "POST /v1/chat/completions HTTP/1.1\r\nHost: demo\r\nContent-Length: %zu\r\n\r\n",
	    strlen(body));
	say(fd, head);
	say(fd, body);
}

static void
one_connection_serves_many_requests(void **state)
{
	auto_fd int fd = dial();
	auto_buf struct buf out = BUF_INIT(1 << 20);

	(void)state;
	for (int i = 0; i < 3; i++) {
		buf_clear(&out);
		post(fd, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
			 "\"content\":\"\"}]}");
		assert_true(read_until(fd, "\"total_tokens\":", &out));
		assert_true(holds(&out, "HTTP/1.1 200 OK\r\n"));
		buf_clear(&out);
		say(fd, "GET /v1/models HTTP/1.1\r\nHost: demo\r\n\r\n");
		assert_true(read_until(fd, "]}", &out));
		assert_true(holds(&out, "\"id\":\"demo\""));
	}
	assert_int_equal(server_open(server), 1);
}

static void
faults_have_their_status(void **state)
{
	static const struct {
		const char *request, *status;
	} rows[] = {
		{ "GET /nope HTTP/1.1\r\nHost: demo\r\n\r\n", "HTTP/1.1 404" },
		{ "GET /v1/chat/completions HTTP/1.1\r\nHost: demo\r\n\r\n", "HTTP/1.1 405" },
		{ "hello\r\n\r\n", "HTTP/1.1 400" },
		{ NULL, "HTTP/1.1 400" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_fd int fd = dial();
		auto_buf struct buf out = BUF_INIT(1 << 20);

		if (rows[i].request != NULL)
			say(fd, rows[i].request);
		else
			post(fd, "{\"model\":\"m\"]");
		assert_true(read_until(fd, "}}", &out));
		assert_true(holds(&out, rows[i].status));
		assert_true(holds(&out, "invalid_request_error"));
	}
}

static void
a_slow_stream_comes_in_pieces_and_can_be_left(void **state)
{
	auto_fd int fd = dial();
	auto_buf struct buf out = BUF_INIT(1 << 20);

	(void)state;
	post(fd, "{\"model\":\"m\",\"stream\":true," USER("count slowly to 900") "}");
	assert_true(read_until(fd, "\"content\":\"2\\n\"", &out));
	assert_false(holds(&out, "[DONE]"));
	(void)close(fd_take(&fd));
	for (int i = 0; i < 3000 && server_open(server) > 0; i++) {
		(void)uv_run(&loop, UV_RUN_NOWAIT);
		(void)usleep(1000);
	}
	assert_int_equal(server_open(server), 0);
}

#define SERVER_TEST(f) cmocka_unit_test_setup_teardown(f, server_up, server_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fenced_code_becomes_a_call),
		cmocka_unit_test(code_is_only_called_when_offered),
		cmocka_unit_test(each_block_is_a_step),
		cmocka_unit_test(a_clients_own_function_is_called_by_name),
		cmocka_unit_test(anything_else_says_what_this_is),
		cmocka_unit_test(bad_requests_are_refused),
		cmocka_unit_test(tasks_give_right_answers),
		cmocka_unit_test(unknown_tasks_have_no_code),
		cmocka_unit_test(plots_use_matplotlib),
		cmocka_unit_test(streams_and_answers_say_the_same),
		SERVER_TEST(one_connection_serves_many_requests),
		SERVER_TEST(faults_have_their_status),
		SERVER_TEST(a_slow_stream_comes_in_pieces_and_can_be_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
