/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_rotate.c: an operator has a key replaced that another process holds: the audit log's
 * signing key.
 *
 * Runs in: authority. Trusts: whoever may open the management socket; the process that rotates.
 * Owns: nothing: it sees no key. Invariants: no rotation without a durable intent; what the
 * process itself puts on record stands between the two.
 * See: admin_op.h; src/audit/signing.c.
 */
#include "admin_op.h"

#include <json/write.h>

static void on_intent(struct authority *a, void *ctx, struct status st, uint64_t seq);
static void on_signing_key(
    struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);

static void
put_rotated(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_KEYS_ROTATED, who, "keys", span_str(op->operation));
	batch_text(b, op->operation);
	batch_u64_if(b, op->version);
	batch_text(b, "demand");
	admin_put_by(op, b);
}

const struct admin_kind admin_rotate_kind = { put_rotated, NULL, false, ADMIN_WAIT_MS };

struct status
operator_audit_rotate(struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_ROTATE, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	op->operation = "audit";
	return admin_op_begin(op, on_intent, c->op);
}

static void
on_intent(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	const struct wire_none none = { 0 };
	struct admin_op *op = ctx;

	if (!is_ok(st)) {
		admin_op_fail_audit(op);
		return;
	}
	op->intent_seq = seq;
	if (!audit_is_up(a) || !is_ok(link_call(a->audit.link, AA_ROTATE, &none, ADMIN_WAIT_MS,
				   on_signing_key, op, NULL)))
		admin_op_finish(op, 503, "audit_unavailable", "The audit process is away.");
}

static struct status
put_signing_key(const struct aa_rotated *m, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "version");
	json_put_u64(&w, m->version);
	json_put_key(&w, "record");
	json_put_u64(&w, m->seq);
	json_put_key(&w, "key");
	json_put_str(&w, m->key);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
on_signing_key(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct aa_rotated *m = msg;
	struct admin_op *op = ctx;

	(void)l;
	if (!is_ok(st) || type != AA_ROTATED) {
		admin_op_finish(op, 503, "audit_unavailable",
		    is_ok(st) ? "The audit process could not make or record a new key; it goes on "
				"with the one that it has."
			      : "The audit process did not answer; the log says which key it has.");
		return;
	}
	op->version = m->version;
	if (is_ok(put_signing_key(m, &op->body)))
		admin_op_finish(op, 200, NULL, NULL);
	else
		admin_op_finish(op, 500, "internal_error", "It is done; it could not be shown.");
}
