/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's answers, cut at every place; calls of ours; hostile ones. */
#include "unit.h"

#include <stdio.h>

#include <chat.h>
#include <chat_answer.h>
#include <run.h>
#include <strip.h>

static struct json_doc doc;
static struct arena own = ARENA_INIT(1UL << 20);
static struct chat prompt;

struct seen {
	struct buf text; /* events, one a line */
};

static struct status
collect(void *ctx, struct span name, struct span json)
{
	struct seen *s = ctx;

	assert_int_equal(name.len, 0);
	TRY(buf_put_span(&s->text, json));
	return buf_put_u8(&s->text, '\n');
}

static void
start(struct answer *a, struct seen *s, bool stream, bool interpreter)
{
	s->text.max = 1UL << 20;
	buf_clear(&s->text);
	prompt = (struct chat){ .p = { .stream = stream, .interpreter = interpreter } };
	assert_int_equal(answer_start(a, &dialect_chat, &prompt.p, &own, &doc).code, E_OK);
	a->emit = collect;
	a->ctx = s;
}

/* As if a run had ended so. */
static void
put_steps(struct answer *a, const char *text)
{
	assert_int_equal(buf_put_str(&chat_own(a)->steps, text).code, E_OK);
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

#define CHUNK(id, delta, reason)                                                            \
	"data: {\"id\":\"" id "\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0," \
	"\"delta\":" delta ",\"finish_reason\":" reason "}]}\n\n"
#define USAGE(in, out)                                                        \
	"data: {\"id\":\"u\",\"choices\":[],\"usage\":{\"prompt_tokens\":" in \
	",\"completion_tokens\":" out ",\"total_tokens\":0}}\n\n"
#define DONE "data: [DONE]\n\n"

static const char plain[] = CHUNK("a", "{\"role\":\"assistant\",\"content\":\"\"}", "null") CHUNK(
    "a", "{\"content\":\"h\\u00e9\\n\"}", "null") CHUNK("a", "{}", "\"stop\"") USAGE("3", "5") DONE;

static void
passes_on_and_holds(void **state)
{
	static const char want[] =
	    "{\"id\":\"a\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":"
	    "{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n"
	    "{\"id\":\"a\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":"
	    "{\"content\":\"h\\u00e9\\n\"},\"finish_reason\":null}]}\n";

	(void)state;
	for (size_t piece = 1; piece < sizeof(plain); piece++) {
		struct answer a = { .step = 0 };
		struct seen s = { .text = BUF_INIT(0) };
		enum answer_next next = 0;
		size_t before;

		start(&a, &s, true, false);
		assert_int_equal(feed_all(&a, plain, piece).code, E_OK);
		assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
		assert_int_equal(next, ANSWER_FINAL);
		assert_int_equal(s.text.len, sizeof(want) - 1);
		assert_memory_equal(s.text.ptr, want, s.text.len);
		assert_int_equal(a.tokens_in, 3);
		assert_int_equal(a.tokens_out, 5);
		assert_false(a.estimated);
		before = s.text.len;
		assert_int_equal(answer_release(&a, NULL).code, E_OK);
		/* The finish chunk; usage was not asked for. */
		assert_non_null(memmem(s.text.ptr + before, s.text.len - before, "\"stop\"", 6));
		assert_null(memmem(s.text.ptr, s.text.len, "usage", 5));
		assert_null(memmem(s.text.ptr, s.text.len, "sallyport", 9));
		answer_done(&a);
		buf_done(&s.text);
	}
}

static const char tool_stream[] = CHUNK("a", "{\"role\":\"assistant\",\"content\":null}", "null")
    CHUNK("a", "{\"content\":\"let me\"}", "null") CHUNK("a",
	"{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":"
	"\"code_interp\",\"arguments\":\"\"}}]}",
	"null") CHUNK("a",
	"{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"reter\",\"arguments\":"
	"\"{\\\"code\\\":\"}}]}",
	"null") CHUNK("a",
	"{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"1+1\\\"}\"}}]}",
	"null") CHUNK("a",
	"{\"tool_calls\":[{\"index\":1,\"id\":\"c2\",\"function\":{\"name\":"
	"\"code_interpreter\",\"arguments\":\"{\\\"language\\\":\\\"sh\\\",\\\"code\\\":\\\"ls\\\"}"
	"\"}}]}",
	"null") CHUNK("a", "{}", "\"tool_calls\"") USAGE("10", "20") DONE;

static void
our_calls_are_run(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < sizeof(tool_stream); piece += 3) {
		struct answer a = { .step = 0 };
		struct seen s = { .text = BUF_INIT(0) };
		struct arena arena = ARENA_INIT(1UL << 16);
		struct toolcall_args args;
		struct buf m = BUF_INIT(4096);
		enum answer_next next = 0;

		start(&a, &s, true, true);
		assert_int_equal(feed_all(&a, tool_stream, piece).code, E_OK);
		assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
		assert_int_equal(next, ANSWER_RUN);
		assert_null(memmem(s.text.ptr, s.text.len, "code_interp", 11));
		assert_null(memmem(s.text.ptr, s.text.len, "\"tool_calls\"", 12));
		assert_non_null(memmem(s.text.ptr, s.text.len, "let me", 6));
		assert_int_equal(a.calls.count, 2);
		assert_int_equal(toolcall_args(&a.calls.items[0], &doc, &arena, &args).code, E_OK);
		assert_true(span_eq_str(args.code, "1+1"));
		assert_true(span_eq_str(args.language, "python"));
		assert_int_equal(toolcall_args(&a.calls.items[1], &doc, &arena, &args).code, E_OK);
		assert_true(span_eq_str(args.language, "sh"));
		assert_int_equal(dialect_chat.put_calls(&a, &m).code, E_OK);
		assert_int_equal(m.ptr[0], ',');
		assert_int_equal(json_parse(&doc, span_from(buf_span(&m), 1)).code, E_OK);
		assert_true(json_str_eq_str(&doc, json_get_str(&doc, 0, "content"), "let me"));
		assert_int_equal(json_size(&doc, json_get_str(&doc, 0, "tool_calls")), 2);
		arena_done(&arena);
		buf_done(&m);
		answer_done(&a);
		buf_done(&s.text);
	}
}

