/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c: reads a provider's answers and decides what the client sees, and when.
 *
 * Runs in: gateway. Trusts: nothing; see answer.h.
 * Owns: the text, calls and held events of one turn, all within bounds.h.
 * Invariants: an event with a finish_reason, and the usage after it, leaves only
 * by answer_release(); a call of ours never leaves as a tool call; chunks of later
 * steps carry id, created and model of the first.
 * See: docs/api.md, "Streams"; answer_whole.c for answers that are not streamed.
 */
#include "answer.h"

#include "answer_parts.h"
#include "chat.h"

static struct status on_event(struct answer *a, struct span data);
static struct status on_choices(struct answer *a, uint32_t choices);
static struct status read_delta(struct answer *a, uint32_t choice);
static struct status pass_on(struct answer *a, uint32_t choices, bool final);

const struct json_opts answer_json_opts = { .refuse_duplicates = true,
	.tokens_max = ANSWER_TOKENS_MAX };

static void
clear(struct answer *a)
{
	sse_reader_done(&a->sse);
	sse_reader_init(&a->sse, EVENT_MAX, EVENT_MAX);
	toolcalls_clear(&a->calls);
	buf_clear(&a->text);
	buf_clear(&a->whole);
	buf_clear(&a->held);
	a->ended = a->finished = a->runnable = a->usage_seen = false;
	a->text_len = 0;
}

void
answer_start(struct answer *a, struct json_doc *doc, answer_emit *emit, void *ctx)
{
	clear(a);
	a->doc = doc;
	a->emit = emit;
	a->ctx = ctx;
	a->stream = a->usage = a->interpreter = a->estimated = false;
	a->text.max = CALL_BYTES_MAX;
	a->whole.max = ANSWER_MAX;
	a->held.max = HELD_MAX;
	a->id.max = a->created.max = a->model.max = ANSWER_ID_MAX;
	a->scratch.max = 2UL * ANSWER_MAX;
	buf_clear(&a->id);
	buf_clear(&a->created);
	buf_clear(&a->model);
	a->step = a->tokens_in = a->tokens_out = 0;
}

void
answer_done(struct answer *a)
{
	sse_reader_done(&a->sse);
	toolcalls_done(&a->calls);
	buf_done(&a->text);
	buf_done(&a->whole);
	buf_done(&a->held);
	buf_done(&a->id);
	buf_done(&a->created);
	buf_done(&a->model);
	buf_done(&a->scratch);
}

void
answer_again(struct answer *a)
{
	clear(a);
	a->step++;
}

struct status
answer_feed(struct answer *a, struct span bytes)
{
	struct sse_event ev;
	struct status st;

	if (!a->stream)
		return buf_put_span(&a->whole, bytes);
	while (is_ok(st = sse_reader_feed(&a->sse, &bytes, &ev)))
		TRY(on_event(a, ev.data));
	return st.code == E_AGAIN ? OK : st;
}

static uint32_t
add_sat(uint32_t a, uint64_t b)
{
	return b > UINT32_MAX - a ? UINT32_MAX : a + (uint32_t)b;
}

static void
count_tokens(struct answer *a, uint32_t body_len)
{
	if (a->usage_seen)
		return;
	a->estimated = true;
	a->tokens_in = add_sat(a->tokens_in, chat_tokens(body_len));
	a->tokens_out = add_sat(a->tokens_out, chat_tokens(a->text_len));
}

/* Mixed calls go to the client, without ours: it could not answer ours. */
static struct status
emit_client_calls(struct answer *a)
{
	struct json_writer w = json_writer(&a->scratch);

	buf_clear(&a->scratch);
	json_put_object(&w);
	answer_put_head(a, &w);
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
	return a->emit(a->ctx, buf_span(&a->scratch));
}

struct status
answer_end(struct answer *a, uint32_t body_len, enum answer_next *ret)
{
	size_t ours;

	if (!a->stream)
		TRY(answer_whole_read(a));
	if (!a->finished)
		return fail(E_PROTO);
	count_tokens(a, body_len);
	ours = a->interpreter ? toolcalls_ours(&a->calls) : 0;
	*ret = ANSWER_FINAL;
	if (ours > 0 && ours == a->calls.count && a->runnable)
		*ret = ANSWER_RUN;
	else if (a->stream && a->interpreter && ours < a->calls.count)
		TRY(emit_client_calls(a));
	return OK;
}

/* ---- one event of a stream ---- */

