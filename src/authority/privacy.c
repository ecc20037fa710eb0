/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privacy.c: persons erased and exported, by the store; and what it deleted for its age.
 *
 * Runs in: authority. Trusts: the store. Owns: what went for its age and is not on record yet.
 * Invariants: who is erased is refused from the moment that the store has said so, with all keys,
 * sessions and tools; nobody else notices. Where it is in doubt, a LOAD says which it is.
 * See: privacy.h; src/store/privacy.h.
 */
#include "privacy.h"

#include <inttypes.h>
#include <stdlib.h>

#include "authority.h"

static void retained_tell(struct authority *a, struct retained *r);

struct act {
	TAILQ_ENTRY(act) next; /* of a page that waits */
	struct as_export page_of;
	privacy_erased *erased;
	privacy_page *page;
	void *ctx;
	char tenant[TENANT_MAX + 1], user[USER_MAX + 1];
};

static void
turns_end(struct key *key)
{
	struct turn *t, *next;

	for (t = LIST_FIRST(&key->turns); t != NULL; t = next) {
		next = LIST_NEXT(t, of_key);
		turn_end(t, ERROR_REVOKED, AUDIT_REVOKED);
	}
}

/* For good: whoever is made again by that name has none of it. */
static void
key_forget(struct authority *a, struct key *key)
{
	if (key->revoked_s == 0)
		key->revoked_s = now_real_s();
	sessions_end_of_key(a, key);
}

static void
tools_forget(struct authority *a, struct user *u)
{
	struct tool *t;

	while ((t = LIST_FIRST(&u->tools)) != NULL)
		tools_removed(a, t->versions[0], true);
}

static void
forget(struct authority *a, const struct act *act, bool sure)
{
	struct user *u = keys_find_user(&a->keys, span_str(act->tenant), span_str(act->user));
	struct key *key;

	if (u == NULL)
		return;
	user_set_marks(u, u->roles, USER_ERASED, 0);
	SLIST_FOREACH(key, &u->keys, of_user)
	{
		if (sure)
			key_forget(a, key);
		turns_end(key);
	}
	if (sure)
		tools_forget(a, u);
	else if (a->store.link != NULL)
		store_on_link(a);
}

static void
on_erased(struct authority *a, void *ctx, enum code code, const void *msg)
{
	const struct as_erased *m = msg;
	struct act *act = ctx;

	/* No answer, or a failure behind the commit: the load that follows says which it is. */
	if (code != E_DENIED && code != E_NOTFOUND)
		forget(a, act, code == E_OK);
	act->erased(a, act->ctx, code, m == NULL ? 0 : m->rows, m != NULL && m->waits != 0);
	free(act);
}

struct status
privacy_erase(
    struct authority *a, struct span tenant, struct span user, privacy_erased *done, void *ctx)
{
	const struct as_user_ref m = { .tenant = tenant, .user = user };
	struct act *act = calloc(1, sizeof(*act));
	struct status st;

	if (act == NULL)
		return fail(E_NOMEM);
	act->erased = done;
	act->ctx = ctx;
	st = span_to_cstr(tenant, act->tenant, sizeof(act->tenant));
	if (is_ok(st))
		st = span_to_cstr(user, act->user, sizeof(act->user));
	if (is_ok(st))
		st = store_ask_for(a, AS_USER_ERASE, &m, AS_ERASED, on_erased, act, ERASE_WAIT_MS);
	if (!is_ok(st))
		free(act);
	return st;
}

/* ---- exports: the store makes a page in one piece, and has one of them at a time ---- */

static TAILQ_HEAD(, act) pages = TAILQ_HEAD_INITIALIZER(pages);
static bool making;

static void on_exported(struct authority *a, void *ctx, enum code code, const void *msg);

static void
page_over(struct authority *a, struct act *act, enum code code, const struct as_exported *page)
{
	act->page(a, act->ctx, code, page);
	free(act);
}

static void
page_next(struct authority *a)
{
	struct act *act;
	struct status st;

	while (!making && (act = TAILQ_FIRST(&pages)) != NULL) {
		TAILQ_REMOVE(&pages, act, next);
		making = true;
		st = store_ask(a, AS_USER_EXPORT, &act->page_of, AS_EXPORTED, on_exported, act);
		if (is_ok(st))
			return;
		making = false;
		page_over(a, act, st.code, NULL);
	}
}

static void
on_exported(struct authority *a, void *ctx, enum code code, const void *msg)
{
	making = false;
	page_over(a, ctx, code, code == E_OK ? msg : NULL);
	page_next(a);
}

static struct status
act_names(struct act *act, const struct as_export *m)
{
	act->page_of = *m;
	TRY(span_to_cstr(m->tenant, act->tenant, sizeof(act->tenant)));
	TRY(span_to_cstr(m->user, act->user, sizeof(act->user)));
	act->page_of.tenant = span_str(act->tenant);
	act->page_of.user = span_str(act->user);
	return OK;
}

struct status
privacy_export(struct authority *a, const struct as_export *m, privacy_page *done, void *ctx)
{
	struct act *act = calloc(1, sizeof(*act));
	struct status st = act == NULL ? fail(E_NOMEM) : act_names(act, m);

	if (!is_ok(st)) {
		free(act);
		return st;
	}
	act->page = done;
	act->ctx = ctx;
	TAILQ_INSERT_TAIL(&pages, act, next);
	page_next(a);
	return OK;
}

/* ---- retention ---- */

static void
on_recorded(struct authority *a, void *ctx, struct status st, uint64_t first_seq)
{
	struct retained *r = ctx;

	(void)first_seq;
	if (st.code == E_CLOSED)
		diag(DIAG_WARN,
		    "%" PRIu64 " rows went for their age: it is not known whether that is "
		    "on record",
		    r->telling);
	if (is_ok(st) || st.code == E_CLOSED)
		r->rows -= r->telling;
	r->telling = 0;
	if (is_ok(st))
		retained_tell(a, r);
}

/*
 * The store says it once: what audit has refused is tried again with the next tick. What it has not
 * answered may be on record, and is never said twice (appends.c).
 */
static void
retained_tell(struct authority *a, struct retained *r)
{
	static const char *const names[RETAINED_COUNT] = { "conversations", "responses", "files",
		"usage" };
	const struct record_who who = { .config = a->d->generation };
	struct batch b = { .n = 0 };

	if (r->telling > 0 || r->rows == 0)
		return;
	(void)batch_add(&b, EVENT_RETENTION, &who, "content", span_str(names[r->kind]));
	batch_text(&b, names[r->kind]);
	batch_u64(&b, r->rows);
	batch_u64(&b, r->days);
	if (is_ok(audit_append(a, &b, on_recorded, r)))
		r->telling = r->rows;
}

void
privacy_on_retention(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_retention *m = msg;
	struct authority *a = ((struct peer *)ctx)->a;
	struct retained *r = &a->retained[m->days == 0 ? RETAINED_COUNT : m->kind];

	(void)l, (void)id;
	r->kind = m->kind;
	r->days = m->days;
	r->rows += m->rows;
	retained_tell(a, r);
}

void
privacy_tick(struct authority *a)
{
	for (size_t i = 0; i <= RETAINED_COUNT; i++)
		retained_tell(a, &a->retained[i]);
}
