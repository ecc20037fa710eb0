/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_export.c: all that is kept of a person, or of a tenant's people, given out in pages.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks; the store.
 * Owns: nothing. Invariants: no page without a durable intent; records name a person, or a tenant,
 * by the pseudonym only; a tenant's data need two people, an operator, too, has an owner agree;
 * another person's need two, but for an operator, who answers for the house what a person may ask
 * it for; they go to who asked; a tenant's people are in the order of the table, which only grows:
 * what a cursor of another process's says is nothing here. One page at a time of each caller, and
 * those of all wait for their turn (privacy.c), so that nobody keeps the store from the others; a
 * narrowed credential exports nothing. See: admin_call.h, approvals.c, privacy.h;
 * src/store/export.c; docs/privacy.md.
 */
#include "admin_op.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/rand.h>
#include <json/write.h>

#include "privacy.h"

#define TEXT_MAX AS_EXPORT_PAGE_MAX /* of one answer, before base64 */
#define TEXT_ENOUGH (TEXT_MAX / 4)
#define ASKED_MAX 32 /* pages of the store in one answer */

static void on_intent(struct admin_op *op);
static void on_page(struct authority *a, void *ctx, enum code code, const struct as_exported *page);
static void on_tenant_intent(struct admin_op *op);
static void on_tenant_page(
    struct authority *a, void *ctx, enum code code, const struct as_exported *page);
static void put_exported(struct admin_op *op, struct batch *b, const struct record_who *who);

const struct admin_kind admin_export_kind = { put_exported, NULL, false, ADMIN_WAIT_MS };
const struct admin_kind admin_export_tenant_kind = { put_exported, NULL, false, ADMIN_WAIT_MS };

/* ---- where a page begins ---- */

enum { AT_STAGE, AT_ROW, AT_PART, AT_ITEM, AT_OFFSET, AT_COUNT };

/*
 * `n` numbers with dots between them, as a page before said; without a cursor all are 0. The last
 * AT_COUNT are the store's.
 */
static struct status
read_cursor(struct admin_call *c, uint64_t *numbers, size_t n)
{
	static const uint64_t maxes[AT_COUNT] = { [AT_STAGE] = 255,
		[AT_ROW] = INT64_MAX,
		[AT_PART] = 255,
		[AT_ITEM] = INT64_MAX,
		[AT_OFFSET] = UINT32_MAX };
	struct span text = admin_query(c, "cursor");
	bool any = text.len > 0;

	for (size_t i = 0; i < n && any; i++) {
		const uint8_t *dot = text.len == 0 ? NULL : memchr(text.ptr, '.', text.len);
		size_t len = dot == NULL ? text.len : (size_t)(dot - text.ptr);
		uint64_t max = i + AT_COUNT < n ? UINT32_MAX : maxes[i + AT_COUNT - n];

		if ((dot == NULL) != (i == n - 1) ||
		    !is_ok(span_u64(span_of(text.ptr, len), max, &numbers[i])))
			return admin_refuse(
			    c, 400, "invalid_request", "There can be no such cursor.");
		text = span_from(text, dot == NULL ? len : len + 1);
	}
	return OK;
}

static struct status
op_new(struct admin_call *c, enum op_kind kind, const uint64_t position[AT_COUNT],
    struct admin_op **ret)
{
	TRY(admin_op_new(c, kind, ret));
	(*ret)->body = BUF_INIT(ADMIN_BODY_MAX);
	(*ret)->sealed = BUF_INIT(TEXT_MAX);
	(*ret)->export.stage = (uint8_t)position[AT_STAGE];
	(*ret)->export.row = position[AT_ROW];
	(*ret)->export.part = (uint8_t)position[AT_PART];
	(*ret)->export.item = position[AT_ITEM];
	(*ret)->export.offset = (uint32_t)position[AT_OFFSET];
	return OK;
}

/* May the caller have a page made now? An operator always may. */
static struct status
may_begin(struct admin_call *c)
{
	const struct user *u;

	if (c->by == NULL)
		return OK;
	u = c->by->user;
	if (admin_is_narrow(c->by))
		return admin_refuse(c, 403, "denied", "A narrowed credential exports nothing.");
	if (admin_ops_of(OP_EXPORT, u) + admin_ops_of(OP_EXPORT_TENANT, u) > 0)
		return admin_refuse(c, 409, "busy", "A page of an export of yours is being made.");
	return OK;
}

static struct status
ask(struct admin_op *op, privacy_page *done)
{
	const struct as_export m = { .tenant = span_str(op->tenant),
		.user = span_str(op->user),
		.stage = op->export.stage,
		.row = op->export.row,
		.offset = op->export.offset,
		.part = op->export.part,
		.item = op->export.item };

	return privacy_export(op->a, &m, done, op);
}

