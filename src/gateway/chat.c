/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat.c: OpenAI's chat completions: the request and its named edits.
 *
 * Runs in: gateway. Trusts: nothing but that the body conforms to schema/chat.json.
 * Owns: nothing; parts are borrowed from the body.
 * Invariants: the provider gets the client's bytes but for the edits of edits[]
 * below: model, store and its metadata, tools, tool_choice, stream_options, messages; it is never
 * asked to keep a chat. See: docs/api.md, "What is changed on the way".
 */
#include "chat.h"

#include "chat_answer.h"
#include "reference.h"
#include "splice.h"
#include "toolcall.h"

#define OUR_TOOL                                                     \
	"{\"type\":\"function\",\"function\":{\"name\":\"" TOOL_NAME \
	"\",\"description\":\"" TOOL_DESCRIPTION "\",\"parameters\":" TOOL_PARAMETERS "}}"

static void read_choice(const struct json_doc *d, struct chat *c, uint32_t choice);
static struct status read_tools(
    const struct json_doc *d, struct chat *c, uint32_t tools, struct fault *fault);
static struct status edit_tools(
    const struct chat *c, const struct edits *e, struct buf *tmp, struct splices *s);
static struct status edit_choice(const struct chat *c, bool later, struct splices *s);
static struct status edit_options(const struct chat *c, struct splices *s);
static struct status edit_messages(const struct chat *c, struct span more, struct splices *s);

static struct status
blame(struct fault *fault, const char *message, uint32_t tok)
{
	*fault = (struct fault){ ERROR_INVALID_FIELD, message, tok };
	return fail(E_SYNTAX);
}

static struct span
part(const struct json_doc *d, uint32_t tok)
{
	return tok == JSON_NONE ? SPAN_EMPTY : json_bytes(d, tok);
}

static void
read_options(const struct json_doc *d, struct chat *c, uint32_t options)
{
	uint32_t include = json_get_str(d, options, "include_usage");

	c->options_part = part(d, options);
	c->options_empty = json_type(d, options) == JSON_OBJECT && json_size(d, options) == 0;
	c->include_part = part(d, include);
	c->usage = json_type(d, include) == JSON_TRUE;
}

/* OpenAI takes metadata of what it stores only. */
static void
read_store(const struct json_doc *d, struct chat *c, uint32_t store)
{
	uint32_t metadata = json_get_str(d, 0, "metadata");

	c->store_part = json_bytes(d, store);
	if (json_type(d, metadata) == JSON_OBJECT)
		c->metadata_part = json_bytes(d, metadata);
}

struct status
chat_read(const struct json_doc *d, struct arena *a, struct prompt **ret, struct fault *fault)
{
	struct chat *c = arena_alloc(a, sizeof(*c));
	uint32_t model = json_get_str(d, 0, "model");
	uint32_t n = json_get_str(d, 0, "n");
	uint32_t choice = json_get_str(d, 0, "tool_choice");
	uint32_t store = json_get_str(d, 0, "store");
	const char *why = NULL;
	uint32_t named = reference_in_chat(d, json_get_str(d, 0, "messages"), &why);

	if (c == NULL)
		return fail(E_NOMEM);
	if (named != JSON_NONE)
		return blame(fault, why, named);
	c->n = 1;
	c->p.body = json_bytes(d, 0);
	TRY(json_str(d, model, a, &c->p.model));
	c->p.model_part = json_bytes(d, model);
	c->messages_part = part(d, json_get_str(d, 0, "messages"));
	if (json_type(d, store) == JSON_TRUE)
		read_store(d, c, store);
	read_choice(d, c, choice);
	c->p.stream = json_type(d, json_get_str(d, 0, "stream")) == JSON_TRUE;
	if (c->p.stream)
		read_options(d, c, json_get_str(d, 0, "stream_options"));
	if (json_type(d, n) == JSON_NUMBER && !is_ok(json_u64(d, n, 128, &c->n)))
		return blame(fault, "is not a number of choices", n);
	TRY(read_tools(d, c, json_get_str(d, 0, "tools"), fault));
	if (c->p.interpreter && c->n > 1)
		return blame(fault, "must be 1 with code_interpreter", n);
	*ret = &c->p;
	return OK;
}

