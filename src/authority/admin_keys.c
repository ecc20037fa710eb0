/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_keys.c: API keys: create, rotate, revoke.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks.
 * Owns: for as long as a creation lasts, the new key's text.
 * Invariants: a key's text is answered once, after everything is durable, and wiped; nobody
 * gets the key of a person but that person and an operator; no credential makes a key that may
 * more than itself, or lives on when it has ended.
 * See: admin_call.h, keys.h; admin_keys_list.c.
 */
#include "admin_op.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <json/write.h>
#include <keytext/keytext.h>

#define OVERLAP_S_DEFAULT 86400
#define KEY_LIFETIME_S_MAX 315360000 /* ten years */

static void put_created(struct admin_op *op, struct batch *b, const struct record_who *who);
static void put_revoked(struct admin_op *op, struct batch *b, const struct record_who *who);
static struct status put_created_body(struct admin_op *op, struct json_writer *w);
static struct status put_revoked_body(struct admin_op *op, struct json_writer *w);
static void on_create_intent(struct admin_op *op);
static void on_created(struct authority *a, void *ctx, enum code code, const struct as_done *m);
static void on_revoke_intent(struct admin_op *op);
static void on_revoked(struct authority *a, void *ctx, enum code code, const struct as_done *m);

const struct admin_kind admin_key_create_kind = { put_created, put_created_body, false,
	ADMIN_WAIT_MS };
const struct admin_kind admin_key_revoke_kind = { put_revoked, put_revoked_body, false,
	ADMIN_WAIT_MS };

/* ---- the acts ---- */

/* NULL: there is nobody of that name, or nobody any more. */
static struct user *
user_of(const struct admin_op *op)
{
	struct user *u = keys_find_user(&op->a->keys, span_str(op->tenant), span_str(op->user));

	return u == NULL || u->state == USER_ERASED ? NULL : u;
}

static struct status
take_key(struct admin_op *op, const struct admin_key *k)
{
	struct keys *keys = &op->a->keys;
	const struct user *u;

	TRY(span_to_cstr(k->tenant, op->tenant, sizeof(op->tenant)));
	TRY(span_to_cstr(k->user, op->user, sizeof(op->user)));
	TRY(span_to_cstr(k->policy, op->policy, sizeof(op->policy)));
	u = user_of(op);
	if (u != NULL)
		memcpy(op->whose, u->subject, sizeof(op->whose));
	TRY(keys_tenant_pseudonym(keys, k->tenant, op->tenant_hex));
	op->sealed = BUF_INIT(SCOPES_MAX);
	TRY(buf_put_span(&op->sealed, k->scopes));
	if (k->replaces.len == KEY_ID_LEN)
		memcpy(op->replaces, k->replaces.ptr, KEY_ID_LEN);
	op->old_expires_s = k->old_expires_s;
	TRY(keytext_create(op->text));
	TRY(keys_hash(keys, span_of(op->text, sizeof(op->text)), op->hash, &op->pepper));
	memcpy(op->id, keytext_id(span_of(op->text, sizeof(op->text))).ptr, sizeof(op->id));
	op->created_s = now_real_s();
	op->expires_s = k->lifetime_s == 0 ? k->expires_s : op->created_s + k->lifetime_s;
	return OK;
}

struct status
admin_create_key(const struct admin_call *c, const struct admin_key *k)
{
	struct key *old = k->replaces.len > 0 ? keys_find(&c->a->keys, k->replaces) : NULL;
	struct admin_op *op = NULL;
	struct status st;

	TRY(admin_op_new(c, OP_CREATE, &op));
	st = take_key(op, k);
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	if (old != NULL)
		admin_op_claim(op, &old->changing);
	return admin_op_begin(op, on_create_intent, c->op);
}

struct status
admin_revoke_key(const struct admin_call *c, struct span id)
{
	struct admin_op *op = NULL;

	if (keys_find(&c->a->keys, id) == NULL)
		return fail(E_NOTFOUND);
	TRY(admin_op_new(c, OP_REVOKE, &op));
	memcpy(op->id, id.ptr, sizeof(op->id));
	return admin_op_begin(op, on_revoke_intent, c->op);
}

/* ---- records and answers ---- */

