/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c: reads a provider's answers for the turn, whatever their dialect.
 *
 * Runs in: gateway. Trusts: nothing; see answer.h.
 * Owns: the body or events, calls and held events of one turn, all within bounds.h.
 * Invariants: what is held leaves only by answer_release(); calls are run only when
 * the model is done and all of them are ours.
 * See: dialect.h; docs/api.md, "Streams".
 */
#include "answer.h"

static struct status on_event(struct answer *a, const struct sse_event *ev);

const struct json_opts answer_json_opts = { .refuse_duplicates = true,
	.tokens_max = ANSWER_TOKENS_MAX };

static void
clear(struct answer *a)
{
	size_t max = a->dialect->event_max > 0 ? a->dialect->event_max : EVENT_MAX;

	sse_reader_done(&a->sse);
	sse_reader_init(&a->sse, max, max);
	a->held.max = max;
	toolcalls_clear(&a->calls);
	buf_clear(&a->whole);
	buf_clear(&a->held);
	a->ended = a->finished = a->runnable = a->usage_seen = false;
	a->text_len = 0;
}

struct status
answer_start(struct answer *a, const struct dialect *dialect, const struct prompt *prompt,
    struct arena *arena, struct json_doc *doc)
{
	void *own = NULL;

	answer_over(a);
	if (dialect->answer_size > 0) {
		own = arena_alloc(arena, dialect->answer_size);
		if (own == NULL)
			return fail(E_NOMEM);
	}
	a->dialect = dialect;
	a->prompt = prompt;
	a->own = own;
	a->ours = a->calls.interpreter = prompt->interpreter;
	a->calls.offers = NULL;
	a->doc = doc;
	clear(a);
	a->whole.max = ANSWER_MAX;
	a->scratch.max = 2UL * ANSWER_MAX + 6UL * RUN_OUTPUT_MAX;
	a->step = a->before_in = a->before_out = a->tokens_in = a->tokens_out = 0;
	a->before_details = a->details = (struct token_details){ 0 };
	a->estimated = false;
	if (dialect->start != NULL)
		dialect->start(a);
	return OK;
}

void
answer_over(struct answer *a)
{
	if (a->dialect != NULL && a->dialect->done != NULL)
		a->dialect->done(a);
	sse_reader_done(&a->sse);
	toolcalls_trim(&a->calls);
	a->dialect = NULL;
	a->prompt = NULL;
	a->own = NULL;
}

void
answer_done(struct answer *a)
{
	answer_over(a);
	sse_reader_done(&a->sse);
	toolcalls_done(&a->calls);
	buf_done(&a->whole);
	buf_done(&a->held);
	buf_done(&a->scratch);
}

void
answer_again(struct answer *a)
{
	clear(a);
	a->step++;
	a->before_in = a->tokens_in;
	a->before_out = a->tokens_out;
	a->before_details = a->details;
	if (a->dialect->again != NULL)
		a->dialect->again(a);
}

/* ---- what comes ---- */

struct status
answer_feed(struct answer *a, struct span bytes)
{
	struct sse_event ev;
	struct status st;

	if (!a->prompt->stream)
		return buf_put_span(&a->whole, bytes);
	while (is_ok(st = sse_reader_feed(&a->sse, &bytes, &ev)))
		TRY(on_event(a, &ev));
	return st.code == E_AGAIN ? OK : st;
}

static struct status
parse(struct answer *a, struct span text)
{
	struct status st = json_parse(a->doc, text);

	return is_ok(st) || st.code == E_NOMEM ? st : fail(E_PROTO);
}

static struct status
on_event(struct answer *a, const struct sse_event *ev)
{
	if (a->ended || ev->data.len == 0)
		return OK;
	if (span_starts(ev->data, SPAN_LIT("[DONE]"))) {
		a->ended = true;
		return OK;
	}
	TRY(parse(a, ev->data));
	return a->dialect->event(a, ev->name);
}

static uint32_t
add_sat(uint32_t a, uint64_t b)
{
	return b > UINT32_MAX - a ? UINT32_MAX : a + (uint32_t)b;
}

uint32_t
answer_estimate(uint64_t len)
{
	return add_sat(0, (len + 3) / 4);
}

static void
count_tokens(struct answer *a, uint32_t body_len)
{
	if (a->usage_seen)
		return;
	a->estimated = true;
	answer_count(a, answer_estimate(body_len), answer_estimate(a->text_len));
}

