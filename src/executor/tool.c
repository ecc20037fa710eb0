/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.c: one call of a user's tool, in either sandbox.
 *
 * Runs in: the executor. Trusts: the grant, which says what runs and within what; nothing of
 * the tool. Owns: the call, and its hold on what it runs.
 * Invariants: what runs has the digest that was granted; arguments are handed on as they were
 * granted; a native part runs in a fresh sandbox that is nobody's after it.
 * See: tools.h; run.c for the stream; workers.c and worker.c; pool.c for gVisor.
 */
#include "tools.h"

#include <base/clock.h>

#include <stdlib.h>
#include <sys/mman.h>

#define SCRIPT_MAX (2 * TOOL_ENV_MAX * 4)
#define NATIVE_NAME "tool"
#define NATIVE_LANGUAGE "sh" /* whose sandboxes run native parts */

static void on_artefact(void *ctx, enum error error, struct artefact *a);
static void run_native(struct tool_call *call);
static void compile_anew(struct tool_call *call);

void
tool_begin(struct run *r)
{
	const struct tool_use *use = &r->grant.tool;
	struct tool_call *call = calloc(1, sizeof(*call));
	const bool wasm = use->sandbox == TOOL_WASM;

	if (call == NULL) {
		run_refuse(r, ERROR_OVERLOADED, QUEUE_RETRY_MS);
		return;
	}
	r->tool = call;
	call->run = r;
	call->wait.cb = on_artefact;
	call->wait.ctx = call;
	call->code = BUF_INIT(SCRIPT_MAX);
	if (!is_ok(wire_decode(&tool_request_table, buf_span(&r->body), &r->arena, &call->req)) ||
	    (!wasm && use->sandbox != TOOL_GVISOR)) {
		run_refuse(r, ERROR_GRANT, 0);
		return;
	}
	r->language = wasm ? NULL : pool_language(r->ex, NATIVE_LANGUAGE);
	if (!wasm && r->language == NULL) {
		run_refuse(r, ERROR_TOOL_SANDBOX, 0);
		return;
	}
	daemon_metric_add(METRIC_TOOL_CALLS, 1);
	artefact_get(r->ex, &r->grant, wasm ? PART_ARTEFACT : PART_NATIVE, &call->wait);
}

void
tool_end(struct run *r)
{
	struct tool_call *call = r->tool;

	if (call == NULL)
		return;
	r->tool = NULL;
	artefact_wait_cancel(&call->wait);
	worker_forget(call);
	if (call->map != NULL)
		(void)munmap(call->map, call->file.content.len);
	artefact_put(call->artefact);
	buf_done(&call->code);
	free(call);
}

static void
on_artefact(void *ctx, enum error error, struct artefact *a)
{
	struct tool_call *call = ctx;
	struct run *r = call->run;

	call->artefact = a;
	if (error != ERROR_NONE) {
		tool_refuse(call, error, error == ERROR_TOOL_INVALID ? "tool: damaged" : "");
		return;
	}
	if (r->grant.tool.sandbox == TOOL_GVISOR)
		run_native(call);
	else if (!is_ok(worker_wanted(r->ex, call)))
		tool_refuse(call, ERROR_POOL_BUSY, "");
}

void
tool_refuse(struct tool_call *call, enum error error, const char *reason)
{
	const bool busy = error == ERROR_POOL_BUSY || error == ERROR_OVERLOADED;

	run_refuse_why(call->run, error, busy ? QUEUE_RETRY_MS : 0, reason);
}

/* ---- WebAssembly ---- */

void
tool_got_worker(struct tool_call *call)
{
	if (strcmp(worker_engine(call->worker), call->artefact->engine) == 0) {
		worker_run(call);
		return;
	}
	worker_return(call);
	compile_anew(call);
}

/* Once a call: a compiler that is not the workers' does not become so by asking it again. */
static void
compile_anew(struct tool_call *call)
{
	struct artefact *a = call->artefact;

	if (call->anew) {
		diag(DIAG_ERROR, "the compiler's engine, %s, is not the workers'", a->engine);
		tool_refuse(call, ERROR_UNAVAILABLE, "");
		return;
	}
	call->anew = true;
	call->artefact = NULL;
	artefact_anew(a, &call->wait);
}