static void
put_created(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	struct span id = span_of(op->id, sizeof(op->id));
	struct record_who of_key = *who;

	if (op->by == NULL)
		of_key.key = keys_find(&op->a->keys, id); /* once it is there */
	(void)batch_add(b, EVENT_KEY_CREATED, &of_key, "key", id);
	batch_str(b, id);
	batch_str(b, span_of(op->tenant_hex, sizeof(op->tenant_hex)));
	batch_text(b, op->policy);
	admin_put_by(op, b);
}

static void
put_revoked(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	struct span id = span_of(op->id, sizeof(op->id));
	struct record_who of_key = *who;

	if (op->by == NULL)
		of_key.key = keys_find(&op->a->keys, id);
	(void)batch_add(b, EVENT_KEY_REVOKED, &of_key, "key", id);
	batch_str(b, id);
	admin_put_by(op, b);
}

static struct status
put_created_body(struct admin_op *op, struct json_writer *w)
{
	json_put_key(w, "key");
	json_put_str(w, span_of(op->text, sizeof(op->text)));
	json_put_key(w, "expires_s");
	json_put_u64(w, op->expires_s);
	json_put_key(w, "id");
	json_put_str(w, span_of(op->id, sizeof(op->id)));
	if (op->replaces[0] != 0) {
		json_put_key(w, "replaces");
		json_put_str(w, span_of(op->replaces, sizeof(op->replaces)));
		json_put_key(w, "replaced_expires_s");
		json_put_u64(w, op->old_expires_s);
	}
	return OK;
}

static struct status
put_revoked_body(struct admin_op *op, struct json_writer *w)
{
	json_put_key(w, "id");
	json_put_str(w, span_of(op->id, sizeof(op->id)));
	json_put_key(w, "revoked_s");
	json_put_u64(w, op->revoked_s);
	json_put_key(w, "turns");
	json_put_u64(w, op->turns);
	json_put_key(w, "store_owed");
	json_put_bool(w, op->owed);
	return OK;
}

/* ---- create ---- */

static struct as_key
key_of(const struct admin_op *op)
{
	struct as_key m = { .tenant = span_str(op->tenant),
		.user = span_str(op->user),
		.policy = span_str(op->policy),
		.created_s = op->created_s,
		.expires_s = op->expires_s,
		.scopes = buf_span(&op->sealed),
		.old_expires_s = op->old_expires_s,
		.pepper = op->pepper };

	memcpy(m.id, op->id, sizeof(m.id));
	memcpy(m.hash, op->hash, sizeof(m.hash));
	memcpy(m.replaces, op->replaces, sizeof(m.replaces));
	return m;
}

/* A key brings its user back: whoever was erased meanwhile, or is made anew, is another one. */
static bool
is_still_there(const struct admin_op *op)
{
	static const uint8_t nobody[SUBJECT_LEN];
	const struct user *u = user_of(op);

	if (memcmp(op->whose, nobody, sizeof(nobody)) == 0)
		return true;
	return u != NULL && memcmp(op->whose, u->subject, sizeof(op->whose)) == 0;
}

/* Who asked, or what is replaced, has ended meanwhile, or is about to: no key outlives that. */
static bool
is_over(const struct admin_op *op)
{
	const struct key *keys[] = { op->by,
		keys_find(&op->a->keys, span_of(op->replaces, KEY_ID_LEN)) };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (keys[i] != NULL && (!admin_key_is_live(keys[i]) || admin_revokes(keys[i]) ||
					   keys[i]->user->state != USER_ACTIVE))
			return true;
	}
	return false;
}

/* A change of its state may be on its way to the store. */
static bool
is_changing(const struct admin_op *op)
{
	const struct user *u = user_of(op);

	return (u != NULL && admin_erases(u)) ||
	       (op->by != NULL && claim_is_held(&op->by->user->changing, &op->a->keys));
}

/* What goes to the store before an erasure is erased with it: nothing may go there after that. */
static void
on_create_intent(struct admin_op *op)
{
	struct as_key m = key_of(op);

	if (!is_still_there(op))
		admin_op_finish(op, 404, "not_found", "There is no such object.");
	else if (is_over(op))
		admin_op_finish(op, 409, "not_live", "The key is not valid any more.");
	else if (is_changing(op))
		admin_op_finish(op, 409, "busy", "Another change of the user is under way.");
	else if (!is_ok(store_put_key(op->a, &m, on_created, op)))
		admin_op_finish(op, 503, "store_unavailable", "The store is away.");
}

