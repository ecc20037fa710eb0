/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_show.c: OpenAI's chat completions: steps, as the client and the model see them.
 *
 * Runs in: gateway. Trusts: nothing of model or code. Owns: nothing.
 * Invariants: a step is a chunk with an empty delta and "sallyport", which SDKs
 * ignore; each call gets exactly one message of role "tool".
 * See: step.c; docs/api.md, "Steps" and "Streams".
 */
#include <base/cleanup.h>

#include "chat_answer.h"
#include "run.h"
#include "tool_result.h"

/* The frame of one step chunk; the caller fills the step object. */
static void
chunk_open(const struct answer *a, const struct step *s, const char *event, struct json_writer *w)
{
	json_put_object(w);
	chat_put_head(a, w);
	json_put_key(w, "choices");
	json_put_raw(w, SPAN_LIT("[{\"index\":0,\"delta\":{},\"finish_reason\":null}]"));
	json_put_key(w, "sallyport");
	json_put_object(w);
	json_put_key(w, "step");
	json_put_object(w);
	json_put_key(w, "index");
	json_put_u64(w, s->index);
	json_put_key(w, "event");
	json_put_text(w, event);
}

static struct status
chunk_show(struct answer *a, struct json_writer *w)
{
	json_put_end(w);
	json_put_end(w);
	json_put_end(w);
	TRY(json_writer_finish(w));
	return answer_show(a, SPAN_EMPTY, buf_span(w->out));
}

static void
put_tool(const struct step *s, struct json_writer *w)
{
	json_put_key(w, "tool");
	json_put_str(w, s->tool->name);
	json_put_key(w, "arguments");
	json_put_str(w, s->arguments);
}

static void
put_started(const struct step *s, struct json_writer *w)
{
	json_put_key(w, "id");
	json_put_text(w, s->id);
	if (s->tool != NULL) {
		put_tool(s, w);
		json_put_key(w, "version");
		json_put_u64(w, s->tool->version);
		json_put_key(w, "sandbox");
		json_put_text(w, s->run->sandbox);
		return;
	}
	json_put_key(w, "language");
	json_put_str(w, s->language);
	json_put_key(w, "code");
	json_put_str(w, s->code);
	json_put_key(w, "sandbox");
	json_put_text(w, s->run->sandbox);
}

static struct status
put_result(const struct step *s, struct json_writer *w)
{
	const struct run_about about = { .id = s->id, .language = s->language, .code = s->code };

	if (s->tool == NULL)
		return run_put(s->run, &about, w);
	json_put_key(w, "id");
	json_put_text(w, s->id);
	put_tool(s, w);
	tool_result_put(s->result, s->run, s->tool, w);
	return w->st;
}

/* For sallyport.steps of the end. */
static struct status
keep_result(struct answer *a, const struct step *s)
{
	struct buf *steps = &chat_own(a)->steps;
	struct json_writer w;

	if (steps->len > 0)
		TRY(buf_put_u8(steps, ','));
	w = json_writer(steps);
	json_put_object(&w);
	TRY(put_result(s, &w));
	json_put_end(&w);
	return json_writer_finish(&w);
}

struct status
chat_show(struct answer *a, const struct step *s, enum step_event event, struct span text)
{
	static const char *const names[] = { "started", "stdout", "stderr", "result" };
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&out);

	if (event == STEP_RESULT)
		TRY(keep_result(a, s));
	if (!a->prompt->stream)
		return OK;
	chunk_open(a, s, names[event], &w);
	if (event == STEP_STARTED) {
		put_started(s, &w);
	} else if (event == STEP_RESULT) {
		TRY(put_result(s, &w));
	} else {
		json_put_key(&w, "data");
		json_put_str(&w, text);
	}
	return chunk_show(a, &w);
}

/* ---- what the model is told ---- */

struct status
chat_put_calls(const struct answer *a, struct buf *out)
{
	struct json_writer w;

	TRY(buf_put_u8(out, ','));
	w = json_writer(out);
	json_put_object(&w);
	json_put_key(&w, "role");
	json_put_text(&w, "assistant");
	chat_put_said(a, &w);
	json_put_key(&w, "tool_calls");
	toolcalls_put(&a->calls, true, false, &w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

struct status
chat_put_result(const struct answer *a, const struct step *s, struct span text, struct buf *out)
{
	const struct toolcall *c = &a->calls.items[s->call];
	struct json_writer w;

	TRY(buf_put_u8(out, ','));
	w = json_writer(out);
	json_put_object(&w);
	json_put_key(&w, "role");
	json_put_text(&w, "tool");
	json_put_key(&w, "tool_call_id");
	json_put_str(&w, buf_span(&c->id));
	json_put_key(&w, "content");
	json_put_str(&w, text);
	json_put_end(&w);
	return json_writer_finish(&w);
}
