/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's responses: answers cut at every place, steps, hostile providers. */
#include "unit.h"

#include <stdio.h>

#include <responses.h>
#include <run.h>

static struct json_doc doc, check;
static struct arena arena = ARENA_INIT(8UL << 20);

#define OURS "{\"type\":\"code_interpreter\",\"container\":{\"type\":\"auto\"}}"

struct seen {
	struct buf text; /* events, one a line: name, blank, JSON */
	uint64_t sequence;
	size_t count;
};

static struct status
collect(void *ctx, struct span name, struct span json)
{
	struct seen *s = ctx;
	uint64_t n = UINT64_MAX;

	assert_int_equal(json_parse(&check, json).code, E_OK);
	assert_true(json_str_eq(&check, json_get_str(&check, 0, "type"), name));
	/* Numbers count up without a gap. */
	assert_int_equal(
	    json_u64(&check, json_get_str(&check, 0, "sequence_number"), UINT32_MAX, &n).code,
	    E_OK);
	assert_int_equal(n, s->sequence);
	s->sequence++;
	s->count++;
	TRY(buf_put_span(&s->text, name));
	TRY(buf_put_u8(&s->text, ' '));
	TRY(buf_put_span(&s->text, json));
	return buf_put_u8(&s->text, '\n');
}

static struct responses prompt;

static void
begin(struct answer *a, struct seen *s, bool stream, bool interpreter)
{
	prompt = (struct responses){ .p = { .stream = stream, .interpreter = interpreter },
		.tools_shown = SPAN_LIT("[" OURS "]"),
		.choice_shown = SPAN_LIT("\"auto\"") };
	s->text.max = 1UL << 22;
	buf_clear(&s->text);
	s->sequence = s->count = 0;
	answer_over(a); /* what it owns lies in the arena */
	arena_reset(&arena);
	assert_int_equal(answer_start(a, &dialect_responses, &prompt.p, &arena, &doc).code, E_OK);
	a->emit = collect;
	a->ctx = s;
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

static bool
saw(const struct seen *s, const char *text)
{
	return s->text.len > 0 && memmem(s->text.ptr, s->text.len, text, strlen(text)) != NULL;
}

#define EV(type, seq, rest) \
	"event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":" seq "," rest "}\n\n"
#define RESP(id, status, output, usage)                                             \
	"\"response\":{\"id\":\"" id "\",\"object\":\"response\",\"created_at\":7," \
	"\"status\":\"" status "\",\"model\":\"m\",\"output\":[" output             \
	"],\"tools\":[{\"type\":\"function\",\"name\":\"code_interpreter\"}],"      \
	"\"tool_choice\":\"auto\",\"usage\":" usage "}"
#define USAGE(in, cached, out, reason)                                                        \
	"{\"input_tokens\":" in ",\"input_tokens_details\":{\"cached_tokens\":" cached        \
	"},\"output_tokens\":" out ",\"output_tokens_details\":{\"reasoning_tokens\":" reason \
	"},\"total_tokens\":0}"
#define REASONING                                                                       \
	"{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":" \
	"\"gAAA+/\\u00e9==\"}"
#define MESSAGE(text)                                                                             \
	"{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"completed\",\"role\":\"assistant\"," \
	"\"content\":[{\"type\":\"output_text\",\"text\":\"" text "\",\"annotations\":[]}]}"
#define CALL(id, name, args, status)                                            \
	"{\"id\":\"fc_" id "\",\"type\":\"function_call\",\"status\":\"" status \
	"\",\"call_id\":\"call_" id "\",\"name\":\"" name "\",\"arguments\":\"" args "\"}"
#define CODE "{\\\"code\\\":\\\"print(1)\\\"}"

#define BEGIN                                                                  \
	EV("response.created", "0", RESP("resp_1", "in_progress", "", "null")) \
	EV("response.in_progress", "1", RESP("resp_1", "in_progress", "", "null"))