static void
on_created(struct authority *a, void *ctx, enum code code, const struct as_done *m)
{
	struct admin_op *op = ctx;
	struct as_key k = key_of(op);
	struct status st;

	if (m == NULL) {
		admin_op_finish_in_doubt(op);
		return;
	}
	if (code == E_NOTFOUND || !is_still_there(op)) {
		admin_op_finish(op, 404, "not_found", "There is no such object.");
		return;
	}
	if (code ==
	    E_DENIED) { /* what it replaces was revoked, be it before another process's time */
		admin_op_finish(op, 409, "not_live", "The key is not valid any more.");
		return;
	}
	if (code != E_OK) {
		admin_op_finish(op, 503, "store_unavailable", "The store did not take the key.");
		return;
	}
	st = keys_put_user(&a->keys, k.tenant, k.user, m->subject_key, NULL);
	if (is_ok(st))
		st = keys_put(&a->keys, &a->policies, &k, NULL);
	if (is_ok(st)) {
		admin_op_finish(op, 201, NULL, NULL);
		return;
	}
	admin_op_doubt(op);
	admin_op_finish(op, 500, "internal_error", "The key is stored but could not be loaded.");
}

/* ---- revoke ---- */

static void
end_key(struct admin_op *op, struct key *key)
{
	if (key->revoked_s == 0)
		key->revoked_s = op->revoked_s;
	op->revoked_s = key->revoked_s;
	admin_end_turns(op, key);
	admin_finish_after_turns(op);
}

static void
on_owed(struct authority *a, void *ctx, struct status st)
{
	struct admin_op *op = ctx;
	struct key *key = keys_find(&a->keys, span_of(op->id, sizeof(op->id)));

	if (!is_ok(st) || key == NULL) {
		admin_op_finish(op, 503, "store_unavailable",
		    "The store is away, and what it is to be told could not be kept; the key may "
		    "still be valid.");
		return;
	}
	op->owed = true;
	end_key(op, key);
}

/* Somebody else may have the key: it is refused from now on, and the store is told later. */
static void
revoke_without_store(struct admin_op *op)
{
	struct as_key_revoke m = { .revoked_s = op->revoked_s };
	struct status st;

	memcpy(m.id, op->id, sizeof(m.id));
	st = owed_add(op->a, &m, on_owed, op);
	if (st.code == E_EXISTS)
		on_owed(op->a, op, OK);
	else if (!is_ok(st))
		on_owed(op->a, op, st);
}

static void
on_revoke_intent(struct admin_op *op)
{
	struct as_key_revoke m = { .revoked_s = now_real_s() };

	op->revoked_s = m.revoked_s;
	memcpy(m.id, op->id, sizeof(m.id));
	if (!is_ok(store_revoke_key(op->a, &m, on_revoked, op)))
		revoke_without_store(op);
}

static void
on_revoked(struct authority *a, void *ctx, enum code code, const struct as_done *m)
{
	struct admin_op *op = ctx;
	struct key *key = keys_find(&a->keys, span_of(op->id, sizeof(op->id)));

	(void)m;
	if (key == NULL)
		admin_op_finish(op, 404, "not_found", "There is no such key.");
	else if (code == E_OK || code == E_EXISTS || code == E_NOTFOUND) /* an older store's */
		end_key(op, key);
	else
		revoke_without_store(op);
}

/* ---- whose keys ---- */

struct key *
admin_known_key(const struct admin_call *c, struct span id)
{
	struct key *key = keytext_id_ok(id) ? keys_find(&c->a->keys, id) : NULL;

	if (key == NULL || key_is_past(key))
		return NULL;
	if (c->by == NULL)
		return key;
	if (!span_eq(key->user->tenant, c->tenant))
		return NULL;
	return key->user == c->by->user || admin_has(c, ACTION_KEY_READ) ? key : NULL;
}

/* Whoever gets the text of a key can be its user: that is for the user, and for services. */
static struct status
may_get_key_of(struct admin_call *c, const struct user *user)
{
	if (c->by == NULL || user == c->by->user)
		return OK;
	TRY(admin_may(c, ACTION_KEY_CREATE));
	if (user != NULL && user->roles == ROLE_SERVICE)
		return OK;
	return admin_refuse(c, 403, "role",
	    "Keys of people are made by themselves, or by an operator of the machine.");
}

/*
 * Whoever has a key of a service can read what is kept for it, and what will be: only who runs the
 * service, or two, get one that leads there.
 */
