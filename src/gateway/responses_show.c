/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses_show.c: OpenAI's responses: steps, as the client and the model see them.
 *
 * Runs in: gateway. Trusts: nothing of model or code. Owns: nothing.
 * Invariants: a run is one output item, code_interpreter_call, and a call of a user's tool one
 * mcp_call, with its events in OpenAI's order; the same item is in the response at the end.
 * Neither waits for an answer of the client.
 * See: step.c; docs/api.md, "Responses".
 */
#include <stdio.h>

#include <base/cleanup.h>

#include "request.h"
#include "responses.h"
#include "run.h"
#include "tool_result.h"

/* What both kinds of items are told by, in OpenAI's order. */
enum { KIND_CODE, KIND_TOOL };
static const struct {
	const char *id, *in_progress, *delta, *done, *done_key, *runs, *completed, *failed;
} kinds[] = {
	[KIND_CODE] = { "ci_", "response.code_interpreter_call.in_progress",
	    "response.code_interpreter_call_code.delta", "response.code_interpreter_call_code.done",
	    "code", "response.code_interpreter_call.interpreting",
	    "response.code_interpreter_call.completed",
	    "response.code_interpreter_call.completed" },
	[KIND_TOOL] = { "mcp_", "response.mcp_call.in_progress",
	    "response.mcp_call_arguments.delta", "response.mcp_call_arguments.done", "arguments",
	    NULL, "response.mcp_call.completed", "response.mcp_call.failed" },
};

static int
kind_of(const struct step *s)
{
	return s->tool != NULL ? KIND_TOOL : KIND_CODE;
}

static struct status show_begin(struct answer *a, const struct step *s);
static struct status show_end(struct answer *a, const struct step *s, struct span item);
static struct status put_item(
    const struct answer *a, const struct step *s, bool whole, struct json_writer *w);

/* "exec_<request>_<n>": the run's number, and the request that is its container. */
static struct span
item_name(const struct step *s)
{
	return span_from(span_str(s->id), sizeof(RESPONSES_LOGS_ID) - 1);
}

static void
put_item_id(const struct step *s, struct json_writer *w)
{
	char id[80];

	(void)snprintf(id, sizeof(id), "%s%.*s", kinds[kind_of(s)].id, SPAN_FMT(item_name(s)));
	json_put_text(w, id);
}

static void
put_container(const struct step *s, struct json_writer *w)
{
	struct span name = item_name(s);
	char id[80];

	while (name.len > 0 && name.ptr[name.len - 1] != '_')
		name.len--;
	(void)snprintf(id, sizeof(id), "cntr_%.*s", SPAN_FMT(name));
	id[strlen(id) - 1] = '\0'; /* the last underscore */
	json_put_text(w, id);
}

struct status
responses_show(struct answer *a, const struct step *s, enum step_event event, struct span text)
{
	struct responses_answer *own = responses_own(a);
	auto_buf struct buf item = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&item);

	(void)text; /* there is no event for a piece of output */
	if (event == STEP_STARTED) {
		own->started = true;
		return show_begin(a, s);
	}
	if (event != STEP_RESULT)
		return OK;
	if (a->prompt->stream && !own->started)
		TRY(show_begin(a, s));
	own->started = false;
	TRY(put_item(a, s, true, &w));
	TRY(json_writer_finish(&w));
	if (own->items.len > 0)
		TRY(buf_put_u8(&own->items, ','));
	TRY(buf_put_span(&own->items, buf_span(&item)));
	return a->prompt->stream ? show_end(a, s, buf_span(&item)) : OK;
}

/* ---- the item ---- */

static void
put_logs(const struct run *r, struct json_writer *w)
{
	auto_buf struct buf logs = BUF_INIT(8UL * RUN_OUTPUT_MAX);

	json_put_array(w);
	if (is_ok(buf_put_span(&logs, buf_span(&r->out[0].text))) &&
	    is_ok(buf_put_span(&logs, buf_span(&r->out[1].text))) && logs.len > 0) {
		json_put_object(w);
		json_put_key(w, "type");
		json_put_text(w, "logs");
		json_put_key(w, "logs");
		json_put_str(w, buf_span(&logs));
		json_put_end(w);
	}
	json_put_end(w);
}

