/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.c: acts of operators, step by step: record the intent, act, record the
 * outcome, answer.
 *
 * Runs in: authority. Trusts: whoever may open the management socket (checked
 * in management.c). Owns: the acts that are under way, and for as long as a
 * creation lasts the new key's text.
 * Invariants: no effect without a durable intent; a key's text is answered
 * once, after everything is durable, and wiped; revocation answers when nothing
 * of the key runs any more, or after ADMIN_TURNS_WAIT_MS.
 * See: admin.h, management.c.
 */
#include "admin.h"

#include "authority.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/write.h>
#include <keytext/keytext.h>

enum op_kind { OP_CREATE = 1, OP_REVOKE, OP_RELOAD, OP_LIST };

struct admin_op {
	struct authority *a; /* NULL: the slot is free */
	enum op_kind kind;
	uint32_t uid;
	admin_reply *reply; /* NULL: nobody waits any more */
	void *ctx;
	uint64_t deadline_ms;
	uint8_t request_id[REQUEST_ID_LEN];
	uint64_t intent_seq;
	uint8_t id[KEY_ID_LEN];
	uint8_t text[KEY_TEXT_LEN]; /* OP_CREATE, until it was answered */
	uint8_t hash[DIGEST_LEN];
	char tenant[TENANT_MAX + 1], user[USER_MAX + 1], policy[POLICY_MAX + 1];
	uint64_t created_s, expires_s, revoked_s;
	uint32_t turns, turns_left; /* OP_REVOKE: those it ended, those still ending */
	uint64_t turns_until_ms;    /* 0: not waiting */
	uint16_t http;              /* the answer, once it is known */
	const char *error;
	char message[1025];
	uint32_t generation;
};

static struct admin_op ops[ADMIN_OPS_MAX];
static uint32_t busy;

static struct status op_begin(struct admin_op *op, append_done *done, struct admin_op **ret);
static void op_finish(struct admin_op *op, uint16_t http, const char *error, const char *message);
static void on_create_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_created(struct authority *a, void *ctx, enum code code, const struct as_done *m);
static void on_revoke_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_revoked(struct authority *a, void *ctx, enum code code, const struct as_done *m);
static void on_reload_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_reloaded(
    struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_listed(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_outcome(struct authority *a, void *ctx, struct status st, uint64_t seq);

static struct status
op_new(struct authority *a, enum op_kind kind, uint32_t uid, admin_reply *reply, void *ctx,
    struct admin_op **ret)
{
	for (size_t i = 0; i < ADMIN_OPS_MAX; i++) {
		struct admin_op *op = &ops[i];

		if (op->a != NULL)
			continue;
		*op = (struct admin_op){ .kind = kind, .uid = uid, .reply = reply, .ctx = ctx };
		TRY(uuid7(op->request_id));
		op->a = a;
		op->deadline_ms = now_ms(a) + (kind == OP_RELOAD ? RELOAD_WAIT_MS : ADMIN_WAIT_MS);
		busy++;
		*ret = op;
		return OK;
	}
	return fail(E_FULL);
}

static void
op_free(struct admin_op *op)
{
	struct authority *a = op->a;

	explicit_bzero(op, sizeof(*op));
	busy--;
	authority_check_drained(a);
}

uint32_t
admin_busy(void)
{
	return busy;
}

void
admin_abandon(struct admin_op *op)
{
	op->reply = NULL;
}

bool
admin_name_ok(struct span name)
{
	if (name.len == 0 || name.len > TENANT_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			memchr("_.-@+", c, 5) != NULL))
			return false;
	}
	return true;
}

/* ---- begin ---- */

