/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDITLOG_AUDITLOG_H
#define AUDITLOG_AUDITLOG_H

/*
 * Reading and verifying the audit log (docs/audit-format.md). Bounded memory;
 * works beside a running service and while it is stopped. Needs crypto_init().
 */
#include <base/span.h>
#include <crypto/merkle.h>
#include <crypto/note.h>

#define AUDITLOG_LINE_MAX 65535 /* bytes of a record, without its newline */
#define AUDITLOG_SEGMENT_FIRST 1
#define AUDITLOG_SEGMENT_LAST 99999999
#define AUDITLOG_SEGMENT_NAME_LEN 14
#define AUDITLOG_NOTE_MAX 2048 /* bytes of checkpoint, audit.head, audit.pub */
#define AUDITLOG_TS_LEN 30     /* 2026-01-02T03:04:05.123456789Z */
#define AUDITLOG_ORIGIN_MAX 64

/* ---- names that init, audit and verify agree on ---- */
/* The log's name, "sallyport/<instance>/audit". E_RANGE. */
MUST_USE struct status auditlog_origin(const char *instance, char out[AUDITLOG_ORIGIN_MAX + 1]);
/*
 * The text of DIR/audit.pub: the log's verifier key (C2SP signed-note) and a
 * newline. The one form that auditlog_verify() takes. E_SYNTAX, E_FULL, E_NOMEM.
 */
MUST_USE struct status auditlog_pub_put(
    const char *origin, const uint8_t public_key[ED25519_KEY_LEN], struct buf *out);
/* The inverse, byte for byte. E_SYNTAX. */
MUST_USE struct status auditlog_pub_parse(struct span file, struct note_verifier *ret);
/*
 * A checkpoint or head: exactly one signature, v's, over exactly three lines
 * whose origin is v's name. E_SYNTAX, E_CRYPTO.
 */
MUST_USE struct status auditlog_head_parse(
    struct span note, const struct note_verifier *v, struct checkpoint *ret);

/* ---- the record of a new signing key: `SigningKeyRotated` ---- */
struct auditlog_rotation {         /* texts of the record, borrowed */
	struct span key, previous; /* verifier keys */
	struct span signature;     /* base64(key id, signature) */
};
/* Is the record (without its head, or whole) one of these? */
bool auditlog_rotation_of(struct span line, struct auditlog_rotation *ret);
/*
 * What the old key signs is a note: the checkpoint over all records before this one, and a
 * fourth line that names the new key. Appends the base64. E_SYNTAX, E_CRYPTO, E_FULL, E_NOMEM.
 */
MUST_USE struct status auditlog_rotation_sign(const struct checkpoint *before,
    const struct note_verifier *next, const struct sign_key *key, struct buf *ret_signature);
/*
 * Does `key` hand over to r->key, after exactly these records? E_SYNTAX: it is not a record of
 * ours; E_NOTFOUND: of another key; E_CRYPTO: its signature is wrong.
 */
MUST_USE struct status auditlog_rotation_verify(const struct auditlog_rotation *r,
    const struct checkpoint *before, const struct note_verifier *key, struct note_verifier *ret);
/* A verifier key in its one form, without a newline. E_SYNTAX. */
MUST_USE struct status auditlog_vkey_parse(struct span text, struct note_verifier *ret);
/* The values of a checkpoint or head whose signature is still to be verified. E_SYNTAX. */
MUST_USE struct status auditlog_head_peek(struct span note, struct checkpoint *ret);

/* "00000001.jsonl"; n <= AUDITLOG_SEGMENT_LAST. */
void auditlog_segment_name(uint32_t n, char out[AUDITLOG_SEGMENT_NAME_LEN + 1]);

/* ---- one record ---- */
struct auditlog_head {
	uint8_t prev[SHA256_LEN]; /* leaf hash of the record before; zeroes for the first */
	uint64_t seq;
	uint64_t ts_ns;   /* Unix time */
	bool more;        /* not the last of its batch */
	struct span rest; /* from "process" on */
};
/* The members that every record begins with. `line` has no newline. E_SYNTAX. */
MUST_USE struct status auditlog_head_of(struct span line, struct auditlog_head *ret);
/*
 * The text of a member of the record (or of its parts "process", "event") whose
 * value is a string without escapes or a number; false when there is none.
 */
