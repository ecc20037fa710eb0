/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_leave.c: sessions that end with the issuer or the entry that vouched for them.
 *
 * Runs in: authority. Trusts: the configuration. Owns: the ids of one batch that is being recorded.
 * Invariants: such a session is refused at once, and ends, its turns with it and in the store, when
 * its SessionRevoked is durable; one batch is under way at a time, however many they are; what
 * could not be written is tried again with the next tick.
 * See: sessions.h, sessions.c (who is vouched for); docs/audit-format.md.
 */
#include "authority.h"

void
session_leave(struct authority *a, struct session *s)
{
	if (s->leaving)
		return;
	s->leaving = true;
	s->key.revoked_s = now_real_s();
	a->sessions.nleaving++;
}

static void
on_recorded(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct sessions *t = &a->sessions;
	struct session *s;

	(void)ctx, (void)seq;
	for (uint32_t i = 0; is_ok(st) && i < t->nrecording; i++) {
		s = sessions_by_id(a, span_str(t->recording[i]), SPAN_EMPTY);
		if (s == NULL || !s->leaving)
			continue; /* it has ended otherwise */
		session_keep_until_told(a, s);
		session_end(a, s);
	}
	t->nrecording = 0;
	if (is_ok(st))
		sessions_record_leaving(a);
}

static void
put_record(struct batch *b, const struct session *s, uint32_t config)
{
	const struct record_who who = { .key = &s->key, .config = config };

	(void)batch_add(b, EVENT_SESSION_REVOKED, &who, "session", span_str(s->id));
	batch_text(b, s->id);
	batch_null(b);
}

void
sessions_record_leaving(struct authority *a)
{
	struct sessions *t = &a->sessions;
	struct batch b = { .n = 0 };
	struct session *s;

	if (t->nleaving == 0 || t->nrecording > 0 || !audit_is_writable(a))
		return;
	TAILQ_FOREACH(s, &t->live, next)
	{
		if (!s->leaving)
			continue;
		put_record(&b, s, a->d->generation);
		memcpy(t->recording[t->nrecording++], s->id, sizeof(s->id));
		if (b.n == AUDIT_BATCH_MAX)
			break;
	}
	if (b.n == 0 || !is_ok(audit_append(a, &b, on_recorded, NULL)))
		t->nrecording = 0;
}
