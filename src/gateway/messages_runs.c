/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages_runs.c: Anthropic's messages: runs of code as blocks of a server's tool.
 *
 * Runs in: gateway. Trusts: nothing of model or code. Owns: nothing.
 * Invariants: each call of ours is shown as one server_tool_use block, all of an
 * answer's before the first result; each has exactly one result, for the client
 * as a block of its own, for the model as a tool_result.
 * See: step.c; messages_history.c, which takes such blocks apart again.
 */
#include <base/cleanup.h>

#include "messages_answer.h"
#include "run.h"
#include "tool_result.h"

static struct status show_calls(struct answer *a);
static struct status put_outcome(const struct step *s, bool bash, struct json_writer *w);
static struct status keep_step(struct answer *a, const struct step *s);

/* ---- what the client sees ---- */

/* The model's id of a call, marked as that of a server's tool. */
static struct status
put_id(const struct toolcall *c, struct json_writer *w)
{
	auto_buf struct buf id = BUF_INIT(CALL_BYTES_MAX + sizeof(MESSAGES_ID_MARK));

	TRY(buf_put_str(&id, MESSAGES_ID_MARK));
	TRY(buf_put_span(&id, buf_span(&c->id)));
	json_put_str(w, buf_span(&id));
	return OK;
}

/* One block: for a stream as its events, else into the list of blocks. */
static struct status
show_block(struct answer *a, struct span block, struct span input)
{
	struct messages_answer *own = messages_own(a);
	auto_buf struct buf out = BUF_INIT(8UL * RUN_OUTPUT_MAX);
	struct json_writer w = json_writer(&out);

	if (!a->prompt->stream)
		return messages_add(&own->content, block);
	TRY(buf_printf(
	    &out, "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":", own->shown));
	TRY(buf_put_span(&out, block));
	TRY(buf_put_u8(&out, '}'));
	TRY(answer_show(a, SPAN_LIT("content_block_start"), buf_span(&out)));
	if (input.len > 0) {
		buf_clear(&out);
		TRY(buf_printf(&out,
		    "{\"type\":\"content_block_delta\",\"index\":%u,\"delta\":"
		    "{\"type\":\"input_json_delta\",\"partial_json\":",
		    own->shown));
		w = json_writer(&out);
		json_put_str(&w, input);
		TRY(json_writer_finish(&w));
		TRY(buf_put_str(&out, "}}"));
		TRY(answer_show(a, SPAN_LIT("content_block_delta"), buf_span(&out)));
	}
	buf_clear(&out);
	TRY(buf_printf(&out, "{\"type\":\"content_block_stop\",\"index\":%u}", own->shown));
	own->shown++;
	return answer_show(a, SPAN_LIT("content_block_stop"), buf_span(&out));
}

/* Of a user's tool: what it answered, or what was wrong. */
static struct status
show_tool_result(struct answer *a, const struct step *s)
{
	auto_buf struct buf out = BUF_INIT(8UL * RUN_OUTPUT_MAX);
	struct json_writer w = json_writer(&out);

	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, "mcp_tool_result");
	json_put_key(&w, "tool_use_id");
	TRY(put_id(&a->calls.items[s->call], &w));
	json_put_key(&w, "is_error");
	json_put_bool(&w, s->result->output.len == 0);
	json_put_key(&w, "content");
	json_put_array(&w);
	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, "text");
	json_put_key(&w, "text");
	if (s->result->output.len > 0)
		json_put_str(&w, s->result->output);
	else if (s->run->result.status == RUN_TRAP && s->run->reason[0] != '\0')
		json_put_text(&w, s->run->reason);
	else
		json_put_text(&w, s->result->why[0] != '\0' ? s->result->why : s->result->status);
	json_put_end(&w);
	json_put_end(&w);
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return show_block(a, buf_span(&out), SPAN_EMPTY);
}

static struct status
show_result(struct answer *a, const struct step *s)
{
	auto_buf struct buf out = BUF_INIT(8UL * RUN_OUTPUT_MAX);
	bool bash = messages_own(a)->bash[s->call];
	struct json_writer w = json_writer(&out);

	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, bash ? "bash_code_execution_tool_result" : "code_execution_tool_result");
	json_put_key(&w, "tool_use_id");
	TRY(put_id(&a->calls.items[s->call], &w));
	json_put_key(&w, "content");
	TRY(put_outcome(s, bash, &w));
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return show_block(a, buf_span(&out), SPAN_EMPTY);
}

