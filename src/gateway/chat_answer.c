/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_answer.c: OpenAI's chat completions: the events of an answer.
 *
 * Runs in: gateway. Trusts: nothing; see answer.h.
 * Owns: the text and the head of one turn.
 * Invariants: an event with a finish_reason, and the usage after it, leaves only
 * by chat_release(); a call of ours never leaves as a tool call; chunks of later
 * steps carry id, created and model of the first.
 * See: docs/api.md, "Streams"; chat_whole.c for answers that are not streamed.
 */
#include "chat_answer.h"

#include "chat.h"

static struct status on_choices(struct answer *a, uint32_t choices);
static struct status read_delta(struct answer *a, uint32_t choice);
static struct status pass_on(struct answer *a, uint32_t choices, bool final);

void
chat_answer_start(struct answer *a)
{
	struct chat_answer *own = chat_own(a);

	for (int i = 0; i < CHAT_SAID_COUNT; i++)
		own->said[i].max = CALL_BYTES_MAX;
	own->id.max = own->created.max = own->model.max = CHAT_ID_MAX;
	own->steps.max = 8UL * RUN_OUTPUT_MAX;
}

void
chat_answer_again(struct answer *a)
{
	for (int i = 0; i < CHAT_SAID_COUNT; i++)
		buf_clear(&chat_own(a)->said[i]);
}

void
chat_answer_done(struct answer *a)
{
	struct chat_answer *own = chat_own(a);

	for (int i = 0; i < CHAT_SAID_COUNT; i++)
		buf_done(&own->said[i]);
	buf_done(&own->id);
	buf_done(&own->created);
	buf_done(&own->model);
	buf_done(&own->steps);
}

/* Mixed calls go to the client, without ours: it could not answer ours. */
struct status
chat_last(struct answer *a)
{
	struct json_writer w = json_writer(&a->scratch);

	if (!a->ours || toolcalls_ours(&a->calls) == a->calls.count)
		return OK;
	buf_clear(&a->scratch);
	json_put_object(&w);
	chat_put_head(a, &w);
	json_put_key(&w, "choices");
	json_put_array(&w);
	json_put_object(&w);
	json_put_key(&w, "index");
	json_put_u64(&w, 0);
	json_put_key(&w, "delta");
	json_put_object(&w);
	json_put_key(&w, "tool_calls");
	toolcalls_put(&a->calls, false, true, &w);
	json_put_end(&w);
	json_put_key(&w, "finish_reason");
	json_put_null(&w);
	json_put_end(&w);
	json_put_end(&w);
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return answer_show(a, SPAN_EMPTY, buf_span(&a->scratch));
}

/* ---- one event of a stream ---- */

struct status
chat_event(struct answer *a, struct span name)
{
	const struct json_doc *d = a->doc;

	(void)name;
	TRY(chat_check_root(d));
	TRY(chat_read_usage(a));
	if (chat_own(a)->id.len == 0)
		TRY(chat_keep_head(a));
	return on_choices(a, json_get_str(d, 0, "choices"));
}

static struct status
on_choices(struct answer *a, uint32_t choices)
{
	const struct json_doc *d = a->doc;
	struct json_iter it = json_iter(d, choices);
	bool final = false;

	if (json_type(d, choices) != JSON_ARRAY)
		return choices == JSON_NONE ? OK : fail(E_PROTO);
	if (json_size(d, choices) == 0) /* usage only */
		return chat_of(a->prompt)->usage ? pass_on(a, choices, true) : OK;
	while (json_next(&it)) {
		uint32_t reason = json_get_str(d, it.val, "finish_reason");

		if (json_type(d, it.val) != JSON_OBJECT)
			return fail(E_PROTO);
		if (json_type(d, reason) == JSON_STRING) {
			final = true;
			answer_finished(a, chat_reason_runs(d, reason));
		}
		TRY(read_delta(a, it.val));
	}
	return pass_on(a, choices, final);
}

static struct status
read_delta(struct answer *a, uint32_t choice)
{
	const struct json_doc *d = a->doc;
	uint32_t delta = json_get_str(d, choice, "delta");
	uint32_t calls = json_get_str(d, delta, "tool_calls");

	if (delta != JSON_NONE && json_type(d, delta) != JSON_OBJECT)
		return fail(E_PROTO);
	answer_said(a, json_bytes(d, calls).len);
	TRY(chat_keep_said(a, delta));
	if (a->ours && json_type(d, calls) != JSON_ABSENT && json_type(d, calls) != JSON_NULL)
		return toolcalls_delta(&a->calls, d, calls);
	return OK;
}

/* Nothing in it but a role, an empty text, or pieces of tool calls? */
static bool
delta_is_silent(const struct answer *a, uint32_t choice)
{
	const struct json_doc *d = a->doc;
	uint32_t delta = json_get_str(d, choice, "delta");
	struct json_iter it = json_iter(d, delta);

	while (json_next(&it)) {
		if (json_str_eq_str(d, it.key, "tool_calls") || json_type(d, it.val) == JSON_NULL ||
		    json_str_eq_str(d, it.val, ""))
			continue;
		if (json_str_eq_str(d, it.key, "role") && a->step > 0)
			continue;
		return false;
	}
	return true;
}

/* Some clients add up the texts of all deltas, a second role too. */
static struct status
edit_choices(struct answer *a, uint32_t choices, struct splices *s)
{
	const struct json_doc *d = a->doc;
	struct json_iter it = json_iter(d, choices);

	while (json_next(&it)) {
		uint32_t delta = json_get_str(d, it.val, "delta");
		uint32_t calls = json_get_str(d, delta, "tool_calls");
		uint32_t role = json_get_str(d, delta, "role");

		if (a->ours && calls != JSON_NONE)
			TRY(splice_part(s, d->src, json_bytes(d, calls), SPAN_LIT("null")));
		if (a->step > 0 && role != JSON_NONE)
			TRY(splice_part(s, d->src, json_bytes(d, role), SPAN_LIT("null")));
	}
	return OK;
}

static struct status
pass_on(struct answer *a, uint32_t choices, bool final)
{
	const struct json_doc *d = a->doc;
	struct splices s;
	struct chat_sums sums;
	struct span root = json_bytes(d, 0);

	s.count = 0;
	if (!final && a->ours && json_size(d, choices) == 1 &&
	    delta_is_silent(a, json_at(d, choices, 0)) && (a->step > 0 || a->calls.count > 0))
		return OK;
	TRY(edit_choices(a, choices, &s));
	TRY(chat_edit_head(a, &s));
	TRY(chat_edit_usage(a, &sums, &s));
	if (s.count > 0) {
		buf_clear(&a->scratch);
		TRY(splices_put(&s, d->src, &a->scratch));
		root = buf_span(&a->scratch);
	}
	return final ? answer_hold(a, SPAN_EMPTY, root) : answer_show(a, SPAN_EMPTY, root);
}

/* ---- the end of a turn ---- */

struct status
chat_release(struct answer *a, struct buf *out)
{
	struct span rest = buf_span(&a->held), name, json;
	bool first = true;

	if (!a->prompt->stream)
		return chat_whole_put(a, out);
	while (answer_next_held(&rest, &name, &json)) {
		if (first && a->ours) {
			buf_clear(&a->scratch);
			TRY(chat_put_steps(a, json, &a->scratch));
			json = buf_span(&a->scratch);
		}
		first = false;
		TRY(answer_show(a, name, json));
	}
	return OK;
}
