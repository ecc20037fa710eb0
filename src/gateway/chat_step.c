/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_step.c: runs the code of one tool call, shows it, and tells the model.
 *
 * Runs in: gateway. Trusts: nothing of model or code.
 * Owns: the texts of t->steps and t->messages that it appends.
 * Invariants: each call gets exactly one result message; a call that cannot be
 * run is told to the model and counts as a step, too.
 * See: chat_turn.c; docs/api.md, "Steps".
 */
#include "chat_step.h"

#include <stdio.h>

#include "request.h"

static void on_started(struct run *run, void *ctx);
static void on_output(struct run *run, bool err, struct span text, void *ctx);
static void on_done(struct run *run, void *ctx);
static void on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx);
static void told_instead(struct turn *t, const char *why);

static const struct run_ops run_ops = { on_started, on_output, on_done, on_failed, turn_room };

/* A run as the executor wants it. */
static struct status
prepare(struct turn *t)
{
	struct run_request req = { .notebook = 1 };

	TRY(toolcall_args(
	    &t->answer.calls.items[t->next_call], &t->r->g->answer_doc, &t->r->arena, &t->args));
	if (t->args.language.len > LANGUAGE_MAX)
		return fail(E_SYNTAX);
	req.language = t->args.language;
	req.code = t->args.code;
	t->run_ms = gateway_run_ms(t->r->g, req.language, 0);
	return run_prepare(&t->run, &req, t->digest);
}

void
chat_step_next(struct turn *t)
{
	struct status st;

	if (t->next_call == t->answer.calls.count) {
		turn_event(t, TURN_NEXT_MODEL);
		return;
	}
	if (t->steps_taken >= t->admitted.steps_max) {
		turn_fail(t, ERROR_TURN_LIMIT);
		return;
	}
	t->steps_taken++;
	(void)snprintf(t->run_id, sizeof(t->run_id), "exec_%s_%u", t->r->id_text, t->steps_taken);
	run_reset(&t->run);
	t->args = (struct toolcall_args){ SPAN_EMPTY, SPAN_EMPTY };
	st = prepare(t);
	if (is_ok(st))
		turn_event(t, TURN_NEXT_RUN);
	else if (st.code == E_SYNTAX || st.code == E_RANGE)
		told_instead(t, "The arguments do not fit the tool's parameters.");
	else
		turn_fail(t, st.code == E_FULL ? ERROR_TURN_LIMIT : ERROR_INTERNAL);
}

void
chat_grant_run(struct turn *t)
{
	struct ga_step step = {
		.turn = t->id,
		.kind = STEP_RUN,
		.language = t->args.language,
		.size_bytes = (uint32_t)t->args.code.len,
		.body_len = (uint32_t)t->run.request.len,
	};

	memcpy(step.digest, t->digest, DIGEST_LEN);
	turn_step(t, &step);
}

void
chat_start_run(struct turn *t)
{
	t->run.ops = &run_ops;
	t->run.ctx = t;
	t->run.output_max = t->r->g->turn_output_max - t->output_len;
	turn_start_run(t);
}

bool
chat_run_refused(struct turn *t, enum error error)
{
	if (error != ERROR_LANGUAGE && error != ERROR_DENIED)
		return false;
	told_instead(t, error_rows[error].message);
	return true;
}

/* ---- what the client sees ---- */

/* The frame of one step chunk; the caller fills the step object. */
static void
chunk_open(const struct turn *t, const char *event, struct json_writer *w)
{
	json_put_object(w);
	answer_put_head(&t->answer, w);
	json_put_key(w, "choices");
	json_put_raw(w, SPAN_LIT("[{\"index\":0,\"delta\":{},\"finish_reason\":null}]"));
	json_put_key(w, "sallyport");
	json_put_object(w);
	json_put_key(w, "step");
	json_put_object(w);
	json_put_key(w, "index");
	json_put_u64(w, t->steps_taken - 1);
	json_put_key(w, "event");
	json_put_text(w, event);
}

