/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_kek.c: rotation of the keys of what is stored: on demand, and when it is due.
 *
 * Runs in: authority. Trusts: whoever may open the management socket; the store's counts.
 * Owns: nothing. Invariants: no rotation without a durable intent; what the
 * schedule begins is on record like what an operator does.
 * See: admin_op.h; src/store/rotate.h.
 */
#include "admin_op.h"

#include <json/write.h>

#define LOOK_MS 60000       /* how often it is asked whether a rotation is due */
#define UNWRAPPED_MS 600000 /* … again, where the new key could not be wrapped */

static void on_intent(struct admin_op *op);
static void on_begun(struct authority *a, void *ctx, enum code code, const void *answered);
static void on_show_record(struct admin_op *op);
static void on_shown(struct authority *a, void *ctx, enum code code, const void *answered);
static void on_look(struct authority *a, void *ctx, enum code code, const void *answered);

static const char *const names[] = { "none", "kek", "data" };

struct status
admin_rotate_keys(const struct admin_call *c, enum as_rotation what, bool scheduled)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_KEK_ROTATE, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	op->rotation = what;
	op->scheduled = scheduled;
	return admin_op_begin(op, on_intent, c->op);
}

static void
put_rotated(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_KEYS_ROTATED, who, "keys", span_str(names[op->rotation]));
	batch_text(b, names[op->rotation]);
	batch_u64_if(b, op->version);
	batch_text(b, op->scheduled ? "schedule" : "demand");
	admin_put_by(op, b);
}

static void
on_intent(struct admin_op *op)
{
	const struct as_kek_rotate m = { .what = (uint8_t)op->rotation };

	admin_op_ask(op, AS_KEK_ROTATE, &m, AS_KEK, on_begun);
}

static struct status
put_state(const struct as_kek *m, struct buf *out)
{
	const struct {
		const char *name;
		uint64_t n;
	} numbers[] = {
		{ "version", m->version },
		{ "versions", m->versions },
		{ "kek_left", m->kek_left },
		{ "tenant_keys_left", m->tenant_left },
		{ "user_keys_left", m->data_left },
		{ "unopened", m->unopened },
		{ "kek_started_s", m->kek_started_s },
		{ "kek_ended_s", m->kek_ended_s },
		{ "data_started_s", m->data_started_s },
		{ "data_ended_s", m->data_ended_s },
		{ "wrapped_by_others", m->foreign },
	};
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "under_way");
	json_put_text(&w, names[m->under_way]);
	json_put_key(&w, "wrapper");
	json_put_str(&w, m->wrapper);
	json_put_key(&w, "wrapper_fault");
	if (m->fault == SECRET_FAULT_NONE || m->fault >= SECRET_FAULT_COUNT)
		json_put_null(&w);
	else
		json_put_text(&w, secret_fault_names[m->fault]);
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
	const struct as_kek *m = answered;
	struct admin_op *op = ctx;

	if (code == E_EXISTS) {
		admin_op_finish(op, 409, "rotation_under_way",
		    "A rotation of keys is under way; `sallyport kek status` shows how far it is.");
		return;
	}
	if (code == E_AGAIN) {
		if (op->scheduled)
			a->keys_look_ms = now_ms(a) + UNWRAPPED_MS;
		admin_op_finish(op, 503, "kms_unavailable",
		    "What wraps the new key did not do it; `sallyport kek status` says why.");
		return;
	}
	if (code != E_OK || m == NULL) {
		admin_op_finish(
		    op, 503, "store_unavailable", "The store did not begin the rotation.");
		return;
	}
	op->version = m->version;
	if (is_ok(put_state(m, &op->body))) {
		admin_op_finish(op, 202, NULL, NULL);
		return;
	}
	op->in_doubt = true;
	admin_op_finish(op, 500, "internal_error", "It has begun; its state is not known.");
}

const struct admin_kind admin_kek_rotate_kind = { put_rotated, NULL, false, ADMIN_WAIT_MS };

/* ---- how far it is ---- */

struct status
admin_show_keys(const struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_KEK_STATUS, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	return admin_op_begin(op, on_show_record, c->op);
}

static void
put_shown(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("kek"));
	batch_text(b, "kek.status");
	admin_put_by(op, b);
}

static void
on_show_record(struct admin_op *op)
{
	const struct wire_none none = { 0 };

	admin_op_ask(op, AS_KEK_STATUS, &none, AS_KEK, on_shown);
}

static void
on_shown(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_kek *m = answered;
	struct admin_op *op = ctx;

	(void)a;
	if (code != E_OK || m == NULL)
		admin_op_answer(op, 503, "store_unavailable", "The store did not answer.");
	else if (is_ok(put_state(m, &op->body)))
		admin_op_answer(op, 200, NULL, NULL);
	else
		admin_op_answer(op, 500, "internal_error", "The state could not be shown.");
}

const struct admin_kind admin_kek_status_kind = { put_shown, NULL, true, ADMIN_WAIT_MS };

/* ---- when it is due ---- */

static void
on_look(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_kek *m = answered;
	uint64_t days = conf_u64(a->d->conf, "store.rotate_days");
	struct admin_op *op = NULL;
	const struct admin_call call = { .a = a, .op = &op };
	enum as_rotation what = AS_ROTATE_NONE;
	struct status st;

	(void)ctx;
	if (code != E_OK || m == NULL || m->under_way != AS_ROTATE_NONE)
		return;
	if (rotation_is_due(m->kek_started_s, days))
		what = AS_ROTATE_KEK;
	else if (rotation_is_due(m->data_started_s, days))
		what = AS_ROTATE_DATA;
	else
		return;
	st = admin_rotate_keys(&call, what, true);
	if (!is_ok(st))
		diag(DIAG_WARN, "the rotation of keys that is due: %s", status_text(st));
}

void
kek_tick(struct authority *a)
{
	const struct wire_none none = { 0 };

	if (!a->loaded || unfit_stops(a) || now_ms(a) < a->keys_look_ms ||
	    conf_u64(a->d->conf, "store.rotate_days") == 0)
		return;
	a->keys_look_ms = now_ms(a) + LOOK_MS;
	if (!is_ok(store_ask(a, AS_KEK_STATUS, &none, AS_KEK, on_look, NULL)))
		diag(DIAG_DEBUG, "the store is away");
}
