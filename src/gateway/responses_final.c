/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses_final.c: OpenAI's responses: whole answers, items, and the end of a turn.
 *
 * Runs in: gateway. Trusts: nothing; see answer.h. Owns: nothing.
 * Invariants: the response at the end has all items that the client saw, in their order;
 * an item goes back to the model as it came, reasoning with its seal or not at all.
 * See: responses_answer.c.
 */
#include <stdio.h>

#include "responses.h"

static struct status keep_call(struct answer *a, uint32_t item);

/* ---- what is kept ---- */

static struct status
keep(const struct json_doc *d, uint32_t obj, const char *name, struct buf *out)
{
	uint32_t tok = json_get_str(d, obj, name);

	if (json_type(d, tok) != JSON_STRING && json_type(d, tok) != JSON_NUMBER)
		return buf_put_str(out, "null");
	return is_ok(buf_put_span(out, json_bytes(d, tok))) ? OK : fail(E_PROTO);
}

struct status
responses_keep_head(struct answer *a, uint32_t response)
{
	struct responses_answer *own = responses_own(a);

	if (own->id.len > 0)
		return OK;
	TRY(keep(a->doc, response, "id", &own->id));
	TRY(keep(a->doc, response, "created_at", &own->created));
	return keep(a->doc, response, "model", &own->model);
}

struct status
responses_read_usage(struct answer *a, uint32_t response)
{
	uint32_t usage = json_get_str(a->doc, response, "usage");
	const struct token_details details = {
		.cached = answer_detail(a, usage, "input_tokens_details", "cached_tokens"),
		.reasoning = answer_detail(a, usage, "output_tokens_details", "reasoning_tokens"),
	};

	if (json_type(a->doc, usage) == JSON_OBJECT)
		answer_details(a, &details);
	return answer_usage(a, usage, "input_tokens", "output_tokens");
}

bool
responses_item_ours(const struct answer *a, uint32_t item)
{
	const struct json_doc *d = a->doc;

	return json_str_eq_str(d, json_get_str(d, item, "type"), "function_call") &&
	       toolcalls_names_ours(&a->calls, d, json_get_str(d, item, "name"));
}

bool
responses_item_forged(const struct json_doc *d, uint32_t item)
{
	return json_str_eq_str(d, json_get_str(d, item, "type"), "code_interpreter_call") ||
	       json_str_eq_str(d, json_get_str(d, item, "server_label"), RESPONSES_SERVER) ||
	       json_get_str(d, item, "sallyport") != JSON_NONE;
}

struct status
responses_check(const struct json_doc *d, uint32_t response)
{
	struct json_iter it = json_iter(d, json_get_str(d, response, "output"));

	if (json_get_str(d, response, "sallyport") != JSON_NONE)
		return fail(E_PROTO);
	while (json_next(&it)) {
		if (json_type(d, it.val) != JSON_OBJECT || responses_item_forged(d, it.val))
			return fail(E_PROTO);
	}
	return OK;
}

bool
responses_is_sealed(const struct json_doc *d, uint32_t item)
{
	uint32_t seal = json_get_str(d, item, "encrypted_content");

	return json_type(d, seal) == JSON_STRING && !json_str_eq_str(d, seal, "");
}

bool
responses_goes_back(const struct json_doc *d, uint32_t item)
{
	if (!json_str_eq_str(d, json_get_str(d, item, "type"), "reasoning"))
		return true;
	return responses_is_sealed(d, item) || json_size(d, json_get_str(d, item, "content")) > 0;
}

struct status
responses_keep_item(struct answer *a, uint32_t item, bool *ret_ours)
{
	struct responses_answer *own = responses_own(a);
	struct span json = json_bytes(a->doc, item);

	*ret_ours = responses_item_ours(a, item);
	TRY(keep_call(a, item));
	if (responses_goes_back(a->doc, item)) {
		TRY(buf_put_u8(&own->back, ','));
		TRY(buf_put_span(&own->back, json));
	} else {
		own->unsigned_item = true;
	}
	if (*ret_ours) {
		own->changed = true;
		return OK;
	}
	if (own->items.len > 0)
		TRY(buf_put_u8(&own->items, ','));
	return buf_put_span(&own->items, json);
}

/* Whatever has a call_id waits for an answer. */
static struct status
keep_call(struct answer *a, uint32_t item)
{
	const struct json_doc *d = a->doc;
	uint32_t id = json_get_str(d, item, "call_id");
	uint32_t name = json_get_str(d, item, "name");

	if (json_type(d, id) != JSON_STRING)
		return responses_item_ours(a, item) ? fail(E_PROTO) : OK;
	if (json_type(d, name) != JSON_STRING)
		name = json_get_str(d, item, "type");
	return toolcalls_add(&a->calls, d, id, name, json_get_str(d, item, "arguments"));
}

/* ---- a whole answer ---- */

static struct status
read_status(struct answer *a)
{
	uint32_t status = json_get_str(a->doc, 0, "status");

	if (json_str_eq_str(a->doc, status, "in_progress") ||
	    json_str_eq_str(a->doc, status, "queued"))
		return fail(E_PROTO); /* it will never come */
	answer_finished(a, status == JSON_NONE || json_str_eq_str(a->doc, status, "completed"));
	return OK;
}

struct status
responses_whole(struct answer *a)
{
	const struct json_doc *d = a->doc;
	uint32_t output = json_get_str(d, 0, "output");
	struct json_iter it = json_iter(d, output);
	bool ours;

	if (json_type(d, 0) != JSON_OBJECT || json_type(d, output) != JSON_ARRAY)
		return fail(E_PROTO);
	TRY(responses_check(d, 0));
	TRY(read_status(a));
	TRY(responses_keep_head(a, 0));
	TRY(responses_read_usage(a, 0));
	answer_said(a, json_bytes(d, output).len);
	if (!a->ours)
		return OK;
	if (json_size(d, output) > RESPONSES_ITEMS_MAX)
		return fail(E_FULL);
	while (json_next(&it))
		TRY(responses_keep_item(a, it.val, &ours));
	return OK;
}

