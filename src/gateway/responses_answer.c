/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responses_answer.c: OpenAI's responses: the events of an answer.
 *
 * Runs in: gateway. Trusts: nothing; see answer.h.
 * Owns: the items of one turn and where they stand.
 * Invariants: one response for the client, whatever it took: one beginning, numbers that
 * count up, places that fit its output; the last event leaves only by
 * responses_release(); a call of ours never leaves as a function call. Without our tool
 * every event is passed on as it came.
 * See: docs/api.md, "Responses"; responses_final.c for the end and for whole answers.
 */
#include <stdio.h>

#include "responses.h"

/* Texts of the numbers that replace a provider's: they live until splices_put(). */
struct places {
	char sequence[24], index[24];
};

static struct status on_begin(struct answer *a, struct span name);
static struct status on_added(struct answer *a, struct span name);
static struct status on_item_done(struct answer *a, struct span name);
static struct status on_delta(struct answer *a, struct span name);
static struct status on_last(struct answer *a, struct span name);
static struct status on_error(struct answer *a, struct span name);
static struct status on_other(struct answer *a, struct span name);

static const struct {
	const char *type;
	struct status (*fn)(struct answer *a, struct span name);
} handlers[] = {
	{ "response.created", on_begin },
	{ "response.queued", on_begin },
	{ "response.in_progress", on_begin },
	{ "response.output_item.added", on_added },
	{ "response.output_item.done", on_item_done },
	{ "response.output_text.delta", on_delta },
	{ "response.refusal.delta", on_delta },
	{ "response.function_call_arguments.delta", on_delta },
	{ "response.custom_tool_call_input.delta", on_delta },
	{ "response.reasoning_text.delta", on_delta },
	{ "response.reasoning_summary_text.delta", on_delta },
	{ "response.completed", on_last },
	{ "response.incomplete", on_last },
	{ "response.failed", on_last },
	{ "error", on_error },
};

void
responses_start(struct answer *a)
{
	struct responses_answer *own = responses_own(a);

	own->back.max = ANSWER_MAX;
	own->items.max = 2UL * ANSWER_MAX + 8UL * RUN_OUTPUT_MAX;
	own->id.max = own->created.max = own->model.max = RESPONSES_ID_MAX;
}

void
responses_again(struct answer *a)
{
	struct responses_answer *own = responses_own(a);

	memset(own->slots, 0, sizeof(own->slots));
	own->added = 0;
	buf_clear(&own->back);
	own->unsigned_item = false;
}

void
responses_done(struct answer *a)
{
	struct responses_answer *own = responses_own(a);

	buf_done(&own->back);
	buf_done(&own->items);
	buf_done(&own->id);
	buf_done(&own->created);
	buf_done(&own->model);
}

static bool
is_run_event(const struct json_doc *d, uint32_t type)
{
	return span_starts(json_bytes(d, type), SPAN_LIT("\"response.code_interpreter_call"));
}

struct status
responses_event(struct answer *a, struct span name)
{
	const struct json_doc *d = a->doc;
	uint32_t type = json_get_str(d, 0, "type");

	if (json_type(d, 0) != JSON_OBJECT || json_type(d, type) != JSON_STRING)
		return fail(E_PROTO);
	if (a->finished)
		return OK; /* nothing follows the end */
	/* Runs are ours to tell of. */
	if (responses_item_forged(d, 0) || responses_item_forged(d, json_get_str(d, 0, "item")) ||
	    is_run_event(d, type))
		return fail(E_PROTO);
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
		if (json_str_eq_str(d, type, handlers[i].type))
			return handlers[i].fn(a, name);
	}
	return on_other(a, name);
}

/* ---- what the client sees ---- */

static struct status
edit_number(struct answer *a, const char *name, uint64_t n, char text[24], struct splices *s)
{
	uint32_t tok = json_get_str(a->doc, 0, name);

	if (json_type(a->doc, tok) != JSON_NUMBER)
		return OK;
	(void)snprintf(text, 24, "%llu", (unsigned long long)n);
	return splice_part(s, a->doc->src, json_bytes(a->doc, tok), span_str(text));
}

/* This event, with the edits so far and its number in the client's stream. */
static struct status
pass_on(struct answer *a, struct span name, struct splices *s)
{
	struct responses_answer *own = responses_own(a);
	struct places p;

	if (!a->ours && s->count == 0) {
		own->sequence++;
		return answer_show(a, name, json_bytes(a->doc, 0));
	}
	TRY(edit_number(a, "sequence_number", own->sequence, p.sequence, s));
	buf_clear(&a->scratch);
	TRY(splices_put(s, a->doc->src, &a->scratch));
	own->sequence++;
	return answer_show(a, name, buf_span(&a->scratch));
}

static struct status
on_begin(struct answer *a, struct span name)
{
	uint32_t response = json_get_str(a->doc, 0, "response");
	struct splices s;

	s.count = 0;
	if (json_type(a->doc, response) != JSON_OBJECT)
		return fail(E_PROTO);
	if (a->step > 0)
		return OK; /* the client's response has begun */
	TRY(responses_keep_head(a, response));
	TRY(responses_edit_tools(a, response, &s));
	TRY(responses_edit_told(a, response, &s));
	return pass_on(a, name, &s);
}

/* ---- items ---- */