/* What it was and how it ended: the fields of /v1/execute. */
static struct status
put_details(const struct step *s, struct json_writer *w)
{
	const struct run_about about = { .id = s->id, .language = s->language, .code = s->code };

	json_put_key(w, "sallyport");
	json_put_object(w);
	TRY(run_put(s->run, &about, w));
	json_put_end(w);
	return OK;
}

static bool
succeeded(const struct step *s)
{
	if (s->tool != NULL)
		return s->result != NULL && s->result->output.len > 0;
	return s->run->have_result && s->run->result.status == RUN_EXIT;
}

/* The output is a text; what went wrong is another, and the rest is beside them. */
static void
put_tool_outcome(const struct step *s, struct json_writer *w)
{
	json_put_key(w, "output");
	if (succeeded(s))
		json_put_str(w, s->result->output);
	else
		json_put_null(w);
	json_put_key(w, "error");
	if (succeeded(s))
		json_put_null(w);
	else if (s->run->result.status == RUN_TRAP && s->run->reason[0] != '\0')
		json_put_text(w, s->run->reason);
	else if (s->result->why[0] != '\0')
		json_put_text(w, s->result->why);
	else
		json_put_text(w, s->result->status);
	json_put_key(w, "sallyport");
	json_put_object(w);
	json_put_key(w, "id");
	json_put_text(w, s->id);
	json_put_key(w, "tool");
	json_put_str(w, s->tool->name);
	tool_result_put(s->result, s->run, s->tool, w);
	json_put_end(w);
}

static struct status
put_tool_item(const struct step *s, bool whole, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, "id");
	put_item_id(s, w);
	json_put_key(w, "type");
	json_put_text(w, "mcp_call");
	json_put_key(w, "status");
	json_put_text(w, !whole ? "in_progress" : succeeded(s) ? "completed" : "failed");
	json_put_key(w, "server_label");
	json_put_text(w, RESPONSES_SERVER);
	json_put_key(w, "name");
	json_put_str(w, s->tool->name);
	json_put_key(w, "arguments");
	json_put_str(w, whole ? s->arguments : SPAN_EMPTY);
	json_put_key(w, "approval_request_id");
	json_put_null(w);
	if (whole) {
		put_tool_outcome(s, w);
	} else {
		json_put_key(w, "output");
		json_put_null(w);
		json_put_key(w, "error");
		json_put_null(w);
	}
	json_put_end(w);
	return w->st;
}

static struct status
put_item(const struct answer *a, const struct step *s, bool whole, struct json_writer *w)
{
	(void)a;
	if (s->tool != NULL)
		return put_tool_item(s, whole, w);
	json_put_object(w);
	json_put_key(w, "id");
	put_item_id(s, w);
	json_put_key(w, "type");
	json_put_text(w, "code_interpreter_call");
	json_put_key(w, "status");
	json_put_text(w, !whole ? "in_progress" : succeeded(s) ? "completed" : "failed");
	json_put_key(w, "code");
	json_put_str(w, whole ? s->code : SPAN_EMPTY);
	json_put_key(w, "container_id");
	put_container(s, w);
	json_put_key(w, "outputs");
	if (whole) {
		put_logs(s->run, w);
		TRY(put_details(s, w));
	} else {
		json_put_null(w);
	}
	json_put_end(w);
	return w->st;
}

/* ---- its events ---- */

static void
event_open(struct answer *a, const char *type, struct json_writer *w)
{
	struct responses_answer *own = responses_own(a);

	json_put_object(w);
	json_put_key(w, "type");
	json_put_text(w, type);
	json_put_key(w, "sequence_number");
	json_put_u64(w, own->sequence++);
	json_put_key(w, "output_index");
	json_put_u64(w, own->index);
}

static struct status
event_show(struct answer *a, const char *type, struct json_writer *w)
{
	json_put_end(w);
	TRY(json_writer_finish(w));
	return answer_show(a, span_str(type), buf_span(w->out));
}

/* `key` NULL: the item's id is all there is to say. */
static struct status
show_piece(struct answer *a, const struct step *s, const char *type, const char *key)
{
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&out);

	event_open(a, type, &w);
	json_put_key(&w, "item_id");
	put_item_id(s, &w);
	if (key != NULL) {
		json_put_key(&w, key);
		json_put_str(&w, s->tool != NULL ? s->arguments : s->code);
	}
	return event_show(a, type, &w);
}

