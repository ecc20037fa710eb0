/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_backup.c: backups of the store, for operators.
 *
 * Runs in: authority. Trusts: whoever may open the management socket; the store's counts.
 * Owns: nothing. Invariants: no backup without a durable intent.
 * See: admin_op.h; src/store/backup.h.
 */
#include "admin_op.h"

#include <json/write.h>

static void on_intent(struct admin_op *op);
static void on_begun(struct authority *a, void *ctx, enum code code, const void *answered);
static void on_show_record(struct admin_op *op);
static void on_shown(struct authority *a, void *ctx, enum code code, const void *answered);

struct status
operator_backup(struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_BACKUP, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	return admin_op_begin(op, on_intent, c->op);
}

struct status
operator_backup_show(struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_BACKUP_SHOW, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	return admin_op_begin(op, on_show_record, c->op);
}

static void
put_backup(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("store"));
	batch_text(b, "store.backup");
	admin_put_by(op, b);
}

static void
put_shown(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("store"));
	batch_text(b, "store.backup.read");
	admin_put_by(op, b);
}

static void
on_intent(struct admin_op *op)
{
	const struct wire_none none = { 0 };

	admin_op_ask(op, AS_BACKUP, &none, AS_BACKUP_STATE, on_begun);
}

static struct status
put_state(const struct as_backup_state *m, struct buf *out)
{
	const struct {
		const char *name;
		uint64_t n;
	} numbers[] = {
		{ "done_bytes", m->done_bytes },
		{ "all_bytes", m->all_bytes },
		{ "generation", m->generation },
		{ "created_s", m->created_s },
		{ "erased", m->erased },
	};
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "state");
	json_put_text(&w, m->code != E_OK ? "failed" : m->under_way ? "under_way" : "done");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		json_put_key(&w, numbers[i].name);
		json_put_u64(&w, numbers[i].n);
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
on_begun(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_backup_state *m = answered;
	struct admin_op *op = ctx;

	(void)a;
	if (code == E_EXISTS)
		admin_op_finish(op, 409, "backup_under_way", "A backup is under way.");
	else if (code != E_OK || m == NULL)
		admin_op_finish(op, 503, "store_unavailable", "The store did not begin a backup.");
	else if (is_ok(put_state(m, &op->body)))
		admin_op_finish(op, 202, NULL, NULL);
	else
		admin_op_finish(op, 500, "internal_error", "It has begun; its state is not known.");
}

const struct admin_kind admin_backup_kind = { put_backup, NULL, false, ADMIN_WAIT_MS };

static void
on_show_record(struct admin_op *op)
{
	const struct wire_none none = { 0 };

	admin_op_ask(op, AS_BACKUP_STATUS, &none, AS_BACKUP_STATE, on_shown);
}

static void
on_shown(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_backup_state *m = answered;
	struct admin_op *op = ctx;

	(void)a, (void)code;
	if (m == NULL)
		admin_op_answer(op, 503, "store_unavailable", "The store did not answer.");
	else if (is_ok(put_state(m, &op->body)))
		admin_op_answer(op, 200, NULL, NULL);
	else
		admin_op_answer(op, 500, "internal_error", "The state could not be shown.");
}

const struct admin_kind admin_backup_show_kind = { put_shown, NULL, true, ADMIN_WAIT_MS };
