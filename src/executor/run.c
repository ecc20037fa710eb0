/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c: one run, from the gateway's stream to its result.
 *
 * Runs in: the executor. Trusts: a grant of the authority; the gateway's bytes
 * only when their length and SHA-256 are the granted ones; nothing of a guest.
 * Owns: the request's bytes, and the run's share of BODIES_TOTAL_MAX.
 * Invariants: no effect without a grant; the authority hears DONE, once, before
 * the gateway hears RESULT or FAILED; output goes out as it comes and no faster
 * than the gateway takes it; over the cap the run ends and says so.
 * See: wire/gateway_executor.h, wire/grant.h, sandbox.c.
 */
#include "executor.h"

#include <base/clock.h>
#include <crypto/hash.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARENA_MAX (1U << 20) /* the decoded request: spans borrow from the body */

static void on_open(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_gateway_closed(struct link *l, struct status why, void *ctx);
static struct run *run_new(struct link *l, uint64_t id, struct executor *ex);
static bool is_ready(const struct executor *ex);
static void take_grant(void *ctx, struct status st, const struct held_grant *grant);
static void on_data(struct stream *st, uint8_t channel, struct span data, void *ctx);
static void on_end(struct stream *st, void *ctx);
static void on_writable(struct stream *st, void *ctx);
static void on_stream_closed(struct stream *st, struct status why, void *ctx);
static enum error check_request(struct run *r);
static void choose_sandbox(struct run *r);
static struct sandbox *find_lease(const struct run *r);
static void read_output(struct run *r, enum channel_kind kind);
static void take_output(struct run *r, enum channel_kind kind, struct span bytes);
static bool flush_pending(struct run *r);
static bool is_over(struct run *r);
static void finish(struct run *r);
static void send_result(struct run *r);
static void let_go(struct run *r);
static void run_free(struct run *r);

static const struct link_rule gateway_rules[] = { { GE_OPEN, 0, on_open } };
static const struct link_ops gateway_ops = { gateway_rules, 1, on_gateway_closed };
static const struct stream_ops run_ops = { .on_data = on_data,
	.on_end = on_end,
	.on_writable = on_writable,
	.on_closed = on_stream_closed };

void
gateway_connect(struct executor *ex, uint32_t peer_id, int fd)
{
	struct gateway *g = calloc(1, sizeof(*g));
	struct status st = g == NULL ? fail(E_NOMEM) : OK;

	if (is_ok(st))
		st = link_new(ex->d->loop, fd, &ge_edge, false, &gateway_ops, g, &g->link);
	if (!is_ok(st))
		diag_fatal("gateway's link: %s", status_text(st));
	g->ex = ex;
	link_set_peer(g->link, peer_id);
	LIST_INSERT_HEAD(&ex->gateways, g, entry);
}

static void
on_gateway_closed(struct link *l, struct status why, void *ctx)
{
	struct gateway *g = ctx;

	if (why.code == E_PROTO) {
		diag(DIAG_ERROR, "gateway %u dropped: %s", link_peer(l), status_text(why));
		daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	}
	LIST_REMOVE(g, entry);
	link_free(l);
	free(g);
}

/* ---- opening ---- */

static void
on_open(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ge_open *m = msg;
	struct executor *ex = ((struct gateway *)ctx)->ex;
	struct grant_claim claim = { .gateway = link_peer(l), .body_len = m->body_len };
	struct held_grant grant = { .turn = 0 };
	struct status st;
	struct run *r;

	memcpy(claim.id, m->grant, sizeof(claim.id));
	st = grants_claim(&ex->grants, ex->authority, ex->d->loop, &claim, &grant);
	r = run_new(l, id, ex);
	if (r == NULL)
		return; /* the link cancels the stream; the grant's turn ends by time */
	r->body = BUF_INIT(m->body_len);
	if (st.code != E_NOTFOUND || !is_ready(ex))
		take_grant(r, st, &grant);
	else if (!is_ok(
		     grants_await(&ex->grants, ex->d->loop, &claim, take_grant, r, &r->grant_wait)))
		run_refuse(r, ERROR_OVERLOADED, QUEUE_RETRY_MS);
}

static struct run *
run_new(struct link *l, uint64_t id, struct executor *ex)
{
	struct run *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	if (!is_ok(stream_accept(l, id, &run_ops, r, &r->stream))) {
		free(r);
		return NULL;
	}
	r->ex = ex;
	r->arena = ARENA_INIT(ARENA_MAX);
	TAILQ_INSERT_TAIL(&ex->runs, r, all);
	ex->nruns++;
	return r;
}

static bool
is_ready(const struct executor *ex)
{
	return !ex->d->draining && ex->authority != NULL && ex->spawner != NULL;
}

/* At once, or after a wait for it. The authority hears what became of every grant of ours. */
static void
take_grant(void *ctx, struct status st, const struct held_grant *grant)
{
	struct run *r = ctx;

	r->grant_wait = NULL;
	if (is_ok(st) || st.code == E_RANGE) {
		r->grant = *grant;
		r->granted = true;
	}
	if (!is_ready(r->ex)) {
		run_refuse(r, ERROR_UNAVAILABLE, 0);
		return;
	}
	if (!is_ok(st)) {
		daemon_metric_add(METRIC_GRANTS_REFUSED, 1);
		run_refuse(r, ERROR_GRANT, 0);
		return;
	}
	daemon_metric_add(METRIC_GRANTS, 1);
	stream_consumed(r->stream, r->unconsumed);
	if (r->ended)
		on_end(r->stream, r);
}

/* What has come counts, not what was announced: who sends nothing takes no room. */
static void
reserve(struct run *r, size_t len)
{
	r->body_reserved += len;
	r->ex->bodies_total += len;
}

static void
on_data(struct stream *st, uint8_t channel, struct span data, void *ctx)
{
	struct run *r = ctx;

	if (r->grant_wait == NULL)
		stream_consumed(st, data.len);
	else
		r->unconsumed += data.len;
	if (r->state == RUN_OVER)
		return;
	if (r->state != RUN_COLLECTING || channel != RUN_REQUEST)
		run_cancel(r, ERROR_GRANT);
	else if (data.len > BODIES_TOTAL_MAX - r->ex->bodies_total)
		run_refuse(r, ERROR_OVERLOADED, QUEUE_RETRY_MS);
	else if (!is_ok(buf_put_span(&r->body, data)))
		run_cancel(r, ERROR_GRANT);
	else
		reserve(r, data.len);
}

static void
on_end(struct stream *st, void *ctx)
{
	struct run *r = ctx;
	enum error error;

	(void)st;
	r->ended = true;
	if (r->state != RUN_COLLECTING || r->grant_wait != NULL)
		return;
	error = check_request(r);
	if (error != ERROR_NONE) {
		run_refuse(r, error, 0);
		return;
	}
	choose_sandbox(r);
	pool_poke(r->ex);
}

static enum error
check_request(struct run *r)
{
	uint8_t digest[SHA256_LEN];

	if (r->body.len != r->grant.body_len || !is_ok(sha256(buf_span(&r->body), digest)) ||
	    memcmp(digest, r->grant.digest, sizeof(digest)) != 0) {
		daemon_metric_add(METRIC_GRANTS_REFUSED, 1);
		return ERROR_GRANT;
	}
	if (!is_ok(wire_decode(&run_request_table, buf_span(&r->body), &r->arena, &r->req)) ||
	    !span_eq_str(r->req.language, r->grant.target))
		return ERROR_GRANT;
	r->language = pool_language(r->ex, r->grant.target);
	return r->language == NULL ? ERROR_LANGUAGE : ERROR_NONE;
}

static void
choose_sandbox(struct run *r)
{
	struct sandbox *s = find_lease(r);
	struct status st;

	if (s != NULL) {
		run_begin(r, s);
		return;
	}
	st = pool_lease(r->ex, r);
	if (!is_ok(st))
		run_refuse(r, ERROR_POOL_BUSY, QUEUE_RETRY_MS);
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

static void
send_started(const struct run *r)
{
	char name[64];
	int n = snprintf(name, sizeof(name), "gvisor:%s-%u", r->language->name, r->sandbox->slot);
	struct ge_started m = { span_of(name, (size_t)n) };

	/* A full link fails by itself, and its streams with it. */
	(void)!is_ok(stream_send(r->stream, GE_STARTED, &m));
}

void
run_begin(struct run *r, struct sandbox *s)
{
	const struct language *l = r->language;
	uint32_t wall = l->wall_ms, flags = 0;
	struct status st;

	if (r->req.timeout_ms > 0 && r->req.timeout_ms < wall)
		wall = r->req.timeout_ms;
	flags |= r->req.notebook ? GUEST_FLAG_ECHO : 0;
	flags |= r->grant.keep ? 0 : GUEST_FLAG_ONE_SHOT;
	lease(s, r);
	r->state = RUN_GOING;
	r->started_ns = clock_mono_ns();
	daemon_metric_add(METRIC_RUNS, 1);
	st = sandbox_run(s, &r->req, flags, wall, l->cpu_ms);
	if (!is_ok(st)) {
		run_cancel(r, st.code == E_RANGE ? ERROR_INVALID_FIELD : ERROR_INTERNAL);
		return;
	}
	/* The frames are written or copied: the request is not needed any more. */
	arena_done(&r->arena);
	buf_done(&r->body);
	send_started(r);
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
		uint64_t left = r->language->output_max - r->output;
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
	uint64_t left = r->language->output_max - r->output;
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
	size_t taken = 0;

	if (r->pending_at < r->pending.len) {
		(void)!is_ok(stream_write(r->stream, r->pending_channel,
		    span_from(buf_span(&r->pending), r->pending_at), &taken));
		r->pending_at += taken;
	}
	return r->pending_at >= r->pending.len;
}

static void
on_writable(struct stream *st, void *ctx)
{
	struct run *r = ctx;

	(void)st;
	if (r->state == RUN_SENDING)
		send_result(r);
	if (r->state != RUN_GOING)
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

	r->outcome = outcome_of(&r->seen);
	r->duration_ms = (uint32_t)((clock_mono_ns() - r->started_ns) / NS_PER_MS);
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
	authority_report(r, ERROR_NONE, r->outcome);
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
		.duration_ms = r->duration_ms };

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
	buf_done(&r->body);
	arena_done(&r->arena);
	r->ex->bodies_total -= r->body_reserved;
	r->body_reserved = 0;
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
	struct ge_failed m = { (uint16_t)error, retry_after_ms };

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

static void
on_stream_closed(struct stream *st, struct status why, void *ctx)
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

	let_go(r);
	buf_done(&r->pending);
	TAILQ_REMOVE(&ex->runs, r, all);
	ex->nruns--;
	free(r);
	turn_check(ex);
	pool_poke(ex);
	if (ex->d->draining && ex->nruns == 0)
		daemon_quit(ex->d, 0);
}
