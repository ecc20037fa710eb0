/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.c: a plan in OpenAI's wire format, whole or as a stream of events.
 *
 * Runs in: demo. Trusts: nothing: texts go through the JSON writer.
 * Owns: nothing.
 * Invariants: a stream is role, pieces, finish, usage if asked for, [DONE]; pieces end at
 * characters; the same request has the same id.
 * See: demo.h; OpenAI's API reference, "The chat completion chunk object".
 */
#include "demo.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <http/sse.h>
#include <json/write.h>

#define EVENT_MAX (16U << 10)

enum stage { STAGE_ROLE, STAGE_PIECES, STAGE_FINISH, STAGE_USAGE, STAGE_DONE, STAGE_END };

struct demo_reply
reply_of(const struct demo_ask *ask, const struct demo_plan *plan, struct span body, uint64_t now_s)
{
	struct demo_reply r = { .plan = plan,
		.model = ask->model,
		.stream = ask->stream,
		.include_usage = ask->include_usage,
		.created_s = now_s,
		.prompt_bytes = ask->prompt_bytes };
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a */

	for (size_t i = 0; i < body.len; i++)
		h = (h ^ body.ptr[i]) * 0x100000001b3ULL;
	(void)snprintf(r.id, sizeof(r.id), "%016llx", (unsigned long long)h);
	return r;
}

static void
put_common(const struct demo_reply *r, const char *object, struct json_writer *w)
{
	char id[48];

	(void)snprintf(id, sizeof(id), "chatcmpl-demo-%s", r->id);
	json_put_key(w, "id");
	json_put_text(w, id);
	json_put_key(w, "object");
	json_put_text(w, object);
	json_put_key(w, "created");
	json_put_u64(w, r->created_s);
	json_put_key(w, "model");
	json_put_str(w, r->model);
	json_put_key(w, "system_fingerprint");
	json_put_text(w, "sallyport-demo-no-ai");
}

static void
put_usage(const struct demo_reply *r, struct json_writer *w)
{
	uint64_t in = r->prompt_bytes / 4 + 1, out = r->plan->text.len / 4 + 1;

	json_put_key(w, "usage");
	json_put_object(w);
	json_put_key(w, "prompt_tokens");
	json_put_u64(w, in);
	json_put_key(w, "completion_tokens");
	json_put_u64(w, out);
	json_put_key(w, "total_tokens");
	json_put_u64(w, in + out);
	json_put_end(w);
}

static const char *
finish_reason(const struct demo_reply *r)
{
	return r->plan->call.len > 0 ? "tool_calls" : "stop";
}

/* One tool call; in a stream with its index, and its arguments come later. */
static void
put_call(const struct demo_reply *r, bool begin, struct span arguments, struct json_writer *w)
{
	char id[48];

	(void)snprintf(id, sizeof(id), "call_%s", r->id);
	json_put_key(w, "tool_calls");
	json_put_array(w);
	json_put_object(w);
	if (r->stream) {
		json_put_key(w, "index");
		json_put_u64(w, 0);
	}
	if (begin) {
		json_put_key(w, "id");
		json_put_text(w, id);
		json_put_key(w, "type");
		json_put_text(w, "function");
	}
	json_put_key(w, "function");
	json_put_object(w);
	if (begin) {
		json_put_key(w, "name");
		json_put_str(w, r->plan->call);
	}
	json_put_key(w, "arguments");
	json_put_str(w, arguments);
	json_put_end(w);
	json_put_end(w);
	json_put_end(w);
}

static void
put_message(const struct demo_reply *r, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, "role");
	json_put_text(w, "assistant");
	json_put_key(w, "content");
	if (r->plan->call.len > 0) {
		json_put_null(w);
		put_call(r, true, buf_span(&r->plan->text), w);
	} else {
		json_put_str(w, buf_span(&r->plan->text));
	}
	json_put_key(w, "refusal");
	json_put_null(w);
	json_put_end(w);
}