/* It passes as it is, and goes back to the model that thought it. */
static void
reasoning_stays(void **state)
{
	static const char stream[] = CHUNK("a", "{\"reasoning_content\":\"h\\u006d\"}", "null")
	    CHUNK("a", "{\"reasoning\":\"so\",\"reasoning_details\":[{\"t\":1.50}]}", "null") CHUNK(
		"a",
		"{\"reasoning_details\":[{\"s\":\"x\"}],\"tool_calls\":[{\"index\":0,\"id\":\"c\","
		"\"function\":{\"name\":\"code_interpreter\",\"arguments\":\"{}\"}}]}",
		"null") CHUNK("a", "{}", "\"tool_calls\"") DONE;
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	struct buf m = BUF_INIT(4096);
	enum answer_next next = 0;

	(void)state;
	start(&a, &s, true, true);
	assert_int_equal(feed_all(&a, stream, 3).code, E_OK);
	assert_int_equal(answer_end(&a, 0, &next).code, E_OK);
	assert_int_equal(next, ANSWER_RUN);
	assert_true(a.tokens_out > 10);
	assert_non_null(memmem(s.text.ptr, s.text.len, "\"h\\u006d\"", 9));
	assert_int_equal(dialect_chat.put_calls(&a, &m).code, E_OK);
	assert_non_null(memmem(m.ptr, m.len,
	    "\"content\":null,\"reasoning_content\":\"hm\",\"reasoning\":\"so\","
	    "\"reasoning_details\":[{\"t\":1.50},{\"s\":\"x\"}],\"tool_calls\":[",
	    113));
	answer_done(&a);
	buf_done(&m);
	buf_done(&s.text);
}

