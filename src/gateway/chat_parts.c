/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_parts.c: what streamed and whole answers of a provider have in common.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: a text kept from a provider is at most CHAT_ID_MAX bytes.
 * See: chat_answer.c.
 */
#include "chat_answer.h"

#include <stdio.h>

#include <base/cleanup.h>

struct status
chat_check_root(const struct json_doc *d)
{
	uint32_t err = json_get_str(d, 0, "error");

	if (json_type(d, 0) != JSON_OBJECT || json_get_str(d, 0, "sallyport") != JSON_NONE)
		return fail(E_PROTO);
	return err == JSON_NONE || json_type(d, err) == JSON_NULL ? OK : fail(E_PROTO);
}

static struct status
keep(const struct json_doc *d, const char *name, enum json_type type, struct buf *out)
{
	uint32_t tok = json_get_str(d, 0, name);

	if (json_type(d, tok) != type)
		return buf_put_str(out, "null");
	return is_ok(buf_put_span(out, json_bytes(d, tok))) ? OK : fail(E_PROTO);
}

struct status
chat_keep_head(struct answer *a)
{
	TRY(keep(a->doc, "id", JSON_STRING, &chat_own(a)->id));
	TRY(keep(a->doc, "created", JSON_NUMBER, &chat_own(a)->created));
	return keep(a->doc, "model", JSON_STRING, &chat_own(a)->model);
}

static struct status
edit_member(
    const struct json_doc *d, uint32_t obj, const char *name, struct span with, struct splices *s)
{
	uint32_t tok = json_get_str(d, obj, name);

	if (tok == JSON_NONE)
		return OK;
	return splice_part(s, d->src, json_bytes(d, tok), with);
}

struct status
chat_edit_head(const struct answer *a, struct splices *s)
{
	if (a->step == 0)
		return OK;
	TRY(edit_member(a->doc, 0, "id", buf_span(&chat_own(a)->id), s));
	TRY(edit_member(a->doc, 0, "created", buf_span(&chat_own(a)->created), s));
	return edit_member(a->doc, 0, "model", buf_span(&chat_own(a)->model), s);
}

struct status
chat_edit_usage(const struct answer *a, struct chat_sums *sums, struct splices *s)
{
	uint32_t usage = json_get_str(a->doc, 0, "usage");

	if (a->step == 0 || json_type(a->doc, usage) != JSON_OBJECT)
		return OK;
	(void)snprintf(sums->in, sizeof(sums->in), "%u", a->tokens_in);
	(void)snprintf(sums->out, sizeof(sums->out), "%u", a->tokens_out);
	(void)snprintf(sums->total, sizeof(sums->total), "%llu",
	    (unsigned long long)a->tokens_in + a->tokens_out);
	TRY(edit_member(a->doc, usage, "prompt_tokens", span_str(sums->in), s));
	TRY(edit_member(a->doc, usage, "completion_tokens", span_str(sums->out), s));
	TRY(edit_member(a->doc, usage, "total_tokens", span_str(sums->total), s));
	(void)snprintf(sums->cached, sizeof(sums->cached), "%u", a->details.cached);
	(void)snprintf(sums->reasoning, sizeof(sums->reasoning), "%u", a->details.reasoning);
	TRY(edit_member(a->doc, json_get_str(a->doc, usage, "prompt_tokens_details"),
	    "cached_tokens", span_str(sums->cached), s));
	return edit_member(a->doc, json_get_str(a->doc, usage, "completion_tokens_details"),
	    "reasoning_tokens", span_str(sums->reasoning), s);
}

struct status
chat_read_usage(struct answer *a)
{
	uint32_t usage = json_get_str(a->doc, 0, "usage");
	const struct token_details details = {
		.cached = answer_detail(a, usage, "prompt_tokens_details", "cached_tokens"),
		.reasoning = answer_detail(
		    a, usage, "completion_tokens_details", "reasoning_tokens"),
	};

	if (json_type(a->doc, usage) == JSON_OBJECT)
		answer_details(a, &details);
	return answer_usage(a, usage, "prompt_tokens", "completion_tokens");
}

static void
put_kept(struct json_writer *w, const char *name, const struct buf *kept)
{
	json_put_key(w, name);
	if (kept->len > 0)
		json_put_raw(w, buf_span(kept));
	else
		json_put_null(w);
}

void
chat_put_head(const struct answer *a, struct json_writer *w)
{
	put_kept(w, "id", &chat_own(a)->id);
	json_put_key(w, "object");
	json_put_text(w, "chat.completion.chunk");
	put_kept(w, "created", &chat_own(a)->created);
	put_kept(w, "model", &chat_own(a)->model);
}

/* ---- what the model said ---- */

static const char *const said_names[CHAT_SAID_COUNT] = {
	[CHAT_CONTENT] = "content",
	[CHAT_REASONING_CONTENT] = "reasoning_content",
	[CHAT_REASONING] = "reasoning",
	[CHAT_REASONING_DETAILS] = "reasoning_details",
};

static struct status
keep_elements(const struct json_doc *d, uint32_t arr, struct buf *out)
{
	struct json_iter it = json_iter(d, arr);

	while (json_next(&it)) {
		if (out->len > 0)
			TRY(buf_put_u8(out, ','));
		TRY(buf_put_span(out, json_bytes(d, it.val)));
	}
	return OK;
}

struct status
chat_keep_said(struct answer *a, uint32_t obj)
{
	const struct json_doc *d = a->doc;

	for (int i = 0; i < CHAT_SAID_COUNT; i++) {
		uint32_t tok = json_get_str(d, obj, said_names[i]);
		struct buf *out = &chat_own(a)->said[i];

		answer_said(a, json_bytes(d, tok).len);
		if (!a->ours)
			continue;
		if (i == CHAT_REASONING_DETAILS)
			TRY(keep_elements(d, tok, out));
		else if (json_type(d, tok) == JSON_STRING)
			TRY(json_str_put(d, tok, out));
	}
	return OK;
}

static void
put_elements(struct json_writer *w, struct span elements)
{
	auto_buf struct buf all = BUF_INIT(elements.len + 2);

	if (is_ok(buf_put_u8(&all, '[')) && is_ok(buf_put_span(&all, elements)) &&
	    is_ok(buf_put_u8(&all, ']')))
		json_put_raw(w, buf_span(&all));
	else
		json_put_null(w);
}

void
chat_put_said(const struct answer *a, struct json_writer *w)
{
	for (int i = 0; i < CHAT_SAID_COUNT; i++) {
		const struct buf *text = &chat_own(a)->said[i];

		if (text->len == 0 && i != CHAT_CONTENT)
			continue;
		json_put_key(w, said_names[i]);
		if (text->len == 0)
			json_put_null(w);
		else if (i != CHAT_REASONING_DETAILS)
			json_put_str(w, buf_span(text));
		else
			put_elements(w, buf_span(text));
	}
}

/* After "length" or "content_filter" a call may be cut: it is not run. */
bool
chat_reason_runs(const struct json_doc *d, uint32_t reason)
{
	return json_str_eq_str(d, reason, "tool_calls") || json_str_eq_str(d, reason, "stop");
}

/* Its last member; it has others, so a comma is right. */
struct status
chat_put_steps(const struct answer *a, struct span json, struct buf *out)
{
	while (json.len > 0 && json.ptr[json.len - 1] != '}')
		json.len--;
	TRY(buf_put(out, json.ptr, json.len - 1));
	TRY(buf_put_str(out, ",\"sallyport\":{\"steps\":["));
	TRY(buf_put_span(out, buf_span(&chat_own(a)->steps)));
	return buf_put_str(out, "]}}");
}
