/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_users.c: users: list, create, change roles, disable, hold.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks.
 * Owns: nothing. Invariants: records name a person by the pseudonym only; who is disabled has
 * nothing running when that is answered; lifting a hold, and taking an auditor away, need two;
 * who is a service is so from the beginning: two may get keys of services, and so
 * would read what a person who became one has kept, or act as the person that one became.
 * See: admin_call.h, roles.c.
 */
#include "admin_op.h"

#include <stdio.h>

#include <base/encode.h>
#include <json/write.h>

#define ROW_MAX 1024
#define HIGH_ROLES (ROLE_AUDITOR | ROLE_ADMINISTRATOR | ROLE_OWNER)

static void put_change(struct admin_op *op, struct batch *b, const struct record_who *who);
static struct status put_changed(struct admin_op *op, struct json_writer *w);
static void on_intent(struct admin_op *op);
static void on_put(struct authority *a, void *ctx, enum code code, const void *answered);

const struct admin_kind admin_user_kind = { put_change, put_changed, false, ADMIN_WAIT_MS };

static struct user *
user_of(const struct admin_op *op)
{
	return keys_find_user(&op->a->keys, span_str(op->tenant), span_str(op->user));
}

/* ---- one user, in JSON ---- */

static void
put_roles(struct json_writer *w, uint8_t roles)
{
	json_put_array(w);
	for (unsigned i = 0; i < ROLE_COUNT; i++) {
		if ((roles >> i & 1) != 0)
			json_put_text(w, role_names[i]);
	}
	json_put_end(w);
}

static void
put_members(struct json_writer *w, const struct user *u, uint8_t roles)
{
	char subject[2 * SUBJECT_LEN];

	json_put_key(w, "id");
	json_put_str(w, u->name);
	json_put_key(w, "tenant");
	json_put_str(w, u->tenant);
	json_put_key(w, "roles");
	put_roles(w, roles);
	json_put_key(w, "state");
	json_put_text(w, u->state == USER_ACTIVE ? "active" : "disabled");
	json_put_key(w, "hold");
	json_put_bool(w, u->hold != 0);
	hex_encode(span_of(u->subject, SUBJECT_LEN), subject);
	json_put_key(w, "subject"); /* what the audit log calls them */
	json_put_str(w, span_of(subject, sizeof(subject)));
}