static struct status
show_begin(struct answer *a, const struct step *s)
{
	static const char added[] = "response.output_item.added";
	const int kind = kind_of(s);
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&out);

	event_open(a, added, &w);
	json_put_key(&w, "item");
	TRY(put_item(a, s, false, &w));
	TRY(event_show(a, added, &w));
	TRY(show_piece(a, s, kinds[kind].in_progress, NULL));
	TRY(show_piece(a, s, kinds[kind].delta, "delta"));
	TRY(show_piece(a, s, kinds[kind].done, kinds[kind].done_key));
	return kinds[kind].runs == NULL ? OK : show_piece(a, s, kinds[kind].runs, NULL);
}

static struct status
show_end(struct answer *a, const struct step *s, struct span item)
{
	static const char done[] = "response.output_item.done";
	const int kind = kind_of(s);
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&out);

	TRY(show_piece(a, s, succeeded(s) ? kinds[kind].completed : kinds[kind].failed, NULL));
	event_open(a, done, &w);
	json_put_key(&w, "item");
	json_put_raw(&w, item);
	TRY(event_show(a, done, &w));
	responses_own(a)->index++;
	return OK;
}

/* ---- what the model is told ---- */

/* Ids tie an item to reasoning; without that they say nothing. */
struct status
responses_put_plain(const struct json_doc *d, uint32_t item, struct buf *out)
{
	struct json_iter it = json_iter(d, item);
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	while (json_next(&it)) {
		struct span key = json_bytes(d, it.key);

		if (json_str_eq_str(d, it.key, "id"))
			continue;
		json_put_key_span(&w, span_of(key.ptr + 1, key.len - 2));
		json_put_raw(&w, json_bytes(d, it.val));
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

static struct status
put_unsigned(const struct answer *a, struct buf *out)
{
	auto_buf struct buf list = BUF_INIT(2UL * ANSWER_MAX);
	struct json_iter it;

	TRY(buf_put_u8(&list, '['));
	TRY(buf_put_span(&list, span_from(buf_span(&responses_own(a)->back), 1)));
	TRY(buf_put_u8(&list, ']'));
	TRY(json_parse(a->doc, buf_span(&list)));
	it = json_iter(a->doc, 0);
	while (json_next(&it)) {
		TRY(buf_put_u8(out, ','));
		TRY(responses_put_plain(a->doc, it.val, out));
	}
	return OK;
}

struct status
responses_put_calls(const struct answer *a, struct buf *out)
{
	const struct responses_answer *own = responses_own(a);

	return own->unsigned_item ? put_unsigned(a, out) : buf_put_span(out, buf_span(&own->back));
}

struct status
responses_put_result(
    const struct answer *a, const struct step *s, struct span text, struct buf *out)
{
	const struct toolcall *c = &a->calls.items[s->call];
	struct json_writer w;

	TRY(buf_put_u8(out, ','));
	w = json_writer(out);
	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, "function_call_output");
	json_put_key(&w, "call_id");
	json_put_str(&w, buf_span(&c->id));
	json_put_key(&w, "output");
	json_put_str(&w, text);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* ---- errors in a stream ---- */

/* OpenAI's event, and the error object besides: SDKs look for either. */
struct status
responses_put_error(struct answer *a, const struct request *r, enum error error, struct buf *out)
{
	static const char *const names[] = { "code", "message", "param" };
	auto_buf struct buf object = BUF_INIT(64U << 10);
	struct json_writer w = json_writer(out);
	uint32_t err;

	TRY(error_put(r, error, &object));
	TRY(json_parse(a->doc, buf_span(&object)));
	err = json_get_str(a->doc, 0, "error");
	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, "error");
	json_put_key(&w, "sequence_number");
	json_put_u64(&w, responses_own(a)->sequence++);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_put_key(&w, names[i]);
		json_put_raw(&w, json_bytes(a->doc, json_get_str(a->doc, err, names[i])));
	}
	json_put_key(&w, "error");
	json_put_raw(&w, json_bytes(a->doc, err));
	json_put_end(&w);
	return json_writer_finish(&w);
}
