/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages.c: the model of a request in Anthropic's dialect, and its named edits.
 *
 * Runs in: gateway. Trusts: nothing but that the body conforms to schema/messages.json
 * or schema/count_tokens.json.
 * Owns: nothing; parts are borrowed from the body, texts lie in the request's arena.
 * Invariants: the provider gets the client's bytes but for the edits of
 * messages_write(): model, tools, tool_choice, messages.
 * See: docs/api.md, "Messages"; messages_history.c.
 */
#include "messages.h"

#include <base/cleanup.h>
#include <json/write.h>
#include <wire/limits.h>

#include "reference.h"
#include "splice.h"
#include "toolcall.h"

#define TOOL_OPEN                                                                   \
	"{\"name\":\"" MESSAGES_TOOL "\",\"description\":\"" TOOL_DESCRIPTION "\"," \
	"\"input_schema\":" TOOL_PARAMETERS
#define OUR_TOOL TOOL_OPEN "}"
#define OUR_TYPE "code_execution_" /* and the date of its version */
#define BASH_SINCE "code_execution_20250825"

static struct status read_tools(const struct json_doc *d, struct messages *m, struct arena *a,
    uint32_t tools, struct fault *fault);
static struct status read_tool(
    const struct json_doc *d, struct messages *m, struct arena *a, uint32_t tool);
static struct status edit_tools(
    const struct messages *m, const struct edits *e, struct buf *tmp, struct splices *s);
static struct status edit_choice(const struct messages *m, bool later, struct splices *s);
static struct status edit_list(const struct messages *m, struct span later, struct splices *s);

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
read_choice(const struct json_doc *d, struct messages *m, uint32_t choice)
{
	uint32_t type = json_get_str(d, choice, "type");
	uint32_t serial = json_get_str(d, choice, "disable_parallel_tool_use");

	m->choice_part = part(d, choice);
	m->forced = json_str_eq_str(d, type, "any") || json_str_eq_str(d, type, "tool");
	m->serial = json_type(d, serial) == JSON_TRUE;
}

/* Names of what nobody here has. */
static struct status
read_refused(const struct json_doc *d, struct fault *fault)
{
	static const char *const blocks[] = { "system", "messages" };
	uint32_t container = json_get_str(d, 0, "container");

	if (container != JSON_NONE && json_type(d, container) != JSON_NULL)
		return blame(fault, "names a container, but none outlives its request", container);
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		const char *why = NULL;
		uint32_t file = reference_to_file(d, json_get_str(d, 0, blocks[i]), &why);

		if (file != JSON_NONE)
			return blame(fault, why, file);
	}
	return OK;
}

struct status
messages_read(const struct json_doc *d, struct arena *a, struct prompt **ret, struct fault *fault)
{
	struct messages *m = arena_alloc(a, sizeof(*m));
	uint32_t model = json_get_str(d, 0, "model");
	uint32_t list = json_get_str(d, 0, "messages");

	if (m == NULL)
		return fail(E_NOMEM);
	TRY(read_refused(d, fault));
	m->p.body = json_bytes(d, 0);
	m->p.model_part = json_bytes(d, model);
	m->list_part = json_bytes(d, list);
	m->p.stream = json_type(d, json_get_str(d, 0, "stream")) == JSON_TRUE;
	m->bash = true;
	TRY(json_str(d, model, a, &m->p.model));
	read_choice(d, m, json_get_str(d, 0, "tool_choice"));
	TRY(read_tools(d, m, a, json_get_str(d, 0, "tools"), fault));
	TRY(messages_history(d, list, a, &m->history, fault));
	*ret = &m->p;
	return OK;
}

/* The tool's type in full, if it is one of ours; else empty. */
static struct status
type_of_ours(const struct json_doc *d, struct arena *a, uint32_t tool, struct span *ret)
{
	struct span type = SPAN_EMPTY;
	uint32_t tok = json_get_str(d, tool, "type");

	if (json_type(d, tok) == JSON_STRING)
		TRY(json_str(d, tok, a, &type));
	*ret = span_starts(type, SPAN_LIT(OUR_TYPE)) ? type : SPAN_EMPTY;
	return OK;
}

static struct status
read_tools(const struct json_doc *d, struct messages *m, struct arena *a, uint32_t tools,
    struct fault *fault)
{
	struct json_iter it = json_iter(d, tools);
	uint32_t same = JSON_NONE;