/* Why the store gave no page. */
static void
fail_page(struct admin_op *op, enum code code)
{
	if (code == E_NOTFOUND)
		admin_op_finish(op, 404, "not_found", "There is no such object.");
	else if (code == E_AGAIN || code == E_RANGE)
		admin_op_finish(
		    op, 409, "begin_anew", "What the cursor stood at is gone: begin anew.");
	else
		admin_op_finish(op, 503, "store_unavailable", "The store did not answer.");
}

static void
finish(struct admin_op *op, size_t size, struct status st)
{
	op->version = size;
	if (is_ok(st))
		admin_op_finish(op, 200, NULL, NULL);
	else
		admin_op_finish(op, 500, "internal_error", "The page could not be made.");
}

static struct status
put_text(struct admin_op *op, struct span text)
{
	TRY(buf_put_str(&op->body, "{\"page_base64\":\""));
	return base64_encode(text, &op->body);
}

/* ---- a person ---- */

static struct status
export_user(struct admin_call *c, const struct user *u)
{
	struct admin_op *op = NULL;
	uint64_t position[AT_COUNT] = { 0 };

	TRY(may_begin(c));
	TRY(read_cursor(c, position, AT_COUNT));
	TRY(op_new(c, OP_EXPORT, position, &op));
	(void)snprintf(op->tenant, sizeof(op->tenant), "%.*s", SPAN_FMT(u->tenant));
	(void)snprintf(op->user, sizeof(op->user), "%.*s", SPAN_FMT(u->name));
	hex_encode(span_of(u->subject, SUBJECT_LEN), op->tenant_hex);
	return admin_op_begin(op, on_intent, c->op);
}

struct status
users_export(struct admin_call *c)
{
	struct user *u = NULL;

	/* Whose right it is not learns of nobody that there is such a person. */
	if (c->by != NULL)
		TRY(admin_may(c,
		    span_eq(c->param, c->by->user->name) ? ACTION_EXPORT_OWN : ACTION_USER_EXPORT));
	TRY(admin_person_of(c, &u));
	if (c->by != NULL && c->by->user != u && admin_asks(c, ACTION_USER_EXPORT) &&
	    !approval_covers(c, ACTION_USER_EXPORT))
		return approval_ask(c, ACTION_USER_EXPORT);
	return export_user(c, u);
}

struct status
me_export(struct admin_call *c)
{
	return export_user(c, c->by->user);
}

static void
put_exported(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	const struct span target = span_of(op->tenant_hex, sizeof(op->tenant_hex));

	(void)batch_add(
	    b, EVENT_EXPORTED, who, op->kind == OP_EXPORT_TENANT ? "tenant" : "user", target);
	batch_str(b, target);
	batch_u64_if(b, op->version);
	admin_put_by(op, b);
}

static void
on_intent(struct admin_op *op)
{
	if (!is_ok(ask(op, on_page)))
		admin_op_finish(op, 503, "store_unavailable", "The store is away.");
}

static struct status
put_page(struct admin_op *op, const struct as_exported *page)
{
	TRY(put_text(op, page->page));
	if (!page->more)
		return buf_put_str(&op->body, "\",\"next\":null}");
	return buf_printf(&op->body, "\",\"next\":\"%u.%llu.%u.%llu.%u\"}", page->stage,
	    (unsigned long long)page->row, page->part, (unsigned long long)page->item,
	    page->offset);
}

static void
on_page(struct authority *a, void *ctx, enum code code, const struct as_exported *page)
{
	struct admin_op *op = ctx;

	(void)a;
	if (code != E_OK || page == NULL)
		fail_page(op, code);
	else
		finish(op, page->page.len, put_page(op, page));
}

/* ---- a tenant ---- */

/* Cursors of another process count other people. */
static struct status
epoch(uint32_t *ret)
{
	static uint32_t mine;

	if (mine == 0)
		TRY(rand_bytes(&mine, sizeof(mine)));
	mine |= 1;
	*ret = mine;
	return OK;
}

static struct status
put_tenant_line(struct admin_op *op)
{
	struct json_writer w = json_writer(&op->sealed);

	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, "tenant");
	json_put_key(&w, "tenant");
	json_put_text(&w, op->tenant);
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return buf_put_u8(&op->sealed, '\n');
}

static struct status
tenant_begin(struct admin_call *c, struct admin_op *op, bool first)
{
	TRY(span_to_cstr(c->param, op->tenant, sizeof(op->tenant)));
	TRY(keys_tenant_pseudonym(&c->a->keys, c->param, op->tenant_hex));
	return first ? put_tenant_line(op) : OK;
}

