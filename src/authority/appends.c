/* SPDX-License-Identifier: Apache-2.0 */
/*
 * appends.c: records to the audit process, receipts back.
 *
 * Runs in: authority. Trusts: the audit process's receipts.
 * Owns: proc_seq, the count of this process's records, from 1.
 * Invariants: proc_seq goes on only for batches that were sent, and back over
 * refused ones where nothing newer is in flight, so that it has no gaps of its own. An append that
 * gets no answer is never repeated: it may be durable. See: wire/authority_audit.h.
 */
#include "authority.h"

#include <stdlib.h>

#define NEVER_MS UINT32_MAX
#define AUDIT_SILENT_MS 2000 /* an append without a receipt for that long: not ready */

struct pending {
	struct authority *a;
	append_done *done;
	void *ctx;
	uint64_t first_proc_seq;
	uint32_t count;
	bool anonymous; /* refused first when the disk runs low: says nothing about the rest */
};

static void on_reply(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);

bool
audit_is_up(const struct authority *a)
{
	return a->audit.link != NULL;
}

bool
audit_answers(const struct authority *a)
{
	return audit_is_up(a) && a->audit_state.answers;
}

void
audit_on_up(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *p = ctx;

	(void)l, (void)id, (void)msg;
	p->a->audit_state.answers = true;
}

bool
audit_is_writable(const struct authority *a)
{
	const struct audit_state *s = &a->audit_state;

	return audit_answers(a) && !s->refusing &&
	       (s->waiting_since_ms == 0 || now_ms(a) < s->waiting_since_ms + AUDIT_SILENT_MS);
}

static bool
is_anonymous(const struct batch *b)
{
	return b->recs[0].event == EVENT_AUTHENTICATION_FAILURES ||
	       (b->recs[0].event == EVENT_AUTHENTICATION && b->recs[0].outcome == AUDIT_DENIED);
}

struct status
audit_append(struct authority *a, struct batch *b, append_done *done, void *ctx)
{
	struct audit_state *s = &a->audit_state;
	struct aa_append m;
	struct pending *p;
	struct status st;

	if (!audit_is_up(a))
		return fail(E_CLOSED);
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return fail(E_NOMEM);
	*p = (struct pending){ a, done, ctx, s->proc_seq, b->n, is_anonymous(b) };
	m = batch_finish(b, s->proc_seq);
	st = link_call(a->audit.link, AA_APPEND, &m, NEVER_MS, on_reply, p, NULL);
	if (!is_ok(st)) {
		free(p);
		return st;
	}
	s->proc_seq += b->n;
	if (s->in_flight++ == 0)
		s->waiting_since_ms = now_ms(a);
	return OK;
}

static struct status
reply_status(struct pending *p, uint16_t type, const void *msg, uint64_t *first_seq)
{
	const struct aa_receipt *receipt = msg;
	const struct aa_refused *refused = msg;

	if (type == AA_RECEIPT && receipt->count == p->count) {
		*first_seq = receipt->first_seq;
		return OK;
	}
	if (type == AA_REFUSED)
		return fail(refused->code > E_OK ? (enum code)refused->code : E_FULL);
	return fail(E_PROTO);
}

/* A refused batch was the newest, or the last of several: its numbers are free again. */
static void
take_back(struct audit_state *s, const struct pending *p)
{
	if (!p->anonymous)
		s->refusing = true;
	if (p->first_proc_seq + p->count == s->proc_seq)
		s->proc_seq = p->first_proc_seq;
	if (s->in_flight == 0)
		s->proc_seq = s->kept_seq;
}

static void
on_reply(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct pending *p = ctx;
	struct authority *a = p->a;
	struct audit_state *s = &a->audit_state;
	uint64_t first_seq = 0;
	bool answered = is_ok(st);

	(void)l;
	if (answered)
		st = reply_status(p, type, msg, &first_seq);
	s->in_flight--;
	s->waiting_since_ms = s->in_flight == 0 ? 0 : now_ms(a);
	if (is_ok(st)) {
		s->kept_seq = p->first_proc_seq + p->count;
		s->refusing = false;
	} else if (answered) {
		take_back(s, p);
	}
	p->done(a, p->ctx, st, first_seq);
	free(p);
}

void
audit_on_link(struct authority *a)
{
	a->audit_state.refusing = a->audit_state.answers = false;
	a->audit_state.probe_at_ms = 0;
}

/* All appends in flight have failed by now; every open intent is audit's to close. */
void
audit_on_closed(struct authority *a)
{
	struct turn *t, *next;

	a->audit_state.epoch++;
	diag(DIAG_WARN, "audit is away: all turns end");
	for (t = TAILQ_FIRST(&a->turns.in_use); t != NULL; t = next) {
		next = TAILQ_NEXT(t, in_use);
		turn_end(t, ERROR_AUDIT_UNAVAILABLE, AUDIT_CAUSE_NONE);
	}
}

static void
probe_done(struct authority *a, void *ctx, struct status st, uint64_t first_seq)
{
	(void)a, (void)ctx, (void)first_seq;
	if (is_ok(st))
		diag(DIAG_INFO, "audit can be written again");
}

/* While audit refuses, try again now and then, so that nobody need be refused to find out. */
void
audit_tick(struct authority *a)
{
	struct audit_state *s = &a->audit_state;
	const struct record_who who = { .config = a->d->generation };
	struct batch b = { .n = 0 };

	if (!audit_is_up(a) || !s->refusing || s->in_flight > 0 || now_ms(a) < s->probe_at_ms)
		return;
	s->probe_at_ms = now_ms(a) + RETRY_MS;
	(void)batch_add(&b, EVENT_ADMIN, &who, "process", SPAN_LIT("authority"));
	batch_text(&b, "audit.probe");
	batch_null(&b);
	if (!is_ok(audit_append(a, &b, probe_done, NULL)))
		diag(DIAG_WARN, "audit: the probe could not be sent");
}
