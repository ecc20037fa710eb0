/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotation.c: one signing key hands over to the next.
 *
 * Runs in: audit (signs), CLI (audit verify). Trusts: nothing.
 * Owns: nothing.
 * Invariants: what the old key signs is a note over the log as it stands and the new key, so a
 * hand-over that was made for one log, or one length of it, is none for another. It has four
 * lines, so it never passes for a checkpoint of ours, which has three.
 * See: docs/audit-format.md, "The signing key".
 */
#include <auditlog/auditlog.h>

#include <base/cleanup.h>

#define TYPE "\"type\":\"SigningKeyRotated\""
#define NEXT_LINE "next-key "
#define DASH "\xe2\x80\x94 "

bool
auditlog_rotation_of(struct span line, struct auditlog_rotation *ret)
{
	struct auditlog_rotation r;

	/* A quote within a string is escaped, so this can only be the event's type. */
	if (line.len == 0 || memmem(line.ptr, line.len, TYPE, sizeof(TYPE) - 1) == NULL)
		return false;
	r = (struct auditlog_rotation){ 0 };
	if (!auditlog_member(line, "signing_key", &r.key) ||
	    !auditlog_member(line, "previous_key", &r.previous) ||
	    !auditlog_member(line, "signature", &r.signature))
		r = (struct auditlog_rotation){ 0 }; /* named like one: it will not verify */
	*ret = r;
	return true;
}

static struct status
put_text(const struct checkpoint *before, const struct note_verifier *next, struct buf *out)
{
	TRY(checkpoint_put(before, out));
	TRY(buf_put_str(out, NEXT_LINE));
	TRY(note_verifier_put(next, out));
	return buf_put_u8(out, '\n');
}

struct status
auditlog_rotation_sign(const struct checkpoint *before, const struct note_verifier *next,
    const struct sign_key *key, struct buf *ret_signature)
{
	auto_buf struct buf text = BUF_INIT(AUDITLOG_NOTE_MAX), note = BUF_INIT(AUDITLOG_NOTE_MAX);
	struct span line;

	if (!span_eq_str(before->origin, next->name))
		return fail(E_SYNTAX);
	TRY(put_text(before, next, &text));
	TRY(note_sign(buf_span(&text), before->origin, key, &note));
	/* text, an empty line, "— <origin> <base64>" LF */
	line = span_from(buf_span(&note), text.len + 1 + sizeof(DASH) - 1 + before->origin.len + 1);
	return buf_put_span(ret_signature, span_of(line.ptr, line.len - 1));
}

struct status
auditlog_rotation_verify(const struct auditlog_rotation *r, const struct checkpoint *before,
    const struct note_verifier *key, struct note_verifier *ret)
{
	auto_buf struct buf note = BUF_INIT(AUDITLOG_NOTE_MAX), own = BUF_INIT(AUDITLOG_NOTE_MAX);
	struct note_verifier next;
	struct span text;

	if (!is_ok(auditlog_vkey_parse(r->key, &next)) || strcmp(next.name, key->name) != 0 ||
	    !span_eq_str(before->origin, key->name))
		return fail(E_SYNTAX);
	TRY(note_verifier_put(key, &own));
	if (!span_eq(r->previous, buf_span(&own)))
		return fail(E_NOTFOUND);
	TRY(put_text(before, &next, &note));
	TRY(buf_put_str(&note, "\n" DASH));
	TRY(buf_put_span(&note, before->origin));
	TRY(buf_put_u8(&note, ' '));
	TRY(buf_put_span(&note, r->signature));
	TRY(buf_put_u8(&note, '\n'));
	TRY(note_verify(buf_span(&note), key, &text));
	*ret = next;
	return OK;
}
