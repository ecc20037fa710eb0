/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_secret.c: acts on the secrets of `file:NAME`.
 *
 * Runs in: authority. Trusts: whoever may open the management socket; nobody about
 * what is in a sealed value: it cannot be opened here. Owns: nothing.
 * Invariants: no change without a durable intent; the broker hears of a change
 * after the store has it on disk.
 * See: admin_op.h; crypto/file_secret.h.
 */
#include "admin_op.h"

#include <stdio.h>

#include <json/write.h>

static void on_set_intent(struct admin_op *op);
static void on_set(struct authority *a, void *ctx, enum code code, const void *answered);
static void on_remove_intent(struct admin_op *op);
static void on_removed(struct authority *a, void *ctx, enum code code, const void *answered);
static void on_list_record(struct admin_op *op);
static void on_listed(struct authority *a, void *ctx, enum code code, const void *answered);

/* What the store says, for an operator. */
static const struct {
	enum code code;
	uint16_t http;
	const char *error;
	const char *message;
} refusals[] = {
	{ E_NOTFOUND, 404, "not_found", "There is no such secret." },
	{ E_FULL, 409, "too_many_secrets", "The store has as many names of secrets as it takes." },
};

static void
finish_refused(struct admin_op *op, enum code code)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (refusals[i].code != code)
			continue;
		admin_op_finish(op, refusals[i].http, refusals[i].error, refusals[i].message);
		return;
	}
	admin_op_finish(op, 503, "store_unavailable", "The store did not take the change.");
}

static struct status
take_name(struct admin_op *op, struct span name)
{
	TRY(span_to_cstr(name, op->name, sizeof(op->name)));
	(void)snprintf(op->reference, sizeof(op->reference), "file:%s", op->name);
	return OK;
}

/* ---- set, rotate ---- */

struct status
admin_set_secret(const struct admin_call *c, const struct admin_secret *s)
{
	struct admin_op *op = NULL;
	struct status st;

	TRY(admin_op_new(c, OP_SECRET_SET, &op));
	op->sealed = BUF_INIT(SECRET_SEALED_MAX);
	op->rotate = s->rotate;
	st = take_name(op, s->name);
	if (is_ok(st))
		st = buf_put_span(&op->sealed, s->sealed);
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	return admin_op_begin(op, on_set_intent, c->op);
}

static void
put_set(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_SECRET_SET, who, "secret", span_str(op->reference));
	batch_text(b, op->reference);
	batch_u64_if(b, op->version);
	batch_bool(b, op->rotate);
	admin_put_by(op, b);
}

static void
on_set_intent(struct admin_op *op)
{
	const struct as_secret_put m = { .name = span_str(op->name),
		.sealed = buf_span(&op->sealed),
		.rotate = op->rotate,
		.set_s = now_real_s() };

	admin_op_ask(op, AS_SECRET_PUT, &m, AS_SECRET, on_set);
}

static void
on_set(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_secret *m = answered;
	struct admin_op *op = ctx;

	if (code != E_OK || m == NULL) {
		finish_refused(op, code);
		return;
	}
	op->version = m->version;
	op->previous_version = m->previous_version;
	secrets_changed(a, span_str(op->name));
	admin_op_finish(op, 200, NULL, NULL);
}

static struct status
put_set_body(struct admin_op *op, struct json_writer *w)
{
	json_put_key(w, "name");
	json_put_text(w, op->name);
	json_put_key(w, "version");
	json_put_u64(w, op->version);
	json_put_key(w, "previous_version");
	json_put_u64(w, op->previous_version);
	return OK;
}

/* The broker may have one that is not the newest any more. */
static void
in_doubt(struct admin_op *op)
{
	secrets_changed(op->a, span_str(op->name));
}

const struct admin_kind admin_secret_set_kind = { put_set, put_set_body, false, ADMIN_WAIT_MS,
	in_doubt };

/* ---- remove ---- */

struct status
admin_remove_secret(const struct admin_call *c, struct span name)
{
	struct admin_op *op = NULL;
	struct status st;

	TRY(admin_op_new(c, OP_SECRET_REMOVE, &op));
	st = take_name(op, name);
	if (!is_ok(st)) {
		admin_op_free(op);
		return st;
	}
	return admin_op_begin(op, on_remove_intent, c->op);
}

static void
put_removed(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_SECRET_REMOVED, who, "secret", span_str(op->reference));
	batch_text(b, op->reference);
	admin_put_by(op, b);
}

static void
on_remove_intent(struct admin_op *op)
{
	const struct as_secret_name m = { .name = span_str(op->name) };

	admin_op_ask(op, AS_SECRET_REMOVE, &m, AS_DONE, on_removed);
}

static void
on_removed(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct admin_op *op = ctx;

	(void)answered;
	if (code != E_OK) {
		finish_refused(op, code);
		return;
	}
	secrets_changed(a, span_str(op->name));
	admin_op_finish(op, 200, NULL, NULL);
}

static struct status
put_removed_body(struct admin_op *op, struct json_writer *w)
{
	json_put_key(w, "name");
	json_put_text(w, op->name);
	return OK;
}

const struct admin_kind admin_secret_remove_kind = { put_removed, put_removed_body, false,
	ADMIN_WAIT_MS, in_doubt };

/* ---- list ---- */

struct status
admin_list_secrets(const struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_SECRET_LIST, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	return admin_op_begin(op, on_list_record, c->op);
}

static void
put_list(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("secrets"));
	batch_text(b, "secrets.list");
	admin_put_by(op, b);
}

static void
on_list_record(struct admin_op *op)
{
	const struct wire_none none = { 0 };

	admin_op_ask(op, AS_SECRET_LIST, &none, AS_SECRETS, on_listed);
}

static struct status
put_names(const struct as_secrets *m, struct buf *out)
{
	const struct as_secret_row *rows = m->secrets.items;
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "secrets");
	json_put_array(&w);
	for (uint32_t i = 0; i < m->secrets.count; i++) {
		json_put_object(&w);
		json_put_key(&w, "name");
		json_put_str(&w, rows[i].name);
		json_put_key(&w, "version");
		json_put_u64(&w, rows[i].version);
		json_put_key(&w, "previous_version");
		json_put_u64(&w, rows[i].previous_version);
		json_put_key(&w, "set_s");
		json_put_u64(&w, rows[i].set_s);
		json_put_end(&w);
	}
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
on_listed(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_secrets *m = answered;
	struct admin_op *op = ctx;

	(void)a;
	if (code != E_OK || m == NULL)
		admin_op_answer(op, 503, "store_unavailable", "The store did not answer.");
	else if (is_ok(put_names(m, &op->body)))
		admin_op_answer(op, 200, NULL, NULL);
	else
		admin_op_answer(op, 500, "internal_error", "The list could not be made.");
}

const struct admin_kind admin_secret_list_kind = { put_list, NULL, true, ADMIN_WAIT_MS };