static bool
is_of(const struct user *u, struct span tenant)
{
	return u->state != USER_ERASED && span_eq(u->tenant, tenant);
}

static bool
tenant_exists(const struct keys *k, struct span tenant)
{
	const struct keys_tenant *t = keys_find_tenant(k, tenant);
	const struct user *u;

	if (t == NULL)
		return false;
	SLIST_FOREACH(u, &t->users, of_tenant)
	{
		if (u->state != USER_ERASED)
			return true;
	}
	return false;
}

struct status
tenants_export(struct admin_call *c)
{
	uint64_t at[2 + AT_COUNT] = { 0 };
	struct admin_op *op = NULL;
	uint32_t mine;
	struct status st;

	if ((c->by != NULL && !span_eq(c->param, c->by->user->tenant)) ||
	    !tenant_exists(&c->a->keys, c->param))
		return admin_refuse_not_found(c);
	TRY(read_cursor(c, at, 2 + AT_COUNT));
	TRY(epoch(&mine));
	if (at[0] != 0 && at[0] != mine)
		return admin_refuse(
		    c, 409, "begin_anew", "What the cursor stood at is gone: begin anew.");
	c->tenant = c->param; /* an operator's query names none */
	if (admin_asks(c, ACTION_TENANT_EXPORT) && !approval_covers(c, ACTION_TENANT_EXPORT))
		return approval_ask(c, ACTION_TENANT_EXPORT);
	TRY(may_begin(c));
	TRY(op_new(c, OP_EXPORT_TENANT, at + 2, &op));
	op->export.serial = (size_t)at[1];
	st = tenant_begin(c, op, at[0] == 0);
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	return admin_op_begin(op, on_tenant_intent, c->op);
}

/* What has come so far; `over`: that was all of the tenant. */
static void
tenant_answer(struct admin_op *op, bool over)
{
	struct status st = put_text(op, buf_span(&op->sealed));
	uint32_t mine = 0;

	if (is_ok(st) && over)
		st = buf_put_str(&op->body, "\",\"next\":null}");
	else if (is_ok(st) && is_ok(st = epoch(&mine)))
		st = buf_printf(&op->body, "\",\"next\":\"%u.%zu.%u.%llu.%u.%llu.%u\"}", mine,
		    op->export.serial, op->export.stage, (unsigned long long)op->export.row,
		    op->export.part, (unsigned long long)op->export.item, op->export.offset);
	finish(op, op->sealed.len, st);
}

static void
stand_at(struct admin_op *op, const struct as_exported *at)
{
	op->export.stage = at->stage;
	op->export.row = at->row;
	op->export.part = at->part;
	op->export.item = at->item;
	op->export.offset = at->offset;
}

static void
next_person(struct admin_op *op)
{
	op->export.serial++;
	stand_at(op, &(struct as_exported){ .stage = 0 });
}

/* The next person's data, from where the export stands. */
static void
tenant_ask(struct admin_op *op)
{
	const struct keys *k = &op->a->keys;

	while (op->export.serial < k->nusers &&
	       !is_of(keys_user_at(k, op->export.serial), span_str(op->tenant)))
		next_person(op);
	if (op->export.serial >= k->nusers) {
		tenant_answer(op, true);
		return;
	}
	if (op->export.asked++ == ASKED_MAX) {
		tenant_answer(op, false);
		return;
	}
	(void)snprintf(
	    op->user, sizeof(op->user), "%.*s", SPAN_FMT(keys_user_at(k, op->export.serial)->name));
	if (!is_ok(ask(op, on_tenant_page)))
		admin_op_finish(op, 503, "store_unavailable", "The store is away.");
}

static void
on_tenant_intent(struct admin_op *op)
{
	tenant_ask(op);
}

static void
on_tenant_page(struct authority *a, void *ctx, enum code code, const struct as_exported *page)
{
	struct admin_op *op = ctx;

	(void)a;
	if (code == E_NOTFOUND) { /* erased in between */
		next_person(op);
		tenant_ask(op);
		return;
	}
	if (code != E_OK || page == NULL) {
		fail_page(op, code);
		return;
	}
	if (!is_ok(buf_put_span(&op->sealed, page->page))) { /* it does not fit any more */
		tenant_answer(op, false);
		return;
	}
	stand_at(op, page);
	if (!page->more)
		next_person(op);
	if (op->sealed.len >= TEXT_ENOUGH || page->more)
		tenant_answer(op, false);
	else
		tenant_ask(op);
}