struct status
messages_show(struct answer *a, const struct step *s, enum step_event event, struct span text)
{
	(void)text; /* a result block is whole, or not there */
	if (event == STEP_STDOUT || event == STEP_STDERR)
		return OK;
	TRY(show_calls(a));
	if (event == STEP_STARTED)
		return OK;
	if (s->run->sandbox[0] != '\0' && s->tool == NULL)
		messages_ran(a, s->id);
	TRY(keep_step(a, s));
	return s->tool != NULL ? show_tool_result(a, s) : show_result(a, s);
}

/* ---- calls ---- */

/* A shell's command has a block of its own where the client's version of the tool has it. */
static struct status
put_input(const struct toolcall_args *args, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "command");
	json_put_str(&w, args->code);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* What the model asked for: as it wrote it, if that is an object at all. */
static struct status
read_call(struct answer *a, size_t n, struct arena *arena, struct buf *input)
{
	const struct toolcall *c = &a->calls.items[n];
	struct toolcall_args args;
	struct status st = toolcall_args(c, a->doc, arena, &args);
	bool *bash = &messages_own(a)->bash[n];

	if (!is_ok(st) && st.code != E_SYNTAX)
		return st;
	*bash = is_ok(st) && messages_of(a->prompt)->bash && span_eq_str(args.language, "sh");
	if (*bash)
		return put_input(&args, input);
	if (is_ok(st) ||
	    (is_ok(json_parse(a->doc, buf_span(&c->args))) && json_type(a->doc, 0) == JSON_OBJECT))
		return buf_put_span(input, buf_span(&c->args));
	return buf_put_str(input, "{}");
}

/* Its input is whole at once: not all SDKs put pieces together for this type. */
static struct status
show_tool_call(struct answer *a, const struct toolcall *c)
{
	auto_buf struct buf out = BUF_INIT(16UL * CALL_BYTES_MAX);
	struct json_writer w = json_writer(&out);
	bool object = is_ok(json_parse(a->doc, buf_span(&c->args))) &&
		      json_type(a->doc, 0) == JSON_OBJECT;

	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, "mcp_tool_use");
	json_put_key(&w, "id");
	TRY(put_id(c, &w));
	json_put_key(&w, "name");
	json_put_str(&w, buf_span(&c->name));
	json_put_key(&w, "server_name");
	json_put_text(&w, MESSAGES_SERVER);
	json_put_key(&w, "input");
	json_put_raw(&w, object ? buf_span(&c->args) : SPAN_LIT("{}"));
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return show_block(a, buf_span(&out), SPAN_EMPTY);
}

static struct status
show_call(struct answer *a, size_t n)
{
	auto_arena struct arena arena = ARENA_INIT(REQUEST_ARENA_MAX);
	auto_buf struct buf input = BUF_INIT(8UL * CALL_BYTES_MAX);
	auto_buf struct buf out = BUF_INIT(16UL * CALL_BYTES_MAX);
	struct json_writer w = json_writer(&out);
	bool stream = a->prompt->stream;

	TRY(read_call(a, n, &arena, &input));
	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, "server_tool_use");
	json_put_key(&w, "id");
	TRY(put_id(&a->calls.items[n], &w));
	json_put_key(&w, "name");
	json_put_text(&w, messages_own(a)->bash[n] ? "bash_code_execution" : "code_execution");
	json_put_key(&w, "input");
	json_put_raw(&w, stream ? SPAN_LIT("{}") : buf_span(&input));
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return show_block(a, buf_span(&out), stream ? buf_span(&input) : SPAN_EMPTY);
}

/* All calls of one answer, before the first of them is run. */
static struct status
show_calls(struct answer *a)
{
	struct messages_answer *own = messages_own(a);

	if (own->runs_shown)
		return OK;
	own->runs_shown = true;
	for (size_t i = 0; i < a->calls.count; i++) {
		const struct toolcall *c = &a->calls.items[i];

		TRY(toolcalls_offer(&a->calls, c) != NULL ? show_tool_call(a, c) : show_call(a, i));
	}
	return OK;
}

