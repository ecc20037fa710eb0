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
#include "admin_op.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/write.h>
#include <keytext/keytext.h>

static struct admin_op ops[ADMIN_OPS_MAX];
static uint32_t busy;

static void put_created(struct admin_op *op, struct batch *b, const struct record_who *who);
static void put_revoked(struct admin_op *op, struct batch *b, const struct record_who *who);
static void put_reload(struct admin_op *op, struct batch *b, const struct record_who *who);
static void put_list(struct admin_op *op, struct batch *b, const struct record_who *who);
static struct status put_created_body(struct admin_op *op, struct json_writer *w);
static struct status put_revoked_body(struct admin_op *op, struct json_writer *w);
static struct status put_reload_body(struct admin_op *op, struct json_writer *w);

static const struct admin_kind create_kind = { put_created, put_created_body, false,
	ADMIN_WAIT_MS };
static const struct admin_kind revoke_kind = { put_revoked, put_revoked_body, false,
	ADMIN_WAIT_MS };
static const struct admin_kind reload_kind = { put_reload, put_reload_body, false, RELOAD_WAIT_MS };
static const struct admin_kind list_kind = { put_list, NULL, true, ADMIN_WAIT_MS };
static const struct admin_kind *const kinds[OP_KIND_COUNT] = {
	[OP_CREATE] = &create_kind,
	[OP_REVOKE] = &revoke_kind,
	[OP_RELOAD] = &reload_kind,
	[OP_LIST] = &list_kind,
	[OP_SECRET_SET] = &admin_secret_set_kind,
	[OP_SECRET_REMOVE] = &admin_secret_remove_kind,
	[OP_SECRET_LIST] = &admin_secret_list_kind,
	[OP_USAGE] = &admin_usage_kind,
	[OP_TOOL_MARK] = &admin_tool_mark_kind,
	[OP_TOOL_LIST] = &admin_tool_list_kind,
};

static void on_create_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_created(struct authority *a, void *ctx, enum code code, const struct as_done *m);
static void on_revoke_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_revoked(struct authority *a, void *ctx, enum code code, const struct as_done *m);
static void on_reload_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_reloaded(
    struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_listed(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_outcome(struct authority *a, void *ctx, struct status st, uint64_t seq);

struct status
admin_op_new(struct authority *a, enum op_kind kind, uint32_t uid, admin_reply *reply, void *ctx,
    struct admin_op **ret)
{
	for (size_t i = 0; i < ADMIN_OPS_MAX; i++) {
		struct admin_op *op = &ops[i];

		if (op->a != NULL)
			continue;
		*op = (struct admin_op){ .kind = kind, .uid = uid, .reply = reply, .ctx = ctx };
		TRY(uuid7(op->request_id));
		op->a = a;
		op->deadline_ms = now_ms(a) + kinds[kind]->wait_ms;
		busy++;
		*ret = op;
		return OK;
	}
	return fail(E_FULL);
}

void
admin_op_free(struct admin_op *op)
{
	struct authority *a = op->a;

	buf_done(&op->sealed);
	buf_done(&op->body);
	if (op->tool != NULL)
		tools_release(a, op->tool);
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

/* ---- begin ---- */

struct status
admin_create_key(struct authority *a, uint32_t uid, const struct admin_key *k, admin_reply *reply,
    void *ctx, struct admin_op **ret)
{
	struct admin_op *op = NULL;
	struct status st;

	TRY(admin_op_new(a, OP_CREATE, uid, reply, ctx, &op));
	st = span_to_cstr(k->tenant, op->tenant, sizeof(op->tenant));
	if (is_ok(st))
		st = span_to_cstr(k->user, op->user, sizeof(op->user));
	if (is_ok(st))
		st = span_to_cstr(k->policy, op->policy, sizeof(op->policy));
	if (is_ok(st))
		st = keys_tenant_pseudonym(&a->keys, k->tenant, op->tenant_hex);
	if (is_ok(st))
		st = keytext_create(op->text);
	if (is_ok(st))
		st = keys_hash(&a->keys, span_of(op->text, sizeof(op->text)), op->hash);
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	memcpy(op->id, keytext_id(span_of(op->text, sizeof(op->text))).ptr, sizeof(op->id));
	op->created_s = now_real_s();
	op->expires_s = k->lifetime_s == 0 ? 0 : op->created_s + k->lifetime_s;
	return admin_op_begin(op, on_create_intent, ret);
}

struct status
admin_revoke_key(struct authority *a, uint32_t uid, struct span id, admin_reply *reply, void *ctx,
    struct admin_op **ret)
{
	struct admin_op *op = NULL;

	if (keys_find(&a->keys, id) == NULL)
		return fail(E_NOTFOUND);
	TRY(admin_op_new(a, OP_REVOKE, uid, reply, ctx, &op));
	memcpy(op->id, id.ptr, sizeof(op->id));
	return admin_op_begin(op, on_revoke_intent, ret);
}

struct status
admin_reload(
    struct authority *a, uint32_t uid, admin_reply *reply, void *ctx, struct admin_op **ret)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(a, OP_RELOAD, uid, reply, ctx, &op));
	return admin_op_begin(op, on_reload_intent, ret);
}

struct status
admin_list_keys(
    struct authority *a, uint32_t uid, admin_reply *reply, void *ctx, struct admin_op **ret)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(a, OP_LIST, uid, reply, ctx, &op));
	return admin_op_begin(op, on_listed, ret);
}

