/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses.c: OpenAI's responses: the request and its named edits.
 *
 * Runs in: gateway. Trusts: nothing but that the body conforms to schema/responses.json.
 * Owns: nothing; parts are borrowed from the body.
 * Invariants: the provider gets the client's bytes but for the edits below: model, store, what
 * was before, tools, tool_choice, include, input; it is never asked to keep anything.
 * See: docs/api.md, "Responses"; responses_input.c for earlier items in the input.
 */
#include "responses.h"

#include <base/cleanup.h>
#include <wire/content.h>
#include <wire/limits.h>

#include "items.h"
#include "keep.h"
#include "reference.h"

#define OUR_TOOL                                                                                \
	"{\"type\":\"function\",\"name\":\"" TOOL_NAME "\",\"description\":\"" TOOL_DESCRIPTION \
	"\",\"parameters\":" TOOL_PARAMETERS ",\"strict\":false}"
#define OUR_CHOICE "{\"type\":\"function\",\"name\":\"" TOOL_NAME "\"}"
/* What is kept of a request; the response comes on top. */
#define STORE_BODY_MAX (CONTENT_BLOB_MAX / 2)
#define STORE_AROUND_MAX (CONTENT_META_MAX / 2) /* all but its input */
#define STORE_ITEM_MAX (CONTENT_ITEM_MAX - 4096)
#define STORE_ITEMS_MAX (CONTENT_ITEMS_MAX - RESPONSES_ITEMS_MAX - 1)
#define GROWN "what items of earlier answers become is larger than a request may be"
#define OUTPUTS "code_interpreter_call.outputs"
#define SEALED "reasoning.encrypted_content"
/* Of include, by its schema: 32 texts of 128 characters, each two escapes at most; and ours. */
#define INCLUDE_MAX (33U * (128U * 12U + 3U))

static struct status read_refused(const struct json_doc *d, struct fault *fault);
static struct status read_ids(const struct json_doc *d, struct fault *fault);
static struct status read_before(
    const struct json_doc *d, struct responses *c, struct arena *a, struct fault *fault);
static struct status read_store(const struct json_doc *d, struct responses *c, struct fault *fault);
static struct status read_tools(
    const struct json_doc *d, struct responses *c, uint32_t tools, struct fault *fault);
static void read_choice(const struct json_doc *d, struct responses *c, uint32_t choice);
static struct status read_include(
    const struct json_doc *d, struct arena *a, uint32_t include, struct responses *c);
static struct status read_input(
    const struct json_doc *d, struct arena *a, struct responses *c, struct fault *fault);

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

struct status
responses_read(const struct json_doc *d, struct arena *a, struct prompt **ret, struct fault *fault)
{
	struct responses *c = arena_alloc(a, sizeof(*c));
	uint32_t model = json_get_str(d, 0, "model");

	if (c == NULL)
		return fail(E_NOMEM);
	TRY(read_refused(d, fault));
	TRY(read_ids(d, fault));
	TRY(read_before(d, c, a, fault));
	c->p.body = json_bytes(d, 0);
	TRY(json_str(d, model, a, &c->p.model));
	c->p.model_part = json_bytes(d, model);
	c->p.stream = json_type(d, json_get_str(d, 0, "stream")) == JSON_TRUE;
	c->store_part = part(d, json_get_str(d, 0, "store"));
	read_choice(d, c, json_get_str(d, 0, "tool_choice"));
	TRY(read_tools(d, c, json_get_str(d, 0, "tools"), fault));
	c->include_part = part(d, json_get_str(d, 0, "include"));
	TRY(read_include(d, a, json_get_str(d, 0, "include"), c));
	TRY(read_input(d, a, c, fault));
	TRY(read_store(d, c, fault));
	*ret = &c->p;
	return OK;
}

/* ---- what is kept ---- */

