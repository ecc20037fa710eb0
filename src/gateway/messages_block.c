/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages_block.c: Anthropic's messages: blocks put together from a stream.
 *
 * The next model call of a turn gets the blocks of the last one back: thinking with
 * its signature, redacted thinking, text, calls. Each is the block of its start
 * event with the texts of its deltas spliced in, all as the provider spelled them.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing beside struct messages_block.
 * Invariants: the result does not depend on where a text was cut into deltas; a
 * delta never lands in a block of another kind.
 * See: messages_answer.c, its only caller.
 */
#include "messages_answer.h"

static const struct {
	const char *delta, *member;
	enum messages_kind kind;
} deltas[] = {
	{ "text_delta", "text", KIND_TEXT },
	{ "citations_delta", "citation", KIND_TEXT },
	{ "thinking_delta", "thinking", KIND_THINKING },
	{ "signature_delta", "signature", KIND_THINKING },
	{ "input_json_delta", "partial_json", KIND_INPUT },
};
enum { DELTA_TEXT, DELTA_CITATION, DELTA_THINKING, DELTA_SIGNATURE, DELTA_INPUT, DELTAS };

static enum messages_kind
kind_of(const struct json_doc *d, uint32_t block)
{
	uint32_t type = json_get_str(d, block, "type");

	if (json_str_eq_str(d, type, "text"))
		return KIND_TEXT;
	if (json_str_eq_str(d, type, "thinking"))
		return KIND_THINKING;
	/* tool_use, server_tool_use, mcp_tool_use: they alone have one. */
	return json_get_str(d, block, "input") != JSON_NONE ? KIND_INPUT : KIND_OTHER;
}

static bool
is_call(const struct json_doc *d, uint32_t block)
{
	return json_str_eq_str(d, json_get_str(d, block, "type"), "tool_use");
}

bool
messages_block_ours(const struct answer *a, uint32_t block)
{
	uint32_t name = json_get_str(a->doc, block, "name");

	if (!is_call(a->doc, block))
		return false;
	return (a->calls.interpreter && json_str_eq_str(a->doc, name, MESSAGES_TOOL)) ||
	       toolcalls_names_offer(&a->calls, a->doc, name);
}

bool
messages_block_empty(const struct json_doc *d, uint32_t block)
{
	return kind_of(d, block) == KIND_TEXT &&
	       json_str_eq_str(d, json_get_str(d, block, "text"), "");
}

struct status
messages_block_start(struct answer *a, uint32_t block)
{
	struct messages_block *b = &messages_own(a)->block;

	b->open = true;
	b->ours = messages_block_ours(a, block);
	b->kind = kind_of(a->doc, block);
	buf_clear(&b->head);
	buf_clear(&b->text);
	buf_clear(&b->sign);
	buf_clear(&b->cites);
	return buf_put_span(&b->head, json_bytes(a->doc, block));
}

/* What is between the quotes: two such texts in a row are one. */
static struct span
inside(const struct json_doc *d, uint32_t tok)
{
	struct span raw = json_bytes(d, tok);

	return span_of(raw.ptr + 1, raw.len - 2);
}

static struct status
take_delta(struct answer *a, int which, uint32_t tok)
{
	struct messages_block *b = &messages_own(a)->block;
	const struct json_doc *d = a->doc;

	if (which == DELTA_CITATION)
		return json_type(d, tok) == JSON_OBJECT
			   ? messages_add(&b->cites, json_bytes(d, tok))
			   : fail(E_PROTO);
	if (json_type(d, tok) != JSON_STRING)
		return fail(E_PROTO);
	if (which == DELTA_INPUT)
		return json_str_put(d, tok, &b->text);
	return buf_put_span(which == DELTA_SIGNATURE ? &b->sign : &b->text, inside(d, tok));
}

struct status
messages_block_delta(struct answer *a, uint32_t delta)
{
	const struct json_doc *d = a->doc;
	uint32_t type = json_get_str(d, delta, "type");

	for (int i = 0; i < DELTAS; i++) {
		if (!json_str_eq_str(d, type, deltas[i].delta))
			continue;
		if (messages_own(a)->block.kind != deltas[i].kind)
			return fail(E_PROTO);
		return take_delta(a, i, json_get_str(d, delta, deltas[i].member));
	}
	messages_own(a)->unknown = true;
	return OK;
}

/* ---- the end of a block ---- */