/* ---- records ---- */

static void
put_created(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	struct span id = span_of(op->id, sizeof(op->id));

	struct record_who of_key = *who;

	of_key.key = keys_find(&op->a->keys, id); /* once it is there */
	(void)batch_add(b, EVENT_KEY_CREATED, &of_key, "key", id);
	batch_str(b, id);
	batch_str(b, span_of(op->tenant_hex, sizeof(op->tenant_hex)));
	batch_text(b, op->policy);
	batch_u64(b, op->uid);
}

static void
put_revoked(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	struct span id = span_of(op->id, sizeof(op->id));
	struct record_who of_key = *who;

	of_key.key = keys_find(&op->a->keys, id);
	(void)batch_add(b, EVENT_KEY_REVOKED, &of_key, "key", id);
	batch_str(b, id);
	batch_u64(b, op->uid);
}

static void
put_reload(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("config"));
	batch_text(b, "reload");
	batch_u64(b, op->uid);
}

static void
put_list(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("keys"));
	batch_text(b, "keys.list");
	batch_u64(b, op->uid);
}

static void
put_record(struct admin_op *op, struct batch *b)
{
	const struct record_who who = { .request_id = op->request_id,
		.config = op->a->d->generation };

	kinds[op->kind]->put_record(op, b, &who);
}

struct status
admin_op_begin(struct admin_op *op, append_done *done, struct admin_op **ret)
{
	struct batch b = { .n = 0 };
	struct status st;

	put_record(op, &b);
	if (!kinds[op->kind]->one_record)
		batch_intent(&b);
	st = audit_append(op->a, &b, done, op);
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	*ret = op;
	return OK;
}

static void
set_answer(struct admin_op *op, uint16_t http, const char *error, const char *message)
{
	op->http = http;
	op->error = error;
	if (message != NULL)
		(void)snprintf(op->message, sizeof(op->message), "%s", message);
}

