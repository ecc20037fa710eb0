/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_privacy.c: a person is erased, or all that is kept of one is given out.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks; the store.
 * Owns: nothing. Invariants: neither begins without a durable intent; records name a person by
 * the pseudonym only, also once nobody can say any more whose it was; another's data need two
 * people, but for an operator's own door; who has roles is erased by whoever may take those away.
 * See: admin_call.h, roles.c, privacy.h; docs/privacy.md.
 */
#include "admin_op.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/write.h>

#include "privacy.h"

static void on_erase_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_export_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void put_erased(struct admin_op *op, struct batch *b, const struct record_who *who);
static void put_exported(struct admin_op *op, struct batch *b, const struct record_who *who);

const struct admin_kind admin_erase_kind = { put_erased, NULL, false, ADMIN_WAIT_MS };
const struct admin_kind admin_export_kind = { put_exported, NULL, false, ADMIN_WAIT_MS };

/* The person of the path; another tenant's is none. */
static struct status
person_of(struct admin_call *c, struct user **ret)
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
begin(struct admin_call *c, enum op_kind kind, const struct user *u, struct admin_op **ret)
{
	TRY(admin_op_new(c, kind, ret));
	(*ret)->body = BUF_INIT(ADMIN_BODY_MAX);
	(void)snprintf((*ret)->tenant, sizeof((*ret)->tenant), "%.*s", SPAN_FMT(u->tenant));
	(void)snprintf((*ret)->user, sizeof((*ret)->user), "%.*s", SPAN_FMT(u->name));
	hex_encode(span_of(u->subject, SUBJECT_LEN), (*ret)->tenant_hex);
	return OK;
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
	struct admin_op *op = NULL;
	struct user *u = NULL;

	TRY(person_of(c, &u));
	TRY(admin_may_end(c, u, &action));
	if (u->hold)
		return admin_refuse(c, 409, "legal_hold", "There is a legal hold on this person.");
	if (admin_asks(c, action))
		return approval_ask(c, action);
	/* A change of its marks would bring it back. */
	if (u->changing)
		return admin_refuse(c, 409, "busy", "A change of this user is under way.");
	TRY(begin(c, OP_ERASE, u, &op));
	admin_op_claim(op, &u->changing);
	return admin_op_begin(op, on_erase_intent, c->op);
}

static void
put_erased(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ERASED, who, "user", target_of(op));
	batch_str(b, target_of(op));
	batch_u64_if(b, op->version);
	admin_put_by(op, b);
}

static void
on_erased(struct authority *a, void *ctx, enum code code, uint64_t rows)
{
	struct admin_op *op = ctx;

	(void)a;
	op->version = rows;
	if (code == E_NOTFOUND)
		admin_op_finish(op, 404, "not_found", "There is no such object.");
	else if (code == E_DENIED)
		admin_op_finish(op, 409, "legal_hold", "There is a legal hold on this person.");
	else if (code != E_OK)
		admin_op_finish(op, 503, "store_unavailable", "The store did not confirm it.");
	else if (!is_ok(buf_printf(
		     &op->body, "{\"erased\":true,\"rows\":%llu}", (unsigned long long)rows)))
		admin_op_finish(op, 500, "internal_error", "It is done; there is no memory.");
	else
		admin_op_finish(op, 200, NULL, NULL);
}

static void
on_erase_intent(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;

	if (!is_ok(st)) {
		admin_op_fail_audit(op);
		return;
	}
	op->intent_seq = seq;
	if (!is_ok(privacy_erase(a, span_str(op->tenant), span_str(op->user), on_erased, op)))
		admin_op_finish(op, 503, "store_unavailable", "The store is away.");
}

/* ---- export ---- */

/* "STAGE.ROW.OFFSET", as a page before said. */
static struct status
read_cursor(struct admin_call *c, struct admin_op *op)
{
	struct span text = admin_query(c, "cursor");
	uint64_t numbers[3] = { 0 };

	for (size_t i = 0; i < 3 && text.len > 0; i++) {
		const uint8_t *dot = memchr(text.ptr, '.', text.len);
		size_t len = dot == NULL ? text.len : (size_t)(dot - text.ptr);
		uint64_t max = i == 0 ? 255 : i == 1 ? INT64_MAX : UINT32_MAX;

		if ((dot == NULL) != (i == 2) ||
		    !is_ok(span_u64(span_of(text.ptr, len), max, &numbers[i])))
			return admin_refuse(
			    c, 400, "invalid_request", "There can be no such cursor.");
		text = span_from(text, len + 1);
	}
	op->since_day = (uint32_t)numbers[0];
	op->after_key = numbers[1];
	op->limit = (uint32_t)numbers[2];
	return OK;
}

struct status
users_export(struct admin_call *c)
{
	struct admin_op *op = NULL;
	struct user *u = NULL;
	struct status st;

	/* Whose right it is not learns of nobody that there is such a person. */
	if (c->by != NULL && !span_eq(c->param, c->by->user->name))
		TRY(admin_may(c, ACTION_USER_EXPORT));
	TRY(person_of(c, &u));
	if (c->by != NULL && c->by->user != u && admin_asks(c, ACTION_USER_EXPORT))
		return approval_ask(c, ACTION_USER_EXPORT);
	TRY(begin(c, OP_EXPORT, u, &op));
	st = read_cursor(c, op);
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	return admin_op_begin(op, on_export_intent, c->op);
}

static void
put_exported(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_EXPORTED, who, "user", target_of(op));
	batch_str(b, target_of(op));
	batch_u64_if(b, op->version);
	admin_put_by(op, b);
}

static struct status
put_page(const struct as_exported *page, struct buf *out)
{
	TRY(buf_put_str(out, "{\"page_base64\":\""));
	TRY(base64_encode(page->page, out));
	if (!page->more)
		return buf_put_str(out, "\",\"next\":null}");
	return buf_printf(out, "\",\"next\":\"%u.%llu.%u\"}", page->stage,
	    (unsigned long long)page->row, page->offset);
}

static void
on_page(struct authority *a, void *ctx, enum code code, const struct as_exported *page)
{
	struct admin_op *op = ctx;

	(void)a;
	if (code == E_NOTFOUND)
		admin_op_finish(op, 404, "not_found", "There is no such object.");
	else if (code == E_AGAIN || code == E_RANGE)
		admin_op_finish(
		    op, 409, "begin_anew", "What the cursor stood at is gone: begin anew.");
	else if (code != E_OK || page == NULL)
		admin_op_finish(op, 503, "store_unavailable", "The store did not answer.");
	else if (!is_ok(put_page(page, &op->body)))
		admin_op_finish(op, 500, "internal_error", "The page could not be made.");
	else {
		op->version = page->page.len;
		admin_op_finish(op, 200, NULL, NULL);
	}
}

static void
on_export_intent(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	struct admin_op *op = ctx;
	const struct as_export m = { .tenant = span_str(op->tenant),
		.user = span_str(op->user),
		.stage = (uint8_t)op->since_day,
		.row = op->after_key,
		.offset = op->limit };

	if (!is_ok(st)) {
		admin_op_fail_audit(op);
		return;
	}
	op->intent_seq = seq;
	if (!is_ok(privacy_export(a, &m, on_page, op)))
		admin_op_finish(op, 503, "store_unavailable", "The store is away.");
}
