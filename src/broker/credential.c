/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential.c: credentials: kept for their time, read before it ends, and on record.
 *
 * Runs in: broker. Trusts: the sources, for what they say of a value; the authority, that an
 * access is on record.
 * Owns: the versions in use and before, the requests that wait for one.
 * Invariants: a value is used only after the record of its reading is durable, and only until its
 * hour or lease ends; one reading at a time a reference, whoever shares it; a request waits for
 * a bounded time, and not at all for a source that has just failed.
 * See: credential.h, credentials.h, lifetime.c (when), source.h (from where).
 */
#include "credentials.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/rand.h>

#include "broker.h"

struct credential_wait {
	TAILQ_ENTRY(credential_wait) entry;
	struct credential *c;
	struct credential_tried tried; /* referenced */
	uint64_t until_ms;
	credential_done *done;
	void *ctx;
	bool decided; /* with what follows; the callback comes */
	struct status end;
	struct credential_version *version;
};

TAILQ_HEAD(waits, credential_wait);

struct credential {
	LIST_ENTRY(credential) entry;
	uv_timer_t timer; /* freed with it */
	unsigned refs;
	struct broker *b;
	char spec[REFERENCE_LEN_MAX + 1];
	const struct source_ops *ops; /* NULL: `none` */
	void *source;
	struct lifetime life;
	struct source_job job;
	struct credential_version *now, *before;
	/* Read, not yet on record. */
	struct credential_version *fresh;
	struct lifetime_reading reading;
	char version[SECRET_VERSION_MAX + 1];
	char lease[SECRET_LEASE_MAX + 1];
	uint64_t record_id; /* of the call; 0: none */
	struct link
	    *record_link; /* it tells its calls before it goes: while there is an id, it is there */
	unsigned readings; /* names versions that their source does not name */
	enum secret_fault fault;
	struct waits waits, decided;
	size_t nwaits;
};

static void act(struct credential *c);
static void go_on(struct credential *c);
static void on_job_done(struct source_job *job, struct source_result *r);

static uint64_t
now_ms(const struct credential *c)
{
	return uv_now(c->b->d->loop);
}

static uint32_t
roll(void)
{
	uint32_t r = 0;

	return is_ok(rand_bytes(&r, sizeof(r))) ? r : 0;
}

static bool
usable(const struct credential *c, const struct credential_version *v)
{
	return v != NULL && now_ms(c) < v->expires_ms;
}

/* ---- requests ---- */
static bool
was_tried(const struct credential_tried *tried, const struct credential_version *v)
{
	for (unsigned i = 0; i < tried->count; i++) {
		if (tried->version[i] == v)
			return true;
	}
	return false;
}

static const uint16_t fault_codes[SECRET_FAULT_COUNT] = {
	[SECRET_FAULT_NONE] = E_CLOSED,
	[SECRET_UNREACHABLE] = E_CLOSED,
	[SECRET_SEALED] = E_CLOSED,
	[SECRET_THROTTLED] = E_CLOSED,
	[SECRET_LOGIN] = E_DENIED,
	[SECRET_DENIED] = E_DENIED,
	[SECRET_NOT_FOUND] = E_NOTFOUND,
	[SECRET_INVALID] = E_DENIED,
	[SECRET_EXPIRED] = E_DENIED,
	[SECRET_TAMPERED] = E_DENIED,
	[SECRET_FAILED] = E_CLOSED,
};

static bool
under_way(const struct credential *c)
{
	return c->life.flight == LIFETIME_READ || c->life.flight == LIFETIME_PREVIOUS;
}

/* Will a reading begin, or end, without waiting for a source that has just failed? */
static bool
soon(const struct credential *c)
{
	return under_way(c) || (c->life.want_read && now_ms(c) >= c->life.not_before_ms);
}

/* What a request that was refused with the version in use gets next. */
static struct status
pick_other(
    struct credential *c, const struct credential_tried *tried, struct credential_version **ret)
{
	if (lifetime_rejected(&c->life, c->life.version, now_ms(c)))
		return fail(E_AGAIN);
	if (usable(c, c->before) && !was_tried(tried, c->before)) {
		*ret = c->before;
		return OK;
	}
	if (c->before == NULL && lifetime_want_previous(&c->life))
		return fail(E_AGAIN);
	return fail(E_NOTFOUND);
}

