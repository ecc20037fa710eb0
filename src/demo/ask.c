/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.c: what a chat completion request asks for.
 *
 * Runs in: demo. Trusts: nothing: the body is a client's.
 * Owns: nothing; texts lie in the caller's arena.
 * See: demo.h; OpenAI's API reference, "Create chat completion".
 */
#include "demo.h"

/* A message's content: a string, or the text parts of an array, joined. */
static struct status
content_of(const struct json_doc *d, uint32_t message, struct arena *a, struct span *ret)
{
	uint32_t content = json_get_str(d, message, "content");
	struct json_iter it = json_iter(d, content);
	uint8_t *all;
	size_t used = 0;

	*ret = SPAN_EMPTY;
	if (json_type(d, content) == JSON_STRING)
		return json_str(d, content, a, ret);
	if (json_type(d, content) != JSON_ARRAY)
		return OK;
	all = arena_alloc(a, json_bytes(d, content).len); /* more than all its texts */
	if (all == NULL)
		return fail(E_NOMEM);
	while (json_next(&it)) {
		uint32_t text = json_get_str(d, it.val, "text");
		struct span s;

		if (json_type(d, text) != JSON_STRING)
			continue;
		TRY(json_str(d, text, a, &s));
		if (s.len > 0)
			memcpy(all + used, s.ptr, s.len);
		used += s.len;
	}
	*ret = span_of(all, used);
	return OK;
}

static struct status
read_messages(const struct json_doc *d, struct arena *a, struct demo_ask *ret)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "messages"));

	while (json_next(&it)) {
		uint32_t role = json_get_str(d, it.val, "role");
		struct span text;

		TRY(content_of(d, it.val, a, &text));
		ret->prompt_bytes += text.len;
		if (json_str_eq_str(d, role, "user")) {
			ret->prompt = text;
			ret->results = 0;
		} else if (json_str_eq_str(d, role, "tool")) {
			ret->result = text;
			ret->results++;
		}
	}
	return OK;
}

static struct status
read_tools(const struct json_doc *d, struct arena *a, struct demo_ask *ret)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "tools"));

	if (json_str_eq_str(d, json_get_str(d, 0, "tool_choice"), "none"))
		return OK;
	while (json_next(&it) && ret->ntools < DEMO_TOOLS_MAX) {
		uint32_t name = json_get_str(d, json_get_str(d, it.val, "function"), "name");

		if (json_type(d, name) != JSON_STRING)
			continue;
		TRY(json_str(d, name, a, &ret->tools[ret->ntools]));
		ret->ntools++;
	}
	return OK;
}

static bool
is_true(const struct json_doc *d, uint32_t tok)
{
	return json_type(d, tok) == JSON_TRUE;
}

struct status
ask_read(const struct json_doc *d, struct arena *a, struct demo_ask *ret, const char **ret_why)
{
	uint32_t options = json_get_str(d, 0, "stream_options");

	*ret = (struct demo_ask){ .stream = is_true(d, json_get_str(d, 0, "stream")) };
	*ret_why = "model must be a string";
	TRY(json_str(d, json_get_str(d, 0, "model"), a, &ret->model));
	*ret_why = "messages must be a list that is not empty";
	if (json_type(d, json_get_str(d, 0, "messages")) != JSON_ARRAY ||
	    json_size(d, json_get_str(d, 0, "messages")) == 0)
		return fail(E_SYNTAX);
	ret->include_usage = is_true(d, json_get_str(d, options, "include_usage"));
	*ret_why = "the messages are too large";
	TRY(read_messages(d, a, ret));
	return read_tools(d, a, ret);
}

bool
ask_offers(const struct demo_ask *ask, struct span tool)
{
	for (size_t i = 0; i < ask->ntools; i++) {
		if (span_eq(ask->tools[i], tool))
			return true;
	}
	return false;
}