static struct status
put_user(const struct user *u, uint8_t roles, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	put_members(&w, u, roles);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* ---- reads ---- */

static bool
is_listed(const struct admin_op *op, const struct user *u)
{
	return u->state != USER_ERASED &&
	       (op->tenant[0] == '\0' || span_eq_str(u->tenant, op->tenant));
}

static struct status
make_list(struct admin_op *op, struct buf *out)
{
	const struct keys *keys = &op->a->keys;
	size_t i = (size_t)op->after_key, last = 0;
	char next[48];
	uint32_t n = 0;

	TRY(buf_put_str(out, "{\"users\":["));
	for (; i < keys->nusers && n < op->limit && out->len < ADMIN_BODY_MAX - ROW_MAX; i++) {
		const struct user *u = keys_user_at(keys, i);

		if (!is_listed(op, u))
			continue;
		if (n++ > 0)
			TRY(buf_put_u8(out, ','));
		TRY(put_user(u, u->roles, out));
		last = i;
	}
	while (i < keys->nusers && !is_listed(op, keys_user_at(keys, i)))
		i++;
	if (i == keys->nusers || n == 0)
		return buf_put_str(out, "],\"next\":null}");
	(void)snprintf(next, sizeof(next), "],\"next\":\"");
	TRY(buf_put_str(out, next));
	TRY(buf_put_span(out, keys_user_at(keys, last)->tenant));
	TRY(buf_put_u8(out, '/'));
	TRY(buf_put_span(out, keys_user_at(keys, last)->name));
	return buf_put_str(out, "\"}");
}

/* The user whom the caller may know of, or NULL. */
static struct user *
known_user(const struct admin_call *c, struct span tenant, struct span name)
{
	struct user *u;

	if (!admin_name_known(tenant) || !admin_name_known(name))
		return NULL;
	if (c->by != NULL && !span_eq(tenant, c->by->user->tenant))
		return NULL;
	u = keys_find_user(&c->a->keys, tenant, name);
	return u == NULL || u->state == USER_ERASED ? NULL : u;
}

/* "tenant/name", as a page's `next` says. */
static struct user *
user_behind(const struct admin_call *c, struct span after)
{
	const uint8_t *slash = memchr(after.ptr, '/', after.len);
	size_t len = slash == NULL ? 0 : (size_t)(slash - after.ptr);

	return slash == NULL ? NULL
			     : known_user(c, span_of(after.ptr, len), span_from(after, len + 1));
}

struct status
users_list(struct admin_call *c)
{
	struct span after = admin_query(c, "after");
	const struct user *behind = NULL;
	struct admin_op *op = NULL;
	uint32_t limit = 0;

	TRY(admin_query_limit(c, &limit));
	if (after.len > 0 && (behind = user_behind(c, after)) == NULL)
		return admin_refuse_not_found(c);
	TRY(admin_read_new(c, "users.list", make_list, &op));
	op->limit = limit;
	op->after_key = behind == NULL ? 0 : behind->serial + 1;
	return admin_read_begin(c, op);
}

static struct status
make_one(struct admin_op *op, struct buf *out)
{
	return put_user(user_of(op), user_of(op)->roles, out);
}

static struct status
make_me(struct admin_op *op, struct buf *out)
{
	return put_user(user_of(op), op->roles, out);
}

/* The user of the path; an operator names the tenant in the query. */
static struct status
user_of_path(struct admin_call *c, struct user **ret)
{
	if (c->tenant.len == 0)
		return admin_refuse(c, 400, "invalid_request", "The query names no tenant.");
	*ret = known_user(c, c->tenant, c->param);
	return *ret != NULL ? OK : admin_refuse_not_found(c);
}

static void
name_user(struct admin_op *op, struct span tenant, struct span name)
{
	(void)snprintf(op->tenant, sizeof(op->tenant), "%.*s", SPAN_FMT(tenant));
	(void)snprintf(op->user, sizeof(op->user), "%.*s", SPAN_FMT(name));
}

struct status
users_get(struct admin_call *c)
{
	struct admin_op *op = NULL;
	struct user *u = NULL;

	TRY(user_of_path(c, &u));
	TRY(admin_read_new(c, "users.get", make_one, &op));
	name_user(op, u->tenant, u->name);
	return admin_read_begin(c, op);
}

/* The caller itself, with the roles that its credential has. */
struct status
me_get(struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_read_new(c, "me.get", make_me, &op));
	name_user(op, c->by->user->tenant, c->by->user->name);
	op->roles = key_roles(c->by);
	return admin_read_begin(c, op);
}

/* ---- changes ---- */

/* Or still being erased. */
static bool
is_there(const struct keys *k, const struct user *u)
{
	return u != NULL && (u->state != USER_ERASED || claim_is_held(&u->changing, k));
}

static struct status
read_roles(struct admin_call *c, uint8_t *ret)
{
	struct json_iter it = json_iter(c->doc, json_get_str(c->doc, 0, "roles"));

	*ret = 0;
	while (json_next(&it)) {
		for (unsigned i = 0; i < ROLE_COUNT; i++) {
			if (json_str_eq_str(c->doc, it.val, role_names[i]))
				*ret |= (uint8_t)(1U << i);
		}
	}
	return OK;
}

/* "administrator,owner": what a record says of roles. */
static void
name_roles(struct admin_op *op, uint8_t roles)
{
	size_t at = 0;

	op->value_text[0] = '\0';
	for (unsigned i = 0; i < ROLE_COUNT; i++) {
		if ((roles >> i & 1) != 0)
			at += (size_t)snprintf(op->value_text + at, sizeof(op->value_text) - at,
			    "%s%s", at > 0 ? "," : "", role_names[i]);
	}
	op->value = at > 0 ? op->value_text : "none";
}

struct status
admin_user_fits(struct admin_call *c, struct span tenant, struct span name)
{
	if (keys_user_fits(&c->a->keys, tenant, name))
		return OK;
	return admin_refuse(c, 409, "too_many_users",
	    "There is no room for more users, or the tenant has its part of it.");
}

