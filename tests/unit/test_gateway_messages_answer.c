/* SPDX-License-Identifier: Apache-2.0 */
/* Answers in Anthropic's dialect, cut at every place; runs of code; hostile providers. */
#include "unit.h"

#include <stdio.h>

#include <answer.h>
#include <messages.h>
#include <run.h>

static struct json_doc doc;
static struct arena arena = ARENA_INIT(1UL << 22);

struct seen {
	struct buf text; /* events, one a line: name, blank, data */
};

static struct status
collect(void *ctx, struct span name, struct span json)
{
	struct seen *s = ctx;

	TRY(buf_put_span(&s->text, name));
	TRY(buf_put_u8(&s->text, ' '));
	TRY(buf_put_span(&s->text, json));
	return buf_put_u8(&s->text, '\n');
}

static void
start(struct answer *a, struct seen *s, bool stream, bool interpreter)
{
	struct messages *m = arena_alloc(&arena, sizeof(*m));

	assert_non_null(m);
	m->p.stream = stream;
	m->p.interpreter = interpreter;
	m->bash = true;
	s->text.max = 1UL << 20;
	buf_clear(&s->text);
	assert_int_equal(answer_start(a, &dialect_messages, &m->p, &arena, &doc).code, E_OK);
	a->emit = collect;
	a->ctx = s;
}

static void
finish(struct answer *a, struct seen *s)
{
	answer_done(a);
	buf_done(&s->text);
	arena_reset(&arena);
}

static struct status
feed_all(struct answer *a, const char *text, size_t piece)
{
	struct span rest = span_str(text);

	while (rest.len > 0) {
		size_t n = rest.len < piece ? rest.len : piece;

		TRY(answer_feed(a, span_of(rest.ptr, n)));
		rest = span_from(rest, n);
	}
	return OK;
}

static void
expect(const struct buf *got, const char *want)
{
	if (got->len != strlen(want) || memcmp(got->ptr, want, got->len) != 0)
		print_error("wanted %s\ngot    %.*s\n", want, (int)got->len, (char *)got->ptr);
	assert_int_equal(got->len, strlen(want));
	assert_memory_equal(got->ptr, want, got->len);
}

static bool
saw(const struct seen *s, const char *text)
{
	return memmem(s->text.ptr, s->text.len, text, strlen(text)) != NULL;
}

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define LINE(type, rest) type " {\"type\":\"" type "\"" rest "}\n"
#define START_REST(id)                                                                             \
	",\"message\":{\"id\":\"" id "\",\"type\":\"message\",\"role\":\"assistant\",\"content\":" \
	"[],\"model\":\"m\",\"stop_reason\":null,\"usage\":{\"input_tokens\":10,"                  \
	"\"cache_read_input_tokens\":5,\"output_tokens\":1}}"
#define START(id) EVENT("message_start", START_REST(id))
#define OPEN_REST(i, block) ",\"index\":" i ",\"content_block\":" block
#define DELTA_REST(i, delta) ",\"index\":" i ",\"delta\":" delta
#define OPEN(i, block) EVENT("content_block_start", OPEN_REST(i, block))
#define DELTA(i, delta) EVENT("content_block_delta", DELTA_REST(i, delta))
#define CLOSE(i) EVENT("content_block_stop", ",\"index\":" i)
#define LINE_OPEN(i, block) LINE("content_block_start", OPEN_REST(i, block))
#define LINE_DELTA(i, delta) LINE("content_block_delta", DELTA_REST(i, delta))
#define LINE_CLOSE(i) LINE("content_block_stop", ",\"index\":" i)
#define END_REST(reason, out) \
	",\"delta\":{\"stop_reason\":\"" reason "\"},\"usage\":{\"output_tokens\":" out "}"
#define END(reason, out) EVENT("message_delta", END_REST(reason, out)) EVENT("message_stop", "")
#define PING EVENT("ping", "")
#define EMPTY_TEXT "{\"type\":\"text\",\"text\":\"\"}"
#define TEXT_DELTA(t) "{\"type\":\"text_delta\",\"text\":\"" t "\"}"
#define JSON_DELTA(t) "{\"type\":\"input_json_delta\",\"partial_json\":\"" t "\"}"
#define CALL(id, name) \
	"{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":{}}"

static const char plain[] = START("a") PING OPEN("0", EMPTY_TEXT) DELTA("0", TEXT_DELTA("h\\u00e9"))
    CLOSE("0") END("end_turn", "7");