static bool
needs_another(const struct admin_call *c, const struct user *user, const struct admin_key *k)
{
	return c->by != NULL && user != c->by->user && k->reaches_kept &&
	       admin_asks(c, ACTION_SERVICE_KEY);
}

struct status
admin_may_get_keys(struct admin_call *c)
{
	if (c->by == NULL || (c->by->parent == NULL && !c->by->has_roles))
		return OK;
	return admin_refuse(c, 403, "role",
	    "Keys are made with a key: not with a session, nor with an identity provider's token.");
}

bool
admin_is_narrow(const struct key *key)
{
	return key->scope != NULL || (key->parent != NULL && key->parent->scope != NULL);
}

struct status
admin_not_narrow(struct admin_call *c)
{
	if (c->by == NULL || !admin_is_narrow(c->by))
		return OK;
	return admin_refuse(c, 403, "denied", "A narrowed credential may not do that.");
}

/* ---- requests ---- */

static struct status
read_scopes(struct admin_call *c, struct admin_key *k)
{
	uint32_t tok = json_get_str(c->doc, 0, "scopes");
	const char *fault = NULL;
	struct scope *scope = NULL;

	k->reaches_kept = true;
	if (tok == JSON_NONE)
		return OK;
	fault = scope_fault(c->doc, tok, c->arena);
	if (fault != NULL)
		return admin_refuse(c, 400, "invalid_scopes", fault);
	k->scopes = json_bytes(c->doc, tok);
	if (!is_ok(scope_parse(k->scopes, &scope)))
		return admin_refuse(c, 400, "invalid_scopes",
		    "Scopes are lists of names: \"endpoints\", \"models\", \"tools\", "
		    "\"languages\", "
		    "and \"networks\".");
	k->reaches_kept = scope_reaches_kept(scope);
	scope_free(scope);
	return OK;
}

/* `expires_s` is what it is in answers, a point in time; `expires_in_s` counts from now. */
static struct status
read_expiry(struct admin_call *c, struct admin_key *k)
{
	uint32_t at = json_get_str(c->doc, 0, "expires_s");
	uint32_t in = json_get_str(c->doc, 0, "expires_in_s");
	uint64_t now_s = now_real_s();

	if (at != JSON_NONE && in != JSON_NONE)
		return admin_refuse(c, 400, "invalid_request",
		    "One of \"expires_s\" and \"expires_in_s\", not both.");
	if (in != JSON_NONE)
		return json_u64(c->doc, in, KEY_LIFETIME_S_MAX, &k->lifetime_s);
	if (at == JSON_NONE)
		return OK;
	TRY(json_u64(c->doc, at, INT64_MAX, &k->expires_s));
	if (k->expires_s > now_s && k->expires_s - now_s <= KEY_LIFETIME_S_MAX)
		return OK;
	return admin_refuse(c, 400, "invalid_request",
	    "\"expires_s\" is a Unix time in the future, within ten years; \"expires_in_s\" is "
	    "seconds from now.");
}

/* What a person leaves out is as its own credential has it. */
static struct status
narrow_to_caller(struct admin_call *c, struct admin_key *k)
{
	const struct key *root = key_root(c->by);
	uint64_t ends_s = k->lifetime_s == 0 ? k->expires_s : now_real_s() + k->lifetime_s;

	if (admin_is_narrow(c->by))
		return admin_refuse(c, 403, "denied", "A narrowed credential makes no keys.");
	if (!span_eq_str(k->policy, root->policy->name))
		TRY(admin_may(c, ACTION_KEY_CREATE));
	if (root->expires_s != 0 && (ends_s == 0 || ends_s > root->expires_s)) {
		k->lifetime_s = 0;
		k->expires_s = root->expires_s;
	}
	return OK;
}

static struct status
read_key(struct admin_call *c, struct admin_key *k)
{
	struct span tenant;

	TRY(admin_text(c, "tenant", &tenant));
	TRY(admin_text(c, "user", &k->user));
	TRY(admin_text(c, "policy", &k->policy));
	TRY(read_expiry(c, k));
	TRY(read_scopes(c, k));
	k->tenant = c->by == NULL ? tenant : c->tenant;
	if (c->by != NULL && tenant.len > 0 && !span_eq(tenant, c->tenant))
		return admin_refuse_not_found(c);
	if (k->user.len == 0 && c->by != NULL)
		k->user = c->by->user->name;
	if (k->policy.len == 0)
		k->policy = c->by != NULL ? span_str(c->by->policy->name) : SPAN_LIT("default");
	if (k->tenant.len == 0 || k->user.len == 0)
		return admin_refuse(c, 400, "invalid_request", c->route->wanted);
	return OK;
}