/* The act is over, one way or the other: record it, then answer. */
void
admin_op_finish(struct admin_op *op, uint16_t http, const char *error, const char *message)
{
	struct batch b = { .n = 0 };

	set_answer(op, http, error, message);
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
put_created_body(struct admin_op *op, struct json_writer *w)
{
	json_put_key(w, "key");
	json_put_str(w, span_of(op->text, sizeof(op->text)));
	json_put_key(w, "expires_s");
	json_put_u64(w, op->expires_s);
	json_put_key(w, "id");
	json_put_str(w, span_of(op->id, sizeof(op->id)));
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
	return OK;
}

static struct status
put_reload_body(struct admin_op *op, struct json_writer *w)
{
	json_put_key(w, "generation");
	json_put_u64(w, op->generation);
	return OK;
}

static struct status
put_answer(struct admin_op *op, struct buf *out)
{
	struct json_writer w = json_writer(out);

	if (op->error != NULL)
		return admin_put_error(out, op->error, op->message);
	if (kinds[op->kind]->put_body == NULL)
		return buf_put_span(out, buf_span(&op->body));
	json_put_object(&w);
	TRY(kinds[op->kind]->put_body(op, &w));
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
op_answer(struct admin_op *op)
{
	auto_buf struct buf body = BUF_INIT(ADMIN_BODY_MAX);
	admin_reply *reply = op->reply;

	op->reply = NULL;
	if (reply == NULL)
		return;
	/* Room first, so that no half of a key is left behind by a buffer that moved. */
	if (is_ok(buf_reserve(&body, op->body.len + 8192)) && is_ok(put_answer(op, &body)))
		reply(op->ctx, op->http, buf_span(&body));
	else
		reply(op->ctx, 500, SPAN_EMPTY);
	if (body.ptr != NULL)
		explicit_bzero(body.ptr, body.cap);
}

void
admin_op_answer(struct admin_op *op, uint16_t http, const char *error, const char *message)
{
	set_answer(op, http, error, message);
	op_answer(op);
	admin_op_free(op);
}

void
admin_op_fail_audit(struct admin_op *op)
{
	admin_op_answer(op, 503, "audit_unavailable", error_rows[ERROR_AUDIT_UNAVAILABLE].message);
}

static void
on_outcome(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;

	(void)a, (void)seq;
	if (!is_ok(st)) {
		admin_op_fail_audit(op);
		return;
	}
	op_answer(op);
	admin_op_free(op);
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
		admin_op_fail_audit(op);
		return;
	}
	op->intent_seq = seq;
	memcpy(m.id, op->id, sizeof(m.id));
	memcpy(m.hash, op->hash, sizeof(m.hash));
	if (!is_ok(store_put_key(a, &m, on_created, op)))
		admin_op_finish(op, 503, "store_unavailable", "The store is away.");
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
		admin_op_finish(op, 503, "store_unavailable", "The store did not take the key.");
		return;
	}
	memcpy(k.id, op->id, sizeof(k.id));
	memcpy(k.hash, op->hash, sizeof(k.hash));
	st = keys_put_user(&a->keys, k.tenant, k.user, m->subject_key, NULL);
	if (is_ok(st))
		st = keys_put(&a->keys, &a->policies, &k, NULL);
	if (is_ok(st))
		admin_op_finish(op, 201, NULL, NULL);
	else
		admin_op_finish(
		    op, 500, "internal_error", "The key is stored but could not be loaded.");
}

/* ---- revoke ---- */

static void
on_revoke_intent(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;
	struct as_key_revoke m = { .revoked_s = now_real_s() };

	if (!is_ok(st)) {
		admin_op_fail_audit(op);
		return;
	}
	op->intent_seq = seq;
	op->revoked_s = m.revoked_s;
	memcpy(m.id, op->id, sizeof(m.id));
	if (!is_ok(store_revoke_key(a, &m, on_revoked, op)))
		admin_op_finish(
		    op, 503, "store_unavailable", "The store is away; nothing was revoked.");
}

static void
revoke_check_done(struct admin_op *op)
{
	if (op->turns_left > 0 || op->turns_until_ms == 0)
		return;
	op->turns_until_ms = 0;
	admin_op_finish(op, 200, NULL, NULL);
}

static void
on_revoked(struct authority *a, void *ctx, enum code code, const struct as_done *m)
{
	struct admin_op *op = ctx;
	struct key *key = keys_find(&a->keys, span_of(op->id, sizeof(op->id)));
	struct turn *t, *next;

	(void)m;
	if (key == NULL || (code != E_OK && code != E_EXISTS)) {
		admin_op_finish(op, 503, "store_unavailable",
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
		admin_op_fail_audit(op);
		return;
	}
	op->intent_seq = seq;
	if (!is_ok(
		link_call(a->d->control, CTL_RELOAD, &none, RELOAD_WAIT_MS, on_reloaded, op, NULL)))
		admin_op_finish(op, 503, "unavailable", "The supervisor did not take the reload.");
}

static void
on_reloaded(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct admin_op *op = ctx;
	const struct ctl_reloaded *m = msg;
	char text[1025] = "";

	(void)l;
	if (!is_ok(st) || type != CTL_RELOADED) {
		admin_op_finish(op, 504, "timeout", "The supervisor did not answer.");
		return;
	}
	op->generation = m->generation;
	if (!is_ok(span_to_cstr(m->text, text, sizeof(text))))
		text[0] = '\0';
	if (m->ok)
		admin_op_finish(op, 200, NULL, NULL);
	else
		admin_op_finish(op, 422, "reload_refused", text);
}

static void
on_listed(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;

	(void)a, (void)seq;
	if (!is_ok(st)) {
		admin_op_fail_audit(op);
		return;
	}
	admin_op_answer(op, 200, NULL, NULL);
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
	if (!a->d->draining || a->turns.n > 0 || admin_busy() > 0)
		return;
	usage_flush(a);
	if (usage_is_idle(a))
		daemon_quit(a->d, 0);
}
