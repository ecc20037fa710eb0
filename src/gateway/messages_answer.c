/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages_answer.c: Anthropic's messages: the events of an answer.
 *
 * Runs in: gateway. Trusts: nothing; see answer.h.
 * Owns: what struct messages_answer holds of one turn.
 * Invariants: the client sees one message_start, blocks that are numbered without
 * gaps over all model calls, and message_delta and message_stop of the last call
 * only, by messages_release(); a call of ours never leaves as the client's, and a run
 * that was none is never shown. Without our tool every event leaves as it came.
 * See: docs/api.md, "Messages"; messages_block.c, messages_runs.c.
 */
#include "messages_answer.h"

#include <stdio.h>

typedef struct status on_event(struct answer *a);

static on_event on_start, on_block_start, on_delta, on_block_stop, on_end, on_stop, on_ping;
static struct status on_error(const struct answer *a);

static const struct {
	const char *type;
	on_event *on;
} events[] = {
	{ "message_start", on_start },
	{ "content_block_start", on_block_start },
	{ "content_block_delta", on_delta },
	{ "content_block_stop", on_block_stop },
	{ "message_delta", on_end },
	{ "message_stop", on_stop },
	{ "ping", on_ping },
};

void
messages_start(struct answer *a)
{
	struct messages_answer *own = messages_own(a);
	struct messages_block *b = &own->block;

	b->head.max = EVENT_MAX;
	b->text.max = b->sign.max = b->cites.max = ANSWER_MAX;
	own->said.max = ANSWER_MAX;
	own->content.max = 2UL * ANSWER_MAX + 6UL * RUN_OUTPUT_MAX;
	own->id.max = MESSAGES_ID_MAX;
	own->steps.max = 8UL * RUN_OUTPUT_MAX;
}

void
messages_again(struct answer *a)
{
	struct messages_answer *own = messages_own(a);

	for (int i = 0; i < COUNTS; i++) {
		own->sums[i] += own->counts[i];
		own->counts[i] = 0;
	}
	own->block.open = false;
	own->block.index = 0;
	own->started = own->stopped = own->unknown = own->runs_shown = false;
	own->has_in = own->has_out = false;
	buf_clear(&own->said);
}

void
messages_done(struct answer *a)
{
	struct messages_answer *own = messages_own(a);

	buf_done(&own->block.head);
	buf_done(&own->block.text);
	buf_done(&own->block.sign);
	buf_done(&own->block.cites);
	buf_done(&own->said);
	buf_done(&own->content);
	buf_done(&own->id);
	buf_done(&own->steps);
}

struct status
messages_add(struct buf *list, struct span json)
{
	if (list->len > 0)
		TRY(buf_put_u8(list, ','));
	return buf_put_span(list, json);
}

/* ---- one event of a stream ---- */

/* To the client under its own type: the event's name is what SDKs go by. */
static struct status
pass_on(struct answer *a, bool hold)
{
	struct span type = json_bytes(a->doc, json_get_str(a->doc, 0, "type"));
	struct span name = span_of(type.ptr + 1, type.len - 2), root = json_bytes(a->doc, 0);

	return hold ? answer_hold(a, name, root) : answer_show(a, name, root);
}

/* The same with the client's number of the block. */
static struct status
pass_on_as(struct answer *a, uint32_t shown)
{
	const struct json_doc *d = a->doc;
	struct span type = json_bytes(d, json_get_str(d, 0, "type"));
	struct splices s = { .count = 0 };
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", shown);

	TRY(splice_part(
	    &s, d->src, json_bytes(d, json_get_str(d, 0, "index")), span_of(text, (size_t)n)));
	buf_clear(&a->scratch);
	TRY(splices_put(&s, d->src, &a->scratch));
	return answer_show(a, span_of(type.ptr + 1, type.len - 2), buf_span(&a->scratch));
}

/* A name for an event line: letters, digits, low lines; as written, so without escapes. */
static bool
is_name(struct span raw)
{
	for (size_t i = 1; i + 1 < raw.len; i++) {
		uint8_t c = raw.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return raw.len > 2 && raw.len <= SSE_NAME_LEN_MAX;
}

struct status
messages_event(struct answer *a, struct span name)
{
	const struct json_doc *d = a->doc;
	uint32_t type = json_get_str(d, 0, "type");

	(void)name; /* some servers leave it out */
	if (json_type(d, 0) == JSON_OBJECT && json_str_eq_str(d, type, "error"))
		return on_error(a);
	TRY(messages_check_root(d));
	if (json_type(d, type) != JSON_STRING || !is_name(json_bytes(d, type)))
		return fail(E_PROTO);
	if (messages_own(a)->stopped)
		return OK;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (json_str_eq_str(d, type, events[i].type))
			return events[i].on(a);
	}
	/* Clients must bear events that they do not know, but not numbers of other blocks. */
	if (a->ours && json_get_str(d, 0, "index") != JSON_NONE)
		return fail(E_PROTO);
	return pass_on(a, false);
}

static struct status
on_error(const struct answer *a)
{
	uint32_t type = json_get_str(a->doc, json_get_str(a->doc, 0, "error"), "type");

	return fail(json_str_eq_str(a->doc, type, "overloaded_error") ? E_AGAIN : E_PROTO);
}