void
answer_cut(struct answer *a, uint32_t body_len)
{
	uint32_t in = a->tokens_in - a->before_in, out = a->tokens_out - a->before_out;
	uint32_t said = answer_estimate(a->text_len);

	if (a->usage_seen && (a->finished || said <= out))
		return;
	a->estimated = true;
	answer_count(a, a->usage_seen ? in : answer_estimate(body_len), said > out ? said : out);
}

struct status
answer_end(struct answer *a, uint32_t body_len, enum answer_next *ret)
{
	size_t ours;

	if (!a->prompt->stream) {
		TRY(parse(a, buf_span(&a->whole)));
		TRY(a->dialect->whole(a));
		a->ended = true;
	}
	if (!a->finished)
		return fail(E_PROTO);
	count_tokens(a, body_len);
	ours = a->ours ? toolcalls_ours(&a->calls) : 0;
	*ret = ANSWER_FINAL;
	if (ours > 0 && ours == a->calls.count && a->runnable)
		*ret = ANSWER_RUN;
	else if (a->prompt->stream && a->dialect->last != NULL)
		TRY(a->dialect->last(a));
	return OK;
}

/* ---- what a dialect understood ---- */

void
answer_said(struct answer *a, uint64_t text_len)
{
	a->text_len += text_len;
}

void
answer_count(struct answer *a, uint32_t in, uint32_t out)
{
	a->tokens_in = add_sat(a->before_in, in);
	a->tokens_out = add_sat(a->before_out, out);
	a->usage_seen = true;
}

void
answer_details(struct answer *a, const struct token_details *d)
{
	const struct token_details *before = &a->before_details;

	a->details.cached = add_sat(before->cached, d->cached);
	a->details.cache_written = add_sat(before->cache_written, d->cache_written);
	a->details.reasoning = add_sat(before->reasoning, d->reasoning);
}

uint32_t
answer_detail(const struct answer *a, uint32_t usage, const char *group, const char *name)
{
	uint32_t tok = json_get_str(a->doc, json_get_str(a->doc, usage, group), name);
	uint64_t n = 0;

	return is_ok(json_u64(a->doc, tok, UINT32_MAX, &n)) ? (uint32_t)n : 0;
}

/* E_NOTFOUND: the provider does not say. */
static struct status
read_tokens(const struct json_doc *d, uint32_t usage, const char *name, uint32_t *ret)
{
	uint32_t tok;
	uint64_t n = 0;

	*ret = 0;
	if (name == NULL)
		return OK;
	tok = json_get_str(d, usage, name);
	if (json_type(d, tok) == JSON_ABSENT || json_type(d, tok) == JSON_NULL)
		return fail(E_NOTFOUND);
	if (!is_ok(json_u64(d, tok, UINT32_MAX, &n)))
		return fail(E_PROTO);
	*ret = (uint32_t)n;
	return OK;
}

struct status
answer_usage(struct answer *a, uint32_t usage, const char *in, const char *out)
{
	uint32_t n_in = 0, n_out = 0;
	struct status st;

	if (json_type(a->doc, usage) != JSON_OBJECT)
		return OK;
	st = read_tokens(a->doc, usage, in, &n_in);
	if (is_ok(st))
		st = read_tokens(a->doc, usage, out, &n_out);
	if (!is_ok(st))
		return st.code == E_NOTFOUND ? OK : st;
	answer_count(a, n_in, n_out);
	return OK;
}

void
answer_finished(struct answer *a, bool runnable)
{
	a->finished = true;
	a->runnable = runnable;
}

struct status
answer_show(struct answer *a, struct span name, struct span json)
{
	return a->emit(a->ctx, name, json);
}

struct status
answer_hold(struct answer *a, struct span name, struct span json)
{
	const uint32_t len[2] = { (uint32_t)name.len, (uint32_t)json.len };

	TRY(buf_put(&a->held, len, sizeof(len)));
	TRY(buf_put_span(&a->held, name));
	return buf_put_span(&a->held, json);
}

bool
answer_next_held(struct span *rest, struct span *ret_name, struct span *ret_json)
{
	uint32_t len[2];

	if (rest->len < sizeof(len))
		return false;
	memcpy(len, rest->ptr, sizeof(len));
	*ret_name = span_of(rest->ptr + sizeof(len), len[0]);
	*ret_json = span_of(rest->ptr + sizeof(len) + len[0], len[1]);
	*rest = span_from(*rest, sizeof(len) + len[0] + len[1]);
	return true;
}

/* ---- the end ---- */

bool
answer_is_verbatim(const struct answer *a)
{
	return !a->prompt->stream && !a->ours && !a->prompt->told && a->step == 0;
}

struct status
answer_release(struct answer *a, struct buf *out)
{
	return a->dialect->release(a, out);
}
