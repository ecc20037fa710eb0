/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential.c: credentials: kept for their time, read before it ends, and on record.
 *
 * Runs in: broker. Trusts: the sources, for what they say of a value; the authority, that an
 * access is on record.
 * Owns: the versions in use and before.
 * Invariants: nothing is read before the intent to read it is on record, and a value is used only
 * after the end of its reading is, too, and only until its hour or lease ends; one reading at a
 * time a reference, whoever shares it.
 * See: credential.h, credentials.h, credential_wait.c (who asks), lifetime.c (when), source.h (from
 * where), access.h (on record).
 */
#include "credential_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/rand.h>

#include "marks.h"

static void go_on(struct credential *c);
static void limit_before(struct credential *c);
static void on_begun(void *ctx, struct status st);
static void on_job_done(struct source_job *job, struct source_result *r);

static uint32_t
roll(void)
{
	uint32_t r = 0;

	return is_ok(rand_bytes(&r, sizeof(r))) ? r : 0;
}

/* ---- records ---- */
static enum secret_why
why_of(const struct credential *c)
{
	return c->life.flight == LIFETIME_PREVIOUS ? SECRET_PREVIOUS : c->life.why;
}

static struct status
record_begin(struct credential *c)
{
	bool renew = c->job.op == LIFETIME_RENEW;
	const struct ab_secret_begin m = { .act = renew ? SECRET_ACT_RENEW : SECRET_ACT_READ,
		.reference = span_str(c->spec),
		.lease = renew ? span_str(c->life.lease) : SPAN_EMPTY,
		.why = (uint8_t)why_of(c) };

	return access_begin(c->b, &m, on_begun, c, &c->access);
}

/* Nothing waits for it. */
static void
record_end(struct credential *c, struct ab_secret_ended *m)
{
	struct access *a = c->access;

	c->access = NULL;
	if (a != NULL && !is_ok(access_end(a, m, NULL, NULL, NULL)))
		diag(DIAG_WARN, "the end of an access to a secret could not be told");
}

static uint32_t
seconds_left(const struct credential *c, uint64_t end_ms)
{
	uint64_t now = credential_now(c);

	return end_ms > now ? (uint32_t)((end_ms - now) / 1000) : 0;
}

static void
record_failure(struct credential *c, enum secret_fault fault)
{
	struct ab_secret_ended m = { .version = span_str(c->life.version),
		.fault = (uint8_t)fault,
		.valid_s = lifetime_usable(&c->life, credential_now(c))
			       ? seconds_left(c, c->life.end_ms)
			       : 0 };

	record_end(c, &m);
}

/* The source did not give it, or was not asked. */
static void
failed(struct credential *c, enum secret_fault fault, bool refused, uint32_t retry_after_ms)
{
	enum lifetime_op op = c->life.flight;

	record_failure(c, fault);
	if (op == LIFETIME_READ) {
		if (c->fault != fault)
			diag(DIAG_WARN, "%s: %s", c->spec, secret_fault_names[fault]);
		c->fault = fault;
	}
	lifetime_failed(&c->life, refused ? LIFETIME_REFUSED : LIFETIME_AWAY, retry_after_ms,
	    credential_now(c), roll());
}

/* What was lent and is replaced goes back soon, not at its end. */
static void
limit_before(struct credential *c)
{
	uint64_t most = credential_now(c) + CREDENTIAL_LENT_BEFORE_MS;

	if (c->before != NULL && c->before->lease != NULL && c->before->expires_ms > most)
		c->before->expires_ms = most;
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
		marks_tell(c->b);
		return;
	}
	lifetime_read(&c->life, &c->reading, credential_now(c), roll());
	fresh->expires_ms = c->life.end_ms;
	c->fault = SECRET_FAULT_NONE;
	if (fresh == c->now) {
		credential_release(fresh); /* the same again: one reference is enough */
		return;
	}
	credential_release(c->before);
	c->before = c->now;
	c->now = fresh;
	limit_before(c);
	marks_tell(c->b);
}

static void
drop_fresh(struct credential *c)
{
	credential_release(c->fresh);
	c->fresh = NULL;
	failed(c, SECRET_UNRECORDED, false, 0);
}

static void
on_recorded(void *ctx, struct status st)
{
	struct credential *c = ctx;

	c->access = NULL;
	if (is_ok(st))
		commit(c);
	else
		drop_fresh(c);
	go_on(c);
}

static void
record(struct credential *c)
{
	struct ab_secret_ended m = { .version = span_str(c->version),
		.lease = span_str(c->lease),
		.lease_s = (uint32_t)(c->reading.lease_ms / 1000),
		.valid_s = seconds_left(c, lifetime_end(c->life.flight_ms, c->reading.lease_ms)) };
	struct access *a = c->access;