static bool
is_ours(const struct json_doc *d, uint32_t tool)
{
	return json_str_eq_str(d, json_get_str(d, tool, "type"), "code_interpreter");
}

/* {"type":"code_interpreter"}, or the same in a list of allowed tools, with its mode. */
static void
read_choice(const struct json_doc *d, struct chat *c, uint32_t choice)
{
	uint32_t allowed = json_get_str(d, choice, "allowed_tools");
	struct json_iter it = json_iter(d, json_get_str(d, allowed, "tools"));

	c->choice_part = part(d, choice);
	if (is_ours(d, choice)) { /* whatever else is in it */
		c->choice_ours_part = c->choice_part;
		return;
	}
	c->choice_mode_part = part(d, json_get_str(d, allowed, "mode"));
	while (json_next(&it)) {
		if (is_ours(d, it.val))
			c->choice_ours_part = json_bytes(d, it.val);
	}
}

static bool
is_our_function(const struct json_doc *d, uint32_t tool)
{
	uint32_t fn = json_get_str(d, tool, "function");

	return json_str_eq_str(d, json_get_str(d, tool, "type"), "function") &&
	       json_str_eq_str(d, json_get_str(d, fn, "name"), TOOL_NAME);
}

static uint32_t
find_our_function(const struct json_doc *d, uint32_t tools)
{
	struct json_iter it = json_iter(d, tools);

	while (json_next(&it)) {
		if (is_our_function(d, it.val))
			return it.val;
	}
	return JSON_NONE;
}

static struct status
read_tools(const struct json_doc *d, struct chat *c, uint32_t tools, struct fault *fault)
{
	struct json_iter it = json_iter(d, tools);
	uint32_t same = find_our_function(d, tools);

	c->tools_part = part(d, tools);
	c->tools_empty = json_size(d, tools) == 0;
	while (json_next(&it)) {
		if (!is_ours(d, it.val))
			continue;
		if (c->p.interpreter)
			return blame(fault, "names code_interpreter a second time", it.val);
		c->p.interpreter = true;
		c->interpreter_part = json_bytes(d, it.val);
	}
	c->p.attachable = same == JSON_NONE && c->n == 1;
	c->p.offerable = c->n == 1;
	if (same != JSON_NONE && c->p.interpreter)
		return blame(fault, "has the name of a tool of this server", same);
	return OK;
}

struct status
chat_write(const struct prompt *p, const struct edits *e, struct buf *out, uint32_t *ret_model_off)
{
	const struct chat *c = chat_of(p);
	struct splices s;
	auto_buf struct buf alias = BUF_INIT(1024), tools = BUF_INIT(BODY_MAX);
	size_t before = out->len;

	s.count = 0;
	if (c->store_part.ptr != NULL)
		TRY(splice_part(&s, p->body, c->store_part, SPAN_LIT("false")));
	if (c->metadata_part.ptr != NULL)
		TRY(splice_part(&s, p->body, c->metadata_part, SPAN_LIT("null")));
	TRY(edit_options(c, &s));
	TRY(edit_tools(c, e, &tools, &s));
	TRY(splice_model(p, &alias, &s));
	TRY(edit_choice(c, e->more.len > 0, &s));
	TRY(edit_messages(c, e->more, &s));
	TRY(buf_reserve(out, p->body.len + e->more.len + e->tools.len + 1024));
	TRY(splices_put(&s, p->body, out));
	*ret_model_off = (uint32_t)(before + splices_map(&s, p->body, p->model_part));
	return OK;
}

/* Where new members go: right behind the brace that opens the body, which is not empty. */
static struct status
add_member(const struct chat *c, struct span member, struct splices *s)
{
	(void)c;
	return splice_add(s, 1, 0, member);
}