bool auditlog_member(struct span line, const char *name, struct span *ret);

/* ---- reading line by line ---- */
struct auditlog_reader;
#define auto_auditlog __attribute__((cleanup(auditlog_closep)))

/* Starts before the first record; borrows dirfd (DIR/audit). E_NOMEM. */
MUST_USE struct status auditlog_open(int dirfd, struct auditlog_reader **ret);
void auditlog_close(struct auditlog_reader *r);
void auditlog_closep(struct auditlog_reader **r);
/*
 * The next complete line, borrowed until the next call. E_EOF: none yet; call
 * again later to follow a growing log (across segments). E_RANGE: a line longer
 * than AUDITLOG_LINE_MAX (it is skipped by the next call). E_SYS.
 */
MUST_USE struct status auditlog_next(struct auditlog_reader *r, struct span *ret_line);
/* Go to `count` records before the end (or to the first). E_SYS, E_NOMEM. */
MUST_USE struct status auditlog_seek_last(struct auditlog_reader *r, uint64_t count);
/* To a place where a line begins; a segment that is not there is E_EOF of the next call. */
MUST_USE struct status auditlog_seek(struct auditlog_reader *r, uint32_t segment, uint64_t off);
/* Where the line that auditlog_next() gave last begins; segment 0: there is none. */
uint32_t auditlog_segment(const struct auditlog_reader *r);
uint64_t auditlog_offset(const struct auditlog_reader *r);
/* After E_EOF: bytes after the last newline. */
struct span auditlog_tail(const struct auditlog_reader *r);

/* ---- verifying ---- */
enum auditlog_verdict {
	AUDITLOG_INTACT = 1, /* exit 0 */
	AUDITLOG_TAMPERED,   /* exit 1 */
	AUDITLOG_UNREADABLE, /* exit 2: a file cannot be read, or there is no log */
};

enum auditlog_fault {
	AUDITLOG_NO_FAULT,
	AUDITLOG_CHANGED,
	AUDITLOG_REMOVED,
	AUDITLOG_INSERTED,
	AUDITLOG_REORDERED,
	AUDITLOG_CUT_OFF,  /* the log ends before a signed head */
	AUDITLOG_BAD_FILE, /* audit.pub, audit.head, checkpoint or a segment as a whole */
	AUDITLOG_FAULT_COUNT,
};

struct auditlog_result {
	enum auditlog_verdict verdict;
	enum auditlog_fault fault;
	uint64_t seq;             /* the first bad record; 0: see `file` */
	uint64_t trusted;         /* records before it that a signature covers */
	char file[32];            /* where: a segment, "checkpoint", "audit.head", "audit.pub" */
	uint64_t offset;          /* byte in that file, for a record */
	const char *why;          /* one static sentence */
	int err;                  /* errno, when unreadable */
	uint64_t records;         /* complete records read */
	uint64_t signed_records;  /* covered by the checkpoint */
	uint64_t head_records;    /* covered by audit.head */
	uint64_t tail_bytes;      /* of a record not (yet) written whole, beyond the checkpoint */
	uint64_t keys;            /* that signed the log, as far as its records tell */
	uint8_t root[SHA256_LEN]; /* of signed_records */
};

/* A word for a fault: "changed", "removed" … */
const char *auditlog_fault_text(enum auditlog_fault f);

/*
 * Verify DIR: DIR/audit.pub, DIR/audit.head and DIR/audit/. Always ends; memory
 * is bounded. Everything it has to say is in *ret.
 */
void auditlog_verify(int state_dirfd, struct auditlog_result *ret);
/* The same, from the key in the file `pub`: the log's first, or any later one that was kept. */
void auditlog_verify_from(int state_dirfd, const char *pub, struct auditlog_result *ret);

#endif