struct status
admin_create_key(struct authority *a, uint32_t uid, const struct admin_key *k, admin_reply *reply,
    void *ctx, struct admin_op **ret)
{
	struct admin_op *op = NULL;
	struct status st;

	TRY(op_new(a, OP_CREATE, uid, reply, ctx, &op));
	st = span_to_cstr(k->tenant, op->tenant, sizeof(op->tenant));
	if (is_ok(st))
		st = span_to_cstr(k->user, op->user, sizeof(op->user));
	if (is_ok(st))
		st = span_to_cstr(k->policy, op->policy, sizeof(op->policy));
	if (is_ok(st))
		st = keytext_create(op->text);
	if (is_ok(st))
		st = keys_hash(&a->keys, span_of(op->text, sizeof(op->text)), op->hash);
	if (!is_ok(st)) {
		op_free(op);
		return st;
	}
	memcpy(op->id, keytext_id(span_of(op->text, sizeof(op->text))).ptr, sizeof(op->id));
	op->created_s = now_real_s();
	op->expires_s = k->lifetime_s == 0 ? 0 : op->created_s + k->lifetime_s;
	return op_begin(op, on_create_intent, ret);
}

struct status
admin_revoke_key(struct authority *a, uint32_t uid, struct span id, admin_reply *reply, void *ctx,
    struct admin_op **ret)
{
	struct admin_op *op = NULL;

	if (keys_find(&a->keys, id) == NULL)
		return fail(E_NOTFOUND);
	TRY(op_new(a, OP_REVOKE, uid, reply, ctx, &op));
	memcpy(op->id, id.ptr, sizeof(op->id));
	return op_begin(op, on_revoke_intent, ret);
}

struct status
admin_reload(
    struct authority *a, uint32_t uid, admin_reply *reply, void *ctx, struct admin_op **ret)
{
	struct admin_op *op = NULL;

	TRY(op_new(a, OP_RELOAD, uid, reply, ctx, &op));
	return op_begin(op, on_reload_intent, ret);
}

struct status
admin_list_keys(
    struct authority *a, uint32_t uid, admin_reply *reply, void *ctx, struct admin_op **ret)
{
	struct admin_op *op = NULL;

	TRY(op_new(a, OP_LIST, uid, reply, ctx, &op));
	return op_begin(op, on_listed, ret);
}

/* ---- records ---- */

static void
put_record(struct admin_op *op, struct batch *b)
{
	struct key *key = op->kind == OP_REVOKE
			      ? keys_find(&op->a->keys, span_of(op->id, sizeof(op->id)))
			      : NULL;
	const struct record_who who = {
		.request_id = op->request_id, .key = key, .config = op->a->d->generation
	};
	struct span id = span_of(op->id, sizeof(op->id));

	if (op->kind == OP_CREATE) {
		(void)batch_add(b, EVENT_KEY_CREATED, &who, "key", id);
		batch_str(b, id);
		batch_text(b, op->tenant);
		batch_text(b, op->policy);
	} else if (op->kind == OP_REVOKE) {
		(void)batch_add(b, EVENT_KEY_REVOKED, &who, "key", id);
		batch_str(b, id);
	} else {
		bool reload = op->kind == OP_RELOAD;

		(void)batch_add(
		    b, EVENT_ADMIN, &who, "admin", reload ? SPAN_LIT("config") : SPAN_LIT("keys"));
		batch_text(b, reload ? "reload" : "keys.list");
	}
	batch_u64(b, op->uid);
}

static struct status
op_begin(struct admin_op *op, append_done *done, struct admin_op **ret)
{
	struct batch b = { .n = 0 };
	struct status st;

	put_record(op, &b);
	if (op->kind != OP_LIST)
		batch_intent(&b);
	st = audit_append(op->a, &b, done, op);
	if (!is_ok(st)) {
		op_free(op);
		return st;
	}
	*ret = op;
	return OK;
}

/* The act is over, one way or the other: record it, then answer. */
static void
op_finish(struct admin_op *op, uint16_t http, const char *error, const char *message)
{
	struct batch b = { .n = 0 };

	op->http = http;
	op->error = error;
	if (message != NULL)
		(void)snprintf(op->message, sizeof(op->message), "%s", message);
	put_record(op, &b);
	batch_closes(&b, op->intent_seq);
	batch_outcome(&b, error == NULL ? AUDIT_SUCCESS : AUDIT_FAILURE, AUDIT_CAUSE_NONE);
	if (!is_ok(audit_append(op->a, &b, on_outcome, op)))
		on_outcome(op->a, op, fail(E_CLOSED), 0);
}