static struct status
pick(struct credential *c, const struct credential_tried *tried, struct credential_version **ret)
{
	if (usable(c, c->now) && !was_tried(tried, c->now)) {
		*ret = c->now;
		return OK;
	}
	if (c->ops == NULL)
		return fail(E_NOTFOUND);
	if (tried->count >= CREDENTIAL_TRIES_MAX)
		return fail(E_NOTFOUND);
	if (usable(c, c->now))
		return pick_other(c, tried, ret);
	return soon(c) ? fail(E_AGAIN) : fail((enum code)fault_codes[c->fault]);
}

static void
wait_free(struct credential_wait *w)
{
	TAILQ_REMOVE(w->decided ? &w->c->decided : &w->c->waits, w, entry);
	w->c->nwaits--;
	credential_release(w->version);
	for (unsigned i = 0; i < w->tried.count; i++)
		credential_release((struct credential_version *)(uintptr_t)w->tried.version[i]);
	free(w);
}

static struct status
wait_new(struct credential *c, const struct credential_tried *tried, credential_done *done,
    void *ctx, struct credential_wait **ret)
{
	struct credential_wait *w;

	if (c->nwaits == CREDENTIAL_WAITS_MAX)
		return fail(E_FULL);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return fail(E_NOMEM);
	*w = (struct credential_wait){ .c = c,
		.tried = *tried,
		.until_ms = now_ms(c) + CREDENTIAL_WAIT_MS,
		.done = done,
		.ctx = ctx };
	for (unsigned i = 0; i < tried->count; i++)
		credential_ref((struct credential_version *)(uintptr_t)tried->version[i]);
	TAILQ_INSERT_TAIL(&c->waits, w, entry);
	c->nwaits++;
	*ret = w;
	return OK;
}

/* Those whose answer is there, or whose time is over, are told once all are decided. */
static void
decide_waits(struct credential *c)
{
	struct credential_wait *w, *next;
	uint64_t now = now_ms(c);

	for (w = TAILQ_FIRST(&c->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		w->end = pick(c, &w->tried, &w->version);
		if (w->end.code == E_AGAIN && now < w->until_ms)
			continue;
		if (w->end.code == E_AGAIN)
			w->end = fail(E_CLOSED);
		if (is_ok(w->end))
			credential_ref(w->version);
		else
			w->version = NULL;
		TAILQ_REMOVE(&c->waits, w, entry);
		TAILQ_INSERT_TAIL(&c->decided, w, entry);
		w->decided = true;
	}
}

static void
serve_waits(struct credential *c)
{
	struct credential_wait *w;

	decide_waits(c);
	while ((w = TAILQ_FIRST(&c->decided)) != NULL) {
		struct credential_wait one = *w;

		w->version = NULL; /* the callee's now */
		wait_free(w);
		one.done(one.ctx, one.end, one.version);
	}
}

struct status
credential_get(struct credential *c, const struct credential_tried *tried, credential_done *done,
    void *ctx, struct credential_wait **ret_wait, struct credential_version **ret)
{
	struct status st = pick(c, tried, ret);

	if (is_ok(st))
		credential_ref(*ret);
	if (st.code != E_AGAIN)
		return st;
	TRY(wait_new(c, tried, done, ctx, ret_wait));
	act(c);
	return fail(E_AGAIN);
}

struct credential_version *
credential_other(const struct credential *c, const struct credential_version *v)
{
	struct credential_version *other = c == NULL ? NULL : v == c->now ? c->before : c->now;

	if (other == NULL || other == v)
		return NULL;
	credential_ref(other);
	return other;
}

void
credential_cancel(struct credential_wait *w)
{
	wait_free(w);
}

/* ---- records ---- */
static void
put_times(const struct credential *c, struct ab_secret_accessed *m)
{
	uint64_t end = lifetime_end(c->life.flight_ms, c->reading.lease_ms), now = now_ms(c);

	m->lease_s = (uint32_t)(c->reading.lease_ms / 1000);
	m->valid_s = end > now ? (uint32_t)((end - now) / 1000) : 0;
}

static enum secret_why
why_of(const struct credential *c)
{
	return c->life.flight == LIFETIME_PREVIOUS ? SECRET_PREVIOUS : c->life.why;
}

static void
on_failure_recorded(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)st, (void)type, (void)msg, (void)ctx;
}