/* What names something that nobody here has, or would not be kept as it is. */
static struct status
read_items(const struct json_doc *d, struct fault *fault)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "input"));

	while (json_next(&it)) {
		const char *why = NULL;
		uint32_t tok = reference_in_item(d, it.val, &why);

		if (tok != JSON_NONE)
			return blame(fault, why, tok);
		tok = items_find_variant(d, it.val);
		if (tok != JSON_NONE)
			return blame(fault, ITEMS_VARIANT, tok);
	}
	return OK;
}

/* What would need something that nobody here has. */
static struct status
read_refused(const struct json_doc *d, struct fault *fault)
{
	uint32_t background = json_get_str(d, 0, "background"),
		 prompt = json_get_str(d, 0, "prompt");

	if (json_type(d, background) == JSON_TRUE)
		return blame(
		    fault, "must be false or absent: answers are given at once", background);
	if (json_type(d, prompt) == JSON_OBJECT)
		return blame(fault, "is not served: what is asked must be in the request", prompt);
	return read_items(d, fault);
}

/* Whether it is kept or not: which it is, is known later, and no id has to be one. */
static struct status
read_ids(const struct json_doc *d, struct fault *fault)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "input"));

	while (json_next(&it)) {
		if (!items_id_pasted(d, it.val))
			continue;
		*fault = (struct fault){ ERROR_CREDENTIAL_IN_CONTENT, ITEMS_PASTED, it.val };
		return fail(E_SYNTAX);
	}
	return OK;
}

/* A name of something that is kept; what has another form is nobody's. */
static struct status
read_id(const struct json_doc *d, uint32_t tok, const char *prefix, struct arena *a,
    struct fault *fault, struct span *ret)
{
	TRY(json_str(d, tok, a, ret));
	if (keep_id_ok(*ret) && span_starts(*ret, span_str(prefix)))
		return OK;
	*fault = (struct fault){ ERROR_CONTENT_NOT_FOUND, "no object has such an id", tok };
	return fail(E_SYNTAX);
}

/* The member with what separates it from the others. */
static void
drop_member(const struct json_doc *d, uint32_t value, struct responses *c)
{
	struct json_iter it = json_iter(d, 0);
	const uint8_t *before = NULL, *from = NULL, *to = NULL;

	while (json_next(&it) && to == NULL) {
		struct span bytes = json_bytes(d, it.val);

		if (from != NULL)
			to = json_bytes(d, it.key).ptr;
		else if (it.val == value)
			from = json_bytes(d, it.key).ptr;
		else
			before = bytes.ptr + bytes.len;
	}
	if (from == NULL)
		return;
	if (to == NULL) { /* it is the last one: the comma before it goes */
		struct span bytes = json_bytes(d, value);

		from = before;
		to = bytes.ptr + bytes.len;
	}
	c->drop_part = span_of(from, (size_t)(to - from));
}

static struct status
read_before(const struct json_doc *d, struct responses *c, struct arena *a, struct fault *fault)
{
	uint32_t previous = json_get_str(d, 0, "previous_response_id");
	uint32_t conversation = json_get_str(d, 0, "conversation"), id = conversation;

	if (json_type(d, previous) == JSON_STRING) {
		if (json_type(d, conversation) != JSON_ABSENT &&
		    json_type(d, conversation) != JSON_NULL)
			return blame(
			    fault, "cannot be there beside previous_response_id", conversation);
		drop_member(d, previous, c);
		return read_id(d, previous, "resp_", a, fault, &c->p.previous);
	}
	if (json_type(d, conversation) == JSON_OBJECT)
		id = json_get_str(d, conversation, "id");
	if (json_type(d, id) != JSON_STRING)
		return OK;
	drop_member(d, conversation, c);
	return read_id(d, id, "conv_", a, fault, &c->p.conversation);
}

/* Why the request is too large for what it asks for to be kept; NULL: it is not. */
static const char *
too_large(const struct json_doc *d, const struct responses *c)
{
	uint32_t input = json_get_str(d, 0, "input");
	struct json_iter it = json_iter(d, input);

	if (c->p.body.len > STORE_BODY_MAX || c->p.body.len - c->input_part.len > STORE_AROUND_MAX)
		return "must be false: the request is too large to be kept";
	if (json_size(d, input) > STORE_ITEMS_MAX)
		return "must be false: the request has too many items to be kept";
	while (json_next(&it)) {
		if (json_bytes(d, it.val).len > STORE_ITEM_MAX)
			return "must be false: an item of the request is too large to be kept";
	}
	return NULL;
}