/* Reasoning, then a call of ours, as OpenAI sends it. */
static const char tool_stream[] = BEGIN EV("response.output_item.added", "2",
    "\"output_index\":0,\"item\":{\"id\":\"rs_1\",\"type\":\"reasoning\",\"summary\":[]}")
    EV("response.reasoning_summary_part.added", "3",
	"\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":0")
	EV("response.reasoning_summary_text.delta", "4",
	    "\"item_id\":\"rs_1\",\"output_index\":0,\"summary_index\":0,\"delta\":\"hm\"")
	    EV("response.output_item.done", "5", "\"output_index\":0,\"item\":" REASONING)
		EV("response.output_item.added", "6",
		    "\"output_index\":1,\"item\":" CALL("1", "code_interpreter", "", "in_progress"))
		    EV("response.function_call_arguments.delta", "7",
			"\"item_id\":\"fc_1\",\"output_index\":1,\"delta\":\"{\\\"code\\\":\"")
			EV("response.function_call_arguments.done", "8",
			    "\"item_id\":\"fc_1\",\"output_index\":1,\"arguments\":\"" CODE "\"")
			    EV("response.output_item.done", "9",
				"\"output_index\":1,\"item\":" CALL("1", "code_interpreter", CODE,
				    "completed")) EV("response.completed", "10",
				RESP("resp_1", "completed",
				    REASONING "," CALL("1", "code_interpreter", CODE, "completed"),
				    USAGE("10", "4", "20", "8")));

static const char text_stream[] = EV(
    "response.created", "0", RESP("resp_2", "in_progress", "", "null")) EV("response.in_progress",
    "1", RESP("resp_2", "in_progress", "", "null")) EV("response.output_item.added", "2",
    "\"output_index\":0,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":"
    "\"in_progress\",\"role\":\"assistant\",\"content\":[]}") EV("response.content_part.added", "3",
    "\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":"
    "\"output_text\",\"text\":\"\",\"annotations\":[]}") EV("response.output_text.delta", "4",
    "\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":"
    "\"h\\u00e9\\r\\n\"") EV("response.future_thing", "5", "\"whatever\":{\"a\":[1]}")
    EV("response.output_text.done", "6",
	"\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"text\":"
	"\"h\\u00e9\\r\\n\"") EV("response.output_item.done", "7",
	"\"output_index\":0,\"item\":" MESSAGE("h\\u00e9\\r\\n")) EV("response.completed", "8",
	RESP("resp_2", "completed", MESSAGE("h\\u00e9\\r\\n"),
	    USAGE("1", "0", "2", "1"))) "data: [DONE]\n\n";

/* Without our tool: byte for byte, the last event at the end. */
static void
passes_verbatim(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(text_stream); piece++) {
		struct answer a = { .step = 0 };
		struct seen s = { .text = BUF_INIT(0) };
		struct buf want = BUF_INIT(1UL << 16);
		enum answer_next next = 0;
		const char *at = text_stream;

		begin(&a, &s, true, false);
		assert_int_equal(feed_all(&a, text_stream, piece).code, E_OK);
		assert_false(saw(&s, "response.completed"));
		assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
		assert_int_equal(next, ANSWER_FINAL);
		assert_int_equal(a.tokens_in, 1);
		assert_int_equal(a.tokens_out, 2);
		assert_int_equal(answer_release(&a, NULL).code, E_OK);
		/* The stream again, in the form of `seen`. */
		while (strncmp(at, "event: ", 7) == 0) {
			const char *data = strstr(at, "\ndata: "), *end = strstr(at, "\n\n");

			assert_int_equal(
			    buf_put(&want, at + 7, (size_t)(data - at - 7)).code, E_OK);
			assert_int_equal(buf_put_str(&want, " ").code, E_OK);
			assert_int_equal(
			    buf_put(&want, data + 7, (size_t)(end - data - 7)).code, E_OK);
			assert_int_equal(buf_put_str(&want, "\n").code, E_OK);
			at = end + 2;
		}
		assert_int_equal(s.text.len, want.len);
		assert_memory_equal(s.text.ptr, want.ptr, want.len);
		answer_done(&a);
		buf_done(&s.text);
		buf_done(&want);
	}
}

