/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses_history.c: OpenAI's responses: what is kept, on its way to the model, and what the
 * client is told of keeping.
 *
 * Runs in: gateway. Trusts: the store; the items in it are texts of clients and models.
 * Owns: nothing; the new texts lie in the request's arena.
 * Invariants: names of what only a provider may have do not go to it; the rest are those of
 * responses_input.c. See: history.c.
 */
#include <base/cleanup.h>
#include <wire/gateway_store.h>
#include <wire/limits.h>

#include "reference.h"
#include "responses.h"

/* Something in it was kept before it was refused where it comes in. */
static bool
has_reference(const struct json_doc *d)
{
	struct json_iter it = json_iter(d, 0);
	const char *why;

	while (json_next(&it)) {
		if (responses_goes_back(d, it.val) &&
		    reference_in_item(d, it.val, &why) != JSON_NONE)
			return true;
	}
	return false;
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
	if (has_reference(d))
		return fail(E_DENIED);
	TRY(responses_put_items(d, 0, "h", a, &out));
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
