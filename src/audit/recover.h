/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_RECOVER_H
#define AUDIT_RECOVER_H

/* What recover.c and repair.c share: the log as it is being read. */
#include "log.h"

#define GROUP_MAX 64 /* records of one batch; AUDIT_BATCH_MAX is less */

struct position {
	uint32_t segment;
	uint64_t off;
};

struct scan {
	struct log *l;
	struct auditlog_reader *reader;
	struct checkpoint checkpoint;
	const struct log_keys *keys;
	const struct sign_key *signer; /* of the checkpoint */
	struct note_verifier named;    /* by the last record of a new key */
	bool is_named;
	const char *why;
	struct position good;      /* behind the last record that counts */
	struct position signed_at; /* behind the last signed record */
	/* The batch that is not complete yet. */
	struct log_chain group_chain;
	struct log_senders group_senders;
	struct position group_good;
	struct intent group[GROUP_MAX]; /* seq 0 in `owner`: opened; else owner is what it closes */
	uint32_t ngroup;
	bool in_group;
	uint64_t read, told, total; /* bytes; total 0: nobody wants to know */
};

/* E_CORRUPT, and why. */
MUST_USE struct status contradiction(struct scan *s, const char *why);
bool segment_exists(const struct log *l, uint32_t n);
/* ---- repair.c ---- */
/* Cut what lies behind s->good, after a note that it is going to be. */
MUST_USE struct status torn_cut(struct scan *s);
/*
 * What lies beyond the checkpoint may never have reached the disk, if an
 * fdatasync failed: write it once more, so that the next one covers it.
 */
MUST_USE struct status tail_rewrite(struct scan *s);

#endif
