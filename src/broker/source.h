/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_SOURCE_H
#define BROKER_SOURCE_H

/*
 * Where the values of credentials come from: Vault, AWS Secrets Manager, the
 * store (file:NAME). A source works on jobs, one per credential at a time.
 */
#include <conf/reference.h>
#include <crypto/secret.h>

#include "lifetime.h"

struct source_job;

/* What came of a job. `value` may be taken (secret_take); the rest is borrowed. */
struct source_result {
	enum secret_fault fault; /* NONE: it was done */
	bool refused;            /* it said no, rather than being away */
	uint32_t retry_after_ms;
	struct secret value;             /* READ, PREVIOUS; of a key as wire/store_broker.h says */
	struct lifetime_reading reading; /* POLL: the version only; RENEW: the lease only */
	/* A lease that came, also with a fault: it is to be given back. */
	uint32_t login;   /* the source's number of the login that it came by */
	uint64_t lent_ms; /* reading.lease_ms is for how long it is used */
};

/* Of a key that is wrapped by another one, at the source. */
struct source_kms {
	struct span data; /* WRAP: the key; else what WRAP or REWRAP gave */
	/* Authenticated with it. */
	const char *state; /* letters and digits */
	uint64_t version;
};

typedef void source_done(struct source_job *job, struct source_result *r);

struct source_job {
	/* The asker's part, unchanged until `done`. */
	enum lifetime_op op;
	struct reference ref;
	const char *version; /* of what is held; "": nothing */
	const char *lease;
	struct source_kms kms; /* WRAP … REWRAP; ref.place: MOUNT/KEY, or the key's ID */
	source_done *done;     /* once, from the loop, never from within start() */
	/* The source's. */
	void *work;
};

struct source_ops {
	/* E_NOMEM, E_FULL …: nothing was begun. */
	struct status (*start)(void *source, struct source_job *job);
	/* `done` will not come. State: started. */
	void (*cancel)(struct source_job *job);
	/* Is what came by this login still lent? NULL: it lends nothing. */
	bool (*lends)(const void *source, uint32_t login);
};

#endif
