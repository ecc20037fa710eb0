/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_link.c: the key table from the store, and changes to it.
 *
 * Runs in: authority. Trusts: the store. Owns: nothing.
 * Invariants: nothing is served before a whole LOAD; once loaded, the table serves on
 * without the store, as long as grace.c says; after a new link it is loaded again, in place.
 * Of LOADs that overlap only the newest counts: a row or an end of an older one is nothing.
 * The link's buffer, in this process's memory, holds subject keys and the pepper
 * until later messages overwrite them.
 * See: wire/authority_store.h.
 */
#include "authority.h"

#include <stdlib.h>
#include <time.h>

#include <base/clock.h>

_Static_assert(offsetof(struct as_secret, code) == 0 && offsetof(struct as_secrets, code) == 0 &&
		   offsetof(struct as_usage, code) == 0 && offsetof(struct as_erased, code) == 0 &&
		   offsetof(struct as_exported, code) == 0 && offsetof(struct as_done, code) == 0,
    "an answer begins with its code");

#define LOAD_ID(n) (1ULL << 63 | (uint64_t)(n) << 1 | 1) /* far from those of calls */
#define LOAD_AGAIN_MS 5000 /* when the store could not tell the table */

struct change {
	struct authority *a;
	store_done *done;
	void *ctx;
};