static void
record_failure(struct credential *c, enum secret_fault fault)
{
	const struct ab_secret_accessed m = { .reference = span_str(c->spec),
		.version = span_str(c->life.version),
		.why = (uint8_t)why_of(c),
		.fault = (uint8_t)fault,
		.valid_s = lifetime_usable(&c->life, now_ms(c))
			       ? (uint32_t)((c->life.end_ms - now_ms(c)) / 1000)
			       : 0 };
	uint64_t id;

	if (c->b->authority == NULL || !is_ok(link_call(c->b->authority, AB_SECRET_ACCESSED, &m,
					   CREDENTIAL_RECORD_MS, on_failure_recorded, NULL, &id)))
		diag(DIAG_WARN, "a failed access to a secret could not be told to the authority");
}

/* The source did not give it. */
static void
failed(struct credential *c, enum secret_fault fault, bool refused, uint32_t retry_after_ms)
{
	enum lifetime_op op = c->life.flight;

	if (op != LIFETIME_POLL)
		record_failure(c, fault);
	if (op == LIFETIME_READ) {
		if (c->fault != fault)
			diag(DIAG_WARN, "%s: %s", c->spec, secret_fault_names[fault]);
		c->fault = fault;
	}
	lifetime_failed(&c->life, refused ? LIFETIME_REFUSED : LIFETIME_AWAY, retry_after_ms,
	    now_ms(c), roll());
}

/* From here on it is used. */
static void
commit(struct credential *c)
{
	bool previous = c->life.flight == LIFETIME_PREVIOUS;
	struct credential_version *fresh = c->fresh;

	c->fresh = NULL;
	if (previous) {
		fresh->expires_ms = lifetime_end(c->life.flight_ms, c->reading.lease_ms);
		credential_release(c->before);
		c->before = fresh;
		lifetime_read_previous(&c->life);
		return;
	}
	lifetime_read(&c->life, &c->reading, now_ms(c), roll());
	fresh->expires_ms = c->life.end_ms;
	c->fault = SECRET_FAULT_NONE;
	if (fresh == c->now) {
		credential_release(fresh); /* the same again: one reference is enough */
		return;
	}
	credential_release(c->before);
	c->before = c->now;
	c->now = fresh;
}

static void
on_recorded(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ab_secret_recorded *m = msg;
	struct credential *c = ctx;

	(void)l;
	c->record_id = 0;
	if (is_ok(st) && type == AB_SECRET_RECORDED && m->error == ERROR_NONE) {
		commit(c);
	} else {
		credential_release(c->fresh);
		c->fresh = NULL;
		lifetime_failed(&c->life, LIFETIME_AWAY, 0, now_ms(c), roll());
	}
	go_on(c);
}

static struct status
record(struct credential *c)
{
	struct ab_secret_accessed m = { .reference = span_str(c->spec),
		.version = span_str(c->version),
		.lease = span_str(c->lease),
		.why = (uint8_t)why_of(c) };

	put_times(c, &m);
	if (c->b->authority == NULL)
		return fail(E_CLOSED);
	c->record_link = c->b->authority;
	return link_call(c->b->authority, AB_SECRET_ACCESSED, &m, CREDENTIAL_RECORD_MS, on_recorded,
	    c, &c->record_id);
}

/* ---- readings ---- */
/* A name for what its source does not name: the same as long as the value is the same. */
static void
name_version(struct credential *c, const struct source_result *r, bool same)
{
	if (r->reading.version[0] != '\0')
		(void)snprintf(c->version, sizeof(c->version), "%s", r->reading.version);
	else if (same)
		(void)snprintf(c->version, sizeof(c->version), "%s", c->now->version);
	else
		(void)snprintf(c->version, sizeof(c->version), "r%u", ++c->readings);
}