/* Right before the bracket that closes an array. */
static struct status
add_last(const struct chat *c, struct span array, struct span item, struct splices *s)
{
	return splice_add(s, (size_t)(array.ptr - c->p.body.ptr) + array.len - 1, 0, item);
}

static struct status
edit_tools(const struct chat *c, const struct edits *e, struct buf *tmp, struct splices *s)
{
	auto_buf struct buf items = BUF_INIT(BODY_MAX);

	if (c->p.interpreter)
		TRY(splice_part(s, c->p.body, c->interpreter_part, SPAN_LIT(OUR_TOOL)));
	if (e->attach && !c->p.interpreter)
		TRY(buf_put_str(&items, OUR_TOOL));
	if (items.len > 0 && e->tools.len > 0)
		TRY(buf_put_u8(&items, ','));
	TRY(buf_put_span(&items, e->tools));
	return splice_tools(c->p.body, c->tools_part, c->tools_empty, buf_span(&items), tmp, s);
}

/* A user's tool, in the words of its tool.json. */
static void
put_tool(const struct manifest *m, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, "type");
	json_put_text(w, "function");
	json_put_key(w, "function");
	json_put_object(w);
	json_put_key(w, "name");
	json_put_str(w, m->name);
	json_put_key(w, "description");
	json_put_str(w, m->description);
	json_put_key(w, "parameters");
	json_put_raw(w, m->input_schema);
	json_put_end(w);
	json_put_end(w);
}

/* A forced call is forced once: else the model could never answer. */
static struct status
edit_choice(const struct chat *c, bool later, struct splices *s)
{
	static const struct span none = { (const uint8_t *)"\"none\"", 6 };

	if (c->choice_part.ptr == NULL || span_eq(c->choice_part, none))
		return OK;
	if (later && c->choice_mode_part.ptr != NULL)
		TRY(splice_part(s, c->p.body, c->choice_mode_part, SPAN_LIT("\"auto\"")));
	else if (later)
		return splice_part(s, c->p.body, c->choice_part, SPAN_LIT("\"auto\""));
	if (c->choice_ours_part.ptr == NULL)
		return OK;
	return splice_part(s, c->p.body, c->choice_ours_part,
	    SPAN_LIT("{\"type\":\"function\",\"function\":{\"name\":\"" TOOL_NAME "\"}}"));
}

/* The provider's own count is what the turn is settled with. */
static struct status
edit_options(const struct chat *c, struct splices *s)
{
	if (!c->p.stream || c->usage)
		return OK;
	if (c->include_part.ptr != NULL)
		return splice_part(s, c->p.body, c->include_part, SPAN_LIT("true"));
	if (c->options_part.ptr == NULL)
		return add_member(c, SPAN_LIT("\"stream_options\":{\"include_usage\":true},"), s);
	if (c->options_part.ptr[0] != '{')
		return splice_part(
		    s, c->p.body, c->options_part, SPAN_LIT("{\"include_usage\":true}"));
	return splice_add(s, (size_t)(c->options_part.ptr - c->p.body.ptr) + 1, 0,
	    c->options_empty ? SPAN_LIT("\"include_usage\":true")
			     : SPAN_LIT("\"include_usage\":true,"));
}

static struct status
edit_messages(const struct chat *c, struct span more, struct splices *s)
{
	if (more.len == 0)
		return OK;
	return add_last(c, c->messages_part, more, s);
}

const struct dialect dialect_chat = {
	.name = "chat",
	.answer_size = sizeof(struct chat_answer),
	.end_mark = "[DONE]",
	.read = chat_read,
	.write = chat_write,
	.put_tool = put_tool,
	.start = chat_answer_start,
	.again = chat_answer_again,
	.done = chat_answer_done,
	.event = chat_event,
	.whole = chat_whole,
	.last = chat_last,
	.put_calls = chat_put_calls,
	.put_result = chat_put_result,
	.show = chat_show,
	.release = chat_release,
};