/* What the turn does with one call of ours: show it, tell the model. */
static void
one_step(struct answer *a, uint32_t index, struct buf *more, bool started)
{
	struct run run = { .have_result = true, .result = { .status = RUN_EXIT } };
	struct step s = { .index = index,
		.call = index,
		.calls = a->calls.count,
		.id = index == 0 ? "exec_0190-ab_1" : "exec_0190-ab_2",
		.language = SPAN_LIT("python"),
		.code = SPAN_LIT("print(1)"),
		.run = &run };

	run_reset(&run);
	run.have_result = true;
	run.result.status = RUN_EXIT;
	if (started && a->prompt->stream)
		assert_int_equal(responses_show(a, &s, STEP_STARTED, SPAN_EMPTY).code, E_OK);
	assert_int_equal(buf_put_str(&run.out[0].text, "1\n").code, E_OK);
	assert_int_equal(responses_show(a, &s, STEP_STDOUT, SPAN_LIT("1\n")).code, E_OK);
	assert_int_equal(responses_show(a, &s, STEP_RESULT, SPAN_EMPTY).code, E_OK);
	assert_int_equal(responses_put_result(a, &s, SPAN_LIT("told"), more).code, E_OK);
	run_free(&run);
}

/* The places of items, as SDKs add them up: each added once, in order, with its own end. */
static void
check_places(const struct seen *s)
{
	struct span rest = buf_span(&s->text);
	uint64_t added = 0, n;

	while (rest.len > 0) {
		const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
		const uint8_t *json = memchr(rest.ptr, ' ', rest.len);
		uint32_t tok;

		assert_int_equal(
		    json_parse(&check, span_of(json + 1, (size_t)(end - json) - 1)).code, E_OK);
		tok = json_get_str(&check, 0, "output_index");
		if (json_str_eq_str(
			&check, json_get_str(&check, 0, "type"), "response.output_item.added")) {
			assert_int_equal(json_u64(&check, tok, 100, &n).code, E_OK);
			assert_int_equal(n, added);
			added++;
		} else if (tok != JSON_NONE) {
			assert_int_equal(json_u64(&check, tok, 100, &n).code, E_OK);
			assert_int_equal(n, added - 1);
		}
		rest = span_from(rest, (size_t)(end - rest.ptr) + 1);
	}
}

static void
steps_are_items(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(tool_stream); piece++) {
		struct answer a = { .step = 0 };
		struct seen s = { .text = BUF_INIT(0) };
		struct buf more = BUF_INIT(1UL << 16);
		enum answer_next next = 0;

		begin(&a, &s, true, true);
		assert_int_equal(feed_all(&a, tool_stream, piece).code, E_OK);
		assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
		assert_int_equal(next, ANSWER_RUN);
		assert_int_equal(a.calls.count, 1);
		assert_true(saw(&s, "\"tools\":[" OURS "]"));
		assert_false(saw(&s, "function_call"));
		assert_int_equal(responses_put_calls(&a, &more).code, E_OK);
		one_step(&a, 0, &more, true);
		/* The model hears its own words again, as they were, and the result. */
		assert_non_null(memmem(more.ptr, more.len, REASONING, strlen(REASONING)));
		assert_non_null(memmem(more.ptr, more.len,
		    "{\"type\":\"function_call_output\",\"call_id\":\"call_1\",\"output\":"
		    "\"told\"}",
		    66));
		answer_again(&a);
		assert_int_equal(feed_all(&a, text_stream, piece).code, E_OK);
		assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
		assert_int_equal(next, ANSWER_FINAL);
		assert_false(saw(&s, "response.completed"));
		assert_int_equal(answer_release(&a, NULL).code, E_OK);
		check_places(&s);
		assert_false(saw(&s, "resp_2"));
		assert_true(saw(&s, "response.future_thing"));
		assert_int_equal(a.tokens_in, 11);
		assert_int_equal(a.tokens_out, 22);
		assert_true(saw(&s, "\"output\":[" REASONING ",{\"id\":\"ci_0190-ab_1\",\"type\":"
				    "\"code_interpreter_call\",\"status\":\"completed\",\"code\":"
				    "\"print(1)\",\"container_id\":\"cntr_0190-ab\",\"outputs\":["
				    "{\"type\":\"logs\",\"logs\":\"1\\n\"}]"));
		assert_true(
		    a.details.cached == 4 && a.details.reasoning == 9 &&
		    saw(&s, "\"input_tokens\":11,\"input_tokens_details\":{\"cached_tokens\":4},"
			    "\"output_tokens\":22,\"output_tokens_details\":"
			    "{\"reasoning_tokens\":9},\"total_tokens\":33"));
		assert_true(saw(&s, "response.code_interpreter_call.interpreting"));
		answer_done(&a);
		buf_done(&s.text);
		buf_done(&more);
	}
}