static const char plain_now[] = LINE("message_start", START_REST("a")) LINE("ping", "")
    LINE_OPEN("0", EMPTY_TEXT) LINE_DELTA("0", TEXT_DELTA("h\\u00e9")) LINE_CLOSE("0");
static const char plain_end[] = LINE("message_delta", END_REST("end_turn", "7"))
    LINE("message_stop", "");

static void
passes_on_and_holds(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(plain); piece++) {
		struct answer a = { .dialect = NULL };
		struct seen s = { .text = BUF_INIT(0) };
		enum answer_next next = 0;
		struct buf out = BUF_INIT(4096);

		start(&a, &s, true, false);
		assert_int_equal(feed_all(&a, plain, piece).code, E_OK);
		assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
		assert_int_equal(next, ANSWER_FINAL);
		expect(&s.text, plain_now);
		assert_int_equal(a.tokens_in, 15);
		assert_int_equal(a.tokens_out, 7);
		assert_false(a.estimated);
		buf_clear(&s.text);
		assert_int_equal(answer_release(&a, &out).code, E_OK);
		expect(&s.text, plain_end);
		assert_int_equal(out.len, 0);
		finish(&a, &s);
	}
}

/* Thinking, text in pieces with an escape that was cut, citations, and two calls of ours. */
static const char two_calls[] = START("a") OPEN(
    "0", "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
    DELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"h\\u00e9 \\ud83d\"}") DELTA(
	"0", "{\"type\":\"thinking_delta\",\"thinking\":\"\\ude00\"}")
	DELTA("0", "{\"type\":\"signature_delta\",\"signature\":\"Ab+/=\"}") CLOSE("0") OPEN(
	    "1", "{\"type\":\"redacted_thinking\",\"data\":\"x\\/y\"}") CLOSE("1") OPEN("2",
	    "{\"citations\":null,\"type\":\"text\",\"text\":\"a\"}") DELTA("2", TEXT_DELTA("b\\\""))
	    DELTA("2", "{\"type\":\"citations_delta\",\"citation\":{\"c\":1}}")
		DELTA("2", "{\"type\":\"citations_delta\",\"citation\":{\"c\":2}}") CLOSE("2")
		    OPEN("3", CALL("toolu_1", "code_execution")) DELTA("3", JSON_DELTA("")) DELTA(
			"3", JSON_DELTA("{\\\"code\\\":")) DELTA("3", JSON_DELTA("\\\"1+1\\\"}"))
			CLOSE("3") PING OPEN("4", CALL("toolu_2", "code_execution"))
			    DELTA("4", JSON_DELTA("{\\\"language\\\":\\\"sh\\\",\\\"code\\\":"
						  "\\\"ls\\\"}")) CLOSE("4") END("tool_use", "20");
static const char two_calls_said[] =
    ",{\"role\":\"assistant\",\"content\":["
    "{\"type\":\"thinking\",\"thinking\":\"h\\u00e9 \\ud83d\\ude00\",\"signature\":\"Ab+/=\"},"
    "{\"type\":\"redacted_thinking\",\"data\":\"x\\/y\"},"
    "{\"citations\":[{\"c\":1},{\"c\":2}],\"type\":\"text\",\"text\":\"ab\\\"\"},"
    "{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"code_execution\",\"input\":"
    "{\"code\":\"1+1\"}},"
    "{\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"code_execution\",\"input\":"
    "{\"language\":\"sh\",\"code\":\"ls\"}}]}";

#define RUN_ID "exec_01234567-89ab-7def-8123-456789abcdef_1"

/* As step.c does it, but for the run. */
static void
take_step(struct answer *a, size_t call, const char *out, enum run_status status, struct buf *more)
{
	struct run run = { .out = { { .text = BUF_INIT(100) }, { .text = BUF_INIT(100) } } };
	const struct step s = { .index = (uint32_t)call,
		.call = call,
		.calls = a->calls.count,
		.id = RUN_ID,
		.language = SPAN_LIT("python"),
		.code = SPAN_LIT("x"),
		.run = &run };

	if (out != NULL) {
		assert_true(is_ok(buf_put_str(&run.out[0].text, out)));
		memcpy(run.sandbox, "gvisor:python-3", 16);
	}
	run.result = (struct ge_result){ .status = (uint8_t)status };
	if (a->prompt->stream && out != NULL)
		assert_int_equal(a->dialect->show(a, &s, STEP_STARTED, SPAN_EMPTY).code, E_OK);
	assert_int_equal(a->dialect->show(a, &s, STEP_STDOUT, SPAN_LIT("x")).code, E_OK);
	assert_int_equal(a->dialect->show(a, &s, STEP_RESULT, SPAN_EMPTY).code, E_OK);
	assert_int_equal(a->dialect->put_result(a, &s, SPAN_LIT("told \"it\""), more).code, E_OK);
	buf_done(&run.out[0].text);
}