struct status
keys_create(struct admin_call *c)
{
	struct admin_key k = { .lifetime_s = 0 };
	struct user *user;

	TRY(admin_may_get_keys(c));
	TRY(read_key(c, &k));
	user = keys_find_user(&c->a->keys, k.tenant, k.user);
	if (user != NULL && user->state == USER_ERASED)
		user = NULL;
	if (c->by != NULL) {
		if (user == NULL) {
			TRY(admin_may(c, ACTION_KEY_CREATE)); /* else 403, as for who is there */
			return admin_refuse_not_found(c);
		}
		TRY(may_get_key_of(c, user));
		TRY(narrow_to_caller(c, &k));
		TRY(admin_key_room(c, user));
	}
	if (policies_find(&c->a->policies, k.policy) == NULL)
		return admin_refuse(c, 400, "unknown_policy", "There is no policy of that name.");
	TRY(admin_user_fits(c, k.tenant, k.user));
	if (needs_another(c, user, &k))
		return approval_ask(c, ACTION_SERVICE_KEY);
	return admin_create_key(c, &k);
}

/* Two live keys of one chain at most: the one that goes, the one that comes. */
static struct status
may_rotate(struct admin_call *c, const struct key *key)
{
	if (!admin_key_is_live(key) || key->user->state != USER_ACTIVE)
		return admin_refuse(c, 409, "not_live", "The key is not valid any more.");
	if (claim_is_held(&key->changing, &c->a->keys) || admin_key_is_live(key->replaced_by) ||
	    admin_key_is_live(keys_find(&c->a->keys, span_of(key->replaces, KEY_ID_LEN))))
		return admin_refuse(c, 409, "two_live_keys",
		    "This key and the one that it came from, or went to, are both valid.");
	return OK;
}

struct status
keys_rotate(struct admin_call *c)
{
	struct key *key = admin_known_key(c, c->param);
	uint32_t tok = json_get_str(c->doc, 0, "overlap_s");
	uint64_t now = now_real_s(), overlap_s = OVERLAP_S_DEFAULT;
	struct admin_key k;

	if (key == NULL)
		return admin_refuse(c, 404, "not_found", "There is no such key.");
	TRY(admin_may_get_keys(c));
	TRY(may_get_key_of(c, key->user));
	TRY(may_rotate(c, key));
	TRY(admin_key_room(c, key->user));
	if (tok != JSON_NONE)
		TRY(json_u64(c->doc, tok, UINT32_MAX, &overlap_s));
	k = (struct admin_key){ .tenant = key->user->tenant,
		.user = key->user->name,
		.policy = span_str(key->policy->name),
		.expires_s = key->expires_s,
		.scopes = scope_text(key->scope),
		.replaces = span_of(key->id, KEY_ID_LEN),
		.old_expires_s = now + overlap_s,
		.reaches_kept = scope_reaches_kept(key->scope) };
	if (c->by != NULL && key != key_root(c->by)) /* what it gets is as if it had made it */
		TRY(narrow_to_caller(c, &k));
	if (key->expires_s != 0 && key->expires_s < k.old_expires_s)
		k.old_expires_s = key->expires_s;
	if (needs_another(c, key->user, &k))
		return approval_ask(c, ACTION_SERVICE_KEY);
	return admin_create_key(c, &k);
}

struct status
keys_revoke(struct admin_call *c)
{
	struct key *key = admin_known_key(c, c->param);
	enum action action = ACTION_KEY_REVOKE;

	if (key == NULL)
		return admin_refuse(c, 404, "not_found", "There is no such key.");
	if (c->by != NULL && key->user != c->by->user) {
		TRY(admin_may(c, ACTION_KEY_REVOKE));
		TRY(admin_may_end(c, key->user, &action));
	}
	if (c->by != NULL && admin_is_narrow(c->by) && key != key_root(c->by))
		return admin_refuse(
		    c, 403, "denied", "A narrowed credential revokes no other key.");
	if (admin_asks(c, action))
		return approval_ask(c, action);
	return admin_revoke_key(c, c->param);
}