struct status
reply_put(const struct demo_reply *r, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	put_common(r, "chat.completion", &w);
	json_put_key(&w, "choices");
	json_put_array(&w);
	json_put_object(&w);
	json_put_key(&w, "index");
	json_put_u64(&w, 0);
	json_put_key(&w, "message");
	put_message(r, &w);
	json_put_key(&w, "logprobs");
	json_put_null(&w);
	json_put_key(&w, "finish_reason");
	json_put_text(&w, finish_reason(r));
	json_put_end(&w);
	json_put_end(&w);
	put_usage(r, &w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* ---- streams ---- */

/* The next piece of the text: whole lines when slow, else of a bounded number. */
static struct span
next_piece(struct demo_reply *r)
{
	struct span rest = span_from(buf_span(&r->plan->text), r->pos);
	size_t len = r->plan->text.len / DEMO_PIECES_MAX;
	const uint8_t *nl;

	if (len < DEMO_PIECE_LEN)
		len = DEMO_PIECE_LEN;
	if (len > EVENT_MAX / 8) /* each byte may become an escape of six */
		len = EVENT_MAX / 8;
	if (len > rest.len)
		len = rest.len;
	nl = len == 0 ? NULL : memchr(rest.ptr, '\n', len);
	if (r->plan->delay_ms > 0 && nl != NULL)
		len = (size_t)(nl - rest.ptr) + 1;
	while (len < rest.len && (rest.ptr[len] & 0xc0) == 0x80)
		len++; /* not within a character */
	r->pos += len;
	return span_of(rest.ptr, len);
}

static void
put_delta(struct demo_reply *r, struct json_writer *w)
{
	json_put_object(w);
	if (r->stage == STAGE_ROLE) {
		json_put_key(w, "role");
		json_put_text(w, "assistant");
		json_put_key(w, "content");
		if (r->plan->call.len > 0) {
			json_put_null(w);
			put_call(r, true, SPAN_EMPTY, w);
		} else {
			json_put_text(w, "");
		}
	} else if (r->stage == STAGE_PIECES && r->plan->call.len > 0) {
		put_call(r, false, next_piece(r), w);
	} else if (r->stage == STAGE_PIECES) {
		json_put_key(w, "content");
		json_put_str(w, next_piece(r));
	}
	json_put_end(w);
}

static void
put_choice(struct demo_reply *r, struct json_writer *w)
{
	if (r->stage == STAGE_USAGE)
		return;
	json_put_object(w);
	json_put_key(w, "index");
	json_put_u64(w, 0);
	json_put_key(w, "delta");
	put_delta(r, w);
	json_put_key(w, "logprobs");
	json_put_null(w);
	json_put_key(w, "finish_reason");
	if (r->stage == STAGE_FINISH)
		json_put_text(w, finish_reason(r));
	else
		json_put_null(w);
	json_put_end(w);
}

static struct status
put_chunk(struct demo_reply *r, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	put_common(r, "chat.completion.chunk", &w);
	json_put_key(&w, "choices");
	json_put_array(&w);
	put_choice(r, &w);
	json_put_end(&w);
	if (r->stage == STAGE_USAGE)
		put_usage(r, &w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
stage_next(struct demo_reply *r)
{
	if (r->stage == STAGE_PIECES && r->pos < r->plan->text.len)
		return;
	r->stage++;
	if (r->stage == STAGE_PIECES && r->plan->text.len == 0)
		r->stage++;
	if (r->stage == STAGE_USAGE && !r->include_usage)
		r->stage++;
}

struct status
reply_next(struct demo_reply *r, struct buf *out)
{
	auto_buf struct buf chunk = BUF_INIT(EVENT_MAX * 2);

	if (r->stage == STAGE_END)
		return fail(E_EOF);
	if (r->stage == STAGE_DONE)
		TRY(buf_put_str(&chunk, "[DONE]"));
	else
		TRY(put_chunk(r, &chunk));
	TRY(sse_put(out, SPAN_EMPTY, buf_span(&chunk)));
	stage_next(r);
	return OK;
}

/* ---- the rest ---- */
struct status
reply_put_error(const char *message, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "error");
	json_put_object(&w);
	json_put_key(&w, "message");
	json_put_text(&w, message);
	json_put_key(&w, "type");
	json_put_text(&w, "invalid_request_error");
	json_put_key(&w, "param");
	json_put_null(&w);
	json_put_key(&w, "code");
	json_put_null(&w);
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

struct status
reply_put_models(const struct span *names, size_t n, uint64_t now_s, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "object");
	json_put_text(&w, "list");
	json_put_key(&w, "data");
	json_put_array(&w);
	for (size_t i = 0; i < n; i++) {
		json_put_object(&w);
		json_put_key(&w, "id");
		json_put_str(&w, names[i]);
		json_put_key(&w, "object");
		json_put_text(&w, "model");
		json_put_key(&w, "created");
		json_put_u64(&w, now_s);
		json_put_key(&w, "owned_by");
		json_put_text(&w, "sallyport-demo-no-ai");
		json_put_end(&w);
	}
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}