static void on_user(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_key(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_session(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_keyset_key(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_tool(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_loaded(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_not_loaded(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_day(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);

static const struct link_rule rules[] = {
	{ AS_USER, 0, on_user },
	{ AS_KEY, 0, on_key },
	{ AS_SESSION, 0, on_session },
	{ AS_KEYSET_KEY, 0, on_keyset_key },
	{ AS_TOOL, 0, on_tool },
	{ AS_LOADED, 0, on_loaded },
	{ AS_DONE, 0, on_not_loaded },
	{ AS_CONTENT_DONE, 0, content_on_done },
	{ AS_RETENTION, 0, privacy_on_retention },
	{ AS_UNFIT, 0, unfit_on_message },
};
const struct link_ops store_link_ops = { .rules = rules,
	.nrules = sizeof(rules) / sizeof(rules[0]) };

uint64_t
now_real_s(void)
{
	return clock_real_ns() / NS_PER_S;
}

void
store_on_link(struct authority *a)
{
	const struct wire_none none = { 0 };

	keys_load_begin(&a->keys);
	tools_load_begin(&a->tools);
	a->load_failed = false;
	a->load_left_out = 0;
	a->load_id = LOAD_ID(a->keys.load);
	a->load_again_ms = 0;
	if (is_ok(link_send(a->store.link, a->load_id, AS_LOAD, &none)))
		return;
	diag(DIAG_ERROR, "store: the table could not be asked for");
	a->load_again_ms = now_ms(a) + LOAD_AGAIN_MS;
}

/* With the next tick: of all that are in doubt together there is one. */
void
store_load_behind(struct authority *a, uint32_t load)
{
	if (a->keys.load == load)
		a->load_again_ms = now_ms(a);
}

/* One that was asked for later has taken the place of this one: it may have less, and not all. */
static bool
is_overtaken(const struct authority *a, uint64_t id)
{
	return id != a->load_id;
}

/* What all need is not there: then nobody is served, and /readyz says so. */
static void
load_check(struct authority *a, struct status st, const char *what)
{
	if (is_ok(st))
		return;
	if (!a->load_failed)
		diag(DIAG_ERROR, "store: %s: %s", what, status_text(st));
	a->load_failed = true;
}

/* One that cannot be taken is left out, and refused; it is nobody else's loss. */
static void
load_entry(struct authority *a, struct status st, const char *what)
{
	if (!is_ok(st) && a->load_left_out++ == 0)
		diag(DIAG_ERROR, "store: a %s is left out: %s", what, status_text(st));
}

static void
on_user(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *p = ctx;
	const struct as_user *m = msg;
	struct user *u = NULL;

	(void)l;
	if (is_overtaken(p->a, id))
		return;
	load_entry(
	    p->a, keys_put_user(&p->a->keys, m->tenant, m->user, m->subject_key, &u), "user");
	if (u != NULL)
		user_set_marks(u, m->roles, m->state, m->hold);
}

static void
on_key(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *p = ctx;
	const struct as_key *m = msg;

	(void)l;
	if (is_overtaken(p->a, id))
		return;
	load_entry(p->a, keys_put(&p->a->keys, &p->a->policies, m, NULL), "key");
	owed_apply(p->a, span_of(m->id, KEY_ID_LEN));
}

/* Without them no token, and no text of a key, would be known. */
static void
on_keyset_key(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *p = ctx;
	const struct as_keyset_key *m = msg;

	(void)l;
	if (is_overtaken(p->a, id))
		return;
	if (m->what == KEYSET_PEPPER)
		load_check(p->a, keys_put_pepper(&p->a->keys, m->version, m->key), "a pepper");
	else
		load_check(p->a,
		    signers_put(&p->a->sessions, m->version, m->created_s, m->key, p->a->keys.load),
		    "a key that signs");
}

/* One that cannot be taken has ended. */
static void
on_session(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *p = ctx;
	struct status st;

	(void)l;
	if (is_overtaken(p->a, id))
		return;
	st = sessions_load(p->a, msg);
	if (!is_ok(st))
		diag(DIAG_WARN, "store: a session is left out: %s", status_text(st));
}

/* One that cannot be taken is left out: it is no tool any more; all else goes on. */
static void
on_tool(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *p = ctx;
	const struct as_tool *m = msg;
	struct status st;

	(void)l;
	if (is_overtaken(p->a, id))
		return;
	st = tools_load(p->a, m);
	if (!is_ok(st))
		diag(DIAG_ERROR, "store: a tool's version with id %llu is left out: %s",
		    (unsigned long long)m->id, status_text(st));
}

static void
end_revoked_turns(struct authority *a)
{
	for (size_t i = 0; i < a->keys.nkeys; i++) {
		struct key *key = keys_at(&a->keys, i);
		struct turn *t, *next;

		if (key->revoked_s == 0 && key->user->state == USER_ACTIVE)
			continue;
		for (t = LIST_FIRST(&key->turns); t != NULL; t = next) {
			next = LIST_NEXT(t, of_key);
			turn_end(t, ERROR_REVOKED, AUDIT_REVOKED);
		}
	}
}

static void
on_loaded(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *p = ctx;
	struct authority *a = p->a;
	const struct as_loaded *m = msg;

	(void)l;
	if (is_overtaken(a, id))
		return;
	load_check(a, keys_set_tenant_key(&a->keys, span_of(m->tenant_key, AS_SECRET_LEN)),
	    "key of tenants");
	load_check(a, sealer_set_day(&a->sealer, m->day, m->day_key, false), "day key");
	if (a->load_failed) {
		a->loaded = false;
		a->load_again_ms = now_ms(a) + LOAD_AGAIN_MS;
		return;
	}
	keys_load_end(&a->keys, now_real_s());
	keys_peppers_load_end(&a->keys);
	sessions_load_end(a);
	tools_load_end(a);
	sealer_forget(&a->sealer);
	a->loaded = true;
	unfit_on_loaded(a);
	grace_on_loaded(a);
	end_revoked_turns(a);
	if (a->load_left_out > 0)
		diag(DIAG_WARN, "store: %zu users and keys are left out", a->load_left_out);
	diag(DIAG_INFO, "store: %zu keys of %zu users, %zu versions of tools", a->keys.nkeys,
	    a->keys.nusers, a->tools.n);
}

/* An answer to a call that is over comes here, too. */
static void
on_not_loaded(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct authority *a = ((struct peer *)ctx)->a;
	const struct as_done *m = msg;

	(void)l;
	if (is_overtaken(a, id))
		return;
	diag(DIAG_ERROR, "store: the table could not be loaded: %s",
	    status_text(fail((enum code)m->code)));
	a->load_again_ms = now_ms(a) + LOAD_AGAIN_MS;
}

/* ---- changes ---- */

static void
on_change(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct change *c = ctx;
	const struct as_done *m = is_ok(st) && type == AS_DONE ? msg : NULL;
	enum code none = is_ok(st) ? E_PROTO : (enum code)st.code;

	(void)l;
	c->done(c->a, c->ctx, m != NULL ? (enum code)m->code : none, m);
	free(c);
}

static struct status
change_send(struct authority *a, uint16_t type, const void *msg, store_done *done, void *ctx)
{
	struct change *c;
	struct status st;

	if (grace_store_is_silent(a))
		return fail(E_CLOSED);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return fail(E_NOMEM);
	*c = (struct change){ a, done, ctx };
	st = link_call(a->store.link, type, msg, STORE_WAIT_MS, on_change, c, NULL);
	if (!is_ok(st))
		free(c);
	return st;
}

struct status
store_put_key(struct authority *a, const struct as_key *m, store_done *done, void *ctx)
{
	return change_send(a, AS_KEY_PUT, m, done, ctx);
}

struct status
store_revoke_key(struct authority *a, const struct as_key_revoke *m, store_done *done, void *ctx)
{
	return change_send(a, AS_KEY_REVOKE, m, done, ctx);
}

/* ---- questions ---- */

struct question {
	struct authority *a;
	uint16_t reply_type;
	store_reply *done;
	void *ctx;
};

static void
on_answer(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct question *q = ctx;
	enum code code = is_ok(st) ? E_PROTO : (enum code)st.code;

	(void)l;
	if (is_ok(st) && type == q->reply_type)
		code = *(const uint16_t *)msg; /* each answer begins with it */
	else
		msg = NULL;
	q->done(q->a, q->ctx, code, msg);
	free(q);
}

struct status
store_ask_for(struct authority *a, uint16_t type, const void *msg, uint16_t reply_type,
    store_reply *done, void *ctx, uint32_t wait_ms)
{
	struct question *q;
	struct status st;

	if (grace_store_is_silent(a))
		return fail(E_CLOSED);
	q = malloc(sizeof(*q));
	if (q == NULL)
		return fail(E_NOMEM);
	*q = (struct question){ a, reply_type, done, ctx };
	st = link_call(a->store.link, type, msg, wait_ms, on_answer, q, NULL);
	if (!is_ok(st))
		free(q);
	return st;
}

struct status
store_ask(struct authority *a, uint16_t type, const void *msg, uint16_t reply_type,
    store_reply *done, void *ctx)
{
	return store_ask_for(a, type, msg, reply_type, done, ctx, STORE_WAIT_MS);
}

/* ---- the day's key ---- */

static bool
day_text(uint64_t unix_s, char out[AS_DAY_LEN + 1])
{
	time_t when = (time_t)unix_s;
	struct tm tm;

	return gmtime_r(&when, &tm) != NULL && strftime(out, AS_DAY_LEN + 1, "%F", &tm) != 0;
}

static void
on_day(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct authority *a = ctx;
	const struct as_day_key *m = msg;

	(void)l;
	a->day_asked = false;
	if (!is_ok(st) || type != AS_DAY_KEY)
		return;
	if (!is_ok(sealer_set_day(&a->sealer, m->day, m->key, true)))
		diag(DIAG_WARN, "store: a day's key is not usable");
}

/* Tomorrow's key is here before midnight; where it is not, today's goes on being used. */
void
store_tick(struct authority *a)
{
	char today[AS_DAY_LEN + 1], ahead[AS_DAY_LEN + 1];
	uint64_t now = now_real_s();
	struct as_day m;

	if (a->load_again_ms != 0 && now_ms(a) >= a->load_again_ms && a->store.link != NULL)
		store_on_link(a);
	if (!a->loaded || !day_text(now, today) || !day_text(now + DAY_AHEAD_S, ahead))
		return;
	(void)sealer_turn_day(&a->sealer, today);
	if (a->day_asked || a->store.link == NULL || strcmp(ahead, a->sealer.day) == 0 ||
	    strcmp(ahead, a->sealer.next_day) == 0)
		return;
	memcpy(m.day, ahead, AS_DAY_LEN);
	a->day_asked = is_ok(link_call(a->store.link, AS_DAY, &m, STORE_WAIT_MS, on_day, a, NULL));
}
