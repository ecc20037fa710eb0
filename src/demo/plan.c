/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c: what to answer: a text, or a call of a function.
 *
 * Runs in: demo. Trusts: nothing.
 * Owns: the plan's text.
 * Invariants: a function is called only if the request offers it; every text says that this is a
 * stand-in and no AI.
 * See: demo.h; docs/api.md, "The demo model".
 */
#include "demo.h"

#include <base/cleanup.h>
#include <json/write.h>

#define INTERPRETER SPAN_LIT("code_interpreter")
#define SIGNATURE "\n— " DEMO_NAME "."

static const char about[] =
    "This is " DEMO_NAME ": it answers from fixed rules, without understanding anything. "
    "It can run a fenced block of python, js or sh code, and knows a few tasks: a sum or an "
    "average "
    "of numbers, the n-th prime, fibonacci numbers, a factorial, sorting, a word count, days "
    "between "
    "two dates, a plot of sine, cosine, a parabola or of numbers. To talk to a real model, add a "
    "provider and a model to sallyport.yaml (docs/configuration.md) and reload.";

/* {"language": …, "code": …} of the tool code_interpreter. */
static struct status
plan_code(struct demo_plan *p, struct span language, struct span code)
{
	struct json_writer w = json_writer(&p->text);

	p->call = INTERPRETER;
	json_put_object(&w);
	json_put_key(&w, "language");
	json_put_str(&w, language);
	json_put_key(&w, "code");
	json_put_str(&w, code);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* Code that cannot be run is shown. */
static struct status
plan_code_or_text(
    const struct demo_ask *ask, struct demo_plan *p, struct span language, struct span code)
{
	if (ask_offers(ask, INTERPRETER))
		return plan_code(p, language, code);
	TRY(buf_printf(&p->text,
	    "This code would do it, but the request offers no code "
	    "interpreter (tools: [{\"type\": \"code_interpreter\"}]):\n\n```%.*s\n",
	    SPAN_FMT(language)));
	TRY(buf_put_span(&p->text, code));
	return buf_put_str(&p->text, "\n```\n" SIGNATURE);
}

static struct status
put_quoted(struct buf *out, const char *what, struct span s)
{
	bool cut = s.len > DEMO_QUOTE_MAX;

	if (s.len == 0)
		return OK;
	TRY(buf_printf(out, "%s:\n\n```\n", what));
	TRY(buf_put_span(out, cut ? span_of(s.ptr, DEMO_QUOTE_MAX) : s));
	if (s.ptr[s.len - 1] != '\n')
		TRY(buf_put_u8(out, '\n'));
	return buf_put_str(out, cut ? "…\n```\n" : "```\n");
}

/* A code interpreter's result: an object with stdout, stderr, status. */
static struct status
plan_run_result(const struct json_doc *d, struct arena *a, struct demo_plan *p)
{
	struct span out = SPAN_EMPTY, err = SPAN_EMPTY;
	uint64_t code = 0;

	TRY(json_str(d, json_get_str(d, 0, "stdout"), a, &out));
	(void)is_ok(json_str(d, json_get_str(d, 0, "stderr"), a, &err));
	if (out.len == 0 && err.len == 0)
		TRY(buf_put_str(&p->text, "The code ran and printed nothing.\n"));
	TRY(put_quoted(&p->text, "The code printed", out));
	TRY(put_quoted(&p->text, "On standard error it said", err));
	if (is_ok(json_u64(d, json_get_str(d, 0, "exit_code"), 255, &code)) && code != 0)
		TRY(buf_printf(&p->text, "Its exit code was %u.\n", (unsigned)code));
	return OK;
}

static struct status
plan_result(const struct demo_ask *ask, struct arena *a, struct demo_plan *p)
{
	auto_json struct json_doc d = { .count = 0 };

	TRY(json_init(&d, &(struct json_opts){ .depth_max = 16 }));
	if (!is_ok(json_parse(&d, ask->result)) || json_type(&d, 0) != JSON_OBJECT ||
	    !is_ok(plan_run_result(&d, a, p))) {
		buf_clear(&p->text);
		TRY(put_quoted(&p->text, "The tool answered", ask->result));
		if (ask->result.len == 0)
			TRY(buf_put_str(&p->text, "The tool answered nothing.\n"));
	}
	return buf_put_str(&p->text, SIGNATURE);
}

/* "call NAME {json}": of a function that the client offers. */
static bool
plan_client_call(const struct demo_ask *ask, struct demo_plan *p, struct status *ret)
{
	auto_json struct json_doc d = { .count = 0 };
	struct span rest = ask->prompt;
	const uint8_t *blank;
	struct span name;

	if (!span_starts(rest, SPAN_LIT("call ")))
		return false;
	rest = span_from(rest, 5);
	blank = rest.len == 0 ? NULL : memchr(rest.ptr, ' ', rest.len);
	name = blank == NULL ? rest : span_of(rest.ptr, (size_t)(blank - rest.ptr));
	rest = span_from(rest, name.len + 1);
	if (!ask_offers(ask, name))
		return false;
	if (!is_ok(json_init(&d, &JSON_STRICT)) || !is_ok(json_parse(&d, rest)))
		rest = SPAN_LIT("{}");
	p->call = name;
	*ret = buf_put_span(&p->text, rest);
	return true;
}

/* "count slowly to N": a long stream, for trying what happens in the middle of one. */
static bool
plan_slow(const struct demo_ask *ask, struct demo_plan *p, struct status *ret)
{
	struct span number;
	uint64_t n;

	if (!text_has(ask->prompt, "count slowly to") ||
	    text_numbers(ask->prompt, &number, 1) == 0 ||
	    !is_ok(span_u64(number, DEMO_SLOW_MAX, &n)))
		return false;
	p->delay_ms = DEMO_SLOW_MS;
	*ret = OK;
	for (unsigned i = 1; i <= n && is_ok(*ret); i++)
		*ret = buf_printf(&p->text, "%u\n", i);
	return true;
}

static struct status
plan_task(const struct demo_ask *ask, struct demo_plan *p)
{
	auto_buf struct buf code = BUF_INIT(DEMO_CODE_MAX);
	struct status st = task_code(ask->prompt, &code);

	if (is_ok(st))
		return plan_code_or_text(ask, p, SPAN_LIT("python"), buf_span(&code));
	return st.code == E_NOTFOUND || st.code == E_FULL ? buf_put_str(&p->text, about) : st;
}

struct status
plan_make(const struct demo_ask *ask, struct arena *a, struct demo_plan *ret)
{
	struct span language, code;
	struct status st;

	*ret = (struct demo_plan){ .text = BUF_INIT(DEMO_TEXT_MAX) };
	if (text_fenced(ask->prompt, ask->results, &language, &code))
		return plan_code_or_text(ask, ret, language, code); /* one step a block */
	if (ask->results > 0)
		return plan_result(ask, a, ret);
	if (plan_client_call(ask, ret, &st) || plan_slow(ask, ret, &st))
		return st;
	return plan_task(ask, ret);
}

void
plan_done(struct demo_plan *p)
{
	buf_done(&p->text);
}
