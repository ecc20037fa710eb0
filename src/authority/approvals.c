/* SPDX-License-Identifier: Apache-2.0 */
/*
 * approvals.c: acts that need two people: their places, records and end.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks.
 * Owns: the acts that wait for a second person, as they were asked for.
 * Invariants: each step is on record; what has lapsed is not done; what has ended takes no place of
 * what waits, and of what it was about nothing is kept. They do not outlive the process: then they
 * have lapsed, too.
 * See: approvals_ask.c, approvals_decide.c, approvals_show.c, admin_call.h, roles.c (which acts).
 */
#include "approvals.h"

#include <assert.h>
#include <stdio.h>

#define APPROVALS_TENANT_MAX 16 /* about one tenant, those that wait; and those that have ended */
#define APPROVALS_PERSON_MAX 8  /* of one person, given ones too */

static struct approval approvals[APPROVALS_MAX];
static uint64_t ended_count;

static void put_record(struct admin_op *op, struct batch *b, const struct record_who *who);

const struct admin_kind admin_approval_kind = { put_record, approval_put_asked, true,
	ADMIN_WAIT_MS };

struct approval *
approval_at(size_t index)
{
	assert(index < APPROVALS_MAX);
	return &approvals[index];
}

void
approval_release(struct approval *p)
{
	if (p->request.ptr != NULL)
		explicit_bzero(p->request.ptr, p->request.cap);
	buf_done(&p->request);
	*p = (struct approval){ .state = FREE };
}

bool
approval_is_by(const struct approval *p, const struct admin_call *c)
{
	if (p->by == NULL || c->by == NULL)
		return p->by == NULL && c->by == NULL && p->uid == c->uid;
	return p->by->user == c->by->user &&
	       memcmp(p->asker, c->by->user->subject, SUBJECT_LEN) == 0;
}

const struct user *
approval_asker(const struct approval *p)
{
	const struct user *u = p->by == NULL ? NULL : p->by->user;

	return u == NULL || u->state == USER_ERASED ||
		       memcmp(p->asker, u->subject, SUBJECT_LEN) != 0
		   ? NULL
		   : u;
}

/* NULL: none has ended. */
static struct approval *
oldest_ended(struct span tenant, size_t *ret_n)
{
	struct approval *oldest = NULL;

	*ret_n = 0;
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		struct approval *p = &approvals[i];

		if (!approval_has_ended(p) || (tenant.len > 0 && !span_eq_str(tenant, p->tenant)))
			continue;
		++*ret_n;
		if (oldest == NULL || p->nth < oldest->nth)
			oldest = p;
	}
	return oldest;
}

/* What was asked for is not needed any more; how that ended is told for as long again. */
void
approval_end(const struct authority *a, struct approval *p, enum approval_state state,
    uint16_t http, const char *error)
{
	struct approval ended = { .state = state,
		.action = p->action,
		.by = p->by,
		.uid = p->uid,
		.nth = ++ended_count,
		.http = http,
		.error = error,
		.until_ms = now_ms(a) + APPROVAL_TTL_MS,
		.expires_s = now_real_s() + APPROVAL_TTL_MS / 1000 };
	struct approval *oldest;
	size_t n;

	memcpy(ended.id, p->id, sizeof(ended.id));
	memcpy(ended.asker, p->asker, sizeof(ended.asker));
	memcpy(ended.tenant, p->tenant, sizeof(ended.tenant));
	approval_release(p);
	oldest = oldest_ended(span_str(ended.tenant), &n);
	if (n >= APPROVALS_TENANT_MAX)
		approval_release(oldest);
	*p = ended;
}

struct status
approval_take_place(const struct admin_call *c, struct approval **ret)
{
	size_t n = 0, own = 0, ended;

	*ret = NULL;
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		if (approvals[i].state == FREE) {
			*ret = &approvals[i];
			continue;
		}
		if (approval_has_ended(&approvals[i]))
			continue;
		n += approvals[i].state != GIVEN && span_eq_str(c->tenant, approvals[i].tenant);
		own += approval_is_by(&approvals[i], c);
	}
	if (*ret == NULL)
		*ret = oldest_ended(SPAN_EMPTY, &ended);
	return *ret != NULL && n < APPROVALS_TENANT_MAX && own < APPROVALS_PERSON_MAX
		   ? OK
		   : fail(E_FULL);
}

/* ---- records ---- */

struct status
approval_begin_record(struct admin_call *c, struct approval *p, const char *state,
    admin_step *ready, admin_step *undo)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_APPROVAL, &op));
	op->approval = p;
	op->operation = action_name(p->action);
	op->value = state;
	(void)snprintf(op->value_text, sizeof(op->value_text), "%s", p->id);
	op->undo = undo;
	return admin_op_begin(op, ready, c->op);
}

static void
put_record(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_APPROVAL, who, "approval", span_str(op->value_text));
	if (strcmp(op->value, "refused") == 0)
		batch_outcome(b, AUDIT_DENIED, AUDIT_CAUSE_NONE);
	batch_text(b, op->value_text);
	batch_text(b, op->operation);
	batch_text(b, op->value);
}

/* One that waited may have been decided, and its place taken, while this was on its way. */
bool
approval_is_of(const struct admin_op *op)
{
	return strcmp(op->approval->id, op->value_text) == 0;
}

/* ---- lapsing ---- */

static void
on_lapsed(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	(void)a, (void)ctx, (void)seq;
	if (!is_ok(st))
		diag(DIAG_WARN, "an approval lapsed, and the audit log does not say so");
}

/* What was asked of a hold before it was set, or lifted, is not about the one that comes. */
void
approvals_end_lifts(const struct authority *a, const struct user *u)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		struct approval *p = &approvals[i];

		if (p->action != ACTION_HOLD_LIFT ||
		    memcmp(p->subject, u->subject, SUBJECT_LEN) != 0)
			continue;
		p->until_ms = now_ms(a); /* the next tick puts it on record */
		p->expires_s = now_real_s();
	}
}

void
approvals_tick(struct authority *a)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		struct approval *p = &approvals[i];
		struct record_who who = { .key = p->by, .config = a->d->generation };
		struct batch b = { .n = 0 };
		struct audit_rec *r;

		if ((p->state == GIVEN || approval_has_ended(p)) && now_ms(a) >= p->until_ms)
			approval_release(p);
		if (p->state != WAITING || now_ms(a) < p->until_ms || !audit_is_writable(a))
			continue;
		r = batch_add(&b, EVENT_APPROVAL, &who, "approval", span_str(p->id));
		memcpy(r->subject, p->asker, SUBJECT_LEN); /* whoever has that name now */
		batch_outcome(&b, AUDIT_FAILURE, AUDIT_TIMEOUT);
		batch_text(&b, p->id);
		batch_text(&b, action_name(p->action));
		batch_text(&b, "lapsed");
		if (is_ok(audit_append(a, &b, on_lapsed, NULL)))
			approval_release(p);
	}
}

void
approvals_done(void)
{
	for (size_t i = 0; i < APPROVALS_MAX; i++)
		approval_release(&approvals[i]);
}
