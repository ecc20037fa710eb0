/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owed.c: revocations that the store has not heard of yet.
 *
 * Runs in: authority. Trusts: the store; the supervisor, which keeps the list on disk.
 * Owns: the list.
 * Invariants: what is not on disk is not in force, and not answered; what is on disk authenticates
 * nobody from the first LOAD on; one leaves the list when the store has it, or says that there is
 * no such key, and that is on record: no `success` before. One write is under way at a time, of the
 * whole list; the file may be behind by those that have left, whom the store is told of once more.
 * See: owed.h; grace.h; admin_keys.c; src/supervisor/owed.c.
 */
#include "authority.h"

#include <base/cleanup.h>

static void on_kept(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void write_ended(struct authority *a, struct status st);
static void on_done(struct authority *a, void *ctx, enum code code, const struct as_done *m);

/* ---- the list ---- */

static struct ctl_owed_entry
entry_of(struct span key_id, uint64_t at_s)
{
	struct ctl_owed_entry e = { .kind = CTL_OWED_KEY, .at_s = at_s };

	memcpy(e.id, key_id.ptr, KEY_ID_LEN);
	return e;
}

static int
compare(const struct ctl_owed_entry *a, const struct ctl_owed_entry *b)
{
	return a->kind != b->kind ? a->kind - b->kind : memcmp(a->id, b->id, sizeof(a->id));
}

/* Where it is, or would be. */
static size_t
find(const struct owed *o, const struct ctl_owed_entry *e, bool *ret_there)
{
	size_t lo = 0, hi = o->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (compare(&o->all[mid].entry, e) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_there = lo < o->n && compare(&o->all[lo].entry, e) == 0;
	return lo;
}

static void
insert(struct owed *o, const struct ctl_owed_entry *e, uint32_t write)
{
	bool there;
	size_t i = find(o, e, &there);

	if (there)
		return;
	memmove(&o->all[i + 1], &o->all[i], (o->n++ - i) * sizeof(o->all[0]));
	o->all[i] = (struct owed_one){ *e, write };
}

static void
drop_at(struct owed *o, size_t i)
{
	memmove(&o->all[i], &o->all[i + 1], (--o->n - i) * sizeof(o->all[0]));
	o->changed = true;
}

struct status
owed_know(struct owed *o, struct span entries)
{
	if (entries.len % CTL_OWED_LEN != 0)
		return fail(E_PROTO);
	for (; entries.len > 0; entries = span_from(entries, CTL_OWED_LEN)) {
		struct ctl_owed_entry e;

		TRY(wire_decode(
		    &ctl_owed_entry_table, span_of(entries.ptr, CTL_OWED_LEN), NULL, &e));
		if (e.kind != CTL_OWED_KEY || o->n == OWED_MAX)
			return fail(E_PROTO);
		insert(o, &e, 0);
	}
	if (o->n > 0)
		diag(DIAG_INFO, "%zu revocations are owed to the store", o->n);
	return OK;
}

void
owed_apply(struct authority *a, struct span key_id)
{
	const struct ctl_owed_entry e = entry_of(key_id, 0);
	struct key *key;
	bool there = false;
	size_t i;

	if (a->owed.n == 0)
		return;
	i = find(&a->owed, &e, &there);
	key = there && a->owed.all[i].write == 0 ? keys_find(&a->keys, key_id) : NULL;
	if (key != NULL && key->revoked_s == 0)
		key->revoked_s = a->owed.all[i].entry.at_s;
}

/* ---- on disk ---- */

static struct status
send_list(struct authority *a)
{
	auto_buf struct buf list = BUF_INIT(OWED_MAX * CTL_OWED_LEN);
	const struct owed *o = &a->owed;
	struct ctl_owed m;

	for (size_t i = 0; i < o->n; i++)
		TRY(wire_encode(&ctl_owed_entry_table, &o->all[i].entry, &list));
	m.entries = buf_span(&list);
	return link_call(a->d->control, CTL_OWE, &m, OWED_WAIT_MS, on_kept, a, NULL);
}

static void
write_begin(struct authority *a)
{
	struct owed *o = &a->owed;
	struct status st;

	if (o->writing || !o->changed)
		return;
	o->writing = true;
	o->changed = false;
	o->writes++;
	st = send_list(a);
	if (!is_ok(st))
		write_ended(a, st);
}

static void
on_kept(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ctl_owe_kept *m = msg;

	(void)l;
	if (is_ok(st) && (type != CTL_OWE_KEPT || !m->ok))
		st = fail(E_SYS);
	write_ended(ctx, st);
}

/* Those that came with it are there; or are not in force, and leave the file with the next. */
static void
settle(struct owed *o, struct status st)
{
	for (size_t i = o->n; i-- > 0;) {
		if (o->all[i].write != o->writes)
			continue;
		if (is_ok(st))
			o->all[i].write = 0;
		else
			drop_at(o, i);
	}
	o->changed = o->changed || !is_ok(st);
}

/* A write that failed is tried again with the next tick, or for who waits for the next one. */
static void
write_ended(struct authority *a, struct status st)
{
	struct owed *o = &a->owed;
	struct owed_waiter over[OWED_WAITERS_MAX];
	size_t n = 0, left = 0;

	o->writing = false;
	settle(o, st);
	for (size_t i = 0; i < o->nwaiters; i++) {
		if (o->waiters[i].write == o->writes)
			over[n++] = o->waiters[i];
		else
			o->waiters[left++] = o->waiters[i];
	}
	o->nwaiters = left;
	if (left > 0)
		write_begin(a);
	for (size_t i = 0; i < n; i++)
		over[i].done(a, over[i].ctx, st);
}

struct status
owed_add(struct authority *a, const struct as_key_revoke *m, owed_kept *done, void *ctx)
{
	const struct ctl_owed_entry e = entry_of(span_of(m->id, KEY_ID_LEN), m->revoked_s);
	struct owed *o = &a->owed;
	bool there;
	size_t i = find(o, &e, &there);

	if (there && o->all[i].write == 0)
		return fail(E_EXISTS);
	if ((!there && o->n == OWED_MAX) || o->nwaiters == OWED_WAITERS_MAX)
		return fail(E_FULL);
	o->waiters[o->nwaiters++] = (struct owed_waiter){ done, ctx,
		there ? o->all[i].write : o->writes + 1 };
	if (there)
		return OK;
	insert(o, &e, o->writes + 1);
	o->changed = true;
	write_begin(a);
	return OK;
}

/* ---- to the store, and on record ---- */

static void
take_off(struct owed *o)
{
	bool there;
	size_t i = find(o, &o->now, &there);

	o->stage = OWED_IDLE;
	if (there)
		drop_at(o, i);
}

/* The store has it: only now the log says that it is so. */
static void
on_told(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct owed *o = &a->owed;

	(void)ctx, (void)seq;
	if (!is_ok(st)) {
		o->stage = OWED_HAD; /* with the next tick */
		return;
	}
	take_off(o);
	if (o->n == 0)
		write_begin(a); /* else with the next tick, for all that have left by then */
	owed_go_on(a);
}

static void
tell(struct authority *a)
{
	const struct span id = span_of(a->owed.now.id, KEY_ID_LEN);
	const struct record_who who = { .key = keys_find(&a->keys, id),
		.config = a->d->generation };
	struct batch b = { .n = 0 };

	(void)batch_add(&b, EVENT_KEY_REVOKED, &who, "key", id);
	batch_outcome(&b, AUDIT_SUCCESS, AUDIT_CAUSE_NONE);
	batch_str(&b, id);
	batch_null(&b);
	if (is_ok(audit_append(a, &b, on_told, NULL)))
		a->owed.stage = OWED_TOLD;
}

/* The next one that is on disk. */
static void
send_next(struct authority *a)
{
	struct owed *o = &a->owed;

	for (size_t i = 0; i < o->n; i++) {
		const struct owed_one *one = &o->all[(o->at + i) % o->n];
		struct as_key_revoke m = { .revoked_s = one->entry.at_s };

		if (one->write != 0)
			continue;
		memcpy(m.id, one->entry.id, KEY_ID_LEN);
		o->now = one->entry;
		if (is_ok(store_revoke_key(a, &m, on_done, NULL)))
			o->stage = OWED_SENT;
		return;
	}
}

static void
on_done(struct authority *a, void *ctx, enum code code, const struct as_done *m)
{
	struct owed *o = &a->owed;

	(void)ctx, (void)m;
	o->stage = OWED_IDLE;
	if (code != E_OK && code != E_EXISTS && code != E_NOTFOUND) {
		o->at++; /* another one is no worse for it */
		return;
	}
	diag(DIAG_INFO, "the store has heard that the key %.*s is revoked", KEY_ID_LEN,
	    (const char *)o->now.id);
	o->stage = OWED_HAD;
	tell(a);
}

void
owed_go_on(struct authority *a)
{
	struct owed *o = &a->owed;

	if (o->stage == OWED_HAD)
		tell(a);
	/* Not before it is loaded anew: the keys are in the table it is compared with. */
	else if (o->stage == OWED_IDLE && a->loaded && grace_phase(a) == GRACE_NONE)
		send_next(a);
}

void
owed_tick(struct authority *a)
{
	write_begin(a);
	owed_go_on(a);
}