static void
later_steps_look_like_the_first(void **state)
{
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	enum answer_next next = 0;
	size_t before;

	(void)state;
	start(&a, &s, true, true);
	prompt.usage = true;
	assert_int_equal(feed_all(&a, tool_stream, 50).code, E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	before = s.text.len;
	answer_again(&a);
	assert_int_equal(feed_all(&a,
			     CHUNK("b", "{\"role\":\"assistant\",\"content\":\"\"}", "null")
				 CHUNK("b", "{\"role\":\"assistant\",\"content\":\"2\"}", "null")
				     CHUNK("b", "{}", "\"stop\"") USAGE("1", "2") DONE,
			     11)
			     .code,
	    E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	put_steps(&a, "{\"stdout\":\"2\\n\"}");
	assert_int_equal(answer_release(&a, NULL).code, E_OK);
	assert_null(memmem(s.text.ptr + before, s.text.len - before, "\"b\"", 3));
	assert_null(memmem(s.text.ptr + before, s.text.len - before, "assistant", 9));
	assert_non_null(memmem(s.text.ptr + before, s.text.len - before,
	    "\"sallyport\":{\"steps\":[{\"stdout\":\"2\\n\"}]}}", 40));
	assert_non_null(memmem(s.text.ptr, s.text.len, "\"prompt_tokens\":11", 18));
	assert_non_null(memmem(s.text.ptr, s.text.len, "\"completion_tokens\":22", 22));
	assert_non_null(memmem(s.text.ptr, s.text.len, "\"total_tokens\":33", 17));
	answer_done(&a);
	buf_done(&s.text);
}

static void
clients_calls_go_to_the_client(void **state)
{
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	enum answer_next next = 0;

	(void)state;
	start(&a, &s, true, true);
	assert_int_equal(
	    feed_all(&a,
		CHUNK("a",
		    "{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":"
		    "\"code_interpreter\",\"arguments\":\"{}\"}},{\"index\":1,\"id\":\"c2\","
		    "\"function\":{\"name\":\"weather\",\"arguments\":\"{\\\"a\\\":1}\"}}]}",
		    "null") CHUNK("a", "{}", "\"tool_calls\"") DONE,
		7)
		.code,
	    E_OK);
	assert_int_equal(answer_end(&a, 400, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	assert_true(a.estimated);
	assert_int_equal(a.tokens_in, 100);
	assert_null(memmem(s.text.ptr, s.text.len, "code_interpreter", 16));
	assert_non_null(memmem(s.text.ptr, s.text.len,
	    "\"tool_calls\":[{\"index\":0,\"id\":\"c2\",\"type\":\"function\",\"function\":"
	    "{\"name\":\"weather\",\"arguments\":\"{\\\"a\\\":1}\"}}]",
	    106));
	answer_done(&a);
	buf_done(&s.text);
}

static void
without_our_tool_calls_pass_verbatim(void **state)
{
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	enum answer_next next = 0;

	(void)state;
	start(&a, &s, true, false);
	assert_int_equal(feed_all(&a, tool_stream, 9).code, E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	assert_non_null(memmem(s.text.ptr, s.text.len, "code_interp", 11));
	answer_done(&a);
	buf_done(&s.text);
}

#define WHOLE(message, reason, usage)                                            \
	"{\"id\":\"a\",\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0," \
	"\"message\":" message ",\"finish_reason\":\"" reason "\"}]" usage "}"

static void
whole_answers(void **state)
{
	static const char ours[] =
	    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":"
	    "\"function\",\"function\":{\"name\":\"code_interpreter\",\"arguments\":"
	    "\"{\\\"code\\\":\\\"1\\\"}\"}}]}";
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	struct buf out = BUF_INIT(1UL << 16);
	enum answer_next next = 0;
	char text[2048];

	(void)state;
	start(&a, &s, false, true);
	(void)snprintf(text, sizeof(text),
	    WHOLE("%s", "tool_calls",
		",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3,"
		"\"prompt_tokens_details\":{\"cached_tokens\":1},"
		"\"completion_tokens_details\":{\"reasoning_tokens\":2}}"),
	    ours);
	assert_int_equal(feed_all(&a, text, 13).code, E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_RUN);
	answer_again(&a);
	assert_int_equal(feed_all(&a,
			     " " WHOLE("{\"content\":\"42\"}", "stop",
				 ",\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":20,"
				 "\"total_tokens\":30,\"prompt_tokens_details\":{"
				 "\"audio_tokens\":0,\"cached_tokens\":8},"
				 "\"completion_tokens_details\":{\"reasoning_tokens\":9}}") "\n",
			     5)
			     .code,
	    E_OK);
	assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
	assert_int_equal(next, ANSWER_FINAL);
	put_steps(&a, "{\"x\":1}");
	assert_int_equal(answer_release(&a, &out).code, E_OK);
	assert_int_equal(json_parse(&doc, buf_span(&out)).code, E_OK);
	assert_non_null(memmem(out.ptr, out.len, "\"prompt_tokens\":11", 18));
	assert_non_null(memmem(out.ptr, out.len, "\"cached_tokens\":9", 17));
	assert_non_null(memmem(out.ptr, out.len, "\"reasoning_tokens\":11", 21));
	assert_int_equal(a.details.cached, 9);
	assert_int_equal(a.details.reasoning, 11);
	assert_non_null(memmem(out.ptr, out.len, "\"steps\":[{\"x\":1}]", 17));
	answer_done(&a);
	buf_done(&out);
}

/* Details that make no sense are none; what they are part of counts all the same. */
static void
details_may_be_nonsense(void **state)
{
	static const char *const bad[] = { "null", "[]", "{}", "{\"cached_tokens\":null}",
		"{\"cached_tokens\":-1}", "{\"cached_tokens\":1.5}", "{\"cached_tokens\":\"7\"}",
		"{\"cached_tokens\":99999999999999999999}" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct answer a = { .dialect = NULL };
		struct seen s = { .text = BUF_INIT(0) };
		enum answer_next next = 0;
		char text[512];

		start(&a, &s, false, false);
		(void)snprintf(text, sizeof(text),
		    WHOLE("{\"content\":\"42\"}", "stop",
			",\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":20,"
			"\"prompt_tokens_details\":%s,\"completion_tokens_details\":%s}"),
		    bad[i], bad[i]);
		assert_int_equal(feed_all(&a, text, 50).code, E_OK);
		assert_int_equal(answer_end(&a, 100, &next).code, E_OK);
		assert_int_equal(a.tokens_in, 10);
		assert_int_equal(a.details.cached + a.details.reasoning, 0);
		answer_done(&a);
		buf_done(&s.text);
	}
}

static void
nonsense_is_refused(void **state)
{
	static const char *const streams[] = {
		"data: {\n\n",
		"data: []\n\n",
		"data: {\"error\":{\"message\":\"x\"}}\n\n",
		"data: {\"sallyport\":{\"steps\":[]},\"choices\":[]}\n\n",
		"data: {\"choices\":{}}\n\n",
		"data: {\"choices\":[1]}\n\n",
		"data: {\"choices\":[{\"delta\":[]}]}\n\n",
		"data: "
		"{\"choices\":[],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":1}}\n\n",
		"data: {\"choices\":[],\"choices\":[]}\n\n",
		CHUNK("a", "{\"tool_calls\":{}}", "null"),
		CHUNK("a", "{\"tool_calls\":[1]}", "null"),
		CHUNK("a", "{\"tool_calls\":[{\"index\":5,\"id\":\"x\"}]}", "null"),
		CHUNK("a", "{\"tool_calls\":[{\"index\":99999}]}", "null"),
		CHUNK("a", "{\"tool_calls\":[{\"index\":0,\"function\":[]}]}", "null"),
		CHUNK("a", "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":{}}}]}",
		    "null"),
	};
	static const char *const cut[] = { "", "data: ", DONE,
		CHUNK("a", "{\"content\":\"x\"}", "null"),
		CHUNK("a", "{\"content\":\"x\"}", "null") DONE };
	static const char *const whole[] = { "", "{", "[]", "{}", "{\"choices\":[]}",
		"{\"choices\":[{}]}", "{\"choices\":[{\"message\":1}]}", "{\"error\":{}}",
		"{\"choices\":[{\"message\":{\"tool_calls\":3}}]}",
		"{\"choices\":[{\"message\":{\"tool_calls\":[{\"id\":\"a\"}]}}]}" };
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	enum answer_next next;

	(void)state;
	for (size_t i = 0; i < COUNT(streams); i++) {
		start(&a, &s, true, true);
		assert_int_equal(feed_all(&a, streams[i], 4096).code, E_PROTO);
		assert_int_equal(s.text.len, 0);
	}
	for (size_t i = 0; i < COUNT(cut); i++) {
		start(&a, &s, true, true);
		assert_int_equal(feed_all(&a, cut[i], 4096).code, E_OK);
		assert_int_equal(answer_end(&a, 1, &next).code, E_PROTO);
	}
	for (size_t i = 0; i < COUNT(whole); i++) {
		start(&a, &s, false, true);
		assert_int_equal(feed_all(&a, whole[i], 4096).code, E_OK);
		assert_int_equal(answer_end(&a, 1, &next).code, E_PROTO);
	}
	answer_done(&a);
	buf_done(&s.text);
}

