/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.c: leases on their way back to their source.
 *
 * Runs in: broker. Trusts: the sources, for whether they lend it still.
 * Owns: the leases that wait to be given back, and the one that is being.
 * Invariants: one at a time, on record first; a bounded number of tries; what ended by itself, or
 * with the login that it came by, is not asked for; at the end of the process the token takes them
 * all along.
 * See: lease.h, source.h; vault_job.c.
 */
#include "lease.h"

#include <stdio.h>
#include <stdlib.h>

#include "access.h"
#include "broker.h"
#include "credentials.h"
#include "session.h"

struct lease {
	TAILQ_ENTRY(lease) entry;
	struct broker *b;
	uint32_t login;
	uint64_t end_ms;
	unsigned tries;
	uint64_t not_before_ms;
	struct source_job job;
	char spec[REFERENCE_LEN_MAX + 1];
	char id[LEASE_ID_MAX + 1];
};

struct leases {
	struct broker *b;
	uv_timer_t timer; /* freed with it */
	TAILQ_HEAD(, lease) waiting;
	size_t nwaiting;
	struct lease *flight; /* not among those that wait */
	struct access *access;
	const struct source_ops *ops; /* that work on it; NULL: it is not begun */
};

static void go_on(struct leases *s);
static void on_begun(void *ctx, struct status st);
static void on_done(struct source_job *job, struct source_result *r);

static uint64_t
now_ms(const struct leases *s)
{
	return uv_now(s->b->d->loop);
}

struct status
lease_new(struct broker *b, const char *spec, const char *id, uint32_t login, uint64_t end_ms,
    struct lease **ret)
{
	struct lease *l = calloc(1, sizeof(*l));
	const char *why;
	struct status st;

	if (l == NULL)
		return fail(E_NOMEM);
	*l = (struct lease){ .b = b, .login = login, .end_ms = end_ms };
	st = span_to_cstr(span_str(spec), l->spec, sizeof(l->spec));
	if (is_ok(st))
		st = span_to_cstr(span_str(id), l->id, sizeof(l->id));
	if (is_ok(st))
		st = reference_parse(span_str(l->spec), &l->job.ref, &why);
	if (!is_ok(st)) {
		free(l);
		return st;
	}
	l->job.op = LIFETIME_REVOKE;
	l->job.version = "";
	l->job.lease = l->id;
	l->job.done = on_done;
	*ret = l;
	return OK;
}

void
lease_extend(struct lease *l, uint64_t end_ms)
{
	if (l != NULL)
		l->end_ms = end_ms;
}

/* ---- those that wait ---- */
static void
on_timer(uv_timer_t *t)
{
	go_on(t->data);
}

static struct leases *
leases_of(struct broker *b)
{
	struct leases *s = b->leases;

	if (s != NULL)
		return s;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->b = b;
	TAILQ_INIT(&s->waiting);
	(void)uv_timer_init(b->d->loop, &s->timer);
	uv_unref((uv_handle_t *)&s->timer);
	s->timer.data = s;
	b->leases = s;
	return s;
}

static void
drop_first(struct leases *s)
{
	struct lease *l = TAILQ_FIRST(&s->waiting);

	TAILQ_REMOVE(&s->waiting, l, entry);
	s->nwaiting--;
	free(l);
}

static void
wait_for(struct leases *s, struct lease *l)
{
	if (s->nwaiting == LEASES_MAX) {
		diag(DIAG_WARN, "%s: too many leases wait to be given back: one ends by itself",
		    TAILQ_FIRST(&s->waiting)->spec);
		drop_first(s);
	}
	TAILQ_INSERT_TAIL(&s->waiting, l, entry);
	s->nwaiting++;
}

