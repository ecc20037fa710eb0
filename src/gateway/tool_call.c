/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_call.c: POST /v1/tools/{name}/call: one call of a user's tool.
 *
 * Runs in: gateway. Trusts: the authority for which version the key may call; nothing of
 * arguments and output.
 * Owns: nothing; the call lies in the turn's run.
 * Invariants: an ADMIT names the catalog of the schema that the arguments conform to; without
 * one it asks for it and admits nothing; arguments are refused by a schema of this request only;
 * what was hashed for the authority is what is sent; the result leaves after GA_SETTLED only. See:
 * turn_table.c, KIND_CALL; tool_result.c.
 */
#include <stdio.h>

#include <base/cleanup.h>

#include "request.h"
#include "routes.h"
#include "tool_result.h"

static void guess(struct turn *t);
static void on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx);

static const struct run_ops run_ops = { tool_run_started, tool_run_output, tool_run_done, on_failed,
	turn_room };

void
tool_call_run(struct request *r)
{
	struct turn *t = &r->turn;
	const struct json_doc *d = &r->g->doc;
	uint32_t version = json_get_str(d, 0, "version");
	uint64_t v = 0;

	if (version != JSON_NONE && !is_ok(json_u64(d, version, UINT32_MAX, &v))) {
		turn_refuse(t, ERROR_INVALID_FIELD);
		return;
	}
	run_reset(&t->run);
	t->arguments = json_bytes(d, json_get_str(d, 0, "arguments"));
	(void)snprintf(t->run_id, sizeof(t->run_id), "call_%s", r->id_text);
	t->admit.endpoint = ENDPOINT_TOOL_CALL;
	t->admit.tool_name = r->route_param;
	t->admit.tool_version = (uint32_t)v;
	guess(t);
	turn_admit(t, KIND_CALL);
}

/* "/arguments" and the fault's own pointer. */
static enum error
blame(struct request *r, const struct schema_fault *fault)
{
	(void)snprintf(r->param, sizeof(r->param), "/arguments%.240s", fault->pointer);
	r->detail = fault->message;
	return ERROR_INVALID_FIELD;
}

static enum error
check(struct turn *t)
{
	struct request *r = t->r;
	struct schema_fault fault;
	struct status st;

	if (t->offers.count != 1)
		return ERROR_TOOL_NOT_FOUND;
	st = tool_arguments_check(r->g, &t->offers.items[0], &r->g->doc, t->arguments, &fault);
	if (is_ok(st))
		return ERROR_NONE;
	if (st.code == E_SYNTAX)
		return blame(r, &fault);
	if (st.code != E_RANGE)
		return st.code == E_NOMEM ? ERROR_OVERLOADED : ERROR_INTERNAL;
	fault = (struct schema_fault){ .message = "is larger than the limit" };
	return blame(r, &fault);
}

/* What is to be admitted. */
static enum error
prepare(struct turn *t)
{
	const struct tool_request req = { .arguments = t->arguments };
	enum error error = check(t);

	if (error == ERROR_NONE && !is_ok(run_prepare_tool(&t->run, &req, t->digest)))
		error = ERROR_OVERLOADED;
	if (error != ERROR_NONE)
		return error;
	t->run_ms = tool_run_ms(t->r->g, &t->offers.items[0]);
	t->admit.catalog = t->offers.catalog;
	t->admit.size_bytes = (uint32_t)t->arguments.len;
	t->admit.body_len = (uint32_t)t->run.request.len;
	memcpy(t->admit.digest, t->digest, DIGEST_LEN);
	return ERROR_NONE;
}

/* By the schema of an earlier request, if there is one that the arguments conform to. */
static void
guess(struct turn *t)
{
	if (!turn_guess_tools(t, t->admit.tool_name, t->admit.tool_version) ||
	    prepare(t) == ERROR_NONE)
		return;
	turn_drop_tools(t);
	t->r->param[0] = '\0';
	t->r->detail = NULL;
}

void
tool_call_again(struct turn *t)
{
	enum error error = prepare(t);

	if (error == ERROR_NONE)
		turn_admit(t, KIND_CALL);
	else
		turn_refuse(t, error);
}

void
tool_call_start(struct turn *t)
{
	if (t->offers.count != 1) { /* admitted, though no schema was asked for */
		turn_fail(t, ERROR_INTERNAL);
		return;
	}
	t->run.ops = &run_ops;
	t->run.ctx = t;
	t->run.raw = t->run.late = true;
	t->run.output_max = TOOL_OUTPUT_MAX + TOOL_STDERR_MAX;
	turn_start_run(t);
}

static void
on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx)
{
	struct turn *t = ctx;

	if (retry_after_ms > 0)
		t->r->retry_after_ms = retry_after_ms;
	if (run->reason[0] != '\0')
		t->r->detail = run->reason;
	turn_fail(t, error);
}

void
tool_call_finish(struct turn *t)
{
	const struct tool_offer *o = &t->offers.items[0];
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&out);
	struct tool_result result;

	tool_result_read(t->r->g, o, &t->run, &result);
	json_put_object(&w);
	json_put_key(&w, "id");
	json_put_text(&w, t->run_id);
	json_put_key(&w, "tool");
	json_put_str(&w, o->name);
	tool_result_put(&result, &t->run, o, &w);
	json_put_end(&w);
	if (is_ok(json_writer_finish(&w)))
		reply_json(t->r, 200, buf_span(&out));
	else
		reply_error(t->r, ERROR_INTERNAL);
}
