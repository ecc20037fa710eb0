/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_whole.c: a provider's answer that is one JSON text.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing; the body lies in a->whole.
 * Invariants: what the client gets is the provider's text but for the calls of
 * ours, the usage of several steps, and the added member "sallyport".
 * See: chat_answer.c.
 */
#include "chat_answer.h"

static struct status read_choice(struct answer *a, uint32_t choice);
static struct status edit_calls(struct answer *a, struct splices *s, struct buf *tmp);

struct status
chat_whole(struct answer *a)
{
	const struct json_doc *d = a->doc;
	struct json_iter it;
	uint32_t choices;

	TRY(chat_check_root(d));
	TRY(chat_read_usage(a));
	if (chat_own(a)->id.len == 0)
		TRY(chat_keep_head(a));
	choices = json_get_str(d, 0, "choices");
	if (json_type(d, choices) != JSON_ARRAY || json_size(d, choices) == 0)
		return fail(E_PROTO);
	it = json_iter(d, choices);
	while (json_next(&it))
		TRY(read_choice(a, it.val));
	return OK;
}

static struct status
read_choice(struct answer *a, uint32_t choice)
{
	const struct json_doc *d = a->doc;
	uint32_t message = json_get_str(d, choice, "message");
	uint32_t calls = json_get_str(d, message, "tool_calls");
	uint32_t reason = json_get_str(d, choice, "finish_reason");

	if (json_type(d, message) != JSON_OBJECT)
		return fail(E_PROTO);
	answer_finished(a, reason == JSON_NONE || chat_reason_runs(d, reason));
	answer_said(a, json_bytes(d, calls).len);
	TRY(chat_keep_said(a, message));
	if (!a->ours)
		return OK;
	if (json_type(d, calls) == JSON_ABSENT || json_type(d, calls) == JSON_NULL)
		return OK;
	return toolcalls_whole(&a->calls, d, calls);
}

/* Ours leave the client's list; it could not answer them. */
static struct status
edit_calls(struct answer *a, struct splices *s, struct buf *tmp)
{
	const struct json_doc *d = a->doc;
	uint32_t choice = json_at(d, json_get_str(d, 0, "choices"), 0);
	uint32_t calls = json_get_str(d, json_get_str(d, choice, "message"), "tool_calls");
	struct json_writer w = json_writer(tmp);

	if (!a->ours || toolcalls_ours(&a->calls) == 0)
		return OK;
	if (toolcalls_ours(&a->calls) == a->calls.count) {
		TRY(buf_put_str(tmp, "null"));
	} else {
		toolcalls_put(&a->calls, false, false, &w);
		TRY(json_writer_finish(&w));
	}
	return splice_part(s, d->src, json_bytes(d, calls), buf_span(tmp));
}

struct status
chat_whole_put(struct answer *a, struct buf *out)
{
	auto_buf struct buf calls = BUF_INIT(8UL * CALL_BYTES_MAX);
	struct splices s;
	struct chat_sums sums;

	if (answer_is_verbatim(a))
		return buf_put_span(out, buf_span(&a->whole));
	/* The worker's document has served others since. */
	TRY(json_parse(a->doc, buf_span(&a->whole)));
	s.count = 0;
	TRY(edit_calls(a, &s, &calls));
	TRY(chat_edit_head(a, &s));
	TRY(chat_edit_usage(a, &sums, &s));
	if (!a->ours)
		return splices_put(&s, a->doc->src, out);
	buf_clear(&a->scratch);
	TRY(splices_put(&s, a->doc->src, &a->scratch));
	return chat_put_steps(a, buf_span(&a->scratch), out);
}