static struct status
on_ping(struct answer *a)
{
	return pass_on(a, false);
}

static struct status
on_start(struct answer *a)
{
	struct messages_answer *own = messages_own(a);
	uint32_t message = json_get_str(a->doc, 0, "message");

	if (own->started || json_type(a->doc, message) != JSON_OBJECT ||
	    json_get_str(a->doc, message, "sallyport") != JSON_NONE)
		return fail(E_PROTO);
	own->started = true;
	TRY(messages_read_usage(a, message));
	return a->step == 0 ? pass_on(a, false) : OK;
}

/* ---- blocks ---- */

/* Blocks come one after the other, numbered from 0. */
static bool
index_is(const struct answer *a, uint32_t want)
{
	uint64_t index = 0;

	return is_ok(json_u64(a->doc, json_get_str(a->doc, 0, "index"), UINT32_MAX, &index)) &&
	       index == want;
}

static struct status
on_block_start(struct answer *a)
{
	struct messages_answer *own = messages_own(a);
	struct messages_block *b = &own->block;
	uint32_t block = json_get_str(a->doc, 0, "content_block");

	if (!own->started)
		return fail(E_PROTO);
	messages_said(a, block);
	if (!a->ours)
		return pass_on(a, false);
	if (b->open || !index_is(a, b->index) || json_type(a->doc, block) != JSON_OBJECT ||
	    messages_block_ran(a->doc, block))
		return fail(E_PROTO);
	TRY(messages_block_start(a, block));
	if (b->ours)
		return OK;
	b->shown = own->shown++;
	return pass_on_as(a, b->shown);
}

static struct status
on_delta(struct answer *a)
{
	struct messages_block *b = &messages_own(a)->block;
	uint32_t delta = json_get_str(a->doc, 0, "delta");

	if (!messages_own(a)->started || json_type(a->doc, delta) != JSON_OBJECT)
		return fail(E_PROTO);
	messages_said(a, delta);
	if (!a->ours)
		return pass_on(a, false);
	if (!b->open || !index_is(a, b->index))
		return fail(E_PROTO);
	TRY(messages_block_delta(a, delta));
	return b->ours ? OK : pass_on_as(a, b->shown);
}

static struct status
on_block_stop(struct answer *a)
{
	struct messages_block *b = &messages_own(a)->block;

	if (!messages_own(a)->started)
		return fail(E_PROTO);
	if (!a->ours)
		return pass_on(a, false);
	if (!b->open || !index_is(a, b->index))
		return fail(E_PROTO);
	if (!b->ours)
		TRY(pass_on_as(a, b->shown));
	return messages_block_stop(a);
}

/* ---- the end of a call ---- */

static struct status
on_end(struct answer *a)
{
	const struct json_doc *d = a->doc;
	uint32_t delta = json_get_str(d, 0, "delta");
	uint32_t reason = json_get_str(d, delta, "stop_reason");

	if (!messages_own(a)->started || json_type(d, delta) != JSON_OBJECT)
		return fail(E_PROTO);
	TRY(messages_read_usage(a, 0));
	if (json_type(d, reason) == JSON_STRING)
		answer_finished(a, json_str_eq_str(d, reason, "tool_use") ||
				       json_str_eq_str(d, reason, "end_turn"));
	return pass_on(a, true);
}

static struct status
on_stop(struct answer *a)
{
	struct messages_answer *own = messages_own(a);

	if (!own->started || own->block.open || !a->finished)
		return fail(E_PROTO);
	own->stopped = true;
	return pass_on(a, true);
}

/* ---- the end of a turn ---- */

/* A stream that ends without message_stop was cut. */
struct status
messages_last(struct answer *a)
{
	return messages_own(a)->stopped ? OK : fail(E_PROTO);
}

static struct status
put_last(struct answer *a, struct span json)
{
	struct messages_sums sums;
	struct splices s = { .count = 0 };

	TRY(json_parse(a->doc, json));
	TRY(messages_edit_usage(a, &sums, &s));
	buf_clear(&a->scratch);
	return messages_put_end(a, json_get_str(a->doc, 0, "delta"), &s, &a->scratch);
}

struct status
messages_release(struct answer *a, struct buf *out)
{
	struct span rest = buf_span(&a->held), name, json;

	if (!a->prompt->stream)
		return messages_whole_put(a, out);
	while (answer_next_held(&rest, &name, &json)) {
		if (a->ours && span_eq_str(name, "message_delta")) {
			TRY(put_last(a, json));
			json = buf_span(&a->scratch);
		}
		TRY(answer_show(a, name, json));
	}
	return OK;
}

const struct dialect dialect_messages = {
	.name = "messages",
	.answer_size = sizeof(struct messages_answer),
	.error_event = "error",
	.read = messages_read,
	.write = messages_write,
	.put_tool = messages_put_tool,
	.start = messages_start,
	.again = messages_again,
	.done = messages_done,
	.event = messages_event,
	.whole = messages_whole,
	.last = messages_last,
	.put_calls = messages_put_calls,
	.put_result = messages_put_result,
	.show = messages_show,
	.release = messages_release,
};