struct status
users_create(struct admin_call *c)
{
	struct span tenant, name;
	struct admin_op *op = NULL;
	uint8_t roles = ROLE_USER;

	TRY(admin_text(c, "tenant", &tenant));
	TRY(admin_text(c, "user", &name));
	if (c->by != NULL && tenant.len > 0 && !span_eq(tenant, c->tenant))
		return admin_refuse_not_found(c);
	if (c->by != NULL)
		tenant = c->tenant;
	if (tenant.len == 0)
		return admin_refuse(c, 400, "invalid_request", c->route->wanted);
	if (json_get_str(c->doc, 0, "roles") != JSON_NONE)
		TRY(read_roles(c, &roles));
	if ((roles & HIGH_ROLES) != 0)
		TRY(admin_may(c, ACTION_ROLE_GRANT));
	if (is_there(&c->a->keys, keys_find_user(&c->a->keys, tenant, name)))
		return admin_refuse(c, 409, "exists", "There is such a user already.");
	TRY(admin_user_fits(c, tenant, name));
	TRY(admin_op_new(c, OP_USER, &op));
	name_user(op, tenant, name);
	op->change = "create";
	op->roles = roles;
	op->state = USER_ACTIVE;
	name_roles(op, roles);
	return admin_op_begin(op, on_intent, c->op);
}

/* Is this the only active owner of its tenant? */
static bool
is_last_owner(const struct keys *keys, const struct user *u)
{
	const struct user *other;

	if ((u->roles & ROLE_OWNER) == 0 || u->state != USER_ACTIVE)
		return false;
	SLIST_FOREACH(other, &u->of->users, of_tenant)
	{
		if (other != u && !claim_is_held(&other->changing, keys) &&
		    (other->roles & ROLE_OWNER) != 0 && other->state == USER_ACTIVE)
			return false;
	}
	return true;
}

/* Those that are stored, and those that came with tokens. */
uint8_t
admin_all_roles(const struct authority *a, const struct user *u)
{
	const struct key *key;
	uint8_t roles = u->roles;

	SLIST_FOREACH(key, &u->keys, of_user)
	{
		if (key->revoked_s == 0)
			roles |= people_roles_of(a, key);
	}
	return roles;
}

struct status
admin_may_end(struct admin_call *c, const struct user *u, enum action *action)
{
	uint8_t roles = admin_all_roles(c->a, u);

	if ((roles & ROLE_AUDITOR) != 0)
		*action = ACTION_AUDITOR_REMOVE;
	else if ((roles & HIGH_ROLES) != 0)
		*action = ACTION_ROLE_GRANT;
	TRY(admin_may(c, *action));
	if (c->by != NULL && is_last_owner(&c->a->keys, u))
		return admin_refuse(c, 409, "last_owner", "The tenant would have no owner.");
	return OK;
}

/* What the change is, and so whose it may be. */
static enum action
action_of(
    const struct authority *a, const struct user *u, uint8_t roles, uint8_t state, uint8_t hold)
{
	uint8_t had = state != u->state ? admin_all_roles(a, u) : u->roles;

	if (hold != u->hold)
		return hold ? ACTION_HOLD_SET : ACTION_HOLD_LIFT;
	if ((had & ROLE_AUDITOR) != 0 && u->state == USER_ACTIVE &&
	    ((roles & ROLE_AUDITOR) == 0 || state != USER_ACTIVE))
		return ACTION_AUDITOR_REMOVE;
	return ((roles | had) & HIGH_ROLES) != 0 ? ACTION_ROLE_GRANT : ACTION_USER_CHANGE;
}

static struct status
begin_change(struct admin_call *c, struct user *u, uint8_t roles, uint8_t state, uint8_t hold)
{
	enum action action = action_of(c->a, u, roles, state, hold);
	struct admin_op *op = NULL;

	TRY(admin_may(c, action));
	if (c->by != NULL && is_last_owner(&c->a->keys, u) &&
	    ((roles & ROLE_OWNER) == 0 || state != USER_ACTIVE))
		return admin_refuse(c, 409, "last_owner", "The tenant would have no owner.");
	if (admin_asks(c, action))
		return approval_ask(c, action);
	/* All marks are written at once: of two changes at a time one would be lost. */
	if (claim_is_held(&u->changing, &c->a->keys))
		return admin_refuse(c, 409, "busy", "Another change of this user is under way.");
	TRY(admin_op_new(c, OP_USER, &op));
	admin_op_claim(op, &u->changing);
	name_user(op, u->tenant, u->name);
	op->roles = roles;
	op->state = state;
	op->hold = hold;
	op->change = hold != u->hold ? "hold" : state != u->state ? "state" : "roles";
	name_roles(op, roles);
	if (hold != u->hold)
		op->value = hold ? "set" : "lifted";
	else if (state != u->state)
		op->value = state == USER_ACTIVE ? "active" : "disabled";
	return admin_op_begin(op, on_intent, c->op);
}