static void
endless_answers_end(void **state)
{
	static char line[1UL << 16];
	struct answer a = { .step = 0 };
	struct seen s = { .text = BUF_INIT(0) };
	struct status st = OK;

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	start(&a, &s, true, true);
	for (int i = 0; i < 64 && is_ok(st); i++)
		st = answer_feed(&a, span_of(line, sizeof(line) - 1));
	assert_int_equal(st.code, E_FULL);
	start(&a, &s, true, true);
	for (int i = 0;
	     i < 100000 &&
	     is_ok(st = feed_all(&a,
		       CHUNK("a",
			   "{\"tool_calls\":[{\"index\":0,\"id\":\"i\",\"function\":{\"arguments\":"
			   "\"0123456789012345678901234567890123456789\"}}]}",
			   "null"),
		       4096));
	     i++)
		;
	assert_int_equal(st.code, E_FULL);
	answer_done(&a);
	buf_done(&s.text);
}

static void
bad_arguments(void **state)
{
	static const char *const texts[] = { "", "{", "[]", "{}", "{\"code\":1}", "\"x\"",
		"{\"language\":[],\"code\":\"\"}", "{\"Code\":\"1\"}",
		"{\"code\":\"1\",\"env\":{}}", "{\"code\":\"1\",\"code\":\"2\"}",
		"{\"code\":\"1\"} {}" };
	struct arena arena = ARENA_INIT(1UL << 16);

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct toolcall c = { .args = BUF_INIT(100) };
		struct toolcall_args args;

		assert_int_equal(buf_put_str(&c.args, texts[i]).code, E_OK);
		assert_int_equal(toolcall_args(&c, &doc, &arena, &args).code, E_SYNTAX);
		buf_done(&c.args);
	}
	arena_done(&arena);
}

