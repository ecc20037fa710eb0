/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages_usage.c: Anthropic's messages: what an answer cost, and its last words.
 *
 * Runs in: gateway. Trusts: nothing; the numbers are the provider's.
 * Owns: nothing. Invariants: with several model calls the client reads the sums of
 * all; a member that is ours is never a provider's.
 * See: messages_answer.h; docs/api.md, "Messages".
 */
#include <stdio.h>

#include "messages_answer.h"

#define CONTAINER_ID_LEN 36 /* of the request's id, within that of a run */

const char *const messages_counts[COUNTS] = {
	[COUNT_IN] = "input_tokens",
	[COUNT_OUT] = "output_tokens",
	[COUNT_CACHE_NEW] = "cache_creation_input_tokens",
	[COUNT_CACHE_READ] = "cache_read_input_tokens",
};

struct status
messages_check_root(const struct json_doc *d)
{
	uint32_t err = json_get_str(d, 0, "error");

	if (json_type(d, 0) != JSON_OBJECT || json_get_str(d, 0, "sallyport") != JSON_NONE)
		return fail(E_PROTO);
	return err == JSON_NONE || json_type(d, err) == JSON_NULL ? OK : fail(E_PROTO);
}

static uint32_t
sum_sat(const uint32_t *n)
{
	uint64_t sum = (uint64_t)n[COUNT_IN] + n[COUNT_CACHE_NEW] + n[COUNT_CACHE_READ];

	return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

struct status
messages_read_usage(struct answer *a, uint32_t object)
{
	struct messages_answer *own = messages_own(a);
	uint32_t usage = json_get_str(a->doc, object, "usage");

	if (json_type(a->doc, usage) != JSON_OBJECT)
		return OK;
	for (int i = 0; i < COUNTS; i++) {
		uint32_t tok = json_get_str(a->doc, usage, messages_counts[i]);
		uint64_t n = 0;

		if (json_type(a->doc, tok) == JSON_ABSENT || json_type(a->doc, tok) == JSON_NULL)
			continue;
		if (!is_ok(json_u64(a->doc, tok, UINT32_MAX, &n)))
			return fail(E_PROTO);
		own->counts[i] = (uint32_t)n;
		own->has_in = own->has_in || i == COUNT_IN;
		own->has_out = own->has_out || i == COUNT_OUT;
	}
	answer_details(a, &(struct token_details){ .cached = own->counts[COUNT_CACHE_READ],
			      .cache_written = own->counts[COUNT_CACHE_NEW] });
	if (own->has_in && own->has_out)
		answer_count(a, sum_sat(own->counts), own->counts[COUNT_OUT]);
	return OK;
}

void
messages_said(struct answer *a, uint32_t object)
{
	static const char *const names[] = { "text", "thinking", "partial_json", "input" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		answer_said(a, json_bytes(a->doc, json_get_str(a->doc, object, names[i])).len);
}

struct status
messages_edit_usage(const struct answer *a, struct messages_sums *sums, struct splices *s)
{
	const struct json_doc *d = a->doc;
	const struct messages_answer *own = messages_own(a);
	uint32_t usage = json_get_str(d, 0, "usage");
	size_t behind_brace = (size_t)(json_bytes(d, usage).ptr - d->src.ptr) + 1;

	if (a->step == 0 || json_type(d, usage) != JSON_OBJECT || json_size(d, usage) == 0)
		return OK;
	for (int i = 0; i < COUNTS; i++) {
		unsigned long long sum = own->sums[i] + own->counts[i];
		uint32_t tok = json_get_str(d, usage, messages_counts[i]);
		char *text = sums->text[i];

		(void)snprintf(text, sizeof(sums->text[i]), "%llu", sum);
		if (json_type(d, tok) == JSON_NUMBER)
			TRY(splice_part(s, d->src, json_bytes(d, tok), span_str(text)));
		if (tok != JSON_NONE || sum == 0)
			continue;
		(void)snprintf(sums->added[i], sizeof(sums->added[i]), "\"%s\":%llu,",
		    messages_counts[i], sum);
		TRY(splice_add(s, behind_brace, 0, span_str(sums->added[i])));
	}
	return OK;
}

/* Which sandbox it was; it is gone when the answer is complete. */
static struct status
edit_container(const struct answer *a, uint32_t object, char *text, size_t size, struct splices *s)
{
	const struct json_doc *d = a->doc;
	uint32_t old = json_get_str(d, object, "container");
	char now[CLOCK_RFC3339_LEN + 1];
	int n;

	if (!messages_own(a)->ran || json_type(d, object) != JSON_OBJECT)
		return OK;
	clock_rfc3339(clock_real_ns(), now);
	n = snprintf(text, size, "\"container\":{\"id\":\"container_%s\",\"expires_at\":\"%s\"}%s",
	    messages_own(a)->container, now, json_size(d, object) > 0 ? "," : "");
	if (n < 0 || (size_t)n >= size)
		return fail(E_RANGE);
	if (old == JSON_NONE)
		return splice_add(s, (size_t)(json_bytes(d, object).ptr - d->src.ptr) + 1, 0,
		    span_of(text, (size_t)n));
	/* Its value alone: without the key before it and the comma behind it. */
	return splice_part(s, d->src, json_bytes(d, old),
	    span_of(text + sizeof("\"container\":") - 1, (size_t)n - sizeof("\"container\":")));
}

struct status
messages_put_end(const struct answer *a, uint32_t object, struct splices *s, struct buf *out)
{
	const struct json_doc *d = a->doc;
	struct span root = json_bytes(d, 0);
	size_t brace = (size_t)(root.ptr - d->src.ptr) + root.len - 1;
	char container[160];

	TRY(edit_container(a, object, container, sizeof(container), s));
	TRY(splice_add(s, brace, 0, SPAN_LIT(",\"sallyport\":{\"steps\":[")));
	TRY(splice_add(s, brace, 0, buf_span(&messages_own(a)->steps)));
	TRY(splice_add(s, brace, 0, SPAN_LIT("]}")));
	return splices_put(s, d->src, out);
}

/* From "exec_<the request's id>_<n>". */
void
messages_ran(struct answer *a, const char *run_id)
{
	struct messages_answer *own = messages_own(a);
	const char *id = strchr(run_id, '_');

	own->ran = true;
	(void)snprintf(own->container, sizeof(own->container), "%.*s", CONTAINER_ID_LEN,
	    id == NULL ? run_id : id + 1);
}
