/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain.c: which key signs the log, from one hand-over to the next.
 *
 * Runs in: CLI (audit verify). Trusts: the key that it starts from.
 * Owns: nothing. Invariants: a checkpoint is signed by the key in force at its length: the one
 * that the last `SigningKeyRotated` under it names, or the one before all of them. A key comes
 * into force by the signature of the one before it and no other way. Where the key that it
 * starts from is not the first one, the records before it are vouched for by the checkpoint,
 * which must be signed by that key or one after it.
 * See: docs/audit-format.md, "The signing key"; rotation.c.
 */
#include "internal.h"

#include <base/cleanup.h>

void
chain_begin(struct verify *v, const struct note_verifier *start, bool later)
{
	v->chain = (struct chain){ .start = *start, .later = later };
	if (later)
		return;
	v->chain.key = *start;
	v->chain.known = v->chain.reached = true;
}

/* Signed by `key`, and in no other form than ours? */
static bool
file_signed(struct verify *v, struct signed_file *f, const struct note_verifier *key)
{
	struct status st = auditlog_head_parse(buf_span(&f->note), key, &f->says);

	if (is_ok(st))
		return true;
	v->chain.doubtful = true;
	verify_bad_file(v, f->name,
	    st.code == E_CRYPTO ? "its signature is wrong" : "it is not a note of this log");
	return false;
}

bool
chain_file_early(struct verify *v, struct signed_file *f)
{
	struct checkpoint says;
	struct status st;

	if (!is_ok(auditlog_head_peek(buf_span(&f->note), &f->says))) {
		verify_bad_file(v, f->name, "it is not a note of this log");
		return false;
	}
	st = auditlog_head_parse(buf_span(&f->note), &v->chain.start, &says);
	if (st.code != E_CRYPTO)
		return true; /* another key's, perhaps: the records tell */
	verify_bad_file(v, f->name, "its signature is wrong");
	return false;
}

bool
chain_file(struct verify *v, struct signed_file *f)
{
	if (v->chain.known && (f != &v->checkpoint || v->chain.reached))
		return file_signed(v, f, &v->chain.key);
	if (f != &v->checkpoint) {
		v->head_waits = true;
		return true;
	}
	v->chain.doubtful = true;
	verify_bad_file(v, f->name, "it is older than the key in audit.pub");
	return false;
}

/* The key that hands over: the one in force, or, where nobody knows it, the one that it says. */
static bool
giver(struct verify *v, const struct auditlog_rotation *r, struct note_verifier *ret)
{
	if (!v->chain.known)
		return is_ok(auditlog_vkey_parse(r->previous, ret));
	*ret = v->chain.key;
	return true;
}

bool
chain_record(struct verify *v, struct span line)
{
	struct checkpoint before = { .size = v->tree.size };
	struct note_verifier from, next;
	struct auditlog_rotation r;

	if (!auditlog_rotation_of(line, &r))
		return true;
	if (giver(v, &r, &from) && is_ok(merkle_root(&v->tree, before.root))) {
		before.origin = span_str(from.name);
		if (v->head_waits && !file_signed(v, &v->head, &from))
			return false;
		if (is_ok(auditlog_rotation_verify(&r, &before, &from, &next))) {
			v->head_waits = false;
			v->ret->keys++;
			v->chain.key = next;
			v->chain.known = true;
			v->chain.reached = v->chain.reached ||
					   (strcmp(next.name, v->chain.start.name) == 0 &&
					       memcmp(next.public_key, v->chain.start.public_key,
						   ED25519_KEY_LEN) == 0);
			return true;
		}
	}
	v->chain.doubtful = true;
	v->bad_offset = auditlog_offset(v->reader);
	v->bad_segment = auditlog_segment(v->reader);
	verify_fault(v, AUDITLOG_INSERTED, v->next,
	    "it names a signing key that the one before it does not vouch for");
	return false;
}
