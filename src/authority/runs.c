/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runs.c: the effects of executor and store within a turn: code, tools of users, new
 * versions of them, what is kept of them and for users; with their records.
 *
 * Runs in: authority. Trusts: executor and store about what they did. Owns: the runs.
 * Invariants: code is one at a time; of tools at most TURN_PARALLEL_MAX are at work; each
 * intent has one outcome; a version that a run holds stays until the run is cleared.
 * See: turn.h.
 */
#include "authority.h"

#include <assert.h>
#include <stdlib.h>

size_t
turn_run_count(const struct turn *t)
{
	return t->parallel == NULL ? 1 : 1 + TURN_PARALLEL_MAX;
}

struct run *
turn_run_at(struct turn *t, size_t i)
{
	return i == 0 ? &t->run : &t->parallel->runs[i - 1];
}

static const struct run *
run_at(const struct turn *t, size_t i)
{
	return i == 0 ? &t->run : &t->parallel->runs[i - 1];
}

/* What the store has not confirmed may still become true. */
static bool
is_at_work(const struct run *r)
{
	return r->open && (!r->done || r->storing);
}

bool
turn_runs_open(const struct turn *t)
{
	for (size_t i = 0; i < turn_run_count(t); i++) {
		if (is_at_work(run_at(t, i)))
			return true;
	}
	return false;
}

bool
turn_runs_unrecorded(const struct turn *t)
{
	for (size_t i = 0; i < turn_run_count(t); i++) {
		if (run_at(t, i)->open)
			return true;
	}
	return false;
}

bool
turn_runs_open_of(const struct turn *t, bool content)
{
	for (size_t i = 0; i < turn_run_count(t); i++) {
		const struct run *r = run_at(t, i);

		if (is_at_work(r) && (r->kind == RUN_OF_CONTENT) == content)
			return true;
	}
	return false;
}

void
turn_runs_end(struct turn *t, bool unknown, enum error error, enum audit_cause cause)
{
	for (size_t i = 0; i < turn_run_count(t); i++) {
		struct run *r = turn_run_at(t, i);

		if (!r->open || r->done)
			continue;
		r->done = true;
		r->unknown = r->unknown || unknown;
		r->error = error;
		r->cause = r->unknown && cause == AUDIT_CANCELLED ? AUDIT_TIMEOUT : cause;
	}
}

void
turn_runs_doubt(struct turn *t)
{
	for (size_t i = 0; i < turn_run_count(t); i++) {
		struct run *r = turn_run_at(t, i);

		if (r->open && !r->done)
			r->unknown = true;
	}
}

enum error
turn_run_of_tool(struct turn *t, struct run *r, struct tool_version *v)
{
	enum error error = tools_use(t->a, v, &r->use);

	if (error != ERROR_NONE)
		return error;
	r->kind = RUN_OF_TOOL;
	r->tool = v;
	tools_hold(v);
	memcpy(r->tool_digest, v->digest, sizeof(r->tool_digest));
	memcpy(r->name, v->tool->name, sizeof(r->name));
	return ERROR_NONE;
}

/* ---- places ---- */

bool
turn_run_has_place(const struct turn *t)
{
	for (size_t i = 1; i < turn_run_count(t); i++) {
		if (!is_at_work(run_at(t, i)))
			return true;
	}
	return t->parallel == NULL;
}

struct run *
turn_run_place(struct turn *t)
{
	for (size_t i = 1; i < turn_run_count(t); i++) {
		struct run *r = turn_run_at(t, i);

		if (!r->open)
			return r;
	}
	return NULL;
}

void
turn_run_clear(struct turn *t, struct run *r)
{
	if (r->tool != NULL)
		tools_release(t->a, r->tool);
	*r = (struct run){ 0 };
}

void
turn_runs_free(struct turn *t)
{
	for (size_t i = 0; i < turn_run_count(t); i++)
		turn_run_clear(t, turn_run_at(t, i));
	turn_run_clear(t, &t->step.run);
	for (uint32_t i = 0; t->parallel != NULL && i < t->parallel->nwaiting; i++)
		turn_run_clear(t, &t->parallel->waiting[i].step.run);
	free(t->parallel);
	t->parallel = NULL;
}

void
turn_runs_recorded(struct turn *t, bool durable)
{
	for (size_t i = 0; i < turn_run_count(t); i++) {
		struct run *r = turn_run_at(t, i);

		if (r->closing && durable)
			turn_run_clear(t, r);
		r->closing = false;
	}
}

/* ---- records ---- */

static enum audit_outcome
run_outcome(const struct run *r)
{
	if (r->kind == RUN_OF_BUILD && r->use.version != 0)
		return AUDIT_SUCCESS; /* it is kept, whatever became of who asked for it */
	if (!r->done || r->unknown)
		return AUDIT_UNKNOWN;
	if (r->kind == RUN_OF_BUILD)
		return AUDIT_FAILURE;
	if (r->error == ERROR_NONE && r->status == RUN_EXIT && r->exit_code == 0)
		return AUDIT_SUCCESS;
	return AUDIT_FAILURE;
}

struct span
turn_resource(const struct turn *t, const char **ret_kind)
{
	if (turn_asks_model(t)) {
		*ret_kind = "model";
		return span_str(t->model);
	}
	if (t->run.kind == RUN_OF_CONTENT) {
		*ret_kind = content_kind_names[t->run.content_kind];
		return content_resource(&t->run);
	}
	*ret_kind = "tool";
	return span_str(t->tool);
}

