/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_LOG_H
#define AUDIT_LOG_H

/*
 * The log on disk: segments of lines, appended in batches that become durable
 * together, and a signed checkpoint. Calls block on the disk.
 */
#include <auditlog/auditlog.h>
#include <crypto/sign.h>

#include "encode.h"
#include "intents.h"

#define LOG_BATCH_MAX (16U << 20)              /* bytes between two commits */
#define LOG_BATCH_SOFT (4U << 20)              /* commit before it grows beyond */
#define LOG_SEGMENT_MAX (256ULL << 20)         /* bytes; then the next segment */
#define LOG_RESERVE (16ULL << 20)              /* bytes of disk held beyond the end */
#define LOG_CHECKPOINT_LATE_NS (10 * NS_PER_S) /* records wait no longer for a signature */
#define LOG_SENDERS_MAX 16
#define LOG_STATE_EVERY (16ULL << 20)     /* bytes of records between two states, */
#define LOG_STATE_LATE_NS (10 * NS_PER_S) /* or the time, if there are any */
#define LOG_PROGRESS_EVERY (16ULL << 20)  /* bytes that are read between two words of it */

/* Where the chain stands. */
struct log_chain {
	uint64_t size; /* records */
	uint64_t ts_ns;
	uint8_t leaf[SHA256_LEN]; /* of the last record */
	struct merkle tree;
};

/* The last record of a process that the log holds. */
struct log_sender {
	char name[16];
	uint32_t id;
	uint64_t seq;
};

struct log_senders {
	struct log_sender rows[LOG_SENDERS_MAX];
	uint32_t n;
};

struct log_opts {
	uint64_t segment_max;    /* bytes */
	uint64_t reserve;        /* bytes */
	uint64_t state_every;    /* bytes; 0: with each checkpoint */
	uint64_t progress_every; /* bytes */
	/* While log_open() reads the whole log; in bytes. May be NULL. */
	void (*progress)(uint64_t done, uint64_t total);
};
#define LOG_OPTS_DEFAULT                                    \
	((struct log_opts){ .segment_max = LOG_SEGMENT_MAX, \
	    .reserve = LOG_RESERVE,                         \
	    .state_every = LOG_STATE_EVERY,                 \
	    .progress_every = LOG_PROGRESS_EVERY })

struct log {
	int dirfd; /* borrowed */
	int fd;    /* the last segment */
	uint32_t segment;
	uint64_t before;    /* bytes of all segments before it */
	uint64_t len;       /* of the last segment, durable */
	uint64_t allocated; /* its disk space, >= len */
	struct log_opts opts;
	struct log_chain durable;
	struct log_chain now; /* with what is in the batch */
	struct buf batch;
	struct intents intents; /* open ones, the batch's included */
	uint64_t *closing;      /* seqs of intents that the batch ends */
	uint32_t nclosing, closing_cap;
	struct log_senders senders;     /* as they are durable */
	struct log_senders senders_now; /* with what is in the batch */
	const struct sign_key *key;     /* in force; borrowed */
	bool key_signed;                /* it has signed the checkpoint on disk */
	uint64_t key_version;           /* how many there were, with it */
	uint64_t key_since_ns;          /* when the log says that it came; 0: the log is empty */
	struct note_verifier name;      /* the log's origin and our public key */
	char origin[AUDITLOG_ORIGIN_MAX + 1]; /* that of a new log of this instance */
	uint64_t signed_size;                 /* records under the checkpoint */
	uint64_t unsigned_since_ns;           /* clock_mono_ns(); 0: all are signed */
	struct buf note;                      /* the checkpoint */
	bool no_reserve;                      /* this file system cannot allocate ahead */
	bool low;  /* the reserve could not be filled: the disk is nearly full */
	bool dead; /* what is on disk is not known: only a restart helps */
	/* found when it was opened */
	uint64_t torn_bytes;
	uint64_t torn_size; /* records before the torn ones */
	bool repaired;      /* a LogRepaired record is due */
	bool state_misfit;  /* there was a state, and it is not of this log */
	uint64_t scanned;   /* records that were read for it */
	/* the state that is on disk; state.h */
	struct {
		uint64_t size; /* records; 0: there is none */
		uint64_t end;  /* bytes of the log with them */
		uint64_t key_version;
		uint64_t since_ns; /* clock_mono_ns() */
	} state;
};

/* What may be the log's key; borrowed. `next`: NULL, or one that a record may name. */
struct log_keys {
	const struct sign_key *key, *next;
};

/*
 * Open or create the log below dirfd: read it from its state on (state.h; all of it where
 * there is none that fits), check it against its checkpoint, cut what a crash left torn. Intents
 * without outcome are in l->intents as nobody's. If l->repaired, the first record must be
 * LogRepaired {l->torn_size, l->torn_bytes}. l->key is that of `keys` which its records name last.
 * Owner: log_close(), on failure too.
 * Errors: E_CORRUPT (it contradicts itself or its checkpoint: *ret_why tells),
 * E_SYS, E_NOMEM, E_CRYPTO.
 */
MUST_USE struct status log_open(struct log *l, int dirfd, const char *instance,
    const struct log_keys *keys, const struct log_opts *opts, const char **ret_why);
void log_close(struct log *l);

/* ---- a batch ---- */
/*
 * The whole batch of one sender is right, its outcomes name open intents of
 * `owner` and are marked as closing. Errors: of record_check(), E_NOTFOUND (an
 * intent that is not open), E_FULL (too many intents or records), E_NOMEM.
 * After OK all of them must be appended.
 */
MUST_USE struct status log_admit(
    struct log *l, const struct audit_rec *recs, uint32_t count, uint64_t owner);
/* Append one. Errors leave the log dead; the next commit tells. */
void log_append(struct log *l, const struct audit_rec *r, const struct record_sender *from,
    uint64_t owner, bool more);
/*
 * Make the batch durable, whole or not at all. Errors: E_SYS, E_FULL (disk):
 * nothing of it is in the log; l->dead tells whether the log can go on.
 */
MUST_USE struct status log_commit(struct log *l);
/* Sign what is durable, if it grew. l->note is the checkpoint. E_SYS, E_CRYPTO. */
MUST_USE struct status log_checkpoint(struct log *l);
/*
 * From now on `key` (borrowed) signs. State: the record that names it is durable, and the last.
 * E_CRYPTO.
 */
MUST_USE struct status log_key_set(struct log *l, const struct sign_key *key);
/* Why nothing may be appended now: OK, or E_SYS (dead), E_TIMEOUT (no signature for long). */
MUST_USE struct status log_usable(const struct log *l);
/* LogRepaired is durable and signed: forget the note about the repair. */
MUST_USE struct status log_repair_done(struct log *l);

/* ---- between log.c and recover.c ---- */
MUST_USE struct status log_segment_create(struct log *l, uint32_t n);
MUST_USE struct status log_replace(struct log *l, const char *tmp, const char *name, struct span s);
MUST_USE struct status log_sign(struct log *l, const struct log_chain *c);
void log_sender_seen(struct log_senders *s, struct span name, uint32_t id, uint64_t seq);
/* Bytes of the segments before `segment`; of all: AUDITLOG_SEGMENT_LAST. E_SYS. */
MUST_USE struct status log_bytes_before(const struct log *l, uint32_t segment, uint64_t *ret);

#endif
