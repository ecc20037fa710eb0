/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accesses.c: accesses to secrets, on record before and after.
 *
 * Runs in: authority. Trusts: the broker about what it did.
 * Owns: the accesses that are open, each with the seq of its intent.
 * Invariants: BEGUN says none but what is durable; each intent gets one outcome: the broker's, or,
 * where it died, ours, or, where audit died, audit's own; nothing is answered to a broker that did
 * not ask. See: wire/authority_broker.h, docs/audit-format.md.
 */
#include "authority.h"

#include <stdio.h>

/* Longer ones are cut in `resource`; the event has the whole. */
#define RESOURCE_REF_MAX 128

static void close_orphan(struct authority *a, struct access *x);

/* ---- records ---- */
static const struct {
	enum audit_event event;
	const char *kind; /* of the resource */
} acts[SECRET_ACT_COUNT] = {
	[SECRET_ACT_READ] = { EVENT_SECRET_ACCESSED, "secret" },
	[SECRET_ACT_RENEW] = { EVENT_SECRET_LEASE, "secret" },
	[SECRET_ACT_REVOKE] = { EVENT_SECRET_LEASE, "secret" },
	[SECRET_ACT_LOGIN] = { EVENT_SECRET_LOGIN, "source" },
	[SECRET_ACT_LOGIN_RENEW] = { EVENT_SECRET_LOGIN, "source" },
	[SECRET_ACT_LOGOUT] = { EVENT_SECRET_LOGIN, "source" },
};

static struct span
fault_text(const struct ab_secret_ended *m)
{
	return m->fault == SECRET_FAULT_NONE ? SPAN_EMPTY : span_str(secret_fault_names[m->fault]);
}

static void
put_read(struct batch *b, const struct access *x, const struct ab_secret_ended *m)
{
	batch_text(b, x->reference);
	batch_str_if(b, m->version);
	batch_str_if(b, m->lease);
	batch_u64_if(b, m->lease_s);
	batch_text(b, secret_why_names[x->why]);
	batch_str_if(b, fault_text(m));
}

static void
put_lease(struct batch *b, const struct access *x, const struct ab_secret_ended *m)
{
	batch_text(b, x->reference);
	batch_text(b, secret_act_names[x->act]);
	batch_str_if(b, span_str(x->lease));
	batch_u64_if(b, m->lease_s);
	batch_str_if(b, fault_text(m));
}

static void
put_login(struct batch *b, const struct access *x, const struct ab_secret_ended *m)
{
	batch_text(b, x->reference);
	batch_text(b, secret_act_names[x->act]);
	batch_str_if(b, span_str(x->method));
	batch_str_if(b, m->version);
	batch_u64_if(b, m->lease_s);
	batch_str_if(b, fault_text(m));
}

/* `m`: how it ended; all zero in an intent. */
static void
put_record(const struct authority *a, struct batch *b, const struct access *x,
    const struct ab_secret_ended *m)
{
	const struct record_who who = { .config = a->d->generation };
	struct span ref = span_str(x->reference);

	(void)batch_add(b, acts[x->act].event, &who, acts[x->act].kind,
	    span_of(ref.ptr, ref.len > RESOURCE_REF_MAX ? RESOURCE_REF_MAX : ref.len));
	if (acts[x->act].event == EVENT_SECRET_ACCESSED)
		put_read(b, x, m);
	else if (acts[x->act].event == EVENT_SECRET_LEASE)
		put_lease(b, x, m);
	else
		put_login(b, x, m);
}

static struct status
append_outcome(struct authority *a, struct access *x, const struct ab_secret_ended *m,
    enum audit_outcome outcome, enum audit_cause cause, append_done *done)
{
	struct batch b = { .n = 0 };
	struct status st;

	put_record(a, &b, x, m);
	batch_closes(&b, x->seq);
	batch_outcome(&b, outcome, cause);
	st = audit_append(a, &b, done, x);
	if (is_ok(st))
		x->state = ACCESS_ENDING;
	return st;
}

/* ---- the table ---- */
static void
drop(struct access *x)
{
	*x = (struct access){ .state = ACCESS_FREE };
}

static struct access *
free_slot(struct accesses *s)
{
	for (size_t i = 0; i < ACCESSES_MAX; i++) {
		if (s->items[i].state == ACCESS_FREE)
			return &s->items[i];
	}
	return NULL;
}

/* The audit process that had its intent is gone, and has ended it: nothing is left to do. */
static bool
is_ended_by_audit(const struct authority *a, const struct access *x)
{
	return x->epoch != a->audit_state.epoch;
}

static struct access *
find_open(struct authority *a, uint64_t seq)
{
	for (size_t i = 0; i < ACCESSES_MAX; i++) {
		struct access *x = &a->accesses.items[i];

		if (x->state == ACCESS_OPEN && x->seq == seq && x->broker == a->broker.peer_id)
			return x;
	}
	return NULL;
}

static bool
within_rate(struct authority *a)
{
	struct accesses *s = &a->accesses;
	uint64_t second = now_ms(a) / 1000;

	if (s->second != second) {
		s->second = second;
		s->begun = 0;
	}
	return ++s->begun <= ACCESSES_PER_S_MAX;
}

/* Only to the broker that asked; another one has asked nothing. */
static void
answer(struct authority *a, const struct access *x, uint16_t type, const void *msg)
{
	if (a->broker.link == NULL || a->broker.peer_id != x->broker)
		return;
	if (!is_ok(link_send(a->broker.link, x->call, type, msg)))
		diag(DIAG_WARN, "broker: an answer about a secret could not be sent");
	link_flush(a->broker.link);
}