/* Absent means true at OpenAI; here where the key may, and where it fits. */
static struct status
read_store(const struct json_doc *d, struct responses *c, struct fault *fault)
{
	uint32_t store = json_get_str(d, 0, "store");
	const char *why = too_large(d, c);

	if (json_type(d, store) == JSON_TRUE)
		c->p.store = STORE_ASKED;
	else
		c->p.store = json_type(d, store) == JSON_FALSE ? STORE_NO : STORE_DEFAULT;
	if (why != NULL && (c->p.store == STORE_ASKED || c->p.conversation.len > 0))
		return blame(fault, why, store);
	if (why != NULL)
		c->p.store = STORE_NO;
	if (c->p.store == STORE_NO && c->p.conversation.len > 0)
		return blame(fault, "cannot be false: the conversation goes on with it", store);
	return OK;
}

/* ---- tools ---- */

static bool
is_ours(const struct json_doc *d, uint32_t tool)
{
	return json_str_eq_str(d, json_get_str(d, tool, "type"), "code_interpreter");
}

static struct status
read_container(const struct json_doc *d, uint32_t tool, struct fault *fault)
{
	uint32_t container = json_get_str(d, tool, "container");
	uint32_t files = json_get_str(d, container, "file_ids");
	bool automatic = json_type(d, container) == JSON_OBJECT &&
			 json_str_eq_str(d, json_get_str(d, container, "type"), "auto");

	if (json_type(d, container) == JSON_ABSENT || json_type(d, container) == JSON_NULL)
		return OK;
	if (!automatic)
		return blame(
		    fault, "must be {\"type\":\"auto\"}: containers are not kept here", container);
	return json_size(d, files) == 0
		   ? OK
		   : blame(fault, "must be empty: no files are stored here", files);
}

static struct status
read_tools(const struct json_doc *d, struct responses *c, uint32_t tools, struct fault *fault)
{
	struct json_iter it = json_iter(d, tools);
	uint32_t same = JSON_NONE;

	c->tools_part = part(d, tools);
	c->tools_empty = json_size(d, tools) == 0;
	c->tools_shown = json_type(d, tools) == JSON_ARRAY ? c->tools_part : SPAN_LIT("[]");
	while (json_next(&it)) {
		if (json_str_eq_str(d, json_get_str(d, it.val, "name"), TOOL_NAME))
			same = it.val;
		if (!is_ours(d, it.val))
			continue;
		if (c->p.interpreter)
			return blame(fault, "names code_interpreter a second time", it.val);
		TRY(read_container(d, it.val, fault));
		c->p.interpreter = true;
		c->interpreter_part = json_bytes(d, it.val);
	}
	c->p.attachable = same == JSON_NONE;
	c->p.offerable = true;
	if (same != JSON_NONE && c->p.interpreter)
		return blame(fault, "has the name of a tool of this server", same);
	return OK;
}

/* {"type":"code_interpreter"}, or the same in a list of allowed tools, with its mode. */
static void
read_choice(const struct json_doc *d, struct responses *c, uint32_t choice)
{
	struct json_iter it = json_iter(d, json_get_str(d, choice, "tools"));

	c->choice_part = part(d, choice);
	c->choice_shown = json_type(d, choice) == JSON_ABSENT || json_type(d, choice) == JSON_NULL
			      ? SPAN_LIT("\"auto\"")
			      : c->choice_part;
	if (is_ours(d, choice)) {
		c->choice_ours_part = c->choice_part;
		return;
	}
	c->choice_mode_part = json_bytes(d, json_get_str(d, choice, "mode"));
	while (json_next(&it)) {
		if (is_ours(d, it.val))
			c->choice_ours_part = json_bytes(d, it.val);
	}
}

