/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sides.c: several calls of users' tools of one answer, run at once.
 *
 * Runs in: gateway. Trusts: nothing of model or tools.
 * Owns: their runs, and their questions to the authority.
 * Invariants: results are told in the order of the calls, once all are there; a turn that
 * fails waits for what the authority was asked, so that nothing is left open there; at most
 * TOOLS_AT_ONCE_MAX, the others follow.
 * See: step.c, for one at a time; turn_table.c, TURN_TOOLS.
 */
#include "sides.h"

#include <stdio.h>
#include <stdlib.h>

#include "request.h"
#include "step.h"
#include "tool_result.h"

struct side {
	struct turn *t;
	size_t call; /* of answer.calls */
	const struct tool_offer *tool;
	struct span arguments;
	const char *misfit;  /* its arguments do not: asked for all the same, to be on record */
	const char *instead; /* told, for it was not run; NULL: it was */
	uint64_t call_id;    /* the authority is asked; 0: not */
	bool over;
	uint8_t digest[DIGEST_LEN];
	char run_id[64];
	struct run run;
};

struct sides {
	struct side items[TOOLS_AT_ONCE_MAX];
	size_t count;
	uint32_t first; /* step of the first */
	uint64_t run_ms;
};

static void ask(struct side *s);
static void on_granted(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_started(struct run *run, void *ctx);
static void on_output(struct run *run, bool err, struct span text, void *ctx);
static void on_done(struct run *run, void *ctx);
static void on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx);
static bool has_room(void *ctx);
static void one_over(struct turn *t);

static const struct run_ops run_ops = { on_started, on_output, on_done, on_failed, has_room };

/* ---- which ---- */

static size_t
count_next(const struct turn *t)
{
	const struct toolcalls *calls = &t->answer.calls;
	size_t n = 0, most = t->admitted.steps_max - t->steps_taken;

	while (t->next_call + n < calls->count && n < most && n < TOOLS_AT_ONCE_MAX &&
	       toolcalls_offer(calls, &calls->items[t->next_call + n]) != NULL)
		n++;
	return n;
}

static struct status
prepare(struct turn *t, struct side *s, size_t call)
{
	const struct toolcall *c = &t->answer.calls.items[call];
	struct status st;

	run_reset(&s->run);
	s->t = t;
	s->call = call;
	s->tool = toolcalls_offer(&t->answer.calls, c);
	s->arguments = SPAN_EMPTY;
	s->misfit = s->instead = NULL;
	s->over = false;
	(void)snprintf(s->run_id, sizeof(s->run_id), "exec_%s_%u", t->r->id_text, ++t->steps_taken);
	st = step_prepare_tool(t, c, s->tool, &s->run, s->digest, &s->arguments);
	if (st.code != E_SYNTAX && st.code != E_RANGE)
		return st;
	s->misfit = step_misfit(t, &s->run);
	return OK;
}

bool
sides_next(struct turn *t)
{
	size_t n = count_next(t);
	struct status st = OK;

	if (n < 2)
		return false;
	if (t->sides == NULL)
		t->sides = calloc(1, sizeof(*t->sides));
	if (t->sides == NULL) {
		turn_fail(t, ERROR_OVERLOADED);
		return true;
	}
	t->sides->count = 0;
	t->sides->run_ms = 0;
	t->sides->first = t->steps_taken;
	for (size_t i = 0; i < n && is_ok(st); i++) {
		struct side *s = &t->sides->items[i];
		uint64_t ms;

		st = prepare(t, s, t->next_call + i);
		t->sides->count += is_ok(st);
		ms = is_ok(st) ? tool_run_ms(t->r->g, s->tool) : 0;
		t->sides->run_ms = ms > t->sides->run_ms ? ms : t->sides->run_ms;
	}
	if (is_ok(st))
		turn_event(t, TURN_NEXT_TOOLS);
	else
		turn_fail(t, st.code == E_FULL ? ERROR_TURN_LIMIT : ERROR_INTERNAL);
	return true;
}

/* ---- they run ---- */

/* Action of TURN_TOOLS. */
void
sides_start(struct turn *t)
{
	struct gateway *g = t->r->g;

	t->run.unconsumed = 0; /* of the timer: nothing of these waits for the client */
	timeout_set_longer(
	    &g->timeouts, &t->run_timer, TIMEOUT_RUN, t->sides->run_ms, gateway_now(g));
	for (size_t i = 0; i < t->sides->count && t->error == ERROR_NONE; i++)
		ask(&t->sides->items[i]);
}

static void
ask(struct side *s)
{
	struct turn *t = s->t;
	struct ga_step step = {
		.turn = t->id,
		.kind = STEP_TOOL,
		.tool_name = s->tool->name,
		.tool_version = s->tool->version,
		.size_bytes = (uint32_t)s->arguments.len,
		.body_len = (uint32_t)s->run.request.len,
		.refused = s->misfit != NULL ? ERROR_ARGUMENTS : ERROR_NONE,
	};
	struct link *l = t->r->g->authority;

	memcpy(step.digest, s->digest, DIGEST_LEN);
	if (l == NULL ||
	    !is_ok(link_call(l, GA_STEP, &step, CALL_TIMEOUT_MS, on_granted, s, &s->call_id)))
		turn_fail(t, ERROR_UNAVAILABLE);
}