	c->access = NULL;
	if (!is_ok(access_end(a, &m, on_recorded, c, &c->access)))
		drop_fresh(c);
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

/* Whatever becomes of the value: what was lent is given back some time. */
static struct lease *
lease_of(const struct credential *c, const struct source_result *r)
{
	struct lease *l = NULL;

	if (r->reading.lease == NULL || r->reading.lease[0] == '\0')
		return NULL;
	if (!is_ok(lease_new(c->b, c->spec, r->reading.lease, r->login,
		r->lent_ms == 0 ? UINT64_MAX : credential_now(c) + r->lent_ms, &l)))
		diag(DIAG_WARN, "%s: a lease cannot be given back, it ends by itself", c->spec);
	return l;
}

static void
on_read(struct credential *c, struct source_result *r)
{
	struct lease *lease = lease_of(c, r);
	struct status st = take_reading(c, r);

	if (is_ok(st) && c->fresh != c->now)
		c->fresh->lease = lease;
	else
		lease_return(lease);
	if (!is_ok(st)) {
		bool bad = st.code == E_RANGE || st.code == E_SYNTAX;

		failed(c, bad ? SECRET_INVALID : SECRET_FAILED, false, 0);
		return;
	}
	record(c);
}

static void
on_renewed(struct credential *c, const struct source_result *r)
{
	struct ab_secret_ended m = { .lease_s = (uint32_t)(r->reading.lease_ms / 1000) };

	lifetime_renewed(
	    &c->life, r->reading.lease_ms, r->reading.renewable, credential_now(c), roll());
	if (c->now != NULL) {
		c->now->expires_ms = c->life.end_ms;
		lease_extend(c->now->lease, c->life.flight_ms + r->lent_ms);
	}
	m.version = span_str(c->life.version);
	m.valid_s = seconds_left(c, c->life.end_ms);
	record_end(c, &m);
}

static void
on_job_done(struct source_job *job, struct source_result *r)
{
	struct credential *c = (struct credential *)(void *)((char *)job -
							     offsetof(struct credential, job));

	c->working = false;
	if (r->fault != SECRET_FAULT_NONE) {
		if (job->op == LIFETIME_READ)
			lease_return(lease_of(c, r));
		failed(c, r->fault, r->refused, r->retry_after_ms);
	} else if (job->op == LIFETIME_POLL) {
		lifetime_polled(&c->life, r->reading.version, credential_now(c), roll());
	} else if (job->op == LIFETIME_RENEW) {
		on_renewed(c, r);
	} else {
		on_read(c, r);
	}
	go_on(c);
}

/* What is over is wiped, not only left unused. */
static void
drop_expired(struct credential *c)
{
	if (c->now != NULL && (!c->life.held || !credential_usable(c, c->now))) {
		credential_release(c->now);
		c->now = NULL;
	}
	if (c->before != NULL && (!credential_usable(c, c->before) || c->now == NULL)) {
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
	uint64_t now = credential_now(c);

	if (first != NULL && first->until_ms < at)
		at = first->until_ms;
	if (c->now != NULL && c->now->expires_ms < at)
		at = c->now->expires_ms;
	if (c->before != NULL && c->before->lease != NULL && c->before->expires_ms < at)
		at = c->before->expires_ms;
	if (at == LIFETIME_NEVER)
		(void)uv_timer_stop(&c->timer);
	else
		(void)uv_timer_start(&c->timer, on_timer, at > now ? at - now : 1, 0);
}

/* ---- flights ---- */
static void
work(struct credential *c)
{
	struct status st = c->ops->start(c->source, &c->job);

	c->working = is_ok(st);
	if (!is_ok(st))
		failed(c, SECRET_FAILED, false, 0);
}

static void
on_begun(void *ctx, struct status st)
{
	struct credential *c = ctx;

	if (is_ok(st)) {
		work(c);
		if (c->working)
			return;
	} else {
		c->access = NULL;
		failed(c, SECRET_UNRECORDED, false, 0);
	}
	go_on(c);
}

/* To look whether there is a new version reads no secret; all else is on record first. */
static void
begin(struct credential *c, enum lifetime_op op)
{
	lifetime_begin(&c->life, op, credential_now(c));
	c->job.op = op;
	if (op == LIFETIME_POLL)
		work(c);
	else if (!is_ok(record_begin(c)))
		failed(c, SECRET_UNRECORDED, false, 0);
}

void
credential_act(struct credential *c)
{
	uint64_t wake;
	enum lifetime_op op;

	if (c->ops == NULL)
		return;
	drop_expired(c);
	op = c->b->authority == NULL ? LIFETIME_IDLE
				     : lifetime_next(&c->life, credential_now(c), &wake);
	if (op != LIFETIME_IDLE) {
		begin(c, op);
		(void)lifetime_next(&c->life, credential_now(c), &wake);
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
	credential_serve(c);
	credential_act(c);
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
	credential_act(c);
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
	access_give_up(c->access);
	if (c->working)
		c->ops->cancel(&c->job);
	credential_refuse(c);
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
	access_give_up(c->access);
	c->access = NULL;
	if (c->working)
		c->ops->cancel(&c->job);
	c->working = false;
	credential_release(c->fresh);
	c->fresh = NULL;
	lifetime_failed(&c->life, LIFETIME_AWAY, 0, credential_now(c), roll());
}

void
credentials_source_changed(struct broker *b, enum reference_source source)
{
	struct credential *c;

	leases_source_changed(b, source);
	kms_source_changed(b, source);
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
		credential_act(c);
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
		credential_act(c);
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
		credential_act(c);
	}
}
