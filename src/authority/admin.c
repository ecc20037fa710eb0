/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.c: the life of an act of administration: record the intent, act, record the outcome,
 * answer.
 *
 * Runs in: authority. Trusts: whoever came through a door (management.c, admin_door.c).
 * Owns: the acts that are under way.
 * Invariants: no effect without a durable intent, no answer before its outcome is durable; what
 * ends turns answers when nothing of theirs runs any more, or after ADMIN_TURNS_WAIT_MS.
 * See: admin.h, admin_call.h; admin_keys.c, admin_users.c and others for the acts.
 */
#include "admin_op.h"

#include <assert.h>
#include <stdio.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/write.h>

static struct admin_op ops[ADMIN_OPS_MAX];
static uint32_t busy;

static void put_reload(struct admin_op *op, struct batch *b, const struct record_who *who);
static void put_read(struct admin_op *op, struct batch *b, const struct record_who *who);
static struct status put_reload_body(struct admin_op *op, struct json_writer *w);

static const struct admin_kind reload_kind = { put_reload, put_reload_body, false, RELOAD_WAIT_MS };
static const struct admin_kind read_kind = { put_read, NULL, true, ADMIN_WAIT_MS };
static const struct admin_kind *const kinds[OP_KIND_COUNT] = {
	[OP_CREATE] = &admin_key_create_kind,
	[OP_REVOKE] = &admin_key_revoke_kind,
	[OP_RELOAD] = &reload_kind,
	[OP_SESSION] = &admin_session_kind,
	[OP_READ] = &read_kind,
	[OP_USER] = &admin_user_kind,
	[OP_ERASE] = &admin_erase_kind,
	[OP_EXPORT] = &admin_export_kind,
	[OP_AUDIT] = &admin_audit_kind,
	[OP_EXPORT_TENANT] = &admin_export_tenant_kind,
	[OP_SECRET_SET] = &admin_secret_set_kind,
	[OP_SECRET_REMOVE] = &admin_secret_remove_kind,
	[OP_SECRET_LIST] = &admin_secret_list_kind,
	[OP_USAGE] = &admin_usage_kind,
	[OP_TOOL_MARK] = &admin_tool_mark_kind,
	[OP_TOOL_LIST] = &admin_tool_list_kind,
	[OP_KEK_ROTATE] = &admin_kek_rotate_kind,
	[OP_KEK_STATUS] = &admin_kek_status_kind,
	[OP_KEYSET_ROTATE] = &admin_keyset_rotate_kind,
	[OP_KEYSET_STATUS] = &admin_keyset_status_kind,
	[OP_BACKUP] = &admin_backup_kind,
	[OP_STORE_ACCEPT] = &admin_store_accept_kind,
	[OP_BACKUP_SHOW] = &admin_backup_show_kind,
	[OP_APPROVAL] = &admin_approval_kind,
	[OP_ROTATE] = &admin_rotate_kind,
};

static void on_reload_intent(struct admin_op *op);
static void on_reloaded(
    struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_read(struct admin_op *op);
static void on_outcome(struct authority *a, void *ctx, struct status st, uint64_t seq);

struct status
admin_op_new(const struct admin_call *c, enum op_kind kind, struct admin_op **ret)
{
	for (size_t i = 0; i < ADMIN_OPS_MAX; i++) {
		struct admin_op *op = &ops[i];

		if (op->a != NULL)
			continue;
		*op = (struct admin_op){ .kind = kind,
			.uid = c->uid,
			.by = c->by == NULL ? NULL : key_root(c->by),
			.reply = c->reply,
			.ctx = c->ctx,
			.approved = c->approved };
		if (c->request_id != NULL)
			memcpy(op->request_id, c->request_id, REQUEST_ID_LEN);
		else
			TRY(uuid7(&c->a->random, op->request_id));
		TRY(span_to_cstr(c->source, op->source, sizeof(op->source)));
		op->a = c->a;
		op->deadline_ms = now_ms(c->a) + kinds[kind]->wait_ms;
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

	/* Pages of an export, a key's text. */
	if (op->sealed.ptr != NULL)
		explicit_bzero(op->sealed.ptr, op->sealed.cap);
	if (op->body.ptr != NULL)
		explicit_bzero(op->body.ptr, op->body.cap);
	buf_done(&op->sealed);
	buf_done(&op->body);
	if (op->tool != NULL)
		tools_release(a, op->tool);
	if (op->claim != NULL)
		op->claim->held = false;
	explicit_bzero(op, sizeof(*op));
	busy--;
	authority_check_drained(a);
}

size_t
admin_ops_of(enum op_kind kind, const struct user *by)
{
	size_t n = 0;

	for (size_t i = 0; i < ADMIN_OPS_MAX; i++) {
		const struct admin_op *op = &ops[i];

		if (op->a != NULL && op->kind == kind && op->by != NULL)
			n += by == NULL || op->by->user == by;
	}
	return n;
}

bool
admin_erases(const struct user *u)
{
	for (size_t i = 0; i < ADMIN_OPS_MAX; i++) {
		const struct admin_op *op = &ops[i];

		if (op->a != NULL && op->kind == OP_ERASE && op->claim == &u->changing)
			return true;
	}
	return false;
}

bool
admin_revokes(const struct key *key)
{
	for (size_t i = 0; i < ADMIN_OPS_MAX; i++) {
		const struct admin_op *op = &ops[i];

		if (op->a != NULL && op->kind == OP_REVOKE &&
		    memcmp(op->id, key->id, KEY_ID_LEN) == 0)
			return true;
	}
	return false;
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
admin_reload(const struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_RELOAD, &op));
	return admin_op_begin(op, on_reload_intent, c->op);
}

struct status
admin_read_new(
    const struct admin_call *c, const char *operation, admin_make *make, struct admin_op **ret)
{
	struct admin_op *op = NULL;
	struct status st;

	TRY(admin_op_new(c, OP_READ, &op));
	op->operation = operation;
	op->make = make;
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	st = span_to_cstr(c->tenant, op->tenant, sizeof(op->tenant));
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	*ret = op;
	return OK;
}

struct status
admin_read_begin(const struct admin_call *c, struct admin_op *op)
{
	return admin_op_begin(op, on_read, c->op);
}

/* ---- records ---- */

void
admin_put_by(const struct admin_op *op, struct batch *b)
{
	if (op->by != NULL)
		batch_null(b);
	else
		batch_u64(b, op->uid);
}

static void
put_reload(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("config"));
	batch_text(b, "reload");
	admin_put_by(op, b);
}