static struct status
on_event(struct answer *a, struct span data)
{
	const struct json_doc *d = a->doc;
	struct status st;

	if (a->ended || data.len == 0)
		return OK;
	if (span_starts(data, SPAN_LIT("[DONE]"))) {
		a->ended = true;
		return OK;
	}
	st = json_parse(a->doc, data);
	if (!is_ok(st))
		return st.code == E_NOMEM ? st : fail(E_PROTO);
	TRY(answer_check_root(d));
	TRY(answer_read_usage(a));
	if (a->id.len == 0)
		TRY(answer_keep_head(a));
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
		return a->usage ? pass_on(a, choices, true) : OK;
	while (json_next(&it)) {
		uint32_t reason = json_get_str(d, it.val, "finish_reason");

		if (json_type(d, it.val) != JSON_OBJECT)
			return fail(E_PROTO);
		if (json_type(d, reason) == JSON_STRING) {
			final = a->finished = true;
			a->runnable = answer_reason_runs(d, reason);
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
	uint32_t content = json_get_str(d, delta, "content");
	uint32_t calls = json_get_str(d, delta, "tool_calls");

	if (delta != JSON_NONE && json_type(d, delta) != JSON_OBJECT)
		return fail(E_PROTO);
	a->text_len += json_bytes(d, content).len + json_bytes(d, calls).len;
	if (!a->interpreter)
		return OK;
	if (json_type(d, content) == JSON_STRING)
		TRY(json_str_put(d, content, &a->text));
	if (json_type(d, calls) != JSON_ABSENT && json_type(d, calls) != JSON_NULL)
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

		if (a->interpreter && calls != JSON_NONE)
			TRY(splice_part(s, d->src, json_bytes(d, calls), SPAN_LIT("null")));
		if (a->step > 0 && role != JSON_NONE)
			TRY(splice_part(s, d->src, json_bytes(d, role), SPAN_LIT("null")));
	}
	return OK;
}

static struct status
hold(struct answer *a, struct span json)
{
	uint32_t len = (uint32_t)json.len;

	TRY(buf_put(&a->held, &len, sizeof(len)));
	return buf_put_span(&a->held, json);
}

static struct status
pass_on(struct answer *a, uint32_t choices, bool final)
{
	const struct json_doc *d = a->doc;
	struct splices s;
	struct answer_sums sums;
	struct span root = json_bytes(d, 0);

	s.count = 0;
	if (!final && a->interpreter && json_size(d, choices) == 1 &&
	    delta_is_silent(a, json_at(d, choices, 0)) && (a->step > 0 || a->calls.count > 0))
		return OK;
	TRY(edit_choices(a, choices, &s));
	TRY(answer_edit_head(a, &s));
	TRY(answer_edit_usage(a, &sums, &s));
	if (s.count > 0) {
		buf_clear(&a->scratch);
		TRY(splices_put(&s, d->src, &a->scratch));
		root = buf_span(&a->scratch);
	}
	return final ? hold(a, root) : a->emit(a->ctx, root);
}

/* ---- the end of a turn ---- */

struct status
answer_put_message(const struct answer *a, struct buf *out)
{
	struct json_writer w;

	TRY(buf_put_u8(out, ','));
	w = json_writer(out);
	json_put_object(&w);
	json_put_key(&w, "role");
	json_put_text(&w, "assistant");
	json_put_key(&w, "content");
	if (a->text.len > 0)
		json_put_str(&w, buf_span(&a->text));
	else
		json_put_null(&w);
	json_put_key(&w, "tool_calls");
	toolcalls_put(&a->calls, true, false, &w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* The same text with "sallyport" as its last member; it has others, so a comma is right. */
struct status
answer_put_steps(struct span json, struct span steps, struct buf *out)
{
	while (json.len > 0 && json.ptr[json.len - 1] != '}')
		json.len--;
	TRY(buf_put(out, json.ptr, json.len - 1));
	TRY(buf_put_str(out, ",\"sallyport\":{\"steps\":["));
	TRY(buf_put_span(out, steps));
	return buf_put_str(out, "]}}");
}

struct status
answer_release(struct answer *a, struct span steps, struct buf *out)
{
	struct span rest = buf_span(&a->held);
	bool first = true;

	if (!a->stream)
		return answer_whole_put(a, steps, out);
	while (rest.len > 0) {
		struct span json;
		uint32_t len;

		memcpy(&len, rest.ptr, sizeof(len));
		json = span_of(rest.ptr + sizeof(len), len);
		rest = span_from(rest, sizeof(len) + len);
		if (first && a->interpreter) {
			a->scratch.max = 2UL * ANSWER_MAX + 6UL * RUN_OUTPUT_MAX;
			buf_clear(&a->scratch);
			TRY(answer_put_steps(json, steps, &a->scratch));
			json = buf_span(&a->scratch);
		}
		first = false;
		TRY(a->emit(a->ctx, json));
	}
	return OK;
}