static void
answer_begun(struct authority *a, const struct access *x, enum error error)
{
	const struct ab_secret_begun m = { .error = (uint16_t)error,
		.access = error == ERROR_NONE ? x->seq : 0 };

	answer(a, x, AB_SECRET_BEGUN, &m);
}

static void
answer_ended(struct authority *a, const struct access *x, enum error error)
{
	const struct ab_secret_recorded m = { .error = (uint16_t)error };

	answer(a, x, AB_SECRET_RECORDED, &m);
}

/* ---- the beginning ---- */
static void
on_intent(struct authority *a, void *ctx, struct status st, uint64_t first_seq)
{
	struct access *x = ctx;

	if (!is_ok(st)) {
		answer_begun(a, x, ERROR_AUDIT_UNAVAILABLE);
		drop(x);
		return;
	}
	x->seq = first_seq;
	x->epoch = a->audit_state.epoch;
	x->state = ACCESS_OPEN;
	if (a->broker.link != NULL && a->broker.peer_id == x->broker)
		answer_begun(a, x, ERROR_NONE);
	else
		close_orphan(a, x); /* who was to do it died before it knew */
}

static struct status
read_begin(struct access *x, const struct ab_secret_begin *m)
{
	x->act = (enum secret_act)m->act;
	x->why = (enum secret_why)m->why;
	TRY(span_to_cstr(m->reference, x->reference, sizeof(x->reference)));
	TRY(span_to_cstr(m->method, x->method, sizeof(x->method)));
	return span_to_cstr(m->lease, x->lease, sizeof(x->lease));
}

static struct status
begin(struct authority *a, struct access *x, const struct ab_secret_begin *m)
{
	static const struct ab_secret_ended open;
	struct batch b = { .n = 0 };

	TRY(read_begin(x, m));
	put_record(a, &b, x, &open);
	batch_intent(&b);
	return audit_append(a, &b, on_intent, x);
}

void
accesses_on_begin(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *peer = ctx;
	struct authority *a = peer->a;
	struct access refused = { .broker = peer->peer_id, .call = id };
	struct access *x = within_rate(a) ? free_slot(&a->accesses) : NULL;

	(void)l;
	if (x == NULL) {
		answer_begun(a, &refused, ERROR_AUDIT_UNAVAILABLE);
		return;
	}
	*x = refused;
	x->state = ACCESS_BEGINNING;
	if (!is_ok(begin(a, x, msg))) {
		answer_begun(a, x, ERROR_AUDIT_UNAVAILABLE);
		drop(x);
	}
}

/* ---- the end ---- */
static void
on_outcome(struct authority *a, void *ctx, struct status st, uint64_t first_seq)
{
	struct access *x = ctx;

	(void)first_seq;
	if (!x->ends_ours)
		answer_ended(a, x, is_ok(st) ? ERROR_NONE : ERROR_AUDIT_UNAVAILABLE);
	if (is_ok(st) || is_ended_by_audit(a, x) || !audit_is_up(a)) {
		drop(x);
		return;
	}
	x->state = ACCESS_ORPHAN; /* refused: later */
	a->accesses.orphans++;
}

void
accesses_on_ended(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_secret_ended *m = msg;
	struct peer *peer = ctx;
	struct authority *a = peer->a;
	struct access unknown = { .broker = peer->peer_id, .call = id };
	struct access *x = find_open(a, m->access);
	struct status st = fail(E_CLOSED);

	(void)l;
	if (x == NULL) {
		answer_ended(a, &unknown, ERROR_AUDIT_UNAVAILABLE);
		return;
	}
	x->call = id;
	if (x->act == SECRET_ACT_READ && m->given_up == 0)
		secrets_note(a, x->reference, m);
	if (!is_ended_by_audit(a, x) && m->given_up != 0)
		st = append_outcome(a, x, m, AUDIT_UNKNOWN, AUDIT_CANCELLED, on_outcome);
	else if (!is_ended_by_audit(a, x))
		st = append_outcome(a, x, m,
		    m->fault == SECRET_FAULT_NONE ? AUDIT_SUCCESS : AUDIT_FAILURE, AUDIT_CAUSE_NONE,
		    on_outcome);
	if (!is_ok(st))
		on_outcome(a, x, st, 0);
}

/* ---- what a broker leaves behind ---- */
static void
close_orphan(struct authority *a, struct access *x)
{
	static const struct ab_secret_ended nothing;
	struct status st = fail(E_CLOSED);

	x->ends_ours = true;
	if (!is_ended_by_audit(a, x))
		st = append_outcome(a, x, &nothing, AUDIT_UNKNOWN, AUDIT_PROCESS_DIED, on_outcome);
	if (!is_ok(st))
		on_outcome(a, x, st, 0);
}

void
accesses_on_broker_gone(struct authority *a)
{
	for (size_t i = 0; i < ACCESSES_MAX; i++) {
		if (a->accesses.items[i].state == ACCESS_OPEN)
			close_orphan(a, &a->accesses.items[i]);
	}
}

void
accesses_tick(struct authority *a)
{
	if (a->accesses.orphans == 0 || !audit_is_writable(a))
		return;
	a->accesses.orphans = 0;
	for (size_t i = 0; i < ACCESSES_MAX; i++) {
		if (a->accesses.items[i].state == ACCESS_ORPHAN)
			close_orphan(a, &a->accesses.items[i]);
	}
}