#define TAG(c) "\xf3\xa0\x81" c /* U+E0040… */

static void
stripping(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain\n\ttext", "plain\n\ttext" },
		{ "\x1b[31mred\x1b[0m", "red" },
		{ "a\x1b]0;title\x07"
		  "b\x1b]8;;http://x\x1b\\c",
		    "abc" },
		{ "bell\x07 back\x08 del\x7f cr\r\n", "bell back del cr\n" },
		{ "\xc2\x9b"
		  "31mcsi",
		    "csi" },
		{ "a\xc2\x9d"
		  "0;title\xc2\x9c"
		  "b\xc2\x85"
		  "c",
		    "abc" },
		{ "\x1b", "" },
		{ "x\x1b[12;", "x" },
		{ "x\x1b]0;never ends", "x" },
		{ "x\x1b[12;\ny", "x\ny" },
		{ "x\x1b(By\x1b=z", "xyz" },
		/* A sequence never takes half a character with it. */
		{ "\x1b\xc3\xa9", "\xc3\xa9" },
		{ "\x1b[1\xc3\xa9", "\xc3\xa9" },
		{ "\x1b\x1b[31mx", "x" },
		{ "\x1b]a\x1b[31mx", "x" },
		/* What is removed brings nothing together. */
		{ "\x1b\xe2\x80\x8b[31m", "[31m" },
		{ "h\xc3\xa9", "h\xc3\xa9" },
		{ "a\xe2\x80\xae"
		  "b\xe2\x81\xa6"
		  "c\xd8\x9c"
		  "d\xe2\x80\x8f"
		  "e",
		    "abcde" }, /* directions */
		{ "a\xe2\x80\x8b\xe2\x80\x8d\xe2\x81\xa0\xef\xbb\xbf\xc2\xad"
		  "b",
		    "ab" }, /* invisible */
		{ "a" TAG("\x81") TAG("\xa5") "\xf3\xa0\x80\x81"
					      "b",
		    "ab" }, /* tags */
		{ "a\xef\xb8\x8f\xf3\xa0\x84\x80\xf3\xa0\x87\xaf"
		  "b",
		    "ab" }, /* variation selectors */
		{ "a\xf4\x8f\xbf\xbd"
		  "b",
		    "ab" },                                              /* private use */
		{ "\xe6\xbc\xa2 \xf0\x9f\x98\x80 \xef\xbf\xbd \xd7\xa9", /* what is seen */
		    "\xe6\xbc\xa2 \xf0\x9f\x98\x80 \xef\xbf\xbd \xd7\xa9" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = BUF_INIT(100);

		assert_int_equal(text_strip(span_str(rows[i].in), &out).code, E_OK);
		if (!span_eq_str(buf_span(&out), rows[i].out))
			print_error("row %zu: %.*s\n", i, (int)out.len, (char *)out.ptr);
		assert_true(span_eq_str(buf_span(&out), rows[i].out));
		buf_done(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_on_and_holds),
		cmocka_unit_test(our_calls_are_run),
		cmocka_unit_test(reasoning_stays),
		cmocka_unit_test(later_steps_look_like_the_first),
		cmocka_unit_test(clients_calls_go_to_the_client),
		cmocka_unit_test(without_our_tool_calls_pass_verbatim),
		cmocka_unit_test(whole_answers),
		cmocka_unit_test(details_may_be_nonsense),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(endless_answers_end),
		cmocka_unit_test(bad_arguments),
		cmocka_unit_test(stripping),
	};

	if (!is_ok(json_init(&doc, &answer_json_opts)))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
