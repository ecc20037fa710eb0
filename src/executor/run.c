/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c: one run, from its request to its result.
 *
 * Runs in: the executor. Trusts: a request that collect.c has checked; nothing of a guest.
 * Owns: what a guest wrote and the gateway has not taken.
 * Invariants: the authority hears DONE, once, before
 * the gateway hears RESULT or FAILED; output goes out as it comes and no faster
 * than the gateway takes it; over the cap the run ends and says so.
 * See: wire/gateway_executor.h, sandbox.c; tool.c and build.c for other kinds of grants.
 */
#include "tools.h"

#include <base/clock.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct sandbox *find_lease(const struct run *r);
static void read_output(struct run *r, enum channel_kind kind);
static void take_output(struct run *r, enum channel_kind kind, struct span bytes);
static bool flush_pending(struct run *r);
static bool is_over(struct run *r);
static void finish(struct run *r);
static void send_result(struct run *r);
static void let_go(struct run *r);
static void run_free(struct run *r);

void
run_in_sandbox(struct run *r)
{
	struct sandbox *s = find_lease(r);

	if (s != NULL)
		run_begin(r, s);
	else if (!is_ok(pool_lease(r->ex, r)))
		run_refuse(r, ERROR_POOL_BUSY, QUEUE_RETRY_MS);
	pool_poke(r->ex);
}

/* The sandbox of an earlier step of this turn. Bound to tenant and user, too. */
static struct sandbox *
find_lease(const struct run *r)
{
	for (uint32_t i = 0; r->grant.keep && i < r->ex->nslots; i++) {
		struct sandbox *s = &r->ex->sandboxes[i];

		if (s->state == SANDBOX_LEASED && s->keep && s->run == NULL &&
		    s->turn == r->grant.turn && s->pool->language == r->language &&
		    strcmp(s->tenant, r->grant.tenant) == 0 && strcmp(s->user, r->grant.user) == 0)
			return s;
	}
	return NULL;
}

/* ---- running ---- */

static void
lease(struct sandbox *s, struct run *r)
{
	if (s->state == SANDBOX_WARM) {
		s->pool->warm--;
		s->state = SANDBOX_LEASED;
		s->turn = r->grant.turn;
		s->keep = r->grant.keep;
		memcpy(s->tenant, r->grant.tenant, sizeof(s->tenant));
		memcpy(s->user, r->grant.user, sizeof(s->user));
	}
	assert(s->state == SANDBOX_LEASED && s->run == NULL && s->turn == r->grant.turn);
	s->run = r;
	r->sandbox = s;
}

void
run_started(struct run *r)
{
	r->state = RUN_GOING;
	r->started_ns = clock_mono_ns();
}

