/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses_history.c: OpenAI's responses: what is kept, on its way to the model, and what the
 * client is told of keeping.
 *
 * Runs in: gateway. Trusts: the store; the items in it are texts of clients and models.
 * Owns: nothing; the new texts lie in the request's arena.
 * Invariants: reasoning goes back with its seal or not at all; ids that tell a provider nothing
 * do not go to it, names of what only it may have neither; runs become the calls and results that
 * the model knows.
 * See: history.c; responses_input.c, which does the same for items that the client sends.
 */
#include <base/cleanup.h>
#include <wire/gateway_store.h>
#include <wire/limits.h>

#include "reference.h"
#include "responses.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

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

static struct status
put_items(const struct json_doc *d, struct arena *a, struct buf *out)
{
	struct json_iter it = json_iter(d, 0);
	bool unsealed = false;

	while (json_next(&it))
		unsealed = unsealed || !responses_goes_back(d, it.val);
	it = json_iter(d, 0);
	while (json_next(&it)) {
		const char *why;

		if (!responses_goes_back(d, it.val))
			continue;
		if (reference_in_item(d, it.val, &why) != JSON_NONE)
			return fail(E_DENIED);
		if (out->len > 0)
			TRY(buf_put_u8(out, ','));
		if (responses_is_run(d, it.val))
			TRY(responses_put_run(d, it.val, "h", it.index, a, out));
		else if (loses_id(d, it.val, unsealed))
			TRY(responses_put_plain(d, it.val, out));
		else
			TRY(buf_put_span(out, json_bytes(d, it.val)));
	}
	return OK;
}

struct status
responses_put_history(struct json_doc *d, const struct content_item *items, uint32_t count,
    struct arena *a, struct span *ret)
{
	auto_buf struct buf list = BUF_INIT(BODY_MAX), out = BUF_INIT(BODY_MAX);

	TRY(buf_put_u8(&list, '['));
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			TRY(buf_put_u8(&list, ','));
		TRY(buf_put_span(&list, items[i].json));
	}
	TRY(buf_put_u8(&list, ']'));
	TRY(json_parse(d, buf_span(&list)));
	TRY(put_items(d, a, &out));
	return arena_copy(a, buf_span(&out), ret);
}

/* ---- what the client is told ---- */

static struct status
tell_one(struct responses *c, enum responses_told which, const char *name, struct arena *a,
    const char *before, struct span id, const char *after)
{
	auto_buf struct buf member = BUF_INIT(512);
	size_t at;

	TRY(buf_printf(&member, "\"%s\":", name));
	at = member.len;
	TRY(buf_printf(&member, "%s%.*s%s", before, SPAN_FMT(id), after));
	TRY(buf_put_u8(&member, ','));
	TRY(arena_copy(a, buf_span(&member), &c->told[which].member));
	c->told[which].name = name;
	c->told[which].value = span_from(c->told[which].member, at);
	c->told[which].value.len--; /* the comma */
	return OK;
}

struct status
responses_tell(struct prompt *p, struct arena *a, struct span id)
{
	struct responses *c = (struct responses *)p;

	p->told = true;
	if (id.len > 0)
		TRY(tell_one(c, TOLD_ID, "id", a, "\"", id, "\""));
	TRY(tell_one(c, TOLD_STORE, "store", a, id.len > 0 ? "true" : "false", SPAN_EMPTY, ""));
	if (p->previous.len > 0)
		TRY(tell_one(c, TOLD_PREVIOUS, "previous_response_id", a, "\"", p->previous, "\""));
	if (p->conversation.len > 0)
		TRY(tell_one(
		    c, TOLD_CONVERSATION, "conversation", a, "{\"id\":\"", p->conversation, "\"}"));
	return OK;
}

/* Behind the brace where the provider does not say it; it is not empty, for it has an output. */
struct status
responses_edit_told(const struct answer *a, uint32_t response, struct splices *s)
{
	const struct responses *c = responses_of(a->prompt);
	struct span text = json_bytes(a->doc, response);

	for (size_t i = 0; i < TOLD_COUNT; i++) {
		uint32_t tok;

		if (c->told[i].name == NULL)
			continue;
		tok = json_get_str(a->doc, response, c->told[i].name);
		if (tok != JSON_NONE)
			TRY(splice_part(s, a->doc->src, json_bytes(a->doc, tok), c->told[i].value));
		else if (json_size(a->doc, response) > 0)
			TRY(splice_add(
			    s, (size_t)(text.ptr - a->doc->src.ptr) + 1, 0, c->told[i].member));
	}
	return OK;
}
