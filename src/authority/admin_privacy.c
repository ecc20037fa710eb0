/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_privacy.c: a person is erased, by another or by itself.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks; the store.
 * Owns: nothing. Invariants: nothing begins without a durable intent; records name a person by
 * the pseudonym only, also once nobody can say any more whose it was; who has roles is erased by
 * whoever may take those away, and not by itself; a narrowed credential ends nobody.
 * See: admin_call.h, roles.c, privacy.h; admin_export.c; docs/privacy.md.
 */
#include "admin_op.h"

#include <stdio.h>

#include <base/encode.h>

#include "privacy.h"

/* What keeps the keys in the database's file for a while. */
#define WAITS_FOR "backup"

static void on_erase_intent(struct admin_op *op);
static void put_erased(struct admin_op *op, struct batch *b, const struct record_who *who);

const struct admin_kind admin_erase_kind = { put_erased, NULL, false,
	ADMIN_WAIT_MS + ERASE_WAIT_MS };

struct status
admin_person_of(struct admin_call *c, struct user **ret)
{
	struct user *u;

	if (c->tenant.len == 0)
		return admin_refuse(c, 400, "invalid_request", "The query names no tenant.");
	u = keys_find_user(&c->a->keys, c->tenant, c->param);
	if (u == NULL || u->state == USER_ERASED)
		return admin_refuse_not_found(c);
	*ret = u;
	return OK;
}

static struct status
begin(struct admin_call *c, struct user *u)
{
	struct admin_op *op = NULL;

	if (u->hold)
		return admin_refuse(c, 409, "legal_hold", "There is a legal hold on this person.");
	/* A change of its marks would bring it back. */
	if (claim_is_held(&u->changing, &c->a->keys))
		return admin_refuse(c, 409, "busy", "A change of this user is under way.");
	TRY(admin_op_new(c, OP_ERASE, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	(void)snprintf(op->tenant, sizeof(op->tenant), "%.*s", SPAN_FMT(u->tenant));
	(void)snprintf(op->user, sizeof(op->user), "%.*s", SPAN_FMT(u->name));
	hex_encode(span_of(u->subject, SUBJECT_LEN), op->tenant_hex);
	admin_op_claim(op, &u->changing);
	return admin_op_begin(op, on_erase_intent, c->op);
}

static struct span
target_of(const struct admin_op *op)
{
	return span_of(op->tenant_hex, sizeof(op->tenant_hex));
}

/* ---- erasure ---- */

struct status
users_erase(struct admin_call *c)
{
	enum action action = ACTION_USER_ERASE;
	struct user *u = NULL;

	TRY(admin_not_narrow(c));
	TRY(admin_person_of(c, &u));
	TRY(admin_may_end(c, u, &action));
	if (!u->hold && admin_asks(c, action))
		return approval_ask(c, action);
	return begin(c, u);
}

/* The caller itself. Roles are others' to take away, and with them whoever has them. */
struct status
me_erase(struct admin_call *c)
{
	struct user *u = c->by->user;

	TRY(admin_not_narrow(c));
	if (admin_all_roles(c->a, u) != ROLE_USER)
		return admin_refuse(
		    c, 409, "has_roles", "An owner takes the other roles away first.");
	return begin(c, u);
}

static void
put_erased(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ERASED, who, "user", target_of(op));
	batch_str(b, target_of(op));
	batch_u64_if(b, op->version);
	batch_str_if(b, op->waits ? SPAN_LIT(WAITS_FOR) : SPAN_EMPTY);
	admin_put_by(op, b);
}

static struct status
put_answer(struct admin_op *op)
{
	TRY(buf_printf(
	    &op->body, "{\"erased\":true,\"rows\":%llu", (unsigned long long)op->version));
	return buf_put_str(&op->body, op->waits ? ",\"waits_for\":\"" WAITS_FOR "\"}" : "}");
}

static void
on_erased(struct authority *a, void *ctx, enum code code, uint64_t rows, bool waits)
{
	struct admin_op *op = ctx;

	(void)a;
	op->version = rows;
	op->waits = waits;
	if (code == E_NOTFOUND)
		admin_op_finish(op, 404, "not_found", "There is no such object.");
	else if (code == E_DENIED)
		admin_op_finish(op, 409, "legal_hold", "There is a legal hold on this person.");
	else if (code != E_OK) /* no answer, or a failure behind the commit */
		admin_op_finish_in_doubt(op);
	else if (!is_ok(put_answer(op)))
		admin_op_finish(op, 500, "internal_error", "It is done; there is no memory.");
	else
		admin_op_finish(op, 200, NULL, NULL);
}

static void
on_erase_intent(struct admin_op *op)
{
	if (!is_ok(privacy_erase(op->a, span_str(op->tenant), span_str(op->user), on_erased, op)))
		admin_op_finish(op, 503, "store_unavailable", "The store is away.");
}
