/* SPDX-License-Identifier: Apache-2.0 */
/*
 * note.c: signed notes and checkpoints.
 *
 * Runs in: audit (signs), supervisor and CLI (verify).
 * Trusts: nothing: a note may come from anybody who can write the disk.
 * Owns: nothing. Invariants: only the text that the signature covers is returned.
 * See: crypto/note.h; C2SP signed-note.md and tlog-checkpoint.md.
 */
#include <crypto/note.h>

#include <base/cleanup.h>
#include <base/encode.h>

#define SIG_DASH SPAN_LIT("\xe2\x80\x94 ")
#define ALG_ED25519 1
#define SIG_BLOB_LEN (NOTE_KEY_ID_LEN + ED25519_SIG_LEN)
#define SIG_BLOB_LEN_MAX 8192 /* other people's algorithms */
#define VKEY_LEN_MAX 512

static bool
name_ok(struct span name)
{
	if (name.len == 0 || name.len > NOTE_NAME_LEN_MAX || utf8_valid_len(name) != name.len)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] <= ' ' || name.ptr[i] == '+' || name.ptr[i] == 0x7f)
			return false;
	}
	return true;
}

/* Valid UTF-8 and no control character but the line feed. */
static bool
text_ok(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((text.ptr[i] < ' ' && text.ptr[i] != '\n') || text.ptr[i] == 0x7f)
			return false;
	}
	return utf8_valid_len(text) == text.len;
}

/* Up to the next LF, which is taken too; E_EOF without one. */
static struct status
take_line(struct span *in, struct span *ret)
{
	const uint8_t *lf = in->len == 0 ? NULL : memchr(in->ptr, '\n', in->len);

	if (lf == NULL)
		return fail(E_EOF);
	*ret = span_of(in->ptr, (size_t)(lf - in->ptr));
	*in = span_from(*in, ret->len + 1);
	return OK;
}

static struct status
split_at(struct span s, uint8_t c, struct span *ret_before, struct span *ret_after)
{
	const uint8_t *p = s.len == 0 ? NULL : memchr(s.ptr, c, s.len);

	if (p == NULL)
		return fail(E_SYNTAX);
	*ret_before = span_of(s.ptr, (size_t)(p - s.ptr));
	*ret_after = span_from(s, ret_before->len + 1);
	return OK;
}

struct status
note_verifier_init(
    struct note_verifier *v, struct span name, const uint8_t public_key[ED25519_KEY_LEN])
{
	const struct span parts[] = { name, SPAN_LIT("\n\x01"),
		span_of(public_key, ED25519_KEY_LEN) };
	uint8_t hash[SHA256_LEN];

	if (!name_ok(name))
		return fail(E_SYNTAX);
	TRY(sha256_parts(parts, 3, hash));
	TRY(span_to_cstr(name, v->name, sizeof(v->name)));
	memcpy(v->key_id, hash, NOTE_KEY_ID_LEN);
	memcpy(v->public_key, public_key, ED25519_KEY_LEN);
	return OK;
}

struct status
note_verifier_put(const struct note_verifier *v, struct buf *out)
{
	uint8_t blob[1 + ED25519_KEY_LEN] = { ALG_ED25519 };
	char id[2 * NOTE_KEY_ID_LEN];

	memcpy(blob + 1, v->public_key, ED25519_KEY_LEN);
	hex_encode(span_of(v->key_id, NOTE_KEY_ID_LEN), id);
	TRY(buf_put_str(out, v->name));
	TRY(buf_put_u8(out, '+'));
	TRY(buf_put(out, id, sizeof(id)));
	TRY(buf_put_u8(out, '+'));
	return base64_encode(span_of(blob, sizeof(blob)), out);
}

struct status
note_verifier_parse(struct span text, struct note_verifier *ret)
{
	auto_buf struct buf blob = BUF_INIT(VKEY_LEN_MAX);
	struct span name, rest, id_hex, key;
	uint8_t id[NOTE_KEY_ID_LEN];
	struct note_verifier v = { 0 };

	if (text.len > VKEY_LEN_MAX)
		return fail(E_SYNTAX);
	TRY(split_at(text, '+', &name, &rest));
	TRY(split_at(rest, '+', &id_hex, &key));
	if (id_hex.len != 2 * NOTE_KEY_ID_LEN)
		return fail(E_SYNTAX);
	TRY(hex_decode(id_hex, id, sizeof(id)));
	TRY(base64_decode(key, &blob));
	if (blob.len != 1 + ED25519_KEY_LEN || blob.ptr[0] != ALG_ED25519)
		return fail(E_SYNTAX);
	TRY(note_verifier_init(&v, name, blob.ptr + 1));
	if (memcmp(id, v.key_id, sizeof(id)) != 0)
		return fail(E_SYNTAX);
	*ret = v;
	return OK;
}