	m->tools_part = part(d, tools);
	m->tools_empty = json_size(d, tools) == 0;
	while (json_next(&it)) {
		uint32_t name = json_get_str(d, it.val, "name");
		struct span type;

		TRY(type_of_ours(d, a, it.val, &type));
		if (type.len == 0) {
			if (json_str_eq_str(d, name, MESSAGES_TOOL))
				same = it.val;
			continue;
		}
		if (m->p.interpreter)
			return blame(fault, "names code execution a second time", it.val);
		if (!json_str_eq_str(d, name, MESSAGES_TOOL))
			return blame(fault, "must be " MESSAGES_TOOL " with this type", name);
		m->p.interpreter = true;
		/* Versions are dates of one length. */
		m->bash = memcmp(type.ptr, BASH_SINCE, sizeof(BASH_SINCE) - 1) >= 0;
		TRY(read_tool(d, m, a, it.val));
	}
	m->p.attachable = same == JSON_NONE;
	m->p.offerable = true;
	if (same != JSON_NONE && m->p.interpreter)
		return blame(fault, "has the name of a tool of this server", same);
	return OK;
}

/* The custom tool in its place: where the client ends a prefix to be cached, so does ours. */
static struct status
read_tool(const struct json_doc *d, struct messages *m, struct arena *a, uint32_t tool)
{
	auto_buf struct buf text = BUF_INIT(BODY_MAX);
	uint32_t cache = json_get_str(d, tool, "cache_control");

	m->tool_part = json_bytes(d, tool);
	TRY(buf_put_str(&text, TOOL_OPEN));
	if (cache != JSON_NONE) {
		TRY(buf_put_str(&text, ",\"cache_control\":"));
		TRY(buf_put_span(&text, json_bytes(d, cache)));
	}
	TRY(buf_put_u8(&text, '}'));
	return arena_copy(a, buf_span(&text), &m->tool);
}

/* ---- edits ---- */

struct status
messages_write(
    const struct prompt *p, const struct edits *e, struct buf *out, uint32_t *ret_model_off)
{
	const struct messages *m = messages_of(p);
	struct splices s;
	auto_buf struct buf alias = BUF_INIT(1024), tools = BUF_INIT(BODY_MAX);
	size_t before = out->len;

	s.count = 0;
	TRY(edit_tools(m, e, &tools, &s));
	TRY(splice_model(p, &alias, &s));
	TRY(edit_choice(m, e->more.len > 0, &s));
	TRY(edit_list(m, e->more, &s));
	TRY(buf_reserve(out, m->p.body.len + e->more.len + e->tools.len + 2048));
	TRY(splices_put(&s, m->p.body, out));
	*ret_model_off = (uint32_t)(before + splices_map(&s, m->p.body, p->model_part));
	return OK;
}

/* Right before the bracket that closes an array. */
static struct status
add_last(const struct messages *m, struct span array, struct span item, struct splices *s)
{
	return splice_add(s, (size_t)(array.ptr - m->p.body.ptr) + array.len - 1, 0, item);
}

static struct status
edit_tools(const struct messages *m, const struct edits *e, struct buf *tmp, struct splices *s)
{
	auto_buf struct buf items = BUF_INIT(BODY_MAX);

	if (m->tool_part.ptr != NULL)
		TRY(splice_part(s, m->p.body, m->tool_part, m->tool));
	if (e->attach && m->tool_part.ptr == NULL)
		TRY(buf_put_str(&items, OUR_TOOL));
	if (items.len > 0 && e->tools.len > 0)
		TRY(buf_put_u8(&items, ','));
	TRY(buf_put_span(&items, e->tools));
	return splice_tools(m->p.body, m->tools_part, m->tools_empty, buf_span(&items), tmp, s);
}

/* A user's tool, in the words of its tool.json. */
void
messages_put_tool(const struct manifest *m, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, "name");
	json_put_str(w, m->name);
	json_put_key(w, "description");
	json_put_str(w, m->description);
	json_put_key(w, "input_schema");
	json_put_raw(w, m->input_schema);
	json_put_end(w);
}

/* A forced call is forced once: else the model could never answer. */
static struct status
edit_choice(const struct messages *m, bool later, struct splices *s)
{
	if (!later || !m->forced)
		return OK;
	return splice_part(s, m->p.body, m->choice_part,
	    m->serial ? SPAN_LIT("{\"type\":\"auto\",\"disable_parallel_tool_use\":true}")
		      : SPAN_LIT("{\"type\":\"auto\"}"));
}

static struct status
edit_list(const struct messages *m, struct span later, struct splices *s)
{
	struct span open = m->list_part; /* but for its last byte, the bracket */

	open.len--;
	if (m->history.ptr != NULL)
		TRY(splice_part(s, m->p.body, open, m->history));
	return later.len == 0 ? OK : add_last(m, m->list_part, later, s);
}