/* ---- the edits of a response object ---- */

static struct status
edit(const struct answer *a, uint32_t obj, const char *name, struct span with, struct splices *s)
{
	uint32_t tok = json_get_str(a->doc, obj, name);

	if (tok == JSON_NONE)
		return OK;
	return splice_part(s, a->doc->src, json_bytes(a->doc, tok), with);
}

struct status
responses_edit_tools(const struct answer *a, uint32_t response, struct splices *s)
{
	const struct responses *c = responses_of(a->prompt);

	if (!a->ours)
		return OK;
	TRY(edit(a, response, "tools", c->tools_shown, s));
	return edit(a, response, "tool_choice", c->choice_shown, s);
}

/* Texts of the sums that replace a provider's usage: they live until splices_put(). */
struct sums {
	char in[24], out[24], total[24], cached[24], reasoning[24];
};

static struct span
number(char text[24], uint64_t n)
{
	(void)snprintf(text, 24, "%llu", (unsigned long long)n);
	return span_str(text);
}

static struct status
edit_usage(const struct answer *a, uint32_t response, struct sums *t, struct splices *s)
{
	uint32_t usage = json_get_str(a->doc, response, "usage");

	TRY(edit(a, usage, "input_tokens", number(t->in, a->tokens_in), s));
	TRY(edit(a, usage, "output_tokens", number(t->out, a->tokens_out), s));
	TRY(edit(
	    a, usage, "total_tokens", number(t->total, (uint64_t)a->tokens_in + a->tokens_out), s));
	TRY(edit(a, json_get_str(a->doc, usage, "input_tokens_details"), "cached_tokens",
	    number(t->cached, a->details.cached), s));
	return edit(a, json_get_str(a->doc, usage, "output_tokens_details"), "reasoning_tokens",
	    number(t->reasoning, a->details.reasoning), s);
}

static struct status
edit_output(const struct answer *a, uint32_t response, struct splices *s)
{
	const struct responses_answer *own = responses_own(a);
	uint32_t output = json_get_str(a->doc, response, "output");
	struct span part = json_bytes(a->doc, output);
	size_t end;

	if (!own->changed || output == JSON_NONE)
		return OK;
	end = (size_t)(part.ptr - a->doc->src.ptr) + part.len;
	TRY(splice_part(s, a->doc->src, part, SPAN_LIT("[")));
	TRY(splice_add(s, end, 0, buf_span(&own->items)));
	return splice_add(s, end, 0, SPAN_LIT("]"));
}

static struct status
edit_response(const struct answer *a, uint32_t response, struct sums *t, struct splices *s)
{
	const struct responses_answer *own = responses_own(a);

	TRY(responses_edit_tools(a, response, s));
	TRY(edit_output(a, response, s));
	TRY(responses_edit_told(a, response, s));
	if (a->step == 0)
		return OK;
	if (responses_of(a->prompt)->told[TOLD_ID].name == NULL)
		TRY(edit(a, response, "id", buf_span(&own->id), s));
	TRY(edit(a, response, "created_at", buf_span(&own->created), s));
	TRY(edit(a, response, "model", buf_span(&own->model), s));
	return edit_usage(a, response, t, s);
}

/* ---- the end ---- */

static struct status
release_event(struct answer *a, struct span name, struct span json)
{
	struct responses_answer *own = responses_own(a);
	struct splices s;
	struct sums t;
	char sequence[24];

	if (!a->ours && !a->prompt->told)
		return answer_show(a, name, json);
	s.count = 0;
	TRY(json_parse(a->doc, json));
	TRY(edit_response(a, json_get_str(a->doc, 0, "response"), &t, &s));
	TRY(edit(a, 0, "sequence_number", number(sequence, own->sequence++), &s));
	buf_clear(&a->scratch);
	TRY(splices_put(&s, a->doc->src, &a->scratch));
	return answer_show(a, name, buf_span(&a->scratch));
}

struct status
responses_release(struct answer *a, struct buf *out)
{
	struct span rest = buf_span(&a->held), name, json;
	struct splices s;
	struct sums t;

	if (a->prompt->stream) {
		while (answer_next_held(&rest, &name, &json))
			TRY(release_event(a, name, json));
		return OK;
	}
	s.count = 0;
	/* The worker's document has served others since. */
	TRY(json_parse(a->doc, buf_span(&a->whole)));
	TRY(edit_response(a, 0, &t, &s));
	return splices_put(&s, a->doc->src, out);
}

/* Of the last event, or the whole answer; what is released later is the same. */
struct status
responses_final(struct answer *a, struct buf *out)
{
	struct span rest = buf_span(&a->held), text = buf_span(&a->whole), name;
	uint32_t response = 0;
	struct splices s;
	struct sums t;

	s.count = 0;
	if (!a->prompt->stream) {
		TRY(json_parse(a->doc, text));
		TRY(edit_response(a, 0, &t, &s));
		return splices_put(&s, a->doc->src, out);
	}
	while (answer_next_held(&rest, &name, &text))
		;
	TRY(json_parse(a->doc, text));
	response = json_get_str(a->doc, 0, "response");
	TRY(edit_response(a, response, &t, &s));
	buf_clear(&a->scratch);
	TRY(splices_put(&s, a->doc->src, &a->scratch));
	TRY(json_parse(a->doc, buf_span(&a->scratch)));
	return buf_put_span(out, json_bytes(a->doc, json_get_str(a->doc, 0, "response")));
}
