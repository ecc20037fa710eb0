/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses_input.c: OpenAI's responses: runs and tools of earlier turns in the input.
 *
 * Runs in: gateway. Trusts: nothing but that the body conforms to schema/responses.json.
 * Owns: nothing; the new text lies in the request's arena.
 * Invariants: other items stay byte for byte; what a model is told of a run is stripped and
 * marked as untrusted again, for it comes from the client now.
 * See: responses.c, edit_input; responses_show.c, which wrote these items.
 */
#include <base/cleanup.h>

#include "responses.h"
#include "run.h"

#define CALL_TYPE "code_interpreter_call"

static bool
is_run(const struct json_doc *d, uint32_t item)
{
	return json_str_eq_str(d, json_get_str(d, item, "type"), CALL_TYPE);
}

/* A call of a user's tool, as we showed it. */
static bool
is_tool(const struct json_doc *d, uint32_t item)
{
	return json_str_eq_str(d, json_get_str(d, item, "type"), "mcp_call") &&
	       json_str_eq_str(d, json_get_str(d, item, "server_label"), RESPONSES_SERVER) &&
	       json_type(d, json_get_str(d, item, "name")) == JSON_STRING &&
	       json_type(d, json_get_str(d, item, "arguments")) == JSON_STRING;
}

bool
responses_is_run(const struct json_doc *d, uint32_t item)
{
	return is_run(d, item) || is_tool(d, item);
}

static bool
has_runs(const struct json_doc *d, uint32_t input)
{
	struct json_iter it = json_iter(d, input);

	while (json_next(&it)) {
		if (responses_is_run(d, it.val))
			return true;
	}
	return false;
}

/* The arguments of our tool, as JSON in a JSON string. */
static struct status
put_arguments(const struct json_doc *d, uint32_t item, struct arena *a, struct json_writer *w)
{
	auto_buf struct buf args = BUF_INIT(BODY_MAX);
	struct json_writer inner = json_writer(&args);
	uint32_t code = json_get_str(d, item, "code");
	struct span text = SPAN_EMPTY;

	if (json_type(d, code) == JSON_STRING)
		TRY(json_str(d, code, a, &text));
	json_put_object(&inner);
	json_put_key(&inner, "code");
	json_put_str(&inner, text);
	json_put_end(&inner);
	TRY(json_writer_finish(&inner));
	json_put_str(w, buf_span(&args));
	return OK;
}

/* What its logs say, as the model was told it. */
static struct status
put_output(const struct json_doc *d, uint32_t item, struct json_writer *w)
{
	struct json_iter it = json_iter(d, json_get_str(d, item, "outputs"));
	auto_buf struct buf logs = BUF_INIT(BODY_MAX), out = BUF_INIT(BODY_MAX);
	uint32_t output = json_get_str(d, item, "output");

	if (json_type(d, output) != JSON_STRING)
		output = json_get_str(d, item, "error");
	if (is_tool(d, item) && json_type(d, output) == JSON_STRING)
		TRY(json_str_put(d, output, &logs));

	while (json_next(&it)) {
		uint32_t text = json_get_str(d, it.val, "logs");

		if (json_type(d, text) == JSON_STRING)
			TRY(json_str_put(d, text, &logs));
	}
	TRY(text_put_for_model(buf_span(&logs), &out));
	json_put_str(w, buf_span(&out));
	return OK;
}

static struct status
put_call(
    const struct json_doc *d, uint32_t item, struct span id, struct arena *a, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, "type");
	json_put_text(w, "function_call");
	json_put_key(w, "call_id");
	json_put_str(w, id);
	json_put_key(w, "name");
	if (is_tool(d, item))
		json_put_raw(w, json_bytes(d, json_get_str(d, item, "name")));
	else
		json_put_text(w, TOOL_NAME);
	json_put_key(w, "arguments");
	if (is_tool(d, item))
		json_put_raw(w, json_bytes(d, json_get_str(d, item, "arguments")));
	else
		TRY(put_arguments(d, item, a, w));
	json_put_end(w);
	json_put_object(w);
	json_put_key(w, "type");
	json_put_text(w, "function_call_output");
	json_put_key(w, "call_id");
	json_put_str(w, id);
	json_put_key(w, "output");
	TRY(put_output(d, item, w));
	json_put_end(w);
	return OK;
}

/* Ids of calls have at most 64 bytes at OpenAI; mark and number tell runs without one apart. */
static struct status
put_run(const struct json_doc *d, uint32_t item, const char *mark, uint32_t index, struct arena *a,
    struct json_writer *w)
{
	auto_buf struct buf id = BUF_INIT(64);

	TRY(buf_printf(&id, "call_sallyport_%s%u", mark, index));
	return put_call(d, item, buf_span(&id), a, w);
}

struct status
responses_put_run(const struct json_doc *d, uint32_t item, const char *mark, uint32_t index,
    struct arena *a, struct buf *out)
{
	auto_buf struct buf list = BUF_INIT(out->max);
	struct json_writer w = json_writer(&list);

	json_put_array(&w);
	TRY(put_run(d, item, mark, index, a, &w));
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return buf_put(out, list.ptr + 1, list.len - 2);
}

struct status
responses_input(const struct json_doc *d, uint32_t input, struct arena *a, struct span *ret_new)
{
	struct json_iter it = json_iter(d, input);
	auto_buf struct buf out = BUF_INIT(BODY_MAX);
	struct json_writer w = json_writer(&out);

	*ret_new = SPAN_EMPTY;
	if (!has_runs(d, input))
		return OK;
	json_put_array(&w);
	while (json_next(&it)) {
		if (responses_is_run(d, it.val))
			TRY(put_run(d, it.val, "", it.index, a, &w));
		else
			json_put_raw(&w, json_bytes(d, it.val));
	}
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return arena_copy(a, buf_span(&out), ret_new);
}