struct status
admin_put_error(struct buf *out, const char *code, const char *message)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "error");
	json_put_object(&w);
	json_put_key(&w, "code");
	json_put_text(&w, code);
	json_put_key(&w, "message");
	json_put_text(&w, message);
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static struct status
put_answer(struct admin_op *op, struct buf *out)
{
	struct json_writer w = json_writer(out);

	if (op->error != NULL)
		return admin_put_error(out, op->error, op->message);
	if (op->kind == OP_LIST)
		return OK;
	json_put_object(&w);
	if (op->kind == OP_CREATE) {
		json_put_key(&w, "key");
		json_put_str(&w, span_of(op->text, sizeof(op->text)));
		json_put_key(&w, "expires_s");
		json_put_u64(&w, op->expires_s);
	}
	if (op->kind == OP_RELOAD) {
		json_put_key(&w, "generation");
		json_put_u64(&w, op->generation);
	} else {
		json_put_key(&w, "id");
		json_put_str(&w, span_of(op->id, sizeof(op->id)));
	}
	if (op->kind == OP_REVOKE) {
		json_put_key(&w, "revoked_s");
		json_put_u64(&w, op->revoked_s);
		json_put_key(&w, "turns");
		json_put_u64(&w, op->turns);
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
op_answer(struct admin_op *op)
{
	auto_buf struct buf body = BUF_INIT(8192);
	admin_reply *reply = op->reply;

	op->reply = NULL;
	if (reply == NULL)
		return;
	if (is_ok(buf_reserve(&body, body.max)) && is_ok(put_answer(op, &body)))
		reply(op->ctx, op->http, buf_span(&body));
	else
		reply(op->ctx, 500, SPAN_EMPTY);
	if (body.ptr != NULL)
		explicit_bzero(body.ptr, body.cap);
}

static void
op_fail_audit(struct admin_op *op)
{
	op->http = 503;
	op->error = "audit_unavailable";
	(void)snprintf(
	    op->message, sizeof(op->message), "%s", error_rows[ERROR_AUDIT_UNAVAILABLE].message);
	op_answer(op);
	op_free(op);
}

static void
on_outcome(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;

	(void)a, (void)seq;
	if (!is_ok(st)) {
		op_fail_audit(op);
		return;
	}
	op_answer(op);
	op_free(op);
}

/* ---- create ---- */

static void
on_create_intent(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;
	struct as_key m = { .tenant = span_str(op->tenant),
		.user = span_str(op->user),
		.policy = span_str(op->policy),
		.created_s = op->created_s,
		.expires_s = op->expires_s };

	if (!is_ok(st)) {
		op_fail_audit(op);
		return;
	}
	op->intent_seq = seq;
	memcpy(m.id, op->id, sizeof(m.id));
	memcpy(m.hash, op->hash, sizeof(m.hash));
	if (!is_ok(store_put_key(a, &m, on_created, op)))
		op_finish(op, 503, "store_unavailable", "The store is away.");
}

static void
on_created(struct authority *a, void *ctx, enum code code, const struct as_done *m)
{
	struct admin_op *op = ctx;
	struct as_key k = { .tenant = span_str(op->tenant),
		.user = span_str(op->user),
		.policy = span_str(op->policy),
		.created_s = op->created_s,
		.expires_s = op->expires_s };
	struct status st;

	if (code != E_OK) {
		op_finish(op, 503, "store_unavailable", "The store did not take the key.");
		return;
	}
	memcpy(k.id, op->id, sizeof(k.id));
	memcpy(k.hash, op->hash, sizeof(k.hash));
	st = keys_put_user(&a->keys, k.tenant, k.user, m->subject_key, NULL);
	if (is_ok(st))
		st = keys_put(&a->keys, &a->policies, &k, NULL);
	if (is_ok(st))
		op_finish(op, 201, NULL, NULL);
	else
		op_finish(op, 500, "internal_error", "The key is stored but could not be loaded.");
}

/* ---- revoke ---- */

static void
on_revoke_intent(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;
	struct as_key_revoke m = { .revoked_s = now_real_s() };

	if (!is_ok(st)) {
		op_fail_audit(op);
		return;
	}
	op->intent_seq = seq;
	op->revoked_s = m.revoked_s;
	memcpy(m.id, op->id, sizeof(m.id));
	if (!is_ok(store_revoke_key(a, &m, on_revoked, op)))
		op_finish(op, 503, "store_unavailable", "The store is away; nothing was revoked.");
}

static void
revoke_check_done(struct admin_op *op)
{
	if (op->turns_left > 0 || op->turns_until_ms == 0)
		return;
	op->turns_until_ms = 0;
	op_finish(op, 200, NULL, NULL);
}

static void
on_revoked(struct authority *a, void *ctx, enum code code, const struct as_done *m)
{
	struct admin_op *op = ctx;
	struct key *key = keys_find(&a->keys, span_of(op->id, sizeof(op->id)));
	struct turn *t, *next;

	(void)m;
	if (key == NULL || (code != E_OK && code != E_EXISTS)) {
		op_finish(op, 503, "store_unavailable",
		    "The store did not confirm; the key may still be valid.");
		return;
	}
	if (key->revoked_s == 0)
		key->revoked_s = op->revoked_s;
	op->revoked_s = key->revoked_s;
	for (t = LIST_FIRST(&key->turns); t != NULL; t = next) {
		next = LIST_NEXT(t, of_key);
		if (t->waiter == NULL) {
			t->waiter = op;
			op->turns++;
			op->turns_left++;
		}
		turn_end(t, ERROR_REVOKED, AUDIT_REVOKED);
	}
	op->turns_until_ms = now_ms(a) + ADMIN_TURNS_WAIT_MS;
	revoke_check_done(op);
}

void
admin_turn_over(struct turn *t)
{
	struct admin_op *op = t->waiter;

	t->waiter = NULL;
	if (op == NULL)
		return;
	op->turns_left--;
	revoke_check_done(op);
}

/* The turns' own waits are over by then; what is left is told by its records. */
static void
forget_turns(struct admin_op *op)
{
	struct turn *t;

	TAILQ_FOREACH(t, &op->a->turns.in_use, in_use)
	{
		if (t->waiter == op)
			t->waiter = NULL;
	}
	op->turns_left = 0;
}

/* ---- reload, list ---- */

static void
on_reload_intent(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;
	const struct wire_none none = { 0 };

	if (!is_ok(st)) {
		op_fail_audit(op);
		return;
	}
	op->intent_seq = seq;
	if (!is_ok(
		link_call(a->d->control, CTL_RELOAD, &none, RELOAD_WAIT_MS, on_reloaded, op, NULL)))
		op_finish(op, 503, "unavailable", "The supervisor did not take the reload.");
}

static void
on_reloaded(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct admin_op *op = ctx;
	const struct ctl_reloaded *m = msg;
	char text[1025] = "";

	(void)l;
	if (!is_ok(st) || type != CTL_RELOADED) {
		op_finish(op, 504, "timeout", "The supervisor did not answer.");
		return;
	}
	op->generation = m->generation;
	if (!is_ok(span_to_cstr(m->text, text, sizeof(text))))
		text[0] = '\0';
	if (m->ok)
		op_finish(op, 200, NULL, NULL);
	else
		op_finish(op, 422, "reload_refused", text);
}

static void
on_listed(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;

	(void)a, (void)seq;
	if (!is_ok(st)) {
		op_fail_audit(op);
		return;
	}
	op->http = 200;
	op_answer(op);
	op_free(op);
}

void
admin_tick(struct authority *a)
{
	for (size_t i = 0; i < ADMIN_OPS_MAX; i++) {
		struct admin_op *op = &ops[i];
		admin_reply *reply = op->reply;

		if (op->a == NULL)
			continue;
		if (op->turns_until_ms != 0 && now_ms(a) >= op->turns_until_ms) {
			forget_turns(op);
			revoke_check_done(op);
			continue;
		}
		if (reply == NULL || now_ms(a) < op->deadline_ms)
			continue;
		op->reply = NULL;
		reply(op->ctx, 504,
		    SPAN_LIT("{\"error\":{\"code\":\"timeout\",\"message\":"
			     "\"It is not known how that ended; see the audit log.\"}}"));
	}
}

void
authority_check_drained(struct authority *a)
{
	if (a->d->draining && a->turns.n == 0 && admin_busy() == 0)
		daemon_quit(a->d, 0);
}