/* ---- results ---- */

/* Anthropic's word for it; NULL: it ran, with a result of its own. */
static const char *
error_code(const struct step *s)
{
	if (s->run->sandbox[0] == '\0')
		return s->code.len == 0 ? "invalid_tool_input" : "unavailable";
	if (s->run->result.status == RUN_TIMEOUT || s->run->result.status == RUN_CPU)
		return "execution_time_exceeded";
	return NULL;
}

/* As shells say it: ended by a signal is 128 and its number; our limits end by KILL. */
static uint64_t
return_code(const struct run *run)
{
	if (run->result.status == RUN_EXIT)
		return run->result.exit_code;
	return 128U + (run->result.status == RUN_SIGNAL ? run->result.exit_code : 9U);
}

static struct status
put_outcome(const struct step *s, bool bash, struct json_writer *w)
{
	const char *error = error_code(s);

	json_put_object(w);
	json_put_key(w, "type");
	if (error != NULL) {
		json_put_text(w, bash ? "bash_code_execution_tool_result_error"
				      : "code_execution_tool_result_error");
		json_put_key(w, "error_code");
		json_put_text(w, error);
	} else {
		json_put_text(w, bash ? "bash_code_execution_result" : "code_execution_result");
		json_put_key(w, "stdout");
		json_put_str(w, buf_span(&s->run->out[0].text));
		json_put_key(w, "stderr");
		json_put_str(w, buf_span(&s->run->out[1].text));
		json_put_key(w, "return_code");
		json_put_u64(w, return_code(s->run));
		json_put_key(w, "content");
		json_put_array(w);
		json_put_end(w);
	}
	json_put_end(w);
	return w->st;
}

/* For sallyport.steps of the end: files and all that blocks have no place for. */
static struct status
keep_step(struct answer *a, const struct step *s)
{
	const struct run_about about = { .id = s->id, .language = s->language, .code = s->code };
	struct buf *steps = &messages_own(a)->steps;
	struct json_writer w;

	if (steps->len > 0)
		TRY(buf_put_u8(steps, ','));
	w = json_writer(steps);
	json_put_object(&w);
	if (s->tool != NULL) {
		json_put_key(&w, "id");
		json_put_text(&w, s->id);
		json_put_key(&w, "tool");
		json_put_str(&w, s->tool->name);
		json_put_key(&w, "arguments");
		json_put_str(&w, s->arguments);
		tool_result_put(s->result, s->run, s->tool, &w);
	} else {
		TRY(run_put(s->run, &about, &w));
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* ---- what the model is told ---- */

struct status
messages_put_calls(const struct answer *a, struct buf *out)
{
	const struct messages_answer *own = messages_own(a);

	/* A stream that was cut, or that has parts we cannot give back as they were. */
	if (a->prompt->stream && (!own->stopped || own->unknown))
		return fail(E_PROTO);
	TRY(buf_put_str(out, ",{\"role\":\"assistant\",\"content\":["));
	TRY(buf_put_span(out, buf_span(&own->said)));
	return buf_put_str(out, "]}");
}

/* All results of an answer are in one message of the user. */
struct status
messages_put_result(const struct answer *a, const struct step *s, struct span text, struct buf *out)
{
	static const struct span close = { (const uint8_t *)"]}", 2 };
	struct json_writer w;

	if (s->call == 0) {
		TRY(buf_put_str(out, ",{\"role\":\"user\",\"content\":["));
	} else {
		out->len -= close.len;
		TRY(buf_put_u8(out, ','));
	}
	w = json_writer(out);
	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, "tool_result");
	json_put_key(&w, "tool_use_id");
	json_put_str(&w, buf_span(&a->calls.items[s->call].id));
	json_put_key(&w, "content");
	json_put_str(&w, text);
	if (s->tool != NULL ? s->result->output.len == 0 : error_code(s) != NULL) {
		json_put_key(&w, "is_error");
		json_put_bool(&w, true);
	}
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return buf_put_span(out, close);
}