/* The list without the value that speaks of our tool: the provider does not know it. */
static struct status
put_include(const struct json_doc *d, uint32_t include, bool sealed, struct buf *out)
{
	struct json_iter it = json_iter(d, include);
	struct json_writer w = json_writer(out);

	json_put_array(&w);
	while (json_next(&it)) {
		if (!json_str_eq_str(d, it.val, OUTPUTS))
			json_put_raw(&w, json_bytes(d, it.val));
	}
	if (sealed)
		json_put_text(&w, SEALED);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static bool
has_text(const struct json_doc *d, uint32_t arr, const char *text)
{
	struct json_iter it = json_iter(d, arr);

	while (json_next(&it)) {
		if (json_str_eq_str(d, it.val, text))
			return true;
	}
	return false;
}

/* Who speaks of reasoning asks a model that reasons: others refuse to seal. */
static struct status
read_include(const struct json_doc *d, struct arena *a, uint32_t include, struct responses *c)
{
	bool reasons = json_type(d, json_get_str(d, 0, "reasoning")) == JSON_OBJECT;
	auto_buf struct buf out = BUF_INIT(INCLUDE_MAX);

	if (has_text(d, include, OUTPUTS)) {
		TRY(put_include(d, include, false, &out));
		TRY(arena_copy(a, buf_span(&out), &c->include_new));
	}
	if (!reasons || has_text(d, include, SEALED))
		return OK;
	buf_clear(&out);
	TRY(put_include(d, include, true, &out));
	return arena_copy(a, buf_span(&out), &c->include_sealed);
}

static struct status
read_input(const struct json_doc *d, struct arena *a, struct responses *c, struct fault *fault)
{
	uint32_t input = json_get_str(d, 0, "input");
	struct status st;

	c->input_part = json_bytes(d, input);
	c->input_text = json_type(d, input) == JSON_STRING;
	c->input_empty = json_size(d, input) == 0;
	if (c->input_text)
		return OK;
	st = responses_input(d, input, a, &c->input_new);
	if (st.code == E_FULL) {
		*fault = (struct fault){ ERROR_BODY_TOO_LARGE, GROWN, input };
		return fail(E_SYNTAX);
	}
	TRY(st);
	if (c->input_new.ptr != NULL)
		c->input_empty = span_eq_str(c->input_new, "[]");
	return OK;
}

/* ---- the provider's body ---- */

static struct status
add_member(struct span member, struct splices *s)
{
	return splice_add(s, 1, 0, member);
}

static struct status
edit_store(const struct responses *c, struct splices *s)
{
	static const struct span no = { (const uint8_t *)"false", 5 };

	if (c->store_part.ptr == NULL)
		return add_member(SPAN_LIT("\"store\":false,"), s);
	return span_eq(c->store_part, no) ? OK : splice_part(s, c->p.body, c->store_part, no);
}

static struct status
edit_tools(const struct responses *c, const struct edits *e, struct buf *tmp, struct splices *s)
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
	json_put_key(w, "name");
	json_put_str(w, m->name);
	json_put_key(w, "description");
	json_put_str(w, m->description);
	json_put_key(w, "parameters");
	json_put_raw(w, m->input_schema);
	json_put_key(w, "strict");
	json_put_bool(w, false);
	json_put_end(w);
}

/* A forced call is forced once: else the model could never answer. */
static struct status
edit_choice(const struct responses *c, bool later, struct splices *s)
{
	static const struct span required = { (const uint8_t *)"\"required\"", 10 };
	bool allowed = c->choice_mode_part.ptr != NULL;

	if (c->choice_part.ptr == NULL)
		return OK;
	if (later && allowed)
		TRY(splice_part(s, c->p.body, c->choice_mode_part, SPAN_LIT("\"auto\"")));
	else if (later && (span_eq(c->choice_part, required) || c->choice_part.ptr[0] == '{'))
		return splice_part(s, c->p.body, c->choice_part, SPAN_LIT("\"auto\""));
	if (c->choice_ours_part.ptr == NULL)
		return OK;
	return splice_part(s, c->p.body, c->choice_ours_part, SPAN_LIT(OUR_CHOICE));
}

