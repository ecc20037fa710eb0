/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses_input.c: OpenAI's responses: items of earlier turns on their way to a provider, from
 * the input or from what is kept.
 *
 * Runs in: gateway. Trusts: nothing but that the body conforms to schema/responses.json.
 * Owns: nothing; the new text lies in the request's arena.
 * Invariants: reasoning goes with its seal, or under no id of a provider's, or not at all, for the
 * account where it would be looked up is shared by all; then ids that were tied to it do not go
 * either. Runs become the calls and results that the model knows; what it is told of them is
 * stripped and marked as untrusted again, for it comes from the client now. An input without any
 * of these stays byte for byte.
 * See: responses.c, edit_input; responses_history.c; responses_show.c, which wrote the runs.
 */
#include <base/cleanup.h>

#include "responses.h"
#include "run.h"

#define CALL_TYPE "code_interpreter_call"
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

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

/* ---- items on their way to a provider ---- */

static bool
is_one_of(const struct json_doc *d, uint32_t item, const char *const *types, size_t n)
{
	uint32_t type = json_get_str(d, item, "type");

	for (size_t i = 0; i < n; i++) {
		if (json_str_eq_str(d, type, types[i]))
			return true;
	}
	return false;
}

/* Ids tie an item to reasoning; those of what people and tools say are ours. */
static bool
loses_id(const struct json_doc *d, uint32_t item, bool unsealed)
{
	static const char *const results[] = { "function_call_output", "custom_tool_call_output" };
	static const char *const said[] = { "message", "function_call", "custom_tool_call" };

	if (is_one_of(d, item, results, ARRAY_LEN(results)))
		return true;
	if (!is_one_of(d, item, said, ARRAY_LEN(said)))
		return false;
	return unsealed || (is_one_of(d, item, said, 1) &&
			       !json_str_eq_str(d, json_get_str(d, item, "role"), "assistant"));
}

/*
 * Reasoning of a model that shows it, without a seal. Its id would be looked up where it is not
 * read, so that it gets one which nobody has.
 */
static bool
is_shown(const struct json_doc *d, uint32_t item)
{
	return json_str_eq_str(d, json_get_str(d, item, "type"), "reasoning") &&
	       !responses_is_sealed(d, item) && json_get_str(d, item, "id") != JSON_NONE;
}

static struct status
put_shown(
    const struct json_doc *d, uint32_t item, const char *mark, uint32_t index, struct buf *out)
{
	auto_buf struct buf plain = BUF_INIT(out->max);

	TRY(responses_put_plain(d, item, &plain));
	TRY(buf_printf(out, "{\"id\":\"rs_sallyport_%s%u\",", mark, index));
	return buf_put(out, plain.ptr + 1, plain.len - 1); /* it has a type at least */
}

struct status
responses_put_items(
    const struct json_doc *d, uint32_t list, const char *mark, struct arena *a, struct buf *out)
{
	struct json_iter it = json_iter(d, list);
	size_t begin = out->len;
	bool unsealed = false;

	while (json_next(&it))
		unsealed = unsealed || !responses_goes_back(d, it.val);
	it = json_iter(d, list);
	while (json_next(&it)) {
		if (!responses_goes_back(d, it.val))
			continue;
		if (out->len > begin)
			TRY(buf_put_u8(out, ','));
		if (responses_is_run(d, it.val))
			TRY(responses_put_run(d, it.val, mark, it.index, a, out));
		else if (is_shown(d, it.val))
			TRY(put_shown(d, it.val, mark, it.index, out));
		else if (loses_id(d, it.val, unsealed))
			TRY(responses_put_plain(d, it.val, out));
		else
			TRY(buf_put_span(out, json_bytes(d, it.val)));
	}
	return OK;
}

/* Is there an item that cannot go as it is? */
static bool
has_other(const struct json_doc *d, uint32_t input)
{
	struct json_iter it = json_iter(d, input);

	while (json_next(&it)) {
		if (responses_is_run(d, it.val) || !responses_goes_back(d, it.val) ||
		    is_shown(d, it.val))
			return true;
	}
	return false;
}

struct status
responses_input(const struct json_doc *d, uint32_t input, struct arena *a, struct span *ret_new)
{
	auto_buf struct buf out = BUF_INIT(BODY_MAX);

	*ret_new = SPAN_EMPTY;
	if (!has_other(d, input))
		return OK;
	TRY(buf_put_u8(&out, '['));
	TRY(responses_put_items(d, input, "", a, &out));
	TRY(buf_put_u8(&out, ']'));
	return arena_copy(a, buf_span(&out), ret_new);
}