static void
chunk_send(struct turn *t, struct json_writer *w)
{
	json_put_end(w);
	json_put_end(w);
	json_put_end(w);
	if (is_ok(json_writer_finish(w)))
		reply_event(t->r, SPAN_EMPTY, buf_span(w->out));
}

static void
on_started(struct run *run, void *ctx)
{
	struct turn *t = ctx;
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&out);

	if (!t->chat.stream)
		return;
	chunk_open(t, "started", &w);
	json_put_key(&w, "id");
	json_put_text(&w, t->run_id);
	json_put_key(&w, "language");
	json_put_str(&w, t->args.language);
	json_put_key(&w, "code");
	json_put_str(&w, t->args.code);
	json_put_key(&w, "sandbox");
	json_put_text(&w, run->sandbox);
	chunk_send(t, &w);
}

static void
on_output(struct run *run, bool err, struct span text, void *ctx)
{
	struct turn *t = ctx;
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&out);

	(void)run;
	if (!t->chat.stream)
		return;
	chunk_open(t, err ? "stderr" : "stdout", &w);
	json_put_key(&w, "data");
	json_put_str(&w, text);
	chunk_send(t, &w);
}

static struct status
put_result(struct turn *t, struct json_writer *w)
{
	const struct run_about about = {
		.id = t->run_id,
		.language = t->args.language.len > 0 ? t->args.language : SPAN_LIT("unknown"),
		.code = t->args.code,
	};

	return run_put(&t->run, &about, w);
}

static struct status
add_step(struct turn *t)
{
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w;

	if (t->steps.len > 0)
		TRY(buf_put_u8(&t->steps, ','));
	w = json_writer(&t->steps);
	json_put_object(&w);
	TRY(put_result(t, &w));
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	if (!t->chat.stream)
		return OK;
	w = json_writer(&out);
	chunk_open(t, "result", &w);
	TRY(put_result(t, &w));
	chunk_send(t, &w);
	return w.st;
}

/* ---- what the model is told ---- */

static struct status
add_message(struct turn *t, struct span content)
{
	const struct toolcall *c = &t->answer.calls.items[t->next_call];
	struct json_writer w;

	TRY(buf_put_u8(&t->messages, ','));
	w = json_writer(&t->messages);
	json_put_object(&w);
	json_put_key(&w, "role");
	json_put_text(&w, "tool");
	json_put_key(&w, "tool_call_id");
	json_put_str(&w, buf_span(&c->id));
	json_put_key(&w, "content");
	json_put_str(&w, content);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static struct status
finish_step(struct turn *t, const char *instead)
{
	auto_buf struct buf content = BUF_INIT(8UL * TOOL_TEXT_MAX + (64U << 10));

	t->output_len += t->run.output_len;
	TRY(add_step(t));
	if (instead != NULL)
		return add_message(t, span_str(instead));
	TRY(run_put_for_model(&t->run, &content));
	return add_message(t, buf_span(&content));
}

static void
step_over(struct turn *t, const char *instead)
{
	struct status st = finish_step(t, instead);

	if (!is_ok(st)) {
		turn_fail(t, st.code == E_FULL ? ERROR_TURN_LIMIT : ERROR_INTERNAL);
		return;
	}
	t->next_call++;
	chat_step_next(t);
}

static void
on_done(struct run *run, void *ctx)
{
	(void)run;
	turn_run_ended(ctx);
	step_over(ctx, NULL);
}

/* Not run at all: the step says so on its standard error. */
static void
told_instead(struct turn *t, const char *why)
{
	if (is_ok(buf_put_str(&t->run.out[1].text, why)))
		step_over(t, why);
	else
		turn_fail(t, ERROR_INTERNAL);
}

static void
on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx)
{
	struct turn *t = ctx;

	(void)run;
	if (retry_after_ms > 0)
		t->r->retry_after_ms = retry_after_ms;
	turn_fail(t, error);
}