#define PLAIN(type, rest) "data: {\"type\":\"" type "\"," rest "}\n\n"

static struct status
count_events(void *ctx, struct span name, struct span json)
{
	struct seen *s = ctx;

	(void)name;
	s->count++;
	TRY(buf_put_span(&s->text, json));
	return buf_put_u8(&s->text, '\n');
}

/* As some servers do it: no names, no numbers, no places. */
static void
providers_that_number_nothing(void **state)
{
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	enum answer_next next = 0;

	(void)state;
	begin(&a, &s, true, true);
	a.emit = count_events;
	assert_int_equal(
	    feed_all(&a,
		PLAIN("response.created", "\"response\":{\"id\":\"r\"}") PLAIN(
		    "response.output_item.added", "\"item\":{\"type\":\"message\",\"id\":\"m1\"}")
		    PLAIN("response.output_text.delta", "\"item_id\":\"m1\",\"delta\":\"x\"") PLAIN(
			"response.output_item.added",
			"\"item\":" CALL("1", "code_interpreter", "",
			    "in_progress")) PLAIN("response.function_call_arguments.delta",
			"\"item_id\":\"fc_1\",\"delta\":\"{}\"") PLAIN("response.output_item.done",
			"\"item\":" CALL("1", "code_interpreter", CODE,
			    "completed")) PLAIN("response.output_item.done",
			"\"item\":{\"type\":\"message\",\"id\":\"m1\"}")
			PLAIN("response.completed", "\"response\":{\"id\":\"r\",\"output\":[]}"),
		5)
		.code,
	    E_OK);
	assert_int_equal(answer_end(&a, 0, &next).code, E_OK);
	assert_int_equal(next, ANSWER_RUN);
	assert_int_equal(s.count, 4);
	assert_false(saw(&s, "fc_1"));
	begin(&a, &s, true, true);
	a.emit = count_events;
	assert_int_equal(
	    feed_all(&a, PLAIN("response.function_call_arguments.delta", "\"delta\":\"{}\""), 5)
		.code,
	    E_PROTO);
	answer_done(&a);
	buf_done(&s.text);
}

#define WHOLE(id, status, output, usage)                                                   \
	"{\"id\":\"" id "\",\"object\":\"response\",\"created_at\":7,\"status\":\"" status \
	"\",\"model\":\"m\",\"error\":null,\"output\":[" output                            \
	"],\"tools\":[],\"tool_choice\":\"auto\",\"usage\":" usage "}"

