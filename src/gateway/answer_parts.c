/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer_parts.c: what streamed and whole answers of a provider have in common.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: a text kept from a provider is at most ANSWER_ID_MAX bytes.
 * See: answer.c.
 */
#include "answer_parts.h"

#include <stdio.h>

struct status
answer_check_root(const struct json_doc *d)
{
	uint32_t err = json_get_str(d, 0, "error");

	if (json_type(d, 0) != JSON_OBJECT || json_get_str(d, 0, "sallyport") != JSON_NONE)
		return fail(E_PROTO);
	return err == JSON_NONE || json_type(d, err) == JSON_NULL ? OK : fail(E_PROTO);
}

static struct status
add_tokens(const struct json_doc *d, uint32_t usage, const char *name, uint32_t *sum)
{
	uint64_t n = 0;

	if (!is_ok(json_u64(d, json_get_str(d, usage, name), UINT32_MAX, &n)))
		return fail(E_PROTO);
	*sum = n > UINT32_MAX - *sum ? UINT32_MAX : *sum + (uint32_t)n;
	return OK;
}

struct status
answer_read_usage(struct answer *a)
{
	const struct json_doc *d = a->doc;
	uint32_t usage = json_get_str(d, 0, "usage");

	if (json_type(d, usage) != JSON_OBJECT || a->usage_seen)
		return OK;
	TRY(add_tokens(d, usage, "prompt_tokens", &a->tokens_in));
	TRY(add_tokens(d, usage, "completion_tokens", &a->tokens_out));
	a->usage_seen = true;
	return OK;
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
answer_keep_head(struct answer *a)
{
	TRY(keep(a->doc, "id", JSON_STRING, &a->id));
	TRY(keep(a->doc, "created", JSON_NUMBER, &a->created));
	return keep(a->doc, "model", JSON_STRING, &a->model);
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
answer_edit_head(const struct answer *a, struct splices *s)
{
	if (a->step == 0)
		return OK;
	TRY(edit_member(a->doc, 0, "id", buf_span(&a->id), s));
	TRY(edit_member(a->doc, 0, "created", buf_span(&a->created), s));
	return edit_member(a->doc, 0, "model", buf_span(&a->model), s);
}

struct status
answer_edit_usage(const struct answer *a, struct answer_sums *sums, struct splices *s)
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
	return edit_member(a->doc, usage, "total_tokens", span_str(sums->total), s);
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
answer_put_head(const struct answer *a, struct json_writer *w)
{
	put_kept(w, "id", &a->id);
	json_put_key(w, "object");
	json_put_text(w, "chat.completion.chunk");
	put_kept(w, "created", &a->created);
	put_kept(w, "model", &a->model);
}

/* After "length" or "content_filter" a call may be cut: it is not run. */
bool
answer_reason_runs(const struct json_doc *d, uint32_t reason)
{
	return json_str_eq_str(d, reason, "tool_calls") || json_str_eq_str(d, reason, "stop");
}
