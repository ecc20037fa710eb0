/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages_whole.c: Anthropic's messages: an answer that is one JSON text, and counts.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing; the body lies in a->whole.
 * Invariants: without our tool the client gets the provider's text; with it, that of
 * the last call but for its blocks (those of all calls, and of runs), the usage of
 * several calls, the id of the first, "container", and the added member "sallyport".
 * See: messages_answer.c.
 */
#include "messages_answer.h"

static struct status read_block(struct answer *a, uint32_t block);

struct status
messages_whole(struct answer *a)
{
	struct messages_answer *own = messages_own(a);
	const struct json_doc *d = a->doc;
	uint32_t content = json_get_str(d, 0, "content");
	uint32_t reason = json_get_str(d, 0, "stop_reason");
	uint32_t id = json_get_str(d, 0, "id");
	struct json_iter it = json_iter(d, content);

	TRY(messages_check_root(d));
	if (json_type(d, content) != JSON_ARRAY)
		return fail(E_PROTO);
	TRY(messages_read_usage(a, 0));
	answer_finished(
	    a, json_str_eq_str(d, reason, "tool_use") || json_str_eq_str(d, reason, "end_turn"));
	if (a->step == 0 && json_type(d, id) == JSON_STRING &&
	    !is_ok(buf_put_span(&own->id, json_bytes(d, id))))
		return fail(E_PROTO);
	while (json_next(&it))
		TRY(read_block(a, it.val));
	return OK;
}

/* Calls of ours leave the client's list: runs take their place. */
static struct status
read_block(struct answer *a, uint32_t block)
{
	struct messages_answer *own = messages_own(a);
	const struct json_doc *d = a->doc;
	struct span raw = json_bytes(d, block);

	messages_said(a, block);
	if (!a->ours)
		return OK;
	if (json_type(d, block) != JSON_OBJECT || messages_block_ran(d, block))
		return fail(E_PROTO);
	if (!messages_block_empty(d, block))
		TRY(messages_add(&own->said, raw));
	if (json_str_eq_str(d, json_get_str(d, block, "type"), "tool_use"))
		TRY(messages_call(a, block, json_bytes(d, json_get_str(d, block, "input"))));
	return messages_block_ours(a, block) ? OK : messages_add(&own->content, raw);
}

struct status
messages_whole_put(struct answer *a, struct buf *out)
{
	const struct messages_answer *own = messages_own(a);
	const struct json_doc *d = a->doc;
	struct messages_sums sums;
	struct splices s = { .count = 0 };
	struct span content;
	uint32_t id;

	if (!a->ours)
		return buf_put_span(out, buf_span(&a->whole));
	/* The worker's document has served others since. */
	TRY(json_parse(a->doc, buf_span(&a->whole)));
	content = json_bytes(d, json_get_str(d, 0, "content"));
	id = json_get_str(d, 0, "id");
	TRY(splice_part(
	    &s, d->src, span_of(content.ptr + 1, content.len - 2), buf_span(&own->content)));
	if (a->step > 0 && own->id.len > 0 && id != JSON_NONE)
		TRY(splice_part(&s, d->src, json_bytes(d, id), buf_span(&own->id)));
	TRY(messages_edit_usage(a, &sums, &s));
	return messages_put_end(a, 0, &s, out);
}

/* ---- POST /v1/messages/count_tokens: nothing is said, so nothing is to be counted ---- */

static struct status
count_read(const struct json_doc *d, struct arena *a, struct prompt **ret, struct fault *fault)
{
	TRY(messages_read(d, a, ret, fault));
	(*ret)->stream = (*ret)->interpreter = (*ret)->attachable = false;
	return OK;
}

static struct status
count_whole(struct answer *a)
{
	TRY(messages_check_root(a->doc));
	if (json_type(a->doc, json_get_str(a->doc, 0, "input_tokens")) != JSON_NUMBER)
		return fail(E_PROTO);
	answer_count(a, 0, 0);
	answer_finished(a, false);
	return OK;
}

const struct dialect dialect_count_tokens = {
	.name = "count_tokens",
	.error_event = "error",
	.read = count_read,
	.write = messages_write,
	.whole = count_whole,
};
