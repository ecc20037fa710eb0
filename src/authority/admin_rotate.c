/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_rotate.c: an operator has a key replaced that another process holds: the audit log's
 * signing key, the public certificate.
 *
 * Runs in: authority. Trusts: whoever may open the management socket; the process that rotates.
 * Owns: nothing: it sees no key. Invariants: no rotation without a durable intent; what the
 * process itself puts on record stands between the two.
 * See: admin_op.h; src/audit/signing.c, src/supervisor/certificate.c.
 */
#include "admin_op.h"

#include <base/encode.h>
#include <json/write.h>

static void on_intent(struct admin_op *op);
static void on_certificate_intent(struct admin_op *op);
static void on_certificate(
    struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
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

static struct status
begin(struct admin_call *c, const char *what, admin_step *ready)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_ROTATE, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	op->operation = what;
	return admin_op_begin(op, ready, c->op);
}

/* ---- the audit log's signing key ---- */

struct status
operator_audit_rotate(struct admin_call *c)
{
	return begin(c, "audit", on_intent);
}

static void
on_intent(struct admin_op *op)
{
	const struct wire_none none = { 0 };

	if (!audit_is_up(op->a) || !is_ok(link_call(op->a->audit.link, AA_ROTATE, &none,
				       ADMIN_WAIT_MS, on_signing_key, op, NULL)))
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
		op->in_doubt = !is_ok(st);
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

/* ---- the public certificate ---- */

struct status
operator_certificate_rotate(struct admin_call *c)
{
	return begin(c, "certificate", on_certificate_intent);
}

static void
on_certificate_intent(struct admin_op *op)
{
	const struct wire_none none = { 0 };

	if (!is_ok(link_call(op->a->d->control, CTL_CERT_ROTATE, &none, ADMIN_WAIT_MS,
		on_certificate, op, NULL)))
		admin_op_finish(op, 503, "unavailable", "The supervisor did not take it.");
}

static struct status
put_certificate(const struct ctl_cert_rotated *m, struct buf *out)
{
	char fingerprint[2 * DIGEST_LEN + 1] = "";
	struct json_writer w = json_writer(out);

	hex_encode(span_of(m->fingerprint, sizeof(m->fingerprint)), fingerprint);
	json_put_object(&w);
	json_put_key(&w, "fingerprint");
	json_put_text(&w, fingerprint);
	json_put_key(&w, "not_after_s");
	json_put_u64(&w, m->not_after_s);
	json_put_key(&w, "changed");
	json_put_bool(&w, m->changed != 0);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
on_certificate(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ctl_cert_rotated *m = msg;
	struct admin_op *op = ctx;
	char text[1025] = "";

	(void)l;
	if (!is_ok(st) || type != CTL_CERT_ROTATED) {
		op->in_doubt = true;
		admin_op_finish(op, 504, "timeout", "The supervisor did not answer.");
		return;
	}
	if (!m->ok) {
		if (!is_ok(span_to_cstr(m->text, text, sizeof(text))))
			text[0] = '\0';
		admin_op_finish(op, 422, "certificate_refused", text);
		return;
	}
	if (is_ok(put_certificate(m, &op->body)))
		admin_op_finish(op, 200, NULL, NULL);
	else
		admin_op_finish(op, 500, "internal_error", "It is done; it could not be shown.");
}