void
lease_return(struct lease *l)
{
	struct leases *s;

	if (l == NULL)
		return;
	s = leases_of(l->b);
	if (s == NULL) {
		free(l);
		return;
	}
	wait_for(s, l);
	(void)uv_timer_start(&s->timer, on_timer, 0, 0); /* not from within the caller */
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

void
leases_free(struct broker *b)
{
	struct leases *s = b->leases;

	if (s == NULL)
		return;
	b->leases = NULL;
	access_give_up(s->access);
	if (s->ops != NULL)
		s->ops->cancel(&s->flight->job);
	free(s->flight);
	while (s->nwaiting > 0)
		drop_first(s);
	uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

/* ---- the one that is given back ---- */
/* Its source as it is now, where that lends it still. */
static bool
is_lent(const struct leases *s, const struct lease *l)
{
	enum reference_source from = l->job.ref.source;
	const struct source_ops *ops = s->b->sources == NULL ? NULL : s->b->sources->by[from].ops;

	return ops != NULL && ops->lends != NULL && now_ms(s) < l->end_ms &&
	       ops->lends(s->b->sources->by[from].source, l->login);
}

/* The first whose time has come; *ret_wake_ms: when to look again. */
static struct lease *
take_due(struct leases *s, uint64_t *ret_wake_ms)
{
	struct lease *l = TAILQ_FIRST(&s->waiting), *next;

	*ret_wake_ms = UINT64_MAX;
	for (; l != NULL; l = next) {
		next = TAILQ_NEXT(l, entry);
		if (is_lent(s, l) && now_ms(s) < l->not_before_ms) {
			if (l->not_before_ms < *ret_wake_ms)
				*ret_wake_ms = l->not_before_ms;
			continue;
		}
		TAILQ_REMOVE(&s->waiting, l, entry);
		s->nwaiting--;
		if (is_lent(s, l))
			return l;
		free(l);
	}
	return NULL;
}

/* Once more, later, where that may help. */
static void
failed(struct leases *s, enum secret_fault fault, bool refused, uint32_t retry_after_ms)
{
	struct lease *l = s->flight;
	uint32_t cap = LEASE_PAUSE_MIN_MS << (l->tries < 6 ? l->tries : 6);

	s->flight = NULL;
	if (refused || ++l->tries == LEASE_TRIES_MAX) {
		diag(DIAG_WARN, "%s: a lease cannot be given back, it ends by itself: %s", l->spec,
		    secret_fault_names[fault]);
		free(l);
		return;
	}
	if (cap > LEASE_PAUSE_MAX_MS)
		cap = LEASE_PAUSE_MAX_MS;
	l->not_before_ms = now_ms(s) + retry_after_ms + cap / 2 + session_roll() % cap;
	wait_for(s, l);
}

static void
begin(struct leases *s)
{
	struct span id = span_str(s->flight->id);
	const struct ab_secret_begin m = { .act = SECRET_ACT_REVOKE,
		.reference = span_str(s->flight->spec),
		.lease = id.len > SECRET_LEASE_MAX ? SPAN_EMPTY : id };

	if (!is_ok(access_begin(s->b, &m, on_begun, s, &s->access)))
		failed(s, SECRET_UNRECORDED, false, 0);
}

static void
go_on(struct leases *s)
{
	uint64_t wake = UINT64_MAX;

	while (s->flight == NULL) {
		s->flight = take_due(s, &wake);
		if (s->flight == NULL)
			break;
		begin(s);
	}
	if (wake != UINT64_MAX)
		(void)uv_timer_start(
		    &s->timer, on_timer, wake > now_ms(s) ? wake - now_ms(s) : 1, 0);
}

static void
end(struct leases *s, enum secret_fault fault)
{
	struct ab_secret_ended m = { .fault = (uint8_t)fault };
	struct access *a = s->access;

	s->access = NULL;
	if (!is_ok(access_end(a, &m, NULL, NULL, NULL)))
		diag(DIAG_WARN, "the end of an access to a secret could not be told");
}

static void
on_begun(void *ctx, struct status st)
{
	struct leases *s = ctx;
	const struct sources *all = s->b->sources;
	enum reference_source from = s->flight->job.ref.source;

	if (!is_ok(st)) {
		s->access = NULL;
		failed(s, SECRET_UNRECORDED, false, 0);
		go_on(s);
		return;
	}
	st = fail(E_CLOSED);
	if (is_lent(s, s->flight))
		st = all->by[from].ops->start(all->by[from].source, &s->flight->job);
	if (is_ok(st)) {
		s->ops = all->by[from].ops;
		return;
	}
	end(s, SECRET_FAILED);
	failed(s, SECRET_FAILED, false, 0);
	go_on(s);
}

/* Given back, or unknown there: then it had ended before. */
static bool
is_over(const struct source_result *r)
{
	return r->fault == SECRET_FAULT_NONE ||
	       (r->refused && (r->fault == SECRET_INVALID || r->fault == SECRET_NOT_FOUND));
}

static void
on_done(struct source_job *job, struct source_result *r)
{
	struct lease *l = (struct lease *)(void *)((char *)job - offsetof(struct lease, job));
	struct leases *s = l->b->leases;

	s->ops = NULL;
	end(s, r->fault);
	if (is_over(r)) {
		s->flight = NULL;
		free(l);
	} else {
		failed(s, r->fault, r->refused, r->retry_after_ms);
	}
	go_on(s);
}

/* What works on it is going away. */
void
leases_source_changed(struct broker *b, enum reference_source source)
{
	struct leases *s = b->leases;

	if (s == NULL || s->ops == NULL || s->flight->job.ref.source != source)
		return;
	s->ops->cancel(&s->flight->job);
	s->ops = NULL;
	end(s, SECRET_FAILED);
	failed(s, SECRET_FAILED, false, 0); /* and is dropped there, unless it is lent still */
	(void)uv_timer_start(&s->timer, on_timer, 0, 0);
}
