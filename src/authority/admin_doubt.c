/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_doubt.c: acts of administration ask the store; where no answer comes, nobody knows what it
 * did.
 *
 * Runs in: authority. Trusts: the store's answers. Owns: nothing.
 * Invariants: what may have been done is `unknown` on record, never `failure`; a LOAD that was
 * asked for behind the act says which it is, at once, and until it has ended nothing that the act
 * claimed is changed by another, which would write what the table has and the store has not. See:
 * admin_op.h; keys.h: struct claim; store_link.c.
 */
#include "admin_op.h"

void
admin_op_claim(struct admin_op *op, struct claim *claim)
{
	claim->held = true;
	op->claim = claim;
}

void
admin_op_doubt(struct admin_op *op)
{
	op->in_doubt = true;
	if (op->claim != NULL)
		op->claim->until = op->load + 1;
	store_load_behind(op->a, op->load);
}

void
admin_op_finish_in_doubt(struct admin_op *op)
{
	const struct admin_kind *kind = admin_op_kind(op);

	admin_op_doubt(op);
	if (kind->in_doubt != NULL)
		kind->in_doubt(op);
	admin_op_finish(op, 503, "unknown_outcome",
	    "The store did not answer: it is not known whether that was done. Look before you ask "
	    "again.");
}

static void
on_answer(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct admin_op *op = ctx;

	if (answered != NULL || admin_op_kind(op)->one_record)
		op->done(a, op, code, answered);
	else
		admin_op_finish_in_doubt(op);
}

void
admin_op_ask(
    struct admin_op *op, uint16_t type, const void *msg, uint16_t reply_type, store_reply *done)
{
	op->done = done;
	if (is_ok(store_ask(op->a, type, msg, reply_type, on_answer, op)))
		return;
	if (admin_op_kind(op)->one_record)
		admin_op_answer(op, 503, "store_unavailable", "The store is away.");
	else
		admin_op_finish(op, 503, "store_unavailable", "The store is away.");
}