static void
whole_answers(void **state)
{
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	struct buf more = BUF_INIT(1UL << 16), out = BUF_INIT(1UL << 16);
	enum answer_next next = 0;

	(void)state;
	begin(&a, &s, false, true);
	assert_int_equal(feed_all(&a,
			     WHOLE("resp_1", "completed",
				 "{\"id\":\"rs_2\",\"type\":\"reasoning\",\"summary\":[]}," CALL(
				     "1", "code_interpreter", CODE, "completed") "," CALL("2",
				     "code_interpreter", CODE, "completed"),
				 USAGE("1", "0", "2", "0")),
			     7)
			     .code,
	    E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_RUN);
	assert_int_equal(a.calls.count, 2);
	assert_int_equal(responses_put_calls(&a, &more).code, E_OK);
	/* Reasoning without its seal stays here, and the ids that point to it. */
	assert_null(memmem(more.ptr, more.len, "rs_2", 4));
	assert_null(memmem(more.ptr, more.len, "fc_1", 4));
	assert_non_null(memmem(more.ptr, more.len, "\"call_id\":\"call_1\"", 18));
	one_step(&a, 0, &more, true);
	one_step(&a, 1, &more, false);
	answer_again(&a);
	assert_int_equal(
	    feed_all(&a, WHOLE("resp_2", "completed", MESSAGE("42"), USAGE("3", "0", "4", "0")), 9)
		.code,
	    E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	assert_int_equal(answer_release(&a, &out).code, E_OK);
	assert_int_equal(json_parse(&check, buf_span(&out)).code, E_OK);
	assert_true(json_str_eq_str(&check, json_get_str(&check, 0, "id"), "resp_1"));
	assert_int_equal(json_size(&check, json_get_str(&check, 0, "output")), 4);
	assert_null(memmem(out.ptr, out.len, "function_call", 13));
	assert_non_null(memmem(out.ptr, out.len, "ci_0190-ab_2", 12));
	assert_non_null(memmem(out.ptr, out.len, "\"total_tokens\":10", 17));
	answer_done(&a);
	buf_done(&more);
	buf_done(&out);
}

/* A call of the client's ends the turn; ours beside it is neither run nor shown. */
static void
clients_calls_go_to_the_client(void **state)
{
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	enum answer_next next = 0;

	(void)state;
	begin(&a, &s, true, true);
	assert_int_equal(
	    feed_all(&a,
		BEGIN EV("response.output_item.added", "2",
		    "\"output_index\":0,\"item\":" CALL("1", "code_interpreter", "",
			"in_progress")) EV("response.output_item.done", "3",
		    "\"output_index\":0,\"item\":" CALL("1", "code_interpreter", CODE,
			"completed")) EV("response.output_item.added", "4",
		    "\"output_index\":1,\"item\":" CALL("2", "weather", "", "in_progress"))
		    EV("response.function_call_arguments.delta", "5",
			"\"item_id\":\"fc_2\",\"output_index\":1,\"delta\":\"{}\"")
			EV("response.output_item.done", "6",
			    "\"output_index\":1,\"item\":" CALL("2", "weather", "{}", "completed"))
			    EV("response.completed", "7",
				RESP("resp_1", "completed",
				    CALL("1", "code_interpreter", CODE, "completed") "," CALL(
					"2", "weather", "{}", "completed"),
				    USAGE("1", "0", "2", "0"))),
		11)
		.code,
	    E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	assert_int_equal(answer_release(&a, NULL).code, E_OK);
	check_places(&s);
	assert_false(saw(&s, "fc_1"));
	assert_true(saw(&s, "\"output\":[" CALL("2", "weather", "{}", "completed") "]"));
	answer_done(&a);
	buf_done(&s.text);
}

static void
nonsense_is_refused(void **state)
{
	static const char *const streams[] = {
		"data: {\n\n",
		"data: []\n\n",
		"data: {}\n\n",
		"data: {\"type\":1}\n\n",
		"event: error\ndata: {\"type\":\"error\",\"message\":\"secret\"}\n\n",
		EV("response.created", "0", "\"response\":3"),
		EV("response.output_item.added", "0", "\"item\":3"),
		EV("response.output_item.added", "0", "\"output_index\":-1,\"item\":{}"),
		EV("response.output_item.added", "0", "\"output_index\":0,\"item\":1"),
		EV("response.output_item.added", "0", "\"output_index\":0,\"item\":{}")
		    EV("response.output_item.added", "0", "\"output_index\":0,\"item\":{}"),
		EV("response.output_item.done", "0", "\"output_index\":0,\"item\":{}"),
		/* One thing at its beginning, another at its end. */
		EV("response.output_item.added", "0",
		    "\"output_index\":0,\"item\":{\"type\":\"message\"}")
		    EV("response.output_item.done", "0",
			"\"output_index\":0,\"item\":" CALL("1", "code_interpreter", "", "x")),
		EV("response.output_text.delta", "0", "\"output_index\":5,\"delta\":\"x\""),
		EV("response.completed", "0", "\"response\":[]"),
		EV("response.unheard_of", "0",
		    "\"item\":" CALL("1", "code_interpreter", "", "in_progress")),
		/* Runs that nobody ran. */
		EV("response.output_item.added", "0",
		    "\"output_index\":0,\"item\":{\"type\":\"code_interpreter_call\"}"),
		EV("response.code_interpreter_call.completed", "0", "\"output_index\":0"),
		EV("response.in_progress", "0", "\"sallyport\":{}"),
		EV("response.completed", "0",
		    "\"response\":{\"output\":[{\"type\":\"code_interpreter_call\"}]}"),
		EV("response.completed", "0", "\"response\":{\"usage\":{\"input_tokens\":-1}}"),
	};
	static const char *const cut[] = { "", BEGIN, "data: [DONE]\n\n" };
	static const char *const whole[] = { "", "{", "[]", "{}", "{\"output\":{}}",
		WHOLE("a", "in_progress", "", "null"), WHOLE("a", "queued", "", "null"),
		WHOLE("a", "completed", "1", "null"),
		WHOLE("a", "completed", "{\"type\":\"code_interpreter_call\"}", "null"),
		WHOLE("a", "completed", "{\"type\":\"message\",\"sallyport\":1}", "null"),
		WHOLE("a", "completed",
		    "{\"type\":\"function_call\",\"name\":\"code_interpreter\"}", "null") };
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	enum answer_next next;

	(void)state;
	for (size_t i = 0; i < COUNT(streams); i++) {
		begin(&a, &s, true, true);
		assert_int_equal(feed_all(&a, streams[i], 4096).code, E_PROTO);
		assert_false(saw(&s, "secret"));
		assert_false(saw(&s, "code_interpreter_call"));
	}
	for (size_t i = 0; i < COUNT(cut); i++) {
		begin(&a, &s, true, true);
		assert_int_equal(feed_all(&a, cut[i], 4096).code, E_OK);
		assert_int_equal(answer_end(&a, 1, &next).code, E_PROTO);
	}
	for (size_t i = 0; i < COUNT(whole); i++) {
		begin(&a, &s, false, true);
		assert_int_equal(feed_all(&a, whole[i], 4096).code, E_OK);
		assert_int_equal(answer_end(&a, 1, &next).code, E_PROTO);
	}
	answer_done(&a);
	buf_done(&s.text);
}

/* An answer that was cut runs nothing. */
static void
incomplete_is_not_run(void **state)
{
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	enum answer_next next = 0;

	(void)state;
	begin(&a, &s, false, true);
	assert_int_equal(
	    feed_all(&a,
		WHOLE("a", "incomplete", CALL("1", "code_interpreter", "{", "incomplete"), "null"),
		50)
		.code,
	    E_OK);
	assert_int_equal(answer_end(&a, 400, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	assert_true(a.estimated);
	assert_int_equal(a.tokens_in, 100);
	answer_done(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_verbatim),
		cmocka_unit_test(steps_are_items),
		cmocka_unit_test(providers_that_number_nothing),
		cmocka_unit_test(whole_answers),
		cmocka_unit_test(clients_calls_go_to_the_client),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(incomplete_is_not_run),
	};

	if (!is_ok(json_init(&doc, &answer_json_opts)) ||
	    !is_ok(json_init(&check, &answer_json_opts)))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
