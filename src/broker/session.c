/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c: a session with a source of credentials: one login at a time, kept, had anew.
 *
 * Runs in: broker. Trusts: its owner's steps; nothing that the source says.
 * Owns: the flight of a login, and when the next one may begin.
 * Invariants: one login at a time, on record before its first byte; what failed waits longer each
 * time; while a login runs or fails, what is held goes on until its end. See: session.h, work.c;
 * vault_login.c, aws_keys.c.
 */
#include "session.h"

#include <assert.h>
#include <stdlib.h>

#include <base/rand.h>

static void on_timer(uv_timer_t *t);

uint64_t
session_now(const struct session *s)
{
	return uv_now(s->b->d->loop);
}

uv_loop_t *
session_loop(const struct session *s)
{
	return s->b->d->loop;
}

uint32_t
session_roll(void)
{
	uint32_t r = 0;

	return is_ok(rand_bytes(&r, sizeof(r))) ? r : 0;
}

void
session_init(struct session *s, const struct session_ops *ops, struct broker *b)
{
	s->ops = ops;
	s->b = b;
	LIST_INIT(&s->works);
	(void)uv_timer_init(b->d->loop, &s->timer);
	uv_unref((uv_handle_t *)&s->timer);
	s->timer.data = s;
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data); /* the owner's struct begins here */
}

void
session_free(struct session *s)
{
	if (s == NULL)
		return;
	assert(LIST_EMPTY(&s->works));
	s->closing = true;
	if (s->opening)
		return; /* on_opened() calls again */
	access_give_up(s->access);
	fetch_cancel(s->fetch);
	s->ops->done(s);
	uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}

void
session_stop(struct session *s)
{
	s->stopped = true;
	access_give_up(s->access);
	s->access = NULL;
	fetch_cancel(s->fetch);
	s->fetch = NULL;
	(void)uv_timer_stop(&s->timer);
}

/* ---- connections ---- */
struct status
session_ca(const struct session *s, const char *key, struct span system_ca, struct buf *own,
    struct span *ret)
{
	*ret = system_ca;
	if (conf_strf(s->b->d->conf, "%s.ca_file", key) == NULL)
		return OK;
	TRY(daemon_read_file(daemon_filef(s->b->d, "%s.ca_file", key), own));
	*ret = buf_span(own);
	return OK;
}

struct status
session_connect(const struct session *s, struct upstream_opts *o, struct upstream **ret)
{
	o->loop = s->b->d->loop;
	o->limits.first_byte_ms = o->limits.idle_ms = o->limits.total_ms = FETCH_TOTAL_MS;
	return upstream_new(o, ret);
}

/* ---- logins ---- */
bool
session_ready(const struct session *s)
{
	return s->held && session_now(s) < s->end_ms;
}

static void
wake_at(struct session *s, uint64_t at_ms)
{
	uint64_t now = session_now(s);

	(void)uv_timer_start(&s->timer, on_timer, at_ms > now ? at_ms - now : 0, 0);
}

static void
on_timer(uv_timer_t *t)
{
	session_want(t->data);
}

/* ---- a login, on record ---- */
static void
on_opened(void *ctx)
{
	struct session *s = ctx;

	s->opening = false;
	if (s->closing)
		session_free(s);
	else if (!s->stopped)
		s->ops->login(s);
}

void
session_retry(struct session *s)
{
	if (s->login != SESSION_LOGIN_FILES)
		s->ops->login(s);
	else if (is_ok(daemon_files_again(s->b->d, on_opened, s)))
		s->opening = true;
	else
		session_failed(s, SECRET_LOGIN, false, 0);
}

static void
on_begun(void *ctx, struct status st)
{
	struct session *s = ctx;

	if (is_ok(st)) {
		session_retry(s);
		return;
	}
	s->access = NULL;
	session_failed(s, SECRET_UNRECORDED, false, 0);
}

static void
begin(struct session *s)
{
	struct ab_secret_begin m = { .reference = span_str(s->ops->name),
		.method = span_str(s->method) };

	s->login = s->ops->prepare(s);
	m.act = s->login == SESSION_RENEW ? SECRET_ACT_LOGIN_RENEW : SECRET_ACT_LOGIN;
	if (!is_ok(access_begin(s->b, &m, on_begun, s, &s->access)))
		session_failed(s, SECRET_UNRECORDED, false, 0);
}

void
session_record_end(struct session *s, enum secret_fault fault)
{
	struct ab_secret_ended m = { .fault = (uint8_t)fault };
	struct access *a = s->access;
	uint64_t now = session_now(s);

	s->access = NULL;
	if (fault == SECRET_FAULT_NONE) {
		m.version = span_str(s->accessor);
		m.lease_s = s->held && s->end_ms > now ? (uint32_t)((s->end_ms - now) / 1000) : 0;
	}
	if (a != NULL && !is_ok(access_end(a, &m, NULL, NULL, NULL)))
		diag(DIAG_WARN, "%s: the end of a login could not be told", s->ops->name);
}

void
session_again(struct session *s, enum secret_fault fault)
{
	session_record_end(s, fault);
	begin(s);
}

bool
session_busy(const struct session *s)
{
	return s->access != NULL || s->fetch != NULL || s->opening;
}

void
session_want(struct session *s)
{
	if (session_busy(s) || s->stopped)
		return;
	if (session_now(s) >= s->not_before_ms)
		begin(s);
	else
		wake_at(s, s->not_before_ms);
}

/* ---- its end ---- */
void
session_open(struct session *s, uint64_t end_ms, uint64_t next_ms)
{
	s->held = true;
	s->end_ms = end_ms;
	s->failures = 0;
	s->not_before_ms = 0;
	s->fault = SECRET_FAULT_NONE;
	session_record_end(s, SECRET_FAULT_NONE);
	wake_at(s, next_ms);
	works_go_on(s);
}

void
session_failed(struct session *s, enum secret_fault fault, bool refused, uint32_t retry_after_ms)
{
	uint64_t cap = SESSION_BACKOFF_MIN_MS;

	session_record_end(s, fault);
	s->fault = fault;
	s->refused = refused;
	s->failures++;
	for (unsigned i = 1; i < s->failures && cap < SESSION_BACKOFF_MAX_MS; i++)
		cap *= 2;
	if (cap > SESSION_BACKOFF_MAX_MS)
		cap = SESSION_BACKOFF_MAX_MS;
	s->not_before_ms = session_now(s) + SESSION_BACKOFF_MIN_MS / 2 + session_roll() % cap +
			   retry_after_ms + (refused ? SESSION_REFUSED_MS : 0);
	if (session_ready(s))
		wake_at(s, s->not_before_ms);
	if (s->failures == 1)
		diag(DIAG_WARN, "%s: %s %s: %s", s->ops->name, s->ops->verb, s->method,
		    secret_fault_names[fault]);
	works_go_on(s);
}

void
session_lost(struct session *s)
{
	s->held = false;
	s->end_ms = 0;
}
