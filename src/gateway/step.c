/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.c: runs the code of one tool call, shows it, and tells the model.
 *
 * Runs in: gateway. Trusts: nothing of model or code.
 * Owns: nothing; what the next model call is told of it is appended to t->more.
 * Invariants: each call gets exactly one result; a call that cannot be
 * run is told to the model and counts as a step, too.
 * See: loop.c; docs/api.md, "Steps".
 */
#include "step.h"

#include <stdio.h>

#include <base/cleanup.h>

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

	struct gateway *g = t->r->g;

	TRY(toolcall_args(
	    &t->answer.calls.items[t->next_call], &g->answer_doc, &t->r->arena, &t->args));
	if (t->args.language.len > LANGUAGE_MAX)
		return fail(E_SYNTAX);
	req.language = t->args.language;
	req.code = t->args.code;
	t->run_ms = gateway_run_ms(g, req.language, 0);
	return run_prepare(&t->run, &req, t->digest);
}

void
step_next(struct turn *t)
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
step_grant(struct turn *t)
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
step_start(struct turn *t)
{
	t->run.ops = &run_ops;
	t->run.ctx = t;
	t->run.output_max = t->r->g->turn_output_max - t->output_len;
	turn_start_run(t);
}

bool
step_refused(struct turn *t, enum error error)
{
	if (error != ERROR_LANGUAGE && error != ERROR_DENIED)
		return false;
	told_instead(t, error_rows[error].message);
	return true;
}

/* ---- what the client sees ---- */

static struct step
step_of(const struct turn *t)
{
	return (struct step){
		.index = t->steps_taken - 1,
		.call = t->next_call,
		.calls = t->answer.calls.count,
		.id = t->run_id,
		.language = t->args.language.len > 0 ? t->args.language : SPAN_LIT("unknown"),
		.code = t->args.code,
		.run = &t->run,
	};
}

static struct status
show(struct turn *t, enum step_event event, struct span text)
{
	const struct step s = step_of(t);

	return t->answer.dialect->show(&t->answer, &s, event, text);
}

/* A piece that cannot be shown is in the result, which must be. */
static void
on_started(struct run *run, void *ctx)
{
	struct turn *t = ctx;

	(void)run;
	if (t->stream)
		(void)show(t, STEP_STARTED, SPAN_EMPTY).code;
}

static void
on_output(struct run *run, bool err, struct span text, void *ctx)
{
	struct turn *t = ctx;

	(void)run;
	if (t->stream)
		(void)show(t, err ? STEP_STDERR : STEP_STDOUT, text).code;
}

/* ---- what the model is told ---- */

static struct status
finish_step(struct turn *t, const char *instead)
{
	auto_buf struct buf content = BUF_INIT(8UL * TOOL_TEXT_MAX + (64U << 10));

	const struct step s = step_of(t);

	t->output_len += t->run.output_len;
	TRY(show(t, STEP_RESULT, SPAN_EMPTY));
	if (instead != NULL)
		TRY(buf_put_str(&content, instead));
	else
		TRY(run_put_for_model(&t->run, &content));
	return t->answer.dialect->put_result(&t->answer, &s, buf_span(&content), &t->more);
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
	step_next(t);
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