void
run_tell_where(struct run *r, const char *fmt, ...)
{
	struct ge_started m;
	char name[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	m.sandbox = span_of(name, n < (int)sizeof(name) ? (size_t)n : sizeof(name) - 1);
	/* A full link fails by itself, and its streams with it. */
	(void)!is_ok(stream_send(r->stream, GE_STARTED, &m));
}

static uint32_t
lower(uint32_t limit, uint32_t wanted)
{
	return wanted > 0 && wanted < limit ? wanted : limit;
}

/* The language's, and what was granted or asked for where that is less. */
static struct run_limits
limits_of(const struct run *r)
{
	const struct language *l = r->language;
	const struct tool_use *use = &r->grant.tool;
	struct run_limits limits = { .wall_ms = lower(
					 lower(l->wall_ms, r->req.timeout_ms), use->time_ms),
		.cpu_ms = l->cpu_ms,
		.output_max = l->output_max,
		.files_max = FILES_MAX };

	if (r->tool == NULL)
		return limits;
	limits.memory_mb = lower(l->memory_mb, use->memory_mb);
	limits.files_max = 0;
	if ((uint64_t)use->output_kb << 10 < limits.output_max)
		limits.output_max = (uint64_t)use->output_kb << 10;
	return limits;
}

void
run_begin(struct run *r, struct sandbox *s)
{
	uint32_t flags = 0;
	struct status st;

	flags |= r->req.notebook ? GUEST_FLAG_ECHO : 0;
	flags |= r->grant.keep ? 0 : GUEST_FLAG_ONE_SHOT;
	lease(s, r);
	r->state = RUN_GOING;
	r->started_ns = clock_mono_ns();
	r->limits = limits_of(r);
	daemon_metric_add(METRIC_RUNS, 1);
	st = sandbox_run(s, &r->req, flags, &r->limits);
	if (!is_ok(st)) {
		run_cancel(r, st.code == E_RANGE ? ERROR_INVALID_FIELD : ERROR_INTERNAL);
		return;
	}
	/* The frames are written or copied: the request is not needed any more. */
	arena_done(&r->arena);
	buf_done(&r->body);
	run_started(r);
	run_tell_where(r, "gvisor:%s-%u", r->language->name, s->slot);
	sandbox_watch(s, CHANNEL_OUT, UV_READABLE);
	sandbox_watch(s, CHANNEL_ERR, UV_READABLE);
}

void
run_on_output(struct run *r, enum channel_kind kind)
{
	if (r->state != RUN_GOING)
		return;
	read_output(r, kind);
	run_on_sandbox(r);
}

static void
read_output(struct run *r, enum channel_kind kind)
{
	uint8_t bytes[READ_MAX];

	r->drained[kind] = false;
	while (r->sandbox->channels[kind] != NULL && r->seen.verdict == VERDICT_NONE) {
		uint64_t left = r->limits.output_max - r->output;
		size_t want = flush_pending(r) ? stream_credit(r->stream) : 0;
		ssize_t n;

		if (want == 0) { /* on_writable goes on */
			sandbox_watch(r->sandbox, kind, 0);
			return;
		}
		want = want < sizeof(bytes) ? want : sizeof(bytes);
		want = want < left + 1 ? want : (size_t)left + 1;
		n = read(r->sandbox->channels[kind]->fd, bytes, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			r->drained[kind] = true;
			sandbox_watch(r->sandbox, kind, UV_READABLE);
			return;
		}
		if (n <= 0)
			sandbox_close_channel(r->sandbox, kind);
		else
			take_output(r, kind, span_of(bytes, (size_t)n));
	}
	/* Ended by us: whatever else it writes is of no interest. */
	sandbox_watch(r->sandbox, kind, 0);
}

static void
take_output(struct run *r, enum channel_kind kind, struct span bytes)
{
	uint64_t left = r->limits.output_max - r->output;
	uint8_t channel = kind == CHANNEL_OUT ? RUN_STDOUT : RUN_STDERR;
	size_t taken = 0;

	if (bytes.len > left) {
		bytes.len = (size_t)left;
		r->truncated = true;
		r->seen.verdict = VERDICT_OUTPUT;
		sandbox_kill(r->sandbox);
	}
	r->output += bytes.len;
	if (!is_ok(stream_write(r->stream, channel, bytes, &taken)))
		return; /* the link is failing: on_stream_closed follows */
	if (taken == bytes.len)
		return;
	r->pending.max = READ_MAX;
	r->pending_channel = channel;
	r->pending_at = 0;
	buf_clear(&r->pending);
	if (!is_ok(buf_put_span(&r->pending, span_from(bytes, taken))))
		diag_fatal("out of memory");
}

/* False: something is left, and there is no credit. */
static bool
flush_pending(struct run *r)
{
	for (;;) {
		size_t taken = 0;

		if (r->pending_at < r->pending.len)
			(void)!is_ok(stream_write(r->stream, r->pending_channel,
			    span_from(buf_span(&r->pending), r->pending_at), &taken));
		r->pending_at += taken;
		if (r->pending_at < r->pending.len)
			return false;
		if (r->errors.len == 0)
			return true;
		buf_done(&r->pending);
		r->pending = r->errors;
		r->errors = BUF_INIT(0);
		r->pending_at = 0;
		r->pending_channel = RUN_STDERR;
	}
}

void
run_on_writable(struct stream *st, void *ctx)
{
	struct run *r = ctx;

	(void)st;
	if (r->state == RUN_SENDING)
		send_result(r);
	if (r->state != RUN_GOING || r->sandbox == NULL)
		return;
	read_output(r, CHANNEL_OUT);
	read_output(r, CHANNEL_ERR);
	run_on_sandbox(r);
}

/* ---- ending ---- */

void
run_on_sandbox(struct run *r)
{
	struct sandbox *s = r->sandbox;

	if (r->state != RUN_GOING)
		return;
	if (s->guest.done && !r->seen.done) {
		r->seen.done = true;
		r->seen.exit_code = s->guest.exit_code;
		/* What the guest wrote before it said DONE is in the pipes now. */
		read_output(r, CHANNEL_OUT);
		read_output(r, CHANNEL_ERR);
	}
	if (is_over(r))
		finish(r);
}

static bool
all_read(const struct run *r)
{
	for (int kind = CHANNEL_OUT; kind <= CHANNEL_ERR; kind++) {
		if (r->sandbox->channels[kind] != NULL && !(r->seen.done && r->drained[kind]))
			return false;
	}
	return true;
}

static bool
is_over(struct run *r)
{
	if (!flush_pending(r))
		return false;
	if (r->seen.verdict != VERDICT_NONE)
		return r->seen.exited;
	if (!r->seen.done)
		return r->seen.exited && all_read(r);
	if (!all_read(r))
		return false;
	/* A failure may be the limit of processes: only the end of the sandbox tells. */
	if (r->seen.exit_code != 0 && !r->grant.keep && !r->seen.exited) {
		sandbox_kill(r->sandbox);
		return false;
	}
	return true;
}

static void
finish(struct run *r)
{
	struct run_file items[FILES_MAX];
	struct run_files files = { { items, 0 } };
	struct sandbox *s = r->sandbox;

	if (r->seen.done) {
		files = guest_files(&s->guest, items);
		r->files_dropped = s->guest.left_out > 0;
	}
	r->pending.max = FILES_TOTAL_MAX + (FILES_MAX + 1) * (FILE_NAME_MAX + 8);
	r->pending_channel = RUN_FILES;
	r->pending_at = 0;
	buf_clear(&r->pending);
	if (!is_ok(wire_encode(&run_files_table, &files, &r->pending))) {
		buf_clear(&r->pending);
		r->files_dropped = 1;
	}
	run_result(r, outcome_of(&r->seen));
}

void
run_result(struct run *r, struct run_outcome outcome)
{
	r->outcome = outcome;
	if (r->started_ns != 0)
		r->duration_ms = (uint32_t)((clock_mono_ns() - r->started_ns) / NS_PER_MS);
	authority_report(r, ERROR_NONE, outcome);
	r->state = RUN_SENDING;
	let_go(r);
	send_result(r);
}

static void
send_result(struct run *r)
{
	struct ge_result m = { .status = (uint8_t)r->outcome.status,
		.exit_code = r->outcome.exit_code,
		.truncated = r->truncated,
		.files_dropped = r->files_dropped,
		.duration_ms = r->duration_ms,
		.trap = span_str(r->reason),
		.version = r->version };

	if (!flush_pending(r))
		return;
	(void)!is_ok(stream_send(r->stream, GE_RESULT, &m));
	r->state = RUN_OVER;
	stream_end(r->stream);
}

/* The sandbox goes, or waits for its turn's next step. */
static void
let_go(struct run *r)
{
	struct sandbox *s = r->sandbox;

	r->sandbox = NULL;
	tool_end(r);
	build_end(r);
	run_drop_body(r);
	if (s == NULL)
		return;
	if (s->keep && s->state == SANDBOX_LEASED && s->guest.state == GUEST_IDLE)
		sandbox_rest(s);
	else
		sandbox_release(s);
	pool_poke(r->ex);
}

void
run_refuse(struct run *r, enum error error, uint32_t retry_after_ms)
{
	run_refuse_why(r, error, retry_after_ms, "");
}

void
run_refuse_why(struct run *r, enum error error, uint32_t retry_after_ms, const char *reason)
{
	struct ge_failed m = { (uint16_t)error, retry_after_ms, SPAN_EMPTY };

	reason_clean(span_str(reason), r->reason); /* the caller's goes with let_go() */
	m.reason = span_str(r->reason);

	grant_wait_cancel(r->grant_wait);
	r->grant_wait = NULL;
	pool_unqueue(r->ex, r);
	authority_report(r, error, (struct run_outcome){ RUN_CANCELLED, 0 });
	if (r->sandbox != NULL)
		r->sandbox->keep = false; /* in the middle of a step: fit for no other */
	let_go(r);
	if (r->state == RUN_OVER)
		return;
	r->state = RUN_OVER;
	if (r->stream == NULL)
		return;
	(void)!is_ok(stream_send(r->stream, GE_FAILED, &m));
	stream_end(r->stream);
}

void
run_cancel(struct run *r, enum error error)
{
	if (r->state == RUN_GOING)
		r->duration_ms = (uint32_t)((clock_mono_ns() - r->started_ns) / NS_PER_MS);
	if (r->state == RUN_SENDING || r->state == RUN_OVER)
		return;
	run_refuse(r, error, 0);
}

void
run_on_closed(struct stream *st, struct status why, void *ctx)
{
	struct run *r = ctx;

	(void)st, (void)why;
	r->stream = NULL;
	run_cancel(r, ERROR_CANCELLED);
	run_free(r);
}

static void
run_free(struct run *r)
{
	struct executor *ex = r->ex;
	const bool pooled = r->language != NULL; /* it may have waited in a pool's queue */

	let_go(r);
	buf_done(&r->pending);
	buf_done(&r->errors);
	TAILQ_REMOVE(&ex->runs, r, all);
	ex->nruns--;
	daemon_metric_set(METRIC_RUNS_OPEN, ex->nruns);
	free(r);
	turn_check(ex);
	if (pooled)
		pool_poke(ex);
	if (ex->d->draining && ex->nruns == 0)
		daemon_quit(ex->d, 0);
}