static void
start(struct side *s, const uint8_t grant[GRANT_LEN])
{
	struct turn *t = s->t;
	uint64_t left = (t->r->g->turn_output_max - t->output_len) / t->sides->count;

	s->run.ops = &run_ops;
	s->run.ctx = s;
	s->run.output_max = TOOL_OUTPUT_MAX + TOOL_STDERR_MAX;
	if (s->run.output_max > left)
		s->run.output_max = left;
	if (!is_ok(run_start(&s->run, t->r->g->executor, grant)))
		turn_fail(t, ERROR_UNAVAILABLE);
}

static void
on_granted(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct side *s = ctx;
	struct turn *t = s->t;
	const struct ga_granted *m = msg;
	enum error error = is_ok(st) && type == GA_GRANTED ? (enum error)m->error
							   : ERROR_UNAVAILABLE;

	(void)l;
	s->call_id = 0;
	if (t->error != ERROR_NONE) {
		if (!sides_asked(t))
			turn_event(t, TURN_FAIL);
		return;
	}
	if (error == ERROR_NONE && s->misfit == NULL) {
		start(s, m->grant);
		return;
	}
	error = error == ERROR_NONE ? ERROR_INTERNAL : error; /* nobody grants that */
	s->instead = error == ERROR_ARGUMENTS && s->misfit != NULL ? s->misfit
								   : step_refusal(error);
	if (s->instead == NULL) {
		if (is_ok(st) && m->retry_after_ms > 0)
			t->r->retry_after_ms = m->retry_after_ms;
		turn_fail(t, error);
		return;
	}
	s->over = true;
	one_over(t);
}

/* Their output is told once all are over. */
static void
on_started(struct run *run, void *ctx)
{
	(void)run, (void)ctx;
}

static void
on_output(struct run *run, bool err, struct span text, void *ctx)
{
	(void)run, (void)err, (void)text, (void)ctx;
}

static bool
has_room(void *ctx)
{
	(void)ctx;
	return true;
}

static void
on_done(struct run *run, void *ctx)
{
	struct side *s = ctx;

	(void)run;
	s->over = true;
	if (s->t->error == ERROR_NONE)
		one_over(s->t);
}

static void
on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx)
{
	struct side *s = ctx;

	(void)run;
	s->over = true;
	if (retry_after_ms > 0)
		s->t->r->retry_after_ms = retry_after_ms;
	turn_fail(s->t, error);
}

/* ---- they are over ---- */

static struct status
tell(struct turn *t, const struct side *side, uint32_t index)
{
	const struct step s = {
		.index = index,
		.call = side->call,
		.calls = t->answer.calls.count,
		.id = side->run_id,
		.language = SPAN_LIT("unknown"),
		.run = &side->run,
		.tool = side->tool,
		.arguments = side->arguments,
	};

	if (t->stream && side->instead == NULL)
		TRY(t->answer.dialect->show(&t->answer, &s, STEP_STARTED, SPAN_EMPTY));
	return step_tell(t, &s, side->instead);
}

/* All of them: told in the order of the calls. */
static void
one_over(struct turn *t)
{
	struct sides *all = t->sides;
	struct status st = OK;

	for (size_t i = 0; i < all->count; i++) {
		if (!all->items[i].over)
			return;
	}
	turn_run_ended(t);
	for (size_t i = 0; i < all->count && is_ok(st); i++)
		st = tell(t, &all->items[i], all->first + (uint32_t)i);
	step_told(t, st, all->count);
}

/* ---- the end ---- */

bool
sides_asked(const struct turn *t)
{
	for (size_t i = 0; t->sides != NULL && i < t->sides->count; i++) {
		if (t->sides->items[i].call_id != 0)
			return true;
	}
	return false;
}

void
sides_cancel(struct turn *t)
{
	for (size_t i = 0; t->sides != NULL && i < t->sides->count; i++)
		run_cancel(&t->sides->items[i].run);
}

void
sides_forget(struct turn *t)
{
	for (size_t i = 0; t->sides != NULL && i < t->sides->count; i++) {
		struct side *s = &t->sides->items[i];

		if (s->call_id != 0 && t->r->g->authority != NULL)
			link_call_cancel(t->r->g->authority, s->call_id);
		s->call_id = 0;
	}
}

void
sides_free(struct turn *t)
{
	if (t->sides == NULL)
		return;
	for (size_t i = 0; i < TOOLS_AT_ONCE_MAX; i++)
		run_free(&t->sides->items[i].run);
	free(t->sides);
	t->sides = NULL;
}
