/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDITLOG_INTERNAL_H
#define AUDITLOG_INTERNAL_H

/* What verify.c and classify.c share. */
#include <auditlog/auditlog.h>

struct line_copy {
	uint8_t bytes[AUDITLOG_LINE_MAX];
	size_t len;
	bool parsed;
	struct auditlog_head head; /* `rest` is not used */
};

struct verify {
	struct auditlog_reader *reader;
	struct merkle tree;
	uint64_t next;                   /* the seq that the next line must have */
	uint8_t leaf[SHA256_LEN];        /* of the record before */
	uint8_t leaf_before[SHA256_LEN]; /* of the one before that */
	uint64_t anchored;               /* records that a signed root vouched for so far */
	struct checkpoint head;          /* audit.head */
	struct checkpoint checkpoint;
	struct line_copy last; /* the record before */
	struct line_copy bad;  /* the line that does not fit */
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
void line_copy(struct line_copy *c, struct span line);
bool line_is_json(const struct line_copy *line);

#endif