struct status
note_sign(struct span text, struct span name, const struct sign_key *key, struct buf *out)
{
	uint8_t blob[SIG_BLOB_LEN], public_key[ED25519_KEY_LEN];
	struct note_verifier v;

	if (text.len == 0 || text.ptr[text.len - 1] != '\n' || !text_ok(text))
		return fail(E_SYNTAX);
	sign_key_public(key, public_key);
	TRY(note_verifier_init(&v, name, public_key));
	memcpy(blob, v.key_id, NOTE_KEY_ID_LEN);
	TRY(ed25519_sign(key, text, blob + NOTE_KEY_ID_LEN));
	TRY(buf_put_span(out, text));
	TRY(buf_put_u8(out, '\n'));
	TRY(buf_put_span(out, SIG_DASH));
	TRY(buf_put_span(out, name));
	TRY(buf_put_u8(out, ' '));
	TRY(base64_encode(span_of(blob, sizeof(blob)), out));
	return buf_put_u8(out, '\n');
}

/* The text with its final LF, and the signature lines, at the last empty line. */
static struct status
note_split(struct span note, struct span *ret_text, struct span *ret_sigs)
{
	for (size_t i = note.len; i >= 3; i--) {
		if (note.ptr[i - 1] == '\n' && note.ptr[i - 2] == '\n') {
			*ret_text = span_of(note.ptr, i - 1);
			*ret_sigs = span_from(note, i);
			return ret_sigs->len > 0 ? OK : fail(E_SYNTAX);
		}
	}
	return fail(E_SYNTAX);
}

struct status
note_text(struct span note, struct span *ret_text)
{
	struct span sigs;

	if (note.len > NOTE_LEN_MAX || !text_ok(note))
		return fail(E_SYNTAX);
	return note_split(note, ret_text, &sigs);
}

/* E_NOTFOUND: a well-formed signature line of somebody else. */
static struct status
sig_line_check(struct span line, const struct note_verifier *v, struct span text)
{
	auto_buf struct buf blob = BUF_INIT(SIG_BLOB_LEN_MAX);
	struct span name, b64;

	if (!span_starts(line, SIG_DASH))
		return fail(E_SYNTAX);
	TRY(split_at(span_from(line, SIG_DASH.len), ' ', &name, &b64));
	if (!name_ok(name) || !is_ok(base64_decode(b64, &blob)) || blob.len <= NOTE_KEY_ID_LEN)
		return fail(E_SYNTAX);
	if (!span_eq_str(name, v->name) || memcmp(blob.ptr, v->key_id, NOTE_KEY_ID_LEN) != 0)
		return fail(E_NOTFOUND);
	if (blob.len != SIG_BLOB_LEN)
		return fail(E_CRYPTO);
	return ed25519_verify(v->public_key, text, blob.ptr + NOTE_KEY_ID_LEN);
}

struct status
note_verify(struct span note, const struct note_verifier *v, struct span *ret_text)
{
	struct span text, sigs, line;
	bool found = false;
	size_t count = 0;

	if (note.len > NOTE_LEN_MAX || !text_ok(note))
		return fail(E_SYNTAX);
	TRY(note_split(note, &text, &sigs));
	for (; sigs.len > 0; count++) {
		struct status st;

		if (count == NOTE_SIGS_MAX || !is_ok(take_line(&sigs, &line)))
			return fail(E_SYNTAX);
		st = sig_line_check(line, v, text);
		if (!is_ok(st) && st.code != E_NOTFOUND)
			return st;
		found = found || is_ok(st);
	}
	if (!found)
		return fail(E_NOTFOUND);
	*ret_text = text;
	return OK;
}

struct status
checkpoint_put(const struct checkpoint *c, struct buf *out)
{
	if (!name_ok(c->origin) || c->size > INT64_MAX)
		return fail(E_SYNTAX);
	TRY(buf_put_span(out, c->origin));
	TRY(buf_printf(out, "\n%llu\n", (unsigned long long)c->size));
	TRY(base64_encode(span_of(c->root, SHA256_LEN), out));
	return buf_put_u8(out, '\n');
}

struct status
checkpoint_parse(struct span text, struct checkpoint *ret)
{
	auto_buf struct buf root = BUF_INIT(2 * SHA256_LEN);
	struct checkpoint c = { 0 };
	struct span size, hash;

	if (!is_ok(take_line(&text, &c.origin)) || !is_ok(take_line(&text, &size)) ||
	    !is_ok(take_line(&text, &hash)) || text.len != 0)
		return fail(E_SYNTAX);
	if (!name_ok(c.origin) || (size.len > 1 && size.ptr[0] == '0') ||
	    !is_ok(span_u64(size, INT64_MAX, &c.size)))
		return fail(E_SYNTAX);
	if (!is_ok(base64_decode(hash, &root)) || root.len != SHA256_LEN)
		return fail(E_SYNTAX);
	memcpy(c.root, root.ptr, SHA256_LEN);
	*ret = c;
	return OK;
}