static struct status
take_reading(struct credential *c, struct source_result *r)
{
	bool same = c->life.flight == LIFETIME_READ && c->now != NULL &&
		    secret_eq(&c->now->value, secret_borrow(&r->value));

	name_version(c, r, same);
	same = same && strcmp(c->version, c->now->version) == 0;
	(void)snprintf(c->lease, sizeof(c->lease), "%s",
	    strlen(r->reading.lease) <= SECRET_LEASE_MAX ? r->reading.lease : "");
	c->reading = r->reading;
	c->reading.version = c->version;
	c->reading.lease = c->lease;
	if (same) {
		credential_ref(c->now);
		c->fresh = c->now;
		return OK;
	}
	return credential_version_new(&r->value, c->version, UINT64_MAX, &c->fresh);
}

static void
on_read(struct credential *c, struct source_result *r)
{
	struct status st = take_reading(c, r);

	if (!is_ok(st)) {
		bool bad = st.code == E_RANGE || st.code == E_SYNTAX;

		failed(c, bad ? SECRET_INVALID : SECRET_FAILED, false, 0);
		return;
	}
	if (is_ok(record(c)))
		return;
	credential_release(c->fresh);
	c->fresh = NULL;
	lifetime_failed(&c->life, LIFETIME_AWAY, 0, now_ms(c), roll());
}

static void
on_job_done(struct source_job *job, struct source_result *r)
{
	struct credential *c = (struct credential *)(void *)((char *)job -
							     offsetof(struct credential, job));

	if (r->fault != SECRET_FAULT_NONE) {
		failed(c, r->fault, r->refused, r->retry_after_ms);
	} else if (job->op == LIFETIME_POLL) {
		lifetime_polled(&c->life, r->reading.version, now_ms(c), roll());
	} else if (job->op == LIFETIME_RENEW) {
		lifetime_renewed(
		    &c->life, r->reading.lease_ms, r->reading.renewable, now_ms(c), roll());
		if (c->now != NULL)
			c->now->expires_ms = c->life.end_ms;
	} else {
		on_read(c, r);
	}
	go_on(c);
}

/* What is over is wiped, not only left unused. */
static void
drop_expired(struct credential *c)
{
	if (c->now != NULL && (!c->life.held || !usable(c, c->now))) {
		credential_release(c->now);
		c->now = NULL;
	}
	if (c->before != NULL && (!usable(c, c->before) || c->now == NULL)) {
		credential_release(c->before);
		c->before = NULL;
	}
}

static void
on_timer(uv_timer_t *t)
{
	go_on(t->data);
}

static void
wake_at(struct credential *c, uint64_t at)
{
	const struct credential_wait *first = TAILQ_FIRST(&c->waits);
	uint64_t now = now_ms(c);

	if (first != NULL && first->until_ms < at)
		at = first->until_ms;
	if (c->now != NULL && c->now->expires_ms < at)
		at = c->now->expires_ms;
	if (at == LIFETIME_NEVER)
		(void)uv_timer_stop(&c->timer);
	else
		(void)uv_timer_start(&c->timer, on_timer, at > now ? at - now : 1, 0);
}

/* Do what its times ask for, if anything. */
static void
act(struct credential *c)
{
	uint64_t wake;
	enum lifetime_op op;
	struct status st;

	if (c->ops == NULL)
		return;
	drop_expired(c);
	op = c->b->authority == NULL ? LIFETIME_IDLE : lifetime_next(&c->life, now_ms(c), &wake);
	if (op != LIFETIME_IDLE) {
		lifetime_begin(&c->life, op, now_ms(c));
		c->job.op = op;
		st = c->ops->start(c->source, &c->job);
		if (!is_ok(st))
			failed(c, SECRET_FAILED, false, 0);
		(void)lifetime_next(&c->life, now_ms(c), &wake);
	} else if (c->b->authority == NULL) {
		wake = LIFETIME_NEVER; /* credentials_authority() goes on */
	}
	wake_at(c, wake);
}

/* Tell who waits, then act. The last user may leave in a callback: so it is held until then. */
static void
go_on(struct credential *c)
{
	c->refs++;
	serve_waits(c);
	act(c);
	credential_free(c);
}

/* ---- credentials ---- */
static struct credential *
find(struct broker *b, const char *spec)
{
	struct credential *c;

	LIST_FOREACH(c, &b->credentials, entry)
	{
		if (strcmp(c->spec, spec) == 0)
			return c;
	}
	return NULL;
}