void
tool_not_loaded(struct tool_call *call, enum code code)
{
	if (code == E_UNSUPPORTED) {
		compile_anew(call);
		return;
	}
	if (code == E_FULL || code == E_NOMEM || code == E_CLOSED) {
		const bool again = call->again;

		call->again = true;
		if (again || !is_ok(worker_wanted(call->run->ex, call)))
			tool_refuse(call, ERROR_OVERLOADED, "");
		return;
	}
	diag(DIAG_ERROR, "version %llu of a tool: its compiled file does not load",
	    (unsigned long long)call->run->grant.tool.id);
	daemon_metric_add(METRIC_ARTEFACTS_REFUSED, 1);
	tool_refuse(call, ERROR_TOOL_INVALID, "tool: damaged");
}

/* Whom nobody shows that it began is not woken for that, while the worker works. */
void
tool_started(struct tool_call *call)
{
	call->number = worker_number(call->worker);
	if (call->run->state == RUN_GOING)
		return; /* a second worker's: the first had not begun */
	run_started(call->run);
	if (!call->run->late)
		run_tell_where(call->run, "wasm:%u", call->number);
}

void
tool_result(struct tool_call *call, const struct ew_result *m)
{
	struct run *r = call->run;
	const struct run_outcome outcome = { (enum run_status)m->status,
		m->status == RUN_EXIT ? m->exit_code : 0 };

	if (m->status == RUN_TRAP)
		reason_clean(m->trap, r->reason);
	r->truncated = m->truncated != 0;
	r->pending = BUF_INIT(TOOL_OUTPUT_MAX);
	r->pending_at = 0;
	r->pending_channel = RUN_STDOUT;
	r->errors = BUF_INIT(TOOL_STDERR_MAX);
	if (!is_ok(buf_put_span(&r->pending, m->output)) ||
	    !is_ok(buf_put_span(&r->errors, m->errors)))
		diag_fatal("out of memory");
	if (r->late)
		run_tell_where(r, "wasm:%u", call->number);
	run_result(r, outcome);
}

/* ---- gVisor ---- */

/* A file beside a script that becomes it: the sandbox's runner needs to know of nothing new. */
static void
run_native(struct tool_call *call)
{
	struct run *r = call->run;
	struct artefact *a = call->artefact;
	void *map = mmap(NULL, a->len, PROT_READ, MAP_SHARED, a->fd, 0);

	if (map == MAP_FAILED) {
		tool_refuse(call, ERROR_OVERLOADED, "");
		return;
	}
	call->map = map;
	call->file = (struct run_file){ SPAN_LIT(NATIVE_NAME), span_of(map, a->len) };
	if (!is_ok(tool_script(buf_span(&a->env), &call->code))) {
		tool_refuse(call, ERROR_TOOL_INVALID, "tool: environment");
		return;
	}
	r->req = (struct run_request){ .language = SPAN_LIT(NATIVE_LANGUAGE),
		.code = buf_span(&call->code),
		.input = call->req.arguments,
		.timeout_ms = r->grant.tool.time_ms,
		.files = { &call->file, 1 } };
	run_in_sandbox(r);
}

static bool
is_name(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';

		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return s.len > 0;
}

/* export NAME='value', with ' as '\'' */
static struct status
put_export(struct span pair, struct buf *out)
{
	const uint8_t *is = memchr(pair.ptr, '=', pair.len);
	size_t name_len = is == NULL ? 0 : (size_t)(is - pair.ptr);

	if (!is_name(span_of(pair.ptr, name_len)))
		return fail(E_RANGE);
	TRY(buf_put_str(out, "export "));
	TRY(buf_put(out, pair.ptr, name_len + 1));
	TRY(buf_put_str(out, "'"));
	for (size_t i = name_len + 1; i < pair.len; i++) {
		if (pair.ptr[i] == '\'')
			TRY(buf_put_str(out, "'\\''"));
		else
			TRY(buf_put_u8(out, pair.ptr[i]));
	}
	return buf_put_str(out, "'\n");
}

struct status
tool_script(struct span env, struct buf *out)
{
	while (env.len > 0) {
		const uint8_t *end = memchr(env.ptr, 0, env.len);

		if (end == NULL)
			return fail(E_RANGE);
		TRY(put_export(span_of(env.ptr, (size_t)(end - env.ptr)), out));
		env = span_from(env, (size_t)(end - env.ptr) + 1);
	}
	return buf_put_str(out, "chmod +x ./" NATIVE_NAME " && exec ./" NATIVE_NAME "\n");
}