static void
put_read(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", span_str(op->operation));
	batch_text(b, op->operation);
	admin_put_by(op, b);
}

static void
put_record(struct admin_op *op, struct batch *b)
{
	const struct record_who who = { .request_id = op->request_id,
		.key = op->by,
		.source = span_str(op->source),
		.config = op->a->d->generation };

	kinds[op->kind]->put_record(op, b, &who);
}

static void
on_recorded(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;

	(void)a;
	if (!is_ok(st)) {
		if (op->undo != NULL)
			op->undo(op);
		admin_op_fail_audit(op);
		return;
	}
	if (!kinds[op->kind]->one_record)
		op->intent_seq = seq;
	op->load = op->a->keys.load;
	op->ready(op);
}

struct status
admin_op_begin(struct admin_op *op, admin_step *ready, struct admin_op **ret)
{
	struct batch b = { .n = 0 };
	struct status st;

	put_record(op, &b);
	if (!kinds[op->kind]->one_record)
		batch_intent(&b);
	op->ready = ready;
	st = audit_answers(op->a) ? audit_append(op->a, &b, on_recorded, op) : fail(E_CLOSED);
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
	batch_outcome(&b,
	    op->in_doubt    ? AUDIT_UNKNOWN
	    : error != NULL ? AUDIT_FAILURE
	    : op->owed      ? AUDIT_UNKNOWN
			    : AUDIT_SUCCESS,
	    AUDIT_CAUSE_NONE);
	if (!is_ok(audit_append(op->a, &b, on_outcome, op)))
		on_outcome(op->a, op, fail(E_CLOSED), 0);
}

struct status
admin_put_error(struct buf *out, const char *code, const char *message)
{
	struct json_writer w = json_writer(out);

	assert(admin_code_is(code));
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
	if (op->made || kinds[op->kind]->put_body == NULL)
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
admin_op_answer_body(struct admin_op *op, uint16_t http)
{
	op->made = true;
	admin_op_answer(op, http, NULL, NULL);
}

const struct admin_kind *
admin_op_kind(const struct admin_op *op)
{
	return kinds[op->kind];
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

/* ---- turns that an act ends ---- */

static void
turns_check_over(struct admin_op *op)
{
	if (op->turns_left > 0 || op->turns_until_ms == 0)
		return;
	op->turns_until_ms = 0;
	admin_op_finish(op, 200, NULL, NULL);
}

void
admin_end_turns(struct admin_op *op, struct key *key)
{
	struct session *s;
	struct turn *t, *next;

	for (t = LIST_FIRST(&key->turns); t != NULL; t = next) {
		next = LIST_NEXT(t, of_key);
		if (t->waiter == NULL) {
			t->waiter = op;
			op->turns++;
			op->turns_left++;
		}
		turn_end(t, ERROR_REVOKED, AUDIT_REVOKED);
	}
	if (op->a->sessions.buckets == NULL || key->parent != NULL)
		return;
	TAILQ_FOREACH(s, &op->a->sessions.live, next)
	{
		if (s->key.parent == key)
			admin_end_turns(op, &s->key);
	}
	sessions_end_of_key(op->a, key);
}

void
admin_finish_after_turns(struct admin_op *op)
{
	op->turns_until_ms = now_ms(op->a) + ADMIN_TURNS_WAIT_MS;
	turns_check_over(op);
}

void
admin_turn_over(struct turn *t)
{
	struct admin_op *op = t->waiter;

	t->waiter = NULL;
	if (op == NULL)
		return;
	op->turns_left--;
	turns_check_over(op);
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

/* ---- reload, read ---- */

static void
on_reload_intent(struct admin_op *op)
{
	const struct wire_none none = { 0 };

	if (!is_ok(link_call(
		op->a->d->control, CTL_RELOAD, &none, RELOAD_WAIT_MS, on_reloaded, op, NULL)))
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
		op->in_doubt = true;
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
on_read(struct admin_op *op)
{
	if (is_ok(op->make(op, &op->body)))
		admin_op_answer(op, 200, NULL, NULL);
	else
		admin_op_answer(op, 500, "internal_error", "The answer could not be made.");
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
			turns_check_over(op);
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
