/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_NOTE_H
#define CRYPTO_NOTE_H

/*
 * C2SP signed-note with Ed25519, and the tlog-checkpoint as its text.
 *	key id = SHA-256(name LF 0x01 public key)[:4]
 *	note   = text LF "— name base64(key id, signature)" LF
 *	text   = origin LF decimal size LF base64(root) LF
 */
#include <crypto/hash.h>
#include <crypto/sign.h>

#define NOTE_NAME_LEN_MAX 255
#define NOTE_KEY_ID_LEN 4
#define NOTE_LEN_MAX 65536
#define NOTE_SIGS_MAX 16

struct note_verifier {
	char name[NOTE_NAME_LEN_MAX + 1];
	uint8_t key_id[NOTE_KEY_ID_LEN];
	uint8_t public_key[ED25519_KEY_LEN];
};

/* E_SYNTAX: an empty name, or one with blanks, controls, '+' or bad UTF-8. */
MUST_USE struct status note_verifier_init(
    struct note_verifier *v, struct span name, const uint8_t public_key[ED25519_KEY_LEN]);
/* "name+hex(key id)+base64(0x01, public key)", both ways. E_SYNTAX. */
MUST_USE struct status note_verifier_put(const struct note_verifier *v, struct buf *out);
MUST_USE struct status note_verifier_parse(struct span text, struct note_verifier *ret);

/* Appends the whole note. `text` ends with LF. E_SYNTAX, E_CRYPTO, E_FULL, E_NOMEM. */
MUST_USE struct status note_sign(
    struct span text, struct span name, const struct sign_key *key, struct buf *out);
/*
 * OK: `note` is well-formed, signed by v, and *ret is its text (borrowed, with
 * the final LF). E_SYNTAX: malformed. E_NOTFOUND: not signed by v. E_CRYPTO:
 * v's signature is wrong. Signatures of others are skipped.
 */
MUST_USE struct status note_verify(
    struct span note, const struct note_verifier *v, struct span *ret_text);
/* The text of a note whose signatures nobody has looked at yet. E_SYNTAX. */
MUST_USE struct status note_text(struct span note, struct span *ret_text);

struct checkpoint {
	struct span origin; /* borrowed when parsed */
	uint64_t size;      /* leaves */
	uint8_t root[SHA256_LEN];
};

MUST_USE struct status checkpoint_put(const struct checkpoint *c, struct buf *out);
/* Exactly three lines; extension lines are refused. E_SYNTAX. */
MUST_USE struct status checkpoint_parse(struct span text, struct checkpoint *ret);

#endif