static struct status
attach(struct credential *c)
{
	const struct sources *s = c->b->sources;
	struct secret none = SECRET_NONE;
	const char *why;

	TRY(reference_parse(span_str(c->spec), &c->job.ref, &why));
	if (c->job.ref.source == REFERENCE_NONE)
		return credential_version_new(&none, "none", UINT64_MAX, &c->now);
	if (s == NULL || s->by[c->job.ref.source].ops == NULL)
		return fail(E_UNSUPPORTED); /* the configuration was checked: it is there */
	c->ops = s->by[c->job.ref.source].ops;
	c->source = s->by[c->job.ref.source].source;
	lifetime_init(&c->life, &s->by[c->job.ref.source].lifetime);
	c->job.done = on_job_done;
	c->job.version = c->life.version;
	c->job.lease = c->life.lease;
	return OK;
}

struct status
credential_new(struct broker *b, const char *spec, struct credential **ret)
{
	struct credential *c = find(b, spec);
	struct status st;

	if (c != NULL) {
		c->refs++;
		*ret = c;
		return OK;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return fail(E_NOMEM);
	c->b = b;
	c->refs = 1;
	TAILQ_INIT(&c->waits);
	TAILQ_INIT(&c->decided);
	st = span_to_cstr(span_str(spec), c->spec, sizeof(c->spec));
	if (is_ok(st))
		st = attach(c);
	if (!is_ok(st)) {
		free(c);
		return st;
	}
	(void)uv_timer_init(b->d->loop, &c->timer);
	c->timer.data = c;
	uv_unref((uv_handle_t *)&c->timer);
	LIST_INSERT_HEAD(&b->credentials, c, entry);
	*ret = c;
	act(c);
	return OK;
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

void
credential_free(struct credential *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	LIST_REMOVE(c, entry);
	if (c->record_id != 0)
		link_call_cancel(c->record_link, c->record_id);
	if (c->life.flight != LIFETIME_IDLE && c->fresh == NULL)
		c->ops->cancel(&c->job);
	while (!TAILQ_EMPTY(&c->waits)) {
		struct credential_wait *w = TAILQ_FIRST(&c->waits);
		credential_done *done = w->done;
		void *ctx = w->ctx;

		wait_free(w);
		done(ctx, fail(E_CLOSED), NULL);
	}
	credential_release(c->fresh);
	credential_release(c->before);
	credential_release(c->now);
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

/* What is under way is given up, as if its source had been away. */
static void
give_up(struct credential *c)
{
	if (c->life.flight == LIFETIME_IDLE)
		return;
	if (c->record_id != 0)
		link_call_cancel(c->record_link, c->record_id);
	c->record_id = 0;
	if (c->fresh == NULL)
		c->ops->cancel(&c->job);
	credential_release(c->fresh);
	c->fresh = NULL;
	lifetime_failed(&c->life, LIFETIME_AWAY, 0, now_ms(c), roll());
}

void
credentials_source_changed(struct broker *b, enum reference_source source)
{
	struct credential *c;

	LIST_FOREACH(c, &b->credentials, entry)
	{
		if (c->ops == NULL || c->job.ref.source != source)
			continue;
		give_up(c);
		c->ops = b->sources->by[source].ops;
		c->source = b->sources->by[source].source;
		c->life.opts = b->sources->by[source].lifetime;
		c->life.not_before_ms = 0;
		lifetime_changed(&c->life, SECRET_RELOAD);
		act(c);
	}
}

void
credentials_authority(struct broker *b)
{
	struct credential *c;

	LIST_FOREACH(c, &b->credentials, entry)
	{
		if (c->job.ref.source == REFERENCE_FILE)
			lifetime_changed(&c->life, SECRET_RELOAD);
		act(c);
	}
}

void
credentials_changed(struct broker *b, struct span name)
{
	struct credential *c;

	LIST_FOREACH(c, &b->credentials, entry)
	{
		if (c->job.ref.source != REFERENCE_FILE || !span_eq(c->job.ref.place, name))
			continue;
		c->life.not_before_ms = 0; /* what failed until now may work */
		lifetime_changed(&c->life, SECRET_ROTATED);
		act(c);
	}
}