/* More text at the end of a member that is a text, or the member itself. */
static struct status
add_text(const struct json_doc *d, const char *name, struct span more, struct splices *s)
{
	uint32_t tok = json_get_str(d, 0, name);
	struct span old = json_bytes(d, tok);

	if (more.len == 0)
		return OK;
	if (json_type(d, tok) == JSON_STRING)
		return splice_add(s, (size_t)(old.ptr - d->src.ptr) + old.len - 1, 0, more);
	if (tok != JSON_NONE)
		return fail(E_PROTO);
	TRY(splice_add(s, 1, 0, SPAN_LIT("\"")));
	TRY(splice_add(s, 1, 0, span_str(name)));
	TRY(splice_add(s, 1, 0, SPAN_LIT("\":\"")));
	TRY(splice_add(s, 1, 0, more));
	return splice_add(s, 1, 0, SPAN_LIT("\","));
}

static struct status
add_citations(const struct json_doc *d, struct span more, struct splices *s)
{
	uint32_t tok = json_get_str(d, 0, "citations");
	struct span old = json_bytes(d, tok);
	size_t at;

	if (more.len == 0)
		return OK;
	if (json_type(d, tok) == JSON_ARRAY) {
		at = (size_t)(old.ptr - d->src.ptr) + old.len - 1;
		if (json_size(d, tok) > 0)
			TRY(splice_add(s, at, 0, SPAN_LIT(",")));
		return splice_add(s, at, 0, more);
	}
	at = tok == JSON_NONE ? 1 : (size_t)(old.ptr - d->src.ptr);
	TRY(splice_add(
	    s, at, old.len, tok == JSON_NONE ? SPAN_LIT("\"citations\":[") : SPAN_LIT("[")));
	TRY(splice_add(s, at + old.len, 0, more));
	return splice_add(s, at + old.len, 0, tok == JSON_NONE ? SPAN_LIT("],") : SPAN_LIT("]"));
}

/* A call may be cut or not be JSON at all: its provider gets an empty input back. */
static struct span
input_of(struct answer *a, struct span text)
{
	if (is_ok(json_parse(a->doc, text)) && json_type(a->doc, 0) == JSON_OBJECT)
		return text;
	return SPAN_LIT("{}");
}

static struct status
edit_block(struct answer *a, struct span input, struct splices *s)
{
	const struct messages_block *b = &messages_own(a)->block;
	const struct json_doc *d = a->doc;

	if (b->kind == KIND_TEXT) {
		TRY(add_text(d, "text", buf_span(&b->text), s));
		return add_citations(d, buf_span(&b->cites), s);
	}
	if (b->kind == KIND_THINKING) {
		TRY(add_text(d, "thinking", buf_span(&b->text), s));
		return add_text(d, "signature", buf_span(&b->sign), s);
	}
	if (b->kind == KIND_INPUT && input.len > 0)
		return splice_part(s, d->src, json_bytes(d, json_get_str(d, 0, "input")), input);
	return OK;
}

struct status
messages_block_stop(struct answer *a)
{
	struct messages_answer *own = messages_own(a);
	struct messages_block *b = &own->block;
	struct splices s = { .count = 0 };
	struct span text = buf_span(&b->text), input = SPAN_EMPTY;

	if (b->kind == KIND_INPUT && text.len > 0)
		input = input_of(a, text);
	TRY(json_parse(a->doc, buf_span(&b->head)));
	if (b->kind == KIND_INPUT && text.len == 0)
		text = json_bytes(a->doc, json_get_str(a->doc, 0, "input"));
	TRY(edit_block(a, input, &s));
	buf_clear(&a->scratch);
	TRY(splices_put(&s, a->doc->src, &a->scratch));
	/* A member that we add may repeat one of the provider's, but for its case. */
	if (!is_ok(json_parse(a->doc, buf_span(&a->scratch))))
		return fail(E_PROTO);
	if (!messages_block_empty(a->doc, 0))
		TRY(messages_add(&own->said, buf_span(&a->scratch)));
	if (is_call(a->doc, 0))
		TRY(messages_call(a, 0, text));
	b->open = false;
	b->index++;
	return OK;
}

struct status
messages_call(struct answer *a, uint32_t block, struct span args)
{
	struct toolcalls *t = &a->calls;
	uint32_t id = json_get_str(a->doc, block, "id");
	struct toolcall *c;

	TRY(toolcalls_new(t, &c));
	/* A call of the client's is counted only: its blocks pass as they are. */
	if (!messages_block_ours(a, block))
		return OK;
	if (json_type(a->doc, id) != JSON_STRING)
		return fail(E_PROTO);
	TRY(json_str_put(a->doc, id, &c->id));
	if (toolcalls_names_offer(t, a->doc, json_get_str(a->doc, block, "name")))
		TRY(json_str_put(a->doc, json_get_str(a->doc, block, "name"), &c->name));
	else
		TRY(buf_put_str(&c->name, TOOL_NAME));
	TRY(buf_put_span(&c->args, args));
	t->bytes += c->id.len + c->name.len + c->args.len;
	return t->bytes > CALL_BYTES_MAX ? fail(E_FULL) : OK;
}