static void
put_version(const struct run *r, struct batch *b)
{
	static const uint8_t none[DIGEST_LEN];

	batch_u64_if(b, r->use.version);
	if (memcmp(r->tool_digest, none, DIGEST_LEN) != 0)
		batch_digest(b, r->tool_digest);
	else
		batch_null(b);
}

/* What ToolExecuted says in both its records, up to what only the outcome has. */
static void
put_executed(struct turn *t, const struct run *r, struct batch *b, const struct record_who *who)
{
	bool code = r->kind == RUN_OF_CODE;
	const char *name = code ? t->tool : r->name;

	(void)batch_add(b, EVENT_TOOL_EXECUTED, who, "tool", span_str(name));
	batch_text(b, name);
	batch_text(b, tool_sandbox_names[code ? TOOL_GVISOR : r->use.sandbox]);
	batch_str_if(b, span_str(r->language));
	batch_u64(b, r->size_bytes);
	batch_digest(b, r->digest);
}

static void
put_executed_end(const struct run *r, struct batch *b, enum audit_outcome outcome)
{
	if (outcome == AUDIT_OUTCOME_NONE || outcome == AUDIT_UNKNOWN) {
		batch_null(b);
		batch_null(b);
		batch_null(b);
	} else {
		batch_u64(b, r->duration_ms);
		batch_bool(b, outcome == AUDIT_SUCCESS);
		batch_text(b, r->error != ERROR_NONE ? error_rows[r->error].code
						     : run_status_names[r->status]);
	}
	put_version(r, b);
}

static void
put_stored(const struct run *r, struct batch *b, const struct record_who *who, bool fault)
{
	(void)batch_add(b, EVENT_TOOL_STORED, who, "tool", span_str(r->name));
	batch_text(b, r->name);
	batch_u64(b, r->size_bytes);
	batch_digest(b, r->digest);
	batch_u64_if(b, r->use.version);
	if (fault)
		batch_text(b, error_rows[r->error != ERROR_NONE ? r->error : ERROR_INTERNAL].code);
	else
		batch_null(b);
}

static void
put_changed(const struct run *r, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_TOOL_CHANGED, who, "tool", span_str(r->name));
	batch_text(b, r->name);
	put_version(r, b);
	batch_text(
	    b, r->mark == TOOL_MARK_CURRENT || r->kind == RUN_OF_BUILD ? "current" : "removed");
	batch_null(b);
}

/* Its size: of the request, then of what was read or written. */
static void
put_accessed(
    const struct run *r, struct batch *b, const struct record_who *who, enum audit_outcome outcome)
{
	(void)batch_add(b, EVENT_CONTENT_ACCESSED, who, content_kind_names[r->content_kind],
	    content_resource(r));
	batch_text(b, content_op_names[r->content_op]);
	batch_text(b, content_kind_names[r->content_kind]);
	if (outcome == AUDIT_OUTCOME_NONE)
		batch_u64(b, r->size_bytes);
	else if (outcome == AUDIT_SUCCESS)
		batch_u64(b, r->content_size);
	else
		batch_null(b);
	batch_digest(b, r->digest);
	if (outcome == AUDIT_SUCCESS)
		batch_u64(b, r->content_items);
	else
		batch_null(b);
	if (outcome == AUDIT_FAILURE)
		batch_text(b, error_rows[r->error].code);
	else
		batch_null(b);
}

void
turn_put_run_intent(
    struct turn *t, const struct run *r, struct batch *b, const struct record_who *who)
{
	if (r->kind == RUN_OF_BUILD) {
		put_stored(r, b, who, false);
	} else if (r->kind == RUN_OF_CHANGE) {
		put_changed(r, b, who);
	} else if (r->kind == RUN_OF_CONTENT) {
		put_accessed(r, b, who, AUDIT_OUTCOME_NONE);
	} else {
		put_executed(t, r, b, who);
		put_executed_end(r, b, AUDIT_OUTCOME_NONE);
	}
	batch_intent(b);
}

static void
put_outcome(struct turn *t, const struct run *r, struct batch *b, const struct record_who *who)
{
	enum audit_outcome outcome = run_outcome(r);

	if (r->kind == RUN_OF_BUILD) {
		put_stored(r, b, who, outcome == AUDIT_FAILURE);
	} else if (r->kind == RUN_OF_CHANGE) {
		put_changed(r, b, who);
	} else if (r->kind == RUN_OF_CONTENT) {
		put_accessed(r, b, who, outcome);
	} else {
		put_executed(t, r, b, who);
		put_executed_end(r, b, outcome);
	}
	batch_closes(b, r->intent_seq);
	batch_outcome(b, outcome, outcome == AUDIT_SUCCESS ? AUDIT_CAUSE_NONE : r->cause);
	/* A version that is kept is the current one from then on. */
	if (r->kind == RUN_OF_BUILD && outcome == AUDIT_SUCCESS)
		put_changed(r, b, who);
}

void
turn_put_run_outcomes(struct turn *t, struct batch *b, const struct record_who *who, bool all)
{
	for (size_t i = 0; i < turn_run_count(t); i++) {
		struct run *r = turn_run_at(t, i);

		if (!r->open || (!all && is_at_work(r)))
			continue;
		put_outcome(t, r, b, who);
		r->closing = true;
	}
}
