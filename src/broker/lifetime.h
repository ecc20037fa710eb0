/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_LIFETIME_H
#define BROKER_LIFETIME_H

/*
 * When a credential is read, watched, renewed and no longer used. Pure: it
 * knows versions and times (milliseconds of a monotonic clock), never a value;
 * `roll` is a random number that the caller brings, for jitter.
 */
#include <base/span.h>
#include <wire/authority_broker.h>

#define LIFETIME_AGE_MAX_MS 3600000 /* nothing is used for longer after it was read */
#define LIFETIME_BACKOFF_MIN_MS 500 /* between tries of a source that is away … */
#define LIFETIME_BACKOFF_MAX_MS 30000
#define LIFETIME_REFUSED_MS 15000 /* … and of one that said no */
#define LIFETIME_RETRY_AFTER_MAX_MS 60000
#define LIFETIME_REJECTED_MS 60000 /* one refetch of a version that a provider refused */
#define LIFETIME_NEVER UINT64_MAX

enum lifetime_op {
	LIFETIME_IDLE,
	LIFETIME_READ,     /* the current version */
	LIFETIME_PREVIOUS, /* the one before */
	LIFETIME_POLL,     /* is there a new version? */
	LIFETIME_RENEW,    /* its lease */
	/* For sources only, never the next of a lifetime: */
	LIFETIME_REVOKE, /* a lease that nobody uses */
	LIFETIME_WRAP,   /* a key, by one that is there: kms.h */
	LIFETIME_UNWRAP,
	LIFETIME_REWRAP,
};

/* What a source is able to do. */
struct lifetime_opts {
	uint32_t poll_ms; /* 0: a change is told, not looked for */
	bool polls;       /* a look at the version alone is possible; else it is read again */
	bool previous;    /* it keeps the version before */
};

/* What a source said of the value that it gave. */
struct lifetime_reading {
	const char *version;
	const char *lease; /* "": none */
	uint64_t lease_ms; /* 0: it does not end by itself */
	bool renewable;
};

enum lifetime_failure {
	LIFETIME_AWAY,    /* try again; what is held is good until its end */
	LIFETIME_REFUSED, /* it said no: nothing held is used any longer */
};

struct lifetime {
	struct lifetime_opts opts;
	bool held;
	char version[SECRET_VERSION_MAX + 1];
	char lease[SECRET_LEASE_MAX + 1];
	uint64_t read_ms, end_ms;               /* used until, not beyond */
	uint64_t refresh_ms, poll_ms, renew_ms; /* LIFETIME_NEVER: not */
	uint64_t not_before_ms;                 /* backing off */
	enum lifetime_op flight;
	uint64_t flight_ms;  /* when it began */
	enum secret_why why; /* of the next, or the running, read */
	bool want_read, want_previous;
	bool again; /* told of another version during a read, which may give the one before */
	enum secret_why again_why;
	bool poll_reads; /* to look at the version alone is denied */
	unsigned failures;
	/* The version that a provider refused last, and what was done about it. */
	char rejected[SECRET_VERSION_MAX + 1];
	uint64_t rejected_ms;
	bool refetched, previous_tried;
};

/* A fresh one wants its first read. */
void lifetime_init(struct lifetime *l, const struct lifetime_opts *opts);
/* What to begin now; IDLE: nothing until *ret_wake_ms, or until something is told. */
enum lifetime_op lifetime_next(const struct lifetime *l, uint64_t now_ms, uint64_t *ret_wake_ms);
/* One flight at a time: until one of the five below. State: none. */
void lifetime_begin(struct lifetime *l, enum lifetime_op op, uint64_t now_ms);
void lifetime_read(
    struct lifetime *l, const struct lifetime_reading *r, uint64_t now_ms, uint32_t roll);
void lifetime_read_previous(struct lifetime *l);
void lifetime_polled(struct lifetime *l, const char *version, uint64_t now_ms, uint32_t roll);
void lifetime_renewed(
    struct lifetime *l, uint64_t lease_ms, bool renewable, uint64_t now_ms, uint32_t roll);
void lifetime_failed(struct lifetime *l, enum lifetime_failure f, uint32_t retry_after_ms,
    uint64_t now_ms, uint32_t roll);
/* When a value that was read at `read_ms` with this lease (0: none) may be used no longer. */
uint64_t lifetime_end(uint64_t read_ms, uint64_t lease_ms);

bool lifetime_usable(const struct lifetime *l, uint64_t now_ms);
/* The source told that there is another version. */
void lifetime_changed(struct lifetime *l, enum secret_why why);
/*
 * A provider refused this version. True: a read for it is wanted or under way; false: that is
 * done, or it is not the version held.
 */
bool lifetime_rejected(struct lifetime *l, const char *version, uint64_t now_ms);
/* Still refused after that: true: the version before is wanted or under way. */
bool lifetime_want_previous(struct lifetime *l);

#endif