#define USE(id, name)                                                               \
	"{\"type\":\"server_tool_use\",\"id\":\"srvtoolu_" id "\",\"name\":\"" name \
	"\",\"input\":{}}"
#define RESULT(id, bash, content)                                                               \
	"{\"type\":\"" bash "code_execution_tool_result\",\"tool_use_id\":\"srvtoolu_" id "\"," \
	"\"content\":{\"type\":\"" bash "code_execution_" content "}}"
#define RAN(out) "result\",\"stdout\":\"" out "\",\"stderr\":\"\",\"return_code\":0,\"content\":[]"

static const char two_calls_shown[] = LINE("message_start", START_REST("a"))
    LINE_OPEN("0", "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}") LINE_DELTA(
	"0", "{\"type\":\"thinking_delta\",\"thinking\":\"h\\u00e9 \\ud83d\"}")
	LINE_DELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"\\ude00\"}") LINE_DELTA(
	    "0", "{\"type\":\"signature_delta\",\"signature\":\"Ab+/=\"}") LINE_CLOSE("0")
	    LINE_OPEN("1", "{\"type\":\"redacted_thinking\",\"data\":\"x\\/y\"}") LINE_CLOSE("1")
		LINE_OPEN("2", "{\"citations\":null,\"type\":\"text\",\"text\":\"a\"}")
		    LINE_DELTA("2", TEXT_DELTA("b\\\""))
			LINE_DELTA("2", "{\"type\":\"citations_delta\",\"citation\":{\"c\":1}}")
			    LINE_DELTA("2", "{\"type\":\"citations_delta\",\"citation\":{\"c\":2}}")
				LINE_CLOSE("2") LINE("ping", "");
static const char runs_shown[] = LINE_OPEN("3", USE("1", "code_execution"))
    LINE_DELTA("3", JSON_DELTA("{\\\"code\\\":\\\"1+1\\\"}")) LINE_CLOSE("3") LINE_OPEN("4",
	USE("2", "bash_code_execution")) LINE_DELTA("4", JSON_DELTA("{\\\"command\\\":\\\"ls\\\"}"))
	LINE_CLOSE("4") LINE_OPEN("5", RESULT("1", "", RAN("2\\n"))) LINE_CLOSE("5") LINE_OPEN("6",
	    RESULT("2", "bash_", "tool_result_error\",\"error_code\":\"execution_time_exceeded\""))
	    LINE_CLOSE("6");
static const char after_runs[] = START("b") OPEN("0", EMPTY_TEXT) DELTA("0", TEXT_DELTA("two"))
    CLOSE("0") EVENT("message_delta",
	",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":"
	"{\"input_tokens\":30,\"output_tokens\":4}") EVENT("message_stop", "");

static void
our_calls_are_run(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(two_calls); piece += piece < 200 ? 1 : 97) {
		struct answer a = { .dialect = NULL };
		struct seen s = { .text = BUF_INIT(0) };
		struct buf more = BUF_INIT(1UL << 16), out = BUF_INIT(16);
		enum answer_next next = 0;

		start(&a, &s, true, true);
		assert_int_equal(feed_all(&a, two_calls, piece).code, E_OK);
		assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
		assert_int_equal(next, ANSWER_RUN);
		expect(&s.text, two_calls_shown);
		buf_clear(&s.text);
		assert_int_equal(a.dialect->put_calls(&a, &more).code, E_OK);
		expect(&more, two_calls_said);
		buf_clear(&more);
		take_step(&a, 0, "2\n", RUN_EXIT, &more);
		take_step(&a, 1, "x", RUN_TIMEOUT, &more);
		expect(&s.text, runs_shown);
		expect(&more,
		    ",{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
		    "\"toolu_1\",\"content\":\"told \\\"it\\\"\"},{\"type\":\"tool_result\","
		    "\"tool_use_id\":\"toolu_2\",\"content\":\"told \\\"it\\\"\",\"is_error\":"
		    "true}]}");
		buf_clear(&s.text);
		answer_again(&a);
		assert_int_equal(feed_all(&a, after_runs, piece).code, E_OK);
		assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
		assert_int_equal(next, ANSWER_FINAL);
		expect(&s.text,
		    LINE_OPEN("7", EMPTY_TEXT) LINE_DELTA("7", TEXT_DELTA("two")) LINE_CLOSE("7"));
		assert_int_equal(a.tokens_in, 15 + 35);
		assert_int_equal(a.tokens_out, 24);
		assert_int_equal(a.details.cached, 10);
		buf_clear(&s.text);
		assert_int_equal(answer_release(&a, &out).code, E_OK);
		assert_true(saw(&s, "\"usage\":{\"cache_read_input_tokens\":10,"
				    "\"input_tokens\":40,\"output_tokens\":24}"));
		assert_true(saw(&s, "\"delta\":{\"container\":{\"id\":\"container_01234567-89ab-"
				    "7def-8123-456789abcdef\",\"expires_at\":\"20"));
		assert_true(saw(&s, ",\"sallyport\":{\"steps\":[{\"id\":\"exec_"));
		assert_true(saw(&s, "message_stop {\"type\":\"message_stop\"}\n"));
		buf_done(&more);
		finish(&a, &s);
	}
}