static struct status
edit_include(const struct responses *c, bool steps, struct buf *tmp, struct splices *s)
{
	struct span list = steps && c->include_sealed.ptr != NULL ? c->include_sealed
								  : c->include_new;

	if (list.ptr == NULL)
		return OK;
	if (c->include_part.ptr != NULL)
		return splice_part(s, c->p.body, c->include_part, list);
	TRY(buf_put_str(tmp, "\"include\":"));
	TRY(buf_put_span(tmp, list));
	TRY(buf_put_u8(tmp, ','));
	return add_member(buf_span(tmp), s);
}

/* A text becomes a list when there is more to say. */
static struct status
edit_input(const struct responses *c, const struct edits *e, struct buf *tmp, struct splices *s)
{
	struct span list = c->input_new.ptr != NULL ? c->input_new : c->input_part;
	struct span more = e->more;
	bool own = c->input_text || !c->input_empty;

	if (e->before.len + more.len == 0 && c->input_new.ptr == NULL)
		return OK;
	TRY(buf_put_u8(tmp, '['));
	TRY(buf_put_span(tmp, e->before));
	if (e->before.len > 0 && own)
		TRY(buf_put_u8(tmp, ','));
	if (c->input_text) {
		TRY(buf_put_str(tmp, "{\"role\":\"user\",\"content\":"));
		TRY(buf_put_span(tmp, c->input_part));
		TRY(buf_put_str(tmp, "}"));
	} else if (own) {
		TRY(buf_put(tmp, list.ptr + 1, list.len - 2));
	}
	if (e->before.len == 0 && !own)
		more = span_from(more, 1); /* its comma */
	TRY(buf_put_span(tmp, more));
	TRY(buf_put_u8(tmp, ']'));
	return splice_part(s, c->p.body, c->input_part, buf_span(tmp));
}

struct status
responses_write(
    const struct prompt *p, const struct edits *e, struct buf *out, uint32_t *ret_model_off)
{
	const struct responses *c = responses_of(p);
	auto_buf struct buf alias = BUF_INIT(1024);
	auto_buf struct buf input = BUF_INIT(out->max);
	auto_buf struct buf member = BUF_INIT(INCLUDE_MAX + 64), tools = BUF_INIT(BODY_MAX);
	size_t before = out->len;
	struct splices s;

	s.count = 0;
	TRY(edit_store(c, &s));
	if (c->drop_part.ptr != NULL)
		TRY(splice_part(&s, p->body, c->drop_part, SPAN_EMPTY));
	TRY(edit_tools(c, e, &tools, &s));
	TRY(splice_model(p, &alias, &s));
	TRY(edit_choice(c, e->more.len > 0, &s));
	TRY(edit_include(c, e->attach || e->tools.len > 0 || p->interpreter, &member, &s));
	TRY(edit_input(c, e, &input, &s));
	TRY(buf_reserve(out, p->body.len + e->before.len + e->more.len + e->tools.len + 1024));
	TRY(splices_put(&s, p->body, out));
	*ret_model_off = (uint32_t)(before + splices_map(&s, p->body, p->model_part));
	return OK;
}

const struct dialect dialect_responses = {
	.name = "responses",
	.answer_size = sizeof(struct responses_answer),
	.event_max = RESPONSES_EVENT_MAX,
	.error_event = "error",
	.read = responses_read,
	.write = responses_write,
	.put_history = responses_put_history,
	.tell = responses_tell,
	.final = responses_final,
	.put_tool = put_tool,
	.start = responses_start,
	.again = responses_again,
	.done = responses_done,
	.event = responses_event,
	.whole = responses_whole,
	.put_calls = responses_put_calls,
	.put_result = responses_put_result,
	.show = responses_show,
	.release = responses_release,
	.put_error = responses_put_error,
};