/* FNV-1a of the item's id in this event; 0: it names none. */
static uint64_t
id_of(const struct json_doc *d)
{
	uint32_t tok = json_get_str(d, json_get_str(d, 0, "item"), "id");
	struct span id = json_bytes(d, tok != JSON_NONE ? tok : json_get_str(d, 0, "item_id"));
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < id.len; i++)
		h = (h ^ id.ptr[i]) * 0x100000001b3U;
	return id.len == 0 ? 0 : h;
}

/* Of a provider that numbers no items: the one of that id, or the next one. */
static struct status
slot_by_id(struct answer *a, bool adding, struct responses_slot **ret)
{
	struct responses_answer *own = responses_own(a);
	uint64_t id = id_of(a->doc);

	if (adding && own->added == RESPONSES_ITEMS_MAX)
		return fail(E_FULL);
	*ret = adding ? &own->slots[own->added] : NULL;
	for (uint32_t i = 0; !adding && id != 0 && i < own->added; i++) {
		if (own->slots[i].id == id)
			*ret = &own->slots[i];
	}
	return OK;
}

/* The place of the item that this event is about; NULL: it names none that is known. */
static struct status
slot_of(struct answer *a, bool adding, struct responses_slot **ret)
{
	struct responses_answer *own = responses_own(a);
	uint32_t tok = json_get_str(a->doc, 0, "output_index");
	uint64_t i = 0;

	if (json_type(a->doc, tok) == JSON_ABSENT)
		return slot_by_id(a, adding, ret);
	if (!is_ok(json_u64(a->doc, tok, UINT32_MAX, &i)))
		return fail(E_PROTO);
	if (i >= RESPONSES_ITEMS_MAX)
		return fail(E_FULL);
	*ret = &own->slots[i];
	return OK;
}

static void
slot_open(struct answer *a, struct responses_slot *slot, bool ours)
{
	struct responses_answer *own = responses_own(a);

	slot->known = true;
	slot->ours = ours;
	slot->id = id_of(a->doc);
	own->added++;
	if (!ours)
		slot->index = own->index++;
	own->changed = own->changed || ours;
}

/* An event about an item: nothing about calls of ours, the others at their place. */
static struct status
pass_item(struct answer *a, struct span name, struct responses_slot *slot)
{
	struct splices s;
	struct places p;

	s.count = 0;
	if (slot != NULL && slot->ours)
		return OK;
	if (slot != NULL && a->ours)
		TRY(edit_number(a, "output_index", slot->index, p.index, &s));
	return pass_on(a, name, &s);
}

static struct status
on_added(struct answer *a, struct span name)
{
	uint32_t item = json_get_str(a->doc, 0, "item");
	struct responses_slot *slot;

	if (!a->ours)
		return pass_item(a, name, NULL);
	TRY(slot_of(a, true, &slot));
	if (slot->known || json_type(a->doc, item) != JSON_OBJECT)
		return fail(E_PROTO);
	slot_open(a, slot, responses_item_ours(a, item));
	return pass_item(a, name, slot);
}

static struct status
on_item_done(struct answer *a, struct span name)
{
	uint32_t item = json_get_str(a->doc, 0, "item");
	struct responses_slot *slot;
	bool ours;

	if (!a->ours)
		return pass_item(a, name, NULL);
	TRY(slot_of(a, false, &slot));
	if (slot == NULL || !slot->known || json_type(a->doc, item) != JSON_OBJECT)
		return fail(E_PROTO);
	TRY(responses_keep_item(a, item, &ours));
	/* What began as something else may not end as a call of ours, nor the reverse. */
	if (ours != slot->ours)
		return fail(E_PROTO);
	return pass_item(a, name, slot);
}

static struct status
on_delta(struct answer *a, struct span name)
{
	answer_said(a, json_bytes(a->doc, json_get_str(a->doc, 0, "delta")).len);
	return on_other(a, name);
}

static bool
is_arguments(const struct json_doc *d)
{
	return span_starts(json_bytes(d, json_get_str(d, 0, "type")),
	    SPAN_LIT("\"response.function_call_arguments"));
}

/* Also what was not invented yet. */
static struct status
on_other(struct answer *a, struct span name)
{
	struct responses_slot *slot;

	if (!a->ours)
		return pass_item(a, name, NULL);
	TRY(slot_of(a, false, &slot));
	/* Arguments of nobody's call may be those of ours. */
	if ((slot == NULL && is_arguments(a->doc)) || (slot != NULL && !slot->known) ||
	    responses_item_ours(a, json_get_str(a->doc, 0, "item")))
		return fail(E_PROTO);
	return pass_item(a, name, slot);
}

/* ---- the end ---- */

static struct status
on_last(struct answer *a, struct span name)
{
	uint32_t response = json_get_str(a->doc, 0, "response");
	uint32_t type = json_get_str(a->doc, 0, "type");

	if (json_type(a->doc, response) != JSON_OBJECT)
		return fail(E_PROTO);
	TRY(responses_check(a->doc, response));
	TRY(responses_keep_head(a, response));
	TRY(responses_read_usage(a, response));
	answer_finished(a, json_str_eq_str(a->doc, type, "response.completed"));
	return answer_hold(a, name, json_bytes(a->doc, 0));
}

/* What a provider says of its own troubles is not told. */
static struct status
on_error(struct answer *a, struct span name)
{
	(void)a, (void)name;
	return fail(E_PROTO);
}