/* ---- calls of the client ---- */

static const char mixed[] = START("a") OPEN("0", CALL("toolu_1", "code_execution"))
    DELTA("0", JSON_DELTA("{\\\"code\\\":\\\"1\\\"}")) CLOSE("0")
	OPEN("1", CALL("toolu_2", "weather")) DELTA("1", JSON_DELTA("{}")) CLOSE("1")
	    END("tool_use", "2");

static void
clients_calls_pass(void **state)
{
	struct answer a = { .dialect = NULL };
	struct seen s = { .text = BUF_INIT(0) };
	struct buf out = BUF_INIT(16);
	enum answer_next next = 0;

	(void)state;
	start(&a, &s, true, true);
	assert_int_equal(feed_all(&a, mixed, 13).code, E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	expect(&s.text,
	    LINE("message_start", START_REST("a")) LINE_OPEN("0", CALL("toolu_2", "weather"))
		LINE_DELTA("0", JSON_DELTA("{}")) LINE_CLOSE("0"));
	assert_int_equal(answer_release(&a, &out).code, E_OK);
	assert_true(saw(&s, "\"stop_reason\":\"tool_use\""));
	assert_true(saw(&s, "\"sallyport\":{\"steps\":[]}"));
	assert_false(saw(&s, "container"));
	finish(&a, &s);
	/* A tool of the client's that has our name is the client's. */
	start(&a, &s, true, false);
	assert_int_equal(feed_all(&a, mixed, 100).code, E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	assert_true(saw(&s, "\"index\":1,"));
	assert_true(saw(&s, "\"name\":\"code_execution\""));
	finish(&a, &s);
}

/* A call that was cut by max_tokens is neither run nor shown. */
static void
cut_calls_are_not_run(void **state)
{
	struct answer a = { .dialect = NULL };
	struct seen s = { .text = BUF_INIT(0) };
	enum answer_next next = 0;

	(void)state;
	start(&a, &s, true, true);
	assert_int_equal(
	    feed_all(&a,
		START("a") OPEN("0", CALL("toolu_1", "code_execution"))
		    DELTA("0", JSON_DELTA("{\\\"code\\\":\\\"1")) CLOSE("0") END("max_tokens", "2"),
		50)
		.code,
	    E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	expect(&s.text, LINE("message_start", START_REST("a")));
	finish(&a, &s);
}

/* What the model wrote is no input: it is told so, its provider gets an object back. */
static void
nonsense_is_not_run(void **state)
{
	struct answer a = { .dialect = NULL };
	struct seen s = { .text = BUF_INIT(0) };
	struct buf more = BUF_INIT(4096);
	enum answer_next next = 0;

	(void)state;
	start(&a, &s, true, true);
	assert_int_equal(feed_all(&a,
			     START("a") OPEN("0", EMPTY_TEXT) CLOSE("0")
				 OPEN("1", CALL("toolu_1", "code_execution"))
				     DELTA("1", JSON_DELTA("[1")) CLOSE("1") END("tool_use", "2"),
			     50)
			     .code,
	    E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_RUN);
	assert_int_equal(a.dialect->put_calls(&a, &more).code, E_OK);
	expect(
	    &more, ",{\"role\":\"assistant\",\"content\":[" CALL("toolu_1", "code_execution") "]}");
	take_step(&a, 0, NULL, RUN_CANCELLED, &more);
	assert_true(saw(&s, JSON_DELTA("{}")));
	assert_true(saw(&s, "\"error_code\":\"unavailable\""));
	assert_non_null(memmem(more.ptr, more.len, "\"is_error\":true", 15));
	buf_done(&more);
	finish(&a, &s);
}

/* ---- whole answers ---- */

#define WHOLE(id, content, reason)                                                        \
	"{\"id\":\"" id "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\"," \
	"\"content\":[" content "],\"stop_reason\":\"" reason "\",\"usage\":"             \
	"{\"input_tokens\":10,\"output_tokens\":2}}"
#define TEXT(t) "{\"type\":\"text\",\"text\":\"" t "\"}"
#define CALLS(id, input)                            \
	"{\"type\":\"tool_use\",\"id\":\"toolu_" id \
	"\",\"name\":\"code_execution\",\"input\":" input "}"

static void
whole_answers(void **state)
{
	struct answer a = { .dialect = NULL };
	struct seen s = { .text = BUF_INIT(0) };
	struct buf more = BUF_INIT(1UL << 16), out = BUF_INIT(1UL << 16);
	enum answer_next next = 0;

	(void)state;
	start(&a, &s, false, true);
	assert_int_equal(
	    feed_all(&a,
		WHOLE("a", TEXT("") "," TEXT("hm ") " , " CALLS("1", "{\"code\": \"1\"}"),
		    "tool_use"),
		9)
		.code,
	    E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_RUN);
	assert_int_equal(a.dialect->put_calls(&a, &more).code, E_OK);
	expect(&more, ",{\"role\":\"assistant\",\"content\":[" TEXT("hm ") "," CALLS(
			  "1", "{\"code\": \"1\"}") "]}");
	take_step(&a, 0, "1", RUN_EXIT, &more);
	answer_again(&a);
	assert_int_equal(feed_all(&a, WHOLE("b", TEXT("one"), "end_turn"), 100).code, E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	assert_int_equal(a.tokens_in, 20);
	assert_int_equal(answer_release(&a, &out).code, E_OK);
	assert_int_equal(json_parse(&doc, buf_span(&out)).code, E_OK);
	assert_true(json_str_eq_str(&doc, json_get_str(&doc, 0, "id"), "a"));
	assert_non_null(memmem(out.ptr, out.len,
	    "\"content\":[" TEXT("") "," TEXT(
		"hm ") ",{\"type\":\"server_tool_use\",\"id\":\"srvtoolu_1\","
		       "\"name\":\"code_execution\",\"input\":{\"code\": \"1\"}}," RESULT(
			   "1", "", RAN("1")) "," TEXT("one") "]",
	    300));
	assert_non_null(memmem(out.ptr, out.len, "\"input_tokens\":20,\"output_tokens\":4", 33));
	assert_non_null(memmem(out.ptr, out.len, "{\"container\":{\"id\":\"container_0123", 33));
	assert_non_null(memmem(out.ptr, out.len, "\"sallyport\":{\"steps\":[{", 23));
	assert_int_equal(s.text.len, 0);
	buf_done(&more);
	buf_done(&out);
	finish(&a, &s);
	/* Without our tool nothing is touched. */
	start(&a, &s, false, false);
	assert_int_equal(feed_all(&a, WHOLE("a", CALLS("1", "{}"), "tool_use"), 9).code, E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_true(answer_is_verbatim(&a));
	assert_int_equal(next, ANSWER_FINAL);
	finish(&a, &s);
}

static void
usage_may_be_missing(void **state)
{
	static const char *const texts[] = {
		"{\"content\":[" TEXT("12345678") "],\"stop_reason\":\"end_turn\"}",
		EVENT("message_start", ",\"message\":{}") OPEN("0", "{\"type\":\"text\"}")
		    DELTA("0", "{\"type\":\"text_delta\",\"text\":\"12345678\"}") CLOSE("0")
			EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"}")
			    EVENT("message_stop", ""),
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct answer a = { .dialect = NULL };
		struct seen s = { .text = BUF_INIT(0) };
		enum answer_next next = 0;

		start(&a, &s, i == 1, false);
		assert_int_equal(feed_all(&a, texts[i], 100).code, E_OK);
		assert_int_equal(answer_end(&a, 400, &next).code, E_OK);
		assert_true(a.estimated);
		assert_int_equal(a.tokens_in, 100);
		assert_int_equal(a.tokens_out, 3); /* of 8 characters and two quotes */
		finish(&a, &s);
	}
}

/* ---- hostile providers ---- */

static const struct {
	bool stream, interpreter;
	const char *text;
	bool cut;
} hostile[] = {
	{ true, false, PING EVENT("message_stop", "") },
	{ true, false, START("a") START("b") END("end_turn", "1") },
	{ true, false, START("a") EVENT("error", ",\"error\":{\"type\":\"api_error\"}") },
	{ true, false, OPEN("0", EMPTY_TEXT) },
	{ true, false, START("a") EVENT("message_delta", END_REST("end_turn", "1")), true },
	{ true, false, START("a"), true },
	{ true, false, START("a") "data: {}\n\n" },
	{ true, false, START("a") "data: {\"type\":\"a\\nb\"}\n\n" },
	{ true, false, START("a") "data: {\"type\":\"ping\",\"sallyport\":{}}\n\n" },
	{ true, false, START("a") "data: [1]\n\n" },
	{ true, false, START("a") "data: x\n\n" },
	{ true, true, START("a") OPEN("1", EMPTY_TEXT) },
	{ true, true, START("a") OPEN("0", EMPTY_TEXT) OPEN("1", EMPTY_TEXT) },
	{ true, true, START("a") OPEN("0", EMPTY_TEXT) CLOSE("1") },
	{ true, true, START("a") DELTA("0", TEXT_DELTA("x")) },
	/* Thinking in a text block, and the other way round. */
	{ true, true,
	    START("a") OPEN("0", EMPTY_TEXT)
		DELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"x\"}") },
	{ true, true,
	    START("a") OPEN("0", "{\"type\":\"thinking\",\"thinking\":\"\"}")
		DELTA("0", TEXT_DELTA("x")) },
	{ true, true, START("a") OPEN("0", EMPTY_TEXT) DELTA("0", "{\"type\":\"text_delta\"}") },
	{ true, true, START("a") OPEN("0", EMPTY_TEXT) END("end_turn", "1") },
	/* A run that was none. */
	{ true, true, START("a") OPEN("0", USE("1", "bash_code_execution")) },
	{ true, true, START("a") OPEN("0", RESULT("1", "", RAN("x"))) },
	{ true, true, START("a") EVENT("new_event", ",\"index\":0") },
	{ true, true,
	    START("a") OPEN("0", "{\"type\":\"tool_use\",\"name\":\"code_execution\",\"input\":{}}")
		CLOSE("0") },
	/* A member that we would repeat, but for its case. */
	{ true, true,
	    START("a") OPEN("0", "{\"type\":\"text\",\"text\":\"\",\"Citations\":null}")
		DELTA("0", "{\"type\":\"citations_delta\",\"citation\":{}}") CLOSE("0") },
	{ false, false, "" },
	{ false, false, "{}" },
	{ false, false, "[]" },
	{ false, false, "<html>" },
	{ false, false, "{\"type\":\"error\",\"error\":{\"type\":\"x\"}}" },
	{ false, false, "{\"content\":[],\"usage\":{\"input_tokens\":-1}}" },
	{ false, false, "{\"content\":[],\"sallyport\":{}}" },
	{ false, true, WHOLE("a", RESULT("1", "", RAN("x")), "end_turn") },
	{ false, true, WHOLE("a", "1", "end_turn") },
};

static void
hostile_providers_are_cut_off(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(hostile); i++) {
		struct answer a = { .dialect = NULL };
		struct seen s = { .text = BUF_INIT(0) };
		enum answer_next next = 0;
		struct status st;

		start(&a, &s, hostile[i].stream, hostile[i].interpreter);
		st = feed_all(&a, hostile[i].text, 7);
		/* At once, but for what is missing. */
		if (hostile[i].stream && !hostile[i].cut)
			assert_int_equal(st.code, E_PROTO);
		if (is_ok(st))
			st = answer_end(&a, 100, &next);
		if (st.code != E_PROTO)
			print_error("%zu: %s\n", i, hostile[i].text);
		assert_int_equal(st.code, E_PROTO);
		finish(&a, &s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_on_and_holds),
		cmocka_unit_test(our_calls_are_run),
		cmocka_unit_test(clients_calls_pass),
		cmocka_unit_test(cut_calls_are_not_run),
		cmocka_unit_test(nonsense_is_not_run),
		cmocka_unit_test(whole_answers),
		cmocka_unit_test(usage_may_be_missing),
		cmocka_unit_test(hostile_providers_are_cut_off),
	};

	if (!is_ok(json_init(&doc, &answer_json_opts)))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
