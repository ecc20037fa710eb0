/* SPDX-License-Identifier: Apache-2.0 */
/*
 * work.c: the jobs of a source on the network: each waits for the session, asks, and ends once.
 *
 * Runs in: broker. Trusts: the steps of the source.
 * Owns: the works.
 * Invariants: without a session nothing is sent; a source that fails to answer is left alone for
 * a while; a job hears of its end once, from the loop, unless it is cancelled.
 * See: session.h, source.h; vault_job.c, aws_job.c.
 */
#include "session.h"

#include <stdlib.h>

/* ---- the end ---- */
static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
work_free(struct work *w)
{
	if (w->fetch != NULL)
		breaker_unknown(&w->s->breaker, session_now(w->s));
	fetch_cancel(w->fetch);
	secret_done(&w->result.value);
	LIST_REMOVE(w, entry);
	w->s->nworks--;
	uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}

static void
on_deliver(uv_timer_t *t)
{
	struct work *w = t->data;
	struct source_job *job = w->job;

	job->work = NULL;
	job->done(job, &w->result);
	work_free(w);
}

void
work_finish(struct work *w, enum secret_fault fault, bool refused, uint32_t retry_after_ms)
{
	w->result.fault = fault;
	w->result.refused = refused;
	w->result.retry_after_ms = retry_after_ms;
	(void)uv_timer_start(&w->timer, on_deliver, 0, 0);
}

/* An answer that makes no sense says nothing about what is held: only no and not there do. */
void
work_finish_status(struct work *w, struct status st)
{
	if (st.code == E_NOTFOUND)
		work_finish(w, SECRET_NOT_FOUND, true, 0);
	else if (st.code == E_SYNTAX || st.code == E_RANGE)
		work_finish(w, SECRET_INVALID, w->job->op == LIFETIME_RENEW, 0);
	else
		work_finish(w, SECRET_FAILED, false, 0);
}

/* ---- on the way ---- */
static void
on_answer(void *ctx, struct status st, const struct fetch_answer *a)
{
	struct work *w = ctx;
	struct session *s = w->s;

	w->fetch = NULL;
	if (is_ok(st) && s->ops->works(a->status))
		breaker_good(&s->breaker);
	else
		breaker_bad(&s->breaker, session_now(s));
	s->ops->answer(w, st, a);
}

struct status
work_fetch(struct work *w, struct upstream *u, struct fetch_request *r)
{
	return fetch_start(session_loop(w->s), u, r, on_answer, w, &w->fetch);
}

void
work_go_on(struct work *w)
{
	struct session *s = w->s;
	struct status st;

	if (!session_ready(s)) {
		session_want(s);
		return;
	}
	if (!breaker_passes(&s->breaker, session_now(s))) {
		work_finish(w, SECRET_UNREACHABLE, false, 0);
		return;
	}
	breaker_begin(&s->breaker, session_now(s));
	st = s->ops->send(w);
	if (!is_ok(st)) {
		breaker_unknown(&s->breaker, session_now(s));
		work_finish_status(w, st);
	}
}

static bool
waits(const struct work *w)
{
	return w->fetch == NULL && !uv_is_active((const uv_handle_t *)&w->timer);
}

static uint32_t
wait_of(const struct session *s)
{
	uint64_t now = session_now(s);

	return s->not_before_ms > now ? (uint32_t)(s->not_before_ms - now) : 0;
}

void
works_go_on(struct session *s)
{
	struct work *w, *next;
	bool ready = session_ready(s);

	for (w = LIST_FIRST(&s->works); w != NULL; w = next) {
		next = LIST_NEXT(w, entry);
		if (!waits(w))
			continue;
		if (ready)
			work_go_on(w);
		else
			work_finish(w, s->fault, s->refused, wait_of(s));
	}
}

/* ---- as a source ---- */
struct status
work_start(void *source, struct source_job *job)
{
	struct session *s = source;
	struct work *w;
	struct status st;

	if (s->nworks == SESSION_WORKS_MAX || s->stopped)
		return fail(E_FULL);
	w = calloc(1, s->ops->work_size);
	if (w == NULL)
		return fail(E_NOMEM);
	w->s = s;
	w->job = job;
	st = s->ops->take(w);
	if (!is_ok(st)) {
		free(w);
		return st;
	}
	(void)uv_timer_init(session_loop(s), &w->timer);
	w->timer.data = w;
	LIST_INSERT_HEAD(&s->works, w, entry);
	s->nworks++;
	job->work = w;
	if (!session_ready(s) && !session_busy(s) && wait_of(s) > 0)
		work_finish(w, s->fault, s->refused, wait_of(s));
	else
		work_go_on(w);
	return OK;
}

void
work_cancel(struct source_job *job)
{
	struct work *w = job->work;

	job->work = NULL;
	if (w != NULL)
		work_free(w);
}
