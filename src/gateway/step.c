/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.c: runs the code of one tool call, shows it, and tells the model.
 *
 * Runs in: gateway. Trusts: nothing of model or code.
 * Owns: nothing; what the next model call is told of it is appended to t->more.
 * Invariants: each call gets exactly one result; a call that cannot be
 * run is put on record by the authority, told to the model and counts as a step, too.
 * See: loop.c; docs/api.md, "Steps".
 */
#include "step.h"

#include <stdio.h>

#include <base/cleanup.h>

#include "request.h"
#include "sides.h"
#include "tool_result.h"

static void on_started(struct run *run, void *ctx);
static void on_output(struct run *run, bool err, struct span text, void *ctx);
static void on_done(struct run *run, void *ctx);
static void on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx);
static void told_instead(struct turn *t, const char *why);

static const struct run_ops run_ops = { on_started, on_output, on_done, on_failed, turn_room };

/* Models leave arguments out where there are none. */
struct status
step_prepare_tool(struct turn *t, const struct toolcall *c, const struct tool_offer *o,
    struct run *run, uint8_t digest[DIGEST_LEN], struct span *ret_arguments)
{
	struct gateway *g = t->r->g;
	struct tool_request req;
	struct schema_fault fault;
	struct status st;

	TRY(arena_copy(
	    &t->r->arena, c->args.len > 0 ? buf_span(&c->args) : SPAN_LIT("{}"), ret_arguments));
	st = tool_arguments_check(g, o, &g->answer_doc, *ret_arguments, &fault);
	if (st.code == E_SYNTAX)
		(void)snprintf(run->reason, sizeof(run->reason), "%.150s%s%s", fault.pointer,
		    fault.pointer[0] != '\0' ? " " : "", fault.message);
	TRY(st);
	req.arguments = *ret_arguments;
	run->raw = true;
	return run_prepare_tool(run, &req, digest);
}

static struct status
prepare_tool(struct turn *t, const struct toolcall *c)
{
	t->run_ms = tool_run_ms(t->r->g, t->step_tool);
	return step_prepare_tool(t, c, t->step_tool, &t->run, t->digest, &t->arguments);
}

/* A run as the executor wants it. */
static struct status
prepare(struct turn *t)
{
	const struct toolcall *c = &t->answer.calls.items[t->next_call];
	struct run_request req = { .notebook = 1 };
	struct gateway *g = t->r->g;

	t->step_tool = toolcalls_offer(&t->answer.calls, c);
	if (t->step_tool != NULL)
		return prepare_tool(t, c);
	TRY(toolcall_args(
	    &t->answer.calls.items[t->next_call], &g->answer_doc, &t->r->arena, &t->args));
	if (t->args.language.len > LANGUAGE_MAX)
		return fail(E_SYNTAX);
	req.language = t->args.language;
	req.code = t->args.code;
	t->run_ms = gateway_run_ms(g, req.language, 0);
	return run_prepare(&t->run, &req, t->digest);
}

const char *
step_misfit(struct turn *t, const struct run *run)
{
	static const char plain[] = "The arguments do not fit the tool's parameters.";
	auto_buf struct buf text = BUF_INIT(TOOL_WHY_MAX);
	struct span kept;

	if (run->reason[0] == '\0' ||
	    !is_ok(buf_printf(
		&text, "The arguments do not fit the tool's parameters: %s.", run->reason)) ||
	    !is_ok(buf_put_u8(&text, 0)) ||
	    !is_ok(arena_copy(&t->r->arena, buf_span(&text), &kept)))
		return plain;
	return (const char *)kept.ptr;
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
	if (sides_next(t))
		return;
	t->steps_taken++;
	(void)snprintf(t->run_id, sizeof(t->run_id), "exec_%s_%u", t->r->id_text, t->steps_taken);
	run_reset(&t->run);
	t->misfit = NULL;
	t->args = (struct toolcall_args){ SPAN_EMPTY, SPAN_EMPTY };
	t->arguments = SPAN_EMPTY;
	st = prepare(t);
	if (st.code == E_SYNTAX || st.code == E_RANGE)
		t->misfit = step_misfit(t, &t->run);
	if (is_ok(st) || t->misfit != NULL)
		turn_event(t, TURN_NEXT_RUN);
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
		.refused = t->misfit != NULL ? ERROR_ARGUMENTS : ERROR_NONE,
	};

	if (t->step_tool != NULL) {
		step.kind = STEP_TOOL;
		step.tool_name = t->step_tool->name;
		step.tool_version = t->step_tool->version;
		step.size_bytes = (uint32_t)t->arguments.len;
	}
	memcpy(step.digest, t->digest, DIGEST_LEN);
	turn_step(t, &step);
}

void
step_start(struct turn *t)
{
	t->run.ops = &run_ops;
	t->run.ctx = t;
	t->run.output_max = t->r->g->turn_output_max - t->output_len;
	if (t->step_tool != NULL && t->run.output_max > TOOL_OUTPUT_MAX + TOOL_STDERR_MAX)
		t->run.output_max = TOOL_OUTPUT_MAX + TOOL_STDERR_MAX;
	turn_start_run(t);
}

const char *
step_refusal(enum error error)
{
	static const enum error told[] = { ERROR_LANGUAGE, ERROR_DENIED, ERROR_TOOL_NOT_FOUND,
		ERROR_TOOL_SANDBOX, ERROR_ARGUMENTS };

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		if (told[i] == error)
			return error_rows[error].message;
	}
	return NULL;
}

bool
step_refused(struct turn *t, enum error error)
{
	const char *why = step_refusal(error);

	if (error == ERROR_ARGUMENTS && t->misfit != NULL)
		why = t->misfit;
	if (why != NULL)
		told_instead(t, why);
	return why != NULL;
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
		.tool = t->step_tool,
		.arguments = t->arguments,
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

/* What came of a user's tool; of one that was not run, why. */
static void
read_result(struct turn *t, const struct step *s, const char *instead, struct tool_result *ret)
{
	if (instead == NULL) {
		tool_result_read(t->r->g, s->tool, s->run, ret);
		return;
	}
	*ret = (struct tool_result){ .status = "not_run" };
	(void)snprintf(ret->why, sizeof(ret->why), "%s", instead);
}

struct status
step_tell(struct turn *t, const struct step *told, const char *instead)
{
	auto_buf struct buf content = BUF_INIT(8UL * TOOL_TEXT_MAX + (64U << 10));
	struct step s = *told;
	struct tool_result result;

	t->output_len += s.run->output_len;
	if (s.tool != NULL) {
		read_result(t, &s, instead, &result);
		s.result = &result;
	}
	TRY(t->answer.dialect->show(&t->answer, &s, STEP_RESULT, SPAN_EMPTY));
	if (instead != NULL)
		TRY(buf_put_str(&content, instead));
	else if (s.tool != NULL)
		TRY(tool_result_put_for_model(&result, s.run, &content));
	else
		TRY(run_put_for_model(s.run, &content));
	return t->answer.dialect->put_result(&t->answer, &s, buf_span(&content), &t->more);
}

void
step_told(struct turn *t, struct status st, size_t calls)
{
	if (!is_ok(st)) {
		turn_fail(t, st.code == E_FULL ? ERROR_TURN_LIMIT : ERROR_INTERNAL);
		return;
	}
	t->next_call += calls;
	step_next(t);
}

static void
step_over(struct turn *t, const char *instead)
{
	const struct step s = step_of(t);

	step_told(t, step_tell(t, &s, instead), 1);
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