struct status
users_change(struct admin_call *c)
{
	const struct json_doc *d = c->doc;
	uint8_t roles, state, hold;
	struct user *u = NULL;
	bool flag = false;

	TRY(admin_not_narrow(c));
	TRY(user_of_path(c, &u));
	roles = u->roles;
	state = u->state;
	hold = u->hold;
	if (json_get_str(d, 0, "roles") != JSON_NONE)
		TRY(read_roles(c, &roles));
	if (roles != u->roles && ((roles | u->roles) & ROLE_SERVICE) != 0)
		return admin_refuse(c, 409, "service_stays",
		    "Who is a service is so from the beginning and stays it: make another user.");
	if (json_get_str(d, 0, "state") != JSON_NONE)
		state = json_str_eq_str(d, json_get_str(d, 0, "state"), "active") ? USER_ACTIVE
										  : USER_DISABLED;
	if (json_get_str(d, 0, "hold") != JSON_NONE) {
		TRY(json_bool(d, json_get_str(d, 0, "hold"), &flag));
		hold = flag;
	}
	return begin_change(c, u, roles, state, hold);
}

/* ---- the act ---- */

static void
put_change(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	const struct user *u = user_of(op);
	struct span target = SPAN_LIT("new"); /* it has no pseudonym before it is there */
	struct audit_rec *r;

	if (u != NULL) {
		hex_encode(span_of(u->subject, SUBJECT_LEN), op->tenant_hex);
		target = span_of(op->tenant_hex, sizeof(op->tenant_hex));
	}
	r = batch_add(b, EVENT_IDENTITY_CHANGED, who, "user", target);
	if (u != NULL && op->by == NULL)
		memcpy(r->subject, u->subject, SUBJECT_LEN);
	batch_text(b, op->change);
	batch_str(b, target);
	batch_text(b, op->value);
	admin_put_by(op, b);
}

static struct status
put_changed(struct admin_op *op, struct json_writer *w)
{
	put_members(w, user_of(op), user_of(op)->roles);
	if (op->turns > 0) {
		json_put_key(w, "turns");
		json_put_u64(w, op->turns);
	}
	return OK;
}

static void
on_intent(struct admin_op *op)
{
	const struct as_user_put m = { .tenant = span_str(op->tenant),
		.user = span_str(op->user),
		.roles = op->roles,
		.state = op->state,
		.hold = op->hold,
		.fresh = strcmp(op->change, "create") == 0 };

	if (m.fresh && is_there(&op->a->keys, user_of(op)))
		admin_op_finish(op, 409, "exists", "There is such a user already.");
	else
		admin_op_ask(op, AS_USER_PUT, &m, AS_DONE, on_put);
}

/* All that a disabled user runs ends. */
static void
end_all_turns(struct admin_op *op, const struct user *u)
{
	struct key *key;

	SLIST_FOREACH(key, &u->keys, of_user)
	admin_end_turns(op, key);
}

static void
on_put(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_done *m = answered;
	struct admin_op *op = ctx;
	struct user *u = NULL;

	if (code == E_EXISTS) { /* somebody was faster */
		admin_op_finish(op, 409, "exists", "There is such a user already.");
		return;
	}
	if (code != E_OK || m == NULL) {
		admin_op_finish(op, code == E_NOTFOUND ? 404 : 503,
		    code == E_NOTFOUND ? "not_found" : "store_unavailable",
		    code == E_NOTFOUND ? "There is no such object."
				       : "The store did not take the change.");
		return;
	}
	if (!is_ok(keys_put_user(
		&a->keys, span_str(op->tenant), span_str(op->user), m->subject_key, &u))) {
		admin_op_doubt(op);
		admin_op_finish(
		    op, 500, "internal_error", "The user is stored but could not be loaded.");
		return;
	}
	user_set_marks(u, op->roles, op->state, op->hold);
	if (strcmp(op->change, "create") == 0) {
		admin_op_finish(op, 201, NULL, NULL);
		return;
	}
	if (strcmp(op->change, "hold") == 0)
		approvals_end_lifts(a, u);
	if (op->state != USER_ACTIVE)
		end_all_turns(op, u);
	admin_finish_after_turns(op);
}
