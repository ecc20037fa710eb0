/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDITLOG_INTERNAL_H
#define AUDITLOG_INTERNAL_H

/* What verify.c, chain.c and classify.c share. */
#include <auditlog/auditlog.h>

struct line_copy {
	uint8_t bytes[AUDITLOG_LINE_MAX];
	size_t len;
	bool parsed;
	struct auditlog_head head; /* `rest` is not used */
};

/* Which key signs, as the records tell. */
struct chain {
	struct note_verifier start; /* from audit.pub */
	struct note_verifier key;   /* in force, where `known` */
	bool known;
	bool later;    /* taken for granted: a record names `start`; it was not the first */
	bool reached;  /* `key` goes back to `start` */
	bool doubtful; /* a signature is not of the key in force */
};

/* A signed file: its bytes, and what they say. */
struct signed_file {
	const char *name;
	struct buf note;
	struct checkpoint says;
};

struct verify {
	struct chain chain;
	struct signed_file head;       /* audit.head */
	struct signed_file checkpoint; /* audit/checkpoint */
	bool head_waits;               /* for the record that tells who signed it */
	struct auditlog_reader *reader;
	struct merkle tree;
	uint64_t next;                   /* the seq that the next line must have */
	uint8_t leaf[SHA256_LEN];        /* of the record before */
	uint8_t leaf_before[SHA256_LEN]; /* of the one before that */
	uint64_t anchored;               /* records that a signed root vouched for so far */
	struct line_copy last;           /* the record before */
	struct line_copy bad;            /* the line that does not fit */
	uint64_t bad_offset;
	uint32_t bad_segment;
	uint64_t last_offset;
	uint32_t last_segment;
	struct auditlog_result *ret;
};

/* Say what is wrong, at record `seq`; the first word counts. */
void verify_fault(struct verify *v, enum auditlog_fault fault, uint64_t seq, const char *why);
/* v->bad does not fit as record v->next: find out which record is the bad one, and why. */
void verify_classify(struct verify *v);
/* ---- chain.c ---- */
void chain_begin(struct verify *v, const struct note_verifier *start, bool later);
/* Before anything is read: a file that names the key of audit.pub must be signed by it. */
bool chain_file_early(struct verify *v, struct signed_file *f);
/* The next record of the log, before it is counted. All: false: it said what is wrong. */
bool chain_record(struct verify *v, struct span line);
/* The log is as long as `f` says: it must be signed by the key in force. */
bool chain_file(struct verify *v, struct signed_file *f);
/* A file as a whole is bad. */
void verify_bad_file(struct verify *v, const char *file, const char *why);

void line_copy(struct line_copy *c, struct span line);
bool line_is_json(const struct line_copy *line);

#endif
